package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/task"
)

// retainLook is how many tasks one read of Retain looks at.
const retainLook = 500

// Aged is what Retain has to know of a task.
type Aged struct {
	Cursor
	Agent string
	// Status is how it has ended, "" if it has not, At when.
	Status task.Status
	At     task.Stamp
	// Top says that it is nobody's sub-task.
	Top bool
}

// Retain deletes tasks whose time is over (rule D1): those that are nobody's sub-task,
// when the time of all below them is over as well. Each goes as Delete has it go, and the
// next look begins only when it is gone, so that nobody else waits for it; it ends early
// when goOn says no. A task that cannot be deleted does not keep the others.
func (s *Service) Retain(ctx context.Context, rules task.Retention, goOn func() bool) error {
	if rules.Least() == 0 {
		return nil
	}
	orgs, err := s.store.Organizations(ctx)
	if err != nil {
		return fmt.Errorf("retain: %w", err)
	}
	var failed error
	for _, org := range orgs {
		deleted, err := s.retain(ctx, org, rules, goOn)
		failed = errors.Join(failed, err)
		if deleted > 0 {
			s.log.InfoContext(ctx, "tasks are deleted: the time for which they are kept is over", "organization", org, "tasks", deleted)
		}
	}
	return failed
}

func (s *Service) retain(ctx context.Context, org string, rules task.Retention, goOn func() bool) (deleted int, failed error) {
	now := s.store.Now()
	oldest := now.Add(-rules.Least()) // what was created later has not been over for so long
	for behind := (Cursor{}); ; {
		tasks, err := s.store.FromOldest(ctx, org, behind, oldest, retainLook)
		if err != nil || len(tasks) == 0 {
			return deleted, errors.Join(failed, err)
		}
		behind = tasks[len(tasks)-1].Cursor
		for _, x := range tasks {
			if !x.Top || !x.over(rules, now) {
				continue
			}
			if ctx.Err() != nil || !goOn() {
				return deleted, failed
			}
			gone, err := s.outlived(ctx, org, x, rules, now)
			switch {
			case fault.CodeOf(err) == fault.Unavailable:
				return deleted, err
			case err != nil:
				failed = fmt.Errorf("delete task %s: %w", x.ID, err) // the last one is told
			case gone:
				deleted++
			}
		}
	}
}

// over reports whether a task has ended, and the time is over for which it is kept.
func (x Aged) over(rules task.Retention, now task.Stamp) bool {
	kept := rules.Of(x.Agent, x.Status)
	return x.Status != "" && kept > 0 && x.At <= now.Add(-kept)
}

// outlived deletes a task, unless the time of something below it is not over, or
// somebody has begun its next turn, or deleted it, meanwhile.
func (s *Service) outlived(ctx context.Context, org string, x Aged, rules task.Retention, now task.Stamp) (gone bool, err error) {
	err = s.write(ctx, s.node, aboutTask(org, x.ID), func(tx writing) error {
		gone = false
		t, err := tx.Task(org, x.ID)
		switch {
		case fault.CodeOf(err) == fault.NotFound:
			return nil
		case err != nil:
			return err
		case t.Ended() == "" || t.State().FinishedAt != x.At:
			return nil
		}
		below, err := tx.AgedBelow(org, x.ID)
		if err != nil || slices.ContainsFunc(below, func(b Aged) bool { return !b.over(rules, now) }) {
			return err
		}
		gone = true
		tx.rest.room = eraseRoom
		return remove(tx, t)
	})
	return gone && err == nil, err
}
