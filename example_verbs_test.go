package errand_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"strings"

	"github.com/errand-dev/errand"
)

// With a key of yours, a create that is repeated because its answer was lost makes one task.
func ExampleTasks_Create() {
	ctx := context.Background()
	client, err := errand.NewClient() // ERRAND_URL, ERRAND_API_KEY
	if err != nil {
		log.Fatal(err)
	}
	request := errand.TaskRequest{AgentID: "agent-123", Prompt: "Analyze the sales data", IdempotencyKey: "order-66"}
	first, err := client.Tasks.Create(ctx, request)
	if err != nil {
		log.Fatal(err)
	}
	again, err := client.Tasks.Create(ctx, request)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(first.Status, again.ID == first.ID)
	// Output: pending true
}

// Of many tasks each is created or refused by itself.
func ExampleTasks_CreateBatch() {
	ctx := context.Background()
	client, err := errand.NewClient() // ERRAND_URL, ERRAND_API_KEY
	if err != nil {
		log.Fatal(err)
	}
	made, err := client.Tasks.CreateBatch(ctx, []errand.TaskRequest{
		{AgentID: "agent-123", Prompt: "Sales in the north"},
		{AgentID: "nobody", Prompt: "Sales in the south"},
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, one := range made {
		fmt.Println(one.ID != "", errand.CodeOf(one.Err) == errand.CodeNotFound)
	}
	// Output:
	// true false
	// false true
}

// Whoever comes back goes on behind the last event that was seen, and misses nothing.
func ExampleTasks_Events() {
	ctx := context.Background()
	client, err := errand.NewClient() // ERRAND_URL, ERRAND_API_KEY
	if err != nil {
		log.Fatal(err)
	}
	task, err := client.Tasks.Create(ctx, errand.TaskRequest{AgentID: "agent-123", Prompt: "Analyze the sales data"})
	if err != nil {
		log.Fatal(err)
	}
	var seen int64
	for event, err := range client.Tasks.Events(ctx, task.ID) {
		if err != nil {
			log.Fatal(err)
		}
		seen = event.ID
		fmt.Println(event.ID, event.Type)
		break
	}
	if _, err := client.Tasks.Stop(ctx, task.ID); err != nil {
		log.Fatal(err)
	}
	for event, err := range client.Tasks.Events(ctx, task.ID, errand.After(seen)) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(event.ID, event.Type)
	}
	// Output:
	// 1 task_created
	// 2 stop_requested
	// 3 task_finished
	// 4 stop_confirmed
}

// Wait returns a task when it has ended, whoever ends it.
func ExampleTasks_Wait() {
	ctx := context.Background()
	client, err := errand.NewClient() // ERRAND_URL, ERRAND_API_KEY
	if err != nil {
		log.Fatal(err)
	}
	task, err := client.Tasks.Create(ctx, errand.TaskRequest{AgentID: "profile", Prompt: "Analyze this"})
	if err != nil {
		log.Fatal(err)
	}
	task, err = client.Tasks.Wait(ctx, task.ID)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(task.Ended())
	// Output: true
}

// All goes through the pages of a list.
func ExampleTasks_All() {
	ctx := context.Background()
	client, err := errand.NewClient() // ERRAND_URL, ERRAND_API_KEY
	if err != nil {
		log.Fatal(err)
	}
	for _, region := range []string{"north", "south"} {
		_, err := client.Tasks.Create(ctx, errand.TaskRequest{AgentID: "agent-123", Title: region, Prompt: "Sales in the " + region, Tags: []string{"sales"}})
		if err != nil {
			log.Fatal(err)
		}
	}
	for task, err := range client.Tasks.All(ctx, errand.ListOptions{Tag: "sales"}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(task.Title, task.Status)
	}
	// Output:
	// south pending
	// north pending
}

// A paused task is handed to nobody until it is resumed.
func ExampleTasks_Pause() {
	ctx := context.Background()
	client, err := errand.NewClient() // ERRAND_URL, ERRAND_API_KEY
	if err != nil {
		log.Fatal(err)
	}
	task, err := client.Tasks.Create(ctx, errand.TaskRequest{AgentID: "agent-123", Prompt: "Analyze the sales data"})
	if err != nil {
		log.Fatal(err)
	}
	if task, err = client.Tasks.Pause(ctx, task.ID); err != nil {
		log.Fatal(err)
	}
	fmt.Println(task.Status)
	if task, err = client.Tasks.Resume(ctx, task.ID); err != nil {
		log.Fatal(err)
	}
	fmt.Println(task.Status)
	// Output:
	// paused
	// pending
}

// Many tasks are stopped by what they have in common.
func ExampleTasks_StopAll() {
	ctx := context.Background()
	client, err := errand.NewClient() // ERRAND_URL, ERRAND_API_KEY
	if err != nil {
		log.Fatal(err)
	}
	for range 3 {
		if _, err := client.Tasks.Create(ctx, errand.TaskRequest{AgentID: "agent-123", Prompt: "Analyze the sales data"}); err != nil {
			log.Fatal(err)
		}
	}
	stopped, err := client.Tasks.StopAll(ctx, errand.StopFilter{AgentID: "agent-123", Status: errand.Pending})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(stopped.Matched, stopped.Stopped)
	// Output: 3 3
}

// Delete removes a task for good, with its log.
func ExampleTasks_Delete() {
	ctx := context.Background()
	client, err := errand.NewClient() // ERRAND_URL, ERRAND_API_KEY
	if err != nil {
		log.Fatal(err)
	}
	task, err := client.Tasks.Create(ctx, errand.TaskRequest{AgentID: "agent-123", Prompt: "Analyze the sales data"})
	if err != nil {
		log.Fatal(err)
	}
	if err := client.Tasks.Delete(ctx, task.ID); err != nil {
		log.Fatal(err)
	}
	_, err = client.Tasks.Get(ctx, task.ID)
	fmt.Println(errand.CodeOf(err))
	// Output: not_found
}

// Each change of an agent is a version of it; what was the same makes none.
func ExampleAgents_Apply() {
	ctx := context.Background()
	client, err := errand.NewClient() // ERRAND_URL, ERRAND_API_KEY
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range []string{"Writer", "Writer", "Author"} {
		agent, err := client.Agents.Apply(ctx, "writer", errand.Agent{Name: name})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(agent.Name, agent.Version)
	}
	// Output:
	// Writer 1
	// Writer 1
	// Author 2
}

// A step is done once, in whichever attempt. A question frees the slot until somebody
// answers it: the handler begins anew then, and passes over what it has done.
func ExampleAttempt_Ask() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	client, err := errand.NewClient() // ERRAND_URL, ERRAND_API_KEY
	if err != nil {
		log.Fatal(err)
	}
	worker := errand.NewWorker(client, errand.WorkerOptions{})
	worker.Handle("agent-123", func(ctx context.Context, attempt *errand.Attempt) (string, error) {
		draft, err := attempt.Step(ctx, "draft", func(context.Context) (json.RawMessage, error) {
			fmt.Println("writing the draft")
			return json.RawMessage(`"Sales are up."`), nil
		})
		if err != nil {
			return "", err
		}
		answer, err := attempt.Ask(ctx, errand.Question{Key: "publish", Kind: errand.KindApproval, Message: "Shall it be published?"})
		if err != nil {
			return "", err
		}
		return fmt.Sprint(string(draft), " published: ", answer.Approved()), nil
	})
	ended := make(chan error)
	go func() { ended <- worker.Run(ctx) }()

	task, err := client.Tasks.Create(ctx, errand.TaskRequest{AgentID: "agent-123", Prompt: "Write a report"})
	if err != nil {
		log.Fatal(err)
	}
	for event, err := range task.Events(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		if event.Type != errand.TurnPaused {
			continue
		}
		for asked, err := range client.Approvals.OfTask(ctx, task.ID) {
			if err != nil {
				log.Fatal(err)
			}
			fmt.Println(asked.Message)
			if _, err := client.Approvals.Answer(ctx, asked.ID, errand.Reply{Answer: errand.Approve}); err != nil {
				log.Fatal(err)
			}
		}
	}
	if err := task.Reload(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println(task.Result)
	stop()
	<-ended
	// Output:
	// writing the draft
	// Shall it be published?
	// "Sales are up." published: true
}

// What an attempt writes are files of its task.
func ExampleAttempt_Output() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	client, err := errand.NewClient() // ERRAND_URL, ERRAND_API_KEY
	if err != nil {
		log.Fatal(err)
	}
	worker := errand.NewWorker(client, errand.WorkerOptions{})
	worker.Handle("agent-123", func(ctx context.Context, attempt *errand.Attempt) (string, error) {
		_, err := attempt.Output(ctx, "report.md", strings.NewReader("# Sales are up"))
		return "See report.md.", err
	})
	ended := make(chan error)
	go func() { ended <- worker.Run(ctx) }()

	task, err := client.Agents.Invoke(ctx, "agent-123", errand.TaskRequest{Prompt: "Write a report"})
	if err != nil {
		log.Fatal(err)
	}
	report, err := client.Tasks.OpenOutput(ctx, task.ID, "report.md", 0)
	if err != nil {
		log.Fatal(err)
	}
	text, err := io.ReadAll(report)
	_ = report.Close() // it was only read
	fmt.Println(task.Result, string(text), err)
	stop()
	<-ended
	// Output: See report.md. # Sales are up <nil>
}

