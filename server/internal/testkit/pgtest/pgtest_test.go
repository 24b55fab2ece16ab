//go:build unix

package pgtest_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/errand-dev/errand/server/internal/testkit/pgtest"
)

// helperEnv makes TestHelper what another test starts, and says what it does.
const helperEnv = "ERRAND_PGTEST_HELPER"

// A server leaves nothing running in the process of its tests either.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of a test.
const patience = time.Minute

// connect is a client, until the test ends.
func connect(t *testing.T, to string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Log(err) // its server has gone
		}
	})
	return conn
}

// execute runs statements on a connection of their own.
func execute(t *testing.T, to string, statements ...string) {
	t.Helper()
	conn := connect(t, to)
	for _, s := range statements {
		if _, err := conn.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// query returns the one text that a statement does.
func query(t *testing.T, to, statement string) (text string) {
	t.Helper()
	conn := connect(t, to)
	if err := conn.QueryRow(t.Context(), statement).Scan(&text); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return text
}

func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts servers: seconds")
	}
}

// Tests that share a server do not see one another.
func TestDatabasesAreSeparate(t *testing.T) {
	t.Parallel()
	long(t)
	one, two := pgtest.Database(t), pgtest.Database(t)
	execute(t, one, "CREATE TABLE things (name text)", "INSERT INTO things VALUES ('one')")
	execute(t, two, "CREATE TABLE things (name text)", "INSERT INTO things VALUES ('two')")
	for to, want := range map[string]string{one: "one", two: "two"} {
		if got := query(t, to, "SELECT string_agg(name, ' ') FROM things"); got != want {
			t.Errorf("a database holds %q, not %q", got, want)
		}
	}
}

// A database goes with its test, also when a client is still connected.
func TestDatabaseIsDropped(t *testing.T) { //nolint:tparallel // it waits for the end of its subtest
	t.Parallel()
	long(t)
	other := pgtest.Database(t)
	var name string
	t.Run("user", func(t *testing.T) {
		u, err := url.Parse(pgtest.Database(t))
		if err != nil {
			t.Fatal(err)
		}
		name = strings.TrimPrefix(u.Path, "/")
		conn, err := pgx.Connect(t.Context(), u.String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.PgConn().Conn().Close() }) // before the drop, but without a word
		if got := query(t, other, "SELECT count(*)::text FROM pg_database WHERE datname = '"+name+"'"); got != "1" {
			t.Fatalf("%s databases have the name %s", got, name)
		}
	})
	if got := query(t, other, "SELECT count(*)::text FROM pg_database WHERE datname = '"+name+"'"); got != "0" {
		t.Error("the database is still there after its test")
	}
}

// A private server keeps its URL and what was committed through every kind of end.
func TestRestart(t *testing.T) {
	t.Parallel()
	long(t)
	s := pgtest.Start(t, pgtest.Options{Settings: map[string]string{"max_connections": "20"}})
	to := s.URL("postgres")
	for setting, want := range map[string]string{"fsync": "on", "max_connections": "20", "autovacuum": "on", "listen_addresses": "127.0.0.1"} {
		if got := query(t, to, "SHOW "+setting); got != want {
			t.Errorf("%s is %s, not %s", setting, got, want)
		}
	}
	execute(t, to, "CREATE TABLE ends (how text)")
	all := ""
	for _, end := range []struct {
		how string
		end func() error
	}{
		{"smart", func() error { return s.Stop(pgtest.Smart) }},
		{"fast", func() error { return s.Stop(pgtest.Fast) }},
		{"immediate", func() error { return s.Stop(pgtest.Immediate) }},
		{"kill", s.Kill},
		{"none", func() error { return nil }}, // Restart stops it
	} {
		execute(t, to, "INSERT INTO ends VALUES ('"+end.how+"')")
		all += end.how + " "
		if end.how != "smart" { // it would wait for this one
			idle := connect(t, to)
			if _, err := idle.Exec(t.Context(), "BEGIN; INSERT INTO ends VALUES ('undone')"); err != nil {
				t.Fatal(err)
			}
		}
		if err := end.end(); err != nil {
			t.Fatal(err)
		}
		if end.how != "none" {
			refused(t, to)
		}
		if err := s.Restart(); err != nil {
			t.Fatal(err)
		}
		if got := query(t, to, "SELECT string_agg(how || ' ', '') FROM ends"); got != all {
			t.Errorf("after the end %s there is %q, not %q", end.how, got, all)
		}
	}
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(pgtest.Fast); err == nil {
		t.Error("a server that does not run was stopped")
	}
}

// Who starts a server with a setting that does not exist is told so.
func TestBadSetting(t *testing.T) {
	t.Parallel()
	long(t)
	s, err := pgtest.Open(pgtest.Options{Settings: map[string]string{"max_conections": "20"}})
	if err == nil {
		t.Fatal("it started", s.Close())
	}
	if !strings.Contains(err.Error(), "max_conections") {
		t.Error("the error does not say what is wrong:", err)
	}
}

// refused fails the test if somebody listens where a URL says.
func refused(t *testing.T, to string) {
	t.Helper()
	if err := dial(t, to); err == nil {
		t.Error("the server is stopped and accepts connections")
	}
}

func dial(t *testing.T, to string) error {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := (&net.Dialer{Timeout: patience}).DialContext(t.Context(), "tcp", u.Host)
	if err != nil {
		return err
	}
	return conn.Close()
}

