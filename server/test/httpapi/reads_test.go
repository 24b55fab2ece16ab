package httpapi_test

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
)

// What a read may hold, in MiB: few where it is answered in parts, whole where it is
// sent piece by piece, one where one task, turn or event can be the largest that there
// is. A result of 16 MiB is there a few times over: as it is stored, as JSON, as it is
// sent. All are generous, because what is garbage but not yet collected counts, too.
const (
	few   = 48
	whole = 96
	one   = 240
)

// reads says for each route that reads what it may hold, and what is read to try it. A
// route that is not here fails the test.
func reads() map[string]struct {
	path   string
	memory int
} {
	type read = struct {
		path   string
		memory int
	}
	all := map[string]read{
		"GET /v1/tasks":                                       {"/v1/tasks?per_page=50", few},
		"GET /v1/agents/{agent_id}/tasks":                     {"/v1/agents/agent-1/tasks?per_page=50", few},
		"GET /v1/tasks/{task_id}/children":                    {"/v1/tasks/big/children?per_page=50", few},
		"GET /v1/tasks/{task_id}":                             {"/v1/tasks/big", one},
		"GET /v1/tasks/{task_id}/events":                      {"/v1/tasks/big/events?turns=all&limit=1000", one},
		"GET /v1/tasks/{task_id}/steps":                       {"/v1/tasks/big/steps?limit=1000", few},
		"GET /v1/tasks/{task_id}/outputs":                     {"/v1/tasks/big/outputs?limit=1000", few},
		"GET /v1/tasks/{task_id}/outputs/{name}":              {"/v1/tasks/big/outputs/x", few}, // from the disk
		"GET /v1/tasks/{task_id}/approvals":                   {"/v1/tasks/big/approvals?limit=1000", few},
		"GET /v1/approvals":                                   {"/v1/approvals?limit=1000", few},
		"GET /v1/approvals/{approval_id}":                     {"/v1/approvals/x", few},
		"GET /v1/tasks/{task_id}/thread":                      {"/v1/tasks/big/thread?limit=1000", one},
		"GET /v1/tasks/{task_id}/thread/full":                 {"/v1/tasks/big/thread/full?limit=1000", one},
		"GET /v1/tasks/{task_id}/activity":                    {"/v1/tasks/big/activity?limit=1000", one},
		"GET /v1/agents":                                      {"/v1/agents?limit=1000", few},
		"GET /v1/agents/{agent_id}":                           {"/v1/agents/long", few},
		"GET /v1/agents/{agent_id}/versions":                  {"/v1/agents/long/versions?limit=1000", few},
		"GET /v1/keys":                                        {"/v1/keys?limit=1000", few},
		"GET /v1/usage":                                       {"/v1/usage?limit=1000", few},
		"GET /v1/webhooks":                                    {"/v1/webhooks", few},
		"GET /v1/trouble":                                     {"/v1/trouble", few},
		"GET /v1/stats":                                       {"/v1/stats", few},
		"GET /agent-execution/{task}/status":                  {"/agent-execution/big/status", one},
		"GET /agent-execution/{task}/events":                  {"/agent-execution/big/events", one},
		"GET /activity/{agent}/{task}":                        {"/activity/agent-1/big", one},
		"GET /agents/list":                                    {"/agents/list", whole},
		"GET /agents/{agent}":                                 {"/agents/long", few},
		"GET /agents/{agent}/db":                              {"/agents/long/db", few},
		"GET /metrics":                                        {"/metrics", few},
		"GET /healthz":                                        {"/healthz", few},
		"GET /readyz":                                         {"/readyz", few},
		"GET /metadata/default_llm_extra_headers":             {"/metadata/default_llm_extra_headers", few},
		"GET /f/{id}/{signature}/{name}":                      {"/f/x/x/x", few}, // from the disk
		"GET /debug/pprof/profile":                            {"", few},         // the runtime's own
		"GET /debug/pprof/{name}":                             {"/debug/pprof/heap", few},
		"GET /agent-execution/executions/history/{agent}":     {"/agent-execution/executions/history/agent-1", whole},
		"GET /agent-execution/executions/history/user/{user}": {"/agent-execution/executions/history/user/u", few},
	}
	for _, unbuilt := range []string{
		"/mcp_auth/", "/tools/{tool}", "/tools/{task}/xp-code-executor", "/knowledge_bases", "/knowledge_bases/", "/hitl/", "/agentic_context/", "/agents/{agent}/llm_preflight",
	} {
		all["GET "+unbuilt] = read{}
	}
	all["GET /v1/tasks/{task_id}/files"] = read{"/v1/tasks/big/files?limit=1000", few}
	all["GET /v1/tasks/{task_id}/files/{file}/text"] = read{"/v1/tasks/big/files/1-1/text", few}
	all["GET /v1/tasks/{task_id}/files/{file}/table"] = read{"/v1/tasks/big/files/1-1/table", few}
	all["GET /v1/tasks/{task_id}/files/{file}/picture"] = read{"/v1/tasks/big/files/1-1/picture", few} // from the disk
	all["GET /v1/search"] = read{"/v1/search?q=x&limit=100", few}
	all["GET /v1/tasks/counts"] = read{"/v1/tasks/counts", few}
	all["GET /v1/tasks/{task_id}/tree"] = read{"/v1/tasks/big/tree", few}
	all["GET /v1/server"] = read{"/v1/server", few}
	all["GET /v1/workers"] = read{"/v1/workers", few}
	all["GET /v1/events"] = read{} // a page's stream: rows and events, a few at a time
	all["GET /v1/tasks/{task_id}/tokens"] = read{"/v1/tasks/big/tokens", few}
	all["GET /v1/session"] = read{"/v1/session", few}
	all["GET /v1/session/ways"] = read{"/v1/session/ways", few}
	all["GET /v1/files"] = read{"/v1/files", few}
	all["GET /v1/files/{file_id}"] = read{"/v1/files/x", few}
	all["GET /a2a"] = read{"/a2a?pageSize=100", few}
	all["GET /a2a/{agent}/tasks"] = read{"/a2a/agent-1/tasks?pageSize=100&contextId=big", whole} // what a turn asks is read whole
	all["GET /a2a/{agent}/tasks with artifacts"] = read{"/a2a/agent-1/tasks?pageSize=100&contextId=big&includeArtifacts=true", one}
	all["GET /a2a/{agent}/tasks/{id}"] = read{"/a2a/agent-1/tasks/big~1", one}
	all["GET /a2a/{agent}/tasks/{taskId}/pushNotificationConfigs"] = read{"/a2a/agent-1/tasks/big~1/pushNotificationConfigs", few}
	all["GET /a2a/{agent}/tasks/{taskId}/pushNotificationConfigs/{id}"] = read{"/a2a/agent-1/tasks/big~1/pushNotificationConfigs/x", few}
	all["GET /openai/v1/models"] = read{"/openai/v1/models", few}
	all["GET /openai/v1/files"] = read{"/openai/v1/files?limit=100", few}
	all["GET /openai/v1/responses/{id}"] = read{"/openai/v1/responses/resp_big_1", one}
	all["GET /events/{agent}"] = read{} // a worker's stream: a task at a time, as GET …/status answers it
	return all
}

