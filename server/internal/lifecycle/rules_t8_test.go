package lifecycle_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// commit commits a step of task t that must be taken.
func (b *bench) commit(token, step, body string) (s task.Step, known bool) {
	b.t.Helper()
	s, known, err := b.CommitStep(b.ctx(), org, "t", token, lifecycle.NewStep{ID: step, Kind: "k", Body: json.RawMessage(body)})
	b.must(err)
	return s, known
}

// steps are the steps of a turn of task t, by their ids and bodies.
func (b *bench) steps(turn int) (all []string) {
	b.t.Helper()
	found, err := b.Steps(b.ctx(), org, "t", turn, 0, 100)
	b.must(err)
	for i, s := range found {
		if s.N != i+1 || s.Turn != turn {
			b.t.Fatalf("T8: step %d of turn %d: %+v", i+1, turn, s)
		}
		all = append(all, s.ID+" "+string(s.Body))
	}
	return all
}

func TestT8AStepIsCommittedOnce(t *testing.T) {
	t.Parallel()
	b := open(t)
	token := b.run("t", nil)
	first, known := b.commit(token, "one", `{"paid" : 1.50}`)
	if known {
		t.Error("T8: the first one was known")
	}
	log := b.log("t")
	e := log[len(log)-1]
	if e.Type != task.StepDone || e.Seq != first.Seq || string(e.Data()) != `{"n":1,"id":"one","kind":"k","body":{"paid" : 1.50}}` || e.Author.Attempt != 1 {
		t.Errorf("T8: its event is %+v, %s", e, e.Data())
	}
	b.clock.forward(1)
	before := b.get("t").LastSeq
	again, known := b.commit(token, "one", `"another"`)
	if diff := cmp.Diff(first, again); diff != "" || !known || b.get("t").LastSeq != before {
		t.Errorf("T8: again, known %v:\n%s", known, diff)
	}
	b.commit(token, "two", "null")
	if diff := cmp.Diff([]string{`one {"paid" : 1.50}`, "two null"}, b.steps(1)); diff != "" {
		t.Errorf("T8: %s", diff)
	}
}

// The next attempt finds what a lost one has committed, and the lost one commits nothing.
func TestT8TheNextAttemptFindsThem(t *testing.T) {
	t.Parallel()
	b := open(t)
	lost := b.run("t", nil)
	b.commit(lost, "one", "1")
	b.clock.forward(2 * lease)
	b.must(b.Sweep(b.ctx()))
	_, _, err := b.CommitStep(b.ctx(), org, "t", lost, lifecycle.NewStep{ID: "two", Body: []byte("2")})
	b.refused(err, fault.Conflict)
	if n := len(b.of("t", task.LateWriteRefused)); n != 1 {
		t.Errorf("T8: %d notes of a refused step", n)
	}
	b.unchanged("t", func() { // whose answer was lost: it learns that it is over, and nothing is refused
		_, _, err := b.CommitStep(b.ctx(), org, "t", lost, lifecycle.NewStep{ID: "one", Body: []byte("1")})
		b.refused(err, fault.Conflict)
	})
	b.clock.forward(2 * lease)
	now := b.claim("w", 1)[0]
	step, known := b.commit(now.Token, "one", `"other"`)
	if !known || string(step.Body) != "1" || step.Attempt != 1 {
		t.Errorf("T8: the second attempt finds %+v", step)
	}
	b.commit(now.Token, "two", "2")
	if diff := cmp.Diff([]string{"one 1", "two 2"}, b.steps(1)); diff != "" {
		t.Errorf("T8: %s", diff)
	}
}

func TestT8TheNextTurnBeginsWithoutThem(t *testing.T) {
	t.Parallel()
	b := open(t)
	token := b.run("t", nil)
	b.commit(token, "one", "1")
	_, err := b.Finish(b.ctx(), org, "t", token, lifecycle.Outcome{Reason: task.EndCompleted})
	b.must(err)
	_, _, err = b.CommitStep(b.ctx(), org, "t", token, lifecycle.NewStep{ID: "late", Body: []byte("1")})
	b.refused(err, fault.Conflict)
	again := b.run("t", nil)
	if s, known := b.commit(again, "one", `"anew"`); known || s.N != 1 || s.Turn != 2 {
		t.Errorf("T8: in the next turn: %+v, known %v", s, known)
	}
	if diff := cmp.Diff([][]string{{"one 1"}, {`one "anew"`}}, [][]string{b.steps(1), b.steps(2)}); diff != "" {
		t.Errorf("T8: %s", diff)
	}
}

func TestT8WhatAStepMayBe(t *testing.T) {
	t.Parallel()
	b := open(t)
	token := b.run("t", nil)
	large := json.RawMessage(`"` + strings.Repeat("x", 256<<10-2) + `"`)
	b.unchanged("t", func() {
		for _, c := range []struct {
			step  lifecycle.NewStep
			field string
			code  fault.Code
		}{
			{lifecycle.NewStep{Body: []byte("1")}, "id", fault.Invalid},
			{lifecycle.NewStep{ID: strings.Repeat("x", 129), Body: []byte("1")}, "id", fault.Invalid},
			{lifecycle.NewStep{ID: "a\x00", Body: []byte("1")}, "id", fault.Invalid},
			{lifecycle.NewStep{ID: "a", Kind: strings.Repeat("x", 65), Body: []byte("1")}, "kind", fault.Invalid},
			{lifecycle.NewStep{ID: "a"}, "body", fault.Invalid},
			{lifecycle.NewStep{ID: "a", Body: []byte("{")}, "body", fault.Invalid},
			{lifecycle.NewStep{ID: "a", Body: append(large[:len(large)-1:len(large)-1], `x"`...)}, "body", fault.TooLarge},
		} {
			_, _, err := b.CommitStep(b.ctx(), org, "t", token, c.step)
			b.refused(err, c.code)
			if !strings.HasPrefix(err.Error(), c.field) {
				t.Errorf("T8: %v does not name %s", err, c.field)
			}
		}
		_, _, err := b.CommitStep(b.ctx(), org, "t", "", lifecycle.NewStep{ID: "a", Body: []byte("1")})
		b.refused(err, fault.Invalid)
		_, _, err = b.CommitStep(b.ctx(), org, "t", "nobody's", lifecycle.NewStep{ID: "a", Body: []byte("1")})
		b.refused(err, fault.Conflict)
	})
	b.commit(token, strings.Repeat("é", 64), string(large))
	s, _ := b.commit(token, "with what no text may hold", `"a\u0000b"`)
	if string(s.Body) != `"a\ufffdb"` {
		t.Errorf("T8: %s", s.Body)
	}
}

