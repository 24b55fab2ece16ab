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

// Report tells of a task that was executed elsewhere.
type Report struct {
	ID        string       `json:"id,omitempty" doc:"An id of your own; that of a task which is there corrects how it ended."`
	Input     *string      `json:"input,omitempty" doc:"What was asked."`
	Result    *string      `json:"result,omitempty" doc:"What came of it."`
	IsSuccess *bool        `json:"is_success,omitempty" doc:"true when left open: completed. false: failed."`
	Tokens    *TokensGiven `json:"tokens,omitempty" doc:"Model tokens that it used."`
	Duration  float64      `json:"duration,omitempty" minimum:"0" doc:"Seconds that it took."`
	UsedTools []string     `json:"used_tools,omitempty" maxItems:"1000" doc:"Names of the tools that it used."`
}

func (r *routes) registerReport() {
	add(r, operation{roles: everybody(), also: []int{http.StatusOK}, errors: invocationErrors(), Operation: huma.Operation{
		OperationID: "report-task", Method: http.MethodPost, Path: "/v1/agents/{agent_id}/report", DefaultStatus: http.StatusCreated, Tags: []string{"tasks"},
		Summary:     "Keep a task that was executed elsewhere",
		Description: "201 answers a new task, 200 one that was there. What a later report leaves out stays as it was.",
	}}, func(ctx context.Context, in *struct {
		AgentPath
		Body Report
	},
	) (*taskAnswer, error) {
		side, err := json.Marshal(struct { // what is left out is not wiped
			Tokens    *task.Tokens `json:"tokens,omitempty"`
			Duration  float64      `json:"duration,omitempty"`
			UsedTools []string     `json:"used_tools,omitempty"`
		}{in.Body.Tokens.tokens(), in.Body.Duration, in.Body.UsedTools})
		if err != nil {
			return nil, err
		}
		end := task.EndCompleted
		if in.Body.IsSuccess != nil && !*in.Body.IsSuccess {
			end = task.EndFailed
		}
		s, isNew, err := r.Service.ReportExternal(ctx, edge.Caller(ctx), lifecycle.External{
			Agent: in.AgentID, ID: in.Body.ID, Prompt: in.Body.Input, Reason: end, Result: in.Body.Result, Side: side,
		})
		out, err := r.answer(ctx, s, err)
		if err == nil && isNew {
			out.Status = http.StatusCreated
		}
		return out, err
	})
}
