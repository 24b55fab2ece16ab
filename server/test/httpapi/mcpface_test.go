package httpapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/errand-dev/errand/server/internal/app"
)

// withKey shows a key with each request.
type withKey struct {
	key  string
	next http.RoundTripper
}

func (k withKey) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+k.key)
	return k.next.RoundTrip(r)
}

// mcpClient connects the SDK's client in the era of a revision.
func (s *server) mcpClient(t *testing.T, revision string) *sdk.ClientSession {
	t.Helper()
	client := sdk.NewClient(&sdk.Implementation{Name: "test", Version: "1"}, &sdk.ClientOptions{Capabilities: &sdk.ClientCapabilities{}})
	session, err := client.Connect(t.Context(), &sdk.StreamableClientTransport{
		Endpoint: s.url + "/mcp", HTTPClient: &http.Client{Transport: withKey{userKey, s.http.Transport}}, DisableStandaloneSSE: true,
	}, &sdk.ClientSessionOptions{ProtocolVersion: revision})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() }) // there is no session to end
	return session
}

// useTool calls a tool, which has to answer, and returns its text and what it says to programs.
func useTool(t *testing.T, session *sdk.ClientSession, name string, arguments map[string]any) (string, map[string]any, bool) {
	t.Helper()
	got, err := session.CallTool(t.Context(), &sdk.CallToolParams{Name: name, Arguments: arguments})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	text, isText := got.Content[0].(*sdk.TextContent)
	if !isText {
		t.Fatalf("%s: the first content is %T", name, got.Content[0])
	}
	structured, _ := got.StructuredContent.(map[string]any)
	return text.Text, structured, got.IsError
}

// H14: clients of both eras run an agent by tools alone.
func TestH14ToolsInBothEras(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	for _, revision := range []string{"2026-07-28", "2025-11-25"} {
		session := s.mcpClient(t, revision)
		if got := session.InitializeResult().ProtocolVersion; got != revision {
			t.Errorf("H14: it speaks %s, want %s", got, revision)
		}
		var names []string
		for tool, err := range session.Tools(t.Context(), nil) {
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, tool.Name)
		}
		if got := strings.Join(names, " "); got != "answer_task get_task list_agents list_tasks run_agent stop_task" {
			t.Errorf("H14: the tools are %s", got)
		}
		if text, _, failed := useTool(t, session, "list_agents", nil); failed || !strings.Contains(text, `"id":"agent-1"`) {
			t.Errorf("H14: the agents are %s", text)
		}
		text, made, failed := useTool(t, session, "run_agent", map[string]any{"agent": "agent-1", "prompt": "hi", "wait_seconds": 0})
		id, _ := made["task_id"].(string)
		if failed || made["status"] != "pending" || !strings.Contains(text, "get_task") || !strings.Contains(text, id) {
			t.Errorf("H14: asked, %s %v", text, made)
		}
		token := s.claim(t)
		ended := make(chan map[string]any, 1)
		go func() {
			_, got, _ := useTool(t, session, "get_task", map[string]any{"task_id": id, "wait_seconds": 50})
			ended <- got
		}()
		s.must(t, 200, call{method: "POST", path: "/v1/tasks/" + id + "/finish", body: fmt.Sprintf(`{"lease_token": %q, "status": "completed", "result": "done"}`, token)})
		select {
		case got := <-ended:
			if got["status"] != "completed" || got["result"] != "done" || got["turn"] != 1.0 || got["agent"] != "agent-1" {
				t.Errorf("H14: ended %v", got)
			}
		case <-time.After(patience):
			t.Fatal("H14: the wait does not see the end")
		}
		if text, _, failed := useTool(t, session, "list_tasks", map[string]any{"agent": "agent-1", "status": "completed", "limit": 1}); failed || !strings.Contains(text, id) {
			t.Errorf("H14: the tasks are %s", text)
		}
		_, next, _ := useTool(t, session, "run_agent", map[string]any{"agent": "agent-1", "prompt": "and then?", "task_id": id, "wait_seconds": 0})
		if next["task_id"] != id || next["turn"] != 2.0 {
			t.Errorf("H14: the next turn is %v", next)
		}
		if _, first, _ := useTool(t, session, "get_task", map[string]any{"task_id": id + "~1", "wait_seconds": 0}); first["status"] != "completed" || first["turn"] != 1.0 {
			t.Errorf("H14: the first turn is %v", first)
		}
		if _, stopped, failed := useTool(t, session, "stop_task", map[string]any{"task_id": id}); failed || stopped["status"] != "stopped" {
			t.Errorf("H14: stopped, %v", stopped)
		}
		if text, got, failed := useTool(t, session, "get_task", map[string]any{"task_id": id}); !failed || got["end_reason"] != "stopped" || !strings.HasPrefix(text, "stopped: ") {
			t.Errorf("H14: a stopped task is %s %v", text, got)
		}
	}
}

