package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/errand-dev/errand"
	"github.com/errand-dev/errand/internal/app"
)

type taskCmds struct {
	Create taskCreateCmd `cmd:"" help:"Create a task."`
	Get    taskGetCmd    `cmd:"" help:"Show a task."`
	List   taskListCmd   `cmd:"" help:"List tasks, newest first."`
	Watch  taskWatchCmd  `cmd:"" help:"Follow a task live until it ends; Ctrl-C only stops the watching."`
	Stop   taskStopCmd   `cmd:"" help:"Stop a task and its sub-tasks."`
}

// remote says which server a command talks to.
type remote struct {
	Server string `help:"The server's URL; without it, the one that serves the data folder." env:"ERRAND_URL" placeholder:"URL"`
	Key    string `help:"Its key; without it, the admin key of the data folder." env:"ERRAND_API_KEY" placeholder:"KEY"`
	Data   string `help:"Data folder of a server on this machine." default:".errand" env:"ERRAND_DATA"`
	JSON   bool   `help:"Print JSON."`
}

func (r remote) client() (*errand.Client, error) {
	url, key := r.Server, r.Key
	here, err := os.ReadFile(app.AddressFile(r.Data))
	local := strings.TrimSpace(string(here))
	if url == "" {
		if err != nil {
			return nil, fmt.Errorf("no server: start one with 'errand serve', or set ERRAND_URL (nothing serves the data folder %s)", r.Data)
		}
		url = local
	}
	if key == "" {
		if err != nil || strings.TrimRight(url, "/") != local { // the data folder's key is for its own server alone
			return nil, fmt.Errorf("no key for %s: set ERRAND_API_KEY", url)
		}
		text, err := os.ReadFile(app.KeyFile(r.Data))
		if err != nil {
			return nil, errors.New("no key: set ERRAND_API_KEY, or name the server's data folder with --data")
		}
		key = strings.TrimSpace(string(text))
	}
	return errand.NewClient(errand.WithURL(url), errand.WithKey(key))
}

type taskCreateCmd struct {
	remote
	Agent    string        `help:"Who is to do it." required:""`
	Prompt   string        `arg:"" help:"What is to be done."`
	File     []string      `help:"A file, or an http(s) URL, for the task; may be repeated." short:"f" placeholder:"FILE"`
	ID       string        `help:"An id of your own; that of an ended task starts its next turn."`
	Title    string        `help:"A title."`
	Priority int           `help:"From -100 to 100; higher goes first."`
	In       time.Duration `help:"Start after this time, for example 10m."`
	Watch    bool          `help:"Follow it until it ends."`
}

// Run creates the task and prints its id.
func (c *taskCreateCmd) Run(e *env) error {
	if err := checkPrompt(c.Prompt); err != nil {
		return err
	}
	if err := checkFiles(c.File); err != nil {
		return err
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	r := errand.TaskRequest{AgentID: c.Agent, Prompt: c.Prompt, ID: c.ID, Title: c.Title, Priority: c.Priority}
	if c.In > 0 {
		r.RunAt = time.Now().Add(c.In)
	}
	var task *errand.Task
	err = e.interruptible(func(ctx context.Context) error {
		task, err = create(ctx, client, r, c.File)
		return err
	})
	if err != nil {
		return err
	}
	if c.Watch {
		f := follower{env: e, client: client, quiet: c.JSON}
		return f.follow(task.ID, c.JSON)
	}
	if c.JSON {
		fmt.Fprintln(e.Out, string(task.JSON()))
		return nil
	}
	fmt.Fprintln(e.Out, task.ID)
	return nil
}

type taskGetCmd struct {
	remote
	ID string `arg:"" help:"The task's id."`
}

// Run shows the task.
func (c *taskGetCmd) Run(e *env) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	return e.interruptible(func(ctx context.Context) error {
		task, err := client.Tasks.Get(ctx, c.ID)
		if err == nil {
			c.show(e, task)
		}
		return err
	})
}

// show prints a task for a person or a program.
func (r remote) show(e *env, t *errand.Task) {
	if r.JSON {
		fmt.Fprintln(e.Out, string(t.JSON()))
		return
	}
	w := tabwriter.NewWriter(e.Out, 0, 0, 2, ' ', 0)
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "%s\t%s\n", name, printable(value))
		}
	}
	status := string(t.Status)
	if string(t.EndReason) != "" && string(t.EndReason) != status {
		status += " (" + string(t.EndReason) + ")"
	}
	line("id", t.ID)
	line("agent", t.AgentID)
	line("title", t.Title)
	line("status", status)
	line("internal status", t.InternalStatus)
	if t.Waiting != nil {
		line("waiting", t.Waiting.Message)
	}
	line("worker", t.WorkerID)
	line("created", when(t.CreatedAt))
	line("started", when(t.StartedAt))
	line("finished", when(t.FinishedAt))
	line("prompt", t.Input.Text)
	_ = w.Flush() // standard output has no one to tell
	if t.Result != "" {
		fmt.Fprintf(e.Out, "\n%s\n", strings.TrimRight(safeText(t.Result, isTerminal(e.Out)), "\n"))
	}
}

func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format(time.DateTime)
}

type taskListCmd struct {
	remote
	Agent  string `help:"Only this agent's."`
	Status string `help:"Only those with this status."`
	Limit  int    `help:"How many, at most 50." default:"20"`
}

// Run prints a table of tasks.
func (c *taskListCmd) Run(e *env) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	var page *errand.TaskPage
	err = e.interruptible(func(ctx context.Context) error {
		page, err = client.Tasks.List(ctx, errand.ListOptions{AgentID: c.Agent, Status: errand.Status(c.Status), PerPage: c.Limit})
		return err
	})
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(e.Out).Encode(page.Items)
	}
	w := tabwriter.NewWriter(e.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tAGENT\tSTATUS\tCREATED\tTITLE")
	for _, t := range page.Items {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", t.ID, t.AgentID, t.Status, when(t.CreatedAt), printable(t.Title))
	}
	return w.Flush()
}

type taskWatchCmd struct {
	remote
	ID string `arg:"" help:"The task's id."`
}

// Run follows the task. With --json it prints each event as a line.
func (c *taskWatchCmd) Run(e *env) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	// A stream waits for its server for as long as it takes; whoever has just
	// typed a wrong URL or id is to be told.
	err = e.interruptible(func(ctx context.Context) error {
		_, err := client.Tasks.Get(ctx, c.ID)
		return err
	})
	if err != nil {
		return err
	}
	if !c.JSON {
		f := follower{env: e, client: client}
		return f.follow(c.ID, false)
	}
	lines := json.NewEncoder(e.Out)
	return e.interruptible(func(ctx context.Context) error {
		for event, err := range client.Tasks.Events(ctx, c.ID) {
			if err == nil {
				err = lines.Encode(event)
			}
			if err != nil {
				return err
			}
		}
		task, err := client.Tasks.Get(ctx, c.ID)
		if err != nil {
			return err
		}
		return exitFor(task)
	})
}

type taskStopCmd struct {
	remote
	ID string `arg:"" help:"The task's id."`
}

// Run stops the task.
func (c *taskStopCmd) Run(e *env) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	var task *errand.Task
	err = e.interruptible(func(ctx context.Context) error {
		task, err = client.Tasks.Stop(ctx, c.ID)
		return err
	})
	if err != nil {
		return err
	}
	if c.JSON {
		fmt.Fprintln(e.Out, string(task.JSON()))
		return nil
	}
	fmt.Fprintf(e.Out, "%s %s\n", task.ID, task.Status)
	return nil
}
