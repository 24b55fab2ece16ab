package lifecycle_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// await lets an attempt give its turn up.
func (b *bench) await(id, token string, w lifecycle.WaitFor) lifecycle.Waited {
	b.t.Helper()
	done, err := b.Wait(b.ctx(), org, id, token, w)
	b.must(err)
	return done
}

// why is what a task that does not execute says of it.
func (b *bench) why(id string) string {
	b.t.Helper()
	s, err := b.Get(b.ctx(), org, id)
	b.must(err)
	w, err := b.WhyWaiting(b.ctx(), s)
	b.must(err)
	if w == nil {
		return ""
	}
	return fmt.Sprintf("%s %v: %s", w.Reason, w.SubTasks, w.Message)
}

// A turn that waits holds neither slot nor lease, says for what, and its attempts are
// not counted however often it does.
func TestS9ATurnWaitsForAMoment(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.submit("t", func(s *lifecycle.Submission) { s.Spec.MaxAttempts, s.Spec.Timeout = 1, 10 })
	for n := range 30 {
		token := b.take("t")
		b.clock.forward(time.Second / 4)
		until := b.store.Now().Add(time.Hour)
		if done := b.await("t", token, lifecycle.WaitFor{Until: until}); !done.Waiting {
			t.Fatalf("S9: wait %d did not begin", n)
		}
		b.shows("t", task.Paused, "")
		if got, want := b.why("t"), "timer []: goes on at "+until.String(); got != want {
			t.Fatalf("S9: it says %q, want %q", got, want)
		}
		b.unchanged("t", func() { // the first answer was lost
			if again := b.await("t", token, lifecycle.WaitFor{Until: until}); !again.Waiting {
				t.Error("S9: the same again is answered otherwise")
			}
		})
		if beat, err := b.Heartbeat(b.ctx(), org, "t", token); err != nil || beat.Do != task.PauseWork {
			t.Fatalf("S9: its worker is told %q, %v", beat.Do, err)
		}
		_, err := b.finish("t", token, task.EndCompleted, "late")
		b.refused(err, fault.Conflict)
		if got := b.claim("w2", 1); len(got) > 0 {
			t.Fatal("S9: what waits was claimed")
		}
		b.later(30 * time.Minute) // no lease runs out
		b.shows("t", task.Paused, "")
		b.later(30 * time.Minute)
		b.shows("t", task.Pending, "")
	}
	if used := b.get("t").Used; used != 30*time.Second/4 {
		t.Errorf("S7, S9: it has used %v of its time-out", used)
	}
	_, err := b.finish("t", b.take("t"), task.EndCompleted, "r")
	b.must(err)
	b.shows("t", task.Completed, task.EndCompleted)
	if n := len(b.of("t", task.TurnResumed)); n != 30 {
		t.Errorf("S9: %d resumed", n)
	}
}

// What has come already is not waited for.
func TestS9WhatHasComeIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	b := open(t)
	token := b.run("t", nil)
	b.child("one", "t")
	b.child("two", "t")
	b.submit("other", nil)
	for name, w := range map[string]lifecycle.WaitFor{
		"nothing":      {},
		"another task": {SubTasks: []string{"other"}},
		"too many":     {SubTasks: slices.Repeat([]string{"one"}, 101)},
	} {
		if _, err := b.Wait(b.ctx(), org, "t", token, w); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("S9: %s: %v", name, err)
		}
	}
	b.stop("one")
	for name, w := range map[string]lifecycle.WaitFor{
		"a moment that has passed": {SubTasks: []string{"two"}, Until: b.store.Now()},
		"one that has ended":       {SubTasks: []string{"one"}},
		"any":                      {SubTasks: []string{"one", "two"}, Any: true},
		"deleted":                  {SubTasks: []string{"gone"}},
	} {
		if done := b.await("t", token, w); done.Waiting {
			t.Errorf("S9: %s was waited for", name)
		}
	}
	b.shows("t", task.Executing, "")
}

