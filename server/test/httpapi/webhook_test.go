package httpapi_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// listener is a program that webhooks tell, and that takes what Standard Webhooks' own library
// finds to be signed.
type listener struct {
	url string
	mu  sync.Mutex
	// secret verifies messages, status answers them.
	secret   string
	status   int
	messages []notice
	wrong    []string
	attempts int
}

// notice is what a webhook is told.
type notice struct {
	id, body string
	Type     string         `json:"type"`
	At       string         `json:"timestamp"`
	Data     map[string]any `json:"data"`
}

// listen starts one.
func listen(t *testing.T) *listener {
	t.Helper()
	l := &listener{status: http.StatusNoContent}
	s := httptest.NewServer(http.HandlerFunc(l.serve))
	t.Cleanup(s.Close)
	l.url = s.URL + "/hook"
	return l
}

func (l *listener) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	l.mu.Lock()
	defer l.mu.Unlock()
	m := notice{id: r.Header.Get("webhook-id"), body: string(body)}
	verifier, err2 := standardwebhooks.NewWebhook(l.secret)
	if err == nil && err2 == nil {
		err = verifier.Verify(body, r.Header)
	}
	if err != nil || err2 != nil || json.Unmarshal(body, &m) != nil {
		l.wrong = append(l.wrong, fmt.Sprint(r.Header, m.body, err, err2))
	}
	l.attempts++
	if l.status/100 == 2 {
		l.messages = append(l.messages, m)
	}
	w.WriteHeader(l.status)
}

// answers makes it answer so from now on.
func (l *listener) answers(status int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.status = status
}

// tried counts the requests.
func (l *listener) tried() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.attempts
}

// taken lists the messages that it has taken; what was not signed well is an error.
func (l *listener) taken(t *testing.T) []notice {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.wrong) > 0 {
		t.Fatalf("H21: posted %q", l.wrong)
	}
	return slices.Clone(l.messages)
}

// kinds lists the types of some messages.
func kinds(of []notice) (all []string) {
	for _, m := range of {
		all = append(all, m.Type)
	}
	return all
}

// hook makes a webhook of a key that tells l, and returns its id.
func (s *server) hook(t *testing.T, key string, l *listener, members string) string {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	made := s.must(t, 201, call{method: "POST", path: "/v1/webhooks", key: key, body: fmt.Sprintf(`{"url": %q%s}`, l.url, members)})
	l.secret = made["secret"].(string)
	return made["id"].(string)
}

// allTold waits until nothing is left that webhooks are yet to be told.
func (s *server) allTold(t *testing.T) {
	t.Helper()
	s.eventually(t, "nothing is left to tell", func() bool {
		var left int
		if err := s.db.QueryRowContext(t.Context(), "SELECT count(*) FROM pushes").Scan(&left); err != nil {
			t.Fatal(err)
		}
		return left == 0
	})
}

// hooks lists the webhooks that a key sees.
func (s *server) hooks(t *testing.T, key string) (all []map[string]any) {
	t.Helper()
	for _, w := range s.must(t, 200, call{method: "GET", path: "/v1/webhooks", key: key})["items"].([]any) {
		all = append(all, w.(map[string]any))
	}
	return all
}