// TestEveryReadHasABound reads what is as long as it can be, and much of it, by every
// route that reads, and looks at what the server holds meanwhile. It is not parallel: it
// measures the heap of this process, in which the server is.
func TestEveryReadHasABound(t *testing.T) { //nolint:paralleltest // see above
	if raced {
		t.Skip("the race detector has a heap of its own: make measured runs this without it")
	}
	s := start(t)
	s.agent(t, "agent-1")
	table := reads()
	for _, route := range s.everyRoute(t) {
		if _, known := table[route]; !known && strings.HasPrefix(route, "GET ") {
			t.Errorf("%s reads, and nobody has said what it may hold", route)
		}
	}
	s.fill(t)
	for route, x := range table {
		if x.path == "" {
			continue
		}
		used, sent := s.measure(t, x.path)
		for again := 0; used > x.memory && again < 2; again++ { // what the server did besides, such as an index, was measured, too
			least, _ := s.measure(t, x.path)
			used = min(used, least)
		}
		t.Logf("%-55s held %3d MiB, sent %3d", route, used, sent)
		if used > x.memory {
			t.Errorf("%s: holds %d MiB to send %d, and may hold %d", route, used, sent, x.memory)
		}
	}
}

// fill stores what is long: a task with 60 MiB of activity and results of 16 MiB in
// six turns, 600 tasks with results of 64 KiB, 25 agents and 25 versions of one with
// a mebibyte of instructions.
func (s *server) fill(t *testing.T) {
	t.Helper()
	send := func(method, path, body string) { // what is so long is not held to the document
		t.Helper()
		res := s.open(t, t.Context(), call{method: method, path: path, body: body})
		defer res.Body.Close() //nolint:errcheck // it was only read
		if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode >= 300 {
			t.Fatalf("%s %s: answered %d, %v", method, path, res.StatusCode, err)
		}
	}
	thought := `{"type": "think", "data": {"title": "t", "confidence": 1, "thought": "` + strings.Repeat("x", 250<<10) + `"}}`
	events := `"events": [` + strings.TrimSuffix(strings.Repeat(thought+",", 20), ",") + `]}`
	for range 6 {
		send("POST", "/v1/tasks", `{"agent_id": "agent-1", "id": "big", "input": {}}`)
		token := s.claim(t)
		for range 2 {
			send("POST", "/v1/tasks/big/events", `{"lease_token": "`+token+`", `+events)
		}
		for i := range 40 {
			send("POST", "/v1/tasks/big/steps", fmt.Sprintf(`{"lease_token": %q, "id": "%d", "body": %q}`, token, i, strings.Repeat("s", 250<<10)))
		}
		for i := range 40 {
			send("POST", "/v1/tasks/big/approvals", fmt.Sprintf(`{"lease_token": %q, "key": "%d", "message": %q, "stay": true}`, token, i, strings.Repeat("s", 240<<10)))
		}
		send("POST", "/v1/tasks/big/finish", `{"lease_token": "`+token+`", "status": "completed", "result": "`+strings.Repeat("r", 16<<20)+`"}`)
	}
	for i := range 600 {
		send("POST", "/v1/agents/agent-1/report", fmt.Sprintf(`{"id": "small-%d", "result": %q}`, i, strings.Repeat("s", 64<<10)))
	}
	general := strings.Repeat("i", 1<<20)
	for i := range 25 {
		for _, id := range []string{"long", fmt.Sprintf("agent-of-%d", i)} {
			send("PUT", "/v1/agents/"+id, fmt.Sprintf(`{"name": "%d", "instructions": {"general": %q}}`, i, general))
		}
	}
}

// measure makes a request and returns the most that was held meanwhile beyond what was
// held before, and how much came, both in MiB.
func (s *server) measure(t *testing.T, path string) (used, sent int) {
	t.Helper()
	live := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := live()
	most := make(chan int64)
	over := make(chan struct{})
	go func() {
		var top int64
		for {
			top = max(top, live())
			select {
			case <-over:
				most <- top
				return
			default:
			}
		}
	}()
	res := s.open(t, t.Context(), call{method: "GET", path: path})
	n, err := io.Copy(io.Discard, res.Body)
	res.Body.Close() //nolint:errcheck // it was only read
	close(over)
	if top := <-most; err == nil {
		return int((top - before) >> 20), int(n >> 20)
	}
	t.Fatalf("%s: %v", path, err)
	return 0, 0
}
