package errand

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"reflect"
	"time"
)

// Task is a task as the server answered it. Its methods ask the server again;
// those that change the task also bring the value up to date. A value is not
// safe for concurrent use.
type Task struct {
	ID             string `json:"id"`
	AgentID        string `json:"agent_id"`
	AgentVersion   string `json:"agent_version"`
	OrganizationID string `json:"organization_id"`
	// Owner is whose task it is: "key:" and the id of the key that created it, or
	// "user:" and the user for whom it did (see Client.ForUser). A sub-task's is
	// its parent's. Group is which group of keys may see it; both may be empty.
	Owner string `json:"owner"`
	Group string `json:"group"`
	// Turn counts from 1.
	Turn      int       `json:"turn"`
	Input     Input     `json:"input"`
	Status    Status    `json:"status"`
	EndReason EndReason `json:"end_reason"`
	// InternalStatus is the agent's own word for what it does, at most 255
	// characters.
	InternalStatus string `json:"internal_status"`
	Title          string `json:"title"`
	Result         string `json:"result"`

	CreatedAt  time.Time `json:"created_at"`
	UpdatedAt  time.Time `json:"updated_at"`
	StartedAt  time.Time `json:"started_at"`
	PausedAt   time.Time `json:"paused_at"`
	FinishedAt time.Time `json:"finished_at"`

	// Waiting says why a task that has not ended is not executing. Only Get
	// and Reload answer it.
	Waiting *Waiting `json:"waiting"`
	// StopRequest is what became of a request to stop; nil when there was none.
	StopRequest *StopRequest `json:"stop"`
	// IsManuallyStopped says that the turn was stopped by somebody.
	IsManuallyStopped bool `json:"is_manually_stopped"`
	// LastEventSeq is the number of the newest event in the task's log.
	LastEventSeq int64 `json:"last_event_seq"`

	// Attempt is the present run attempt of the turn, from 1;
	// ExecutionAttempts counts over all turns.
	Attempt           int    `json:"attempt"`
	ExecutionAttempts int    `json:"execution_attempts"`
	MaxAttempts       int    `json:"max_attempts"`
	WorkerID          string `json:"worker_id"`
	PinnedWorkerID    string `json:"pinned_worker_id"`
	Priority          int    `json:"priority"`
	// RunAt is the moment before which it does not start.
	RunAt time.Time `json:"run_at"`
	// Timeout bounds how long it may execute, over all of its attempts, ExpiresIn
	// how long it may wait to be started, from RunAt on; 0 is without limit.
	Timeout        time.Duration `json:"-"`
	ExpiresIn      time.Duration `json:"-"`
	RunLocally     bool          `json:"run_locally"`
	IdempotencyKey string        `json:"idempotency_key"`
	Tags           []string      `json:"tags"`

	// Tokens, UsedTools and Duration are what the execution has cost.
	Tokens    *Tokens       `json:"tokens"`
	UsedTools []string      `json:"used_tools"`
	Duration  time.Duration `json:"-"`
	// Adjusted names the fields of which it has something else than its worker gave
	// in this turn: cut, mended or left out, because they could not be kept whole.
	Adjusted []string `json:"adjusted"`
	// ResultCheck is how the result follows OutputSchema; nil if that asks for
	// nothing, or while there was no result.
	ResultCheck *ResultCheck `json:"result_check"`
	// OpenCalls are those of the creator's tools with which the turn has ended, ToolResults
	// what came of those that the turn before has left open.
	OpenCalls   []OpenCall   `json:"open_calls"`
	ToolResults []ToolResult `json:"tool_results"`
	ClientTools []ClientTool `json:"client_tools"`

	// ParentTaskID is the task that this is a sub-task of, OnParentEnd what becomes of
	// it when that ends; SubTasks are its own.
	ParentTaskID               string          `json:"parent_execution"`
	OnParentEnd                OnParentEnd     `json:"on_parent_end"`
	SubTasks                   []string        `json:"sub_executions"`
	TriggeringAgentID          string          `json:"triggering_agent_id"`
	Source                     string          `json:"source"`
	OutputFormat               string          `json:"output_format"`
	OutputSchema               json.RawMessage `json:"output_schema"`
	ExpectedOutput             string          `json:"expected_output"`
	AdditionalContext          string          `json:"additional_context"`
	InstructionsOverride       string          `json:"instructions_override"`
	ThinkMode                  string          `json:"think_mode"`
	ModelProvider              string          `json:"llm_model_provider"`
	ModelName                  string          `json:"llm_model_name"`
	ReasoningEffort            string          `json:"llm_reasoning_effort"`
	ToolCallLimit              int             `json:"tool_call_limit"`
	HarnessCLI                 string          `json:"harness_cli"`
	PermissionMode             string          `json:"permission_mode"`
	EventsStreaming            bool            `json:"events_streaming"`
	DisableAttachmentInjection bool            `json:"disable_attachment_injection"`
	ReturnMetrics              bool            `json:"return_metrics"`
	IsOrchestration            bool            `json:"is_orchestration"`
	PayloadExtension           json.RawMessage `json:"payload_extension"`
	MCPServers                 []MCPServer     `json:"mcp_servers"`
	Plan                       *Plan           `json:"deep_planning"`
	// Budget is what the task and all below it may use, nil if it has none of its own;
	// Spent what was used of that, or of the budget of a task above it.
	Budget             *Budget         `json:"budget"`
	Spent              *Spent          `json:"spent"`
	HITLRequest        json.RawMessage `json:"hitl_request"`
	PendingECARequest  json.RawMessage `json:"pending_eca_request"`
	LastExecutedNodeID string          `json:"last_executed_node_id"`
	TestRunNodeID      string          `json:"test_run_node_id"`
	VoiceID            string          `json:"voice_id"`

	client *Client
	raw    json.RawMessage
}

