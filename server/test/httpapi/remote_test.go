package httpapi_test

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/a2aproject/a2a-go/v2/a2a"
	"github.com/a2aproject/a2a-go/v2/a2asrv"
	"github.com/a2aproject/a2a-go/v2/a2asrv/taskstore"

	"github.com/errand-dev/errand/server/internal/app"
)

const remoteKey = "the-key-of-the-remote-agent"

// remoteAgent is a remote agent of the protocol's own Go library. What it does a test
// says, for each message.
type remoteAgent struct {
	*httptest.Server
	does func(context.Context, *a2asrv.ExecutorContext, func(a2a.Event) bool)

	// refuses answers each call in its place, if there is one.
	refuses func(http.ResponseWriter)
	// cuts is how many answers are yet to be lost.
	cuts atomic.Int32

	mu        sync.Mutex
	heard     []*a2a.Message
	keys      map[string]bool
	cancelled int
}

// newRemote starts a remote agent that is spoken to by a binding.
func newRemote(t *testing.T, by a2a.TransportProtocol, does func(context.Context, *a2asrv.ExecutorContext, func(a2a.Event) bool)) *remoteAgent {
	t.Helper()
	r := &remoteAgent{does: does, keys: map[string]bool{}}
	handler := a2asrv.NewHandler(r, a2asrv.WithTaskStore(taskstore.NewInMemory(&taskstore.InMemoryStoreConfig{
		Authenticator: func(context.Context) (string, error) { return "errand", nil }, // else it lists nothing
	})))
	mux := http.NewServeMux()
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		r.keys[req.Header.Get("Authorization")] = true
		r.mu.Unlock()
		if req.Method == http.MethodPost && r.cuts.Add(-1) >= 0 {
			mux.ServeHTTP(httptest.NewRecorder(), req.WithContext(context.WithoutCancel(req.Context())))
			panic(http.ErrAbortHandler)
		}
		if req.Method == http.MethodPost && r.refuses != nil {
			r.refuses(w)
			return
		}
		mux.ServeHTTP(w, req)
	}))
	t.Cleanup(r.Close)
	card := &a2a.AgentCard{
		Name: "Remote", Version: "1", Capabilities: a2a.AgentCapabilities{Streaming: true},
		SupportedInterfaces: []*a2a.AgentInterface{{URL: "grpc://nowhere", ProtocolBinding: a2a.TransportProtocolGRPC, ProtocolVersion: "1.0"}, a2a.NewAgentInterface(r.URL+"/wire", by)},
	}
	mux.Handle("/base/.well-known/agent-card.json", a2asrv.NewStaticAgentCardHandler(card))
	if by == a2a.TransportProtocolJSONRPC {
		mux.Handle("/wire", a2asrv.NewJSONRPCHandler(handler))
	} else {
		mux.Handle("/wire/", http.StripPrefix("/wire", a2asrv.NewRESTHandler(handler)))
	}
	return r
}

// Execute implements a2asrv.AgentExecutor.
func (r *remoteAgent) Execute(ctx context.Context, x *a2asrv.ExecutorContext) iter.Seq2[a2a.Event, error] {
	return func(yield func(a2a.Event, error) bool) {
		r.mu.Lock()
		r.heard = append(r.heard, x.Message)
		r.mu.Unlock()
		if x.StoredTask == nil && !yield(a2a.NewSubmittedTask(x, x.Message), nil) {
			return
		}
		r.does(ctx, x, func(e a2a.Event) bool { return yield(e, nil) })
	}
}

// Cancel implements a2asrv.AgentExecutor.
func (r *remoteAgent) Cancel(_ context.Context, x *a2asrv.ExecutorContext) iter.Seq2[a2a.Event, error] {
	return func(yield func(a2a.Event, error) bool) {
		r.mu.Lock()
		r.cancelled++
		r.mu.Unlock()
		yield(a2a.NewStatusUpdateEvent(x, a2a.TaskStateCanceled, nil), nil)
	}
}

func (r *remoteAgent) messages() []*a2a.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.heard
}

// allow lets a server dial this machine, where the remote agents of tests are.
func allowLocal(o *app.Options) {
	o.AllowPrivate = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
}

