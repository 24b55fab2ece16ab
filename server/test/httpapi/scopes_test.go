package httpapi_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/httpapi/xpander"
)

// person is somebody with a key, who may act for a user.
type person struct{ name, key, user string }

// as makes a call in the person's name.
func (p person) as(c call) call {
	c.key, c.header = p.key, maps.Clone(c.header)
	if p.user != "" {
		if c.header == nil {
			c.header = map[string]string{}
		}
		c.header["X-Errand-User"] = p.user
	}
	return c
}

// together makes of each task that is asked for one of a batch.
func together(all bool, tasks []string) []string {
	bodies := make([]string, len(tasks))
	for i, one := range tasks {
		bodies[i] = fmt.Sprintf(`{"all": %t, "tasks": [%s]}`, all, one)
	}
	return bodies
}

// owned is what one owner has: every name and text of it begins with its mark.
type owned struct {
	mark string
	// running is a task that a worker executes under token, with a sub-task child;
	// open waits, with a file; ended has ended; deleted is no more.
	running, child, open, ended, deleted string
	token, file, url, approval           string
}

func (o owned) tasks() []string { return []string{o.running, o.child, o.open, o.ended} }

// own makes what a person owns.
func (s *server) own(t *testing.T, p person, mark string) owned {
	t.Helper()
	name := func(of string) string { return mark + "-" + of }
	o := owned{mark: mark, running: name("running"), child: name("child"), open: name("open"), ended: name("ended"), deleted: name("deleted")}
	create := func(id, more, idempotency string) {
		c := call{method: "POST", path: "/v1/tasks", body: fmt.Sprintf(
			`{"agent_id": "agent-1", "id": %q, "title": %q, "input": {"text": %q, "user": {"email": "a@example.com", "id": %q}}%s}`,
			id, name("title"), name("prompt"), name("person"), more,
		)}
		if idempotency != "" {
			c.header = map[string]string{"Idempotency-Key": idempotency}
		}
		s.must(t, 201, p.as(c))
	}
	create(o.running, `, "priority": 10`, name("idempotency"))
	o.token = s.claim(t)
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/" + o.running + "/events", key: workerKey, body: fmt.Sprintf(
		`{"lease_token": %q, "events": [{"type": "chunk", "data": %q}]}`, o.token, name("chunk"),
	)})
	s.must(t, 201, call{method: "POST", path: "/v1/tasks/" + o.running + "/steps", key: workerKey, body: fmt.Sprintf(
		`{"lease_token": %q, "id": "s", "body": %q}`, o.token, name("step"),
	)})
	s.must(t, 201, writing(o.running, o.token, name("out.txt"), name("output")))
	asked := s.must(t, 201, call{method: "POST", path: "/v1/tasks/" + o.running + "/approvals", key: workerKey, body: fmt.Sprintf(
		`{"lease_token": %q, "key": "k", "message": %q, "stay": true}`, o.token, name("question"),
	)})
	o.approval = asked["id"].(string)
	s.must(t, 200, call{method: "PATCH", path: "/v1/tasks/" + o.running, body: fmt.Sprintf(`{"internal_status": %q}`, name("note"))})
	create(o.child, fmt.Sprintf(`, "parent_execution": %q`, o.running), "")
	file := s.must(t, 201, p.as(call{
		method: "POST", path: "/v1/files?name=" + name("file.csv"), body: name("content"),
		header: map[string]string{"Content-Type": "application/octet-stream"},
	}))
	o.url = file["url"].(string)
	o.file = "file:" + file["id"].(string) + "/" + name("file.csv")
	create(o.open, "", "")
	s.must(t, 201, p.as(call{method: "POST", path: "/v1/agents/agent-1/report", body: fmt.Sprintf(
		`{"id": %q, "input": %q, "result": %q}`, o.ended, name("asked"), name("result"),
	)}))
	create(o.deleted, "", "")
	s.must(t, 204, p.as(call{method: "DELETE", path: "/v1/tasks/" + o.deleted}))
	return o
}

// shown is all that an admin sees of what an owner has.
func (s *server) shown(t *testing.T, o owned) string {
	t.Helper()
	var all strings.Builder
	for _, id := range o.tasks() {
		for _, path := range []string{"", "/events?turns=all&limit=1000", "/steps", "/outputs", "/approvals", "/thread/full", "/activity"} {
			all.Write(s.do(t, call{method: "GET", path: "/v1/tasks/" + id + path}).body)
		}
	}
	return all.String()
}

// try is a way in which somebody may come upon what another owns.
type try struct {
	// route is as the document, or the router of the client's wire, writes it.
	route string
	want  int
	calls []call
}

