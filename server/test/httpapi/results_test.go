package httpapi_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestS8ResultsFollowTheirSchema at every door that ends a task.
func TestS8ResultsFollowTheirSchema(t *testing.T) {
	t.Parallel()
	const order = `{"type": "object", "required": ["total"], "properties": {"total": {"type": "number"}}}`
	s := start(t)
	s.agent(t, "agent-1")
	claim := func(id string) string {
		t.Helper()
		s.must(t, 201, call{method: "POST", path: "/v1/tasks", body: fmt.Sprintf(`{"id": %q, "agent_id": "agent-1", "input": {"text": "x"}, "output_schema": %s}`, id, order)})
		return s.claim(t)
	}
	finish := func(status int, id, token, more string) map[string]any {
		t.Helper()
		return s.must(t, status, call{method: "POST", path: "/v1/tasks/" + id + "/finish", body: fmt.Sprintf(`{"lease_token": %q, "status": "completed"%s}`, token, more)})
	}
	check := func(got map[string]any, status, reason, state string, rounds float64) {
		t.Helper()
		verdict, _ := got["result_check"].(map[string]any)
		if got["status"] != status || got["end_reason"] != reason || verdict["state"] != state || verdict["rounds"] != rounds {
			t.Errorf("S8: %v %v, %v; want %s %s, %s after %v", got["status"], got["end_reason"], verdict, status, reason, state, rounds)
		}
	}

	check(finish(200, "valid", claim("valid"), `, "result": "{\"total\": 1}"`), "completed", "completed", "valid", 0)
	check(finish(200, "text", claim("text"), `, "result": "all of it"`), "failed", "schema_mismatch", "invalid", 0)
	check(finish(200, "none", claim("none"), ``), "failed", "schema_mismatch", "invalid", 0)

	token := claim("repaired")
	for range 2 {
		refused := finish(422, "repaired", token, `, "repair": true, "result": "{\"total\": \"much\"}"`)
		if told := fmt.Sprint(refused); !strings.Contains(told, "/total: ") || !strings.Contains(told, "result") {
			t.Errorf("S8: the refusal says %s", told)
		}
	}
	check(finish(200, "repaired", token, `, "repair": true, "result": "{\"total\": 2}"`), "completed", "completed", "repaired", 2)

	token = claim("never")
	finish(422, "never", token, `, "repair": true, "result": "[]"`)
	finish(422, "never", token, `, "repair": true, "result": "[]"`)
	check(finish(200, "never", token, `, "repair": true, "result": "[]"`), "failed", "schema_mismatch", "invalid", 2)

	one, two := claim("one"), claim("two") // with their ends in one request
	both := s.must(t, 200, call{method: "POST", path: "/v1/claim", body: fmt.Sprintf(`{"agent_ids": ["agent-1"], "worker_id": "w", "finished": [
		{"task_id": "one", "lease_token": %q, "status": "completed", "result": "[]", "repair": true},
		{"task_id": "two", "lease_token": %q, "status": "completed", "result": "{\"total\": 1}", "repair": true}]}`, one, two)})
	if told := fmt.Sprint(both["finished"]); !strings.Contains(told, "the result: ") {
		t.Errorf("S8: the ends were answered %s", told)
	}
	check(s.must(t, 200, call{method: "GET", path: "/v1/tasks/two"}), "completed", "completed", "valid", 0)
	check(finish(200, "one", one, `, "repair": true, "result": "{\"total\": 2}"`), "completed", "completed", "repaired", 1)

	for _, bad := range []string{`{"type": "strnig"}`, `{"$ref": "http://127.0.0.1:1/schema.json"}`, `{"properties": {"a": {"pattern": "(?=x)"}}}`} {
		s.must(t, 422, call{method: "POST", path: "/v1/tasks", body: `{"id": "bad", "agent_id": "agent-1", "input": {"text": "x"}, "output_schema": ` + bad + `}`})
		s.must(t, 404, call{method: "GET", path: "/v1/tasks/bad"})
		s.must(t, 422, call{method: "PUT", path: "/v1/agents/bad", body: `{"name": "bad", "output_schema": ` + bad + `}`})
	}
}
