package lifecycle_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
	"github.com/errand-dev/errand/server/internal/testkit/teststore"
)

func TestT1NewTurnOfAnEndedTask(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.run("t", nil)
	b.later(lease)
	b.clock.forward(time.Minute)
	token := b.take("t") // the second attempt
	_, err := b.finish("t", token, task.EndCompleted, "first")
	b.must(err)
	first := b.get("t")
	if s := first.State(); s.Attempt != 2 || s.ExecutionAttempts != 2 {
		t.Fatalf("T1: attempt %d, execution_attempts %d, want 2 and 2", s.Attempt, s.ExecutionAttempts)
	}

	b.clock.forward(time.Hour)
	made := b.submit("t", func(s *lifecycle.Submission) { s.Spec.Input.Text = new("and now?") })
	s := made.Task.State()
	if made.Task.ID != "t" || made.Task.CreatedAt != first.CreatedAt || made.Task.Terms.Turn != 2 {
		t.Errorf("T1: %s created %s, turn %d", made.Task.ID, made.Task.CreatedAt, made.Task.Terms.Turn)
	}
	if s.Status != task.Pending || s.Result != nil || s.EndReason != "" || s.StartedAt != 0 || s.FinishedAt != 0 || s.PausedAt != 0 || s.IsManuallyStopped {
		t.Errorf("T1: the new turn shows %+v", s)
	}
	if s.Attempt != 1 || s.ExecutionAttempts != 3 {
		t.Errorf("T1: attempt %d, execution_attempts %d, want 1 and 3", s.Attempt, s.ExecutionAttempts)
	}
	var spec task.Spec
	b.must(json.Unmarshal(made.Spec, &spec))
	if text(spec.Input.Text) != "and now?" {
		t.Errorf("T1: the new turn was asked %q", text(spec.Input.Text))
	}
	b.take("t")
	if s := b.state("t"); s.ExecutionAttempts != 3 {
		t.Errorf("T1: the first assignment has number %d, want the turn's 3", s.ExecutionAttempts)
	}
	b.later(lease)
	b.clock.forward(time.Minute)
	b.take("t")
	if s := b.state("t"); s.ExecutionAttempts != 4 || s.Attempt != 2 {
		t.Errorf("T1: the second assignment has number %d (attempt %d), want 4 (2)", s.ExecutionAttempts, s.Attempt)
	}
}

func TestT1RefusedIDs(t *testing.T) {
	t.Parallel()
	b := open(t)
	_, err := b.PutAgent(b.ctx(), org, "else", agent.Record{Name: "else"})
	b.must(err)
	refuse := func(id string, change func(*lifecycle.Submission), want fault.Code) {
		t.Helper()
		_, _, err := b.Submit(b.ctx(), who(), submission(id, change))
		b.refused(err, want)
	}
	b.submit("pending", nil)
	b.unchanged("pending", func() { refuse("pending", nil, fault.Conflict) })
	b.stop("pending")
	b.run("executing", nil)
	b.unchanged("executing", func() { refuse("executing", nil, fault.Conflict) })
	_, err = b.Pause(b.ctx(), who(), "executing")
	b.must(err)
	b.unchanged("executing", func() { refuse("executing", nil, fault.Conflict) })
	b.end("done", task.EndCompleted)
	b.unchanged("done", func() {
		refuse("done", func(s *lifecycle.Submission) { s.Spec.AgentID = "else" }, fault.Conflict)
	})
	for _, bad := range []string{"a b", "a/b", "ä", strings.Repeat("x", 129), "a\n"} {
		refuse(bad, nil, fault.Invalid)
	}
	for _, good := range []string{"x", "A.b_c:d-9", strings.Repeat("x", 128)} {
		if made := b.submit(good, nil); made.Task.ID != good || made.Task.State().ExecutionAttempts != 1 {
			t.Errorf("T1: %q became %q", good, made.Task.ID)
		}
	}
}

