package httpapi_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// ill is what a worker may say besides, and must not pay for with its lease or
// with its end: members of a body, which of them the task then tells of as not
// whole, and what the task shows in their place.
type ill struct {
	name, members string
	adjusted      []string
	shows         map[string]any
}

// door is a route that takes a lease token: the body that it takes besides, and
// what ill bodies it may be sent.
type door struct {
	body string // members, behind the token
	ills []ill
	wrap string // the body around it and the task's id, if the path does not name the task
}

func illStatuses() []ill {
	long, note := strings.Repeat("ß", 300), []string{"internal_status"}
	return []ill{
		{"long status", `"internal_status": "` + long + `"`, note, map[string]any{"internal_status": long[:2*255]}},
		{"NUL in the status", `"internal_status": "a\u0000b"`, note, map[string]any{"internal_status": "a\uFFFDb"}},
		{"broken UTF-8 in the status", "\"internal_status\": \"a\xffb\"", note, map[string]any{"internal_status": "a\uFFFDb"}},
		{"both", "\"internal_status\": \"" + strings.Repeat("\\u0000\xff", 200) + "\"", note, map[string]any{"internal_status": strings.Repeat("\uFFFD", 255)}},
		{"number for a status", `"internal_status": 7`, note, map[string]any{"internal_status": nil}},
		{"status twice", `"internal_status": "first", "internal_status": "last"`, nil, map[string]any{"internal_status": "last"}},
		{"null", `"internal_status": null`, nil, map[string]any{"internal_status": nil}},
	}
}

