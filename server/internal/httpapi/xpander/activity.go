package xpander

import (
	"net/http"

	"github.com/errand-dev/errand/server/internal/fault"
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
	return r.WriteActivity(ctx, w, s.Task)
}
