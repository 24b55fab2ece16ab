package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

func deleteParts() []part {
	return []part{
		{"DeleteRemovesATaskAndNothingElse", deleted},
		{"EraseInSteps", erasedInSteps},
		{"DeletedIdMayBeUsedAgain", reborn},
		{"DeleteTakesAttemptsAlong", attemptsGo},
		{"OrganizationsDoNotSeeEachOther", apart},
		{"ChildrenAndSubTasks", children},
		{"BelowAStop", below},
	}
}

// furnish gives a task something of everything that belongs to one.
func (e *env) furnish(org, id string) {
	e.t.Helper()
	e.begin(id, func(b *task.Begin) {
		b.Spec.OrganizationID, b.Spec.ParentExecution = org, new("parent")
		b.Spec.ExpiresIn, b.Spec.Timeout = 1, 1
		b.Spec.Input.User = json.RawMessage(`{"id":"user"}`)
		b.State.TriggeringAgentID, b.State.InternalStatus = new("trigger"), new("note")
	})
	named := chunk(org)
	named.Events[0].ClientID = "client-" + org
	run := e.do(org, id, assign("py"), start(), named, settle(task.EndFailed, "result of "+org)).Run
	e.do(org, id, task.Patch{Full: true, Status: task.Completed, Number: 1, From: run, Result: new("late")},
		beginning(org, id, func(b *task.Begin) { b.Spec.ParentExecution = new("parent") }), claim("w"))
	e.do(org, id, task.CommitStep{By: task.Writer{Fenced: true, Attempt: e.task(org, id).Task.Run}, Step: task.Step{ID: "s", Body: json.RawMessage(`"of ` + org + `"`)}})
	e.do(org, id, task.WriteOutput{
		By: task.Writer{Fenced: true, Attempt: e.task(org, id).Task.Run}, Output: &task.Output{Name: "o", File: "of " + id, Size: 1, ContentType: "text/plain"},
	})
	e.do(org, id, task.Give{By: task.Writer{Fenced: true, Attempt: e.task(org, id).Task.Run}, Files: []task.Given{{Number: 1, Name: "g"}}})
	e.write(func(tx lifecycle.Tx) error {
		return errors.Join(
			tx.PutSecret(org, lifecycle.OfTask, id, []byte(org)),
			tx.PutSecret(org, lifecycle.OfAgent, id, []byte(org)),
			tx.PutReplay(org, "create", "of "+id, nil, lifecycle.Replay{Hash: []byte(org), TaskID: id, At: e.clock.stamp()}),
		)
	})
}

// belongings is everything that the store knows of a task.
type belongings struct {
	Task                  lifecycle.Snapshot
	Log                   []task.Event
	Steps                 []task.Step
	Step                  *task.Step
	Outputs               []task.Output
	Output                *task.Output
	Given                 []task.Given
	Attempts              []*task.Attempt
	ByToken               *task.Attempt
	Secret, SecretOfAgent []byte
	Replay                *lifecycle.Replay
	Client                map[string]int64
	Queue                 lifecycle.Queue
}

func (e *env) belongings(org, id string) belongings {
	e.t.Helper()
	ctx := e.t.Context()
	var b belongings
	var failed [8]error
	b.Task, failed[0] = e.Task(ctx, auth.All(org), id)
	b.Log, failed[1] = e.Events(ctx, org, id, 0, 1000)
	b.Secret, failed[2] = e.Secret(ctx, org, lifecycle.OfTask, id)
	b.SecretOfAgent, failed[3] = e.Secret(ctx, org, lifecycle.OfAgent, id)
	b.Queue, failed[4] = e.Waiting(ctx, org, id)
	b.Steps, failed[5] = e.Steps(ctx, org, id, 2, 0, 1000)
	b.Outputs, failed[6] = e.Outputs(ctx, org, id, 2, 0, 1000)
	b.Given, failed[7] = e.Given(ctx, org, id, 2, 0, 1000)
	b.Queue.Occupied = nil // they hold other tasks as well
	for i, err := range failed {
		if i == 0 || i == 4 {
			continue
		}
		e.ok(err)
	}
	e.write(func(tx lifecycle.Tx) (err error) {
		b.Attempts = nil
		for n := range 4 {
			a, err := tx.Attempt(org, id, n)
			if err != nil {
				return err
			}
			b.Attempts = append(b.Attempts, a)
		}
		if b.ByToken, err = tx.AttemptByToken(org, id, claim("w").TokenHash); err != nil {
			return err
		}
		if b.Client, err = tx.SeqsOfClients(org, id, 1, []string{"client-" + org}); err != nil {
			return err
		}
		if b.Step, err = tx.Step(org, id, 2, "s"); err != nil {
			return err
		}
		if b.Output, err = tx.Output(org, id, 2, "o"); err != nil {
			return err
		}
		b.Replay, err = tx.Replay(org, "create", "of "+id)
		return err
	})
	return b
}

