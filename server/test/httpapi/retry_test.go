package httpapi_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestL4AWorkersErrorIsTriedAgain when it says so, at the time that it says; the
// task tells why it waits, and the last attempt's error is its end.
func TestL4AWorkersErrorIsTriedAgain(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.must(t, 201, call{method: "POST", path: "/v1/tasks", body: `{"agent_id": "agent-1", "id": "one", "max_attempts": 2, "input": {"text": "x"}}`})
	tell := func(verb, members string) map[string]any {
		t.Helper()
		return s.must(t, 200, call{
			method: "POST", path: "/v1/tasks/one/" + verb, key: workerKey,
			body: fmt.Sprintf(`{"lease_token": %q, %s}`, s.claim(t), members),
		})
	}
	waits := func(what string) {
		t.Helper()
		got := s.must(t, 200, call{method: "GET", path: "/v1/tasks/one"})
		waiting, _ := got["waiting"].(map[string]any)
		if message, _ := waiting["message"].(string); waiting["reason"] != "retry" || !strings.Contains(message, what) {
			t.Errorf("it waits: %v", waiting)
		}
		until, err := time.Parse(time.RFC3339, fmt.Sprint(waiting["until"]))
		if left := time.Until(until); err != nil || left < 50*time.Minute || left > time.Hour {
			t.Errorf("it waits until %v (%v)", waiting["until"], err)
		}
	}
	soon := func() {
		t.Helper()
		s.must(t, 200, call{method: "PATCH", path: "/v1/tasks/one", body: `{"run_at": "2020-01-01T00:00:00Z"}`})
	}
	if got := tell("release", `"delay": 3600, "reason": "the model rests"`); got["status"] != "pending" {
		t.Errorf("given back, it is %v", got["status"])
	}
	waits("the model rests")
	soon()
	if got := tell("finish", `"status": "error", "result": "503 from the model", "retry": true, "delay": 3600`); got["status"] != "pending" || got["result"] != nil {
		t.Errorf("to be tried again, it is %v with %v", got["status"], got["result"])
	}
	waits("503 from the model")
	soon()
	if got := tell("finish", `"status": "failed", "result": "no", "retry": true`); got["status"] != "failed" || got["end_reason"] != "failed" {
		t.Errorf("after the last attempt it is %v (%v)", got["status"], got["end_reason"])
	}
}
