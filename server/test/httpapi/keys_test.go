package httpapi_test

import (
	"fmt"
	"strings"
	"testing"
)

// route is a route with the keys that may use it beside the admin's.
type route struct {
	method, path string
	body         string
	user, worker bool
}

func routes() []route {
	const id, agent = "no-such-task", "no-such-agent"
	task, py := "/v1/tasks/"+id, "/agent-execution/"+id
	return []route{
		{"POST", "/v1/tasks", `{"agent_id": "` + agent + `", "input": {}}`, true, false},
		{"GET", "/v1/tasks", "", true, false},
		{"GET", "/v1/tasks/counts", "", true, false},
		{"GET", "/v1/workers", "", true, false},
		{"GET", "/v1/server", "", true, false},
		{"GET", "/v1/search", "", true, false},
		{"GET", "/v1/events", "", true, false},
		{"GET", "/v1/tasks/{task_id}", "", true, true},
		{"PATCH", "/v1/tasks/{task_id}", `{"title": "x"}`, true, false},
		{"DELETE", "/v1/tasks/{task_id}", "", true, false},
		{"POST", "/v1/tasks/{task_id}/stop", "", true, false},
		{"POST", "/v1/tasks/batch", `{}`, true, false},
		{"POST", "/v1/tasks/stop", `{}`, true, false},
		{"POST", "/v1/tasks/{task_id}/pause", "", true, false},
		{"POST", "/v1/tasks/{task_id}/resume", "", true, false},
		{"GET", "/v1/tasks/{task_id}/events", "", true, true},
		{"GET", "/v1/tasks/{task_id}/tree", "", true, false},
		{"POST", "/v1/tasks/{task_id}/events", `{"events": [{"type": "think", "data": 1}]}`, true, true},
		{"GET", "/v1/tasks/{task_id}/steps", "", true, true},
		{"POST", "/v1/tasks/{task_id}/steps", `{"lease_token": "x", "id": "s", "body": 1}`, false, true},
		{"GET", "/v1/tasks/{task_id}/approvals", "", true, true},
		{"POST", "/v1/tasks/{task_id}/approvals", `{"lease_token": "x", "key": "k", "message": "m"}`, false, true},
		{"GET", "/v1/approvals", "", true, false},
		{"GET", "/v1/approvals/{approval_id}", "", true, false},
		{"POST", "/v1/approvals/{approval_id}/answer", `{"answer": "approve"}`, true, false},
		{"POST", "/v1/tasks/{task_id}/wait", `{"lease_token": "x", "until": "2026-01-01T00:00:00Z"}`, false, true},
		{"GET", "/v1/tasks/{task_id}/outputs", "", true, true},
		{"GET", "/v1/tasks/{task_id}/outputs/{name}", "", true, true},
		{"PUT", "/v1/tasks/{task_id}/outputs/{name}", "x", true, true},
		{"GET", "/v1/tasks/{task_id}/files", "", true, true},
		{"GET", "/v1/tasks/{task_id}/files/{file}/text", "", true, true},
		{"GET", "/v1/tasks/{task_id}/files/{file}/table", "", true, true},
		{"GET", "/v1/tasks/{task_id}/files/{file}/picture", "", true, true},
		{"POST", "/v1/files/preview", `{"url": "http://x/y", "agent_id": "nobody"}`, true, false},
		{"GET", "/v1/tasks/{task_id}/thread", "", true, true},
		{"GET", "/v1/tasks/{task_id}/thread/full", "", true, true},
		{"GET", "/v1/tasks/{task_id}/activity", "", true, true},
		{"GET", "/v1/tasks/{task_id}/children", "", true, false},
		{"POST", "/v1/agents/{agent_id}/invoke", `{"input": {}}`, true, false},
		{"POST", "/v1/agents/{agent_id}/invoke/async", `{"input": {}}`, true, false},
		{"POST", "/v1/agents/{agent_id}/invoke/stream", `{"input": {}}`, true, false},
		{"POST", "/v1/agents/{agent_id}/report", `{}`, true, true},
		{"POST", "/v1/tasks/{task_id}/heartbeat", `{"lease_token": "x"}`, false, true},
		{"POST", "/v1/tasks/{task_id}/finish", `{"lease_token": "x", "status": "completed"}`, false, true},
		{"POST", "/v1/tasks/{task_id}/release", `{"lease_token": "x"}`, false, true},
		{"POST", "/v1/claim", `{"agent_ids": ["` + agent + `"], "worker_id": "w"}`, false, true},
		{"POST", "/v1/files", "", true, true},
		{"GET", "/v1/files", "", true, false},
		{"GET", "/v1/files/{file_id}", "", true, false},
		{"DELETE", "/v1/files/{file_id}", "", true, false},
		{"GET", "/v1/agents", "", true, true},
		{"POST", "/v1/agents", `{}`, false, false},
		{"PUT", "/v1/agents/{agent_id}", `{}`, false, false},
		{"DELETE", "/v1/agents/{agent_id}", "", false, false},
		{"GET", "/v1/agents/{agent_id}/versions", "", true, true},
		{"POST", "/v1/tasks/{task_id}/tokens", `{}`, true, false},
		{"GET", "/v1/tasks/{task_id}/tokens", "", true, false},
		{"DELETE", "/v1/tasks/{task_id}/tokens/{token_id}", "", true, false},
		{"POST", "/v1/session", `{}`, true, true},
		{"GET", "/v1/session", "", true, true},
		{"GET", "/v1/session/ways", "", true, true},
		{"POST", "/v1/session/links", `{"next": "elsewhere"}`, true, true},
		{"DELETE", "/v1/session", "", true, true},
		{"POST", "/v1/keys", `{}`, false, false},
		{"GET", "/v1/keys", "", false, false},
		{"DELETE", "/v1/keys/{key_id}", "", false, false},
		{"PATCH", "/v1/keys/{key_id}", `{"caps": null}`, false, false},
		{"GET", "/v1/usage", "", true, false},
		{"POST", "/v1/webhooks", `{}`, true, false},
		{"GET", "/v1/webhooks", "", true, false},
		{"PATCH", "/v1/webhooks/{webhook_id}", `{}`, true, false},
		{"DELETE", "/v1/webhooks/{webhook_id}", "", true, false},
		{"POST", "/v1/webhooks/{webhook_id}/test", "", true, false},
		{"GET", "/v1/stats", "", true, false},
		{"GET", "/v1/trouble", "", true, false},
		{"GET", "/v1/agents/{agent_id}", "", true, true},
		{"GET", "/v1/agents/{agent_id}/tasks", "", true, false},

		{"POST", "/agent-execution/" + agent, `{}`, true, true},
		{"DELETE", py, "", true, true},
		{"GET", py + "/status", "", true, true},
		{"PATCH", py + "/update", `{}`, true, true},
		{"GET", py + "/events", "", true, true},
		{"POST", py + "/events/push", `[]`, false, true},
		{"GET", "/agent-execution/executions/history/" + agent, "", true, true},
		{"GET", "/agent-execution/executions/history/user/u", "", true, true},
		{"POST", "/agent-execution/" + agent + "/report_task", `{"id": "no good"}`, true, true},
		{"GET", "/activity/" + agent + "/no-such-task", "", true, true},
		{"POST", "/agents-metrics/" + agent + "/execution", `{}`, true, true},
		{"GET", "/agents/" + agent, "", true, true},
		{"GET", "/agents/" + agent + "/db", "", false, true},
		{"POST", "/agents/" + agent + "/operations/xpget_agent_plan", "", true, true},
		{"POST", "/hitl/no-such-task/approve", "", true, false},
		{"POST", "/hitl/no-such-task/reject", "", true, false},
		{"GET", "/agents/list", "", true, true},
		{"GET", "/metadata/default_llm_extra_headers", "", true, true},
		{"GET", "/events/bad%20id", "", false, true}, // answered before a worker is registered
		{"POST", "/events/no-such-worker?agent_id=" + agent, `{}`, false, true},

		{"GET", task + "/", "", true, true},
		{"GET", "/metrics", "", false, false},
		{"GET", "/debug/pprof/goroutine", "", false, false},
	}
}

