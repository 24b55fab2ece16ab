package httpapi_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A7: a token reads one task, its events and its outputs, and nothing else.
func TestA7ATokenReadsOneTask(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "one")
	token := s.claim(t)
	s.task(t, "other")
	s.must(t, 201, writing("one", token, "a.txt", "hello"))
	made := s.must(t, 201, call{method: "POST", path: "/v1/tasks/one/tokens", key: userKey, body: `{"expires_in": 60}`})
	text, id := made["token"].(string), made["id"].(string)
	if len(text) != 43 || made["task_id"] != "one" || made["expires_at"] == nil {
		t.Errorf("the token: %v", made)
	}
	read := func(method, path string) call {
		join := "?"
		if strings.Contains(path, "?") {
			join = "&"
		}
		return call{method: method, path: path + join + "token=" + text, key: "-"}
	}
	for _, path := range []string{"/v1/tasks/one", "/v1/tasks/one/events?turns=all", "/v1/tasks/one/outputs", "//v1/tasks/one/", "/v1/tasks/%6fne"} {
		s.must(t, 200, read("GET", path))
	}
	got := s.do(t, read("GET", "/v1/tasks/one/outputs/a.txt"))
	if got.status != 200 || string(got.body) != "hello" || got.header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("an output: %d, %s, %v", got.status, got.body, got.header)
	}
	for _, path := range []string{
		"/v1/tasks/other", "/v1/tasks/other/events", "/v1/tasks/other/outputs", "/v1/tasks/no-such-task", "/v1/tasks", "/v1/tasks/counts", "/v1/events", "/v1/tasks/one/steps",
		"/v1/tasks/one/thread", "/v1/tasks/one/thread/full", "/v1/tasks/one/activity", "/v1/tasks/one/children", "/v1/tasks/one/tokens", "/v1/tasks/one/approvals", "/v1/approvals",
		"/v1/agents", "/v1/agents/agent-1", "/v1/keys", "/v1/files", "/v1/session", "/v1/search?q=hello",
	} {
		s.must(t, 403, read("GET", path))
	}
	for _, x := range []call{
		read("DELETE", "/v1/tasks/one"), read("PATCH", "/v1/tasks/one"), read("POST", "/v1/tasks/one/stop"), read("POST", "/v1/tasks/one/tokens"), read("PUT", "/v1/tasks/one/outputs/x"),
		read("GET", "/agent-execution/one/status"), read("GET", "/agents/list"), read("GET", "/metrics"),
		{method: "GET", path: "/v1/tasks/one", key: text},
		{method: "POST", path: "/v1/session", key: text, body: `{}`, header: map[string]string{}},
	} {
		if got := s.do(t, x); got.status != 401 && got.status != 422 || strings.HasPrefix(x.path, "/v1/tasks/one") && got.status != 401 {
			t.Errorf("%s %s: answered %d: %s", x.method, x.path, got.status, clip(got.body))
		}
	}
	if list := s.must(t, 200, call{method: "GET", path: "/v1/tasks/one/tokens", key: userKey}); len(list["items"].([]any)) != 1 || strings.Contains(fmt.Sprint(list), text) {
		t.Errorf("listed: %v", list)
	}
	s.must(t, 204, call{method: "DELETE", path: "/v1/tasks/one/tokens/" + id, key: userKey})
	s.must(t, 401, read("GET", "/v1/tasks/one"))
	s.must(t, 404, call{method: "DELETE", path: "/v1/tasks/one/tokens/" + id, key: userKey})
}

// A7: a token ends with its task, whose id another one may have then, and with the key of
// who has made it; what it follows ends with its time.
func TestA7ATokenEnds(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "one")
	share := func(key, body string) string {
		return s.must(t, 201, call{method: "POST", path: "/v1/tasks/one/tokens", key: key, body: body})["token"].(string)
	}
	read := func(text string) call { return call{method: "GET", path: "/v1/tasks/one?token=" + text, key: "-"} }
	keyID, key := s.key(t, `{"name": "of a person", "role": "user"}`)
	mine, persons, short := share(userKey, `{}`), share(key, `{}`), share(userKey, `{"expires_in": 1}`)
	begun := time.Now()
	live := s.open(t, t.Context(), call{method: "GET", path: "/v1/tasks/one/events?token=" + short, key: "-", header: map[string]string{"Accept": "text/event-stream"}})
	defer live.Body.Close() //nolint:errcheck // it was only read
	if _, err := io.Copy(io.Discard, live.Body); live.StatusCode != http.StatusOK || time.Since(begun) > 20*time.Second {
		t.Errorf("a stream of a token that is over: %s, %v", live.Status, err)
	}
	s.must(t, 401, read(short))
	s.must(t, 200, read(persons))
	s.must(t, 204, call{method: "DELETE", path: "/v1/keys/" + keyID})
	s.must(t, 401, read(persons))
	s.must(t, 200, read(mine))
	s.must(t, 204, call{method: "DELETE", path: "/v1/tasks/one"})
	s.task(t, "one")
	s.must(t, 401, read(mine))
	for _, body := range []string{`{"expires_in": 0}`, `{"expires_in": 2592001}`, `{"expires_in": "1h"}`} {
		s.must(t, 422, call{method: "POST", path: "/v1/tasks/one/tokens", body: body})
	}
	for range 100 {
		share(userKey, `{}`)
	}
	s.must(t, 409, call{method: "POST", path: "/v1/tasks/one/tokens", body: `{}`})
}

