package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/errand-dev/errand"
)

type webhookCmds struct {
	Create webhookCreateCmd `cmd:"" help:"Have an address told of tasks, and print the secret that signs its messages, this once."`
	List   webhookListCmd   `cmd:"" aliases:"ls" help:"List webhooks, and how they have taken their messages."`
	Update webhookUpdateCmd `cmd:"" help:"Change where a webhook is and what it is told; enable or disable it."`
	Test   webhookTestCmd   `cmd:"" help:"Post a message to a webhook now, and say what has come of it."`
	Delete webhookDeleteCmd `cmd:"" aliases:"rm" help:"Delete webhooks: they are told nothing more."`
}

// shownWebhook is a webhook as --json shows it.
type shownWebhook struct {
	ID           string   `json:"id"`
	URL          string   `json:"url"`
	Types        []string `json:"types"`
	Agents       []string `json:"agents"`
	Enabled      bool     `json:"enabled"`
	CreatedAt    jsonTime `json:"created_at"`
	CreatedBy    string   `json:"created_by"`
	LastTakenAt  jsonTime `json:"last_taken_at"`
	Failures     int      `json:"failures"`
	LastFailedAt jsonTime `json:"last_failed_at"`
	LastFailure  string   `json:"last_failure"`
	Secret       string   `json:"secret,omitempty"`
}

func shownHook(w errand.Webhook) shownWebhook {
	return shownWebhook{
		w.ID, w.URL, w.Types, w.Agents, w.Enabled, jsonTime(w.CreatedAt), w.CreatedBy, jsonTime(w.LastTakenAt),
		w.Failures, jsonTime(w.LastFailedAt), w.LastFailure, w.Secret,
	}
}

type webhookCreateCmd struct {
	remote
	URL   string   `arg:"" help:"Where its messages are to be posted."`
	Type  []string `help:"Only messages of this type, for example task.completed; may be repeated." sep:"none"`
	Agent []string `help:"Only of this agent's tasks; may be repeated." sep:"none"`
}

// Help says what no flag does.
func (webhookCreateCmd) Help() string {
	return "The address is told of the tasks that the key sees: task.pending, task.executing, task.paused, task.completed, task.failed, task.error, task.stopped and approval.requested." +
		" Any library of Standard Webhooks verifies its messages with the secret. A private address needs errand serve --allow-private."
}

// Run makes a webhook. Standard output holds nothing but the secret.
func (c *webhookCreateCmd) Run(e *env) error {
	return c.call(e, func(ctx context.Context, client *errand.Client) error {
		made, err := client.Webhooks.Create(ctx, errand.WebhookRequest{URL: c.URL, Types: c.Type, Agents: c.Agent})
		switch {
		case err != nil:
			return err
		case c.JSON:
			return printJSON(e.Out, shownHook(*made))
		}
		fmt.Fprintln(e.Out, made.Secret)
		fmt.Fprintf(e.Err, "This is the only time that it is shown. To try the address: errand webhook test %s\n", made.ID)
		return nil
	})
}

type webhookListCmd struct{ remote }

// Run prints a table of webhooks.
func (c *webhookListCmd) Run(e *env) error {
	return c.call(e, func(ctx context.Context, client *errand.Client) error {
		hooks, err := client.Webhooks.List(ctx)
		if err != nil {
			return err
		}
		if c.JSON {
			all := make([]shownWebhook, len(hooks))
			for i, w := range hooks {
				all[i] = shownHook(w)
			}
			return printJSON(e.Out, all)
		}
		t := newTable(e.Out, "ID", "URL", "TYPES", "AGENTS", "STATE", "TAKEN", "FAILED", "WHY")
		for _, w := range hooks {
			t.row(w.ID, w.URL, strings.Join(w.Types, ", "), strings.Join(w.Agents, ", "), webhookState(w), when(w.LastTakenAt), when(w.LastFailedAt), w.LastFailure)
		}
		t.end()
		return nil
	})
}

// webhookState is how a webhook stands, in a word or two.
func webhookState(w errand.Webhook) string {
	switch {
	case !w.Enabled:
		return "disabled"
	case w.Failures > 0:
		return fmt.Sprintf("failing (%d)", w.Failures)
	default:
		return "enabled"
	}
}

type webhookUpdateCmd struct {
	remote
	ID      string    `arg:"" help:"The webhook's id."`
	URL     *string   `name:"url" help:"Where its messages are to be posted."`
	Type    *[]string `help:"Only messages of this type, in the place of those up to now; may be repeated, all is all." sep:"none"`
	Agent   *[]string `help:"Only of this agent's tasks, in the place of those up to now; may be repeated, all is all." sep:"none"`
	Enable  bool      `help:"Tell it of what happens from now on." xor:"enabled"`
	Disable bool      `help:"Tell it nothing." xor:"enabled"`
}

// Run changes a webhook.
func (c *webhookUpdateCmd) Run(e *env) error {
	change := errand.WebhookChange{URL: c.URL, Types: allOr(c.Type), Agents: allOr(c.Agent)}
	if c.Enable || c.Disable {
		change.Enabled = &c.Enable
	}
	return c.call(e, func(ctx context.Context, client *errand.Client) error {
		changed, err := client.Webhooks.Update(ctx, c.ID, change)
		switch {
		case err != nil:
			return err
		case c.JSON:
			return printJSON(e.Out, shownHook(*changed))
		}
		fmt.Fprintf(e.Out, "%s is %s\n", changed.ID, webhookState(*changed))
		return nil
	})
}

// allOr is a list of which the word "all" stands for an empty one.
func allOr(list *[]string) *[]string {
	if list != nil && len(*list) == 1 && (*list)[0] == "all" {
		return &[]string{}
	}
	return list
}

type webhookTestCmd struct {
	remote
	ID string `arg:"" help:"The webhook's id."`
}

// Run posts a test message.
func (c *webhookTestCmd) Run(e *env) error {
	return c.call(e, func(ctx context.Context, client *errand.Client) error {
		failure, err := client.Webhooks.Test(ctx, c.ID)
		switch {
		case err != nil:
			return err
		case c.JSON:
			if err := printJSON(e.Out, struct {
				Taken   bool   `json:"taken"`
				Failure string `json:"failure"`
			}{failure == "", failure}); err != nil || failure == "" {
				return err
			}
			return exitCodeError{code: exitError}
		case failure != "":
			return errors.New("the test message was not taken: " + failure)
		}
		fmt.Fprintf(e.Out, "%s has taken a test message\n", c.ID)
		return nil
	})
}

type webhookDeleteCmd struct {
	remote
	IDs []string `arg:"" name:"id" help:"The webhooks' ids."`
}

// Run deletes the webhooks.
func (c *webhookDeleteCmd) Run(e *env) error {
	return c.call(e, func(ctx context.Context, client *errand.Client) error {
		for _, id := range c.IDs {
			if err := client.Webhooks.Delete(ctx, id); err != nil {
				return err
			}
			if c.JSON {
				err := printJSON(e.Out, struct {
					ID      string `json:"id"`
					Deleted bool   `json:"deleted"`
				}{id, true})
				if err != nil {
					return err
				}
				continue
			}
			fmt.Fprintf(e.Out, "%s deleted\n", id)
		}
		return nil
	})
}