// remote makes an agent of a server that is the remote one, and has it do something.
func (s *server) remote(t *testing.T, r *remoteAgent, prompt string) {
	t.Helper()
	s.must(t, 200, call{method: "PUT", path: "/v1/agents/far", body: fmt.Sprintf(
		`{"name": "Far", "runtime": "a2a", "remote": {"url": %q, "headers": {"Authorization": "Bearer %s"}}}`, r.URL+"/base", remoteKey)})
	s.must(t, 201, call{method: "POST", path: "/v1/tasks", key: userKey, body: fmt.Sprintf(`{"agent_id": "far", "id": "one", "input": {"text": %q}}`, prompt)})
}

func tells(x a2a.TaskInfoProvider, state a2a.TaskState, text string) *a2a.TaskStatusUpdateEvent {
	return a2a.NewStatusUpdateEvent(x, state, a2a.NewMessageForTask(a2a.MessageRoleAgent, x, a2a.NewTextPart(text)))
}

// A remote agent's answer is streamed, by either binding, once; the next turn is of the
// same context; its key stays secret.
func TestT11RemoteAgentAnswers(t *testing.T) {
	t.Parallel()
	for _, by := range []a2a.TransportProtocol{a2a.TransportProtocolJSONRPC, a2a.TransportProtocolHTTPJSON} {
		t.Run(string(by), func(t *testing.T) {
			t.Parallel()
			r := newRemote(t, by, func(_ context.Context, x *a2asrv.ExecutorContext, tell func(a2a.Event) bool) {
				first := a2a.NewArtifactEvent(x, a2a.NewTextPart("It is "))
				whole := a2a.NewArtifactUpdateEvent(x, first.Artifact.ID, a2a.NewTextPart("It is blue."))
				whole.Append = false
				_ = tell(tells(x, a2a.TaskStateWorking, "looking up")) && tell(first) &&
					tell(a2a.NewArtifactUpdateEvent(x, first.Artifact.ID, a2a.NewTextPart("blue."))) && tell(whole) &&
					tell(a2a.NewStatusUpdateEvent(x, a2a.TaskStateCompleted, nil))
			})
			s := start(t, allowLocal)
			s.remote(t, r, "What colour is it?")
			if got := s.waitFor(t, "one", "completed"); got["result"] != "It is blue." {
				t.Errorf("the result is %v", got["result"])
			}
			if got := s.told(t, "chunk", ""); got != "It is blue." {
				t.Errorf("viewers have seen %q", got)
			}
			if got := s.told(t, "task_updated", "internal_status"); !strings.Contains(got, "looking up") {
				t.Errorf("its status was told as %q", got)
			}
			s.must(t, 201, call{method: "POST", path: "/v1/tasks", key: userKey, body: `{"agent_id": "far", "id": "one", "input": {"text": "And then?"}}`})
			s.waitFor(t, "one", "completed")
			all := r.messages()
			if len(all) != 2 || all[0].ContextID == "" || all[0].ContextID != all[1].ContextID || all[0].ID == all[1].ID || all[1].TaskID != "" {
				t.Errorf("it has heard %+v", all)
			}
			if !r.keys["Bearer "+remoteKey] || len(r.keys) != 1 {
				t.Errorf("it was shown %v", r.keys)
			}
			if got := s.stored(t) + string(s.do(t, call{method: "GET", path: "/v1/agents/far"}).body); strings.Contains(got, remoteKey) {
				t.Error("A5: the key of the remote agent is shown")
			}
		})
	}
}

// What a remote agent asks is asked here; the answer goes to it once, although the server
// was ended meanwhile.
func TestT11RemoteAgentAsks(t *testing.T) {
	t.Parallel()
	r := newRemote(t, a2a.TransportProtocolJSONRPC, func(_ context.Context, x *a2asrv.ExecutorContext, tell func(a2a.Event) bool) {
		if x.StoredTask == nil {
			tell(tells(x, a2a.TaskStateInputRequired, "Which year?"))
			return
		}
		_ = tell(a2a.NewArtifactEvent(x, a2a.NewTextPart("In "+x.Message.Parts[0].Text()+" it was 7."))) &&
			tell(a2a.NewStatusUpdateEvent(x, a2a.TaskStateCompleted, nil))
	})
	s := start(t, allowLocal)
	s.remote(t, r, "How much was it?")
	s.waitFor(t, "one", "paused")
	s.again(t, allowLocal)
	open := s.must(t, 200, call{method: "GET", path: "/v1/approvals"})["items"].([]any)
	if len(open) != 1 || open[0].(map[string]any)["message"] != "Which year?" {
		t.Fatalf("people are asked %v", open)
	}
	s.must(t, 200, call{method: "POST", path: "/v1/approvals/" + open[0].(map[string]any)["id"].(string) + "/answer", key: userKey, body: `{"answer": "approve", "value": "2025"}`})
	if got := s.waitFor(t, "one", "completed"); got["result"] != "In 2025 it was 7." {
		t.Errorf("the result is %v", got["result"])
	}
	if all := r.messages(); len(all) != 2 || all[1].TaskID == "" {
		t.Errorf("it has heard %+v", all)
	}
}

