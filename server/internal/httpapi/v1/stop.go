package v1

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// StopFilter says which tasks are to be stopped: those that match all of it.
type StopFilter struct {
	Agent          string    `json:"agent_id,omitempty" doc:"This agent's tasks."`
	User           string    `json:"user_id,omitempty" doc:"Tasks of the user with this id."`
	Parent         string    `json:"parent_task_id,omitempty" doc:"Sub-tasks of this task."`
	Trigger        string    `json:"triggering_agent_id,omitempty" doc:"Tasks that this agent asked for."`
	Status         string    `json:"status,omitempty" enum:"pending,executing,paused" doc:"Tasks with this status."`
	InternalStatus string    `json:"internal_status,omitempty" doc:"Tasks with exactly this internal status."`
	From           time.Time `json:"from_date,omitzero" doc:"Created at or after this moment."`
	To             time.Time `json:"to_date,omitzero" doc:"Created before this moment."`
}

func (f StopFilter) filter() lifecycle.Filter {
	return lifecycle.Filter{
		Agent: f.Agent, User: f.User, Parent: f.Parent, Trigger: f.Trigger, Status: lifecycle.Among(task.Status(f.Status)),
		InternalStatus: f.InternalStatus, From: task.StampOf(f.From), To: task.StampOf(f.To),
	}
}

// StopMany is the body that stops many tasks.
type StopMany struct {
	Filter StopFilter `json:"filter,omitzero" doc:"Which tasks: those that have not ended and match all that is given."`
	All    bool       `json:"all,omitempty" doc:"Says that an empty filter is meant: every task of the organization."`
	DryRun bool       `json:"dry_run,omitempty" doc:"Only count and name them."`
}

// StoppedMany answers it.
type StoppedMany struct {
	Matched int      `json:"matched" doc:"How many tasks matched and had not ended."`
	Stopped int      `json:"stopped" doc:"How many of them were stopped. Sub-tasks that were taken along are counted only if they matched themselves."`
	DryRun  bool     `json:"dry_run" doc:"Whether they were only counted."`
	IDs     []string `json:"ids" doc:"The first 100 that matched, newest first."`
}

func (r *routes) registerStop() {
	add(r, operation{roles: users(), Operation: huma.Operation{
		OperationID: "stop-tasks", Method: http.MethodPost, Path: "/v1/tasks/stop", Tags: []string{"tasks"},
		Summary: "Stop all tasks that match a filter, with their sub-tasks",
		Description: "Newest first, in many small commits, so that a long run holds nobody up; tasks that are created meanwhile are not touched. " +
			"If the request breaks off, what was stopped stays stopped: repeat it.",
	}}, func(ctx context.Context, in *struct{ Body StopMany }) (*struct{ Body StoppedMany }, error) {
		f := in.Body.Filter.filter()
		if f == (lifecycle.Filter{}) && !in.Body.All {
			return nil, fault.Field("filter", `is empty: to stop every task, say "all": true`)
		}
		done, err := r.Service.StopMany(ctx, edge.Caller(ctx), f, in.Body.DryRun)
		return &struct{ Body StoppedMany }{StoppedMany{
			Matched: done.Matched, Stopped: done.Stopped, DryRun: in.Body.DryRun, IDs: done.IDs,
		}}, err
	})
}
