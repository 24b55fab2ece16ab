package httpapi_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/app"
)

// answered is a log that tells of requests that are over.
type answered struct {
	slog.Handler
	paths chan string
}

func (h answered) Enabled(context.Context, slog.Level) bool { return true }

func (h answered) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if r.Message == "request" && a.Key == "path" {
			select {
			case h.paths <- a.Value.String():
			default:
			}
		}
		return true
	})
	return nil
}

// A reader who has stopped reading a plain answer costs its connection, and not
// a goroutine for ever.
func TestAnAnswerThatNobodyReadsIsGivenUp(t *testing.T) {
	t.Parallel()
	log := answered{slog.DiscardHandler, make(chan string, 1000)}
	s := start(t, func(o *app.Options) {
		o.WriteTimeout, o.Log = 2*time.Second, slog.New(log) // in which the answer to finish has to come
	})
	s.agent(t, "agent-1")
	s.task(t, "one")
	token := s.claim(t)
	s.must(t, 200, call{
		method: "POST", path: "/v1/tasks/one/finish",
		body: fmt.Sprintf(`{"lease_token": %q, "status": "completed", "result": %q}`, token, strings.Repeat("x", 15<<20)),
	})
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // it was never read
	if _, err := fmt.Fprintf(conn, "GET /agent-execution/one/status HTTP/1.1\r\nHost: x\r\nX-Api-Key: %s\r\n\r\n", adminKey); err != nil {
		t.Fatal(err)
	}
	over := time.NewTimer(patience / 2)
	defer over.Stop()
	for {
		select {
		case path := <-log.paths:
			if path == "/agent-execution/one/status" {
				return
			}
		case <-over.C:
			t.Fatal("the server still waits for a reader who does not read")
		}
	}
}
