// Subtasks splits a task into sub-tasks, which other slots execute, and puts
// their results together. Stopping the task stops them all. It needs
// ERRAND_URL and ERRAND_API_KEY, an admin's, to create its agents.
package main

import (
	"context"
	"fmt"
	"log"
	"strings"

	"github.com/errand-dev/errand"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	client, err := errand.NewClient()
	if err != nil {
		return err
	}
	for _, id := range []string{"editor", "writer"} {
		if _, err := client.Agents.Apply(ctx, id, errand.Agent{Name: id}); err != nil {
			return err
		}
	}
	worker := errand.NewWorker(client, errand.WorkerOptions{Slots: 4})
	worker.Handle("editor", edit)
	worker.Handle("writer", write)
	working, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- worker.Run(working) }()

	task, err := client.Agents.Invoke(ctx, "editor", errand.TaskRequest{Prompt: "north south east"})
	if err != nil {
		return err
	}
	fmt.Println(task.Result)
	fmt.Println("sub-tasks:", len(task.SubTasks))
	stop()
	return <-ended
}

// edit has a chapter written for each word.
func edit(ctx context.Context, attempt *errand.Attempt) (string, error) {
	var parts []*errand.Task
	for region := range strings.FieldsSeq(attempt.Task.Input.Text) {
		part, err := attempt.SubTask(ctx, errand.TaskRequest{
			AgentID: "writer", Prompt: region,
			IdempotencyKey: attempt.Task.ID + "/" + region, // a second attempt finds the same sub-task
		})
		if err != nil {
			return "", err
		}
		parts = append(parts, part)
	}
	var chapters []string
	for _, part := range parts {
		if err := part.Wait(ctx); err != nil {
			return "", err
		}
		if part.Status != errand.Completed {
			return "", errand.Failf("the chapter on %s is missing: %s", part.Input.Text, part.Result)
		}
		chapters = append(chapters, part.Result)
	}
	return strings.Join(chapters, ", "), nil
}

func write(_ context.Context, attempt *errand.Attempt) (string, error) {
	return "Sales in the " + attempt.Task.Input.Text + " are up", nil
}