// open reports whether a route needs no key.
func (r route) open() bool {
	return r.method == "POST" && r.path == "/v1/session" || r.path == "/v1/session/ways"
}

func (r route) call(key string) call {
	path := strings.NewReplacer("{task_id}", "no-such-task", "{agent_id}", "no-such-agent", "{key_id}", "no-such-key", "{token_id}", "no-such-token", "{approval_id}", "no-such-approval").Replace(r.path)
	return call{method: r.method, path: path, key: key, body: r.body}
}

// TestA3RolesByRoute walks every role over every route.
func TestA3RolesByRoute(t *testing.T) {
	t.Parallel()
	s := start(t)
	before := s.stored(t)
	for _, r := range routes() {
		for _, who := range []struct {
			name, key string
			may       bool
		}{
			{"no", "-", false},
			{"a wrong", wrongKey, false},
			{"the user's", userKey, r.user},
			{"the worker's", workerKey, r.worker},
			{"the admin's", adminKey, true},
		} {
			got := s.do(t, r.call(who.key))
			name := fmt.Sprintf("%s %s with %s key", r.method, r.path, who.name)
			switch {
			case r.open():
				if want := map[string]int{"GET": 200, "POST": 422}[r.method]; got.status != want {
					t.Errorf("%s: answered %d, want %d: %s", name, got.status, want, clip(got.body))
				}
			case who.key == "-" || who.key == wrongKey:
				if code := object(t, got.body)["code"]; got.status != 401 || code != "unauthenticated" {
					t.Errorf("%s: answered %d with the code %v, want 401", name, got.status, code)
				}
			case !who.may:
				if got.status != 403 {
					t.Errorf("%s: answered %d, want 403: %s", name, got.status, clip(got.body))
				}
			case got.status == 401 || got.status == 403 || got.status >= 500:
				t.Errorf("%s: answered %d: %s", name, got.status, clip(got.body))
			}
		}
	}
	if after := s.stored(t); after != before {
		t.Errorf("something was stored\nbefore: %s\nafter:  %s", before, after)
	}
}

