package v1

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// StopMany is the body that stops many tasks.
type StopMany struct {
	Filter TaskFilter `json:"filter,omitzero" doc:"Which tasks: those that have not ended and match all that is given."`
	IDs    []string   `json:"ids,omitempty" maxItems:"1000" doc:"Those of these that have not ended, in the place of a filter. Who is not there is passed over."`
	All    bool       `json:"all,omitempty" doc:"Says that an empty filter is meant: every task of the organization."`
	DryRun bool       `json:"dry_run,omitempty" doc:"Only count and show them. Give the answer's to_date as that of the filter to stop none that was created later; one that has come to match since is stopped as well. ids stops just those."`
}

// StoppedMany answers it.
type StoppedMany struct {
	Matched  int        `json:"matched" doc:"How many tasks matched and had not ended."`
	Stopped  int        `json:"stopped" doc:"How many of them were stopped. Sub-tasks that were taken along are counted only if they matched themselves."`
	Subtasks int        `json:"subtasks" doc:"How many tasks below them that do not match had not ended at first, and go with them: of the first 1000 that have any, counted to 10,000."`
	DryRun   bool       `json:"dry_run" doc:"Whether they were only counted."`
	ToDate   task.Stamp `json:"to_date" doc:"Only tasks that were created before this moment are meant: that of the count, unless an earlier one was given."`
	IDs      []string   `json:"ids" doc:"The first 100 that matched, newest first."`
	Sample   []raw[Row] `json:"sample" doc:"The first three, as they were."`
}

func (r *routes) registerStop() {
	add(r, operation{roles: users(), Operation: huma.Operation{
		OperationID: "stop-tasks", Method: http.MethodPost, Path: "/v1/tasks/stop", Tags: []string{"tasks"},
		Summary: "Stop all tasks that match a filter, with their sub-tasks",
		Description: "Newest first, in many small commits, so that a long run holds nobody up; tasks that are created meanwhile are not touched. " +
			"If the request breaks off, what was stopped stays stopped: repeat it.",
	}}, func(ctx context.Context, in *struct{ Body StopMany }) (*struct{ Body StoppedMany }, error) {
		f, err := in.Body.which()
		if err != nil {
			return nil, err
		}
		done, err := r.Service.StopMany(ctx, edge.Caller(ctx), f, in.Body.DryRun)
		answer := StoppedMany{
			Matched: done.Matched, Stopped: done.Stopped, Subtasks: done.Subtasks, DryRun: in.Body.DryRun, ToDate: done.Before, IDs: done.IDs, Sample: []raw[Row]{},
		}
		for _, x := range done.Sample {
			row, failed := edge.ShowRow(x)
			err = errors.Join(err, failed)
			answer.Sample = append(answer.Sample, raw[Row]{row})
		}
		return &struct{ Body StoppedMany }{answer}, err
	})
}

// which is what is to be stopped.
func (b StopMany) which() (lifecycle.Filter, error) {
	f := b.Filter.filter()
	for _, status := range f.Status.List() {
		if status.Ends() {
			return f, fault.Field("filter.status", "%s tasks have ended", status)
		}
	}
	switch {
	case b.IDs == nil && f == (lifecycle.Filter{}) && !b.All:
		return f, fault.Field("filter", `is empty: to stop every task, say "all": true`)
	case b.IDs == nil:
		return f, nil
	case f != (lifecycle.Filter{}) || b.All:
		return f, fault.Field("ids", "stand in the place of a filter: leave out one of both")
	}
	return lifecycle.Filter{Only: &b.IDs}, nil
}
