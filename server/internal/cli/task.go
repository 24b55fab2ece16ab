package cli

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/errand-dev/errand"
)

type taskCmds struct {
	Create   taskCreateCmd   `cmd:"" help:"Create a task."`
	Import   taskImportCmd   `cmd:"" help:"Create many tasks, one from each line of a file."`
	Get      taskGetCmd      `cmd:"" aliases:"show" help:"Show a task."`
	List     taskListCmd     `cmd:"" aliases:"ls" help:"List tasks, newest first."`
	Search   taskSearchCmd   `cmd:"" help:"Find tasks by the words of their titles, prompts, results and events."`
	Watch    taskWatchCmd    `cmd:"" aliases:"follow" help:"Follow a task live until it ends; Ctrl-C only stops the watching."`
	Wait     taskWaitCmd     `cmd:"" help:"Wait for the end of tasks, and print their results."`
	Events   taskEventsCmd   `cmd:"" aliases:"log,logs" help:"Show a task's log as it is now, or follow it."`
	Files    taskFilesCmd    `cmd:"" help:"Show the files of a task, and what its agent was given of each."`
	Download taskDownloadCmd `cmd:"" help:"Download the files that a task has written."`
	Thread   taskThreadCmd   `cmd:"" help:"Show what a task was asked and what it answered, over all turns."`
	Share    taskShareCmd    `cmd:"" help:"Make a URL with which a page follows one task, and list or revoke such."`
	Stop     taskStopCmd     `cmd:"" aliases:"cancel" help:"Stop tasks and their sub-tasks."`
	Pause    taskPauseCmd    `cmd:"" help:"Hold tasks until they are resumed."`
	Resume   taskResumeCmd   `cmd:"" help:"Let paused tasks go on."`
	Retry    taskRetryCmd    `cmd:"" help:"Do tasks that have ended again, as new ones."`
	Update   taskUpdateCmd   `cmd:"" help:"Change a task, or decide how it ends."`
	Rm       taskRmCmd       `cmd:"" aliases:"delete,remove" help:"Delete tasks, their sub-tasks and their logs for good; what runs is stopped first."`
}

type taskGetCmd struct {
	remote
	reading
	ID string `arg:"" help:"The task's id, or its first 6 characters or more."`
}

// Run shows the task.
func (c *taskGetCmd) Run(e *env) error {
	return c.callOn(e, []*string{&c.ID}, func(ctx context.Context, client *errand.Client) error {
		task, err := client.Tasks.Get(ctx, c.ID)
		if err != nil {
			return err
		}
		var outputs []errand.Output
		if !c.JSON {
			if outputs, err = outputsOf(ctx, client, c.ID); err != nil {
				return err
			}
		}
		c.show(e, c.reading, task, outputs...)
		return nil
	})
}

// outputsOf lists a task's output files.
func outputsOf(ctx context.Context, client *errand.Client, id string) ([]errand.Output, error) {
	var all []errand.Output
	for o, err := range client.Tasks.Outputs(ctx, id, 0) {
		if err != nil {
			return nil, err
		}
		all = append(all, o)
	}
	return all, nil
}

