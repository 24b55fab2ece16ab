package lifecycle

import (
	"context"
	"fmt"

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
// when they and all below them have been over for so long. Each goes as Delete has it go,
// and the next look begins only when it is gone, so that nobody else waits for it.
func (s *Service) Retain(ctx context.Context, rules task.Retention) (deleted int, err error) {
	if rules.Least() == 0 {
		return 0, nil
	}
	orgs, err := s.store.Organizations(ctx)
	if err != nil {
		return 0, fmt.Errorf("retain: %w", err)
	}
	for _, org := range orgs {
		n, err := s.retain(ctx, org, rules)
		if deleted += n; err != nil {
			return deleted, err
		}
	}
	return deleted, nil
}

func (s *Service) retain(ctx context.Context, org string, rules task.Retention) (deleted int, err error) {
	now := s.store.Now()
	oldest := now.Add(-rules.Least()) // what was created later has not been over for so long
	for behind := (Cursor{}); ; {
		tasks, err := s.store.FromOldest(ctx, org, behind, oldest, retainLook)
		if err != nil || len(tasks) == 0 {
			return deleted, err
		}
		behind = tasks[len(tasks)-1].Cursor
		for _, x := range tasks {
			kept := rules.Of(x.Agent, x.Status)
			if !x.Top || x.Status == "" || kept == 0 || x.At > now.Add(-kept) {
				continue
			}
			gone, err := s.outlived(ctx, org, x, now.Add(-kept))
			if err != nil {
				return deleted, err
			}
			if gone {
				deleted++
			}
		}
	}
}

// outlived deletes a task, unless something below it was not over at a moment, or
// somebody has begun its next turn, or deleted it, meanwhile.
func (s *Service) outlived(ctx context.Context, org string, x Aged, at task.Stamp) (gone bool, err error) {
	lives, err := s.store.LivesBelow(ctx, org, x.ID, at)
	if lives || err != nil {
		return false, err
	}
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
		gone = true
		tx.rest.room = eraseRoom
		return remove(tx, org, x.ID)
	})
	return gone && err == nil, err
}
