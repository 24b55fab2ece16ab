package lifecycle

import (
	"cmp"
	"context"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/task"
)

// familyPage is how many sub-tasks one read of the store asks for.
const familyPage = 200

// Descendants calls visit for each sub-task of a task, and theirs: those of
// one task newest first, each before its own.
func (s *Service) Descendants(ctx context.Context, in auth.Scope, id string, visit func(Listed) error) error {
	return s.descend(ctx, in, id, map[string]bool{id: true}, visit)
}

// descend guards with seen against circles.
func (s *Service) descend(ctx context.Context, in auth.Scope, id string, seen map[string]bool, visit func(Listed) error) error {
	p := Page{Number: 1, Size: familyPage}
	for {
		found, err := s.store.Tasks(ctx, in, Filter{Parent: id}, p)
		if err != nil {
			return err
		}
		for _, x := range found.Items {
			if seen[x.ID] {
				continue
			}
			seen[x.ID] = true
			if err := visit(x); err != nil {
				return err
			}
			if err := s.descend(ctx, in, x.ID, seen, visit); err != nil {
				return err
			}
		}
		if p.Cursor = found.Next; p.Cursor == (Cursor{}) {
			return nil
		}
	}
}

// SubTasks lists the ids of a task's sub-tasks, the oldest first: at most 1000 of
// those that were created until a moment, 0 for now.
func (s *Service) SubTasks(ctx context.Context, org, id string, until task.Stamp) ([]string, error) {
	return s.store.SubTasks(ctx, org, id, cmp.Or(until, s.store.Now()), maxSubTasks)
}

// maxSubTasks bounds the ids of sub-tasks that a task shows: a list has all.
const maxSubTasks = 1000
