package httpapi_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/errand-dev/errand/server/internal/app"
	"github.com/errand-dev/errand/server/internal/testkit/teststore"
)

const table = "item,price\nlamp,2\ndesk,40\n"

// upload stores a file by its bytes and returns what the server said.
func (s *server) upload(t *testing.T, name, content string) map[string]any {
	t.Helper()
	return s.must(t, 201, call{
		method: "POST", path: "/v1/files?name=" + url.QueryEscape(name), body: content, key: userKey,
		header: map[string]string{"Content-Type": "application/octet-stream"},
	})
}

// path is the part of a signed URL behind the server's own.
func (s *server) path(t *testing.T, file map[string]any) string {
	t.Helper()
	path, ok := strings.CutPrefix(file["url"].(string), s.url)
	if !ok {
		t.Fatalf("the URL %v is not under %s", file["url"], s.url)
	}
	return path
}

// TestH6UploadAndFetch by bytes and by form; the URL needs no key.
func TestH6UploadAndFetch(t *testing.T) {
	t.Parallel()
	s := start(t)
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	if err := w.WriteField("note", "x"); err != nil {
		t.Fatal(err)
	}
	part, err := w.CreateFormFile("file", "sales.csv")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(part, table); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	byForm := s.must(t, 201, call{
		method: "POST", path: "/v1/files", body: form.String(), header: map[string]string{"Content-Type": w.FormDataContentType()},
	})
	for name, file := range map[string]map[string]any{"bytes": s.upload(t, "sales.csv", table), "form": byForm} {
		if file["name"] != "sales.csv" || file["size"] != float64(len(table)) || !strings.HasPrefix(file["content_type"].(string), "text/csv") {
			t.Errorf("%s: %v", name, file)
		}
		path := s.path(t, file)
		if !strings.HasSuffix(path, "/sales.csv") {
			t.Errorf("%s: the client goes by the suffix of %s", name, path)
		}
		got := s.do(t, call{method: "GET", path: path, key: "-"})
		if got.status != 200 || string(got.body) != table {
			t.Errorf("%s: answered %d %q", name, got.status, got.body)
		}
		for header, want := range map[string]string{
			"Content-Type": "text/csv; charset=utf-8", "X-Content-Type-Options": "nosniff", "Content-Length": strconv.Itoa(len(table)),
		} {
			if got.header.Get(header) != want {
				t.Errorf("%s: %s is %q, want %q", name, header, got.header.Get(header), want)
			}
		}
		if d := got.header.Get("Content-Disposition"); !strings.HasPrefix(d, "attachment") {
			t.Errorf("%s: Content-Disposition %q", name, d)
		}
		head := s.do(t, call{method: "HEAD", path: path, key: "-"})
		if head.status != 200 || head.header.Get("Content-Length") != strconv.Itoa(len(table)) {
			t.Errorf("%s: HEAD answered %d, length %s", name, head.status, head.header.Get("Content-Length"))
		}
		first := s.do(t, call{method: "GET", path: path, key: "-", header: map[string]string{"Range": "bytes=0-3"}})
		if first.status != 206 || string(first.body) != table[:4] {
			t.Errorf("%s: Range answered %d %q", name, first.status, first.body)
		}
		if wrong := s.do(t, call{method: "GET", path: path, key: wrongKey}); wrong.status != 200 {
			t.Errorf("%s: a key that is not needed: answered %d", name, wrong.status)
		}
	}
	if n := s.contents(t); n != 1 {
		t.Errorf("the same content is stored %d times", n)
	}
}

