package httpapi_test

import (
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// writing is a call that writes an output of a task.
func writing(id, token, name, content string) call {
	c := call{
		method: "PUT", path: "/v1/tasks/" + id + "/outputs/" + url.PathEscape(name), key: workerKey, body: content,
		header: map[string]string{"Content-Type": "application/octet-stream"},
	}
	if token != "" {
		c.header["X-Errand-Lease-Token"] = token
	}
	return c
}

// outputs are those of task one, read in parts, as "turn name file's first letters".
func (s *server) outputs(t *testing.T, query string) []string {
	t.Helper()
	all := []string{}
	for _, x := range s.parts(t, "/v1/tasks/one/outputs?"+query, "") {
		o := x.(map[string]any)
		all = append(all, fmt.Sprintf("%v %v %v", o["turn"], o["name"], o["size"]))
	}
	return all
}

// A file that an attempt writes is an event of the log with its hash and size, is
// listed, and is served like an upload; one of its name takes its place.
func TestO1Outputs(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "one")
	token := s.claim(t)
	if got := s.outputs(t, ""); len(got) > 0 {
		t.Errorf("O1: before any %q", got)
	}
	first := s.must(t, 201, writing("one", token, "sales.csv", table))
	if first["name"] != "sales.csv" || first["content_type"] != "text/csv; charset=utf-8" || first["size"] != float64(len(table)) || first["attempt"] != 1.0 {
		t.Errorf("O1: written %v", first)
	}
	events := s.events(t, "one")
	last := events[len(events)-1]
	data, _ := last["data"].(map[string]any)
	if last["type"] != "output" || last["id"] != first["event_id"] || data["file_id"] != first["file_id"] || data["size"] != first["size"] || data["name"] != "sales.csv" {
		t.Errorf("O1: the last event is %v", last)
	}
	got := s.do(t, call{method: "GET", path: "/v1/tasks/one/outputs/sales.csv", key: userKey})
	for header, want := range map[string]string{
		"Content-Type": "text/csv; charset=utf-8", "X-Content-Type-Options": "nosniff", "Content-Disposition": `attachment; filename="sales.csv"`,
		"Content-Security-Policy": "sandbox; default-src 'none'",
	} {
		if got.status != 200 || string(got.body) != table || got.header.Get(header) != want {
			t.Errorf("O1: answered %d %q, %s is %q", got.status, got.body, header, got.header.Get(header))
		}
	}
	if got := s.do(t, call{method: "GET", path: "/v1/tasks/one/outputs/sales.csv", header: map[string]string{"Range": "bytes=0-3"}}); got.status != 206 || string(got.body) != table[:4] {
		t.Errorf("O1: Range answered %d %q", got.status, got.body)
	}
	s.fetch(t, s.path(t, first), 200)

	again := s.must(t, 200, writing("one", token, "sales.csv", table))
	if again["event_id"] != first["event_id"] || len(s.events(t, "one")) != len(events) {
		t.Errorf("O1: the same again is %v", again)
	}
	second := s.must(t, 200, writing("one", token, "sales.csv", "other"))
	if second["event_id"] == first["event_id"] || second["file_id"] == first["file_id"] || len(s.events(t, "one")) != len(events)+1 {
		t.Errorf("O1: another content of that name is %v", second)
	}
	s.must(t, 201, writing("one", token, "a?b.txt", "x"))
	if got := s.do(t, call{method: "GET", path: "/v1/tasks/one/outputs/a%3Fb.txt"}); string(got.body) != "x" {
		t.Errorf("O1: a name that was made fit: %d %q", got.status, got.body)
	}
	want := []string{"1 sales.csv 5", "1 a_b.txt 1"}
	for _, query := range []string{"", "limit=1", "turn=1"} {
		if got := s.outputs(t, query); !slices.Equal(got, want) {
			t.Errorf("O1: ?%s: %q, want %q", query, got, want)
		}
	}

	s.must(t, 200, call{method: "POST", path: "/v1/tasks/one/release", key: workerKey, body: fmt.Sprintf(`{"lease_token": %q}`, token)})
	s.must(t, 409, writing("one", token, "late.txt", "late"))
	s.must(t, 409, writing("one", "another's", "late.txt", "late"))
	s.must(t, 403, writing("one", "", "late.txt", "late").as(userKey))
	if log := s.events(t, "one"); !slices.ContainsFunc(log, func(e map[string]any) bool { return e["type"] == "late_write_refused" }) {
		t.Error("O1: nothing tells of the late write")
	}
	token = s.claim(t)
	s.must(t, 403, writing("one", "", "none.txt", "x")) // a key alone is not the lease
	s.must(t, 200, writing("one", token, "sales.csv", "of the second attempt"))
	s.finish(t, "one", token, `"status": "completed"`)
	s.must(t, 409, writing("one", token, "late.txt", "late"))

	s.must(t, 201, call{method: "POST", path: "/v1/tasks", body: `{"agent_id": "agent-1", "id": "one", "input": {"text": "more"}}`})
	token = s.claim(t)
	s.must(t, 201, writing("one", token, "sales.csv", "turn 2"))
	if got, want := s.outputs(t, "limit=2"), []string{"1 a_b.txt 1", "1 sales.csv 21", "2 sales.csv 6"}; !slices.Equal(got, want) {
		t.Errorf("O1: of both turns %q, want %q", got, want)
	}
	if got, want := s.outputs(t, "turn=2"), []string{"2 sales.csv 6"}; !slices.Equal(got, want) {
		t.Errorf("O1: of the second turn %q, want %q", got, want)
	}
	for path, want := range map[string]string{"sales.csv": "turn 2", "sales.csv?turn=2": "turn 2", "sales.csv?turn=1": "of the second attempt"} {
		if got := s.do(t, call{method: "GET", path: "/v1/tasks/one/outputs/" + path}); string(got.body) != want {
			t.Errorf("O1: %s is %d %q, want %q", path, got.status, got.body, want)
		}
	}
	s.must(t, 404, call{method: "GET", path: "/v1/tasks/one/outputs/a_b.txt?turn=2"})
	s.must(t, 204, call{method: "DELETE", path: "/v1/tasks/one"})
	s.must(t, 404, call{method: "GET", path: "/v1/tasks/one/outputs"})
	s.must(t, 404, call{method: "GET", path: "/v1/tasks/one/outputs/sales.csv"})
}

