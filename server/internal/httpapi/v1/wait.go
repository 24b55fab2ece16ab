package v1

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// WaitBody gives a turn up until something has come.
type WaitBody struct {
	LeaseToken string     `json:"lease_token" doc:"Of the claim."`
	SubTasks   []string   `json:"sub_tasks,omitempty" maxItems:"100" doc:"Sub-tasks of this task whose end it waits for."`
	Approvals  []string   `json:"approvals,omitempty" maxItems:"100" doc:"Approvals and questions of this turn whose answer it waits for."`
	Any        bool       `json:"any,omitempty" doc:"The first of all that it waits for is enough; otherwise it waits for all."`
	Until      *time.Time `json:"until,omitempty" doc:"When it waits no longer. Without anything else to wait for, the task just goes on then."`
	Spending
}

// WaitAnswer says what came of a wait.
type WaitAnswer struct {
	Waiting   bool     `json:"waiting" doc:"The attempt is over, and does not count: the next one begins when it has come. Otherwise it has come already, and the attempt goes on with its lease renewed."`
	SubTasks  []string `json:"sub_tasks" doc:"Those of them that have not ended."`
	Approvals []string `json:"approvals" doc:"Those of them that nobody has answered."`
}

func (r *routes) registerWait() {
	add(r, operation{roles: workers(), errors: []fault.Code{fault.Conflict}, Operation: huma.Operation{
		OperationID: "wait", Method: http.MethodPost, Path: "/v1/tasks/{task_id}/wait", Tags: []string{"workers"},
		Summary:     "Give a task up until sub-tasks have ended, people have answered, or a moment has come",
		Description: "The task is paused without a slot and without a lease, and queued again when that has come. The next attempt finds the steps of this one.",
	}}, r.wait)
}

func (r *routes) wait(ctx context.Context, in *struct {
	TaskPath
	Body WaitBody
},
) (*struct{ Body WaitAnswer }, error) {
	side, err := in.Body.side()
	if err != nil {
		return nil, err
	}
	w := lifecycle.WaitFor{SubTasks: in.Body.SubTasks, Approvals: in.Body.Approvals, Any: in.Body.Any, Side: side}
	if in.Body.Until != nil {
		w.Until = task.StampOf(*in.Body.Until)
	}
	done, err := r.Service.Wait(ctx, edge.Principal(ctx).Organization, in.ID, in.Body.LeaseToken, w)
	if err != nil {
		return nil, err
	}
	return &struct{ Body WaitAnswer }{WaitAnswer{done.Waiting, slices.Concat([]string{}, done.SubTasks), slices.Concat([]string{}, done.Approvals)}}, nil
}
