package httpapi_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// take claims so many tasks of agent-1 with a key, reporting ends, and returns the
// tokens by task, and of each end "task status", or "task code field".
func (s *server) take(t *testing.T, key string, slots int, ends ...string) (tokens map[string]string, fates []string) {
	t.Helper()
	agent := "agent-1"
	if key == narrowKey {
		agent = "narrow"
	}
	got := s.must(t, 200, call{method: "POST", path: "/v1/claim", key: key, body: fmt.Sprintf(
		`{"agent_ids": [%q], "worker_id": "w", "slots": %d, "wait": 60, "finished": [%s]}`, agent, slots, strings.Join(ends, ","),
	)})
	tokens = map[string]string{}
	for _, c := range got["claims"].([]any) {
		c := c.(map[string]any)
		tokens[c["task"].(map[string]any)["id"].(string)] = c["lease"].(map[string]any)["token"].(string)
	}
	finished, _ := got["finished"].([]any)
	for _, f := range finished {
		f := f.(map[string]any)
		fate := fmt.Sprint(f["task_id"], " ", f["status"])
		if e, is := f["error"].(map[string]any); is {
			fate = fmt.Sprint(f["task_id"], " ", e["code"])
			if e["field"] != nil {
				fate += fmt.Sprint(" ", e["field"])
			}
		}
		fates = append(fates, fate)
	}
	return tokens, fates
}

func endOf(id, token, members string) string {
	return fmt.Sprintf(`{"task_id": %q, "lease_token": %q, %s}`, id, token, members)
}

// TestL1EndsWithAClaim: each has its own fate, none hinders another or the claim, and
// the claim waits for nothing.
func TestL1EndsWithAClaim(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	for _, id := range []string{"done", "lost", "bad", "again", "stopped", "next-1", "next-2"} {
		s.task(t, id)
	}
	tokens, fates := s.take(t, workerKey, 5)
	if len(tokens) != 5 || len(fates) != 0 {
		t.Fatalf("claimed %v, ended %v", tokens, fates)
	}
	s.must(t, 200, call{method: "PATCH", path: "/v1/tasks/lost", body: `{"status": "failed"}`})
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/stopped/stop"})
	ends := []string{
		endOf("done", tokens["done"], `"status": "completed", "result": "a\u0000b"`),
		endOf("lost", tokens["lost"], `"status": "completed", "result": "mine"`),
		endOf("bad", tokens["bad"], `"status": "done"`),
		endOf("bad", tokens["bad"], `"status": "completed", "end_reason": "failed"`),
		endOf("bad", tokens["bad"], `"status": "completed", "resultt": "x"`),
		`{"task_id": "bad", "status": "completed"}`, `{"lease_token": "x", "status": "completed"}`, `7`, `null`, `{"task_id": 7}`,
		endOf("again", tokens["again"], `"status": "error", "retry": true, "delay": 3600`),
		endOf("stopped", tokens["stopped"], `"status": "stopped"`),
		endOf("nobody", "x", `"status": "completed"`),
		endOf("next-1", "x", `"status": "completed"`),
	}
	want := []string{
		"done completed", "lost conflict", "bad invalid status", "bad invalid end_reason", "bad invalid resultt",
		"bad invalid lease_token", " invalid task_id", " invalid", " invalid", " invalid lease_token",
		"again pending", "stopped stopped", "nobody not_found", "next-1 conflict",
	}
	claimed, fates := s.take(t, workerKey, 2, ends...)
	if diff := cmp.Diff(want, fates); diff != "" {
		t.Errorf("fates (-want +got):\n%s", diff)
	}
	if len(claimed) != 2 || claimed["next-1"] == "" || claimed["next-2"] == "" {
		t.Errorf("claimed %v", claimed)
	}
	for id, status := range map[string]string{
		"done": "completed", "lost": "failed", "bad": "executing", "again": "pending", "stopped": "stopped", "next-1": "executing",
	} {
		if got := s.must(t, 200, call{method: "GET", path: "/v1/tasks/" + id}); got["status"] != status {
			t.Errorf("%s is %v, want %s", id, got["status"], status)
		}
	}
	if got := s.must(t, 200, call{method: "GET", path: "/v1/tasks/done"}); got["result"] != "a\uFFFDb" || fmt.Sprint(adjusted(got)) != "[result]" {
		t.Errorf("done has %v, adjusted %v", got["result"], adjusted(got))
	}

	// The answer may have been lost: the same again is answered the same, writes
	// nothing, and waits for no task.
	before, began := s.stored(t), time.Now()
	_, again := s.take(t, workerKey, 2, ends...)
	if diff := cmp.Diff(want, again); diff != "" {
		t.Errorf("fates of the same ends again (-want +got):\n%s", diff)
	}
	if after := s.stored(t); after != before {
		t.Errorf("the same ends again changed the record:\n%s\n%s", before, after)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("with ends it waited %v for a task", took)
	}
}

// TestL1EndsOfARefusedClaim count, and what no claim is asks for nothing.
func TestL1EndsOfARefusedClaim(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.agent(t, "narrow")
	for status, c := range map[int]struct{ claim, shows string }{
		404: {`"agent_ids": ["nobody"], "worker_id": "w"`, "completed"},
		422: {`"agent_ids": ["agent-1"], "worker_id": "w\u0000"`, "executing"},
	} {
		id := fmt.Sprint("of-", status)
		s.task(t, id)
		body := fmt.Sprintf(`{%s, "finished": [%s]}`, c.claim, endOf(id, s.claim(t), `"status": "completed"`))
		s.must(t, status, call{method: "POST", path: "/v1/claim", key: workerKey, body: body})
		if got := s.must(t, 200, call{method: "GET", path: "/v1/tasks/" + id}); got["status"] != c.shows {
			t.Errorf("after %d, %s is %v", status, id, got["status"])
		}
	}

	// A key for named agents ends no other's task.
	s.task(t, "foreign")
	end := endOf("foreign", s.claim(t), `"status": "completed"`)
	if _, fates := s.take(t, narrowKey, 1, end); fmt.Sprint(fates) != "[foreign forbidden]" {
		t.Errorf("by a key for another agent: %v", fates)
	}
	if _, fates := s.take(t, workerKey, 1, end); fmt.Sprint(fates) != "[foreign completed]" {
		t.Errorf("by the worker's: %v", fates)
	}
}
