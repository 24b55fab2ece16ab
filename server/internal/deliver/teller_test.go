package deliver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/feed"
)

// told is a store that has a feed and webhooks, and notes what it is asked.
type told struct {
	Store
	entries []feed.Entry
	hooks   []Webhook
	asked   []string
	down    bool
}

func (s *told) EnabledWebhooks(context.Context) ([]Webhook, error) { return slices.Clone(s.hooks), nil }

func (s *told) Feed(_ context.Context, after feed.Position, limit int) (found []feed.Entry, _ error) {
	s.asked = append(s.asked, fmt.Sprint("feed ", after.Commit))
	for _, e := range s.entries {
		if after.Before(e.Position) && len(found) < limit {
			found = append(found, e)
		}
	}
	return found, nil
}

func (s *told) FeedEnd(context.Context) (feed.Position, error) {
	return s.entries[len(s.entries)-1].Position, nil
}

func (s *told) TurnsFor(_ context.Context, w Webhook, after, to feed.Position) ([]Push, error) {
	s.asked = append(s.asked, fmt.Sprint("turns ", w.ID, " ", after.Commit, " ", to.Commit))
	return make([]Push, 1), nil
}

func (s *told) Spread(_ context.Context, w Webhook, _ []Push, to feed.Position) error {
	if s.down {
		return errors.New("down")
	}
	for i := range s.hooks {
		if s.hooks[i].ID == w.ID && s.hooks[i].Place == w.Place {
			s.hooks[i].Place = to
		}
	}
	return nil
}

// The feed is read once for all webhooks, and no part of it again unless what it tells
// could not be kept.
func TestTheFeedIsReadOnce(t *testing.T) {
	t.Parallel()
	at := func(commit int64) feed.Position { return feed.Position{Commit: commit} }
	s := &told{
		hooks: []Webhook{
			{Scope: auth.All("a"), ID: "first", Place: at(2)},
			{Scope: auth.All("b"), ID: "idle", Place: at(1)},
			{Scope: auth.All("a"), ID: "ahead", Place: at(9)},
		},
	}
	grow := func(commit int64) {
		s.entries = append(s.entries, feed.Entry{Position: at(commit), Organization: "a", Kind: feed.Grew})
	}
	for commit := range int64(9) {
		grow(commit + 1)
	}
	c := NewCourier(Options{Store: s})
	spreads := func(what string, want ...string) {
		t.Helper()
		s.asked = nil
		some, more, err := c.spread(t.Context())
		if (err != nil) != s.down || !s.down && (!some || more) || !slices.Equal(s.asked, want) {
			t.Errorf("%s: asked %q, %t, %t, %v", what, s.asked, some, more, err)
		}
	}
	s.down = true
	spreads("the store fails", "feed 1", "turns first 2 9")
	s.down = false
	spreads("again", "feed 1", "turns first 2 9")
	spreads("nothing new", "feed 9")
	grow(10)
	spreads("one more", "feed 9", "turns first 9 10", "turns ahead 9 10")
	if s.hooks[1].Place != at(1) {
		t.Errorf("the place of the idle one was moved to %v", s.hooks[1].Place)
	}
	for commit := range int64(far) {
		s.entries = append(s.entries, feed.Entry{Position: at(commit + 11), Organization: "c", Kind: feed.Grew})
	}
	for more := true; more; {
		var err error
		if _, more, err = c.spread(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if s.hooks[1].Place.Commit < far/2 {
		t.Errorf("the place of the idle one is %v", s.hooks[1].Place)
	}
}

// A webhook that fails rests, and has one message under way between two rests.
func TestWebhooksRest(t *testing.T) {
	t.Parallel()
	c := NewCourier(Options{})
	push := func(task string) Push { return Push{Key: Key{Task: task}, Webhook: "w", Target: "t"} }
	for _, id := range []string{"a", "b"} {
		if !c.take(push(id)) {
			t.Fatal("it rests before anything failed")
		}
	}
	c.ails("w", 0)
	c.ails("w", 0)
	c.leave(push("a"))
	until := c.ailing["w"].until
	if c.ailing["w"].rests != 1 || c.take(push("c")) {
		t.Errorf("it does not rest: %+v", c.ailing["w"])
	}
	c.ailing["w"].until = until.Add(-longestRest)
	if c.take(push("c")) {
		t.Error("two are under way")
	}
	c.leave(push("b"))
	if !c.take(push("c")) || c.take(push("d")) {
		t.Error("there is not one under way")
	}
	c.well("w")
	if !c.take(push("d")) {
		t.Error("it rests though it is well")
	}
}