// asking is a message of MCP in the newest revision, as a client sends it that takes tasks
// and shows forms.
type asking struct {
	method string
	params string // members of params
	key    string // an empty one is the user's, "-" none
	// declares are the client's capabilities; "" is tasks and forms.
	declares string
	name     string // Mcp-Name
	header   map[string]string
}

const takesTasks = `{"elicitation": {}, "extensions": {"io.modelcontextprotocol/tasks": {}}}`

// call is the request that carries a message.
func (m asking) call() call {
	declares, key := m.declares, m.key
	if declares == "" {
		declares = takesTasks
	}
	if key == "" {
		key = userKey
	}
	if m.params != "" {
		m.params += ", "
	}
	header := map[string]string{
		"Content-Type": "application/json", "Accept": "application/json, text/event-stream", "Mcp-Protocol-Version": "2026-07-28", "Mcp-Method": m.method,
	}
	if m.name != "" {
		header["Mcp-Name"] = m.name
	}
	maps.Copy(header, m.header)
	return call{method: "POST", path: "/mcp", key: key, header: header, body: fmt.Sprintf(`{"jsonrpc": "2.0", "id": "one", "method": %q, "params": {%s
		"_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientInfo": {"name": "c", "version": "1"},
		"io.modelcontextprotocol/clientCapabilities": %s}}}`, m.method, m.params, declares)}
}

// rpc sends a message, whose answer has to have a status, and returns its result or its error.
func (s *server) rpc(t *testing.T, status int, m asking) map[string]any {
	t.Helper()
	got := s.must(t, status, m.call())
	for _, member := range []string{"result", "error"} {
		if x, is := got[member].(map[string]any); is {
			if got["id"] != "one" {
				t.Errorf("%s: the answer's id is %v", m.method, got["id"])
			}
			return x
		}
	}
	return got
}

// tool calls a tool by a message.
func (s *server) tool(t *testing.T, name, arguments, declares string) map[string]any {
	t.Helper()
	return s.rpc(t, 200, asking{method: "tools/call", name: name, params: fmt.Sprintf(`"name": %q, "arguments": %s`, name, arguments), declares: declares})
}

// get reads a task of the extension.
func (s *server) get(t *testing.T, id string) map[string]any {
	t.Helper()
	return s.rpc(t, 200, asking{method: "tasks/get", name: id, params: fmt.Sprintf(`"taskId": %q`, id)})
}