func TestT2PromptAndResultAreStoredOnce(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.submit("t", func(s *lifecycle.Submission) { s.Spec.Input.Text = new("needle-prompt") })
	_, err := b.finish("t", b.take("t"), task.EndCompleted, "needle-result")
	b.must(err)
	b.submit("t", nil)
	rows := teststore.Rows(b.tb, b.dir)
	for _, needle := range []string{"needle-prompt", "needle-result"} {
		inTurns, elsewhere := 0, 0
		for table, all := range rows {
			for _, row := range all {
				if n := strings.Count(row, needle); table == "turns" {
					inTurns += n
				} else {
					elsewhere += n
				}
			}
		}
		if inTurns != 1 || elsewhere != 0 {
			t.Errorf("T2: %s is %d times in turns and %d times elsewhere", needle, inTurns, elsewhere)
		}
	}
	turns, err := b.Turns(b.ctx(), org, "t", 0, 1000)
	b.must(err)
	if len(turns) != 2 || *turns[0].Prompt != "needle-prompt" || *turns[0].Result != "needle-result" || turns[0].FinishedAt == 0 || turns[1].Result != nil {
		t.Errorf("T2: the turns are %+v", turns)
	}
	var reason task.EndReason
	b.must(b.store.Write(b.ctx(), nil, func(tx lifecycle.Tx) (err error) {
		reason, _, err = tx.TurnEnd(org, "t", 1)
		return err
	}))
	log := b.log("t")
	last := slices.IndexFunc(log, func(e task.Event) bool { return e.Turn == 2 }) - 1
	if reason != task.EndCompleted || log[0].Type != task.TaskCreated || log[last].Type != task.TaskFinished {
		t.Errorf("T2: turn 1 is %s, with %v", reason, b.types("t"))
	}
	created := b.of("t", task.TaskCreated)[0]
	if !strings.Contains(string(created.Data()), "needle-prompt") || !strings.Contains(string(b.of("t", task.TaskFinished)[0].Data()), "needle-result") {
		t.Error("T2: the log does not show what the turn keeps")
	}
}

func TestT3SeqIsGaplessOverAllTurns(t *testing.T) {
	t.Parallel()
	b := open(t)
	for range 3 {
		token := b.run("t", nil)
		_, err := b.Append(b.ctx(), org, "t", token, chunks("a", "b"))
		b.must(err)
		_, err = b.finish("t", token, task.EndCompleted, "r")
		b.must(err)
	}
	b.checkLog("t")
	if got, want := b.get("t").LastSeq, int64(len(b.log("t"))); got != want {
		t.Errorf("T3: last seq %d of %d events", got, want)
	}
}

func TestT3WhatMayFollowTheEnd(t *testing.T) {
	t.Parallel()
	b := open(t)
	token := b.run("t", nil)
	b.stop("t")
	_, err := b.Append(b.ctx(), org, "t", token, chunks("late"))
	b.refused(err, fault.Conflict)
	b.later(lease)
	b.patch("t", fields{"status": "completed", "result": "r"})
	_, err = b.Update(b.ctx(), who(), "t", lifecycle.Edit{Title: new("renamed")})
	b.must(err)
	types := b.types("t")
	after := types[slices.Index(types, task.TaskFinished)+1:]
	want := []task.Type{task.LateWriteRefused, task.StopAbandoned, task.Override, task.Override}
	if diff := cmp.Diff(want, after); diff != "" {
		t.Errorf("T3: after task_finished:\n%s", diff)
	}
	b.checkLog("t")
}

// foldOf is the fold of a log's last turn.
func foldOf(t tester, log []task.Event) task.State {
	t.Helper()
	var s task.State
	for _, e := range log {
		if e.Type == task.TaskCreated {
			s = task.State{}
		}
		if !e.Type.ChangesState() {
			continue
		}
		if err := s.Fold(e.Data()); err != nil {
			t.Fatalf("T4: fold event %d %s: %v", e.Seq, e.Data(), err)
		}
	}
	return s
}

// byValue compares raw JSON by what it says.
func byValue() cmp.Option {
	return cmp.Transformer("JSON", func(raw json.RawMessage) any {
		var v any
		_ = json.Unmarshal(raw, &v)
		return v
	})
}

