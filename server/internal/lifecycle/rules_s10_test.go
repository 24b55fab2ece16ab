package lifecycle_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// question is one that task t asks.
func question(key string, change func(*lifecycle.Asking)) lifecycle.Asking {
	a := lifecycle.Asking{Asked: task.Asked{Key: key, Kind: task.KindQuestion, Message: "how many?"}}
	if change != nil {
		change(&a)
	}
	return a
}

// asks lets an attempt ask something.
func (b *bench) asks(id, token string, a lifecycle.Asking) lifecycle.Inquired {
	b.t.Helper()
	done, err := b.AskPeople(b.ctx(), org, id, token, a)
	b.must(err)
	return done
}

// reply answers an approval.
func (b *bench) reply(id, value string) task.Approval {
	b.t.Helper()
	a, err := b.AnswerApproval(b.ctx(), who(), id, task.Reply{Answer: task.Approve, Value: json.RawMessage(value), Note: "noted"})
	b.must(err)
	return a
}

// A question ends its attempt uncounted; its answer, who gave it, and when are in the log,
// and the next attempt that asks it gets it at once.
func TestS10AQuestionIsAnswered(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.submit("t", func(s *lifecycle.Submission) { s.Spec.MaxAttempts = 1 })
	token := b.take("t")
	ask := question("n", func(a *lifecycle.Asking) { a.Schema = json.RawMessage(`{"type": "integer"}`) })
	first := b.asks("t", token, ask)
	if !first.Waiting || first.Known || first.State != task.ApprovalOpen || first.TaskID != "t" || first.AgentID != bot || first.Attempt != 1 {
		t.Errorf("S10: asked %+v", first)
	}
	b.unchanged("t", func() { // the first answer was lost
		if again := b.asks("t", token, ask); !again.Waiting || !again.Known || again.ID != first.ID {
			t.Errorf("S10: asked again %+v", again)
		}
	})
	if got := b.why("t"); got != "person []: waits for a person to answer a question" {
		t.Errorf("S10: it says %q", got)
	}
	b.later(240 * time.Hour)
	b.shows("t", task.Paused, "")
	for _, wrong := range []task.Reply{
		{}, {Answer: "perhaps"}, {Value: json.RawMessage(`"many"`)}, {Answer: task.Approve}, {Value: json.RawMessage(`1.5`)}, {Note: "seven"},
	} {
		b.unchanged("t", func() {
			if _, err := b.AnswerApproval(b.ctx(), who(), first.ID, wrong); fault.CodeOf(err) != fault.Invalid {
				t.Errorf("S10: %+v is answered %v", wrong, err)
			}
		})
	}
	a := b.reply(first.ID, "7")
	want := &task.Answered{Reply: task.Reply{Answer: task.Approve, Value: json.RawMessage("7"), Note: "noted"}, By: alice, At: b.store.Now()}
	if diff := cmp.Diff(want, a.Answered); diff != "" || a.State != task.ApprovalDone {
		t.Errorf("S10: answered %s\n%s", a.State, diff)
	}
	if diff := cmp.Diff(fields{
		"id": first.ID, "key": "n", "status": "answered", "answer": "approve", "value": 7.0, "note": "noted", "by": alice,
	}, b.one("t", task.ApprovalAnswered)); diff != "" {
		t.Errorf("S10: the log says\n%s", diff)
	}
	if e := b.of("t", task.ApprovalAnswered)[0]; e.Author.By != alice {
		t.Errorf("S10: by %+v", e.Author)
	}
	b.unchanged("t", func() {
		_, err := b.AnswerApproval(b.ctx(), who(), first.ID, task.Reply{Value: json.RawMessage("8")})
		b.refused(err, fault.Conflict)
	})
	b.shows("t", task.Pending, "")
	token = b.take("t")
	b.unchanged("t", func() {
		again := b.asks("t", token, question("n", func(a *lifecycle.Asking) { a.Message = "another" }))
		if again.Waiting || !again.Known || string(again.Answered.Value) != "7" || again.Message != "how many?" {
			t.Errorf("S10: the next attempt is answered %+v", again)
		}
	})
	if got := b.get("t"); got.Starts != 1 {
		t.Errorf("S10: %d attempts count", got.Starts)
	}
	_, err := b.finish("t", token, task.EndCompleted, "r")
	b.must(err)
}