// A turn of very many steps costs each what the first one cost.
func TestT8ManySteps(t *testing.T) {
	t.Parallel()
	b := open(t)
	token := b.run("t", nil)
	var want []string
	for i := range 50 {
		b.commit(token, strconv.Itoa(i), strconv.Itoa(i))
		want = append(want, fmt.Sprintf("%d %d", i, i))
	}
	if diff := cmp.Diff(want, b.steps(1)); diff != "" {
		t.Errorf("T8: %s", diff)
	}
	b.must(b.Delete(b.ctx(), who(), "t"))
	b.submit("t", nil)
	if got := b.steps(1); len(got) > 0 {
		t.Errorf("T8: a task of a deleted one's id has its steps: %v", got)
	}
}

// T8: what follows from a step is told by its commit, once, and of its body as it is kept.
func TestT8WhatFollowsAStepIsCommittedWithIt(t *testing.T) {
	t.Parallel()
	b := open(t)
	token := b.run("t", budgeted(task.Budget{ToolCalls: 1}))
	n := lifecycle.NewStep{
		ID: "one", Body: []byte(`"a\u0000"`), Use: &task.Use{Model: "m", Tokens: task.Tokens{Prompt: 5}},
		Then: func(kept json.RawMessage) ([]lifecycle.NewEvent, error) {
			return []lifecycle.NewEvent{{Type: "think", Data: kept}, {Type: "tool_call_request", Data: []byte(`{}`), ClientID: "call"}}, nil
		},
	}
	_, _, err := b.CommitStep(b.ctx(), org, "t", token, n)
	b.must(err)
	types := b.types("t")
	if diff := cmp.Diff([]task.Type{task.StepDone, task.ModelUsed, task.TaskUpdated, task.Think, task.ToolCallRequest, task.BudgetWarning}, types[len(types)-6:]); diff != "" {
		t.Errorf("T8: %s", diff)
	}
	if got := string(b.of("t", task.Think)[0].Own); got != `"a\ufffd"` {
		t.Errorf("T8: it was told of %s", got)
	}
	if got := b.spent("t"); got.ToolCalls != 1 || got.Steps != 1 || got.Tokens != 5 {
		t.Errorf("T8: counted %+v", got)
	}
	n.Then = func(json.RawMessage) ([]lifecycle.NewEvent, error) {
		return []lifecycle.NewEvent{{Type: "tool_call_request", Data: []byte(`{}`), ClientID: "call"}}, nil
	}
	b.unchanged("t", func() { // the first answer was lost
		_, known, err := b.CommitStep(b.ctx(), org, "t", token, n)
		if b.must(err); !known {
			t.Error("T8: the step was not known")
		}
	})
	n.ID, n.Then = "two", func(json.RawMessage) ([]lifecycle.NewEvent, error) {
		return []lifecycle.NewEvent{{Type: "tool_call_request", Data: []byte(`{}`), ClientID: "call-2"}}, nil
	}
	_, _, err = b.CommitStep(b.ctx(), org, "t", token, n) // which is one call too many
	b.must(err)
	b.exhausted("t")
	n.ID = "three"
	_, _, err = b.CommitStep(b.ctx(), org, "t", token, n)
	b.refused(err, fault.Conflict)
	if got := len(b.of("t", task.ToolCallRequest)); got != 2 {
		t.Errorf("T8: the log has %d calls", got)
	}
	n.Then = func(json.RawMessage) ([]lifecycle.NewEvent, error) {
		return []lifecycle.NewEvent{{Type: "task_created", Data: []byte(`{}`)}}, nil
	}
	_, _, err = b.CommitStep(b.ctx(), org, "t", token, n)
	b.refused(err, fault.Invalid)
}

// T8: sub-tasks of turns that began when their steps were named otherwise are found.
func TestT8StepsOfSubTasksHadAnotherName(t *testing.T) {
	t.Parallel()
	b := open(t)
	token := b.run("t", nil)
	b.submit("below", func(s *lifecycle.Submission) { s.Spec.ParentExecution = new("t") })
	b.commit(token, "sub_task:k", `{"task_id": "below"}`)
	below, gone, err := b.SubTask(b.ctx(), org, "t", token, "k", submission("", nil))
	if b.must(err); below.ID != "below" || gone {
		t.Errorf("T8: it is %q", below.ID)
	}
	below, _, err = b.SubTask(b.ctx(), org, "t", token, "new", submission("", nil))
	b.must(err)
	if got := b.steps(1); got[len(got)-1] != fmt.Sprintf(`sub-task new {"task_id":%q}`, below.ID) {
		t.Errorf("T8: the steps are %q", got)
	}
}
