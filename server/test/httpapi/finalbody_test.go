package httpapi_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// python starts a task on a worker of the Python protocol.
func (s *server) python(t *testing.T, id string) {
	t.Helper()
	s.must(t, 200, call{method: "POST", path: "/agent-execution/agent-1", body: fmt.Sprintf(`{"id": %q, "input": {"text": "x"}}`, id)})
}

// finished is the task_finished event of a task that must have exactly one.
func (s *server) finished(t *testing.T, id string) map[string]any {
	t.Helper()
	var ends []map[string]any
	for _, e := range s.events(t, id) {
		if e["type"] == "task_finished" {
			ends = append(ends, e["data"].(map[string]any))
		}
	}
	if len(ends) != 1 {
		t.Fatalf("task %s has %d task_finished, want 1", id, len(ends))
	}
	return ends[0]
}

func adjusted(data map[string]any) []string {
	var names []string
	list, _ := data["adjusted"].([]any)
	for _, name := range list {
		names = append(names, name.(string))
	}
	return names
}

// TestS5AFinalFullBodyIsNeverRefused whatever it holds; what had to be cut or
// dropped is named by task_finished.
func TestS5AFinalFullBodyIsNeverRefused(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	worker := s.follow(t, call{method: "GET", path: "/default/events/agent-1", key: workerKey})
	worker.next(t)
	for i, c := range []struct {
		name, members string
		adjusted      string
		field         string
		want          any
	}{
		{"fitting", `"result": "fine"`, "", "result", "fine"},
		{"NUL in the result", `"result": "a\u0000b"`, "result", "result", "a\uFFFDb"},
		{"broken UTF-8 in the result", "\"result\": \"a\xffb\"", "result", "result", "a\uFFFDb"},
		{"object for result", `"result": {"a": 1}`, "result", "result", `{"a": 1}`},
		{"long internal status", `"internal_status": "` + strings.Repeat("😀", 300) + `"`, "internal_status", "internal_status", strings.Repeat("😀", 255)},
		{"NUL in internal status", `"internal_status": "\u0000"`, "internal_status", "internal_status", "\uFFFD"},
		{"broken UTF-8 in the title", "\"title\": \"\xc3(\"", "title", "title", "\uFFFD("},
		{"number for title", `"title": 5`, "title", "title", nil},
		{"text for tokens", `"tokens": "many"`, "tokens", "tokens", nil},
		{"text for duration", `"duration": "long"`, "duration", "duration", 0.0},
		{"object for tools", `"used_tools": {"a": 1}`, "used_tools", "used_tools", []any{}},
		{"NUL in tools", `"used_tools": ["\u0000"]`, "used_tools", "used_tools", []any{"\uFFFD"}},
		{"text for extension", `"tool_call_payload_extension": "x"`, "tool_call_payload_extension", "payload_extension", nil},
		{"NUL in the extension", `"tool_call_payload_extension": {"a": "\u0000"}`, "tool_call_payload_extension", "payload_extension", map[string]any{"a": "\uFFFD"}},
		{"what is the server's", `"created_at": 1, "agent_id": [], "input": "\u0000", "mcp_servers": [null], "execution_attempts": 1`, "", "agent_id", "agent-1"},
		{
			"all at once", "\"result\": \"\xff\", \"internal_status\": 7, \"tokens\": [], \"deep_planning\": 1",
			"deep_planning internal_status result tokens", "internal_status", nil,
		},
	} {
		id := fmt.Sprintf("final-%d", i)
		s.python(t, id)
		if m := worker.next(t); m.event != "agent-execution" {
			t.Fatalf("%s: the worker was sent %q", c.name, m.event)
		}
		s.patch(t, id, `{"id": "x", "status": "executing", "execution_attempts": 1}`)
		members := c.members
		if !strings.Contains(members, `"result"`) { // a completion without one waits (rule L7)
			members = `"result": "done", ` + members
		}
		got := s.patch(t, id, `{"id": "x", "status": "completed", `+members+`}`)
		if got["status"] != "completed" {
			t.Errorf("%s: status %v", c.name, got["status"])
		}
		if fmt.Sprint(got[c.field]) != fmt.Sprint(c.want) {
			t.Errorf("%s: %s is %.80v, want %.80v", c.name, c.field, got[c.field], c.want)
		}
		if stored := s.must(t, 200, call{method: "GET", path: "/v1/tasks/" + id}); fmt.Sprint(stored[c.field]) != fmt.Sprint(c.want) {
			t.Errorf("%s: stored %s is %.80v, want %.80v", c.name, c.field, stored[c.field], c.want)
		}
		names := adjusted(s.finished(t, id))
		slices.Sort(names)
		if strings.Join(names, " ") != c.adjusted {
			t.Errorf("%s: adjusted %v, want %q", c.name, names, c.adjusted)
		}
	}
}

