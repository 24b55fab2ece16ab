package lifecycle

import (
	"context"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/stats"
	"github.com/errand-dev/errand/server/internal/task"
)

// Delete removes a task, its sub-tasks, their logs and secrets for good. What
// runs is cut off: its worker learns of it by NotFound. The task itself is gone
// with the first commit, for everybody; what is too much for that one follows in
// small ones, and goes on if the server dies in between. It returns when all is
// removed.
func (s *Service) Delete(ctx context.Context, who Caller, id string) error {
	return s.write(ctx, who.By, aboutTask(who.Organization, id), func(tx writing) error {
		found, err := find(tx.Tx, who.Scope, id)
		if err != nil {
			return err
		}
		if found.Task.Ended() == "" {
			if err := tx.tellParent(found.Task, true); err != nil {
				return err
			}
		}
		tx.rest.room = eraseRoom
		return remove(tx, found.Task)
	})
}

// remove deletes one task. What a Python worker may still run of it, or tell of,
// stays behind (rules L6, L10).
func remove(tx writing, t task.Task) error {
	org, id := t.OrganizationID, t.ID
	tx.rest.room -= visitCost
	left, err := tx.Attempts(org, id)
	if err != nil {
		return err
	}
	if err := tx.DropUses(org, id); err != nil {
		return err
	}
	if err := tx.Delete(org, id); err != nil {
		return err
	}
	tx.AddStats(stats.Removed(t))
	for _, a := range left {
		if a = a.Orphaned(tx.Now()); a.Remains() {
			if err := tx.PutAttempt(org, id, a); err != nil {
				return err
			}
		}
	}
	return erase(tx, org, id)
}

// erase removes of a deleted task's sub-tasks, and then of what is left of itself,
// as much as the commit has room for.
func erase(tx writing, org, id string) error {
	for more := true; more && tx.rest.room > 0; {
		children, err := tx.Children(org, id, visits)
		if err != nil {
			return err
		}
		more = len(children) == visits
		for _, child := range children {
			if tx.rest.room <= 0 {
				break
			}
			t, err := tx.Task(org, child) // nobody writes it meanwhile
			if fault.CodeOf(err) == fault.NotFound {
				continue
			}
			if err != nil {
				return err
			}
			if err := remove(tx, t); err != nil {
				return err
			}
		}
	}
	if tx.rest.room > 0 {
		left, err := tx.Erase(org, id, tx.rest.room)
		if tx.rest.room = left; err != nil || left > 0 {
			return err
		}
	}
	tx.leave(org, id)
	return nil
}