// tries are calls on every route that would tell of what another has, or change it.
//
//nolint:maintidx // it is a table
func tries(o owned) []try {
	sse := map[string]string{"Accept": "text/event-stream"}
	v1 := func(method, path string, want int, bodies ...string) try {
		x := try{route: method + " /v1/tasks/{task_id}" + path, want: want}
		for _, id := range o.tasks() {
			for _, body := range append(bodies, "")[:max(1, len(bodies))] {
				x.calls = append(x.calls, call{method: method, path: "/v1/tasks/" + id + path, body: body})
			}
		}
		return x
	}
	given := func(as string) try {
		x := v1("GET", "/files/1-1/"+as, 404)
		x.route = "GET /v1/tasks/{task_id}/files/{file}/" + as
		return x
	}
	wire := func(method, pattern string, want int, bodies ...string) try {
		x := try{route: method + " " + pattern, want: want}
		for _, id := range o.tasks() {
			for _, body := range append(bodies, "")[:max(1, len(bodies))] {
				path := strings.NewReplacer("{task}", id, "{agent}", "agent-1").Replace(pattern)
				x.calls = append(x.calls, call{method: method, path: path, body: strings.ReplaceAll(body, "{id}", id)})
			}
		}
		return x
	}
	one := func(route string, want int, path, body string) try {
		method, _, _ := strings.Cut(route, " ")
		return try{route, want, []call{{method: method, path: path, body: body}}}
	}
	lists := func(route, path string) try {
		x := try{route: route, want: 200}
		for _, query := range []string{
			"", "?user_id=" + o.mark + "-person", "?parent_task_id=" + o.running, "?status=pending", "?status=executing",
			"?status=completed", "?internal_status=" + o.mark + "-note",
		} {
			x.calls = append(x.calls, call{method: "GET", path: path + query})
		}
		return x
	}
	asks := []string{ // new turns, with another's ids, parents and files
		fmt.Sprintf(`{"agent_id": "agent-1", "id": %q, "input": {}}`, o.ended),
		fmt.Sprintf(`{"agent_id": "agent-1", "id": %q, "input": {}}`, o.open),
		fmt.Sprintf(`{"agent_id": "narrow", "id": %q, "input": {}}`, o.running),
	}
	uses := []string{
		fmt.Sprintf(`{"agent_id": "agent-1", "parent_execution": %q, "input": {}}`, o.running),
		fmt.Sprintf(`{"agent_id": "agent-1", "parent_execution": %q, "input": {}}`, o.ended),
		fmt.Sprintf(`{"agent_id": "agent-1", "input": {"files": [%q]}}`, o.file),
	}
	post := func(route, path string, want int, bodies []string, header map[string]string) try {
		x := try{route: route, want: want}
		for _, body := range bodies {
			if !strings.HasPrefix(path, "/v1/tasks") {
				body = strings.NewReplacer(`"agent_id": "agent-1", `, "", `"agent_id": "narrow", `, "").Replace(body)
			}
			x.calls = append(x.calls, call{method: "POST", path: path, body: body, header: header})
		}
		return x
	}
	own := []string{`{"agent_id": "agent-1", "input": {"text": "mine"}}`}
	idempotent := map[string]string{"Idempotency-Key": o.mark + "-idempotency"}
	const invoke = "/v1/agents/{agent_id}/invoke"
	const invokePath = "/v1/agents/agent-1/invoke"
	operate := func(tool string, want int, header map[string]string) try {
		x := try{route: "POST /agents/{agent}/operations/{tool...}", want: want}
		for _, id := range o.tasks() {
			h := maps.Clone(header)
			h["x-execution-id"] = id
			x.calls = append(x.calls, call{
				method: "POST", path: "/agents/agent-1/operations/" + tool, header: h, body: `{"body_params": {"tasks": [{"title": "x"}]}}`,
			})
		}
		return x
	}
	fileID, _, _ := strings.Cut(strings.TrimPrefix(o.file, "file:"), "/")

	all := []try{
		post("POST /v1/tasks", "/v1/tasks", 404, asks, nil),
		post("POST /v1/tasks", "/v1/tasks", 422, uses, nil),
		post("POST /v1/tasks", "/v1/tasks", 201, own, idempotent), // what another used the key for does not count
		post("POST /v1/tasks/batch", "/v1/tasks/batch", 404, together(true, asks), nil),
		post("POST /v1/tasks/batch", "/v1/tasks/batch", 422, together(true, uses), nil),
		post("POST /v1/tasks/batch", "/v1/tasks/batch", 200, together(false, slices.Concat(asks, uses)), nil),
		lists("GET /v1/tasks", "/v1/tasks"),
		one("GET /v1/tasks", 200, "/v1/tasks?view=row&status=pending&status=executing&status=completed", ""),
		one("GET /v1/events", 422, "/v1/events", ""), // see TestA3PagesOfOthers
		lists("GET /v1/tasks/counts", "/v1/tasks/counts"),
		one("GET /v1/workers", 200, "/v1/workers", ""),
		one("GET /v1/server", 200, "/v1/server", ""),
		one("GET /v1/search", 200, "/v1/search?q="+o.mark, ""), // see TestH11NobodyFindsWhatTheyDoNotSee
		v1("GET", "", 404),
		v1("PATCH", "", 404, `{"title": "x"}`, `{"status": "completed", "result": "x"}`, `{"status": "failed", "override": true}`, `{"priority": 9}`),
		v1("DELETE", "", 404),
		v1("POST", "/stop", 404),
		v1("POST", "/pause", 404),
		v1("POST", "/resume", 404),
		post("POST /v1/tasks/stop", "/v1/tasks/stop", 200, []string{
			`{"all": true, "dry_run": true}`, `{"all": true}`, `{"filter": {"agent_id": "agent-1"}}`,
			fmt.Sprintf(`{"filter": {"parent_task_id": %q}}`, o.running), fmt.Sprintf(`{"filter": {"user_id": "%s-person"}}`, o.mark),
		}, nil),
		v1("GET", "/tree", 404),
		v1("GET", "/events", 404),
		{"GET /v1/tasks/{task_id}/events", 404, []call{
			{method: "GET", path: "/v1/tasks/" + o.running + "/events", header: sse},
			{method: "GET", path: "/v1/tasks/" + o.ended + "/events?turns=all", header: sse},
			{method: "GET", path: "/v1/tasks/" + o.running + "/events?after=1"},
			{method: "GET", path: "/v1/tasks/" + o.running + "/events", header: map[string]string{"Last-Event-ID": "1", "Accept": "text/event-stream"}},
		}},
		v1("POST", "/events", 404, `{"events": [{"type": "think", "data": 1}]}`, `{"events": [{"type": "agent_message", "data": "x"}]}`,
			`{"lease_token": "`+o.token+`", "events": [{"type": "think", "data": 1}]}`),
		v1("GET", "/thread", 404),
		v1("GET", "/thread/full", 404),
		v1("GET", "/activity", 404),
		v1("GET", "/children", 404),
		post("POST "+invoke, invokePath+"?wait=0", 404, asks[:2], nil),
		post("POST "+invoke, invokePath+"?wait=0", 422, uses, nil),
		post("POST "+invoke, invokePath+"?wait=0", 202, own, idempotent),
		post("POST "+invoke+"/async", invokePath+"/async", 404, asks[:2], nil),
		post("POST "+invoke+"/async", invokePath+"/async", 422, uses, nil),
		post("POST "+invoke+"/async", invokePath+"/async", 202, own, idempotent),
		post("POST "+invoke+"/stream", invokePath+"/stream", 404, asks[:2], nil),
		post("POST "+invoke+"/stream", invokePath+"/stream", 422, uses, nil),
		post("POST /v1/agents/{agent_id}/report", "/v1/agents/agent-1/report", 404, []string{
			fmt.Sprintf(`{"id": %q, "result": "x"}`, o.ended), fmt.Sprintf(`{"id": %q, "is_success": false}`, o.running),
		}, nil),
		v1("POST", "/tokens", 404, `{}`),
		v1("GET", "/tokens", 404),
		{"DELETE /v1/tasks/{task_id}/tokens/{token_id}", 404, []call{{method: "DELETE", path: "/v1/tasks/" + o.running + "/tokens/x"}}},
		// The worker protocol is for other roles, even with the token of a lease.
		v1("GET", "/steps", 404),
		v1("POST", "/steps", 403, `{"lease_token": "`+o.token+`", "id": "s", "body": 1}`),
		v1("GET", "/approvals", 404),
		one("GET /v1/approvals", 200, "/v1/approvals", ""),
		one("GET /v1/approvals/{approval_id}", 404, "/v1/approvals/"+o.approval, ""),
		one("POST /v1/approvals/{approval_id}/answer", 404, "/v1/approvals/"+o.approval+"/answer", `{"value": 1}`),
		v1("POST", "/approvals", 403, `{"lease_token": "`+o.token+`", "key": "k", "message": "m"}`),
		v1("POST", "/wait", 403, `{"lease_token": "`+o.token+`", "until": "2000-01-01T00:00:00Z"}`),
		v1("GET", "/outputs", 404),
		{"GET /v1/tasks/{task_id}/outputs/{name}", 404, []call{
			{method: "GET", path: "/v1/tasks/" + o.running + "/outputs/" + o.mark + "-out.txt"},
			{method: "GET", path: "/v1/tasks/" + o.running + "/outputs/" + o.mark + "-out.txt?turn=1"},
		}},
		{"PUT /v1/tasks/{task_id}/outputs/{name}", 404, []call{
			{method: "PUT", path: "/v1/tasks/" + o.running + "/outputs/x", body: "x"},
			{method: "PUT", path: "/v1/tasks/" + o.running + "/outputs/x", body: "x", header: map[string]string{"X-Errand-Lease-Token": o.token}},
		}},
		v1("GET", "/files", 404),
		given("text"),
		given("table"),
		given("picture"),
		one("POST /v1/files/preview", 422, "/v1/files/preview", fmt.Sprintf(`{"url": %q, "agent_id": "agent-1"}`, o.file)),
		v1("POST", "/heartbeat", 403, `{"lease_token": "`+o.token+`"}`),
		v1("POST", "/finish", 403, `{"lease_token": "`+o.token+`", "status": "completed"}`),
		v1("POST", "/release", 403, `{"lease_token": "`+o.token+`"}`),
		one("POST /v1/claim", 403, "/v1/claim", `{"agent_ids": ["agent-1"], "worker_id": "w"}`),
		one("POST /v1/files", 201, "/v1/files?name=mine.txt", "my own content"),
		one("GET /v1/files", 200, "/v1/files", ""),
		one("GET /v1/files/{file_id}", 404, "/v1/files/"+fileID, ""),
		one("DELETE /v1/files/{file_id}", 404, "/v1/files/"+fileID, ""),
		// Agents are the organization's, and tell nothing of tasks.
		one("GET /v1/agents", 200, "/v1/agents", ""),
		one("GET /v1/agents/{agent_id}", 200, "/v1/agents/agent-1", ""),
		one("GET /v1/agents/{agent_id}/versions", 200, "/v1/agents/agent-1/versions", ""),
		lists("GET /v1/agents/{agent_id}/tasks", "/v1/agents/agent-1/tasks"),
		// Admins manage agents and keys.
		one("POST /v1/agents", 403, "/v1/agents", `{"name": "x"}`),
		one("PUT /v1/agents/{agent_id}", 403, "/v1/agents/agent-1", `{"name": "x"}`),
		one("DELETE /v1/agents/{agent_id}", 403, "/v1/agents/agent-1", ""),
		one("POST /v1/session", 422, "/v1/session", `{}`),
		one("GET /v1/session", 200, "/v1/session", ""),
		one("GET /v1/session/ways", 200, "/v1/session/ways", ""),
		one("POST /v1/session/links", 422, "/v1/session/links", `{"next": "elsewhere"}`), // see TestA6ALinkSignsInOnce
		one("DELETE /v1/session", 204, "/v1/session", ""),
		one("POST /v1/keys", 403, "/v1/keys", `{"name": "x", "role": "user"}`),
		one("GET /v1/keys", 403, "/v1/keys", ""),
		one("DELETE /v1/keys/{key_id}", 403, "/v1/keys/some-key", ""),
		one("PATCH /v1/keys/{key_id}", 403, "/v1/keys/some-key", `{"caps": null}`),
		one("GET /v1/usage", 200, "/v1/usage", ""),
		// See TestH21WebhooksSeeWhatTheirKeySees.
		one("POST /v1/webhooks", 422, "/v1/webhooks", `{}`),
		one("GET /v1/webhooks", 200, "/v1/webhooks", ""),
		one("PATCH /v1/webhooks/{webhook_id}", 404, "/v1/webhooks/some-webhook", `{}`),
		one("DELETE /v1/webhooks/{webhook_id}", 404, "/v1/webhooks/some-webhook", ""),
		one("POST /v1/webhooks/{webhook_id}/test", 404, "/v1/webhooks/some-webhook/test", ""),
		one("GET /v1/stats", 200, "/v1/stats", ""),     // see TestB3StatsAreCounted
		one("GET /v1/trouble", 200, "/v1/trouble", ""), // see TestB4TroubleIsTold

		{"POST /agent-execution/{agent}", 404, []call{
			{method: "POST", path: "/agent-execution/agent-1", body: asks[0]}, {method: "POST", path: "/agent-execution/agent-1", body: asks[1]},
		}},
		{"POST /agent-execution/{agent}", 422, []call{
			{method: "POST", path: "/agent-execution/agent-1", body: uses[0]},
			{method: "POST", path: "/agent-execution/agent-1", body: uses[2]},
			{method: "POST", path: "/agent-execution/agent-1", body: fmt.Sprintf(`{"input": {"attachments": [{"url": %q}]}}`, o.file)},
		}},
		wire("DELETE", "/agent-execution/{task}", 404),
		wire("GET", "/agent-execution/{task}/status", 404),
		wire("PATCH", "/agent-execution/{task}/update", 404, `{"status": "completed", "result": "x"}`, `{"title": "x"}`, `{"status": "stopped"}`,
			`{"id": "{id}", "status": "completed", "result": "x", "execution_attempts": 1}`, `{"id": "{id}", "status": "completed", "result": null}`,
			`{"id": "{id}", "status": "executing"}`, `{"id": "{id}", "status": "paused"}`, `{"id": "{id}", "deep_planning": {"enabled": true}}`),
		one("PATCH /agent-execution/{task}/update", 404, "/agent-execution/"+o.deleted+"/update", `{"id": "x", "status": "completed"}`),
		wire("GET", "/agent-execution/{task}/events", 404),
		wire("POST", "/agent-execution/{task}/events/push", 403, `[{"type": "think", "data": 1}]`),
		lists("GET /agent-execution/executions/history/{agent}", "/agent-execution/executions/history/agent-1"),
		one("GET /agent-execution/executions/history/user/{user}", 200, "/agent-execution/executions/history/user/"+o.mark+"-person", ""),
		wire("POST", "/agent-execution/{agent}/report_task", 404, `{"id": "{id}", "result": "x"}`),
		wire("GET", "/activity/{agent}/{task}", 404),
		wire("POST", "/agents-metrics/{agent}/execution", 404, `{"execution_id": "{id}", "duration": 3, "llm_tokens": {"worker": {"prompt_tokens": 5}}}`),
		wire("POST", "/hitl/{task}/approve", 404),
		wire("POST", "/hitl/{task}/reject", 404),
		one("GET /agents/list", 200, "/agents/list", ""),
		one("GET /agents/{agent}", 200, "/agents/agent-1", ""),
		one("GET /agents/{agent}/db", 403, "/agents/agent-1/db", ""),
		operate("xpget_agent_plan", 404, map[string]string{}),
		operate("xpcreate_agent_plan", 404, map[string]string{}),
		operate("search", 200, map[string]string{"x-preflight-check": "true"}), // always answered so, and nothing is noted
		one("GET /metadata/default_llm_extra_headers", 200, "/metadata/default_llm_extra_headers", ""),
		one("GET /events/{agent}", 403, "/events/agent-1", ""),
		one("POST /events/{worker}", 403, "/events/w?agent_id=agent-1", `{"event": "worker-heartbeat"}`),

		// A file's URL needs no key, but a signature that is good for this file.
		one("GET /f/{id}/{signature}/{name}", 404, "/f/"+fileID+"/x/"+o.mark+"-file.csv", ""),
		one("GET /metrics", 403, "/metrics", ""),
		one("GET /debug/pprof/{name}", 403, "/debug/pprof/goroutine", ""),
		one("GET /healthz", 200, "/healthz", ""),
		one("GET /readyz", 200, "/readyz", ""),
	}
	for route, path := range map[string]string{ // no task is looked at
		"/mcp_auth/": "/mcp_auth/x", "PATCH /agents/{agent}/sync_local_tools": "/agents/agent-1/sync_local_tools",
		"/tools/{tool}": "/tools/x", "/tools/{task}/xp-code-executor": "/tools/" + o.running + "/xp-code-executor",
		"/knowledge_bases": "/knowledge_bases", "/knowledge_bases/": "/knowledge_bases/x", "/hitl/": "/hitl/" + o.running,
		"/agentic_context/": "/agentic_context/x", "GET /agents/{agent}/llm_preflight": "/agents/agent-1/llm_preflight",
	} {
		method, _, ok := strings.Cut(route, " ")
		if !ok {
			method = "GET"
		}
		all = append(all, try{route, 501, []call{{method: method, path: path}}})
	}
	return all
}

