package httpapi_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

// refusal is a bad request and how it has to be answered.
type refusal struct {
	name string
	call
	status int
	code   string
	field  string
}

// refuse makes each bad request; it must be answered as the table says, in the
// form of its face, and store nothing.
func refuse(t *testing.T, s *server, table []refusal) {
	t.Helper()
	before := s.stored(t)
	for _, c := range table {
		got := s.do(t, c.call)
		if got.status != c.status {
			t.Errorf("%s: answered %d, want %d: %s", c.name, got.status, c.status, clip(got.body))
		} else {
			checkError(t, c, got)
		}
		if after := s.stored(t); after != before {
			t.Errorf("%s: stored something\nbefore: %s\nafter:  %s", c.name, before, after)
			before = after
		}
	}
}

func checkError(t *testing.T, c refusal, got answer) {
	t.Helper()
	if kind := got.header.Get("Content-Type"); kind != "application/json" {
		t.Errorf("%s: Content-Type %q", c.name, kind)
	}
	body := object(t, got.body)
	if detail, _ := body["detail"].(string); detail == "" {
		t.Errorf("%s: no detail in %s", c.name, clip(got.body))
	}
	if !strings.HasPrefix(c.path, "/v1/") {
		if len(body) != 1 {
			t.Errorf("%s: the Python client's errors are {\"detail\": …}, not %s", c.name, clip(got.body))
		}
		if detail, _ := body["detail"].(string); !strings.Contains(detail, c.field) {
			t.Errorf("%s: does not name %s: %s", c.name, c.field, detail)
		}
		return
	}
	if body["code"] != c.code {
		t.Errorf("%s: code %v, want %s: %s", c.name, body["code"], c.code, clip(got.body))
	}
	if field, _ := body["field"].(string); field != c.field {
		t.Errorf("%s: field %q, want %q: %s", c.name, field, c.field, clip(got.body))
	}
	if id, _ := body["request_id"].(string); id == "" || id != got.header.Get("X-Request-Id") {
		t.Errorf("%s: request id %q, header %q", c.name, id, got.header.Get("X-Request-Id"))
	}
}

// create is a bad creation on /v1: members beside agent_id and input.
func create(name, members, field string) refusal {
	body := `{"agent_id": "agent-1", "input": {"text": "x"}`
	if members != "" {
		body += ", " + members
	}
	return refusal{name, call{method: "POST", path: "/v1/tasks", body: body + "}"}, 422, "invalid", field}
}

// input is a bad creation on /v1 whose input is given.
func input(name, members, field string) refusal {
	return refusal{
		name,
		call{method: "POST", path: "/v1/tasks", body: `{"agent_id": "agent-1", "input": ` + members + `}`},
		422, "invalid", field,
	}
}

// coded is a refusal with another code than invalid.
func (r refusal) coded(status int, code string) refusal {
	r.status, r.code = status, code
	return r
}

func post(name, path, body string, status int, code, field string) refusal {
	return refusal{name, call{method: "POST", path: path, body: body}, status, code, field}
}

func get(name, path string, status int, code, field string) refusal {
	return refusal{name, call{method: "GET", path: path}, status, code, field}
}

func list(n int, item string) string {
	return "[" + strings.TrimSuffix(strings.Repeat(item+",", n), ",") + "]"
}