// contents counts the files in the data folder, but for the mark of those that several
// servers share.
func (s *server) contents(t *testing.T) int {
	t.Helper()
	n := 0
	if teststore.OnPostgres() {
		n = -1
	}
	err := filepath.WalkDir(filepath.Join(s.dir, "files"), func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			n++
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return n
}

// TestH6Names says that whatever a file is called, its URL works and its
// header cannot be escaped from.
func TestH6Names(t *testing.T) {
	t.Parallel()
	s := start(t)
	for given, want := range map[string]string{
		"my sales.csv":                   "my sales.csv",
		"umsätze 2025 – 表.csv":           "umsätze 2025 – 表.csv",
		`a"; filename="b.html`:           "a_; filename=_b.html",
		"../../etc/passwd":               "passwd",
		`C:\data\sales.csv`:              "sales.csv",
		"a\r\nSet-Cookie: x.csv":         "a__Set-Cookie_ x.csv",
		"a?b#c%2F.csv":                   "a_b_c_2F.csv",
		"'quoted'.csv":                   "'quoted'.csv",
		"..":                             "file",
		"a\x00b\xff.csv":                 "a_b_.csv",
		strings.Repeat("ü", 300) + ".md": strings.Repeat("ü", 98) + ".md",
	} {
		file := s.upload(t, given, given)
		if file["name"] != want {
			t.Errorf("%q is called %q, want %q", given, file["name"], want)
		}
		got := s.do(t, call{method: "GET", path: s.path(t, file), key: "-"})
		if got.status != 200 || string(got.body) != given {
			t.Errorf("%q: %s answered %d", given, file["url"], got.status)
		}
		if d := got.header.Get("Content-Disposition"); !strings.HasPrefix(d, "attachment; filename") || strings.Count(d, `"`) > 2 {
			t.Errorf("%q: Content-Disposition %q", given, d)
		}
		if got.header.Get("Set-Cookie") != "" {
			t.Errorf("%q: set a cookie", given)
		}
	}
}

// TestH6WhatABrowserMustNotRun is sent as it is, but never to be shown.
func TestH6WhatABrowserMustNotRun(t *testing.T) {
	t.Parallel()
	s := start(t)
	got := s.do(t, call{method: "GET", path: s.path(t, s.upload(t, "x.html", "<html><script>alert(1)</script>")), key: "-"})
	if got.header.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(got.header.Get("Content-Security-Policy"), "sandbox") ||
		!strings.HasPrefix(got.header.Get("Content-Disposition"), "attachment") {
		t.Errorf("headers: %v", got.header)
	}
}

// TestH6BadUploads stores nothing.
func TestH6BadUploads(t *testing.T) {
	t.Parallel()
	s := start(t)
	form := map[string]string{"Content-Type": "multipart/form-data; boundary=x"}
	refuse(t, s, []refusal{
		{"no name", call{method: "POST", path: "/v1/files", body: "x"}, 422, "invalid", "name"},
		{"form without file", call{method: "POST", path: "/v1/files", body: "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n--x--\r\n", header: form}, 422, "invalid", "file"},
		{"form without name", call{method: "POST", path: "/v1/files", body: "--x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nb\r\n--x--\r\n", header: form}, 422, "invalid", "name"},
		{"broken form", call{method: "POST", path: "/v1/files", body: "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nb", header: form}, 400, "malformed", ""},
		{"form without boundary", call{method: "POST", path: "/v1/files?name=a", body: "x", header: map[string]string{"Content-Type": "multipart/form-data"}}, 400, "malformed", ""},
	})
}

// TestH6Signatures: a wrong one is 404, an old one 410 (by the clock).
func TestH6Signatures(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	s := start(t, func(o *app.Options) { o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) } })
	path := s.path(t, s.upload(t, "a.csv", table))
	other := s.path(t, s.upload(t, "b.csv", "other"))
	parts := strings.Split(path, "/") // "", f, id, signature, name
	for name, wrong := range map[string]string{
		"another name":         strings.TrimSuffix(path, "a.csv") + "b.csv",
		"another file":         "/f/" + strings.Split(other, "/")[2] + "/" + parts[3] + "/a.csv",
		"no signature":         "/f/" + parts[2] + "/x/a.csv",
		"a shorter one":        strings.Replace(path, parts[3], parts[3][:len(parts[3])-1], 1),
		"a later expiry":       strings.Replace(path, "/"+parts[3], "/z"+parts[3], 1),
		"another organization": strings.Replace(path, ".ZGVmYXVsdA.", ".c3RyYW5nZXI.", 1),
		"no name":              strings.TrimSuffix(path, "/a.csv"),
		"a folder":             path + "/x",
		"an id that climbs":    "/f/..%2F..%2Ferrand.db/" + parts[3] + "/a.csv",
		"an unsigned short id": "/f/a/" + parts[3] + "/a.csv",
	} {
		if got := s.do(t, call{method: "GET", path: wrong, key: "-"}); got.status != 404 {
			t.Errorf("%s (%s): answered %d, want 404", name, wrong, got.status)
		}
	}
	ahead.Store(int64(23 * time.Hour))
	s.fetch(t, path, 200)
	ahead.Store(int64(49 * time.Hour))
	s.fetch(t, path, 410)

	// What is asked for afresh works again.
	s.must(t, 201, call{method: "POST", path: "/v1/files?name=a.csv", body: table})
	fresh := s.path(t, s.upload(t, "a.csv", table))
	s.fetch(t, fresh, 200)
}

