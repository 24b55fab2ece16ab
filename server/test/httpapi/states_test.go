package httpapi_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestS3IllegalTransitions says that /v1 is strict, and that a refused one
// changes nothing (rules S3, S5, H2).
func TestS3IllegalTransitions(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "executing")
	s.claim(t)
	for _, id := range []string{"pending", "paused", "stopped"} {
		s.task(t, id)
	}
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/paused/pause"})
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/stopped/stop"})

	var table []refusal
	for id, verbs := range map[string]string{
		"pending": "resume", "executing": "resume", "stopped": "pause resume",
	} {
		for verb := range strings.FieldsSeq(verbs) {
			table = append(table, post(verb+" of "+id, "/v1/tasks/"+id+"/"+verb, "", 409, "conflict", ""))
		}
	}
	edit := func(id, body string, status int, code, field string) {
		table = append(table, refusal{"PATCH " + body + " of " + id, call{method: "PATCH", path: "/v1/tasks/" + id, body: body}, status, code, field})
	}
	for _, end := range []string{"completed", "failed", "error"} {
		edit("pending", `{"status": "`+end+`"}`, 409, "conflict", "")
		edit("paused", `{"status": "`+end+`"}`, 409, "conflict", "")
		edit("stopped", `{"status": "`+end+`"}`, 409, "conflict", "")
	}
	for _, id := range []string{"pending", "executing", "paused", "stopped"} {
		for _, status := range []string{"pending", "executing", "paused", "stopped"} {
			edit(id, `{"status": "`+status+`"}`, 422, "invalid", "status")
		}
		edit(id, `{"status": "done"}`, 422, "invalid", "status")
		edit(id, `{"status": 1}`, 422, "invalid", "status")
		edit(id, `{"result": "x"}`, 422, "invalid", "result")
		edit(id, `{"internal_status": "`+strings.Repeat("x", 256)+`"}`, 422, "invalid", "internal_status")
		edit(id, `{"internal_status": "`+strings.Repeat("😀", 256)+`"}`, 422, "invalid", "internal_status")
		edit(id, `{"priority": 101}`, 422, "invalid", "priority")
		edit(id, `{"nope": 1}`, 422, "invalid", "nope")
		edit(id, `{"title": "\u0000"}`, 422, "invalid", "title")
	}
	edit("executing", `{"priority": 1}`, 409, "conflict", "")
	edit("stopped", `{"run_at": "2030-01-01T00:00:00Z"}`, 409, "conflict", "")
	edit("nobody", `{"title": "x"}`, 404, "not_found", "")
	edit("pending", `{"status": "completed", "priority": 1}`, 422, "invalid", "status")
	table = append(
		table,
		post("turn of a task that has not ended", "/v1/tasks", `{"agent_id": "agent-1", "id": "pending", "input": {}}`, 409, "conflict", ""),
		post("turn of another agent's task", "/v1/tasks", `{"agent_id": "profile", "id": "stopped", "input": {}}`, 409, "conflict", "id"),
		create("child of an ended task", `"parent_execution": "stopped"`, "").coded(409, "conflict"),
	)
	for _, verb := range []string{"stop", "pause", "resume"} {
		table = append(table, post(verb+" of nothing", "/v1/tasks/nobody/"+verb, "", 404, "not_found", ""))
	}
	table = append(table, refusal{"delete of nothing", call{method: "DELETE", path: "/v1/tasks/nobody"}, 404, "not_found", ""})
	refuse(t, s, table)

	// What is already so is answered unchanged.
	before := s.stored(t)
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/paused/pause"})
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/stopped/stop"})
	if after := s.stored(t); after != before {
		t.Errorf("a repeat stored something\nbefore: %s\nafter:  %s", before, after)
	}
}

// TestS5InternalStatusIsCountedInCodePoints keeps 255 four-byte ones intact.
func TestS5InternalStatusIsCountedInCodePoints(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "one")
	faces := strings.Repeat("😀", 255)
	s.must(t, 200, call{method: "PATCH", path: "/v1/tasks/one", body: `{"internal_status": "` + faces + `"}`})
	if got := s.must(t, 200, call{method: "GET", path: "/v1/tasks/one"}); got["internal_status"] != faces {
		t.Errorf("internal status is %v", got["internal_status"])
	}
	// Also escaped, as the Python client writes it: as pairs of surrogates.
	s.task(t, "two")
	s.patch(t, "two", `{"id": "two", "execution_attempts": 1, "internal_status": "`+strings.Repeat(`\ud83d\ude00`, 255)+`"}`)
	if got := s.must(t, 200, call{method: "GET", path: "/agent-execution/two/status"}); got["internal_status"] != faces {
		t.Errorf("internal status is %v", got["internal_status"])
	}
}

