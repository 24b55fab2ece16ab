package lifecycle

import (
	"context"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/task"
)

// Stop ends a task's turn stopped, and all that runs below it (rules X). It is
// idempotent; an ended task is answered unchanged, and what is below it is stopped
// all the same. It returns when all is done: what is too much for the task's own
// commit follows in small ones, and goes on if the server dies in between.
func (s *Service) Stop(ctx context.Context, who Caller, id string) (Snapshot, error) {
	return s.change(ctx, who, id, func(writing, task.Task) (task.Command, error) { return task.RequestStop{By: who.By}, nil })
}

// StopTurn is Stop for the task's turn of that number. If another has followed it is a
// Conflict: whoever stops a turn does not mean the next one.
func (s *Service) StopTurn(ctx context.Context, who Caller, id string, turn int) (Snapshot, error) {
	return s.change(ctx, who, id, func(_ writing, t task.Task) (task.Command, error) {
		if t.Terms.Turn != turn {
			return nil, fault.New(fault.Conflict, "turn %d of task %q is over: turn %d has followed", turn, id, t.Terms.Turn)
		}
		return task.RequestStop{By: who.By}, nil
	})
}

// descend carries a task's descent as far as the commit has room, and notes how far
// that is.
func descend(tx writing, t task.Task) (task.Task, error) {
	at, done := t.Descent.After, false
	for !done && tx.rest.room > 0 {
		below, err := tx.Below(t.OrganizationID, t.ID, at, visits)
		if err != nil {
			return task.Task{}, err
		}
		done = len(below) < visits
		for _, id := range below {
			if done = done && tx.rest.room > 0; tx.rest.room <= 0 {
				break
			}
			if err := visit(tx, t.Descent, t.OrganizationID, id); err != nil {
				return task.Task{}, err
			}
			at = id
		}
	}
	now, err := tx.Task(t.OrganizationID, t.ID) // what was visited may have told it, or begun another descent
	if err != nil || !now.Descent.Same(t.Descent) {
		return now, err
	}
	if !done {
		tx.leave(t.OrganizationID, t.ID)
	}
	changed, err := applyAlone(tx, now, task.Visited{After: at, Done: done})
	return changed.Task, err
}

// visit lets a descent come to a sub-task.
func visit(tx writing, x task.Descent, org, id string) error {
	tx.rest.room -= visitCost
	child, err := tx.Task(org, id)
	if err != nil {
		return err
	}
	switch {
	case x.Reaches(&child):
		_, err = apply(tx, child, x.Command())
	case x.PassesBy(&child):
		_, err = apply(tx, child, task.Pass{Descent: x})
	}
	return err
}
