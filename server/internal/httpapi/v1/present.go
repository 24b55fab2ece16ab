package v1

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// Present is a worker.
type Present struct {
	ID        string     `json:"id" doc:"How the worker calls itself; of a Python worker the server's name for its stream."`
	Agents    []string   `json:"agents" nullable:"false" doc:"The agents whose tasks it takes."`
	Kind      string     `json:"kind" enum:"fenced,python" doc:"fenced: it claims tasks under leases. python: the released Python client, told its tasks by a stream."`
	Node      string     `json:"node" doc:"The server that has its stream; empty for one that claims."`
	Address   string     `json:"address" doc:"From where its stream comes; empty for one that claims."`
	Slots     int        `json:"slots" doc:"How many tasks it can have at a time: the most that it has asked for; 0 while that is not known."`
	Connected bool       `json:"connected" doc:"Whether it is there: its stream is open, it has a task under a lease, or it has claimed within the last 90 s and not left since; a server that does tasks itself is."`
	Busy      bool       `json:"busy" doc:"Whether it takes nothing more now."`
	Since     task.Stamp `json:"since" doc:"Since when it is known."`
	LastHeard task.Stamp `json:"last_heard" doc:"When it last said something itself; of one that claims, its last claim, or when it left one that waited; within 5 s."`
	AtWork    int        `json:"at_work" doc:"How many tasks are in its hands."`
	Tasks     []string   `json:"tasks" nullable:"false" doc:"The first 20 of them that the key sees."`
	Lost      int        `json:"lost_24h" doc:"How many attempts it has lost in the last 24 hours."`
}

// PresentList is all workers.
type PresentList struct {
	Items []Present `json:"items" nullable:"false" doc:"The workers, by their ids."`
}

func (r *routes) registerPresent() {
	add(r, operation{roles: users(), Operation: huma.Operation{
		OperationID: "list-workers", Method: http.MethodGet, Path: "/v1/workers", Tags: []string{"workers"}, Summary: "List workers",
		Description: "Up to 1000. One that was not heard for a day is forgotten. They are the organization's, whatever tasks the key sees; of their tasks those are named that it sees.",
	}}, func(ctx context.Context, in *struct {
		Agent string `query:"agent_id" doc:"Only workers of this agent."`
	},
	) (*struct{ Body PresentList }, error) {
		found, err := r.Service.Workers(ctx, edge.Scope(ctx), in.Agent)
		return &struct{ Body PresentList }{presentOf(found)}, err
	})
}

func presentOf(found []lifecycle.Present) PresentList {
	list := PresentList{Items: make([]Present, 0, len(found))}
	for _, w := range found {
		list.Items = append(list.Items, Present{
			ID: w.ID, Agents: w.Agents, Kind: string(w.Kind), Node: w.Node, Address: w.Address, Slots: w.Slots, Connected: w.Connected, Busy: w.Busy,
			Since: w.Since, LastHeard: w.LastHeard, AtWork: w.AtWork, Tasks: w.Tasks, Lost: w.Lost,
		})
	}
	return list
}

// ShowWorkers renders workers.
func ShowWorkers(found []lifecycle.Present) (json.RawMessage, error) {
	return json.Marshal(presentOf(found))
}

// ShowApproval renders an approval.
func ShowApproval(a task.Approval) (json.RawMessage, error) { return json.Marshal(approvalShown(a)) }
