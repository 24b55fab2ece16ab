package lifecycle

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/task"
)

// Edit is a change by /v1 (rule S3: strict). What is nil stays as it is.
type Edit struct {
	Title          *string
	InternalStatus *string
	Tokens         *task.Tokens
	UsedTools      []string
	Duration       *float64 // seconds
	// Extension is merged into payload_extension, all the way down.
	Extension json.RawMessage
	Asked     Asked
	Priority  *int
	RunAt     *task.Stamp
	// Budget is put in the place of the limits that the task has (B1).
	Budget *task.Budget
	// Status ends the turn: it may be completed, failed or error. Executing
	// begins a task that its creator executes itself (L8).
	Status *task.Status
	Result *string
	// Override also corrects how an ended turn is shown to have ended (S1).
	Override bool
}

// GiveUp ends a task that the server itself cannot go on with.
func (s *Service) GiveUp(ctx context.Context, org, id, why string) error {
	_, err := s.change(ctx, s.self(org), id, func(writing, task.Task) (task.Command, error) {
		return task.Settle{By: s.node, Reason: task.EndWorkerError, Result: &why, FromPending: true}, nil
	})
	return err
}

// Update changes a task, in one commit.
func (s *Service) Update(ctx context.Context, who Caller, id string, e Edit) (Snapshot, error) {
	if err := e.check(); err != nil {
		return Snapshot{}, err
	}
	commands, err := e.commands(who.By)
	if err != nil {
		return Snapshot{}, err
	}
	var after Snapshot
	err = s.write(ctx, who.By, aboutTask(who.Organization, id), func(tx writing) error {
		var err error
		if after, err = find(tx, who.Scope, id); err != nil {
			return err
		}
		if err := e.fits(after.Task); err != nil {
			return err
		}
		for _, c := range commands {
			changed, err := apply(tx, after.Task, c)
			if err != nil {
				return err
			}
			after.Task = changed.Task
		}
		return nil
	})
	if err != nil {
		return Snapshot{}, err
	}
	return after, nil
}

// commands are what the edit asks for, in order.
func (e Edit) commands(by string) ([]task.Command, error) {
	fields := map[string]any{}
	if e.Title != nil {
		fields["title"] = *e.Title
	}
	if e.InternalStatus != nil {
		fields["internal_status"] = *e.InternalStatus
	}
	if e.Tokens != nil {
		fields["tokens"] = *e.Tokens
	}
	if e.UsedTools != nil {
		fields["used_tools"] = e.UsedTools
	}
	if e.Duration != nil {
		fields["duration"] = *e.Duration
	}
	side, err := json.Marshal(fields)
	if err != nil {
		return nil, fmt.Errorf("encode edit: %w", err)
	}
	asked, err := json.Marshal(e.Asked)
	if err != nil {
		return nil, fmt.Errorf("encode edit: %w", err)
	}
	side = task.Splice(side, asked)
	var commands []task.Command
	if !isNull(e.Extension) {
		commands = append(commands, task.Patch{By: by, Extension: e.Extension})
	}
	if e.Budget != nil {
		commands = append(commands, task.SetBudget{By: by, Budget: *e.Budget})
	}
	switch {
	case e.Status == nil:
		return append(commands, task.Edit{Who: by, Side: side, Priority: e.Priority, RunAt: e.RunAt}), nil
	case *e.Status == task.Executing:
		return append(commands, task.Patch{By: by, Side: side, Status: task.Executing}), nil
	default:
		return append(commands, task.Settle{
			By: by, Side: side, Reason: task.PlainEnd(*e.Status), Result: e.Result, Correct: e.Override,
		}), nil
	}
}

// fits refuses what this task cannot take: only a task that no worker is given
// may be said to execute, and only once, so that of two who try one executes it.
func (e Edit) fits(t task.Task) error {
	switch {
	case t.Ended() != "" && e.Asked != (Asked{}):
		return fault.New(fault.Conflict, "what is asked of the model can only be changed before the end: the task has ended (%s)", t.Ended())
	case e.Status == nil || *e.Status != task.Executing:
		return nil
	case !t.Terms.RunLocally:
		return fault.Field("status", "may be set to executing only on a task with run_locally: workers claim the others")
	case t.Status() != task.Pending:
		return fault.New(fault.Conflict, "cannot start a task that is %s", t.Status())
	}
	return nil
}

func (e Edit) check() error {
	if err := CheckInternalStatus("internal_status", e.InternalStatus); err != nil {
		return err
	}
	if err := CheckResult("result", e.Result); err != nil {
		return err
	}
	if !isNull(e.Extension) {
		if err := checkObject("payload_extension", e.Extension); err != nil {
			return err
		}
	}
	if err := e.Asked.into(new(task.State)); err != nil {
		return err
	}
	if err := e.Budget.Check("budget"); err != nil {
		return err
	}
	if e.RunAt != nil {
		if err := checkRunAt(*e.RunAt); err != nil {
			return err
		}
	}
	if e.Priority != nil && (*e.Priority < -task.MaxPriority || *e.Priority > task.MaxPriority) {
		return fault.Field("priority", "must be from %d to %d", -task.MaxPriority, task.MaxPriority)
	}
	ends := e.Status != nil && e.Status.Ends() && *e.Status != task.Stopped
	switch {
	case e.Result != nil && !ends:
		return fault.Field("result", "can only be set together with a status that ends the task")
	case e.Status == nil:
		return nil
	case e.Priority != nil || e.RunAt != nil:
		return fault.Field("status", "cannot be changed together with priority or run_at")
	case *e.Status == task.Stopped:
		return fault.Field("status", "use POST /v1/tasks/{id}/stop")
	case !ends && *e.Status != task.Executing:
		return fault.Field("status", "may be set to completed, failed or error, or to executing on a task with run_locally; use pause, resume or stop for the rest")
	}
	return nil
}