// TestH2BadCreations walks what a creator can do wrong on /v1.
func TestH2BadCreations(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	const tasks = "/v1/tasks"
	other := "0f" + strings.Repeat("ab", 31)
	refuse(t, s, []refusal{
		post("no body", tasks, "", 400, "malformed", ""),
		post("unparsable", tasks, `{"agent_id": `, 400, "malformed", "body"),
		post("two values", tasks, `{"agent_id": "agent-1", "input": {}} {}`, 400, "malformed", "body"),
		post("a list", tasks, `[]`, 422, "invalid", "body"),
		post("null", tasks, `null`, 422, "invalid", "body"),
		post("text", tasks, `"x"`, 422, "invalid", "body"),
		post("over 20 MiB", tasks, `{"agent_id": "agent-1", "input": {"text": "`+strings.Repeat("x", 20<<20)+`"}}`, 413, "too_large", "body"),
		post("no agent", tasks, `{"input": {"text": "x"}}`, 422, "invalid", "agent_id"),
		post("no input", tasks, `{"agent_id": "agent-1"}`, 422, "invalid", "input"),
		post("unknown agent", tasks, `{"agent_id": "nobody", "input": {}}`, 404, "not_found", ""),

		create("unknown field", `"nope": 1`, "nope"),
		create("number for text", `"title": 5`, "title"),
		create("text for whole number", `"priority": "high"`, "priority"),
		create("fraction for whole number", `"priority": 1.5`, "priority"),
		create("text for number", `"timeout": "1"`, "timeout"),
		create("text for truth", `"run_locally": "yes"`, "run_locally"),
		create("text for list", `"tags": "a"`, "tags"),
		create("number in list", `"tags": ["a", 1]`, "tags[1]"),
		create("text for moment", `"run_at": "tomorrow"`, "run_at"),
		create("list for object", `"payload_extension": []`, "payload_extension"),
		create("text for schema", `"output_schema": "x"`, "output_schema"),
		create("number for tokens", `"user_tokens": 1`, "user_tokens"),
		create("object for servers", `"mcp_servers": {}`, "mcp_servers"),
		create("number in servers", `"mcp_servers": [1]`, "mcp_servers"),
		create("unknown format", `"output_format": "xml"`, "output_format"),
		create("unknown think mode", `"think_mode": "hardest"`, "think_mode"),
		create("unknown effort", `"llm_reasoning_effort": "hardest"`, "llm_reasoning_effort"),
		create("unknown permission", `"permission_mode": "sudo"`, "permission_mode"),
		create("model of 256", `"llm_model_name": "`+strings.Repeat("m", 256)+`"`, "llm_model_name"),
		create("NUL in a provider", `"llm_model_provider": "a\u0000"`, "llm_model_provider"),
		create("negative limit of tool calls", `"tool_call_limit": -1`, "tool_call_limit"),
		create("limit of tool calls over 1,000,000", `"tool_call_limit": 1000001`, "tool_call_limit"),
		create("number for a harness", `"harness_cli": 1`, "harness_cli"),
		input("text for input", `"x"`, "input"),
		input("unknown input field", `{"text": "x", "prompt": "y"}`, "input.prompt"),
		input("number for prompt", `{"text": 1}`, "input.text"),
		input("text for files", `{"files": "x"}`, "input.files"),
		input("number in files", `{"files": [1]}`, "input.files[0]"),
		input("user without email", `{"user": {"id": "u"}}`, "input.user.email"),
		input("number for email", `{"user": {"email": 1}}`, "input.user.email"),
		input("text for user", `{"user": "u"}`, "input.user"),

		create("priority 101", `"priority": 101`, "priority"),
		create("priority -101", `"priority": -101`, "priority"),
		create("no attempts", `"max_attempts": -1`, "max_attempts"),
		create("101 attempts", `"max_attempts": 101`, "max_attempts"),
		create("negative timeout", `"timeout": -1`, "timeout"),
		create("timeout of centuries", `"timeout": 1e300`, "timeout"),
		create("negative expiry", `"expires_in": -0.5`, "expires_in"),
		create("33 tags", `"tags": `+list(33, `"t"`), "tags"),
		create("tag of 65 bytes", `"tags": ["ok", "`+strings.Repeat("x", 65)+`"]`, "tags[1]"),
		create("empty tag", `"tags": [""]`, "tags[0]"),
		create("id with a slash", `"id": "a/b"`, "id"),
		create("id with a blank", `"id": "a b"`, "id"),
		create("id of 129", `"id": "`+strings.Repeat("x", 129)+`"`, "id"),
		create("id with umlaut", `"id": "ä"`, "id"),
		create("id with a newline", `"id": "a\n"`, "id"),
		create("unknown parent", `"parent_execution": "nobody"`, "parent_execution"),
		create("own parent", `"id": "self", "parent_execution": "self"`, "parent_execution"),
		create("unknown version", `"agent_version": "7"`, "").coded(404, "not_found"),
		create("odd version", `"agent_version": "x"`, "").coded(404, "not_found"),
		input("prompt over 1 MiB", `{"text": "`+strings.Repeat("x", 1<<20+1)+`"}`, "input.text").coded(413, "too_large"),

		input("101 files", `{"files": `+list(101, `"http://example.com/a.csv"`)+`}`, "input.files"),
		input("ftp file", `{"files": ["http://example.com/a.csv", "ftp://example.com/a.csv"]}`, "input.files[1]"),
		input("file of the server's disk", `{"files": ["file:///etc/passwd"]}`, "input.files[0]"),
		input("relative file", `{"files": ["sales.csv"]}`, "input.files[0]"),
		input("file without host", `{"files": ["http:///a.csv"]}`, "input.files[0]"),
		input("data URL", `{"files": ["data:text/csv,a"]}`, "input.files[0]"),
		input("empty file", `{"files": [""]}`, "input.files[0]"),
		input("unknown reference", `{"files": ["file:`+other+`/a.csv"]}`, "input.files[0]"),
		input("reference that climbs", `{"files": ["file:`+other+`/../../x"]}`, "input.files[0]"),
		input("unknown file of ours", `{"files": ["`+s.url+`/f/`+other+`/x.y.z/a.csv"]}`, "input.files[0]"),
		input("odd URL of ours", `{"files": ["`+s.url+`/f/zz"]}`, "input.files[0]"),

		input("NUL in the prompt", `{"text": "a\u0000b"}`, "input.text"),
		input("NUL in a file", `{"files": ["http://example.com/\u0000"]}`, "input.files[0]"),
		input("broken UTF-8 in the prompt", "{\"text\": \"a\xffb\"}", "input.text"),
		create("NUL in the title", `"title": "\u0000"`, "title"),
		create("broken UTF-8 in the title", "\"title\": \"\xc3\x28\"", "title"),
		create("NUL in a key", `"payload_extension": {"a\u0000": 1}`, "payload_extension.a\x00"),
		create("NUL deep below", `"payload_extension": {"a": [{"b": "\u0000"}]}`, "payload_extension.a[0].b"),
		create("NUL in a tag", `"tags": ["\u0000"]`, "tags[0]"),
		create("NUL in a token", `"user_oidc_token": "\u0000"`, "user_oidc_token"),
		create("broken UTF-8 in a key", "\"payload_extension\": {\"\xff\": 1}", "payload_extension.\uFFFD"),
		{"key of 256 bytes", call{
			method: "POST", path: tasks, body: `{"agent_id": "agent-1", "input": {}}`,
			header: map[string]string{"Idempotency-Key": strings.Repeat("k", 256)},
		}, 422, "invalid", "Idempotency-Key"},
		{"broken UTF-8 in the key", call{
			method: "POST", path: tasks, body: `{"agent_id": "agent-1", "input": {}}`,
			header: map[string]string{"Idempotency-Key": "\xff"},
		}, 422, "invalid", "Idempotency-Key"},
	})
}

