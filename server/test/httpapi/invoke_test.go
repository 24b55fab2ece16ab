package httpapi_test

import (
	"encoding/json"
	"fmt"
	"io"
	"testing"
)

const invokePath = "/v1/agents/agent-1/invoke"

// finish ends the task whose lease has the token.
func (s *server) finish(t *testing.T, id, token, members string) {
	t.Helper()
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/" + id + "/finish", body: `{"lease_token": "` + token + `", ` + members + `}`})
}

// work claims the next task of agent-1, waiting for it, and finishes it.
func (s *server) work(t *testing.T, result string) {
	t.Helper()
	got := s.must(t, 200, call{
		method: "POST", path: "/v1/claim", body: `{"agent_ids": ["agent-1"], "worker_id": "w", "wait": 30}`,
	})
	claims, _ := got["claims"].([]any)
	if len(claims) != 1 {
		t.Errorf("claimed %d tasks, want 1", len(claims))
		return
	}
	claim := claims[0].(map[string]any)
	id, token := claim["task"].(map[string]any)["id"].(string), claim["lease"].(map[string]any)["token"].(string)
	s.finish(t, id, token, `"status": "completed", "result": "`+result+`", "tokens": {"prompt_tokens": 3, "completion_tokens": 4}`)
}

// H4: invoke answers the task with its result once a worker has ended it.
func TestH4InvokeWaitsForTheEnd(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	answered := make(chan answer, 1)
	go func() {
		answered <- s.do(t, call{method: "POST", path: invokePath + "?wait=60", key: userKey, body: `{"id": "one", "input": {"text": "add"}}`})
	}()
	s.work(t, "seven")
	got := <-answered
	if done := object(t, got.body); got.status != 200 || done["status"] != "completed" || done["result"] != "seven" || done["id"] != "one" {
		t.Fatalf("answered %d %v %v", got.status, done["status"], done["result"])
	}
}

// H4: when the wait is over first, 202 answers the task as it is.
func TestH4InvokeIsOverBeforeTheEnd(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	if got := s.must(t, 202, call{method: "POST", path: invokePath + "?wait=0.05", body: `{"input": {"text": "x"}}`}); got["status"] != "pending" {
		t.Errorf("status %v", got["status"])
	}
	if got := s.must(t, 202, call{method: "POST", path: invokePath + "/async", body: `{"input": {"text": "x"}}`}); got["status"] != "pending" {
		t.Errorf("async: status %v", got["status"])
	}
	if got := s.must(t, 202, call{method: "POST", path: invokePath + "/async?version=1", body: `{"input": {}}`}); got["agent_version"] != "1" {
		t.Errorf("version %v", got["agent_version"])
	}
}

// H4, H3: a repeat with the same key waits for the same task, and answers it.
func TestH4InvokeWithAnIdempotencyKey(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	invoke := func(path string) answer {
		return s.do(t, call{
			method: "POST", path: invokePath + path, body: `{"input": {"text": "x"}}`, header: map[string]string{"Idempotency-Key": "k"},
		})
	}
	first := invoke("?wait=0")
	s.work(t, "done")
	again := invoke("?wait=60")
	one, two := object(t, first.body), object(t, again.body)
	if first.status != 202 || again.status != 200 || one["id"] != two["id"] || two["result"] != "done" || again.header.Get("Idempotent-Replay") != "true" {
		t.Errorf("answered %d %v, then %d %v %v", first.status, one["id"], again.status, two["id"], two["result"])
	}
	// Each of the three routes has keys of its own.
	if other := invoke("/async"); other.status != 202 || object(t, other.body)["id"] == one["id"] {
		t.Errorf("async answered %d %s", other.status, clip(other.body))
	}
}

// H4: invoke/stream sends the new task's events, from task_created to the end.
func TestH4InvokeStream(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	out := s.follow(t, call{method: "POST", path: invokePath + "/stream", key: userKey, body: `{"id": "one", "input": {"text": "x"}}`})
	if m := out.next(t); m.event != "task_created" || m.id != "1" {
		t.Errorf("begins with %+v", m)
	}
	s.work(t, "done")
	all := out.rest(t)
	last := all[len(all)-1]
	var e struct {
		TaskID string `json:"task_id"`
		Data   struct {
			Result string `json:"result"`
		} `json:"data"`
	}
	if err := json.Unmarshal([]byte(last.data), &e); err != nil || last.event != "task_finished" || e.TaskID != "one" || e.Data.Result != "done" {
		t.Errorf("ends with %+v (%v)", last, err)
	}
}

