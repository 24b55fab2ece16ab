package v1

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// Tree is a part of a tree of tasks.
type Tree struct {
	Items      []raw[Row] `json:"items" nullable:"false" doc:"Its tasks, newest first: each with its depth and its parent_task_id."`
	NextCursor *string    `json:"next_cursor" doc:"Give it as cursor for what follows; null at the end."`
	Totals     TreeTotals `json:"totals" doc:"What they have used together."`
}

// TreeTotals are what a tree has used.
type TreeTotals struct {
	Tasks   int         `json:"tasks" doc:"How many tasks it has, counted to 1000; the newest ones are added up."`
	More    bool        `json:"more" doc:"Whether it has more than were added up."`
	Tokens  task.Tokens `json:"tokens" doc:"Model tokens, of the present turns."`
	Seconds float64     `json:"seconds" doc:"Seconds of executing, of the present turns, as far as they are over."`
}

func (r *routes) registerTree() {
	add(r, operation{roles: users(), errors: []fault.Code{fault.Malformed}, Operation: huma.Operation{
		OperationID: "get-tree", Method: http.MethodGet, Path: "/v1/tasks/{task_id}/tree", Tags: []string{"tasks"},
		Summary: "List the tasks of the tree in which a task stands, and what they have used together",
	}}, func(ctx context.Context, in *struct {
		TaskPath
		Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"100" doc:"How many it may have; fewer if they are long."`
		Cursor string `query:"cursor" doc:"next_cursor of the part before."`
	},
	) (*struct{ Body Tree }, error) {
		behind, err := Part{Cursor: in.Cursor}.place()
		if err != nil {
			return nil, err
		}
		list, sum, more, err := r.Service.Tree(ctx, edge.Scope(ctx), in.ID, lifecycle.Page{Cursor: behind, Size: in.Limit})
		if err != nil {
			return nil, err
		}
		tree := Tree{Items: make([]raw[Row], 0, len(list.Items)), NextCursor: nextOf(list.Next), Totals: TreeTotals{sum.Tasks, more, sum.Tokens, sum.Executed.Seconds()}}
		for _, x := range list.Items {
			row, err := edge.ShowRow(x)
			if err != nil {
				return nil, err
			}
			tree.Items = append(tree.Items, raw[Row]{row})
		}
		return &struct{ Body Tree }{tree}, nil
	})
}
