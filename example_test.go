package errand_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/errand-dev/errand"
	"github.com/errand-dev/errand/internal/app"
)

// A task from its creation to its end: a file is uploaded, the task's events
// are followed live, and its result is read.
func Example() {
	ctx := context.Background()
	server, stop := exampleServer()
	defer stop()

	client, err := errand.NewClient(errand.WithURL(server.URL()), errand.WithKey(server.FirstStart().Key))
	if err != nil {
		log.Fatal(err)
	}
	file, err := client.Files.Upload(ctx, "sales.csv", strings.NewReader("region,amount\nNorth,10.50\nSouth,20.25\n"))
	if err != nil {
		log.Fatal(err)
	}
	task, err := client.Tasks.Create(ctx, errand.TaskRequest{
		AgentID:  "profile",
		Prompt:   "Analyze the sales data",
		FileURLs: []string{file.URL},
	})
	if err != nil {
		log.Fatal(err)
	}
	for event, err := range task.Events(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		if event.Type == errand.TaskFinished {
			fmt.Println("finished")
		}
	}
	task, err = client.Tasks.Get(ctx, task.ID)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(task.Status, strings.Contains(task.Result, "30.75"))
	// Output:
	// finished
	// completed true
}

// A task that nobody works on can be stopped; the answer tells how it ended.
func ExampleTasks_Stop() {
	ctx := context.Background()
	server, stop := exampleServer()
	defer stop()
	client, err := errand.NewClient(errand.WithURL(server.URL()), errand.WithKey(server.FirstStart().Key))
	if err != nil {
		log.Fatal(err)
	}
	_, err = client.Tasks.Create(ctx, errand.TaskRequest{AgentID: "agent-123", Prompt: "Analyze the sales data"})
	fmt.Println(errand.CodeOf(err) == errand.CodeNotFound)

	if _, err := client.Agents.Apply(ctx, "agent-123", errand.Agent{Name: "Analyst", Runtime: "worker"}); err != nil {
		log.Fatal(err)
	}
	task, err := client.Tasks.Create(ctx, errand.TaskRequest{AgentID: "agent-123", Prompt: "Analyze the sales data"})
	if err != nil {
		log.Fatal(err)
	}
	task, err = client.Tasks.Get(ctx, task.ID)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(task.Status, task.Waiting.Reason)
	task, err = client.Tasks.Stop(ctx, task.ID)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(task.Status)
	// Output:
	// true
	// pending no_worker
	// stopped
}

// exampleServer runs a server in a temporary folder.
func exampleServer() (*app.App, func()) {
	dir, err := os.MkdirTemp("", "errand-example-")
	if err != nil {
		log.Fatal(err)
	}
	o := app.DefaultOptions()
	o.Addr, o.Data = "127.0.0.1:0", dir
	a, err := app.Start(context.Background(), o)
	if err != nil {
		log.Fatal(err)
	}
	return a, func() {
		if err := a.Stop(); err != nil {
			log.Fatal(err)
		}
		if err := os.RemoveAll(dir); err != nil {
			log.Fatal(err)
		}
	}
}
