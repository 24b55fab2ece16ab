package httpapi_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/errand-dev/errand/server/internal/app"
	"github.com/errand-dev/errand/server/internal/httpapi/xpander"
)

// list makes a call that is answered with a bare array.
func (s *server) list(t *testing.T, c call) []map[string]any {
	t.Helper()
	got := s.do(t, c)
	var items []map[string]any
	if err := json.Unmarshal(got.body, &items); err != nil || got.status != 200 {
		t.Fatalf("%s: answered %d, not a bare array: %s", c.path, got.status, clip(got.body))
	}
	return items
}

// TestPythonDatabase (R8): there is none for agents, and the server's own is
// nobody else's (rule A2).
func TestPythonDatabase(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	for _, c := range []struct {
		agent, key string
		status     int
		says       string
	}{
		{"agent-1", workerKey, 404, "no database"},
		{"nobody", workerKey, 404, "nobody"},
		{"agent-1", userKey, 403, "role user"},
		{"agent-1", narrowKey, 403, "agent-1"},
		{"agent-1", strangerKey, 404, "agent-1"},
	} {
		got := s.must(t, c.status, call{method: "GET", path: "/agents/" + c.agent + "/db", key: c.key})
		if detail, _ := got["detail"].(string); !strings.Contains(detail, c.says) || strings.Contains(detail, "sqlite") {
			t.Errorf("%s with %s: %v", c.agent, c.key, got)
		}
	}
}

// TestPythonDefaults (rule A2) of the operator's are for what an agent leaves
// open; the sessions' database, and its password, for the default organization.
func TestPythonDefaults(t *testing.T) {
	t.Parallel()
	const database = "postgresql://agno:secret@10.0.0.5/sessions"
	s := start(t, func(o *app.Options) {
		o.Defaults = xpander.Defaults{Model: "small-1", LLMAPIBase: "http://models/v1", Database: database}
	})
	s.agent(t, "agent-1")
	s.must(t, 200, call{method: "PUT", path: "/v1/agents/agent-2", body: `{"name": "two", "model_name": "large-2", "llm_api_base": "http://elsewhere/v1"}`})
	s.must(t, 200, call{method: "PUT", path: "/v1/agents/agent-3", key: strangerKey, body: `{"name": "three"}`})
	for _, c := range []struct{ agent, key, model, base, sessions string }{
		{"agent-1", workerKey, "small-1", "http://models/v1", "true"},
		{"agent-2", workerKey, "large-2", "http://elsewhere/v1", "true"},
		{"agent-3", strangerKey, "small-1", "http://models/v1", "false"},
	} {
		got := s.must(t, 200, call{method: "GET", path: "/agents/" + c.agent, key: c.key})
		settings, _ := got["agno_settings"].(map[string]any)
		if got["model_name"] != c.model || got["llm_api_base"] != c.base || fmt.Sprint(settings["session_storage"]) != c.sessions {
			t.Errorf("%s: %v, %v, sessions %v", c.agent, got["model_name"], got["llm_api_base"], settings["session_storage"])
		}
	}
	got := s.must(t, 200, call{method: "GET", path: "/agents/agent-1/db", key: workerKey})
	connection, _ := got["connection_uri"].(map[string]any)
	if connection["uri"] != database || got["id"] == "" || got["name"] == "" {
		t.Errorf("the database is %v", got)
	}
	s.must(t, 404, call{method: "GET", path: "/agents/agent-3/db", key: strangerKey})
	s.must(t, 403, call{method: "GET", path: "/agents/agent-1/db", key: userKey})
}

// TestPythonATaskThatCannotBeTold ends, and holds up no other: its secrets do
// not open, since somebody has lost the key or damaged them.
func TestPythonATaskThatCannotBeTold(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.must(t, 200, call{method: "POST", path: "/agent-execution/agent-1", body: `{"id": "damaged", "input": {"text": "x"}, "user_tokens": {"a": "b"}}`})
	s.python(t, "whole")
	db := beside(t, s.dir, "?_pragma=busy_timeout(10000)")
	if _, err := db.ExecContext(t.Context(), "UPDATE secrets SET sealed = $1", make([]byte, 64)); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	worker := s.follow(t, call{method: "GET", path: "/default/events/agent-1", key: workerKey})
	worker.next(t) // its registration
	if m := worker.next(t); !strings.Contains(m.data, `"id":"whole"`) {
		t.Errorf("the worker was sent %s", clip([]byte(m.data)))
	}
	got := s.must(t, 200, call{method: "GET", path: "/v1/tasks/damaged"})
	if result, _ := got["result"].(string); got["status"] != "error" || !strings.Contains(result, "secrets do not open") {
		t.Errorf("the task is %v: %v", got["status"], got["result"])
	}
}