// H15: whoever declares the extension has a task at once, answers what it asks and reads its result in it.
func TestH15TasksOfTheExtension(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	made := s.tool(t, "run_agent", `{"agent": "agent-1", "prompt": "hi", "task_id": "one"}`, "")
	ttl, hasTTL := made["ttlMs"]
	if made["resultType"] != "task" || made["taskId"] != "one~1" || made["status"] != "working" || !hasTTL || ttl != nil || made["pollIntervalMs"] != 500.0 || made["result"] != nil {
		t.Errorf("H15: made %v", made)
	}
	if message, _ := made["statusMessage"].(string); !strings.Contains(message, "no worker of agent agent-1") {
		t.Errorf("H15: it says %q", message)
	}
	token := s.claim(t)
	asked := s.asks(t, 201, token, `"key": "n", "message": "how many?", "schema": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}`)
	id := asked["id"].(string)
	waits := s.get(t, "one~1")
	request, _ := waits["inputRequests"].(map[string]any)[id].(map[string]any)
	params, _ := request["params"].(map[string]any)
	form, _ := params["requestedSchema"].(map[string]any)
	if waits["status"] != "input_required" || waits["resultType"] != "complete" || request["method"] != "elicitation/create" ||
		params["mode"] != "form" || params["message"] != "how many?" || fmt.Sprint(form["properties"]) != "map[n:map[type:integer]]" {
		t.Errorf("H15: it waits as %v", waits)
	}
	blind := s.rpc(t, 200, asking{method: "tasks/get", params: `"taskId": "one~1"`, declares: `{"extensions": {"io.modelcontextprotocol/tasks": {}}}`})
	if message, _ := blind["statusMessage"].(string); blind["status"] != "working" || blind["inputRequests"] != nil || !strings.Contains(message, "answer_task") {
		t.Errorf("H15: whoever shows no forms is told %v", blind)
	}
	update := func(status int, responses string) map[string]any {
		t.Helper()
		return s.rpc(t, status, asking{method: "tasks/update", name: "one~1", params: `"taskId": "one~1", "inputResponses": ` + responses})
	}
	if got := update(400, `{"`+id+`": {"action": "accept", "content": {"n": "many"}}}`); got["code"] != -32602.0 {
		t.Errorf("H15: a wrong answer is %v", got)
	}
	update(200, `{"nobody's": {"action": "accept"}, "`+id+`": {"action": "cancel"}}`)
	if got := s.get(t, "one~1")["status"]; got != "input_required" {
		t.Errorf("H15: nothing was decided, and it is %v", got)
	}
	if got := update(200, `{"`+id+`": {"action": "accept", "content": {"n": 7}}}`); got["resultType"] != "complete" || got["taskId"] != nil {
		t.Errorf("H15: the answer is acknowledged with %v", got)
	}
	update(200, `{"`+id+`": {"action": "accept", "content": {"n": 8}}}`)
	token = s.claim(t)
	s.must(t, 201, call{method: "POST", path: "/v1/tasks", body: `{"agent_id": "agent-1", "id": "goes-on", "input": {}, "parent_execution": "one", "on_parent_end": "keep", "priority": -1}`})
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/one/finish", body: fmt.Sprintf(`{"lease_token": %q, "status": "failed", "result": "no paper"}`, token)})
	ended := s.get(t, "one~1")
	result, _ := ended["result"].(map[string]any)
	if ended["status"] != "completed" || result["resultType"] != "complete" || result["isError"] != true || !strings.Contains(fmt.Sprint(result["content"]), "failed: no paper") {
		t.Errorf("H15: ended %v", ended)
	}
	before := s.stored(t)
	for range 2 { // an ended task stays as it is, and so does what goes on below it
		if got := s.rpc(t, 200, asking{method: "tasks/cancel", name: "one~1", params: `"taskId": "one~1"`}); got["resultType"] != "complete" || len(got) > 2 {
			t.Errorf("H15: cancelled, %v", got)
		}
	}
	if got, after := s.get(t, "one~1")["status"], s.stored(t); got != "completed" || after != before {
		t.Errorf("H15: cancelled after its end, it is %v: stored %s, before %s", got, after, before)
	}
	s.tool(t, "run_agent", `{"agent": "agent-1", "prompt": "again", "task_id": "one"}`, "")
	s.rpc(t, 200, asking{method: "tasks/cancel", params: `"taskId": "one~1"`})
	if got := s.get(t, "one~2")["status"]; got != "working" {
		t.Errorf("H15: cancelling the first turn made the second %v", got)
	}
	s.rpc(t, 200, asking{method: "tasks/cancel", params: `"taskId": "one~2"`})
	if got := s.get(t, "one~2"); got["status"] != "cancelled" || got["result"] != nil {
		t.Errorf("H15: cancelled, it is %v", got)
	}
	s.tool(t, "run_agent", `{"agent": "agent-1", "prompt": "hi", "task_id": "two"}`, "")
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/two/finish", body: fmt.Sprintf(`{"lease_token": %q, "status": "error", "result": "no disk"}`, s.claim(t))})
	broken := s.get(t, "two~1")
	result, _ = broken["result"].(map[string]any)
	told := s.tool(t, "get_task", `{"task_id": "two"}`, `{}`) // a call that waits
	delete(told, "_meta")
	if broken["status"] != "completed" || broken["error"] != nil || broken["statusMessage"] != "worker_error: no disk" ||
		result["isError"] != true || fmt.Sprint(result) != fmt.Sprint(told) {
		t.Errorf("H15: in error, it is %v", broken)
	}
}