// recorder is a router that only notes its routes.
type recorder map[string]bool

// HandleFunc implements xpander.Router.
func (r recorder) HandleFunc(pattern string, _ func(http.ResponseWriter, *http.Request)) {
	r[pattern] = true
}

// wireRoutes are the routes of the Python client's wire.
func wireRoutes() recorder {
	all := recorder{}
	xpander.Register(all, edge.Core{}, xpander.Defaults{})
	return all
}

// spellings are the ways in which the client writes a path of its wire (H1).
func spellings(c call) []call {
	all := []call{c}
	path, query, _ := strings.Cut(c.path, "?")
	for _, spelled := range []string{"/" + organization + path, "/None" + path + "/", strings.ReplaceAll(path, "/", "//")} {
		if query != "" {
			spelled += "?" + query
		}
		again := c
		again.path = spelled
		all = append(all, again)
	}
	return all
}

// TestA3NothingOfAnotherOwner walks every route: a key that does not see all finds
// nothing of what others own, and changes nothing of it. A route that is not in
// the table fails the test.
func TestA3NothingOfAnotherOwner(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "narrow")
	s.must(t, 200, call{method: "PUT", path: "/v1/agents/agent-1", body: `{"name": "a", "lease_seconds": 3600, "deep_planning": true}`})
	key := func(name, more string) string {
		_, text := s.key(t, fmt.Sprintf(`{"name": %q, "role": "user"%s}`, name, more))
		return text
	}
	trusted := key("trusted", `, "sees": "own", "trusted": true, "group": "stripes"`)
	alice := person{"alice", key("zebra-key", `, "sees": "own", "group": "stripes"`), ""}
	theirs := []owned{s.own(t, alice, "zebra"), s.own(t, person{"user", trusted, "okapi-user"}, "okapi")}
	before := s.shown(t, theirs[0]) + s.shown(t, theirs[1])
	wire, walked := wireRoutes(), map[string]bool{}
	for _, p := range []person{
		{"that sees its own", key("own", `, "sees": "own"`), ""},
		{"of the same group that sees its own", key("same group", `, "sees": "own", "group": "stripes"`), ""},
		{"of another group", key("lion", `, "sees": "group", "group": "lions"`), ""},
		{"that may act for users, and does not", trusted, ""},
		{"that acts for another user", trusted, "mallory"},
	} {
		for _, o := range theirs {
			for _, x := range tries(o) {
				walked[x.route] = true
				for _, c := range x.calls {
					ways := []call{c}
					if wire[x.route] {
						ways = spellings(c)
					}
					for _, c := range ways {
						s.findsNothing(t, p, c, x.want)
					}
				}
			}
		}
	}
	if after := s.shown(t, theirs[0]) + s.shown(t, theirs[1]); after != before {
		t.Errorf("something has changed\nbefore: %s\nafter:  %s", before, after)
	}
	for route := range wire {
		if !walked[route] {
			t.Errorf("%s is of the client's wire, and nobody has tried it", route)
		}
	}
	document := s.must(t, 200, call{method: "GET", path: "/v1/openapi.json"})
	for path, methods := range document["paths"].(map[string]any) {
		for method := range methods.(map[string]any) {
			if route := strings.ToUpper(method) + " " + path; !walked[route] {
				t.Errorf("%s is in the document, and nobody has tried it", route)
			}
		}
	}
}

