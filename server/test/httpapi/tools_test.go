package httpapi_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// planner applies an agent that plans, and makes a task for it.
func (s *server) planner(t *testing.T, agent, id string) {
	t.Helper()
	s.must(t, 200, call{method: "PUT", path: "/v1/agents/" + agent, body: `{"name": "P", "lease_seconds": 3600, "deep_planning": true, "enforce_deep_planning": true}`})
	s.must(t, 200, call{method: "POST", path: "/agent-execution/" + agent, body: `{"id": "` + id + `", "input": {"text": "x"}}`})
}

// operate is R17: a tool called for a task.
func operate(tool, id, args string) call {
	return call{
		method: "POST", path: "/agents/agent-1/operations/" + tool, key: workerKey,
		header: map[string]string{"x-execution-id": id}, body: `{"body_params": ` + args + `, "query_params": {}, "headers": {"toolcallreasoningtitle": "t"}}`,
	}
}

// preflight is R17 as a report of a call that the worker made itself.
func preflight(tool, id, callID, body string) call {
	c := call{
		method: "POST", path: "/agents/agent-1/operations/" + tool, key: workerKey, body: body,
		header: map[string]string{"x-execution-id": id, "x-preflight-check": "true", "x-agent-version": "1"},
	}
	if callID != "" {
		c.header["x-tool-call-id"] = callID
	}
	return c
}

// noted makes a preflight, which is answered in one way only.
func (s *server) noted(t *testing.T, c call) {
	t.Helper()
	if got := s.do(t, c); got.status != 200 || string(got.body) != "{}" {
		t.Errorf("%s: answered %d %s", c.path, got.status, clip(got.body))
	}
}

// types are the types of a log.
func types(events []map[string]any) string {
	var all []string
	for _, e := range events {
		all = append(all, fmt.Sprint(e["type"]))
	}
	return strings.Join(all, " ")
}

// items are the ids of a plan's items.
func items(plan any) []string {
	var ids []string
	for _, item := range plan.(map[string]any)["tasks"].([]any) {
		ids = append(ids, item.(map[string]any)["id"].(string))
	}
	return ids
}

// TestPythonPlanTools works a plan off by R17: the task shows it, and each
// change is one task_updated and one plan_updated.
func TestPythonPlanTools(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.planner(t, "agent-1", "one")
	viewer := s.follow(t, call{method: "GET", path: "/default/agent-execution/one/events"})
	viewer.next(t)

	made := s.must(t, 200, operate("xpcreate_agent_plan", "one", `{"tasks": [{"title": "Read"}, {"title": "Write"}], "auto_start": true}`))
	ids := items(made)
	if len(ids) != 2 || made["started"] != true || made["enabled"] != true || made["enforce"] != true || made["plan_complete"] != false || made["total_tasks"] != 2.0 {
		t.Fatalf("made %v", made)
	}
	s.must(t, 200, operate("xpcomplete_agent_plan_items", "one", `{"ids": ["`+ids[0]+`"]}`))
	asked := s.must(t, 200, operate("xpask_for_information", "one", `{"question": "Where to?"}`))
	if asked["question_raised"] != true {
		t.Errorf("asked %v", asked)
	}
	// The client answers a question by writing the whole task back.
	plan, err := json.Marshal(map[string]any{"enabled": true, "enforce": true, "started": true, "question_raised": false, "tasks": made["tasks"]})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.patch(t, "one", `{"id": "one", "status": "pending", "deep_planning": `+string(plan)+`}`); got["deep_planning"].(map[string]any)["question_raised"] != false {
		t.Errorf("written back: %v", got["deep_planning"])
	}
	s.patch(t, "one", `{"id": "one", "deep_planning": null}`)
	done := s.must(t, 200, operate("xpcomplete_agent_plan_items", "one", `{"ids": ["`+ids[0]+`", "`+ids[1]+`"]}`))
	if done["plan_complete"] != true {
		t.Errorf("completed %v", done)
	}
	shown := s.must(t, 200, call{method: "GET", path: "/agent-execution/one/status"})["deep_planning"]
	if fmt.Sprint(shown) != fmt.Sprint(s.must(t, 200, call{method: "GET", path: "/v1/tasks/one"})["deep_planning"]) ||
		strings.Count(fmt.Sprint(shown), "completed:true") != 2 {
		t.Errorf("the task shows %v", shown)
	}
	read := s.must(t, 200, call{method: "POST", path: "/agents/agent-1/operations/xpget_agent_plan/", header: map[string]string{"x-execution-id": "one"}})
	if fmt.Sprint(read["tasks"]) != fmt.Sprint(done["tasks"]) {
		t.Errorf("read %v", read)
	}

	events := s.events(t, "one")
	want := "task_created task_updated plan_updated task_updated plan_updated task_updated plan_updated task_updated task_updated plan_updated"
	if got := types(events); got != want {
		t.Errorf("the log says\n%s\nwant\n%s", got, want)
	}
	if last := events[len(events)-1]["data"]; fmt.Sprint(last) != fmt.Sprint(shown) {
		t.Errorf("plan_updated carries %v", last)
	}
	s.must(t, 200, call{method: "DELETE", path: "/agent-execution/one"})
	n := 0
	for _, m := range viewer.rest(t) {
		if strings.Contains(m.data, `"type":"plan_updated"`) {
			n++
		}
	}
	if n != 4 {
		t.Errorf("a viewer saw %d plans", n)
	}
}

