package httpapi_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/errand-dev/errand/server/internal/app"
)

// receiver is a program that is posted to.
type receiver struct {
	url string
	mu  sync.Mutex
	// got are the updates that it has taken, refused is how many it is yet to refuse.
	got     []any
	refused int
	wrong   []string
}

// receive starts one that first refuses so many updates.
func receive(t *testing.T, refused int) *receiver {
	t.Helper()
	r := &receiver{refused: refused}
	s := httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(s.Close)
	r.url = s.URL + "/hook"
	return r
}

func (r *receiver) serve(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	var update any
	if err == nil {
		err = json.Unmarshal(body, &update)
	}
	shown := []string{req.Header.Get("Authorization"), req.Header.Get("X-A2A-Notification-Token"), req.Header.Get("A2A-Notification-Token"), req.Header.Get("Content-Type")}
	if want := []string{"Bearer s3cret", "t0ken", "t0ken", "application/json"}; err != nil || req.Method != http.MethodPost || !slices.Equal(shown, want) {
		r.wrong = append(r.wrong, fmt.Sprint(req.Method, shown, string(body), err))
	}
	if r.refused > 0 {
		r.refused--
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	r.got = append(r.got, update)
}

func (r *receiver) taken() []any {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

// config is what asks to be told there.
func (r *receiver) config() map[string]any {
	return map[string]any{"url": r.url, "token": "t0ken", "authentication": map[string]any{"scheme": "Bearer", "credentials": "s3cret"}}
}

// toldAt is a message with the address of one who is to be told.
func toldAt(id, words string, more, config map[string]any) map[string]any {
	m := userMessage(id, words, more)
	m["configuration"].(map[string]any)["taskPushNotificationConfig"] = config
	return m
}

// posts lets the server post to this machine.
func posts(o *app.Options) {
	o.AllowPrivate = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
}

// streamed are the updates of a turn's stream.
func (s *server) streamed(t *testing.T, of string) (all []any) {
	t.Helper()
	c := speaking("HTTP+JSON", "SubscribeToTask", map[string]any{"id": of})
	c.header["A2A-Extensions"], c.header["Last-Event-ID"] = sequence, "0"
	for _, m := range s.follow(t, c).rest(t) {
		all = append(all, object(t, []byte(m.data)))
	}
	return all
}

// delivery is how a push stands.
func (s *server) delivery(t *testing.T, of, id string) map[string]any {
	t.Helper()
	got := s.speaks(t, "JSONRPC", "GetTaskPushNotificationConfig", map[string]any{"taskId": of, "id": id})
	return got["delivery"].(map[string]any)
}

// What is posted is the stream, each update once it is taken and in its order, although the
// receiver has refused five; who asks for it later is told of the task as it then is.
func TestH20PushesAreTheStream(t *testing.T) {
	t.Parallel()
	for _, binding := range bindings() {
		t.Run(binding, func(t *testing.T) {
			t.Parallel()
			s := start(t, posts)
			s.agent(t, "agent-1")
			one, two, three := receive(t, 5), receive(t, 0), receive(t, 0)
			first := one.config()
			first["id"] = "first"
			for range 2 { // the second one is a repeat
				s.speaks(t, binding, "SendMessage", toldAt("m", "hello", map[string]any{"contextId": "one"}, first))
			}
			if got := s.delivery(t, "one~1", "first"); got["state"] == "done" {
				t.Errorf("H20: before anything was taken %v", got)
			}
			token := s.claim(t)
			s.says(t, token, "Hi")
			second := two.config()
			second["taskId"] = "one~1"
			made := s.speaks(t, binding, "CreateTaskPushNotificationConfig", second)
			s.says(t, token, " there")
			s.finishes(t, "one", token, `"status": "completed", "result": "Hi there."`)
			all := s.streamed(t, "one~1")
			third := three.config()
			third["taskId"], third["id"] = "one~1", "third"
			s.speaks(t, binding, "CreateTaskPushNotificationConfig", third)
			for of, n := range map[*receiver]int{one: len(all), two: 1, three: 1} {
				s.eventually(t, "all updates have come", func() bool {
					got := of.taken()
					return len(got) >= n && strings.Contains(fmt.Sprint(got[len(got)-1]), "COMPLETED")
				})
				if len(of.wrong) > 0 {
					t.Errorf("H20: posted %q", of.wrong)
				}
			}
			if got := one.taken(); !reflect.DeepEqual(got, all) {
				t.Errorf("H20: posted %v\nwant %v", got, all)
			}
			if got := two.taken(); got[0].(map[string]any)["task"] == nil || !reflect.DeepEqual(got[1:], all[len(all)-len(got)+1:]) {
				t.Errorf("H20: posted in the middle %v", got)
			}
			if got := three.taken(); len(got) != 1 || got[0].(map[string]any)["task"] == nil {
				t.Errorf("H20: posted after the end %v", got)
			}
			listed := s.speaks(t, binding, "ListTaskPushNotificationConfigs", map[string]any{"taskId": "one~1"})
			if text := fmt.Sprint(listed, made); strings.Contains(text, "s3cret") || strings.Contains(text, "t0ken") || len(listed["configs"].([]any)) != 3 {
				t.Errorf("H20: listed %v", listed)
			}
			s.counted(t, "taken", len(all)+len(two.taken())+len(three.taken()))
			s.counted(t, "failed", 5)
			s.eventually(t, "a push is done", func() bool { return s.delivery(t, "one~1", "first")["state"] == "done" })
			for range 2 {
				s.speaks(t, binding, "DeleteTaskPushNotificationConfig", map[string]any{"taskId": "one~1", "id": "first"})
			}
			s.refuses(t, "TASK_NOT_FOUND", speaking(binding, "GetTaskPushNotificationConfig", map[string]any{"taskId": "one~1", "id": "first"}))
		})
	}
}

// counted checks how many requests have come out so.
func (s *server) counted(t *testing.T, outcome string, want int) {
	t.Helper()
	s.eventually(t, "the metrics say so", func() bool {
		got := s.do(t, call{method: "GET", path: "/metrics"})
		return strings.Contains(string(got.body), fmt.Sprintf("\nerrand_pushes_posted_total{outcome=%q} %d\n", outcome, want))
	})
}

// What another message of the turn says of an address takes the place of what one before has
// said; a message that is sent again changes nothing.
func TestH20AnotherMessageSaysWhere(t *testing.T) {
	t.Parallel()
	s := start(t, posts)
	s.agent(t, "agent-1")
	one, two := receive(t, 0), receive(t, 0)
	say := func(id string, to *receiver, of map[string]any) {
		config := to.config()
		config["id"] = "hook"
		s.speaks(t, "JSONRPC", "SendMessage", toldAt(id, id, of, config))
	}
	say("m", one, map[string]any{"contextId": "one"})
	s.claim(t)
	for range 2 { // the second one is a repeat
		say("n", two, map[string]any{"taskId": "one~1"})
		say("m", one, map[string]any{"contextId": "one"})
	}
	s.eventually(t, "an update has come", func() bool { return len(two.taken()) > 0 })
	kept := s.speaks(t, "JSONRPC", "GetTaskPushNotificationConfig", map[string]any{"taskId": "one~1", "id": "hook"})
	if got := two.taken(); got[0].(map[string]any)["task"] == nil || len(got) > 1 || kept["url"] != two.url {
		t.Errorf("H20: posted %v, to %v", got, kept)
	}
}

// Receivers that do not answer hold up nobody else's updates.
func TestH20ASlowReceiverDelaysNoOther(t *testing.T) {
	t.Parallel()
	s := start(t, posts)
	s.agent(t, "agent-1")
	over := make(chan struct{})
	hangs := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-over }))
	t.Cleanup(func() { close(over); hangs.Close() })
	for i := range 40 {
		s.speaks(t, "JSONRPC", "SendMessage", toldAt(fmt.Sprint("m", i), "hello", nil, map[string]any{"url": hangs.URL}))
	}
	r := receive(t, 0)
	s.speaks(t, "JSONRPC", "SendMessage", toldAt("m", "hello", nil, r.config()))
	s.eventually(t, "an update has come", func() bool { return len(r.taken()) == 1 })
}