// fetch gets a file without a key and wants a status.
func (s *server) fetch(t *testing.T, path string, status int) {
	t.Helper()
	if got := s.do(t, call{method: "GET", path: path, key: "-"}); got.status != status {
		t.Errorf("%s: answered %d, want %d: %s", path, got.status, status, clip(got.body))
	}
}

// TestH6TasksKeepReferences: a URL of ours given to a task becomes a reference,
// which every answer signs afresh; another organization cannot use it.
func TestH6TasksKeepReferences(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	s := start(t, func(o *app.Options) { o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) } })
	s.agent(t, "agent-1")
	file := s.upload(t, "my sales.csv", table)
	create := call{method: "POST", path: "/v1/tasks", body: fmt.Sprintf(
		`{"agent_id": "agent-1", "id": "one", "input": {"text": "x", "files": [%q, "https://example.com/b.csv?x=1"]}}`, file["url"])}
	files := func(got map[string]any) []any { return got["input"].(map[string]any)["files"].([]any) }
	made := files(s.must(t, 201, create))
	if made[0] != file["url"] || made[1] != "https://example.com/b.csv?x=1" {
		t.Errorf("created with %v", made)
	}
	var spec string
	if err := s.db.QueryRowContext(t.Context(), `SELECT spec FROM turns`).Scan(&spec); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(spec, `"file:`+file["id"].(string)+`/my sales.csv"`) || strings.Contains(spec, s.url) {
		t.Errorf("kept: %s", spec)
	}
	ahead.Store(int64(72 * time.Hour))
	s.fetch(t, s.path(t, file), 410)
	for _, path := range []string{"/v1/tasks/one", "/agent-execution/one/status"} {
		again := files(s.must(t, 200, call{method: "GET", path: path}))
		if again[0] == file["url"] {
			t.Errorf("%s: the old URL is answered", path)
		}
		s.fetch(t, strings.TrimPrefix(again[0].(string), s.url), 200)
	}
	created := s.events(t, "one")[0]["data"].(map[string]any)
	s.fetch(t, strings.TrimPrefix(files(created)[0].(string), s.url), 200)

	s.must(t, 200, call{method: "PUT", path: "/v1/agents/agent-1", key: strangerKey, body: `{"name": "theirs"}`})
	create.key = strangerKey
	if got := s.must(t, 422, create); got["field"] != "input.files[0]" {
		t.Errorf("another organization's file: %v", got)
	}
}

