package lifecycle

import (
	"context"

	"github.com/errand-dev/errand/server/internal/task"
)

// Stop ends a task's turn stopped, with all its sub-tasks, in one commit
// (rules X). It is idempotent; an ended task is answered unchanged.
func (s *Service) Stop(ctx context.Context, who Caller, id string) (Snapshot, error) {
	var after Snapshot
	err := s.write(ctx, who.By, aboutTask(who.Organization, id), func(tx writing) error {
		before, err := find(tx, who.Scope, id)
		if err != nil {
			return err
		}
		if before.Task.Ended() != "" { // answered unchanged, and so is what is below it
			changed, err := apply(tx, before.Task, task.RequestStop{By: who.By})
			after = Snapshot{Task: changed.Task, Spec: before.Spec}
			return err
		}
		changed, err := stopAll(tx, before.Task, who.By, map[string]bool{})
		after = Snapshot{Task: changed, Spec: before.Spec}
		return err
	})
	return after, err
}

// stopAll stops a task and then those below it; seen guards against circles.
func stopAll(tx writing, t task.Task, by string, seen map[string]bool) (task.Task, error) {
	seen[t.ID] = true
	changed, err := apply(tx, t, task.RequestStop{By: by})
	if err != nil {
		return task.Task{}, err
	}
	return changed.Task, stopChildren(tx, t, by, seen)
}

func stopChildren(tx writing, t task.Task, by string, seen map[string]bool) error {
	children, err := tx.Children(t.OrganizationID, t.ID)
	if err != nil {
		return err
	}
	for _, id := range children {
		if seen[id] {
			continue
		}
		child, err := tx.Task(t.OrganizationID, id)
		if err != nil {
			return err
		}
		if _, err := stopAll(tx, child, by, seen); err != nil {
			return err
		}
	}
	return nil
}

// Delete removes a task, its sub-tasks, their logs and secrets for good. What
// runs is cut off: its worker learns of it by NotFound.
func (s *Service) Delete(ctx context.Context, who Caller, id string) error {
	return s.store.Write(ctx, aboutTask(who.Organization, id), func(tx Tx) error {
		if _, err := find(tx, who.Scope, id); err != nil {
			return err
		}
		return deleteAll(tx, who.Organization, id, map[string]bool{})
	})
}

func deleteAll(tx Tx, org, id string, seen map[string]bool) error {
	seen[id] = true
	children, err := tx.Children(org, id)
	if err != nil {
		return err
	}
	for _, child := range children {
		if !seen[child] {
			if err := deleteAll(tx, org, child, seen); err != nil {
				return err
			}
		}
	}
	return remove(tx, org, id)
}

// remove deletes one task. What a Python worker may still run of it, or tell of,
// stays behind (rules L6, L10).
func remove(tx Tx, org, id string) error {
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
	for _, a := range left {
		if a = a.Orphaned(tx.Now()); a.Remains() {
			if err := tx.PutAttempt(org, id, a); err != nil {
				return err
			}
		}
	}
	return nil
}