// marked finds everything that begins with an owner's mark.
var marked = regexp.MustCompile(`(zebra|okapi)-[a-z]+`)

// findsNothing makes a call in whose answer nothing is of another's, beside what
// the call itself has said.
func (s *server) findsNothing(t *testing.T, p person, c call, want int) {
	t.Helper()
	c = p.as(c)
	got := s.do(t, c)
	if got.status != want {
		t.Errorf("%s %s %s, key %s: answered %d, want %d: %s", c.method, c.path, c.body, p.name, got.status, want, clip(got.body))
	}
	said := fmt.Sprint(c.path, c.body, c.header)
	for _, found := range marked.FindAllString(string(got.body), -1) {
		if !strings.Contains(said, found) {
			t.Errorf("%s %s %s, key %s: the answer tells of %s: %s", c.method, c.path, c.body, p.name, found, clip(got.body))
		}
	}
}

// TestA3WhatAKeySees is its own, its group's, or all; sub-tasks are their root's
// owner's, whoever makes them.
func TestA3WhatAKeySees(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	key := func(name, more string) (owner, text string) {
		id, text := s.key(t, fmt.Sprintf(`{"name": %q, "role": "user"%s}`, name, more))
		return "key:" + id, text
	}
	aliceID, alice := key("alice", `, "sees": "own", "group": "red"`)
	_, bob := key("bob", `, "sees": "group", "group": "red"`)
	_, carl := key("carl", `, "sees": "group", "group": "blue"`)
	_, desk := key("desk", `, "sees": "own", "trusted": true`)
	_, dora := key("dora", "")
	people := map[string]person{
		"alice": {"", alice, ""}, "bob": {"", bob, ""}, "carl": {"", carl, ""}, "desk": {"", desk, ""},
		"desk for eve": {"", desk, "eve"}, "dora": {"", dora, ""}, "admin": {"", adminKey, ""}, "worker": {"", workerKey, ""},
	}
	made := map[string]map[string]any{}
	for name, by := range map[string]string{"alices": "alice", "bobs": "bob", "desks": "desk", "eves": "desk for eve", "doras": "dora", "admins": "admin"} {
		made[name] = s.must(t, 201, people[by].as(call{method: "POST", path: "/v1/tasks", body: fmt.Sprintf(`{"agent_id": "agent-1", "id": %q, "input": {}}`, name)}))
	}
	made["below"] = s.must(t, 201, people["dora"].as(call{
		method: "POST", path: "/v1/tasks", body: `{"agent_id": "agent-1", "id": "below", "parent_execution": "alices", "input": {}}`,
	}))
	if x := made["below"]; x["owner"] != aliceID || x["group"] != "red" {
		t.Errorf("the sub-task is %v's, of group %v", x["owner"], x["group"])
	}
	if x := made["eves"]; x["owner"] != "user:eve" || x["group"] != "" {
		t.Errorf("the user's task is %v's, of group %v", x["owner"], x["group"])
	}
	every := slices.Sorted(maps.Keys(made))
	for name, want := range map[string][]string{
		"alice": {"alices", "below"}, "bob": {"alices", "below", "bobs"}, "carl": nil, "desk": {"desks"},
		"desk for eve": {"eves"}, "dora": every, "admin": every, "worker": every,
	} {
		p, sees := people[name], []string{}
		for _, id := range every {
			if got := s.do(t, p.as(call{method: "GET", path: "/agent-execution/" + id + "/status"})); got.status == 200 {
				sees = append(sees, id)
			}
		}
		if !slices.Equal(sees, append([]string{}, want...)) {
			t.Errorf("%s sees %v, want %v", name, sees, want)
		}
		if name == "worker" {
			continue // has no list
		}
		list := s.must(t, 200, p.as(call{method: "GET", path: "/v1/tasks"}))
		listed := []string{}
		for _, x := range list["items"].([]any) {
			listed = append(listed, x.(map[string]any)["id"].(string))
		}
		if slices.Sort(listed); !slices.Equal(listed, append([]string{}, want...)) || list["total"] != float64(len(want)) {
			t.Errorf("%s lists %v of %v, want %v", name, listed, list["total"], want)
		}
	}
	if got := s.must(t, 200, people["alice"].as(call{method: "GET", path: "/v1/tasks/alices"})); fmt.Sprint(got["sub_executions"]) != "[below]" {
		t.Errorf("below hers: %v", got["sub_executions"])
	}

	// Bulk stops reach what the key sees, and nothing else.
	for _, c := range []struct {
		who  string
		want []string
	}{{"carl", nil}, {"desk for eve", []string{"eves"}}, {"bob", []string{"alices", "below", "bobs"}}} {
		got := s.must(t, 200, people[c.who].as(call{method: "POST", path: "/v1/tasks/stop", body: `{"all": true}`}))
		if got["stopped"] != float64(len(c.want)) {
			t.Errorf("%s stopped %v, want %v", c.who, got, c.want)
		}
	}
	for id, want := range map[string]string{"desks": "pending", "doras": "pending", "admins": "pending", "eves": "stopped", "below": "stopped"} {
		if got := s.must(t, 200, call{method: "GET", path: "/v1/tasks/" + id}); got["status"] != want {
			t.Errorf("%s is %v, want %s", id, got["status"], want)
		}
	}

	// What has ended goes on as its owner's, and below a parent of the same owner only.
	again := s.must(t, 201, people["bob"].as(call{method: "POST", path: "/v1/tasks", body: `{"agent_id": "agent-1", "id": "alices", "input": {}}`}))
	if again["owner"] != aliceID {
		t.Errorf("the next turn is %v's", again["owner"])
	}
	s.must(t, 409, people["dora"].as(call{method: "POST", path: "/v1/tasks", body: `{"agent_id": "agent-1", "id": "eves", "parent_execution": "alices", "input": {}}`}))

	// Only a trusted key names a user.
	for name, c := range map[string]call{"alice": {key: alice}, "admin": {key: adminKey}, "worker": {key: workerKey}} {
		c.method, c.path, c.header = "GET", "/v1/agents", map[string]string{"X-Errand-User": "eve"}
		if got := s.do(t, c); got.status != 403 {
			t.Errorf("%s names a user: answered %d", name, got.status)
		}
	}
}

