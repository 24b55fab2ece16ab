package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/errand-dev/errand"
)

// What a handler writes is there when Output returns, behind what it has told, also
// when the answer was lost; whoever sees the task lists and reads it.
func TestOutputs(t *testing.T) {
	t.Parallel()
	a, _ := withAgent(t, 30)
	var lost atomic.Int32
	c := clientOf(t, a, errand.WithHTTPClient(&http.Client{Transport: wires(func(r *http.Request, send func() (*http.Response, error)) (*http.Response, error) {
		res, err := send()
		if err == nil && r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/outputs/") && lost.Add(1) == 1 {
			_ = res.Body.Close()
			return nil, errors.New("the answer was lost")
		}
		return res, err
	})}))
	start(t, c, errand.WorkerOptions{}, func(ctx context.Context, at *errand.Attempt) (string, error) {
		if err := at.Chunk(ctx, "before"); err != nil {
			return "", err
		}
		first, err := at.Output(ctx, "my report.md", strings.NewReader("# Report"))
		if err != nil {
			return "", err
		}
		if first.Name != "my report.md" || first.Size != 8 || first.ContentType != "text/markdown; charset=utf-8" || first.Turn != 1 || first.Attempt != 1 {
			t.Errorf("written %+v", first)
		}
		if _, err := at.Output(ctx, "stream.txt", io.MultiReader(strings.NewReader("a"), strings.NewReader("b"))); err != nil {
			return "", err
		}
		if _, err := at.Output(ctx, "a/b", strings.NewReader("")); !errors.Is(err, errand.ErrInvalid) {
			t.Errorf("a name with a folder answered %v", err)
		}
		return "done", nil
	})
	task := ended(t, create(t, c, errand.TaskRequest{}))
	if task.Status != errand.Completed {
		t.Errorf("%s %q", task.Status, task.Result)
	}
	var found []string
	for o, err := range c.Tasks.Outputs(t.Context(), task.ID, 0) {
		if err != nil {
			t.Fatal(err)
		}
		r, err := c.Tasks.OpenOutput(t.Context(), task.ID, o.Name, o.Turn)
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil {
			t.Fatal(err)
		}
		found = append(found, fmt.Sprintf("%s: %s", o.Name, content))
	}
	if got := strings.Join(found, ", "); got != "my report.md: # Report, stream.txt: ab" {
		t.Errorf("outputs %s", got)
	}
	var log []string
	for e, err := range c.Tasks.Events(t.Context(), task.ID, errand.OnlyTypes(errand.Chunk, errand.OutputWritten)) {
		if err != nil {
			t.Fatal(err)
		}
		log = append(log, string(e.Type))
	}
	if got := strings.Join(log, " "); got != "chunk output output" {
		t.Errorf("the log has %s", got)
	}
	if _, err := c.Tasks.OpenOutput(t.Context(), task.ID, "none", 0); !errors.Is(err, errand.ErrNotFound) {
		t.Errorf("no such output answered %v", err)
	}
}
