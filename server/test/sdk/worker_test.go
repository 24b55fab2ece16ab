package sdk_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/errand-dev/errand"
	"github.com/errand-dev/errand/server/internal/app"
)

// limit bounds what a test waits for.
const limit = 20 * time.Second

// serve runs a server for a test.
func serve(t *testing.T) *app.App {
	t.Helper()
	o := app.DefaultOptions()
	o.Addr, o.Data, o.Drain = "127.0.0.1:0", t.TempDir(), time.Second
	a, err := app.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Stop(); err != nil {
			t.Error(err)
		}
	})
	return a
}

func clientOf(t *testing.T, a *app.App, options ...errand.Option) *errand.Client {
	t.Helper()
	c, err := errand.NewClient(append([]errand.Option{errand.WithURL(a.URL()), errand.WithKey(a.FirstStart().Key)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const agentID = "agent-123"

// withAgent makes a server with an agent whose leases have a length, in seconds.
func withAgent(t *testing.T, lease int) (*app.App, *errand.Client) {
	t.Helper()
	a := serve(t)
	c := clientOf(t, a)
	if _, err := c.Agents.Apply(t.Context(), agentID, errand.Agent{Name: "Analyst", LeaseSeconds: lease}); err != nil {
		t.Fatal(err)
	}
	return a, c
}

// start runs a worker with a handler until the test, or stop, ends it.
func start(t *testing.T, c *errand.Client, o errand.WorkerOptions, h errand.Handler) (stop func() error) {
	t.Helper()
	w := errand.NewWorker(c, o)
	w.Handle(agentID, h)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("worker: %v", err)
		}
	})
	return stop
}

func create(t *testing.T, c *errand.Client, r errand.TaskRequest) *errand.Task {
	t.Helper()
	r.AgentID = agentID
	task, err := c.Tasks.Create(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return task
}

// ended waits for a task's end.
func ended(t *testing.T, task *errand.Task) *errand.Task {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := task.Wait(ctx); err != nil {
		t.Fatalf("task %s: %v", task.ID, err)
	}
	return task
}

// receive waits for a value.
func receive[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(limit):
		t.Fatal("waited in vain")
		panic("unreachable")
	}
}

// wires are a client's connections, with a hand on each request.
type wires func(*http.Request, func() (*http.Response, error)) (*http.Response, error)

func (w wires) RoundTrip(r *http.Request) (*http.Response, error) {
	return w(r, func() (*http.Response, error) { return http.DefaultTransport.RoundTrip(r) })
}

func (w wires) option() errand.Option { return errand.WithHTTPClient(&http.Client{Transport: w}) }

var errCut = errors.New("the connection was cut")

// lose takes the answer of a request that the server has seen.
func lose(res *http.Response, err error) (*http.Response, error) {
	if err == nil {
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
	}
	return nil, errCut
}

func events(t *testing.T, c *errand.Client, id string) []errand.Event {
	t.Helper()
	var all []errand.Event
	for e, err := range c.Tasks.Events(t.Context(), id) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

// What a handler tells and answers is what readers see, in its order.
func TestWorkerTells(t *testing.T) {
	t.Parallel()
	_, c := withAgent(t, 30)
	start(t, c, errand.WorkerOptions{ID: "w-1"}, func(ctx context.Context, a *errand.Attempt) (string, error) {
		message, err := a.Task.Message(ctx)
		return message, errors.Join(
			err,
			a.Chunk(ctx, "Read"),
			a.Chunk(ctx, "ing\xff …"),
			a.ToolCall(ctx, errand.ToolCall{RequestID: "1", OperationID: "op", ToolName: "read", Payload: map[string]int{"a": 1}}),
			a.Progress(ctx, "half way"),
			a.ToolResult(ctx, errand.ToolCall{RequestID: "1", OperationID: "op", ToolName: "read", Result: "ok"}),
			a.Think(ctx, errand.Thought{Title: "hm", Thought: "so"}),
			a.Plan(ctx, errand.Plan{Enabled: true, Items: []errand.PlanItem{{ID: "1", Title: "Read", Completed: true}}}),
			a.Emit(ctx, errand.Step, map[string]any{"n": 1}),
		)
	})
	task := ended(t, create(t, c, errand.TaskRequest{Prompt: "Analyze"}))
	if task.Status != errand.Completed || !strings.HasPrefix(task.Result, "Analyze\n\nMessage timestamp (UTC): ") ||
		task.WorkerID != "w-1" || task.Duration <= 0 || !slices.Equal(task.UsedTools, []string{"read"}) || task.InternalStatus != "half way" {
		t.Errorf("task: %s", task.JSON())
	}
	var told []string
	for _, e := range events(t, c, task.ID) {
		switch {
		case e.Type == errand.Chunk:
			told = append(told, e.Text())
		case e.Type.Writable():
			told = append(told, string(e.Type))
		}
		if call, ok := e.ToolCall(); ok != (e.Type == errand.ToolCallRequest || e.Type == errand.ToolCallResult) || ok && call.ToolName != "read" {
			t.Errorf("%s: tool call %v %+v", e.Type, ok, call)
		}
		if change, ok := e.Change(); e.Type == errand.TaskFinished && (!ok || change.Status == nil || *change.Status != errand.Completed || *change.Result != task.Result) {
			t.Errorf("the end is told as %s", e.Data)
		}
	}
	want := []string{"Read", "ing\ufffd …", "tool_call_request", "tool_call_result", "think", "plan_updated", "step"}
	if !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

// Errors and panics end the attempt, each in its way.
func TestWorkerEnds(t *testing.T) {
	t.Parallel()
	_, c := withAgent(t, 30)
	ends := map[string]func() (string, error){
		"fine":     func() (string, error) { return "", nil },
		"failure":  func() (string, error) { return "x", fmt.Errorf("try: %w", errand.Failf("no %s", "data")) },
		"budget":   func() (string, error) { return "", errand.Failure{Message: "too dear", Reason: errand.EndBudget} },
		"pointer":  func() (string, error) { return "", &errand.Failure{Message: "p"} },
		"odd":      func() (string, error) { return "", errand.Failure{Message: "m", Reason: errand.EndTimeout} },
		"error":    func() (string, error) { return "x", errors.New("no connection") },
		"panic":    func() (string, error) { panic("oh") },
		"too long": func() (string, error) { return strings.Repeat("x", 21<<20), nil },
	}
	start(t, c, errand.WorkerOptions{}, func(_ context.Context, a *errand.Attempt) (string, error) { return ends[a.Task.Title]() })
	for title, want := range map[string]struct {
		status errand.Status
		reason errand.EndReason
		result string
	}{
		"fine":     {errand.Completed, errand.EndCompleted, ""},
		"failure":  {errand.Failed, errand.EndFailed, "try: no data"},
		"budget":   {errand.Failed, errand.EndBudget, "too dear"},
		"pointer":  {errand.Failed, errand.EndFailed, "p"},
		"odd":      {errand.Failed, errand.EndFailed, "m"},
		"error":    {errand.Errored, errand.EndWorkerError, "no connection"},
		"panic":    {errand.Errored, errand.EndWorkerError, "the handler panicked: oh"},
		"too long": {errand.Errored, errand.EndWorkerError, "the result is too large"},
	} {
		task := ended(t, create(t, c, errand.TaskRequest{Prompt: "x", Title: title}))
		if task.Status != want.status || task.EndReason != want.reason || task.Result != want.result {
			t.Errorf("%s: %s, %s, %.100q", title, task.Status, task.EndReason, task.Result)
		}
	}
}

// until answers when its ctx ends, and tells why.
func until(causes chan<- error, begun chan<- struct{}) errand.Handler {
	return func(ctx context.Context, _ *errand.Attempt) (string, error) {
		begun <- struct{}{}
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return "", ctx.Err()
	}
}

// A stop reaches the handler, and that it returns confirms the stop.
func TestWorkerStop(t *testing.T) {
	t.Parallel()
	_, c := withAgent(t, 2)
	causes, begun := make(chan error, 1), make(chan struct{}, 1)
	start(t, c, errand.WorkerOptions{}, until(causes, begun))
	task := create(t, c, errand.TaskRequest{Prompt: "x"})
	receive(t, begun)
	if err := task.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if task.Status != errand.Stopped || !task.StopRequest.ConfirmedAt.IsZero() {
		t.Errorf("after the request: %s, %+v", task.Status, task.StopRequest)
	}
	if cause := receive(t, causes); !errors.Is(cause, errand.ErrStopped) {
		t.Errorf("cause: %v", cause)
	}
	if ended(t, task); task.StopRequest.ConfirmedAt.IsZero() || !task.StopRequest.AbandonedAt.IsZero() {
		t.Errorf("the stop was not confirmed: %+v", task.StopRequest)
	}
}

// A handler that talks learns of a stop by what it says, long before the next
// heartbeat.
func TestWorkerStopWhileTalking(t *testing.T) {
	t.Parallel()
	_, c := withAgent(t, 3600)
	begun, took := make(chan struct{}, 1), make(chan time.Duration, 1)
	var stopped atomic.Int64
	start(t, c, errand.WorkerOptions{}, func(ctx context.Context, a *errand.Attempt) (string, error) {
		for i := 0; ; i++ {
			if err := a.Chunk(ctx, "x"); err != nil {
				<-ctx.Done()
				took <- time.Since(time.UnixMicro(stopped.Load()))
				return "", context.Cause(ctx)
			}
			if i == 1 {
				begun <- struct{}{}
			}
			select {
			case <-ctx.Done():
			case <-time.After(time.Millisecond):
			}
		}
	})
	task := create(t, c, errand.TaskRequest{Prompt: "x"})
	receive(t, begun)
	stopped.Store(time.Now().UnixMicro())
	if err := task.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d := receive(t, took); d > 1500*time.Millisecond { // the next heartbeat comes after 2 s
		t.Errorf("it took %v", d)
	}
	ended(t, task)
}

// A handler that says nothing learns of a stop or a pause by the task's log,
// long before the next heartbeat.
func TestWorkerStopWhileQuiet(t *testing.T) {
	t.Parallel()
	_, c := withAgent(t, 3600)
	for _, ask := range []func(context.Context, string) (*errand.Task, error){c.Tasks.Stop, c.Tasks.Pause} {
		causes, begun := make(chan error, 1), make(chan struct{}, 1)
		stop := start(t, c, errand.WorkerOptions{}, until(causes, begun))
		task := create(t, c, errand.TaskRequest{Prompt: "x"})
		receive(t, begun)
		asked := time.Now()
		if _, err := ask(t.Context(), task.ID); err != nil {
			t.Fatal(err)
		}
		cause := receive(t, causes)
		if !errors.Is(cause, errand.ErrStopped) && !errors.Is(cause, errand.ErrPaused) {
			t.Errorf("cause: %v", cause)
		}
		if d := time.Since(asked); d > 2*time.Second { // the next heartbeat comes after 3 s
			t.Errorf("it took %v", d)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	}
}

// overheard keeps what is read of an answer.
type overheard struct {
	io.ReadCloser
	mu   sync.Mutex
	text strings.Builder
}

func (o *overheard) Read(p []byte) (int, error) {
	n, err := o.ReadCloser.Read(p)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(p[:n])
	return n, err
}

// An attempt hears of a stop, and of a person who ends its task, at once and without
// reading what it tells itself.
func TestWorkerDoesNotHearItself(t *testing.T) {
	t.Parallel()
	a, c := withAgent(t, 3600)
	ends := map[string]func(id string) error{
		"stop": func(id string) error { _, err := c.Tasks.Stop(t.Context(), id); return err },
		"end": func(id string) error {
			_, err := c.Tasks.Update(t.Context(), id, errand.TaskUpdate{Status: errand.Failed})
			return err
		},
	}
	for name, end := range ends {
		heard, listens := &overheard{}, make(chan struct{})
		listen := sync.OnceFunc(func() { close(listens) }) // a stream that is cut is opened again
		listening := clientOf(t, a, wires(func(r *http.Request, do func() (*http.Response, error)) (*http.Response, error) {
			res, err := do()
			if err == nil && r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/events") {
				heard.ReadCloser, res.Body = res.Body, heard
				listen()
			}
			return res, err
		}).option())
		causes, told := make(chan error, 1), make(chan error, 1)
		stop := start(t, listening, errand.WorkerOptions{}, func(ctx context.Context, a *errand.Attempt) (string, error) {
			<-listens
			told <- errors.Join(a.Chunk(ctx, "words of its own"), a.Progress(ctx, "told"))
			<-ctx.Done()
			causes <- context.Cause(ctx)
			return "", ctx.Err()
		})
		task := create(t, c, errand.TaskRequest{Prompt: "x"})
		if err := receive(t, told); err != nil {
			t.Fatal(err)
		}
		asked := time.Now()
		if err := end(task.ID); err != nil {
			t.Fatal(err)
		}
		if cause := receive(t, causes); !errors.Is(cause, errand.ErrStopped) && !errors.Is(cause, errand.ErrLeaseLost) {
			t.Errorf("%s: the cause is %v", name, cause)
		}
		if d := time.Since(asked); d > time.Second { // the next heartbeat comes after 2 s
			t.Errorf("%s: it took %v", name, d)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		heard.mu.Lock()
		if text := heard.text.String(); strings.Contains(text, "words of its own") || !strings.Contains(text, `"task_finished"`) {
			t.Errorf("%s: the attempt heard %q", name, text)
		}
		heard.mu.Unlock()
	}
}

// A paused task is another attempt's when it goes on.
func TestWorkerPause(t *testing.T) {
	t.Parallel()
	_, c := withAgent(t, 2)
	causes, begun := make(chan error, 1), make(chan struct{}, 1)
	first := until(causes, begun)
	start(t, c, errand.WorkerOptions{}, func(ctx context.Context, a *errand.Attempt) (string, error) {
		if a.Number == 1 {
			return first(ctx, a)
		}
		return fmt.Sprint("attempt ", a.Number), nil
	})
	task := create(t, c, errand.TaskRequest{Prompt: "x"})
	receive(t, begun)
	if _, err := c.Tasks.Pause(t.Context(), task.ID); err != nil {
		t.Fatal(err)
	}
	if cause := receive(t, causes); !errors.Is(cause, errand.ErrPaused) {
		t.Errorf("cause: %v", cause)
	}
	if _, err := c.Tasks.Resume(t.Context(), task.ID); err != nil {
		t.Fatal(err)
	}
	if ended(t, task); task.Result != "attempt 2" {
		t.Errorf("task: %s", task.JSON())
	}
}

// A worker that reaches no server ends its work before its lease does (L3).
func TestL3WorkerEndsBeforeItsLease(t *testing.T) {
	t.Parallel()
	a, c := withAgent(t, 5)
	var cut atomic.Bool
	broken := clientOf(t, a, wires(func(_ *http.Request, do func() (*http.Response, error)) (*http.Response, error) {
		if cut.Load() {
			return nil, errCut
		}
		return do()
	}).option())
	causes, begun := make(chan error, 1), make(chan struct{}, 1)
	stop := start(t, broken, errand.WorkerOptions{}, until(causes, begun))
	task := create(t, c, errand.TaskRequest{Prompt: "x"})
	receive(t, begun)
	cut.Store(true)
	began := time.Now()
	if cause := receive(t, causes); !errors.Is(cause, errand.ErrLeaseLost) {
		t.Errorf("cause: %v", cause)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it worked for %v without a lease", took)
	}
	cut.Store(false)
	if err := stop(); err != nil {
		t.Error(err)
	}
	start(t, c, errand.WorkerOptions{}, func(_ context.Context, a *errand.Attempt) (string, error) {
		return fmt.Sprint("attempt ", a.Number), nil
	})
	if ended(t, task); task.Result != "attempt 2" {
		t.Errorf("task: %s", task.JSON())
	}
}

// Answers that are lost on the way change nothing: events and ends are told
// again, and count once.
func TestWorkerTellsAgain(t *testing.T) {
	t.Parallel()
	a, c := withAgent(t, 30)
	var calls atomic.Int32
	lossy := clientOf(t, a, errand.WithRetry(0), wires(func(r *http.Request, do func() (*http.Response, error)) (*http.Response, error) {
		if r.URL.Path != "/v1/claim" && calls.Add(1)%2 == 1 {
			return lose(do())
		}
		return do()
	}).option())
	const chunks = 300
	start(t, lossy, errand.WorkerOptions{}, func(ctx context.Context, a *errand.Attempt) (string, error) {
		for i := range chunks {
			if err := a.Chunk(ctx, fmt.Sprintf("%d ", i)); err != nil {
				return "", err
			}
			if i%100 == 0 {
				if err := a.Progress(ctx, "on"); err != nil && !errors.Is(err, errCut) {
					return "", err
				}
			}
		}
		return "done", nil
	})
	task := ended(t, create(t, c, errand.TaskRequest{Prompt: "x"}))
	var text strings.Builder
	for _, e := range events(t, c, task.ID) {
		text.WriteString(e.Text())
	}
	var want strings.Builder
	for i := range chunks {
		fmt.Fprintf(&want, "%d ", i)
	}
	if task.Status != errand.Completed || text.String() != want.String() {
		t.Errorf("%s: %q", task.Status, text.String())
	}
}

// Many small chunks are few requests, and none of them waits long.
func TestWorkerBatches(t *testing.T) {
	t.Parallel()
	a, c := withAgent(t, 30)
	var appends atomic.Int32
	counted := clientOf(t, a, wires(func(r *http.Request, do func() (*http.Response, error)) (*http.Response, error) {
		if strings.HasSuffix(r.URL.Path, "/events") && r.Method == http.MethodPost {
			appends.Add(1)
		}
		return do()
	}).option())
	const chunks = 5000
	seen := make(chan struct{})
	start(t, counted, errand.WorkerOptions{}, func(ctx context.Context, a *errand.Attempt) (string, error) {
		if err := a.Chunk(ctx, "first"); err != nil {
			return "", err
		}
		select { // a reader sees it while the handler goes on
		case <-seen:
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
		for range chunks {
			if err := a.Chunk(ctx, "x"); err != nil {
				return "", err
			}
		}
		return "", a.Chunk(ctx, strings.Repeat("é", 100_000))
	})
	task := create(t, c, errand.TaskRequest{Prompt: "x"})
	var all strings.Builder
	for e, err := range task.Events(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Text() == "first" {
			close(seen)
			continue
		}
		all.WriteString(e.Text())
	}
	if want := strings.Repeat("x", chunks) + strings.Repeat("é", 100_000); all.String() != want {
		t.Errorf("%d bytes of text, want %d", all.Len(), len(want))
	}
	if n := appends.Load(); n > 30 {
		t.Errorf("%d requests for %d chunks", n, chunks)
	}
}

// What cannot be written is refused by itself; the rest is told.
func TestWorkerRefusesBadEvents(t *testing.T) {
	t.Parallel()
	_, c := withAgent(t, 30)
	start(t, c, errand.WorkerOptions{}, func(ctx context.Context, a *errand.Attempt) (string, error) {
		for _, bad := range []error{
			a.Emit(ctx, errand.TaskFinished, nil), a.Emit(ctx, "nonsense", nil), a.Emit(ctx, errand.Chunk, 1),
			a.Emit(ctx, errand.Step, func() {}), a.Emit(ctx, errand.Step, strings.Repeat("x", 300<<10)),
		} {
			if bad == nil {
				return "", errors.New("a bad event was taken")
			}
		}
		return "", a.Chunk(ctx, "good")
	})
	if task := ended(t, create(t, c, errand.TaskRequest{Prompt: "x"})); task.Status != errand.Completed {
		t.Errorf("%s: %s", task.Status, task.Result)
	}
}

// What a model writes may be ill, and a status long (S5): neither costs the result,
// and the task tells what it has not got whole.
func TestS5WorkerSaysIllThings(t *testing.T) {
	t.Parallel()
	_, c := withAgent(t, 30)
	start(t, c, errand.WorkerOptions{}, func(ctx context.Context, a *errand.Attempt) (string, error) {
		return "the \x00 result", errors.Join(
			a.Chunk(ctx, "hono\x00r\xff"),
			a.ToolCall(ctx, errand.ToolCall{ToolName: "t\x00", Payload: json.RawMessage("{\"a\": \"\\u0000\xff\\\\u0000\", \"a\": 12345678901234567890}")}),
			a.Progress(ctx, strings.Repeat("é", 256)),
		)
	})
	task := ended(t, create(t, c, errand.TaskRequest{Prompt: "x"}))
	if task.Status != errand.Completed || task.Result != "the \uFFFD result" {
		t.Errorf("%s: %s", task.Status, task.Result)
	}
	if task.InternalStatus != strings.Repeat("é", 255) {
		t.Errorf("the status has %d bytes", len(task.InternalStatus))
	}
	if want := []string{"internal_status", "result", "used_tools"}; !slices.Equal(task.Adjusted, want) {
		t.Errorf("adjusted %q, want %q", task.Adjusted, want)
	}
	var told []string
	for e, err := range task.Events(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Type == errand.Chunk || e.Type == errand.ToolCallRequest {
			told = append(told, e.Text()+string(e.Data))
		}
	}
	if len(told) != 2 || !strings.HasPrefix(told[0], "hono\uFFFDr\uFFFD") || !strings.Contains(told[1], `"a":12345678901234567890`) {
		t.Errorf("told %q", told)
	}
}

// A worker that is to end lets its handlers finish, for a while.
func TestWorkerDrains(t *testing.T) {
	t.Parallel()
	_, c := withAgent(t, 30)
	begun, release := make(chan struct{}, 1), make(chan struct{})
	stop := start(t, c, errand.WorkerOptions{Drain: limit}, func(ctx context.Context, _ *errand.Attempt) (string, error) {
		begun <- struct{}{}
		select {
		case <-release:
			return "done", nil
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	})
	task := create(t, c, errand.TaskRequest{Prompt: "x"})
	receive(t, begun)
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	close(release)
	if err := receive(t, stopped); err != nil {
		t.Error(err)
	}
	if ended(t, task); task.Result != "done" {
		t.Errorf("task: %s", task.JSON())
	}
}

// What is not done within the drain time is another worker's at once, however
// long its lease is.
func TestWorkerDrainEnds(t *testing.T) {
	t.Parallel()
	_, c := withAgent(t, 600)
	causes, begun := make(chan error, 1), make(chan struct{}, 1)
	stop := start(t, c, errand.WorkerOptions{Drain: time.Millisecond}, until(causes, begun))
	task := create(t, c, errand.TaskRequest{Prompt: "x"})
	receive(t, begun)
	if err := stop(); err != nil {
		t.Error(err)
	}
	if cause := receive(t, causes); !errors.Is(cause, errand.ErrShutdown) {
		t.Errorf("cause: %v", cause)
	}
	start(t, c, errand.WorkerOptions{}, func(_ context.Context, a *errand.Attempt) (string, error) {
		return fmt.Sprint("attempt ", a.Number), nil
	})
	if ended(t, task); task.Result != "attempt 2" {
		t.Errorf("task: %s", task.JSON())
	}
}

// Work that is done although its drain time was over is not done again.
func TestWorkerDoneAfterTheDrain(t *testing.T) {
	t.Parallel()
	_, c := withAgent(t, 600)
	begun := make(chan struct{}, 1)
	stop := start(t, c, errand.WorkerOptions{Drain: time.Millisecond, Grace: limit}, func(ctx context.Context, a *errand.Attempt) (string, error) {
		begun <- struct{}{}
		<-ctx.Done()
		return "done", a.Chunk(context.WithoutCancel(ctx), "last words")
	})
	task := create(t, c, errand.TaskRequest{Prompt: "x"})
	receive(t, begun)
	if err := stop(); err != nil {
		t.Error(err)
	}
	if ended(t, task); task.Status != errand.Completed || task.Result != "done" {
		t.Errorf("task: %s", task.JSON())
	}
}

// A worker whom the server refuses ends with the reason.
func TestWorkerRefused(t *testing.T) {
	t.Parallel()
	a := serve(t)
	c := clientOf(t, a, errand.WithKey("wrong"))
	w := errand.NewWorker(c, errand.WorkerOptions{Log: slog.New(slog.DiscardHandler)})
	if err := w.Run(t.Context()); err == nil {
		t.Error("it worked without a handler")
	}
	w.Handle(agentID, nil)
	if err := w.Run(t.Context()); !errors.Is(err, errand.ErrUnauthenticated) {
		t.Errorf("got %v", err)
	}
}

// A handler's sub-task is the task's own: it is listed and stopped with it.
func TestWorkerSubTask(t *testing.T) {
	t.Parallel()
	_, c := withAgent(t, 30)
	start(t, c, errand.WorkerOptions{}, func(ctx context.Context, a *errand.Attempt) (string, error) {
		if a.Task.ParentTaskID != "" {
			return "part of " + a.Task.Input.Text, nil
		}
		sub, err := a.SubTask(ctx, errand.TaskRequest{AgentID: agentID, Prompt: "the work"})
		if err != nil {
			return "", err
		}
		if err := sub.Wait(ctx); err != nil {
			return "", err
		}
		return "all from " + sub.Result, nil
	})
	task := ended(t, create(t, c, errand.TaskRequest{Prompt: "x"}))
	if task.Result != "all from part of the work" || len(task.SubTasks) != 1 {
		t.Fatalf("task: %s", task.JSON())
	}
	page, err := c.Tasks.List(t.Context(), errand.ListOptions{ParentTaskID: task.ID})
	if err != nil || len(page.Items) != 1 || page.Items[0].ID != task.SubTasks[0] {
		t.Errorf("children: %+v, %v", page, err)
	}
	told := false
	for _, e := range events(t, c, task.ID) {
		if sub, ok := e.SubAgent(); ok {
			told = sub.TaskID == task.SubTasks[0] && sub.AgentID == agentID
		}
	}
	if !told {
		t.Error("the log does not tell of the sub-task")
	}
}

// Slots bound how many attempts run at a time, and all of them are used.
func TestWorkerSlots(t *testing.T) {
	t.Parallel()
	_, c := withAgent(t, 30)
	var running, most atomic.Int32
	full, release := make(chan struct{}), make(chan struct{})
	fill := sync.OnceFunc(func() { close(full) })
	start(t, c, errand.WorkerOptions{Slots: 3}, func(ctx context.Context, _ *errand.Attempt) (string, error) {
		n := running.Add(1)
		defer running.Add(-1)
		for {
			m := most.Load()
			if n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		if n == 3 {
			fill()
		}
		select {
		case <-release:
		case <-ctx.Done():
		}
		return "", nil
	})
	var tasks []*errand.Task
	for range 9 {
		tasks = append(tasks, create(t, c, errand.TaskRequest{Prompt: "x"}))
	}
	receive(t, full)
	go func() {
		for {
			select {
			case release <- struct{}{}:
			case <-t.Context().Done():
				return
			}
		}
	}()
	for _, task := range tasks {
		ended(t, task)
	}
	if most.Load() != 3 {
		t.Errorf("%d ran at a time", most.Load())
	}
}

// What a handler says is to be tried again is (L4), and what it puts off comes back
// without having counted.
func TestL4HandlersRetryAndPutOff(t *testing.T) {
	t.Parallel()
	_, c := withAgent(t, 30)
	start(t, c, errand.WorkerOptions{}, func(_ context.Context, a *errand.Attempt) (string, error) {
		switch a.Number {
		case 1:
			return "", errand.Later(errors.New("not yet"), time.Millisecond)
		case 2:
			return "", fmt.Errorf("call the model: %w", errand.Retry(errors.New("503"), time.Millisecond))
		default:
			return "", errand.Retry(errand.Failf("it cannot be done"), time.Millisecond)
		}
	})
	task := ended(t, create(t, c, errand.TaskRequest{Prompt: "x", MaxAttempts: 2}))
	if task.Status != errand.Failed || task.Result != "it cannot be done" || task.Attempt != 3 {
		t.Errorf("%s after %d attempts: %s", task.Status, task.Attempt, task.Result)
	}
	var why []string
	for e, err := range task.Events(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Type == errand.AttemptLost {
			why = append(why, string(e.Data))
		}
	}
	if len(why) != 2 || !strings.Contains(why[0], "not yet") || !strings.Contains(why[1], "call the model: 503") {
		t.Errorf("the log says %q", why)
	}
	if errand.Retry(nil, 0) != nil {
		t.Error("no error is tried again")
	}
}