// TestA3IdempotencyKeysOfOthers stand for nothing.
func TestA3IdempotencyKeysOfOthers(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	_, alice := s.key(t, `{"name": "alice", "role": "user", "sees": "own"}`)
	_, bob := s.key(t, `{"name": "bob", "role": "user", "sees": "own"}`)
	_, desk := s.key(t, `{"name": "desk", "role": "user", "sees": "own", "trusted": true}`)
	ids := map[string]bool{}
	people := []person{{"", alice, ""}, {"", bob, ""}, {"", desk, ""}, {"", desk, "eve"}, {"", desk, "fred"}, {"", userKey, ""}}
	for _, p := range people {
		c := p.as(call{method: "POST", path: "/v1/tasks", body: `{"agent_id": "agent-1", "input": {}}`, header: map[string]string{"Idempotency-Key": "k"}})
		id := s.must(t, 201, c)["id"].(string)
		if again := s.must(t, 200, c); again["id"] != id {
			t.Errorf("the repeat answered %v after %s", again["id"], id)
		}
		ids[id] = true
	}
	if len(ids) != len(people) {
		t.Errorf("%d tasks of %d people", len(ids), len(people))
	}
	s.must(t, 200, call{ // whoever sees all shares its keys with all who do, as ever
		method: "POST", path: "/v1/tasks", body: `{"agent_id": "agent-1", "input": {}}`, header: map[string]string{"Idempotency-Key": "k"},
	})
}