// TestPythonUserLists (R10) hold one user's tasks of all agents.
func TestPythonUserLists(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.agent(t, "agent-2")
	for _, c := range []struct{ agent, id, user string }{{"agent-1", "a", "u1"}, {"agent-2", "b", "u1"}, {"agent-1", "c", "u2"}} {
		s.must(t, 200, call{method: "POST", path: "/agent-execution/" + c.agent, body: fmt.Sprintf(
			`{"id": %q, "title": "T", "input": {"text": "x", "user": {"id": %q, "email": "u@x.org"}}}`, c.id, c.user)})
	}
	s.must(t, 200, call{method: "PATCH", path: "/agent-execution/a/update", body: `{"status": "completed", "result": "` + strings.Repeat("r", 65<<10) + `"}`})
	s.must(t, 200, call{method: "PATCH", path: "/agent-execution/b/update", body: `{"status": "completed", "result": "short"}`})
	const path = "/default/agent-execution/executions/history/user/u1"
	for query, want := range map[string]string{
		"": "b a", "/?user_id=u2": "b a", "?status=AgentExecutionStatus.Completed&parent_task_id=": "b a",
		"?status=pending": "", "?page=2&per_page=1": "a", "?agent_id=ignored": "b a",
	} {
		var ids []string
		for _, item := range s.list(t, call{method: "GET", path: path + query}) {
			ids = append(ids, item["id"].(string))
			if item["user_id"] != "u1" || item["title"] != "T" || item["created_at"] == nil || item["organization_id"] != organization {
				t.Errorf("%s: %v", query, item)
			}
			if item["id"] == "a" && item["result"] != nil || item["id"] == "b" && item["result"] != "short" {
				t.Errorf("%s: %v has a result of %d bytes (rule H5)", query, item["id"], len(fmt.Sprint(item["result"])))
			}
		}
		if got := strings.Join(ids, " "); got != want {
			t.Errorf("%s: lists %q, want %q", query, got, want)
		}
	}
	s.must(t, 422, call{method: "GET", path: path + "?status=done"})
	s.must(t, 403, call{method: "GET", path: path, key: narrowKey})
	if theirs := s.list(t, call{method: "GET", path: "/agent-execution/executions/history/user/u1", key: strangerKey}); len(theirs) != 0 {
		t.Errorf("another organization sees %v", theirs)
	}
}

