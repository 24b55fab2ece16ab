package errand

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/errand-dev/errand/internal/task"
)

// EventType is the kind of an event: one of a closed list.
type EventType = task.Type

// The types of events. A turn begins with TaskCreated and has exactly one
// TaskFinished, behind which only StopConfirmed, StopAbandoned,
// LateWriteRefused and Override may follow.
const (
	TaskCreated        = task.TaskCreated
	TaskUpdated        = task.TaskUpdated
	TaskFinished       = task.TaskFinished
	TaskCompactization = task.TaskCompactization
	Chunk              = task.Chunk
	AuthEvent          = task.AuthEvent
	ToolCallRequest    = task.ToolCallRequest
	ToolCallResult     = task.ToolCallResult
	SubAgentTrigger    = task.SubAgentTrigger
	Think              = task.Think
	Analyze            = task.Analyze
	PlanUpdated        = task.PlanUpdated

	AttemptStarted    = task.AttemptStarted
	AttemptLost       = task.AttemptLost
	LateWriteRefused  = task.LateWriteRefused
	StopRequested     = task.StopRequested
	StopConfirmed     = task.StopConfirmed
	StopAbandoned     = task.StopAbandoned
	TurnPaused        = task.TurnPaused
	TurnResumed       = task.TurnResumed
	ApprovalRequested = task.ApprovalRequested
	ApprovalAnswered  = task.ApprovalAnswered
	BudgetWarning     = task.BudgetWarning
	Step              = task.Step
	AgentMessage      = task.AgentMessage
	ContextStatus     = task.ContextStatus
	GatewaySteer      = task.GatewaySteer
	Override          = task.Override
)

// Event is one entry of a task's log.
type Event struct {
	// ID is its number: gapless, rising, and the cursor of a stream.
	ID     int64           `json:"id"`
	Type   EventType       `json:"type"`
	TaskID string          `json:"task_id"`
	Turn   int             `json:"turn"`
	Time   time.Time       `json:"time"`
	Data   json.RawMessage `json:"data"`
}

// Decode reads the event's data into v.
func (e Event) Decode(v any) error { return json.Unmarshal(e.Data, v) }

// read decodes the data of an event of one of the types.
func read[T any](e Event, types ...EventType) (T, bool) {
	var v T
	return v, slices.Contains(types, e.Type) && e.Decode(&v) == nil
}

// Text is the text of a chunk, "" for any other event.
func (e Event) Text() string {
	text, _ := read[string](e, Chunk)
	return text
}

// Change is what a task_* event or an override says of the task. A nil field
// did not change.
type Change struct {
	Status         *Status    `json:"status"`
	EndReason      *EndReason `json:"end_reason"`
	InternalStatus *string    `json:"internal_status"`
	Title          *string    `json:"title"`
	Result         *string    `json:"result"`
	WorkerID       *string    `json:"worker_id"`
	Attempt        *int       `json:"attempt"`
	Tokens         *Tokens    `json:"tokens"`
	UsedTools      []string   `json:"used_tools"`
	// By is who made an override.
	By string `json:"by"`
	// Adjusted names what had to be cut or replaced in a worker's last words.
	Adjusted []string `json:"adjusted"`
}

// Change answers what the event changed in the task, and whether it is of a
// type that changes any of it.
func (e Event) Change() (Change, bool) {
	return read[Change](e, TaskCreated, TaskUpdated, TaskFinished, Override)
}

// ToolCall is a call of a tool, or what came of it.
type ToolCall struct {
	// RequestID joins a call with its result.
	RequestID string `json:"request_id"`
	// OperationID is the tool's id, ToolName its name for people.
	OperationID string `json:"operation_id"`
	ToolName    string `json:"tool_name,omitempty"`
	ToolCallID  string `json:"tool_call_id,omitempty"`
	NodeID      string `json:"graph_node_id,omitempty"`
	// Payload is what the tool was given: anything that encodes as JSON.
	Payload   any        `json:"payload,omitempty"`
	Reasoning *Reasoning `json:"reasoning,omitempty"`
	// Result and IsError belong to results.
	Result  any  `json:"result,omitempty"`
	IsError bool `json:"is_error,omitempty"`
}

// Reasoning says why something is done.
type Reasoning struct {
	Title       string `json:"title,omitempty"`
	Description string `json:"description,omitempty"`
}

// ToolCall answers the call of a tool or its result, and whether the event is
// one of those.
func (e Event) ToolCall() (ToolCall, bool) { return read[ToolCall](e, ToolCallRequest, ToolCallResult) }

// Thought is a step of reasoning.
type Thought struct {
	Title      string  `json:"title"`
	Thought    string  `json:"thought,omitempty"`
	Action     string  `json:"action,omitempty"`
	Result     string  `json:"result,omitempty"`
	Analysis   string  `json:"analysis,omitempty"`
	Confidence float64 `json:"confidence"`
}

// Thought answers a step of reasoning, and whether the event is one.
func (e Event) Thought() (Thought, bool) { return read[Thought](e, Think, Analyze) }

// Plan answers a plan as it has become, and whether the event says so.
func (e Event) Plan() (Plan, bool) { return read[Plan](e, PlanUpdated) }

// SubAgent says that another agent was given a part of the work.
type SubAgent struct {
	AgentID   string    `json:"agent_id"`
	TaskID    string    `json:"task_id,omitempty"`
	Query     string    `json:"query,omitempty"`
	Files     []string  `json:"files,omitempty"`
	Reasoning Reasoning `json:"reasoning"`
}

// SubAgent answers which agent was given a part of the work, and whether the
// event says so.
func (e Event) SubAgent() (SubAgent, bool) { return read[SubAgent](e, SubAgentTrigger) }
