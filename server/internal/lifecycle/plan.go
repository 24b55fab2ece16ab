package lifecycle

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/plan"
	"github.com/errand-dev/errand/server/internal/task"
)

// PlanCall is a call of a plan tool.
type PlanCall struct {
	Tool plan.Tool
	// RequestID makes a repeat of the call change nothing more, "" does not.
	RequestID string
	Arguments json.RawMessage
}

// CallPlan carries out a call on a task's present turn and returns the plan as
// it is then. A change is one commit with its plan_updated event; a turn that
// has ended takes none: Conflict.
func (s *Service) CallPlan(ctx context.Context, who Caller, id string, c PlanCall) (plan.Plan, error) {
	if c.Tool.Reads {
		t, err := s.Task(ctx, who.Scope, id)
		if err != nil {
			return plan.Plan{}, err
		}
		return s.planAfter(t, c)
	}
	if CheckID("request_id", c.RequestID) != nil {
		c.RequestID = s.newID()
	}
	var after plan.Plan
	_, err := s.change(ctx, who, id, func(tx writing, t task.Task) (task.Command, error) {
		set := task.SetPlan{By: who.unfenced(t), ClientID: "plan " + c.RequestID}
		known, err := seqOf(tx, t, set.ClientID)
		switch {
		case err != nil:
			return nil, err
		case known != 0: // the first answer was lost
			after, err = plan.Read(t.State().DeepPlanning)
			return task.Append{}, err
		}
		if after, err = s.planAfter(t, c); err != nil {
			return nil, err
		}
		if set.Plan, err = json.Marshal(after); err != nil {
			return nil, fmt.Errorf("encode plan: %w", err)
		}
		return set, nil
	})
	return after, err
}

// planAfter is what a call makes of a task's plan.
func (s *Service) planAfter(t task.Task, c PlanCall) (plan.Plan, error) {
	before, err := plan.Read(t.State().DeepPlanning)
	if err != nil {
		return plan.Plan{}, err
	}
	return c.Tool.Call(before, c.Arguments, s.newID)
}

// firstPlan is the plan with which a turn begins: an agent that could not
// finish its plan goes on with it in the next turn, when the user has answered.
func firstPlan(before task.Task, a agent.Agent) (json.RawMessage, error) {
	p := plan.Plan{Enabled: a.Record.DeepPlanning, Enforce: a.Record.EnforcePlan, Items: []plan.Item{}}
	if last, err := plan.Read(before.State().DeepPlanning); err == nil && p.Enabled && last.Unfinished() {
		p.Started, p.Items = true, last.Items
	}
	raw, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("encode plan: %w", err)
	}
	return raw, nil
}
