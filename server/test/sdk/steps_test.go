package sdk_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/errand-dev/errand"
)

// What one attempt has committed the next does not do again, whatever it would do
// instead; an error commits nothing, and the answer to a commit may be lost.
func TestStepsAreDoneOnce(t *testing.T) {
	t.Parallel()
	a, _ := withAgent(t, 30)
	var lost atomic.Int32
	c := clientOf(t, a, errand.WithHTTPClient(&http.Client{Transport: wires(func(r *http.Request, send func() (*http.Response, error)) (*http.Response, error) {
		res, err := send()
		if err == nil && strings.HasSuffix(r.URL.Path, "/steps") && r.Method == http.MethodPost && lost.Add(1) == 1 {
			_ = res.Body.Close()
			return nil, errors.New("the answer was lost")
		}
		return res, err
	})}))
	type receipt struct{ Number, Attempt int }
	var done atomic.Int32
	pay := func(ctx context.Context, at *errand.Attempt, id string) (receipt, error) {
		return errand.Once(ctx, at, id, func(context.Context) (receipt, error) {
			return receipt{int(done.Add(1)), at.Number}, nil
		})
	}
	start(t, c, errand.WorkerOptions{}, func(ctx context.Context, at *errand.Attempt) (string, error) {
		if err := at.Chunk(ctx, "before"); err != nil {
			return "", err
		}
		first, err := pay(ctx, at, "first")
		if err != nil {
			return "", err
		}
		refusal := errors.New("no")
		if _, err := at.Step(ctx, "never", func(context.Context) (json.RawMessage, error) { return nil, refusal }); !errors.Is(err, refusal) {
			t.Errorf("a step that failed answered %v", err)
		}
		if at.Number == 1 {
			return "", errand.Later(errors.New("not now"), 0)
		}
		var together sync.WaitGroup
		for range 5 {
			together.Go(func() {
				if got, err := pay(ctx, at, "second"); err != nil || got != (receipt{2, 2}) {
					t.Errorf("the second step answered %v, %v", got, err)
				}
			})
		}
		together.Wait()
		if _, err := at.Step(ctx, "large", func(context.Context) (json.RawMessage, error) {
			return json.Marshal(strings.Repeat("x", errand.MaxEvent))
		}); !errors.Is(err, errand.ErrTooLarge) {
			t.Errorf("a step that is too large answered %v", err)
		}
		again, err := pay(ctx, at, "first")
		return fmt.Sprint(first, again), err
	})
	task := ended(t, create(t, c, errand.TaskRequest{}))
	if task.Status != errand.Completed || task.Result != "{1 1} {1 1}" || done.Load() != 2 {
		t.Errorf("%s %q, %d steps done", task.Status, task.Result, done.Load())
	}
	var steps []string
	for s, err := range c.Tasks.Steps(t.Context(), task.ID, 0) {
		if err != nil {
			t.Fatal(err)
		}
		steps = append(steps, fmt.Sprintf("%d %s %s by %d", s.N, s.ID, s.Body, s.Attempt))
	}
	if got := strings.Join(steps, ", "); got != `1 first {"Number":1,"Attempt":1} by 1, 2 second {"Number":2,"Attempt":2} by 2` {
		t.Errorf("steps %s", got)
	}
	var log []string
	for e, err := range c.Tasks.Events(t.Context(), task.ID, errand.OnlyTypes(errand.Chunk, errand.Step)) {
		if err != nil {
			t.Fatal(err)
		}
		log = append(log, string(e.Type))
	}
	if got := strings.Join(log, " "); got != "chunk step chunk step" {
		t.Errorf("the log has %s", got)
	}
}

// What was done is committed although the worker is told to end meanwhile.
func TestStepOutlastsTheDrain(t *testing.T) {
	t.Parallel()
	_, c := withAgent(t, 30)
	began := make(chan struct{}, 1)
	var paid atomic.Int32
	stop := start(t, c, errand.WorkerOptions{Drain: time.Millisecond}, func(ctx context.Context, at *errand.Attempt) (string, error) {
		if _, err := errand.Once(ctx, at, "slow", func(ctx context.Context) (string, error) {
			began <- struct{}{}
			<-ctx.Done() // what it does cannot be taken back
			paid.Add(1)
			return "paid", nil
		}); err != nil {
			t.Errorf("the step was not committed: %v", err)
		}
		return "", context.Cause(ctx)
	})
	task := create(t, c, errand.TaskRequest{})
	receive(t, began)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	start(t, c, errand.WorkerOptions{}, func(ctx context.Context, at *errand.Attempt) (string, error) {
		return errand.Once(ctx, at, "slow", func(context.Context) (string, error) { paid.Add(1); return "again", nil })
	})
	if task = ended(t, task); task.Result != "paid" || paid.Load() != 1 {
		t.Errorf("the result is %q, paid %d times", task.Result, paid.Load())
	}
}
