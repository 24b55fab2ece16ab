package httpapi_test

import "testing"

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
