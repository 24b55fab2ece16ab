package v1

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/errand-dev/errand/internal/fault"
	"github.com/errand-dev/errand/internal/httpapi/edge"
	"github.com/errand-dev/errand/internal/lifecycle"
	"github.com/errand-dev/errand/internal/task"
)

// TaskInput is what a turn is asked.
type TaskInput struct {
	Text  string          `json:"text,omitempty" doc:"The prompt, at most 1 MiB."`
	Files []string        `json:"files,omitempty" doc:"At most 100 http(s) URLs, or URLs of uploaded files."`
	User  json.RawMessage `json:"user,omitempty" doc:"An object with at least an email."`
}

// TaskCreate is the body that creates a task.
type TaskCreate struct {
	AgentID              string          `json:"agent_id" minLength:"1" doc:"Who is to do it."`
	ID                   string          `json:"id,omitempty" doc:"An id of your own; that of an ended task starts its next turn."`
	Input                TaskInput       `json:"input"`
	Title                *string         `json:"title,omitempty"`
	PayloadExtension     json.RawMessage `json:"payload_extension,omitempty"`
	ParentExecution      *string         `json:"parent_execution,omitempty" doc:"The task that this is a sub-task of."`
	Source               string          `json:"source,omitempty"`
	WorkerID             *string         `json:"worker_id,omitempty" doc:"Only this worker may have it."`
	OutputFormat         *string         `json:"output_format,omitempty" enum:"text,markdown,json,voice"`
	OutputSchema         json.RawMessage `json:"output_schema,omitempty"`
	RunLocally           bool            `json:"run_locally,omitempty" doc:"The creator executes it; no worker is given it."`
	EventsStreaming      *bool           `json:"events_streaming,omitempty" doc:"Lets the Python client stream it; true when left open."`
	AdditionalContext    *string         `json:"additional_context,omitempty"`
	InstructionsOverride *string         `json:"instructions_override,omitempty"`
	ExpectedOutput       *string         `json:"expected_output,omitempty"`
	MCPServers           json.RawMessage `json:"mcp_servers,omitempty"`
	TriggeringAgentID    *string         `json:"triggering_agent_id,omitempty"`
	ThinkMode            string          `json:"think_mode,omitempty" enum:"default,harder"`
	NoAttachments        bool            `json:"disable_attachment_injection,omitempty"`
	UserOIDCToken        *string         `json:"user_oidc_token,omitempty" doc:"Kept encrypted, never answered here."`
	UserTokens           json.RawMessage `json:"user_tokens,omitempty" doc:"Kept encrypted, never answered here."`
	AgentVersion         string          `json:"agent_version,omitempty" doc:"Pins a version of the agent."`
	Priority             int             `json:"priority,omitempty" minimum:"-100" maximum:"100"`
	RunAt                *time.Time      `json:"run_at,omitempty" doc:"Not before this moment."`
	MaxAttempts          int             `json:"max_attempts,omitempty" minimum:"1" maximum:"100"`
	Timeout              float64         `json:"timeout,omitempty" minimum:"0" doc:"Seconds of executing; 0 is none."`
	ExpiresIn            float64         `json:"expires_in,omitempty" minimum:"0" doc:"Seconds of being pending; 0 is none."`
	Tags                 []string        `json:"tags,omitempty" maxItems:"32"`
}

func (b TaskCreate) submission(key string) (lifecycle.Submission, error) {
	body, err := json.Marshal(b)
	if err != nil {
		return lifecycle.Submission{}, fault.New(fault.Malformed, "the body is not valid JSON")
	}
	sub := lifecycle.Submission{
		Spec: task.Spec{
			ID: b.ID, AgentID: b.AgentID,
			Input:           task.Input{Text: &b.Input.Text, Files: b.Input.Files, User: b.Input.User},
			ParentExecution: b.ParentExecution, OutputFormat: b.OutputFormat, OutputSchema: b.OutputSchema,
			EventsStreaming: b.EventsStreaming == nil || *b.EventsStreaming, InstructionsOverride: b.InstructionsOverride,
			UserOIDCToken: b.UserOIDCToken, ExpectedOutput: b.ExpectedOutput, MCPServers: b.MCPServers,
			ThinkMode: b.ThinkMode, UserTokens: b.UserTokens, RunLocally: b.RunLocally, PinnedWorkerID: b.WorkerID,
			MaxAttempts: b.MaxAttempts, Timeout: b.Timeout, ExpiresIn: b.ExpiresIn, Tags: b.Tags,
		},
		State: task.State{
			PayloadExtension: b.PayloadExtension, Source: b.Source, TriggeringAgentID: b.TriggeringAgentID,
			Title: b.Title, AdditionalContext: b.AdditionalContext, DisableAttachmentInjection: b.NoAttachments,
		},
		Priority: b.Priority, AgentVersion: b.AgentVersion, Route: "POST /v1/tasks", Body: body,
	}
	if b.RunAt != nil {
		sub.RunAt = task.StampOf(*b.RunAt)
	}
	if key != "" {
		sub.Spec.IdempotencyKey = &key
	}
	return sub, nil
}

