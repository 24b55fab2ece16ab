package errand

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"
)

// Tasks creates, reads and steers tasks.
type Tasks struct{ c *Client }

// TaskRequest asks for a task. Only AgentID must be given.
type TaskRequest struct {
	AgentID string
	// Prompt is at most 1 MiB.
	Prompt string
	// FileURLs are http(s) URLs, or URLs of uploaded files; at most 100.
	FileURLs []string
	// User is the person behind the task.
	User *User
	// ID is an id of your own, 1 to 128 of A-Z a-z 0-9 . _ : and -; that of
	// an ended task starts its next turn.
	ID string
	// IdempotencyKey makes a repeat of the same request answer the first
	// one's task, for 24 hours; at most 255 bytes. Without one, the client
	// makes one for each call of Create, so that it may try again when a
	// connection breaks. It cannot know that your program calls Create twice.
	IdempotencyKey string
	Title          string

	// Priority is from -100 to 100; higher goes first.
	Priority int
	// RunAt is the moment before which it may not start; zero is now.
	RunAt time.Time
	// Timeout bounds how long it may execute, over all of its attempts, ExpiresIn
	// how long it may wait to be started, from RunAt on; 0 is without limit.
	Timeout   time.Duration
	ExpiresIn time.Duration
	// MaxAttempts bounds how many attempts may start; 0 is the agent's.
	MaxAttempts int
	// Budget is what it and all below it may use; nil is the agent's. A sub-task below a
	// budget has none of its own.
	Budget *Budget
	// WorkerID lets only that worker have it.
	WorkerID string
	// RunLocally says that the creator executes it; no worker is given it.
	RunLocally bool
	// Tags are at most 32, each of at most 64 bytes.
	Tags []string

	// AgentVersion pins a version of the agent; "" is the newest.
	AgentVersion string
	// ParentTaskID makes it a sub-task: it is stopped with its parent. The next turn
	// of a sub-task stays below its parent when this is left open.
	ParentTaskID string
	// OnParentEnd says what becomes of a sub-task that runs when its parent ends; ""
	// is what the last turn said, and else StopOnParentEnd.
	OnParentEnd       OnParentEnd
	TriggeringAgentID string
	// Source says where it came from, for people.
	Source string
	// TraceParent is the W3C trace context (the value of a header traceparent)
	// to which the task belongs; "" is the parent task's, if there is one.
	TraceParent string

	// OutputFormat is text, markdown, json or voice; "" is the agent's.
	OutputFormat string
	// OutputSchema is a JSON schema: anything that encodes as an object.
	OutputSchema any
	// ExpectedOutput says in words what is expected.
	ExpectedOutput string
	// Instructions are added to the agent's own for this task.
	Instructions      string
	AdditionalContext string
	// ThinkMode is default or harder.
	ThinkMode string
	// ModelProvider, ModelName, ReasoningEffort (low, medium, high or xhigh) and
	// ToolCallLimit are for this turn, in the place of the agent's own; workers
	// read them.
	ModelProvider, ModelName, ReasoningEffort string
	ToolCallLimit                             int
	// HarnessCLI (claude-code, for example) and PermissionMode (full or gated) are
	// for agents that are a coding CLI. A next turn that leaves them open keeps them.
	HarnessCLI, PermissionMode string
	// DisableAttachmentInjection keeps the contents of files out of Message.
	DisableAttachmentInjection bool
	// PayloadExtension is handed to the agent's tools: anything that encodes
	// as an object.
	PayloadExtension any
	// MCPServers, UserTokens and UserOIDCToken may hold secrets, which the
	// server keeps encrypted and answers to workers only.
	MCPServers    []MCPServer
	UserTokens    map[string]any
	UserOIDCToken string
	// ClientTools are tools of your own, for agents of runtime model. A turn in which the
	// model calls some ends Completed, with Task.OpenCalls; the next one, with the task's
	// ID, brings what came of them in ToolResults, and has the same tools if it names none.
	ClientTools []ClientTool
	// ToolResults are of the task's open calls. Of those that are left out the model is
	// told that there is no result.
	ToolResults []ToolResult
	// NoPythonStreaming keeps the Python client from streaming the task's events.
	NoPythonStreaming bool
}

