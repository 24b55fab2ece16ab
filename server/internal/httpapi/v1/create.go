package v1

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// TaskInput is what a turn is asked.
type TaskInput struct {
	Text  string          `json:"text,omitempty" doc:"The prompt, at most 1 MiB." example:"Analyze the sales data"`
	Files []string        `json:"files,omitempty" doc:"At most 100 http(s) URLs, or URLs of uploaded files."`
	User  json.RawMessage `json:"user,omitempty" doc:"Who asks: an object with at least an email, and id, first_name, last_name, timezone, additional_attributes as you like."`
}

// TaskCreate is the body that creates a task.
type TaskCreate struct {
	AgentID string `json:"agent_id" minLength:"1" doc:"The agent who is to do it." example:"agent-123"`
	TaskRequest
}

// TaskRequest is what is asked of an agent.
type TaskRequest struct {
	ID                   string            `json:"id,omitempty" doc:"An id of your own, 1 to 128 of A-Z a-z 0-9 . _ : -; that of an ended task starts its next turn. Left open, the server makes one." example:"report-2026-11"`
	Input                TaskInput         `json:"input" doc:"What the agent is asked."`
	Title                *string           `json:"title,omitempty" doc:"A headline for people." example:"Sales of November"`
	PayloadExtension     json.RawMessage   `json:"payload_extension,omitempty" doc:"An object of your own that travels with the task; the Python client adds it to the payload of tool calls."`
	ParentExecution      *string           `json:"parent_execution,omitempty" doc:"The task that this is a sub-task of: stopping or deleting that one takes this one along. A next turn stays below the parent of the last one when this is left open."`
	OnParentEnd          *string           `json:"on_parent_end,omitempty" enum:"stop,keep" doc:"What becomes of a sub-task that runs when its parent ends: it is stopped (when left open), or kept and goes on. A person's stop of the parent reaches it all the same. A next turn keeps what the last one said."`
	Source               string            `json:"source,omitempty" doc:"Where the task comes from, for your own lists; sdk when left open."`
	WorkerID             *string           `json:"worker_id,omitempty" doc:"Only this worker may have it."`
	OutputFormat         *string           `json:"output_format,omitempty" enum:"text,markdown,json,voice" doc:"The form of the result; the agent's own when left open."`
	OutputSchema         json.RawMessage   `json:"output_schema,omitempty" doc:"For json: the JSON Schema that the result is to follow."`
	RunLocally           bool              `json:"run_locally,omitempty" doc:"Its creator executes it; no worker is given it. Set its status to executing, and to completed, failed or error in the end."`
	EventsStreaming      *bool             `json:"events_streaming,omitempty" doc:"Lets the Python client stream it; true when left open."`
	AdditionalContext    *string           `json:"additional_context,omitempty" doc:"What the agent should know beside the prompt."`
	InstructionsOverride *string           `json:"instructions_override,omitempty" doc:"Instructions in the place of the agent's own."`
	ExpectedOutput       *string           `json:"expected_output,omitempty" doc:"What a good result looks like."`
	MCPServers           json.RawMessage   `json:"mcp_servers,omitempty" doc:"A list of MCP servers whose tools the agent may use for this task. Keys, headers and environments in it are kept encrypted and never answered here."`
	TriggeringAgentID    *string           `json:"triggering_agent_id,omitempty" doc:"The agent on whose behalf it is created."`
	ThinkMode            string            `json:"think_mode,omitempty" enum:"default,harder" doc:"How hard the model is to think."`
	NoAttachments        bool              `json:"disable_attachment_injection,omitempty" doc:"Keeps the contents of text files out of the prompt."`
	UserOIDCToken        *string           `json:"user_oidc_token,omitempty" doc:"The user's OIDC token, for workers. Kept encrypted, never answered here."`
	UserTokens           json.RawMessage   `json:"user_tokens,omitempty" doc:"An object of the user's tokens, for workers. Kept encrypted, never answered here."`
	AgentVersion         string            `json:"agent_version,omitempty" doc:"Pins a version of the agent; the newest when left open."`
	Priority             int               `json:"priority,omitempty" minimum:"-100" maximum:"100" doc:"Higher goes first among the agent's waiting tasks."`
	RunAt                *time.Time        `json:"run_at,omitempty" doc:"Not before this moment."`
	MaxAttempts          int               `json:"max_attempts,omitempty" minimum:"1" maximum:"100" doc:"How many attempts of the turn may start; the agent's own number when left open."`
	Timeout              float64           `json:"timeout,omitempty" minimum:"0" doc:"Seconds of executing, over all attempts of the turn, after which it ends with the reason timeout; 0 is none."`
	ExpiresIn            float64           `json:"expires_in,omitempty" minimum:"0" doc:"Seconds of being pending, from when it may run (run_at), after which it ends with the reason expired; 0 is none."`
	Budget               *task.Budget      `json:"budget,omitempty" doc:"What it and all below it may use; the agent's own when left open. A sub-task below a budget has none of its own."`
	Tags                 []string          `json:"tags,omitempty" maxItems:"32" doc:"Labels of your own, at most 64 bytes each."`
	ClientTools          []task.ClientTool `json:"client_tools,omitempty" maxItems:"128" doc:"For agents of runtime model: tools of your own that the model may call. A turn in which it does ends completed, with open_calls; the next one brings what came of them in tool_results, and has the same tools when this is left open."`
	ToolResults          []task.ToolResult `json:"tool_results,omitempty" maxItems:"1000" doc:"With the id of a task that has open_calls: what came of them. Of those that are not named the model is told that there is no result."`
	lifecycle.Asked
}