// Events says which tasks change, of all that a key sees.
func ExampleClient_Events() {
	ctx := context.Background()
	client, err := errand.NewClient() // ERRAND_URL, ERRAND_API_KEY
	if err != nil {
		log.Fatal(err)
	}
	task, err := client.Tasks.Create(ctx, errand.TaskRequest{AgentID: "agent-123", Prompt: "Analyze the sales data"})
	if err != nil {
		log.Fatal(err)
	}
	for change, err := range client.Events(ctx, errand.EventsOptions{After: "0"}) { // all that the server still knows
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(change.TaskID == task.ID, change.FirstSeq, change.LastSeq)
		break
	}
	// Output: true 1 1
}

// A key may see less than all: here what it makes itself.
func ExampleKeys_Create() {
	ctx := context.Background()
	admin, err := errand.NewClient() // ERRAND_URL, ERRAND_API_KEY
	if err != nil {
		log.Fatal(err)
	}
	if _, err := admin.Tasks.Create(ctx, errand.TaskRequest{AgentID: "agent-123", Prompt: "Analyze the sales data"}); err != nil {
		log.Fatal(err)
	}
	key, err := admin.Keys.Create(ctx, errand.KeyRequest{Name: "Anna", Role: errand.RoleUser, Sees: errand.SeesOwn})
	if err != nil {
		log.Fatal(err)
	}
	anna, err := errand.NewClient(errand.WithKey(key.Secret))
	if err != nil {
		log.Fatal(err)
	}
	page, err := anna.Tasks.List(ctx, errand.ListOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(page.Total)
	// Output: 0
}

// Have an address told when tasks end. Whatever serves it verifies each message with the
// secret, by a library of Standard Webhooks.
func ExampleWebhooks_Create() {
	ctx := context.Background()
	client, err := errand.NewClient() // ERRAND_URL, ERRAND_API_KEY
	if err != nil {
		log.Fatal(err)
	}
	hook, err := client.Webhooks.Create(ctx, errand.WebhookRequest{URL: "https://example.com/errand", Types: []string{"task.completed", "task.failed", "task.error"}})
	if err != nil {
		log.Fatal(err)
	}
	// keep hook.Secret
	hooks, err := client.Webhooks.List(ctx) // says when each has taken a message last, and why one was not taken
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(hooks), hooks[0].ID == hook.ID, hooks[0].Enabled)
	// Output: 1 true true
}
