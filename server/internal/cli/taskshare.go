package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/errand-dev/errand"
)

type taskShareCmd struct {
	remote
	ID        string        `arg:"" help:"The task's id, or its first 6 characters or more."`
	ExpiresIn time.Duration `help:"For how long it is good." default:"1h"`
	List      bool          `help:"List the tokens that read the task."`
	Revoke    string        `help:"Revoke the token with this id." placeholder:"TOKEN"`
}

// sharedToken is a token as --json shows it.
type sharedToken struct {
	ID        string    `json:"id"`
	TaskID    string    `json:"task_id"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
	URL       string    `json:"url,omitempty"`
}

// Run makes a token, lists them, or revokes one. Standard output holds the URL of the
// task's events alone.
func (c *taskShareCmd) Run(e *env) error {
	return c.callOn(e, []*string{&c.ID}, func(ctx context.Context, client *errand.Client) error {
		switch {
		case c.Revoke != "":
			return client.Tasks.Unshare(ctx, c.ID, c.Revoke)
		case c.List:
			return c.list(ctx, e, client)
		}
		token, err := client.Tasks.Share(ctx, c.ID, c.ExpiresIn)
		if err != nil {
			return err
		}
		shared := client.Tasks.SharedURL(token)
		if c.JSON {
			return printJSON(e.Out, sharedToken{token.ID, token.TaskID, token.CreatedAt, token.ExpiresAt, shared})
		}
		fmt.Fprintln(e.Out, shared)
		fmt.Fprintf(e.Err, "Whoever has it reads the task until %s. To revoke it: errand task share %s --revoke %s\n", when(token.ExpiresAt), c.ID, token.ID)
		return nil
	})
}

func (c *taskShareCmd) list(ctx context.Context, e *env, client *errand.Client) error {
	found, err := client.Tasks.Shares(ctx, c.ID)
	if err != nil {
		return err
	}
	shown := make([]sharedToken, 0, len(found))
	w := newTable(e.Out, "ID", "CREATED", "EXPIRES")
	for _, t := range found {
		shown = append(shown, sharedToken{ID: t.ID, TaskID: t.TaskID, CreatedAt: t.CreatedAt, ExpiresAt: t.ExpiresAt})
		w.row(t.ID, when(t.CreatedAt), when(t.ExpiresAt))
	}
	if c.JSON {
		return printJSON(e.Out, shown)
	}
	w.end()
	return nil
}
