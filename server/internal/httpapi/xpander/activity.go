package xpander

import (
	"net/http"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
)

// activity is R12: what was said and done in all turns of a task.
func (r *routes) activity(w http.ResponseWriter, req *http.Request) error {
	ctx := req.Context()
	s, err := r.task(ctx, req.PathValue("task"))
	if err != nil {
		return err
	}
	if s.Task.AgentID != req.PathValue("agent") {
		return fault.New(fault.NotFound, "agent %q has no task %q", req.PathValue("agent"), s.Task.ID)
	}
	found, err := r.Activity(ctx, s.Task)
	if err != nil {
		return err
	}
	edge.WriteJSON(w, http.StatusOK, found)
	return nil
}
