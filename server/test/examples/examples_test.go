// Package examples_test runs the programs in examples, and the examples in the
// Go client's documentation, against a real server.
package examples_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/errand-dev/errand"
	"github.com/errand-dev/errand/server/internal/app"
)

// build compiles the examples.
func build(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("it compiles programs")
	}
	bin := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin+"/", "github.com/errand-dev/errand/examples/...").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return bin
}

// program prepares an example to run against a new server.
func program(t *testing.T, bin, name string, args ...string) (*exec.Cmd, *errand.Client) {
	t.Helper()
	o := app.DefaultOptions()
	o.Addr, o.Data, o.Drain = "127.0.0.1:0", t.TempDir(), time.Second
	server, err := app.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	client, err := errand.NewClient(errand.WithURL(server.URL()), errand.WithKey(server.FirstStart().Key))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, filepath.Join(bin, name), args...)
	cmd.Env = append(os.Environ(), "ERRAND_URL="+server.URL(), "ERRAND_API_KEY="+server.FirstStart().Key)
	return cmd, client
}

func TestExamples(t *testing.T) {
	t.Parallel()
	bin := build(t)
	for name, want := range map[string]string{
		"tasks":     "created: pending\nstatus: completed\nknows the sum: true\n",
		"events":    "the task has finished\nthe answer was streamed: true\n",
		"lifecycle": "waiting: no_worker\nstopped: stopped\nan ended task stays as it ended\nupdated: completed - Analysis completed successfully\n",
		"files":     "1 PDF, 1 image, 1 readable file\nthe message holds the data: true\n",
		"subtasks":  "Sales in the north are up, Sales in the south are up, Sales in the east are up\nsub-tasks: 3\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd, _ := program(t, bin, name)
			out, err := cmd.CombinedOutput()
			if err != nil || string(out) != want {
				t.Errorf("%v\n%s\nwant\n%s", err, out, want)
			}
		})
	}
	t.Run("worker", func(t *testing.T) {
		t.Parallel()
		testWorker(t, bin)
	})
}

// testWorker: the worker works until it is asked to end, and then ends well.
func testWorker(t *testing.T, bin string) {
	t.Helper()
	cmd, client := program(t, bin, "worker")
	if _, err := client.Agents.Apply(t.Context(), "agent-123", errand.Agent{Name: "Analyst"}); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	task, err := client.Agents.Invoke(ctx, "agent-123", errand.TaskRequest{Prompt: "Analyze the sales data"})
	if err != nil || task.Status != errand.Completed || task.Result != "Analyze the sales data" || task.InternalStatus != "speaking" {
		t.Errorf("task: %+v, %v", task, err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
}

// The examples of the documentation do what they say.
func TestDocumentedExamples(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it compiles programs")
	}
	bin := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", filepath.Join(bin, "client.test"), "github.com/errand-dev/errand").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	listed, err := exec.CommandContext(t.Context(), filepath.Join(bin, "client.test"), "-test.list", "^Example").Output()
	if err != nil {
		t.Fatal(err)
	}
	names := strings.Fields(string(listed))
	if len(names) < 6 {
		t.Errorf("there are only %q", names)
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd, client := program(t, bin, "client.test", "-test.v", "-test.run", "^"+name+"$")
			cmd.Env = append(cmd.Env, "ERRAND_EXAMPLES=1")
			if _, err := client.Agents.Apply(t.Context(), "agent-123", errand.Agent{Name: "Analyst"}); err != nil {
				t.Fatal(err)
			}
			if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: "+name+" ") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