// TestH2BadAgents walks what an operator can do wrong with agents.
func TestH2BadAgents(t *testing.T) {
	t.Parallel()
	s := start(t)
	put := func(name, id, body string, status int, code, field string) refusal {
		return refusal{name, call{method: "PUT", path: "/v1/agents/" + id, body: body}, status, code, field}
	}
	refuse(t, s, []refusal{
		put("no name", "a", `{}`, 422, "invalid", "name"),
		put("empty name", "a", `{"name": ""}`, 422, "invalid", "name"),
		put("unknown runtime", "a", `{"name": "a", "runtime": "shell"}`, 422, "invalid", "runtime"),
		put("unknown field", "a", `{"name": "a", "command": "rm"}`, 422, "invalid", "command"),
		put("no lease", "a", `{"name": "a", "lease_seconds": -1}`, 422, "invalid", "lease_seconds"),
		put("number for name", "a", `{"name": 1}`, 422, "invalid", "name"),
		put("id with a blank", "a%20b", `{"name": "a"}`, 422, "invalid", "agent_id"),
		put("id with a slash", "a%2Fb", `{"name": "a"}`, 422, "invalid", "agent_id"),
		put("id with NUL", "a%00", `{"name": "a"}`, 422, "invalid", "agent_id"),
		put("NUL in the name", "a", `{"name": "\u0000"}`, 422, "invalid", "name"),
		get("unknown agent", "/v1/agents/nobody", 404, "not_found", ""),
		get("unknown version", "/v1/agents/profile?version=9", 404, "not_found", ""),
		post("nameless new agent", "/v1/agents", `{}`, 422, "invalid", "name"),
		post("new agent of an unknown runtime", "/v1/agents", `{"name": "a", "runtime": "shell"}`, 422, "invalid", "runtime"),
		post("new agent that is a list", "/v1/agents", `[]`, 422, "invalid", "body"),
		get("versions of nobody", "/v1/agents/nobody/versions", 404, "not_found", ""),
		{"deletion of nobody", call{method: "DELETE", path: "/v1/agents/nobody"}, 404, "not_found", ""},
		get("version 0", "/v1/agents/profile?version=0", 422, "invalid", "version"),
		get("unknown query", "/v1/agents/profile?colour=1", 422, "invalid", "colour"),
	})
}