// At its deadline the default is the answer; without one it has expired, and says so.
// Whether the task waits, executes or is held does not matter.
func TestS10TheDeadlineAppliesTheDefault(t *testing.T) {
	t.Parallel()
	b := open(t)
	soon := func(a *lifecycle.Asking) { a.Deadline = b.store.Now().Add(time.Minute) }
	token := b.run("t", nil)
	b.asks("t", token, question("stay", func(a *lifecycle.Asking) { a.Stay = true; soon(a) }))
	first := b.asks("t", token, question("default", func(a *lifecycle.Asking) {
		soon(a)
		a.Default = &task.Reply{Value: json.RawMessage(`{"n": 1}`)}
	}))
	other := b.run("held", nil)
	asked := b.asks("held", other, question("held", soon))
	if got := b.why("held"); !strings.HasSuffix(got, ", until "+asked.Deadline.String()) {
		t.Errorf("S10: it says %q", got)
	}
	_, err := b.Pause(b.ctx(), who(), "held")
	b.must(err)
	b.clock.forward(time.Minute - 1)
	b.must(b.Sweep(b.ctx()))
	b.shows("t", task.Paused, "")
	b.later(1)
	b.shows("t", task.Pending, "")
	b.shows("held", task.Paused, "")
	got, err := b.Approval(b.ctx(), auth.All(org), first.ID)
	b.must(err)
	if got.State != task.ApprovalDone || !got.Answered.ByDefault || got.Answered.By != "" || string(got.Answered.Value) != `{"n":1}` {
		t.Errorf("S10: after the deadline %+v %+v", got, got.Answered)
	}
	_, err = b.AnswerApproval(b.ctx(), who(), first.ID, task.Reply{Value: json.RawMessage("8")})
	b.refused(err, fault.Conflict)
	_, err = b.Resume(b.ctx(), who(), "held")
	b.must(err)
	for _, c := range b.claim("w", 2) {
		key := map[string]string{"t": "stay", "held": "held"}[c.Task.ID]
		if again := b.asks(c.Task.ID, c.Token, question(key, nil)); again.Waiting || again.State != task.ApprovalExpired || again.Answered != nil {
			t.Errorf("S10: %s, without a default %+v", key, again)
		}
	}
}

// Several are asked, and waited for together.
func TestS10SeveralAreWaitedFor(t *testing.T) {
	t.Parallel()
	b := open(t)
	token := b.run("t", nil)
	stay := func(a *lifecycle.Asking) { a.Stay, a.Kind = true, task.KindApproval }
	one, two := b.asks("t", token, question("one", stay)), b.asks("t", token, question("two", stay))
	if one.Waiting || two.Waiting || one.ID == two.ID {
		t.Fatalf("S10: %+v %+v", one, two)
	}
	b.child("below", "t")
	b.shows("t", task.Executing, "")
	w := lifecycle.WaitFor{Approvals: []string{one.ID, two.ID}, SubTasks: []string{"below"}}
	_, err := b.Wait(b.ctx(), org, "t", token, lifecycle.WaitFor{Approvals: []string{"nobody's"}})
	b.refused(err, fault.Invalid)
	if done := b.await("t", token, w); !done.Waiting {
		t.Fatalf("S10: %+v", done)
	}
	if got := b.why("t"); got != "approval [below]: waits for a person's approval" {
		t.Errorf("S10: it says %q", got)
	}
	b.reply(two.ID, "")
	b.stop("below")
	b.shows("t", task.Paused, "")
	b.reply(one.ID, "")
	b.shows("t", task.Pending, "")
}

// An end closes what is open; nobody may answer it then, and a next turn asks anew.
func TestS10AnEndClosesThem(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*bench){
		"stop":   func(b *bench) { b.stop("t") },
		"person": func(b *bench) { b.patch("t", fields{"status": "completed", "result": "r"}) },
	} {
		t.Run("S10 "+name, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			asked := b.asks("t", b.run("t", nil), question("n", func(a *lifecycle.Asking) { a.Deadline = b.store.Now().Add(time.Hour) }))
			end(b)
			b.unchanged("t", func() {
				_, err := b.AnswerApproval(b.ctx(), who(), asked.ID, task.Reply{Value: json.RawMessage("8")})
				b.refused(err, fault.Conflict)
				b.later(2 * time.Hour)
			})
			got, err := b.Approval(b.ctx(), auth.All(org), asked.ID)
			b.must(err)
			if got.State != task.ApprovalClosed || got.Answered != nil {
				t.Errorf("S10: it is %s, %+v", got.State, got.Answered)
			}
			b.submit("t", nil)
			if again := b.asks("t", b.take("t"), question("n", nil)); again.Known || again.ID == asked.ID {
				t.Errorf("S10: the next turn is answered %+v", again)
			}
			b.must(b.Delete(b.ctx(), who(), "t"))
			_, err = b.Approval(b.ctx(), auth.All(org), asked.ID)
			b.refused(err, fault.NotFound)
		})
	}
}

