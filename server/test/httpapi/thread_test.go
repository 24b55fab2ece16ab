package httpapi_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// spoken reads a thread without its moments.
func spoken(t *testing.T, messages []any) []string {
	t.Helper()
	var all []string
	for _, x := range messages {
		m := x.(map[string]any)
		if at, _ := m["created_at"].(float64); at < 1e9 || at > 1e10 {
			t.Errorf("created_at is %v, want seconds", m["created_at"])
		}
		line := fmt.Sprintf("%v %v: %v", m["id"], m["role"], m["content"])
		if metrics, ok := m["metrics"].(map[string]any); ok {
			line += fmt.Sprintf(" (%v+%v=%v)", metrics["input_tokens"], metrics["output_tokens"], metrics["total_tokens"])
		}
		if name, ok := m["tool_name"]; ok {
			line += fmt.Sprintf(" [%v %v]", name, m["payload"])
		}
		all = append(all, line)
	}
	return all
}

// TestThreads reads a task of two turns with a tool and a sub-task in every
// form that a conversation has.
func TestThreads(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.agent(t, "narrow")
	s.task(t, "one")
	token := s.claim(t)
	s.must(t, 201, call{method: "POST", path: "/v1/tasks", body: `{"agent_id": "narrow", "id": "sub", "input": {"text": "help"}, "parent_execution": "one"}`})
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/one/events", body: `{"lease_token": "` + token + `", "events": [
		{"type": "tool_call_request", "data": {"request_id": "r", "tool_name": "search", "payload": {"q": "x"}}},
		{"type": "think", "data": {"title": "hm", "confidence": 0.5}},
		{"type": "tool_call_result", "data": {"request_id": "r", "tool_name": "search", "result": "found"}}]}`})
	s.finish(t, "one", token, `"status": "completed", "result": "first"`)
	s.must(t, 200, call{method: "PATCH", path: "/v1/tasks/one", body: `{"status": "completed", "result": "corrected", "override": true}`})
	s.task(t, "one")
	s.work(t, "second")
	s.task(t, "one")

	got := s.do(t, call{method: "GET", path: "/v1/tasks/one/thread", key: userKey})
	var thread []any
	if err := json.Unmarshal(got.body, &thread); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"one_user_1 user: do it", "one_agent_1 assistant: corrected",
		"one_user_2 user: do it", "one_agent_2 assistant: second (3+4=7)", "one_user_3 user: do it",
	}
	if d := cmp.Diff(want, spoken(t, thread)); d != "" {
		t.Errorf("thread (-want +got):\n%s", d)
	}

	full := s.must(t, 200, call{method: "GET", path: "/v1/tasks/one/thread/full", key: userKey})
	root := spoken(t, full["root"].([]any))
	if want := append([]string{want[0], "one_4 tool: found [search map[q:x]]"}, want[1:]...); cmp.Diff(want, root) != "" {
		t.Errorf("root (-want +got):\n%s", cmp.Diff(want, root))
	}
	sub, _ := full["sub"].([]any)
	if d := cmp.Diff([]string{"sub_user_1 user: help"}, spoken(t, sub)); d != "" || len(full) != 2 {
		t.Errorf("sub-task of %d (-want +got):\n%s", len(full), d)
	}

	activity := s.do(t, call{method: "GET", path: "/v1/tasks/one/activity"})
	if python := s.do(t, call{method: "GET", path: "/activity/agent-1/one"}); !bytes.Equal(bytes.TrimSpace(activity.body), python.body) || activity.status != 200 {
		t.Errorf("two faces tell two stories:\n%s\n%s", clip(activity.body), clip(python.body))
	}

	children := s.must(t, 200, call{method: "GET", path: "/v1/tasks/one/children?per_page=1", key: userKey})
	items := children["items"].([]any)
	if children["total"] != 1.0 || len(items) != 1 || items[0].(map[string]any)["id"] != "sub" || children["per_page"] != 1.0 {
		t.Errorf("children: %v", children)
	}

	// A worker's key for one agent sees of the family what is that agent's.
	s.must(t, 201, call{method: "POST", path: "/v1/tasks", body: `{"agent_id": "agent-1", "id": "below", "input": {"text": "psst"}, "parent_execution": "sub"}`})
	if full := s.must(t, 200, call{method: "GET", path: "/v1/tasks/sub/thread/full", key: narrowKey}); full["below"] != nil || full["root"] == nil {
		t.Errorf("a key for another agent sees %v", full)
	}
	if full := s.must(t, 200, call{method: "GET", path: "/v1/tasks/sub/thread/full"}); full["below"] == nil {
		t.Errorf("the admin does not see it either: %v", full)
	}
}

// TestUpdateFields changes what a person or a creator may tell of a task.
func TestUpdateFields(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.must(t, 201, call{method: "POST", path: "/v1/tasks", body: `{"agent_id": "agent-1", "id": "one", "input": {}, "payload_extension": {"a": {"b": 1}, "c": 2}}`})
	got := s.must(t, 200, call{method: "PATCH", path: "/v1/tasks/one", body: `{
		"tokens": {"prompt_tokens": 1, "completion_tokens": 2, "cache_read_tokens": 3, "cache_write_tokens": 4},
		"used_tools": ["mail"], "duration": 1.5, "payload_extension": {"a": {"d": 3}}, "priority": 7, "title": "new"}`})
	want := map[string]any{
		"tokens":     map[string]any{"prompt_tokens": 1.0, "completion_tokens": 2.0, "cache_read_tokens": 3.0, "cache_write_tokens": 4.0},
		"used_tools": []any{"mail"}, "duration": 1.5, "priority": 7.0, "title": "new",
		"payload_extension": map[string]any{"a": map[string]any{"b": 1.0, "d": 3.0}, "c": 2.0},
	}
	for _, read := range []map[string]any{got, s.must(t, 200, call{method: "GET", path: "/v1/tasks/one"})} {
		for name, value := range want {
			if d := cmp.Diff(value, read[name]); d != "" {
				t.Errorf("%s (-want +got):\n%s", name, d)
			}
		}
	}
	edit := func(name, body, field string) refusal {
		return refusal{name, call{method: "PATCH", path: "/v1/tasks/one", body: body}, 422, "invalid", field}
	}
	refuse(t, s, []refusal{
		edit("tokens that are a number", `{"tokens": 1}`, "tokens"),
		edit("fewer tokens than none", `{"tokens": {"prompt_tokens": -1}}`, "tokens.prompt_tokens"),
		edit("unknown tokens", `{"tokens": {"total_tokens": 1}}`, "tokens.total_tokens"),
		edit("tools that are text", `{"used_tools": "mail"}`, "used_tools"),
		edit("less than no time", `{"duration": -1}`, "duration"),
		edit("payload that is a list", `{"payload_extension": []}`, "payload_extension"),
		edit("result of what executes", `{"status": "executing", "result": "x"}`, "result"),
		edit("a worker's task", `{"status": "executing"}`, "status"),
	})
}

// L8: who creates a task with run_locally executes it, over /v1 too. Of two who
// try, one does; no worker is given it and no lease runs.
func TestL8RunLocally(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.must(t, 201, call{method: "POST", path: "/v1/tasks", body: `{"agent_id": "agent-1", "id": "one", "input": {}, "run_locally": true}`})
	begin := call{method: "PATCH", path: "/v1/tasks/one", key: userKey, body: `{"status": "executing", "internal_status": "at it"}`}
	if got := s.must(t, 200, begin); got["status"] != "executing" || got["started_at"] == nil || got["internal_status"] != "at it" {
		t.Errorf("began: %v %v %v", got["status"], got["started_at"], got["internal_status"])
	}
	s.must(t, 409, begin)
	if got := s.must(t, 200, call{method: "POST", path: "/v1/claim", body: `{"agent_ids": ["agent-1"], "worker_id": "w"}`}); len(got["claims"].([]any)) != 0 {
		t.Error("a worker was given it")
	}
	end := call{method: "PATCH", path: "/v1/tasks/one", key: userKey, body: `{"status": "failed", "result": "no luck", "duration": 2, "payload_extension": {"a": 1}}`}
	if got := s.must(t, 200, end); got["status"] != "failed" || got["result"] != "no luck" || got["duration"] != 2.0 || got["payload_extension"] == nil {
		t.Errorf("ended: %v %v %v", got["status"], got["result"], got["duration"])
	}
	s.must(t, 409, begin)
	s.must(t, 409, end)
}

// TestReport keeps a task that was executed elsewhere, and corrects it.
func TestReport(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	const path = "/v1/agents/agent-1/report"
	first := s.must(t, 201, call{method: "POST", path: path, key: workerKey, body: `{"id": "one", "input": "add", "result": "7",
		"tokens": {"prompt_tokens": 1}, "duration": 2, "used_tools": ["sum"]}`})
	if input, _ := first["input"].(map[string]any); first["status"] != "completed" || first["result"] != "7" || input["text"] != "add" {
		t.Errorf("first: %v", first)
	}
	again := s.must(t, 200, call{method: "POST", path: path, body: `{"id": "one", "result": "8", "is_success": false}`})
	if tools, _ := again["used_tools"].([]any); again["status"] != "failed" || again["result"] != "8" || len(tools) != 1 || again["duration"] != 2.0 {
		t.Errorf("again: %v", again)
	}
	if made := s.must(t, 201, call{method: "POST", path: path, body: `{}`}); made["id"] == "" || made["status"] != "completed" {
		t.Errorf("without an id: %v", made)
	}
	refuse(t, s, []refusal{
		post("unknown agent", "/v1/agents/nobody/report", `{}`, 404, "not_found", ""),
		post("another agent's task", "/v1/agents/profile/report", `{"id": "one"}`, 409, "conflict", "id"),
		post("odd id", path, `{"id": "a b"}`, 422, "invalid", "id"),
		post("number for result", path, `{"result": 7}`, 422, "invalid", "result"),
		post("object for input", path, `{"input": {"text": "x"}}`, 422, "invalid", "input"),
		post("unknown field", path, `{"llm": 1}`, 422, "invalid", "llm"),
		post("no body", path, ``, 400, "malformed", ""),
	})
}