// TestH5BadLists walks what can be wrong about a list and a page of a log.
func TestH5BadLists(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "one")
	far := base64.RawURLEncoding.EncodeToString([]byte("zzz"))
	odd := base64.RawURLEncoding.EncodeToString([]byte("zzz a b"))
	var table []refusal
	for _, path := range []string{"/v1/tasks", "/v1/agents/agent-1/tasks"} {
		table = append(table,
			get("page 0", path+"?page=0", 422, "invalid", "page"),
			get("page -1", path+"?page=-1", 422, "invalid", "page"),
			get("page x", path+"?page=x", 422, "invalid", "page"),
			get("51 per page", path+"?per_page=51", 422, "invalid", "per_page"),
			get("0 per page", path+"?per_page=0", 422, "invalid", "per_page"),
			get("page beyond 10,000 rows", path+"?page=201&per_page=50", 422, "invalid", "page"),
			get("unknown status", path+"?status=done", 422, "invalid", "status"),
			get("odd date", path+"?from_date=yesterday", 422, "invalid", "from_date"),
			get("unknown query", path+"?agent=x", 422, "invalid", "agent"),
			get("garbage cursor", path+"?cursor=!!", 400, "malformed", "cursor"),
			get("short cursor", path+"?cursor="+far, 400, "malformed", "cursor"),
			get("odd cursor", path+"?cursor="+odd, 400, "malformed", "cursor"),
		)
	}
	table = append(table, get("agent of an agent's tasks", "/v1/agents/agent-1/tasks?agent_id=x", 422, "invalid", "agent_id"))
	const log = "/v1/tasks/one/events"
	table = append(table,
		get("children of nothing", "/v1/tasks/nobody/children", 404, "not_found", ""),
		get("children on page 0", "/v1/tasks/one/children?page=0", 422, "invalid", "page"),
		get("children by status", "/v1/tasks/one/children?status=failed", 422, "invalid", "status"),
		get("children from garbage", "/v1/tasks/one/children?cursor=!!", 400, "malformed", "cursor"),
		get("thread of nothing", "/v1/tasks/nobody/thread", 404, "not_found", ""),
		get("full thread of nothing", "/v1/tasks/nobody/thread/full", 404, "not_found", ""),
		get("activity of nothing", "/v1/tasks/nobody/activity", 404, "not_found", ""),
		get("no such log", "/v1/tasks/nobody/events", 404, "not_found", ""),
		get("after garbage", log+"?after=x", 400, "malformed", "after"),
		get("after negative", log+"?after=-1", 400, "malformed", "after"),
		get("after the end", log+"?after=99", 400, "malformed", "after"),
		get("after overflow", log+"?after=9223372036854775808", 400, "malformed", "after"),
		get("unknown turns", log+"?turns=some", 422, "invalid", "turns"),
		get("limit 0", log+"?limit=0", 422, "invalid", "limit"),
		get("limit 1001", log+"?limit=1001", 422, "invalid", "limit"),
	)
	for _, id := range []string{"x", "-1", "99", "1.5"} {
		c := get("stream from "+id, log, 400, "malformed", "Last-Event-ID")
		c.header = map[string]string{"Last-Event-ID": id, "Accept": "text/event-stream"}
		table = append(table, c)
	}
	refuse(t, s, table)

	// What a bad page is told to do instead works.
	page := s.must(t, 200, call{method: "GET", path: "/v1/tasks?page=200&per_page=50"})
	if page["total"] != 1.0 || len(page["items"].([]any)) != 0 {
		t.Errorf("the last page that may be asked for: %v", page)
	}
}

