package dispatch_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
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
		got, err := b.workers.Claim(ctx, who(), lifecycle.ClaimRequest{Agents: []string{bot}, Worker: "w", Slots: 1}, time.Minute)
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

// A worker that leaves in the midst of a claim was seen until then, and not only when
// it began to wait.
func TestH5AWorkerWasSeenUntilItLeft(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		ctx, hangUp := context.WithCancel(b.ctx)
		w := b.wait(ctx, 30*time.Second)
		pass(20 * time.Second)
		hangUp()
		<-w.over
		left := b.Now()
		pass(time.Minute)
		seen, err := b.Workers(b.ctx, who().Scope, bot)
		b.must(err)
		if len(seen) != 1 || seen[0].LastHeard != left {
			t.Errorf("seen %+v, left at %s", seen, left)
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

// What a worker reports with a claim counts though it has gone meanwhile, and while
// the server closes; it is given nothing then.
func TestH8EndsCountWhoeverIsThere(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		claim := lifecycle.ClaimRequest{Agents: []string{bot}, Worker: "w", Slots: 2}
		b.submit("gone", bot)
		b.submit("closing", bot)
		claimed, err := b.workers.Claim(b.ctx, who(), claim, 0)
		b.must(err)
		b.submit("next", bot)
		end := func(ctx context.Context, c lifecycle.Claimed) error {
			ended, got, err := b.workers.FinishAndClaim(ctx, who(), []lifecycle.End{
				{Task: c.Task.ID, Token: c.Token, Outcome: lifecycle.Outcome{Reason: task.EndCompleted}},
			}, claim)
			if len(got) != 0 || err == nil && ended[0].Refused != nil {
				t.Errorf("%s: %d tasks, %v", c.Task.ID, len(got), ended)
			}
			now, failed := b.Seen(context.WithoutCancel(ctx), org, c.Task.ID)
			b.must(failed)
			if now.Status() != task.Completed {
				t.Errorf("%s is %s", c.Task.ID, now.Status())
			}
			return err
		}
		gone, leave := context.WithCancel(b.ctx)
		leave()
		if err := end(gone, claimed[0]); !errors.Is(err, context.Canceled) {
			t.Errorf("to nobody: %v", err)
		}
		close(b.closing)
		b.must(end(b.ctx, claimed[1]))
		now, err := b.Seen(b.ctx, org, "next")
		b.must(err)
		if !now.Dispatchable() || now.Starts != 0 {
			t.Errorf("next is %s, %d starts", now.Status(), now.Starts)
		}
	})
}
