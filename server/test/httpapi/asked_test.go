package httpapi_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
)

// asked is what a task asks of its agent's model, tools and harness.
func asked() map[string]any {
	return map[string]any{
		"llm_model_provider": "anthropic", "llm_model_name": "claude", "llm_reasoning_effort": "xhigh",
		"tool_call_limit": 9.0, "harness_cli": "codex", "permission_mode": "gated",
	}
}

// TestS4WhatIsAskedOfTheModel: what the released client asks of a model is kept, told
// on every route of both faces and to every worker, and can be changed until the end.
func TestS4WhatIsAskedOfTheModel(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.agent(t, "agent-2")
	worker := s.follow(t, call{method: "GET", path: "/default/events/agent-2", key: workerKey})
	worker.next(t)
	body := func(more map[string]any) string {
		whole := map[string]any{"input": map[string]any{"text": "x"}}
		maps.Copy(whole, more)
		encoded, err := json.Marshal(whole)
		if err != nil {
			t.Fatal(err)
		}
		return string(encoded)
	}
	check := func(where string, got, want map[string]any) {
		t.Helper()
		for name, value := range want {
			if got[name] != value {
				t.Errorf("%s: %s is %v, want %v", where, name, got[name], value)
			}
		}
	}
	given := body(asked())

	made := s.must(t, 200, call{method: "POST", path: "/agent-execution/agent-1", body: given})
	check("R1", made, asked())
	id := made["id"].(string)
	python, path := "/agent-execution/"+id, "/v1/tasks/"+id
	check("R2", s.must(t, 200, call{method: "GET", path: python + "/status"}), asked())
	check("GET", s.must(t, 200, call{method: "GET", path: path}), asked())
	check("task_created", s.events(t, id)[0]["data"].(map[string]any), asked())
	claims := s.must(t, 200, call{method: "POST", path: "/v1/claim", body: `{"agent_ids": ["agent-1"], "worker_id": "w"}`})["claims"].([]any)
	check("claim", claims[0].(map[string]any)["task"].(map[string]any), asked())

	s.must(t, 200, call{method: "POST", path: "/agent-execution/agent-2", body: given})
	check("the Python worker's task", object(t, []byte(worker.next(t).data)), asked())

	// A save is the whole task; an update of /v1 what is to change.
	changed := asked()
	changed["llm_model_name"], changed["permission_mode"], changed["tool_call_limit"] = "gpt", nil, 4.0
	whole := s.must(t, 200, call{method: "GET", path: python + "/status"})
	maps.Copy(whole, changed)
	whole["status"] = "pending"
	check("R3", s.patch(t, id, body(whole)), changed)
	check("GET after R3", s.must(t, 200, call{method: "GET", path: path}), changed)
	changed["llm_model_name"], changed["llm_reasoning_effort"], changed["tool_call_limit"] = "o9", nil, nil
	check("PATCH", s.must(t, 200, call{
		method: "PATCH", path: path, body: `{"llm_model_name": "o9", "llm_reasoning_effort": "", "tool_call_limit": 0}`,
	}), changed)

	// After the end it stands; a next turn asks anew, but stays on its harness.
	s.must(t, 200, call{method: "POST", path: path + "/stop"})
	s.must(t, 409, call{method: "PATCH", path: path, body: `{"llm_model_name": "late"}`})
	next := s.must(t, 201, call{method: "POST", path: "/v1/tasks", body: fmt.Sprintf(`{"agent_id": "agent-1", "id": %q, "input": {}}`, id)})
	check("the next turn", next, map[string]any{"llm_model_name": nil, "llm_model_provider": nil, "harness_cli": "codex"})

	v1 := asked()
	v1["agent_id"] = "agent-1"
	check("POST", s.must(t, 201, call{method: "POST", path: "/v1/tasks", body: body(v1)}), asked())
	check("invoke", s.must(t, 202, call{method: "POST", path: "/v1/agents/agent-1/invoke/async", body: body(asked())}), asked())
	for name, bad := range map[string]string{
		"llm_reasoning_effort": `"hardest"`, "permission_mode": `"sudo"`, "tool_call_limit": `-1`,
	} {
		got := s.must(t, 422, call{method: "POST", path: "/agent-execution/agent-1", body: fmt.Sprintf(`{"input": {}, %q: %s}`, name, bad)})
		if detail, _ := got["detail"].(string); !strings.HasPrefix(detail, name+":") {
			t.Errorf("%s: refused with %q", name, detail)
		}
	}
}
