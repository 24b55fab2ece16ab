package errand

import (
	"encoding/json"
	"slices"
	"strconv"
	"time"
)

// MaxEvent is how many bytes the data of one event may have as JSON.
const MaxEvent = 256 << 10

// EventType is the kind of an event: one of a closed list.
type EventType string

// The types of events. A turn begins with TaskCreated and has exactly one
// TaskFinished, behind which only StopConfirmed, StopAbandoned,
// LateWriteRefused and Override may follow.
const (
	TaskCreated        EventType = "task_created"
	TaskUpdated        EventType = "task_updated"
	TaskFinished       EventType = "task_finished"
	TaskCompactization EventType = "task_compactization"
	Chunk              EventType = "chunk" // the next piece of the answer's text
	AuthEvent          EventType = "auth_event"
	ToolCallRequest    EventType = "tool_call_request"
	ToolCallResult     EventType = "tool_call_result"
	SubAgentTrigger    EventType = "sub_agent_trigger"
	Think              EventType = "think"
	Analyze            EventType = "analyze"
	PlanUpdated        EventType = "plan_updated"

	AttemptStarted    EventType = "attempt_started"
	AttemptLost       EventType = "attempt_lost"
	LateWriteRefused  EventType = "late_write_refused"
	StopRequested     EventType = "stop_requested"
	StopConfirmed     EventType = "stop_confirmed"
	StopAbandoned     EventType = "stop_abandoned"
	TurnPaused        EventType = "paused"
	TurnResumed       EventType = "resumed"
	ApprovalRequested EventType = "approval_requested"
	ApprovalAnswered  EventType = "approval_answered"
	BudgetWarning     EventType = "budget_warning"
	ModelUsed         EventType = "usage" // the tokens and cost of a call of a model
	Step              EventType = "step"
	SubTaskFinished   EventType = "subtask_finished"
	OutputWritten     EventType = "output"
	FileGiven         EventType = "file_given" // what the agent was given of a file
	AgentMessage      EventType = "agent_message"
	ContextStatus     EventType = "context_status"
	GatewaySteer      EventType = "gateway_steer_applied"
	Override          EventType = "override" // corrects something after the end
)

// EventTypes lists every type.
func EventTypes() []EventType {
	return []EventType{
		TaskCreated, TaskUpdated, TaskFinished, TaskCompactization, Chunk, AuthEvent,
		ToolCallRequest, ToolCallResult, SubAgentTrigger, Think, Analyze, PlanUpdated,
		AttemptStarted, AttemptLost, LateWriteRefused, StopRequested, StopConfirmed,
		StopAbandoned, TurnPaused, TurnResumed, ApprovalRequested, ApprovalAnswered,
		BudgetWarning, ModelUsed, Step, SubTaskFinished, OutputWritten, FileGiven, AgentMessage, ContextStatus, GatewaySteer, Override,
	}
}

// Valid reports whether t is one of the list. A newer server may know others.
func (t EventType) Valid() bool { return slices.Contains(EventTypes(), t) }

// Writable reports whether Attempt.Emit and Tasks.PushEvents may write events
// of the type: all others are the server's own.
func (t EventType) Writable() bool {
	switch t { //nolint:exhaustive // everything that is not listed is the server's own
	case Chunk, AuthEvent, ToolCallRequest, ToolCallResult, SubAgentTrigger, Think,
		Analyze, PlanUpdated, TaskCompactization, Step, AgentMessage, ContextStatus, GatewaySteer:
		return true
	default:
		return false
	}
}

// Event is one entry of a task's log.
type Event struct {
	// ID is its number: gapless, rising, and the cursor of a stream.
	ID     int64           `json:"id"`
	Type   EventType       `json:"type"`
	TaskID string          `json:"task_id"`
	Turn   int             `json:"turn"`
	Time   time.Time       `json:"time"`
	Author Author          `json:"author"`
	Data   json.RawMessage `json:"data"`
}

// Author is who wrote an event: an attempt, or else a key or the server itself.
// Servers of a time before authors name nobody.
type Author struct {
	// Attempt counts over all turns, like Task.ExecutionAttempts; 0 for others.
	Attempt int `json:"attempt,omitempty"`
	// By is "key " and the key's name, or the name of a server.
	By string `json:"by,omitempty"`
}

// String says it in words.
func (a Author) String() string {
	if a.Attempt > 0 {
		return "attempt " + strconv.Itoa(a.Attempt)
	}
	return a.By
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
	// Adjusted are those of the task.
	Adjusted []string `json:"adjusted"`
	// ResultCheck is the task's.
	ResultCheck *ResultCheck `json:"result_check"`
	// Budget is the task's.
	Budget *Budget `json:"budget"`
}

// Change returns what the event changed in the task, and whether it is of a
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

// ToolCall returns the call of a tool or its result, and whether the event is
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

// Thought returns a step of reasoning, and whether the event is one.
func (e Event) Thought() (Thought, bool) { return read[Thought](e, Think, Analyze) }

// Plan returns a plan as it has become, and whether the event says so.
func (e Event) Plan() (Plan, bool) { return read[Plan](e, PlanUpdated) }

// SubAgent says that another agent was given a part of the work.
type SubAgent struct {
	AgentID   string    `json:"agent_id"`
	TaskID    string    `json:"task_id,omitempty"`
	Query     string    `json:"query,omitempty"`
	Files     []string  `json:"files,omitempty"`
	Reasoning Reasoning `json:"reasoning"`
}

// SubAgent returns which agent was given a part of the work, and whether the
// event says so.
func (e Event) SubAgent() (SubAgent, bool) { return read[SubAgent](e, SubAgentTrigger) }
