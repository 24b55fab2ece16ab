package xpander

import (
	"encoding/json"
	"iter"
	"net/http"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// listed is an agent in R18's list. The client wants every member, none null.
type listed struct {
	ID             string       `json:"id"`
	Name           string       `json:"name"`
	Icon           string       `json:"icon"`
	Instructions   instructions `json:"instructions"`
	Status         string       `json:"status"`
	OrganizationID string       `json:"organization_id"`
	CreatedAt      task.Stamp   `json:"created_at"`
	Description    *string      `json:"description"`
}

// agents is R18: a bare array.
func (r *routes) agents(w http.ResponseWriter, req *http.Request) error {
	ctx, p := req.Context(), edge.Principal(req.Context())
	next, stop := iter.Pull2(r.Service.EachAgent(ctx, p.Organization))
	defer stop()
	a, err, more := next() // an error can still be answered
	if err != nil {
		return err
	}
	edge.WriteList(ctx, w, r.Log, "[", "]", func(yield func(any, error) bool) {
		for ; more; a, err, more = next() {
			if edge.RequireAgent(p, a.ID) != nil {
				continue
			}
			d := r.describe(a)
			if !yield(listed{
				ID: d.ID, Name: d.Name, Icon: "🤖", Instructions: d.Instructions, Status: d.Status,
				OrganizationID: d.OrganizationID, CreatedAt: d.CreatedAt, Description: d.Description,
			}, err) {
				return
			}
		}
	})
	return nil
}

// metrics is R13: what a finished run has used. The client may report a run
// more than once; the last report stands.
func (r *routes) metrics(w http.ResponseWriter, req *http.Request) error {
	ctx := req.Context()
	raw, err := edge.ReadBody(w, req)
	if err != nil {
		return err
	}
	var body struct {
		ID       string  `json:"execution_id"`
		Duration float64 `json:"duration"`
		Tools    []any   `json:"api_calls_made"`
		Tokens   struct {
			Worker task.Tokens `json:"worker"`
		} `json:"llm_tokens"`
	}
	if err := edge.Decode(raw, &body); err != nil {
		return err
	}
	if body.ID == "" {
		return fault.Field("execution_id", "must name a task")
	}
	s, err := r.task(ctx, body.ID)
	if err != nil {
		return err
	}
	if s.Task.AgentID != req.PathValue("agent") {
		return fault.New(fault.NotFound, "agent %q has no task %q", req.PathValue("agent"), body.ID)
	}
	fields := map[string]any{}
	if body.Tokens.Worker != (task.Tokens{}) {
		fields["tokens"] = body.Tokens.Worker
	}
	if body.Duration > 0 {
		fields["duration"] = body.Duration
	}
	if tools := names(body.Tools); len(tools) > 0 {
		fields["used_tools"] = tools
	}
	if err := r.Service.Note(ctx, edge.Caller(ctx), body.ID, fields); err != nil {
		return err
	}
	edge.WriteJSON(w, http.StatusOK, map[string]bool{"ok": true})
	return nil
}

// names keeps the texts of a list.
func names(list []any) []string {
	var found []string
	for _, x := range list {
		if name, ok := x.(string); ok {
			found = append(found, name)
		}
	}
	return found
}

// report is R11: a task that was executed elsewhere, told here when it is over.
func (r *routes) report(w http.ResponseWriter, req *http.Request) error {
	ctx, agent := req.Context(), req.PathValue("agent")
	if err := edge.RequireAgent(edge.Principal(ctx), agent); err != nil {
		return err
	}
	raw, err := edge.ReadBody(w, req)
	if err != nil {
		return err
	}
	body := struct {
		ID    *string `json:"id"`
		Input *string `json:"input"`
		// Response is what the model said, of any JSON.
		Response  json.RawMessage `json:"llm_response"`
		Tokens    *task.Tokens    `json:"tokens"`
		IsSuccess *bool           `json:"is_success"`
		Result    *string         `json:"result"`
		Duration  float64         `json:"duration"`
		UsedTools []string        `json:"used_tools"`
	}{}
	if err := edge.Decode(raw, &body); err != nil {
		return err
	}
	given := map[string]any{} // what a later report leaves out is not wiped
	if body.Tokens != nil {
		given["tokens"] = body.Tokens
	}
	if body.Duration > 0 {
		given["duration"] = body.Duration
	}
	if len(body.UsedTools) > 0 {
		given["used_tools"] = body.UsedTools
	}
	side, err := json.Marshal(given)
	if err != nil {
		return err
	}
	if body.Result == nil {
		body.Result, _ = lifecycle.StorableResult(body.Response)
	}
	end := task.EndCompleted
	if body.IsSuccess != nil && !*body.IsSuccess {
		end = task.EndFailed
	}
	s, _, err := r.Service.ReportExternal(ctx, edge.Caller(ctx), lifecycle.External{
		Agent: agent, ID: text(body.ID), Prompt: body.Input, Reason: end, Result: body.Result, Side: side,
	})
	if err != nil {
		return err
	}
	rendered, err := r.Presenter.Task(ctx, s, nil) // no route for secrets (A5)
	if err != nil {
		return err
	}
	edge.WriteJSON(w, http.StatusOK, rendered)
	return nil
}

// unbuilt answers a route of the client's that this server does not offer.
func unbuilt(feature string) func(http.ResponseWriter, *http.Request) error {
	return func(http.ResponseWriter, *http.Request) error {
		return fault.New(fault.Unimplemented, "this server does not offer %s", feature)
	}
}
