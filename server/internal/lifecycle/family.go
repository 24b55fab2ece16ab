package lifecycle

import (
	"cmp"
	"context"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/task"
)

// Below reports whether a task is a sub-task of another, or of its sub-tasks.
func (s *Service) Below(ctx context.Context, in auth.Scope, root string, t task.Task) (bool, error) {
	for t.ID != root && t.Terms.ParentID != "" && t.Depth > 0 {
		above, err := s.Task(ctx, in, t.Terms.ParentID)
		if err != nil || above.Depth >= t.Depth {
			return false, err
		}
		t = above
	}
	return t.ID == root, nil
}

// NextBelow finds the task that follows another in the tree below root, which is
// walked without holding it: each task before its own sub-tasks, those of one task
// newest first. It returns false behind the last.
func (s *Service) NextBelow(ctx context.Context, in auth.Scope, root string, t task.Task) (task.Task, bool, error) {
	next, found, err := s.child(ctx, in, t, Cursor{})
	for !found && err == nil && t.ID != root {
		var above task.Task
		if above, err = s.Task(ctx, in, t.Terms.ParentID); err != nil {
			break
		}
		next, found, err = s.child(ctx, in, above, Cursor{CreatedAt: t.CreatedAt, ID: t.ID})
		t = above
	}
	return next, found, err
}

// child finds a task's first sub-task behind a place in their list. One that is not
// below it (a circle of a time before depths) is none.
func (s *Service) child(ctx context.Context, in auth.Scope, parent task.Task, behind Cursor) (task.Task, bool, error) {
	found, err := s.store.Tasks(ctx, in, Filter{Parent: parent.ID}, Page{Number: 1, Size: 1, Cursor: behind})
	if err != nil || len(found.Items) == 0 {
		return task.Task{}, false, err
	}
	t, err := s.Task(ctx, in, found.Items[0].ID)
	return t, err == nil && t.Depth > parent.Depth, err
}

// SubTasks lists the ids of a task's sub-tasks, the oldest first: at most 1000 of
// those that were created until a moment, 0 for now.
func (s *Service) SubTasks(ctx context.Context, org, id string, until task.Stamp) ([]string, error) {
	return s.store.SubTasks(ctx, org, id, cmp.Or(until, s.store.Now()), maxSubTasks)
}

// maxSubTasks bounds the ids of sub-tasks that a task shows: a list has all.
const maxSubTasks = 1000
