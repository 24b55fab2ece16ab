package httpapi_test

import (
	"fmt"
	"strings"
	"testing"
)

// rows lists tasks as people look at them, by their ids.
func (s *server) rows(t *testing.T, query, key string) (ids []string, byID map[string]map[string]any) {
	t.Helper()
	byID = map[string]map[string]any{}
	list := s.must(t, 200, call{method: "GET", path: "/v1/tasks?view=row" + query, key: key})
	for _, item := range list["items"].([]any) {
		x := item.(map[string]any)
		ids = append(ids, x["id"].(string))
		byID[x["id"].(string)] = x
	}
	return ids, byID
}

// H5: a row says what a task does, or why not, and is short however long its task is.
func TestH5RowsSayWhatATaskDoes(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.agent(t, "idle")
	s.must(t, 201, call{method: "POST", path: "/v1/tasks", body: `{"agent_id": "agent-1", "id": "running", "title": "T", "tags": ["nightly"], "input": {"text": "` + strings.Repeat("p", 1<<20) + `"}}`})
	token := s.claim(t)
	s.must(t, 201, call{method: "POST", path: "/v1/tasks", body: `{"agent_id": "agent-1", "id": "child", "parent_execution": "running", "input": {"text": "below"}}`})
	s.must(t, 201, call{method: "POST", path: "/v1/tasks", body: `{"agent_id": "idle", "id": "waits", "input": {}}`})
	s.must(t, 201, call{method: "POST", path: "/v1/tasks", body: `{"agent_id": "idle", "id": "behind", "input": {}}`})
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/behind/pause"})
	s.must(t, 201, call{method: "POST", path: "/v1/agents/agent-1/report", body: `{"id": "ended", "result": "` + strings.Repeat("r", 60<<10) + `"}`})
	s.must(t, 201, call{method: "POST", path: "/v1/agents/agent-1/report", body: `{"id": "wrong", "result": "no such month\nand more"}`})
	s.must(t, 200, call{method: "PATCH", path: "/v1/tasks/wrong", body: `{"status": "failed", "override": true}`})
	for _, words := range []string{"one two", " three", " four"} {
		s.must(t, 200, call{method: "POST", path: "/v1/tasks/running/events", body: fmt.Sprintf(`{"lease_token": %q, "events": [{"type": "chunk", "data": %q}]}`, token, words)})
	}
	list := s.do(t, call{method: "GET", path: "/v1/tasks?view=row&per_page=200"})
	if len(list.body) > 8<<10 {
		t.Errorf("%d bytes for 6 rows", len(list.body))
	}
	_, by := s.rows(t, "", "")
	running, waits, ended := by["running"], by["waits"], by["ended"]
	for what, c := range map[string][2]any{
		"prompt":     {running["prompt"], strings.Repeat("p", 200)},
		"tags":       {fmt.Sprint(running["tags"]), "[nightly]"},
		"last text":  {running["last_text"], "one two three four"},
		"waiting":    {running["waiting"], nil},
		"worker":     {running["worker_id"], "w"},
		"author":     {running["created_by"], "key admin"},
		"children":   {fmt.Sprint(running["children"]), "map[open:1 total:1]"},
		"root":       {by["child"]["root_id"], "running"},
		"why":        {waits["waiting"].(map[string]any)["reason"], "no_worker"},
		"paused":     {by["behind"]["waiting"].(map[string]any)["message"], "paused by key admin"},
		"the result": {ended["result_bytes"], float64(60 << 10)},
		"the end":    {ended["end_reason"], "completed"},
		"no failure": {ended["failure"], ""},
		"a failure":  {by["wrong"]["failure"], "no such month"},
	} {
		if c[0] != c[1] {
			t.Errorf("%s: %v, want %v", what, c[0], c[1])
		}
	}
	for _, id := range []string{"running", "waits", "behind", "child"} { // a row says what the task says
		whole := s.must(t, 200, call{method: "GET", path: "/v1/tasks/" + id})
		for _, field := range []string{"status", "waiting", "turn", "attempt", "started_at", "updated_at", "last_event_seq", "max_attempts"} {
			if fmt.Sprint(whole[field]) != fmt.Sprint(by[id][field]) {
				t.Errorf("%s: %s is %v in its row, and %v", id, field, by[id][field], whole[field])
			}
		}
	}
}

// H5: a status may stand more than once, in a list and where tasks are counted.
func TestH5FiltersOfPeople(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "one")
	s.claim(t)
	s.must(t, 201, call{method: "POST", path: "/v1/tasks", body: `{"agent_id": "agent-1", "id": "child", "parent_execution": "one", "input": {}}`})
	s.must(t, 201, call{method: "POST", path: "/v1/agents/agent-1/report", body: `{"id": "failed"}`})
	s.must(t, 200, call{method: "PATCH", path: "/v1/tasks/failed", body: `{"status": "failed", "override": true}`})
	s.must(t, 201, call{method: "POST", path: "/v1/agents/agent-1/report", body: `{"id": "done"}`})
	for query, want := range map[string]string{
		"&status=executing&status=pending":                   "[child one]",
		"&status=failed&status=completed&status=error":       "[done failed]",
		"&status=failed&status=failed":                       "[failed]",
		"&end_reason=failed":                                 "[failed]",
		"&end_reason=completed":                              "[done]",
		"&worker_id=w":                                       "[one]",
		"&worker_id=w&status=completed&agent_id=agent-1":     "[]",
		"&roots=true&status=executing&status=pending":        "[one]",
		"&roots=true&status=executing&status=pending&page=2": "[]",
		"&status=executing&status=pending&per_page=1&page=2": "[one]",
	} {
		if ids, _ := s.rows(t, query, ""); fmt.Sprint(ids) != want {
			t.Errorf("%s: %v, want %s", query, ids, want)
		}
		if ids, _ := s.rows(t, query, strangerKey); len(ids) > 0 {
			t.Errorf("%s: a stranger sees %v", query, ids)
		}
	}
	s.must(t, 422, call{method: "GET", path: "/v1/tasks?roots=true&roots=true"})
	s.must(t, 422, call{method: "GET", path: "/v1/agents?status=a&status=b"})
	counts := s.must(t, 200, call{method: "GET", path: "/v1/tasks/counts"})["by_status"].(map[string]any)
	if fmt.Sprint(counts) != "map[completed:1 error:0 executing:1 failed:1 paused:0 pending:1 stopped:0]" {
		t.Errorf("counts: %v", counts)
	}
	some := s.must(t, 200, call{method: "GET", path: "/v1/tasks/counts?status=failed&status=pending&agent_id=agent-1"})["by_status"].(map[string]any)
	if fmt.Sprint(some) != "map[failed:1 pending:1]" {
		t.Errorf("some counts: %v", some)
	}
	if theirs := s.must(t, 200, call{method: "GET", path: "/v1/tasks/counts", key: otherUserKey})["by_status"].(map[string]any); theirs["failed"] != 0.0 {
		t.Errorf("a stranger counts %v", theirs)
	}
}
