package httpapi_test

import (
	"testing"

	"github.com/errand-dev/errand/server/internal/app"
)

// H7: whoever creates too much is told when to come again, on both faces, and
// nothing is stored. Reading goes on.
func TestH7LimitsSayWhenToComeAgain(t *testing.T) {
	t.Parallel()
	for name, limit := range map[string]func(*app.Options){
		"queue": func(o *app.Options) { o.MaxQueued = 1 },
		"rate":  func(o *app.Options) { o.CreateRate = 0.001 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, limit)
			s.agent(t, "agent-1")
			s.task(t, "one")
			refuse(t, s, []refusal{
				create("create", "", "").coded(429, "rate_limited"),
				post("invoke", "/v1/agents/agent-1/invoke", `{"input": {}}`, 429, "rate_limited", ""),
				post("stream", "/v1/agents/agent-1/invoke/stream", `{"input": {}}`, 429, "rate_limited", ""),
				post("R1", "/agent-execution/agent-1", `{}`, 429, "", ""),
			})
			for _, path := range []string{"/v1/tasks", "/agent-execution/agent-1"} {
				got := s.do(t, call{method: "POST", path: path, body: `{"agent_id": "agent-1", "input": {}}`})
				want := map[string]string{"queue": "1", "rate": "1000"}[name]
				if after := got.header.Get("Retry-After"); got.status != 429 || after != want {
					t.Errorf("%s: answered %d, Retry-After %q, want %s", path, got.status, after, want)
				}
			}
			s.must(t, 200, call{method: "GET", path: "/v1/tasks/one"})
		})
	}
}
