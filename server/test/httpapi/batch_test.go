package httpapi_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/errand-dev/errand/server/internal/app"
)

// batch creates tasks together and returns their results.
func (s *server) batch(t *testing.T, body string) []map[string]any {
	t.Helper()
	answer := s.must(t, 200, call{method: "POST", path: "/v1/tasks/batch", key: userKey, body: body})
	list, _ := answer["results"].([]any)
	results := make([]map[string]any, len(list))
	for i := range list {
		results[i], _ = list[i].(map[string]any)
	}
	return results
}

// TestH8ManyTasksAtOnce: a thousand begin in their order, and each is as it would
// be alone.
func TestH8ManyTasksAtOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	for _, all := range []bool{false, true} {
		tasks := make([]string, 1000)
		for i := range tasks {
			tasks[i] = fmt.Sprintf(`{"agent_id": "agent-1", "input": {"text": "%d"}, "tags": ["%t"]}`, i, all)
		}
		results := s.batch(t, fmt.Sprintf(`{"all": %t, "tasks": [%s]}`, all, strings.Join(tasks, ",")))
		if len(results) != len(tasks) {
			t.Fatalf("%d results of %d tasks", len(results), len(tasks))
		}
		var given []string
		for len(given) < len(tasks) {
			got := s.must(t, 200, call{method: "POST", path: "/v1/claim", key: workerKey, body: `{"agent_ids": ["agent-1"], "worker_id": "w", "slots": 64}`})
			claims, _ := got["claims"].([]any)
			if len(claims) == 0 {
				t.Fatalf("%d of %d tasks are handed out", len(given), len(tasks))
			}
			for _, c := range claims {
				x := c.(map[string]any)["task"].(map[string]any)
				if text := x["input"].(map[string]any)["text"]; text != strconv.Itoa(len(given)) {
					t.Fatalf("all %t: task %v is handed out as number %d", all, text, len(given))
				}
				given = append(given, x["id"].(string))
			}
		}
		for i, r := range results {
			if diff := cmp.Diff(map[string]any{"id": given[i], "created": true}, r); diff != "" {
				t.Fatalf("result %d (-want +got):\n%s", i, diff)
			}
		}
	}
}

// TestH8ManyTasksOneRefused: the others are created, or, where all is asked for,
// none is.
func TestH8ManyTasksOneRefused(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "open")
	const good = `{"agent_id": "agent-1", "input": {"text": "x"}}`
	child := func(id string) string {
		return fmt.Sprintf(`{"agent_id": "agent-1", "id": %q, "input": {}, "parent_execution": "open"}`, id)
	}
	for _, c := range []struct{ name, task, code, field string }{
		{"no agent", `{"agent_id": "nobody", "input": {}}`, "not_found", ""},
		{"not ended", child("open-child"), "conflict", ""},
		{"bad id", `{"agent_id": "agent-1", "id": "a b", "input": {}}`, "invalid", "id"},
		{"large prompt", `{"agent_id": "agent-1", "input": {"text": "` + strings.Repeat("x", 1<<20+1) + `"}}`, "too_large", "input.text"},
		{"no parent", `{"agent_id": "agent-1", "input": {}, "parent_execution": "nobody"}`, "invalid", "parent_execution"},
	} {
		s.batch(t, `{"tasks": [`+child(strings.ReplaceAll(c.name, " ", "-")+"-child")+`]}`)
		before := s.stored(t)
		if c.name == "not ended" {
			s.batch(t, `{"tasks": [`+c.task+`]}`)
			before = s.stored(t)
		}
		tasks := `"tasks": [` + good + "," + c.task + "," + good + `]}`
		refused := s.do(t, call{method: "POST", path: "/v1/tasks/batch", key: userKey, body: `{"all": true, ` + tasks})
		body := object(t, refused.body)
		if want := strings.TrimSuffix("tasks[1]."+c.field, "."); refused.status < 400 || body["code"] != c.code || body["field"] != want {
			t.Errorf("%s: all: %d %s", c.name, refused.status, clip(refused.body))
		}
		if after := s.stored(t); after != before {
			t.Errorf("%s: all: stored\n%s\nbefore\n%s", c.name, after, before)
		}
		results := s.batch(t, `{`+tasks)
		for _, i := range []int{0, 2} {
			if results[i]["created"] != true || results[i]["error"] != nil {
				t.Errorf("%s: task %d: %v", c.name, i, results[i])
			}
		}
		why, _ := results[1]["error"].(map[string]any)
		if field, _ := why["field"].(string); results[1]["id"] != nil || results[1]["created"] != false || why["code"] != c.code || field != c.field || why["detail"] == "" {
			t.Errorf("%s: %v", c.name, results[1])
		}
	}
	counted := s.must(t, 200, call{method: "GET", path: "/v1/tasks/open"})
	ids, _ := counted["sub_executions"].([]any)
	listed := s.must(t, 200, call{method: "GET", path: "/v1/tasks?parent_task_id=open"})
	if len(ids) != 6 || listed["total"] != 6.0 {
		t.Errorf("the parent counts %d sub-tasks, and there are %v", len(ids), listed["total"])
	}
}

// TestH3ManyTasksRepeated: a task's idempotency key is the same among many as alone.
func TestH3ManyTasksRepeated(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	const one = `"agent_id": "agent-1", "input": {"text": "x"}`
	alone := s.must(t, 201, call{method: "POST", path: "/v1/tasks", key: userKey, body: `{` + one + `}`, header: map[string]string{"Idempotency-Key": "a"}})
	body := `{"tasks": [{` + one + `, "idempotency_key": "a"}, {` + one + `, "idempotency_key": "b"}, {` + one + `, "idempotency_key": "b"}]}`
	first := s.batch(t, body)
	if first[0]["id"] != alone["id"] || first[0]["created"] != false || first[1]["created"] != true || first[2]["created"] != false || first[1]["id"] != first[2]["id"] {
		t.Fatalf("at first: %v", first)
	}
	again := s.batch(t, body)
	for i := range again {
		if again[i]["id"] != first[i]["id"] || again[i]["created"] != false {
			t.Errorf("a repeat: %v, at first %v", again[i], first[i])
		}
	}
	other := s.batch(t, strings.Replace(body, `"x"`, `"y"`, 1))
	if why, _ := other[0]["error"].(map[string]any); why["code"] != "conflict" {
		t.Errorf("another body with the same key: %v", other[0])
	}
}

// TestH7ManyTasksFillAQueue: those that find no room are told so.
func TestH7ManyTasksFillAQueue(t *testing.T) {
	t.Parallel()
	s := start(t, func(o *app.Options) { o.MaxQueued = 3 })
	s.agent(t, "agent-1")
	body := `"tasks": [` + strings.Join(slices.Repeat([]string{`{"agent_id": "agent-1", "input": {}}`}, 5), ",") + `]}`
	created := 0
	for _, r := range s.batch(t, `{`+body) {
		if why, _ := r["error"].(map[string]any); r["created"] == true {
			created++
		} else if why["code"] != "rate_limited" {
			t.Errorf("refused by %v", why)
		}
	}
	if created != 3 {
		t.Errorf("%d tasks are in a queue of 3", created)
	}
	s.must(t, 429, call{method: "POST", path: "/v1/tasks/batch", key: userKey, body: `{"all": true, ` + body})
}