// TestH3IdempotencyKey answers a repeat with the task as it now is.
func TestH3IdempotencyKey(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	make := func(key, who, body string) call {
		return call{method: "POST", path: "/v1/tasks", key: who, body: body, header: map[string]string{"Idempotency-Key": key}}
	}
	const body = `{"agent_id": "agent-1", "input": {"text": "a"}, "title": "b"}`
	first := s.must(t, 201, make("k1", "", body))
	id := first["id"].(string)
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/" + id + "/stop"})
	before := s.stored(t)

	for _, same := range []string{body, `{"title":"b","input":{"text":"a"},"agent_id":"agent-1"}`} {
		got := s.do(t, make("k1", "", same))
		if got.status != 200 || got.header.Get("Idempotent-Replay") != "true" {
			t.Fatalf("repeat: answered %d, Idempotent-Replay %q", got.status, got.header.Get("Idempotent-Replay"))
		}
		again := object(t, got.body)
		if again["id"] != id || again["status"] != "stopped" {
			t.Errorf("repeat answers %v %v, want the first task as it now is", again["id"], again["status"])
		}
	}
	other := s.do(t, make("k1", "", strings.Replace(body, `"b"`, `"c"`, 1)))
	if other.status != 409 || object(t, other.body)["field"] != "Idempotency-Key" {
		t.Errorf("another body: answered %d %s", other.status, clip(other.body))
	}
	if after := s.stored(t); after != before {
		t.Errorf("something was stored\nbefore: %s\nafter:  %s", before, after)
	}

	if next := s.must(t, 201, make("k2", "", body)); next["id"] == id {
		t.Error("another key answers the first task")
	}
	s.must(t, 200, call{method: "PUT", path: "/v1/agents/agent-1", key: strangerKey, body: `{"name": "theirs"}`})
	if theirs := s.must(t, 201, make("k1", strangerKey, body)); theirs["id"] == id {
		t.Error("another organization's key answers the first task")
	}
	// A refused creation does not use its key up.
	s.must(t, 404, make("k3", "", `{"agent_id": "nobody", "input": {}}`))
	s.must(t, 201, make("k3", "", body))
}

// TestH1Paths answers every spelling of a path, without a redirect.
func TestH1Paths(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "one")
	for _, path := range []string{
		"/agent-execution/one/status", "/agent-execution/one/status/", "//agent-execution//one///status",
		"/default/agent-execution/one/status", "//default/agent-execution/one/status/", "/None/agent-execution/one/status",
		"/%64efault/agent-execution/one/status",
		"/v1/tasks/one", "/v1/tasks/one/", "//v1//tasks/one", "/v1/tasks/%6Fne",
		"/v1/tasks/one/?", "/healthz/", "//readyz",
	} {
		if got := s.do(t, call{method: "GET", path: path}); got.status != 200 {
			t.Errorf("%s: answered %d, want 200: %s", path, got.status, clip(got.body))
		}
	}
	for _, path := range []string{
		"/default/v1/tasks/one", "/default/healthz", "/v1/agent-execution/one/status", "/default/default/agents/agent-1",
		"/v1/tasks/one%2Fstatus", "/agent-execution%2Fone/status", "/v1/../agent-execution/one/status",
	} {
		if got := s.do(t, call{method: "GET", path: path}); got.status != 404 {
			t.Errorf("%s: answered %d, want 404: %s", path, got.status, clip(got.body))
		}
	}
}

