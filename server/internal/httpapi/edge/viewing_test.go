package edge

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/stream"
)

// deaf is a client that is gone before anything is sent to it.
type deaf struct{ *httptest.ResponseRecorder }

func (deaf) SetWriteDeadline(time.Time) error { return net.ErrClosed }

// A viewer to whom not even the head could be sent has gone, as any other has (X2).
func TestX2AViewerWhoIsGoneAtOnce(t *testing.T) {
	t.Parallel()
	k := &Core{Source: stream.NewSource(stream.NewHub(), nil), KeepAlive: time.Minute, WriteTimeout: time.Second, Closing: t.Context()}
	told := make(chan struct{})
	k.Stream(deaf{httptest.NewRecorder()}, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody), View{
		Unfollowed: func(context.Context) { close(told) },
	})
	select {
	case <-told:
	case <-time.After(10 * time.Second):
		t.Error("nobody has been told that the viewer has gone")
	}
}
