package httpapi_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// ended asks for a stream and reads its status, and that a viewer who is told to rest
// is told nothing else.
func (s *server) ended(t *testing.T, path, cursor string) int {
	t.Helper()
	c := call{method: "GET", path: path, key: userKey, header: map[string]string{"Accept": "text/event-stream"}}
	if cursor != "" {
		c.header["Last-Event-ID"] = cursor
	}
	got := s.do(t, c)
	if got.status == http.StatusNoContent && len(got.body) > 0 {
		t.Errorf("204 with %s", clip(got.body))
	}
	return got.status
}

// T7: an EventSource comes again whenever its stream ends, until it is answered 204:
// when nothing can come behind its cursor any more, and not before.
func TestT7AnEventSourceRests(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	const path = "/v1/tasks/one/events"
	s.task(t, "one")
	token := s.claim(t)
	s.finish(t, "one", token, `"status": "completed", "result": "r"`) // events 1 to 4
	for _, x := range []struct {
		path, cursor string
		want         int
	}{
		{path, "", 200},
		{path, "3", 200},
		{path, "4", 204},
		{path + "?after=4", "", 204},
		{path + "?after=0", "4", 204}, // the URL of an EventSource stays, its cursor does not
		{path + "?turns=all", "", 200},
		{path, "5", 400},
	} {
		if got := s.ended(t, x.path, x.cursor); got != x.want {
			t.Errorf("%s from %q: answered %d, want %d", x.path, x.cursor, got, x.want)
		}
	}
	// A stop that nobody has answered yet may still be told of.
	s.task(t, "two")
	token = s.claim(t)
	head := func() string {
		t.Helper()
		page := s.must(t, 200, call{method: "GET", path: "/v1/tasks/two/events?turns=all"})
		items := page["items"].([]any)
		return fmt.Sprint(items[len(items)-1].(map[string]any)["id"])
	}
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/two/stop"})
	live := s.follow(t, call{method: "GET", path: "/v1/tasks/two/events", header: map[string]string{"Accept": "text/event-stream", "Last-Event-ID": head()}})
	s.finish(t, "two", token, `"status": "stopped"`)
	if rest := live.rest(t); len(rest) != 1 || rest[0].event != "stop_confirmed" {
		t.Errorf("behind the stop came %v", rest)
	}
	if got := s.ended(t, "/v1/tasks/two/events", head()); got != 204 {
		t.Errorf("behind the confirmed stop: %d", got)
	}
	// Another turn wakes it again.
	s.task(t, "one")
	live = s.follow(t, call{method: "GET", path: path, header: map[string]string{"Accept": "text/event-stream", "Last-Event-ID": "4"}})
	if m := live.next(t); m.event != "task_created" || m.id != "5" {
		t.Errorf("the next turn begins with %+v", m)
	}
}

// H4: invoke answers the turn that it has begun, whoever has begun another meanwhile;
// so does a repeat with its key.
func TestH4InvokeAnswersItsOwnTurn(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	invoke := func(path, key, prompt string) call {
		return call{
			method: "POST", path: invokePath + path, body: `{"id": "one", "input": {"text": "` + prompt + `"}}`, header: map[string]string{"Idempotency-Key": key},
		}
	}
	s.must(t, 202, invoke("?wait=0", "k1", "first"))
	stream := s.follow(t, call{method: "GET", path: "/v1/tasks/one/events", header: map[string]string{"Accept": "text/event-stream"}})
	s.work(t, "one")
	stream.rest(t)
	s.must(t, 202, invoke("?wait=0", "k2", "second"))
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/one/stop"})
	opened := s.follow(t, invoke("/stream", "k3", "third"))
	opened.next(t)
	for key, want := range map[string][3]any{"k1": {"first", "completed", "one"}, "k2": {"second", "stopped", nil}} {
		got := s.must(t, 200, invoke("?wait=60", key, want[0].(string)))
		if seen := [3]any{got["input"].(map[string]any)["text"], got["status"], got["result"]}; seen != want {
			t.Errorf("%s answered %v, want %v", key, seen, want)
		}
		if stop, _ := got["stop"].(map[string]any); (key == "k2") != (stop["confirmed_at"] != nil) {
			t.Errorf("%s: stop %v", key, stop)
		}
		if got["finished_at"] == nil || got["organization_id"] != organization || got["updated_at"] == nil {
			t.Errorf("%s: %v", key, got)
		}
	}
	// The third turn is open, and its stream goes on: that of a turn before it has ended.
	s.work(t, "three")
	s.must(t, 202, invoke("?wait=0", "k4", "fourth"))
	again := s.follow(t, invoke("/stream", "k3", "third")).rest(t)
	if first, last := again[0], again[len(again)-1]; first.event != "task_created" || !strings.Contains(first.data, "third") || last.event != "task_finished" {
		t.Errorf("the stream of the third turn goes from %+v to %+v", first, last)
	}
	opened.rest(t)
}

// H5: a parameter that stands twice is refused, by every route alike: one reader would
// take the first, another the last.
func TestH5WhatStandsTwice(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "one")
	var table []refusal
	for _, route := range s.everyRoute(t) {
		method, path, _ := strings.Cut(route, " ")
		path = placeholder.ReplaceAllString(path, "one")
		for _, query := range []string{"limit=1&limit=2", "agent_id=a&agent_id=a", "page=1&%70age=2"} {
			field, _, _ := strings.Cut(query, "=")
			table = append(table, refusal{route + "?" + query, call{method: method, path: path + "?" + query}, 422, "invalid", field})
		}
	}
	refuse(t, s, table)
	twice := func(method, path string, header http.Header) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, s.url+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header = header
		res, err := s.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close() //nolint:errcheck // only the header counts
		return res.StatusCode, res.Header.Get("Content-Type")
	}
	for _, name := range []string{"Idempotency-Key", "X-Api-Key", "Last-Event-Id"} {
		header := http.Header{"X-Api-Key": {adminKey}}
		header[name] = []string{adminKey, "b"}
		if status, _ := twice("GET", "/v1/tasks", header); status != 422 {
			t.Errorf("%s twice: answered %d", name, status)
		}
	}
	// Of a list that stands twice all counts.
	_, kind := twice("GET", "/v1/tasks/one/events", http.Header{"X-Api-Key": {adminKey}, "Accept": {"application/json", "text/event-stream"}})
	if kind != "text/event-stream" {
		t.Errorf("an Accept of two lines was answered with %s", kind)
	}
}

// placeholder is a part of a route's pattern that a path replaces.
var placeholder = regexp.MustCompile(`\{[^}]*\}`)

// everyRoute lists the routes of both faces and those beside them, as method and
// pattern.
func (s *server) everyRoute(t *testing.T) []string {
	t.Helper()
	all := []string{"GET /healthz", "GET /readyz", "GET /metrics", "GET /f/{id}/{signature}/{name}", "GET /debug/pprof/profile", "GET /debug/pprof/{name}"}
	for route := range wireRoutes() {
		if !strings.Contains(route, " ") {
			route = "GET " + route
		}
		all = append(all, route)
	}
	for path, methods := range s.must(t, 200, call{method: "GET", path: "/v1/openapi.json"})["paths"].(map[string]any) {
		for method := range methods.(map[string]any) {
			all = append(all, strings.ToUpper(method)+" "+path)
		}
	}
	return all
}