// leaseDoors are all routes of /v1 whose body has a lease token.
func leaseDoors() map[string]door {
	many := `["` + strings.Repeat(`t", "`, 1001) + `t"]`
	thousand := slices.Repeat([]any{"t"}, 1000)
	ends := append(
		illStatuses(),
		ill{"NUL in the result", `"result": "a\u0000b"`, []string{"result"}, map[string]any{"result": "a\uFFFDb"}},
		ill{"17 MiB of a result", `"result": "` + strings.Repeat("x", 17<<20) + `"`, []string{"result"}, map[string]any{"result": strings.Repeat("x", 16<<20)}},
		ill{"1002 tools", `"used_tools": ` + many, []string{"used_tools"}, map[string]any{"used_tools": thousand}},
		ill{"NUL in tools", `"used_tools": ["\u0000"]`, []string{"used_tools"}, map[string]any{"used_tools": []any{"\uFFFD"}}},
		ill{"text for tools", `"used_tools": "t"`, []string{"used_tools"}, map[string]any{"used_tools": []any{}}},
		ill{"list for tokens", `"tokens": [1]`, []string{"tokens"}, map[string]any{"tokens": nil}},
		ill{"half a token", `"tokens": {"prompt_tokens": 0.5}`, []string{"tokens"}, map[string]any{"tokens": nil}},
		ill{"tokens without end", `"tokens": {"prompt_tokens": 1e99}`, []string{"tokens"}, map[string]any{"tokens": nil}},
		ill{"tokens twice", `"tokens": {"prompt_tokens": 1, "prompt_tokens": 2}`, nil, nil},
		ill{"text for a duration", `"duration": "long"`, []string{"duration"}, map[string]any{"duration": 0.0}},
		ill{"text for repair", `"repair": "yes"`, []string{"repair"}, map[string]any{"status": "completed"}},
		ill{"text for retry", `"retry": "yes"`, []string{"retry"}, map[string]any{"status": "completed"}},
		ill{"retry of a success", `"retry": true`, nil, map[string]any{"status": "completed"}},
		ill{"negative delay", `"delay": -1`, []string{"delay"}, map[string]any{"status": "completed"}},
		ill{
			"all at once", `"result": "\u0000", "used_tools": 1, "tokens": 1, "duration": [], "internal_status": {}`,
			[]string{"duration", "internal_status", "result", "tokens", "used_tools"},
			map[string]any{"result": "\uFFFD"},
		},
	)
	spent := []ill{
		{"what was used", `"tokens": {"prompt_tokens": 7}, "used_tools": ["t"], "duration": 2`, nil, map[string]any{"used_tools": []any{"t"}, "duration": 2.0}},
		{"list for tokens", `"tokens": [1]`, []string{"tokens"}, map[string]any{"tokens": nil}},
		{"text for a duration", `"duration": "long", "used_tools": {"t": 1}`, []string{"duration", "used_tools"}, map[string]any{"duration": 0.0}},
	}
	stepped := make([]ill, 0, len(spent)+3)
	for _, x := range spent {
		stepped = append(stepped, ill{x.name, `"body": 1, ` + x.members, x.adjusted, x.shows})
	}
	return map[string]door{
		"POST /v1/tasks/{task_id}/heartbeat": {"", append(illStatuses(), spent...), ""},
		"POST /v1/tasks/{task_id}/finish":    {`"status": "completed"`, ends, ""},
		"POST /v1/claim": {
			`"status": "completed"`, ends,
			`{"agent_ids": ["agent-1"], "worker_id": "w", "finished": [{"task_id": %q, %s}]}`,
		},
		"POST /v1/tasks/{task_id}/release": {"", append(spent, []ill{
			{"endless delay", `"delay": 1e300`, nil, map[string]any{"status": "pending"}},
			{"text for a delay", `"delay": "soon"`, nil, map[string]any{"status": "pending"}},
			{"NUL in the reason", `"reason": "\u0000"`, nil, map[string]any{"status": "pending"}},
			{"number for a reason", `"reason": 7`, nil, map[string]any{"status": "pending"}},
		}...), ""},
		"POST /v1/tasks/{task_id}/steps": {`"id": "s"`, append(stepped, []ill{
			{"NUL in a step", `"body": "hono\u0000r"`, nil, nil},
			{"broken UTF-8 in a step", "\"body\": {\"a\": \"hono\xffr\"}", nil, nil},
			{"a member twice", `"body": {"a": 1, "a": 12345678901234567890}`, nil, nil},
		}...), ""},
		"POST /v1/tasks/{task_id}/approvals": {`"key": "k", "message": "m"`, append(spent, []ill{
			{"NUL in a question", `"title": "hono\u0000r"`, nil, nil},
			{"broken UTF-8 in a question", "\"payload\": {\"a\": \"hono\xffr\"}", nil, nil},
		}...), ""},
		"POST /v1/tasks/{task_id}/wait": {`"until": "2000-01-01T00:00:00Z"`, spent, ""},
		"POST /v1/tasks/{task_id}/events": {"", []ill{
			{"NUL in a chunk", `"events": [{"type": "chunk", "data": "hono\u0000r"}]`, nil, nil},
			{"broken UTF-8 in a chunk", "\"events\": [{\"type\": \"chunk\", \"data\": \"hono\xffr\"}]", nil, nil},
			{"what is no NUL", `"events": [{"type": "chunk", "data": "hono\\u0000r"}]`, nil, nil},
			{"NUL in a name", `"events": [{"type": "tool_call_request", "data": {"a\u0000": 12345678901234567890}}]`, nil, nil},
			{"a member twice", `"events": [{"type": "tool_call_request", "data": {"a": 1, "a": 12345678901234567890}}]`, nil, nil},
		}, ""},
	}
}

