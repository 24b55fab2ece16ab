package sdk_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/errand-dev/errand"
)

// Without traces of its own the server hands on those of its callers.
func TestTraceParentReachesTheHandler(t *testing.T) {
	t.Parallel()
	const given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	_, c := withAgent(t, 30)
	for id, traceParent := range map[string]string{"traced": given, "untraced": "", "wrong": "00-" + given, "next": ""} {
		if _, err := c.Tasks.Create(t.Context(), errand.TaskRequest{AgentID: agentID, ID: id, Prompt: id, TraceParent: traceParent}); err != nil {
			t.Fatal(err)
		}
	}
	var mu sync.Mutex
	got := map[string]string{}
	ctx, stop := context.WithTimeout(t.Context(), limit)
	defer stop()
	w := errand.NewWorker(c, errand.WorkerOptions{})
	w.Handle(agentID, func(ctx context.Context, a *errand.Attempt) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		got[a.Task.Input.Text] = a.TraceParent()
		if len(got) == 6 {
			defer stop()
		}
		switch a.Task.Input.Text {
		case "traced":
			_, err := a.SubTask(ctx, errand.TaskRequest{AgentID: agentID, Prompt: "its sub-task", OnParentEnd: errand.KeepOnParentEnd})
			return "", err
		case "next": // a turn is of the trace that began it
			_, err := c.Tasks.Create(ctx, errand.TaskRequest{AgentID: agentID, ID: "other", Prompt: "other", TraceParent: given})
			return "", err
		}
		return "", nil
	})
	if err := w.Run(ctx); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"traced": given, "its sub-task": given, "other": given, "untraced": "", "wrong": "", "next": ""}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("handlers saw %v, want %v", got, want)
	}
}
