// Package command is the runtime in which an agent is a program that the
// server's configuration defines (package program).
package command

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"sync"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/program"
	"github.com/errand-dev/errand/server/internal/runtime"
	"github.com/errand-dev/errand/server/internal/task"
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
	asked, err := a.Task(ctx)
	if err != nil {
		return runtime.Outcome{}, err
	}
	message, err := program.Message(asked)
	if err != nil {
		return runtime.Outcome{}, err
	}
	answers, err := answersTo(ctx, a)
	if err != nil {
		return runtime.Outcome{}, err
	}
	result, err := r.program.Execute(ctx, program.Attempt{
		TaskID: a.TaskID, Number: a.Number, Task: asked, Message: message, TraceParent: a.TraceParent, Models: (*program.Models)(a.Models),
		Emit: func(ctx context.Context, said []program.Event) error {
			events := make([]runtime.Event, len(said))
			for i, e := range said {
				events[i] = runtime.Event{Type: e.Type, Data: e.Data}
			}
			return a.Events(ctx, events)
		},
		Step: (&steps{attempt: a}).do, Answers: answers,
		Ask: func(ctx context.Context, q task.Asked) (*program.Answer, error) { return ask(ctx, a, q) },
		Output: func(ctx context.Context, name string, content io.ReadSeeker) error {
			_, err := a.Output(ctx, name, content)
			switch fault.CodeOf(err) { //nolint:exhaustive // the others are not the file's
			case fault.Invalid, fault.TooLarge:
				return &program.RefusedError{Reason: err.Error()}
			}
			return err
		},
		Lost: func(cause error) bool { return errors.Is(cause, runtime.ErrLost) },
	})
	if exit, is := errors.AsType[*program.ExitError](err); is && exit.Later() {
		return runtime.Outcome{}, &runtime.Later{Reason: exit.Error(), Delay: program.LaterThan(a.Number)}
	}
	if errors.Is(err, program.ErrWaiting) {
		return runtime.Outcome{}, runtime.ErrWaiting
	}
	return runtime.Completed(result), err
}

// ask asks people in the name of an attempt's program.
func ask(ctx context.Context, a *runtime.Attempt, q task.Asked) (*program.Answer, error) {
	asked, err := a.Ask(ctx, q)
	if err == nil && asked.State == task.ApprovalOpen {
		if err = a.Await(ctx, runtime.Wait{Approvals: []string{asked.ID}}); err == nil { // it was answered meanwhile
			asked, err = a.Ask(ctx, q)
		}
	}
	switch {
	case errors.Is(err, runtime.ErrWaiting):
		return nil, program.ErrWaiting
	case err != nil:
		return nil, err
	}
	answer := answerOf(asked)
	return &answer, nil
}

// answersTo is what has come of what the turn has asked. The first attempt has asked
// nothing yet.
func answersTo(ctx context.Context, a *runtime.Attempt) (map[string]program.Answer, error) {
	if a.Number <= 1 {
		return nil, nil
	}
	asked, err := a.Approvals(ctx)
	if err != nil {
		return nil, err
	}
	answers := map[string]program.Answer{}
	for _, x := range asked {
		if x.State != task.ApprovalOpen {
			answers[x.Key] = answerOf(x)
		}
	}
	return answers, nil
}

func answerOf(a task.Approval) program.Answer {
	answer := program.Answer{Status: a.State}
	if x := a.Answered; x != nil {
		answer.Answer, answer.Value, answer.Note, answer.By, answer.At, answer.ByDefault = x.Answer, x.Value, x.Note, x.By, x.At, x.ByDefault
	}
	return answer
}

// steps does the steps of a program's attempt.
type steps struct {
	attempt *runtime.Attempt

	mu     sync.Mutex
	read   bool
	bodies map[string]json.RawMessage
}

// do implements program.StepFunc. Nobody else does a step of that id meanwhile.
func (s *steps) do(ctx context.Context, id string, do func(context.Context) (json.RawMessage, error)) (json.RawMessage, error) {
	if body, known, err := s.find(ctx, id); known || err != nil {
		return body, err
	}
	body, err := do(ctx)
	if err != nil {
		return nil, err
	}
	committed, err := s.attempt.Commit(ctx, task.Step{ID: id, Body: body})
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bodies[id] = committed.Body
	return committed.Body, nil
}

// find finds a step that was committed; what earlier attempts have committed is read once.
func (s *steps) find(ctx context.Context, id string) (body json.RawMessage, known bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.read {
		all, err := s.attempt.Steps(ctx)
		if err != nil {
			return nil, false, err
		}
		s.bodies = make(map[string]json.RawMessage, len(all))
		for _, x := range all {
			s.bodies[x.ID] = x.Body
		}
		s.read = true
	}
	body, known = s.bodies[id]
	return body, known, nil
}
