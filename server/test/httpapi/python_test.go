package httpapi_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// alwaysThere are the members that every task in the Python client's form has
// (the client fails where a key is missing).
func alwaysThere() []string {
	return strings.Fields(`id agent_id organization_id input created_at status internal_status last_executed_node_id
		agent_version started_at paused_at finished_at result parent_execution sub_executions used_tools is_manually_stopped
		events_streaming is_orchestration disable_attachment_injection return_metrics payload_extension output_schema
		user_tokens hitl_request pending_eca_request source voice_id additional_context instructions_override
		test_run_node_id user_oidc_token output_format expected_output triggering_agent_id title mcp_servers think_mode
		deep_planning execution_attempts tokens duration llm_model_provider llm_model_name llm_reasoning_effort tool_call_limit
		harness_cli permission_mode`)
}

// checkTask checks a task as the client needs it.
func checkTask(t *testing.T, where string, got map[string]any) {
	t.Helper()
	for _, name := range alwaysThere() {
		if _, ok := got[name]; !ok {
			t.Errorf("%s: no %s", where, name)
		}
	}
	if _, ok := got["configuration"]; ok {
		t.Errorf("%s: has configuration, by which the client dies", where)
	}
	for _, name := range []string{"id", "agent_id", "organization_id", "created_at", "status", "source"} {
		if text, _ := got[name].(string); text == "" {
			t.Errorf("%s: %s is %v, must be text", where, name, got[name])
		}
	}
	if _, err := time.Parse(time.RFC3339Nano, fmt.Sprint(got["created_at"])); err != nil {
		t.Errorf("%s: created_at: %v", where, err)
	}
	for name, ok := range map[string]bool{
		"input":         isObject(got["input"]),
		"deep_planning": isObject(got["deep_planning"]),
		"mcp_servers":   got["mcp_servers"] == nil || isList(got["mcp_servers"]),
		"used_tools":    got["used_tools"] == nil || isList(got["used_tools"]),
		// null fails the newest release's parsing: false, or not there.
		"background_auth_eligible": got["background_auth_eligible"] != nil || !has(got, "background_auth_eligible"),
		"output_schema":            got["output_format"] != "json" || isObject(got["output_schema"]),
	} {
		if !ok {
			t.Errorf("%s: %s is %v", where, name, got[name])
		}
	}
}

func isObject(v any) bool { _, ok := v.(map[string]any); return ok }
func isList(v any) bool   { _, ok := v.([]any); return ok }

func has(o map[string]any, name string) bool { _, ok := o[name]; return ok }

// released is R1's body as the client sends it, with all of its defaults.
const released = `{"id": null, "input": {"text": "Analyze", "files": [], "user": null}, "payload_extension": null, "source": null,
	"worker_id": null, "output_format": null, "output_schema": null, "run_locally": false, "events_streaming": true,
	"additional_context": null, "instructions_override": null, "test_run_node_id": null, "user_oidc_token": null,
	"expected_output": null, "mcp_servers": [], "triggering_agent_id": null, "title": null, "think_mode": "default",
	"disable_attachment_injection": false, "user_tokens": null, "return_metrics": false, "tool_call_limit": null,
	"llm_model_provider": null, "llm_model_name": null, "llm_reasoning_effort": null, "harness_cli": null, "permission_mode": null}`

