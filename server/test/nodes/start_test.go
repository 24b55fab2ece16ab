package nodes

import (
	"context"
	"crypto/rand"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/errand-dev/errand/server/internal/testkit/pgtest"
)

// Nodes that start at the same moment, on an empty database and without a data
// folder, both come up, and there is one admin key, which both take.
func TestStartTogether(t *testing.T) {
	t.Parallel()
	for range 3 {
		c := newCluster(t)
		c.env = nil // the key is made
		var all []*node
		for range 3 {
			all = append(all, c.launch(t))
		}
		for _, n := range all {
			n.awaitReady(t)
		}
		key, err := os.ReadFile(filepath.Join(c.data, "admin.key"))
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range all {
			var list struct {
				Items []struct {
					Role string `json:"role"`
				} `json:"items"`
			}
			n.must(t, http.StatusOK, http.MethodGet, "/v1/keys", nil, "x-api-key", strings.TrimSpace(string(key))).into(t, &list)
			if len(list.Items) != 1 || list.Items[0].Role != "admin" {
				t.Errorf("node %s lists the keys %v", n.addr, list.Items)
			}
			n.quiet(t)
		}
	}
}

// password must stand in no message.
const password = "sekret-of-the-database"

// What keeps a node from its database is told in one line, which says what to do and
// shows no password.
func TestDatabasesThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it starts real servers")
	}
	server := pgtest.Start(t, pgtest.Options{Volatile: true})
	standby, err := server.Standby(pgtest.Options{Volatile: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := standby.Close(); err != nil {
			t.Error(err)
		}
	})
	whole := server.URL("postgres")
	change(t, whole, "CREATE ROLE poor LOGIN PASSWORD '"+password+"'", "CREATE ROLE few LOGIN CONNECTION LIMIT 3 PASSWORD '"+password+"'", "CREATE ROLE one LOGIN CONNECTION LIMIT 1 PASSWORD '"+password+"'", "CREATE ROLE shut LOGIN CONNECTION LIMIT 0 PASSWORD '"+password+"'", "CREATE DATABASE newer TEMPLATE template0", "CREATE DATABASE many TEMPLATE template0", "CREATE DATABASE locked TEMPLATE template0", "CREATE DATABASE few TEMPLATE template0 OWNER few")
	newer := clusterOn(t, server.URL("newer"))
	n := newer.start(t)
	n.kill(t)
	change(t, newer.database, "UPDATE schema_version SET version = version + 1")
	as := func(user, database string) string {
		u, err := url.Parse(server.URL(database))
		if err != nil {
			t.Fatal(err)
		}
		u.User = url.UserPassword(user, password)
		return u.String()
	}
	nobody := freeAddr(t)
	t.Run("of many hosts", func(t *testing.T) {
		t.Parallel()
		ofManyHosts(t, standby, server)
	})
	t.Run("locked tables", func(t *testing.T) {
		t.Parallel()
		other, err := pgx.Connect(t.Context(), server.URL("locked"))
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // with what it has begun
		if _, err := other.Exec(t.Context(), "BEGIN; CREATE TABLE schema_version ()"); err != nil {
			t.Fatal(err)
		}
		n := clusterOn(t, server.URL("locked")).launch(t)
		if code, said := n.ended(t), n.log(t); code != 1 || !strings.Contains(said, "another session lock") {
			t.Errorf("exit code %d: %s", code, said)
		}
	})
	t.Run("few connections", func(t *testing.T) { // it has begun to log when it finds out
		t.Parallel()
		n := clusterOn(t, as("few", "few")).launch(t)
		if code, said := n.ended(t), n.log(t); code != 1 || !strings.Contains(said, "\nerrand: ") || !strings.Contains(said, "needs up to 12") {
			t.Errorf("exit code %d: %s", code, said)
		}
	})
	for name, c := range map[string]struct {
		url  string
		says []string
	}{
		"no URL":           {"mysql://u:" + password + "@h/d", []string{"database URL", "postgres://"}},
		"broken URL":       {"postgres://u:" + password + "@h:port/d", []string{"database URL", "postgres://"}},
		"nobody there":     {"postgres://u:" + password + "@" + nobody + "/d", []string{nobody, "is it running"}},
		"no such host":     {"postgres://u:" + password + "@no-such-host.invalid/d", []string{"no-such-host.invalid", "is it running"}},
		"wrong password":   {as("errand", "postgres"), []string{"user", "password"}},
		"no such database": {as("poor", "absent"), []string{"absent", "CREATE DATABASE"}},
		"no rights":        {as("poor", "postgres"), []string{"permission denied", "GRANT"}},
		"no connection":    {as("shut", "postgres"), []string{"too many connections", "needs up to 12"}},
		"one connection":   {as("one", "postgres"), []string{"too many connections", "needs up to 12"}},
		"newer tables":     {newer.database, []string{"newer release"}},
		"a standby":        {standby.URL("postgres"), []string{"read only", "name the primary", "all hosts"}},
		"broken option":    {as("errand", "postgres") + "&connect_timeout=soon", []string{"database URL", "connect_timeout"}},
		"no TLS there":     {strings.Replace(whole, "sslmode=disable", "sslmode=require", 1), []string{"refused TLS", "ssl = on", "sslmode=disable"}},
		"pooler's mix-up":  {as("errand", "postgres") + "&default_query_exec_mode=describe_exec", []string{"describe_exec", "cache_describe"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c2 := clusterOn(t, c.url)
			n := c2.launch(t)
			if code := n.ended(t); code != 1 {
				t.Errorf("exit code %d", code)
			}
			said := strings.TrimSpace(n.log(t))
			t.Log(said)
			if !strings.HasPrefix(said, "errand: ") || strings.Contains(said, "\n") {
				t.Error("it is not one line")
			}
			if strings.Contains(said, password) {
				t.Error("it shows the password")
			}
			for _, text := range c.says {
				if !strings.Contains(said, text) {
					t.Errorf("it does not say %q", text)
				}
			}
		})
	}
}

