package lifecycle_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/testkit/teststore"
)

// create tries to create a task with a key; agent and key may be changed.
func (b *bench) create(key string, change func(*lifecycle.Submission)) error {
	b.t.Helper()
	by := who()
	by.Key = key
	_, _, err := b.Submit(b.ctx(), by, submission("", change))
	return err
}

// limited checks a refusal by a limit, and returns when to come again.
func (b *bench) limited(err error) time.Duration {
	b.t.Helper()
	b.refused(err, fault.RateLimited)
	f, _ := errors.AsType[*fault.Error](err)
	return f.RetryAfter
}

func TestH7CreateRate(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.Limit(lifecycle.Limits{CreateRate: 2})
	b.must(b.create("k", nil))
	b.must(b.create("k", nil))
	if wait := b.limited(b.create("k", nil)); wait != 500*time.Millisecond {
		t.Errorf("H7: told to come again after %s", wait)
	}
	b.must(b.create("another", nil))
	_, _, err := b.Submit(b.ctx(), lifecycle.Caller{Scope: auth.All("other"), Key: "k"}, submission("", nil))
	b.must(err)
	b.clock.forward(500 * time.Millisecond)
	b.must(b.create("k", nil))
	b.limited(b.create("k", nil))
	b.clock.forward(time.Hour) // no more than a second's worth is saved up
	b.must(b.create("k", nil))
	b.must(b.create("k", nil))
	b.limited(b.create("k", nil))
}

func TestH7CreateRateBelowOne(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.Limit(lifecycle.Limits{CreateRate: 0.1})
	b.must(b.create("k", nil))
	if wait := b.limited(b.create("k", nil)); wait != 10*time.Second {
		t.Errorf("H7: told to come again after %s", wait)
	}
}

func TestH7QueueCap(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.Limit(lifecycle.Limits{MaxQueued: 3})
	_, err := b.PutAgent(b.ctx(), org, "second", agent.Record{Name: "second"})
	b.must(err)
	b.fill("t", 3)
	if wait := b.limited(b.create("k", nil)); wait != time.Second {
		t.Errorf("H7: told to come again after %s", wait)
	}
	b.must(b.create("k", func(s *lifecycle.Submission) { s.Spec.AgentID = "second" }))
	b.must(b.create("k", func(s *lifecycle.Submission) { s.Spec.RunLocally = true }))
	_, _, err = b.Submit(b.ctx(), lifecycle.Caller{Scope: auth.All("other")}, submission("", nil))
	b.must(err)

	b.claim("w", 2)
	b.clock.forward(-time.Hour) // somebody sets the clock
	b.must(b.create("k", nil))
	b.must(b.create("k", nil))
	b.limited(b.create("k", nil))

	// A repeat creates nothing, so a full queue does not refuse it.
	b.clock.forward(time.Second)
	b.claim("w", 1)
	repeat := func(s *lifecycle.Submission) { *s = keyed("key", "route", "body") }
	b.must(b.create("k", repeat))
	b.limited(b.create("k", nil))
	b.must(b.create("k", repeat))
}

// again runs every write twice, as a store does that was raced.
type again struct{ teststore.Store }

var errAgain = errors.New("run it again")

func (a again) Write(ctx context.Context, about []lifecycle.Key, fn func(lifecycle.Tx) error) error {
	err := a.Store.Write(ctx, about, func(tx lifecycle.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		return errAgain
	})
	if !errors.Is(err, errAgain) {
		return err
	}
	return a.Store.Write(ctx, about, fn)
}

// A create takes one place in the queue, however often its write is run, and none
// when it fails.
func TestH7QueueCapCountsACreateOnce(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.Service = b.service(again{b.store})
	b.Limit(lifecycle.Limits{MaxQueued: 4})
	b.fill("t", 3)
	for range 5 {
		b.refused(b.create("k", func(s *lifecycle.Submission) { s.Spec.ID = "t0" }), fault.Conflict)
	}
	b.must(b.create("k", nil))
	b.limited(b.create("k", nil))
}