// TestT6BadEvents walks what a worker can do wrong (rules T6, S5, L1).
func TestT6BadEvents(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "one")
	token := s.claim(t)
	one := func(name, event, field string) refusal {
		body := fmt.Sprintf(`{"lease_token": %q, "events": [{"type": "think", "data": {}}, %s]}`, token, event)
		return post(name, "/v1/tasks/one/events", body, 422, "invalid", field)
	}
	worker := func(name, verb, members, field string) refusal {
		return post(name, "/v1/tasks/one/"+verb, fmt.Sprintf(`{"lease_token": %q%s}`, token, members), 422, "invalid", field)
	}
	refuse(t, s, []refusal{
		one("unknown type", `{"type": "shout", "data": 1}`, "events[1].type"),
		one("created", `{"type": "task_created", "data": {}}`, "events[1].type"),
		one("updated", `{"type": "task_updated", "data": {}}`, "events[1].type"),
		one("finished", `{"type": "task_finished", "data": {}}`, "events[1].type"),
		one("the server's own", `{"type": "stop_confirmed", "data": {}}`, "events[1].type"),
		one("no type", `{"data": 1}`, "events[1].type"),
		one("no data", `{"type": "think"}`, "events[1].data"),
		one("chunk without text", `{"type": "chunk", "data": {"a": 1}}`, "events[1].data"),
		one("unknown field", `{"type": "think", "data": 1, "time": 1}`, "events[1].time"),
		one("long client_id", `{"type": "think", "data": 1, "client_id": "`+strings.Repeat("x", 129)+`"}`, "events[1].client_id"),
		one("over 256 KiB", `{"type": "chunk", "data": "`+strings.Repeat("x", 256<<10)+`"}`, "events[1].data").coded(413, "too_large"),
		post("no events", "/v1/tasks/one/events", `{"events": []}`, 422, "invalid", "events"),
		post("1001 events", "/v1/tasks/one/events", `{"events": `+list(1001, `{"type":"think","data":1}`)+`}`, 422, "invalid", "events"),
		post("unknown task", "/v1/tasks/nobody/events", `{"events": [{"type": "think", "data": 1}]}`, 404, "not_found", ""),

		worker("unknown field in heartbeat", "heartbeat", `, "busy": true`, "busy"),
		post("no token", "/v1/tasks/one/heartbeat", `{}`, 422, "invalid", "lease_token"),
		post("empty token", "/v1/tasks/one/heartbeat", `{"lease_token": ""}`, 422, "invalid", "lease_token"),
		post("foreign token", "/v1/tasks/one/heartbeat", `{"lease_token": "nobody's"}`, 409, "conflict", ""),
		worker("no status", "finish", ``, "status"),
		worker("unknown field", "release", `, "status": "stopped"`, "status"),
		worker("status that does not end", "finish", `, "status": "executing"`, "status"),
		worker("unknown status", "finish", `, "status": "done"`, "status"),
		worker("the server's reason", "finish", `, "status": "error", "end_reason": "timeout"`, "end_reason"),
		worker("reason beside status", "finish", `, "status": "completed", "end_reason": "failed"`, "end_reason"),

		post("claim for nobody", "/v1/claim", `{"agent_ids": [], "worker_id": "w"}`, 422, "invalid", "agent_ids"),
		post("claim by nobody", "/v1/claim", `{"agent_ids": ["agent-1"], "worker_id": ""}`, 422, "invalid", "worker_id"),
		post("claim of 101", "/v1/claim", `{"agent_ids": ["agent-1"], "worker_id": "w", "slots": 101}`, 422, "invalid", "slots"),
		post("wait of an hour", "/v1/claim", `{"agent_ids": ["agent-1"], "worker_id": "w", "wait": 3600}`, 422, "invalid", "wait"),
	})
}
