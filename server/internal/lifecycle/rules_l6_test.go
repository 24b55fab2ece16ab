package lifecycle_test

import (
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

func (b *bench) done(id string) {
	b.t.Helper()
	b.patch(id, b.body(id, fields{"status": "completed", "result": "r"}))
}

func TestL6PostWithoutAReportIsALoss(t *testing.T) {
	t.Parallel()
	b := open(t)
	w := b.register()
	b.worksOn(w, "t")
	b.capacity(w, false)
	b.shows("t", task.Error, task.EndWorkerLost)
	b.one("t", task.AttemptLost)
	if run := b.get("t").Run; run.Attached() || !run.Reported {
		t.Errorf("L6: the attempt has not let go: %+v", run)
	}
	b.worksOn(w, "u") // it has its slot back
}

func TestL6ReportThenPost(t *testing.T) {
	t.Parallel()
	b := open(t)
	w := b.register()
	b.worksOn(w, "a", "b")
	b.done("a")
	b.capacity(w, false)
	b.shows("b", task.Executing, "")
	b.done("b")
	b.capacity(w, false)
	b.worksOn(w, "c")
	b.shows("c", task.Executing, "")
}

func TestL6ARepeatedPostCountsOnce(t *testing.T) {
	t.Parallel()
	b := open(t)
	w := b.register()
	b.worksOn(w, "a", "b")
	b.done("a")
	post := b.capacity(w, false)
	for range 5 {
		b.must(b.Heard(b.ctx(), org, bot, w, post))
	}
	b.shows("b", task.Executing, "")
	b.capacity(w, true) // that it is busy tells nothing of an end
	b.shows("b", task.Executing, "")
}

// Two tasks that finish in the same millisecond beside a third that runs on.
func TestL6InDoubtNothingIsEnded(t *testing.T) {
	t.Parallel()
	for name, order := range map[string]func(b *bench, w string){
		"reports first":      func(b *bench, w string) { b.done("a"); b.done("b"); b.capacity(w, false); b.capacity(w, false) },
		"one by one":         func(b *bench, w string) { b.done("b"); b.capacity(w, false); b.done("a"); b.capacity(w, false) },
		"a post between two": func(b *bench, w string) { b.done("a"); b.capacity(w, false); b.done("b"); b.capacity(w, false) },
	} {
		t.Run("L6 nothing lost: "+name, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			w := b.register()
			b.worksOn(w, "a", "b", "c")
			order(b, w)
			b.shows("c", task.Executing, "")
		})
	}
	t.Run("L6 one of the two is lost", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		w := b.register()
		b.worksOn(w, "a", "b", "c")
		b.done("b")
		b.capacity(w, false)
		b.capacity(w, false) // a's, or c's: nobody knows
		b.shows("a", task.Executing, "")
		b.shows("c", task.Executing, "")
		b.worksOn(w, "d") // sent later: not among the suspects
		b.done("c")
		b.shows("c", task.Completed, task.EndCompleted)
		b.shows("a", task.Error, task.EndWorkerLost)
		b.capacity(w, false)
		b.shows("d", task.Executing, "")
	})
	t.Run("L6 both are lost", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		w := b.register()
		b.worksOn(w, "a", "b", "c")
		b.capacity(w, false)
		b.capacity(w, false)
		for _, id := range []string{"a", "b", "c"} {
			b.shows(id, task.Executing, "")
		}
		b.done("c")
		b.shows("a", task.Error, task.EndWorkerLost)
		b.shows("b", task.Error, task.EndWorkerLost)
		b.shows("c", task.Completed, task.EndCompleted)
	})
}

// Whatever counts as a report counts once.
func TestL6WhatCountsAsAReport(t *testing.T) {
	t.Parallel()
	for name, report := range map[string]func(b *bench){
		"an end":         func(b *bench) { b.done("t") },
		"a repeated end": func(b *bench) { b.done("t"); b.done("t"); b.done("t") },
		"an end after a stop": func(b *bench) {
			b.stop("t")
			b.done("t")
		},
		"the echo of a 409": func(b *bench) {
			b.stop("t")
			b.patch("t", b.body("t", fields{"status": "error", "result": "[409] the task has ended"}))
		},
		"an end of an earlier turn": func(b *bench) {
			b.patch("t", fields{"status": "completed", "result": "a person's"})
			b.submit("t", nil)
			b.done("t")
		},
		"an end of a deleted task": func(b *bench) {
			mine := b.body("t", fields{"status": "completed", "result": "r"})
			b.must(b.Delete(b.ctx(), who(), "t"))
			for range 3 {
				_, err := b.tryPatch("t", mine)
				b.refused(err, fault.NotFound)
			}
		},
	} {
		t.Run("L6 "+name, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			w := b.register()
			b.worksOn(w, "t", "beside")
			report(b)
			b.capacity(w, false)
			b.shows("beside", task.Executing, "")
			b.capacity(w, false)
			b.shows("beside", task.Error, task.EndWorkerLost)
		})
	}
}

func TestL6ReportOfATakenBackAssignment(t *testing.T) {
	t.Parallel()
	b := open(t)
	w := b.register()
	b.worksOn(w, "beside")
	b.submit("t", nil)
	b.assign(w)
	mine := b.body("t", nil)
	b.pass(31*time.Second, w) // it lapses
	_, err := b.tryPatch("t", mine.with(fields{"status": "executing"}))
	b.refused(err, fault.Conflict)
	b.unchanged("t", func() {
		b.patch("t", mine.with(fields{"status": "error", "result": "[409] a later attempt owns this task"}))
	})
	b.capacity(w, false)
	b.shows("beside", task.Executing, "")
}