// H15: whoever listens is told of tasks as tasks/get would, each time that they have become another, until they have ended.
func TestH15Listening(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.tool(t, "run_agent", `{"agent": "agent-1", "prompt": "hi", "task_id": "one"}`, "")
	heard := s.follow(t, asking{method: "subscriptions/listen", params: `"notifications": {"taskIds": ["one", "one~1", "nobody~1", "two~1"], "toolsListChanged": true}`}.call())
	next := func() (said map[string]any) {
		t.Helper()
		if err := json.Unmarshal([]byte(heard.next(t).data), &said); err != nil {
			t.Fatal(err)
		}
		return said
	}
	told := func(status string) map[string]any {
		t.Helper()
		for {
			said := next()
			params, _ := said["params"].(map[string]any)
			meta, _ := params["_meta"].(map[string]any)
			if said["method"] != "notifications/tasks" || meta["io.modelcontextprotocol/subscriptionId"] != "one" || params["taskId"] != "one~1" || params["resultType"] != nil {
				t.Fatalf("H15: told %v", said)
			}
			if params["status"] == status {
				return params
			}
		}
	}
	if said := next(); said["method"] != "notifications/subscriptions/acknowledged" || fmt.Sprint(said["params"]) !=
		"map[_meta:map[io.modelcontextprotocol/subscriptionId:one] notifications:map[taskIds:[one~1]]]" {
		t.Errorf("H15: acknowledged %v", said)
	}
	if first := told("working"); !strings.Contains(fmt.Sprint(first["statusMessage"]), "no worker") {
		t.Errorf("H15: told at first %v", first)
	}
	asks := s.asks(t, 201, s.claim(t), `"key": "n", "message": "how many?"`)["id"].(string)
	if waits := told("input_required"); waits["inputRequests"].(map[string]any)[asks] == nil {
		t.Errorf("H15: told of a question as %v", waits)
	}
	s.rpc(t, 200, asking{method: "tasks/update", params: `"taskId": "one~1", "inputResponses": {"` + asks + `": {"action": "accept", "content": {"value": "7"}}}`})
	told("working")
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/one/finish", body: fmt.Sprintf(`{"lease_token": %q, "status": "completed", "result": "done"}`, s.claim(t))})
	ended, read := told("completed"), s.get(t, "one~1")
	delete(ended, "_meta")
	delete(read, "resultType")
	delete(read, "_meta")
	if fmt.Sprint(ended) != fmt.Sprint(read) {
		t.Errorf("H15: told of the end as %v, read as %v", ended, read)
	}
	if said := next(); said["id"] != "one" || said["result"].(map[string]any)["resultType"] != "complete" {
		t.Errorf("H15: the last is %v", said)
	}
	if more := heard.rest(t); len(more) > 0 {
		t.Errorf("H15: told behind the last %v", more)
	}
}

