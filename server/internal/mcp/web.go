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
	mu     sync.Mutex
	status int // of the last answer, 0 for none
	above  *fate
}

type fateKey struct{}

// withFate notes what becomes of the requests that are sent with the context.
func withFate(ctx context.Context) (context.Context, *fate) {
	above, _ := ctx.Value(fateKey{}).(*fate)
	f := &fate{above: above}
	return context.WithValue(ctx, fateKey{}, f), f
}

func (f *fate) note(status int) {
	for ; f != nil; f = f.above {
		f.mu.Lock()
		f.status = status
		f.mu.Unlock()
	}
}

func (f *fate) last() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status
}

// undelivered reports whether a request that failed is known not to have been carried
// out: nothing was connected, or the server has refused it before it looked at it.
func (f *fate) undelivered(err error) bool {
	if dialled, is := errors.AsType[*net.OpError](err); is && dialled.Op == "dial" || outbound.Refused(err) || errors.Is(err, sdk.ErrSessionMissing) {
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
