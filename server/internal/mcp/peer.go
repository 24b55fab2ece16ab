package mcp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/errand-dev/errand/server/internal/outbound"
)

const (
	// older is the last revision that begins with initialize.
	older = "2025-11-25"
	// maxTools bounds how many tools a server may have.
	maxTools = 1000
)

// peer is the way to one server. It connects when it is needed, and again after the
// connection was lost.
type peer struct {
	name            string
	web             bool // it is reached over HTTP
	within, probing time.Duration
	clean           func(string) string // takes secrets out of a text
	dial            func() (sdk.Transport, error)

	mu      sync.Mutex
	session *sdk.ClientSession
	gone    chan struct{} // closed when the session has ended
	old     bool          // it does not answer in the newest revision
	closing sync.WaitGroup
}

// connected is a session that is there, as far as anybody knows.
func (p *peer) connected(ctx context.Context) (*sdk.ClientSession, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.session != nil {
		select {
		case <-p.gone:
			p.drop()
		default:
			return p.session, nil
		}
	}
	s, err := p.connect(ctx)
	if err != nil {
		return nil, err
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_ = s.Wait() // how it ended is told to whoever calls
	}()
	p.session, p.gone = s, gone
	return s, nil
}

// connect begins a session. A server that says nothing to what it does not know is
// asked again as an old one, on a connection of its own.
func (p *peer) connect(ctx context.Context) (*sdk.ClientSession, error) {
	client := sdk.NewClient(&sdk.Implementation{Name: "errand", Version: "1"}, &sdk.ClientOptions{
		Capabilities:   &sdk.ClientCapabilities{}, // roots is advertised otherwise
		MultiRoundTrip: &sdk.MultiRoundTripOptions{Disabled: true},
	})
	attempt := func(ctx context.Context, o *sdk.ClientSessionOptions) (*sdk.ClientSession, error) {
		t, err := p.dial()
		if err != nil {
			return nil, err
		}
		return client.Connect(ctx, t, o)
	}
	if !p.old {
		probe, cancel := context.WithTimeout(ctx, p.probing)
		s, err := attempt(probe, nil)
		cancel()
		if err == nil || ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			return s, err
		}
	}
	s, err := attempt(ctx, &sdk.ClientSessionOptions{ProtocolVersion: older})
	p.old = err == nil
	return s, err
}

// drop forgets the session, and closes it while others go on: a server that hangs is
// waited for. The caller holds the lock.
func (p *peer) drop() {
	if s := p.session; s != nil {
		p.closing.Go(func() { _ = s.Close() }) // there is nothing more to say to it
	}
	p.session = nil
}

// forget drops a session that has failed, unless somebody has made another.
func (p *peer) forget(s *sdk.ClientSession) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.session == s {
		p.drop()
	}
}

// close ends the session, and waits until that is done.
func (p *peer) close() {
	p.mu.Lock()
	p.drop()
	p.mu.Unlock()
	p.closing.Wait()
}

// do asks something of the server. What has not reached it is asked again on a new
// connection, and so is what may be asked twice.
func (p *peer) do(ctx context.Context, twice bool, ask func(context.Context, *sdk.ClientSession) error) error {
	for try := 1; ; try++ {
		s, err := p.connected(ctx)
		if err != nil {
			return err
		}
		asked, f := p.withFate(ctx)
		err = ask(asked, s)
		if err == nil || answered(err) != nil || ctx.Err() != nil {
			return err
		}
		p.forget(s)
		if try > 1 || !twice && !f.undelivered(err) {
			return err
		}
	}
}

// list reads the server's tools.
func (p *peer) list(ctx context.Context) (tools []*sdk.Tool, err error) {
	err = p.do(ctx, true, func(ctx context.Context, s *sdk.ClientSession) error {
		tools = nil
		for t, err := range s.Tools(ctx, nil) {
			if err != nil {
				return err
			}
			if tools = append(tools, t); len(tools) > maxTools {
				return fmt.Errorf("it has more than %d tools", maxTools)
			}
		}
		return nil
	})
	return tools, err
}

// call calls a tool. unknown says of an error that nobody knows whether the call was
// carried out.
func (p *peer) call(ctx context.Context, params *sdk.CallToolParams, twice bool) (r *sdk.CallToolResult, unknown bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, p.within)
	defer cancel()
	ctx, f := p.withFate(ctx)
	reached := false
	err = p.do(ctx, twice, func(ctx context.Context, s *sdk.ClientSession) (err error) {
		reached = true
		r, err = s.CallTool(ctx, params)
		return err
	})
	if err == nil || answered(err) != nil {
		return r, false, err
	}
	return nil, reached && !f.undelivered(err), err
}

// answered is the error with which the server itself has answered a request, nil for
// any other.
func answered(err error) *jsonrpc.Error {
	const byTransport = "rejected by transport"
	e, is := errors.AsType[*jsonrpc.Error](err)
	if !is || e.Message == byTransport || errors.Is(err, sdk.ErrConnectionClosed) || errors.Is(err, sdk.ErrSessionMissing) {
		return nil
	}
	return e
}

// explain says in words for people what went wrong, without secrets; lasting says that
// it would be no different later.
func (p *peer) explain(err error, f *fate) (why string, lasting bool) {
	status := f.last()
	switch e := answered(err); {
	case e != nil:
		return p.clean(e.Message), true
	case outbound.Refused(err):
		return "the server does not connect to private addresses: its operator may allow this one (--allow-private)", true
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return fmt.Sprintf("it answered %d %s: sign in, or give it the right headers", status, http.StatusText(status)), true
	case status >= http.StatusMultipleChoices:
		return fmt.Sprintf("it answered %d %s", status, http.StatusText(status)), status < http.StatusInternalServerError && status != http.StatusTooManyRequests
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("it took longer than %s", p.within), false
	}
	if dialled, is := errors.AsType[*net.OpError](err); is {
		return p.clean(dialled.Error()), false
	}
	if wrapped, is := errors.AsType[*url.Error](err); is {
		err = wrapped.Err
	}
	return p.clean(strings.ToValidUTF8(err.Error(), "\uFFFD")), false
}