// A3: a key says who has made it, when it was used, and when it ends.
func TestA3AKeyTellsOfItself(t *testing.T) {
	t.Parallel()
	s := start(t)
	ends := time.Now().Add(time.Hour).UTC().Truncate(time.Second).Format(time.RFC3339)
	made := s.must(t, 201, call{method: "POST", path: "/v1/keys", body: fmt.Sprintf(`{"name": "of a while", "role": "user", "expires_at": %q}`, ends)})
	find := func() map[string]any {
		for _, k := range s.must(t, 200, call{method: "GET", path: "/v1/keys"})["items"].([]any) {
			if k := k.(map[string]any); k["id"] == made["id"] {
				return k
			}
		}
		t.Fatal("it is not listed")
		return nil
	}
	if k := find(); k["last_used_at"] != nil || k["created_by"] != "key admin" || !strings.HasPrefix(k["expires_at"].(string), strings.TrimSuffix(ends, "Z")) {
		t.Errorf("before it is used: %v", k)
	}
	s.must(t, 200, call{method: "GET", path: "/v1/tasks", key: made["key"].(string)})
	if k := find(); k["last_used_at"] == nil {
		t.Errorf("after it was used: %v", k)
	}
	for _, at := range []string{`"2020-01-01T00:00:00Z"`, `"0001-01-01T00:00:00Z"`, `"soon"`, `5`} {
		if got := s.do(t, call{method: "POST", path: "/v1/keys", body: `{"name": "x", "role": "user", "expires_at": ` + at + `}`}); got.status != 422 || !strings.Contains(string(got.body), "expires_at") {
			t.Errorf("%s: answered %d: %s", at, got.status, clip(got.body))
		}
	}
	// An admin's that ends is none to rely on.
	s.must(t, 201, call{method: "POST", path: "/v1/keys", body: fmt.Sprintf(`{"name": "admin of a while", "role": "admin", "expires_at": %q}`, ends)})
	for _, k := range s.must(t, 200, call{method: "GET", path: "/v1/keys"})["items"].([]any) {
		if k := k.(map[string]any); k["name"] == "admin" {
			s.must(t, 409, call{method: "DELETE", path: "/v1/keys/" + k["id"].(string)})
		}
	}
}

// A3, A7: what lasts ends soon after its key or its token is revoked: nothing that comes
// later is told, and a worker is given nothing more.
func TestA3StreamsEndWithTheirKeys(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "one")
	userID, user := s.key(t, `{"name": "of a person", "role": "user", "sees": "all"}`)
	workerID, worker := s.key(t, `{"name": "of a worker", "role": "worker", "agents": []}`)
	shared := s.must(t, 201, call{method: "POST", path: "/v1/tasks/one/tokens", key: userKey, body: `{}`})
	sse := map[string]string{"Accept": "text/event-stream"}
	for _, c := range []struct {
		stream call
		revoke string
	}{
		{call{method: "GET", path: "/v1/tasks/one/events?token=" + shared["token"].(string), key: "-", header: sse}, "/v1/tasks/one/tokens/" + shared["id"].(string)},
		{call{method: "GET", path: "/v1/tasks/one/events", key: user, header: sse}, "/v1/keys/" + userID},
		{call{method: "GET", path: "/default/events/agent-1?environment=local", key: worker, header: sse}, "/v1/keys/" + workerID},
	} {
		live := s.open(t, t.Context(), c.stream)
		if live.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", c.stream.path, live.Status)
		}
		s.must(t, 204, call{method: "DELETE", path: c.revoke})
		_, err := io.Copy(io.Discard, live.Body) // until the server ends it
		if err != nil {
			t.Errorf("%s: %v", c.stream.path, err)
		}
		_ = live.Body.Close()
		s.must(t, 401, call{method: "GET", path: "/v1/tasks/one", key: c.stream.key, header: c.stream.header})
	}
}