// TestPythonTaskRoutes walks R1 to R4 and R9 in their exact forms.
func TestPythonTaskRoutes(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	json := func(c call) map[string]any {
		t.Helper()
		got := s.do(t, c)
		if kind := got.header.Get("Content-Type"); got.status != 200 || !strings.Contains(kind, "application/json") {
			t.Fatalf("%s %s: answered %d with Content-Type %q: %s", c.method, c.path, got.status, kind, clip(got.body))
		}
		o := object(t, got.body)
		checkTask(t, c.method+" "+c.path, o)
		return o
	}
	made := json(call{method: "POST", path: "/agent-execution/agent-1", body: released})
	id := made["id"].(string)
	if made["status"] != "pending" || made["source"] != "sdk" || made["events_streaming"] != true {
		t.Errorf("created: %v %v %v", made["status"], made["source"], made["events_streaming"])
	}
	if got := json(call{method: "POST", path: "/agent-execution/agent-1", body: `{"input": {"text": null, "files": null}, "output_format": "json"}`}); !isObject(got["output_schema"]) {
		t.Errorf("output_schema beside json: %v", got["output_schema"])
	}
	task := "/agent-execution/" + id
	if got := json(call{method: "GET", path: task + "/status"}); got["id"] != id {
		t.Errorf("R2 answers %v", got["id"])
	}
	got := json(call{method: "PATCH", path: task + "/update", body: `{"status": "executing", "source": "x"}`})
	if got["status"] != "executing" || got["source"] != "x" || got["started_at"] == nil {
		t.Errorf("R3: %v %v %v", got["status"], got["source"], got["started_at"])
	}
	json(call{method: "PATCH", path: task + "/update", body: `{}`})
	got = json(call{method: "DELETE", path: task})
	if got["status"] != "stopped" || got["is_manually_stopped"] != true || got["finished_at"] == nil {
		t.Errorf("R4: %v %v %v", got["status"], got["is_manually_stopped"], got["finished_at"])
	}
	again := json(call{method: "DELETE", path: task})
	if fmt.Sprint(again) != fmt.Sprint(got) {
		t.Errorf("second stop changed something:\n%v\n%v", got, again)
	}
	// The seed's walk: a person completes what was stopped.
	got = json(call{method: "PATCH", path: task + "/update", body: `{"status": "completed", "result": "done"}`})
	if got["status"] != "completed" || got["result"] != "done" {
		t.Errorf("R3 on a stopped task: %v %v", got["status"], got["result"])
	}
}

// TestPythonLists says that R9 and R10 answer bare arrays (rule H5).
func TestPythonLists(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.must(t, 200, call{method: "POST", path: "/agent-execution/agent-1", body: `{"id": "one", "input": {"user": {"id": "u1", "email": "u@x.org"}}}`})
	s.must(t, 200, call{method: "DELETE", path: "/agent-execution/one"})
	s.task(t, "two")
	for query, want := range map[string]string{
		"":                                     "two one",
		"?status=AgentExecutionStatus.Stopped": "one",
		"?status=pending":                      "two",
		"?status=&user_id=":                    "two one",
		"?user_id=u1":                          "one",
		"?page=2&per_page=1":                   "one",
		"?page=9&per_page=1":                   "",
		"?something=True":                      "two one",
	} {
		got := s.do(t, call{method: "GET", path: "/agent-execution/executions/history/agent-1" + query})
		var items []map[string]any
		if err := json.Unmarshal(got.body, &items); err != nil || got.status != 200 {
			t.Errorf("%s: answered %d, not a bare array: %s", query, got.status, clip(got.body))
			continue
		}
		var ids []string
		for _, item := range items {
			ids = append(ids, item["id"].(string))
			for _, name := range []string{"id", "agent_id", "organization_id", "status"} {
				if text, _ := item[name].(string); text == "" {
					t.Errorf("%s: %s is %v", query, name, item[name])
				}
			}
		}
		if strings.Join(ids, " ") != want {
			t.Errorf("%s: lists %v, want %s", query, ids, want)
		}
	}
	for _, path := range []string{"/agent-execution/executions/history/nobody", "/agent-execution/executions/history/user/nobody"} {
		if got := s.do(t, call{method: "GET", path: path}); got.status != 200 || string(got.body) != "[]" {
			t.Errorf("%s: answered %d %s", path, got.status, clip(got.body))
		}
	}
}

