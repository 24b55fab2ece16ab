package mcp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
	"go.uber.org/goleak"

	"github.com/errand-dev/errand/server/internal/outbound"
	"github.com/errand-dev/errand/server/internal/program"
	"github.com/errand-dev/errand/server/internal/runtime"
	"github.com/errand-dev/errand/server/internal/tool"
)

func TestMain(m *testing.M) {
	if code, mine := program.Supervise(os.Args[1:]); mine {
		os.Exit(code)
	}
	if kind := os.Getenv("MCP_TEST_SERVER"); kind != "" {
		speak(kind)
		return
	}
	// The library's servers keep sessions whose clients have gone without a word.
	ignored := goleak.IgnoreAnyFunction("github.com/modelcontextprotocol/go-sdk/internal/jsonrpc2.(*Connection).readIncoming")
	goleak.VerifyTestMain(m, ignored)
}

const anything = `{"type":"object","$schema":"http://json-schema.org/draft-07/schema#"}`

// handler is what a tool of a test's server does.
type handler func(ctx context.Context, arguments string) (text string, isError bool)

// server makes an MCP server; names that begin with read_ are of tools that only read.
func server(tools map[string]handler) *sdk.Server {
	s := sdk.NewServer(&sdk.Implementation{Name: "test", Version: "1"}, nil)
	for name, do := range tools {
		add(s, name, do)
	}
	return s
}

func add(s *sdk.Server, name string, do handler) {
	t := &sdk.Tool{Name: name, Description: "Does " + name, InputSchema: json.RawMessage(anything), Annotations: &sdk.ToolAnnotations{ReadOnlyHint: strings.HasPrefix(name, "read_")}}
	s.AddTool(t, func(ctx context.Context, r *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
		text, wrong := do(ctx, string(r.Params.Arguments))
		return &sdk.CallToolResult{Content: []sdk.Content{&sdk.TextContent{Text: text}}, IsError: wrong}, nil
	})
}

// eras are the two kinds of servers over HTTP.
func eras() map[string]*sdk.StreamableHTTPOptions {
	return map[string]*sdk.StreamableHTTPOptions{"2026-07-28": {Stateless: true}, "2025-11-25": nil}
}

func over(s *sdk.Server, o *sdk.StreamableHTTPOptions) http.Handler {
	return sdk.NewStreamableHTTPHandler(func(*http.Request) *sdk.Server { return s }, o)
}

// serve answers at an address that the host it makes may reach.
func serve(t *testing.T, h http.Handler, change ...func(*Options)) (*Host, string) {
	t.Helper()
	s := httptest.NewServer(h)
	o := Options{Guard: outbound.Guard{Hosts: []string{strings.TrimPrefix(s.URL, "http://")}}, Log: slog.New(slog.DiscardHandler)}
	for _, c := range change {
		c(&o)
	}
	host := NewHost(o)
	t.Cleanup(func() {
		host.Close()
		s.CloseClientConnections()
		s.Close()
	})
	return host, s.URL + "/mcp?key=query-secret"
}

// open opens one server's tools.
func open(t *testing.T, h *Host, s Server) map[string]tool.Tool {
	t.Helper()
	tools, done, err := h.Open(t.Context(), []Server{s})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(done)
	byName := map[string]tool.Tool{}
	for _, x := range tools {
		byName[x.Name] = x
	}
	return byName
}

