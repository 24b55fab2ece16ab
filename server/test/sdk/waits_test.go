package sdk_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/errand-dev/errand"
)

// Four slots, and four parents that wait for sub-tasks of the same worker.
func TestParentsThatWaitGiveTheirSlotsBack(t *testing.T) {
	t.Parallel()
	_, c := withAgent(t, 30)
	start(t, c, errand.WorkerOptions{Slots: 4}, func(ctx context.Context, a *errand.Attempt) (string, error) {
		if a.Task.ParentTaskID != "" {
			return "of " + a.Task.Input.Text, nil
		}
		var subs []*errand.Task
		for i := range 2 {
			sub, err := a.SubTask(ctx, errand.TaskRequest{AgentID: agentID, Prompt: strconv.Itoa(i), IdempotencyKey: fmt.Sprint(a.Task.ID, i)})
			if err != nil {
				return "", err
			}
			subs = append(subs, sub)
		}
		subs, err := a.Wait(ctx, subs...)
		if err != nil {
			return "", err
		}
		return subs[0].Result + " " + subs[1].Result, nil
	})
	var tasks []*errand.Task
	for range 4 {
		tasks = append(tasks, create(t, c, errand.TaskRequest{MaxAttempts: 1}))
	}
	for _, task := range tasks {
		if task = ended(t, task); task.Status != errand.Completed || task.Result != "of 0 of 1" {
			t.Errorf("%s %q", task.Status, task.Result)
		}
	}
	n := 0
	for e, err := range tasks[0].Events(t.Context(), errand.After(0)) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Type == errand.SubAgentTrigger {
			n++
		}
	}
	if n != 2 {
		t.Errorf("the log tells %d times of two sub-tasks", n)
	}
}

// A sub-task is created once in a turn, however long ago the attempt that did so was: the
// later ones find it among their steps, and do not count on the server's memory for keys.
func TestSubTasksAreCreatedOnce(t *testing.T) {
	t.Parallel()
	a, c := withAgent(t, 30)
	var created atomic.Int32
	waits := make(chan struct{}) // the parent does
	told := sync.OnceFunc(func() { close(waits) })
	w := clientOf(t, a, wires(func(r *http.Request, send func() (*http.Response, error)) (*http.Response, error) {
		if r.Method == http.MethodPost && r.URL.Path == "/v1/tasks" {
			created.Add(1)
		}
		res, err := send()
		if strings.HasSuffix(r.URL.Path, "/wait") {
			told()
		}
		return res, err
	}).option())
	var attempts atomic.Int32
	start(t, w, errand.WorkerOptions{Slots: 2}, func(ctx context.Context, a *errand.Attempt) (string, error) {
		if a.Task.ParentTaskID != "" {
			select {
			case <-waits:
			case <-ctx.Done():
			}
			return "done below", nil
		}
		attempts.Add(1)
		sub, err := a.SubTask(ctx, errand.TaskRequest{AgentID: agentID, Prompt: "below", IdempotencyKey: "research " + a.Task.ID})
		if err != nil {
			return "", err
		}
		if sub, err = waitFor(ctx, a, sub); err != nil {
			return "", err
		}
		return sub.Result, nil
	})
	if task := ended(t, create(t, c, errand.TaskRequest{})); task.Result != "done below" {
		t.Errorf("%s %q", task.Status, task.Result)
	}
	if attempts.Load() < 2 || created.Load() != 1 {
		t.Errorf("%d attempts have created %d sub-tasks", attempts.Load(), created.Load())
	}
}

func waitFor(ctx context.Context, a *errand.Attempt, sub *errand.Task) (*errand.Task, error) {
	all, err := a.Wait(ctx, sub)
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// A question is answered, whatever becomes of the answers to the worker's requests; the
// attempt that asked has ended, and does not count.
func TestAskAndAnswer(t *testing.T) {
	t.Parallel()
	a, admin := withAgent(t, 30)
	var lost atomic.Int32
	c := clientOf(t, a, errand.WithHTTPClient(&http.Client{Transport: wires(func(r *http.Request, send func() (*http.Response, error)) (*http.Response, error) {
		res, err := send()
		if err == nil && strings.HasSuffix(r.URL.Path, "/approvals") && r.Method == http.MethodPost && lost.Add(1) == 1 {
			_ = res.Body.Close()
			return nil, errors.New("the answer was lost")
		}
		return res, err
	})}))
	var calls atomic.Int32
	over := make(chan error, 10)
	start(t, c, errand.WorkerOptions{}, func(ctx context.Context, at *errand.Attempt) (string, error) {
		calls.Add(1)
		answer, err := at.Ask(ctx, errand.Question{Key: "n", Message: "How many?", Schema: json.RawMessage(`{"type": "integer"}`), Deadline: time.Now().Add(time.Hour)})
		if err != nil {
			over <- err
			return "", err
		}
		var n int
		if err := answer.Decode(&n); err != nil {
			return "", err
		}
		late, err := at.Ask(ctx, errand.Question{Key: "late", Kind: errand.KindApproval, Message: "May I?", Deadline: time.Now(), Default: &errand.Reply{Answer: errand.Decline}})
		if err != nil {
			return "", err
		}
		if err := at.Sleep(ctx, "nap", time.Second/2); err != nil {
			return "", err
		}
		return fmt.Sprint(n, answer.By, answer.Note, late.Approved(), late.ByDefault), nil
	})
	task := create(t, c, errand.TaskRequest{MaxAttempts: 1})
	if err := receive(t, over); !errors.Is(err, errand.ErrWaiting) {
		t.Errorf("the handler is told %v", err)
	}
	open, err := admin.Approvals.List(t.Context(), errand.ApprovalOpen)
	if err != nil || len(open) != 1 || open[0].TaskID != task.ID || open[0].Message != "How many?" {
		t.Fatalf("open: %+v, %v", open, err)
	}
	if err := task.Reload(t.Context()); err != nil || task.Waiting.Reason != "person" {
		t.Errorf("it waits for %+v, %v", task.Waiting, err)
	}
	if _, err := admin.Approvals.Answer(t.Context(), open[0].ID, errand.Reply{Value: json.RawMessage(`"x"`)}); !errors.Is(err, errand.ErrInvalid) {
		t.Errorf("a wrong answer is answered %v", err)
	}
	done, err := admin.Approvals.Answer(t.Context(), open[0].ID, errand.Reply{Value: json.RawMessage("7"), Note: "roughly"})
	if err != nil || done.Status != errand.ApprovalDone || done.Answered == nil || done.Answered.At.IsZero() {
		t.Errorf("answered %+v, %v", done, err)
	}
	if _, err := admin.Approvals.Answer(t.Context(), open[0].ID, errand.Reply{Value: json.RawMessage("8")}); !errors.Is(err, errand.ErrConflict) {
		t.Errorf("answered again: %v", err)
	}
	task = ended(t, task)
	if task.Status != errand.Completed || task.Result != fmt.Sprint(7, done.Answered.By, "roughly", false, true) {
		t.Errorf("%s %q", task.Status, task.Result)
	}
	if n := calls.Load(); n < 4 {
		t.Errorf("the handler was called %d times", n)
	}
	keys := ""
	for x, err := range admin.Approvals.OfTask(t.Context(), task.ID) {
		if err != nil {
			t.Fatal(err)
		}
		keys += x.Key + " "
	}
	if got, err := admin.Approvals.Get(t.Context(), open[0].ID); keys != "n late " || err != nil || got.Answered.Note != "roughly" {
		t.Errorf("of the task %q; %+v, %v", keys, got, err)
	}
}
