package cli_test

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/errand-dev/errand"
)

// answer TASK ARGS… answers what a task asks that is open. A last argument in small
// letters behind a value is what the refusal says.
func answer(ts *testscript.TestScript, _ bool, args []string) {
	type approval struct{ ID, Status string }
	var asked struct{ Items []approval }
	call(ts, http.MethodGet, "/v1/tasks/"+args[0]+"/approvals", "", &asked)
	i := slices.IndexFunc(asked.Items, func(a approval) bool { return a.Status == "open" })
	if i < 0 {
		ts.Fatalf("task %s asks %v", args[0], asked.Items)
	}
	said := append([]string{"inbox", "answer", asked.Items[i].ID}, args[1:]...)
	if len(args) == 3 && !strings.HasPrefix(args[1], "-") {
		refused(ts, false, append([]string{args[2]}, said[:4]...))
		return
	}
	ts.Check(ts.Exec("errand", said...))
}

// TestAskSurvivesARestart: the server is killed between a question and its answer; the
// worker's program has the answer all the same, and its attempt has not counted.
func TestAskSurvivesARestart(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	t.Cleanup(cancel)
	dir := t.TempDir()
	serve := func(addr string) *exec.Cmd {
		log := make(told, 1000)
		c := exec.CommandContext(ctx, "errand", "serve", "--data", dir, "--addr", addr)
		c.Stderr = log
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		log.until(ctx, t, "serving")
		return c
	}
	read := func(name string) string {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(content))
	}
	first := serve("127.0.0.1:0")
	url, key := read("address"), read("admin.key")
	client, err := errand.NewClient(errand.WithURL(url), errand.WithKey(key))
	if err != nil {
		t.Fatal(err)
	}
	begin(t, []string{"ERRAND_URL=" + url, "ERRAND_API_KEY=" + key}, "worker", "--agent", "w", "--", "sh", "-c",
		`echo "attempt $ERRAND_ATTEMPT: $(errand ask name 'What is it called?')"`)
	task, err := client.Tasks.Create(ctx, errand.TaskRequest{AgentID: "w", Prompt: "x", MaxAttempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	var open []errand.Approval
	eventually(t, patience, "it asks", func() bool {
		open, err = client.Approvals.List(ctx, errand.ApprovalOpen)
		return err == nil && len(open) == 1
	})
	if err := first.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait() // it was killed
	_, port, err := net.SplitHostPort(strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	second := serve("127.0.0.1:" + port)
	t.Cleanup(func() {
		_ = second.Process.Signal(os.Interrupt) // it may be gone
		_ = second.Wait()
	})
	if _, err := client.Approvals.Answer(ctx, open[0].ID, errand.Reply{Value: json.RawMessage(`"Ann"`)}); err != nil {
		t.Fatal(err)
	}
	if err := task.Wait(ctx); err != nil || task.Status != errand.Completed || task.Result != "attempt 2: Ann\n" {
		t.Errorf("%s, %q, %v", task.Status, task.Result, err)
	}
}
