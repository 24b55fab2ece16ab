package xpander

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/task"
)

// answers makes the handler of POST /hitl/{task}/approve or …/reject: a person's answer
// to what the task asks. The client has the paths and no body for them: it may be left
// out, and names the approval where the task has several. It is answered with the task.
func (r *routes) answers(answer task.Answer) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, req *http.Request) error {
		ctx := req.Context()
		raw, err := edge.ReadBody(w, req)
		if err != nil {
			return err
		}
		var body struct {
			ID     string          `json:"approval_id"`
			Value  json.RawMessage `json:"value"`
			Note   string          `json:"note"`
			Reason string          `json:"reason"`
		}
		if len(bytes.TrimSpace(raw)) > 0 {
			if err := edge.CheckText(raw); err != nil {
				return err
			}
			if json.Unmarshal(raw, &body) != nil {
				return fault.New(fault.Malformed, "the body must be a JSON object with approval_id, value and note, or nothing")
			}
		}
		s, err := r.task(ctx, req.PathValue("task"))
		if err != nil {
			return err
		}
		if body.ID, err = meant(s.Task, body.ID); err != nil {
			return err
		}
		if body.Note == "" {
			body.Note = body.Reason
		}
		reply := task.Reply{Answer: answer, Value: body.Value, Note: body.Note}
		if _, err := r.Service.AnswerApproval(ctx, edge.Caller(ctx), body.ID, reply); err != nil {
			return err
		}
		if s, err = r.task(ctx, s.Task.ID); err != nil {
			return err
		}
		return r.answer(ctx, w, s)
	}
}

// meant is the approval of a task that is answered: the one that is named, or the only
// one.
func meant(t task.Task, named string) (string, error) {
	var ids []string
	for _, o := range t.Open {
		if o.ID == named {
			return named, nil
		}
		ids = append(ids, o.ID)
	}
	switch {
	case named != "":
		return "", fault.Field("approval_id", "the task has no open approval of that id")
	case len(ids) == 0:
		return "", fault.New(fault.Conflict, "the task asks nothing that is not answered")
	case len(ids) > 1:
		return "", fault.Field("approval_id", "must name one of %s", strings.Join(ids, ", "))
	}
	return ids[0], nil
}
