package lifecycle_test

import (
	"slices"
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// child submits a sub-task.
func (b *bench) child(id, parent string) {
	b.t.Helper()
	b.submit(id, func(s *lifecycle.Submission) { s.Spec.ParentExecution = &parent })
}

func TestX1StopEndsTheTurnAtOnceAndRecordsWho(t *testing.T) {
	t.Parallel()
	b := open(t)
	token := b.run("t", nil)
	after := b.stop("t")
	s, stop := after.Task.State(), after.Task.Stop
	if s.Status != task.Stopped || !s.IsManuallyStopped || s.FinishedAt == 0 || stop.By != alice || stop.RequestedAt == 0 {
		t.Errorf("X1: %+v, %+v", s, stop)
	}
	if r := b.one("t", task.StopRequested); r["by"] != alice {
		t.Errorf("X1: requested by %v", r["by"])
	}
	b.shows("t", task.Stopped, task.EndStopped)
	_, err := b.finish("t", token, task.EndCompleted, "but I was nearly done")
	b.refused(err, fault.Conflict)
	b.shows("t", task.Stopped, task.EndStopped)
}

func TestX1StopIsIdempotent(t *testing.T) {
	t.Parallel()
	for _, reason := range []task.EndReason{task.EndStopped, task.EndCompleted, task.EndExpired} {
		t.Run("X1 after "+string(reason), func(t *testing.T) {
			t.Parallel()
			b := open(t)
			b.end("t", reason)
			b.unchanged("t", func() {
				if after := b.stop("t"); after.Task.State().EndReason != reason {
					t.Errorf("X1: answered %s", after.Task.State().EndReason)
				}
			})
		})
	}
	t.Run("X1 while unconfirmed", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		b.run("t", nil)
		b.stop("t")
		b.clock.forward(10 * time.Second)
		b.unchanged("t", func() { b.stop("t") })
	})
}

func TestX1StopCascadesInTheSameCommit(t *testing.T) {
	t.Parallel()
	for name, stop := range map[string]func(*bench){
		"stop":              func(b *bench) { b.stop("root") },
		"full body stopped": func(b *bench) { b.patch("root", b.body("root", fields{"status": "stopped"})) },
		"sparse stopped":    func(b *bench) { b.patch("root", fields{"status": "stopped"}) },
	} {
		t.Run("X1 "+name, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			b.submit("root", nil)
			b.child("pending", "root")
			b.child("done", "root")
			b.kept("below", "done")
			b.patch("done", fields{"status": "completed", "result": "r"})
			b.submit("stranger", nil)
			stop(b)
			for _, id := range []string{"root", "pending", "below"} {
				b.shows(id, task.Stopped, task.EndStopped)
				if got := b.get(id).Stop; got.By != alice || got.RequestedAt != task.StampOf(b.clock.Now()) {
					t.Errorf("X1: the stop of %s: %+v", id, got)
				}
				if len(b.of(id, task.StopRequested)) != 1 {
					t.Errorf("X1: the log of %s: %v", id, b.types(id))
				}
			}
			b.shows("done", task.Completed, task.EndCompleted)
			b.shows("stranger", task.Pending, "")
			_, _, err := b.Submit(b.ctx(), who(), submission("late", func(s *lifecycle.Submission) { s.Spec.ParentExecution = new("root") }))
			b.refused(err, fault.Conflict) // a stop must not be outrun
		})
	}
}

func TestX2StopReachesAFencedWorkerByItsHeartbeat(t *testing.T) {
	t.Parallel()
	b := open(t)
	token := b.run("t", nil)
	if after := b.stop("t"); after.Task.Stop.Settled() {
		t.Error("X2: confirmed before the worker could know")
	}
	beat, err := b.Heartbeat(b.ctx(), org, "t", token)
	b.must(err)
	if beat.Do != task.StopWork {
		t.Errorf("X2: the heartbeat says %q", beat.Do)
	}
	b.clock.forward(time.Second)
	after, err := b.finish("t", token, task.EndStopped, "")
	b.must(err)
	if got := after.Task.Stop; got.ConfirmedAt != task.StampOf(b.clock.Now()) || got.AbandonedAt != 0 {
		t.Errorf("X2: %+v", got)
	}
	b.later(time.Hour)
	b.one("t", task.StopConfirmed)
	if n := len(b.of("t", task.StopAbandoned)); n != 0 {
		t.Errorf("X2: %d stop_abandoned after a confirmation", n)
	}
}

