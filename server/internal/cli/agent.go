package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/errand-dev/errand"
	"github.com/errand-dev/errand/server/internal/agentfile"
)

type agentCmds struct {
	Apply    agentApplyCmd    `cmd:"" help:"Create agents, or new versions of them."`
	List     agentListCmd     `cmd:"" aliases:"ls" help:"List agents."`
	Get      agentGetCmd      `cmd:"" aliases:"show" help:"Show an agent."`
	Versions agentVersionsCmd `cmd:"" help:"List an agent's versions, newest first."`
	Rm       agentRmCmd       `cmd:"" aliases:"delete,remove" help:"Delete agents that have no unfinished tasks; their ended tasks stay."`
}

type agentApplyCmd struct {
	remote
	ID           string  `arg:"" optional:"" help:"The agent's id; with the flags below, what they leave out stays as it is."`
	File         string  `short:"f" help:"A file (YAML or JSON) with the records of any number of agents, or a folder of such files; - is standard input." placeholder:"FILE"`
	Name         *string `help:"A name for people; for a new agent its id, if left out."`
	Description  *string `help:"What it is for."`
	Instructions *string `help:"What it is told about itself."`
	Runtime      *string `help:"Who executes its tasks: worker, command, profile or model."`
	Command      *string `help:"For runtime command: the name of a program in the server's configuration file."`
	Provider     *string `help:"For runtime model: openai, anthropic, ollama, or any name beside --api-base; openai if left out."`
	Model        *string `help:"The name of its model there."`
	APIBase      *string `name:"api-base" help:"URL of its model's endpoint, if that is not the provider's."`
}

// Help says what cannot be said in flags.
func (agentApplyCmd) Help() string {
	return "One agent: errand agent apply agent-123 --name Analyst. Many: errand agent apply -f agents.yaml," +
		" whose records have an id beside the fields that 'errand agent get --json' shows."
}

// Run applies what is given. Nothing is applied if any of it is not well-formed.
func (c *agentApplyCmd) Run(e *env) error {
	flags := c.Name != nil || c.Description != nil || c.Instructions != nil || c.Runtime != nil || c.Command != nil ||
		c.Provider != nil || c.Model != nil || c.APIBase != nil
	switch {
	case c.ID == "" && c.File == "":
		return misused("which agent? Give its id, or a file with -f")
	case c.File != "" && (c.ID != "" || flags):
		return misused("-f says everything about its agents: leave out the id and the other flags")
	case c.File == "":
		return c.call(e, func(ctx context.Context, client *errand.Client) error {
			before, err := existing(ctx, client, c.ID)
			if err != nil {
				return err
			}
			return c.apply(ctx, e, client, before, c.change(before))
		})
	}
	agents, err := readAgents(e, c.File)
	if err != nil {
		return err
	}
	return c.call(e, func(ctx context.Context, client *errand.Client) error {
		for _, given := range agents {
			before, err := existing(ctx, client, given.ID)
			if err != nil {
				return err
			}
			a, err := recordOf(given)
			if err != nil {
				return err
			}
			if err := c.apply(ctx, e, client, before, a); err != nil {
				return refusedAt(given, err)
			}
		}
		return nil
	})
}

// readAgents reads a file, a folder of files, or standard input for "-".
func readAgents(e *env, name string) ([]agentfile.Agent, error) {
	return await(e, func() ([]agentfile.Agent, error) {
		if name != "-" {
			return agentfile.Read(name)
		}
		content, err := io.ReadAll(e.In)
		if err != nil {
			return nil, err
		}
		return agentfile.Parse("standard input", content)
	})
}

// recordOf is what a file says of an agent, for the server.
func recordOf(given agentfile.Agent) (errand.Agent, error) {
	a := errand.Agent{ID: given.ID}
	if err := json.Unmarshal(given.JSON, &a); err != nil {
		return a, given.Wrong("", err.Error())
	}
	return a, nil
}

// refusedAt says where the server's refusal has its reason.
func refusedAt(given agentfile.Agent, err error) error {
	if refused, is := errors.AsType[*errand.Error](err); is && refused.Code == errand.CodeInvalid {
		return given.Wrong(refused.Field, refused.Message)
	}
	return fmt.Errorf("agent %s: %w", given.ID, err)
}

// existing is an agent, or one of version 0 if there is none yet.
func existing(ctx context.Context, client *errand.Client, id string) (errand.Agent, error) {
	a, err := client.Agents.Get(ctx, id)
	if errors.Is(err, errand.ErrNotFound) {
		return errand.Agent{ID: id}, nil
	}
	if err != nil {
		return errand.Agent{}, err
	}
	return *a, nil
}