// TestS5AHugeResultIsCut at its limit, between code points.
func TestS5AHugeResultIsCut(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.python(t, "one")
	s.patch(t, "one", `{"status": "executing"}`)
	got := s.patch(t, "one", `{"id": "x", "status": "completed", "result": "a`+strings.Repeat("é", 8<<20)+`"}`)
	if result, _ := got["result"].(string); result != "a"+strings.Repeat("é", 8<<20-1) {
		t.Errorf("the result has %d bytes", len(result))
	}
	if names := adjusted(s.finished(t, "one")); strings.Join(names, " ") != "result" {
		t.Errorf("adjusted %v", names)
	}
}

// TestS5AFinishIsNeverRefusedForItsContent is the same for /v1's workers.
func TestS5AFinishIsNeverRefusedForItsContent(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	const unchecked = "*" // the decoder has replaced the bytes before anybody could see them
	for i, c := range []struct{ members, adjusted, result string }{
		{`"result": "fine"`, "", "fine"},
		{`"result": "a\u0000b"`, "result", "a\uFFFDb"},
		{"\"result\": \"a\xffb\"", unchecked, "a\uFFFDb"},
		{`"result": "ok", "tokens": "many", "internal_status": "` + strings.Repeat("x", 256) + `"`, "internal_status tokens", "ok"},
		{"\"result\": \"ok\", \"used_tools\": [\"\xff\"]", "used_tools", "ok"},
	} {
		id := fmt.Sprintf("finish-%d", i)
		s.task(t, id)
		body := fmt.Sprintf(`{"lease_token": %q, "status": "completed", %s}`, s.claim(t), c.members)
		got := s.must(t, 200, call{method: "POST", path: "/v1/tasks/" + id + "/finish", key: workerKey, body: body})
		if got["status"] != "completed" || got["result"] != c.result {
			t.Errorf("%s: %v %v", c.members, got["status"], got["result"])
		}
		names := adjusted(s.finished(t, id))
		slices.Sort(names)
		if c.adjusted != unchecked && strings.Join(names, " ") != c.adjusted {
			t.Errorf("%s: adjusted %v, want %q", c.members, names, c.adjusted)
		}
	}
}

// TestS5ABodyOver20MiBEndsTheAttempt with 413 and worker_error, once.
func TestS5ABodyOver20MiBEndsTheAttempt(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	worker := s.follow(t, call{method: "GET", path: "/default/events/agent-1", key: workerKey})
	worker.next(t)
	huge := `{"id": "x", "status": "completed", "result": "` + strings.Repeat("x", 20<<20) + `"}`
	put := func(id string) {
		t.Helper()
		got := s.must(t, 413, call{method: "PATCH", path: "/agent-execution/" + id + "/update", body: huge})
		if detail, _ := got["detail"].(string); !strings.Contains(detail, "body") {
			t.Errorf("detail %q", detail)
		}
	}
	s.python(t, "one")
	worker.next(t)
	s.patch(t, "one", `{"id": "x", "status": "executing", "execution_attempts": 1}`)
	put("one")
	put("one")
	got := s.must(t, 200, call{method: "GET", path: "/v1/tasks/one"})
	if got["status"] != "error" || got["end_reason"] != "worker_error" || !strings.Contains(fmt.Sprint(got["result"]), "too large") {
		t.Errorf("ended %v (%v): %v", got["status"], got["end_reason"], got["result"])
	}
	s.finished(t, "one")

	// A task that no such worker executes is left as it is.
	s.agent(t, "agent-2")
	s.must(t, 201, call{method: "POST", path: "/v1/tasks", body: `{"agent_id": "agent-2", "id": "two", "input": {}}`})
	put("two")
	if got := s.must(t, 200, call{method: "GET", path: "/v1/tasks/two"}); got["status"] != "pending" {
		t.Errorf("a pending task is %v", got["status"])
	}
}