// TestA3FilesOfOthers: whoever has a file's URL may read it, and so may its tasks; a
// reference without a signature is for those who have brought the file.
func TestA3FilesOfOthers(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	_, alice := s.key(t, `{"name": "alice", "role": "user", "sees": "own"}`)
	_, bob := s.key(t, `{"name": "bob", "role": "user", "sees": "own"}`)
	file := s.must(t, 201, call{method: "POST", path: "/v1/files?name=a.csv", body: table, key: alice, header: map[string]string{"Content-Type": "application/octet-stream"}})
	ref, url := "file:"+file["id"].(string)+"/a.csv", file["url"].(string)
	forged := strings.Replace(url, file["id"].(string)+"/", file["id"].(string)+"/x", 1)
	ask := func(key, given string, want int) map[string]any {
		t.Helper()
		return s.must(t, want, call{method: "POST", path: "/v1/tasks", key: key, body: fmt.Sprintf(`{"agent_id": "agent-1", "input": {"files": [%q]}}`, given)})
	}
	for _, given := range []string{ref, url} {
		ask(alice, given, 201)
		ask(userKey, given, 201)
	}
	none := ask(bob, "file:"+strings.Repeat("0", 64)+"/a.csv", 422)
	for _, given := range []string{ref, forged} {
		if got := ask(bob, given, 422); got["detail"] != none["detail"] {
			t.Errorf("%s: %v tells it from one that is not there: %v", given, got["detail"], none["detail"])
		}
	}
	shown := ask(bob, url, 201)
	if got := shown["input"].(map[string]any)["files"].([]any); len(got) != 1 || got[0] != url {
		t.Errorf("his task shows %v", got)
	}
	s.fetch(t, s.path(t, file), 200)
	ask(bob, ref, 422) // it is not his by that
	s.must(t, 201, call{method: "POST", path: "/v1/files?name=b.csv", body: table, key: bob, header: map[string]string{"Content-Type": "application/octet-stream"}})
	ask(bob, ref, 201)
}