// as is the call with another key.
func (c call) as(key string) call {
	c.key = key
	return c
}

// What is refused names the field, and writes nothing.
func TestO1BadOutputs(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "one")
	token := s.claim(t)
	before := s.stored(t)
	for _, name := range []string{"a/b.txt", `a\b.txt`, ".", "..", " "} {
		if got := s.must(t, 422, writing("one", token, name, "x")); got["field"] != "name" {
			t.Errorf("O1: %q: %v", name, got)
		}
	}
	refuse(t, s, []refusal{
		{"a parameter", call{method: "PUT", path: "/v1/tasks/one/outputs/a?turn=1", body: "x", header: map[string]string{"X-Errand-Lease-Token": token}}, 422, "invalid", "turn"},
		{"no such task", writing("nobody", token, "a", "x"), 404, "not_found", ""},
		{"turn 0", call{method: "GET", path: "/v1/tasks/one/outputs/a?turn=0"}, 422, "invalid", "turn"},
		{"no number", call{method: "GET", path: "/v1/tasks/one/outputs?turn=x"}, 422, "invalid", "turn"},
		{"a wrong cursor", call{method: "GET", path: "/v1/tasks/one/outputs?cursor=x"}, 400, "malformed", "cursor"},
		{"no such output", call{method: "GET", path: "/v1/tasks/one/outputs/a"}, 404, "not_found", ""},
		{"no such method", call{method: "DELETE", path: "/v1/tasks/one/outputs/a"}, 405, "method_not_allowed", ""},
		{"no such method, with a file", call{method: "POST", path: "/v1/tasks/one/outputs/a", body: "\xff"}, 405, "method_not_allowed", ""},
	})
	if after := s.stored(t); after != before {
		t.Errorf("O1: something was stored:\n%s\nbefore\n%s", after, before)
	}
	if s.contents(t) > 0 {
		t.Error("O1: a refused file was brought")
	}
}

// Where no token exists, whoever executes the task writes its files (T6, L8).
func TestO1OutputsWithoutALease(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.must(t, 201, call{method: "POST", path: "/v1/tasks", key: userKey, body: `{"agent_id": "agent-1", "id": "one", "run_locally": true, "input": {"text": "x"}}`})
	s.must(t, 200, call{method: "PATCH", path: "/agent-execution/one/update", key: userKey, body: `{"status": "executing"}`})
	s.must(t, 201, writing("one", "", "a.txt", "x").as(userKey))
	if got := s.outputs(t, ""); !slices.Equal(got, []string{"1 a.txt 1"}) {
		t.Errorf("O1: %q", got)
	}
}