// The end of the server leaves a remote task alone: the next attempt goes on with it. A
// stop ends it.
func TestT11RemoteAgentGoesOn(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	r := newRemote(t, a2a.TransportProtocolJSONRPC, func(ctx context.Context, x *a2asrv.ExecutorContext, tell func(a2a.Event) bool) {
		if !tell(a2a.NewArtifactEvent(x, a2a.NewTextPart("half"))) {
			return
		}
		select {
		case <-release:
		case <-ctx.Done():
			return
		}
		_ = tell(a2a.NewArtifactEvent(x, a2a.NewTextPart("more"))) && tell(a2a.NewStatusUpdateEvent(x, a2a.TaskStateCompleted, nil))
	})
	s := start(t, allowLocal)
	s.remote(t, r, "x")
	s.eventually(t, "a chunk", func() bool { return s.told(t, "chunk", "") == "half" })
	s.again(t, allowLocal)
	s.eventually(t, "another attempt", func() bool { return s.told(t, "task_compactization", "type") == "retry" })
	close(release)
	if got := s.waitFor(t, "one", "completed"); got["result"] != "half\n\nmore" || got["attempt"] != 2.0 {
		t.Errorf("attempt %v, result %q", got["attempt"], got["result"])
	}
	if all := r.messages(); len(all) != 1 || r.cancelled != 0 {
		t.Errorf("it was asked %d times, and cancelled %d times", len(all), r.cancelled)
	}
}

// A remote agent whose first answer was lost is not asked again: the task that it has is
// found by the message.
func TestT11RemoteAgentIsAskedOnce(t *testing.T) {
	t.Parallel()
	r := newRemote(t, a2a.TransportProtocolJSONRPC, func(_ context.Context, x *a2asrv.ExecutorContext, tell func(a2a.Event) bool) {
		_ = tell(a2a.NewArtifactEvent(x, a2a.NewTextPart("once"))) && tell(a2a.NewStatusUpdateEvent(x, a2a.TaskStateCompleted, nil))
	})
	r.cuts.Store(1)
	s := start(t, allowLocal)
	s.remote(t, r, "x")
	if got := s.waitFor(t, "one", "completed"); got["result"] != "once" {
		t.Errorf("the result is %v", got["result"])
	}
	if all := r.messages(); len(all) != 1 || r.cuts.Load() >= 0 {
		t.Errorf("it was asked %d times", len(all))
	}
}

// X2: a stop reaches a remote task.
func TestX2RemoteAgentIsStopped(t *testing.T) {
	t.Parallel()
	r := newRemote(t, a2a.TransportProtocolJSONRPC, func(ctx context.Context, x *a2asrv.ExecutorContext, tell func(a2a.Event) bool) {
		first := a2a.NewArtifactEvent(x, a2a.NewTextPart("half"))
		for more := tell(first); more; { // it is heard that the turn is over by a word that is refused
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Millisecond):
			}
			more = tell(a2a.NewArtifactUpdateEvent(x, first.Artifact.ID, a2a.NewTextPart(".")))
		}
	})
	s := start(t, allowLocal)
	s.remote(t, r, "x")
	s.eventually(t, "a chunk", func() bool { return strings.HasPrefix(s.told(t, "chunk", ""), "half") })
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/one/stop", key: userKey})
	s.eventually(t, "a cancelled task", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.cancelled == 1
	})
	s.eventually(t, "a confirmed stop", func() bool {
		stop, _ := s.must(t, 200, call{method: "GET", path: "/v1/tasks/one"})["stop"].(map[string]any)
		return stop["confirmed_at"] != nil
	})
}

