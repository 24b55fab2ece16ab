package httpapi

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/httpapi/edge"
)

// talk has a server that takes answers over, and serves what is put behind /f/.
func talk(t *testing.T, writeTimeout time.Duration) (*server, *httptest.Server) {
	t.Helper()
	s := newServer(Options{
		Core: edge.Core{Log: slog.New(slog.DiscardHandler), WriteTimeout: writeTimeout}, Metrics: http.NotFoundHandler(),
		Cookie: edge.SessionCookie{Name: "errand_test"}, Measure: func(string, int, time.Duration) {},
	})
	srv := httptest.NewUnstartedServer(s)
	srv.Config.ConnContext = edge.WithConnection
	s.Streams = NewStreams(srv.Listener.Addr(), time.Minute)
	srv.Start()
	t.Cleanup(srv.Close)
	return s, srv
}

// ask begins to read an answer, which is closed at the end of the test.
func ask(t *testing.T, srv *httptest.Server, path string) io.Reader {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res.Body
}

// An answer whose handler breaks off in its midst does not end as if it were whole,
// whoever writes it.
func TestHalfAnAnswerIsCut(t *testing.T) {
	t.Parallel()
	s, srv := talk(t, time.Minute)
	half := func(w http.ResponseWriter) {
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic("the other half")
	}
	s.mux.HandleFunc("GET /f/now", func(w http.ResponseWriter, _ *http.Request) { half(w) })
	s.mux.HandleFunc("GET /f/last", func(w http.ResponseWriter, r *http.Request) {
		edge.Last(w, r, func(*http.Request) { half(w) })
	})
	for _, path := range []string{"/f/now", "/f/last"} {
		if text, err := io.ReadAll(ask(t, srv, path)); err == nil {
			t.Errorf("%s: %q passed for whole", path, text)
		}
	}
}

// Who reads nothing any more has gone: the request's context says so, as that of net/http.
func TestADeafReaderHasGone(t *testing.T) {
	t.Parallel()
	s, srv := talk(t, 50*time.Millisecond)
	said := make(chan error, 1)
	s.mux.HandleFunc("GET /f/deaf", func(w http.ResponseWriter, r *http.Request) {
		edge.Last(w, r, func(r *http.Request) {
			var err error
			for err == nil {
				_, err = w.Write(make([]byte, piece))
			}
			said <- r.Context().Err()
		})
	})
	ask(t, srv, "/f/deaf")
	select {
	case err := <-said:
		if err == nil {
			t.Error("the request goes on")
		}
	case <-time.After(time.Minute):
		t.Error("the server goes on writing")
	}
}