// submission is the request as the service takes it. The route and the whole
// request scope and fingerprint the idempotency key (rule H3).
func (b TaskRequest) submission(agentID, route, key string) (lifecycle.Submission, error) {
	sub := lifecycle.Submission{
		Spec: task.Spec{
			ID: b.ID, AgentID: agentID,
			Input:           task.Input{Text: &b.Input.Text, Files: b.Input.Files, User: b.Input.User},
			ParentExecution: b.ParentExecution, OnParentEnd: (*task.OnParentEnd)(b.OnParentEnd), OutputFormat: b.OutputFormat, OutputSchema: b.OutputSchema,
			EventsStreaming: b.EventsStreaming == nil || *b.EventsStreaming, InstructionsOverride: b.InstructionsOverride,
			UserOIDCToken: b.UserOIDCToken, ExpectedOutput: b.ExpectedOutput, MCPServers: b.MCPServers,
			ThinkMode: b.ThinkMode, UserTokens: b.UserTokens, RunLocally: b.RunLocally, PinnedWorkerID: b.WorkerID,
			MaxAttempts: b.MaxAttempts, Timeout: b.Timeout, ExpiresIn: b.ExpiresIn, Tags: b.Tags,
			ClientTools: b.ClientTools, ToolResults: b.ToolResults,
		},
		State: task.State{
			PayloadExtension: b.PayloadExtension, Source: b.Source, TriggeringAgentID: b.TriggeringAgentID,
			Budget: b.Budget,
			Title:  b.Title, AdditionalContext: b.AdditionalContext, DisableAttachmentInjection: b.NoAttachments,
		},
		Asked: b.Asked, Priority: b.Priority, AgentVersion: b.AgentVersion, Route: route,
	}
	if b.RunAt != nil {
		sub.RunAt = task.StampOf(*b.RunAt)
	}
	if key != "" {
		var err error
		sub.Spec.IdempotencyKey = &key
		if sub.Body, err = json.Marshal(TaskCreate{AgentID: agentID, TaskRequest: b}); err != nil {
			return lifecycle.Submission{}, fault.New(fault.Malformed, "the body is not valid JSON")
		}
	}
	return sub, nil
}

// Idempotent is a request that may be repeated without doing its work twice.
type Idempotent struct {
	Key string `header:"Idempotency-Key" doc:"Up to 255 bytes of your own that name this request: a repeat within 24 hours answers the task of the first one."`
}

// createPath creates a task. An idempotency key of it is the same one wherever a
// single task is created by it, alone or among many.
const createPath = "/v1/tasks"

