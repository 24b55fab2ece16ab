package httpapi_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/errand-dev/errand/server/internal/app"
)

// lastOf is the last message that a provider was sent with a request.
func (p *provider) lastOf(n int) string {
	messages := p.requests()[n]["messages"].([]any)
	return fmt.Sprint(messages[len(messages)-1])
}

// answer answers the only open approval.
func (s *server) answer(t *testing.T, body string) map[string]any {
	t.Helper()
	open := s.parts(t, "/v1/approvals?status=open", "")
	if len(open) != 1 {
		t.Fatalf("%d approvals are open, want one", len(open))
	}
	a := open[0].(map[string]any)
	s.must(t, 200, call{method: "POST", path: "/v1/approvals/" + a["id"].(string) + "/answer", key: userKey, body: body})
	return a
}

// S10: a model asks a person; the answer that comes after a restart continues the run,
// and what the model has said is not paid for again.
func TestS10AModelAsksAPersonOverARestart(t *testing.T) {
	t.Parallel()
	p := newProvider(t, says(calls([2]string{"ask_person", `{"question": "Which colour?", "options": ["red", "blue"]}`})...), says(said("It is blue."), ended))
	s := start(t, p.use)
	s.modelAgent(t, `, "tools": ["ask_person"], "max_attempts": 1`)
	s.wonder(t, `"input": {"text": "Paint it."}`)
	got := s.waitFor(t, "one", "paused")
	if waiting, _ := got["waiting"].(map[string]any); waiting["reason"] != "person" {
		t.Errorf("S10: it waits for %v", got["waiting"])
	}
	s.again(t, p.use)
	asked := s.answer(t, `{"value": "blue", "note": "like the sky"}`)
	if asked["message"] != "Which colour?" || !strings.Contains(fmt.Sprint(asked["schema"]), "red blue") {
		t.Errorf("S10: asked %v", asked)
	}
	if got := s.waitFor(t, "one", "completed"); got["result"] != "It is blue." {
		t.Errorf("S10: result %q", got["result"])
	}
	if n := len(p.requests()); n != 2 {
		t.Errorf("S10: the model was asked %d times", n)
	}
	if last := p.lastOf(1); !strings.Contains(last, "blue They add: like the sky") {
		t.Errorf("S10: the model was told %s", last)
	}
}

// S10: what needs a person's approval runs after that, and not without; other calls of
// the same answer are run meanwhile.
func TestS10ToolsThatNeedApproval(t *testing.T) {
	t.Parallel()
	for verdict, want := range map[string]string{`{"answer": "approve"}`: "The task was given no files.", `{"answer": "decline", "note": "not now"}`: "not now"} {
		t.Run(verdict, func(t *testing.T) {
			t.Parallel()
			p := newProvider(t, says(calls([2]string{"list_files", `{}`})...), says(said("Done."), ended))
			s := start(t, p.use)
			s.modelAgent(t, `, "tools": ["files"], "needs_approval": ["list_files"]`)
			s.wonder(t, `"input": {"text": "Look."}`)
			s.waitFor(t, "one", "paused")
			if asked := s.answer(t, verdict); asked["kind"] != "approval" || asked["tool_name"] != "list_files" {
				t.Errorf("S10: asked %v", asked)
			}
			s.waitFor(t, "one", "completed")
			if last := p.lastOf(1); !strings.Contains(last, want) {
				t.Errorf("S10: the model was told %s", last)
			}
		})
	}
}

// S9: with one slot a model has another agent do something and gets its result; a stop
// reaches what runs below.
func TestS9AModelDelegates(t *testing.T) {
	t.Parallel()
	delegates := says(calls([2]string{"delegate", `{"agent": "helper", "task": "What is six times seven?", "title": "Sums"}`})...)
	team := func(t *testing.T, script ...func(http.ResponseWriter, *http.Request)) (*server, *provider) {
		t.Helper()
		p := newProvider(t, script...)
		s := start(t, p.use, func(o *app.Options) { o.Slots = 1 })
		s.must(t, 200, call{method: "PUT", path: "/v1/agents/helper", body: `{"name": "Helper", "runtime": "model", "model_name": "m-2"}`})
		s.modelAgent(t, `, "tools": ["delegate"], "sub_agents": ["helper"]`)
		s.wonder(t, `"input": {"text": "Ask the helper."}`)
		return s, p
	}
	below := func(t *testing.T, s *server) map[string]any {
		t.Helper()
		items := s.must(t, 200, call{method: "GET", path: "/v1/tasks/one/children"})["items"].([]any)
		if len(items) != 1 {
			t.Fatalf("S9: %d sub-tasks", len(items))
		}
		return items[0].(map[string]any)
	}
	t.Run("and gets the result", func(t *testing.T) {
		t.Parallel()
		s, p := team(t, delegates, says(said("42"), ended), says(said("It says 42."), ended))
		if got := s.waitFor(t, "one", "completed"); got["result"] != "It says 42." {
			t.Errorf("S9: result %q", got["result"])
		}
		if n := len(p.requests()); n != 3 || !strings.Contains(p.lastOf(1), "six times seven") || !strings.Contains(p.lastOf(2), "42") {
			t.Errorf("S9: asked %v", p.requests())
		}
		if child := below(t, s); child["status"] != "completed" || child["title"] != "Sums" || child["agent_id"] != "helper" {
			t.Errorf("S9: the sub-task is %v", child)
		}
	})
	t.Run("and is stopped with it", func(t *testing.T) {
		t.Parallel()
		s, _ := team(t, delegates, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		s.waitFor(t, "one", "paused")
		s.must(t, 200, call{method: "POST", path: "/v1/tasks/one/stop"})
		s.waitFor(t, below(t, s)["id"].(string), "stopped")
	})
}
