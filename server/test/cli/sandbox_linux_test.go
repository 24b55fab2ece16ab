package cli_test

import (
	"context"
	"encoding/json"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/errand-dev/errand"
)

// fortress is a server whose data folder is known, with a worker of a program that
// attacks it.
type fortress struct {
	t      *testing.T
	client *errand.Client
	env    []string
	data   string
	url    *url.URL
}

func newFortress(t *testing.T) *fortress {
	t.Helper()
	if _, err := exec.LookPath("bwrap"); err != nil && os.Getenv("CI") == "" {
		t.Skip("bubblewrap is not installed")
	}
	f := &fortress{t: t, data: t.TempDir()}
	f.client, f.env = serverOn(t, f.data)
	var err error
	if f.url, err = url.Parse(strings.TrimPrefix(f.env[0], "ERRAND_URL=")); err != nil {
		t.Fatal(err)
	}
	return f
}

// works starts a worker of the attacker.
func (f *fortress) works(agent string, flags ...string) {
	f.t.Helper()
	code, err := os.ReadFile(filepath.Join("testdata", "attacker.py"))
	if err != nil {
		f.t.Fatal(err)
	}
	args := append([]string{"worker", "--agent", agent, "--slots", "2", "--data", f.data}, flags...)
	begin(f.t, f.env, append(args, "--", "/usr/bin/python3", "-c", string(code))...)
}

func (f *fortress) create(ctx context.Context, agent string, asked map[string]any) *errand.Task {
	f.t.Helper()
	prompt, err := json.Marshal(asked)
	if err != nil {
		f.t.Fatal(err)
	}
	task, err := f.client.Tasks.Create(ctx, errand.TaskRequest{AgentID: agent, Prompt: string(prompt), MaxAttempts: 1})
	if err != nil {
		f.t.Fatal(err)
	}
	return task
}

// says waits until a task says something, and returns it.
func (f *fortress) says(ctx context.Context, task *errand.Task, what string) []string {
	f.t.Helper()
	for e, err := range task.Events(ctx) {
		if err != nil {
			f.t.Fatal(err)
		}
		if found := regexp.MustCompile(what).FindStringSubmatch(e.Text()); found != nil {
			return found
		}
	}
	err := task.Reload(ctx)
	f.t.Fatalf("the task ended without saying %s: %s, %v", what, task.Result, err)
	return nil
}

// attacks lets the program try everything, beside a neighbour that has to end well in
// time, and returns how far it has come.
func (f *fortress) attacks(ctx context.Context, agent string, forks int) map[string]string {
	f.t.Helper()
	port, err := strconv.Atoi(f.url.Port())
	if err != nil {
		f.t.Fatal(err)
	}
	beside := f.create(ctx, agent, map[string]any{"wait": 10})
	folder := f.says(ctx, beside, `(/\S+errand-task-\S+)`)[1]
	task := f.create(ctx, agent, map[string]any{"neighbour": folder, "data": f.data, "pid": os.Getpid(), "port": port, "forks": forks})
	if err := task.Wait(ctx); err != nil || task.Status != errand.Completed {
		f.t.Fatalf("the attacker ended %s (%v): %s", task.Status, err, task.Result)
	}
	if err := beside.Wait(ctx); err != nil || beside.Status != errand.Completed || !strings.HasSuffix(beside.Result, "done\n") {
		f.t.Errorf("the task beside it ended %s (%v): %s", beside.Status, err, beside.Result)
	}
	kept := 0
	for o, err := range f.client.Tasks.Outputs(ctx, beside.ID, 1) {
		if kept++; err != nil || o.Name != "kept.txt" {
			f.t.Errorf("the task beside it left %+v, %v", o, err)
		}
	}
	if kept != 1 {
		f.t.Errorf("the task beside it left %d files", kept)
	}
	came := map[string]string{}
	for line := range strings.Lines(task.Result) {
		if words := strings.Fields(line); len(words) > 1 {
			came[words[0]] = words[1]
		}
	}
	return came
}

// TestC5SandboxKeepsProgramsIn: a program that attacks what is around it is refused all
// of it, within its own limits, and nobody else is disturbed. Without a sandbox the same
// program reaches what is there.
func TestC5SandboxKeepsProgramsIn(t *testing.T) {
	t.Parallel()
	f := newFortress(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	f.works("free")
	f.works("confined", "--sandbox", "bwrap", "--memory", "256MiB", "--processes", "20", "--cpu", "1s")
	inside := []string{"neighbour", "neighbours", "data", "database", "environment", "signal", "server"}
	came := f.attacks(ctx, "free", 0)
	for _, what := range inside {
		if came[what] != "reached" {
			t.Errorf("without a sandbox %s was %q: the attack proves nothing", what, came[what])
		}
	}
	came = f.attacks(ctx, "confined", 1000)
	for _, what := range append(inside, "shadow", "metadata", "system", "kernel", "memory", "forks") {
		if came[what] != "refused" {
			t.Errorf("C5: %s was %q", what, came[what])
		}
	}
	if children, err := strconv.Atoi(came["children"]); err != nil || children < 10 || children > 60 {
		t.Errorf("C5: %s children were started, of 20 processes", came["children"])
	}

	burner := f.create(ctx, "confined", map[string]any{"burn": true})
	if err := burner.Wait(ctx); err != nil || burner.Status != errand.Errored || !strings.Contains(burner.Result, "CPU time limit exceeded") {
		t.Errorf("C5: one that burns processor time ended %s (%v): %s", burner.Status, err, burner.Result)
	}

	// A stop reaches what has left the program's session.
	mark := strconv.Itoa(700000 + os.Getpid())
	stayer := f.create(ctx, "confined", map[string]any{"stay": mark})
	f.says(ctx, stayer, "stays")
	eventually(t, patience, "the sleeper runs", func() bool { return len(sleepers(t, mark)) > 0 })
	if err := stayer.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if err := stayer.Wait(ctx); err != nil || stayer.StopRequest == nil || stayer.StopRequest.ConfirmedAt.IsZero() {
		t.Errorf("C5: the stop: %+v, %v", stayer.StopRequest, err)
	}
	if left := sleepers(t, mark); len(left) > 0 {
		t.Errorf("C5: %v outlive the stop", left)
	}
}

// sleepers are the processes that sleep for that long.
func sleepers(t *testing.T, seconds string) (pids []string) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range all {
		if words, err := os.ReadFile(path); err == nil && slices.Equal(strings.Split(string(words), "\x00"), []string{"sleep", seconds, ""}) {
			pids = append(pids, path)
		}
	}
	return pids
}
