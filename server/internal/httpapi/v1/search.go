package v1

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/search"
	"github.com/errand-dev/errand/server/internal/task"
)

// SearchQuery says what is looked for, and where.
type SearchQuery struct {
	Words string `query:"q" required:"true" minLength:"1" doc:"Words that all have to stand in one place, in any order: in one event, or in text that was streamed in pieces. Words in quotation marks stand side by side. At most 16, in 256 bytes. No sign means anything else."`
	Agent string `query:"agent_id" doc:"Only this agent's tasks."`
	Narrowing
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"20" doc:"How many places it may have; fewer also where few of many match the other parameters."`
	Cursor string `query:"cursor" doc:"next_cursor of the part before."`
}

// SearchHit is a place that has the words.
type SearchHit struct {
	TaskID    string         `json:"task_id" doc:"The task."`
	AgentID   string         `json:"agent_id" doc:"Its agent."`
	Status    task.Status    `json:"status"`
	Title     *string        `json:"title" doc:"Its headline; null without one."`
	Prompt    string         `json:"prompt" doc:"The first 200 characters of what its present turn was asked; empty for nothing."`
	CreatedAt task.Stamp     `json:"created_at" doc:"When the task was created."`
	Part      search.Part    `json:"part" enum:"title,prompt,result,event" doc:"Where in the task the words stand."`
	EventID   int64          `json:"event_id" doc:"The event of its log that says them; of a text that came in pieces the first."`
	Snippet   []search.Piece `json:"snippet" nullable:"false" doc:"What stands around the first of the words."`
}

// SearchHits is a part of what was found.
type SearchHits struct {
	Items      []SearchHit `json:"items" nullable:"false" doc:"The places, newest first. A task may have several."`
	NextCursor *string     `json:"next_cursor" doc:"Give it as cursor for what follows, also where there are few items or none; null at the end."`
}

// found names the list in a cursor.
const found = "search"

func (r *routes) registerSearch() {
	add(r, operation{roles: users(), errors: []fault.Code{fault.Malformed}, Operation: huma.Operation{
		OperationID: "search", Method: http.MethodGet, Path: "/v1/search", Tags: []string{"tasks"},
		Summary: "Find tasks by the words of their titles, prompts, results and events",
		Description: "What was written is found about a second later, text that is streamed when something else follows it; on a server that is busy it takes longer. " +
			"Of a text the first 64 KiB are found. After an update from a release without search, what was there before is found bit by bit.",
	}}, func(ctx context.Context, in *SearchQuery) (*struct{ Body SearchHits }, error) {
		before, err := Part{Cursor: in.Cursor}.in(found)
		if err != nil {
			return nil, err
		}
		places, next, err := r.Search.Find(ctx, edge.Scope(ctx), in.Words, in.of(in.Agent), before, in.Limit)
		if err != nil {
			return nil, err
		}
		hits := SearchHits{Items: make([]SearchHit, 0, len(places))}
		for _, p := range places {
			hits.Items = append(hits.Items, SearchHit{
				TaskID: p.Task, AgentID: p.Agent, Status: p.Status, Title: p.Title, Prompt: p.Prompt, CreatedAt: p.CreatedAt, Part: p.Part, EventID: p.Seq, Snippet: p.Snippet,
			})
		}
		if next != 0 {
			hits.NextCursor = nextOf(lifecycle.Cursor{CreatedAt: task.Stamp(next), ID: found})
		}
		return &struct{ Body SearchHits }{hits}, nil
	})
}
