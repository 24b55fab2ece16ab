package app

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/agentfile"
	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	v1 "github.com/errand-dev/errand/server/internal/httpapi/v1"
)

// ApplyAgents applies the records of files to the default organization, in their order.
// If one of them is wrong none is applied, and the error names its place. One that says
// what its agent says makes no new version. An agent that no record names any more stays:
// it may have tasks, and nobody has said that it is to go.
func (a *App) ApplyAgents(ctx context.Context, agents []agentfile.Agent) error {
	records := make([]agent.Record, len(agents))
	for i, given := range agents {
		var err error
		if records[i], err = v1.ReadAgent(given.JSON); err == nil {
			err = a.service.CheckAgent(given.ID, &records[i])
		}
		if err != nil {
			return placed(given, err)
		}
	}
	for i, given := range agents {
		before, err := a.service.Agent(ctx, auth.DefaultOrganization, given.ID, 0)
		if err != nil && fault.CodeOf(err) != fault.NotFound {
			return err
		}
		after, err := a.service.PutAgent(ctx, auth.DefaultOrganization, given.ID, records[i])
		if err != nil {
			return fmt.Errorf("apply agent %s: %w", given.ID, err)
		}
		if after.Version != before.Version {
			a.opts.Log.InfoContext(ctx, "agent applied", "agent_id", after.ID, "version", after.Version)
		}
	}
	return a.tellOfOthers(ctx, agents)
}

// placed says in which line of which file something is wrong.
func placed(given agentfile.Agent, err error) error {
	wrong, is := errors.AsType[*fault.Error](err)
	switch {
	case !is:
		return given.Wrong("", err.Error())
	case wrong.Field == "agent_id":
		return given.Wrong("id", wrong.Message)
	default:
		return given.Wrong(wrong.Field, wrong.Message)
	}
}

// maxOthers bounds how many agents a line of the log names.
const maxOthers = 20

// tellOfOthers names the agents that no record names: some may have been taken out of
// the files in the belief that this removes them.
func (a *App) tellOfOthers(ctx context.Context, agents []agentfile.Agent) error {
	if len(agents) == 0 {
		return nil
	}
	var others []string
	count := 0
	for known, err := range a.service.EachAgent(ctx, auth.DefaultOrganization) {
		if err != nil {
			return err
		}
		if known.ID == ProfileAgent || slices.ContainsFunc(agents, func(given agentfile.Agent) bool { return given.ID == known.ID }) {
			continue
		}
		if count++; count <= maxOthers {
			others = append(others, known.ID)
		}
	}
	if count > 0 {
		a.opts.Log.InfoContext(ctx, "agents that --agents does not name stay as they are; 'errand agent rm' removes one", "count", count, "agents", others)
	}
	return nil
}
