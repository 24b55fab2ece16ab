package lifecycle_test

import (
	"slices"
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// end brings a task to an end with a reason.
func (b *bench) end(id string, reason task.EndReason) {
	b.t.Helper()
	switch reason { //nolint:exhaustive // workers report the rest
	case task.EndWorkerLost:
		b.run(id, func(s *lifecycle.Submission) { s.Spec.MaxAttempts = 1 })
		b.later(lease)
	case task.EndTimeout:
		token := b.run(id, func(s *lifecycle.Submission) { s.Spec.Timeout = 35 })
		b.clock.forward(20 * time.Second)
		_, err := b.Heartbeat(b.ctx(), org, id, token)
		b.must(err)
		b.later(15 * time.Second)
	case task.EndExpired:
		b.submit(id, func(s *lifecycle.Submission) { s.Spec.ExpiresIn = 10 })
		b.later(10 * time.Second)
	case task.EndStopped:
		token := b.run(id, nil)
		b.stop(id)
		_, err := b.finish(id, token, task.EndStopped, "")
		b.must(err)
	default:
		token := b.run(id, nil)
		_, err := b.finish(id, token, reason, "r")
		b.must(err)
	}
}

func TestS2EndReasonsLeadToStatuses(t *testing.T) {
	t.Parallel()
	b := open(t)
	for reason, want := range map[task.EndReason]task.Status{
		task.EndCompleted: task.Completed, task.EndFailed: task.Failed,
		task.EndSchemaMismatch: task.Failed, task.EndBudget: task.Failed,
		task.EndWorkerError: task.Error, task.EndWorkerLost: task.Error,
		task.EndTimeout: task.Error, task.EndExpired: task.Error, task.EndStopped: task.Stopped,
	} {
		id := string(reason)
		b.end(id, reason)
		b.shows(id, want, reason)
		if s := b.state(id); s.FinishedAt == 0 {
			t.Errorf("%s: no finished_at", reason)
		}
	}
}

// verbs is everything that could make a task run, or end it.
func (b *bench) verbs(id string) map[string]func() error {
	full := func(status task.Status) func() error {
		return func() error {
			_, err := b.tryPatch(id, b.body(id, fields{"status": status, "result": "again"}))
			return err
		}
	}
	return map[string]func() error{
		"resume": func() error { _, err := b.Resume(b.ctx(), who(), id); return err },
		"pause":  func() error { _, err := b.Pause(b.ctx(), who(), id); return err },
		"update to completed": func() error {
			_, err := b.Update(b.ctx(), who(), id, lifecycle.Edit{Status: new(task.Completed)})
			return err
		},
		"full executing":   full(task.Executing),
		"full pending":     full(task.Pending),
		"full paused":      full(task.Paused),
		"full stopped":     full(task.Stopped),
		"full completed":   full(task.Completed),
		"full error":       full(task.Error),
		"sparse executing": func() error { _, err := b.tryPatch(id, fields{"status": "executing"}); return err },
		"sparse pending":   func() error { _, err := b.tryPatch(id, fields{"status": "pending"}); return err },
		"stop":             func() error { _, err := b.Stop(b.ctx(), who(), id); return err },
	}
}

func TestS1EndedTurnNeverRunsAgain(t *testing.T) {
	t.Parallel()
	for _, reason := range []task.EndReason{task.EndCompleted, task.EndBudget, task.EndWorkerError, task.EndStopped, task.EndExpired} {
		t.Run("S1 "+string(reason), func(t *testing.T) {
			t.Parallel()
			b := open(t)
			b.end("t", reason)
			for name, verb := range b.verbs("t") {
				_ = verb() // whatever it answers
				if got := b.get("t"); got.Ended() == "" || got.Dispatchable() {
					t.Fatalf("S1: %s reopened the turn: it is %s", name, got.Status())
				}
				if got := b.claim("w2", 10); len(got) != 0 {
					t.Fatalf("S1: after %s the task was handed out", name)
				}
			}
			if n := len(b.of("t", task.TaskFinished)); n != 1 {
				t.Errorf("S1: %d task_finished, want 1", n)
			}
		})
	}
}

func TestS1OnlyAnOverrideCorrectsAnEnd(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.end("t", task.EndStopped)
	b.unchanged("t", func() {
		_, err := b.Update(b.ctx(), who(), "t", lifecycle.Edit{Status: new(task.Completed), Result: new("x")})
		b.refused(err, fault.Conflict)
	})
	_, err := b.Update(b.ctx(), who(), "t", lifecycle.Edit{Status: new(task.Completed), Result: new("x"), Override: true})
	b.must(err)
	b.shows("t", task.Completed, task.EndCompleted)
	if o := b.one("t", task.Override); o["by"] != alice || o["result"] != "x" {
		t.Errorf("S1: the override says %v", o)
	}
	if n := len(b.of("t", task.TaskFinished)); n != 1 {
		t.Errorf("S1: %d task_finished", n)
	}
}

func TestS3IllegalTransitionsAreConflictsAndChangeNothing(t *testing.T) {
	t.Parallel()
	settle := func(s task.Status) func(*bench, string) error {
		return func(b *bench, id string) error {
			_, err := b.Update(b.ctx(), who(), id, lifecycle.Edit{Status: &s})
			return err
		}
	}
	resume := func(b *bench, id string) error { _, err := b.Resume(b.ctx(), who(), id); return err }
	pause := func(b *bench, id string) error { _, err := b.Pause(b.ctx(), who(), id); return err }
	executing := func(b *bench, id string) { b.run(id, nil) }
	pending := func(b *bench, id string) { b.submit(id, nil) }
	paused := func(b *bench, id string) { b.run(id, nil); b.must(pause(b, id)) }
	done := func(b *bench, id string) { b.end(id, task.EndCompleted) }
	for name, c := range map[string]struct {
		given func(*bench, string)
		do    func(*bench, string) error
	}{
		"pending to completed by update": {pending, settle(task.Completed)},
		"pending to error by update":     {pending, settle(task.Error)},
		"pending resumed":                {pending, resume},
		"executing resumed":              {executing, resume},
		"paused to completed by update":  {paused, settle(task.Completed)},
		"paused to failed by update":     {paused, settle(task.Failed)},
		"ended resumed":                  {done, resume},
		"ended paused":                   {done, pause},
		"ended to failed by update":      {done, settle(task.Failed)},
	} {
		t.Run("S3 "+name, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			c.given(b, "t")
			b.unchanged("t", func() { b.refused(c.do(b, "t"), fault.Conflict) })
		})
	}
}

