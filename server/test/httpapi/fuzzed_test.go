package httpapi_test

import (
	"strings"
	"testing"
)

// What the fuzzers have found, each with the answer that it has to get: tools
// send such things, and so do scripts with an unset variable.

// A method that a path has not is told from a path that is not there, on both
// faces, and the answer lists what there is.
func TestAWrongMethodIsToldWhatThereIs(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, c := range []struct{ method, path, allow string }{
		{"TRACE", "/v1/tasks", "GET, POST"},
		{"OPTIONS", "/v1/claim", "POST"},
		{"POST", "/v1/tasks/one", "GET, PATCH, DELETE"},
		{"PUT", "/agent-execution/one/status", "GET"},
		{"POST", "/healthz", "GET"},
	} {
		refuse(t, s, []refusal{{c.method + " " + c.path, call{method: c.method, path: c.path}, 405, "method_not_allowed", ""}})
		if got := s.do(t, call{method: c.method, path: c.path}).header.Values("Allow"); len(got) != 1 || got[0] != c.allow {
			t.Errorf("%s %s: Allow %q, want %q", c.method, c.path, got, c.allow)
		}
	}
}

// A filter whose value is empty would be no filter at all.
func TestAnEmptyFilterIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "one")
	refuse(t, s, []refusal{
		get("date", "/v1/tasks?to_date=", 422, "invalid", "to_date"),
		get("status", "/v1/tasks?status=", 422, "invalid", "status"),
		get("page", "/v1/agents/agent-1/tasks?page=", 422, "invalid", "page"),
		get("half an escape", "/v1/tasks?status=%f", 422, "invalid", "query"),
		get("turns", "/v1/tasks/one/events?turns=", 422, "invalid", "turns"),
		get("version", "/v1/agents/agent-1?version=", 422, "invalid", "version"),
		post("wait", "/v1/agents/agent-1/invoke?wait=", `{"input": {}}`, 422, "invalid", "wait"),
	})
	s.must(t, 200, call{method: "GET", path: "/v1/tasks?cursor=&user_id="}) // texts may be
}

// Who names a parameter that is not there is told which are.
func TestAnUnknownParameterIsToldTheKnownOnes(t *testing.T) {
	t.Parallel()
	s := start(t)
	got := s.must(t, 422, call{method: "GET", path: "/v1/tasks?limit=5"})
	if detail, _ := got["detail"].(string); got["field"] != "limit" || !strings.Contains(detail, "per_page") {
		t.Errorf("answered %v", got)
	}
}

// A number that JSON takes for whole and Go does not is refused in words about
// the field, not about the server's types.
func TestANumberThatDoesNotFitIsNamed(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	table := []refusal{
		create("fraction of nothing", `"priority": 5.0`, "priority"),
		post("exponent", "/v1/claim", `{"agent_ids": ["agent-1"], "worker_id": "w", "slots": 1e1}`, 422, "invalid", "slots"),
		post("below", "/v1/agents/agent-1/report", `{"tokens": {"prompt_tokens": 7.0}}`, 422, "invalid", "tokens.prompt_tokens"),
		post("beyond 64 bits", "/v1/agents/agent-1/report", `{"tokens": {"prompt_tokens": 9223372036854775808}}`, 422, "invalid", "tokens.prompt_tokens"),
		create("beyond any float", `"timeout": 1e400`, "body").coded(400, "malformed"),
	}
	refuse(t, s, table)
	for _, c := range table {
		if got := string(s.do(t, c.call).body); strings.Contains(got, "Go ") || strings.Contains(got, "int64") || strings.Contains(got, "unmarshal") {
			t.Errorf("%s: speaks of the server's insides: %s", c.name, got)
		}
	}
}

// A member that stands twice is refused: of the first one only the second would
// have been checked, and decoding mixes both.
func TestAMemberThatStandsTwiceIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "one")
	long := strings.Repeat("x", 200)
	refuse(t, s, []refusal{
		create("at the top", `"priority": 1, "priority": 2`, "priority"),
		create("as an escape", `"title": "a", "tit\u006ce": "b"`, "title"),
		input("below", `{"text": "a", "text": "b"}`, "input.text"),
		create("in what is the user's own", `"payload_extension": {"a": [{"b": 1, "b": 2}]}`, "payload_extension.a[0].b"),
		post("hides a client_id that is too long", "/v1/tasks/one/events",
			`{"events": [{"type": "agent_message", "data": "x", "client_id": "`+long+`"}], "events": [{"type": "agent_message", "data": "y"}]}`,
			422, "invalid", "events"),
		post("hides a filter", "/v1/tasks/stop", `{"all": true, "filter": {"agent_id": "agent-1"}, "filter": {}}`, 422, "invalid", "filter"),
	})
}

// A moment whose zone takes it out of the years that can be written is refused.
func TestAMomentBeyondAllYearsIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "one")
	for _, at := range []string{"9999-12-31T23:59:59-23:59", "0000-01-01T00:00:00+23:59"} {
		refuse(t, s, []refusal{
			create("late task", `"run_at": "`+at+`"`, "run_at"),
			{"late edit", call{method: "PATCH", path: "/v1/tasks/one", body: `{"run_at": "` + at + `"}`}, 422, "invalid", "run_at"},
		})
	}
}

// Credentials without a key are none: a null in a required place is no value.
func TestCredentialsWithoutAKeyAreRefused(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, value := range []string{`null`, `""`} {
		refuse(t, s, []refusal{
			post("value "+value, "/v1/agents", `{"name": "a", "llm_credentials": {"name": "n", "value": `+value+`}}`, 422, "invalid", "llm_credentials.value"),
			post("name "+value, "/v1/agents", `{"name": "a", "llm_credentials": {"name": `+value+`, "value": "v"}}`, 422, "invalid", "llm_credentials.name"),
		})
	}
}

// A list that must be given cannot be null.
func TestANullIsNoList(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "one")
	refuse(t, s, []refusal{
		post("agents", "/v1/claim", `{"agent_ids": null, "worker_id": "w"}`, 422, "invalid", "agent_ids"),
		post("events", "/v1/tasks/one/events", `{"events": null}`, 422, "invalid", "events"),
	})
}