// OnParentEnd says what becomes of a sub-task that runs when its parent ends.
type OnParentEnd string

// What may become of it. A person's stop of the parent reaches it in either case.
const (
	StopOnParentEnd OnParentEnd = "stop" // it is stopped
	KeepOnParentEnd OnParentEnd = "keep" // it goes on
)

// Input is what a turn is asked.
type Input struct {
	Text  string   `json:"text"`
	Files []string `json:"files"`
	User  *User    `json:"user"`
	// Attachments are what the Python client says of files beside their URLs;
	// if there are any, they stand for Files.
	Attachments []Attachment `json:"attachments"`
}

// Attachment is a file with what is known of it.
type Attachment struct {
	URL  string `json:"url"`
	Name string `json:"name,omitempty"`
	MIME string `json:"mime,omitempty"`
	// Size is in bytes; nil is unknown.
	Size *int64 `json:"size,omitempty"`
	// Kind is image, pdf, document, text, audio, video, archive or unknown.
	Kind string `json:"kind,omitempty"`
	// Transcript is the text of a sound or film.
	Transcript string `json:"transcript,omitempty"`
}

// User is the person behind a task.
type User struct {
	ID                   string         `json:"id,omitempty"`
	Email                string         `json:"email"`
	FirstName            string         `json:"first_name,omitempty"`
	LastName             string         `json:"last_name,omitempty"`
	Timezone             string         `json:"timezone,omitempty"`
	AdditionalAttributes map[string]any `json:"additional_attributes,omitempty"`
}

// Tokens are the model tokens that a task has used.
type Tokens struct {
	Prompt     int64 `json:"prompt_tokens"`
	Completion int64 `json:"completion_tokens"`
	CacheRead  int64 `json:"cache_read_tokens"`
	CacheWrite int64 `json:"cache_write_tokens"`
}