func TestX2StopIsConfirmedByTheAttemptsOwnEnd(t *testing.T) {
	t.Parallel()
	t.Run("X2 fenced", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		token := b.run("t", nil)
		b.stop("t")
		_, err := b.finish("t", token, task.EndCompleted, "too late")
		b.refused(err, fault.Conflict)
		b.one("t", task.StopConfirmed)
		b.one("t", task.LateWriteRefused)
		b.shows("t", task.Stopped, task.EndStopped)
	})
	t.Run("X2 Python", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		b.runPython("t", nil)
		b.stop("t")
		if n := len(b.of("t", task.StopConfirmed)); n != 0 {
			t.Fatal("X2: confirmed while the handler runs")
		}
		b.patch("t", b.body("t", fields{"status": "completed", "result": "too late"}))
		b.one("t", task.StopConfirmed)
		b.one("t", task.LateWriteRefused)
		b.shows("t", task.Stopped, task.EndStopped)
		if s := b.state("t"); s.Result != nil {
			t.Errorf("X2: result %s", text(s.Result))
		}
		b.later(time.Hour)
		if n := len(b.of("t", task.StopAbandoned)); n != 0 {
			t.Errorf("X2: %d stop_abandoned after a confirmation", n)
		}
	})
}

func TestX2StopIsAbandonedOneLeaseAfterTheRequest(t *testing.T) {
	t.Parallel()
	b := open(t)
	token := b.run("t", nil)
	b.clock.forward(20 * time.Second)
	b.stop("t")
	for range 3 { // the lease is still renewed: that changes nothing
		b.later(lease/3 - time.Microsecond)
		_, err := b.Heartbeat(b.ctx(), org, "t", token)
		b.must(err)
	}
	if n := len(b.of("t", task.StopAbandoned)); n != 0 {
		t.Fatal("X2: abandoned too early")
	}
	b.later(3 * time.Microsecond)
	b.one("t", task.StopAbandoned)
	if got := b.get("t").Stop; got.AbandonedAt == 0 || got.ConfirmedAt != 0 {
		t.Errorf("X2: %+v", got)
	}
	beat, err := b.Heartbeat(b.ctx(), org, "t", token)
	if err == nil && beat.Do != task.StopWork || err != nil && fault.CodeOf(err) != fault.Conflict {
		t.Errorf("X2: afterwards the heartbeat says %q, %v", beat.Do, err)
	}
	b.later(time.Hour)
	b.one("t", task.StopAbandoned)
}

func TestX2AbandonedPythonAttemptMayLetGoLater(t *testing.T) {
	t.Parallel()
	b := open(t)
	w := b.runPython("t", nil)
	b.stop("t")
	b.clock.forward(lease)
	b.beat(w)
	b.later(0)
	b.one("t", task.StopAbandoned)
	b.fill("more", 6)
	if got := b.assign(w); len(got) != 5 {
		t.Errorf("L9: %d tasks beside a handler that runs on", len(got))
	}
	b.patch("t", b.body("t", fields{"status": "completed", "result": "late"}))
	b.shows("t", task.Stopped, task.EndStopped)
	if got := b.assign(w); len(got) != 1 {
		t.Errorf("L9: %d more once it let go", len(got))
	}
	if n := len(b.of("t", task.StopConfirmed)); n != 0 {
		t.Errorf("X2: %d stop_confirmed after stop_abandoned", n)
	}
}