// helper is another process of this test binary.
type helper struct {
	*exec.Cmd
	stdin io.Closer
	lines *bufio.Scanner
	dir   string // of its temporary files
}

// help starts a helper that does what is said, with its own temporary folder.
func help(t *testing.T, what, env string) *helper {
	t.Helper()
	// Like /tmp it is open to every user, also to the one that a server of root's runs as.
	dir, err := os.MkdirTemp("", "errand-pgtest-") //nolint:usetesting // t.TempDir is closed to others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHelper$", "-test.v")
	cmd.Env = append(os.Environ(), helperEnv+"="+what, pgtest.Env+"="+env, "TMPDIR="+dir)
	cmd.Stderr = t.Output()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &helper{Cmd: cmd, stdin: stdin, lines: bufio.NewScanner(out), dir: dir}
}

// url is the one that the helper tells.
func (h *helper) url(t *testing.T) string {
	t.Helper()
	for h.lines.Scan() {
		if to, is := strings.CutPrefix(h.lines.Text(), "url "); is {
			return to
		}
		t.Log("helper:", h.lines.Text())
	}
	t.Fatal("the helper tells no URL: ", h.lines.Err())
	return ""
}

// end awaits the helper's end, however it ended.
func (h *helper) end(t *testing.T) {
	t.Helper()
	for h.lines.Scan() {
		t.Log("helper:", h.lines.Text())
	}
	t.Log("helper:", h.Wait())
}

// eventually looks again and again whether something is true.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for !is() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// files are those in a folder.
func files(t *testing.T, pattern ...string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(pattern...))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestHelper is no test: it is what a helper does.
func TestHelper(t *testing.T) { //nolint:paralleltest // it is alone in its process
	what := os.Getenv(helperEnv)
	if what == "" {
		t.Skip("for other tests")
	}
	if what == "private" {
		fmt.Println("url " + pgtest.Start(t, pgtest.Options{}).URL("postgres")) //nolint:forbidigo // it is read by the other test
	} else {
		fmt.Println("url " + pgtest.Database(t)) //nolint:forbidigo // it is read by the other test
	}
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil { // until the other test ends it
		t.Fatal(err)
	}
}

// However the process of the tests ends, nothing of its servers remains.
func TestNothingRemains(t *testing.T) {
	t.Parallel()
	long(t)
	for _, what := range []string{"shared", "private"} {
		for how, end := range map[string]func(*helper) error{
			"regular": func(h *helper) error { return h.stdin.Close() },
			"killed":  func(h *helper) error { return h.Process.Kill() },
		} {
			t.Run(what+" "+how, func(t *testing.T) {
				t.Parallel()
				h := help(t, what, "")
				to := h.url(t)
				connect(t, to) // a client does not hold it up
				if len(files(t, h.dir, "*")) == 0 {
					t.Fatal("the server's files are somewhere else")
				}
				if err := end(h); err != nil {
					t.Fatal(err)
				}
				h.end(t)
				eventually(t, "the server's port refuses connections", func() bool { return dial(t, to) != nil })
				// They are removed when the server's last process has ended.
				eventually(t, "the server's files are removed", func() bool { return len(files(t, h.dir, "*")) == 0 })
			})
		}
	}
}

// A process that is killed while its server is being made leaves nothing either.
func TestNothingRemainsOfAStart(t *testing.T) {
	t.Parallel()
	long(t)
	for name, sign := range map[string]string{
		"initdb": "errand-postgres-*/data/base", "postgres": "errand-postgres-*/data/postmaster.pid",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := help(t, "shared", "")
			eventually(t, "the start is that far", func() bool { return len(files(t, h.dir, sign)) > 0 })
			if err := h.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			h.end(t)
			eventually(t, "the server's files are removed", func() bool { return len(files(t, h.dir, "*")) == 0 })
		})
	}
}

// A server that the environment names is used, and none started.
func TestNamedServer(t *testing.T) {
	t.Parallel()
	long(t)
	s := pgtest.Start(t, pgtest.Options{Volatile: true})
	h := help(t, "shared", s.URL("postgres"))
	to := h.url(t)
	host := func(of string) string {
		u, err := url.Parse(of)
		if err != nil {
			t.Fatal(err)
		}
		return u.Host
	}
	if host(to) != host(s.URL("postgres")) {
		t.Errorf("the database is at %s, not at %s", host(to), host(s.URL("postgres")))
	}
	if found := files(t, h.dir, "*"); len(found) > 0 {
		t.Errorf("a server was started: %q", found)
	}
	if err := h.stdin.Close(); err != nil {
		t.Fatal(err)
	}
	h.end(t)
	if got := query(t, s.URL("postgres"), "SELECT count(*)::text FROM pg_database WHERE datname LIKE 'test%'"); got != "0" {
		t.Errorf("%s databases were left", got)
	}
}

// A name that is not one fails the tests, and is not repeated: it may hold a password.
func TestBadName(t *testing.T) {
	t.Parallel()
	h := help(t, "shared", "host=localhost password=hidden")
	said := ""
	for h.lines.Scan() {
		said += h.lines.Text() + "\n"
	}
	if err := h.Wait(); err == nil || !strings.Contains(said, pgtest.Env+" is not a URL") || strings.Contains(said, "hidden") {
		t.Errorf("%v: %s", err, said)
	}
}
