package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/errand-dev/errand"
)

type taskCreateCmd struct {
	remote
	reading
	Agent          string        `help:"Who is to do it." required:""`
	Prompt         string        `arg:"" help:"What is to be done; - reads it from standard input."`
	File           []string      `help:"A file, - for standard input, or an http(s) URL, for the task; may be repeated." short:"f" placeholder:"FILE" sep:"none"`
	ID             string        `help:"An id of your own; that of an ended task starts its next turn."`
	Title          string        `help:"A title."`
	Tag            []string      `help:"A tag; may be repeated." sep:"none"`
	Priority       int           `help:"From -100 to 100; higher goes first."`
	In             time.Duration `help:"Start after this time, for example 10m."`
	Timeout        time.Duration `help:"How long it may execute, over all attempts."`
	ExpiresIn      time.Duration `name:"expires-in" help:"How long it may wait to be started, from when it may run."`
	MaxAttempts    int           `name:"max-attempts" help:"How many attempts may start."`
	Budget         budgetFlag    `help:"What it and its sub-tasks may use, for example tokens=100000,cost=2,seconds=600,at_limit=end." placeholder:"LIMITS"`
	ModelProvider  string        `name:"model-provider" help:"The provider of the model, in the place of the agent's own."`
	Model          string        `help:"The model, in the place of the agent's own."`
	Effort         string        `name:"reasoning-effort" help:"How much the model is to reason: low, medium, high or xhigh."`
	ToolCallLimit  int           `name:"tool-call-limit" help:"How many tools the agent may call."`
	HarnessCLI     string        `name:"harness-cli" help:"For agents that are a coding CLI: which one, for example claude-code."`
	PermissionMode string        `name:"permission-mode" help:"For agents that are a coding CLI: full, or gated to hold shell and edit calls for a person."`
	Worker         string        `help:"Only this worker may have it."`
	Parent         string        `help:"The task that it is a sub-task of."`
	OnParentEnd    string        `name:"on-parent-end" help:"What becomes of a sub-task that runs when its parent ends: stop, or keep for going on." enum:"stop,keep," default:"" placeholder:"WHAT"`
	IdempotencyKey string        `name:"idempotency-key" help:"A repeat with the same key answers the first one's task, for 24 hours."`
	Watch          bool          `help:"Follow it until it ends."`
}

// Run creates the task and prints its id.
func (c *taskCreateCmd) Run(e *env) error {
	prompt, err := e.prompt(c.Prompt)
	if err != nil {
		return err
	}
	if err := checkFiles(c.File); err != nil {
		return err
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	r := errand.TaskRequest{
		AgentID: c.Agent, Prompt: prompt, ID: c.ID, Title: c.Title, Tags: c.Tag, Priority: c.Priority,
		Timeout: c.Timeout, ExpiresIn: c.ExpiresIn, MaxAttempts: c.MaxAttempts, Budget: c.Budget.Budget,
		WorkerID: c.Worker, ParentTaskID: c.Parent, OnParentEnd: errand.OnParentEnd(c.OnParentEnd), IdempotencyKey: c.IdempotencyKey,
		ModelProvider: c.ModelProvider, ModelName: c.Model, ReasoningEffort: c.Effort, ToolCallLimit: c.ToolCallLimit,
		HarnessCLI: c.HarnessCLI, PermissionMode: c.PermissionMode,
	}
	if c.In > 0 {
		r.RunAt = time.Now().Add(c.In)
	}
	var task *errand.Task
	err = e.interruptible(func(ctx context.Context) error {
		if err := whole(ctx, client, &r.ParentTaskID); err != nil {
			return err
		}
		task, err = create(ctx, client, r, c.File)
		return err
	})
	if err != nil {
		return err
	}
	if c.Watch {
		f := follower{env: e, client: client, quiet: c.JSON, back: c.again, asWritten: c.asWritten(task)}
		return f.follow(task.ID, c.JSON)
	}
	if c.JSON {
		fmt.Fprintln(e.Out, string(task.JSON()))
		return nil
	}
	fmt.Fprintln(e.Out, task.ID)
	return nil
}

// maxPrompt is one byte more than a server takes.
const maxPrompt = 1<<20 + 1

// prompt is what is to be done: the argument, or all of standard input for -.
func (e *env) prompt(arg string) (string, error) {
	if arg == "-" {
		text, err := await(e, func() ([]byte, error) { return io.ReadAll(io.LimitReader(e.In, maxPrompt)) })
		if err != nil {
			return "", err
		}
		arg = string(text)
	}
	if strings.TrimSpace(arg) == "" {
		return "", misused("the prompt is empty: say what is to be done")
	}
	return arg, nil
}
