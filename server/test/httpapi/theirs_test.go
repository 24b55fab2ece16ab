package httpapi_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

const weather = `"client_tools": [{"name": "weather", "description": "What the weather is.", "input_schema": {"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}}}]`

// messages are those of a request to a provider.
func (p *provider) messages(n int) []any { return p.requests()[n]["messages"].([]any) }

// of are the data of a turn's events of a type.
func of(events []map[string]any, kind string) []map[string]any {
	var found []map[string]any
	for _, e := range events {
		if data, is := e["data"].(map[string]any); is && e["type"] == kind {
			found = append(found, data)
		}
	}
	return found
}

// T10: a turn in which the model calls tools of the caller's ends with these calls open,
// once the server has carried out its own; the next one brings what came of them, over a
// restart, and the model is told all of it as it was.
func TestT10TheCallersTools(t *testing.T) {
	t.Parallel()
	p := newProvider(
		t,
		says(append([]string{said("Let me look.")}, calls(
			[2]string{"weather", `{"city": "Ely"}`}, [2]string{"list_files", `{}`}, [2]string{"weather", `{"city": "Bath"}`})...)...),
		says(calls([2]string{"weather", `{"city": "York"}`})...),
		says(said("It rains."), ended), says(said("You are welcome."), ended),
	)
	s := start(t, p.use)
	s.modelAgent(t, `, "tools": ["files"]`)
	file := s.upload(t, "places.txt", "Ely, Bath")["url"].(string)
	s.wonder(t, `"input": {"text": "How is it there?", "files": ["`+file+`"]}, "output_schema": {"type": "string"}, `+weather)
	got := s.waitFor(t, "one", "completed")
	open, _ := json.Marshal(got["open_calls"])
	if want := `[{"arguments":{"city":"Ely"},"id":"call_1_1_0","name":"weather"},{"arguments":{"city":"Bath"},"id":"call_1_1_2","name":"weather"}]`; string(open) != want ||
		got["result"] != "Let me look." || got["end_reason"] != "completed" || got["result_check"] != nil || fmt.Sprint(got["used_tools"]) != "[weather list_files]" {
		t.Errorf("T10: it ends with %s, %v", open, got)
	}
	events := s.events(t, "one")
	if requests, results := of(events, "tool_call_request"), of(events, "tool_call_result"); len(requests) != 3 || len(results) != 1 || results[0]["request_id"] != "call_1_1_1" ||
		len(of(events, "think")) != 0 || len(of(events, "task_compactization")) != 0 {
		t.Errorf("T10: the log says %s", types(events))
	}

	next := func(status int, text, members string) map[string]any {
		return s.must(t, status, call{method: "POST", path: "/v1/tasks", key: userKey, body: `{"agent_id": "sage", "id": "one", "input": {"text": "` + text + `"}, ` + members + `}`})
	}
	for results, field := range map[string]string{
		`[{"call_id": "call_1_1_1", "content": "x"}]`:                                               "tool_results[0].call_id",
		`[{"call_id": "call_1_1_0", "content": "x"}, {"call_id": "nobody's", "content": "x"}]`:      "tool_results[1].call_id",
		`[{"call_id": "call_1_1_0", "content": "x"}, {"call_id": "call_1_1_0", "content": "more"}]`: "tool_results[1].call_id",
	} {
		if refused := next(422, "", `"tool_results": `+results); refused["field"] != field {
			t.Errorf("T10: %s is answered %v", results, refused)
		}
	}

	s.again(t, p.use)
	next(201, "", `"tool_results": [{"call_id": "call_1_1_2", "content": "fog", "is_error": true}]`)
	got = s.waitFor(t, "one", "completed")
	if calls := got["open_calls"].([]any); len(calls) != 1 || calls[0].(map[string]any)["id"] != "call_2_1_0" || got["result"] != nil {
		t.Errorf("T10: the second turn ends with %v", got)
	}
	if told := results(p.requests()[1]); len(told) != 3 || !strings.HasPrefix(told[0], "p0 Error: The caller has given no result") || !strings.Contains(told[1], "places.txt") || told[2] != "p2 Error: fog" {
		t.Errorf("T10: the model is told %q", told)
	}
	if before := p.messages(0); !reflect.DeepEqual(p.messages(1)[:len(before)], before) || len(p.messages(1)) != len(before)+4 {
		t.Errorf("T10: the conversation was\n%v\nand became\n%v", before, p.messages(1))
	}
	if !reflect.DeepEqual(p.requests()[0]["tools"], p.requests()[1]["tools"]) {
		t.Errorf("T10: the tools became %v", p.requests()[1]["tools"])
	}

	next(201, "", `"tool_results": [{"call_id": "call_2_1_0", "content": "rain"}], "client_tools": [{"name": "other"}]`)
	if got = s.waitFor(t, "one", "completed"); len(got["open_calls"].([]any)) != 0 || got["result"] != "It rains." {
		t.Errorf("T10: the third turn ends with %v", got)
	}
	if before := p.messages(1); !reflect.DeepEqual(p.messages(2)[:len(before)], before) || len(p.messages(2)) != len(before)+2 {
		t.Errorf("T10: the conversation was\n%v\nand became\n%v", before, p.messages(2))
	}
	all := s.parts(t, "/v1/tasks/one/events?turns=all&limit=1000", "")
	told := 0
	for _, e := range all {
		if e := e.(map[string]any); e["type"] == "tool_call_result" {
			told++
		}
	}
	if told != 4 {
		t.Errorf("T10: viewers are told of %d results", told)
	}

	// What follows has what was asked and answered.
	next(201, "Thanks.", `"title": "Thanks"`)
	s.waitFor(t, "one", "completed")
	var roles []string
	for _, m := range p.messages(3) {
		m := m.(map[string]any)
		roles = append(roles, fmt.Sprint(m["role"], ": ", m["content"]))
	}
	if got := strings.Join(roles, " | "); !strings.HasSuffix(got, "user: How is it there? | assistant: It rains. | user: Thanks.") {
		t.Errorf("T10: afterwards it is told %s", got)
	}
}