// TestPythonPlanRefusals become tool results that a model can understand, and
// leave everything as it is.
func TestPythonPlanRefusals(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.planner(t, "agent-1", "one")
	s.agent(t, "plain")
	s.must(t, 200, call{method: "POST", path: "/agent-execution/plain", body: `{"id": "plain-task", "input": {}}`})
	s.planner(t, "other", "others")
	s.must(t, 200, operate("xpcreate_agent_plan", "one", `{"tasks": [{"title": "Read"}], "auto_start": true}`))
	before := s.stored(t)
	noTask := operate("xpget_agent_plan", "", `{}`)
	delete(noTask.header, "x-execution-id")
	narrow := operate("xpget_agent_plan", "one", `{}`)
	narrow.key = narrowKey
	broken := operate("xpstart_execution_plan", "one", `{}`)
	broken.body = `{"body_params": `
	for _, x := range []struct {
		call
		status int
		says   string
	}{
		{operate("xpcomplete_agent_plan_items", "one", `{"ids": ["nope"]}`), 404, "nope"},
		{operate("xpadd_new_agent_plan_item", "one", `{"title": ""}`), 422, "title"},
		{operate("xpcreate_agent_plan", "one", `{"tasks": [{"title": "Again"}]}`), 409, "has started"},
		{operate("xpcreate_agent_plan", "one", `"text"`), 422, "arguments"},
		{operate("xpadd_new_agent_plan_item", "one", `{"title": "a\u0000b"}`), 422, "body_params.title"},
		{operate("xpget_agent_plan", "plain-task", `{}`), 409, "not enabled"},
		{operate("xpget_agent_plan", "no-such-task", `{}`), 404, "no-such-task"},
		{operate("send_mail", "one", `{}`), 404, "send_mail"},
		{noTask, 422, "x-execution-id"},
		{narrow, 403, "agent-1"},
		{broken, 400, "JSON"},
	} {
		got := s.do(t, x.call)
		if detail, _ := object(t, got.body)["detail"].(string); got.status != x.status || !strings.Contains(detail, x.says) {
			t.Errorf("%s %s: answered %d %s", x.path, x.body, got.status, clip(got.body))
		}
	}
	if after := s.stored(t); after != before {
		t.Errorf("something was stored\nbefore: %s\nafter:  %s", before, after)
	}
	for body, says := range map[string]string{
		`{"deep_planning": {"tasks": [{"id": "a"}]}}`: "tasks[0].title",
		`{"deep_planning": "none"}`:                   "deep_planning",
	} {
		s.saysInvalid(t, call{method: "PATCH", path: "/agent-execution/one/update", body: body}, says)
	}
}

