package task

import (
	"encoding/json"
	"slices"

	"github.com/errand-dev/errand/server/internal/fault"
)

// Cause says what a paused turn waits for.
type Cause string

// The causes. The zero value is somebody who has paused the task, and may resume it.
const (
	ForPerson   Cause = "person"   // the answer to a question
	ForApproval Cause = "approval" // a person's yes or no
	ForChild    Cause = "child"    // the end of sub-tasks
	ForTimer    Cause = "timer"    // a moment
	ForBudget   Cause = "budget"   // a larger one (rule B1)
)

// Wait is what a paused turn waits for; the zero value is nothing, so that only
// somebody may resume it. The turn has no attempt, and thereby no slot and no lease
// (rule S9).
type Wait struct {
	Cause Cause `json:"cause"`
	// Asks and SubTasks are the ids of what has not come yet. The wait is over when
	// all of it has, or with Any the first.
	Asks     []string `json:"approvals,omitempty"`
	SubTasks []string `json:"sub_tasks,omitempty"`
	Any      bool     `json:"any,omitempty"`
	// Until is when it is over whatever has come, 0 for never.
	Until Stamp `json:"until,omitzero"`
	// Paused says that somebody has paused the task as well: it goes on when that is
	// over, too.
	Paused bool `json:"held,omitempty"`
	// Cap is the one that holds the turn, with the cause budget; nil for none.
	Cap *Capped `json:"cap,omitempty"`
}

// MaxAwaited bounds how many things a turn may wait for at a time.
const MaxAwaited = 100

// Waits reports whether the turn waits for something else than somebody's resume.
func (t *Task) Waits() bool { return t.Wait.Cause != "" }

// same reports whether two waits are equal.
func (w Wait) same(x Wait) bool {
	return w.Cause == x.Cause && w.Any == x.Any && w.Until == x.Until && w.Paused == x.Paused && sameCap(w.Cap, x.Cap) &&
		slices.Equal(w.Asks, x.Asks) && slices.Equal(w.SubTasks, x.SubTasks)
}

func sameCap(a, b *Capped) bool { return a == b || a != nil && b != nil && *a == *b }

// Await gives the turn up until something has come: the attempt ends, and is not
// counted (L4, S9).
type Await struct {
	By Writer
	// For is what has not come.
	For Wait
	// Side is what the attempt tells of itself: fields of State.
	Side     json.RawMessage
	Adjusted []string
}

func (c Await) apply(d *draft) error {
	t := &d.t
	if !d.mayWrite(c.By) { // nothing of it is lost, so nothing is logged
		return fault.New(fault.Conflict, "this attempt no longer owns the task, which is %s", t.state.Status)
	}
	if !c.By.Fenced {
		return fault.New(fault.Conflict, "only an attempt with a lease token may wait")
	}
	if _, err := d.tell(*t.Run, c.Side, nil, c.Adjusted); err != nil {
		return err
	}
	return d.await(c.For)
}

// await makes the turn wait, in the name of its attempt.
func (d *draft) await(w Wait) error {
	t := &d.t
	if err := d.move(actWait, Paused); err != nil {
		return err
	}
	t.state.PausedAt = d.now
	d.keepTime()
	d.endAttempt(OutcomeWaiting)
	t.Starts--
	t.Again.GivenBack = 0
	t.Wait = w
	d.log(TurnPaused, w)
	d.logState(TaskUpdated, nil)
	return nil
}

// came notes that something has come about that the turn may wait for. of is the list
// in which it would stand.
func (d *draft) came(of func(*Wait) *[]string, id string) error {
	w := d.t.Wait
	list := of(&w)
	at := slices.Index(*list, id)
	if at < 0 {
		return nil
	}
	*list = slices.Delete(slices.Clone(*list), at, at+1)
	d.t.Wait = w
	if w.Any || len(w.Asks)+len(w.SubTasks) == 0 {
		return d.wake()
	}
	return nil
}

func asksOf(w *Wait) *[]string     { return &w.Asks }
func subTasksOf(w *Wait) *[]string { return &w.SubTasks }

// wake ends the wait: the turn is queued again, unless somebody holds it.
func (d *draft) wake() error {
	was := d.t.Wait
	d.t.Wait = Wait{}
	if was.Paused {
		return nil
	}
	if err := d.move(actWake, Pending); err != nil {
		return err
	}
	d.requeue(0)
	d.t.state.PausedAt = 0
	d.log(TurnResumed, struct {
		Cause Cause `json:"cause"`
	}{was.Cause})
	d.logState(TaskUpdated, nil)
	return nil
}

// SubTaskOver tells a task that one of its sub-tasks has ended, or was deleted (S9).
// A turn that has ended is not told.
type SubTaskOver struct {
	Child *Task
	// Deleted says that it is gone; else how it has ended is told.
	Deleted bool
}

func (c SubTaskOver) apply(d *draft) error {
	if d.t.ended != "" {
		return nil
	}
	over := struct {
		ID      string    `json:"task_id"`
		Agent   string    `json:"agent_id"`
		Status  Status    `json:"status,omitempty"`
		Reason  EndReason `json:"end_reason,omitempty"`
		Deleted bool      `json:"deleted,omitempty"`
	}{ID: c.Child.ID, Agent: c.Child.AgentID, Deleted: c.Deleted}
	if !c.Deleted {
		over.Status, over.Reason = c.Child.ended.Status(), c.Child.ended
	}
	d.log(SubTaskFinished, over)
	return d.came(subTasksOf, c.Child.ID)
}