// TestA3EveryDocumentedRouteIsWalked keeps the table above complete.
func TestA3EveryDocumentedRouteIsWalked(t *testing.T) {
	t.Parallel()
	s := start(t)
	walked := map[string]bool{}
	for _, r := range routes() {
		walked[r.method+" "+r.path] = true
	}
	document := s.must(t, 200, call{method: "GET", path: "/v1/openapi.json"})
	paths := document["paths"].(map[string]any)
	if len(paths) == 0 {
		t.Fatal("the document has no paths")
	}
	for path, methods := range paths {
		for method := range methods.(map[string]any) {
			if name := strings.ToUpper(method) + " " + path; !walked[name] {
				t.Errorf("%s is in the document, but no role was tried on it", name)
			}
		}
	}
}

// TestH1TheKeyIsCheckedBeforeTheRoute says that nobody without a key learns
// what exists; probes are open.
func TestH1TheKeyIsCheckedBeforeTheRoute(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, path := range []string{"/nothing", "/v1/nothing", "/default/agents/a", "/v1/openapi.yaml", "/"} {
		s.must(t, 401, call{method: "GET", path: path, key: "-"})
		s.must(t, 401, call{method: "GET", path: path, key: wrongKey})
	}
	s.must(t, 404, call{method: "GET", path: "/nothing"})
	s.must(t, 404, call{method: "GET", path: "/v1/nothing"})
	s.must(t, 200, call{method: "GET", path: "/healthz", key: "-"})
	s.must(t, 200, call{method: "GET", path: "/readyz", key: "-"})
}

// TestA3AKeyForNamedAgents says that such a worker's key sees nothing of others.
func TestA3AKeyForNamedAgents(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.agent(t, "narrow")
	s.task(t, "theirs")
	token := s.claim(t)
	s.must(t, 201, call{method: "POST", path: "/v1/tasks", body: `{"agent_id": "narrow", "id": "mine", "input": {"user": {"email": "u@example.com", "id": "u"}}}`})
	think := `"events": [{"type": "think", "data": 1}]`
	before := s.stored(t)
	for _, c := range []call{
		{method: "GET", path: "/v1/tasks/theirs"},
		{method: "GET", path: "/v1/tasks/theirs/events"},
		{method: "GET", path: "/v1/tasks/theirs/thread"},
		{method: "GET", path: "/v1/tasks/theirs/thread/full"},
		{method: "GET", path: "/v1/tasks/theirs/activity"},
		{method: "POST", path: "/v1/agents/agent-1/report", body: `{}`},
		{method: "POST", path: "/v1/tasks/theirs/events", body: `{` + think + `}`},
		{method: "POST", path: "/v1/tasks/theirs/heartbeat", body: `{"lease_token": "` + token + `"}`},
		{method: "POST", path: "/v1/tasks/theirs/finish", body: `{"lease_token": "` + token + `", "status": "completed"}`},
		{method: "POST", path: "/v1/claim", body: `{"agent_ids": ["narrow", "agent-1"], "worker_id": "w"}`},
		{method: "GET", path: "/v1/agents/agent-1"},
		{method: "GET", path: "/v1/agents/agent-1/versions"},
		{method: "POST", path: "/agent-execution/agent-1", body: `{}`},
		{method: "DELETE", path: "/agent-execution/theirs"},
		{method: "GET", path: "/agent-execution/theirs/status"},
		{method: "PATCH", path: "/agent-execution/theirs/update", body: `{"status": "completed"}`},
		{method: "GET", path: "/agent-execution/theirs/events"},
		{method: "POST", path: "/agent-execution/theirs/events/push", body: `[{"type": "think", "data": 1}]`},
		{method: "GET", path: "/agent-execution/executions/history/agent-1"},
		{method: "GET", path: "/agent-execution/executions/history/user/u"},
		{method: "GET", path: "/activity/agent-1/theirs"},
		{method: "GET", path: "/agents/agent-1"},
		{method: "GET", path: "/default/events/agent-1"},
		{method: "POST", path: "/default/events/w?type=worker&agent_id=agent-1", body: `{"event": "worker-heartbeat"}`},
	} {
		c.key = narrowKey
		s.must(t, 403, c)
	}
	if after := s.stored(t); after != before {
		t.Errorf("something was stored\nbefore: %s\nafter:  %s", before, after)
	}

	// Its own agent's it may have.
	s.must(t, 200, call{method: "GET", path: "/v1/tasks/mine", key: narrowKey})
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/mine/events", key: narrowKey, body: `{` + think + `}`})
	s.must(t, 200, call{method: "GET", path: "/agents/narrow", key: narrowKey})
	list := s.must(t, 200, call{method: "GET", path: "/v1/agents", key: narrowKey})
	if items := list["items"].([]any); len(items) != 1 {
		t.Errorf("sees %d agents, want its own", len(items))
	}
}