// TestPythonReport (R11): a task that was executed elsewhere is there at once,
// ended; a later report and a later save correct it.
func TestPythonReport(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	report := func(status int, body string) map[string]any {
		return s.must(t, status, call{method: "POST", path: "/agent-execution/agent-1/report_task", body: body})
	}
	got := report(200, `{"id": null, "input": "What is it?", "llm_response": {"raw": [1]}, "tokens": {"completion_tokens": 3, "prompt_tokens": 4,
		"cache_read_tokens": 0, "cache_write_tokens": 0, "total_tokens": 7}, "is_success": true, "result": "It is.", "duration": 1.5, "used_tools": ["look"]}`)
	checkTask(t, "R11", got)
	if got["status"] != "completed" || got["input"].(map[string]any)["text"] != "What is it?" || got["result"] != "It is." ||
		got["finished_at"] == nil || got["duration"] != 1.5 || fmt.Sprint(got["used_tools"]) != "[look]" {
		t.Errorf("reported: %v", got)
	}
	failed := report(200, `{"id": "mine", "input": null, "tokens": null, "is_success": false, "result": null, "duration": null, "used_tools": null}`)
	if failed["id"] != "mine" || failed["status"] != "failed" {
		t.Errorf("reported a failure: %v %v", failed["id"], failed["status"])
	}
	if got := report(200, `{"llm_response": {"raw": [1]}}`); got["result"] != `{"raw": [1]}` {
		t.Errorf("reported what the model said, and no result: %v", got["result"])
	}
	again := report(200, `{"id": "mine", "is_success": null, "result": "after all"}`)
	if again["status"] != "completed" || again["result"] != "after all" {
		t.Errorf("reported again: %v %v", again["status"], again["result"])
	}
	saved := s.patch(t, "mine", `{"id": "mine", "status": "completed", "internal_status": "checked by hand", "execution_attempts": 1}`)
	if saved["internal_status"] != "checked by hand" || saved["status"] != "completed" {
		t.Errorf("saved: %v %v", saved["status"], saved["internal_status"])
	}
	if got := types(s.events(t, "mine")); strings.Count(got, "task_finished") != 1 {
		t.Errorf("the log says %s", got)
	}

	s.agent(t, "agent-2")
	s.must(t, 200, call{method: "POST", path: "/agent-execution/agent-2", body: `{"id": "others", "input": {}}`})
	before := s.stored(t)
	report(409, `{"id": "others"}`)
	report(422, `{"id": "no good"}`)
	report(422, `{"result": 7}`)
	report(422, `{"used_tools": [1]}`)
	report(422, `{"result": "a\u0000b"}`)
	report(400, `[]`)
	s.must(t, 404, call{method: "POST", path: "/agent-execution/nobody/report_task", body: `{}`})
	s.must(t, 403, call{method: "POST", path: "/agent-execution/agent-1/report_task", key: narrowKey, body: `{}`})
	if after := s.stored(t); after != before {
		t.Errorf("something was stored\nbefore: %s\nafter:  %s", before, after)
	}
}

// TestPythonActivity (R12): what was said and done in all turns, in forms that
// the client can read.
func TestPythonActivity(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.must(t, 200, call{method: "POST", path: "/agent-execution/agent-1", body: `{"id": "one", "input": {"text": "first", "files": ["https://example.org/a.csv"]}}`})
	const path = "/activity/agent-1/one"
	if only := s.must(t, 200, call{method: "GET", path: path})["messages"].([]any); len(only) != 1 {
		t.Errorf("a new task's activity: %v", only)
	}
	s.must(t, 200, call{method: "POST", path: "/agent-execution/one/events/push", body: `[
		{"type": "think", "data": {"title": "Plan", "confidence": 0.8, "thought": "hm"}},
		{"type": "tool_call_request", "data": {"request_id": "r", "operation_id": "look", "payload": {"q": 1}, "reasoning": {"title": "t", "description": "d"}}},
		{"type": "tool_call_result", "data": {"request_id": "r", "operation_id": "look", "payload": {"q": 1}, "result": "seen", "is_error": true}},
		{"type": "think", "data": null}, {"type": "tool_call_result", "data": "odd"}, {"type": "chunk", "data": "not said"}]`})
	s.patch(t, "one", `{"status": "completed", "result": "answer"}`)
	s.must(t, 200, call{method: "POST", path: "/agent-execution/agent-1", body: `{"id": "one", "input": {"text": "second"}}`})

	got := s.must(t, 200, call{method: "GET", path: path + "/"})
	if got["id"] != "one" || got["created_at"] == nil {
		t.Errorf("the thread: %v %v", got["id"], got["created_at"])
	}
	var said []string
	ids := map[any]bool{}
	for _, x := range got["messages"].([]any) {
		m := x.(map[string]any)
		if m["id"] == nil || m["created_at"] == nil || ids[m["id"]] {
			t.Errorf("a message: %v", m)
		}
		ids[m["id"]] = true
		switch {
		case m["role"] != nil:
			said = append(said, fmt.Sprintf("%v:%v", m["role"], m["content"].(map[string]any)["text"]))
		case m["tool_name"] != nil:
			said = append(said, fmt.Sprintf("tool:%v=%v!%v", m["tool_name"], m["result"], m["is_error"]))
			if !has(m, "payload") {
				t.Errorf("a tool call without a payload: %v", m)
			}
		default:
			said = append(said, fmt.Sprintf("%v:%v", m["type"], m["title"]))
			if _, ok := m["confidence"].(float64); !ok {
				t.Errorf("a thought without confidence: %v", m)
			}
		}
	}
	want := "user:first think:Plan tool:look=seen!true think:think agent:answer user:second"
	if got := strings.Join(said, " "); got != want {
		t.Errorf("the activity says\n%s\nwant\n%s", got, want)
	}
	s.must(t, 404, call{method: "GET", path: "/activity/agent-1/no-such-task"})
	s.must(t, 404, call{method: "GET", path: "/activity/agent-2/one"})
	s.must(t, 403, call{method: "GET", path: path, key: narrowKey})
}