// TestS5EveryDoorOfALease walks the routes that take a lease token: none refuses
// what a worker says besides, and the task tells what it could not keep whole. A
// route that has a token in its body and is not in the table fails.
func TestS5EveryDoorOfALease(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	doors := leaseDoors()
	for _, route := range takingLeases(t, s) {
		if _, known := doors[route]; !known {
			t.Errorf("%s takes a lease token, and this table does not say what it may be sent", route)
		}
	}
	for route, d := range doors {
		_, path, _ := strings.Cut(route, " ")
		for i, c := range append([]ill{{name: "nothing besides"}}, d.ills...) {
			if c.name == "nothing besides" && (strings.HasSuffix(path, "/events") || strings.HasSuffix(path, "/steps")) {
				continue
			}
			name := path[strings.LastIndexByte(path, '/')+1:]
			id := fmt.Sprintf("%s-%d", name, i)
			s.task(t, id)
			members := []string{fmt.Sprintf(`"lease_token": %q`, s.claim(t))}
			for _, m := range []string{d.body, c.members} {
				if m != "" {
					members = append(members, m)
				}
			}
			body := "{" + strings.Join(members, ", ") + "}"
			if d.wrap != "" {
				body = fmt.Sprintf(d.wrap, id, strings.Join(members, ", "))
			}
			got := s.do(t, call{method: http.MethodPost, path: strings.Replace(path, "{task_id}", id, 1), key: workerKey, body: body})
			if got.status >= 300 || strings.Contains(string(got.body), `"error"`) {
				t.Errorf("%s, %s: answered %d: %s", route, c.name, got.status, clip(got.body))
			}
			now := s.must(t, 200, call{method: "GET", path: "/v1/tasks/" + id})
			if names := adjusted(now); !slices.Equal(names, c.adjusted) {
				t.Errorf("%s, %s: adjusted %q, want %q", route, c.name, names, c.adjusted)
			}
			for field, want := range c.shows {
				if have := fmt.Sprint(now[field]); have != fmt.Sprint(want) {
					t.Errorf("%s, %s: %s is %.80s, want %.80v", route, c.name, field, have, want)
				}
			}
			s.must(t, 204, call{method: "DELETE", path: "/v1/tasks/" + id})
		}
	}
}

// TestS5IllEventsOfALeaseAreMended, number for number, and those without one are
// refused as ever.
func TestS5IllEventsOfALeaseAreMended(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "one")
	token := s.claim(t)
	for _, c := range []struct{ data, want string }{
		{`"a\u0000b\\u0000c"`, `"a\ufffdb\\u0000c"`},
		{"\"a\xff\xfeb\"", "\"a\uFFFDb\""},
		{`{"k\u0000": 12345678901234567890}`, `{"k\ufffd": 12345678901234567890}`},
		{`{"a": 1, "a": 12345678901234567890}`, `{"a":12345678901234567890}`},
	} {
		body := `"events": [{"type": "think", "data": ` + c.data + `}]`
		s.must(t, 422, call{method: "POST", path: "/v1/tasks/one/events", body: `{` + body + `}`})
		s.must(t, 200, call{method: "POST", path: "/v1/tasks/one/events", body: fmt.Sprintf(`{"lease_token": %q, %s}`, token, body)})
		page := s.do(t, call{method: "GET", path: "/v1/tasks/one/events?limit=1000"})
		if !strings.Contains(string(page.body), `"data":`+compact(t, c.want)) {
			t.Errorf("%s is not stored as %s: %s", c.data, c.want, page.body)
		}
	}
}

// TestS5AdjustedIsOfThePresentTurn and of what the fields hold now.
func TestS5AdjustedIsOfThePresentTurn(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "one")
	token := s.claim(t)
	look := func(want string) {
		t.Helper()
		if got := strings.Join(adjusted(s.must(t, 200, call{method: "GET", path: "/v1/tasks/one"})), " "); got != want {
			t.Errorf("adjusted %q, want %q", got, want)
		}
	}
	tell := func(verb, members string) {
		t.Helper()
		s.must(t, 200, call{method: "POST", path: "/v1/tasks/one/" + verb, body: fmt.Sprintf(`{"lease_token": %q, %s}`, token, members)})
	}
	look("")
	tell("heartbeat", `"internal_status": "`+strings.Repeat("x", 256)+`"`)
	look("internal_status")
	tell("heartbeat", `"internal_status": "short"`)
	look("")
	tell("heartbeat", `"internal_status": 5`)
	tell("finish", `"status": "completed", "result": "a\u0000"`)
	look("internal_status result")
	if names := adjusted(s.finished(t, "one")); strings.Join(names, " ") != "internal_status result" {
		t.Errorf("task_finished tells of %q", names)
	}
	s.must(t, 200, call{method: "PATCH", path: "/v1/tasks/one", body: `{"status": "completed", "result": "right", "override": true}`})
	look("internal_status")
	s.must(t, 201, call{method: "POST", path: "/v1/tasks", body: `{"agent_id": "agent-1", "id": "one", "input": {"text": "more"}}`})
	look("")
}

