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
	Cap    keyCapCmd    `cmd:"" help:"Change what a key's tasks may spend."`
	List   keyListCmd   `cmd:"" aliases:"ls" help:"List keys, without their secrets."`
	Revoke keyRevokeCmd `cmd:"" help:"Make keys worthless."`
}

// shownKey is a key as --json shows it.
type shownKey struct {
	ID        string       `json:"id"`
	Name      string       `json:"name"`
	Role      errand.Role  `json:"role"`
	Agents    []string     `json:"agents"`
	Sees      errand.Sees  `json:"sees"`
	Group     string       `json:"group"`
	Trusted   bool         `json:"trusted"`
	Person    string       `json:"person"`
	Caps      *errand.Caps `json:"caps"`
	CreatedAt jsonTime     `json:"created_at"`
	CreatedBy string       `json:"created_by"`
	ExpiresAt jsonTime     `json:"expires_at"`
	UsedAt    jsonTime     `json:"last_used_at"`
	RevokedAt jsonTime     `json:"revoked_at"`
	Key       string       `json:"key,omitempty"`
}

func shown(k errand.Key) shownKey {
	return shownKey{
		k.ID, k.Name, k.Role, append([]string{}, k.Agents...), k.Sees, k.Group, k.Trusted, k.Person, k.Caps, jsonTime(k.CreatedAt), k.CreatedBy,
		jsonTime(k.ExpiresAt), jsonTime(k.LastUsedAt), jsonTime(k.RevokedAt), k.Secret,
	}
}

type keyCreateCmd struct {
	remote
	Name  string   `arg:"" help:"Who it is for."`
	Role  string   `help:"admin (everything), user (tasks, files, reading agents) or worker (executing tasks)." enum:"admin,user,worker" default:"user"`
	Agent []string `help:"For a worker: only this agent's tasks; may be repeated." sep:"none"`

	Sees      string        `help:"Which tasks and files it sees: its own, its group's, or all. Only a user's key can see less than all." enum:"own,group,all" default:"all"`
	Group     string        `help:"The group to which what it makes belongs."`
	Trusted   bool          `help:"It may act for users whom it names in the header X-Errand-User, and who then own what it makes."`
	ExpiresIn time.Duration `help:"It ends by itself after this time, for example 720h; never when left out."`
	capFlags
}

// capFlags are caps on the command line.
type capFlags struct {
	Day     allowanceFlag `help:"What its tasks may spend together in a day (UTC), for example tokens=1000000,cost=20." placeholder:"NAME=VALUE,…"`
	Month   allowanceFlag `help:"What they may spend in a month." placeholder:"NAME=VALUE,…"`
	WarnAt  float64       `help:"The part of a limit at which logs warn; 0.8 when left out." placeholder:"PART"`
	AtLimit string        `help:"What a limit does that is reached: pause (tasks go on in the next day or month, or when it is raised; when left out) or end." placeholder:"pause|end"`
}

// caps are nil without limits.
func (f capFlags) caps() *errand.Caps {
	if f.Day.Allowance == nil && f.Month.Allowance == nil {
		return nil
	}
	return &errand.Caps{Day: f.Day.Allowance, Month: f.Month.Allowance, WarnAt: f.WarnAt, AtLimit: errand.AtLimit(f.AtLimit)}
}

type keyCapCmd struct {
	remote
	ID string `arg:"" help:"The key's id."`
	capFlags
}

// Help says what no flag does.
func (keyCapCmd) Help() string {
	return "The caps stand in the place of those that the key has; without --day and --month it has none. Tasks that the old ones have paused go on if no cap is reached any more."
}

// Run changes a key's caps.
func (c *keyCapCmd) Run(e *env) error {
	return c.call(e, func(ctx context.Context, client *errand.Client) error {
		key, err := client.Keys.Cap(ctx, c.ID, c.caps())
		switch {
		case err != nil:
			return err
		case c.JSON:
			return printJSON(e.Out, shown(*key))
		case key.Caps == nil:
			fmt.Fprintf(e.Out, "%s has no caps\n", key.ID)
		default:
			fmt.Fprintf(e.Out, "%s has new caps\n", key.ID)
		}
		return nil
	})
}

// Run makes a key. Standard output holds nothing but the key.
func (c *keyCreateCmd) Run(e *env) error {
	return c.call(e, func(ctx context.Context, client *errand.Client) error {
		var expires time.Time
		if c.ExpiresIn != 0 {
			expires = time.Now().Add(c.ExpiresIn)
		}
		key, err := client.Keys.Create(ctx, errand.KeyRequest{
			Name: c.Name, Role: errand.Role(c.Role), Agents: c.Agent, Sees: errand.Sees(c.Sees), Group: c.Group, Trusted: c.Trusted, Caps: c.caps(),
			ExpiresAt: expires,
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
		w := newTable(e.Out, "ID", "NAME", "ROLE", "AGENTS", "SEES", "GROUP", "TRUSTED", "CREATED", "BY", "USED", "EXPIRES", "REVOKED")
		for _, k := range keys {
			trusted := ""
			if k.Trusted {
				trusted = "yes"
			}
			w.row(k.ID, k.Name, string(k.Role), strings.Join(k.Agents, ", "), string(k.Sees), k.Group, trusted, when(k.CreatedAt), strings.TrimPrefix(k.CreatedBy, "key "), when(k.LastUsedAt), when(k.ExpiresAt), when(k.RevokedAt))
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
