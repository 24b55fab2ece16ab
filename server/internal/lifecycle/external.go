package lifecycle

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/task"
)

// External is a task that was executed outside, told when it is over.
type External struct {
	Agent  string
	ID     string // "" for a new one
	Prompt *string
	Reason task.EndReason
	Result *string
	Side   json.RawMessage // fields of task.State
}

// ReportExternal keeps such a task: created and ended in one commit. A report
// of a task that is there corrects how it ended. It also tells whether the task
// is new.
func (s *Service) ReportExternal(ctx context.Context, who Caller, x External) (after Snapshot, isNew bool, err error) {
	sub := Submission{Spec: task.Spec{
		ID: x.ID, AgentID: x.Agent, RunLocally: true, Input: task.Input{Text: x.Prompt},
	}, State: task.State{Source: "sdk"}}
	if err := check(&sub); err != nil {
		return Snapshot{}, false, err
	}
	if err := CheckResult("result", x.Result); err != nil {
		return Snapshot{}, false, err
	}
	if err := s.gate.pace(who, s.store.Now()); err != nil {
		return Snapshot{}, false, err
	}
	sub.Spec.OrganizationID, sub.who = who.Organization, who
	if sub.Spec.ID == "" {
		sub.Spec.ID = s.newID()
	}
	err = s.write(ctx, who.By, aboutTask(who.Organization, sub.Spec.ID), func(tx writing) error {
		before, err := tx.Snapshot(who.Organization, sub.Spec.ID)
		isNew = fault.CodeOf(err) == fault.NotFound
		switch {
		case isNew:
			before, err = s.create(tx, sub, false)
		case err == nil && !who.Sees(before.Task.Owner, before.Task.Group):
			err = NoTask(sub.Spec.ID)
		case err == nil && before.Task.AgentID != x.Agent:
			err = &fault.Error{Code: fault.Conflict, Field: "id", Message: "a task with this id belongs to another agent"}
		}
		if err != nil {
			return err
		}
		changed, err := apply(tx, before.Task, task.Settle{
			By: who.By, Reason: x.Reason, Result: x.Result, Side: x.Side, Correct: true, FromPending: true,
		})
		after = Snapshot{Task: changed.Task, Spec: before.Spec}
		return err
	})
	return after, isNew, err
}

// Note takes side fields of a task, whatever its status.
func (s *Service) Note(ctx context.Context, who Caller, id string, fields map[string]any) error {
	side, err := json.Marshal(fields)
	if err != nil {
		return fmt.Errorf("encode fields: %w", err)
	}
	_, err = s.change(ctx, who, id, func(writing, task.Task) (task.Command, error) {
		return task.Edit{Who: who.By, Side: side}, nil
	})
	return err
}
