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

// An answer whose handler breaks off in its midst does not end as if it were whole,
// whoever writes it.
func TestHalfAnAnswerIsCut(t *testing.T) {
	t.Parallel()
	s := newServer(Options{
		Core: edge.Core{Log: slog.New(slog.DiscardHandler), WriteTimeout: time.Minute}, Metrics: http.NotFoundHandler(),
		Cookie: edge.SessionCookie{Name: "errand_test"}, Measure: func(string, int, time.Duration) {},
	})
	half := func(w http.ResponseWriter) {
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic("the other half")
	}
	s.mux.HandleFunc("GET /f/now", func(w http.ResponseWriter, _ *http.Request) { half(w) })
	s.mux.HandleFunc("GET /f/last", func(w http.ResponseWriter, r *http.Request) {
		edge.Last(w, r, func(*http.Request) { half(w) })
	})
	srv := httptest.NewUnstartedServer(s)
	defer srv.Close()
	srv.Config.ConnContext = edge.WithConnection
	s.Streams = NewStreams(srv.Listener.Addr(), time.Minute)
	srv.Start()
	for _, path := range []string{"/f/now", "/f/last"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		res, err := srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err == nil {
			t.Errorf("%s: %q passed for whole", path, text)
		}
	}
}
