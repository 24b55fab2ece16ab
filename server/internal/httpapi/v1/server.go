package v1

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/errand-dev/errand/server/internal/task"
)

// Server is what a server says of itself.
type Server struct {
	Version string `json:"version" doc:"Its version."`
	Store   string `json:"store" enum:"sqlite,postgres" doc:"What keeps its record."`
	Node    string `json:"node" doc:"The name of the server that answers."`
	Nodes   []Node `json:"nodes" nullable:"false" doc:"The servers that share its record, by their names. One that was silent for long is forgotten."`
	UI      bool   `json:"ui" doc:"Whether the web UI is built in, at /ui/."`
}

// Node is a server of those that share a record.
type Node struct {
	ID        string     `json:"id" doc:"Its name."`
	LastHeard task.Stamp `json:"last_heard" doc:"When it was last heard: the one that answers, now."`
}

func (r *routes) registerServer() {
	add(r, operation{roles: users(), Operation: huma.Operation{
		OperationID: "get-server", Method: http.MethodGet, Path: "/v1/server", Tags: []string{"server"}, Summary: "Read what the server says of itself",
	}}, func(ctx context.Context, _ *struct{}) (*struct{ Body Server }, error) {
		nodes, err := r.Service.Nodes(ctx)
		if err != nil {
			return nil, err
		}
		s := Server{Version: r.Version, Store: r.Store, Node: r.Service.Node(), Nodes: make([]Node, 0, len(nodes)), UI: r.UI != ""}
		for _, n := range nodes {
			s.Nodes = append(s.Nodes, Node{ID: n.ID, LastHeard: n.Heard})
		}
		return &struct{ Body Server }{s}, nil
	})
}