// TestPythonStream checks R5: only data lines, whole tasks, the twelve types,
// a clean end after task_finished (T4, T5, T7).
func TestPythonStream(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "one")
	live := s.follow(t, call{method: "GET", path: "//None/agent-execution/one/events", header: map[string]string{"Accept": "text/event-stream"}})
	live.next(t)
	s.patch(t, "one", `{"id": "one", "execution_attempts": 1, "status": "executing"}`)
	s.must(t, 200, call{method: "POST", path: "/agent-execution/one/events/push", body: `[
		{"type": "tool_call_request", "task_id": "x", "organization_id": "x", "time": "2020-01-01", "data": {"request_id": "r"}, "identity": null},
		{"type": "context_status", "data": {}}, {"type": "step", "data": 1}, {"type": "think"}]`})
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/one/events", body: `{"events": [{"type": "chunk", "data": "a\u2028b\u0085c"}]}`})
	s.patch(t, "one", `{"id": "one", "execution_attempts": 1, "status": "completed", "result": "all"}`)
	messages := live.rest(t)

	want := "task_updated tool_call_request think chunk task_finished"
	var types []string
	for _, m := range messages {
		e := object(t, []byte(m.data))
		if keys := slices.Sorted(maps.Keys(e)); strings.Join(keys, " ") != "data organization_id task_id time type" {
			t.Errorf("an event has the keys %v", keys)
		}
		if e["task_id"] != "one" || e["organization_id"] != organization {
			t.Errorf("an event says what is the server's to say: %v", m.data)
		}
		types = append(types, e["type"].(string))
		switch e["type"] {
		case "task_updated", "task_finished":
			checkTask(t, e["type"].(string), e["data"].(map[string]any))
		case "chunk":
			if e["data"] != "a\u2028b\u0085c" {
				t.Errorf("chunk: %v", e["data"])
			}
		case "think":
			if e["data"] != nil {
				t.Errorf("think without data: %v", e["data"])
			}
		}
		if m.id != "" || m.event != "" {
			t.Errorf("an event has id %q and name %q", m.id, m.event)
		}
	}
	if got := strings.Join(types, " "); got != want {
		t.Errorf("the stream told %s\nwant            %s", got, want)
	}
	checkLines(t, live)
	if h := live.Header; h.Get("X-Accel-Buffering") != "no" || !strings.Contains(h.Get("Cache-Control"), "no-store") {
		t.Errorf("headers of the stream: %v", h)
	}
	late := s.follow(t, call{method: "GET", path: "/default/agent-execution/one/events"})
	if first := late.next(t); !strings.Contains(first.data, `"task_created"`) {
		t.Errorf("a late viewer's first event: %s", first.data)
	}
	if again := late.rest(t); fmt.Sprint(again) != fmt.Sprint(messages) {
		t.Errorf("a late viewer sees\n%v\nnot\n%v", again, messages)
	}
}

// TestPythonStreamEndsAtTheEnd of the turn: the client waits for nothing that
// may follow, such as the answer of a worker that was told to stop.
func TestPythonStreamEndsAtTheEnd(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "one")
	s.claim(t)
	viewer := s.follow(t, call{method: "GET", path: "/default/agent-execution/one/events"})
	viewer.next(t)
	s.must(t, 200, call{method: "DELETE", path: "/agent-execution/one"})
	messages := viewer.rest(t)
	if last := messages[len(messages)-1]; !strings.Contains(last.data, `"task_finished"`) {
		t.Errorf("the last event is %s", last.data)
	}
	if stop := s.must(t, 200, call{method: "GET", path: "/v1/tasks/one"})["stop"]; stop.(map[string]any)["confirmed_at"] != nil {
		t.Errorf("nobody has confirmed: %v", stop)
	}
}

// checkLines allows nothing but data lines, comments and blank lines.
func checkLines(t *testing.T, s *stream) {
	t.Helper()
	for _, line := range s.lines {
		if line != "" && !strings.HasPrefix(line, "data: {") && line != ": ka" {
			t.Errorf("line %q", line)
		}
		if strings.ContainsAny(line, "\u2028\u2029\u0085\r") {
			t.Errorf("a line reader may split %q", line)
		}
	}
}

// TestPythonLatePush is answered 200 and dropped, with one note in the log (T6).
func TestPythonLatePush(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "one")
	s.claim(t)
	s.must(t, 200, call{method: "DELETE", path: "/agent-execution/one"})
	before := len(s.events(t, "one"))
	for range 3 {
		s.must(t, 200, call{method: "POST", path: "/agent-execution/one/events/push", body: `[{"type": "think", "data": {}}]`})
	}
	s.must(t, 409, call{method: "POST", path: "/v1/tasks/one/events", body: `{"events": [{"type": "think", "data": {}}]}`})
	events := s.events(t, "one")
	if n := len(events) - before; n != 1 || events[len(events)-1]["type"] != "late_write_refused" {
		t.Errorf("the log has %d more events, the last %v", n, events[len(events)-1])
	}
	s.must(t, 200, call{method: "POST", path: "/agent-execution/one/events/push", body: `[]`})
}

