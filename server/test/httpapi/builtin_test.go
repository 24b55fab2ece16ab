package httpapi_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// calls answers with calls of tools, each a name and arguments.
func calls(list ...[2]string) []string {
	chunks := []string{}
	for i, c := range list {
		chunks = append(chunks, fmt.Sprintf(`{"choices":[{"delta":{"tool_calls":[{"index":%d,"id":"p%d","type":"function","function":{"name":%q,"arguments":%q}}]}}]}`, i, i, c[0], c[1]))
	}
	return append(chunks, `{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}`)
}

// results are the results of tools in a request to a provider.
func results(request map[string]any) []string {
	var all []string
	messages, _ := request["messages"].([]any)
	for _, m := range messages {
		if m, _ := m.(map[string]any); m["role"] == "tool" {
			all = append(all, fmt.Sprint(m["tool_call_id"], " ", m["content"]))
		}
	}
	return all
}

// T9: a model reads the task's files piece by piece, and URLs but for private ones; the
// task tells which tools it used, and its log what they were asked and what they said.
func TestT9ModelUsesBuiltInTools(t *testing.T) {
	t.Parallel()
	p := newProvider(
		t,
		says(calls([2]string{"list_files", ""}, [2]string{"read_file", `{"name": "facts.txt", "offset": 4}`}, [2]string{"read_file", `{"name": "none"}`}, [2]string{"fetch", `{"url": "http://169.254.169.254/"}`})...),
		says(said("So it is."), ended),
	)
	s := start(t, p.use)
	s.modelAgent(t, `, "tools": ["files", "fetch"]`)
	file := s.upload(t, "facts.txt", "The sea is salty.")
	s.wonder(t, fmt.Sprintf(`"input": {"text": "Why?", "files": [%q]}, "disable_attachment_injection": true`, file["url"]))
	got := s.waitFor(t, "one", "completed")
	if diff := cmp.Diff([]any{"list_files", "read_file", "fetch"}, got["used_tools"]); got["result"] != "So it is." || diff != "" {
		t.Errorf("result %v, tools (-want +got):\n%s", got["result"], diff)
	}
	asked := p.requests()
	want := []string{
		"p0 facts.txt", "p1 sea is salty.\n(This is the end: bytes 4 to 17.)", `p2 Error: There is no file "none". There are: facts.txt.`,
		"p3 Error: the server does not fetch from private addresses, where this leads (169.254.169.254)",
	}
	if diff := cmp.Diff(want, results(asked[1])); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
	names := ""
	tools, _ := asked[0]["tools"].([]any)
	for _, x := range tools {
		names += fmt.Sprint(x.(map[string]any)["function"].(map[string]any)["name"], " ")
	}
	if names != "fetch list_files read_file " {
		t.Errorf("tools %q", names)
	}
	if told := s.told(t, "tool_call_result", "result"); !strings.Contains(told, "sea is salty") || !strings.Contains(s.told(t, "tool_call_request", "request_id"), "call_1_1_0call_1_1_1") {
		t.Errorf("told %q", told)
	}
}

// T9: only tools that the server has can be asked for, each once, and only for models.
func TestT9RecordsNameTools(t *testing.T) {
	t.Parallel()
	s := start(t)
	for body, field := range map[string]string{
		`{"name": "x", "runtime": "model", "model_name": "m", "tools": ["files", "rm"]}`: "tools[1]",
		`{"name": "x", "runtime": "profile", "tools": ["files"]}`:                        "tools",
	} {
		if got := s.must(t, 422, call{method: "PUT", path: "/v1/agents/x", body: body}); got["field"] != field {
			t.Errorf("%s: field %v, want %s", body, got["field"], field)
		}
	}
	got := s.must(t, 200, call{method: "PUT", path: "/v1/agents/x", body: `{"name": "x", "runtime": "model", "model_name": "m", "tools": ["files", "fetch", "files"]}`})
	if list, _ := got["tools"].([]any); len(list) != 2 || list[0] != "fetch" || list[1] != "files" {
		t.Errorf("tools %v", got["tools"])
	}
}