// show prints a task for a person or a program.
func (r remote) show(e *env, how reading, t *errand.Task, outputs ...errand.Output) {
	if r.JSON {
		fmt.Fprintln(e.Out, string(t.JSON()))
		return
	}
	w := newTable(e.Out)
	w.pair("id", t.ID)
	w.pair("agent", t.AgentID)
	w.pair("title", t.Title)
	w.pair("status", statusLine(t))
	w.pair("internal status", t.InternalStatus)
	w.pair("waiting", waitingLine(t.Waiting))
	if s := t.StopRequest; s != nil {
		w.pair("stop", stopLine(s))
	}
	if t.Attempt > 0 {
		w.pair("attempt", strconv.Itoa(t.Attempt))
		w.pair("max attempts", strconv.Itoa(t.MaxAttempts)) // those that were given back do not count
	}
	w.pair("model", strings.Join(strings.Fields(t.ModelProvider+" "+t.ModelName+" "+t.ReasoningEffort), " "))
	if t.ToolCallLimit > 0 {
		w.pair("tool calls", "at most "+strconv.Itoa(t.ToolCallLimit))
	}
	w.pair("harness", strings.TrimSpace(t.HarnessCLI+" "+t.PermissionMode))
	w.pair("worker", t.WorkerID)
	if t.Turn > 1 {
		w.pair("turn", strconv.Itoa(t.Turn))
	}
	if t.Source != "sdk" { // which is whatever says nothing
		w.pair("source", t.Source)
	}
	w.pair("parent", t.ParentTaskID)
	w.pair("when that ends", string(t.OnParentEnd))
	w.pair("owner", t.Owner)
	w.pair("group", t.Group)
	w.pair("tags", strings.Join(t.Tags, ", "))
	w.pair("created", when(t.CreatedAt))
	w.pair("runs at", when(t.RunAt))
	w.pair("started", when(t.StartedAt))
	w.pair("finished", when(t.FinishedAt))
	if u := t.Tokens; u != nil {
		w.pair("tokens", fmt.Sprintf("%d in, %d out", u.Prompt, u.Completion))
	}
	w.pair("budget", budgetLine(t))
	w.pair("tools", strings.Join(t.UsedTools, ", "))
	w.pair("not whole", strings.Join(t.Adjusted, ", "))
	w.pair("output schema", checkLine(t.ResultCheck))
	w.pair("prompt", t.Input.Text)
	for _, f := range t.Input.Files {
		w.pair("file", f)
	}
	for _, o := range outputs {
		w.pair("output", fmt.Sprintf("%s (%s, turn %d)", o.Name, bytesBriefly(o.Size), o.Turn))
	}
	w.end()
	if t.Result != "" {
		fmt.Fprintln(e.Out)
		printText(e, t.Result, how.asWritten(t))
	}
}