// TestA3AnotherOrganizationsTask says that it might as well not exist.
func TestA3AnotherOrganizationsTask(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "one")
	token := s.claim(t)
	before := s.stored(t)
	for _, c := range []call{
		{method: "GET", path: "/v1/tasks/one"},
		{method: "PATCH", path: "/v1/tasks/one", body: `{"title": "x"}`},
		{method: "DELETE", path: "/v1/tasks/one"},
		{method: "POST", path: "/v1/tasks/one/stop"},
		{method: "POST", path: "/v1/tasks/one/pause"},
		{method: "POST", path: "/v1/tasks/one/resume"},
		{method: "GET", path: "/v1/tasks/one/events"},
		{method: "GET", path: "/v1/tasks/one/thread"},
		{method: "GET", path: "/v1/tasks/one/thread/full"},
		{method: "GET", path: "/v1/tasks/one/activity"},
		{method: "POST", path: "/v1/agents/agent-1/report", body: `{}`},
		{method: "POST", path: "/v1/tasks/one/events", body: `{"events": [{"type": "think", "data": 1}]}`},
		{method: "POST", path: "/v1/tasks/one/heartbeat", body: `{"lease_token": "` + token + `"}`},
		{method: "POST", path: "/v1/tasks/one/finish", body: `{"lease_token": "` + token + `", "status": "completed"}`},
		{method: "POST", path: "/v1/tasks", body: `{"agent_id": "agent-1", "input": {}}`},
		{method: "GET", path: "/v1/tasks/one/children"},
		{method: "POST", path: "/v1/agents/agent-1/invoke", body: `{"input": {}}`},
		{method: "GET", path: "/v1/agents/agent-1"},
		{method: "GET", path: "/v1/agents/agent-1/versions"},
		{method: "DELETE", path: "/v1/agents/agent-1"},
		{method: "DELETE", path: "/agent-execution/one"},
		{method: "GET", path: "/agent-execution/one/status"},
		{method: "PATCH", path: "/agent-execution/one/update", body: `{"status": "completed"}`},
		{method: "GET", path: "/stranger/agent-execution/one/events"},
		{method: "POST", path: "/agent-execution/one/events/push", body: `[]`},
		{method: "GET", path: "/agents/agent-1"},
		{method: "GET", path: "/activity/agent-1/one"},
		// The path names an organization that is not the key's.
		{method: "GET", path: "/default/agent-execution/one/status"},
		{method: "GET", path: "/default/agents/agent-1"},
		{method: "GET", path: "/nobody/agent-execution/one/status"},
	} {
		c.key = strangerKey
		s.must(t, 404, c)
	}
	if after := s.stored(t); after != before {
		t.Errorf("something was stored\nbefore: %s\nafter:  %s", before, after)
	}
	s.must(t, 403, call{method: "GET", path: "/metrics", key: strangerKey})
	s.must(t, 403, call{method: "GET", path: "/debug/pprof/goroutine", key: strangerKey})

	// Their lists are empty, and the same id is simply another task.
	list := s.must(t, 200, call{method: "GET", path: "/v1/tasks", key: strangerKey})
	if list["total"] != 0.0 {
		t.Errorf("a stranger sees %v tasks", list["total"])
	}
	s.must(t, 200, call{method: "PUT", path: "/v1/agents/agent-1", key: strangerKey, body: `{"name": "theirs"}`})
	s.must(t, 404, call{method: "GET", path: "/default/agents/agent-1", key: strangerKey})
	for _, org := range []string{"/stranger", "/None", ""} {
		s.must(t, 200, call{method: "GET", path: org + "/agents/agent-1", key: strangerKey})
	}
	made := s.must(t, 201, call{method: "POST", path: "/v1/tasks", key: strangerKey, body: `{"agent_id": "agent-1", "id": "one", "input": {}}`})
	if made["organization_id"] != strangerGroup {
		t.Errorf("made in %v", made["organization_id"])
	}
	if got := s.must(t, 200, call{method: "GET", path: "/v1/tasks/one"}); got["status"] != "executing" {
		t.Errorf("our own task is %v", got["status"])
	}
}