// X2: a viewer that goes stops nothing, unless the viewer has asked for that and nobody else
// follows the task.
func TestX2OnDisconnect(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	leaves := func(id, query string) {
		out := s.follow(t, call{method: "POST", path: invokePath + "/stream" + query, key: userKey, body: fmt.Sprintf(`{"id": %q, "input": {"text": "x"}}`, id)})
		out.next(t)
		_ = out.Body.Close()
	}
	s.follow(t, call{method: "POST", path: invokePath + "/stream", key: userKey, body: `{"id": "watched", "input": {"text": "x"}}`}).next(t)
	second := s.follow(t, call{method: "POST", path: invokePath + "/stream?on_disconnect=stop", key: userKey, header: map[string]string{"Idempotency-Key": "k"}, body: `{"id": "both", "input": {"text": "x"}}`})
	second.next(t)
	s.follow(t, call{method: "GET", path: "/v1/tasks/both/events", header: map[string]string{"Accept": "text/event-stream"}}).next(t)
	_ = second.Body.Close()
	leaves("left", "")
	leaves("stopped", "?on_disconnect=stop")
	resting, body := s.dial(t), `{"id": "resting", "input": {"text": "x"}}`
	resting.send("POST "+invokePath+"/stream?on_disconnect=stop HTTP/1.1", fmt.Sprintf("Content-Length: %d", len(body)))
	if _, err := io.WriteString(resting, body); err != nil {
		t.Fatal(err)
	}
	resting.silent(resting.answer())
	_ = resting.Close()
	for _, id := range []string{"stopped", "resting"} {
		if got := s.waitFor(t, id, "stopped"); got["end_reason"] != "stopped" {
			t.Errorf("%s ended with %v", id, got["end_reason"])
		}
	}
	for _, id := range []string{"watched", "both", "left"} { // those who left them did so before
		s.waitFor(t, id, "pending")
	}
}

// H2: what can be wrong with an invocation is told before anything is stored.
func TestH2BadInvocations(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "open")
	var table []refusal
	for _, path := range []string{invokePath, invokePath + "/async", invokePath + "/stream"} {
		table = append(table,
			post("no body", path, "", 400, "malformed", ""),
			post("unparsable", path, "{", 400, "malformed", "body"),
			post("no input", path, `{}`, 422, "invalid", "input"),
			post("agent in the body", path, `{"agent_id": "agent-2", "input": {}}`, 422, "invalid", "agent_id"),
			post("number for prompt", path, `{"input": {"text": 1}}`, 422, "invalid", "input.text"),
			post("NUL", path, `{"input": {"text": "\u0000"}}`, 422, "invalid", "input.text"),
			post("open task", path, `{"id": "open", "input": {}}`, 409, "conflict", ""),
			post("version 0", path+"?version=0", `{"input": {}}`, 422, "invalid", "version"),
			post("odd version", path+"?version=x", `{"input": {}}`, 422, "invalid", "version"),
			post("unknown version", path+"?version=9", `{"input": {}}`, 404, "not_found", ""),
			post("unknown query", path+"?colour=1", `{"input": {}}`, 422, "invalid", "colour"),
			post("odd disconnect", path+"?on_disconnect=go", `{"input": {}}`, 422, "invalid", "on_disconnect"),
		)
	}
	table = append(table,
		post("unknown agent", "/v1/agents/nobody/invoke", `{"input": {}}`, 404, "not_found", ""),
		post("wait of an hour", invokePath+"?wait=3600", `{"input": {}}`, 422, "invalid", "wait"),
		post("wait of less than nothing", invokePath+"?wait=-1", `{"input": {}}`, 422, "invalid", "wait"),
		post("wait of words", invokePath+"?wait=long", `{"input": {}}`, 422, "invalid", "wait"),
		post("wait for async", invokePath+"/async?wait=1", `{"input": {}}`, 422, "invalid", "wait"),
	)
	refuse(t, s, table)
}
