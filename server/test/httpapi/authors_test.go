package httpapi_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/errand-dev/errand/server/internal/testkit/teststore"
)

// assigned starts a task of agent-1 on a worker of the Python client, which is the
// task's attempt from then on.
func (s *server) assigned(t *testing.T, id string) {
	t.Helper()
	s.python(t, id)
	worker := s.follow(t, call{method: "GET", path: "/default/events/agent-1", key: workerKey})
	worker.next(t)
	body := object(t, []byte(worker.next(t).data))
	if body["id"] != id {
		t.Fatalf("assigned %v, want %s", body["id"], id)
	}
	body["status"] = "executing"
	raw, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	s.must(t, 200, call{method: "PATCH", path: "/agent-execution/" + id + "/update", key: workerKey, body: string(raw)})
}

// author is who wrote an event: an attempt's number, a key by name, or "server",
// by whatever name the node goes.
func author(e map[string]any) string {
	a, _ := e["author"].(map[string]any)
	if n, ok := a["attempt"].(float64); ok && len(a) == 1 {
		return fmt.Sprint("attempt ", n)
	}
	if by, ok := a["by"].(string); ok && len(a) == 1 {
		if teststore.OnPostgres() && strings.HasPrefix(by, "node-") {
			return "server" // of several on one database, each has a name
		}
		return by
	}
	return fmt.Sprint("nobody: ", a)
}

// TestT5EveryEventNamesItsAuthor in pages and streams alike.
func TestT5EveryEventNamesItsAuthor(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	worker := func(id, verb, body string, want int) {
		t.Helper()
		s.must(t, want, call{method: "POST", path: "/v1/tasks/" + id + "/" + verb, key: workerKey, body: body})
	}
	s.task(t, "one")
	token := `{"lease_token": "` + s.claim(t) + `"`
	worker("one", "events", token+`, "events": [{"type": "chunk", "data": "x"}, {"type": "agent_message", "data": "x"}]}`, 200)
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/one/events", key: userKey, body: `{"events": [{"type": "agent_message", "data": "x"}]}`})
	s.must(t, 200, call{method: "PATCH", path: "/v1/tasks/one", key: userKey, body: `{"title": "x"}`})
	worker("one", "heartbeat", token+`, "internal_status": "x"}`, 200)
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/one/stop", key: userKey})
	worker("one", "finish", token+`, "status": "stopped"}`, 200)
	worker("one", "finish", token+`, "status": "completed", "result": "late"}`, 409)
	s.task(t, "two")
	worker("two", "release", `{"lease_token": "`+s.claim(t)+`"}`, 200)
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/two/pause", key: userKey})
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/two/resume", key: userKey})
	worker("two", "finish", `{"lease_token": "`+s.claim(t)+`", "status": "completed"}`, 200)
	s.must(t, 200, call{method: "PATCH", path: "/v1/tasks/two", key: userKey, body: `{"status": "failed", "override": true}`})
	s.assigned(t, "py")
	s.must(t, 200, call{method: "POST", path: "/agent-execution/py/events/push", key: workerKey, body: `[{"type": "think", "data": 1}]`})
	s.must(t, 200, call{method: "PATCH", path: "/agent-execution/py/update", key: userKey, body: `{"status": "completed", "result": "x"}`})
	for id, want := range map[string][]string{
		"one": {
			"task_created: key admin", "attempt_started: key admin", "task_updated: key admin", "chunk: attempt 1", "agent_message: attempt 1",
			"agent_message: key user", "task_updated: key user", "task_updated: attempt 1", "stop_requested: key user", "task_finished: key user",
			"stop_confirmed: server", "late_write_refused: server",
		},
		"two": {
			"task_created: key admin", "attempt_started: key admin", "task_updated: key admin", "attempt_lost: server", "task_updated: server",
			"paused: key user", "task_updated: key user", "resumed: key user", "task_updated: key user",
			"attempt_started: key admin", "task_updated: key admin", "task_finished: attempt 2", "override: key user",
		},
		"py": {
			"task_created: key admin", "task_updated: server", "attempt_started: attempt 1", "task_updated: attempt 1", "think: attempt 1",
			"task_finished: key user",
		},
	} {
		var paged, streamed []string
		for _, e := range s.events(t, id) {
			paged = append(paged, fmt.Sprint(e["type"], ": ", author(e)))
		}
		if diff := cmp.Diff(want, paged); diff != "" {
			t.Errorf("the page of %s (-want +got):\n%s", id, diff)
		}
		c := call{method: "GET", path: "/v1/tasks/" + id + "/events", header: map[string]string{"Accept": "text/event-stream"}}
		for m := range s.follow(t, c).messages {
			checkEvent(t, c, m.data)
			streamed = append(streamed, fmt.Sprint(m.event, ": ", author(object(t, []byte(m.data)))))
		}
		if diff := cmp.Diff(want, streamed); diff != "" {
			t.Errorf("the stream of %s (-want +got):\n%s", id, diff)
		}
	}
}

// TestT6ForgedEvents: what an attempt does is told by its lease's holder. A key
// without the token leaves messages, in its own name.
func TestT6ForgedEvents(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "fenced")
	s.claim(t)
	s.assigned(t, "python")
	s.must(t, 201, call{method: "POST", path: "/v1/tasks", key: userKey, body: `{"agent_id": "agent-1", "id": "local", "run_locally": true, "input": {}}`})
	s.must(t, 200, call{method: "PATCH", path: "/v1/tasks/local", key: userKey, body: `{"status": "executing"}`})
	_, other := s.key(t, `{"name": "other", "role": "user"}`)
	const (
		forged  = `{"type": "tool_call_result", "data": {"request_id": "r", "result": "forged"}}`
		message = `{"type": "agent_message", "data": "hello"}`
	)
	for _, c := range []struct {
		id, key, by string
		want        string // the author of what an attempt does; "" for a refusal
	}{
		{"fenced", userKey, "key user", ""},
		{"fenced", workerKey, "key worker", ""},
		{"fenced", adminKey, "key admin", ""},
		{"python", userKey, "key user", ""},
		{"python", workerKey, "key worker", "attempt 1"},
		{"local", other, "key other", ""},
		{"local", userKey, "key user", "key user"},
		{"local", workerKey, "key worker", "key worker"},
	} {
		post := func(key, events string) call {
			return call{method: "POST", path: "/v1/tasks/" + c.id + "/events", key: key, body: `{"events": [` + events + `]}`}
		}
		last := func() string {
			log := s.events(t, c.id)
			return fmt.Sprint(log[len(log)-1]["type"], ": ", author(log[len(log)-1]))
		}
		before := len(s.events(t, c.id))
		if c.want == "" {
			s.must(t, 403, post(c.key, forged))
			s.must(t, 403, post(c.key, message+", "+forged)) // all or nothing
			call := preflight("f", c.id, "r", `{}`)
			call.key = c.key
			s.noted(t, call) // the worker must not fail of it, but nothing is noted
			if after := len(s.events(t, c.id)); after != before {
				t.Errorf("%s by %s: %d events are new", c.id, c.by, after-before)
			}
		} else {
			s.must(t, 200, post(c.key, forged))
			if got := last(); got != "tool_call_result: "+c.want {
				t.Errorf("%s by %s: %s, want %s", c.id, c.by, got, c.want)
			}
		}
		s.must(t, 200, post(c.key, message))
		if got := last(); got != "agent_message: "+c.by {
			t.Errorf("%s by %s: %s", c.id, c.by, got)
		}
	}
}