// Of updates that are large few are in memory at a time, and the others hold up nobody else.
func TestH20LargeUpdatesTakeTurns(t *testing.T) {
	t.Parallel()
	s := start(t, posts)
	s.agent(t, "agent-1")
	s.speaks(t, "JSONRPC", "SendMessage", toldAt("m", "hello", map[string]any{"contextId": "large"}, nil))
	s.finishes(t, "large", s.claim(t), `"status": "completed", "result": "`+strings.Repeat("x", 3<<20)+`"`)
	var atWork, most, taken atomic.Int32
	over := make(chan struct{})
	open := sync.OnceFunc(func() { close(over) })
	const receivers = 9
	for range receivers {
		hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // it is about whether it comes
			most.Store(max(most.Load(), atWork.Add(1)))
			<-over
			atWork.Add(-1)
			taken.Add(1)
		}))
		t.Cleanup(func() { open(); hook.Close() })
		s.speaks(t, "JSONRPC", "CreateTaskPushNotificationConfig", map[string]any{"taskId": "large~1", "url": hook.URL})
	}
	s.eventually(t, "some are posted", func() bool { return atWork.Load() == 4 })
	r := receive(t, 0)
	s.speaks(t, "JSONRPC", "SendMessage", toldAt("n", "hello", nil, r.config()))
	s.eventually(t, "a small one has come", func() bool { return len(r.taken()) == 1 })
	open()
	s.eventually(t, "all are taken", func() bool { return taken.Load() == receivers })
	if most.Load() != 4 {
		t.Errorf("H20: %d at once", most.Load())
	}
}

