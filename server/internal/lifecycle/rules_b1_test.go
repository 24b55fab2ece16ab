package lifecycle_test

import (
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// budgeted gives a submission a budget.
func budgeted(budget task.Budget) func(*lifecycle.Submission) {
	return func(s *lifecycle.Submission) { s.State.Budget = &budget }
}

// uses counts the use of a model.
func (b *bench) uses(id, call string, tokens int64) {
	b.t.Helper()
	b.must(b.Spend(b.ctx(), org, id, call, task.Use{Model: "m", Tokens: task.Tokens{Prompt: tokens}}, nil))
}

// spent is what a task shows of its account.
func (b *bench) spent(id string) task.Shown {
	b.t.Helper()
	t := b.get(id)
	shown := t.ShowSpent()
	if shown == nil {
		b.t.Fatalf("task %s has no account", id)
	}
	return *shown
}

func (b *bench) exhausted(id string) {
	b.t.Helper()
	b.shows(id, task.Paused, "")
	snap, err := b.Get(b.ctx(), org, id)
	b.must(err)
	waiting, err := b.WhyWaiting(b.ctx(), snap)
	b.must(err)
	if waiting.Reason != "budget" {
		b.t.Fatalf("task %s waits for %+v, want budget", id, waiting)
	}
}

// B1: sub-tasks spend from one budget at their root: the line warns, then pauses all of
// the tree, and raising it lets all go on.
func TestB1ATreePaysTogether(t *testing.T) {
	t.Parallel()
	b := open(t)
	root := b.run("root", budgeted(task.Budget{Tokens: 1000}))
	b.child("child", "root")
	child := b.take("child")
	b.child("waiting", "child")
	b.uses("child", "call-1", 700)
	if got := b.of("root", task.BudgetWarning); len(got) != 0 {
		t.Fatalf("warned at 700 of 1000: %s", got[0].Own)
	}
	b.uses("root", "call-1", 100)
	if got := b.one("root", task.BudgetWarning); got["limit"] != "tokens" || got["used"] != 800.0 || got["reached"] != false {
		t.Fatalf("the warning says %v", got)
	}
	b.uses("child", "call-1", 700) // said again, and known
	b.shows("root", task.Executing, "")
	b.uses("child", "call-2", 250)
	for _, id := range []string{"root", "child", "waiting"} {
		b.exhausted(id)
	}
	if got := b.spent("root"); got.Tokens != 1050 || got.Subtasks != 2 || len(got.Over) != 1 {
		t.Fatalf("the root has spent %+v", got)
	}
	if got := b.spent("child"); got.Tokens != 950 || got.Payer != "root" {
		t.Fatalf("the child has spent %+v", got)
	}
	for id, token := range map[string]string{"root": root, "child": child} {
		beat, err := b.Heartbeat(b.ctx(), org, id, token)
		b.must(err)
		if beat.Do != task.PauseWork {
			t.Fatalf("the worker of %s is told to %s", id, beat.Do)
		}
		_, err = b.Resume(b.ctx(), who(), id)
		b.refused(err, fault.Conflict)
	}
	_, err := b.Update(b.ctx(), who(), "child", lifecycle.Edit{Budget: &task.Budget{Tokens: 2000}})
	b.refused(err, fault.Invalid)
	_, err = b.Update(b.ctx(), who(), "root", lifecycle.Edit{Budget: &task.Budget{Tokens: 2000}})
	b.must(err)
	for _, id := range []string{"root", "child", "waiting"} {
		b.shows(id, task.Pending, "")
	}
	if got := b.claim("w2", 3); len(got) != 3 {
		t.Fatalf("%d tasks go on, want 3", len(got))
	}
}

// B1: a tree that is to end at its limit ends with the reason budget, keeps what it has
// come to, and takes those along that were to outlive it.
func TestB1TheEnd(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.run("root", budgeted(task.Budget{Tokens: 10, AtLimit: task.EndAtLimit}))
	b.child("child", "root")
	b.kept("kept", "root")
	part := "the first half"
	b.must(b.Spend(b.ctx(), org, "root", "c", task.Use{Tokens: task.Tokens{Completion: 10}}, &part))
	for _, id := range []string{"root", "child", "kept"} {
		b.shows(id, task.Failed, task.EndBudget)
	}
	if got := b.state("root").Result; got == nil || *got != part {
		t.Fatalf("the result is %v", got)
	}
	b.submit("other", budgeted(task.Budget{Tokens: 10, AtLimit: task.EndAtLimit}))
	b.child("spender", "other")
	b.must(b.Spend(b.ctx(), org, "spender", "c", task.Use{Tokens: task.Tokens{Completion: 10}}, &part))
	b.shows("other", task.Failed, task.EndBudget)
	b.shows("spender", task.Failed, task.EndBudget)
	if got := b.state("spender").Result; got == nil || *got != part {
		t.Fatalf("the sub-task's result is %v", got)
	}
}

// B1: steps and calls of tools count with what commits them, once; the last that the
// limit allows is still done.
func TestB1StepsAndCalls(t *testing.T) {
	t.Parallel()
	b := open(t)
	token := b.run("t", budgeted(task.Budget{Steps: 2, ToolCalls: 2}))
	step := func(id string) {
		t.Helper()
		_, _, err := b.CommitStep(b.ctx(), org, "t", token, lifecycle.NewStep{ID: id, Body: []byte("1")})
		b.must(err)
	}
	step("a")
	step("a")
	call := lifecycle.NewEvent{Type: "tool_call_request", Data: []byte(`{}`), ClientID: "x"}
	for range 2 {
		_, err := b.Append(b.ctx(), org, "t", token, []lifecycle.NewEvent{call})
		b.must(err)
	}
	step("b")
	b.shows("t", task.Executing, "")
	if got := b.spent("t"); got.Steps != 2 || got.ToolCalls != 1 {
		t.Fatalf("counted %+v", got)
	}
	step("c")
	b.exhausted("t")
}

// B1: what a worker says that it has used counts by how much it has grown, and never
// less than the server has counted itself.
func TestB1TokensThatAreReported(t *testing.T) {
	t.Parallel()
	b := open(t)
	token := b.run("t", budgeted(task.Budget{Tokens: 1000}))
	report := func(side string) {
		t.Helper()
		_, err := b.HeartbeatWith(b.ctx(), org, "t", token, []byte(side))
		b.must(err)
	}
	report(`{"tokens": {"prompt_tokens": 100, "completion_tokens": 50}}`)
	report(`{"tokens": {"prompt_tokens": 20}}`)
	report(`{"tokens": {"prompt_tokens": 100, "completion_tokens": 60}}`)
	if got := b.spent("t"); got.Tokens != 160 {
		t.Fatalf("counted %+v", got)
	}
	b.uses("t", "c", 200)
	report(`{"tokens": {"prompt_tokens": 1}}`)
	if got := b.state("t").Tokens; got.Prompt != 200 {
		t.Fatalf("the task shows %+v", got)
	}
	_, err := b.Finish(b.ctx(), org, "t", token, lifecycle.Outcome{Reason: task.EndCompleted, Result: new("r"), Side: []byte(`{"tokens": {"prompt_tokens": 5000}}`)})
	b.must(err)
	b.shows("t", task.Completed, task.EndCompleted) // it was done
	if got := b.spent("t"); got.Tokens < 5000 || len(got.Over) != 1 {
		t.Fatalf("counted %+v", got)
	}
}

// B1: the tokens of attempts that were lost or given back count, and those of a call
// whose attempt is over.
func TestB1EarlierAttempts(t *testing.T) {
	t.Parallel()
	b := open(t)
	token := b.run("t", budgeted(task.Budget{Tokens: 1000}))
	b.uses("t", "a", 300)
	_, err := b.Release(b.ctx(), org, "t", token)
	b.must(err)
	b.uses("t", "b", 300) // its answer came afterwards
	b.shows("t", task.Pending, "")
	b.take("t")
	b.later(lease)
	b.uses("t", "c", 300)
	if got := b.state("t").Tokens; got.Prompt != 900 {
		t.Fatalf("the task shows %+v", got)
	}
	b.later(time.Hour)
	token = b.take("t")
	_, err = b.finish("t", token, task.EndCompleted, "r")
	b.must(err)
	b.uses("t", "d", 50) // after the end only an override may tell of it
	if got := b.state("t").Tokens; got.Prompt != 950 {
		t.Fatalf("the task shows %+v", got)
	}
	b.uses("t", "d2", 500)
	b.shows("t", task.Completed, task.EndCompleted)
}

// B1: seconds of executing are counted over the tree, while it executes.
func TestB1Seconds(t *testing.T) {
	t.Parallel()
	t.Run("B1 alone", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		b.run("t", budgeted(task.Budget{Seconds: 50}))
		b.clock.forward(20 * time.Second)
		_, err := b.Pause(b.ctx(), who(), "t")
		b.must(err)
		b.later(time.Hour)
		_, err = b.Resume(b.ctx(), who(), "t")
		b.must(err)
		token := b.take("t")
		b.later(29 * time.Second)
		_, err = b.Heartbeat(b.ctx(), org, "t", token)
		b.must(err)
		b.shows("t", task.Executing, "")
		b.later(time.Second)
		b.exhausted("t")
		if got := b.spent("t"); got.Seconds != 50 {
			t.Fatalf("counted %+v", got)
		}
	})
	t.Run("B1 a tree", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		b.run("root", budgeted(task.Budget{Seconds: 50}))
		b.child("child", "root")
		b.take("child")
		b.later(10 * time.Second)
		b.later(10 * time.Second)
		b.shows("root", task.Executing, "")
		b.later(10 * time.Second)
		b.exhausted("root")
		b.exhausted("child")
		if got := b.spent("root"); got.Seconds > 70 {
			t.Fatalf("counted %+v", got)
		}
	})
}