// ListQuery narrows a list and says which page of it is wanted.
type ListQuery struct {
	Agent          string    `query:"agent_id"`
	User           string    `query:"user_id"`
	Parent         string    `query:"parent_task_id"`
	Trigger        string    `query:"triggering_agent_id"`
	Status         string    `query:"status" enum:"pending,executing,paused,completed,failed,error,stopped"`
	InternalStatus string    `query:"internal_status"`
	From           time.Time `query:"from_date" doc:"Created at or after this moment."`
	To             time.Time `query:"to_date" doc:"Created before this moment."`
	Page           int       `query:"page" minimum:"1" default:"1"`
	PerPage        int       `query:"per_page" minimum:"1" maximum:"50" default:"20"`
	Cursor         string    `query:"cursor" doc:"next_cursor of the page before; goes on where pages end."`
}

// TaskList is a page of tasks.
type TaskList struct {
	Items         []edge.ListItem `json:"items"`
	Total         int             `json:"total" doc:"How many match, counted to 10,000."`
	TotalIsCapped bool            `json:"total_is_capped"`
	Page          int             `json:"page"`
	PerPage       int             `json:"per_page"`
	TotalPages    int             `json:"total_pages"`
	NextCursor    *string         `json:"next_cursor"`
}

type listAnswer struct{ Body TaskList }

func (r *routes) registerTasks() {
	tags := []string{"tasks"}
	add(r, operation{roles: users(), Operation: huma.Operation{
		OperationID: "create-task", Method: http.MethodPost, Path: "/v1/tasks", DefaultStatus: http.StatusCreated, Tags: tags,
		Summary: "Create a task, or start the next turn of one that has ended",
	}}, func(ctx context.Context, in *struct {
		Key  string `header:"Idempotency-Key" doc:"Makes a repeat answer the first one's task (24 hours)."`
		Body TaskCreate
	},
	) (*taskAnswer, error) {
		sub, err := in.Body.submission(in.Key)
		if err != nil {
			return nil, err
		}
		s, replayed, err := r.Service.Submit(ctx, edge.Caller(ctx), sub)
		out, err := r.answer(s, err)
		if err != nil {
			return nil, err
		}
		if out.Status = http.StatusCreated; replayed {
			out.Status, out.Replay = http.StatusOK, "true"
		}
		return out, nil
	})
	add(r, operation{roles: users(), Operation: huma.Operation{
		OperationID: "list-tasks", Method: http.MethodGet, Path: "/v1/tasks", Tags: tags, Summary: "List tasks, newest first",
	}}, func(ctx context.Context, in *ListQuery) (*listAnswer, error) { return r.list(ctx, *in) })
	add(r, operation{roles: users(), Operation: huma.Operation{
		OperationID: "list-agent-tasks", Method: http.MethodGet, Path: "/v1/agents/{path_agent_id}/tasks", Tags: tags, Summary: "List an agent's tasks, newest first",
	}}, func(ctx context.Context, in *struct {
		PathAgent string `path:"path_agent_id"`
		ListQuery
	},
	) (*listAnswer, error) {
		in.Agent = in.PathAgent
		return r.list(ctx, in.ListQuery)
	})
	add(r, operation{roles: everybody(), Operation: huma.Operation{
		OperationID: "get-task", Method: http.MethodGet, Path: "/v1/tasks/{task_id}", Tags: tags, Summary: "Read a task",
	}}, r.get)
	add(r, operation{roles: users(), Operation: huma.Operation{
		OperationID: "update-task", Method: http.MethodPatch, Path: "/v1/tasks/{task_id}", Tags: tags, Summary: "Change a task, or decide how it ends",
	}}, r.patch)
	for _, verb := range []struct {
		name, summary string
		do            func(context.Context, lifecycle.Caller, string) (lifecycle.Snapshot, error)
	}{
		{"stop", "Stop a task and its sub-tasks", r.Service.Stop},
		{"pause", "Hold a task until it is resumed", r.Service.Pause},
		{"resume", "Let a paused task go on", r.Service.Resume},
	} {
		add(r, operation{roles: users(), Operation: huma.Operation{
			OperationID: verb.name + "-task", Method: http.MethodPost, Path: "/v1/tasks/{task_id}/" + verb.name, Tags: tags, Summary: verb.summary,
		}}, func(ctx context.Context, in *TaskPath) (*taskAnswer, error) {
			return r.answer(verb.do(ctx, edge.Caller(ctx), in.ID))
		})
	}
	add(r, operation{roles: users(), Operation: huma.Operation{
		OperationID: "delete-task", Method: http.MethodDelete, Path: "/v1/tasks/{task_id}", DefaultStatus: http.StatusNoContent, Tags: tags,
		Summary: "Delete a task, its sub-tasks and their logs for good",
	}}, func(ctx context.Context, in *TaskPath) (*struct{}, error) {
		return nil, r.Service.Delete(ctx, edge.Caller(ctx), in.ID)
	})
}