// T10: what a model gives a tool of the caller's and does not follow its schema is told
// to the model, and so is a name that the caller and the agent both use.
func TestT10WhatIsNotCalled(t *testing.T) {
	t.Parallel()
	p := newProvider(t, says(calls([2]string{"weather", `{"town": "Ely"}`})...), says(said("I see."), ended))
	s := start(t, p.use)
	s.modelAgent(t, `, "tools": ["files"]`)
	s.wonder(t, `"input": {"text": "How is it there?"}, `+weather)
	if got := s.waitFor(t, "one", "completed"); len(got["open_calls"].([]any)) != 0 || got["result"] != "I see." {
		t.Errorf("T10: it ends with %v", got)
	}
	if told := results(p.requests()[1]); len(told) != 1 || !strings.Contains(told[0], "do not follow the tool's schema") {
		t.Errorf("T10: the model is told %q", told)
	}
	s.must(t, 201, call{method: "POST", path: "/v1/tasks", key: userKey, body: `{"agent_id": "sage", "id": "two", "input": {"text": "x"}, "client_tools": [{"name": "list_files"}]}`})
	if got := s.waitFor(t, "two", "failed"); !strings.Contains(fmt.Sprint(got["result"]), `"list_files" (client_tools) has the name of one that the agent has`) {
		t.Errorf("T10: it ends with %v", got["result"])
	}
}

// T10: what cannot be a caller's tool, or the result of one, is refused with its field.
func TestT10Refused(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	s := start(t, p.use)
	s.modelAgent(t, "")
	s.agent(t, "remote")
	many := make([]string, 129)
	for i := range many {
		many[i] = fmt.Sprintf(`{"name": "t%d"}`, i)
	}
	for _, x := range []struct {
		agent, members string
		status         int
		field          string
	}{
		{"remote", weather, 422, "client_tools"},
		{"sage", `"client_tools": [{"name": ""}]`, 422, "client_tools[0].name"},
		{"sage", `"client_tools": [{"name": "a b"}]`, 422, "client_tools[0].name"},
		{"sage", `"client_tools": [{"name": "a"}, {"name": "a"}]`, 422, "client_tools[1].name"},
		{"sage", `"client_tools": [{"name": "a", "input_schema": {"type": "string"}}]`, 422, "client_tools[0].input_schema"},
		{"sage", `"client_tools": [{"name": "a", "input_schema": {"type": "object", "pattern": "("}}]`, 422, "client_tools[0].input_schema"},
		{"sage", `"client_tools": [{"name": "a", "inputSchema": {}}]`, 422, "client_tools[0].inputSchema"},
		{"sage", `"client_tools": [{"name": "a", "description": "` + strings.Repeat("x", 300_000) + `"}]`, 413, "client_tools"},
		{"sage", `"client_tools": [` + strings.Join(many, ", ") + `]`, 422, "client_tools"},
		{"sage", `"tool_results": [{"call_id": "x", "content": "y"}]`, 422, "tool_results[0].call_id"},
		{"remote", `"tool_results": [{"call_id": "x", "content": "y"}]`, 422, "tool_results[0].call_id"},
		{"sage", `"tool_results": [{"call_id": "x", "content": "` + strings.Repeat("x", 2<<20) + `"}]`, 413, "tool_results"},
	} {
		got := s.must(t, x.status, call{method: "POST", path: "/v1/tasks", key: userKey, body: `{"agent_id": "` + x.agent + `", "input": {"text": "x"}, ` + x.members + `}`})
		if got["field"] != x.field {
			t.Errorf("T10: %.100s is answered %v", x.members, got)
		}
	}
}