// saysInvalid makes a call that is refused in words.
func (s *server) saysInvalid(t *testing.T, c call, says string) {
	t.Helper()
	if detail := fmt.Sprint(s.must(t, 422, c)["detail"]); !strings.Contains(detail, says) {
		t.Errorf("%s %s: says %q", c.path, c.body, detail)
	}
}

// TestT6PlanOfAnEndedTurn is read and not changed; the log notes the attempt's
// late call once.
func TestT6PlanOfAnEndedTurn(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.planner(t, "agent-1", "one")
	s.must(t, 200, operate("xpcreate_agent_plan", "one", `{"tasks": [{"title": "Read"}, {"title": "Write"}], "auto_start": true}`))
	s.claim(t)
	s.must(t, 200, call{method: "DELETE", path: "/agent-execution/one"})
	before := len(s.events(t, "one"))
	for range 2 {
		s.must(t, 409, operate("xpadd_new_agent_plan_item", "one", `{"title": "Late"}`))
	}
	late := s.events(t, "one")[before:]
	if got := types(late); got != "late_write_refused" {
		t.Errorf("the log goes on with %s", got)
	}
	if got := s.must(t, 200, operate("xpget_agent_plan", "one", `{}`)); len(items(got)) != 2 {
		t.Errorf("the plan is %v", got)
	}

	// The user's answer starts the next turn, which goes on with the plan.
	next := s.must(t, 200, call{method: "POST", path: "/agent-execution/agent-1", body: `{"id": "one", "input": {"text": "go on"}}`})
	if plan := next["deep_planning"].(map[string]any); plan["started"] != true || len(items(plan)) != 2 {
		t.Errorf("the next turn's plan: %v", plan)
	}
	ids, err := json.Marshal(items(next["deep_planning"]))
	if err != nil {
		t.Fatal(err)
	}
	s.must(t, 200, operate("xpcomplete_agent_plan_items", "one", `{"ids": `+string(ids)+`}`))
	s.must(t, 200, call{method: "DELETE", path: "/agent-execution/one"})
	third := s.must(t, 200, call{method: "POST", path: "/agent-execution/agent-1", body: `{"id": "one", "input": {"text": "more"}}`})
	if plan := third["deep_planning"].(map[string]any); plan["started"] != false || len(items(plan)) != 0 {
		t.Errorf("a finished plan came back: %v", plan)
	}
}

// TestPythonRepeatedPlanCall changes nothing more: the first answer was lost.
func TestPythonRepeatedPlanCall(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.planner(t, "agent-1", "one")
	c := operate("xpadd_new_agent_plan_item", "one", `{"title": "Once"}`)
	c.header["x-tool-call-id"] = "call-1"
	first, again := s.must(t, 200, c), s.must(t, 200, c)
	if fmt.Sprint(first) != fmt.Sprint(again) || len(items(again)) != 1 {
		t.Errorf("first %v\nagain %v", first, again)
	}
	c.header["x-tool-call-id"] = "call-2"
	if other := s.must(t, 200, c); len(items(other)) != 2 {
		t.Errorf("another call: %v", other)
	}

	// The client pushes some of these calls under the same id before it makes them.
	s.must(t, 200, call{method: "POST", path: "/agent-execution/one/events/push", body: `[{"type": "tool_call_request", "data": {"request_id": "call-3"}}]`})
	ask := operate("xpask_for_information", "one", `{"question": "Which?"}`)
	ask.header["x-tool-call-id"] = "call-3"
	if asked := s.must(t, 200, ask); asked["question_raised"] != true {
		t.Errorf("asked: %v", asked)
	}
}

