package cli_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/errand-dev/errand"
	"github.com/errand-dev/errand/server/internal/app"
)

// newServer is one in this process, and the environment in which the command
// line finds it.
func newServer(t *testing.T) (client *errand.Client, env []string) {
	t.Helper()
	return serverOn(t, t.TempDir())
}

// serverOn is one whose data folder is known.
func serverOn(t *testing.T, data string) (client *errand.Client, env []string) {
	t.Helper()
	o := app.DefaultOptions()
	o.Addr, o.Data, o.Drain = "127.0.0.1:0", data, time.Second
	a, err := app.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Stop(); err != nil {
			t.Error(err)
		}
	})
	client, err = errand.NewClient(errand.WithURL(a.URL()), errand.WithKey(a.FirstStart().Key))
	if err != nil {
		t.Fatal(err)
	}
	return client, []string{"ERRAND_URL=" + a.URL(), "ERRAND_API_KEY=" + a.FirstStart().Key}
}

// server is one that this process's environment names, with an agent that
// nobody works for.
func server(t *testing.T) *errand.Client {
	t.Helper()
	client, env := newServer(t)
	if _, err := client.Agents.Apply(t.Context(), "agent-1", errand.Agent{Name: "nobody works for it", Runtime: "worker"}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Tasks.Create(t.Context(), errand.TaskRequest{AgentID: "agent-1", ID: "one", Prompt: "x"}); err != nil {
		t.Fatal(err)
	}
	for _, variable := range env {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
	return client
}

// interrupt runs errand, presses Ctrl-C when something is said on one of its
// streams, and returns the exit code and the rest of what it says there.
func interrupt(t *testing.T, onError bool, when string, args ...string) (code int, rest string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := exec.CommandContext(ctx, "errand", args...)
	if _, err := c.StdinPipe(); err != nil { // nobody writes there, and it does not end
		t.Fatal(err)
	}
	pipe, err := c.StdoutPipe()
	if onError {
		c.Stdout = nil
		pipe, err = c.StderrPipe()
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(pipe)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("%v: ended before it said %q: %v", args, when, err)
		}
		if strings.Contains(line, when) {
			break
		}
	}
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	more, err := io.ReadAll(lines)
	if err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := c.Wait(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), string(more)
}

// TestInterrupt: Ctrl-C stops the task of run, and ends the watching of watch.
func TestInterrupt(t *testing.T) { //nolint:paralleltest // it sets the environment
	client := server(t)
	code, rest := interrupt(t, true, "· pending", "run", "--agent", "agent-1", "x")
	if code != 130 {
		t.Errorf("run: exit code %d, want 130", code)
	}
	if !strings.Contains(rest, "· stopping") || !strings.Contains(rest, ": stopped") {
		t.Errorf("run: says %q", rest)
	}
	page, err := client.Tasks.List(t.Context(), errand.ListOptions{Status: errand.Stopped})
	if err != nil || len(page.Items) != 1 {
		t.Errorf("run: %v, stopped tasks: %v", err, page)
	}
	code, rest = interrupt(t, true, "· pending", "task", "watch", "one")
	const goesOn = "The task goes on. To come back:  errand task watch one\nTo stop it:                      errand task stop one\n"
	if code != 130 || rest != goesOn {
		t.Errorf("watch: exit code %d, want 130; says %q", code, rest)
	}
	code, rest = interrupt(t, true, "· task two", "task", "create", "--agent", "agent-1", "--id", "two", "--watch", "x")
	if code != 130 || !strings.HasSuffix(rest, strings.ReplaceAll(goesOn, "one", "two")) {
		t.Errorf("create --watch: exit code %d, want 130; says %q", code, rest)
	}
	code, rest = interrupt(t, false, "task_created", "task", "events", "--follow", "one")
	if code != 130 || rest != "" {
		t.Errorf("events --follow: exit code %d, want 130; says %q", code, rest)
	}
	code, rest = interrupt(t, false, `"task_created"`, "task", "watch", "--json", "one")
	if code != 130 || rest != "" {
		t.Errorf("watch --json: exit code %d, want 130; says %q", code, rest)
	}
	task, err := client.Tasks.Get(t.Context(), "one")
	if err != nil || task.Status != errand.Pending {
		t.Errorf("the watched task: %v, %v", task, err)
	}
}

// TestInterruptAProgram: Ctrl-C stops the task of a run and its program, and the run's
// worker goes with it, at a server as well as at an own one.
func TestInterruptAProgram(t *testing.T) { //nolint:paralleltest // it sets the environment
	for _, own := range []bool{true, false} {
		if !own {
			server(t)
		}
		ended := filepath.Join(t.TempDir(), "ended")
		code, rest := interrupt(t, false, "working", "run", "x", "--", "sh", "-c", `trap 'echo it >"$0"; exit' TERM; echo working; while :; do sleep 0.05; done`, ended)
		if code != 130 {
			t.Errorf("own server %t: exit code %d, want 130; says %q", own, code, rest)
		}
		if _, err := os.Stat(ended); err != nil {
			t.Errorf("own server %t: the program was not told to end: %v", own, err)
		}
	}
}

// TestInterruptAPipe: a pipe into which nobody writes holds nobody, and leaves nothing.
func TestInterruptAPipe(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	code, _ := interrupt(t, true, "No model is used", "run", "--agent", "profile", "-f", "-", "x")
	left, err := os.ReadDir(dir)
	if code != 130 || err != nil || len(left) > 0 {
		t.Errorf("exit code %d, want 130; it leaves %v, %v", code, left, err)
	}
}

// TestInterruptDuringACall: a server that does not answer holds nobody.
func TestInterruptDuringACall(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"task", "get", "one"},
		{"task", "list"},
		{"task", "stop", "one"},
		{"task", "watch", "one"},
		{"task", "create", "--agent", "a", "x"},
		{"run", "--agent", "a", "x"},
		{"task", "stop", "--all"},
		{"task", "events", "one"},
		{"task", "rm", "one"},
		{"agent", "apply", "a"},
		{"key", "list"},
		{"doctor"},
	} {
		asked := make(chan struct{}, 1)
		silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // only then the server notices that the client has gone
			asked <- struct{}{}
			<-r.Context().Done()
		}))
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		c := exec.CommandContext(ctx, "errand", args...)
		c.Env = append(os.Environ(), "ERRAND_URL="+silent.URL, "ERRAND_API_KEY=k")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		<-asked
		if err := c.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		var exit *exec.ExitError
		if err := c.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 130 {
			t.Errorf("%v: %v, want exit code 130", args, err)
		}
		cancel()
		silent.Close()
	}
}

// TestInterruptWhileItReads: standard input that does not end holds nobody.
func TestInterruptWhileItReads(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"run", "-"},
		{"task", "create", "--agent", "a", "-"},
		{"agent", "apply", "-f", "-"},
		{"login", "http://192.0.2.1"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		c := exec.CommandContext(ctx, "errand", args...)
		c.Env = append(os.Environ(), "ERRAND_URL=http://127.0.0.1:1", "ERRAND_API_KEY=k", "HOME="+t.TempDir())
		in, err := c.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		said, err := c.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		if args[0] == "login" { // it says something first
			_, err = bufio.NewReader(said).ReadString('\n')
		} else { // more than a pipe holds: once it is written, errand is reading
			_, err = io.WriteString(in, strings.Repeat("x", 1<<17))
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		var exit *exec.ExitError
		if err := c.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 130 {
			t.Errorf("%v: %v, want exit code 130", args, err)
		}
		cancel()
	}
}
