package httpapi_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"
)

// asks lets the attempt of the task one ask something.
func (s *server) asks(t *testing.T, status int, token, members string) map[string]any {
	t.Helper()
	return s.must(t, status, call{
		method: "POST", path: "/v1/tasks/one/approvals", key: workerKey, body: fmt.Sprintf(`{"lease_token": %q, %s}`, token, members),
	})
}

// A worker asks, a person answers, and the next attempt has the answer.
func TestS10APersonAnswersAWorker(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "one")
	token := s.claim(t)
	const form = `"key": "n", "message": "how many?", "schema": {"type": "integer"}`
	asked := s.asks(t, 201, token, form+`, "default": {"value": 3}, "deadline": "2100-01-01T00:00:00Z"`)
	if asked["waiting"] != true || asked["replayed"] != false || asked["status"] != "open" || asked["kind"] != "question" || asked["answered"] != nil {
		t.Errorf("S10: asked %v", asked)
	}
	if again := s.asks(t, 200, token, form); again["waiting"] != true || again["replayed"] != true || again["id"] != asked["id"] {
		t.Errorf("S10: again %v", again)
	}
	got := s.must(t, 200, call{method: "GET", path: "/v1/tasks/one"})
	if waiting, _ := got["waiting"].(map[string]any); got["status"] != "paused" || waiting["reason"] != "person" || fmt.Sprint(waiting["approvals"]) != fmt.Sprint([]any{asked["id"]}) {
		t.Errorf("S10: it is %v and waits for %v", got["status"], waiting)
	}
	open := s.parts(t, "/v1/approvals?status=open", "")
	if len(open) != 1 || open[0].(map[string]any)["id"] != asked["id"] {
		t.Errorf("S10: open are %v", open)
	}
	answer := func(status int, body string) map[string]any {
		t.Helper()
		return s.must(t, status, call{method: "POST", path: "/v1/approvals/" + asked["id"].(string) + "/answer", key: userKey, body: body})
	}
	answer(422, `{"value": "many"}`)
	answer(422, `{"answer": "perhaps"}`)
	answer(400, `{`)
	done := answer(200, `{"value": 7, "note": "for now"}`)
	answered, _ := done["answered"].(map[string]any)
	if done["status"] != "answered" || answered["value"] != 7.0 || answered["answer"] != "approve" || answered["note"] != "for now" || answered["by_default"] != false ||
		!strings.HasPrefix(fmt.Sprint(answered["by"]), "key ") {
		t.Errorf("S10: answered %v", done)
	}
	answer(409, `{"value": 8}`)
	if again := s.asks(t, 200, s.claim(t), form); again["waiting"] != false || fmt.Sprint(again["answered"]) != fmt.Sprint(done["answered"]) {
		t.Errorf("S10: the next attempt has %v", again)
	}
	mine := s.parts(t, "/v1/tasks/one/approvals?limit=1", "")
	if len(mine) != 1 || mine[0].(map[string]any)["status"] != "answered" {
		t.Errorf("S10: the task's are %v", mine)
	}
	s.must(t, 404, call{method: "GET", path: "/v1/approvals/nobody's"})
	s.must(t, 422, call{method: "GET", path: "/v1/approvals?status=perhaps"})
	s.must(t, 400, call{method: "GET", path: "/v1/approvals?cursor=x"})
}

// A deadline passes without anybody: the default is the answer.
func TestS10TheDefaultIsTakenInTime(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "one")
	soon := time.Now().Add(time.Second).UTC().Format(time.RFC3339Nano)
	s.asks(t, 201, s.claim(t), `"key": "n", "kind": "approval", "message": "may I?", "default": {"answer": "decline"}, "deadline": "`+soon+`"`)
	claimed := s.must(t, 200, call{method: "POST", path: "/v1/claim", key: workerKey, body: `{"agent_ids": ["agent-1"], "worker_id": "w", "wait": 60}`})
	token := claimed["claims"].([]any)[0].(map[string]any)["lease"].(map[string]any)["token"].(string)
	got := s.asks(t, 200, token, `"key": "n", "message": "may I?"`)
	if answered, _ := got["answered"].(map[string]any); answered["by_default"] != true || answered["answer"] != "decline" || answered["by"] != "" {
		t.Errorf("S10: answered %v", got)
	}
}

// The paths that the Python client has for it answer as well.
func TestS10ThePythonClientsPaths(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "one")
	hitl := func(status int, verb, body string) map[string]any {
		t.Helper()
		return s.must(t, status, call{method: "POST", path: "/default/hitl/one/" + verb, key: userKey, body: body})
	}
	hitl(409, "approve", "")
	token := s.claim(t)
	s.asks(t, 201, token, `"key": "a", "kind": "approval", "message": "may I?"`)
	if got := hitl(200, "approve", ""); got["status"] != "pending" {
		t.Errorf("S10: the task is %v", got["status"])
	}
	hitl(409, "approve", "")
	token = s.claim(t)
	if got := s.asks(t, 200, token, `"key": "a", "message": "may I?"`); got["waiting"] != false {
		t.Errorf("S10: it is %v", got)
	}
	b := s.asks(t, 201, token, `"key": "b", "message": "what?", "stay": true`)
	s.asks(t, 201, token, `"key": "c", "message": "and what?", "stay": true`)
	hitl(422, "reject", "")
	hitl(400, "reject", "[")
	hitl(422, "approve", `{"approval_id": "nobody's"}`)
	hitl(200, "reject", fmt.Sprintf(`{"approval_id": %q, "reason": "no idea"}`, b["id"]))
	got := s.must(t, 200, call{method: "GET", path: "/v1/approvals/" + url.PathEscape(b["id"].(string))})
	if answered, _ := got["answered"].(map[string]any); answered["answer"] != "decline" || answered["note"] != "no idea" {
		t.Errorf("S10: answered %v", got["answered"])
	}
	s.must(t, 501, call{method: "POST", path: "/hitl/request", body: `{}`})
}