// ClientTool is a tool that whoever creates a task carries out.
type ClientTool struct {
	// Name has 1 to 64 of A-Z a-z 0-9 _ -. Description tells the model what the tool does
	// and when it is of use.
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	// InputSchema is a JSON Schema whose type is object: anything that encodes as one; nil
	// is any object.
	InputSchema any `json:"input_schema,omitempty"`
}

// OpenCall is a call of such a tool that has no result yet.
type OpenCall struct {
	// ID names the call in its task.
	ID   string `json:"id"`
	Name string `json:"name"`
	// Arguments follow the tool's schema.
	Arguments json.RawMessage `json:"arguments"`
}

// Result is what came of the call, for the model.
func (c OpenCall) Result(content string) ToolResult {
	return ToolResult{CallID: c.ID, Content: content}
}

// Failed is that the call went wrong, and how.
func (c OpenCall) Failed(content string) ToolResult {
	return ToolResult{CallID: c.ID, Content: content, IsError: true}
}

// ToolResult is what came of an open call.
type ToolResult struct {
	CallID string `json:"call_id"`
	// Content is for the model, which is given the first 48 KiB; all of them together have
	// at most 1 MiB.
	Content string `json:"content"`
	IsError bool   `json:"is_error,omitempty"`
}

type inputBody struct {
	Text  string   `json:"text,omitempty"`
	Files []string `json:"files,omitempty"`
	User  *User    `json:"user,omitempty"`
}

type taskBody struct {
	AgentID              string         `json:"agent_id,omitempty"`
	ID                   string         `json:"id,omitempty"`
	Input                inputBody      `json:"input"`
	Title                string         `json:"title,omitempty"`
	PayloadExtension     any            `json:"payload_extension,omitempty"`
	ParentExecution      string         `json:"parent_execution,omitempty"`
	OnParentEnd          OnParentEnd    `json:"on_parent_end,omitempty"`
	Source               string         `json:"source,omitempty"`
	WorkerID             string         `json:"worker_id,omitempty"`
	OutputFormat         string         `json:"output_format,omitempty"`
	OutputSchema         any            `json:"output_schema,omitempty"`
	RunLocally           bool           `json:"run_locally,omitempty"`
	EventsStreaming      *bool          `json:"events_streaming,omitempty"`
	AdditionalContext    string         `json:"additional_context,omitempty"`
	InstructionsOverride string         `json:"instructions_override,omitempty"`
	ExpectedOutput       string         `json:"expected_output,omitempty"`
	MCPServers           []MCPServer    `json:"mcp_servers,omitempty"`
	TriggeringAgentID    string         `json:"triggering_agent_id,omitempty"`
	ThinkMode            string         `json:"think_mode,omitempty"`
	NoAttachments        bool           `json:"disable_attachment_injection,omitempty"`
	UserOIDCToken        string         `json:"user_oidc_token,omitempty"`
	UserTokens           map[string]any `json:"user_tokens,omitempty"`
	AgentVersion         string         `json:"agent_version,omitempty"`
	Priority             int            `json:"priority,omitempty"`
	RunAt                time.Time      `json:"run_at,omitzero"`
	MaxAttempts          int            `json:"max_attempts,omitempty"`
	Budget               *Budget        `json:"budget,omitempty"`
	Timeout              float64        `json:"timeout,omitempty"`
	ExpiresIn            float64        `json:"expires_in,omitempty"`
	Tags                 []string       `json:"tags,omitempty"`
	ModelProvider        string         `json:"llm_model_provider,omitempty"`
	ModelName            string         `json:"llm_model_name,omitempty"`
	ReasoningEffort      string         `json:"llm_reasoning_effort,omitempty"`
	ToolCallLimit        int            `json:"tool_call_limit,omitempty"`
	HarnessCLI           string         `json:"harness_cli,omitempty"`
	PermissionMode       string         `json:"permission_mode,omitempty"`
	ClientTools          []ClientTool   `json:"client_tools,omitempty"`
	ToolResults          []ToolResult   `json:"tool_results,omitempty"`
}

