package httpapi_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/errand-dev/errand/server/internal/app"
	"github.com/errand-dev/errand/server/internal/task"
)

// capOf is what a paused task says of the cap that holds it.
func (s *server) capOf(t *testing.T, id string) map[string]any {
	t.Helper()
	waiting, _ := s.waitFor(t, id, "paused")["waiting"].(map[string]any)
	capped, _ := waiting["cap"].(map[string]any)
	if message, _ := waiting["message"].(string); waiting["reason"] != "budget" || capped == nil || !strings.Contains(message, fmt.Sprint(capped["id"])) {
		t.Fatalf("task %s waits for %v", id, waiting)
	}
	return capped
}

// usage is what was spent for somebody.
func (s *server) usage(t *testing.T, query, key string) []any {
	t.Helper()
	return s.must(t, 200, call{method: "GET", path: "/v1/usage?" + query, key: key})["items"].([]any)
}

// B1: a key's cap holds the model runs of that key, a model is asked no more, and raising
// it at /v1/keys lets them go on.
func TestB1ACapOfAKey(t *testing.T) {
	t.Parallel()
	p := newProvider(t, loop()...)
	s := start(t, p.use)
	s.modelAgent(t, "")
	made := s.must(t, 201, call{method: "POST", path: "/v1/keys", body: `{"name": "spender", "role": "user", "sees": "own", "caps": {"day": {"tokens": 1000}}}`})
	id, key := made["id"].(string), made["key"].(string)
	create := func(task string) {
		t.Helper()
		s.must(t, 201, call{method: "POST", path: "/v1/tasks", key: key, body: fmt.Sprintf(`{"agent_id": "sage", "id": %q, "input": {"text": "Loop"}}`, task)})
	}
	create("one")
	if capped := s.capOf(t, "one"); capped["of"] != "key" || capped["id"] != id || capped["period"] != "day" || capped["limit"] != "tokens" || capped["used"] != 1200.0 || capped["most"] != 1000.0 {
		t.Errorf("held by %v", capped)
	}
	create("two")
	s.capOf(t, "two")
	if n := len(p.requests()); n != 4 {
		t.Errorf("the model was asked %d times for 300 tokens, want 4", n)
	}
	s.must(t, 409, call{method: "POST", path: "/v1/tasks/one/resume"})
	own := s.usage(t, "", key)
	if len(own) != 2 {
		t.Fatalf("it sees the usage %v", own)
	}
	day := own[0].(map[string]any)["day"].(map[string]any)
	limits, _ := day["cap"].(map[string]any)
	if day["tokens"] != 1200.0 || limits["tokens"] != 1000.0 || fmt.Sprint(limits["over"]) != "[tokens]" || limits["at_limit"] != "pause" {
		t.Errorf("its usage is %v", day)
	}
	if all := s.usage(t, "of=agent&id=sage", ""); len(all) != 1 || all[0].(map[string]any)["month"].(map[string]any)["tokens"] != 1200.0 {
		t.Errorf("the agent's usage is %v", all)
	}
	if theirs := s.usage(t, "of=agent", key); len(theirs) != 0 {
		t.Errorf("a key that sees its own is told of %v", theirs)
	}
	s.must(t, 403, call{method: "PATCH", path: "/v1/keys/" + id, key: key, body: `{"caps": null}`})
	got := s.must(t, 200, call{method: "PATCH", path: "/v1/keys/" + id, body: `{"caps": {"day": {"tokens": 1300}, "at_limit": "end"}}`})
	if got["caps"].(map[string]any)["at_limit"] != "end" {
		t.Errorf("changed to %v", got)
	}
	s.waitFor(t, "one", "failed")
	s.waitFor(t, "two", "failed")
	if n := len(p.requests()); n < 5 || n > 6 {
		t.Errorf("the model was asked %d times in all, want once more for each at most", n)
	}
}

