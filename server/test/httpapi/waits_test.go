package httpapi_test

import (
	"fmt"
	"testing"
)

// wait lets an attempt of a task wait, and returns whether it does.
func (s *server) wait(t *testing.T, task, token, members string) bool {
	t.Helper()
	got := s.must(t, 200, call{
		method: "POST", path: "/v1/tasks/" + task + "/wait", key: workerKey, body: fmt.Sprintf(`{"lease_token": %q, %s}`, token, members),
	})
	return got["waiting"].(bool)
}

// A parent gives itself up for its sub-tasks, says so, and is claimed again when they
// have ended.
func TestS9AParentWaitsForItsSubTasks(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "one")
	token := s.claim(t)
	s.must(t, 201, call{method: "POST", path: "/v1/tasks", body: `{"agent_id": "agent-1", "id": "below", "input": {"text": "x"}, "parent_execution": "one"}`})
	if s.wait(t, "one", token, `"sub_tasks": ["below"], "until": "2020-01-01T00:00:00Z"`) {
		t.Error("S9: it waits until a moment that has passed")
	}
	for range 2 { // the first answer may be lost
		if !s.wait(t, "one", token, `"sub_tasks": ["below"]`) {
			t.Error("S9: it does not wait")
		}
	}
	got := s.must(t, 200, call{method: "GET", path: "/v1/tasks/one"})
	if waiting, _ := got["waiting"].(map[string]any); got["status"] != "paused" || waiting["reason"] != "child" || fmt.Sprint(waiting["sub_tasks"]) != "[below]" {
		t.Errorf("S9: it is %v and waits for %v", got["status"], waiting)
	}
	s.must(t, 409, call{method: "POST", path: "/v1/tasks/one/finish", key: workerKey, body: fmt.Sprintf(`{"lease_token": %q, "status": "completed"}`, token)})
	s.finish(t, "below", s.claim(t), `"status": "completed"`)
	s.finish(t, "one", s.claim(t), `"status": "completed"`)
	told := false
	for _, e := range s.events(t, "one") {
		data, _ := e["data"].(map[string]any)
		told = told || e["type"] == "subtask_finished" && data["task_id"] == "below" && data["status"] == "completed"
	}
	if !told {
		t.Error("S9: the parent's log does not tell of the end of its sub-task")
	}
	for _, bad := range []string{`"any": true`, `"sub_tasks": "x", "until": "2020-01-01T00:00:00Z"`, `"until": "soon"`} {
		s.must(t, 422, call{method: "POST", path: "/v1/tasks/one/wait", key: workerKey, body: fmt.Sprintf(`{"lease_token": %q, %s}`, token, bad)})
	}
}
