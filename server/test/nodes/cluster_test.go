package nodes

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/errand-dev/errand/server/internal/testkit/pgtest"
)

const (
	adminKey = "nodes-test-admin-key-0123456789abcdef"
	// binaryEnv names the program under test; without it, it is built.
	binaryEnv = "ERRAND_NODES_BINARY"
	// patience bounds every wait. It is long, for busy machines.
	patience = time.Minute
)

// TestMain builds the program once.
func TestMain(m *testing.M) {
	flag.Parse()
	dir, err := build()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir) // it lies in the temporary folder anyway
		os.Exit(code)
	}))
}

func build() (dir string, err error) {
	if testing.Short() || os.Getenv(binaryEnv) != "" {
		return "", nil
	}
	if dir, err = os.MkdirTemp("", "errand-nodes-"); err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "errand")
	build := exec.Command("go", "build", "-o", binary, "github.com/errand-dev/errand/server/cmd/errand") //nolint:noctx // as long as the compiler needs
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return dir, fmt.Errorf("build errand: %w", err)
	}
	return dir, os.Setenv(binaryEnv, binary)
}

// cluster is a database and a data folder, for any number of nodes.
type cluster struct {
	database, data, logs string
	env                  []string
	n                    int
}

// node is a server's process.
type node struct {
	*api
	addr, logFile string
	cmd           *exec.Cmd
	exited        chan struct{}
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	if testing.Short() {
		t.Skip("it starts real servers")
	}
	return clusterOn(t, pgtest.Database(t))
}

func clusterOn(t *testing.T, database string) *cluster {
	t.Helper()
	return &cluster{
		database: database, data: filepath.Join(t.TempDir(), "data"), logs: t.TempDir(), env: []string{"ERRAND_ADMIN_KEY=" + adminKey},
	}
}

// start starts a node and waits until it is ready.
func (c *cluster) start(t *testing.T) *node {
	t.Helper()
	n := c.launch(t)
	n.awaitReady(t)
	return n
}

// launch starts a node's process.
func (c *cluster) launch(t *testing.T) *node {
	t.Helper()
	c.n++
	n := &node{addr: freeAddr(t), logFile: filepath.Join(c.logs, strconv.Itoa(c.n)+".log"), exited: make(chan struct{})}
	n.api = newAPI(t, "http://"+n.addr)
	out, err := os.Create(n.logFile)
	if err != nil {
		t.Fatal(err)
	}
	n.cmd = exec.Command(os.Getenv(binaryEnv), "serve", "--data", c.data, "--addr", n.addr) //nolint:noctx // the tests decide when and how it dies
	n.cmd.Stdout, n.cmd.Stderr = out, out
	n.cmd.Env = append(os.Environ(), append(c.env, "ERRAND_DATABASE_URL="+c.database)...)
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(n.exited)
		_ = n.cmd.Wait() // the state is looked at by those who care
		_ = out.Close()
	}()
	t.Cleanup(func() {
		_ = n.cmd.Process.Kill() // it may have ended
		<-n.exited
		if t.Failed() {
			t.Logf("the log of node %s:\n%s", n.addr, tail(n.log(t), 3000))
		}
	})
	return n
}

func (n *node) awaitReady(t *testing.T) {
	t.Helper()
	eventually(t, "the node is ready", func() bool {
		select {
		case <-n.exited:
			t.Fatalf("the node ended at its start: %v\n%s", n.cmd.ProcessState, n.log(t))
		default:
		}
		a, err := n.call(t.Context(), http.MethodGet, "/readyz", nil)
		return err == nil && a.status == http.StatusOK
	})
}

func (n *node) log(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(n.logFile)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// quiet fails the test if the node has logged an error, but for one that says something.
func (n *node) quiet(t *testing.T, but ...string) {
	t.Helper()
	expected := func(line string) bool {
		return slices.ContainsFunc(but, func(text string) bool { return strings.Contains(line, text) })
	}
	for line := range strings.Lines(n.log(t)) {
		if (strings.Contains(line, "level=ERROR") || strings.Contains(line, "panic")) && !expected(line) {
			t.Errorf("node %s logged: %s", n.addr, line)
		}
	}
}

// kill ends the process as a power cut would, as far as a program can tell.
func (n *node) kill(t *testing.T) {
	t.Helper()
	n.signal(t, syscall.SIGKILL)
	<-n.exited
}

func (n *node) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := n.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
}

// ended waits for the process's end and returns its exit code.
func (n *node) ended(t *testing.T) int {
	t.Helper()
	select {
	case <-n.exited:
	case <-time.After(patience):
		t.Fatalf("the node still ran after %v", patience)
	}
	return n.cmd.ProcessState.ExitCode()
}

// freeAddr finds a free port below those that the system gives to outgoing connections.
func freeAddr(t *testing.T) string {
	t.Helper()
	for range 200 {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(10000+rand.IntN(22000))))
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return l.Addr().String()
	}
	t.Fatal("no free port")
	return ""
}

// sweeper asks the database which node sweeps.
func (c *cluster) sweeper(t *testing.T) (name string) {
	t.Helper()
	c.ask(t, "SELECT sweeper FROM alive", &name)
	return name
}

// ask reads one value from the database, past every node.
func (c *cluster) ask(t *testing.T, query string, into any) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), c.database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // it was only read
	if err := conn.QueryRow(t.Context(), query).Scan(into); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// change runs statements in a database.
func change(t *testing.T, database string, statements ...string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // what it did is done
	for _, s := range statements {
		if _, err := conn.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func tail(text string, n int) string {
	if len(text) > n {
		return "…" + text[len(text)-n:]
	}
	return text
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, met func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	over := time.NewTimer(patience)
	defer over.Stop()
	for !met() {
		select {
		case <-tick.C:
		case <-over.C:
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}