// TestPythonMetrics (R13) are kept with the task; the last report stands.
func TestPythonMetrics(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.agent(t, "agent-2")
	s.task(t, "one")
	body := func(id string, completion int) string {
		return fmt.Sprintf(`{"execution_id": %q, "source": "sdk", "sub_executions": [], "memory_thread_id": %q, "task": "x", "triggered_by": "N/A", "skills": [],
			"status": "executing", "internal_status": null, "duration": 0.0, "ai_model": "xpander", "worker": null, "ai_employee_id": null,
			"api_calls_made": ["look", {"odd": 1}], "result": null, "llm_tokens": {"inner": {"completion_tokens": 0, "prompt_tokens": 0, "total_tokens": 0},
			"worker": {"completion_tokens": %d, "prompt_tokens": 4, "cache_read_tokens": 2, "cache_write_tokens": 0, "total_tokens": 9}}}`, id, id, completion)
	}
	report := func(status int, agent, body string) {
		t.Helper()
		s.must(t, status, call{method: "POST", path: "/agents-metrics/" + agent + "/execution", key: workerKey, body: body})
	}
	report(200, "agent-1", body("one", 3))
	report(200, "agent-1", body("one", 5))
	s.patch(t, "one", `{"status": "completed", "result": "x"}`)
	report(200, "agent-1", body("one", 6)) // it often comes after the end
	report(200, "agent-1", `{"execution_id": "one", "api_calls_made": null, "llm_tokens": null}`)
	got := s.must(t, 200, call{method: "GET", path: "/agent-execution/one/status"})
	tokens := got["tokens"].(map[string]any)
	if tokens["completion_tokens"] != 6.0 || tokens["cache_read_tokens"] != 2.0 || fmt.Sprint(got["used_tools"]) != "[look]" || got["status"] != "completed" {
		t.Errorf("kept: %v, %v, %v", tokens, got["used_tools"], got["status"])
	}
	before := s.stored(t)
	report(404, "agent-1", body("no-such-task", 1))
	report(404, "agent-2", body("one", 1))
	report(422, "agent-1", `{}`)
	report(422, "agent-1", `{"execution_id": "one", "duration": "long"}`)
	s.must(t, 403, call{method: "POST", path: "/agents-metrics/agent-1/execution", key: narrowKey, body: body("one", 1)})
	if after := s.stored(t); after != before {
		t.Errorf("something was stored\nbefore: %s\nafter:  %s", before, after)
	}
}

// TestPythonAgentList (R18) is a bare array of those that the key may see.
func TestPythonAgentList(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.agent(t, "narrow")
	for key, want := range map[string]string{
		adminKey: "agent-1 narrow profile", userKey: "agent-1 narrow profile", workerKey: "agent-1 narrow profile",
		narrowKey: "narrow", strangerKey: "",
	} {
		var ids []string
		for _, a := range s.list(t, call{method: "GET", path: "/agents/list", key: key}) {
			ids = append(ids, fmt.Sprint(a["id"]))
			for name := range strings.FieldsSeq("id name icon status organization_id created_at") {
				if text, _ := a[name].(string); text == "" {
					t.Errorf("%v: %s is %v", a["id"], name, a[name])
				}
			}
			i, _ := a["instructions"].(map[string]any)
			if !isList(i["role"]) || !isList(i["goal"]) {
				t.Errorf("%v: instructions are %v", a["id"], a["instructions"])
			}
		}
		if got := strings.Join(ids, " "); got != want {
			t.Errorf("%s: lists %q, want %q", key, got, want)
		}
	}
}