// TestPythonPlanCallsAtOnce lose nothing: each sees the plan that the one before
// it has made.
func TestPythonPlanCallsAtOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.planner(t, "agent-1", "one")
	const calls = 20
	answers := make(chan int, calls)
	for i := range calls {
		go func() {
			status := 0
			defer func() { answers <- status }()
			status = s.do(t, operate("xpadd_new_agent_plan_item", "one", fmt.Sprintf(`{"title": "Item %d"}`, i))).status
		}()
	}
	for range calls {
		if status := <-answers; status != 200 {
			t.Errorf("answered %d", status)
		}
	}
	titles := map[any]bool{}
	for _, item := range s.must(t, 200, operate("xpget_agent_plan", "one", `{}`))["tasks"].([]any) {
		titles[item.(map[string]any)["title"]] = true
	}
	if len(titles) != calls {
		t.Errorf("the plan holds %d of %d items", len(titles), calls)
	}
}

// TestPythonAgentListsPlanTools only if it plans.
func TestPythonAgentListsPlanTools(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.planner(t, "agent-1", "one")
	s.agent(t, "plain")
	if got := s.must(t, 200, call{method: "GET", path: "/agents/plain"})["tools"]; len(got.([]any)) != 0 {
		t.Errorf("an agent that does not plan has %v", got)
	}
	tools := s.must(t, 200, call{method: "GET", path: "/agents/agent-1"})["tools"].([]any)
	if len(tools) != 8 {
		t.Fatalf("%d tools", len(tools))
	}
	for _, x := range tools {
		tool := x.(map[string]any)
		for name := range strings.FieldsSeq("id name method path description") {
			if text, _ := tool[name].(string); text == "" {
				t.Errorf("%v: %s is %v", tool["id"], name, tool[name])
			}
		}
		params, _ := tool["parameters"].(map[string]any)
		properties, _ := params["properties"].(map[string]any)
		if params["type"] != "object" || !isObject(properties["body_params"]) {
			t.Errorf("%v: parameters %v", tool["id"], params)
		}
	}
}

// TestPythonPreflight notes what a worker's own tool did, in the log and in the
// activity, and never answers anything but {}.
func TestPythonPreflight(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "one")
	s.noted(t, preflight("add_up", "one", "call-1", `{"body_params": {"input": {"a": 1.10, "b": 2}, "output": [3.10, null]}}`))
	s.noted(t, preflight("mcp/odd%20name", "one", "", ""))
	events := s.events(t, "one")
	if got := types(events); got != "task_created tool_call_request tool_call_result tool_call_request tool_call_result" {
		t.Fatalf("the log says %s", got)
	}
	want := map[string]any{
		"request_id": "call-1", "operation_id": "add_up", "tool_name": "add_up", "payload": map[string]any{"a": 1.1, "b": 2.0},
	}
	if got := events[1]["data"]; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the request is %v", got)
	}
	want["result"], want["is_error"] = []any{3.1, nil}, false
	if got := events[2]["data"]; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the result is %v", got)
	}
	messages := s.must(t, 200, call{method: "GET", path: "/activity/agent-1/one"})["messages"].([]any)
	if len(messages) != 3 {
		t.Fatalf("the activity has %d messages: %v", len(messages), messages)
	}
	shown := messages[1].(map[string]any)
	if shown["tool_name"] != "add_up" || fmt.Sprint(shown["payload"]) != "map[a:1.1 b:2]" || fmt.Sprint(shown["result"]) != "[3.1 <nil>]" || shown["is_error"] != false {
		t.Errorf("the activity shows %v", shown)
	}
	if odd := messages[2].(map[string]any); odd["tool_name"] != "mcp/odd name" || !has(odd, "payload") {
		t.Errorf("a call without a body: %v", odd)
	}
}