// listed reads the list of files page by page, as a key sees it.
func (s *server) listed(t *testing.T, key string, perPage int) []map[string]any {
	t.Helper()
	all := []map[string]any{}
	for cursor := ""; ; {
		page := s.must(t, 200, call{method: "GET", path: fmt.Sprintf("/v1/files?per_page=%d&cursor=%s", perPage, cursor), key: key})
		items := page["items"].([]any)
		if len(items) > perPage {
			t.Fatalf("a page of %d has %d files", perPage, len(items))
		}
		for _, x := range items {
			all = append(all, x.(map[string]any))
		}
		next, more := page["next_cursor"].(string)
		if !more {
			return all
		}
		cursor = next
	}
}

// names are those of files.
func names(list []map[string]any) []string {
	found := []string{}
	for _, x := range list {
		found = append(found, x["name"].(string))
	}
	return found
}

// TestH6FilesAreListedAndDeleted: what is uploaded is listed, newest first, until it
// is deleted; then its URL is 404 and its content gone.
func TestH6FilesAreListedAndDeleted(t *testing.T) {
	t.Parallel()
	s := start(t)
	if got := s.listed(t, userKey, 20); len(got) != 0 {
		t.Errorf("at first: %v", got)
	}
	var uploaded []map[string]any
	for i := range 5 {
		uploaded = append(uploaded, s.upload(t, fmt.Sprintf("%d.csv", i), fmt.Sprint(table, i)))
	}
	slices.Reverse(uploaded)
	for _, size := range []int{1, 2, 5, 50} {
		if diff := cmp.Diff(uploaded, s.listed(t, userKey, size)); diff != "" {
			t.Errorf("pages of %d (-uploaded +listed):\n%s", size, diff)
		}
	}
	if got := s.listed(t, strangerKey, 20); len(got) != 0 {
		t.Errorf("another organization sees %v", got)
	}
	file := uploaded[0]
	path := "/v1/files/" + file["id"].(string)
	if diff := cmp.Diff(file, s.must(t, 200, call{method: "GET", path: path, key: userKey})); diff != "" {
		t.Errorf("read (-uploaded +read):\n%s", diff)
	}
	s.must(t, 404, call{method: "DELETE", path: path, key: strangerKey})
	s.must(t, 403, call{method: "DELETE", path: path, key: workerKey})
	s.fetch(t, s.path(t, file), 200)
	s.must(t, 204, call{method: "DELETE", path: path, key: userKey})
	s.fetch(t, s.path(t, file), 404)
	for _, method := range []string{"GET", "DELETE"} {
		s.must(t, 404, call{method: method, path: path, key: userKey})
	}
	if got := s.listed(t, userKey, 20); len(got) != 4 || s.contents(t) != 4 {
		t.Errorf("%d contents are left, and %v", s.contents(t), names(got))
	}
	s.agent(t, "agent-1")
	if got := s.must(t, 422, s.asking("one", file["url"])); got["field"] != "input.files[0]" {
		t.Errorf("a task with the deleted file: %v", got)
	}
	// The same content again is another file.
	again := s.upload(t, "again.csv", fmt.Sprint(table, 4))
	s.fetch(t, s.path(t, again), 200)
	s.fetch(t, s.path(t, file), 200)

	refuse(t, s, []refusal{
		{"a wrong cursor", call{method: "GET", path: "/v1/files?cursor=x"}, 400, "malformed", "cursor"},
		{"no page", call{method: "GET", path: "/v1/files?per_page=0"}, 422, "invalid", "per_page"},
		{"a large page", call{method: "GET", path: "/v1/files?per_page=51"}, 422, "invalid", "per_page"},
		{"an unknown parameter", call{method: "GET", path: "/v1/files?name=x"}, 422, "invalid", "name"},
		{"no id", call{method: "GET", path: "/v1/files/x"}, 404, "not_found", ""},
		{"a path", call{method: "DELETE", path: "/v1/files/..%2Ferrand.db"}, 404, "not_found", ""},
	})
}