// Only those who are asked answer, and only those who see the task.
func TestS10WhoMayAnswer(t *testing.T) {
	t.Parallel()
	b := open(t)
	asked := b.asks("t", b.run("t", nil), question("n", func(a *lifecycle.Asking) { a.Approvers = []string{"user:bob", "group:g"} }))
	caller := func(change func(*lifecycle.Caller)) lifecycle.Caller {
		c := who()
		change(&c)
		return c
	}
	for name, x := range map[string]struct {
		who  lifecycle.Caller
		want fault.Code
	}{
		"anybody":                {who(), fault.Forbidden},
		"another's organization": {caller(func(c *lifecycle.Caller) { c.Scope = auth.All("other"); c.Admin = true }), fault.NotFound},
		"out of the scope":       {caller(func(c *lifecycle.Caller) { c.Scope.Owner = "user:bob"; c.Owner = "user:bob" }), fault.NotFound},
	} {
		if _, err := b.AnswerApproval(b.ctx(), x.who, asked.ID, task.Reply{Answer: task.Decline}); fault.CodeOf(err) != x.want {
			t.Errorf("S10: %s: %v", name, err)
		}
	}
	bob := caller(func(c *lifecycle.Caller) { c.Owner = "user:bob" })
	a, err := b.AnswerApproval(b.ctx(), bob, asked.ID, task.Reply{Answer: task.Decline})
	b.must(err)
	if a.Answered.By != "user bob" || a.Answered.Answer != task.Decline {
		t.Errorf("S10: answered %+v", a.Answered)
	}
}

// What cannot be asked is refused, and leaves nothing.
func TestS10WhatCannotBeAsked(t *testing.T) {
	t.Parallel()
	b := open(t)
	token := b.run("t", nil)
	for field, change := range map[string]func(*lifecycle.Asking){
		"key":          func(a *lifecycle.Asking) { a.Key = "" },
		"kind":         func(a *lifecycle.Asking) { a.Kind = "order" },
		"message":      func(a *lifecycle.Asking) { a.Message = "" },
		"title":        func(a *lifecycle.Asking) { a.Title = strings.Repeat("x", 256) },
		"schema":       func(a *lifecycle.Asking) { a.Schema = json.RawMessage(`{"type": "none"}`) },
		"approvers[0]": func(a *lifecycle.Asking) { a.Approvers = []string{"bob"} },
		"default.value": func(a *lifecycle.Asking) {
			a.Schema, a.Default = json.RawMessage(`{"type": "integer"}`), &task.Reply{Value: json.RawMessage(`"x"`)}
		},
		"payload": func(a *lifecycle.Asking) { a.Payload = json.RawMessage(`"` + strings.Repeat("x", 256<<10) + `"`) },
	} {
		_, err := b.AskPeople(b.ctx(), org, "t", token, question("k", change))
		if !strings.HasPrefix(fmt.Sprint(err), field) {
			t.Errorf("S10: %s: %v", field, err)
		}
	}
	if n := len(b.of("t", task.ApprovalRequested)); n > 0 {
		t.Errorf("S10: %d were asked", n)
	}
	for i := range 100 {
		b.asks("t", token, question(strconv.Itoa(i), func(a *lifecycle.Asking) { a.Stay = true }))
	}
	_, err := b.AskPeople(b.ctx(), org, "t", token, question("more", nil))
	b.refused(err, fault.Conflict)
	_, err = b.AskPeople(b.ctx(), org, "t", "nobody's", question("more", nil))
	b.refused(err, fault.Conflict)
}

// Lists show what the caller sees, newest first.
func TestS10Lists(t *testing.T) {
	t.Parallel()
	b := open(t)
	var ids []string
	for i := range 5 {
		id := fmt.Sprint("t", i)
		ids = append([]string{b.asks(id, b.run(id, nil), question("n", nil)).ID}, ids...)
		b.clock.forward(time.Second)
	}
	b.reply(ids[2], "1")
	list := func(in auth.Scope, state task.ApprovalState) (got []string) {
		t.Helper()
		for behind := (lifecycle.Cursor{}); ; {
			found, err := b.Approvals(b.ctx(), in, state, behind, 2)
			b.must(err)
			if len(found) == 0 {
				return got
			}
			for _, a := range found {
				got, behind = append(got, a.ID), lifecycle.Cursor{CreatedAt: a.At, ID: a.ID}
			}
		}
	}
	for state, want := range map[task.ApprovalState][]string{
		"": ids, task.ApprovalOpen: {ids[0], ids[1], ids[3], ids[4]}, task.ApprovalDone: {ids[2]}, task.ApprovalExpired: nil,
	} {
		if diff := cmp.Diff(want, list(auth.All(org), state)); diff != "" {
			t.Errorf("S10: %q: %s", state, diff)
		}
	}
	if got := list(auth.All("other"), ""); len(got) > 0 {
		t.Errorf("S10: the other organization sees %q", got)
	}
	mine, others := auth.All(org), auth.All(org)
	mine.Owner, others.Owner = alice, "key bob"
	if got := list(mine, task.ApprovalOpen); len(got) != 4 {
		t.Errorf("S10: their owner sees %q", got)
	}
	if got := list(others, ""); len(got) > 0 {
		t.Errorf("S10: somebody else sees %q", got)
	}
}