// ofManyHosts finds the one that takes writes, behind one that accepts connections and
// says nothing, one where nobody is, and a standby.
func ofManyHosts(t *testing.T, standby, primary *pgtest.Server) {
	t.Helper()
	silent, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close() //nolint:errcheck // it was only there
	u, err := url.Parse(pgtest.URLs("many", standby, primary))
	if err != nil {
		t.Fatal(err)
	}
	u.Host = silent.Addr().String() + "," + freeAddr(t) + "," + u.Host
	n := clusterOn(t, u.String()).start(t)
	n.agent(t, "worker", 60)
	n.create(t, "worker", nil)
	n.quiet(t)
}

// errand backup copies SQLite's file: whose record is in PostgreSQL is told what does
// that there.
func TestBackupOfADatabase(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	n := c.start(t)
	n.agent(t, "worker", 60)
	cmd := exec.CommandContext(t.Context(), os.Getenv(binaryEnv), "backup", "--data", c.data, filepath.Join(t.TempDir(), "copy"))
	out, err := cmd.CombinedOutput()
	said := strings.TrimSpace(string(out))
	if err == nil || !strings.Contains(said, "pg_dump") || strings.Contains(said, "\n") {
		t.Errorf("errand backup: %v, %s", err, said)
	}
	doctor := exec.CommandContext(t.Context(), os.Getenv(binaryEnv), "doctor", "--data", c.data)
	doctor.Env = append(os.Environ(), "ERRAND_URL="+n.base, "ERRAND_API_KEY="+adminKey)
	if out, err := doctor.CombinedOutput(); err != nil {
		t.Errorf("errand doctor: %v, %s", err, out)
	}
}

// Two clusters do not share a database by mistake: the second one has another key for
// secrets, and is told so. What it finds stays as it is.
func TestTwoClusters(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	a := c.start(t)
	other := clusterOn(t, c.database)
	b := other.launch(t)
	if code := b.ended(t); code != 1 {
		t.Errorf("exit code %d", code)
	}
	said := strings.TrimSpace(b.log(t))
	if !strings.HasPrefix(said, "errand: ") || strings.Contains(said, "\n") || !strings.Contains(said, "one data folder") || !strings.Contains(said, "ERRAND_SECRET_KEY") {
		t.Errorf("it says: %s", said)
	}
	var keys int
	if c.ask(t, "SELECT count(*) FROM keys", &keys); keys != 1 {
		t.Errorf("there are %d keys", keys)
	}
	a.agent(t, "worker", 60)
	c.start(t).create(t, "worker", nil)
}

// Servers that have one key and not one place of files are refused: what is brought to one
// would not be found at the other.
func TestTwoPlaces(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.env = append(c.env, "ERRAND_SECRET_KEY="+strings.Repeat("5e", 32))
	c.start(t)
	shared := c.data
	for data, blobs := range map[string]string{filepath.Join(t.TempDir(), "data"): "folder", shared: "database"} {
		c.data, c.env = data, append(c.env, "ERRAND_BLOBS="+blobs)
		n := c.launch(t)
		code, said := n.ended(t), strings.TrimSpace(n.log(t))
		if code != 1 || !strings.HasPrefix(said, "errand: --blobs: ") || strings.Contains(said, "\n") || !strings.Contains(said, "one data folder, or one --blobs") {
			t.Errorf("%s: exit code %d, it says: %s", blobs, code, said)
		}
	}
	c.data, c.env = shared, append(c.env, "ERRAND_BLOBS=folder")
	c.start(t)
}

// A role that is no superuser is enough, as managed services give it, and needs no
// right but to make tables in a schema.
func TestOrdinaryRole(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	role := "ordinary_" + strings.ToLower(rand.Text())
	change(t, c.database, "CREATE ROLE "+role+" LOGIN PASSWORD '"+password+"'", "GRANT CREATE, USAGE ON SCHEMA public TO "+role)
	whole := c.database
	t.Cleanup(func() {
		conn, err := pgx.Connect(context.WithoutCancel(t.Context()), whole)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // what it did is done
		if _, err := conn.Exec(context.WithoutCancel(t.Context()), "DROP OWNED BY "+role+"; DROP ROLE "+role); err != nil {
			t.Error(err)
		}
	})
	u, err := url.Parse(c.database)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(role, password)
	c.database = u.String()
	a, b := c.start(t), c.start(t)
	a.agent(t, "worker", 60)
	made := a.create(t, "worker", nil)
	b.finish(t, b.claim(t, "worker", "w"), "done")
	if now := a.task(t, made.ID); now.Status != "completed" {
		t.Errorf("it is %s", now.Status)
	}
	for _, n := range []*node{a, b} {
		n.signal(t, syscall.SIGTERM)
		n.ended(t)
		n.quiet(t)
	}
}