func deleted(e *env) {
	e.furnish(home, "t")
	e.furnish(home, "neighbour")
	e.furnish(away, "t")
	e.write(func(tx lifecycle.Tx) error { return tx.PutAgent(agentRecord(home, "t", 1)) })
	neighbour, foreign := e.belongings(home, "neighbour"), e.belongings(away, "t")
	for _, b := range []belongings{neighbour, foreign} {
		if b.ByToken == nil || b.Attempts[1] == nil || len(b.Steps) != 1 || b.Step == nil || len(b.Outputs) != 1 || len(b.Given) != 1 || b.Output == nil || b.Secret == nil || b.Replay == nil || b.Client == nil {
			e.t.Fatalf("a furnished task lacks something: %+v", b)
		}
	}
	e.clock.advance(1 << 40)
	e.same("due", []string{"neighbour", "t"}, e.due())

	e.write(func(tx lifecycle.Tx) error {
		if err := tx.Delete(home, "t"); err != nil {
			return err
		}
		if _, err := tx.Task(home, "t"); err == nil {
			return errors.New("it is there after its deletion")
		}
		return nil
	})
	_, err := e.Task(e.t.Context(), auth.All(home), "t")
	e.missing("deleted task", err)
	e.same("unfinished", []string{"t"}, e.unfinished())
	e.write(erasing(home, "t"), about(home, "t")...)
	e.same("unfinished", []string{}, e.unfinished())
	e.same("what is left of it", belongings{Attempts: make([]*task.Attempt, 4), SecretOfAgent: []byte(home)}, e.belongings(home, "t"))
	e.same("due", []string{"neighbour"}, e.due())
	e.same("children", []string{"neighbour"}, read(e, func(tx lifecycle.Tx) ([]string, error) { return tx.Children(home, "parent", 1000) }))
	for _, f := range []lifecycle.Filter{
		{},
		{Agent: agent},
		{User: "user"},
		{Parent: "parent"},
		{Trigger: "trigger"},
		{Status: lifecycle.Among(task.Executing)},
		{InternalStatus: "note"},
	} {
		for _, x := range e.list(f, lifecycle.Page{Size: 10}).Items {
			e.same("listed", "neighbour", x.ID)
		}
	}
	neighbour.Queue.Executing-- // the deleted one executed beside it
	e.same("neighbour", neighbour, e.belongings(home, "neighbour"))
	e.same("namesake", foreign, e.belongings(away, "t"))
	_, err = e.Agent(e.t.Context(), home, "t", 0)
	e.ok(err)
	e.same("deletions told", [][2]string{{home, "t"}}, e.told.deleted())
	e.write(func(tx lifecycle.Tx) error { return tx.Delete(home, "never there") })
}

// erasing removes in one commit what is left of a deleted task.
func erasing(org, id string) func(lifecycle.Tx) error {
	return func(tx lifecycle.Tx) error {
		left, err := tx.Erase(org, id, 1000)
		return errors.Join(err, differs("something is left", false, left == 0))
	}
}

// unfinished lists what further commits have to go on with.
func (e *env) unfinished() []string {
	e.t.Helper()
	ids, err := e.Unfinished(e.t.Context(), home, 10)
	e.ok(err)
	e.same("something is unfinished", len(ids) > 0, e.dues(e.clock.stamp()).Unfinished)
	return append([]string{}, ids...)
}