// Waiting says why a task is not executing.
type Waiting struct {
	// Reason is paused, budget, person, approval, child, timer, assigned, run_locally,
	// earlier_attempt, scheduled, retry, pinned_worker_absent, no_worker, behind or
	// workers_busy; Message says it for a person.
	Reason   string `json:"reason"`
	Message  string `json:"message"`
	WorkerID string `json:"worker_id"`
	// SubTasks are those whose end it waits for, with the reason child.
	SubTasks []string `json:"sub_tasks"`
	// Approvals are the ids of those whose answer it waits for, with the reasons person
	// and approval.
	Approvals []string  `json:"approvals"`
	Until     time.Time `json:"until"`
	LastSeen  time.Time `json:"last_seen"`
	// Cap is the one that holds it, with the reason budget; nil for none.
	Cap *ReachedCap `json:"cap"`
	// Ahead counts the agent's tasks that come first, Busy its executing ones.
	Ahead int `json:"ahead"`
	Busy  int `json:"busy"`
}

// StopRequest is what became of a request to stop: confirmed by the worker, or
// abandoned because the worker did not answer within a lease. Until one of
// them is set, the answer is awaited.
type StopRequest struct {
	RequestedAt time.Time `json:"requested_at"`
	By          string    `json:"by"`
	ConfirmedAt time.Time `json:"confirmed_at"`
	AbandonedAt time.Time `json:"abandoned_at"`
}

// Plan is a deep plan: what an agent means to do, and what it has done.
type Plan struct {
	Enabled        bool       `json:"enabled"`
	Enforce        bool       `json:"enforce"`
	Started        bool       `json:"started"`
	QuestionRaised bool       `json:"question_raised"`
	Items          []PlanItem `json:"tasks"`
}

// PlanItem is a step of a plan.
type PlanItem struct {
	ID        string `json:"id"`
	Title     string `json:"title"`
	Completed bool   `json:"completed"`
}

// MCPServer is an MCP server that a task may use. The server keeps APIKey,
// ClientSecret, Headers and EnvVars encrypted and does not answer them.
type MCPServer struct {
	Name string `json:"name,omitempty"`
	// Type is remote or local, Transport is streamable-http, sse or stdio.
	Type         string            `json:"type,omitempty"`
	Transport    string            `json:"transport,omitempty"`
	URL          string            `json:"url,omitempty"`
	Command      string            `json:"command,omitempty"`
	AllowedTools []string          `json:"allowed_tools,omitempty"`
	AuthType     string            `json:"auth_type,omitempty"`
	APIKey       string            `json:"api_key,omitempty"`
	ClientID     string            `json:"client_id,omitempty"`
	ClientSecret string            `json:"client_secret,omitempty"`
	Headers      map[string]string `json:"headers,omitempty"`
	EnvVars      map[string]string `json:"env_vars,omitempty"`
	Scopes       []string          `json:"additional_scopes,omitempty"`
}

// Ended reports whether the task's turn has ended.
func (t *Task) Ended() bool { return t.Status.Ends() }

// JSON is the task as the server sent it, with every field.
func (t *Task) JSON() json.RawMessage { return t.raw }

// UnmarshalJSON reads a task and keeps the whole of it for JSON.
func (t *Task) UnmarshalJSON(b []byte) error {
	type plain Task
	fresh := plain{client: t.client, raw: append(json.RawMessage(nil), b...)}
	in := struct {
		*plain
		Timeout   float64 `json:"timeout"`
		ExpiresIn float64 `json:"expires_in"`
		Duration  float64 `json:"duration"`
	}{plain: &fresh}
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	fresh.Timeout, fresh.ExpiresIn, fresh.Duration = duration(in.Timeout), duration(in.ExpiresIn), duration(in.Duration)
	*t = Task(fresh)
	return nil
}