func TestS3LegalTransitions(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.submit("a", nil)
	_, err := b.Pause(b.ctx(), who(), "a")
	b.must(err)
	b.shows("a", task.Paused, "")
	_, err = b.Resume(b.ctx(), who(), "a")
	b.must(err)
	b.shows("a", task.Pending, "")
	b.take("a")
	b.shows("a", task.Executing, "")
	_, err = b.Update(b.ctx(), who(), "a", lifecycle.Edit{Status: new(task.Failed), Result: new("no")})
	b.must(err)
	b.shows("a", task.Failed, task.EndFailed)

	b.run("b", nil)
	b.later(lease) // lost: to be retried
	b.shows("b", task.Pending, "")
	b.stop("b")
	b.shows("b", task.Stopped, task.EndStopped)

	b.run("c", nil)
	_, err = b.Pause(b.ctx(), who(), "c")
	b.must(err)
	b.stop("c")
	b.shows("c", task.Stopped, task.EndStopped)
}

func TestS6PauseHoldsNoSlotAndNoLease(t *testing.T) {
	t.Parallel()
	b := open(t)
	token := b.run("t", nil)
	_, err := b.Pause(b.ctx(), who(), "t")
	b.must(err)
	if s := b.state("t"); s.Status != task.Paused || s.PausedAt == 0 {
		t.Fatalf("S6: %s, paused at %v", s.Status, s.PausedAt)
	}
	b.later(24 * time.Hour) // no lease runs out
	b.shows("t", task.Paused, "")
	if got := b.claim("w2", 1); len(got) != 0 {
		t.Fatal("S6: a paused task was handed out")
	}
	beat, err := b.Heartbeat(b.ctx(), org, "t", token)
	b.must(err)
	if beat.Do != task.PauseWork {
		t.Errorf("S6: the heartbeat says %q", beat.Do)
	}
	_, err = b.finish("t", token, task.EndCompleted, "too late")
	b.refused(err, fault.Conflict)
	b.shows("t", task.Paused, "")

	_, err = b.Resume(b.ctx(), who(), "t")
	b.must(err)
	b.shows("t", task.Pending, "")
	if s := b.state("t"); s.Attempt != 2 || s.PausedAt != 0 {
		t.Errorf("S6: resumed as attempt %d, paused at %v", s.Attempt, s.PausedAt)
	}
	_, err = b.Heartbeat(b.ctx(), org, "t", token)
	if err == nil {
		beat, err = b.Heartbeat(b.ctx(), org, "t", token)
		if err == nil && beat.Do == task.Continue {
			t.Error("S6: the old attempt is told to go on")
		}
	}
	second := b.take("t")
	_, err = b.finish("t", second, task.EndCompleted, "done")
	b.must(err)
	b.shows("t", task.Completed, task.EndCompleted)
}

func TestS6ResumeOfAPythonAttemptThatHasNotLetGo(t *testing.T) {
	t.Parallel()
	b := open(t)
	w := b.runPython("t", nil)
	number := b.state("t").ExecutionAttempts
	_, err := b.Pause(b.ctx(), who(), "t")
	b.must(err)
	for range 5 { // its worker is heard: what it does, nobody knows
		b.clock.forward(lease - time.Second)
		b.beat(w)
		b.later(0)
	}
	b.shows("t", task.Paused, "")
	after, err := b.Resume(b.ctx(), who(), "t")
	b.must(err)
	if s := after.Task.State(); s.Status != task.Executing || s.ExecutionAttempts != number {
		t.Fatalf("S6: resumed to %s as %d, want executing as %d", s.Status, s.ExecutionAttempts, number)
	}
	b.later(lease - time.Second) // the lease is whole again
	b.shows("t", task.Executing, "")
	b.patch("t", b.body("t", fields{"status": "completed", "result": "done"}))
	b.shows("t", task.Completed, task.EndCompleted)
}