// A webhook is told of what becomes of each turn, in its order, each once, signed as the
// released library wants it, and of nothing that a task was asked or has said.
func TestH21WebhooksAreTold(t *testing.T) {
	t.Parallel()
	s := start(t, posts)
	s.agent(t, "agent-1")
	s.agent(t, "agent-2")
	s.task(t, "before")
	s.finishes(t, "before", s.claim(t), `"status": "completed"`)
	all, ends, other := listen(t), listen(t), listen(t)
	s.hook(t, userKey, all, "")
	s.hook(t, userKey, ends, `, "types": ["task.completed", "task.stopped"], "agents": ["agent-1"]`)
	s.hook(t, userKey, other, `, "agents": ["agent-2"]`)
	s.task(t, "one")
	token := s.claim(t)
	asked := s.must(t, 201, call{method: "POST", path: "/v1/tasks/one/approvals", key: workerKey, body: fmt.Sprintf(`{"lease_token": %q, "key": "k", "message": "SECRET?"}`, token)})
	s.must(t, 200, call{method: "POST", path: "/v1/approvals/" + asked["id"].(string) + "/answer", key: userKey, body: `{"value": "yes"}`})
	token = s.claim(t)
	s.says(t, token, "SECRET")
	s.finishes(t, "one", token, `"status": "completed", "result": "SECRET"`)
	s.task(t, "two")
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/two/stop"})
	want := []string{"task.pending", "task.executing", "approval.requested", "task.paused", "task.pending", "task.executing", "task.completed"}
	of := func(id string) (some []notice) {
		for _, m := range all.taken(t) {
			if m.Data["task_id"] == id {
				some = append(some, m)
			}
		}
		return some
	}
	s.eventually(t, "all of one turn is told", func() bool { return len(of("one")) >= len(want) })
	s.eventually(t, "all of the other is", func() bool { return len(of("two")) >= 2 })
	s.eventually(t, "both ends are", func() bool { return len(ends.taken(t)) == 2 })
	s.allTold(t)
	got := of("one")
	if !slices.Equal(kinds(got), want) || !slices.Equal(kinds(of("two")), []string{"task.pending", "task.stopped"}) || len(all.taken(t)) != len(want)+2 {
		t.Errorf("H21: told %q, %q", kinds(got), kinds(of("two")))
	}
	ids := map[string]bool{}
	for _, m := range all.taken(t) {
		ids[m.id] = true
		if m.Data["agent_id"] != "agent-1" || m.Data["turn"] != 1.0 || m.At == "" || strings.Contains(m.body, "SECRET") {
			t.Errorf("H21: told %s", m.body)
		}
	}
	last := got[len(got)-1].Data
	if len(ids) != len(want)+2 || last["status"] != "completed" || last["end_reason"] != "completed" || got[2].Data["approval_id"] != asked["id"] {
		t.Errorf("H21: told %v, and %d ids", got, len(ids))
	}
	if told := other.taken(t); len(told) > 0 {
		t.Errorf("H21: of another agent %v", told)
	}
	for _, w := range s.hooks(t, userKey) {
		if _, secret := w["secret"]; secret || w["failures"] != 0.0 || w["enabled"] != true {
			t.Errorf("H21: listed %v", w)
		}
	}
}

// A message is posted again until it is taken, with the same id and before what follows;
// the list says meanwhile why nothing arrives.
func TestH21WebhooksAreToldAgain(t *testing.T) {
	t.Parallel()
	s := start(t, posts)
	s.agent(t, "agent-1")
	l := listen(t)
	l.answers(http.StatusInternalServerError)
	s.hook(t, userKey, l, "")
	s.task(t, "one")
	s.eventually(t, "a failure is shown", func() bool {
		w := s.hooks(t, userKey)[0]
		return w["failures"].(float64) > 1 && w["last_failure"] == "answered 500" && w["last_failed_at"] != nil && w["last_taken_at"] == nil
	})
	s.finishes(t, "one", s.claim(t), `"status": "failed"`)
	l.answers(http.StatusOK)
	s.eventually(t, "all is told", func() bool { return len(l.taken(t)) >= 3 })
	s.allTold(t)
	if got := kinds(l.taken(t)); !slices.Equal(got, []string{"task.pending", "task.executing", "task.failed"}) {
		t.Errorf("H21: told %q", got)
	}
	s.eventually(t, "it is well again", func() bool {
		w := s.hooks(t, userKey)[0]
		return w["failures"] == 0.0 && w["last_taken_at"] != nil
	})
}

// A webhook that is gone is disabled. Once it is enabled again it is told of what happens
// from then on. A test is posted at once, and says what has come of it.
func TestH21WebhooksThatAreGone(t *testing.T) {
	t.Parallel()
	s := start(t, posts)
	s.agent(t, "agent-1")
	l := listen(t)
	id := s.hook(t, userKey, l, `, "types": ["task.pending", "task.stopped"]`)
	path := "/v1/webhooks/" + id
	l.answers(http.StatusGone)
	if got := s.must(t, 200, call{method: "POST", path: path + "/test", key: userKey}); got["taken"] != false || got["failure"] != "answered 410" {
		t.Errorf("H21: tested %v", got)
	}
	s.task(t, "one")
	s.eventually(t, "it is disabled", func() bool { return s.hooks(t, userKey)[0]["enabled"] == false })
	l.answers(http.StatusOK)
	s.task(t, "two")
	if got := s.must(t, 200, call{method: "PATCH", path: path, key: userKey, body: `{"enabled": true, "types": ["task.stopped"]}`}); got["enabled"] != true || got["failures"] != 0.0 {
		t.Errorf("H21: enabled %v", got)
	}
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/two/stop"})
	s.eventually(t, "it is told again", func() bool { return len(l.taken(t)) > 0 })
	if got := s.must(t, 200, call{method: "POST", path: path + "/test", key: userKey}); got["taken"] != true || got["failure"] != "" {
		t.Errorf("H21: tested %v", got)
	}
	if got := kinds(l.taken(t)); !slices.Equal(got, []string{"task.stopped", "webhook.test"}) {
		t.Errorf("H21: told %q", got)
	}
	s.must(t, 204, call{method: "DELETE", path: path, key: userKey})
	s.must(t, 404, call{method: "DELETE", path: path, key: userKey})
	if left := s.hooks(t, userKey); len(left) > 0 {
		t.Errorf("H21: left %v", left)
	}
}