// checkLine says how a result follows its schema.
func checkLine(c *errand.ResultCheck) string {
	switch {
	case c == nil:
		return ""
	case c.State == errand.CheckRepaired:
		return "followed, after it was sent back " + times(c.Rounds)
	case c.State == errand.CheckValid:
		return "followed"
	}
	return "not followed: " + strings.Join(c.Errors, "; ")
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// statusLine is a status with the reason for it, where that says more.
func statusLine(t *errand.Task) string {
	if reason := string(t.EndReason); reason != "" && reason != string(t.Status) {
		return string(t.Status) + " (" + reason + ")"
	}
	return string(t.Status)
}

func stopLine(s *errand.StopRequest) string {
	by := "asked for by " + s.By
	switch {
	case !s.ConfirmedAt.IsZero():
		return by + ", confirmed"
	case !s.AbandonedAt.IsZero():
		return by + ", the worker did not answer"
	default:
		return by + ", not confirmed yet"
	}
}

// each does the same with some ids. One that the server refuses hinders no
// other; the error names each that it refused.
func each(ids []string, do func(id string) error) error {
	var refused []error
	for _, id := range ids {
		err := do(id)
		if err != nil && len(ids) > 1 && !strings.Contains(err.Error(), id) {
			err = fmt.Errorf("%s: %w", id, err)
		}
		refused = append(refused, err)
		if err != nil && errand.CodeOf(err) == "" { // the next would fare no better
			break
		}
	}
	return errors.Join(refused...)
}

// several does the same with some tasks and prints what became of each.
func (r remote) several(e *env, ids []string, verb func(context.Context, *errand.Tasks, string) (*errand.Task, error)) error {
	return r.callOn(e, pointers(ids), func(ctx context.Context, client *errand.Client) error {
		return each(ids, func(id string) error {
			task, err := verb(ctx, client.Tasks, id)
			switch {
			case err != nil:
				return err
			case r.JSON:
				fmt.Fprintln(e.Out, string(task.JSON()))
			default:
				fmt.Fprintf(e.Out, "%s %s\n", task.ID, task.Status)
			}
			return nil
		})
	})
}

type taskPauseCmd struct {
	remote
	IDs []string `arg:"" name:"id" help:"The tasks' ids, or the first 6 characters or more of each."`
}

// Run pauses the tasks.
func (c *taskPauseCmd) Run(e *env) error {
	return c.several(e, c.IDs, func(ctx context.Context, tasks *errand.Tasks, id string) (*errand.Task, error) {
		return tasks.Pause(ctx, id)
	})
}

type taskResumeCmd struct {
	remote
	IDs []string `arg:"" name:"id" help:"The tasks' ids, or the first 6 characters or more of each."`
}

// Run resumes the tasks.
func (c *taskResumeCmd) Run(e *env) error {
	return c.several(e, c.IDs, func(ctx context.Context, tasks *errand.Tasks, id string) (*errand.Task, error) {
		return tasks.Resume(ctx, id)
	})
}

// isNothing reports whether an update changes nothing.
func isNothing(u errand.TaskUpdate) bool {
	u.Override = false
	return reflect.ValueOf(u).IsZero()
}

type taskUpdateCmd struct {
	remote
	ID             string         `arg:"" help:"The task's id, or its first 6 characters or more."`
	Title          *string        `help:"A title."`
	InternalStatus *string        `name:"internal-status" help:"The agent's own word for what it does, at most 255 characters."`
	Priority       *int           `help:"From -100 to 100; while it is pending."`
	In             *time.Duration `help:"Start after this time, for example 10m; while it is pending."`
	Budget         budgetFlag     `help:"Limits in the place of those that it has, for example tokens=200000; what was paused because of them goes on." placeholder:"LIMITS"`
	ModelProvider  *string        `name:"model-provider" help:"The provider of the model; empty for the agent's own."`
	Model          *string        `help:"The model; empty for the agent's own."`
	Effort         *string        `name:"reasoning-effort" help:"low, medium, high or xhigh; empty for the agent's own."`
	ToolCallLimit  *int           `name:"tool-call-limit" help:"How many tools the agent may call; 0 for its own number."`
	HarnessCLI     *string        `name:"harness-cli" help:"Which coding CLI is to do it; empty for the agent's own."`
	PermissionMode *string        `name:"permission-mode" help:"full or gated; empty for the agent's own."`
	Status         string         `help:"How it ends: completed, failed or error." enum:",completed,failed,error" default:""`
	Result         *string        `help:"Its result; with --status."`
	Override       bool           `help:"Also correct how an ended task is shown to have ended; the log says who did it."`
}

// Run changes the task.
func (c *taskUpdateCmd) Run(e *env) error {
	u := errand.TaskUpdate{
		Title: c.Title, InternalStatus: c.InternalStatus, Priority: c.Priority,
		Status: errand.Status(c.Status), Result: c.Result, Override: c.Override,
		ModelProvider: c.ModelProvider, ModelName: c.Model, ReasoningEffort: c.Effort,
		ToolCallLimit: c.ToolCallLimit, HarnessCLI: c.HarnessCLI, PermissionMode: c.PermissionMode, Budget: c.Budget.Budget,
	}
	if c.In != nil {
		at := time.Now().Add(*c.In)
		u.RunAt = &at
	}
	switch {
	case c.Result != nil && c.Status == "":
		return misused("--result goes with --status completed, failed or error")
	case isNothing(u):
		return misused("nothing to change: give --title, --internal-status, --priority, --in, --budget, what is asked of the model, or --status with --result")
	}
	return c.callOn(e, []*string{&c.ID}, func(ctx context.Context, client *errand.Client) error {
		task, err := client.Tasks.Update(ctx, c.ID, u)
		if err == nil {
			c.show(e, reading{}, task)
		}
		return err
	})
}

type taskRmCmd struct {
	remote
	IDs []string `arg:"" name:"id" help:"The tasks' ids, or the first 6 characters or more of each."`
}

// Run deletes the tasks.
func (c *taskRmCmd) Run(e *env) error {
	return c.callOn(e, pointers(c.IDs), func(ctx context.Context, client *errand.Client) error {
		return c.removed(e, c.IDs, func(id string) error { return client.Tasks.Delete(ctx, id) })
	})
}

// removed removes one thing after the other and says so.
func (r remote) removed(e *env, ids []string, remove func(id string) error) error {
	return each(ids, func(id string) error {
		if err := remove(id); err != nil {
			return err
		}
		if !r.JSON {
			fmt.Fprintf(e.Out, "%s deleted\n", id)
			return nil
		}
		return printJSON(e.Out, struct {
			ID      string `json:"id"`
			Deleted bool   `json:"deleted"`
		}{id, true})
	})
}