// TestA3AFolderFromBefore has tasks without an owner: keys that see all see them,
// and so do the keys that were there, which are such.
func TestA3AFolderFromBefore(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "old")
	_, narrow := s.key(t, `{"name": "narrow", "role": "user", "sees": "own"}`)
	_, group := s.key(t, `{"name": "group", "role": "user", "sees": "group", "group": "g"}`)
	s.restart(t, func(db *sql.DB) error {
		_, err := db.ExecContext(t.Context(), "UPDATE tasks SET owner = '', grp = ''")
		return err
	})
	for key, want := range map[string]int{adminKey: 200, userKey: 200, workerKey: 200, narrow: 404, group: 404} {
		got := s.do(t, call{method: "GET", path: "/v1/tasks/old", key: key})
		if got.status != want {
			t.Errorf("%s: answered %d, want %d", key, got.status, want)
		}
	}
	for key, want := range map[string]float64{adminKey: 1, userKey: 1, narrow: 0, group: 0} {
		if got := s.must(t, 200, call{method: "GET", path: "/v1/tasks", key: key}); got["total"] != want {
			t.Errorf("%s: lists %v, want %v", key, got["total"], want)
		}
	}
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/old/stop", key: userKey})
	next := s.must(t, 201, call{method: "POST", path: "/v1/tasks", key: userKey, body: `{"agent_id": "agent-1", "id": "old", "input": {}}`})
	if next["owner"] != "" {
		t.Errorf("its next turn is %v's", next["owner"])
	}
}

