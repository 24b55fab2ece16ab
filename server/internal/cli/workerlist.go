package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/errand-dev/errand"
)

type workerCmds struct {
	Run  workerCmd     `cmd:"" default:"withargs" help:"Do an agent's tasks with a program of yours."`
	List workerListCmd `cmd:"" aliases:"ls" help:"Show the workers that the server knows."`
}

type workerListCmd struct {
	remote
	Agent string `help:"Only this agent's."`
}

// Run prints a table of workers.
func (c *workerListCmd) Run(e *env) error {
	var list []errand.WorkerInfo
	err := c.call(e, func(ctx context.Context, client *errand.Client) (err error) {
		list, err = client.Workers(ctx, c.Agent)
		return err
	})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e.Out, list)
	}
	w := newTable(e.Out, "ID", "AGENTS", "KIND", "STATE", "TASKS", "LAST HEARD", "LOST IN 24 H")
	for _, x := range list {
		state := "away"
		switch {
		case x.Connected && x.Busy:
			state = "busy"
		case x.Connected:
			state = "there"
		}
		tasks := strconv.Itoa(x.AtWork)
		if x.Slots > 0 {
			tasks = fmt.Sprintf("%d of %d", x.AtWork, x.Slots)
		}
		w.row(x.ID, strings.Join(x.Agents, ", "), x.Kind, state, tasks, ago(x.LastHeard), strconv.Itoa(x.Lost))
	}
	w.end()
	return nil
}