// The end of a sub-task is an event of its parent, and wakes it if that waits for it.
func TestS9TheEndOfASubTaskWakesItsParent(t *testing.T) {
	t.Parallel()
	for name, over := range map[string]struct {
		end  func(b *bench, id, token string)
		says fields
	}{
		"completed": {func(b *bench, id, token string) {
			_, err := b.finish(id, token, task.EndCompleted, "r")
			b.must(err)
		}, fields{"status": "completed", "end_reason": "completed"}},
		"stopped": {func(b *bench, id, _ string) { b.stop(id) }, fields{"status": "stopped", "end_reason": "stopped"}},
		"deleted": {func(b *bench, id, _ string) { b.must(b.Delete(b.ctx(), who(), id)) }, fields{"deleted": true}},
		"lost":    {func(b *bench, _, _ string) { b.later(1) }, fields{"status": "error", "end_reason": "worker_lost"}},
	} {
		t.Run("S9 "+name, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			parent := b.run("p", nil)
			tokens := map[string]string{}
			for _, id := range []string{"a", "b"} {
				b.submit(id, func(s *lifecycle.Submission) { s.Spec.ParentExecution, s.Spec.MaxAttempts = new("p"), 1 })
				tokens[id] = b.take(id)
			}
			if done := b.await("p", parent, lifecycle.WaitFor{SubTasks: []string{"a", "b", "a"}}); !done.Waiting || len(done.SubTasks) != 2 {
				t.Fatalf("S9: %+v", done)
			}
			if got := b.why("p"); got != "child [a b]: waits for the end of 2 sub-tasks" {
				t.Errorf("S9: it says %q", got)
			}
			if name == "lost" {
				b.clock.forward(lease - 1)
				_, err := b.Heartbeat(b.ctx(), org, "b", tokens["b"])
				b.must(err)
				over.end(b, "a", "")
			} else {
				over.end(b, "a", tokens["a"])
			}
			over.says["task_id"], over.says["agent_id"] = "a", bot
			if diff := cmp.Diff(over.says, b.one("p", task.SubTaskFinished)); diff != "" {
				t.Errorf("S9: the parent's log says\n%s", diff)
			}
			if got := b.why("p"); got != "child [b]: waits for the end of 1 sub-task" {
				t.Errorf("S9: it says %q", got)
			}
			_, err := b.finish("b", tokens["b"], task.EndFailed, "no")
			b.must(err)
			b.shows("p", task.Pending, "")
			next := b.take("p")
			if got := b.get("p"); got.Starts != 1 || got.State().Attempt != 2 {
				t.Errorf("S9: %d starts, attempt %d", got.Starts, got.State().Attempt)
			}
			_, err = b.finish("p", next, task.EndCompleted, "r")
			b.must(err)
		})
	}
}

// Four slots, and four parents that wait for sub-tasks of the same agent.
func TestS9ParentsThatWaitGiveTheirSlotsBack(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.fill("p", 4)
	claimed := b.claim("w1", 4)
	for _, c := range claimed {
		child := "below-" + c.Task.ID
		b.child(child, c.Task.ID)
		b.await(c.Task.ID, c.Token, lifecycle.WaitFor{SubTasks: []string{child}})
	}
	for range 2 { // the sub-tasks, then their parents
		got := b.claim("w1", 4)
		if len(got) != 4 {
			t.Fatalf("S9: %d of 4 slots have work", len(got))
		}
		for _, c := range got {
			_, err := b.finish(c.Task.ID, c.Token, task.EndCompleted, "r")
			b.must(err)
		}
	}
	for _, c := range claimed {
		b.shows(c.Task.ID, task.Completed, task.EndCompleted)
	}
}

