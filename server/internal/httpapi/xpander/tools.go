package xpander

import (
	"encoding/json"
	"net/http"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/plan"
	"github.com/errand-dev/errand/server/internal/task"
)

// tool is a tool in R6's answer: one that the client calls by R17.
type tool struct {
	ID          string          `json:"id"`
	Name        string          `json:"name"`
	Method      string          `json:"method"`
	Path        string          `json:"path"`
	Description string          `json:"description"`
	Parameters  json.RawMessage `json:"parameters"`
}

// planTools are the tools of an agent that plans.
func planTools() []tool {
	var tools []tool
	for _, t := range plan.Tools() {
		tools = append(tools, tool{
			ID: t.ID, Name: t.ID, Method: http.MethodPost, Path: "/tools/" + t.ID, Description: t.Description,
			Parameters: json.RawMessage(`{"type": "object", "required": ["body_params"], "properties": {"body_params": ` + string(t.Arguments) + `}}`),
		})
	}
	return tools
}

// planAnswer is a plan as the client's model is to read it.
type planAnswer struct {
	plan.Plan
	// Complete and Total tell the client that its model is done.
	Complete bool `json:"plan_complete"`
	Total    int  `json:"total_tasks"`
}

// The client's headers on R17.
const (
	executionHeader = "x-execution-id"
	preflightHeader = "x-preflight-check"
	callHeader      = "x-tool-call-id"
)

// operate is R17: a tool of the agent's that the server has to run. With the
// preflight header it is a worker's report of a tool that it ran itself.
func (r *routes) operate(w http.ResponseWriter, req *http.Request) error {
	ctx, name := req.Context(), req.PathValue("tool")
	if err := edge.RequireAgent(edge.Principal(ctx), req.PathValue("agent")); err != nil {
		return err
	}
	if req.Header.Get(preflightHeader) == "true" {
		r.preflight(w, req)
		return nil
	}
	called, known := plan.Find(name)
	if !known {
		return fault.New(fault.NotFound, "this server has no tool %q: it offers the plan tools, any other runs with the worker", name)
	}
	id := req.Header.Get(executionHeader)
	if id == "" {
		return fault.Field(executionHeader, "must name the task: the client sends it for a Backend(configuration=task.configuration)")
	}
	if _, err := r.task(ctx, id); err != nil {
		return err
	}
	raw, err := edge.ReadBody(w, req)
	if err != nil {
		return err
	}
	var body struct {
		Arguments json.RawMessage `json:"body_params"`
	}
	if len(raw) > 0 {
		if err := edge.Decode(raw, &body); err != nil {
			return err
		}
	}
	after, err := r.Service.CallPlan(ctx, edge.Caller(ctx), id, lifecycle.PlanCall{
		Tool: called, RequestID: req.Header.Get(callHeader), Arguments: body.Arguments,
	})
	if err != nil {
		return err
	}
	edge.WriteJSON(w, http.StatusOK, planAnswer{after, after.Complete(), len(after.Items)})
	return nil
}

// preflight notes a tool that a worker has run. The client takes any refusal for
// a failure of that tool, so the answer is always the same; only the log learns
// of what went wrong here.
func (r *routes) preflight(w http.ResponseWriter, req *http.Request) {
	if err := r.note(w, req); fault.CodeOf(err) == fault.Internal {
		r.Log.ErrorContext(req.Context(), "a tool call was not noted",
			"task_id", req.Header.Get(executionHeader), "tool", req.PathValue("tool"), "error", err)
	}
	edge.WriteJSON(w, http.StatusOK, struct{}{})
}

func (r *routes) note(w http.ResponseWriter, req *http.Request) error {
	name := req.PathValue("tool")
	if name == string(task.Think) || name == string(task.Analyze) {
		return nil // the client pushes these as events of their own kind
	}
	raw, err := edge.ReadBody(w, req)
	if err != nil && fault.CodeOf(err) != fault.TooLarge {
		return err
	}
	s, err := r.task(req.Context(), req.Header.Get(executionHeader))
	if err != nil {
		return err
	}
	input, output := inputAndOutput(raw)
	return r.Service.ReportToolCall(req.Context(), edge.Caller(req.Context()), s.Task.ID, lifecycle.ToolCall{
		RequestID: req.Header.Get(callHeader), Tool: name, Payload: input, Result: output,
	})
}

// inputAndOutput reads what a preflight's body says of the call. The client also
// sends none, and a call of which nothing is known is a call all the same.
func inputAndOutput(raw []byte) (input, output json.RawMessage) {
	var body struct {
		Call struct {
			Input  json.RawMessage `json:"input"`
			Output json.RawMessage `json:"output"`
		} `json:"body_params"`
	}
	if json.Unmarshal(raw, &body) != nil {
		return nil, nil
	}
	return body.Call.Input, body.Call.Output
}