// change is the agent as the flags want it.
func (c *agentApplyCmd) change(a errand.Agent) errand.Agent {
	if a.Name == "" {
		a.Name = a.ID
	}
	if c.Runtime != nil && a.Runtime != *c.Runtime {
		a.Runtime, a.Command = *c.Runtime, "" // the program belonged to the runtime of before
	}
	set(&a.Name, c.Name)
	set(&a.Description, c.Description)
	set(&a.Command, c.Command)
	set(&a.ModelProvider, c.Provider)
	set(&a.ModelName, c.Model)
	set(&a.LLMAPIBase, c.APIBase)
	if c.Instructions != nil {
		a.Instructions = &errand.Instructions{General: *c.Instructions}
	}
	return a
}

func set(field, to *string) {
	if to != nil {
		*field = *to
	}
}

func (c *agentApplyCmd) apply(ctx context.Context, e *env, client *errand.Client, before, a errand.Agent) error {
	after, err := client.Agents.Apply(ctx, a.ID, a)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e.Out, after)
	}
	became := "version " + strconv.Itoa(after.Version)
	switch before.Version {
	case 0:
		became = "created"
	case after.Version:
		became = "unchanged"
	}
	fmt.Fprintf(e.Out, "%s %s\n", after.ID, became)
	return nil
}

type agentListCmd struct{ remote }

// Run prints a table of agents.
func (c *agentListCmd) Run(e *env) error {
	return c.call(e, func(ctx context.Context, client *errand.Client) error {
		agents, err := client.Agents.List(ctx)
		if err != nil {
			return err
		}
		return c.table(e, agents)
	})
}

func (r remote) table(e *env, agents []errand.Agent) error {
	if r.JSON {
		return printJSON(e.Out, append([]errand.Agent{}, agents...))
	}
	w := newTable(e.Out, "ID", "NAME", "RUNTIME", "VERSION", "UPDATED")
	for _, a := range agents {
		w.row(a.ID, a.Name, a.Runtime, strconv.Itoa(a.Version), when(a.UpdatedAt))
	}
	w.end()
	return nil
}

type agentGetCmd struct {
	remote
	ID      string `arg:"" help:"The agent's id."`
	Version int    `help:"This version, instead of the newest."`
}

// Run shows the agent. Its JSON is what apply takes.
func (c *agentGetCmd) Run(e *env) error {
	return c.call(e, func(ctx context.Context, client *errand.Client) error {
		get := client.Agents.Get
		if c.Version != 0 {
			get = func(ctx context.Context, id string) (*errand.Agent, error) {
				return client.Agents.GetVersion(ctx, id, c.Version)
			}
		}
		a, err := get(ctx, c.ID)
		switch {
		case err != nil:
			return err
		case c.JSON:
			return printJSON(e.Out, a)
		}
		showAgent(e, a)
		return nil
	})
}

func showAgent(e *env, a *errand.Agent) {
	w := newTable(e.Out)
	w.pair("id", a.ID)
	w.pair("name", a.Name)
	w.pair("description", a.Description)
	w.pair("runtime", a.Runtime)
	w.pair("command", a.Command)
	if a.Remote != nil {
		w.pair("remote agent", a.Remote.URL)
	}
	w.pair("version", strconv.Itoa(a.Version))
	w.pair("model", strings.TrimPrefix(a.ModelProvider+" "+a.ModelName, " "))
	w.pair("output format", a.OutputFormat)
	if a.LeaseSeconds > 0 {
		w.pair("lease", fmt.Sprintf("%d s", a.LeaseSeconds))
	}
	if a.MaxAttempts > 0 {
		w.pair("attempts", fmt.Sprintf("at most %d", a.MaxAttempts))
	}
	w.pair("created", when(a.CreatedAt))
	w.pair("updated", when(a.UpdatedAt))
	if i := a.Instructions; i != nil {
		w.pair("role", strings.Join(i.Role, "; "))
		w.pair("goal", strings.Join(i.Goal, "; "))
		w.pair("instructions", i.General)
	}
	w.end()
}

type agentVersionsCmd struct {
	remote
	ID string `arg:"" help:"The agent's id."`
}

// Run prints a table of versions.
func (c *agentVersionsCmd) Run(e *env) error {
	return c.call(e, func(ctx context.Context, client *errand.Client) error {
		versions, err := client.Agents.Versions(ctx, c.ID)
		if err != nil {
			return err
		}
		return c.table(e, versions)
	})
}

type agentRmCmd struct {
	remote
	IDs []string `arg:"" name:"id" help:"The agents' ids."`
}

// Run deletes the agents.
func (c *agentRmCmd) Run(e *env) error {
	return c.call(e, func(ctx context.Context, client *errand.Client) error {
		return c.removed(e, c.IDs, func(id string) error { return client.Agents.Delete(ctx, id) })
	})
}
