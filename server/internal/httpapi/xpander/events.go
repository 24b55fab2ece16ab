package xpander

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// event is one message of the client's task stream: all five keys, always.
type event struct {
	Type         task.Type       `json:"type"`
	TaskID       string          `json:"task_id"`
	Organization string          `json:"organization_id"`
	Time         task.Stamp      `json:"time"`
	Data         json.RawMessage `json:"data"`
}

// events is R5: the present turn from its beginning, until task_finished. It
// carries no id, by which old releases of the client die.
func (r *routes) events(w http.ResponseWriter, req *http.Request) error {
	s, err := r.task(req.Context(), req.PathValue("task"))
	if err != nil {
		return err
	}
	t := s.Task
	fold := folder{presenter: r.Presenter, org: t.OrganizationID, id: t.ID}
	send := func(ctx context.Context, out *edge.SSE, e task.Event) (bool, error) {
		data, err := fold.data(ctx, e)
		if err != nil || !e.Type.KnownToPython() {
			return true, err
		}
		message, err := json.Marshal(event{e.Type, t.ID, t.OrganizationID, e.Time, data})
		if err != nil {
			return false, err
		}
		return e.Type != task.TaskFinished, out.Add(0, "", message)
	}
	r.Stream(w, req, edge.View{Organization: t.OrganizationID, Task: t.ID, After: t.FirstSeq - 1, Send: send})
	return nil
}

// folder turns the log's changes into the whole tasks that the client wants in
// task_* events: the fold of the changes up to each (rule T4).
type folder struct {
	presenter *edge.Presenter
	org, id   string
	spec      json.RawMessage
	state     task.State
}

func (f *folder) data(ctx context.Context, e task.Event) (json.RawMessage, error) {
	if !e.Type.ChangesState() {
		return e.Data(), nil
	}
	if e.Type == task.TaskCreated {
		var err error
		if f.spec, err = f.presenter.Spec(f.org, e.Kept, nil); err != nil {
			return nil, err
		}
		f.state = task.State{}
		if err := f.state.Fold(e.Own); err != nil {
			return nil, err
		}
	} else if err := f.state.Fold(e.Data()); err != nil {
		return nil, err
	}
	state, err := json.Marshal(f.state)
	if err != nil {
		return nil, err
	}
	below, err := f.presenter.Below(ctx, f.org, f.id, e.Time)
	if err != nil {
		return nil, err
	}
	more, err := json.Marshal(below)
	if err != nil {
		return nil, err
	}
	return task.Splice(f.spec, state, more), nil
}

// pushed is one event of R16's body.
type pushed struct {
	Type string          `json:"type"`
	Data json.RawMessage `json:"data"`
}

// push is R16: events without a lease. After the turn's end they are dropped,
// and the answer is no error (rule T6).
func (r *routes) push(w http.ResponseWriter, req *http.Request) error {
	ctx, id := req.Context(), req.PathValue("task")
	if _, err := r.task(ctx, id); err != nil {
		return err
	}
	raw, err := edge.ReadBody(w, req)
	if err != nil {
		return err
	}
	var body []pushed
	if err := edge.Decode(edge.Mend(raw), &body); err != nil {
		return err
	}
	events := make([]lifecycle.NewEvent, 0, len(body))
	for _, e := range body {
		if len(e.Data) == 0 {
			e.Data = json.RawMessage("null")
		}
		events = append(events, lifecycle.NewEvent{Type: e.Type, Data: e.Data})
	}
	if len(events) > 0 {
		_, err = r.Service.Append(ctx, edge.Caller(ctx), id, "", events)
	}
	if err != nil && fault.CodeOf(err) != fault.Conflict {
		return err
	}
	edge.WriteJSON(w, http.StatusOK, map[string]bool{"accepted": err == nil})
	return nil
}
