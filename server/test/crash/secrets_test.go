package crash

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/errand-dev/errand/server/internal/testkit/teststore" // and the driver "pgx"
)

// planted are secrets by where they were planted.
type planted map[string]string

func plant() planted {
	p := planted{}
	for _, kind := range []string{
		"user_token", "nested_user_token", "oidc", "mcp_api_key", "mcp_client_secret", "mcp_header", "mcp_env",
		"llm", "bad",
	} {
		p[kind] = "PLANTED" + strings.ToUpper(strings.ReplaceAll(kind, "_", "")) + rand.Text()
	}
	return p
}

// forms are the ways in which a secret could stand somewhere.
func forms(secret string) []string {
	return []string{
		secret, strings.ToLower(secret), hex.EncodeToString([]byte(secret)),
		base64.StdEncoding.EncodeToString([]byte(secret))[:len(secret)], // its end depends on what follows
	}
}

// in names the secrets that stand in a text.
func (p planted) in(text []byte) []string {
	var found []string
	for kind, secret := range p {
		for _, form := range forms(secret) {
			if bytes.Contains(text, []byte(form)) {
				found = append(found, kind)
				break
			}
		}
	}
	slices.Sort(found)
	return found
}

// ofTask are the secrets of a task.
func (planted) ofTask() []string {
	return []string{"mcp_api_key", "mcp_client_secret", "mcp_env", "mcp_header", "nested_user_token", "oidc", "user_token"}
}

// members are the secret members of a task's body.
func (p planted) members() obj {
	return obj{
		"user_tokens":     obj{"github": p["user_token"], "more": obj{"slack": []string{p["nested_user_token"]}}},
		"user_oidc_token": p["oidc"],
		"mcp_servers": []obj{
			{
				"type": "remote", "name": "docs", "url": "https://mcp.example.org/sse", "transport": "streamable-http",
				"api_key": p["mcp_api_key"], "client_id": "public", "client_secret": p["mcp_client_secret"],
				"headers": obj{"Authorization": "Bearer " + p["mcp_header"]},
			},
			{"type": "local", "name": "tool", "command": "npx tool", "env_vars": obj{"TOKEN": p["mcp_env"]}},
		},
	}
}

func with(a, b obj) obj {
	both := maps.Clone(a)
	maps.Copy(both, b)
	return both
}

// secretTest is a server with secrets in it.
type secretTest struct {
	*client
	t *testing.T
	planted
	answers int
}

// clean makes a call whose answer must hold no secret.
func (x *secretTest) clean(status int, method, path string, body any, headers ...string) answer {
	x.t.Helper()
	a := x.must(x.t, status, method, path, body, headers...)
	if found := x.in(a.body); len(found) > 0 {
		x.t.Errorf("%s %s tells %v", method, path, found)
	}
	for name, values := range a.header {
		if found := x.in([]byte(strings.Join(values, " "))); len(found) > 0 {
			x.t.Errorf("%s %s tells %v in the header %s", method, path, found, name)
		}
	}
	x.answers++
	return a
}

// telling makes a call that is answered with exactly the given secrets.
func (x *secretTest) telling(kinds []string, method, path string, body any) answer {
	x.t.Helper()
	a := x.must(x.t, http.StatusOK, method, path, body)
	if found := x.in(a.body); !slices.Equal(found, kinds) {
		x.t.Errorf("%s %s tells %v, not %v", method, path, found, kinds)
	}
	x.answers++
	return a
}