func (r *routes) get(ctx context.Context, in *TaskPath) (*taskAnswer, error) {
	s, err := r.Service.Get(ctx, edge.Principal(ctx).Organization, in.ID)
	if err != nil {
		return nil, err
	}
	waiting, err := r.Service.WhyWaiting(ctx, s)
	if err != nil {
		return nil, err
	}
	rendered, err := r.Presenter.Task(s, waiting)
	return &taskAnswer{Status: http.StatusOK, Body: raw[Task]{rendered}}, err
}

// TaskUpdate is the body that changes a task.
type TaskUpdate struct {
	Title          *string    `json:"title,omitempty"`
	InternalStatus *string    `json:"internal_status,omitempty" doc:"At most 255 characters."`
	Priority       *int       `json:"priority,omitempty" minimum:"-100" maximum:"100" doc:"Only while pending."`
	RunAt          *time.Time `json:"run_at,omitempty" doc:"Only while pending."`
	Status         *string    `json:"status,omitempty" enum:"pending,executing,paused,completed,failed,error,stopped" doc:"completed, failed or error: decides how an executing task ends, or with override how an ended one is shown."`
	Result         *string    `json:"result,omitempty" doc:"Together with a status."`
	Override       bool       `json:"override,omitempty" doc:"Also correct how an ended task is shown to have ended."`
}

func (r *routes) patch(ctx context.Context, in *struct {
	TaskPath
	Body TaskUpdate
},
) (*taskAnswer, error) {
	e := lifecycle.Edit{
		Title: in.Body.Title, InternalStatus: in.Body.InternalStatus, Priority: in.Body.Priority,
		Result: in.Body.Result, Override: in.Body.Override,
	}
	if in.Body.RunAt != nil {
		at := task.StampOf(*in.Body.RunAt)
		e.RunAt = &at
	}
	if in.Body.Status != nil {
		status := task.Status(*in.Body.Status)
		e.Status = &status
	}
	return r.answer(r.Service.Update(ctx, edge.Caller(ctx), in.ID, e))
}

// reach is how far page numbers go; cursors reach everything (rule H5).
const reach = 10_000

func (r *routes) list(ctx context.Context, in ListQuery) (*listAnswer, error) {
	f := lifecycle.Filter{
		Agent: in.Agent, User: in.User, Parent: in.Parent, Trigger: in.Trigger, Status: task.Status(in.Status),
		InternalStatus: in.InternalStatus, From: task.StampOf(in.From), To: task.StampOf(in.To),
	}
	page := lifecycle.Page{Number: in.Page, Size: in.PerPage, Count: true}
	if in.Cursor != "" {
		var err error
		if page.Cursor, err = readCursor(in.Cursor); err != nil {
			return nil, err
		}
	} else if in.Page > reach/in.PerPage {
		return nil, fault.Field("page", "pages reach %d tasks: go on with cursor", reach)
	}
	found, err := r.Service.List(ctx, edge.Principal(ctx).Organization, f, page)
	if err != nil {
		return nil, err
	}
	list := TaskList{
		Items: make([]edge.ListItem, 0, len(found.Items)), Total: min(found.Total, lifecycle.MaxCount),
		TotalIsCapped: found.Total > lifecycle.MaxCount, Page: in.Page, PerPage: in.PerPage,
	}
	list.TotalPages = int(math.Ceil(float64(list.Total) / float64(in.PerPage)))
	for _, x := range found.Items {
		list.Items = append(list.Items, edge.ListItemOf(x))
	}
	if found.Next != (lifecycle.Cursor{}) {
		next := writeCursor(found.Next)
		list.NextCursor = &next
	}
	return &listAnswer{Body: list}, nil
}

func writeCursor(c lifecycle.Cursor) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(int64(c.CreatedAt), 36) + " " + c.ID))
}

func readCursor(given string) (lifecycle.Cursor, error) {
	wrong := &fault.Error{Code: fault.Malformed, Field: "cursor", Message: "is not a cursor that a list answered"}
	plain, err := base64.RawURLEncoding.DecodeString(given)
	if err != nil {
		return lifecycle.Cursor{}, wrong
	}
	at, id, ok := strings.Cut(string(plain), " ")
	created, err := strconv.ParseInt(at, 36, 64)
	if !ok || err != nil || lifecycle.CheckID("cursor", id) != nil {
		return lifecycle.Cursor{}, wrong
	}
	return lifecycle.Cursor{CreatedAt: task.Stamp(created), ID: id}, nil
}