// erasedInSteps: what is left of a deleted task goes in steps of so many rows, and
// of so many bytes, the log from its end. Until then it is told to be there.
func erasedInSteps(e *env) {
	e.furnish(home, "neighbour")
	neighbour := e.belongings(home, "neighbour")
	e.begin("t")
	for range 3 {
		e.do(home, "t", claim("w"), chunk("a"), chunk(strings.Repeat("x", 3<<20)), chunk(strings.Repeat("y", 3<<20)), settle(task.EndFailed, "r"), beginning(home, "t"))
	}
	e.write(func(tx lifecycle.Tx) error { return tx.Delete(home, "t") }, about(home, "t")...)
	before := e.log("t")
	rows := len(before) + 4 + 3 // turns and attempts
	for steps := 1; ; steps++ {
		const most = 7
		if steps > rows {
			e.t.Fatal("it never ends")
		}
		there := read(e, func(tx lifecycle.Tx) (bool, error) { return tx.Unerased(home, "t") })
		e.same("something is left", []any{true, []string{"t"}}, []any{there, e.unfinished()})
		var left int
		e.write(func(tx lifecycle.Tx) (err error) {
			left, err = tx.Erase(home, "t", most)
			return err
		}, about(home, "t")...)
		now := e.log("t")
		for i, ev := range now {
			e.same("seq", int64(i+1), ev.Seq)
		}
		removed, size := before[len(now):], 0
		for _, ev := range removed {
			size += len(ev.Own)
		}
		if len(removed) > most-left || size > 4<<20+3<<20 { // the row that reaches the bound goes, too
			e.t.Errorf("%d events of %d bytes were removed at once", len(removed), size)
		}
		if before = now; left > 0 {
			e.same("events left", 0, len(now))
			break
		}
	}
	b := e.belongings(home, "t")
	e.same("what is left of it", belongings{Attempts: make([]*task.Attempt, 4)}, b)
	e.same("unfinished", []string{}, e.unfinished())
	e.same("rows of nothing", 5, read(e, func(tx lifecycle.Tx) (int, error) { return tx.Erase(home, "t", 5) }))
	e.same("neighbour", neighbour, e.belongings(home, "neighbour"))
}

func reborn(e *env) {
	e.furnish(home, "t")
	e.write(func(tx lifecycle.Tx) error {
		if _, err := tx.Task(home, "t"); err != nil {
			return err
		}
		if err := tx.Delete(home, "t"); err != nil {
			return err
		}
		if err := erasing(home, "t")(tx); err != nil {
			return err
		}
		return create(tx, beginning(home, "t"), e.clock.stamp())
	})
	b := e.belongings(home, "t")
	e.same("length of the log", 1, len(b.Log))
	e.same("first seq", int64(1), b.Log[0].Seq)
	e.same("attempts of before", make([]*task.Attempt, 4), b.Attempts)
	e.same("result of before", (*string)(nil), b.Task.Task.State().Result)
	e.same("secret of before", []byte(nil), b.Secret)
	e.do(home, "t", claim("w"), chunk("x"))
	e.same("length of the log", 4, len(e.log("t")))
}

// attemptsGo: of a deleted task stays what its attempts are made to leave behind,
// also under the id that a new task takes.
func attemptsGo(e *env) {
	left := func() []task.Attempt {
		e.t.Helper()
		return read(e, func(tx lifecycle.Tx) ([]task.Attempt, error) { return tx.Attempts(home, "t") })
	}
	e.begin("t")
	run := *e.do(home, "t", assign("py"), start()).Run
	e.same("attempts that hold the task", []task.Attempt{run}, left())
	e.write(func(tx lifecycle.Tx) error {
		if err := tx.Delete(home, "t"); err != nil {
			return err
		}
		gone, err := tx.Attempts(home, "t")
		if err := errors.Join(err, differs("attempts in the commit", 0, len(gone))); err != nil {
			return err
		}
		return tx.PutAttempt(home, "t", run.Orphaned(e.clock.stamp()))
	}, about(home, "t")...)
	e.write(erasing(home, "t"), about(home, "t")...)
	_, err := e.Task(e.t.Context(), auth.All(home), "t")
	e.missing("deleted task with an orphan", err)
	e.same("orphan", []task.Attempt{run.Orphaned(e.clock.stamp())}, left())
	e.begin("t", func(b *task.Begin) { b.Numbered = 1 })
	e.same("beside a new task", []task.Attempt{run.Orphaned(e.clock.stamp())}, left())
	e.same("attempt of the new task", 2, e.do(home, "t", claim("w")).Run.Number)
	e.write(func(tx lifecycle.Tx) error { return tx.DropAttempt(home, "t", 1) }, about(home, "t")...)
	e.same("dropped", 0, len(left()))
	e.same("attempt of the new task", 2, e.task(home, "t").Task.Run.Number)
}

