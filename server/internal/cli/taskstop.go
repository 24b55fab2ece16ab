package cli

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/errand-dev/errand"
)

type taskStopCmd struct {
	remote
	taskFilter
	IDs    []string `arg:"" optional:"" name:"id" help:"The tasks' ids, or the first 6 characters or more of each."`
	All    bool     `help:"Every task that has not ended."`
	DryRun bool     `name:"dry-run" help:"Only tell which would be stopped."`
	Yes    bool     `help:"Stop them without asking on a terminal whether that many are meant."`
}

// Help says what cannot be said in flags.
func (taskStopCmd) Help() string {
	return "Name tasks by their ids, or say which by filters: errand task stop --agent A --status pending --dry-run."
}

// Run stops the tasks.
func (c *taskStopCmd) Run(e *env) error {
	filtered := !c.empty()
	switch {
	case len(c.IDs) > 0 && (filtered || c.All || c.DryRun):
		return misused("either name tasks, or say which by --agent, --status and so on, not both")
	case len(c.IDs) > 0:
		return c.several(e, c.IDs, func(ctx context.Context, tasks *errand.Tasks, id string) (*errand.Task, error) {
			return tasks.Stop(ctx, id)
		})
	case filtered && c.All:
		return misused("--all is every task: leave out the filters, or leave out --all")
	case !filtered && !c.All:
		return misused("which tasks? Name their ids, or say which by --agent, --status and so on, or --all")
	}
	if c.EndReason != "" {
		return misused("--end-reason is of tasks that have ended")
	}
	return c.call(e, func(ctx context.Context, client *errand.Client) error {
		f := c.filter()
		if !c.DryRun && !c.Yes && !c.JSON && isTerminal(e.Out) && isTerminalIn(e.In) {
			counted := f
			counted.DryRun = true
			got, err := client.Tasks.StopAll(ctx, counted)
			if err != nil {
				return err
			}
			if got.Matched == 0 {
				return c.tell(e, got)
			}
			if err := c.confirm(e, got); err != nil {
				return err
			}
			f.To = got.Before // and none that has come since
		}
		got, err := client.Tasks.StopAll(ctx, f)
		if err != nil {
			return err
		}
		return c.tell(e, got)
	})
}

func (c *taskStopCmd) filter() errand.StopFilter {
	o := c.options()
	return errand.StopFilter{
		AgentID: o.AgentID, UserID: o.UserID, ParentTaskID: o.ParentTaskID, Statuses: o.Statuses, InternalStatus: o.InternalStatus, WorkerID: o.WorkerID,
		WaitingFor: o.WaitingFor, NeedsPerson: o.NeedsPerson, Tag: o.Tag, Roots: o.Roots, From: o.From, To: o.To, All: c.All, DryRun: c.DryRun,
	}
}

// confirm asks whoever sits at the terminal whether that many are meant.
func (c *taskStopCmd) confirm(e *env, got *errand.StoppedTasks) error {
	for _, x := range got.Sample {
		fmt.Fprintf(e.Out, "%s  %s  %s\n", x.ID, x.Status, printable(cmp.Or(x.Title, x.Prompt)))
	}
	if more := got.Matched - len(got.Sample); more > 0 {
		fmt.Fprintf(e.Out, "and %d more\n", more)
	}
	fmt.Fprintf(e.Out, "stop %d and %d sub-tasks (y or n): ", got.Matched, got.Subtasks)
	line, err := await(e, func() (string, error) { return bufio.NewReader(e.In).ReadString('\n') })
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if answer := strings.ToLower(strings.TrimSpace(line)); answer != "y" && answer != "yes" {
		return errors.New("nothing was stopped")
	}
	return nil
}

func (c *taskStopCmd) tell(e *env, got *errand.StoppedTasks) error {
	if c.JSON {
		return printJSON(e.Out, got)
	}
	for _, id := range got.IDs {
		fmt.Fprintln(e.Out, id)
	}
	verb, n := "stopped", got.Stopped
	if got.DryRun {
		verb, n = "would be stopped", got.Matched
	}
	if more := n - len(got.IDs); more > 0 {
		fmt.Fprintf(e.Out, "and %d more\n", more)
	}
	if got.Subtasks > 0 {
		fmt.Fprintf(e.Err, "%d %s, and below them %s\n", n, verb, plural(got.Subtasks, "sub-task"))
		return nil
	}
	fmt.Fprintf(e.Err, "%d %s\n", n, verb)
	return nil
}
