package lifecycle_test

import (
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// S7: the time-out counts what all attempts of a turn execute, and no pause, wait or
// backoff between them; lost time counts until the attempt is given up.
func TestS7TimeoutAddsUp(t *testing.T) {
	t.Parallel()
	timed := func(s *lifecycle.Submission) { s.Spec.Timeout = 50 }
	ends := func(b *bench, left time.Duration) {
		b.t.Helper()
		b.later(left - time.Microsecond)
		b.shows("t", task.Executing, "")
		b.later(time.Microsecond)
		b.shows("t", task.Error, task.EndTimeout)
	}
	t.Run("S7 over attempts that are lost", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		b.run("t", timed)
		b.later(lease) // 30 s of it, although its worker may have been gone long before
		b.shows("t", task.Pending, "")
		b.later(time.Hour)
		b.take("t")
		ends(b, 20*time.Second)
	})
	t.Run("S7 over attempts that are given back", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		token := b.run("t", timed)
		for range 4 {
			b.later(10 * time.Second)
			_, err := b.Release(b.ctx(), org, "t", token)
			b.must(err)
			b.later(time.Minute)
			token = b.take("t")
		}
		ends(b, 10*time.Second)
	})
	t.Run("S7 over pauses of a fenced attempt", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		b.run("t", timed)
		for range 3 {
			b.later(10 * time.Second)
			_, err := b.Pause(b.ctx(), who(), "t")
			b.must(err)
			b.later(time.Hour)
			_, err = b.Resume(b.ctx(), who(), "t")
			b.must(err)
			b.later(time.Hour)
			b.take("t")
		}
		ends(b, 20*time.Second)
	})
	t.Run("S7 over attempts on Python workers, 24 h of their own too", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		_, err := b.PutAgent(b.ctx(), org, bot, agent.Record{Name: bot, RetryStarted: true})
		b.must(err)
		w := b.runPython("t", nil)
		for range 23 {
			b.clock.forward(time.Hour)
			b.beat(w)
		}
		b.cut(w)
		b.later(time.Minute)
		b.shows("t", task.Pending, "")
		b.clock.forward(time.Hour)
		w = b.register()
		b.assign(w)
		b.patch("t", b.body("t", fields{"status": "executing"}))
		for range 58 {
			b.clock.forward(time.Minute)
			b.beat(w)
			b.later(0)
		}
		b.shows("t", task.Executing, "")
		b.clock.forward(time.Minute)
		b.beat(w)
		b.later(0)
		b.shows("t", task.Error, task.EndTimeout)
	})
	t.Run("S7 by the creator's own word", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		b.submit("t", timed)
		for _, status := range []string{"executing", "paused", "executing", "paused", "executing"} {
			b.patch("t", fields{"status": status})
			b.later(20 * time.Second)
		}
		// 20 s and 20 s, and of the third only 10 s are left.
		b.shows("t", task.Error, task.EndTimeout)
	})
	t.Run("S7 no attempt begins when nothing is left", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		b.run("t", func(s *lifecycle.Submission) { s.Spec.Timeout = 30 })
		b.later(lease)
		b.shows("t", task.Error, task.EndTimeout)
		token := b.run("u", func(s *lifecycle.Submission) { s.Spec.Timeout = 20 })
		b.clock.forward(20 * time.Second)
		_, err := b.Release(b.ctx(), org, "u", token)
		b.must(err)
		b.shows("u", task.Error, task.EndTimeout)
	})
	t.Run("S7 a jump of the clock does not count", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		token := b.run("t", timed)
		b.later(20 * time.Second)
		_, err := b.Release(b.ctx(), org, "t", token)
		b.must(err)
		b.take("t")
		b.clock.forward(10*time.Second + time.Hour)
		b.must(b.FollowClock(b.ctx(), time.Hour))
		_, err = b.Beat(b.ctx(), true)
		b.must(err)
		ends(b, 20*time.Second)
	})
	t.Run("S7 a next turn has its own", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		token := b.run("t", timed)
		b.later(20 * time.Second)
		_, err := b.finish("t", token, task.EndCompleted, "r")
		b.must(err)
		b.run("t", func(s *lifecycle.Submission) { s.Spec.Timeout = 29 })
		ends(b, 29*time.Second)
	})
}

// S7: the time in which a turn has to start counts from when it may.
func TestS7ExpiryCountsFromRunAt(t *testing.T) {
	t.Parallel()
	scheduled := func(b *bench, in time.Duration) func(*lifecycle.Submission) {
		return func(s *lifecycle.Submission) { s.Spec.ExpiresIn, s.RunAt = 60, b.store.Now().Add(in) }
	}
	move := func(b *bench, in time.Duration) {
		b.t.Helper()
		_, err := b.Update(b.ctx(), who(), "t", lifecycle.Edit{RunAt: new(b.store.Now().Add(in))})
		b.must(err)
	}
	expires := func(b *bench, in time.Duration) {
		b.t.Helper()
		b.later(in - time.Microsecond)
		b.shows("t", task.Pending, "")
		b.later(time.Microsecond)
		b.shows("t", task.Error, task.EndExpired)
	}
	for name, c := range map[string]struct {
		do   func(*bench)
		left time.Duration
	}{
		"S7 from run_at": {func(b *bench) {
			b.submit("t", scheduled(b, time.Hour))
		}, time.Hour + time.Minute},
		"S7 from a run_at that has passed": {func(b *bench) {
			b.submit("t", scheduled(b, -time.Hour))
		}, time.Minute},
		"S7 from a later run_at": {func(b *bench) {
			b.submit("t", scheduled(b, time.Hour))
			move(b, 3*time.Hour)
		}, 3*time.Hour + time.Minute},
		"S7 from an earlier run_at": {func(b *bench) {
			b.submit("t", scheduled(b, time.Hour))
			b.later(time.Minute)
			move(b, -time.Hour)
		}, time.Minute},
		"S7 what it has waited stays counted when it is put off": {func(b *bench) {
			b.submit("t", scheduled(b, 0))
			b.later(50 * time.Second)
			move(b, time.Hour)
		}, time.Hour + 10*time.Second},
		"S7 a pause before run_at": {func(b *bench) {
			b.submit("t", scheduled(b, time.Minute))
			_, err := b.Pause(b.ctx(), who(), "t")
			b.must(err)
			b.later(3 * time.Minute) // a minute of it before it might have run
			_, err = b.Resume(b.ctx(), who(), "t")
			b.must(err)
		}, time.Minute},
		"S7 a retry's backoff counts": {func(b *bench) {
			b.run("t", scheduled(b, 0))
			b.later(lease)
			if got := b.get("t").ReadyAt; got <= b.store.Now() {
				b.t.Fatalf("no backoff: %s", got)
			}
		}, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			c.do(b)
			expires(b, c.left)
		})
	}
}
