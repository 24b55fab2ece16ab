package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/errand-dev/errand"
)

type keyCmds struct {
	Create keyCreateCmd `cmd:"" help:"Make a key and print it, this once."`
	List   keyListCmd   `cmd:"" help:"List keys, without their secrets."`
	Revoke keyRevokeCmd `cmd:"" help:"Make keys worthless."`
}

// shownKey is a key as --json shows it.
type shownKey struct {
	ID        string      `json:"id"`
	Name      string      `json:"name"`
	Role      errand.Role `json:"role"`
	Agents    []string    `json:"agents"`
	Sees      errand.Sees `json:"sees"`
	Group     string      `json:"group"`
	Trusted   bool        `json:"trusted"`
	CreatedAt time.Time   `json:"created_at"`
	RevokedAt time.Time   `json:"revoked_at,omitzero"`
	Key       string      `json:"key,omitempty"`
}

func shown(k errand.Key) shownKey {
	return shownKey{k.ID, k.Name, k.Role, append([]string{}, k.Agents...), k.Sees, k.Group, k.Trusted, k.CreatedAt, k.RevokedAt, k.Secret}
}

type keyCreateCmd struct {
	remote
	Name  string   `arg:"" help:"Who it is for."`
	Role  string   `help:"admin (everything), user (tasks, files, reading agents) or worker (executing tasks)." enum:"admin,user,worker" default:"user"`
	Agent []string `help:"For a worker: only this agent's tasks; may be repeated." sep:"none"`

	Sees    string `help:"Which tasks and files it sees: its own, its group's, or all. Only a user's key can see less than all." enum:"own,group,all" default:"all"`
	Group   string `help:"The group to which what it makes belongs."`
	Trusted bool   `help:"It may act for users whom it names in the header X-Errand-User, and who then own what it makes."`
}

// Run makes a key. Standard output holds nothing but the key.
func (c *keyCreateCmd) Run(e *env) error {
	return c.call(e, func(ctx context.Context, client *errand.Client) error {
		key, err := client.Keys.Create(ctx, errand.KeyRequest{
			Name: c.Name, Role: errand.Role(c.Role), Agents: c.Agent, Sees: errand.Sees(c.Sees), Group: c.Group, Trusted: c.Trusted,
		})
		switch {
		case err != nil:
			return err
		case c.JSON:
			return printJSON(e.Out, shown(*key))
		}
		fmt.Fprintln(e.Out, key.Secret)
		fmt.Fprintf(e.Err, "This is the only time that it is shown. To revoke it: errand key revoke %s\n", key.ID)
		return nil
	})
}

type keyListCmd struct{ remote }

// Run prints a table of keys.
func (c *keyListCmd) Run(e *env) error {
	return c.call(e, func(ctx context.Context, client *errand.Client) error {
		keys, err := client.Keys.List(ctx)
		if err != nil {
			return err
		}
		if c.JSON {
			all := make([]shownKey, len(keys))
			for i, k := range keys {
				all[i] = shown(k)
			}
			return printJSON(e.Out, all)
		}
		w := newTable(e.Out, "ID", "NAME", "ROLE", "AGENTS", "SEES", "GROUP", "TRUSTED", "CREATED", "REVOKED")
		for _, k := range keys {
			trusted := ""
			if k.Trusted {
				trusted = "yes"
			}
			w.row(k.ID, k.Name, string(k.Role), strings.Join(k.Agents, ", "), string(k.Sees), k.Group, trusted, when(k.CreatedAt), when(k.RevokedAt))
		}
		w.end()
		return nil
	})
}

type keyRevokeCmd struct {
	remote
	IDs []string `arg:"" name:"id" help:"The keys' ids."`
}

// Run revokes the keys.
func (c *keyRevokeCmd) Run(e *env) error {
	return c.call(e, func(ctx context.Context, client *errand.Client) error {
		for _, id := range c.IDs {
			if err := client.Keys.Revoke(ctx, id); err != nil {
				return err
			}
			if c.JSON {
				err := printJSON(e.Out, struct {
					ID      string `json:"id"`
					Revoked bool   `json:"revoked"`
				}{id, true})
				if err != nil {
					return err
				}
				continue
			}
			fmt.Fprintf(e.Out, "%s revoked\n", id)
		}
		return nil
	})
}
