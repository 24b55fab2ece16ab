package cli

import (
	"context"
	"fmt"

	"github.com/errand-dev/errand"
)

type eventsCmd struct {
	remote
	taskFilter
	After string `help:"Go on behind this cursor, which each line begins with; 0 is the oldest that is kept." placeholder:"CURSOR"`
}

// Help says what cannot be said in flags.
func (eventsCmd) Help() string {
	return "A line for each change of a task that matches: its cursor, the task, the numbers of the new events of its log, or deleted." +
		" It goes on until Ctrl-C, also when the server restarts; with the last cursor it goes on later, for about ten minutes."
}

// Run prints changes as they come.
func (c *eventsCmd) Run(e *env) error {
	return c.call(e, func(ctx context.Context, client *errand.Client) error {
		for change, err := range client.Events(ctx, errand.EventsOptions{Filter: c.options(), After: c.After}) {
			switch {
			case err != nil:
				return err
			case c.JSON:
				err = printJSON(e.Out, change)
			case change.Deleted():
				_, err = fmt.Fprintf(e.Out, "%s %s deleted\n", change.Cursor, change.TaskID)
			default:
				_, err = fmt.Fprintf(e.Out, "%s %s %d-%d\n", change.Cursor, change.TaskID, change.FirstSeq, change.LastSeq)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}