// TestS5APythonWorkerIsNotRefusedForWhatItSaysBesides: neither its start nor its
// pushes nor its signs of life.
func TestS5APythonWorkerIsNotRefusedForWhatItSaysBesides(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	worker := s.follow(t, call{method: "GET", path: "/default/events/agent-1", key: workerKey})
	worker.next(t)
	s.python(t, "one")
	worker.next(t)
	long := strings.Repeat("x", 256)
	got := s.patch(t, "one", `{"id": "x", "status": "executing", "execution_attempts": 1, "title": "a\u0000", "internal_status": "`+long+`", "tokens": 5}`)
	if got["status"] != "executing" || got["title"] != "a\uFFFD" || got["internal_status"] != long[:255] {
		t.Errorf("started as %v, %v, %v", got["status"], got["title"], got["internal_status"])
	}
	if names := adjusted(got); strings.Join(names, " ") != "internal_status title tokens" {
		t.Errorf("adjusted %q", names)
	}
	s.must(t, 200, call{method: "POST", path: "/agent-execution/one/events/push", key: workerKey, body: `[{"type": "think", "data": {"a": "\u0000"}}]`})
	s.must(t, 200, call{method: "POST", path: "/default/events/w?agent_id=agent-1", key: workerKey, body: `{"id": "1", "event": "worker-heartbeat", "data": {"a": "\u0000"}}`})

	// Somebody who holds nothing is told.
	s.agent(t, "agent-2")
	s.must(t, 201, call{method: "POST", path: "/v1/tasks", body: `{"agent_id": "agent-2", "id": "two", "input": {"text": "x"}}`})
	s.must(t, 422, call{method: "PATCH", path: "/agent-execution/two/update", body: `{"id": "x", "title": "a\u0000"}`})
}

// takingLeases are the routes whose body has a lease_token, by the document.
func takingLeases(t *testing.T, s *server) []string {
	t.Helper()
	document := s.must(t, 200, call{method: "GET", path: "/v1/openapi.json"})
	schemas := document["components"].(map[string]any)["schemas"].(map[string]any)
	var routes []string
	for path, item := range document["paths"].(map[string]any) {
		for method, op := range item.(map[string]any) {
			body, _ := op.(map[string]any)["requestBody"].(map[string]any)
			if body != nil && takesLease(body, schemas, 0) {
				routes = append(routes, strings.ToUpper(method)+" "+path)
			}
		}
	}
	if len(routes) < 4 {
		t.Fatalf("only %d routes take a lease token", len(routes))
	}
	return routes
}

// takesLease reports whether a schema has a lease_token at any depth.
func takesLease(schema any, schemas map[string]any, depth int) bool {
	switch x := schema.(type) {
	case map[string]any:
		for name, below := range x {
			if name == "lease_token" {
				return true
			}
			if ref, ok := below.(string); ok && name == "$ref" && depth < 8 {
				below = schemas[ref[strings.LastIndexByte(ref, '/')+1:]]
			}
			if takesLease(below, schemas, depth+1) {
				return true
			}
		}
	case []any:
		for _, below := range x {
			if takesLease(below, schemas, depth+1) {
				return true
			}
		}
	}
	return false
}

func compact(t *testing.T, value string) string {
	t.Helper()
	var out bytes.Buffer
	if err := json.Compact(&out, []byte(value)); err != nil {
		t.Fatal(err)
	}
	return out.String()
}
