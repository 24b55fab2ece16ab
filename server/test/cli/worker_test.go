package cli_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/errand-dev/errand"
)

// process is a program of a test under way.
type process struct {
	*exec.Cmd
	said *lockedBuffer // on standard error
}

// lockedBuffer may be read while it is written to.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// begin starts errand and waits until it says on standard error that it works.
func begin(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p := &process{exec.CommandContext(context.WithoutCancel(t.Context()), "errand", args...), &lockedBuffer{}}
	p.Env = append(append(os.Environ(), "GORACE=atexit_sleep_ms=0"), env...)
	p.Stderr = p.said
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Process.Kill() // it has usually ended
		_ = p.Wait()
		if t.Failed() {
			t.Logf("%v said:\n%s", args, p.said)
		}
	})
	const works = "msg=working"
	eventually(t, patience, fmt.Sprintf("%v says %q", args, works), func() bool { return strings.Contains(p.said.String(), works) })
	return p
}

func eventually(t *testing.T, limit time.Duration, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	over := time.NewTimer(limit)
	defer over.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-over.C:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// running tells whether a process runs; one that has ended and that nobody has
// asked for does not.
func running(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err == nil {
		return !strings.Contains(string(stat[bytes.LastIndexByte(stat, ')'):]), " Z ")
	}
	return syscall.Kill(pid, 0) == nil
}

// busy creates a task for a worker whose program uses a tool, and returns the
// numbers of both processes as they tell them.
func busy(t *testing.T, client *errand.Client, agent string) (task *errand.Task, pids []int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	task, err := client.Tasks.Create(ctx, errand.TaskRequest{AgentID: agent, Prompt: "Analyze the sales data please"})
	if err != nil {
		t.Fatal(err)
	}
	number := regexp.MustCompile(`process (\d+)`)
	for e, err := range task.Events(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if found := number.FindStringSubmatch(e.Text()); found != nil {
			pid, err := strconv.Atoi(found[1])
			if err != nil {
				t.Fatal(err)
			}
			if pids = append(pids, pid); len(pids) == 2 {
				return task, pids
			}
		}
	}
	t.Fatalf("the task ended after %d numbers", len(pids))
	return nil, nil
}

func gone(t *testing.T, limit time.Duration, pids []int) {
	t.Helper()
	eventually(t, limit, fmt.Sprintf("none of %v runs", pids), func() bool {
		return !slices.ContainsFunc(pids, running)
	})
}

// programs are the example in each language.
func programs(t *testing.T) map[string]string {
	t.Helper()
	if testing.Short() {
		t.Skip("it compiles a program")
	}
	built := filepath.Join(t.TempDir(), "count")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", built, "../../../examples/programs/count").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	all := map[string]string{"go": built}
	for name, file := range map[string]string{"shell": "count.sh", "python": "count.py"} {
		path, err := filepath.Abs(filepath.Join("../../../examples/programs", file))
		if err != nil {
			t.Fatal(err)
		}
		all[name] = path
	}
	return all
}

// TestWorker: a program in any language does tasks. A stop reaches it and its
// children within a second, SIGTERM lets it finish, and nothing of it outlives
// a worker that is killed.
func TestWorker(t *testing.T) {
	t.Parallel()
	client, env := newServer(t)
	for language, file := range programs(t) {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			testProgram(t, client, env, language, file)
		})
	}
}