// checkLog checks what must hold of any log at any time (T3, T4).
func (b *bench) checkLog(id string) {
	b.t.Helper()
	now := b.get(id)
	log := b.log(id)
	turn, finished := 0, false
	for i, e := range log {
		if e.Seq != int64(i+1) {
			b.t.Fatalf("T3: event %d of %s has seq %d", i+1, id, e.Seq)
		}
		switch {
		case e.Type == task.TaskCreated:
			if turn++; i > 0 && !finished {
				b.t.Fatalf("T3: turn %d of %s began before the last one's task_finished", turn, id)
			}
			finished = false
		case turn == 0:
			b.t.Fatalf("T3: the log of %s begins with %s", id, e.Type)
		case e.Type == task.TaskFinished && finished:
			b.t.Fatalf("T3: turn %d of %s has two task_finished", turn, id)
		case e.Type == task.TaskFinished:
			finished = true
		case finished && !slices.Contains([]task.Type{task.StopConfirmed, task.StopAbandoned, task.LateWriteRefused, task.Override}, e.Type):
			b.t.Fatalf("T3: %s after the end of turn %d of %s", e.Type, turn, id)
		}
		if e.Turn != turn {
			b.t.Fatalf("T3: event %d of %s says turn %d, it is %d", e.Seq, id, e.Turn, turn)
		}
	}
	if ended := now.Ended() != ""; ended != finished {
		b.t.Fatalf("T3: %s ended: %v, task_finished: %v", id, ended, finished)
	}
	if now.LastSeq != int64(len(log)) || now.FirstSeq > now.LastSeq || log[now.FirstSeq-1].Type != task.TaskCreated {
		b.t.Fatalf("T3: %s says its turn is %d to %d, the log has %d", id, now.FirstSeq, now.LastSeq, len(log))
	}
	if diff := cmp.Diff(foldOf(b.t, log), now.State(), byValue()); diff != "" {
		b.t.Fatalf("T4: the fold of %s differs from the task:\n%s", id, diff)
	}
}

func TestT4FoldOfTheLogIsTheTask(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.submit("t", func(s *lifecycle.Submission) {
		s.State.Title, s.State.PayloadExtension = new("title"), json.RawMessage(`{"a":{"b":1}}`)
		s.Priority = 5
	})
	b.checkLog("t")
	b.register()
	b.assign("made-1")
	b.checkLog("t")
	b.patch("t", b.body("t", fields{"status": "executing", "used_tools": []string{"x"}}))
	b.checkLog("t")
	b.patch("t", b.body("t", fields{"tool_call_payload_extension": fields{"a": fields{"c": nil}}, "title": nil}))
	b.checkLog("t")
	b.patch("t", b.body("t", fields{"status": "failed", "result": "r\u2028", "tokens": fields{"prompt_tokens": 1}}))
	b.checkLog("t")
	b.patch("t", fields{"status": "completed", "result": "better"})
	b.checkLog("t")
	if s := foldOf(t, b.log("t")); text(s.Result) != "better" || s.Status != task.Completed {
		t.Errorf("T4: folded to %s %s", s.Status, text(s.Result))
	}
	if f := b.one("t", task.TaskFinished); f["result"] != "r\u2028" {
		t.Errorf("T4: an override has changed what task_finished shows: %v", f["result"])
	}
}

func TestT5EventTypesAreAClosedList(t *testing.T) {
	t.Parallel()
	python := []task.Type{
		"task_created", "task_updated", "task_finished", "chunk", "auth_event", "tool_call_request", "tool_call_result",
		"sub_agent_trigger", "think", "analyze", "plan_updated", "task_compactization",
	}
	more := []task.Type{
		"attempt_started", "attempt_lost", "late_write_refused", "stop_requested", "stop_confirmed", "stop_abandoned", "paused",
		"resumed", "approval_requested", "approval_answered", "budget_warning", "step", "subtask_finished", "agent_message", "override",
		"usage", "output", "file_given",
		"context_status", "gateway_steer_applied", // a deliberate addition: newer clients push them
	}
	got, want := task.Types(), slices.Concat(python, more)
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("T5: the list of types:\n%s", diff)
	}
	for _, typ := range want {
		if typ.KnownToPython() != slices.Contains(python, typ) {
			t.Errorf("T5: %s known to Python: %v", typ, typ.KnownToPython())
		}
	}
}
