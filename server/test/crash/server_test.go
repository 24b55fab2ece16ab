package crash

import (
	"errors"
	"fmt"
	"io"
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

	"github.com/errand-dev/errand/server/internal/testkit/pgtest"
	"github.com/errand-dev/errand/server/internal/testkit/teststore"
)

const (
	adminKey = "crash-test-admin-key-0123456789abcdef"
	// startLimit bounds how long a start may take on a busy machine.
	startLimit = 20 * time.Second
)

// server is one data folder with the process that serves it, if one does.
type server struct {
	data, addr string
	database   string // its URL; "" is SQLite in the folder
	args       []string
	env        []string // beside the admin key
	logs       []string // files, one for each start
	logDir     string
	proc       *process
	// unlogged lets the server's log go through the test: no limit on the files
	// that the server writes is one on its log. full starts it without the right
	// to write to any.
	unlogged, full bool
	clock          bool   // its clock can be set
	netns          string // a network of its own, by its name; "" is that of the tests
}

// process is a started program.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{}
	life   io.Writer // its standard input, which ends with the test
}

// newServer starts a server on a new data folder.
func newServer(t *testing.T, args ...string) *server {
	t.Helper()
	s := prepareServer(t, args...)
	s.start(t)
	return s
}

// prepareServer chooses a folder and an address and starts nothing.
func prepareServer(t *testing.T, args ...string) *server {
	t.Helper()
	if testing.Short() {
		t.Skip("it starts real servers")
	}
	s := &server{data: filepath.Join(t.TempDir(), "data"), addr: freeAddr(t), args: args, logDir: t.TempDir()}
	if teststore.OnPostgres() {
		s.onDatabase(pgtest.Database(t))
	}
	t.Cleanup(func() {
		if s.proc != nil {
			_ = s.proc.cmd.Process.Kill() // it may have ended
			<-s.proc.exited
		}
		if t.Failed() {
			t.Logf("the end of the server's log:\n%s", tail(s.log(t), 4000))
		}
	})
	return s
}

// onDatabase gives the server a PostgreSQL database.
func (s *server) onDatabase(url string) {
	s.database = url
	teststore.Use(s.data, url)
}

// freeAddr finds a free port below those that the system gives to outgoing
// connections, so that a restart finds it free again. Two patterns of digits
// mean something to the Python client.
func freeAddr(t *testing.T) string {
	t.Helper()
	for range 200 {
		port := 10000 + rand.IntN(22000)
		digits := strconv.Itoa(port)
		if strings.Contains(digits, "8085") || strings.Contains(digits, "9016") {
			continue
		}
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", net.JoinHostPort("127.0.0.1", digits))
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

func (s *server) url() string { return "http://" + s.addr }

// client makes a client with connections of its own.
func (s *server) client() *client { return newClient(s.url()) }

// spawn starts a program with its output in a file, which it writes itself
// unless the output is piped.
func spawn(t *testing.T, logFile string, piped bool, env []string, name string, args ...string) *process {
	t.Helper()
	out, err := os.Create(logFile)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(name, args...) //nolint:noctx // the tests decide when and how it dies
	cmd.Stdout, cmd.Stderr = out, out
	if piped {
		both := struct{ io.Writer }{out}
		cmd.Stdout, cmd.Stderr = both, both
	}
	cmd.Env = append(os.Environ(), env...)
	life, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: cmd, exited: make(chan struct{}), life: life}
	go func() {
		defer close(p.exited)
		_ = cmd.Wait()  // the state is looked at by those who care
		_ = out.Close() // it was written by others
	}()
	return p
}

// awaitReady waits until a server that was in trouble takes writes again.
func (s *server) awaitReady(t *testing.T) {
	t.Helper()
	c := s.client()
	eventually(t, startLimit, "the server is ready again", func() bool {
		a, err := c.call(t.Context(), http.MethodGet, "/readyz", nil)
		return err == nil && a.status == http.StatusOK
	})
}

// launch starts the process without waiting for it.
func (s *server) launch(t *testing.T) {
	t.Helper()
	logFile := filepath.Join(s.logDir, fmt.Sprintf("%03d.log", len(s.logs)))
	s.logs = append(s.logs, logFile)
	args := append([]string{"serve", "--data", s.data, "--addr", s.addr}, s.args...)
	name := os.Getenv(binaryEnv)
	if s.full {
		name, args = "sh", append([]string{"-c", `ulimit -S -f 0; exec "$0" "$@"`, name}, args...)
	}
	env := append([]string{"ERRAND_ADMIN_KEY=" + adminKey, "ERRAND_DATABASE_URL=" + s.database}, s.env...)
	if s.netns != "" {
		name, args = "ip", append([]string{"netns", "exec", s.netns, name}, args...)
	}
	if s.clock {
		env = append(env, helperEnv+"=clock", helperData+"="+s.data, helperAddr+"="+s.addr)
		name, args = os.Args[0], nil
	}
	s.proc = spawn(t, logFile, s.unlogged || s.full, env, name, args...)
}

// start starts the process and waits until it is ready.
func (s *server) start(t *testing.T) {
	t.Helper()
	s.launch(t)
	c := s.client()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(startLimit)
	defer limit.Stop()
	for {
		if a, err := c.call(t.Context(), http.MethodGet, "/readyz", nil); err == nil && a.status == http.StatusOK {
			return
		}
		select {
		case <-tick.C:
		case <-s.proc.exited:
			t.Fatalf("the server ended at its start: %v\n%s", s.proc.cmd.ProcessState, s.log(t))
		case <-limit.C:
			t.Fatalf("the server was not ready after %v\n%s", startLimit, s.log(t))
		}
	}
}

// kill ends the process as a power cut would, as far as a program can tell.
func (s *server) kill(t *testing.T) {
	t.Helper()
	s.proc.kill(t)
	tolls.servers.Add(1)
}

// killAmid kills the server and starts it again so many times while something is done
// all times, evenly; done is how often it was.
func (s *server) killAmid(t *testing.T, kills, all int, done func() int32) {
	t.Helper()
	for kill := range kills {
		eventually(t, time.Minute, "work goes on", func() bool {
			return t.Failed() || int(done()) >= (kill+1)*all/(kills+1)
		})
		s.kill(t)
		s.start(t)
	}
}

func (p *process) kill(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	<-p.exited
}

// term asks the process to end.
func (s *server) term(t *testing.T) {
	t.Helper()
	s.proc.signal(t, syscall.SIGTERM)
}

func (p *process) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// ended waits for the process's end and returns its exit code.
func (p *process) ended(t *testing.T, limit time.Duration) int {
	t.Helper()
	select {
	case <-p.exited:
	case <-time.After(limit):
		t.Fatalf("the process still ran after %v", limit)
	}
	return p.cmd.ProcessState.ExitCode()
}

// log is what all runs of the server have written.
func (s *server) log(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, name := range s.logs {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}

// quiet fails the test if the server has logged an error, but for those that
// were provoked.
func (s *server) quiet(t *testing.T, but ...string) {
	t.Helper()
	for line := range strings.Lines(s.log(t)) {
		if slices.ContainsFunc(but, func(text string) bool { return strings.Contains(line, text) }) {
			continue
		}
		if strings.Contains(line, "level=ERROR") || strings.Contains(line, "panic") || strings.Contains(line, "DATA RACE") {
			t.Errorf("the server logged: %s", line)
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
func eventually(t *testing.T, limit time.Duration, what string, met func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	over := time.NewTimer(limit)
	defer over.Stop()
	for !met() {
		select {
		case <-tick.C:
		case <-over.C:
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}
