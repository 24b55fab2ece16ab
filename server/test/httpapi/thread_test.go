package httpapi_test

import (
	"fmt"
	"strings"
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
	s.must(t, 201, call{method: "POST", path: "/v1/tasks", body: `{"agent_id": "agent-1", "id": "below", "input": {"text": "psst"}, "parent_execution": "sub"}`})
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
	thread := object(t, got.body)["items"].([]any)
	want := []string{
		"one_user_1 user: do it", "one_agent_1 assistant: corrected",
		"one_user_2 user: do it", "one_agent_2 assistant: second (3+4=7)", "one_user_3 user: do it",
	}
	if d := cmp.Diff(want, spoken(t, thread)); d != "" {
		t.Errorf("thread (-want +got):\n%s", d)
	}

	full := s.threads(t, "one", userKey, "")
	if want := append([]string{want[0], "one_4 tool: found [search map[q:x]]"}, want[1:]...); cmp.Diff(want, spoken(t, full["one"])) != "" {
		t.Errorf("root (-want +got):\n%s", cmp.Diff(want, spoken(t, full["one"])))
	}
	if d := cmp.Diff([]string{"sub_user_1 user: help"}, spoken(t, full["sub"])); d != "" || len(full) != 3 {
		t.Errorf("sub-task of %d (-want +got):\n%s", len(full), d)
	}

	activity := s.must(t, 200, call{method: "GET", path: "/v1/tasks/one/activity"})
	python := s.must(t, 200, call{method: "GET", path: "/activity/agent-1/one"})
	for _, x := range activity["items"].([]any) {
		delete(x.(map[string]any), "request_id") // the Python client knows none
	}
	if d := cmp.Diff(activity["items"], python["messages"]); d != "" || activity["created_at"] != python["created_at"] || activity["id"] != python["id"] {
		t.Errorf("two faces tell two stories (-v1 +python):\n%s", d)
	}

	children := s.must(t, 200, call{method: "GET", path: "/v1/tasks/one/children?per_page=1", key: userKey})
	items := children["items"].([]any)
	if children["total"] != 1.0 || len(items) != 1 || items[0].(map[string]any)["id"] != "sub" || children["per_page"] != 1.0 {
		t.Errorf("children: %v", children)
	}

	// A worker's key for one agent sees of the family what is that agent's.
	if full := s.threads(t, "sub", narrowKey, ""); full["below"] != nil || full["sub"] == nil {
		t.Errorf("a key for another agent sees %v", full)
	}
	if full := s.threads(t, "sub", adminKey, ""); full["below"] == nil {
		t.Errorf("the admin does not see it either: %v", full)
	}

	// Parts of any size are the same whole: but for a call whose result stands on a later
	// part, which its request's id joins.
	for limit := 1; limit <= 6; limit++ {
		query := fmt.Sprintf("?limit=%d", limit)
		if d := cmp.Diff(thread, s.parts(t, "/v1/tasks/one/thread"+query, userKey)); d != "" {
			t.Errorf("thread in parts of %d (-whole +parts):\n%s", limit, d)
		}
		in := s.threads(t, "one", adminKey, query)
		if d := cmp.Diff(s.threads(t, "one", adminKey, ""), map[string][]any{"one": joined(in["one"]), "sub": in["sub"], "below": in["below"]}); d != "" {
			t.Errorf("full thread in parts of %d (-whole +parts):\n%s", limit, d)
		}
		if d := cmp.Diff(s.parts(t, "/v1/tasks/one/activity", adminKey), joined(s.parts(t, "/v1/tasks/one/activity"+query, adminKey))); d != "" {
			t.Errorf("activity in parts of %d (-whole +parts):\n%s", limit, d)
		}
	}
	var table []refusal
	first := s.must(t, 200, call{method: "GET", path: "/v1/tasks/one/thread/full?limit=1"})["next_cursor"].(string)
	for _, path := range []string{"/thread", "/thread/full", "/activity"} {
		for _, wrong := range []string{"cursor=x", "cursor=" + first} {
			table = append(table, get(wrong, "/v1/tasks/below"+path+"?"+wrong, 400, "malformed", "cursor"))
		}
		table = append(table, get("limit", "/v1/tasks/one"+path+"?limit=1001", 422, "invalid", "limit"))
	}
	refuse(t, s, table)
}

// parts reads a list that is answered in parts, to its end.
func (s *server) parts(t *testing.T, path, key string) []any {
	t.Helper()
	var all []any
	for cursor := ""; ; {
		at := path
		if cursor != "" {
			at += map[bool]string{true: "&", false: "?"}[strings.Contains(path, "?")] + "cursor=" + cursor
		}
		part := s.must(t, 200, call{method: "GET", path: at, key: key})
		all = append(all, part["items"].([]any)...)
		if cursor, _ = part["next_cursor"].(string); cursor == "" {
			return all
		}
	}
}

// threads reads the threads of a task and its sub-tasks, by their ids.
func (s *server) threads(t *testing.T, id, key, query string) map[string][]any {
	t.Helper()
	all := map[string][]any{}
	for _, m := range s.parts(t, "/v1/tasks/"+id+"/thread/full"+query, key) {
		of := m.(map[string]any)["task_id"].(string)
		all[of] = append(all[of], m)
	}
	return all
}

// joined joins calls with results that stand on later parts.
func joined(messages []any) []any {
	var all []any
	calls := map[string]map[string]any{}
	for _, x := range messages {
		m := x.(map[string]any)
		id, _ := m["request_id"].(string)
		if call := calls[id]; call != nil {
			for _, name := range []string{"result", "content"} {
				if m[name] != nil {
					call[name] = m[name]
				}
			}
			continue
		}
		if all = append(all, m); id != "" {
			calls[id] = m
		}
	}
	return all
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
