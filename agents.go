package errand

import (
	"context"
	"net/http"
	"net/url"
)

// Agents reads and applies agents.
type Agents struct{ c *Client }

// Agent is an agent's record.
type Agent struct {
	ID      string `json:"id,omitempty"`
	Version int    `json:"version,omitempty"`
	Name    string `json:"name"`
	// Runtime says who executes its tasks: worker or profile.
	Runtime     string `json:"runtime,omitempty"`
	Description string `json:"description,omitempty"`
}

// Get reads an agent.
func (a *Agents) Get(ctx context.Context, id string) (*Agent, error) {
	var agent Agent
	if err := a.c.call(ctx, request{method: http.MethodGet, path: "/v1/agents/" + url.PathEscape(id)}, &agent); err != nil {
		return nil, err
	}
	return &agent, nil
}

// Apply creates an agent, or a new version of it if anything differs. It needs
// an admin key.
func (a *Agents) Apply(ctx context.Context, id string, agent Agent) (*Agent, error) {
	agent.ID, agent.Version = "", 0 // the path and the server say these
	var applied Agent
	err := a.c.call(ctx, request{method: http.MethodPut, path: "/v1/agents/" + url.PathEscape(id), body: agent}, &applied)
	if err != nil {
		return nil, err
	}
	return &applied, nil
}
