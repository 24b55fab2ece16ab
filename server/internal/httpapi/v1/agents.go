package v1

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// Agent is an agent in answers. Its credentials are never among them.
type Agent struct {
	ID             string     `json:"id" doc:"The agent's id." example:"agent-123"`
	OrganizationID string     `json:"organization_id" doc:"The organization that it belongs to."`
	Version        int        `json:"version" doc:"Which version this is: 1 for the first, one more for each change."`
	CreatedAt      task.Stamp `json:"created_at" doc:"When the agent was created."`
	UpdatedAt      task.Stamp `json:"updated_at" doc:"When this version was made."`
	agent.Record
}

func agentOf(a agent.Agent) Agent {
	a.Record.LLMCredential = nil
	return Agent{
		ID: a.ID, OrganizationID: a.OrganizationID, Version: a.Version,
		CreatedAt: a.CreatedAt, UpdatedAt: a.UpdatedAt, Record: a.Record,
	}
}

// AgentRecord is what a person decides of an agent.
type AgentRecord struct{ agent.Record }

// AgentList is a list of agents, or of one agent's versions.
type AgentList struct {
	Items      []Agent `json:"items" doc:"The agents."`
	NextCursor *string `json:"next_cursor" doc:"Give it as cursor for what follows; null at the end."`
}

// ReadAgent reads a record that comes from elsewhere than a request, and holds it to
// what apply-agent takes. Its errors name the field.
func ReadAgent(raw json.RawMessage) (agent.Record, error) {
	schemas := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	documented(schemas)
	r, err := read[AgentRecord](schemas, raw)
	return r.Record, err
}

type agentAnswer struct{ Body Agent }

type agentsAnswer struct{ Body AgentList }

func (r *routes) registerAgents() {
	tags := []string{"agents"}
	add(r, operation{roles: admins(), Operation: huma.Operation{
		OperationID: "create-agent", Method: http.MethodPost, Path: "/v1/agents", DefaultStatus: http.StatusCreated, Tags: tags,
		Summary: "Create an agent with an id of the server's",
	}}, func(ctx context.Context, in *struct{ Body AgentRecord }) (*agentAnswer, error) {
		a, err := r.Service.CreateAgent(ctx, edge.Principal(ctx).Organization, in.Body.Record)
		return &agentAnswer{Body: agentOf(a)}, err
	})
	add(r, operation{roles: admins(), Operation: huma.Operation{
		OperationID: "apply-agent", Method: http.MethodPut, Path: "/v1/agents/{agent_id}", Tags: tags,
		Summary: "Create an agent with an id of yours, or a new version of it if anything differs",
	}}, func(ctx context.Context, in *struct {
		AgentPath
		Body AgentRecord
	},
	) (*agentAnswer, error) {
		a, err := r.Service.PutAgent(ctx, edge.Principal(ctx).Organization, in.AgentID, in.Body.Record)
		return &agentAnswer{Body: agentOf(a)}, err
	})
	add(r, operation{roles: everybody(), errors: []fault.Code{fault.NotFound}, Operation: huma.Operation{
		OperationID: "get-agent", Method: http.MethodGet, Path: "/v1/agents/{agent_id}", Tags: tags, Summary: "Read an agent",
	}}, func(ctx context.Context, in *struct {
		AgentPath
		Version int `query:"version" minimum:"1" doc:"A version; the newest when left open."`
	},
	) (*agentAnswer, error) {
		a, err := r.Service.Agent(ctx, edge.Principal(ctx).Organization, in.AgentID, in.Version)
		return &agentAnswer{Body: agentOf(a)}, err
	})
	add(r, operation{roles: everybody(), errors: []fault.Code{fault.NotFound, fault.Malformed}, Operation: huma.Operation{
		OperationID: "list-agent-versions", Method: http.MethodGet, Path: "/v1/agents/{agent_id}/versions", Tags: tags,
		Summary: "List the versions of an agent, newest first",
	}}, func(ctx context.Context, in *struct {
		AgentPath
		Part
	},
	) (*agentsAnswer, error) {
		before, err := in.in(in.AgentID)
		if err != nil {
			return nil, err
		}
		found, err := r.Service.AgentVersions(ctx, edge.Principal(ctx).Organization, in.AgentID, int(min(before, math.MaxInt32)), in.Limit)
		list := listOf(found)
		if len(found) > 0 { // the first is 1
			list.Body.NextCursor = next(in.AgentID, int64(found[len(found)-1].Version-1))
		}
		return list, err
	})
	add(r, operation{roles: everybody(), errors: []fault.Code{fault.Malformed}, Operation: huma.Operation{
		OperationID: "list-agents", Method: http.MethodGet, Path: "/v1/agents", Tags: tags, Summary: "List agents, by their ids",
		Description: "A worker's key for named agents sees these only.",
	}}, func(ctx context.Context, in *Part) (*agentsAnswer, error) {
		p := edge.Principal(ctx)
		behind, err := in.place()
		if err != nil {
			return nil, err
		}
		found, err := r.Service.AgentsAfter(ctx, p.Organization, behind.ID, in.Limit)
		if err != nil {
			return nil, err
		}
		if behind = (lifecycle.Cursor{}); len(found) > 0 {
			last := found[len(found)-1].ID
			more, err := r.Service.AgentsAfter(ctx, p.Organization, last, 1)
			if err != nil {
				return nil, err
			}
			if len(more) > 0 {
				behind.ID = last
			}
		}
		found = slices.DeleteFunc(found, func(a agent.Agent) bool { return edge.RequireAgent(p, a.ID) != nil })
		list := listOf(found)
		list.Body.NextCursor = nextOf(behind)
		return list, nil
	})
	add(r, operation{roles: admins(), errors: []fault.Code{fault.NotFound, fault.Conflict}, Operation: huma.Operation{
		OperationID: "delete-agent", Method: http.MethodDelete, Path: "/v1/agents/{agent_id}", DefaultStatus: http.StatusNoContent, Tags: tags,
		Summary:     "Delete an agent, its versions and its credentials",
		Description: "Only when all of its tasks have ended; they stay readable. A Python worker that registers for it later creates it anew.",
	}}, func(ctx context.Context, in *AgentPath) (*struct{}, error) {
		return nil, r.Service.DeleteAgent(ctx, edge.Principal(ctx).Organization, in.AgentID)
	})
}

func listOf(agents []agent.Agent) *agentsAnswer {
	list := AgentList{Items: make([]Agent, 0, len(agents))}
	for _, a := range agents {
		list.Items = append(list.Items, agentOf(a))
	}
	return &agentsAnswer{Body: list}
}