// asking is a call that creates a task with files.
func (s *server) asking(id string, urls ...any) call {
	list := make([]string, len(urls))
	for i, url := range urls {
		list[i] = fmt.Sprintf("%q", url)
	}
	return call{method: "POST", path: "/v1/tasks", key: userKey, body: fmt.Sprintf(
		`{"agent_id": "agent-1", "id": %q, "input": {"text": "x", "files": [%s]}}`, id, strings.Join(list, ", "))}
}

// TestH6AFileInUseIsNotDeleted: a task that is there, ended or not, keeps the files of
// all of its turns.
func TestH6AFileInUseIsNotDeleted(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	file, other, third := s.upload(t, "a.csv", table), s.upload(t, "b.csv", "x"), s.upload(t, "c.csv", "y")
	remove := func(file map[string]any, want int) map[string]any {
		t.Helper()
		return s.must(t, want, call{method: "DELETE", path: "/v1/files/" + file["id"].(string), key: userKey})
	}
	used := func(file map[string]any, want float64) {
		t.Helper()
		if got := s.must(t, 200, call{method: "GET", path: "/v1/files/" + file["id"].(string), key: userKey})["tasks"]; got != want {
			t.Errorf("%v tasks use %v, want %v", got, file["name"], want)
		}
	}
	s.must(t, 201, s.asking("one", file["url"], file["url"], "https://example.com/x.csv"))
	if got := remove(file, 409); got["code"] != "conflict" || !strings.Contains(got["detail"].(string), "one") {
		t.Errorf("refused with %v", got)
	}
	used(file, 1)
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/one/stop"})
	remove(file, 409)
	s.must(t, 201, s.asking("one", other["url"])) // its next turn
	remove(other, 409)
	remove(file, 409)
	s.must(t, 200, call{method: "POST", path: "/agent-execution/agent-1", key: userKey, body: fmt.Sprintf(
		`{"id": "two", "input": {"text": "x", "files": [%q], "attachments": [{"url": %q}]}}`, other["url"], third["url"])})
	used(file, 1)
	used(other, 2)
	used(third, 1)
	remove(third, 409)
	s.must(t, 204, call{method: "DELETE", path: "/v1/tasks/one"})
	remove(file, 204)
	s.fetch(t, s.path(t, file), 404)
	remove(other, 409)
	s.must(t, 204, call{method: "DELETE", path: "/v1/tasks/two"})
	remove(other, 204)
	remove(third, 204)
	if n := s.contents(t); n != 0 {
		t.Errorf("%d contents are left", n)
	}
}

// TestH6ARefusedCreateUsesNothing.
func TestH6ARefusedCreateUsesNothing(t *testing.T) {
	t.Parallel()
	s := start(t)
	file := s.upload(t, "a.csv", table)
	s.must(t, 404, s.asking("one", file["url"])) // there is no such agent
	s.must(t, 204, call{method: "DELETE", path: "/v1/files/" + file["id"].(string), key: userKey})
}