// TestPythonRefusals walks what can be wrong on the Python client's routes: the
// same checks, in its form of errors.
func TestPythonRefusals(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "one")
	bad := func(name, method, path, body string, status int, field string) refusal {
		return refusal{name, call{method: method, path: path, body: body}, status, "", field}
	}
	const create, update, push = "/agent-execution/agent-1", "/agent-execution/one/update", "/agent-execution/one/events/push"
	refuse(t, s, []refusal{
		bad("unknown agent", "POST", "/agent-execution/nobody", `{}`, 404, "/v1/agents/nobody"),
		bad("unparsable", "POST", create, `{`, 400, "JSON"),
		bad("null", "POST", create, `null`, 400, "object"),
		bad("a list", "POST", create, `[]`, 400, "object"),
		bad("nothing", "POST", create, ``, 400, "JSON"),
		bad("over 20 MiB", "POST", create, `{"x": "`+strings.Repeat("x", 20<<20)+`"}`, 413, "body"),
		bad("number for prompt", "POST", create, `{"input": {"text": 1}}`, 422, "input.text"),
		bad("text for files", "POST", create, `{"input": {"files": "x"}}`, 422, "input.files"),
		bad("ftp file", "POST", create, `{"input": {"files": ["ftp://x/y"]}}`, 422, "input.files[0]"),
		bad("ftp attachment", "POST", create, `{"input": {"attachments": [{"url": "ftp://x/y"}]}}`, 422, "input.attachments[0].url"),
		bad("attachment without url", "POST", create, `{"input": {"attachments": [{}]}}`, 422, "input.attachments[0].url"),
		bad("101 files", "POST", create, `{"input": {"files": `+list(101, `"http://x/y"`)+`}}`, 422, "input.files"),
		bad("NUL", "POST", create, `{"input": {"text": "\u0000"}}`, 422, "input.text"),
		bad("broken UTF-8", "POST", create, "{\"title\": \"\xff\"}", 422, "title"),
		bad("long prompt", "POST", create, `{"input": {"text": "`+strings.Repeat("x", 1<<20+1)+`"}}`, 413, "input.text"),
		bad("odd id", "POST", create, `{"id": "a/b"}`, 422, "id"),
		bad("unknown format", "POST", create, `{"output_format": "xml"}`, 422, "output_format"),
		bad("open task", "POST", create, `{"id": "one"}`, 409, "not ended"),
		bad("unknown task", "GET", "/agent-execution/nobody/status", "", 404, "nobody"),
		bad("stop of nothing", "DELETE", "/agent-execution/nobody", "", 404, "nobody"),
		bad("stream of nothing", "GET", "/agent-execution/nobody/events", "", 404, "nobody"),
		bad("update of nothing", "PATCH", "/agent-execution/nobody/update", `{}`, 404, "nobody"),
		bad("push to nothing", "POST", "/agent-execution/nobody/events/push", `[]`, 404, "nobody"),
		bad("unparsable update", "PATCH", update, `{`, 400, "JSON"),
		bad("null update", "PATCH", update, `null`, 400, "object"),
		bad("unknown status", "PATCH", update, `{"status": "done"}`, 422, "status"),
		bad("number for status", "PATCH", update, `{"status": 1}`, 422, "status"),
		bad("long internal status", "PATCH", update, `{"id": "one", "internal_status": "`+strings.Repeat("x", 256)+`"}`, 422, "internal_status"),
		bad("NUL in title", "PATCH", update, `{"id": "one", "title": "\u0000"}`, 422, "title"),
		bad("broken UTF-8 in title", "PATCH", update, "{\"id\": \"one\", \"title\": \"\xff\"}", 422, "title"),
		bad("NUL in a person's result", "PATCH", update, `{"status": "completed", "result": "\u0000"}`, 422, "result"),
		bad("NUL in the extension", "PATCH", update, `{"tool_call_payload_extension": {"a": "\u0000"}}`, 422, "tool_call_payload_extension"),
		bad("NUL in the extension's keys", "PATCH", update, `{"tool_call_payload_extension": {"\u0000": 1}}`, 422, "tool_call_payload_extension"),
		bad("text for extension", "PATCH", update, `{"tool_call_payload_extension": "x"}`, 422, "tool_call_payload_extension"),
		bad("number for title", "PATCH", update, `{"id": "one", "title": 1}`, 422, "title"),
		bad("old number starts", "PATCH", update, `{"id": "one", "status": "executing", "execution_attempts": 0}`, 409, "attempt"),
		bad("pushed end", "POST", push, `[{"type": "task_finished", "data": {}}]`, 422, "type"),
		bad("pushed unknown", "POST", push, `[{"type": "shout", "data": 1}]`, 422, "type"),
		bad("pushed object", "POST", push, `{"type": "think"}`, 400, ""),
		bad("pushed 256 KiB", "POST", push, `[{"type": "chunk", "data": "`+strings.Repeat("x", 256<<10)+`"}]`, 413, "data"),
		bad("unknown status in a list", "GET", "/agent-execution/executions/history/agent-1?status=done", "", 422, "status"),
		bad("page 0", "GET", "/agent-execution/executions/history/agent-1?page=0", "", 422, "page"),
		bad("1001 per page", "GET", "/agent-execution/executions/history/agent-1?per_page=1001", "", 422, "per_page"),
		bad("unknown agent's record", "GET", "/agents/nobody", "", 404, "nobody"),
		bad("heartbeat that is no JSON", "POST", "/default/events/w?agent_id=agent-1", `{`, 400, "JSON"),
	})
	// Unknown keys are ignored here.
	for i, body := range []string{`{"nope": 1, "input": {"text": "x", "nope": {}}}`, `{"worker_id": null, "future": [1]}`} {
		made := s.must(t, 200, call{method: "POST", path: create, body: body})
		s.patch(t, made["id"].(string), fmt.Sprintf(`{"unknown_%d": {"a": 1}}`, i))
	}
}

