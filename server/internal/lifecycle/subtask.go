package lifecycle

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/task"
)

// subTaskStep is the kind of the step that says which sub-task a key of a turn stands
// for, and with a space the beginning of its id, as in the Go client. Turns that began
// before have steps that begin with oldSubTask.
const subTaskStep, oldSubTask = "sub-task", "sub_task:"

// SubTask creates a sub-task in the name of an attempt, once for each key of its turn:
// whoever asks for that key again, in whichever attempt, is answered with the sub-task
// as it is. gone says that it was deleted since, and is not made again.
func (s *Service) SubTask(ctx context.Context, org, id, token, key string, sub Submission) (below task.Task, gone bool, err error) {
	if err := invalidToken(token); err != nil {
		return task.Task{}, false, err
	}
	sub.Spec.ParentExecution = &id
	p, err := s.prepare(ctx, s.self(org), sub)
	if err != nil {
		return task.Task{}, false, err
	}
	step := NewStep{ID: subTaskStep + " " + key, Kind: subTaskStep}
	if step.Body, err = json.Marshal(madeSubTask{p.Spec.ID}); err != nil {
		return task.Task{}, false, fmt.Errorf("encode step: %w", err)
	}
	if err := step.check(); err != nil {
		return task.Task{}, false, err
	}
	var refused error
	err = s.write(ctx, s.node, append(aboutTask(org, id), p.about...), func(tx writing) error {
		below, gone, refused = task.Task{}, false, nil
		t, by, err := claimed(tx, org, id, token)
		if err != nil {
			return err
		}
		first, err := stepOf(tx, t, step.ID)
		if err == nil && first == nil {
			first, err = stepOf(tx, t, oldSubTask+key)
		}
		if err != nil {
			return err
		}
		if first == nil {
			if err := bounded(tx, t); err != nil {
				return err
			}
		}
		changed, err := apply(tx, t, task.CommitStep{
			By: by, Step: task.Step{ID: step.ID, Kind: step.Kind, Body: step.Body}, Known: first != nil,
		})
		if refused = changed.Refused; err != nil || refused != nil {
			return err
		}
		if first == nil {
			begun, err := s.begin(tx, p)
			below = begun.Task
			return err
		}
		var made madeSubTask
		if err := json.Unmarshal(first.Body, &made); err != nil {
			return fmt.Errorf("decode step %s: %w", step.ID, err)
		}
		below, err = tx.Task(org, made.ID)
		if gone = fault.CodeOf(err) == fault.NotFound; gone {
			below, err = task.Task{ID: made.ID}, nil
		}
		return err
	})
	if err == nil {
		err = refused
	}
	return below, gone, err
}

// What an attempt may have others do where no budget says how much: how far below the top
// of its tree, and how many sub-tasks a task may have. Agents that hand a task to one
// another would else do so without an end.
const (
	maxDelegatedDepth = 8
	maxDelegated      = 1000
)

// bounded refuses a sub-task of an attempt that is too deep, or one too many.
func bounded(tx writing, t task.Task) error {
	var b task.Budget
	payer, err := payerOf(tx, t)
	if err != nil {
		return err
	}
	if payer != nil && payer.State().Budget != nil {
		b = *payer.State().Budget
	}
	switch {
	case b.Depth == nil && t.Depth >= maxDelegatedDepth:
		return fault.New(fault.Conflict, "task %s is %d below the top of its tree: without a budget of depth there is nothing further below", t.ID, t.Depth)
	case b.Subtasks == nil && t.Subtasks >= maxDelegated:
		return fault.New(fault.Conflict, "task %s has had %d sub-tasks: without a budget of subtasks there are no more", t.ID, t.Subtasks)
	}
	return nil
}

// madeSubTask is the body of such a step.
type madeSubTask struct {
	ID string `json:"task_id"`
}
