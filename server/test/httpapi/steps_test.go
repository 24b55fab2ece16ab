package httpapi_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// commit commits a step of task one.
func (s *server) commit(t *testing.T, status int, token, step, body string) map[string]any {
	t.Helper()
	return s.must(t, status, call{
		method: "POST", path: "/v1/tasks/one/steps", key: workerKey,
		body: fmt.Sprintf(`{"lease_token": %q, "id": %q, "kind": "k", "body": %s}`, token, step, body),
	})
}

// steps are the steps of a turn of task one, read in parts, by their ids and bodies.
func (s *server) steps(t *testing.T, query string) []string {
	t.Helper()
	all := []string{}
	for i, x := range s.parts(t, "/v1/tasks/one/steps?"+query, "") {
		x := x.(map[string]any)
		if x["n"] != float64(i+1) {
			t.Errorf("step %d has the number %v", i+1, x["n"])
		}
		all = append(all, fmt.Sprintf("%v %v", x["id"], x["body"]))
	}
	return all
}

// A step is committed once, is an event for whoever watches, and is found by the next
// attempt; the next turn begins with none.
func TestT8Steps(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "one")
	token := s.claim(t)
	if got := s.steps(t, ""); len(got) > 0 {
		t.Errorf("T8: before any %q", got)
	}
	first := s.commit(t, 201, token, "charge", `{"paid": 5}`)
	if first["replayed"] != false || first["kind"] != "k" || first["turn"] != 1.0 || first["attempt"] != 1.0 {
		t.Errorf("T8: committed %v", first)
	}
	again := s.commit(t, 200, token, "charge", `"another"`)
	if again["replayed"] != true || fmt.Sprint(again["body"]) != fmt.Sprint(first["body"]) || again["event_id"] != first["event_id"] {
		t.Errorf("T8: again %v", again)
	}
	events := s.events(t, "one")
	last := events[len(events)-1]
	data, _ := last["data"].(map[string]any)
	if last["type"] != "step" || last["id"] != first["event_id"] || data["id"] != "charge" || data["n"] != 1.0 {
		t.Errorf("T8: the last event is %v", last)
	}
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/one/events", key: workerKey, body: fmt.Sprintf(
		`{"lease_token": %q, "events": [{"type": "step", "data": {"id": "a note"}}]}`, token,
	)})
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/one/release", key: workerKey, body: fmt.Sprintf(`{"lease_token": %q}`, token)})
	s.commit(t, 409, token, "late", "1")

	token = s.claim(t)
	if again := s.commit(t, 200, token, "charge", "0"); fmt.Sprint(again["body"]) != fmt.Sprint(first["body"]) {
		t.Errorf("T8: the second attempt is answered %v", again)
	}
	large := `"` + strings.Repeat("x", 256<<10-2) + `"`
	want := []string{"charge map[paid:5]"}
	for i := range 6 {
		id := fmt.Sprintf("step %d", i)
		s.commit(t, 201, token, id, large)
		want = append(want, id+" "+large[1:len(large)-1])
	}
	for _, query := range []string{"", "limit=1", "limit=3", "turn=1"} {
		if got := s.steps(t, query); !slices.Equal(got, want) {
			t.Errorf("T8: ?%s: %d steps, want %d", query, len(got), len(want))
		}
	}
	s.finish(t, "one", token, `"status": "completed"`)
	s.must(t, 201, call{method: "POST", path: "/v1/tasks", body: `{"agent_id": "agent-1", "id": "one", "input": {"text": "more"}}`})
	if got := s.steps(t, ""); len(got) > 0 {
		t.Errorf("T8: the next turn begins with %d steps", len(got))
	}
	s.commit(t, 201, s.claim(t), "charge", `"anew"`)
	if got := s.steps(t, "turn=2"); !slices.Equal(got, []string{"charge anew"}) {
		t.Errorf("T8: of the second turn %q", got)
	}
	if got := s.steps(t, "turn=1&limit=2"); !slices.Equal(got, want) {
		t.Errorf("T8: of the first turn %d steps, want %d", len(got), len(want))
	}
	s.must(t, 204, call{method: "DELETE", path: "/v1/tasks/one"})
	s.must(t, 404, call{method: "GET", path: "/v1/tasks/one/steps"})
}

// What is refused names the field, and writes nothing.
func TestT8BadSteps(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "one")
	token := s.claim(t)
	before := s.stored(t)
	for _, c := range []struct {
		name, body string
		status     int
		field      string
	}{
		{"no token", `{"id": "s", "body": 1}`, 422, "lease_token"},
		{"empty token", `{"lease_token": "", "id": "s", "body": 1}`, 422, "lease_token"},
		{"no id", `{"lease_token": "T", "body": 1}`, 422, "id"},
		{"empty id", `{"lease_token": "T", "id": "", "body": 1}`, 422, "id"},
		{"long id", `{"lease_token": "T", "id": "` + strings.Repeat("x", 129) + `", "body": 1}`, 422, "id"},
		{"id of too many bytes", `{"lease_token": "T", "id": "` + strings.Repeat("ß", 65) + `", "body": 1}`, 422, "id"},
		{"tab in the id", `{"lease_token": "T", "id": "a\t", "body": 1}`, 422, "id"},
		{"number for an id", `{"lease_token": "T", "id": 1, "body": 1}`, 422, "id"},
		{"long kind", `{"lease_token": "T", "id": "s", "kind": "` + strings.Repeat("x", 65) + `", "body": 1}`, 422, "kind"},
		{"no body", `{"lease_token": "T", "id": "s"}`, 422, "body"},
		{"large body", `{"lease_token": "T", "id": "s", "body": "` + strings.Repeat("x", 256<<10) + `"}`, 413, "body"},
		{"another's token", `{"lease_token": "other", "id": "s", "body": 1}`, 409, ""},
	} {
		got := s.must(t, c.status, call{method: "POST", path: "/v1/tasks/one/steps", key: workerKey, body: strings.Replace(c.body, `"T"`, `"`+token+`"`, 1)})
		if field, _ := got["field"].(string); field != c.field {
			t.Errorf("T8: %s: the field is %q, want %q: %v", c.name, field, c.field, got)
		}
	}
	for query, field := range map[string]string{"turn=0": "turn", "turn=x": "turn", "limit=1001": "limit", "cursor=x": "cursor"} {
		status := map[bool]int{true: 400, false: 422}[field == "cursor"]
		if got := s.must(t, status, call{method: "GET", path: "/v1/tasks/one/steps?" + query}); got["field"] != field {
			t.Errorf("T8: ?%s: %v", query, got)
		}
	}
	s.must(t, 404, call{method: "POST", path: "/v1/tasks/nobody/steps", body: `{"lease_token": "T", "id": "s", "body": 1}`})
	if after := s.stored(t); after != before {
		t.Errorf("T8: something was stored:\n%s\nbefore\n%s", after, before)
	}
}