func call(t *testing.T, x tool.Tool, arguments string) tool.Result {
	t.Helper()
	if x.Run == nil {
		t.Fatal("there is no such tool")
	}
	r, err := x.Run(t.Context(), tool.Call{ID: "call_1_1_0", Arguments: json.RawMessage(arguments), Attempt: &runtime.Attempt{TaskID: "one"}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// T9: the tools of a server of either revision, as far as they are allowed, under names
// and with schemas that models take; arguments arrive as the model wrote them.
func TestT9ToolsOfServers(t *testing.T) {
	t.Parallel()
	for era, o := range eras() {
		t.Run(era, func(t *testing.T) {
			t.Parallel()
			echo := func(_ context.Context, arguments string) (string, bool) { return arguments, false }
			h, url := serve(t, over(server(map[string]handler{
				"read_echo": echo, "weird.näme": echo, "hidden": echo, strings.Repeat("long", 30): echo,
				"fails": func(context.Context, string) (string, bool) { return "no such city", true },
			}), o))
			tools := open(t, h, Server{Name: "test", URL: url, Allowed: []string{"read_echo", "weird.näme", "fails", strings.Repeat("long", 30), "none"}})
			if _, is := tools["test_hidden"]; is || len(tools) < 3 {
				t.Errorf("tools %v", tools)
			}
			for name, x := range tools {
				if len(name) > tool.MaxName || string(x.Input) != `{"type":"object"}` || x.Idempotent != strings.Contains(name, "read_") {
					t.Errorf("tool %s: %s %v", name, x.Input, x.Idempotent)
				}
			}
			const big = `{"id":9007199254740993}`
			if got := call(t, tools["test_read_echo"], big); got != tool.Text(big) {
				t.Errorf("echo %+v", got)
			}
			if got := call(t, tools["test_fails"], `{}`); got != tool.Error("no such city") {
				t.Errorf("failure %+v", got)
			}
		})
	}
}

// T9: what is taken away is an error of its call, what is new is there for the next
// attempt.
func TestT9ListsChange(t *testing.T) {
	t.Parallel()
	for era, o := range eras() {
		t.Run(era, func(t *testing.T) {
			t.Parallel()
			ok := func(context.Context, string) (string, bool) { return "ok", false }
			s := server(map[string]handler{"a": ok, "b": ok})
			h, url := serve(t, over(s, o))
			before := open(t, h, Server{Name: "x", URL: url})
			s.RemoveTools("a")
			add(s, "c", ok)
			if got := call(t, before["x_a"], `{}`); !got.IsError || !strings.Contains(got.Text, "a") || strings.Contains(got.Text, "not known whether") {
				t.Errorf("a tool that is gone: %+v", got)
			}
			if got := call(t, before["x_b"], `{}`); got != tool.Text("ok") {
				t.Errorf("one that stayed: %+v", got)
			}
			after := open(t, h, Server{Name: "x", URL: url})
			if _, is := after["x_c"]; !is || len(after) != 2 {
				t.Errorf("tools %v", after)
			}
		})
	}
}

// T9: a session that the server has lost is begun anew, and what was refused without it
// is asked again, however the server says so.
func TestT9SessionsAreLost(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusNotFound, http.StatusBadRequest} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			t.Parallel()
			var runs atomic.Int32
			tools := map[string]handler{"count": func(context.Context, string) (string, bool) { return strconv.Itoa(int(runs.Add(1))), false }}
			var mu sync.Mutex
			now, seen, lost := over(server(tools), nil), map[string]bool{}, map[string]bool{}
			h, url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				id := r.Header.Get("Mcp-Session-Id")
				mu.Lock()
				to, gone := now, lost[id]
				seen[id] = id != ""
				mu.Unlock()
				if gone && r.Method == http.MethodPost {
					http.Error(w, "no such session", status)
					return
				}
				to.ServeHTTP(w, r)
			}))
			count := open(t, h, Server{Name: "x", URL: url})["x_count"]
			call(t, count, `{}`)
			mu.Lock()
			now, lost = over(server(tools), nil), maps.Clone(seen) // it has been started again
			mu.Unlock()
			var calls sync.WaitGroup
			for range 8 { // at once: one of them finds it out for all
				calls.Go(func() {
					if got := call(t, count, `{}`); got.IsError {
						t.Errorf("result %+v", got)
					}
				})
			}
			if calls.Wait(); runs.Load() != 9 {
				t.Errorf("%d runs, want 9", runs.Load())
			}
		})
	}
}

// T9: a call that fails takes none with it that is under way beside it.
func TestT9CallsBesideOneThatFails(t *testing.T) {
	t.Parallel()
	for era, o := range eras() {
		t.Run(era, func(t *testing.T) {
			t.Parallel()
			begun, release := make(chan struct{}), make(chan struct{})
			inner := over(server(map[string]handler{
				"pay":  func(context.Context, string) (string, bool) { close(begun); <-release; return "paid", false },
				"fail": func(context.Context, string) (string, bool) { return "never", false },
			}), o)
			h, url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				if bytes.Contains(body, []byte(`"fail"`)) {
					http.Error(w, "the gateway is down", http.StatusBadGateway)
					return
				}
				r.Body = io.NopCloser(bytes.NewReader(body))
				inner.ServeHTTP(w, r)
			}))
			tools := open(t, h, Server{Name: "x", URL: url})
			paid := make(chan tool.Result)
			go func() { paid <- call(t, tools["x_pay"], `{}`) }()
			<-begun
			if got := call(t, tools["x_fail"], `{}`); !got.IsError {
				t.Errorf("failing: %+v", got)
			}
			close(release)
			if got := <-paid; got != tool.Text("paid") {
				t.Errorf("beside it: %+v", got)
			}
		})
	}
}

