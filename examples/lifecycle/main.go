// Lifecycle stops a task, and corrects how another is shown to have ended. It
// needs ERRAND_URL and ERRAND_API_KEY, an admin's, to create its agent.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"

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
	if _, err := client.Agents.Apply(ctx, "agent-123", errand.Agent{Name: "Analyst"}); err != nil {
		return err
	}
	task, err := client.Tasks.Create(ctx, errand.TaskRequest{AgentID: "agent-123", Prompt: "Analyze the sales data"})
	if err != nil {
		return err
	}
	if err := task.Reload(ctx); err != nil {
		return err
	}
	fmt.Println("waiting:", task.Waiting.Reason)

	stopped, err := client.Tasks.Stop(ctx, task.ID)
	if err != nil {
		return err
	}
	fmt.Println("stopped:", stopped.Status)

	result := "Analysis completed successfully"
	end := errand.TaskUpdate{Status: errand.Completed, Result: &result}
	if _, err := client.Tasks.Update(ctx, task.ID, end); errors.Is(err, errand.ErrConflict) {
		fmt.Println("an ended task stays as it ended")
	}
	end.Override = true // unless somebody insists, whom the log names
	updated, err := client.Tasks.Update(ctx, task.ID, end)
	if err != nil {
		return err
	}
	fmt.Println("updated:", updated.Status, "-", updated.Result)
	return nil
}