func (r TaskRequest) body() taskBody {
	b := taskBody{
		AgentID: r.AgentID, ID: r.ID, Input: inputBody{Text: r.Prompt, Files: r.FileURLs, User: r.User},
		Title: r.Title, PayloadExtension: r.PayloadExtension, ParentExecution: r.ParentTaskID, OnParentEnd: r.OnParentEnd, Source: r.Source,
		WorkerID: r.WorkerID, OutputFormat: r.OutputFormat, OutputSchema: r.OutputSchema, RunLocally: r.RunLocally,
		AdditionalContext: r.AdditionalContext, InstructionsOverride: r.Instructions, ExpectedOutput: r.ExpectedOutput,
		MCPServers: r.MCPServers, TriggeringAgentID: r.TriggeringAgentID, ThinkMode: r.ThinkMode,
		NoAttachments: r.DisableAttachmentInjection, UserOIDCToken: r.UserOIDCToken, UserTokens: r.UserTokens,
		AgentVersion: r.AgentVersion, Priority: r.Priority, RunAt: r.RunAt, MaxAttempts: r.MaxAttempts, Budget: r.Budget,
		Timeout: seconds(r.Timeout), ExpiresIn: seconds(r.ExpiresIn), Tags: r.Tags,
		ModelProvider: r.ModelProvider, ModelName: r.ModelName, ReasoningEffort: r.ReasoningEffort,
		ToolCallLimit: r.ToolCallLimit, HarnessCLI: r.HarnessCLI, PermissionMode: r.PermissionMode, ClientTools: r.ClientTools, ToolResults: r.ToolResults,
	}
	if r.NoPythonStreaming {
		b.EventsStreaming = new(bool)
	}
	return b
}

// Create creates a task, or starts the next turn of an ended one. It does not
// wait for the task to be executed.
func (t *Tasks) Create(ctx context.Context, r TaskRequest) (*Task, error) {
	if r.IdempotencyKey == "" && t.c.retry > 0 {
		r.IdempotencyKey = newKey()
	}
	return t.one(ctx, r.create("/v1/tasks"))
}

// create is the call that creates a task. With an idempotency key it may be repeated.
func (r TaskRequest) create(path string) request {
	call := request{method: http.MethodPost, path: path, body: r.body(), repeat: r.IdempotencyKey != "", header: http.Header{}}
	if r.IdempotencyKey != "" {
		call.header.Set("Idempotency-Key", r.IdempotencyKey)
	}
	if r.TraceParent != "" {
		call.header.Set("traceparent", r.TraceParent)
	}
	return call
}

// Get reads a task.
func (t *Tasks) Get(ctx context.Context, id string) (*Task, error) {
	return t.one(ctx, request{method: http.MethodGet, path: taskPath(id), repeat: true})
}

