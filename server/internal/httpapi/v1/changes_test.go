package v1

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/board"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/lifecycle"
)

// endless is a feed whose end no reader reaches.
type endless struct{}

func (endless) Feed(_ context.Context, after feed.Position, limit int) ([]feed.Entry, error) {
	entries := make([]feed.Entry, limit)
	for i := range entries {
		entries[i] = feed.Entry{Position: feed.Position{Commit: after.Commit + int64(i) + 1}, Organization: "o", Task: "t", Kind: feed.Grew, First: 1, Last: 1}
	}
	return entries, nil
}

func (endless) FeedBegin(context.Context) (feed.Position, error) {
	return feed.Position{Commit: 1}, nil
}

func (endless) FeedEnd(context.Context) (feed.Position, error) {
	return feed.Position{Commit: 1 << 60}, nil
}

func (endless) Matching(_ context.Context, _ auth.Scope, _ lifecycle.Filter, ids []string) ([]string, error) {
	return ids, nil
}

// A3, H10: the feed of a reader who never comes to its end ends with the reader's key, and
// with the server.
func TestFeedEndsForSlowReaders(t *testing.T) {
	t.Parallel()
	signedOut := func(context.Context) error { return fault.New(fault.Unauthenticated, "the key is revoked") }
	closed, closing := context.WithCancel(t.Context())
	closing()
	for reason, c := range map[string]struct {
		server context.Context //nolint:containedctx // its life
		still  func(context.Context) error
	}{
		"shutdown":   {closed, func(context.Context) error { return nil }},
		"signed_out": {t.Context(), signedOut},
	} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			all := board.New(nil, board.Show{})
			r := &routes{Options: Options{Core: edge.Core{
				Board: all, Changes: board.NewChanges(all, endless{}, endless{}), KeepAlive: time.Hour, WriteTimeout: time.Minute, Closing: c.server,
			}}}
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				ctx := edge.WithPrincipal(edge.WithStill(req.Context(), c.still), auth.Principal{Organization: "o"})
				r.sendChanges(w, req.WithContext(ctx), "o", lifecycle.Filter{}, feed.Position{Commit: 1})
			}))
			defer s.Close()
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := s.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close() //nolint:errcheck // it was only read
			last, lines := "", bufio.NewScanner(answer.Body)
			for n := 0; lines.Scan() && n < 10*chunkOfChanges; n++ {
				if text, data := strings.CutPrefix(lines.Text(), "data: "); data {
					last = text
				}
			}
			if want := `{"reason":"` + reason + `"}`; last != want {
				t.Errorf("the last is %s, want %s", last, want)
			}
		})
	}
}
