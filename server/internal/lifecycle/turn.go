package lifecycle

import (
	"context"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/task"
)

// turnPage is how many events one read of a turn's log asks for.
const turnPage = 100

// BeganAt finds the turn that began at a moment: its number and its first event; 0
// for none.
func (s *Service) BeganAt(ctx context.Context, org, id string, at task.Stamp) (turn int, first int64, err error) {
	return s.store.BeganAt(ctx, org, id, at)
}

// AsLeft reads a task as one of its turns has left it, which began with the event
// first: the fold of that turn's changes (T4). Others may have followed.
func (s *Service) AsLeft(ctx context.Context, in auth.Scope, id string, first int64) (Snapshot, error) {
	now, err := s.Get(ctx, in, id)
	if err != nil {
		return Snapshot{}, err
	}
	past := task.Past{Task: now.Task}
	for after := first - 1; ; {
		events, err := s.store.Events(ctx, now.Task.OrganizationID, id, after, turnPage, task.PastTypes()...)
		if err != nil {
			return Snapshot{}, err
		}
		for _, e := range events {
			if !past.Add(e) {
				break
			}
			after = e.Seq
		}
		if len(events) == 0 || events[len(events)-1].Seq != after {
			break
		}
	}
	then, spec, err := past.Then()
	return Snapshot{Task: then, Spec: spec}, err
}