// TestPythonPreflightOfAPushedCall: the client tells of some calls in both ways,
// in any order; they are told once, and that one has failed is never lost.
func TestPythonPreflightOfAPushedCall(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "one")
	push := func(kind, id string, failed bool) {
		s.must(t, 200, call{
			method: "POST", path: "/agent-execution/one/events/push", key: workerKey,
			body: fmt.Sprintf(`[{"type": %q, "data": {"request_id": %q, "operation_id": "f", "is_error": %v}}]`, kind, id, failed),
		})
	}
	report := func(id string) {
		s.noted(t, preflight("f", "one", id, `{"body_params": {"input": 1, "output": 2}}`))
	}
	log := types(s.events(t, "one"))
	for _, step := range []struct {
		do   func()
		adds string
	}{
		{func() { push("tool_call_request", "a", false) }, "tool_call_request"},
		{func() { report("a") }, ""},
		{func() { push("tool_call_result", "a", true) }, "tool_call_result"},
		{func() { push("tool_call_request", "a", false) }, "tool_call_request"}, // an old id, used anew
		{func() { report("b") }, "tool_call_request tool_call_result"},
		{func() { report("b") }, ""}, // sent once more
		{func() { push("tool_call_request", "b", false) }, ""},
		{func() { push("tool_call_result", "b", false) }, ""},
		{func() { report("c") }, "tool_call_request tool_call_result"},
		{func() { push("tool_call_request", "c", false) }, ""},
		{func() { push("tool_call_result", "c", true) }, "tool_call_result"},
		{func() { s.noted(t, preflight("think", "one", "d", "")) }, ""}, // pushed as an event of its own kind
		{func() { s.noted(t, preflight("analyze", "one", "e", "")) }, ""},
	} {
		before := log
		step.do()
		log = types(s.events(t, "one"))
		if got := strings.TrimSpace(strings.TrimPrefix(log, before)); got != step.adds {
			t.Errorf("after %s: the log goes on with %q, want %q", before, got, step.adds)
		}
	}
}

// TestPythonPreflightNeverFails: the client would take that for a failure of
// the tool, which has run.
func TestPythonPreflightNeverFails(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "ended")
	s.task(t, "leased")
	s.claimAll(t)
	s.task(t, "one")
	s.must(t, 200, call{method: "DELETE", path: "/agent-execution/ended"})
	leased := types(s.events(t, "leased"))
	s.noted(t, preflight("f", "leased", "a", "")) // whoever holds the lease writes its events (T6)
	if got := types(s.events(t, "leased")); got != leased {
		t.Errorf("without its lease a turn's log goes on from %s to %s", leased, got)
	}
	before := types(s.events(t, "ended"))
	s.noted(t, preflight("f", "ended", "a", ""))
	s.noted(t, preflight("f", "ended", "b", ""))
	if got := strings.TrimPrefix(types(s.events(t, "ended")), before); got != " late_write_refused" {
		t.Errorf("an ended turn's log goes on with %s", got)
	}

	s.noted(t, preflight("f", "no-such-task", "a", ""))
	s.noted(t, preflight("f", "", "a", ""))
	stored := s.stored(t)
	none := preflight("f", "one", "", "")
	none.key = narrowKey
	s.must(t, 403, none)
	none.path = "/agents/narrow/operations/f" // its own agent, another's task
	s.noted(t, none)
	if after := s.stored(t); after != stored {
		t.Errorf("something was stored\nbefore: %s\nafter:  %s", stored, after)
	}

	long := `"` + strings.Repeat(`<`, 300<<10) + `"`
	for _, body := range []string{
		`{"body_params": `, `[]`, `null`, `{"body_params": 7}`, `{"body_params": {"input": "a\u0000b", "output": {"k\u0000": "v"}}}`,
		"{\"body_params\": {\"input\": \"\xff\"}}", `{"body_params": {"input": ` + long + `, "output": ` + long + `}}`,
		`{"body_params": {"input": "` + strings.Repeat("x", 21<<20) + `"}}`,
	} {
		s.noted(t, preflight("f", "one", "", body))
	}
	calls := 0
	for _, e := range s.events(t, "one") {
		if e["type"] == "tool_call_request" {
			calls++
		}
	}
	if calls != 8 {
		t.Errorf("%d calls are in the log", calls)
	}
}

// claimAll starts every task that waits for agent-1.
func (s *server) claimAll(t *testing.T) {
	t.Helper()
	s.must(t, 200, call{method: "POST", path: "/v1/claim", body: `{"agent_ids": ["agent-1"], "worker_id": "w", "slots": 10}`})
}