// TestSecrets plants secrets and looks for them everywhere.
func TestSecrets(t *testing.T) {
	t.Parallel()
	s := newServer(t, "--log-level", "debug")
	x := &secretTest{client: s.client(), t: t, planted: plant()}
	const record = `{"name":"vault","runtime":"worker","lease_seconds":30`
	x.clean(http.StatusOK, http.MethodPut, "/v1/agents/vault", record+`,"llm_credentials":{"name":"key","value":"`+x.planted["llm"]+`"}}`)
	x.clean(http.StatusOK, http.MethodPut, "/v1/agents/vault", record+`,"description":"second version"}`)
	x.telling([]string{"llm"}, http.MethodGet, "/default/agents/vault", nil)

	open, ended := x.throughPython(), []string{x.throughV1(), x.throughWorker(s), x.stopped()}
	x.lists()
	x.mistakes()

	// What a power cut leaves, with the write-ahead log.
	if found := x.scan(s); found == 0 {
		t.Error("the data folder is empty")
	}
	s.kill(t)
	x.scan(s)
	sealed := sealedIn(t, s)
	if len(sealed) != 2 || sealed["task "+open] == nil {
		t.Errorf("%d sealed values, not those of the task that has not ended and an agent", len(sealed))
	}
	s.start(t)
	x.client = s.client()
	x.telling(x.ofTask(), http.MethodGet, "/default/agent-execution/"+open+"/status", nil)
	for _, id := range ended {
		x.clean(http.StatusOK, http.MethodGet, "/default/agent-execution/"+id+"/status", nil)
	}
	for _, id := range append(ended, open) {
		x.clean(http.StatusNoContent, http.MethodDelete, "/v1/tasks/"+id, nil)
		x.clean(http.StatusNotFound, http.MethodGet, "/default/agent-execution/"+id+"/status", nil)
	}
	s.term(t)
	if code := s.proc.ended(t, 15*time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
	files := x.scan(s)
	for name := range sealedIn(t, s) {
		if strings.HasPrefix(name, "task ") {
			t.Errorf("secrets of %s have outlived it", name)
		}
	}
	x.erased(s.data, sealed)
	if found := x.in([]byte(s.log(t))); len(found) > 0 {
		t.Errorf("the server's log tells %v", found)
	}
	if requests := strings.Count(s.log(t), "msg=request"); requests < x.answers/2 {
		t.Errorf("the log has %d requests of %d: is it the debug log?", requests, x.answers)
	}
	t.Logf("%d answers looked at, %d files scanned, %d bytes of log", x.answers, files, len(s.log(t)))
	s.quiet(t)
}

// throughV1 takes a task through every route of /v1.
func (x *secretTest) throughV1() string {
	body := with(x.members(), obj{"agent_id": "vault", "input": obj{"text": "v1"}})
	var made taskView
	x.clean(http.StatusCreated, http.MethodPost, "/v1/tasks", body, "Idempotency-Key", "once").into(x.t, &made)
	x.clean(http.StatusOK, http.MethodPost, "/v1/tasks", body, "Idempotency-Key", "once")
	other := with(body, obj{"title": "other"})
	x.clean(http.StatusConflict, http.MethodPost, "/v1/tasks", other, "Idempotency-Key", "once")
	path := "/v1/tasks/" + made.ID
	x.clean(http.StatusOK, http.MethodGet, path, nil)
	x.clean(http.StatusOK, http.MethodPatch, path, obj{"title": "named", "priority": 3})
	x.clean(http.StatusOK, http.MethodPost, path+"/pause", nil)
	x.clean(http.StatusOK, http.MethodPost, path+"/resume", nil)
	var got struct {
		Claims []claimed `json:"claims"`
	}
	x.clean(http.StatusOK, http.MethodPost, "/v1/claim", obj{"agent_ids": []string{"vault"}, "worker_id": "w"}).into(x.t, &got)
	if len(got.Claims) != 1 || got.Claims[0].Task.ID != made.ID {
		x.t.Fatalf("claimed %+v", got)
	}
	token := got.Claims[0].Lease.Token
	x.planted["lease"] = token // from here on it must stand nowhere either
	x.clean(http.StatusOK, http.MethodPost, path+"/heartbeat", obj{"lease_token": token, "internal_status": "busy"})
	x.clean(http.StatusOK, http.MethodPost, path+"/events", obj{"lease_token": token, "events": []obj{{"type": "chunk", "data": "hm"}}})
	x.clean(http.StatusOK, http.MethodPost, path+"/finish", obj{"lease_token": token, "status": "completed", "result": "done"})
	x.clean(http.StatusConflict, http.MethodPost, path+"/finish", obj{"lease_token": token, "status": "failed", "result": "no"})
	x.streams(made.ID)
	return made.ID
}

// streams reads the log of an ended task in every form.
func (x *secretTest) streams(id string) {
	x.t.Helper()
	x.clean(http.StatusOK, http.MethodGet, "/v1/tasks/"+id+"/events", nil)
	x.clean(http.StatusOK, http.MethodGet, "/v1/tasks/"+id+"/events?turns=all", nil, "Accept", "text/event-stream")
	x.clean(http.StatusOK, http.MethodGet, "/default/agent-execution/"+id+"/events", nil, "Accept", "text/event-stream")
	x.clean(http.StatusOK, http.MethodGet, "/default/activity/vault/"+id, nil)
}

// throughPython takes a task through the Python client's routes, whose answers
// tell an admin key the secrets, and which get them back in full bodies.
func (x *secretTest) throughPython() string {
	var made taskView
	x.telling(x.ofTask(), http.MethodPost, "/default/agent-execution/vault",
		with(x.members(), obj{"input": obj{"text": "python"}, "events_streaming": true})).into(x.t, &made)
	path := "/default/agent-execution/" + made.ID
	var whole obj
	x.telling(x.ofTask(), http.MethodGet, path+"/status", nil).into(x.t, &whole)
	x.telling(x.ofTask(), http.MethodPatch, path+"/update", with(whole, obj{"status": "executing"}))
	// A full body with other secrets: they are ignored.
	forged := with(whole, obj{"status": "executing", "user_tokens": obj{"github": x.planted["bad"]}, "user_oidc_token": x.planted["bad"]})
	x.telling(x.ofTask(), http.MethodPatch, path+"/update", forged)
	x.telling(x.ofTask(), http.MethodPatch, path+"/update", obj{"title": "sparse", "user_tokens": obj{"a": x.planted["bad"]}})
	x.clean(http.StatusOK, http.MethodPost, path+"/events/push", []obj{{"type": "chunk", "data": "hm"}})
	// They go with the turn, of which only its worker's last word is still to come.
	x.clean(http.StatusOK, http.MethodPatch, path+"/update", with(whole, obj{"status": "completed", "result": "done"}))
	x.streams(made.ID)
	x.clean(http.StatusOK, http.MethodGet, path+"/status", nil)
	// A next turn brings its own secrets.
	again := with(x.members(), obj{"id": made.ID, "input": obj{"text": "again"}})
	x.telling(x.ofTask(), http.MethodPost, "/default/agent-execution/vault", again)
	x.clean(http.StatusOK, http.MethodDelete, path, nil)
	x.clean(http.StatusOK, http.MethodGet, path+"/status", nil)
	x.streams(made.ID)
	x.telling(x.ofTask(), http.MethodPost, "/default/agent-execution/vault", again)
	return made.ID
}

// throughWorker gives a task to a Python worker's stream, which tells it the
// secrets.
func (x *secretTest) throughWorker(s *server) string {
	var made taskView
	x.clean(http.StatusCreated, http.MethodPost, "/v1/tasks",
		with(x.members(), obj{"agent_id": "vault", "input": obj{"text": "worker"}})).into(x.t, &made)
	ctx, cancel := context.WithTimeout(x.t.Context(), 20*time.Second)
	defer cancel()
	stream, err := s.client().open(ctx, "/default/events/vault", "")
	if err != nil {
		x.t.Fatal(err)
	}
	defer stream.close()
	for {
		m, err := stream.next()
		if err != nil {
			x.t.Fatal(err)
		}
		if m.name != "agent-execution" {
			continue
		}
		if found := x.in([]byte(m.data)); !slices.Equal(found, x.ofTask()) {
			x.t.Errorf("the worker is told %v, not %v", found, x.ofTask())
		}
		var whole obj
		if err := json.Unmarshal([]byte(m.data), &whole); err != nil {
			x.t.Fatal(err)
		}
		path := "/default/agent-execution/" + made.ID
		x.telling(x.ofTask(), http.MethodPatch, path+"/update", with(whole, obj{"status": "executing"}))
		x.clean(http.StatusOK, http.MethodPatch, path+"/update", with(whole, obj{"status": "completed", "result": "done"}))
		x.streams(made.ID)
		return made.ID
	}
}

// stopped stops a task before anybody has it.
func (x *secretTest) stopped() string {
	var made taskView
	x.clean(http.StatusCreated, http.MethodPost, "/v1/tasks",
		with(x.members(), obj{"agent_id": "vault", "worker_id": "nobody", "input": obj{"text": "stop", "user": obj{"id": "u1", "email": "u@example.org"}}})).into(x.t, &made)
	x.clean(http.StatusOK, http.MethodPost, "/v1/tasks/"+made.ID+"/stop", nil)
	x.clean(http.StatusOK, http.MethodPost, "/v1/tasks/"+made.ID+"/stop", nil)
	x.streams(made.ID)
	return made.ID
}

// lists reads every list and everything that speaks of the whole server.
func (x *secretTest) lists() {
	for _, path := range []string{
		"/v1/tasks", "/v1/tasks?status=completed", "/v1/agents", "/v1/agents/vault", "/v1/agents/vault?version=1",
		"/v1/agents/vault/tasks", "/v1/openapi.json", "/metrics", "/healthz", "/readyz",
		"/default/agent-execution/executions/history/vault", "/default/agent-execution/executions/history/user/u1",
		"/default/agents/list", "/default/metadata/default_llm_extra_headers",
	} {
		x.clean(http.StatusOK, http.MethodGet, path, nil)
	}
}

// mistakes sends secrets where they cannot be taken: errors must not repeat
// them.
func (x *secretTest) mistakes() {
	bad := x.planted["bad"]
	task := obj{"agent_id": "vault", "input": obj{"text": "x"}}
	for _, wrong := range []obj{
		{"user_tokens": bad},
		{"user_tokens": []string{bad}},
		{"user_oidc_token": obj{"token": bad}},
		{"mcp_servers": bad},
		{"mcp_servers": []string{bad}},
		{"priority": 1000, "user_oidc_token": bad},
		{"agent_id": "unknown", "user_oidc_token": bad},
		{"user_tokens": obj{"a": bad + "\x00"}},
		{"user_tokens": obj{bad: 1}, "output_format": "none"},
	} {
		for _, path := range []string{"/v1/tasks", "/default/agent-execution/vault"} {
			a, err := x.call(x.t.Context(), http.MethodPost, path, with(task, wrong))
			if err != nil || a.status >= 500 {
				x.t.Errorf("POST %s: %v %s", path, err, a)
			}
			python := strings.HasPrefix(path, "/default")
			if a.status < 400 { // what one face refuses the other may take
				var made taskView
				a.into(x.t, &made)
				x.clean(http.StatusNoContent, http.MethodDelete, "/v1/tasks/"+made.ID, nil)
			} else if found := x.in(a.body); len(found) > 0 {
				x.t.Errorf("POST %s (python %v) with %v: %d tells %v", path, python, slices.Sorted(maps.Keys(wrong)), a.status, found)
			}
			x.answers++
		}
	}
	for _, broken := range []string{`{"user_oidc_token":"` + bad, `{"user_oidc_token":"` + bad + `"}}`, `["` + bad + `"]`, `"` + bad + `"`} {
		for _, path := range []string{"/v1/tasks", "/default/agent-execution/vault", "/v1/claim"} {
			a, err := x.call(x.t.Context(), http.MethodPost, path, broken)
			if err != nil || a.status < 400 || a.status >= 500 || len(x.in(a.body)) > 0 {
				x.t.Errorf("POST %s %s: %v %s", path, broken, err, a)
			}
			x.answers++
		}
	}
	a := x.must(x.t, http.StatusUnprocessableEntity, http.MethodPut, "/v1/agents/vault", obj{"name": "v", "llm_credentials": bad})
	if found := x.in(a.body); len(found) > 0 {
		x.t.Errorf("a wrong agent: %s", a)
	}
	// A wrong key is a secret of somebody's as well.
	if a := x.must(x.t, http.StatusUnauthorized, http.MethodGet, "/v1/tasks", nil, "x-api-key", bad); len(x.in(a.body)) > 0 {
		x.t.Errorf("a wrong key: %s", a)
	}
}

// scan looks for secrets in every file of a server's folder, and in the rows of a
// database beside it. It counts the files and tables.
func (x *secretTest) scan(s *server) int {
	x.t.Helper()
	n := 0
	look := func(name string, content []byte) {
		n++
		if found := x.in(content); len(found) > 0 {
			x.t.Errorf("%s holds %v", name, found)
		}
	}
	eachFile(x.t, s.data, look)
	if s.database != "" {
		for table, rows := range teststore.Rows(x.t, s.data) {
			look("table "+table, []byte(strings.Join(rows, "\n")))
		}
	}
	return n
}

// erased looks for the sealed secrets of deleted tasks. PostgreSQL's files, in which
// they stand until its next vacuum, are not the server's.
func (x *secretTest) erased(dir string, sealed map[string][]byte) {
	x.t.Helper()
	eachFile(x.t, dir, func(name string, content []byte) {
		for owner, value := range sealed {
			if strings.HasPrefix(owner, "task ") && bytes.Contains(content, value) {
				x.t.Errorf("%s still holds the sealed secrets of %s", name, owner)
			}
		}
	})
}

func eachFile(t *testing.T, dir string, do func(name string, content []byte)) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) { // the server has removed it
			return nil
		}
		do(name, content)
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// sealedIn reads the table of secrets of a server that does not run: on SQLite
// from a copy of its files.
func sealedIn(t *testing.T, s *server) map[string][]byte {
	t.Helper()
	driver, source := "pgx", s.database
	if source == "" {
		driver, source = "sqlite", "file:"+copied(t, s.data)
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()                                                                                            //nolint:errcheck // it was only read
	rows, err := db.QueryContext(t.Context(), "SELECT owner, id, sealed FROM secrets WHERE owner <> 'servers'") // by which servers know each other's key
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close() //nolint:errcheck // its error is asked for below
	found := map[string][]byte{}
	for rows.Next() {
		var owner, id string
		var sealed []byte
		if err := rows.Scan(&owner, &id, &sealed); err != nil {
			t.Fatal(err)
		}
		found[owner+" "+id] = sealed
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return found
}

// copied copies a database of SQLite's with its log, and returns its path.
func copied(t *testing.T, data string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"errand.db", "errand.db-wal"} {
		content, err := os.ReadFile(filepath.Join(data, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), content, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "errand.db")
}
