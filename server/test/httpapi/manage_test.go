package httpapi_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/errand-dev/errand/server/internal/app"
	"github.com/errand-dev/errand/server/internal/testkit/teststore"
)

// key makes a key and returns its id and text.
func (s *server) key(t *testing.T, body string) (id, text string) {
	t.Helper()
	made := s.must(t, 201, call{method: "POST", path: "/v1/keys", body: body})
	return made["id"].(string), made["key"].(string)
}

// A3: a key is told once, does what its role may, and stops working at once
// when it is revoked, although it was in use a moment before.
func TestA3KeysAreMadeAndRevoked(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "narrow")
	s.agent(t, "agent-1")
	id, text := s.key(t, `{"name": "of a worker", "role": "worker", "agents": ["narrow"]}`)
	s.must(t, 200, call{method: "GET", path: "/v1/agents/narrow", key: text})
	s.must(t, 403, call{method: "GET", path: "/v1/agents/agent-1", key: text})
	s.must(t, 403, call{method: "GET", path: "/v1/keys", key: text})

	list := s.do(t, call{method: "GET", path: "/v1/keys"})
	if bytes.Contains(list.body, []byte(text)) || !bytes.Contains(list.body, []byte(id)) {
		t.Errorf("the list: %s", list.body)
	}
	s.must(t, 404, call{method: "DELETE", path: "/v1/keys/" + id, key: strangerKey})
	s.must(t, 200, call{method: "GET", path: "/v1/agents/narrow", key: text})
	for range 2 {
		s.must(t, 204, call{method: "DELETE", path: "/v1/keys/" + id})
		s.must(t, 401, call{method: "GET", path: "/v1/agents/narrow", key: text})
	}
	found := false
	for _, x := range object(t, s.do(t, call{method: "GET", path: "/v1/keys"}).body)["items"].([]any) {
		k := x.(map[string]any)
		if found = found || k["id"] == id && k["revoked_at"] != nil; k["id"] != id && k["revoked_at"] != nil {
			t.Errorf("revoked too: %v", k)
		}
	}
	if !found {
		t.Error("the list does not say that it is revoked")
	}
	if theirs := s.must(t, 200, call{method: "GET", path: "/v1/keys", key: strangerKey}); len(theirs["items"].([]any)) != 2 {
		t.Errorf("a stranger sees %v", theirs)
	}
}

// The first admin key can be revoked once there is another; the server then
// starts all the same, and the key stays revoked.
func TestA3TheFirstAdminKeyIsRevoked(t *testing.T) {
	t.Parallel()
	s := start(t)
	first := ""
	for _, x := range s.must(t, 200, call{method: "GET", path: "/v1/keys"})["items"].([]any) {
		if k := x.(map[string]any); k["role"] == "admin" {
			first = k["id"].(string)
		}
	}
	s.must(t, 409, call{method: "DELETE", path: "/v1/keys/" + first})
	s.must(t, 200, call{method: "GET", path: "/v1/keys"})
	_, second := s.key(t, `{"name": "second", "role": "admin"}`)
	s.must(t, 204, call{method: "DELETE", path: "/v1/keys/" + first, key: second})
	s.must(t, 401, call{method: "GET", path: "/v1/keys"})
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	o := app.DefaultOptions()
	o.Addr, o.Data, o.DatabaseURL = "127.0.0.1:0", s.dir, teststore.DatabaseURL(t, s.dir)
	again, err := app.Start(t.Context(), o)
	if err != nil {
		t.Fatalf("start with a revoked first key: %v", err)
	}
	s.url = again.URL()
	s.must(t, 401, call{method: "GET", path: "/v1/keys"})
	s.must(t, 200, call{method: "GET", path: "/v1/keys", key: second})
	if err := again.Stop(); err != nil {
		t.Error(err)
	}
}

// TestH2BadKeys walks what an operator can do wrong with keys.
func TestH2BadKeys(t *testing.T) {
	t.Parallel()
	s := start(t)
	const path = "/v1/keys"
	refuse(t, s, []refusal{
		post("no name", path, `{"role": "user"}`, 422, "invalid", "name"),
		post("empty name", path, `{"name": "", "role": "user"}`, 422, "invalid", "name"),
		post("long name", path, `{"name": "`+strings.Repeat("x", 256)+`", "role": "user"}`, 422, "invalid", "name"),
		post("NUL in the name", path, `{"name": "\u0000", "role": "user"}`, 422, "invalid", "name"),
		post("no role", path, `{"name": "x"}`, 422, "invalid", "role"),
		post("unknown role", path, `{"name": "x", "role": "root"}`, 422, "invalid", "role"),
		post("agents of a user", path, `{"name": "x", "role": "user", "agents": ["a"]}`, 422, "invalid", "agents"),
		post("odd agent", path, `{"name": "x", "role": "worker", "agents": ["a", "b c"]}`, 422, "invalid", "agents[1]"),
		post("text for agents", path, `{"name": "x", "role": "worker", "agents": "a"}`, 422, "invalid", "agents"),
		post("a key of one's own", path, `{"name": "x", "role": "user", "key": "secret"}`, 422, "invalid", "key"),
		post("no body", path, ``, 400, "malformed", ""),
		{"revocation of nothing", call{method: "DELETE", path: path + "/nobody"}, 404, "not_found", ""},
	})
}

// TestAgentsLive creates an agent, changes it, and deletes it: its ended tasks
// stay, its credentials do not.
func TestAgentsLive(t *testing.T) {
	t.Parallel()
	s := start(t)
	made := s.must(t, 201, call{method: "POST", path: "/v1/agents", body: `{"name": "a", "llm_credentials": {"name": "n", "value": "planted"}}`})
	id, path := made["id"].(string), "/v1/agents/"+made["id"].(string)
	if other := s.must(t, 201, call{method: "POST", path: "/v1/agents", body: `{"name": "a"}`}); other["id"] == id || id == "" {
		t.Errorf("ids %v and %v", id, other["id"])
	}
	s.must(t, 200, call{method: "PUT", path: path, body: `{"name": "b"}`})
	versions := s.must(t, 200, call{method: "GET", path: path + "/versions", key: userKey})["items"].([]any)
	if len(versions) != 2 || versions[0].(map[string]any)["name"] != "b" || versions[1].(map[string]any)["version"] != 1.0 {
		t.Errorf("versions: %v", versions)
	}
	s.must(t, 201, call{method: "POST", path: "/v1/tasks", body: `{"agent_id": "` + id + `", "id": "one", "input": {}}`})
	before := s.stored(t)
	s.must(t, 409, call{method: "DELETE", path: path})
	if after := s.stored(t); after != before {
		t.Errorf("a refusal stored something\nbefore: %s\nafter:  %s", before, after)
	}
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/one/stop"})
	s.must(t, 204, call{method: "DELETE", path: path})
	s.must(t, 404, call{method: "GET", path: path})
	s.must(t, 404, call{method: "GET", path: path + "/versions"})
	s.must(t, 404, call{method: "POST", path: path + "/invoke", body: `{"input": {}}`})
	if got := s.must(t, 200, call{method: "GET", path: "/v1/tasks/one"}); got["status"] != "stopped" {
		t.Errorf("its task: %v", got)
	}
	s.must(t, 200, call{method: "GET", path: "/v1/tasks/one/thread/full"})
	if now := s.stored(t); !strings.Contains(now, "0 secrets") {
		t.Errorf("its credentials are still there: %s", now)
	}
	if again := s.must(t, 200, call{method: "PUT", path: path, body: `{"name": "c"}`}); again["version"] != 1.0 {
		t.Errorf("made anew as version %v", again["version"])
	}
}