func (r *routes) registerCreate() {
	add(r, operation{roles: users(), also: []int{http.StatusOK}, errors: invocationErrors(), Operation: huma.Operation{
		OperationID: "create-task", Method: http.MethodPost, Path: createPath, DefaultStatus: http.StatusCreated, Tags: []string{"tasks"},
		Summary: "Create a task, or start the next turn of one that has ended",
		Description: "200 answers a repeat with the same Idempotency-Key: the task as it now is. " +
			"A W3C header traceparent makes the turn a part of that trace.",
	}}, func(ctx context.Context, in *struct {
		Idempotent
		Body TaskCreate
	},
	) (*taskAnswer, error) {
		begun, err := r.submit(ctx, in.Body.AgentID, "POST "+createPath, in.Key, in.Body.TaskRequest)
		out, err := r.answer(ctx, begun.Snapshot, err)
		if err != nil {
			return nil, err
		}
		if out.Status = http.StatusCreated; begun.Replayed {
			out.Status, out.Replay = http.StatusOK, "true"
		}
		return out, nil
	})
}

// BatchTask is one task of many that are created together.
type BatchTask struct {
	TaskCreate
	IdempotencyKey string `json:"idempotency_key,omitempty" maxLength:"255" doc:"What the header Idempotency-Key is for a single task: a repeat within 24 hours answers the task of the first request."`
}

// TaskBatch is the body that creates many tasks.
type TaskBatch struct {
	Tasks []BatchTask `json:"tasks" minItems:"1" maxItems:"1000" doc:"The tasks, in the order in which they are to begin."`
	All   bool        `json:"all,omitempty" doc:"Create all of them in one commit, or, if one is refused, none. Otherwise each is accepted or refused for itself."`
}

// BatchResult is what became of one of them.
type BatchResult struct {
	ID      string       `json:"id,omitempty" doc:"The task's id; none if it was refused."`
	Created bool         `json:"created" doc:"Whether this request created it, or began its next turn; a repeat with the same idempotency key does not."`
	Error   *BatchReason `json:"error,omitempty" doc:"Why there is no such task."`
}

// BatchReason is why one of many was refused.
type BatchReason struct {
	Detail string     `json:"detail" doc:"What was wrong, for people."`
	Code   fault.Code `json:"code" doc:"What was wrong, for programs."`
	Field  string     `json:"field,omitempty" doc:"The member of the task that was wrong."`
}

// BatchResults answers a TaskBatch.
type BatchResults struct {
	Results []BatchResult `json:"results" doc:"One for each task, in the same order."`
}

func (r *routes) registerCreateMany() {
	add(r, operation{roles: users(), errors: invocationErrors(), Operation: huma.Operation{
		OperationID: "create-tasks", Method: http.MethodPost, Path: "/v1/tasks/batch", Tags: []string{"tasks"},
		Summary: "Create up to 1000 tasks",
		Description: "What this document forbids refuses the whole request. The rest (an agent that is not there, an id that is taken, a full queue) " +
			"is told task by task, unless all is set: then the first refusal is the answer, its field names the task, and nothing is stored. " +
			"If the request breaks off, repeat it: tasks with an idempotency_key are not made twice.",
	}}, func(ctx context.Context, in *struct{ Body TaskBatch }) (*struct{ Body BatchResults }, error) {
		subs := make([]lifecycle.Submission, len(in.Body.Tasks))
		for i, b := range in.Body.Tasks {
			var err error
			if subs[i], err = b.submission(b.AgentID, "POST "+createPath, b.IdempotencyKey); err != nil {
				return nil, err
			}
		}
		made, err := r.Service.SubmitMany(ctx, edge.Caller(ctx), subs, in.Body.All)
		if err != nil {
			return nil, err
		}
		results := make([]BatchResult, len(made))
		for i, m := range made {
			if m.Refused != nil {
				_, body := edge.Describe(ctx, r.Log, m.Refused)
				results[i].Error = &BatchReason{body.Detail, body.Code, body.Field}
				continue
			}
			results[i] = BatchResult{ID: m.Task.ID, Created: !m.Replayed}
		}
		return &struct{ Body BatchResults }{BatchResults{results}}, nil
	})
}

func (r *routes) submit(ctx context.Context, agentID, route, key string, b TaskRequest) (lifecycle.Begun, error) {
	sub, err := b.submission(agentID, route, key)
	if err != nil {
		return lifecycle.Begun{}, err
	}
	return r.Service.Ask(ctx, edge.Caller(ctx), sub)
}