// H15: who may not, asks for what is not there, or contradicts itself, is told so in the protocol's form.
func TestH15WhatIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t, func(o *app.Options) { o.MCPAgentTools = true })
	s.agent(t, "agent-1")
	s.agent(t, "get_task") // a tool that everybody has is nobody's agent
	s.task(t, "one")
	for about, c := range map[string]struct {
		status int
		code   float64
		asking
	}{
		"another organization's task": {400, -32602, asking{method: "tasks/get", params: `"taskId": "one~1"`, key: otherUserKey}},
		"no such turn":                {400, -32602, asking{method: "tasks/get", params: `"taskId": "one~2"`}},
		"no number":                   {400, -32602, asking{method: "tasks/cancel", params: `"taskId": "one~01"`}},
		"no id":                       {400, -32602, asking{method: "tasks/update"}},
		"tasks not declared":          {400, -32021, asking{method: "tasks/get", params: `"taskId": "one~1"`, declares: `{}`}},
		"listening, not declared":     {400, -32021, asking{method: "subscriptions/listen", params: `"notifications": {"taskIds": ["one~1"]}`, declares: `{}`}},
		"listening to no ids":         {400, -32602, asking{method: "subscriptions/listen", params: `"notifications": {"taskIds": "one~1"}`}},
		"listening to too many":       {400, -32602, asking{method: "subscriptions/listen", params: `"notifications": {"taskIds": ["a~1"` + strings.Repeat(`, "a~1"`, 100) + `]}`}},
		"listening, another method":   {400, -32020, asking{method: "subscriptions/listen", params: `"notifications": {"taskIds": []}`, header: map[string]string{"Mcp-Method": "tools/call"}}},
		"another name":                {400, -32020, asking{method: "tasks/get", params: `"taskId": "one~1"`, name: "two~1"}},
		"another method":              {400, -32020, asking{method: "tasks/get", params: `"taskId": "one~1"`, header: map[string]string{"Mcp-Method": "tools/call"}}},
		"tasks/list":                  {404, -32601, asking{method: "tasks/list"}},
		"tasks/result":                {404, -32601, asking{method: "tasks/result", params: `"taskId": "one~1"`}},
		"no such tool":                {400, -32602, asking{method: "tools/call", params: `"name": "x"`, name: "x"}},
		"a tool of a stranger":        {400, -32602, asking{method: "tools/call", params: `"name": "agent-1", "arguments": {"prompt": "x"}`, name: "agent-1", key: otherUserKey}},
		"a bad cursor":                {400, -32602, asking{method: "tools/list", params: `"cursor": "!"`}},
		"given twice":                 {422, -32600, asking{method: "tasks/get", params: `"taskId": "one~1", "taskId": "one~2"`}},
		"NUL":                         {422, -32600, asking{method: "tasks/get", params: `"taskId": "one\u0000"`}},
		"another revision":            {400, -32020, asking{method: "tools/list", header: map[string]string{"Mcp-Protocol-Version": "2027-01-01"}}},
	} {
		if got := s.rpc(t, c.status, c.asking); got["code"] != c.code || got["message"] == "" {
			t.Errorf("H15: %s: %v, want the code %v", about, got, c.code)
		}
	}
	for about, c := range map[string]struct {
		status int
		asking
	}{
		"no key":         {401, asking{method: "tools/list", key: "-"}},
		"a wrong key":    {401, asking{method: "tools/list", key: wrongKey}},
		"a worker's key": {403, asking{method: "tools/list", key: workerKey}},
		"another site":   {403, asking{method: "tools/list", header: map[string]string{"Origin": "https://evil.example"}}},
	} {
		if got := s.rpc(t, c.status, c.asking); got["detail"] == "" || got["detail"] == nil {
			t.Errorf("H15: %s: %v", about, got)
		}
	}
	for about, c := range map[string]struct{ tool, arguments, says string }{
		"no agent":            {"run_agent", `{"agent": "nobody", "prompt": "x"}`, "nobody"},
		"no prompt":           {"run_agent", `{"agent": "agent-1"}`, "prompt"},
		"an unknown argument": {"run_agent", `{"agent": "agent-1", "prompt": "x", "promt": "y"}`, "promt"},
		"a wrong type":        {"run_agent", `{"agent": "agent-1", "prompt": 1}`, "prompt"},
		"a file of ours":      {"run_agent", `{"agent": "agent-1", "prompt": "x", "files": ["file:///etc/passwd"]}`, "files[0]"},
		"a task that runs":    {"run_agent", `{"agent": "agent-1", "prompt": "x", "task_id": "one"}`, "not ended"},
		"a bad id":            {"run_agent", `{"agent": "agent-1", "prompt": "x", "task_id": "a b"}`, "task_id"},
		"too long a wait":     {"get_task", `{"task_id": "one", "wait_seconds": 51}`, "wait_seconds"},
		"no task":             {"get_task", `{"task_id": "two"}`, "two"},
		"no question":         {"answer_task", `{"task_id": "one", "value": 1}`, "question_id"},
		"another's question":  {"answer_task", `{"task_id": "one", "question_id": "x", "value": 1}`, "x"},
		"no status":           {"list_tasks", `{"status": "gone"}`, "status"},
		"no cursor":           {"list_tasks", `{"cursor": "gone"}`, "cursor"},
		"an agent's argument": {"agent-1", `{"agent": "agent-2", "prompt": "x"}`, "agent"},
	} {
		got := s.tool(t, c.tool, c.arguments, `{}`)
		if got["isError"] != true || !strings.Contains(fmt.Sprint(got["content"]), c.says) || got["resultType"] != "complete" {
			t.Errorf("H15: %s: %v", about, got)
		}
	}
	if n := len(s.parts(t, "/v1/tasks", "")); n != 1 {
		t.Errorf("H15: %d tasks, want the one of before", n)
	}
	old := func(status int, body string) map[string]any {
		t.Helper()
		return s.must(t, status, call{method: "POST", path: "/mcp", key: userKey, body: body, header: map[string]string{
			"Content-Type": "application/json", "Accept": "application/json, text/event-stream",
		}})
	}
	if got := old(200, `{"jsonrpc": "2.0", "id": 1, "method": "tasks/list"}`); fmt.Sprint(got["error"].(map[string]any)["code"]) != "-32601" {
		t.Errorf("H15: an unknown method of old is %v", got)
	}
	for _, body := range []string{`{"jsonrpc": "2.0", "id": 9007199254740993, "method": "ping"}`, `{"jsonrpc": "2.0", "id": 1.5, "method": "ping"}`} {
		if got := old(400, body); got["id"] != nil || !strings.Contains(fmt.Sprint(got["error"]), "2^53") {
			t.Errorf("H15: %s: %v", body, got)
		}
	}
	for _, body := range []string{`{}`, `3`, `[{"jsonrpc": "2.0", "id": 1, "method": "ping"}]`, `{"id": 1, "method": "ping"}`, `{"jsonrpc": "2.0", "id": {}, "method": "ping"}`} {
		if got := old(400, body); fmt.Sprint(got["error"].(map[string]any)["code"]) != "-32600" {
			t.Errorf("H15: %s: %v", body, got)
		}
	}
	if got := old(400, `{"jsonrpc"`); fmt.Sprint(got["error"].(map[string]any)["code"]) != "-32700" {
		t.Errorf("H15: no JSON is %v", got)
	}
	if got := s.do(t, call{method: "GET", path: "/mcp", key: userKey}); got.status != 405 || got.header.Get("Allow") != "POST" {
		t.Errorf("H15: GET answers %d, %s", got.status, got.body)
	}
	s.must(t, 404, call{method: "POST", path: "/mcp/tools/x", key: userKey})
}