// B1: the configuration's caps hold each owner by itself, also behind the proxy.
func TestB1ACapBehindTheProxy(t *testing.T) {
	t.Parallel()
	p := newProvider(t, wholeAnswer(600), wholeAnswer(600), wholeAnswer(600))
	s := start(t, p.use, func(o *app.Options) {
		o.Caps = []task.CapRule{{Spender: task.Spender{Of: task.CapOwner, ID: task.EachOf}, Caps: task.Caps{Day: &task.Allowance{Tokens: 1000}}}}
	})
	s.agent(t, "agent-1")
	s.must(t, 201, call{method: "POST", path: "/v1/tasks", body: `{"agent_id": "agent-1", "id": "one", "input": {"text": "a"}}`})
	_, token := s.attempt(t)
	const plain = `{"model": "m", "messages": []}`
	for range 2 {
		if status, body := s.ask(t, chatPath, token, plain); status != 200 {
			t.Fatalf("answered %d %s", status, body)
		}
	}
	capped := s.capOf(t, "one")
	if status, body := s.ask(t, chatPath, token, plain); status != 403 || !strings.Contains(body, "the cap of owner "+capped["id"].(string)) {
		t.Errorf("behind the cap it is answered %d %s", status, body)
	}
	if n := len(p.requests()); n != 2 {
		t.Errorf("the provider was asked %d times, want 2", n)
	}
	s.must(t, 201, call{method: "POST", path: "/v1/tasks", key: userKey, body: `{"agent_id": "agent-1", "id": "two", "input": {"text": "a"}}`})
	_, other := s.attempt(t)
	if status, body := s.ask(t, chatPath, other, plain); status != 200 {
		t.Errorf("another owner is answered %d %s", status, body)
	}
}

// B1: caps that say nothing sensible are refused where they are given.
func TestB1CapsOverTheWire(t *testing.T) {
	t.Parallel()
	s := start(t)
	refuse(t, s, []refusal{
		post("a key's", "/v1/keys", `{"name": "x", "role": "user", "caps": {"day": {"tokens": -1}}}`, 422, "invalid", "caps.day.tokens"),
		post("an agent's", "/v1/agents", `{"name": "x", "caps": {"month": {"cost": -1}}}`, 422, "invalid", "caps.month.cost"),
		post("an unknown period", "/v1/agents", `{"name": "x", "caps": {"week": {"cost": 1}}}`, 422, "invalid", "caps.week"),
		post("an odd end", "/v1/agents", `{"name": "x", "caps": {"at_limit": "maybe"}}`, 422, "invalid", "caps.at_limit"),
	})
	s.must(t, 422, call{method: "GET", path: "/v1/usage?id=x"})
	s.must(t, 422, call{method: "GET", path: "/v1/usage?of=nobody"})
	s.must(t, 400, call{method: "GET", path: "/v1/usage?cursor=x"})
	s.must(t, 404, call{method: "PATCH", path: "/v1/keys/nobody", body: `{"caps": null}`})
	made := s.must(t, 201, call{method: "POST", path: "/v1/agents", body: `{"name": "x", "caps": {"month": {"cost": 12.5}, "warn_at": 0.5}}`})
	if got := fmt.Sprint(made["caps"]); got != "map[month:map[cost:12.5] warn_at:0.5]" {
		t.Errorf("the agent shows %s", got)
	}
	s.agent(t, "agent-1")
	for i := range 3 {
		id := fmt.Sprintf("t%d", i)
		s.must(t, 201, call{method: "POST", path: "/v1/tasks", header: map[string]string{}, body: fmt.Sprintf(`{"agent_id": "agent-1", "id": %q, "input": {}}`, id)})
		s.claim(t)
		s.patch(t, id, `{"tokens": {"prompt_tokens": 7}}`)
	}
	first := s.must(t, 200, call{method: "GET", path: "/v1/usage?limit=1"})
	next, _ := first["next_cursor"].(string)
	second := s.must(t, 200, call{method: "GET", path: "/v1/usage?limit=1000&cursor=" + next})
	if len(first["items"].([]any)) != 1 || len(second["items"].([]any)) != 2 || second["next_cursor"] != nil {
		t.Errorf("the parts are %v and %v", first, second)
	}
	if got := s.usage(t, "of=agent&id=agent-1&at=2020-02-03T04:05:06Z", "")[0].(map[string]any); got["month"].(map[string]any)["until"] != "2020-03-01T00:00:00Z" || got["day"].(map[string]any)["tokens"] != 0.0 {
		t.Errorf("long ago it was %v", got)
	}
}
