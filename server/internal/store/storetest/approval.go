package storetest

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

func approvalParts() []part {
	return []part{
		{"ApprovalsReadBackAsTheyWereAskedAndAnswered", approvals},
		{"ApprovalsGoWithTheirTask", approvalsGo},
	}
}

// inquiry is an approval as it was asked and answered, and whose it is.
type inquiry struct {
	task.Approval
	org, owner, group string
	answer            int64 // the number of the event that answers it, 0 for none
}

// inquirer asks people in the name of tasks, and remembers what has become of that.
type inquirer struct {
	*env
	all []inquiry
}

// serve makes a task, and hands it to a worker.
func (q *inquirer) serve(org, id, owner, group string) {
	q.t.Helper()
	q.begin(id, func(b *task.Begin) {
		b.Spec.OrganizationID, b.Owner, b.Group, b.Scoped = org, owner, group, true
	})
	q.do(org, id, claim("w"))
}

// saves applies a command to a task, and commits what comes of it.
func (q *inquirer) saves(org, id string, c task.Command) (changed task.Change) {
	q.t.Helper()
	q.write(func(tx lifecycle.Tx) error {
		t, err := tx.Task(org, id)
		if err != nil {
			return err
		}
		if changed, err = task.Apply(t, c, q.clock.stamp()); err != nil {
			return err
		}
		changed.Sign(signature)
		return tx.Save(changed)
	}, about(org, id)...)
	return changed
}

// ask asks something in the name of a task.
func (q *inquirer) ask(org, id, name string, asked task.Asked) {
	q.t.Helper()
	t := q.task(org, id).Task
	by := read(q.env, func(tx lifecycle.Tx) (*task.Attempt, error) { return tx.Attempt(org, id, t.Run.Number) })
	changed := q.saves(org, id, task.Ask{By: task.Writer{Fenced: true, Attempt: by}, ID: name, Asked: asked})
	q.all = append(q.all, inquiry{Approval: changed.Asked[0], org: org, owner: t.Owner, group: t.Group})
}

// find is what is known of an approval.
func (q *inquirer) find(org, name string) *inquiry {
	return &q.all[slices.IndexFunc(q.all, func(x inquiry) bool { return x.org == org && x.ID == name })]
}

// settle lets somebody answer, or with nil the deadline pass.
func (q *inquirer) settle(org, name string, reply *task.Reply) {
	q.t.Helper()
	x := q.find(org, name)
	changed := q.saves(org, x.TaskID, task.Respond{To: x.Approval, Reply: reply, By: "user é"})
	x.State, x.answer = changed.Settled[0].State, changed.Settled[0].Seq
	switch {
	case reply != nil:
		x.Answered = &task.Answered{Reply: *reply, By: "user é", At: q.clock.stamp()}
		x.Answered.ClientID = ""
	case x.Default != nil:
		x.Answered = &task.Answered{Reply: *x.Default, ByDefault: true, At: q.clock.stamp()}
	}
}

// end ends a task's turn, which closes what is open.
func (q *inquirer) end(org, id string) {
	q.t.Helper()
	for _, s := range q.saves(org, id, settle(task.EndCompleted, "r")).Settled {
		q.find(org, s.ID).State = s.State
	}
}

