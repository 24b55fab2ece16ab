// Package command is the runtime in which an agent is a program that the
// server's configuration defines (package program).
package command

import (
	"context"
	"errors"

	"github.com/errand-dev/errand/server/internal/program"
	"github.com/errand-dev/errand/server/internal/runtime"
)

// Runner implements [runtime.Runner] with one program. It may serve any number
// of attempts at once.
type Runner struct{ program program.Program }

var _ runtime.Runner = (*Runner)(nil)

// New makes a runner of a program.
func New(p program.Program) *Runner { return &Runner{p} }

// Run runs the program to its end. Every failure of it is the platform's (rule
// C3): only the program's own answer could say that the agent was not able to.
func (r *Runner) Run(ctx context.Context, a *runtime.Attempt) (runtime.Outcome, error) {
	task, err := a.Task(ctx)
	if err != nil {
		return runtime.Outcome{}, err
	}
	message, err := program.Message(task)
	if err != nil {
		return runtime.Outcome{}, err
	}
	result, err := r.program.Execute(ctx, program.Attempt{
		TaskID: a.TaskID, Number: a.Number, Task: task, Message: message, TraceParent: a.TraceParent,
		Emit: func(ctx context.Context, said []program.Event) error {
			events := make([]runtime.Event, len(said))
			for i, e := range said {
				events[i] = runtime.Event(e)
			}
			return a.Events(ctx, events)
		},
		Lost: func(cause error) bool { return errors.Is(cause, runtime.ErrLost) },
	})
	if exit, is := errors.AsType[*program.ExitError](err); is && exit.Later() {
		return runtime.Outcome{}, &runtime.Later{Reason: exit.Error(), Delay: program.LaterThan(a.Number)}
	}
	return runtime.Completed(result), err
}
