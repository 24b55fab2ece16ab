package cli_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/errand-dev/errand"
	"github.com/errand-dev/errand/server/internal/app"
)

// What a task asks is listed and answered on the command line, and it goes on.
func TestInbox(t *testing.T) {
	t.Parallel()
	o := app.DefaultOptions()
	o.Addr, o.Data = "127.0.0.1:0", t.TempDir()
	a, err := app.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Stop() })
	key := a.FirstStart().Key
	client, err := errand.NewClient(errand.WithURL(a.URL()), errand.WithKey(key))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Agents.Apply(t.Context(), "asker", errand.Agent{Name: "Asker"}); err != nil {
		t.Fatal(err)
	}
	w := errand.NewWorker(client, errand.WorkerOptions{})
	w.Handle("asker", func(ctx context.Context, at *errand.Attempt) (string, error) {
		answer, err := at.Ask(ctx, errand.Question{Key: "n", Message: "How\nmany?"})
		return string(answer.Value) + answer.Note, err
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	task, err := client.Tasks.Create(t.Context(), errand.TaskRequest{AgentID: "asker", Prompt: "x"})
	if err != nil {
		t.Fatal(err)
	}
	inbox := func(args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), "errand", append([]string{"inbox"}, args...)...)
		cmd.Env = append(os.Environ(), "ERRAND_URL="+a.URL(), "ERRAND_API_KEY="+key)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	var open []errand.Approval
	eventually(t, patience, "it asks", func() bool {
		open, err = client.Approvals.List(t.Context(), errand.ApprovalOpen)
		return err == nil && len(open) == 1
	})
	if out, err := inbox(); err != nil || !strings.Contains(out, "How many?") || !strings.Contains(out, open[0].ID) || !strings.Contains(out, task.ID) {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := inbox("answer", open[0].ID, "7", "--decline"); err == nil {
		t.Errorf("declined with a value:\n%s", out)
	}
	if out, err := inbox("answer", open[0].ID, "7", "--note", " or so"); err != nil || out != open[0].ID+" answered\n" {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := inbox("answer", open[0].ID, "8"); err == nil || !strings.Contains(out, "answered before") {
		t.Errorf("answered twice: %v\n%s", err, out)
	}
	if err := task.Wait(ctx); err != nil || task.Result != "7 or so" {
		t.Errorf("%v, result %q", err, task.Result)
	}
	if out, err := inbox("list", "--status", "all", "--json"); err != nil || !strings.Contains(out, `"note": " or so"`) && !strings.Contains(out, `"note":" or so"`) {
		t.Errorf("%v\n%s", err, out)
	}
}