// TaskUpdate changes a task. What is left at zero stays as it is.
type TaskUpdate struct {
	Title *string
	// InternalStatus is at most 255 characters.
	InternalStatus *string
	// Priority and RunAt can be changed while the task is pending.
	Priority *int
	RunAt    *time.Time
	// Status Completed, Failed or Errored decides how an executing task ends.
	// Executing says that its creator has begun on a task with RunLocally.
	Status Status
	// Result goes with a Status.
	Result *string
	// Override lets Status and Result also correct how an ended task is shown
	// to have ended. The log says who did it.
	Override bool
	// Tokens, UsedTools and Duration are what the execution has cost; they
	// may come after the end.
	Tokens    *Tokens
	UsedTools []string
	Duration  time.Duration
	// PayloadExtension is merged into the task's: anything that encodes as an
	// object.
	PayloadExtension any
	// What is asked of the agent's model, tools and harness, as in TaskRequest; ""
	// and 0 give it back to the agent. It can be changed until the turn has ended,
	// and is for attempts that start afterwards.
	ModelProvider, ModelName, ReasoningEffort *string
	ToolCallLimit                             *int
	HarnessCLI, PermissionMode                *string
	// Budget is put in the place of the limits that the task has; what was spent stays.
	// What was paused because they were reached goes on if they are no more.
	Budget *Budget
}

type updateBody struct {
	Title            *string    `json:"title,omitempty"`
	InternalStatus   *string    `json:"internal_status,omitempty"`
	Priority         *int       `json:"priority,omitempty"`
	RunAt            *time.Time `json:"run_at,omitempty"`
	Status           Status     `json:"status,omitempty"`
	Result           *string    `json:"result,omitempty"`
	Override         bool       `json:"override,omitempty"`
	Tokens           *Tokens    `json:"tokens,omitempty"`
	UsedTools        []string   `json:"used_tools,omitempty"`
	Duration         float64    `json:"duration,omitempty"`
	PayloadExtension any        `json:"payload_extension,omitempty"`
	ModelProvider    *string    `json:"llm_model_provider,omitempty"`
	ModelName        *string    `json:"llm_model_name,omitempty"`
	ReasoningEffort  *string    `json:"llm_reasoning_effort,omitempty"`
	ToolCallLimit    *int       `json:"tool_call_limit,omitempty"`
	HarnessCLI       *string    `json:"harness_cli,omitempty"`
	PermissionMode   *string    `json:"permission_mode,omitempty"`
	Budget           *Budget    `json:"budget,omitempty"`
}

// Update changes a task.
func (t *Tasks) Update(ctx context.Context, id string, u TaskUpdate) (*Task, error) {
	return t.one(ctx, request{
		method: http.MethodPatch, path: taskPath(id), repeat: u.Status == "",
		body: updateBody{
			Title: u.Title, InternalStatus: u.InternalStatus, Priority: u.Priority, RunAt: u.RunAt,
			Status: u.Status, Result: u.Result, Override: u.Override, Tokens: u.Tokens, UsedTools: u.UsedTools,
			Duration: seconds(u.Duration), PayloadExtension: u.PayloadExtension,
			ModelProvider: u.ModelProvider, ModelName: u.ModelName, ReasoningEffort: u.ReasoningEffort,
			ToolCallLimit: u.ToolCallLimit, HarnessCLI: u.HarnessCLI, PermissionMode: u.PermissionMode,
		},
	})
}

// Metrics are what an execution has cost.
type Metrics struct {
	Tokens    *Tokens // nil: as they were
	UsedTools []string
	Duration  time.Duration
}

// ReportMetrics notes what a task's execution has cost, also after its end.
func (t *Tasks) ReportMetrics(ctx context.Context, id string, m Metrics) (*Task, error) {
	return t.Update(ctx, id, TaskUpdate{Tokens: m.Tokens, UsedTools: m.UsedTools, Duration: m.Duration})
}

// Stop ends a task and its sub-tasks: at once for every reader. A task that
// has ended is answered unchanged. Task.StopRequest tells whether the worker
// has confirmed it.
func (t *Tasks) Stop(ctx context.Context, id string) (*Task, error) {
	return t.one(ctx, request{method: http.MethodPost, path: taskPath(id) + "/stop", repeat: true})
}

// Pause holds a task until it is resumed. It takes no slot meanwhile.
func (t *Tasks) Pause(ctx context.Context, id string) (*Task, error) {
	return t.one(ctx, request{method: http.MethodPost, path: taskPath(id) + "/pause"})
}

