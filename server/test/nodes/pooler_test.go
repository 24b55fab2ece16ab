package nodes

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/errand-dev/errand/server/internal/testkit/pgtest"
)

// pooled starts PgBouncer in transaction mode before a database, and returns the URL there.
func pooled(t *testing.T, database string) string {
	t.Helper()
	program := "/usr/sbin/pgbouncer" // where Debian has it
	if path, err := exec.LookPath("pgbouncer"); err == nil {
		program = path
	}
	if _, err := os.Stat(program); err != nil {
		const missing = "PgBouncer is not installed (Debian, Ubuntu: apt-get install pgbouncer)"
		if os.Getenv("CI") == "true" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "errand-pgbouncer-") //nolint:usetesting // another user reads it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // it lies in the temporary folder anyway
	addr := freeAddr(t)
	port := addr[strings.LastIndex(addr, ":")+1:]
	word, _ := u.User.Password()
	config := filepath.Join(dir, "pgbouncer.ini")
	if err := os.WriteFile(config, fmt.Appendf(nil, `[databases]
* = host=%s port=%s user=%s password=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %s
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 6
`, u.Hostname(), u.Port(), u.User.Username(), word, port), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	args := []string{config}
	if os.Getuid() == 0 {
		args = append([]string{"-u", "nobody"}, args...)
	}
	log := &strings.Builder{}
	cmd := exec.Command(program, args...) //nolint:noctx // the test ends it
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(tail(log.String(), 3000))
		}
	})
	u.Host = addr
	eventually(t, "PgBouncer answers", func() bool {
		conn, err := pgx.Connect(t.Context(), u.String())
		if err == nil {
			err = conn.Close(t.Context())
		}
		return err == nil
	})
	return u.String()
}

// Behind a pooler in transaction mode a node works if it prepares nothing, and says so if
// it would. Hints of others arrive where it listens past the pooler; else it says that they
// do not, and what they commit is seen within a second or so.
func TestPooler(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it starts real servers")
	}
	direct := pgtest.Database(t)
	through := pooled(t, direct)
	c := clusterOn(t, through+"&default_query_exec_mode=cache_describe")
	other := clusterOn(t, direct)
	other.data = c.data
	hears := clusterOn(t, c.database)
	hears.data, hears.env = c.data, append(hears.env, "ERRAND_DATABASE_LISTEN_URL="+direct)
	past := hears.start(t)
	a := c.start(t)
	b := other.start(t)
	a.agent(t, "worker", 60)
	begun := time.Now()
	for range 20 {
		made := b.create(t, "worker", nil)
		got := a.claim(t, "worker", "w")
		a.say(t, got, "x")
		a.finish(t, got, "done")
		if got.Task.ID != made.ID {
			t.Errorf("claimed %s, not %s", got.Task.ID, made.ID)
		}
	}
	t.Logf("a task goes through a pooler in %v", time.Since(begun)/20)
	a.must(t, http.StatusOK, http.MethodGet, "/v1/tasks", nil)
	a.quiet(t)
	const deaf = "the database's notifications do not arrive"
	eventually(t, "it says that it hears of nobody", func() bool { return strings.Contains(a.log(t), deaf) })
	if said := past.log(t); strings.Contains(said, deaf) { // it began before that one
		t.Errorf("past the pooler it says: %s", said)
	}
	bad := clusterOn(t, through)
	bad.data = c.data
	n := bad.launch(t)
	if code := n.ended(t); code != 1 {
		t.Errorf("exit code %d", code)
	}
	said := strings.TrimSpace(n.log(t))
	if strings.Contains(said, "\n") || !strings.Contains(said, "default_query_exec_mode=cache_describe") {
		t.Errorf("it says: %s", said)
	}
	a.must(t, http.StatusOK, http.MethodGet, "/v1/tasks", nil)
	a.quiet(t)
}
