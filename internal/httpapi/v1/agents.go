package v1

import (
	"context"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/errand-dev/errand/internal/agent"
	"github.com/errand-dev/errand/internal/httpapi/edge"
	"github.com/errand-dev/errand/internal/task"
)

// Agent is an agent in answers. Its credentials are never among them.
type Agent struct {
	ID             string     `json:"id"`
	OrganizationID string     `json:"organization_id"`
	Version        int        `json:"version"`
	CreatedAt      task.Stamp `json:"created_at"`
	UpdatedAt      task.Stamp `json:"updated_at"`
	agent.Record
}

func agentOf(a agent.Agent) Agent {
	a.Record.LLMCredential = nil
	return Agent{
		ID: a.ID, OrganizationID: a.OrganizationID, Version: a.Version,
		CreatedAt: a.CreatedAt, UpdatedAt: a.UpdatedAt, Record: a.Record,
	}
}

// AgentList is all agents.
type AgentList struct {
	Items []Agent `json:"items"`
}

type agentAnswer struct{ Body Agent }

func (r *routes) registerAgents() {
	tags := []string{"agents"}
	add(r, operation{roles: admins(), Operation: huma.Operation{
		OperationID: "apply-agent", Method: http.MethodPut, Path: "/v1/agents/{agent_id}", Tags: tags,
		Summary: "Create an agent, or a new version of it if anything differs",
	}}, func(ctx context.Context, in *struct {
		ID   string `path:"agent_id"`
		Body agent.Record
	},
	) (*agentAnswer, error) {
		a, err := r.Service.PutAgent(ctx, edge.Principal(ctx).Organization, in.ID, in.Body)
		return &agentAnswer{Body: agentOf(a)}, err
	})
	add(r, operation{roles: everybody(), Operation: huma.Operation{
		OperationID: "get-agent", Method: http.MethodGet, Path: "/v1/agents/{agent_id}", Tags: tags, Summary: "Read an agent",
	}}, func(ctx context.Context, in *struct {
		ID      string `path:"agent_id"`
		Version int    `query:"version" minimum:"1" doc:"A version; the newest when left open."`
	},
	) (*agentAnswer, error) {
		a, err := r.Service.Agent(ctx, edge.Principal(ctx).Organization, in.ID, in.Version)
		return &agentAnswer{Body: agentOf(a)}, err
	})
	add(r, operation{roles: everybody(), Operation: huma.Operation{
		OperationID: "list-agents", Method: http.MethodGet, Path: "/v1/agents", Tags: tags, Summary: "List agents",
	}}, func(ctx context.Context, _ *struct{}) (*struct{ Body AgentList }, error) {
		p := edge.Principal(ctx)
		found, err := r.Service.Agents(ctx, p.Organization)
		list := AgentList{Items: make([]Agent, 0, len(found))}
		for _, a := range found {
			if edge.RequireAgent(p, a.ID) == nil {
				list.Items = append(list.Items, agentOf(a))
			}
		}
		return &struct{ Body AgentList }{list}, err
	})
}

// schemaOf is the schema of a type by reference.
func schemaOf[T any](r *routes) *huma.Schema {
	return r.api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[T](), true, "")
}
