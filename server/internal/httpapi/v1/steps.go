package v1

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// Step is a piece of a turn's work that an attempt has committed.
type Step struct {
	ID      string          `json:"id" doc:"Names the step in its turn."`
	N       int             `json:"n" doc:"Counts the turn's steps, from 1."`
	Kind    string          `json:"kind" doc:"What its author calls such steps."`
	Body    json.RawMessage `json:"body" doc:"What came of it: any JSON."`
	Turn    int             `json:"turn" doc:"Of which turn it is."`
	Attempt int             `json:"attempt" doc:"The attempt that committed it, as the author of its event names it."`
	EventID int64           `json:"event_id" doc:"The id of its step event in the task's log."`
	Time    task.Stamp      `json:"time" doc:"When it was committed."`
}

// CommittedStep answers the commit of a step.
type CommittedStep struct {
	Step
	Replayed bool `json:"replayed" doc:"The turn had a step of that id already: this is it, and nothing was written."`
}

// StepList is a part of a turn's steps.
type StepList struct {
	Items      []Step  `json:"items" doc:"The steps, in the order of their commits."`
	NextCursor *string `json:"next_cursor" doc:"Give it as cursor for what follows; null at the end."`
}

// StepBody commits a step.
type StepBody struct {
	LeaseToken string          `json:"lease_token" doc:"Of the claim."`
	ID         string          `json:"id" minLength:"1" maxLength:"128" doc:"Names the step in its turn: 1 to 128 bytes. The first step of an id stands." example:"charge-card"`
	Kind       string          `json:"kind,omitempty" maxLength:"64" doc:"What you call such steps, at most 64 bytes."`
	Body       json.RawMessage `json:"body" doc:"What came of it: any JSON, at most 256 KiB."`
	Spending
}

type stepAnswer struct {
	Status int
	Body   CommittedStep
}

func (r *routes) registerSteps() {
	tags := []string{"steps"}
	add(r, operation{roles: workers(), also: []int{http.StatusOK}, errors: []fault.Code{fault.Conflict}, Operation: huma.Operation{
		OperationID: "commit-step", Method: http.MethodPost, Path: "/v1/tasks/{task_id}/steps", DefaultStatus: http.StatusCreated, Tags: tags,
		Summary:     "Commit a step of a turn's work, so that no later attempt does it again",
		Description: "Under the lease, which it renews. 201 answers a new step; 200 the one that has the id already, whatever the body says, with replayed. It is also a step event of the task's log.",
	}}, r.commitStep)
	add(r, operation{roles: everybody(), errors: []fault.Code{fault.Malformed}, Operation: huma.Operation{
		OperationID: "list-steps", Method: http.MethodGet, Path: "/v1/tasks/{task_id}/steps", Tags: tags,
		Summary: "List what the attempts of a turn have committed",
	}}, r.steps)
}

func (r *routes) commitStep(ctx context.Context, in *struct {
	TaskPath
	Body StepBody
},
) (*stepAnswer, error) {
	side, err := in.Body.side()
	if err != nil {
		return nil, err
	}
	n := lifecycle.NewStep{ID: in.Body.ID, Kind: in.Body.Kind, Body: in.Body.Body, Side: side}
	s, known, err := r.Service.CommitStep(ctx, edge.Principal(ctx).Organization, in.ID, in.Body.LeaseToken, n)
	if err != nil {
		return nil, err
	}
	out := &stepAnswer{http.StatusCreated, CommittedStep{stepShown(s), known}}
	if known {
		out.Status = http.StatusOK
	}
	return out, nil
}

func stepShown(s task.Step) Step {
	return Step{ID: s.ID, N: s.N, Kind: s.Kind, Body: s.Body, Turn: s.Turn, Attempt: s.Attempt, EventID: s.Seq, Time: s.At}
}

func (r *routes) steps(ctx context.Context, in *TurnPart) (*struct{ Body StepList }, error) {
	items, next, err := partOfTask(ctx, r, in.ID, in.Part, func(t task.Task, after int64, limit int) ([]task.Step, error) {
		return r.Service.Steps(ctx, t.OrganizationID, t.ID, in.of(t), after, limit)
	}, func(s task.Step) (Step, int64) { return stepShown(s), s.Seq })
	return &struct{ Body StepList }{StepList{items, next}}, err
}