// T9: a server that dies in the middle of a call is asked again only if the tool says
// that this does no harm; else the model is told that nobody knows.
func TestT9ServersDieInMidCall(t *testing.T) {
	t.Parallel()
	for era, o := range eras() {
		t.Run(era, func(t *testing.T) {
			t.Parallel()
			var runs, reads atomic.Int32
			release := make(chan struct{})
			var dying *httptest.Server
			die := func() (string, bool) { // it is cut off and never comes to its end
				go dying.CloseClientConnections()
				<-release
				return "", true
			}
			dying = httptest.NewServer(over(server(map[string]handler{
				"count": func(context.Context, string) (string, bool) {
					runs.Add(1)
					return die()
				},
				"read_it": func(context.Context, string) (string, bool) {
					if reads.Add(1) == 1 {
						return die()
					}
					return "read", false
				},
			}), o))
			h := NewHost(Options{Guard: outbound.Guard{Hosts: []string{strings.TrimPrefix(dying.URL, "http://")}}, Within: 20 * time.Second})
			t.Cleanup(func() {
				close(release)
				h.Close()
				dying.Close()
			})
			url := dying.URL
			tools := open(t, h, Server{Name: "x", URL: url})
			if got := call(t, tools["x_count"], `{}`); !got.IsError || !strings.Contains(got.Text, "It is not known whether") || runs.Load() != 1 {
				t.Errorf("count: %+v after %d runs", got, runs.Load())
			}
			if got := call(t, tools["x_read_it"], `{}`); got != tool.Text("read") || reads.Load() != 2 {
				t.Errorf("read: %+v after %d runs", got, reads.Load())
			}
		})
	}
}

// T9: who answers late is not waited for; the late answer harms nobody.
func TestT9LateAnswers(t *testing.T) {
	t.Parallel()
	for era, o := range eras() {
		t.Run(era, func(t *testing.T) {
			t.Parallel()
			release := make(chan struct{})
			h, url := serve(t, over(server(map[string]handler{
				"slow":  func(context.Context, string) (string, bool) { <-release; return "late", false },
				"quick": func(context.Context, string) (string, bool) { return "quick", false },
			}), o), func(o *Options) { o.Within = 200 * time.Millisecond })
			tools := open(t, h, Server{Name: "x", URL: url})
			if got := call(t, tools["x_slow"], `{}`); !got.IsError || !strings.Contains(got.Text, "took longer than 200ms") || !strings.Contains(got.Text, "not known whether") {
				t.Errorf("slow: %+v", got)
			}
			close(release)
			if got := call(t, tools["x_quick"], `{}`); got != tool.Text("quick") {
				t.Errorf("quick: %+v", got)
			}
		})
	}
}

// A5, T9: headers go to their server alone and are never told, whoever tries.
func TestA5HeadersOfServers(t *testing.T) {
	t.Parallel()
	var stolen atomic.Value
	stolen.Store("")
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		stolen.Store(r.Header.Get("Authorization"))
	}))
	t.Cleanup(thief.Close)
	inner := over(server(map[string]handler{"tell": func(context.Context, string) (string, bool) { return "the key is sk-secret", true }}), nil)
	h, url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("X-Away") != "":
			http.Redirect(w, r, thief.URL, http.StatusTemporaryRedirect)
		case r.Header.Get("Authorization") != "Bearer sk-secret":
			http.Error(w, "I do not take "+r.Header.Get("Authorization"), http.StatusUnauthorized)
		default:
			inner.ServeHTTP(w, r)
		}
	}), func(o *Options) { o.Guard.Hosts = append(o.Guard.Hosts, strings.TrimPrefix(thief.URL, "http://")) })
	tools := open(t, h, Server{Name: "x", URL: url, Headers: map[string]string{"Authorization": "Bearer sk-secret"}})
	if got := call(t, tools["x_tell"], `{}`); got != tool.Error("the key is …") {
		t.Errorf("told %+v", got)
	}
	for name, s := range map[string]Server{
		"it answered 401 Unauthorized: sign in": {Name: "x", URL: url, Headers: map[string]string{"Authorization": "Bearer sk-wrong"}},
		"it answered 307":                       {Name: "x", URL: url, Headers: map[string]string{"Authorization": "Bearer sk-wrong", "X-Away": "1"}},
		"does not connect to private addresses": {Name: "x", URL: "http://169.254.169.254/mcp", Headers: map[string]string{"Authorization": "Bearer sk-wrong"}},
		"it needs an http or https URL":         {Name: "x", URL: "ftp://x"},
		"defines no MCP server":                 {Name: "x", Program: "none"},
	} {
		_, _, err := h.Open(t.Context(), []Server{s})
		if err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "sk-wrong") || strings.Contains(err.Error(), "query-secret") || !IsLasting(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if stolen.Load() != "" {
		t.Errorf("the header went elsewhere: %q", stolen.Load())
	}
}