// TestPythonAgents checks R6 and R7 for what makes the client fail.
func TestPythonAgents(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	got := s.must(t, 200, call{method: "GET", path: "/agents/agent-1/"})
	for name := range strings.FieldsSeq("id organization_id name unique_name framework model_provider model_name") {
		if text, _ := got[name].(string); text == "" {
			t.Errorf("%s is %v", name, got[name])
		}
	}
	settings, _ := got["agno_settings"].(map[string]any)
	if settings["session_storage"] != false {
		t.Errorf("agno_settings: %v: the client would ask for a database", got["agno_settings"])
	}
	for _, name := range []string{"graph", "tools"} {
		if !isList(got[name]) {
			t.Errorf("%s is %v", name, got[name])
		}
	}
	for _, name := range []string{"deep_planning", "enforce_deep_planning", "using_nemo", "workspace_tools_enabled"} {
		if got[name] != false {
			t.Errorf("%s is %v: must be false, not absent", name, got[name])
		}
	}
	if has(got, "environment_id") && got["environment_id"] == nil {
		t.Error("environment_id is null")
	}
	s.must(t, 200, call{method: "GET", path: "/agents/agent-1", header: map[string]string{"x-agent-version": "1"}})
	for _, version := range []string{"2", "0", "x"} {
		s.must(t, 404, call{method: "GET", path: "/agents/agent-1", header: map[string]string{"x-agent-version": version}})
	}
	headers := s.do(t, call{method: "GET", path: "/metadata/default_llm_extra_headers"})
	if headers.status != 200 || string(headers.body) != "{}" {
		t.Errorf("R7: answered %d %s", headers.status, headers.body)
	}
}

// TestPythonWorkerStream checks R14, R15: registration first, then tasks.
func TestPythonWorkerStream(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.must(t, 201, call{method: "POST", path: "/v1/tasks", body: `{"agent_id": "agent-1", "id": "one", "input": {"text": "x"}, "user_oidc_token": "tok"}`})
	for _, path := range []string{
		"/default/events/agent-1?environment=local/", "//default/events/agent-2/?environment=local&supports_llm_gateway=true", "/None/events/agent-3?environment=xpander",
	} {
		worker := s.follow(t, call{method: "GET", path: path, key: workerKey})
		first := worker.next(t)
		if first.event != "worker-registration" {
			t.Fatalf("%s: the first event is %q", path, first.event)
		}
		asset := object(t, []byte(first.data))
		for name := range strings.FieldsSeq("id name organization_id type created_at last_heartbeat") {
			if text, _ := asset[name].(string); text == "" {
				t.Errorf("%s: %s is %v", path, name, asset[name])
			}
		}
		for name := range strings.FieldsSeq("created_by dedicated_agent_id parent_asset_id") {
			if !has(asset, name) {
				t.Errorf("%s: no %s", path, name)
			}
		}
		if asset["type"] != "worker" {
			t.Errorf("%s: type %v", path, asset["type"])
		}
		if !strings.Contains(path, "agent-1") {
			continue
		}
		second := worker.next(t)
		if second.event != "agent-execution" {
			t.Fatalf("%s: the second event is %q", path, second.event)
		}
		task := object(t, []byte(second.data))
		checkTask(t, "agent-execution", task)
		if task["status"] != "pending" || task["user_oidc_token"] != "tok" {
			t.Errorf("assigned: %v, token %v", task["status"], task["user_oidc_token"])
		}
		if got := s.must(t, 200, call{method: "GET", path: "/v1/tasks/one"}); !strings.Contains(fmt.Sprint(got["waiting"]), asset["id"].(string)) {
			t.Errorf("waiting does not name the worker: %v", got["waiting"])
		}
		s.worker(t, asset["id"].(string), "agent-1")
	}
}

// worker posts what a worker posts.
func (s *server) worker(t *testing.T, id, agent string) {
	t.Helper()
	path := "/default/events/" + id + "?type=worker&agent_id=" + agent
	for _, body := range []string{
		`{"id": "1", "event": "worker-heartbeat", "data": "2026-01-01T10:00:00.123"}`,
		`{"id": "2", "event": "worker-capacity-update", "data": {"is_busy": true}}`,
		`{"id": "3", "event": "worker-capacity-update", "data": {"is_busy": false}}`,
		`{"id": "4", "event": "worker-capacity-update", "data": "odd"}`,
		`{"id": "5", "event": "worker-finished", "data": null}`,
	} {
		s.must(t, 200, call{method: http.MethodPost, path: path, key: workerKey, body: body})
	}
}

// TestPythonUnknownWorkers are answered quietly: the client has old ids.
func TestPythonUnknownWorkers(t *testing.T) {
	t.Parallel()
	s := start(t)
	before := s.stored(t)
	s.worker(t, "nobody", "profile")
	s.worker(t, "None", "no-such-agent")
	s.worker(t, "a%20b", "")
	if after := s.stored(t); after != before {
		t.Errorf("something was stored\nbefore: %s\nafter:  %s", before, after)
	}
}
