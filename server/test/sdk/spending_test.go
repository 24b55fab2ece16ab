package sdk_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/errand-dev/errand"
)

// What attempts have spent counts however they end: the task shows all of it.
func TestSpendingOfAttemptsThatEndWithoutAnEnd(t *testing.T) {
	t.Parallel()
	_, c := withAgent(t, 30)
	asked := make(chan string, 1)
	start(t, c, errand.WorkerOptions{Slots: 4}, func(ctx context.Context, a *errand.Attempt) (string, error) {
		if a.Task.ParentTaskID != "" {
			return "done", nil
		}
		a.Spend(errand.Tokens{Prompt: 10, Completion: 1})
		if err := a.ToolCall(ctx, errand.ToolCall{RequestID: strconv.Itoa(a.Number), ToolName: "tool-" + strconv.Itoa(a.Number)}); err != nil {
			return "", err
		}
		switch a.Number {
		case 1:
			return "", a.Sleep(ctx, "nap", 200*time.Millisecond)
		case 2:
			_, err := a.AskAlong(ctx, errand.Question{Key: "q", Message: "how many?"})
			if err != nil {
				return "", err
			}
			asked <- a.Task.ID
			_, err = a.Ask(ctx, errand.Question{Key: "q", Message: "how many?"})
			a.Spend(errand.Tokens{Prompt: 5}) // behind its end
			return "", err
		case 3:
			sub, err := a.SubTask(ctx, errand.TaskRequest{AgentID: agentID, Prompt: "below", IdempotencyKey: "below"})
			if err != nil {
				return "", err
			}
			if _, err := a.Wait(ctx, sub); err != nil {
				return "", err
			}
			return "", errand.Later(errors.New("not now"), 0)
		case 4:
			return "", errand.Later(errors.New("not now"), 0)
		default:
			return "whole", nil
		}
	})
	task := create(t, c, errand.TaskRequest{MaxAttempts: 1})
	receive(t, asked)
	for e, err := range c.Tasks.Events(t.Context(), task.ID) { // an answer that comes before the attempt waits would not end it
		if err != nil {
			t.Fatal(err)
		}
		var paused struct{ Cause string }
		if e.Type == errand.TurnPaused && e.Decode(&paused) == nil && paused.Cause == "person" {
			break
		}
	}
	for a, err := range c.Approvals.All(t.Context(), errand.ApprovalOpen) {
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Approvals.Answer(t.Context(), a.ID, errand.Reply{Value: []byte("7")}); err != nil {
			t.Fatal(err)
		}
	}
	task = ended(t, task)
	if task.Result != "whole" || task.Tokens == nil || task.Tokens.Prompt != int64(10*task.Attempt+5) || task.Tokens.Completion != int64(task.Attempt) || len(task.UsedTools) != task.Attempt {
		t.Errorf("%d attempts: %q, %+v, %v", task.Attempt, task.Result, task.Tokens, task.UsedTools)
	}
}

// An attempt that is stopped or paused tells what it has spent.
func TestSpendingOfAttemptsThatAreStopped(t *testing.T) {
	t.Parallel()
	_, c := withAgent(t, 30)
	running := make(chan struct{}, 1)
	start(t, c, errand.WorkerOptions{}, func(ctx context.Context, a *errand.Attempt) (string, error) {
		running <- struct{}{}
		<-ctx.Done()
		a.Spend(errand.Tokens{Prompt: 10})
		return "", context.Cause(ctx)
	})
	task := create(t, c, errand.TaskRequest{})
	receive(t, running)
	if _, err := c.Tasks.Pause(t.Context(), task.ID); err != nil {
		t.Fatal(err)
	}
	shows(t, task, 10)
	if _, err := c.Tasks.Resume(t.Context(), task.ID); err != nil {
		t.Fatal(err)
	}
	receive(t, running)
	if err := task.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	shows(t, task, 20)
}

// shows waits until a task's log tells that so many tokens were read.
func shows(t *testing.T, task *errand.Task, want int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := task.Reload(ctx); err != nil {
			t.Fatalf("the task shows %+v, want %d: %v", task.Tokens, want, err)
		}
		if task.Tokens != nil && task.Tokens.Prompt == want {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("the task shows %+v, want %d", task.Tokens, want)
		}
	}
}
