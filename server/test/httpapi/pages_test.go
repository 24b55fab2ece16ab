package httpapi_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// pageStream opens a page's stream and reads its greeting.
func (s *server) pageStream(t *testing.T, query, key string) *stream {
	t.Helper()
	p := s.follow(t, call{method: "GET", path: "/v1/events?" + query, key: key})
	if m := p.next(t); m.event != "hello" || !strings.Contains(m.data, `"version"`) {
		t.Fatalf("a page begins with %v", m)
	}
	return p
}

// until reads a stream up to a frame that has something in it.
func (s *stream) until(t *testing.T, event string, parts ...string) map[string]any {
	t.Helper()
	for {
		m := s.next(t)
		found := m.event == event
		for _, part := range parts {
			found = found && strings.Contains(m.data, part)
		}
		if found {
			var data map[string]any
			if err := json.Unmarshal([]byte(m.data), &data); err != nil {
				t.Fatal(err)
			}
			return data
		}
	}
}

// H10: a page is told of rows as they change, of those that leave its list, and of counts.
func TestH10APageIsToldOfItsList(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	all, waiting := s.pageStream(t, "rows=true&counts=true", ""), s.pageStream(t, "rows=true&status=pending&agent_id=agent-1", userKey)
	if n := all.until(t, "counts")["by_status"].(map[string]any)["pending"]; n != 0.0 {
		t.Errorf("at first %v wait", n)
	}
	s.task(t, "one")
	item := all.until(t, "row", `"id":"one"`)["item"].(map[string]any)
	if item["status"] != "pending" || item["prompt"] != "do it" || item["waiting"].(map[string]any)["reason"] != "no_worker" {
		t.Errorf("the row: %v", item)
	}
	waiting.until(t, "row", `"item":{"id":"one"`)
	all.until(t, "counts", `"pending":1`)
	token := s.claim(t)
	if gone := waiting.until(t, "row", `"gone"`)["gone"]; gone != "one" {
		t.Errorf("%v does not wait any more", gone)
	}
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/one/events", body: fmt.Sprintf(`{"lease_token": %q, "events": [{"type": "chunk", "data": "words"}]}`, token)})
	all.until(t, "row", `"last_text":"words"`)
	s.must(t, 204, call{method: "DELETE", path: "/v1/tasks/one"})
	all.until(t, "row", `{"gone":"one"}`)
}

// H10: logs have no gap, and say where they end; what is not there is said to be gone.
func TestH10APageFollowsLogs(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "one")
	token := s.claim(t)
	p := s.pageStream(t, "log=one~0&log=nobody~0&log=one~2", "")
	for i := range 20 {
		s.must(t, 200, call{method: "POST", path: "/v1/tasks/one/events", body: fmt.Sprintf(`{"lease_token": %q, "events": [{"type": "chunk", "data": "%d"}]}`, token, i)})
	}
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/one/finish", body: fmt.Sprintf(`{"lease_token": %q, "status": "completed"}`, token)})
	seen, ends, gone := map[float64]int{}, 0, 0
	for ends < 2 || gone < 1 {
		switch m := p.next(t); m.event {
		case "log":
			seen[object(t, []byte(m.data))["id"].(float64)]++
		case "log_end":
			ends++
		case "gone":
			if gone++; !strings.Contains(m.data, "nobody") {
				t.Errorf("gone: %s", m.data)
			}
		}
	}
	log := s.events(t, "one")
	for i := range log {
		want := 2
		if i < 2 {
			want = 1
		}
		if seen[float64(i+1)] != want {
			t.Errorf("event %d came %d times", i+1, seen[float64(i+1)])
		}
	}
	if again := s.pageStream(t, fmt.Sprintf("log=one~%d", len(log)), "").until(t, "log_end"); again["task_id"] != "one" {
		t.Errorf("a log that was read: %v", again)
	}
	if reset := s.pageStream(t, "log=one~1000", "").until(t, "reset"); reset["what"] != "log" {
		t.Errorf("a cursor behind the end: %v", reset)
	}
}

// H10: a page ends when its session does, and when the server closes.
func TestH10APageIsSignedOut(t *testing.T) {
	t.Parallel()
	s := start(t)
	c := s.signIn(t, userKey)
	p := s.follow(t, with(c, call{method: "GET", path: "/v1/events?counts=true"}))
	s.must(t, 204, with(c, call{method: "DELETE", path: "/v1/session"}))
	if bye := p.until(t, "bye"); bye["reason"] != "signed_out" {
		t.Errorf("%v", bye)
	}
	p.rest(t)
	other := s.pageStream(t, "counts=true", "")
	go func() { _ = s.Stop() }()
	if bye := other.until(t, "bye"); bye["reason"] != "shutdown" {
		t.Errorf("%v", bye)
	}
	other.rest(t)
}

// A3: a page is told nothing of what its key does not see.
func TestA3PagesOfOthers(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	_, own := s.key(t, `{"name": "own", "role": "user", "sees": "own"}`)
	s.must(t, 200, call{method: "PUT", path: "/v1/agents/agent-1", key: strangerKey, body: `{"name": "theirs"}`})
	pages := []*stream{
		s.pageStream(t, "rows=true&counts=true&status=pending&log=one~0&tree=one", own),
		s.pageStream(t, "rows=true&counts=true&status=pending&log=one~0&tree=one", strangerKey),
	}
	s.task(t, "one")
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/one/stop"})
	for i, key := range []string{own, strangerKey} {
		s.must(t, 201, call{method: "POST", path: "/v1/tasks", key: key, body: `{"agent_id": "agent-1", "id": "mine", "input": {}}`})
		for over := false; !over; {
			m := pages[i].next(t)
			over = m.event == "row" && strings.Contains(m.data, `"id":"mine"`)
			if m.event != "gone" && strings.Contains(m.data, `one"`) || m.event == "counts" && strings.Contains(m.data, `"stopped":1`) {
				t.Errorf("page %d is told %v", i, m)
			}
		}
	}
}

// H10: what cannot be followed is refused.
func TestH10BadPages(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, query := range []string{"", "?rows=false", "?log=one", "?log=one~x", "?log=one~-1", "?log=~1", "?" + strings.Repeat("log=one~0&", 20) + "log=one~0", "?rows=true&rows=true", "?rows=true&status=done"} {
		s.must(t, 422, call{method: "GET", path: "/v1/events" + query})
	}
}
