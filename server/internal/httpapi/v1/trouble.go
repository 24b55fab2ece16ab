package v1

import (
	"context"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/durable"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// Trouble is something that is wrong now.
type Trouble struct {
	Kind     lifecycle.TroubleKind `json:"kind" enum:"no_worker,pinned_worker_absent,budget,long_wait,lost_attempts,failing,little_space" doc:"What is wrong, from a closed list."`
	Severity string                `json:"severity" enum:"error,warning" doc:"error: nothing goes on because of it."`
	Message  string                `json:"message" doc:"The same for a person."`
	Help     string                `json:"help" doc:"What can be done about it."`
	Since    task.Stamp            `json:"since" doc:"When it began; null where that is not known."`
	Count    int                   `json:"count" doc:"How many tasks or attempts are concerned; 0 where it is no matter of these."`
	Capped   bool                  `json:"count_is_capped" doc:"Whether there are more."`
	Filter   orNone[TroubleFilter] `json:"filter" doc:"What finds the tasks in the list of tasks; null where nothing does."`
}

// TroubleFilter are parameters of the list of tasks; those that are left out do not
// matter.
type TroubleFilter struct {
	Agent   string        `json:"agent_id,omitempty" doc:"Only this agent's tasks."`
	Worker  string        `json:"worker_id,omitempty" doc:"Only tasks that this worker has, or had last."`
	Waiting string        `json:"waiting_reason,omitempty" doc:"Only tasks that wait for this."`
	Status  []task.Status `json:"status,omitempty" doc:"Only tasks with one of these."`
}

// TroubleList is all trouble.
type TroubleList struct {
	Items []Trouble `json:"items" nullable:"false" doc:"What is severe first; at most 20 of a kind that has several."`
}

func (r *routes) registerTrouble() {
	add(r, operation{roles: users(), Operation: huma.Operation{
		OperationID: "list-trouble", Method: http.MethodGet, Path: "/v1/trouble", Tags: []string{"server"}, Summary: "List what is wrong now",
		Description: "Of tasks what the key sees; of a queue for a key that sees all; of the server's disk for admins.",
	}}, func(ctx context.Context, _ *struct{}) (*struct{ Body TroubleList }, error) {
		found, err := r.Service.Troubles(ctx, edge.Scope(ctx))
		if err != nil {
			return nil, err
		}
		list := TroubleList{Items: make([]Trouble, 0, len(found)+1)}
		if x, ok := littleSpace(r.Data); ok && edge.Principal(ctx).Role == auth.Admin {
			list.Items = append(list.Items, x)
		}
		for _, x := range found {
			list.Items = append(list.Items, troubleOf(x))
		}
		return &struct{ Body TroubleList }{list}, nil
	})
}

func troubleOf(x lifecycle.Trouble) Trouble {
	t := Trouble{Kind: x.Kind, Severity: "warning", Message: x.Message, Help: x.Help, Since: x.Since, Count: x.Count, Capped: x.More}
	if x.Severe {
		t.Severity = "error"
	}
	if x.Agent != "" || x.Worker != "" || x.Waiting != "" {
		t.Filter.Value = &TroubleFilter{Agent: x.Agent, Worker: x.Worker, Waiting: x.Waiting, Status: x.Status}
	}
	return t
}

// littleSpace reports whether the disk of a folder is nearly full. Where nobody can tell it
// is not.
func littleSpace(dir string) (Trouble, bool) {
	free, err := durable.Free(dir)
	if err != nil || free >= durable.Little {
		return Trouble{}, false
	}
	x := Trouble{
		Kind: lifecycle.TroubleLittleSpace, Severity: "warning", Message: fmt.Sprintf("the disk of the server's data folder has %d MB left", free/1e6),
		Help: "make room, or keep ended tasks for a shorter time: --retain",
	}
	if free < durable.TooLittle {
		x.Severity = "error"
	}
	return x, true
}