// seconds is d as the API counts time, duration the way back.
func seconds(d time.Duration) float64  { return d.Seconds() }
func duration(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// errNoClient is what a task that no client made answers.
var errNoClient = errors.New("this task did not come from a client: use the methods of Client.Tasks")

// become takes over what a call answered.
func (t *Task) become(call func(*Tasks) (*Task, error)) error {
	if t.client == nil {
		return errNoClient
	}
	fresh, err := call(t.client.Tasks)
	if err != nil {
		return err
	}
	*t = *fresh
	return nil
}

// Reload reads the task again.
func (t *Task) Reload(ctx context.Context) error {
	return t.become(func(c *Tasks) (*Task, error) { return c.Get(ctx, t.ID) })
}

// Events follows the task; see Tasks.Events.
func (t *Task) Events(ctx context.Context, options ...StreamOption) iter.Seq2[Event, error] {
	if t.client == nil {
		return func(yield func(Event, error) bool) { yield(Event{}, errNoClient) }
	}
	return t.client.Tasks.Events(ctx, t.ID, options...)
}

// Wait waits until the task's turn has ended.
func (t *Task) Wait(ctx context.Context) error {
	return t.become(func(c *Tasks) (*Task, error) { return c.Wait(ctx, t.ID) })
}

// Stop ends the task and its sub-tasks; see Tasks.Stop.
func (t *Task) Stop(ctx context.Context) error {
	return t.become(func(c *Tasks) (*Task, error) { return c.Stop(ctx, t.ID) })
}

// SetStatus decides how the task ends, with a result; see TaskUpdate.Status.
func (t *Task) SetStatus(ctx context.Context, s Status, result string) error {
	u := TaskUpdate{Status: s}
	if result != "" {
		u.Result = &result
	}
	return t.become(func(c *Tasks) (*Task, error) { return c.Update(ctx, t.ID, u) })
}

// Save sends the fields that were changed since the task was read: Title,
// InternalStatus, Priority, RunAt, Status with Result, Tokens, UsedTools,
// Duration, PayloadExtension, and what is asked of the model (ModelProvider to
// PermissionMode). Others are the server's, and what was changed
// in them is lost. Nothing is sent if nothing was changed.
func (t *Task) Save(ctx context.Context) error {
	var was Task
	if err := json.Unmarshal(t.raw, &was); err != nil {
		return err
	}
	u := t.changes(&was)
	if reflect.ValueOf(u).IsZero() {
		return nil
	}
	return t.become(func(c *Tasks) (*Task, error) { return c.Update(ctx, t.ID, u) })
}

// changes is the update that leads from one state of a task to the present.
func (t *Task) changes(was *Task) TaskUpdate {
	var u TaskUpdate
	if t.Title != was.Title {
		u.Title = &t.Title
	}
	if t.InternalStatus != was.InternalStatus {
		u.InternalStatus = &t.InternalStatus
	}
	if t.Priority != was.Priority {
		u.Priority = &t.Priority
	}
	if !t.RunAt.Equal(was.RunAt) {
		u.RunAt = &t.RunAt
	}
	if t.Result != was.Result {
		u.Result, u.Status = &t.Result, t.Status
	}
	if t.Status != was.Status {
		u.Status = t.Status
	}
	if !reflect.DeepEqual(t.Tokens, was.Tokens) {
		u.Tokens = t.Tokens
	}
	if !reflect.DeepEqual(t.UsedTools, was.UsedTools) {
		u.UsedTools = t.UsedTools
	}
	if t.Duration != was.Duration {
		u.Duration = t.Duration
	}
	if string(t.PayloadExtension) != string(was.PayloadExtension) {
		u.PayloadExtension = t.PayloadExtension
	}
	for _, asked := range []struct {
		was, is *string
		change  **string
	}{
		{&was.ModelProvider, &t.ModelProvider, &u.ModelProvider},
		{&was.ModelName, &t.ModelName, &u.ModelName},
		{&was.ReasoningEffort, &t.ReasoningEffort, &u.ReasoningEffort},
		{&was.HarnessCLI, &t.HarnessCLI, &u.HarnessCLI},
		{&was.PermissionMode, &t.PermissionMode, &u.PermissionMode},
	} {
		if *asked.is != *asked.was {
			*asked.change = asked.is
		}
	}
	if t.ToolCallLimit != was.ToolCallLimit {
		u.ToolCallLimit = &t.ToolCallLimit
	}
	return u
}