// TestH6AFileOfSeveral: each who has brought a content deletes it for itself, and is
// told nothing of what others do with it.
func TestH6AFileOfSeveral(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	_, alice := s.key(t, `{"name": "alice", "role": "user", "sees": "own"}`)
	_, bob := s.key(t, `{"name": "bob", "role": "user", "sees": "own"}`)
	bring := func(key, name string) map[string]any {
		t.Helper()
		return s.must(t, 201, call{method: "POST", path: "/v1/files?name=" + name, body: table, key: key, header: map[string]string{"Content-Type": "application/octet-stream"}})
	}
	mine, his := bring(alice, "mine.csv"), bring(bob, "his.csv")
	path := "/v1/files/" + mine["id"].(string)
	remove := func(key string, want int) { t.Helper(); s.must(t, want, call{method: "DELETE", path: path, key: key}) }
	c := s.asking("hers", mine["url"])
	c.key = alice
	s.must(t, 201, c)
	for key, want := range map[string][]string{alice: {"mine.csv"}, bob: {"his.csv"}, userKey: {"mine.csv"}} {
		if got := names(s.listed(t, key, 20)); !slices.Equal(got, want) {
			t.Errorf("listed %v, want %v", got, want)
		}
	}
	if got := s.must(t, 200, call{method: "GET", path: path, key: bob}); got["tasks"] != 0.0 || got["created_at"] != his["created_at"] {
		t.Errorf("he is told of her: %v", got)
	}
	remove(alice, 409)
	remove(userKey, 409)
	remove(bob, 204)
	remove(bob, 404)
	s.fetch(t, s.path(t, mine), 200)
	c = s.asking("his", mine["url"])
	c.key = bob
	s.must(t, 201, c) // he has it from her
	s.must(t, 204, call{method: "DELETE", path: "/v1/tasks/hers", key: alice})
	remove(alice, 204)
	remove(alice, 404)
	s.fetch(t, s.path(t, mine), 200) // his task has it still
	remove(userKey, 409)
	s.must(t, 204, call{method: "DELETE", path: "/v1/tasks/his", key: bob})
	if got := s.listed(t, userKey, 20); len(got) != 1 || got[0]["tasks"] != 0.0 {
		t.Errorf("nobody's file: %v", got)
	}
	remove(userKey, 204)
	s.fetch(t, s.path(t, mine), 404)
	if n := s.contents(t); n != 0 {
		t.Errorf("%d contents are left", n)
	}
}

// TestD1FilesGoADayAfterTheirLastTask, when the server looks, which it does when it
// has started. What no task has used stays, and so does what was brought again.
func TestD1FilesGoADayAfterTheirLastTask(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	used, never, shared, again := s.upload(t, "used", "1"), s.upload(t, "never", "2"), s.upload(t, "shared", "3"), s.upload(t, "again", "4")
	s.must(t, 201, s.asking("one", used["url"], shared["url"], again["url"]))
	s.must(t, 201, s.asking("two", shared["url"]))
	s.must(t, 204, call{method: "DELETE", path: "/v1/tasks/one"})
	// What another database has left in the folder, and a crash of an upload.
	foreign := filepath.Join(s.dir, "files", "00", strings.Repeat("0", 64))
	if err := errors.Join(os.MkdirAll(filepath.Dir(foreign), 0o700), os.WriteFile(foreign, []byte("left"), 0o600)); err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(s.dir, "files", "upload-cut")
	old := time.Now().Add(-25 * time.Hour)
	if err := errors.Join(os.WriteFile(cut, []byte("left"), 0o600), os.Chtimes(cut, old, old)); err != nil {
		t.Fatal(err)
	}
	back := func(d time.Duration) { // as if that had been longer ago
		t.Helper()
		s.restart(t, func(db *sql.DB) error {
			_, err := db.ExecContext(t.Context(), fmt.Sprintf("UPDATE file_owners SET left_at = left_at - %d WHERE left_at > 0", d.Microseconds()))
			return err
		})
	}
	has := func(file map[string]any, want int) {
		t.Helper()
		if want == 404 {
			s.gone(t, "/v1/files/"+file["id"].(string))
		}
		s.must(t, want, call{method: "GET", path: "/v1/files/" + file["id"].(string), key: userKey})
		s.fetch(t, "/f/"+strings.SplitN(file["url"].(string), "/f/", 2)[1], want)
	}
	back(23 * time.Hour)
	s.vanishes(t, cut)
	if _, err := os.Stat(foreign); err != nil {
		t.Errorf("a content of another database: %v", err)
	}
	for _, file := range []map[string]any{used, never, shared, again} {
		has(file, 200)
	}
	s.upload(t, "again", "4")
	back(2 * time.Hour)
	has(used, 404)
	for _, file := range []map[string]any{never, shared, again} {
		has(file, 200)
	}
	s.must(t, 204, call{method: "DELETE", path: "/v1/tasks/two"})
	back(25 * time.Hour)
	has(shared, 404)
	has(never, 200)
	has(again, 200)
	for _, file := range []map[string]any{used, shared} {
		id := file["id"].(string)
		s.vanishes(t, filepath.Join(s.dir, "files", id[:2], id))
	}
	if n := s.contents(t); n != 3 {
		t.Errorf("%d contents are left, want those of never, again and the other database", n)
	}
}