// approvals: what was asked is found by its id, by its key and in lists, with what has
// become of it, by those who see its task.
func approvals(e *env) {
	q := &inquirer{env: e}
	value := json.RawMessage(`{"amount" : 12345678901234567890, "é": "\u003c"}`)
	deadline := e.clock.stamp().Add(time.Hour)
	for _, org := range []string{home, away} { // the same names in both
		q.serve(org, "t-1", "key:1", "")
		q.serve(org, "t-2", "key:2", "g")
		q.ask(org, "t-1", "a-1", task.Asked{
			Key: "pay", Kind: task.KindApproval, Title: "é <b>", Message: "May I?", ToolName: "pay", Payload: value, Deadline: deadline,
			Schema: json.RawMessage(`{"type":"object"}`), Default: &task.Reply{Answer: task.Decline, Note: "nobody was there"}, Approvers: []string{"user:anna", "group:g"},
		})
		q.ask(org, "t-1", "a-2", task.Asked{Key: "name", Kind: task.KindQuestion, Message: "Who?"}) // in the same moment
		q.ask(org, "t-2", "a-3", task.Asked{Key: "pay", Kind: task.KindApproval, ToolName: "x", Deadline: deadline})
		e.clock.advance(time.Second)
		q.ask(org, "t-2", "a-4", task.Asked{Key: "more", Kind: task.KindQuestion, Message: "What?", Deadline: deadline})
		q.ask(org, "t-2", "a-5", task.Asked{Key: "last", Kind: task.KindApproval, ToolName: "y"})
		q.check()
		q.settle(org, "a-1", nil)
		q.settle(org, "a-4", nil)
		e.clock.advance(time.Second)
		q.settle(org, "a-2", &task.Reply{Answer: task.Approve, Value: value, Note: "it is <anna>", ClientID: "once"})
		q.settle(org, "a-5", &task.Reply{Answer: task.Decline})
		q.check()
		q.end(org, "t-2") // a-3 is open then
		q.do(org, "t-2", beginning(org, "t-2"), claim("w again"))
		q.ask(org, "t-2", "a-6", task.Asked{Key: "pay", Kind: task.KindApproval, ToolName: "the same key in another turn"})
		q.check()
	}
	for _, s := range task.ApprovalStates() {
		if !slices.ContainsFunc(q.all, func(x inquiry) bool { return x.State == s }) {
			e.t.Errorf("none is %s: it decides nothing", s)
		}
	}
	e.ok(e.Close())
	e.open()
	q.check()
}

// check compares all that can be read of approvals.
func (q *inquirer) check() {
	q.t.Helper()
	for _, in := range []auth.Scope{
		auth.All(home),
		auth.All(away),
		{Organization: home, Owner: "key:1"},
		{Organization: away, Owner: "key:2"},
		{Organization: home, Owner: "key:3"},
		{Organization: home, Group: "g"},
		{Organization: home, Group: "key:1"},
	} {
		q.checkScope(in)
	}
	for _, x := range q.all {
		name := fmt.Sprintf("%s of %s", x.ID, x.org)
		q.same(name, &x.Approval, read(q.env, func(tx lifecycle.Tx) (*task.Approval, error) { return tx.Approval(x.org, x.ID) }))
		q.same(name+" by its key", &x.Approval, read(q.env, func(tx lifecycle.Tx) (*task.Approval, error) {
			return tx.ApprovalOf(x.org, x.TaskID, x.Turn, x.Key)
		}))
		q.checkTask(x.org, x.TaskID, x.Turn)
	}
	q.same("one that was never asked", (*task.Approval)(nil), read(q.env, func(tx lifecycle.Tx) (*task.Approval, error) { return tx.Approval(home, "a-0") }))
	q.same("a key that was never used", (*task.Approval)(nil), read(q.env, func(tx lifecycle.Tx) (*task.Approval, error) {
		return tx.ApprovalOf(home, "t-1", 2, "pay")
	}))
}

// checkScope compares what those of a scope find, one by one and in lists.
func (q *inquirer) checkScope(in auth.Scope) {
	q.t.Helper()
	seen := q.those(func(x inquiry) bool { return x.org == in.Organization && in.Sees(x.owner, x.group) })
	slices.SortFunc(seen, func(a, b task.Approval) int { return cmp.Or(cmp.Compare(b.At, a.At), cmp.Compare(b.ID, a.ID)) })
	for _, state := range append(task.ApprovalStates(), "") {
		want := slices.DeleteFunc(slices.Clone(seen), func(a task.Approval) bool { return state != "" && a.State != state })
		for size := 1; size <= 3; size++ {
			var got []task.Approval
			for behind := (lifecycle.Cursor{}); len(got) <= len(want); {
				some, err := q.Approvals(q.t.Context(), in, state, behind, size)
				q.ok(err)
				if got = append(got, some...); len(some) == 0 {
					break
				}
				last := some[len(some)-1]
				behind = lifecycle.Cursor{CreatedAt: last.At, ID: last.ID}
			}
			q.same(fmt.Sprintf("state %q in %+v, %d at a time", state, in, size), want, append([]task.Approval{}, got...))
		}
	}
	for _, x := range q.all {
		if x.org != in.Organization {
			continue
		}
		found, err := q.Approval(q.t.Context(), in, x.ID)
		if !in.Sees(x.owner, x.group) {
			q.missing(fmt.Sprintf("%s in %+v", x.ID, in), err)
			q.same("the answer", fault.New(fault.NotFound, "no approval %q", x.ID).Error(), err.Error())
			continue
		}
		q.ok(err)
		q.same(fmt.Sprintf("%s in %+v", x.ID, in), x.Approval, found)
	}
}

