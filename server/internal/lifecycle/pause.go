package lifecycle

import (
	"cmp"
	"context"

	"github.com/errand-dev/errand/server/internal/task"
)

// Pause holds a task: it gives back its slot and lease until it is resumed (S6).
func (s *Service) Pause(ctx context.Context, who Caller, id string) (Snapshot, error) {
	return s.change(ctx, who, id, func(writing, task.Task) (task.Command, error) {
		return task.Pause{By: who.By}, nil
	})
}

// Resume lets a paused task go on (S6), unless its budget, or a cap that holds it, is used
// up (B1). One that waits as well, for whatever it is, only waits then (S9).
func (s *Service) Resume(ctx context.Context, who Caller, id string) (Snapshot, error) {
	return s.change(ctx, who, id, func(tx writing, t task.Task) (task.Command, error) {
		if t.Wait.Paused {
			return task.Resume{By: who.By}, nil
		}
		return task.Resume{By: who.By}, cmp.Or(capped(t), solvent(tx, t, true))
	})
}
