package httpapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/errand-dev/errand/server/internal/app"
)

const headerSecret = "the-header-that-nobody-may-see"

// tides is an MCP server that takes one key and has two tools.
func tides(t *testing.T, key string) string {
	t.Helper()
	s := mcp.NewServer(&mcp.Implementation{Name: "tides", Version: "1"}, nil)
	for _, name := range []string{"height", "drain"} {
		s.AddTool(&mcp.Tool{Name: name, Description: "The " + name, InputSchema: json.RawMessage(`{"type":"object"}`)},
			func(_ context.Context, r *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
				text := name + string(r.Params.Arguments)
				if strings.Contains(text, "long") {
					text += strings.Repeat("0123456789", 10_000) + "THE END"
				}
				return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: text}}}, nil
			})
	}
	h := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s }, &mcp.StreamableHTTPOptions{Stateless: true})
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+key {
			http.Error(w, "not you: "+r.Header.Get("Authorization"), http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(web.Close)
	return web.URL + "/mcp"
}

// useLocal lets a server reach the provider, and MCP servers of this machine.
func (p *provider) useLocal(o *app.Options) {
	p.use(o)
	o.AllowPrivate = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
}

// T9, A5: an agent's MCP servers give the model their tools, as far as it may use them.
// Their headers are sealed, kept for the same URL, and shown to nobody.
func TestT9ModelUsesMCPServers(t *testing.T) {
	t.Parallel()
	p := newProvider(
		t,
		says(calls([2]string{"tides_height", `{"at": 9007199254740993}`}, [2]string{"tides_drain", `{}`})...), says(said("High."), ended),
		says(calls([2]string{"tides_height", `{}`})...), says(said("Low."), ended),
	)
	s := start(t, p.useLocal)
	url := tides(t, headerSecret)
	members := func(headers, more string) string {
		return fmt.Sprintf(`, "mcp_servers": [{"name": "tides", "url": %q%s, "allowed_tools": ["height"]}]%s`, url, headers, more)
	}
	s.modelAgent(t, members(`, "headers": {"Authorization": "Bearer `+headerSecret+`"}`, ""))
	s.modelAgent(t, members("", `, "description": "x"`)) // a new version
	got := s.must(t, 200, call{method: "GET", path: "/v1/agents/sage"})
	if raw, _ := json.Marshal(got); got["version"] != 2.0 || strings.Contains(string(raw), "headers") || !strings.Contains(string(raw), url) {
		t.Errorf("agent %s", raw)
	}
	s.wonder(t, `"input": {"text": "Why?"}`)
	done := s.waitFor(t, "one", "completed")
	if diff := cmp.Diff([]any{"tides_height"}, done["used_tools"]); diff != "" {
		t.Errorf("tools (-want +got):\n%s", diff)
	}
	want := []string{`p0 height{"at":9007199254740993}`, `p1 Error: There is no tool "tides_drain". There are: tides_height.`}
	if diff := cmp.Diff(want, results(p.requests()[1])); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
	s.must(t, 201, call{method: "POST", path: "/v1/tasks", key: userKey, body: `{"agent_id": "sage", "id": "one", "input": {"text": "And?"}}`})
	s.waitFor(t, "one", "completed")

	s.modelAgent(t, members(`, "headers": {}`, ""))
	s.must(t, 201, call{method: "POST", path: "/v1/tasks", key: userKey, body: `{"agent_id": "sage", "id": "one", "input": {"text": "And?"}}`})
	if got := s.waitFor(t, "one", "error"); !strings.Contains(fmt.Sprint(got["result"]), "the MCP server tides cannot be used: it answered 401") {
		t.Errorf("without its header: %v", got["result"])
	}
	if strings.Contains(s.stored(t), headerSecret) {
		t.Error("the header is in the database")
	}
}

// T9, A5: a task's MCP servers, as the Python client names them, are the model's too.
func TestT9TasksNameMCPServers(t *testing.T) {
	t.Parallel()
	p := newProvider(t, says(calls([2]string{"my_tides_height", ``})...), says(said("High."), ended))
	s := start(t, p.useLocal)
	s.modelAgent(t, "")
	s.wonder(t, fmt.Sprintf(`"input": {"text": "Why?"}, "mcp_servers": [{"type": "remote", "name": "my tides", "url": %q, "transport": "streamable-http",
		"auth_type": "api_key", "api_key": %q, "headers": {}, "env_vars": {}, "allowed_tools": [], "command": null}]`, tides(t, headerSecret), headerSecret))
	if got := s.waitFor(t, "one", "completed"); got["result"] != "High." {
		t.Errorf("result %v", got["result"])
	}
	if got := results(p.requests()[1]); len(got) != 1 || got[0] != "p0 height{}" {
		t.Errorf("results %v", got)
	}
	raw, _ := json.Marshal([]any{s.must(t, 200, call{method: "GET", path: "/v1/tasks/one"}), s.events(t, "one")})
	if strings.Contains(string(raw), headerSecret) {
		t.Error("the key was answered")
	}
}

// T9, A4: a server that cannot be used ends the task, one that is not there puts it off;
// private addresses need the operator's word.
func TestA4MCPServers(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	private := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	t.Cleanup(private.Close)
	p := newProvider(t)
	s := start(t, p.use)
	s.modelAgent(t, "")
	for id, c := range map[string]struct{ members, says string }{
		"private": {fmt.Sprintf(`"url": %q`, private.URL), "does not connect to private addresses"},
		"sse":     {`"url": "http://example.com/", "transport": "sse"`, "the transport sse is not supported"},
		"oauth":   {`"url": "http://example.com/", "auth_type": "oauth2"`, "oauth2 is not supported"},
		"types":   {`"url": "http://example.com/", "headers": "` + headerSecret + `"`, "other types"},
	} {
		s.must(t, 201, call{method: "POST", path: "/v1/tasks", key: userKey, body: fmt.Sprintf(
			`{"agent_id": "sage", "id": %q, "input": {"text": "Why?"}, "mcp_servers": [{"type": "remote", "name": "x", %s}]}`, id, c.members)})
		if got := s.waitFor(t, id, "error"); !strings.Contains(fmt.Sprint(got["result"]), c.says) || strings.Contains(fmt.Sprint(got["result"]), headerSecret) {
			t.Errorf("%s: result %q", id, got["result"])
		}
	}
	if asked.Load() > 0 || len(p.requests()) > 0 {
		t.Error("somebody was asked")
	}
	for body, field := range map[string]string{
		`[{"name": "a b", "url": "http://x"}]`:                                 "mcp_servers[0].name",
		`[{"name": "a", "url": "ftp://x"}]`:                                    "mcp_servers[0].url",
		`[{"name": "a"}]`:                                                      "mcp_servers[0].url",
		`[{"name": "a", "url": "http://u:p@x"}]`:                               "mcp_servers[0].url",
		`[{"name": "a", "program": "rm"}]`:                                     "mcp_servers[0].program",
		`[{"name": "a", "url": "http://x"}, {"name": "a", "url": "http://y"}]`: "mcp_servers[1].name",
		`[{"name": "a", "url": "http://x", "headers": {"a b": "c"}}]`:          "mcp_servers[0].headers",
		`[{"name": "a", "url": "http://x", "headers": {"a": "b\r\nc: d"}}]`:    "mcp_servers[0].headers",
		`[{"name": "a", "program": "b", "headers": {"a": "b"}}]`:               "mcp_servers[0].headers",
		`[{"name": "a", "url": "http://x", "command": "rm"}]`:                  "mcp_servers[0].command",
	} {
		if got := s.must(t, 422, call{method: "PUT", path: "/v1/agents/x", body: `{"name": "x", "runtime": "model", "model_name": "m", "mcp_servers": ` + body + `}`}); got["field"] != field {
			t.Errorf("%s: field %v, want %s", body, got["field"], field)
		}
	}
	if got := s.must(t, 422, call{method: "PUT", path: "/v1/agents/x", body: `{"name": "x", "mcp_servers": [{"name": "a", "url": "http://x"}]}`}); got["field"] != "mcp_servers" {
		t.Errorf("another runtime: field %v", got["field"])
	}
}

// L4: a server that is not there puts the task off, and says so.
func TestL4MCPServersThatAreNotThere(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	p := newProvider(t)
	s := start(t, p.useLocal)
	s.modelAgent(t, fmt.Sprintf(`, "mcp_servers": [{"name": "tides", "url": %q}]`, gone.URL))
	s.wonder(t, `"input": {"text": "Why?"}`)
	got := s.waitFor(t, "one", "pending")
	for got["waiting"] == nil || !strings.Contains(fmt.Sprint(got["waiting"]), "MCP server tides cannot be used") {
		got = s.waitFor(t, "one", "pending")
	}
}

// T9: what of a result is too long for the model is kept whole as a file of the task,
// which it may read on.
func TestT9LongResultsAreKept(t *testing.T) {
	t.Parallel()
	p := newProvider(
		t,
		says(calls([2]string{"tides_height", `{"long": true}`})...), says(calls([2]string{"read_file", `{"name": "result-1-0.txt", "offset": 99990}`})...), says(said("High."), ended),
	)
	s := start(t, p.useLocal)
	s.modelAgent(t, fmt.Sprintf(`, "tools": ["files"], "mcp_servers": [{"name": "tides", "url": %q, "headers": {"Authorization": "Bearer %s"}}]`, tides(t, headerSecret), headerSecret))
	s.wonder(t, `"input": {"text": "Why?"}`)
	s.waitFor(t, "one", "completed")
	told := results(p.requests()[1])[0]
	if len(told) > 50<<10 || !strings.HasSuffix(told, "(The whole is the task's file result-1-0.txt.)") || strings.Contains(told, "THE END") {
		t.Errorf("T9: the model is told %d bytes, ending %s", len(told), told[max(0, len(told)-100):])
	}
	if read := results(p.requests()[2])[1]; !strings.Contains(read, "THE END") {
		t.Errorf("T9: it reads on: %s", clip([]byte(read)))
	}
	if got := s.do(t, call{method: "GET", path: "/v1/tasks/one/outputs/result-1-0.txt", key: userKey}); got.status != 200 || len(got.body) != len(`height{"long":true}`)+100_007 {
		t.Errorf("T9: the file is answered %d with %d bytes", got.status, len(got.body))
	}
}