func TestX2WhereNoAttemptRunsTheStopIsConfirmedInItsOwnCommit(t *testing.T) {
	t.Parallel()
	pause := func(b *bench) {
		_, err := b.Pause(b.ctx(), who(), "t")
		b.must(err)
	}
	for name, given := range map[string]func(*bench){
		"pending":                      func(b *bench) { b.submit("t", nil) },
		"assigned":                     func(b *bench) { b.submit("t", nil); b.assign(b.register()) },
		"paused before it ran":         func(b *bench) { b.submit("t", nil); pause(b) },
		"paused fenced attempt":        func(b *bench) { b.run("t", nil); pause(b) },
		"executing without a worker":   func(b *bench) { b.submit("t", nil); b.patch("t", fields{"status": "executing"}) },
		"to be retried after its loss": func(b *bench) { b.run("t", nil); b.later(lease) },
	} {
		t.Run("X2 "+name, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			given(b)
			after := b.stop("t")
			if got := after.Task.Stop; got.ConfirmedAt != got.RequestedAt || got.AbandonedAt != 0 {
				t.Errorf("X2: %+v", got)
			}
			types := b.types("t")
			if tail := types[len(types)-3:]; !slices.Equal(tail, []task.Type{task.StopRequested, task.TaskFinished, task.StopConfirmed}) {
				t.Errorf("X2: the log ends with %v", tail)
			}
		})
	}
	t.Run("X2 but not a paused Python attempt that has not let go", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		b.runPython("t", nil)
		pause(b)
		if after := b.stop("t"); after.Task.Stop.Settled() {
			t.Error("X2: confirmed while the handler may run")
		}
		b.later(lease)
		b.one("t", task.StopAbandoned)
	})
}

func TestX2WorkerMayNotStopItself(t *testing.T) {
	t.Parallel()
	b := open(t)
	token := b.run("t", nil)
	b.unchanged("t", func() {
		_, err := b.finish("t", token, task.EndStopped, "")
		b.refused(err, fault.Invalid)
		for _, servers := range []task.EndReason{task.EndWorkerLost, task.EndTimeout, task.EndExpired, "nonsense"} {
			_, err := b.finish("t", token, servers, "")
			b.refused(err, fault.Invalid)
		}
	})
}

// Stopping many is stopping each: sub-tasks go along, whoever has ended stays as
// it was, and what is created meanwhile is not touched.
func TestX1StopMany(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.end("ended", task.EndCompleted)
	running := b.run("b", nil)
	b.fill("a", 250)
	b.child("below", "a0")
	b.submit("apart", nil)
	b.clock.forward(time.Second)
	b.submit("later", nil)

	none, err := b.StopMany(b.ctx(), who(), lifecycle.Filter{Agent: "nobody"}, false)
	if b.must(err); none.Matched != 0 || none.Stopped != 0 || none.IDs == nil {
		t.Errorf("X1: of nobody: %+v", none)
	}
	all := lifecycle.Filter{Status: lifecycle.Among(task.Pending), To: b.get("later").CreatedAt}
	dry, err := b.StopMany(b.ctx(), who(), all, true)
	b.must(err)
	done, err := b.StopMany(b.ctx(), who(), all, false)
	b.must(err)
	const want = 252 // a0 to a249, below, apart
	if dry.Matched != want || dry.Stopped != 0 || done.Matched != want || done.Stopped != want || len(done.IDs) != 100 || !slices.Equal(dry.IDs, done.IDs) {
		t.Errorf("X1: dry run %d %d, then %d %d with %d ids", dry.Matched, dry.Stopped, done.Matched, done.Stopped, len(done.IDs))
	}
	b.shows("a249", task.Stopped, task.EndStopped)
	b.shows("below", task.Stopped, task.EndStopped)
	b.shows("ended", task.Completed, task.EndCompleted)
	b.shows("later", task.Pending, "")
	if by := b.get("a7").Stop.By; by != alice {
		t.Errorf("X1: stopped by %q", by)
	}
	if s := b.state("b"); s.Status != task.Executing {
		t.Errorf("X1: an executing task was stopped as a pending one: %s", s.Status)
	}
	b.submit("parent", nil)
	b.child("child", "parent")
	family, err := b.StopMany(b.ctx(), who(), lifecycle.Filter{}, false)
	if b.must(err); family.Matched != 4 || family.Stopped != 4 { // later, b, parent, child
		t.Errorf("X1: everything: %+v", family)
	}
	if _, err := b.finish("b", running, task.EndStopped, ""); err != nil {
		t.Errorf("X2: its worker's answer: %v", err)
	}
}