// Files of a remote agent are outputs, each under a name of its own.
func TestT11RemoteAgentsFiles(t *testing.T) {
	t.Parallel()
	r := newRemote(t, a2a.TransportProtocolJSONRPC, func(_ context.Context, x *a2asrv.ExecutorContext, tell func(a2a.Event) bool) {
		file := func(name, content string) *a2a.Part {
			p := a2a.NewRawPart([]byte(content))
			p.Filename = name
			return p
		}
		_ = tell(a2a.NewArtifactEvent(x, file("out/plot.png", "plot"), file("", "a"))) && tell(a2a.NewArtifactEvent(x, file("", "b"), file("", "a"), a2a.NewTextPart("See there."))) &&
			tell(a2a.NewStatusUpdateEvent(x, a2a.TaskStateCompleted, nil))
	})
	s := start(t, allowLocal)
	s.remote(t, r, "x")
	if got := s.waitFor(t, "one", "completed"); got["result"] != "See there." {
		t.Errorf("the result is %v", got["result"])
	}
	for name, content := range map[string]string{"plot.png": "plot", "file": "a", "2-file": "b"} {
		if got := s.do(t, call{method: "GET", path: "/v1/tasks/one/outputs/" + name}); string(got.body) != content {
			t.Errorf("%s holds %q", name, got.body)
		}
	}
	if all := s.outputs(t, ""); len(all) != 3 {
		t.Errorf("its outputs are %v", all)
	}
}

// A remote agent that fails or is not there is told as it is.
func TestT11RemoteAgentFails(t *testing.T) {
	t.Parallel()
	t.Run("failed", func(t *testing.T) {
		t.Parallel()
		r := newRemote(t, a2a.TransportProtocolJSONRPC, func(_ context.Context, x *a2asrv.ExecutorContext, tell func(a2a.Event) bool) {
			tell(tells(x, a2a.TaskStateFailed, "no such table"))
		})
		s := start(t, allowLocal)
		s.remote(t, r, "x")
		if got := s.waitFor(t, "one", "failed"); got["result"] != "no such table" {
			t.Errorf("the result is %v", got["result"])
		}
	})
	t.Run("no card", func(t *testing.T) {
		t.Parallel()
		r := newRemote(t, a2a.TransportProtocolJSONRPC, nil)
		r.URL += "/elsewhere"
		s := start(t, allowLocal)
		s.remote(t, r, "x")
		if got := s.waitFor(t, "one", "error"); !strings.Contains(fmt.Sprint(got["result"]), "404") {
			t.Errorf("the result is %v", got["result"])
		}
	})
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		for status, body := range map[int]string{http.StatusUnauthorized: "", http.StatusOK: `{"jsonrpc": "2.0", "id": 1, "error": {"code": -32005, "message": "no such words"}}`} {
			r := newRemote(t, a2a.TransportProtocolJSONRPC, nil)
			r.refuses = func(w http.ResponseWriter) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(status)
				_, _ = w.Write([]byte(body))
			}
			s := start(t, allowLocal)
			s.remote(t, r, "x")
			got := s.waitFor(t, "one", "error")
			if want := map[bool]string{true: "no such words", false: "401"}[status == http.StatusOK]; !strings.Contains(fmt.Sprint(got["result"]), want) || got["attempt"] != 1.0 {
				t.Errorf("attempt %v, the result is %v", got["attempt"], got["result"])
			}
		}
	})
	t.Run("A4: a private address", func(t *testing.T) {
		t.Parallel()
		r := newRemote(t, a2a.TransportProtocolJSONRPC, nil)
		s := start(t)
		s.remote(t, r, "x")
		s.eventually(t, "a refusal", func() bool {
			return strings.Contains(s.told(t, "attempt_lost", ""), "private") || strings.Contains(fmt.Sprint(s.must(t, 200, call{method: "GET", path: "/v1/tasks/one"})["result"]), "private")
		})
	})
	t.Run("bad records", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		for body, field := range map[string]string{
			`{"name": "x", "runtime": "a2a"}`:                                                         "remote.url",
			`{"name": "x", "runtime": "a2a", "remote": {"url": "ftp://x"}}`:                           "remote.url",
			`{"name": "x", "runtime": "a2a", "remote": {"url": "http://a:b@x"}}`:                      "remote.url",
			`{"name": "x", "runtime": "a2a", "remote": {"url": "http://x", "headers": {"a b": "c"}}}`: "remote.headers",
			`{"name": "x", "runtime": "model", "model_name": "m", "remote": {"url": "http://x"}}`:     "remote",
		} {
			if got := s.must(t, 422, call{method: "PUT", path: "/v1/agents/x", body: body}); got["field"] != field {
				t.Errorf("%s: the field is %v", body, got["field"])
			}
		}
	})
}
