// Package testjournal has what journals that stand in for an attempt's in tests have in
// common.
package testjournal

import (
	"context"

	"github.com/errand-dev/errand/server/internal/runtime"
	"github.com/errand-dev/errand/server/internal/task"
)

// Log is what a journal has to have for CommitWith.
type Log interface {
	Events(ctx context.Context, events []runtime.Event) error
	Commit(ctx context.Context, step task.Step) (task.Step, error)
}

// CommitWith is runtime.Journal's, by one write after the other.
func CommitWith(ctx context.Context, log Log, s task.Step, with runtime.With) (task.Step, error) {
	var then []runtime.Event
	if with.Then != nil {
		var err error
		if then, err = with.Then(s.Body); err != nil {
			return s, err
		}
	}
	if len(with.Before) > 0 {
		if err := log.Events(ctx, with.Before); err != nil {
			return s, err
		}
	}
	kept, err := log.Commit(ctx, s)
	if err == nil && len(then) > 0 {
		err = log.Events(ctx, then)
	}
	return kept, err
}
