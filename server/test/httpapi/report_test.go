package httpapi_test

import (
	"bytes"
	"testing"
)

// A5: secrets are answered only on the routes that a worker needs them from. A
// report of an external task (R11) is none of these, whoever asks, and what a
// later report leaves out stays as it was.
func TestA5ReportAnswersNoSecretAndWipesNothing(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	const secret = "planted-in-a-task"
	s.must(t, 200, call{method: "POST", path: "/agent-execution/agent-1", body: `{"id": "one", "input": {"text": "x"},
		"run_locally": true, "user_tokens": {"mail": "` + secret + `"}}`})
	const forWorkers = "/agent-execution/one/status"
	if got := s.do(t, call{method: "GET", path: forWorkers}); !bytes.Contains(got.body, []byte(secret)) {
		t.Fatal("the route for workers does not answer it either: the test shows nothing")
	}
	const path = "/agent-execution/agent-1/report_task"
	first := s.do(t, call{method: "POST", path: path, body: `{"id": "one", "result": "a", "duration": 2,
		"used_tools": ["mail"], "tokens": {"completion_tokens": 3, "prompt_tokens": 4}}`})
	again := s.do(t, call{method: "POST", path: path, body: `{"id": "one", "result": "b"}`})
	for _, got := range []answer{first, again} {
		if got.status != 200 || bytes.Contains(got.body, []byte(secret)) {
			t.Fatalf("answered %d %s", got.status, clip(got.body))
		}
	}
	shown := object(t, again.body)
	tokens, _ := shown["tokens"].(map[string]any)
	tools, _ := shown["used_tools"].([]any)
	if shown["result"] != "b" || tokens["completion_tokens"] != 3.0 || len(tools) != 1 || shown["duration"] != 2.0 {
		t.Fatalf("result %v, tokens %v, tools %v, duration %v", shown["result"], tokens, tools, shown["duration"])
	}
	if got := s.do(t, call{method: "GET", path: forWorkers}); bytes.Contains(got.body, []byte(secret)) {
		t.Fatal("the ended turn keeps its secrets")
	}
}