// TestA3KeysThatSeeLess walks what cannot be made.
func TestA3KeysThatSeeLess(t *testing.T) {
	t.Parallel()
	s := start(t)
	const path = "/v1/keys"
	refuse(t, s, []refusal{
		post("unknown", path, `{"name": "x", "role": "user", "sees": "some"}`, 422, "invalid", "sees"),
		post("a worker", path, `{"name": "x", "role": "worker", "sees": "own"}`, 422, "invalid", "sees"),
		post("an admin", path, `{"name": "x", "role": "admin", "sees": "group", "group": "g"}`, 422, "invalid", "sees"),
		post("no group", path, `{"name": "x", "role": "user", "sees": "group"}`, 422, "invalid", "group"),
		post("a long group", path, `{"name": "x", "role": "user", "group": "`+strings.Repeat("x", 129)+`"}`, 422, "invalid", "group"),
		post("an odd group", path, `{"name": "x", "role": "user", "group": "a\tb"}`, 422, "invalid", "group"),
	})
	got := s.must(t, 201, call{method: "POST", path: path, body: `{"name": "x", "role": "user", "sees": "group", "group": "g", "trusted": true}`})
	if got["sees"] != "group" || got["group"] != "g" || got["trusted"] != true {
		t.Errorf("made %v", got)
	}
	if got := s.must(t, 201, call{method: "POST", path: path, body: `{"name": "y", "role": "user"}`}); got["sees"] != "all" || got["group"] != "" || got["trusted"] != false {
		t.Errorf("left open: %v", got)
	}
	list, err := json.Marshal(s.must(t, 200, call{method: "GET", path: path}))
	if err != nil || strings.Count(string(list), `"sees":"group"`) != 1 {
		t.Errorf("the list: %s, %v", list, err)
	}
	_, text := s.key(t, `{"name": "desk", "role": "user", "sees": "own", "trusted": true}`)
	for _, user := range []string{strings.Repeat("u", 129), "a\tb", "\xff"} {
		s.must(t, 400, call{method: "GET", path: "/v1/tasks", key: text, header: map[string]string{"X-Errand-User": user}})
	}
}
