package sdk_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/errand-dev/errand"
)

// An end goes with the claim of the next task: tasks one after the other need about
// as many requests.
func TestH8WorkerTellsEndsWithClaims(t *testing.T) {
	t.Parallel()
	a, c := withAgent(t, 30)
	var claims, finishes atomic.Int32
	counted := clientOf(t, a, wires(func(r *http.Request, do func() (*http.Response, error)) (*http.Response, error) {
		switch {
		case r.URL.Path == "/v1/claim":
			claims.Add(1)
		case strings.HasSuffix(r.URL.Path, "/finish"):
			finishes.Add(1)
		}
		return do()
	}).option())
	const n = 30
	var tasks []*errand.Task
	for i := range n {
		tasks = append(tasks, create(t, c, errand.TaskRequest{Prompt: strconv.Itoa(i)}))
	}
	start(t, counted, errand.WorkerOptions{Slots: 1}, func(_ context.Context, a *errand.Attempt) (string, error) {
		return "did " + a.Task.Input.Text, nil
	})
	for i, task := range tasks {
		if ended(t, task); task.Result != fmt.Sprint("did ", i) || task.ExecutionAttempts != 1 {
			t.Errorf("task %d: %s", i, task.JSON())
		}
	}
	if claims, finishes := claims.Load(), finishes.Load(); claims > n+2 || finishes != 0 {
		t.Errorf("%d tasks took %d claims and %d finishes", n, claims, finishes)
	}
}

// Ends that come while others are under way go together; what became of one is not
// the others' concern; and an end does not wait for a claim that waits for tasks.
func TestH8WorkerTellsEndsTogether(t *testing.T) {
	t.Parallel()
	a, c := withAgent(t, 30)
	const n = 6
	begun, release := make(chan struct{}, n), make(chan struct{})
	var mu sync.Mutex
	var sizes []int // of requests with ends
	wait, waiting := make(chan struct{}), make(chan struct{})
	first := sync.OnceFunc(func() { close(waiting); <-wait })
	counted := clientOf(t, a, wires(func(r *http.Request, do func() (*http.Response, error)) (*http.Response, error) {
		if r.URL.Path == "/v1/claim" {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return nil, err
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			if ends := strings.Count(string(body), `"lease_token"`); ends > 0 {
				first()
				mu.Lock()
				sizes = append(sizes, ends)
				mu.Unlock()
			}
		}
		return do()
	}).option())
	var tasks []*errand.Task
	for range n {
		tasks = append(tasks, create(t, c, errand.TaskRequest{Prompt: "x"}))
	}
	told := make(chan struct{}, n)
	log := slog.New(ending{slog.DiscardHandler, told})
	start(t, counted, errand.WorkerOptions{Slots: n, Log: log}, func(ctx context.Context, _ *errand.Attempt) (string, error) {
		begun <- struct{}{}
		select {
		case <-release:
			return "done", nil
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	})
	for range n {
		receive(t, begun)
	}
	if _, err := c.Tasks.Update(t.Context(), tasks[0].ID, errand.TaskUpdate{Status: errand.Failed}); err != nil { // somebody ends one of them
		t.Fatal(err)
	}
	release <- struct{}{}
	receive(t, waiting) // an end is under way
	close(release)
	for range n {
		receive(t, told)
	}
	close(wait)
	for i, task := range tasks {
		want := errand.Completed
		if i == 0 {
			want = errand.Failed
		}
		if ended(t, task); task.Status != want {
			t.Errorf("task %d: %s", i, task.JSON())
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(sizes) < 1 || len(sizes) > 3 {
		t.Errorf("%d ends went in requests of %v", n, sizes)
	}
}

// ending hears that attempts end.
type ending struct {
	slog.Handler
	told chan struct{}
}

func (e ending) Enabled(context.Context, slog.Level) bool { return true }
func (e ending) WithAttrs([]slog.Attr) slog.Handler       { return e }
func (e ending) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "attempt ended" || r.Message == "attempt given up" {
		e.told <- struct{}{}
	}
	return nil
}

// An end whose request, or its answer, is lost is told in another way and counts
// once; so does one that meets others that hang, and the result that is too long.
func TestH8WorkerTellsEndsThatWereLost(t *testing.T) {
	t.Parallel()
	for name, trouble := range map[string]func(do func() (*http.Response, error)) (*http.Response, error){
		"request":     func(func() (*http.Response, error)) (*http.Response, error) { return nil, errCut },
		"answer":      func(do func() (*http.Response, error)) (*http.Response, error) { return lose(do()) },
		"unavailable": func(func() (*http.Response, error)) (*http.Response, error) { return plain(503), nil },
		"too large":   func(func() (*http.Response, error)) (*http.Response, error) { return plain(413), nil },
		"foreign":     func(func() (*http.Response, error)) (*http.Response, error) { return plain(200), nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, c := withAgent(t, 30)
			troubled := clientOf(t, a, errand.WithRetry(0), wires(func(r *http.Request, do func() (*http.Response, error)) (*http.Response, error) {
				if r.URL.Path != "/v1/claim" {
					return do()
				}
				body, err := io.ReadAll(r.Body)
				if err != nil {
					return nil, err
				}
				r.Body = io.NopCloser(bytes.NewReader(body))
				if strings.Contains(string(body), `"finished"`) {
					return trouble(do)
				}
				return do()
			}).option())
			start(t, troubled, errand.WorkerOptions{Slots: 2}, func(context.Context, *errand.Attempt) (string, error) { return "done", nil })
			task := ended(t, create(t, c, errand.TaskRequest{Prompt: "x"}))
			if task.Status != errand.Completed || task.Result != "done" || task.ExecutionAttempts != 1 {
				t.Errorf("task: %s", task.JSON())
			}
		})
	}
}

// plain is an answer that is not the server's.
func plain(status int) *http.Response {
	return &http.Response{
		Status: http.StatusText(status), StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("no")),
	}
}

// A task that comes with the answer to an end when the worker has begun to end is
// another worker's at once.
func TestH8WorkerTurnsDownWhatComesAfterItsEnd(t *testing.T) {
	t.Parallel()
	a, c := withAgent(t, 600)
	ctx, end := context.WithCancel(t.Context())
	defer end()
	late := clientOf(t, a, wires(func(r *http.Request, do func() (*http.Response, error)) (*http.Response, error) {
		res, err := do()
		if r.URL.Path == "/v1/claim" && err == nil {
			body, failed := io.ReadAll(res.Body)
			res.Body = io.NopCloser(bytes.NewReader(body))
			if failed == nil && strings.Contains(string(body), `"finished"`) {
				end()
			}
		}
		return res, err
	}).option())
	first, second := create(t, c, errand.TaskRequest{Prompt: "1"}), create(t, c, errand.TaskRequest{Prompt: "2"})
	w := errand.NewWorker(late, errand.WorkerOptions{Slots: 1})
	w.Handle(agentID, func(context.Context, *errand.Attempt) (string, error) { return "first worker", nil })
	if err := w.Run(ctx); err != nil {
		t.Error(err)
	}
	if ended(t, first); first.Result != "first worker" {
		t.Errorf("task: %s", first.JSON())
	}
	start(t, c, errand.WorkerOptions{}, func(context.Context, *errand.Attempt) (string, error) { return "second worker", nil })
	if ended(t, second); second.Result != "second worker" || second.ExecutionAttempts != 2 {
		t.Errorf("task: %s", second.JSON())
	}
}