// H3: a repeat of run_agent with a key gets the first one's task, however long it waits.
func TestH3RunAgentTwice(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	first := s.tool(t, "run_agent", `{"agent": "agent-1", "prompt": "x", "idempotency_key": "k"}`, "")
	again := s.tool(t, "run_agent", `{"agent": "agent-1", "prompt": "x", "idempotency_key": "k", "wait_seconds": 0}`, `{}`)
	view, _ := again["structuredContent"].(map[string]any)
	if id, _ := view["task_id"].(string); id+"~1" != first["taskId"] {
		t.Errorf("H3: %v, and again %v", first, again)
	}
	other := s.tool(t, "run_agent", `{"agent": "agent-1", "prompt": "y", "idempotency_key": "k"}`, "")
	if other["isError"] != true {
		t.Errorf("H3: the key for something else: %v", other)
	}
}

// H14: with --mcp-agent-tools each agent is a tool.
func TestH14AgentsAsTools(t *testing.T) {
	t.Parallel()
	s := start(t, func(o *app.Options) { o.MCPAgentTools = true })
	for i := range 105 {
		s.agent(t, fmt.Sprintf("a-%03d", i))
	}
	s.agent(t, "with:colon")
	s.agent(t, "agent-1")
	session := s.mcpClient(t, "2026-07-28")
	names := map[string]bool{}
	for tool, err := range session.Tools(t.Context(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		if names[tool.Name] {
			t.Errorf("H14: %s stands twice", tool.Name)
		}
		names[tool.Name] = true
	}
	if len(names) < 6+106 || !names["a-104"] || !names["agent-1"] || names["with:colon"] {
		t.Errorf("H14: %d tools", len(names))
	}
	_, made, failed := useTool(t, session, "agent-1", map[string]any{"prompt": "hi", "wait_seconds": 0})
	if failed || made["agent"] != "agent-1" || made["status"] != "pending" {
		t.Errorf("H14: made %v", made)
	}
}

// X2: a client that goes, or cancels its call, stops nothing, and a call that waits tells how it goes on.
func TestX2AnMCPCallThatGoes(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	session := s.mcpClient(t, "2026-07-28")
	ctx, leave := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer leave()
	_, err := session.CallTool(ctx, &sdk.CallToolParams{Name: "run_agent", Arguments: map[string]any{"agent": "agent-1", "prompt": "hi", "task_id": "one", "wait_seconds": 50}})
	if err == nil {
		t.Error("X2: the call has come back")
	}
	if got := s.must(t, 200, call{method: "GET", path: "/v1/tasks/one"}); got["status"] != "pending" || got["source"] != "mcp" {
		t.Errorf("X2: the task is %v", got)
	}
	token := s.claim(t)
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/one/finish", body: fmt.Sprintf(`{"lease_token": %q, "status": "completed", "result": "done"}`, token)})
	if text, _, _ := useTool(t, session, "get_task", map[string]any{"task_id": "one"}); text != "done" {
		t.Errorf("X2: its result is %s", text)
	}
}

// H14: a call that waits tells how it goes on, and its result names the files.
func TestH14ProgressAndFiles(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	told := make(chan *sdk.ProgressNotificationParams, 100)
	client := sdk.NewClient(&sdk.Implementation{Name: "test", Version: "1"}, &sdk.ClientOptions{
		Capabilities: &sdk.ClientCapabilities{},
		ProgressNotificationHandler: func(_ context.Context, r *sdk.ProgressNotificationClientRequest) {
			select {
			case told <- r.Params:
			default:
			}
		},
	})
	session, err := client.Connect(t.Context(), &sdk.StreamableClientTransport{
		Endpoint: s.url + "/mcp", HTTPClient: &http.Client{Transport: withKey{userKey, s.http.Transport}}, DisableStandaloneSSE: true,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close() //nolint:errcheck // there is no session to end
	ask := &sdk.CallToolParams{Name: "run_agent", Arguments: map[string]any{"agent": "agent-1", "prompt": "hi", "task_id": "one", "wait_seconds": 50}}
	ask.SetProgressToken("p")
	answered := make(chan *sdk.CallToolResult, 1)
	go func() {
		got, err := session.CallTool(t.Context(), ask)
		if err != nil {
			t.Error(err)
		}
		answered <- got
	}()
	first, second := <-told, <-told
	if first.ProgressToken != "p" || first.Total != 50 || second.Progress <= first.Progress || !strings.Contains(first.Message, "no worker") {
		t.Errorf("H14: told %+v, then %+v", first, second)
	}
	token := s.claim(t)
	s.must(t, 201, call{method: "PUT", path: "/v1/tasks/one/outputs/a.txt", body: "content", header: map[string]string{"X-Errand-Lease-Token": token, "Content-Type": "application/octet-stream"}})
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/one/finish", body: fmt.Sprintf(`{"lease_token": %q, "status": "completed", "result": "done"}`, token)})
	got := <-answered
	link, isLink := got.Content[1].(*sdk.ResourceLink)
	if !isLink || link.Name != "a.txt" || *link.Size != 7 || link.MIMEType != "text/plain; charset=utf-8" {
		t.Fatalf("H14: the contents are %+v", got.Content)
	}
	if file := s.do(t, call{method: "GET", path: strings.TrimPrefix(link.URI, s.url), key: "-"}); string(file.body) != "content" {
		t.Errorf("H14: the file is %d %s", file.status, file.body)
	}
}

// S10: a model that knows no forms answers by a tool.
func TestS10AnswerTask(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "one")
	asked := s.asks(t, 201, s.claim(t), `"key": "n", "message": "how many?"`)
	session := s.mcpClient(t, "2025-11-25")
	text, view, _ := useTool(t, session, "get_task", map[string]any{"task_id": "one", "wait_seconds": 50})
	questions, _ := view["questions"].([]any)
	if len(questions) != 1 || questions[0].(map[string]any)["question_id"] != asked["id"] || !strings.Contains(text, "how many?") || !strings.Contains(text, "answer_task") {
		t.Errorf("S10: it asks %s %v", text, view)
	}
	if _, view, failed := useTool(t, session, "answer_task", map[string]any{"task_id": "one", "value": json.Number("9007199254740993")}); failed || view["status"] != "pending" {
		t.Errorf("S10: answered, %v", view)
	}
	got := s.asks(t, 200, s.claim(t), `"key": "n", "message": "how many?"`)
	if answered, _ := json.Marshal(got["answered"]); !strings.Contains(string(answered), `"answer":"approve"`) {
		t.Errorf("S10: the attempt has %s", answered)
	}
	raw := s.do(t, call{method: "GET", path: "/v1/approvals/" + asked["id"].(string), key: userKey})
	if !strings.Contains(string(raw.body), "9007199254740993") {
		t.Errorf("S10: the answer is kept as %s", raw.body)
	}
}
