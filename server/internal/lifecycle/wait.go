package lifecycle

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/task"
)

// WaitFor is what an attempt gives its turn up for.
type WaitFor struct {
	// SubTasks are the ids of sub-tasks whose end it waits for, Approvals those of
	// approvals whose answer it does.
	SubTasks, Approvals []string
	// Any says that the first of all that it waits for is enough.
	Any bool
	// Until is when it waits no longer, 0 for never. Without anything else, the turn
	// just goes on then.
	Until task.Stamp
	// Side is what the attempt tells of itself: fields of task.State.
	Side json.RawMessage
}

// Waited is what came of a wait.
type Waited struct {
	// Waiting says that the attempt is over: the next one of the turn begins when
	// what it waits for has come. Otherwise it goes on.
	Waiting bool
	// SubTasks are those that had not ended, Approvals those that were open.
	SubTasks, Approvals []string

	came  bool // something has
	cause task.Cause
}

// Wait ends an attempt until something has come: its turn is paused without a slot
// and without a lease, and queued again then (S9). If it has come already, or the time
// has passed, the attempt goes on. Repeating it is answered like the first time.
func (s *Service) Wait(ctx context.Context, org, id, token string, w WaitFor) (Waited, error) {
	if err := invalidToken(token); err != nil {
		return Waited{}, err
	}
	if err := w.check(); err != nil {
		return Waited{}, err
	}
	ctx = context.WithoutCancel(ctx) // what has given its turn up must not be told that it has not
	var done Waited
	err := s.write(ctx, s.node, aboutTask(org, id), func(tx writing) error {
		done = Waited{}
		t, by, err := claimed(tx, org, id, token)
		if err != nil {
			return err
		}
		if gaveUp(t, by.Attempt) { // the first answer was lost
			done = Waited{Waiting: true, SubTasks: slices.Clone(t.Wait.SubTasks), Approvals: slices.Clone(t.Wait.Asks)}
			return nil
		}
		if err := done.look(tx, t, w); err != nil {
			return err
		}
		done.Waiting, err = await(tx, t, by, w, done)
		return err
	})
	return done, err
}

// gaveUp reports whether an attempt has given its turn up, which still waits.
func gaveUp(t task.Task, a *task.Attempt) bool {
	return a != nil && a.Outcome == task.OutcomeWaiting && t.Waits() && t.Run != nil && t.Run.Number == a.Number
}

// await lets the turn wait for what is left, unless it has come. Then the attempt goes
// on, with its lease renewed.
func await(tx writing, t task.Task, by task.Writer, w WaitFor, left Waited) (waits bool, err error) {
	side, adjusted := storableSide(w.Side)
	var c task.Command = task.Renew{By: by, Side: side, Adjusted: adjusted}
	if waits = w.lasts(left, tx.Now()); waits {
		c = task.Await{By: by, For: task.Wait{
			Cause: cmp.Or(left.cause, task.ForTimer), SubTasks: left.SubTasks, Asks: left.Approvals, Any: w.Any, Until: w.Until,
		}, Side: side, Adjusted: adjusted}
	}
	changed, err := apply(tx, t, c)
	return waits, cmp.Or(err, changed.Refused)
}

func (w WaitFor) check() error {
	switch {
	case len(w.SubTasks) > task.MaxAwaited:
		return fault.Field("sub_tasks", "must not be more than %d", task.MaxAwaited)
	case len(w.Approvals) > task.MaxAwaited:
		return fault.Field("approvals", "must not be more than %d", task.MaxAwaited)
	case len(w.SubTasks)+len(w.Approvals) == 0 && w.Until == 0:
		return fault.Field("until", "is needed where nothing else is waited for")
	}
	return nil
}

// lasts reports whether there is still something to wait for.
func (w WaitFor) lasts(left Waited, now task.Stamp) bool {
	switch {
	case w.Until != 0 && w.Until <= now, w.Any && left.came:
		return false
	default:
		return len(left.SubTasks)+len(left.Approvals) > 0 || !left.came
	}
}

// look finds out what of all that is waited for has not come. A sub-task that was
// deleted has ended.
func (left *Waited) look(tx Tx, t task.Task, w WaitFor) error {
	left.SubTasks, left.Approvals = []string{}, []string{}
	for i, id := range w.SubTasks {
		child, err := tx.Task(t.OrganizationID, id)
		switch {
		case fault.CodeOf(err) == fault.NotFound:
			left.came = true
		case err != nil:
			return err
		case child.Terms.ParentID != t.ID:
			return fault.Field(fmt.Sprintf("sub_tasks[%d]", i), "is no sub-task of this task")
		case child.Ended() != "":
			left.came = true
		case !slices.Contains(left.SubTasks, id):
			left.SubTasks, left.cause = append(left.SubTasks, id), task.ForChild
		}
	}
	for i, id := range w.Approvals {
		a, err := tx.Approval(t.OrganizationID, id)
		if err != nil {
			return err
		}
		if a == nil || a.TaskID != t.ID || a.Turn != t.Terms.Turn {
			return fault.Field(fmt.Sprintf("approvals[%d]", i), "is no approval that this turn has asked for")
		}
		left.note(*a)
	}
	return nil
}

// note finds out whether an approval is still to be waited for. That somebody has to
// answer is what the task says of all that it waits for.
func (left *Waited) note(a task.Approval) {
	switch {
	case a.State != task.ApprovalOpen:
		left.came = true
	case !slices.Contains(left.Approvals, a.ID):
		left.Approvals, left.cause = append(left.Approvals, a.ID), a.Kind.Cause()
	}
}

// tellParent tells a task's parent that the task has ended, or was deleted (S9).
func (tx writing) tellParent(t task.Task, deleted bool) error {
	if t.Terms.ParentID == "" {
		return nil
	}
	p, err := tx.Task(t.OrganizationID, t.Terms.ParentID)
	if fault.CodeOf(err) == fault.NotFound {
		return nil
	}
	if err == nil && p.Ended() == "" {
		_, err = apply(tx, p, task.SubTaskOver{Child: &t, Deleted: deleted})
	}
	return err
}
