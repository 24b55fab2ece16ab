// Package storytest has logs of turns, for tests of what is told of them.
package storytest

import (
	"encoding/json"
	"flag"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/errand-dev/errand/server/internal/task"
)

// Log makes the log of a turn, from its first event on: of each line the first word is
// the type of an event, and the rest its data.
func Log(t *testing.T, lines ...string) []task.Event {
	t.Helper()
	events := make([]task.Event, len(lines))
	for i, line := range lines {
		name, data, _ := strings.Cut(line, " ")
		e := task.Event{Seq: int64(i + 1), Turn: 1, Type: task.Type(name), Time: task.Stamp(1e15), Own: json.RawMessage(data)}
		if e.Type == task.TaskCreated {
			e.Kept, e.Own = e.Own, json.RawMessage(`{}`)
		}
		if !e.Type.Valid() || !json.Valid([]byte(data)) {
			t.Fatalf("no event: %s", line)
		}
		events[i] = e
	}
	return events
}

var update = flag.Bool("update", false, "write what is told as what is expected") //nolint:gochecknoglobals // as flags are

// Golden holds what is told of all cases to what the file testdata/told.txt has: of each
// under the case's name and the keys of what tell returns.
func Golden(t *testing.T, tell func(t *testing.T, log []string) map[string]string) {
	t.Helper()
	const file = "testdata/told.txt"
	var all strings.Builder
	for _, c := range Cases() {
		told := tell(t, c.Log)
		for _, more := range slices.Sorted(maps.Keys(told)) {
			all.WriteString("## " + c.Name + more + "\n" + told[more] + "\n")
		}
	}
	if *update {
		if err := os.MkdirAll("testdata", 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(all.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), all.String()); diff != "" {
		t.Errorf("what is told is not what %s has; if it is right, run the test with -update:\n%s", file, diff)
	}
}

// Case is a log and what it is about.
type Case struct {
	Name string
	Log  []string
}

// Cases are logs of all that is told.
func Cases() []Case {
	const (
		begun = `task_created {}`
		one   = `attempt_started {"attempt":1}`
		two   = `attempt_started {"attempt":2}`
	)
	return []Case{
		{"text", []string{begun, one, `chunk "Hel"`, `step {"n":1}`, `chunk "lo"`, `task_finished {"status":"completed","end_reason":"completed","result":"Hello"}`}},
		{"no text but a result", []string{begun, one, `task_finished {"status":"completed","end_reason":"completed","result":"Done"}`}},
		{"a result that goes on", []string{begun, one, `chunk "Hel"`, `task_finished {"status":"completed","end_reason":"completed","result":"Hello"}`}},
		{"a result that is another", []string{begun, one, `chunk "reading"`, `task_finished {"status":"completed","end_reason":"completed","result":"Done"}`}},
		{"nothing", []string{begun, one, `task_finished {"status":"completed","end_reason":"completed","result":null}`}},
		{"thoughts", []string{
			begun, one, `think {"title":"Thinking","thought":"Let "}`, `think {"title":"Thinking","thought":"me see"}`, `chunk "Yes"`,
			`usage {"provider":"openai","model":"m","tokens":{"prompt_tokens":3,"completion_tokens":2}}`,
			`usage {"provider":"openai","model":"m","tokens":{"prompt_tokens":1,"completion_tokens":1}}`,
			`task_finished {"status":"completed","end_reason":"completed","result":"Yes"}`,
		}},
		{"tools", []string{
			begun, one, `chunk "I look"`, `task_compactization {"type":"retry","data":{"is_retry":true}}`, `think {"title":"Thinking","thought":"I look"}`,
			`tool_call_request {"request_id":"call_1_1_0","tool_name":"fetch","payload":{"url":"x"}}`,
			`tool_call_request {"request_id":"call_1_1_1","tool_name":"sql","payload":{}}`,
			`tool_call_result {"request_id":"call_1_1_1","tool_name":"sql","payload":{},"result":"broken","is_error":true}`,
			`tool_call_result {"request_id":"call_1_1_0","tool_name":"fetch","payload":{"url":"x"},"result":{"a":1},"is_error":false}`,
			`chunk "It is 1."`, `task_updated {"tokens":{"prompt_tokens":5,"completion_tokens":7}}`,
			`task_finished {"status":"completed","end_reason":"completed","result":"It is 1."}`,
		}},
		{"a result of a call that nobody has told of", []string{
			begun, one, `tool_call_result {"request_id":"x","operation_id":"look","result":"ok"}`, `task_finished {"status":"completed","end_reason":"completed","result":"ok"}`,
		}},
		{"the caller's tools", []string{
			`task_created {"client_tools":[{"name":"paint"},{"name":"draw"}]}`, one, `chunk "Look:"`,
			`tool_call_request {"request_id":"call_1_1_0","tool_name":"paint","payload":{"c":1}}`,
			`tool_call_request {"request_id":"call_1_1_1","tool_name":"draw","payload":{"c":2}}`,
			`tool_call_result {"request_id":"call_1_1_1","tool_name":"draw","payload":{"c":2},"result":"Not carried out","is_error":true}`,
			`task_finished {"status":"completed","end_reason":"completed","result":"Look:","open_calls":[{"id":"call_1_1_0","name":"paint","arguments":{"c":1}}]}`,
		}},
		{"plan and sub-tasks", []string{
			begun, one, `plan_updated {"tasks":[{"title":"a","completed":false}]}`, `sub_agent_trigger {"agent_id":"helper","task_id":"s1","query":"Find it"}`,
			`sub_agent_trigger {"agent_id":"helper","task_id":"s3","query":"And that"}`,
			`subtask_finished {"task_id":"s1","agent_id":"helper","status":"completed","end_reason":"completed"}`,
			`subtask_finished {"task_id":"s2","agent_id":"other","status":"error","end_reason":"worker_lost"}`,
			`task_finished {"status":"completed","end_reason":"completed","result":"Found"}`,
		}},
		{"an approval", []string{
			begun, one, `tool_call_request {"request_id":"call_1_1_0","tool_name":"pay","payload":{"eur":3}}`,
			`approval_requested {"id":"ap1","key":"approve-call_1_1_0","kind":"approval","title":"May pay be called?","tool_name":"pay","payload":{"eur":3}}`,
			`paused {"cause":"approval","approvals":["ap1"],"any":true}`,
			`approval_answered {"id":"ap1","key":"approve-call_1_1_0","status":"answered","answer":"approve","by":"key k"}`, `resumed {"cause":"approval"}`, two,
			`tool_call_result {"request_id":"call_1_1_0","tool_name":"pay","payload":{"eur":3},"result":"paid","is_error":false}`, `chunk "Paid."`,
			`task_finished {"status":"completed","end_reason":"completed","result":"Paid."}`,
		}},
		{"a question", []string{
			begun, one, `chunk "Asking"`,
			`approval_requested {"id":"q1","key":"who","kind":"question","message":"Who?","schema":{"type":"string"},"deadline":"2026-12-01T00:00:00Z"}`,
			`paused {"cause":"person","approvals":["q1"]}`, `approval_answered {"id":"q1","key":"who","status":"answered","answer":"approve","value":"Ann","by":"key k"}`,
			`resumed {"cause":"person"}`, two, `chunk "Ann it is"`, `task_finished {"status":"completed","end_reason":"completed","result":"Ann it is"}`,
		}},
		{"output files", []string{
			begun, one, `output {"name":"a.csv","file_id":"f1","size":3,"content_type":"text/csv"}`, `output {"name":"b.txt","file_id":"f2","size":4,"content_type":"text/plain"}`,
			`chunk "Wro"`, `output {"name":"a.csv","file_id":"f3","size":5,"content_type":"text/csv"}`, `chunk "te"`,
			`task_finished {"status":"completed","end_reason":"completed","result":"Wrote"}`,
		}},
		{"failed", []string{begun, one, `chunk "I can"`, `task_finished {"status":"failed","end_reason":"failed","result":"I cannot"}`}},
		{"error", []string{begun, one, `chunk "I"`, `task_finished {"status":"error","end_reason":"timeout","result":null}`}},
		{"stopped", []string{begun, one, `chunk "I"`, `stop_requested {}`, `task_finished {"status":"stopped","end_reason":"stopped","result":null}`}},
		{"a lost attempt", []string{
			begun, one, `think {"thought":"Hm"}`, `chunk "Hel"`, `attempt_lost {"attempt":1,"reason":"the lease ran out"}`, two, `chunk "Good "`, `chunk "day"`,
			`task_finished {"status":"completed","end_reason":"completed","result":"Good day"}`,
		}},
	}
}
