package httpapi_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Viewers of some types of events see these alone (rule T7), in pages and streams,
// and their cursors move on over the others.
func TestT7EventsOfSomeTypes(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "one")
	token := s.claim(t)
	say := func(types ...string) {
		t.Helper()
		events := make([]string, 0, len(types))
		for _, kind := range types {
			events = append(events, fmt.Sprintf(`{"type": %q, "data": "x"}`, kind))
		}
		s.must(t, 200, call{method: "POST", path: "/v1/tasks/one/events", body: fmt.Sprintf(`{"lease_token": %q, "events": [%s]}`, token, strings.Join(events, ","))})
	}
	page := func(query, types string, next float64, done bool) {
		t.Helper()
		got := s.must(t, 200, call{method: "GET", path: "/v1/tasks/one/events?" + query})
		var seen []string
		for _, item := range got["items"].([]any) {
			seen = append(seen, item.(map[string]any)["type"].(string))
		}
		if strings.Join(seen, " ") != types || got["next_after"] != next || got["done"] != done {
			t.Errorf("T7: %s: %q, next_after %v, done %v; want %q, %v, %v", query, seen, got["next_after"], got["done"], types, next, done)
		}
	}
	say("chunk", "step", "chunk", "chunk") // 4 to 7, behind task_created, task_updated and attempt_started
	page("types=step", "step", 5, false)
	page("types=step&after=5", "", 7, false)
	page("types=chunk&limit=2", "chunk chunk", 6, false)
	page("types=chunk,step&after=4", "step chunk chunk", 7, false)
	page("types=paused,stop_requested", "", 7, false)

	sse := map[string]string{"Accept": "text/event-stream"}
	live := s.follow(t, call{method: "GET", path: "/v1/tasks/one/events?types=step,think", header: sse})
	if m := live.next(t); m.event != "step" || m.id != "5" {
		t.Errorf("T7: first %+v", m)
	}
	if m := live.next(t); m != (message{id: "7"}) {
		t.Errorf("T7: in silence came %+v, not the cursor alone", m)
	}
	say("chunk", "think")
	seen := func(m message) bool { return m.event == "think" && m.id == "9" }
	for m := live.next(t); !seen(m); m = live.next(t) {
		if m.event != "" || m.data != "" {
			t.Errorf("T7: a viewer of steps and thoughts saw %+v", m)
		}
	}
	say("chunk")
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/one/finish", body: fmt.Sprintf(`{"lease_token": %q, "status": "completed"}`, token)})
	rest := live.rest(t)
	head := s.must(t, 200, call{method: "GET", path: "/v1/tasks/one"})["last_event_seq"]
	if last := rest[len(rest)-1]; last != (message{id: fmt.Sprint(head)}) {
		t.Errorf("T7: the stream ended with %+v: whoever resumes it reads to %v again", last, head)
	}
	page(fmt.Sprintf("types=step&after=%v", head), "", head.(float64), true)
	page("types=task_finished", "task_finished", head.(float64), true)

	for _, query := range []string{"types=", "types=chunk,", "types=nonsense", "types=Chunk", "types=chunk%20step"} {
		for _, header := range []map[string]string{nil, sse} {
			got := s.must(t, 422, call{method: "GET", path: "/v1/tasks/one/events?" + query, header: header})
			if field, _ := got["field"].(string); !strings.HasPrefix(field, "types") {
				t.Errorf("%s: the field is %v: %v", query, got["field"], got["detail"])
			}
		}
	}
}

// An agent's invocation can be followed by some types of its events.
func TestT7InvokeStreamOfSomeTypes(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	live := s.follow(t, call{method: "POST", path: "/v1/agents/agent-1/invoke/stream?types=task_finished", body: `{"input": {"text": "x"}}`})
	token := s.claim(t)
	id := s.must(t, 200, call{method: "GET", path: "/v1/tasks"})["items"].([]any)[0].(map[string]any)["id"]
	s.must(t, 200, call{method: "POST", path: fmt.Sprintf("/v1/tasks/%s/finish", id), body: fmt.Sprintf(`{"lease_token": %q, "status": "completed"}`, token)})
	shown := slices.DeleteFunc(live.rest(t), func(m message) bool { return m.event == "" })
	if len(shown) != 1 || shown[0].event != "task_finished" {
		t.Errorf("T7: shown was %+v", shown)
	}
}
