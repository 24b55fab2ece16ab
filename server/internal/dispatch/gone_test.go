package dispatch_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/lifecycle"
)

// A claim that was committed while its caller went away is given back: nobody
// else would know of it.
func TestL1AClaimerWhoHasGoneCostsNothing(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		b.submit("t", bot)
		ctx, cancel := context.WithCancel(b.ctx)
		leave := func() { cancel() } // a CancelFunc is of another type
		b.store.stored.Store(&leave)
		got, err := b.desk.Claim(ctx, who(), lifecycle.ClaimRequest{Agents: []string{bot}, Worker: "w", Slots: 1}, time.Minute)
		if len(got) != 0 || !errors.Is(err, context.Canceled) {
			t.Fatalf("got %d tasks, error %v", len(got), err)
		}
		now, err := b.Seen(b.ctx, org, "t")
		b.must(err)
		if !now.Dispatchable() || now.Starts != 0 {
			t.Errorf("L1: %s, %d starts", now.Status(), now.Starts)
		}
	})
}

// A worker that leaves while the store is out of order is noted when it is back.
func TestL5ADisconnectionOutlastsAnOutage(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		p, hangUp := b.serve()
		b.store.down.Store(true)
		hangUp()
		pass(3 * time.Second)
		b.store.down.Store(false)
		pass(2 * time.Second)
		b.submit("t", bot)
		snap, err := b.Get(b.ctx, who().Scope, "t")
		b.must(err)
		why, err := b.WhyWaiting(b.ctx, snap)
		b.must(err)
		if why.Reason != "no_worker" {
			t.Errorf("worker %s has left, and the task waits for %q", p.worker.ID, why.Reason)
		}
	})
}

// A clock that is set back keeps no worker out: its registration waits for some
// seconds of steady time at most.
func TestL5RegistrationAfterTheClockWasSetBack(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		_, again := cutOff(b)
		b.jump.Store(int64(-time.Hour))
		pass(13 * time.Second)
		if again.worker.ID == "" {
			t.Error("L5: not registered")
		}
	})
}
