package httpapi_test

import (
	"fmt"
	"testing"
)

// A budget over the wire: refused where it says nothing sensible, shown with what was
// spent, holding the tree at its line, raised by a PATCH.
func TestB1ABudgetOverTheWire(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	create := func(status int, id, more string) map[string]any {
		t.Helper()
		return s.must(t, status, call{
			method: "POST", path: "/v1/tasks",
			body: fmt.Sprintf(`{"agent_id": "agent-1", "id": %q, "input": {"text": "help"}%s}`, id, more),
		})
	}
	for more, field := range map[string]string{
		`, "budget": {"tokens": -1}`:        "budget.tokens",
		`, "budget": {"warn_at": 2}`:        "budget.warn_at",
		`, "budget": {"at_limit": "maybe"}`: "budget.at_limit",
		`, "budget": {"tokenz": 1}`:         "budget.tokenz",
	} {
		if got := create(422, "bad", more)["field"]; got != field {
			t.Errorf("%s is refused for %v, want %s", more, got, field)
		}
	}
	created := create(201, "t", `, "budget": {"tokens": 1000, "subtasks": 2}`)
	if got := fmt.Sprint(created["budget"]); got != "map[subtasks:2 tokens:1000]" {
		t.Errorf("it shows the budget %s", got)
	}
	token := s.claim(t)
	below := create(201, "below", `, "parent_execution": "t"`)
	if below["budget"] != nil || below["spent"].(map[string]any)["task_id"] != "t" {
		t.Errorf("the sub-task shows %v, %v", below["budget"], below["spent"])
	}
	create(422, "own", `, "parent_execution": "below", "budget": {"tokens": 5}`)
	create(201, "second", `, "parent_execution": "t"`)
	create(409, "one-too-many", `, "parent_execution": "t"`)
	s.patch(t, "t", `{"tokens": {"prompt_tokens": 900}}`)
	s.patch(t, "t", `{"tokens": {"prompt_tokens": 1000, "completion_tokens": 200}}`)
	beat := s.must(t, 200, call{method: "POST", path: "/v1/tasks/t/heartbeat", body: fmt.Sprintf(`{"lease_token": %q}`, token)})
	if got := beat["action"]; got != "pause" {
		t.Errorf("the worker is told to %v", got)
	}
	for _, id := range []string{"t", "below"} {
		shown := s.must(t, 200, call{method: "GET", path: "/v1/tasks/" + id})
		waiting, _ := shown["waiting"].(map[string]any)
		if shown["status"] != "paused" || waiting["reason"] != "budget" {
			t.Errorf("%s is %v, waiting for %v", id, shown["status"], waiting)
		}
		s.must(t, 409, call{method: "POST", path: "/v1/tasks/" + id + "/resume"})
	}
	warnings := 0
	for _, e := range s.events(t, "t") {
		if e["type"] == "budget_warning" {
			warnings++
		}
		if data, _ := e["data"].(map[string]any); e["type"] == "paused" && data["cause"] != "budget" {
			t.Errorf("it is paused because of %v", data)
		}
	}
	if warnings != 2 {
		t.Errorf("it was warned %d times, want before and at the line", warnings)
	}
	raised := s.must(t, 200, call{method: "PATCH", path: "/v1/tasks/t", body: `{"budget": {"tokens": 5000}}`})
	spent, _ := raised["spent"].(map[string]any)
	if raised["status"] != "pending" || spent["tokens"] != 1200.0 || spent["subtasks"] != 2.0 {
		t.Errorf("raised, it is %v and has spent %v", raised["status"], spent)
	}
	s.must(t, 200, call{method: "GET", path: "/v1/tasks/below"})
	s.must(t, 422, call{method: "PATCH", path: "/v1/tasks/below", body: `{"budget": {"tokens": 5}}`})
	create(201, "without", "")
	s.must(t, 409, call{method: "PATCH", path: "/v1/tasks/without", body: `{"budget": {"tokens": 5}}`})
}
