package httpapi_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// troubles are the kinds of trouble that a key is told of, each with its message.
func (s *server) troubles(t *testing.T, key string) (kinds []string, all []map[string]any) {
	t.Helper()
	for _, x := range s.must(t, 200, call{method: "GET", path: "/v1/trouble", key: key})["items"].([]any) {
		item := x.(map[string]any)
		if item["kind"] == "little_space" { // it may be so
			continue
		}
		all = append(all, item)
		kinds = append(kinds, item["kind"].(string))
	}
	return kinds, all
}

// B4: what is wrong is told with a filter that finds it, to whom it concerns, until it is over.
func TestB4TroubleIsTold(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.must(t, 200, call{method: "PUT", path: "/v1/agents/agent-1", body: `{"name": "one"}`})
	key := s.must(t, 201, call{method: "POST", path: "/v1/keys", body: `{"name": "one", "role": "user", "sees": "own"}`})["key"].(string)
	if kinds, _ := s.troubles(t, ""); kinds != nil {
		t.Errorf("a server without tasks has the trouble %q", kinds)
	}
	create := func(id, more string) {
		t.Helper()
		s.must(t, 201, call{method: "POST", path: "/v1/tasks", body: fmt.Sprintf(`{"agent_id": "agent-1", "id": %q, "input": {"text": "x"}%s}`, id, more)})
	}
	create("one", "")
	kinds, all := s.troubles(t, "")
	if !slices.Equal(kinds, []string{"no_worker"}) || all[0]["severity"] != "error" || all[0]["count"] != 1.0 || !strings.Contains(all[0]["help"].(string), "errand worker") {
		t.Fatalf("a task without a worker is the trouble %v", all)
	}
	filter := all[0]["filter"].(map[string]any)
	if got := s.must(t, 200, call{method: "GET", path: fmt.Sprintf("/v1/tasks?agent_id=%v&waiting_reason=%v", filter["agent_id"], filter["waiting_reason"])}); got["total"] != 1.0 {
		t.Errorf("its filter %v finds %v", filter, got["total"])
	}
	if kinds, _ := s.troubles(t, key); kinds != nil {
		t.Errorf("who sees its own tasks is told %q of others", kinds)
	}
	for i := range 5 {
		if i > 0 {
			create(fmt.Sprint("more-", i), "")
		}
		id := map[bool]string{true: "one", false: fmt.Sprint("more-", i)}[i == 0]
		s.finishes(t, id, s.claim(t), `"status": "failed"`)
	}
	create("pinned", `, "worker_id": "nobody"`)
	kinds, all = s.troubles(t, "")
	if !slices.Equal(kinds, []string{"failing", "pinned_worker_absent"}) || all[0]["severity"] != "error" || all[0]["count"] != 5.0 {
		t.Errorf("after five failures and a pin: %v", all)
	}
}
