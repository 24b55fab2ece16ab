package errand

import (
	"context"
	"net/http"
	"time"
)

// WorkerInfo is a worker as the server knows it.
type WorkerInfo struct {
	ID     string   `json:"id"`
	Agents []string `json:"agents"`
	// Kind is "fenced" for one that claims tasks under leases, and "python" for the
	// released Python client.
	Kind string `json:"kind"`
	// Node and Address are of a Python worker: the server that has its stream, and from
	// where that comes.
	Node    string `json:"node"`
	Address string `json:"address"`
	// Slots are how many tasks it can have at a time, 0 while that is not known, and AtWork
	// how many it has.
	Slots     int  `json:"slots"`
	AtWork    int  `json:"at_work"`
	Connected bool `json:"connected"`
	// Busy says that it takes nothing more now.
	Busy      bool      `json:"busy"`
	Since     time.Time `json:"since"`
	LastHeard time.Time `json:"last_heard"`
	// Tasks are the first 20 in its hands that the key sees.
	Tasks []string `json:"tasks"`
	// Lost counts the attempts that it has lost in the last 24 hours.
	Lost int `json:"lost_24h"`
}

// Workers lists the workers of an agent, or with "" all of them, by their ids: at most
// 1000. One that was not heard for a day is forgotten.
func (c *Client) Workers(ctx context.Context, agentID string) ([]WorkerInfo, error) {
	var list struct {
		Items []WorkerInfo `json:"items"`
	}
	err := c.call(ctx, request{method: http.MethodGet, path: "/v1/workers", query: query(map[string]string{"agent_id": agentID}), repeat: true}, &list)
	return list.Items, err
}

// ServerInfo is what a server says of itself.
type ServerInfo struct {
	Version string `json:"version"`
	// Store is "sqlite" or "postgres".
	Store string `json:"store"`
	// Node is the name of the server that has answered, and Nodes are those that share its
	// record, by their names.
	Node  string     `json:"node"`
	Nodes []NodeInfo `json:"nodes"`
	// UI says that the web UI is built in.
	UI bool `json:"ui"`
}

// NodeInfo is a server of those that share a record.
type NodeInfo struct {
	ID        string    `json:"id"`
	LastHeard time.Time `json:"last_heard"`
}

// Trouble is something that is wrong now, and that somebody can do something about.
type Trouble struct {
	// Kind is one of a closed list.
	Kind string `json:"kind"`
	// Severity is error where nothing goes on because of it, else warning.
	Severity string `json:"severity"`
	// Message says what is wrong, and Help what to do about it.
	Message string `json:"message"`
	Help    string `json:"help"`
	// Since is when it began; zero where that is not known.
	Since time.Time `json:"since,omitzero"`
	// Count is how many tasks or attempts are concerned, 0 where it is no matter of these;
	// there may be more.
	Count         int  `json:"count"`
	CountIsCapped bool `json:"count_is_capped"`
	// Filter finds the tasks in a list; nil where nothing does.
	Filter *TroubleFilter `json:"filter"`
}

// TroubleFilter says which tasks have some trouble.
type TroubleFilter struct {
	AgentID    string   `json:"agent_id,omitempty"`
	WorkerID   string   `json:"worker_id,omitempty"`
	WaitingFor string   `json:"waiting_reason,omitempty"`
	Status     []Status `json:"status,omitempty"`
}

// Trouble lists what is wrong now, as far as the key sees it, what is severe first.
func (c *Client) Trouble(ctx context.Context) ([]Trouble, error) {
	var list struct {
		Items []Trouble `json:"items"`
	}
	if err := c.call(ctx, request{method: http.MethodGet, path: "/v1/trouble", repeat: true}, &list); err != nil {
		return nil, err
	}
	return list.Items, nil
}

// Server reads what the server says of itself.
func (c *Client) Server(ctx context.Context) (*ServerInfo, error) {
	var info ServerInfo
	if err := c.call(ctx, request{method: http.MethodGet, path: "/v1/server", repeat: true}, &info); err != nil {
		return nil, err
	}
	return &info, nil
}
