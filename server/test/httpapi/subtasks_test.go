package httpapi_test

import (
	"encoding/json"
	"fmt"
	"testing"
)

// Sub-tasks are rows of their own: every face shows the parent's list, a stream
// that of each event's moment, and the parent's log does not grow with it.
func TestT2SubTasksOfATask(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "parent")
	token := s.claim(t)
	before := len(s.events(t, "parent"))
	for i := range 3 {
		s.must(t, 201, call{
			method: "POST", path: "/v1/tasks",
			body: fmt.Sprintf(`{"agent_id": "agent-1", "id": "child-%d", "parent_execution": "parent", "input": {"text": "help"}}`, i),
		})
		if i == 1 { // one more event of the parent between them
			s.patch(t, "parent", `{"title": "two so far"}`)
		}
	}
	const all = "[child-0 child-1 child-2]"
	for _, path := range []string{"/v1/tasks/parent", "/agent-execution/parent/status"} {
		if got := fmt.Sprint(s.must(t, 200, call{method: "GET", path: path})["sub_executions"]); got != all {
			t.Errorf("%s shows %s, want %s", path, got, all)
		}
	}
	if grown := len(s.events(t, "parent")) - before; grown != 1 {
		t.Errorf("the parent's log has grown by %d events, want the change of its title only", grown)
	}
	s.finish(t, "parent", token, `"status": "completed", "result": "done"`)

	stream := s.follow(t, call{method: "GET", path: "/agent-execution/parent/events"})
	shown := map[string]string{}
	for _, message := range stream.rest(t) {
		var e struct {
			Type string         `json:"type"`
			Data map[string]any `json:"data"`
		}
		if err := json.Unmarshal([]byte(message.data), &e); err != nil {
			t.Fatal(err)
		}
		shown[e.Type+" "+fmt.Sprint(e.Data["title"])] = fmt.Sprint(e.Data["sub_executions"])
	}
	for event, want := range map[string]string{
		"task_created <nil>":       "[]",
		"task_updated two so far":  "[child-0 child-1]",
		"task_finished two so far": all,
	} {
		if shown[event] != want {
			t.Errorf("%s shows %s, want %s (of %v)", event, shown[event], want, shown)
		}
	}
}

// X1: a parent's end stops its sub-tasks but for those that are to go on, a stop of
// the ended parent these as well; and a next turn stays below its parent.
func TestX1OnParentEnd(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "parent")
	token := s.claim(t)
	create := func(id, more string) call {
		return call{method: "POST", path: "/v1/tasks", body: fmt.Sprintf(`{"agent_id": "agent-1", "id": %q, "input": {"text": "help"}%s}`, id, more)}
	}
	shows := func(id, what string, want any) {
		t.Helper()
		if got := s.must(t, 200, call{method: "GET", path: "/v1/tasks/" + id})[what]; got != want {
			t.Errorf("%s of %s is %v, want %v", what, id, got, want)
		}
	}
	s.must(t, 201, create("stops", `, "parent_execution": "parent"`))
	s.must(t, 201, create("goes-on", `, "parent_execution": "parent", "on_parent_end": "keep"`))
	shows("stops", "on_parent_end", "stop")
	shows("goes-on", "on_parent_end", "keep")
	shows("parent", "on_parent_end", nil)
	for _, more := range []string{`, "on_parent_end": "keep"`, `, "on_parent_end": "halt", "parent_execution": "parent"`} {
		s.must(t, 422, create("bad", more))
	}
	stream := s.follow(t, call{method: "GET", path: "/v1/tasks/stops/events", header: map[string]string{"Accept": "text/event-stream"}})
	s.finish(t, "parent", token, `"status": "completed", "result": "done"`)
	stream.rest(t) // it ends
	shows("stops", "status", "stopped")
	shows("goes-on", "status", "pending")
	s.must(t, 201, create("stops", ""))
	shows("stops", "parent_execution", "parent")
	shows("stops", "status", "pending")
	if got := s.must(t, 200, call{method: "POST", path: "/v1/tasks/parent/stop"}); got["status"] != "completed" {
		t.Errorf("the stop of an ended parent answers %v", got["status"])
	}
	shows("stops", "status", "stopped")
	shows("goes-on", "status", "stopped")
}