// Resume lets a paused task go on, with its next attempt.
func (t *Tasks) Resume(ctx context.Context, id string) (*Task, error) {
	return t.one(ctx, request{method: http.MethodPost, path: taskPath(id) + "/resume"})
}

// Delete deletes a task, its sub-tasks and their logs for good. One that runs
// is stopped first.
func (t *Tasks) Delete(ctx context.Context, id string) error {
	return t.c.call(ctx, request{method: http.MethodDelete, path: taskPath(id)}, nil)
}

// ExternalTask is something that an agent did without the server.
type ExternalTask struct {
	// ID makes a second report of the same id correct the first. What that
	// one leaves at zero stays as it was.
	ID     string
	Input  string
	Result string
	// Failed says that it did not succeed.
	Failed    bool
	Tokens    *Tokens
	UsedTools []string
	Duration  time.Duration
}

// ReportExternal records a task that was executed elsewhere.
func (t *Tasks) ReportExternal(ctx context.Context, agentID string, e ExternalTask) (*Task, error) {
	body := struct {
		ID        string   `json:"id,omitempty"`
		Input     string   `json:"input,omitempty"`
		Result    string   `json:"result,omitempty"`
		IsSuccess bool     `json:"is_success"`
		Tokens    *Tokens  `json:"tokens,omitempty"`
		Duration  float64  `json:"duration,omitempty"`
		UsedTools []string `json:"used_tools,omitempty"`
	}{e.ID, e.Input, e.Result, !e.Failed, e.Tokens, seconds(e.Duration), e.UsedTools}
	return t.one(ctx, request{
		method: http.MethodPost, path: agentPath(agentID) + "/report", body: body, repeat: e.ID != "",
	})
}

func (t *Tasks) one(ctx context.Context, r request) (*Task, error) {
	task := Task{client: t.c}
	if err := t.c.call(ctx, r, &task); err != nil {
		return nil, err
	}
	return &task, nil
}

func taskPath(id string) string { return "/v1/tasks/" + url.PathEscape(id) }

// NewEvent is an event for a task's log.
type NewEvent struct {
	// Type is one that workers may write: Chunk, ToolCallRequest,
	// ToolCallResult, SubAgentTrigger, Think, Analyze, PlanUpdated, AuthEvent,
	// TaskCompactization, Step or AgentMessage.
	Type EventType
	// Data is anything that encodes as JSON, at most 256 KiB; for Chunk text.
	Data any
	// ClientID makes a repeat answer the first one's number; at most 128 bytes.
	ClientID string
}

type eventBody struct {
	Type     EventType       `json:"type"`
	Data     json.RawMessage `json:"data"`
	ClientID string          `json:"client_id,omitempty"`
}

// PushEvents appends events, at most 1,000, to the log of a task that has not
// ended, and returns their numbers. An event without a ClientID gets one for
// the call, so that the call may be repeated when a connection breaks.
func (t *Tasks) PushEvents(ctx context.Context, id string, events ...NewEvent) ([]int64, error) {
	bodies := make([]eventBody, 0, len(events))
	for _, e := range events {
		data, err := json.Marshal(e.Data)
		if err != nil {
			return nil, err
		}
		if e.ClientID == "" {
			e.ClientID = newKey()
		}
		bodies = append(bodies, eventBody{e.Type, data, e.ClientID})
	}
	return t.append(ctx, id, "", bodies)
}

// append appends events, with the lease that an attempt holds or without one.
func (t *Tasks) append(ctx context.Context, id, token string, events []eventBody) ([]int64, error) {
	var answer struct {
		IDs []int64 `json:"ids"`
	}
	err := t.c.call(ctx, request{
		method: http.MethodPost, path: taskPath(id) + "/events", repeat: true,
		body: struct {
			LeaseToken string      `json:"lease_token,omitempty"`
			Events     []eventBody `json:"events"`
		}{token, events},
	}, &answer)
	return answer.IDs, err
}