// A webhook that takes nothing is tried now and then, however much waits for it, and delays
// no other. A test that it takes ends that.
func TestH21WebhooksThatFailDelayNoOther(t *testing.T) {
	t.Parallel()
	s := start(t, posts)
	s.agent(t, "agent-1")
	const tasks = 100
	fails, takes := listen(t), listen(t)
	fails.answers(http.StatusBadGateway)
	id := s.hook(t, userKey, fails, "")
	s.hook(t, userKey, takes, "")
	for i := range tasks {
		s.task(t, fmt.Sprint("t-", i))
	}
	s.eventually(t, "the other is told", func() bool { return len(takes.taken(t)) == tasks })
	if n := fails.tried(); n == 0 || n > tasks/2 {
		t.Errorf("H21: it was tried %d times for %d tasks", n, tasks)
	}
	named := map[string]any{"taskId": "t-99~1", "id": "/" + id} // as the store calls what waits for it
	s.refuses(t, "TASK_NOT_FOUND", speaking("JSONRPC", "GetTaskPushNotificationConfig", named))
	s.speaks(t, "JSONRPC", "DeleteTaskPushNotificationConfig", named)
	fails.answers(http.StatusOK)
	s.must(t, 200, call{method: "POST", path: "/v1/webhooks/" + id + "/test", key: userKey})
	s.eventually(t, "it is told, too", func() bool { return len(fails.taken(t)) == tasks+1 })
}

// A message is given up after five days. A webhook that has taken nothing in these is
// disabled; one that has taken another goes on.
func TestH21WebhooksThatFailForDays(t *testing.T) {
	t.Parallel()
	s := start(t, posts)
	s.agent(t, "agent-1")
	takes, fails := listen(t), listen(t)
	s.hook(t, userKey, takes, "")
	s.hook(t, userKey, fails, "")
	fails.answers(http.StatusBadGateway)
	s.task(t, "one")
	s.eventually(t, "one has taken it", func() bool { return s.hooks(t, userKey)[0]["last_taken_at"] != nil })
	takes.answers(http.StatusBadGateway)
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/one/stop"})
	db := beside(t, s.dir, "?_pragma=busy_timeout(10000)")
	t.Cleanup(func() { _ = db.Close() })
	s.eventually(t, "both have failed", func() bool {
		all := s.hooks(t, userKey)
		return all[0]["failures"].(float64) > 0 && all[1]["failures"].(float64) > 0
	})
	s.eventually(t, "the one is disabled, and nothing is left to tell the other", func() bool {
		if _, err := db.ExecContext(t.Context(), "UPDATE pushes SET failed_at = 1 WHERE failures > 0"); err != nil {
			t.Fatal(err)
		}
		var left int
		if err := s.db.QueryRowContext(t.Context(), "SELECT count(*) FROM pushes").Scan(&left); err != nil {
			t.Fatal(err)
		}
		return left == 0 && s.hooks(t, userKey)[1]["enabled"] == false
	})
	if w := s.hooks(t, userKey)[0]; w["enabled"] != true || w["last_failure"] != "answered 502" {
		t.Errorf("H21: %v", w)
	}
}

