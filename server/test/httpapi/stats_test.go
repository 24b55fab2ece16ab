package httpapi_test

import (
	"fmt"
	"net/url"
	"testing"
	"time"
)

// stats is what happened to tasks, as a key sees it.
func (s *server) stats(t *testing.T, query, key string) map[string]any {
	t.Helper()
	return s.must(t, 200, call{method: "GET", path: "/v1/stats?" + query, key: key})
}

// B3: what happened is counted as it happens, by steps and agents, of all that a key sees;
// it stays when tasks are deleted, and the server starts again.
func TestB3StatsAreCounted(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.must(t, 200, call{method: "PUT", path: "/v1/agents/agent-1", body: `{"name": "one"}`})
	key := s.must(t, 201, call{method: "POST", path: "/v1/keys", body: `{"name": "one", "role": "user", "sees": "own"}`})["key"].(string)
	for i, by := range []string{"", "", key} {
		s.must(t, 201, call{method: "POST", path: "/v1/tasks", key: by, body: fmt.Sprintf(`{"agent_id": "agent-1", "id": "t%d", "input": {"text": "x"}}`, i)})
	}
	s.finishes(t, "t0", s.claim(t), `"status": "failed", "tokens": {"prompt_tokens": 7, "completion_tokens": 5}`)
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/t1/stop"})
	s.must(t, 204, call{method: "DELETE", path: "/v1/tasks/t0"})

	seen := s.stats(t, "", "")
	total := seen["total"].(map[string]any)
	if got := fmt.Sprint(total["created"], total["ended"], total["tokens"]); got != "3 map[failed:1 stopped:1] 12" {
		t.Errorf("all is %s", got)
	}
	waited, ran := total["start_wait"].(map[string]any), total["run"].(map[string]any)
	if waited["count"] != 1.0 || ran["count"] != 1.0 || waited["p50"].(float64) > waited["p99"].(float64) || ran["p99"].(float64) > 60 {
		t.Errorf("waited %v, ran %v", waited, ran)
	}
	steps := seen["steps"].([]any)
	last := steps[len(steps)-1].(map[string]any)
	if seen["step"] != 60.0 || len(steps) < 60 || last["waiting"] != 1.0 {
		t.Errorf("%d steps of %v s, of which the last is %v", len(steps), seen["step"], last)
	}
	by := seen["by"].([]any)[0].(map[string]any)
	if by["id"] != "agent-1" || by["created"] != 3.0 {
		t.Errorf("by agents: %v", by)
	}
	if own := s.stats(t, "", key)["total"].(map[string]any); own["created"] != 1.0 || own["tokens"] != 0.0 {
		t.Errorf("one that sees its own sees %v", own)
	}
	if other := s.stats(t, "agent_id=nobody&by=model&step=3600", ""); len(other["by"].([]any)) != 0 {
		t.Errorf("of another agent: %v", other["by"])
	}
	from := url.QueryEscape(time.Now().Add(-399 * 24 * time.Hour).Format(time.RFC3339))
	if old := s.stats(t, "step=86400&from="+from, "")["total"].(map[string]any); old["created"] != 3.0 {
		t.Errorf("of a year: %v", old)
	}
	if then := s.stats(t, "from=2020-01-01T00:00:00Z&to=2020-01-02T00:00:00Z&step=86400", ""); then["steps"].([]any)[0].(map[string]any)["waiting"] != 0.0 {
		t.Errorf("before all: %v", then["steps"])
	}
	centuries := s.stats(t, "from=2000-01-01T00:00:00Z&to=2400-01-01T00:00:00Z&step=31536000", "")["steps"].([]any)
	if first, last := centuries[0].(map[string]any)["at"], centuries[len(centuries)-1].(map[string]any)["at"]; fmt.Sprint(first)[:4] != "1999" || fmt.Sprint(last)[:4] != "2399" {
		t.Errorf("centuries go from %v to %v", first, last)
	}
	yesterday := url.QueryEscape(time.Now().Add(-24 * time.Hour).Format(time.RFC3339))
	if day := s.stats(t, "step=1800&from="+yesterday, ""); len(day["steps"].([]any)) < 48 {
		t.Errorf("of a day: %d steps", len(day["steps"].([]any)))
	}
	for _, wrong := range []string{
		"step=90", "step=0", "by=task", "from=" + from, "step=3600&from=" + from, "step=60&from=" + yesterday, "from=2020-01-01T00:00:00Z&to=2019-01-01T00:00:00Z&step=3600",
		"from=0001-01-01T00:00:01Z", "to=9999-12-31T23:59:59Z&step=31536000", "from=x", "from=2000-01-01T00:00:00Z&to=2999-01-01T00:00:00Z&step=31536000",
	} {
		s.must(t, 422, call{method: "GET", path: "/v1/stats?" + wrong})
	}
}
