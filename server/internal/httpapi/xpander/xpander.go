// Package xpander is the wire of the Python client xpander_sdk: the paths, the
// answers and the streams that the released client needs, to the byte where it
// matters. It holds no rule about tasks; docs/COMPATIBILITY.md says which
// releases it was run with.
package xpander

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

type routes struct {
	edge.Core
	defaults Defaults
}

// Router is what the routes are added to, such as http.ServeMux.
type Router interface {
	HandleFunc(pattern string, handle func(http.ResponseWriter, *http.Request))
}

// Face is the client's wire as one of the server's faces.
func Face(kit edge.Core, defaults Defaults) edge.Face {
	return edge.Face{
		Words:    auth.ClientWords(),
		Register: func(mux *http.ServeMux) { Register(mux, kit, defaults) },
		Fail:     WriteError,
	}
}

// Register adds the routes to a router. Their paths carry no organization and no
// trailing slash: the normalizer has seen to that (rule H1).
func Register(mux Router, kit edge.Core, defaults Defaults) {
	r := &routes{kit, defaults}
	everybody := []auth.Role{auth.User, auth.Worker}
	workers := []auth.Role{auth.Worker}
	for _, route := range []struct {
		pattern string
		roles   []auth.Role
		handle  func(http.ResponseWriter, *http.Request) error
	}{
		{"POST /agent-execution/{agent}", everybody, r.create},
		{"DELETE /agent-execution/{task}", everybody, r.stop},
		{"GET /agent-execution/{task}/status", everybody, r.get},
		{"PATCH /agent-execution/{task}/update", everybody, r.update},
		{"GET /agent-execution/{task}/events", everybody, r.events},
		{"POST /agent-execution/{task}/events/push", workers, r.push},
		{"GET /agent-execution/executions/history/{agent}", everybody, r.list},
		{"GET /agent-execution/executions/history/user/{user}", everybody, r.list},
		{"POST /agent-execution/{agent}/report_task", everybody, r.report},
		{"GET /activity/{agent}/{task}", everybody, r.activity},
		{"POST /agents-metrics/{agent}/execution", everybody, r.metrics},
		{"GET /agents/list", everybody, r.agents},
		{"GET /agents/{agent}", everybody, r.agent},
		{"GET /agents/{agent}/db", workers, r.database},
		// The creator of a task may execute it itself, with a user's key.
		{"POST /agents/{agent}/operations/{tool...}", everybody, r.operate},
		{"GET /metadata/default_llm_extra_headers", everybody, r.extraHeaders},
		{"GET /events/{agent}", workers, r.register},
		{"POST /events/{worker}", workers, r.heard},
		{"/mcp_auth/", everybody, unbuilt("OAuth for MCP servers")},
		{"PATCH /agents/{agent}/sync_local_tools", everybody, unbuilt("syncing of local tools")},
		{"/tools/{tool}", everybody, unbuilt("a tool repository")},
		{"/tools/{task}/xp-code-executor", everybody, unbuilt("a code sandbox")},
		{"/knowledge_bases", everybody, unbuilt("knowledge bases")},
		{"/knowledge_bases/", everybody, unbuilt("knowledge bases")},
		{"POST /hitl/{task}/approve", []auth.Role{auth.User}, r.answers(task.Approve)},
		{"POST /hitl/{task}/reject", []auth.Role{auth.User}, r.answers(task.Decline)},
		{"/hitl/", everybody, unbuilt("human-in-the-loop requests of its workers")},
		{"/agentic_context/", everybody, unbuilt("agentic context")},
		{"GET /agents/{agent}/llm_preflight", everybody, unbuilt("model preflight checks")},
	} {
		mux.HandleFunc(route.pattern, func(w http.ResponseWriter, req *http.Request) {
			err := edge.Require(req.Context(), route.roles...)
			if err == nil {
				err = route.handle(w, req)
			}
			if err != nil {
				WriteError(w, req, r.Log, err)
			}
		})
	}
}

// WriteError answers in the client's form: {"detail": "…"}. A request without a good key may
// be another client's, which looks for the code: it gets both.
func WriteError(w http.ResponseWriter, r *http.Request, log *slog.Logger, err error) {
	status, body := edge.Describe(r.Context(), log, err)
	detail := body.Detail
	if body.Field != "" {
		detail = body.Field + ": " + detail
	}
	maps.Copy(w.Header(), body.Header())
	answer := map[string]string{"detail": detail}
	if body.Code == fault.Unauthenticated {
		answer["code"] = string(body.Code)
	}
	edge.WriteJSON(w, status, answer)
}

// answer renders a task for the client. Worker and admin keys see its secrets
// on the routes that ask for them (rule A5).
func (r *routes) answer(ctx context.Context, w http.ResponseWriter, s lifecycle.Snapshot) error {
	raw, err := r.render(ctx, s)
	if err != nil {
		return err
	}
	edge.WriteJSON(w, http.StatusOK, raw)
	return nil
}

func (r *routes) render(ctx context.Context, s lifecycle.Snapshot) (json.RawMessage, error) {
	var secrets lifecycle.Secrets
	if edge.Principal(ctx).SeesSecrets() {
		var err error
		if secrets, err = r.Service.TaskSecrets(ctx, s.Task.OrganizationID, s.Task.ID); err != nil {
			return nil, err
		}
	}
	return r.Presenter.TaskWithSecrets(ctx, s, secrets)
}

// task reads a task that the caller may see: a worker key for named agents
// sees those agents' tasks only (rule A3).
func (r *routes) task(ctx context.Context, id string) (lifecycle.Snapshot, error) {
	p := edge.Principal(ctx)
	s, err := r.Service.Get(ctx, p.Scope(), id)
	if err != nil {
		return s, err
	}
	return s, edge.RequireAgent(p, s.Task.AgentID)
}
