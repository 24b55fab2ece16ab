package dispatch_test

import (
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// registerLook is how often a registration that waits is looked at, at most.
const registerLook = 300 * time.Millisecond

// cutOff is a Python worker whose stream ended a second ago, with a task in its
// hands, and one like it that registers.
func cutOff(b *bench) (old, again *pipe) {
	b.t.Helper()
	b.sweeper()
	old, hangUp := b.serve()
	b.submit("t", bot)
	pass(time.Millisecond)
	b.start("t")
	b.beats(old)
	hangUp()
	pass(time.Second)
	again, _ = b.serve()
	return old, again
}

func (b *bench) beats(p *pipe) {
	b.t.Helper()
	b.must(b.Heard(b.ctx, org, bot, p.worker.ID, lifecycle.Sign{Beat: true}))
}

func TestL5RegistrationWaitsForTheOldIdToSpeak(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		old, again := cutOff(b)
		pass(700 * time.Millisecond)
		if again.worker.ID != "" {
			t.Fatal("L5: registered although nobody knows whose heir it is")
		}
		b.beats(old)
		pass(registerLook)
		if again.worker.ID == "" {
			t.Fatal("L5: not registered although the old worker lives")
		}
		for range 30 {
			pass(2 * time.Second)
			b.beats(again)
		}
		b.shows("t", task.Executing)
	})
}

func TestL5KilledAndStartedAgainInheritsNothing(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		_, again := cutOff(b)
		pass(2300 * time.Millisecond)
		if again.worker.ID == "" {
			t.Fatal("L5: not registered although the old worker has been silent for 3 s")
		}
		for range 14 {
			pass(2 * time.Second)
			b.beats(again)
		}
		b.shows("t", task.Error)
	})
}

// What was under way when the worker was killed is no sign of life.
func TestL5LastWordIsNoSignOfLife(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		old, hangUp := b.serve()
		b.submit("t", bot)
		pass(time.Millisecond)
		b.start("t")
		hangUp()
		pass(100 * time.Millisecond)
		b.beats(old)
		again, _ := b.serve()
		pass(time.Second)
		if again.worker.ID != "" {
			t.Error("L5: registered on the word of a dead worker")
		}
	})
}

func TestL5RegistrationIsAtOnceWhenNothingIsAtStake(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		_, hangUp := b.serve()
		hangUp()
		again, _ := b.serve()
		if again.worker.ID == "" {
			t.Error("L5: an idle worker's heir waits")
		}
	})
}

// After a restart the ids of before the last one are silent for good.
func TestL5RegistrationDoesNotWaitForAnIdThatHasAnHeir(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		last, hangUp := b.serve()
		b.submit("t", bot)
		pass(time.Millisecond)
		b.start("t")
		for range 5 {
			b.must(b.Begin(b.ctx))
			hangUp()
			pass(time.Second)
			next, hangUpNext := b.serve()
			b.beats(last)
			pass(registerLook)
			if next.worker.ID == "" {
				t.Fatal("L5: not registered although the last id has spoken")
			}
			last, hangUp = next, hangUpNext
		}
		b.shows("t", task.Executing)
	})
}
