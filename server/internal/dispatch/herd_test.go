package dispatch_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// herd makes n workers wait.
func (b *bench) herd(ctx context.Context, n int) []*waiting {
	all := make([]*waiting, n)
	for i := range all {
		all[i] = b.wait(ctx, 50*time.Second)
	}
	return all
}

// served counts the claims that have got something.
func served(all []*waiting) (n int) {
	for _, w := range all {
		select {
		case <-w.over:
			n += len(w.got)
		default:
		}
	}
	return n
}

// Those who wait cost nothing, however many they are: a task calls one of them.
func TestL1OneTaskCallsOneWorker(t *testing.T) {
	t.Parallel()
	for name, other := range map[string]bool{"of this node": false, "of another node": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(b *bench) {
				all := b.herd(b.ctx, 64)
				pass(3 * time.Second)
				writes, looks := b.store.writes.Load(), b.store.looks.Load()
				pass(10 * time.Second)
				if w, l := b.store.writes.Load()-writes, b.store.looks.Load()-looks; w != 0 || l > 2 {
					t.Errorf("L1: 64 workers who wait write %d times and look %d times in 10 s", w, l)
				}
				writes, looks = b.store.writes.Load(), b.store.looks.Load()
				b.other.Store(other)
				b.submit("t", bot)
				synctest.Wait()
				if w, l := b.store.writes.Load()-writes, b.store.looks.Load()-looks; served(all) != 1 || w > 2 || l > 1 {
					t.Errorf("L1: a task went to %d of 64 workers, by %d writes and %d looks", served(all), w, l)
				}
				for i := range 5 {
					b.submit(fmt.Sprint("t-", i), bot)
				}
				synctest.Wait()
				if served(all) != 6 {
					t.Errorf("L1: 6 tasks went to %d of 64 workers", served(all))
				}
			})
		})
	}
}

// What becomes ready by time calls one as well: by one alarm, however many wait.
func TestL1ScheduledTaskCallsOneWorker(t *testing.T) {
	t.Parallel()
	for name, other := range map[string]bool{"of this node": false, "of another node": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(b *bench) {
				b.later("before anybody came", 7*time.Second)
				all := b.herd(b.ctx, 16)
				b.other.Store(other)
				b.later("since", 8500*time.Millisecond)
				pass(6999 * time.Millisecond)
				if n := served(all); n != 0 {
					t.Fatalf("L1: %d tasks were handed out before their time", n)
				}
				writes := b.store.writes.Load()
				pass(2 * time.Millisecond)
				if n := served(all); n != 1 {
					t.Errorf("L1: %d tasks were handed out when one became ready", n)
				}
				pass(1500 * time.Millisecond)
				if n, w := served(all), b.store.writes.Load()-writes; n != 2 || w > 2 {
					t.Errorf("L1: %d tasks were handed out by %d writes when two had become ready", n, w)
				}
			})
		})
	}
}

func (b *bench) later(id string, in time.Duration) {
	b.t.Helper()
	_, _, err := b.Submit(b.ctx, who(), lifecycle.Submission{
		Spec: task.Spec{ID: fmt.Sprintf("later-%d", len(id)), AgentID: bot}, RunAt: task.StampOf(b.now().Add(in)),
	})
	b.must(err)
}

// A Python worker that has no room is not asked; what it was called for goes to the next.
func TestL9WorkersWithoutRoomAreLeftOut(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		full, _ := b.serve()
		for i := range lifecycle.MaxOutstanding {
			b.submit(fmt.Sprint("t-", i), bot)
		}
		synctest.Wait()
		busy, _ := b.serve()
		b.must(b.Heard(b.ctx, org, bot, busy.worker.ID, lifecycle.Sign{ID: "1", Busy: new(true)}))
		free, _ := b.serve()
		synctest.Wait()
		writes := b.store.writes.Load()
		b.submit("one", bot)
		synctest.Wait()
		if full.has() != lifecycle.MaxOutstanding || busy.has() != 0 || free.has() != 1 {
			t.Errorf("L9: %d, %d and %d tasks", full.has(), busy.has(), free.has())
		}
		b.submit("two", bot)
		synctest.Wait()
		if n := b.store.writes.Load() - writes; free.has() != 2 || n > 5 { // the busy one was called once
			t.Errorf("L9: %d tasks by %d writes", free.has(), n)
		}
	})
}

// Whoever has gone is called in vain, and the next one gets the task.
func TestL1CallGoesToTheNext(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		ctx, leave := context.WithCancel(b.ctx)
		b.herd(ctx, 3)
		w := b.wait(b.ctx, 50*time.Second)
		b.store.stored.Store(new(func() { leave() })) // just when they are called
		b.submit("t", bot)
		synctest.Wait()
		select {
		case <-w.over:
		default:
			t.Fatal("L1: the task waits for those who have gone")
		}
		if w.err != nil || len(w.got) != 1 {
			t.Errorf("L1: claimed %d, %v", len(w.got), w.err)
		}
	})
}