func testProgram(t *testing.T, client *errand.Client, env []string, agent, file string) {
	t.Helper()
	work := func(seconds string) *process {
		return begin(t, append([]string{"TOOL_SECONDS=" + seconds}, env...),
			"worker", "--agent", agent, "--env", "TOOL_SECONDS", "--grace", "10s", "--", file)
	}

	// A worker that is asked to end while it works finishes first.
	worker := work("1")
	task, pids := busy(t, client, agent)
	if err := worker.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := worker.Wait(); err != nil {
		t.Errorf("the worker: %v", err)
	}
	gone(t, 0, pids)
	if err := task.Reload(t.Context()); err != nil || task.Status != errand.Completed || strings.TrimSpace(task.Result) != "5 words" {
		t.Errorf("the task: %s, %q, %v", task.Status, task.Result, err)
	}

	// A stop ends the program and its tool.
	worker = work("1000")
	task, pids = busy(t, client, agent)
	if err := task.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	gone(t, time.Second, pids)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := task.Wait(ctx); err != nil || task.StopRequest.ConfirmedAt.IsZero() {
		t.Errorf("the stop: %+v, %v", task.StopRequest, err)
	}

	// So does the death of the worker.
	_, pids = busy(t, client, agent)
	if err := worker.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	gone(t, patience, pids)
}

// TestWorkerGivesBack: what is not done when the drain time is over ends here,
// with time to tidy up, and is another worker's.
func TestWorkerGivesBack(t *testing.T) {
	t.Parallel()
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			if signal.Ignored(s) {
				t.Skip("this process was started so that it ignores the signal (nohup), and so is the worker")
			}
			givesBack(t, s)
		})
	}
}

func givesBack(t *testing.T, told syscall.Signal) {
	t.Helper()
	client, env := newServer(t)
	tidied := filepath.Join(t.TempDir(), "tidied")
	worker := begin(t, env, "worker", "--agent", "w", "--drain", "100ms", "--grace", "20s", "--",
		"sh", "-c", `trap 'sleep 3; echo > "$0"; exit' TERM; echo process $$; sleep 1000 & echo process $!; wait`, tidied)
	task, pids := busy(t, client, "w")
	if err := worker.Process.Signal(told); err != nil {
		t.Fatal(err)
	}
	if err := worker.Wait(); err != nil {
		t.Errorf("the worker: %v", err)
	}
	gone(t, 0, pids)
	if _, err := os.Stat(tidied); err != nil {
		t.Errorf("the program was not let end: %v", err)
	}
	if err := task.Reload(t.Context()); err != nil || task.Status != errand.Pending {
		t.Errorf("the task: %s, %v", task.Status, err)
	}
}

// TestWorkerLeavesAtOnce: a second signal does not wait for what runs.
func TestWorkerLeavesAtOnce(t *testing.T) {
	t.Parallel()
	client, env := newServer(t)
	worker := begin(t, env, "worker", "--agent", "w", "--", "sh", "-c", "echo process $$; sleep 1000 & echo process $!; wait")
	_, pids := busy(t, client, "w")
	for _, said := range []string{"ending", "told twice"} { // two in one moment are one
		eventually(t, patience, said, func() bool {
			if strings.Contains(worker.said.String(), said) {
				return true
			}
			_ = worker.Process.Signal(os.Interrupt)
			return false
		})
	}
	var exit *exec.ExitError
	if err := worker.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("the worker: %v, want exit code 1", err)
	}
	gone(t, patience, pids)
}

// TestC3LaterIsNoError: a program that ends with 75 puts its task off, says why, and
// gets it again; the attempt does not count.
func TestC3LaterIsNoError(t *testing.T) {
	t.Parallel()
	client, env := newServer(t)
	begin(t, env, "worker", "--agent", "later", "--", "sh", "-c",
		"if [ $ERRAND_ATTEMPT = 1 ]; then echo the model rests >&2; exit 75; fi; echo done")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	task, err := client.Tasks.Create(ctx, errand.TaskRequest{AgentID: "later", Prompt: "x", MaxAttempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := task.Wait(ctx); err != nil || task.Status != errand.Completed || task.Attempt != 2 {
		t.Errorf("%s after %d attempts (%v): %s", task.Status, task.Attempt, err, task.Result)
	}
	why := ""
	for e, err := range task.Events(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Type == errand.AttemptLost {
			why += string(e.Data)
		}
	}
	if !strings.Contains(why, "the model rests") {
		t.Errorf("it was put off because of %s", why)
	}
}