// checkTask compares what is read of one task.
func (q *inquirer) checkTask(org, id string, turn int) {
	q.t.Helper()
	of := func(x inquiry) bool { return x.org == org && x.TaskID == id }
	want := q.those(func(x inquiry) bool { return of(x) && x.Turn == turn })
	got, err := q.ApprovalsOf(q.t.Context(), org, id, turn, 0, 100)
	q.ok(err)
	q.same(fmt.Sprintf("turn %d of %s", turn, id), want, got)
	got, err = q.ApprovalsOf(q.t.Context(), org, id, turn, want[0].Seq, 1)
	q.ok(err)
	q.same("the second of it", want[1:min(2, len(want))], append([]task.Approval{}, got...))
	for _, from := range []int64{1, want[0].Seq + 1, q.task(org, id).Task.LastSeq + 1} {
		want := q.those(func(x inquiry) bool {
			return of(x) && (x.Seq >= from || x.answer >= from || x.State == task.ApprovalClosed)
		})
		slices.Reverse(want)
		got, err := q.ApprovalsSince(q.t.Context(), org, id, from, 100)
		q.ok(err)
		q.same(fmt.Sprintf("%s since %d", id, from), want, append([]task.Approval{}, got...))
	}
}

// those are some of what is known, in the order in which it was asked.
func (q *inquirer) those(which func(inquiry) bool) []task.Approval {
	some := []task.Approval{}
	for _, x := range q.all {
		if which(x) {
			some = append(some, x.Approval)
		}
	}
	return some
}

// approvalsGo: nothing is left of a task's approvals when it is deleted, and what is undone
// was never asked.
func approvalsGo(e *env) {
	q := &inquirer{env: e}
	q.serve(home, "t", "key:1", "")
	q.ask(home, "t", "a", task.Asked{Key: "k", Kind: task.KindQuestion, Message: "?"})
	err := e.Write(e.t.Context(), about(home, "t"), func(tx lifecycle.Tx) error {
		err := change(tx, home, "t", task.Respond{To: q.all[0].Approval, Reply: &task.Reply{Answer: task.Decline}}, e.clock.stamp())
		return errors.Join(err, errUndo)
	})
	if !errors.Is(err, errUndo) {
		e.t.Fatal(err)
	}
	found, err := e.Approval(e.t.Context(), auth.All(home), "a")
	e.ok(err)
	e.same("an answer that was undone", q.all[0].Approval, found)

	q.end(home, "t")
	e.write(func(tx lifecycle.Tx) error { return remove(tx, home, "t", e.clock.stamp()) }, about(home, "t")...)
	_, err = e.Approval(e.t.Context(), auth.All(home), "a")
	e.missing("of a task that is deleted", err)
	left, err := e.Approvals(e.t.Context(), auth.All(home), "", lifecycle.Cursor{}, 10)
	e.ok(err)
	e.same("what is left", 0, len(left))
	q.serve(home, "t", "key:1", "")
	e.same("of its namesake", (*task.Approval)(nil), read(e, func(tx lifecycle.Tx) (*task.Approval, error) { return tx.ApprovalOf(home, "t", 1, "k") }))
}

// racedAnswers: of many who answer the same, on both stores, one is heard, and the task
// goes on once.
func racedAnswers(e *env) {
	other := e.second()
	for round := range 8 {
		q, id := &inquirer{env: e}, fmt.Sprint("t-", round)
		q.serve(home, id, "key:1", "")
		q.ask(home, id, "of "+id, task.Asked{Key: "k", Kind: task.KindQuestion, Message: "?"})
		answers := make([]error, 32)
		both(len(answers)/2, e, other, func(on *env, i int) {
			answers[i] = on.Write(e.t.Context(), about(home, id), func(tx lifecycle.Tx) error {
				now, err := tx.Approval(home, "of "+id)
				if err != nil {
					return err
				}
				return change(tx, home, id, task.Respond{To: *now, Reply: &task.Reply{Answer: task.Approve, Note: "it is"}, By: fmt.Sprint("w-", i)}, e.clock.stamp())
			})
		})
		found, err := other.Approval(e.t.Context(), auth.All(home), "of "+id)
		e.ok(err)
		e.same("who has answered", e.winner(answers), found.Answered.By)
		said := 0
		for _, x := range e.log(id) {
			if x.Type == task.ApprovalAnswered {
				said++
			}
		}
		e.same("answers in the log", 1, said)
	}
}