// apart: all that a caller can do with a task in one organization leaves its
// namesake in another as it was.
func apart(e *env) {
	e.furnish(home, "t")
	e.furnish(away, "t")
	before := e.belongings(home, "t")
	for _, ev := range before.Log {
		if ev.Type == task.TaskFinished {
			e.same("result", json.RawMessage(`{"result":"result of home"}`), ev.Kept)
		}
	}
	e.do(away, "t", chunk("x"), task.Pause{}, task.Resume{}, settle(task.EndCompleted, "r"), settle(task.EndFailed, "s"))
	e.write(func(tx lifecycle.Tx) error {
		return errors.Join(tx.PutAttempt(away, "t", task.Attempt{Number: 1, WorkerID: "py"}), tx.DropAttempt(away, "t", 1), tx.PutSecret(away, lifecycle.OfTask, "t", []byte("new")), tx.Delete(away, "t"), erasing(away, "t")(tx))
	})
	e.same("namesake", before, e.belongings(home, "t"))
	e.same("told", before.Log, e.told.events(home, "t"))
	_, err := e.Task(e.t.Context(), auth.All(away), "t")
	e.missing("deleted task", err)
}

// children: a task's sub-tasks, the oldest first, all of them in a commit and those
// until a moment beside it.
func children(e *env) {
	child := func(org string) func(*task.Begin) {
		return func(b *task.Begin) { b.Spec.OrganizationID, b.Spec.ParentExecution = org, new("parent") }
	}
	e.begin("parent")
	begun := e.clock.stamp()
	for _, id := range []string{"c", "a", "b"} {
		e.begin(id, child(home))
		e.clock.advance(1000)
	}
	e.begin("z", child(away))
	e.write(func(tx lifecycle.Tx) error {
		ids, err := tx.Children(home, "parent", 1000)
		none, failed := tx.Children(home, "", 1000)
		return errors.Join(err, failed, differs("children", []string{"c", "a", "b"}, ids), differs("children of nothing", 0, len(none)))
	})
	e.begin("aa", child(home)) // these two in the same moment
	e.begin("dd", child(home))
	for _, c := range []struct {
		id    string
		until task.Stamp
		limit int
		want  []string
	}{
		{"parent", begun - 1, 9, []string{}},
		{"parent", begun, 9, []string{"c"}},
		{"parent", begun + 1, 9, []string{"c", "a"}},
		{"parent", begun + 2, 9, []string{"c", "a", "b"}},
		{"parent", begun + 3, 9, []string{"c", "a", "b", "aa", "dd"}},
		{"parent", begun + 3, 4, []string{"c", "a", "b", "aa"}},
		{"c", begun + 3, 9, []string{}},
		{"", begun + 3, 9, []string{}},
	} {
		ids, err := e.SubTasks(e.t.Context(), home, c.id, c.until, c.limit)
		e.ok(err)
		e.same(fmt.Sprintf("%d sub-tasks of %q until %d", c.limit, c.id, c.until-begun), c.want, append([]string{}, ids...))
	}
}

// below: those sub-tasks that a stop has to visit, by their ids, and which stops are
// still on their way.
func below(e *env) {
	child := func(parent string) func(*task.Begin) {
		return func(b *task.Begin) { b.Spec.ParentExecution = &parent }
	}
	e.begin("parent")
	for _, id := range []string{"d", "b", "ended", "a", "c"} {
		e.begin(id, child("parent"))
		e.clock.advance(1000)
	}
	e.begin("stranger")
	e.do(home, "c", task.AddChild{}, settle(task.EndCompleted, "r"), task.Visited{Done: true})
	e.do(home, "ended", settle(task.EndCompleted, "r"))
	for _, x := range []struct {
		id, after string
		limit     int
		want      []string
	}{
		{"parent", "", 9, []string{"a", "b", "c", "d"}},
		{"parent", "b", 9, []string{"c", "d"}},
		{"parent", "aa", 2, []string{"b", "c"}},
		{"parent", "d", 9, []string{}},
		{"", "", 9, []string{}},
	} {
		ids := read(e, func(tx lifecycle.Tx) ([]string, error) { return tx.Below(home, x.id, x.after, x.limit) })
		e.same(fmt.Sprintf("%d below %q behind %q", x.limit, x.id, x.after), x.want, append([]string{}, ids...))
	}
	e.same("unfinished", []string{}, e.unfinished())
	e.do(home, "parent", task.AddChild{}, task.RequestStop{By: "p"})
	stopped := e.task(home, "parent").Task.Descent
	e.same("descent", task.Descent{At: e.clock.stamp(), By: "p", All: true, Going: true}, stopped)
	e.same("unfinished", []string{"parent"}, e.unfinished())
	e.do(home, "parent", task.Visited{After: "b"})
	stopped.After = "b"
	e.same("descent", stopped, e.task(home, "parent").Task.Descent)
	e.do(home, "parent", task.Visited{After: "d", Done: true})
	stopped.After, stopped.Going = "d", false
	e.same("descent", stopped, e.task(home, "parent").Task.Descent)
	e.same("unfinished", []string{}, e.unfinished())
}