// A webhook that is deleted between two messages of a turn is told nothing more.
func TestH21WebhooksThatAreDeletedMeanwhile(t *testing.T) {
	t.Parallel()
	s := start(t, posts)
	s.agent(t, "agent-1")
	var open atomic.Bool
	var taken atomic.Int32
	came, goOn := make(chan struct{}), make(chan struct{})
	l := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !open.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if taken.Add(1) == 1 {
			close(came)
			<-goOn
		}
	}))
	t.Cleanup(l.Close)
	made := s.must(t, 201, call{method: "POST", path: "/v1/webhooks", key: userKey, body: fmt.Sprintf(`{"url": %q}`, l.URL)})
	s.task(t, "one")
	s.finishes(t, "one", s.claim(t), `"status": "completed"`)
	s.eventually(t, "all of it waits", func() bool {
		var n int
		if err := s.db.QueryRowContext(t.Context(), "SELECT count(*) FROM pushes p JOIN events e ON e.seq = p.since_seq WHERE e.type = 'task_finished'").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n == 1
	})
	open.Store(true)
	<-came
	s.must(t, 204, call{method: "DELETE", path: "/v1/webhooks/" + made["id"].(string), key: userKey})
	close(goOn)
	s.allTold(t)
	if n := taken.Load(); n != 1 {
		t.Errorf("H21: told %d times", n)
	}
}

// A webhook is told of what its key sees, and only who sees as much sees it.
func TestH21WebhooksSeeWhatTheirKeySees(t *testing.T) {
	t.Parallel()
	s := start(t, posts)
	s.agent(t, "agent-1")
	own := s.must(t, 201, call{method: "POST", path: "/v1/keys", body: `{"name": "own", "role": "user", "sees": "own"}`})["key"].(string)
	whole, narrow := listen(t), listen(t)
	wide := s.hook(t, userKey, whole, "")
	mine := s.hook(t, own, narrow, "")
	s.task(t, "theirs")
	s.must(t, 201, call{method: "POST", path: "/v1/tasks", key: own, body: `{"agent_id": "agent-1", "id": "mine", "input": {"text": "x"}}`})
	s.eventually(t, "the whole is told", func() bool { return len(whole.taken(t)) == 2 })
	s.eventually(t, "its own is told", func() bool { return len(narrow.taken(t)) == 1 })
	if got := narrow.taken(t)[0]; got.Data["task_id"] != "mine" {
		t.Errorf("H21: told %v", got)
	}
	if got := s.hooks(t, own); len(got) != 1 || got[0]["id"] != mine || len(s.hooks(t, userKey)) != 2 || len(s.hooks(t, strangerKey)) != 0 {
		t.Errorf("H21: listed %v", got)
	}
	for _, c := range []struct{ key, id string }{{own, wide}, {strangerKey, wide}, {strangerKey, mine}} {
		s.must(t, 404, call{method: "PATCH", path: "/v1/webhooks/" + c.id, key: c.key, body: `{"enabled": false}`})
		s.must(t, 404, call{method: "POST", path: "/v1/webhooks/" + c.id + "/test", key: c.key})
		s.must(t, 404, call{method: "DELETE", path: "/v1/webhooks/" + c.id, key: c.key})
	}
	if got := len(whole.taken(t)); got != 2 || len(s.hooks(t, userKey)) != 2 {
		t.Errorf("H21: %d messages", got)
	}
}

// What could not be told is refused, and nothing is stored. A secret may be given.
func TestH21BadWebhooks(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, bad := range []string{
		`{}`, `{"url": ""}`, `{"url": "ftp://example.org/"}`, `{"url": "https://user:word@example.org/"}`,
		`{"url": "http://127.0.0.1:1/"}`, `{"url": "http://[::1]/"}`, `{"url": "http://169.254.169.254/latest"}`,
		`{"url": "https://example.invalid/", "types": ["task.done"]}`, `{"url": "https://example.invalid/", "agents": ["a/b"]}`,
		`{"url": "https://example.invalid/", "secret": "abc"}`, `{"url": "https://example.invalid/", "secret": "whsec_c2hvcnQ="}`,
	} {
		s.must(t, 422, call{method: "POST", path: "/v1/webhooks", key: userKey, body: bad})
	}
	if left := s.hooks(t, userKey); len(left) > 0 {
		t.Errorf("H21: stored %v", left)
	}
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	made := s.must(t, 201, call{method: "POST", path: "/v1/webhooks", key: userKey, body: `{"url": "https://example.invalid/", "secret": "` + secret + `"}`})
	if made["secret"] != secret {
		t.Errorf("H21: made %v", made)
	}
	s.must(t, 422, call{method: "PATCH", path: "/v1/webhooks/" + made["id"].(string), key: userKey, body: `{"url": "http://127.0.0.1:1/"}`})
}