// The post says that the handler is over, which answers a stop.
func TestL6PostConfirmsAStop(t *testing.T) {
	t.Parallel()
	b := open(t)
	w := b.register()
	b.worksOn(w, "t")
	b.stop("t")
	b.capacity(w, false)
	b.shows("t", task.Stopped, task.EndStopped)
	b.one("t", task.StopConfirmed)
}

func TestL6PausedTaskStaysPaused(t *testing.T) {
	t.Parallel()
	b := open(t)
	w := b.register()
	b.worksOn(w, "t")
	b.patch("t", b.body("t", fields{"status": "paused"})) // by its handler
	b.capacity(w, false)
	b.shows("t", task.Paused, "")
	_, err := b.Resume(b.ctx(), who(), "t")
	b.must(err)
	b.shows("t", task.Pending, "")
}

func TestL6LateReportOfALoss(t *testing.T) {
	t.Parallel()
	b := open(t)
	w := b.register()
	b.worksOn(w, "t")
	mine := b.body("t", fields{"status": "completed", "result": "late"})
	b.capacity(w, false)
	b.shows("t", task.Error, task.EndWorkerLost)
	b.patch("t", mine)
	b.shows("t", task.Completed, task.EndCompleted) // S4: an override by "late worker"
	b.worksOn(w, "u")
	b.done("u")
	b.capacity(w, false)
	b.worksOn(w, "v")
	b.shows("v", task.Executing, "")
}

func TestL6LossIsRetriedWhereTheAgentSaysSo(t *testing.T) {
	t.Parallel()
	b := open(t)
	_, err := b.PutAgent(b.ctx(), org, bot, agent.Record{Name: bot, RetryStarted: true})
	b.must(err)
	w := b.register()
	b.worksOn(w, "t")
	b.capacity(w, false)
	b.shows("t", task.Pending, "")
}

// L7: a completion without a result is a claim that has to be proven.
func TestL7NothingClaimed(t *testing.T) {
	t.Parallel()
	b := open(t)
	w := b.registerFrom(host)
	b.worksOn(w, "t")
	claimed := func(id string, body fields) *lifecycle.EmptyEnd {
		t.Helper()
		c, err := b.EmptyEndOf(b.ctx(), who(), id, raw(t, body))
		b.must(err)
		return c
	}
	nothing := fields{"status": "completed", "result": nil}
	for name, body := range map[string]fields{
		"a result":       b.body("t", fields{"status": "completed", "result": "r"}),
		"an empty one":   b.body("t", fields{"status": "completed", "result": ""}),
		"another end":    b.body("t", fields{"status": "failed", "result": nil}),
		"a person's":     nothing,
		"a stale number": b.body("t", nothing).with(fields{"execution_attempts": 0}),
		"no body at all": {},
	} {
		if claimed("t", body) != nil {
			t.Errorf("L7: %s is to be proven", name)
		}
	}
	body := b.body("t", nothing)
	c := claimed("t", body)
	if c == nil || c.Worker != w || c.Number != 1 {
		t.Fatalf("L7: %+v", c)
	}
	lives := func(want bool, why string) {
		t.Helper()
		got, err := b.LivesOn(b.ctx(), *c)
		b.must(err)
		if got != want {
			t.Errorf("L7: lives on %v, want %v: %s", got, want, why)
		}
	}
	lives(false, "nothing was heard")
	b.clock.forward(2 * time.Second)
	lives(true, "it has never sent a heartbeat, and its stream is open")
	b.beat(w)
	lives(true, "a heartbeat after the claim")

	c = claimed("t", body)
	b.clock.forward(199 * time.Millisecond)
	b.beat(w)
	lives(false, "a heartbeat that may have been under way")
	b.clock.forward(time.Minute)
	b.capacity(w, true)
	lives(false, "a post that is no heartbeat, an open stream")
	b.beat(w)
	b.cut(w)
	c = claimed("t", body)
	heir := b.registerFrom(host)
	b.clock.forward(200 * time.Millisecond)
	lives(false, "the heir was not heard either")
	b.beat(heir)
	lives(true, "its heir was heard")

	after, err := b.Unproven(b.ctx(), who(), "t", *c)
	b.must(err)
	if s := after.Task.State(); s.Status != task.Error || s.EndReason != task.EndWorkerLost {
		t.Errorf("L7: unproven, and %s (%s)", s.Status, s.EndReason)
	}
	b.capacity(w, false)
	b.worksOn(heir, "u")
	b.shows("u", task.Executing, "") // its report has been counted
	if claimed("t", b.body("t", nothing)) != nil {
		t.Error("L7: the end of an ended turn is to be proven")
	}
}

// An attempt that was superseded long ago is a suspect once, like any other.
func TestL6SupersededAttempts(t *testing.T) {
	t.Parallel()
	t.Run("L6 an assignment that lapsed", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		w, stale := b.lapse()
		_, err := b.tryPatch("t", stale.with(fields{"status": "executing"}))
		b.refused(err, fault.Conflict) // the echo of that is lost
		b.capacity(w, false)
		b.stop("t")
		b.worksOn(w, "u") // L4: it has let go
		b.capacity(w, false)
		b.shows("u", task.Error, task.EndWorkerLost)
	})
	t.Run("L6 an attempt that was retried", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		_, err := b.PutAgent(b.ctx(), org, bot, agent.Record{Name: bot, RetryStarted: true})
		b.must(err)
		w := b.register()
		b.worksOn(w, "t")
		b.later(11 * time.Minute)
		b.shows("t", task.Pending, "")
		b.beat(w)
		b.stop("t")
		b.capacity(w, false) // its report was lost
		b.worksOn(w, "u")
		b.capacity(w, false)
		b.shows("u", task.Pending, "")
	})
}
