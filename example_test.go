package errand_test

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"strings"
	"testing"

	"github.com/errand-dev/errand"
)

// The examples need a server with the agents of their names. server/test/examples
// starts one for each and runs it; without ERRAND_EXAMPLES they are only compiled.
func TestMain(m *testing.M) {
	flag.Parse()
	if skip := flag.Lookup("test.skip"); os.Getenv("ERRAND_EXAMPLES") == "" && skip.Value.String() == "" {
		if err := skip.Value.Set("^Example"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// A task from its creation to its end: a file is uploaded, the task's events
// are followed live, and its result is read.
func Example() {
	ctx := context.Background()
	client, err := errand.NewClient() // ERRAND_URL, ERRAND_API_KEY
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
	if err := task.Reload(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println(task.Status, strings.Contains(task.Result, "30.75"))
	// Output:
	// finished
	// completed true
}

// Any program may ask for a task at any time. While it is waiting, the answer
// says for what.
func ExampleTasks_Get() {
	ctx := context.Background()
	client, err := errand.NewClient() // ERRAND_URL, ERRAND_API_KEY
	if err != nil {
		log.Fatal(err)
	}
	created, err := client.Tasks.Create(ctx, errand.TaskRequest{AgentID: "agent-123", Prompt: "Analyze the sales data"})
	if err != nil {
		log.Fatal(err)
	}
	task, err := client.Tasks.Get(ctx, created.ID)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(task.Status, task.Waiting.Reason)
	// Output: pending no_worker
}

// A task that nobody works on can be stopped; the answer tells how it ended.
func ExampleTasks_Stop() {
	ctx := context.Background()
	client, err := errand.NewClient() // ERRAND_URL, ERRAND_API_KEY
	if err != nil {
		log.Fatal(err)
	}
	_, err = client.Tasks.Create(ctx, errand.TaskRequest{AgentID: "agent-124", Prompt: "Analyze the sales data"})
	fmt.Println(errand.CodeOf(err) == errand.CodeNotFound)

	task, err := client.Tasks.Create(ctx, errand.TaskRequest{AgentID: "agent-123", Prompt: "Analyze the sales data"})
	if err != nil {
		log.Fatal(err)
	}
	task, err = client.Tasks.Stop(ctx, task.ID)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(task.Status)
	// Output:
	// true
	// stopped
}

// Whoever executes a task without a worker says when it begins and how it ends.
func ExampleTasks_Update() {
	ctx := context.Background()
	client, err := errand.NewClient() // ERRAND_URL, ERRAND_API_KEY
	if err != nil {
		log.Fatal(err)
	}
	task, err := client.Tasks.Create(ctx, errand.TaskRequest{AgentID: "agent-123", Prompt: "Analyze the sales data", RunLocally: true})
	if err != nil {
		log.Fatal(err)
	}
	if err := task.SetStatus(ctx, errand.Executing, ""); err != nil {
		log.Fatal(err)
	}
	result := "Analysis completed successfully"
	task, err = client.Tasks.Update(ctx, task.ID, errand.TaskUpdate{Status: errand.Completed, Result: &result})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(task.Status, "-", task.Result)
	// Output: completed - Analysis completed successfully
}

// The message of a task holds everything that a model needs to know of it.
func ExampleTask_Message() {
	ctx := context.Background()
	client, err := errand.NewClient() // ERRAND_URL, ERRAND_API_KEY
	if err != nil {
		log.Fatal(err)
	}
	data, err := client.Files.Upload(ctx, "data.csv", strings.NewReader("region,amount\nNorth,10.50\n"))
	if err != nil {
		log.Fatal(err)
	}
	task, err := client.Tasks.Create(ctx, errand.TaskRequest{
		AgentID: "agent-123", Prompt: "Analyze the attached documents", FileURLs: []string{data.URL},
	})
	if err != nil {
		log.Fatal(err)
	}
	message, err := task.Message(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for line := range strings.Lines(message) {
		if name, _, _ := strings.Cut(line, "http"); strings.Contains(line, "data.csv") {
			fmt.Println(name + "…" + line[strings.Index(line, "/data.csv"):])
		} else if !strings.HasPrefix(line, "Message timestamp") {
			fmt.Print(line)
		}
	}
	// Output:
	// Analyze the attached documents
	// Files: …/data.csv
	//
	// Files contents:
	// {"url": "…/data.csv", "content": "region,amount\nNorth,10.50\n"}
}

// A worker executes the tasks of an agent.
func ExampleWorker() {
	ctx, stop := context.WithCancel(context.Background())
	client, err := errand.NewClient() // ERRAND_URL, ERRAND_API_KEY
	if err != nil {
		log.Fatal(err)
	}
	worker := errand.NewWorker(client, errand.WorkerOptions{})
	worker.Handle("agent-123", func(ctx context.Context, attempt *errand.Attempt) (string, error) {
		if err := attempt.Chunk(ctx, "Reading …"); err != nil {
			return "", err // ctx has ended: the task was stopped, or the lease was lost
		}
		return "You asked: " + attempt.Task.Input.Text, nil
	})
	ended := make(chan error)
	go func() { ended <- worker.Run(ctx) }() // a program of its own would just call it

	task, err := client.Agents.Invoke(ctx, "agent-123", errand.TaskRequest{Prompt: "Analyze the sales data"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(task.Result)
	stop()
	fmt.Println(<-ended)
	// Output:
	// You asked: Analyze the sales data
	// <nil>
}