// An output is a file of the task's owner: it is listed, another task may be given it,
// and it stays as long as a task has it (H6, D1).
func TestO1AnOutputIsAFile(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "one")
	token := s.claim(t)
	brought := s.upload(t, "brought.txt", "both")
	replaced := s.must(t, 201, writing("one", token, "a.txt", "first"))
	kept := s.must(t, 200, writing("one", token, "a.txt", "second"))
	twice := s.must(t, 201, writing("one", token, "b.txt", "twice"))
	s.must(t, 201, writing("one", token, "c.txt", "twice"))
	s.must(t, 200, writing("one", token, "b.txt", "once"))
	s.must(t, 201, writing("one", token, "d.txt", "both"))
	s.must(t, 200, writing("one", token, "d.txt", "mine alone"))
	s.finish(t, "one", token, `"status": "completed"`)
	s.must(t, 201, s.asking("two", kept["url"]))
	path := func(o map[string]any) string { return "/v1/files/" + o["file_id"].(string) }
	uses := func(o map[string]any, want float64) {
		t.Helper()
		if got := s.must(t, 200, call{method: "GET", path: path(o)}); got["tasks"] != want {
			t.Errorf("O1: %v tasks use %v, want %v", got["tasks"], got["name"], want)
		}
	}
	uses(replaced, 0)
	uses(kept, 2)
	uses(twice, 1)
	s.must(t, 409, call{method: "DELETE", path: path(kept)})
	day := func() {
		t.Helper()
		s.restart(t, func(db *sql.DB) error {
			_, err := db.ExecContext(t.Context(), "UPDATE file_owners SET left_at = left_at - 90000000000 WHERE left_at > 0")
			return err
		})
	}
	day()
	s.gone(t, path(replaced))
	s.fetch(t, s.local(t, kept), 200)
	s.fetch(t, s.local(t, twice), 200)
	s.must(t, 204, call{method: "DELETE", path: "/v1/tasks/one"})
	day()
	s.gone(t, path(twice))
	s.fetch(t, s.local(t, kept), 200)
	s.must(t, 204, call{method: "DELETE", path: "/v1/tasks/two"})
	day()
	s.gone(t, path(kept))
	id := kept["file_id"].(string)
	s.vanishes(t, filepath.Join(s.dir, "files", id[:2], id))
	s.fetch(t, s.local(t, brought), 200) // that a task of another owner had the same content is none of its matter
	s.eventually(t, "contents are left", func() bool { return s.contents(t) == 1 })
}

// local is the path of a URL that a server of another port has signed.
func (*server) local(t *testing.T, file map[string]any) string {
	t.Helper()
	_, path, ok := strings.Cut(file["url"].(string), "/f/")
	if !ok {
		t.Fatalf("%v is no URL of a file", file["url"])
	}
	return "/f/" + path
}

// A server that is killed after a content has its place and before that is noted
// erases it when it starts again an hour later; what was noted stays.
func TestO1ACrashLeavesNothing(t *testing.T) {
	t.Parallel()
	s := start(t)
	file := s.upload(t, "a.txt", "known")
	known, lost := file["id"].(string), strings.Repeat("ab", 32)
	dir := filepath.Join(s.dir, "files")
	s.restart(t, func(db *sql.DB) error {
		_, err := db.Exec("INSERT INTO transit (id, at, coming, going) VALUES ('" + lost + "', 1, 1, 0), ('" + strings.Repeat("cd", 32) + "', 1, 0, 1)") //nolint:noctx // it is short
		_, again := db.Exec("UPDATE transit SET at = 1, coming = 1 WHERE id = '" + known + "'")                                                          //nolint:noctx // likewise
		return errors.Join(err, again,
			os.MkdirAll(filepath.Join(dir, "ab"), 0o700),
			os.WriteFile(filepath.Join(dir, "ab", lost), []byte("x"), 0o600),
			os.MkdirAll(filepath.Join(dir, "cd"), 0o700),
			os.WriteFile(filepath.Join(dir, "cd", strings.Repeat("cd", 32)), []byte("x"), 0o600),
		)
	})
	s.vanishes(t, filepath.Join(dir, "ab", lost))
	s.vanishes(t, filepath.Join(dir, "cd", strings.Repeat("cd", 32)))
	s.fetch(t, s.local(t, file), 200)
}