// The end of a wait's time wakes it with what has not come.
func TestS9TheFirstOfManyAndTheLastMoment(t *testing.T) {
	t.Parallel()
	b := open(t)
	token := b.run("p", nil)
	for _, id := range []string{"a", "b", "c"} {
		b.child(id, "p")
	}
	all := lifecycle.WaitFor{SubTasks: []string{"a", "b", "c"}, Any: true}
	b.await("p", token, all)
	b.stop("b")
	b.shows("p", task.Pending, "")
	got := b.claim("w", 3)
	token = got[slices.IndexFunc(got, func(c lifecycle.Claimed) bool { return c.Task.ID == "p" })].Token
	all.Any, all.Until = false, b.store.Now().Add(time.Second)
	if done := b.await("p", token, all); !slices.Equal(done.SubTasks, []string{"a", "c"}) {
		t.Errorf("S9: it waits for %q", done.SubTasks)
	}
	b.later(time.Second)
	b.shows("p", task.Pending, "")
}

// Stop, pause, resume, delete and a person's own end work on what waits.
func TestS9AWaitIsStoppedHeldAndEnded(t *testing.T) {
	t.Parallel()
	b := open(t)
	hour := func() lifecycle.WaitFor { return lifecycle.WaitFor{Until: b.store.Now().Add(time.Hour)} }

	b.await("stopped", b.run("stopped", nil), hour())
	if got := b.stop("stopped"); got.Task.Stop.ConfirmedAt == 0 {
		t.Error("X2, S9: the stop of what waits is not confirmed at once")
	}
	b.await("deleted", b.run("deleted", nil), hour())
	b.must(b.Delete(b.ctx(), who(), "deleted"))
	b.await("ended", b.run("ended", nil), hour())
	b.patch("ended", fields{"status": "completed", "result": "r"})
	b.shows("ended", task.Completed, task.EndCompleted)

	b.await("resumed", b.run("resumed", nil), hour())
	_, err := b.Resume(b.ctx(), who(), "resumed")
	b.must(err)
	b.shows("resumed", task.Pending, "")
	_, err = b.finish("resumed", b.take("resumed"), task.EndCompleted, "r")
	b.must(err)

	b.await("held", b.run("held", nil), hour())
	pause := func() {
		t.Helper()
		_, err := b.Pause(b.ctx(), who(), "held")
		b.must(err)
	}
	pause()
	b.unchanged("held", pause)
	if got := b.why("held"); got != "paused []: paused by "+alice {
		t.Errorf("S9: it says %q", got)
	}
	_, err = b.Resume(b.ctx(), who(), "held")
	b.must(err)
	b.shows("held", task.Paused, "")
	b.unchanged("held", func() { b.patch("held", b.body("held", nil)) }) // a copy of what it is holds nobody
	if got := b.why("held"); got[:5] != "timer" {
		t.Errorf("S9: it says %q", got)
	}
	pause()
	b.later(2 * time.Hour)
	b.shows("held", task.Paused, "")
	_, err = b.Resume(b.ctx(), who(), "held")
	b.must(err)
	b.shows("held", task.Pending, "")
	if got := b.claim("w", 9); len(got) != 1 {
		t.Errorf("S9: %d tasks are claimed", len(got))
	}
}

// Only the attempt that holds the turn gives it up, and a next turn waits for nothing.
func TestS9WhoMayWait(t *testing.T) {
	t.Parallel()
	b := open(t)
	lost := b.run("t", nil)
	b.later(lease)
	b.later(time.Second)
	b.unchanged("t", func() {
		for _, token := range []string{lost, "nobody's"} {
			_, err := b.Wait(b.ctx(), org, "t", token, lifecycle.WaitFor{Until: b.store.Now().Add(time.Hour)})
			b.refused(err, fault.Conflict)
		}
	})
	b.await("t", b.take("t"), lifecycle.WaitFor{Until: b.store.Now().Add(time.Hour)})
	b.stop("t")
	b.submit("t", nil)
	b.later(2 * time.Hour)
	b.shows("t", task.Pending, "")
	_, err := b.Wait(b.ctx(), org, "nothing", "x", lifecycle.WaitFor{Until: 1})
	b.refused(err, fault.NotFound)
}