// TestStopByFilter stops what matches, says what it would stop, and stops
// everything only when that is said.
func TestStopByFilter(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.agent(t, "agent-2")
	for _, id := range []string{"one", "two"} {
		s.task(t, id)
	}
	s.must(t, 201, call{method: "POST", path: "/v1/tasks", body: `{"agent_id": "agent-2", "id": "three", "input": {}, "parent_execution": "one"}`})
	stop := func(body string, matched, stopped float64) map[string]any {
		t.Helper()
		got := s.must(t, 200, call{method: "POST", path: "/v1/tasks/stop", key: userKey, body: body})
		if got["matched"] != matched || got["stopped"] != stopped {
			t.Errorf("%s: matched %v, stopped %v", body, got["matched"], got["stopped"])
		}
		return got
	}
	before := s.stored(t)
	if got := stop(`{"filter": {"agent_id": "agent-1"}, "dry_run": true}`, 2, 0); got["dry_run"] != true || len(got["ids"].([]any)) != 2 {
		t.Errorf("dry run: %v", got)
	}
	stop(`{"filter": {"agent_id": "nobody"}}`, 0, 0)
	if after := s.stored(t); after != before {
		t.Errorf("something was stored\nbefore: %s\nafter:  %s", before, after)
	}
	refuse(t, s, []refusal{
		post("nothing said", "/v1/tasks/stop", `{}`, 422, "invalid", "filter"),
		post("empty filter", "/v1/tasks/stop", `{"filter": {}}`, 422, "invalid", "filter"),
		post("not all", "/v1/tasks/stop", `{"filter": {}, "all": false}`, 422, "invalid", "filter"),
		post("unknown filter", "/v1/tasks/stop", `{"filter": {"tags": "x"}}`, 422, "invalid", "filter.tags"),
		post("status of ended tasks", "/v1/tasks/stop", `{"filter": {"status": ["pending", "stopped"]}}`, 422, "invalid", "filter.status"),
		post("unknown status", "/v1/tasks/stop", `{"filter": {"status": ["done"]}}`, 422, "invalid", "filter.status[0]"),
		post("odd date", "/v1/tasks/stop", `{"filter": {"from_date": "yesterday"}}`, 422, "invalid", "filter.from_date"),
		post("text for dry_run", "/v1/tasks/stop", `{"all": true, "dry_run": "yes"}`, 422, "invalid", "dry_run"),
		post("ids and a filter", "/v1/tasks/stop", `{"ids": ["one"], "filter": {"agent_id": "agent-1"}}`, 422, "invalid", "ids"),
		post("ids and all", "/v1/tasks/stop", `{"ids": ["one"], "all": true}`, 422, "invalid", "ids"),
		post("too many ids", "/v1/tasks/stop", `{"ids": [`+strings.Repeat(`"x",`, 1000)+`"x"]}`, 422, "invalid", "ids"),
		post("no body", "/v1/tasks/stop", ``, 400, "malformed", ""),
	})
	if theirs := s.must(t, 200, call{method: "POST", path: "/v1/tasks/stop", key: strangerKey, body: `{"all": true}`}); theirs["matched"] != 0.0 {
		t.Errorf("a stranger matched %v", theirs["matched"])
	}
	stop(`{"filter": {"agent_id": "agent-1", "status": ["pending", "executing"]}}`, 2, 2)
	if got := s.must(t, 200, call{method: "GET", path: "/v1/tasks/three"}); got["status"] != "stopped" {
		t.Errorf("the sub-task is %v", got["status"])
	}
	s.task(t, "four")
	stop(`{"all": true}`, 1, 1)
}
