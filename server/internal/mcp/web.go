package mcp

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/errand-dev/errand/server/internal/outbound"
)

// fate is what became of a request on its way.
type fate struct {
	web    bool // it goes over HTTP, where it is seen
	mu     sync.Mutex
	sent   bool
	status int // of the last answer, 0 for none
	above  *fate
}

type fateKey struct{}

// withFate notes what becomes of the requests that are sent with the context.
func (p *peer) withFate(ctx context.Context) (context.Context, *fate) {
	above, _ := ctx.Value(fateKey{}).(*fate)
	f := &fate{web: p.web, above: above}
	return context.WithValue(ctx, fateKey{}, f), f
}

// note notes that a request is sent, with 0, or the status of its answer.
func (f *fate) note(status int) {
	for ; f != nil; f = f.above {
		f.mu.Lock()
		f.sent, f.status = true, status
		f.mu.Unlock()
	}
}

func (f *fate) last() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status
}

// kept reports whether nothing was sent: the session had ended before.
func (f *fate) kept() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.web && !f.sent
}

// undelivered reports whether a request that failed is known not to have been carried
// out: nothing was sent or connected, or the server has refused it before it looked at it.
func (f *fate) undelivered(err error) bool {
	if dialled, is := errors.AsType[*net.OpError](err); is && dialled.Op == "dial" || f.kept() || outbound.Refused(err) || errors.Is(err, sdk.ErrSessionMissing) {
		return true
	}
	status := f.last()
	return status >= 400 && status < 500
}

// web sends requests to a server with its headers, which go nowhere else.
type web struct {
	base    http.RoundTripper
	headers map[string]string
	host    string
}

// RoundTrip implements http.RoundTripper.
func (w *web) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host == w.host {
		r = r.Clone(r.Context())
		for name, value := range w.headers {
			r.Header.Set(name, value)
		}
	}
	f, _ := r.Context().Value(fateKey{}).(*fate)
	f.note(0)
	res, err := w.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	f.note(res.StatusCode)
	if !strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") { // of a stream each event is bounded
		res.Body = struct {
			io.Reader
			io.Closer
		}{http.MaxBytesReader(nil, res.Body, maxMessage), res.Body}
	}
	return res, nil
}
