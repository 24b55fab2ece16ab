// Package errand is the Go client of an Errand server, the durable task layer
// for AI agents. It depends on nothing but the standard library.
//
// # Tasks
//
// A client creates tasks for agents, follows what happens to them, and stops
// them:
//
//	client, err := errand.NewClient() // ERRAND_URL and ERRAND_API_KEY
//	task, err := client.Tasks.Create(ctx, errand.TaskRequest{
//		AgentID:  "agent-123",
//		Prompt:   "Analyze the sales data",
//		FileURLs: []string{"https://example.com/sales_data.csv"},
//	})
//	for event, err := range task.Events(ctx) {
//		…
//	}
//	task, err = client.Tasks.Stop(ctx, task.ID)
//
// The commonest verbs are there twice: as methods of Client.Tasks, which take an
// id, and as methods of a Task, which bring the task up to date.
//
// # Events
//
// A task's log has no gaps, and an event's number is its cursor. Task.Events
// survives cut connections, restarts of the server and time-outs of proxies: it
// reconnects from the last event that it has seen and yields every event once,
// in order, until the turn has ended. A program that was away goes on with
// After. Event.Text, Event.ToolCall, Event.Change and their like read what an
// event holds.
//
// # Files
//
// Files.Upload stores a file, and its URL is what a task is given.
// Whoever executes the task has its files by kind: Task.Files for PDFs,
// Task.Images, Task.HumanReadableFiles for texts; and Task.Message puts the
// prompt and the texts together for a model.
//
// # Users
//
// A program that serves users of its own lets each see what is theirs:
//
//	mine := client.ForUser("alice")
//	task, err := mine.Tasks.Create(ctx, …) // alice's, and for mine.Tasks nobody else's are there
//
// It needs a key that may act for users, made with KeyRequest.Trusted and
// SeesOwn.
//
// # Workers
//
// A Worker executes the tasks of agents:
//
//	worker := errand.NewWorker(client, errand.WorkerOptions{Slots: 4})
//	worker.Handle("agent-123", func(ctx context.Context, attempt *errand.Attempt) (string, error) {
//		message, err := attempt.Task.Message(ctx)
//		…
//		attempt.Chunk(ctx, "Reading the data …")
//		return answer, nil
//	})
//	err := worker.Run(ctx) // until ctx ends, and what runs has finished
//
// It holds each task by a lease, which it renews while the handler works. The
// handler's ctx ends when the task is stopped or paused, and before the lease
// is lost; context.Cause tells which. So at most one attempt works on a task,
// provided that handlers heed their ctx; that at most one attempt's writes are
// taken, the server sees to.
//
// # Errors and repeats
//
// What the server answers instead is an *Error with one Code of a closed list;
// errors.Is(err, errand.ErrNotFound) asks for one.
//
// When a connection breaks, nobody knows whether the server has done what was
// asked. Calls that do no more the second time than the first are made again by
// themselves, for up to 3 s after the first failure (see WithRetry): reads, Stop, StopAll, Update
// without a Status, Agents.Apply, uploads from an io.Seeker, PushEvents, which
// gives each event an id, and all that a worker says. Create is among them
// because it sends an idempotency key, yours or one made for this call, by which
// the server knows the second try and answers the first one's task, and so is
// Invoke. Other calls,
// such as Pause, Resume, Delete or an Update that ends a task, are made again
// only if the first try cannot have reached the server. Each repeated call also
// heeds 429 and 503 with their Retry-After.
package errand
