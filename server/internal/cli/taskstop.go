package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/errand-dev/errand"
)

type taskStopCmd struct {
	remote
	taskFilter
	IDs    []string `arg:"" optional:"" name:"id" help:"The tasks' ids."`
	All    bool     `help:"Every task that has not ended."`
	DryRun bool     `name:"dry-run" help:"Only tell which would be stopped."`
}

// Help says what cannot be said in flags.
func (taskStopCmd) Help() string {
	return "Name tasks by their ids, or say which by filters: errand task stop --agent A --status pending --dry-run."
}

// Run stops the tasks.
func (c *taskStopCmd) Run(e *env) error {
	filtered := c.taskFilter != taskFilter{}
	switch {
	case len(c.IDs) > 0 && (filtered || c.All || c.DryRun):
		return errors.New("either name tasks, or say which by --agent, --status and so on, not both")
	case len(c.IDs) > 0:
		return c.several(e, c.IDs, func(ctx context.Context, tasks *errand.Tasks, id string) (*errand.Task, error) {
			return tasks.Stop(ctx, id)
		})
	case filtered && c.All:
		return errors.New("--all is every task: leave out the filters, or leave out --all")
	case !filtered && !c.All:
		return errors.New("which tasks? Name their ids, or say which by --agent, --status and so on, or --all")
	}
	return c.call(e, func(ctx context.Context, client *errand.Client) error {
		got, err := client.Tasks.StopAll(ctx, errand.StopFilter{
			AgentID: c.Agent, UserID: c.User, ParentTaskID: c.Parent, Status: errand.Status(c.Status),
			InternalStatus: c.InternalStatus, From: c.From.Time, To: c.To.Time, All: c.All, DryRun: c.DryRun,
		})
		if err != nil {
			return err
		}
		return c.tell(e, got)
	})
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
	fmt.Fprintf(e.Err, "%d %s\n", n, verb)
	return nil
}
