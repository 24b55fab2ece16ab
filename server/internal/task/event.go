package task

import (
	"encoding/json"
	"reflect"
	"slices"
)

// Type is the kind of an event: a closed list (rule T5).
type Type string

// The types of events.
const (
	TaskCreated        Type = "task_created"
	TaskUpdated        Type = "task_updated"
	TaskFinished       Type = "task_finished"
	TaskCompactization Type = "task_compactization"
	Chunk              Type = "chunk"
	AuthEvent          Type = "auth_event"
	ToolCallRequest    Type = "tool_call_request"
	ToolCallResult     Type = "tool_call_result"
	SubAgentTrigger    Type = "sub_agent_trigger"
	Think              Type = "think"
	Analyze            Type = "analyze"
	PlanUpdated        Type = "plan_updated"

	AttemptStarted    Type = "attempt_started"
	AttemptLost       Type = "attempt_lost"
	LateWriteRefused  Type = "late_write_refused"
	StopRequested     Type = "stop_requested"
	StopConfirmed     Type = "stop_confirmed"
	StopAbandoned     Type = "stop_abandoned"
	TurnPaused        Type = "paused"
	TurnResumed       Type = "resumed"
	ApprovalRequested Type = "approval_requested"
	ApprovalAnswered  Type = "approval_answered"
	BudgetWarning     Type = "budget_warning"
	ModelUsed         Type = "usage"
	StepDone          Type = "step"
	SubTaskFinished   Type = "subtask_finished"
	OutputWritten     Type = "output"
	FileGiven         Type = "file_given"
	AgentMessage      Type = "agent_message"
	// What newer releases of the Python client push beside the twelve.
	ContextStatus Type = "context_status"
	GatewaySteer  Type = "gateway_steer_applied"

	// Override corrects something after the end.
	Override Type = "override"
)

// PythonTypes lists the twelve types that the Python client knows; it dies of any other.
func PythonTypes() []Type {
	return []Type{
		TaskCreated, TaskUpdated, TaskFinished, TaskCompactization, Chunk, AuthEvent,
		ToolCallRequest, ToolCallResult, SubAgentTrigger, Think, Analyze, PlanUpdated,
	}
}

// Types lists every type.
func Types() []Type {
	return append(PythonTypes(),
		AttemptStarted, AttemptLost, LateWriteRefused, StopRequested, StopConfirmed,
		StopAbandoned, TurnPaused, TurnResumed, ApprovalRequested, ApprovalAnswered,
		BudgetWarning, ModelUsed, StepDone, SubTaskFinished, OutputWritten, FileGiven, AgentMessage, ContextStatus, GatewaySteer, Override)
}

// KnownToPython reports whether the Python client knows the type.
func (t Type) KnownToPython() bool { return slices.Contains(PythonTypes(), t) }

// Valid reports whether the type is one of the closed list.
func (t Type) Valid() bool { return slices.Contains(Types(), t) }

// Writable reports whether workers and pushes may append the type (rule T6).
func (t Type) Writable() bool {
	switch t { //nolint:exhaustive // everything that is not listed is the server's own
	case Chunk, AuthEvent, ToolCallRequest, ToolCallResult, SubAgentTrigger, Think,
		Analyze, PlanUpdated, TaskCompactization, StepDone, AgentMessage, ContextStatus, GatewaySteer:
		return true
	default:
		return false
	}
}

// ChangesState reports whether the event's data is a patch of State.
func (t Type) ChangesState() bool {
	return t == TaskCreated || t == TaskUpdated || t == TaskFinished || t == Override
}

// Event is one committed entry of a task's log.
type Event struct {
	// Seq is the event's number in its task: gapless, rising, from 1.
	Seq  int64
	Turn int
	Type Type
	Time Stamp
	// Own is the event's data but for what its turn keeps.
	Own json.RawMessage
	// Kept is a JSON object that the turn stores once and the event shows:
	// the spec in task_created, the result in task_finished. Nil elsewhere.
	Kept json.RawMessage
	// ClientID makes a repeated append answer the first one's Seq; "" is none.
	ClientID string
	// Author is who wrote it.
	Author Author
}

// Author says who wrote an event: an attempt under its lease, or else a key or
// a node by its name. Just one of its fields is set.
type Author struct {
	// Attempt is the attempt's Number.
	Attempt int `json:"attempt,omitempty"`
	// By names the key ("key reports"), or the node that wrote it by itself.
	By string `json:"by,omitempty"`
}

// Data is what readers see: Own, with Kept in front of it.
func (e Event) Data() json.RawMessage { return Splice(e.Kept, e.Own) }

// Splice joins the members of JSON objects into one, without parsing them.
// Empty and nil objects are passed over. A single value that is no object is
// answered as it is.
func Splice(objects ...json.RawMessage) json.RawMessage {
	size, parts := 2, objects[:0:0]
	for _, o := range objects {
		if len(o) > 0 && string(o) != "{}" {
			parts = append(parts, o)
			size += len(o)
		}
	}
	switch len(parts) {
	case 0:
		if len(objects) > 0 {
			return json.RawMessage("{}")
		}
		return nil
	case 1:
		return parts[0]
	}
	joined := make([]byte, 0, size)
	joined = append(joined, '{')
	for i, p := range parts {
		if i > 0 {
			joined = append(joined, ',')
		}
		joined = append(joined, p[1:len(p)-1]...)
	}
	return append(joined, '}')
}

// KeptResult is what task_finished shows of its turn's result.
func KeptResult(result *string) (json.RawMessage, error) {
	return json.Marshal(struct {
		Result *string `json:"result"`
	}{result})
}

// Fold applies the patch of a state-changing event to a State. Copies of the
// State made before share nothing with what it writes.
func (s *State) Fold(patch json.RawMessage) error {
	s.detach()
	if err := json.Unmarshal(patch, s); err != nil {
		return err
	}
	s.Normalize()
	return nil
}

// detach gives the State pointers and slices of its own: decoding writes
// through those that it finds.
func (s *State) detach() {
	v := reflect.ValueOf(s).Elem()
	for _, f := range v.Fields() {
		switch {
		case f.Kind() == reflect.Slice:
			f.Set(reflect.AppendSlice(reflect.Zero(f.Type()), f))
		case f.Kind() == reflect.Pointer && !f.IsNil():
			own := reflect.New(f.Type().Elem())
			own.Elem().Set(f.Elem())
			f.Set(own)
		}
	}
}

// Normalize gives every way of saying nothing one form, so that States compare.
func (s *State) Normalize() {
	for _, raw := range []*json.RawMessage{
		&s.PayloadExtension, &s.HITLRequest, &s.PendingECARequest, &s.DeepPlanning,
	} {
		if string(*raw) == "null" || len(*raw) == 0 {
			*raw = nil
		}
	}
	for _, asked := range []**string{
		&s.LLMModelProvider, &s.LLMModelName, &s.LLMReasoningEffort, &s.HarnessCLI, &s.PermissionMode,
	} {
		if *asked != nil && **asked == "" {
			*asked = nil
		}
	}
	if s.ToolCallLimit != nil && *s.ToolCallLimit == 0 {
		s.ToolCallLimit = nil
	}
	for _, list := range []*[]string{&s.UsedTools, &s.Adjusted} {
		if *list == nil {
			*list = []string{}
		}
	}
	if s.OpenCalls == nil {
		s.OpenCalls = []OpenCall{}
	}
}