// A worker that dies while its task is paused takes nothing with it: the task
// stays paused, and resuming it means another attempt.
func TestS6PausedPythonAttemptMayBeLost(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.runPython("t", nil)
	_, err := b.Pause(b.ctx(), who(), "t")
	b.must(err)
	b.later(lease)
	b.shows("t", task.Paused, "")
	b.one("t", task.AttemptLost)
	_, err = b.Resume(b.ctx(), who(), "t")
	b.must(err)
	b.shows("t", task.Pending, "")
	if got := b.assign(b.register()); !slices.Equal(got, []string{"t"}) {
		t.Errorf("S6: assigned %v", got)
	}
}

func TestS6PausedPythonWorkerMayStillEnd(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.runPython("t", nil)
	_, err := b.Pause(b.ctx(), who(), "t")
	b.must(err)
	b.patch("t", b.body("t", fields{"status": "completed", "result": "done"}))
	b.shows("t", task.Completed, task.EndCompleted)
}

func TestS7Timeout(t *testing.T) {
	t.Parallel()
	t.Run("S7 seconds executing, not pending", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		b.submit("t", func(s *lifecycle.Submission) { s.Spec.Timeout = 20 })
		b.later(time.Hour)
		b.shows("t", task.Pending, "")
		b.take("t")
		b.later(20*time.Second - time.Microsecond)
		b.shows("t", task.Executing, "")
		b.later(time.Microsecond)
		b.shows("t", task.Error, task.EndTimeout)
	})
	t.Run("S7 a pause does not count and does not start it anew", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		w := b.runPython("t", func(s *lifecycle.Submission) { s.Spec.Timeout = 40 })
		b.later(25 * time.Second)
		_, err := b.Pause(b.ctx(), who(), "t")
		b.must(err)
		for range 4 {
			b.clock.forward(lease)
			b.beat(w)
		}
		b.shows("t", task.Paused, "")
		_, err = b.Resume(b.ctx(), who(), "t")
		b.must(err)
		b.beat(w)
		b.later(14 * time.Second)
		b.shows("t", task.Executing, "")
		b.later(time.Second)
		b.shows("t", task.Error, task.EndTimeout)
	})
	t.Run("S7 none by default for fenced workers", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		token := b.run("t", nil)
		for range 60 {
			b.clock.forward(time.Hour)
			_, err := b.Heartbeat(b.ctx(), org, "t", token)
			b.must(err)
			b.later(0)
		}
		b.shows("t", task.Executing, "")
	})
	t.Run("S7 24 hours by default for Python workers", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		w := b.runPython("t", nil)
		for range 23 {
			b.clock.forward(time.Hour)
			b.beat(w)
			b.later(0)
		}
		b.shows("t", task.Executing, "")
		b.clock.forward(time.Hour)
		b.beat(w)
		b.later(0)
		b.shows("t", task.Error, task.EndTimeout)
	})
}

func TestS7ExpiresIn(t *testing.T) {
	t.Parallel()
	expiring := func(s *lifecycle.Submission) { s.Spec.ExpiresIn = 60 }
	t.Run("S7 none by default", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		b.submit("t", nil)
		b.later(1000 * time.Hour)
		b.shows("t", task.Pending, "")
	})
	t.Run("S7 seconds pending", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		b.submit("t", expiring)
		b.later(time.Minute - time.Microsecond)
		b.shows("t", task.Pending, "")
		b.later(time.Microsecond)
		b.shows("t", task.Error, task.EndExpired)
	})
	t.Run("S7 executing is not pending", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		token := b.run("t", expiring)
		for range 5 {
			b.clock.forward(29 * time.Second)
			_, err := b.Heartbeat(b.ctx(), org, "t", token)
			b.must(err)
			b.later(0)
		}
		b.shows("t", task.Executing, "")
		b.later(lease) // lost: to be retried, it has hardly been pending so far
		b.shows("t", task.Pending, "")
		b.later(time.Minute)
		b.shows("t", task.Error, task.EndExpired)
	})
	t.Run("S7 paused is not pending", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		b.submit("t", expiring)
		b.clock.forward(40 * time.Second)
		_, err := b.Pause(b.ctx(), who(), "t")
		b.must(err)
		b.later(time.Hour)
		_, err = b.Resume(b.ctx(), who(), "t")
		b.must(err)
		b.later(19 * time.Second)
		b.shows("t", task.Pending, "")
		b.later(time.Second)
		b.shows("t", task.Error, task.EndExpired)
	})
}