// B1: a budget may bound how many sub-tasks there are and how deep they go.
func TestB1SubTasks(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.submit("root", budgeted(task.Budget{Subtasks: new(int64(3)), Depth: new(int64(1))}))
	below := func(id, parent string) error {
		_, _, err := b.Submit(b.ctx(), who(), submission(id, func(s *lifecycle.Submission) { s.Spec.ParentExecution = &parent }))
		return err
	}
	b.must(below("a", "root"))
	b.refused(below("too-deep", "a"), fault.Conflict)
	b.must(below("b", "root"))
	b.must(below("c", "root"))
	b.refused(below("d", "root"), fault.Conflict)
	if got := b.spent("root"); got.Subtasks != 3 {
		t.Fatalf("counted %+v", got)
	}
	_, err := b.Get(b.ctx(), org, "d")
	b.refused(err, fault.NotFound)
	b.submit("wide", budgeted(task.Budget{Tokens: 10}))
	_, _, err = b.Submit(b.ctx(), who(), submission("own", func(s *lifecycle.Submission) {
		s.Spec.ParentExecution, s.State.Budget = new("wide"), &task.Budget{Tokens: 1}
	}))
	b.refused(err, fault.Invalid)
}

// B1: what begins to run below a budget that is used up is held at once.
func TestB1WhatBeginsLater(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.submit("root", budgeted(task.Budget{Tokens: 10}))
	b.child("paused", "root")
	_, err := b.Pause(b.ctx(), who(), "paused")
	b.must(err)
	b.uses("root", "c", 10)
	b.child("late", "root")
	b.exhausted("late")
	_, err = b.Resume(b.ctx(), who(), "paused")
	b.refused(err, fault.Conflict)
	b.child("both", "root")
	b.exhausted("both")
	_, err = b.Pause(b.ctx(), who(), "both")
	b.must(err)
	b.exhausted("both") // for the budget, too
	_, err = b.Update(b.ctx(), who(), "root", lifecycle.Edit{Budget: &task.Budget{}})
	b.must(err)
	b.shows("late", task.Pending, "")
	for _, id := range []string{"paused", "both"} {
		b.shows(id, task.Paused, "") // somebody has
		_, err = b.Resume(b.ctx(), who(), id)
		b.must(err)
		b.shows(id, task.Pending, "")
	}
}