// restart stops the server, changes its database, and starts it again.
func (s *server) restart(t *testing.T, change func(*sql.DB) error) {
	t.Helper()
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	db := beside(t, s.dir, "")
	if err := errors.Join(change(db), db.Close()); err != nil {
		t.Fatal(err)
	}
	s.again(t)
}

// again stops the server if it runs, and starts it again.
func (s *server) again(t *testing.T, change ...func(*app.Options)) {
	t.Helper()
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	o := app.DefaultOptions()
	o.Addr, o.Data, o.DatabaseURL = "127.0.0.1:0", s.dir, teststore.DatabaseURL(t, s.dir)
	for _, c := range change {
		c(&o)
	}
	again, err := app.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := again.Stop(); err != nil {
			t.Error(err)
		}
	})
	s.App, s.url = again, again.URL()
}

// gone waits until a path is answered 404.
func (s *server) gone(t *testing.T, path string) {
	t.Helper()
	s.eventually(t, path+" is there", func() bool { return s.do(t, call{method: "GET", path: path}).status == 404 })
}

// vanishes waits until a file of the data folder is no more.
func (s *server) vanishes(t *testing.T, name string) {
	t.Helper()
	s.eventually(t, name+" is there", func() bool {
		_, err := os.Stat(name)
		return errors.Is(err, fs.ErrNotExist)
	})
}

// eventually waits until something holds.
func (*server) eventually(t *testing.T, not string, met func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for !met() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal(not)
		}
	}
}

const notRead = "the server does not fetch from private addresses"

// TestA4PrivateAddressesAreNotFetched unless the operator allows it: the report
// says that the file could not be read.
func TestA4PrivateAddressesAreNotFetched(t *testing.T) {
	t.Parallel()
	var fetched atomic.Int64
	private := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fetched.Add(1)
		if r.URL.Path == "/there" {
			http.Redirect(w, r, "/sales.csv", http.StatusFound)
			return
		}
		_, _ = io.WriteString(w, table)
	}))
	t.Cleanup(private.Close)
	report := func(s *server, id, file string) string {
		t.Helper()
		s.must(t, 201, call{method: "POST", path: "/v1/tasks", body: fmt.Sprintf(
			`{"agent_id": "profile", "id": %q, "input": {"text": "x", "files": [%q, %q]}}`, id, file, s.upload(t, "ours.csv", "a,b\n1,2\n")["url"])})
		got := s.waitFor(t, id, "completed")
		return got["result"].(string)
	}
	guarded := start(t)
	for i, file := range []string{private.URL + "/sales.csv", strings.Replace(private.URL, "127.0.0.1", "localhost", 1) + "/sales.csv", "http://[::1]:1/a.csv", "http://169.254.169.254/latest/meta-data"} {
		text := report(guarded, fmt.Sprintf("refused-%d", i), file)
		if !strings.Contains(text, notRead) {
			t.Errorf("%s: the report does not say that it could not be read:\n%s", file, text)
		}
		if !strings.Contains(text, "ours.csv") {
			t.Errorf("%s: nothing of the other file in the report:\n%s", file, text)
		}
	}
	if n := fetched.Load(); n != 0 {
		t.Errorf("a private address was asked %d times", n)
	}
	allowed := start(t, func(o *app.Options) { o.AllowPrivate = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	for i, path := range []string{"/sales.csv", "/there"} {
		if text := report(allowed, fmt.Sprintf("allowed-%d", i), private.URL+path); strings.Contains(text, notRead) || !strings.Contains(text, "price") {
			t.Errorf("%s: an allowed address:\n%s", path, text)
		}
	}
}
