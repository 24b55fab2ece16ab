package errand

import (
	"context"
	"encoding/json"
	"iter"
	"time"
)

// Message is one turn's question or answer in a task's thread.
type Message struct {
	// ID is <task>_user_<turn> or <task>_agent_<turn>.
	ID string
	// Role is user or assistant, in full threads also tool.
	Role      string
	Content   string
	CreatedAt time.Time
	// Metrics is what the turn has used; nil when unknown.
	Metrics *MessageMetrics
	// TaskID is the task or the sub-task; only full threads tell it.
	TaskID string
	// ToolName, Payload, IsError and RequestID belong to calls of tools. RequestID
	// joins a call with its result, which is a message of its own where it stands far
	// behind the call.
	ToolName  string
	Payload   json.RawMessage
	IsError   bool
	RequestID string
	// JSON is the message as the server sent it.
	JSON json.RawMessage
}

// MessageMetrics are the tokens of a message.
type MessageMetrics struct {
	InputTokens  int64 `json:"input_tokens"`
	OutputTokens int64 `json:"output_tokens"`
	TotalTokens  int64 `json:"total_tokens"`
}

// UnmarshalJSON reads a message, whose time is in seconds since 1970.
func (m *Message) UnmarshalJSON(b []byte) error {
	var in struct {
		ID        string          `json:"id"`
		Role      string          `json:"role"`
		Content   string          `json:"content"`
		CreatedAt float64         `json:"created_at"`
		Metrics   *MessageMetrics `json:"metrics"`
		ToolName  string          `json:"tool_name"`
		Payload   json.RawMessage `json:"payload"`
		IsError   bool            `json:"is_error"`
		TaskID    string          `json:"task_id"`
		RequestID string          `json:"request_id"`
	}
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	*m = Message{
		ID: in.ID, Role: in.Role, Content: in.Content, Metrics: in.Metrics,
		TaskID: in.TaskID, ToolName: in.ToolName, Payload: in.Payload, IsError: in.IsError, RequestID: in.RequestID,
		CreatedAt: time.UnixMicro(int64(in.CreatedAt * 1e6)).UTC(), JSON: append(json.RawMessage(nil), b...),
	}
	return nil
}

// Thread yields what a task was asked and what it answered, over all turns. An error is
// yielded last.
func (t *Tasks) Thread(ctx context.Context, id string) iter.Seq2[Message, error] {
	return parts[Message](ctx, t.c, taskPath(id)+"/thread", nil)
}

// FullThread yields the thread of a task with the tools that were called, then those of
// its sub-tasks, which Message.TaskID tells apart. An error is yielded last.
func (t *Tasks) FullThread(ctx context.Context, id string) iter.Seq2[Message, error] {
	return parts[Message](ctx, t.c, taskPath(id)+"/thread/full", nil)
}

// ActivityEntry is one entry of an activity log. Which fields are set tells what
// it is: Role a message, ToolName a call of a tool, Type a thought.
type ActivityEntry struct {
	ID        string          `json:"id"`
	CreatedAt time.Time       `json:"created_at"`
	Role      string          `json:"role"`
	ToolName  string          `json:"tool_name"`
	Type      string          `json:"type"`
	Title     string          `json:"title"`
	Content   json.RawMessage `json:"content"`
	Payload   json.RawMessage `json:"payload"`
	Result    json.RawMessage `json:"result"`
	IsError   bool            `json:"is_error"`
	// RequestID joins a call with its result, which is an entry of its own where it
	// stands far behind the call.
	RequestID string `json:"request_id"`
}

// Activity yields a task's activity log: messages, tools and thoughts. An error is
// yielded last.
func (t *Tasks) Activity(ctx context.Context, id string) iter.Seq2[ActivityEntry, error] {
	return parts[ActivityEntry](ctx, t.c, taskPath(id)+"/activity", nil)
}