// B1: a task that waits for a sub-task goes on waiting at the limit, and is held when
// that has come.
func TestB1WhatWaits(t *testing.T) {
	t.Parallel()
	b := open(t)
	token := b.run("root", budgeted(task.Budget{Tokens: 10}))
	b.child("child", "root")
	b.await("root", token, lifecycle.WaitFor{SubTasks: []string{"child"}})
	b.take("child")
	b.uses("child", "c", 10)
	b.exhausted("child")
	b.patch("child", fields{"status": "completed", "result": "done by hand"})
	b.exhausted("root")
	_, err := b.Update(b.ctx(), who(), "root", lifecycle.Edit{Budget: &task.Budget{Tokens: 20}})
	b.must(err)
	b.shows("root", task.Pending, "")
}

// B1: an agent's budget is that of its tasks which say nothing else and are below none.
func TestB1TheAgentsOwn(t *testing.T) {
	t.Parallel()
	b := open(t)
	_, err := b.PutAgent(b.ctx(), org, bot, agent.Record{Name: bot, Budget: &task.Budget{Tokens: 5}})
	b.must(err)
	b.submit("own", nil)
	b.submit("given", budgeted(task.Budget{Tokens: 7}))
	b.child("below", "given")
	for id, want := range map[string]int64{"own": 5, "given": 7} {
		if got := b.state(id).Budget; got == nil || got.Tokens != want {
			t.Fatalf("%s has the budget %+v", id, got)
		}
	}
	if got := b.state("below").Budget; got != nil || b.spent("below").Payer != "given" {
		t.Fatalf("the sub-task has the budget %+v", got)
	}
	_, err = b.PutAgent(b.ctx(), org, bot, agent.Record{Name: bot, Budget: &task.Budget{Tokens: -5}})
	b.refused(err, fault.Invalid)
}

// B1: a stop that goes down a tree is not held up by the tree's budget.
func TestB1AStop(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.run("root", budgeted(task.Budget{Seconds: 5}))
	for i := range 3 {
		id := string(rune('a' + i))
		b.child(id, "root")
		b.take(id)
	}
	b.clock.forward(4 * time.Second) // each of them then brings it over the line
	b.stop("root")
	for _, id := range []string{"root", "a", "b", "c"} {
		b.shows(id, task.Stopped, task.EndStopped)
	}
	if got := b.get("root"); got.Descent.Going {
		t.Fatalf("the stop goes on: %+v", got.Descent)
	}
}