// T9: a server that is not there is so for now.
func TestT9ServersThatAreNotThere(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	h, url := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}), func(o *Options) {
		o.Guard.Hosts, o.Connecting, o.Probing = append(o.Guard.Hosts, strings.TrimPrefix(gone.URL, "http://")), 300*time.Millisecond, 100*time.Millisecond
	})
	for want, at := range map[string]string{"connection refused": gone.URL, "did not tell its tools within 300ms": url} {
		_, _, err := h.Open(t.Context(), []Server{{Name: "x", URL: at}})
		if _, is := errors.AsType[*UnreachableError](err); !is || !strings.Contains(err.Error(), want) || IsLasting(err) || strings.Contains(err.Error(), "query-secret") {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// speak is a server on standard input and output: this test's program, started again.
func speak(kind string) {
	switch kind {
	case "chatty":
		fmt.Fprintln(os.Stdout, "Welcome to the test server!")
		fmt.Fprintln(os.Stdout, strings.Repeat("=", 200_000))
		fmt.Fprintln(os.Stderr, "I am there.")
	case "silent": // it says nothing to what it does not know
		old(os.Stdin, os.Stdout)
		return
	}
	runs := 0
	s := server(map[string]handler{
		"count": func(context.Context, string) (string, bool) { runs++; return strconv.Itoa(runs), false },
		"die":   func(context.Context, string) (string, bool) { os.Exit(3); return "", false },
		"env": func(context.Context, string) (string, bool) {
			return os.Getenv("MCP_TEST_SERVER") + os.Getenv("MCP_TEST_SECRET"), false
		},
	})
	_ = s.Run(context.Background(), &sdk.StdioTransport{})
}

// old answers as servers of 2025 do, and passes over every other method.
func old(in, out *os.File) {
	d := json.NewDecoder(in)
	for {
		var r struct {
			ID     json.RawMessage `json:"id"`
			Method string          `json:"method"`
		}
		if d.Decode(&r) != nil {
			return
		}
		result := map[string]string{
			"initialize": `{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"old","version":"1"}}`,
			"tools/list": `{"tools":[{"name":"greet","inputSchema":{"type":"object"}}]}`,
			"tools/call": `{"content":[{"type":"text","text":"hello"}]}`,
		}[r.Method]
		if result != "" {
			fmt.Fprintf(out, `{"jsonrpc":"2.0","id":%s,"result":%s}`+"\n", r.ID, result)
		}
	}
}

// programs starts this test's program as servers.
func programs(t *testing.T) *Host {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]program.Program{"gone": {Run: []string{"/bin/false"}}}
	for _, kind := range []string{"chatty", "silent"} {
		all[kind] = program.Program{Run: []string{"env", "MCP_TEST_SERVER=" + kind, self}, Grace: 2 * time.Second}
	}
	h := NewHost(Options{Programs: all, Log: slog.New(slog.DiscardHandler), Probing: time.Second})
	t.Cleanup(h.Close)
	return h
}

// A4, T9: a program is one process for all; what it says to people harms nothing, it
// sees nothing of the server's environment, and it is started again when it has died.
func TestA4Programs(t *testing.T) {
	t.Setenv("MCP_TEST_SECRET", "secret")
	h := programs(t)
	first, second := open(t, h, Server{Name: "one", Program: "chatty"}), open(t, h, Server{Name: "two", Program: "chatty"})
	got := []tool.Result{
		call(t, first["one_count"], `{}`), call(t, second["two_count"], `{}`), call(t, first["one_env"], `{}`),
		call(t, first["one_die"], `{}`), call(t, second["two_count"], `{}`),
	}
	if got[3].IsError && strings.Contains(got[3].Text, "It is not known whether this call was carried out") {
		got[3] = tool.Text("unknown")
	}
	want := []tool.Result{tool.Text("1"), tool.Text("2"), tool.Text("chatty"), tool.Text("unknown"), tool.Text("1")}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, _, err := h.Open(t.Context(), []Server{{Name: "x", Program: "gone"}}); err == nil {
		t.Error("a program that ends at once has tools")
	}
}

// T9: a server that says nothing to the newest revision is asked in an older one.
func TestT9OldPrograms(t *testing.T) {
	t.Parallel()
	h := programs(t)
	for range 2 {
		began := time.Now()
		if got := call(t, open(t, h, Server{Name: "x", Program: "silent"})["x_greet"], `{}`); got != tool.Text("hello") {
			t.Errorf("greeting %+v after %s", got, time.Since(began))
		}
	}
}