// What cannot be posted to is refused, and nothing is stored.
func TestH20BadPushes(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "mine")
	for _, binding := range bindings() {
		for _, bad := range []map[string]any{
			{"url": nil},
			{"url": ""},
			{"url": "ftp://example.org/"},
			{"url": "https://user:word@example.org/"},
			{"url": "http://example.org:99999/"},
			{"url": "https://example.org/" + strings.Repeat("x", 2048)},
			{"url": "http://127.0.0.1:1/"},
			{"url": "http://localhost:1/"},
			{"url": "http://[::1]/"},
			{"url": "http://169.254.169.254/latest"},
			{"token": "a\nb"},
			{"token": strings.Repeat("x", 4097)},
			{"authentication": map[string]any{"credentials": "x"}},
			{"authentication": map[string]any{"scheme": "a b", "credentials": "x"}},
			{"authentication": "Bearer x"},
			{"id": "a/b"},
		} {
			config := map[string]any{"url": "https://example.invalid/hook", "taskId": "mine~1"}
			maps.Copy(config, bad)
			s.refuses(t, "INVALID_PARAMS", speaking(binding, "CreateTaskPushNotificationConfig", config))
			s.refuses(t, "INVALID_PARAMS", speaking(binding, "SendMessage", toldAt("m", "x", nil, config)))
		}
		good := map[string]any{"url": "https://example.invalid/hook", "taskId": "mine~1", "id": "theirs"}
		for _, of := range []string{"nobody~1", "mine~2", "mine"} {
			config := map[string]any{"url": good["url"], "taskId": of, "id": "x"}
			for _, method := range []string{"CreateTask%sConfig", "GetTask%sConfig", "ListTask%sConfigs", "DeleteTask%sConfig"} {
				s.refuses(t, "TASK_NOT_FOUND", speaking(binding, fmt.Sprintf(method, "PushNotification"), config))
			}
		}
		s.speaks(t, binding, "CreateTaskPushNotificationConfig", good)
		s.must(t, 200, call{method: "PUT", path: "/v1/agents/agent-1", key: strangerKey, body: `{"name": "theirs"}`})
		for _, method := range []string{"CreateTask%sConfig", "GetTask%sConfig", "ListTask%sConfigs", "DeleteTask%sConfig"} {
			c := speaking(binding, fmt.Sprintf(method, "PushNotification"), good)
			c.key = strangerKey
			s.refuses(t, "TASK_NOT_FOUND", c)
		}
		s.speaks(t, binding, "GetTaskPushNotificationConfig", good)
	}
}
