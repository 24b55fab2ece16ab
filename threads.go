package errand

import (
	"context"
	"encoding/json"
	"net/http"
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
	// ToolName, Payload and IsError belong to calls of tools.
	ToolName string
	Payload  json.RawMessage
	IsError  bool
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
	}
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	*m = Message{
		ID: in.ID, Role: in.Role, Content: in.Content, Metrics: in.Metrics,
		ToolName: in.ToolName, Payload: in.Payload, IsError: in.IsError,
		CreatedAt: time.UnixMicro(int64(in.CreatedAt * 1e6)).UTC(), JSON: append(json.RawMessage(nil), b...),
	}
	return nil
}

// Thread answers what a task was asked and what it answered, over all turns.
func (t *Tasks) Thread(ctx context.Context, id string) ([]Message, error) {
	var thread []Message
	err := t.c.call(ctx, request{method: http.MethodGet, path: taskPath(id) + "/thread", repeat: true}, &thread)
	return thread, err
}

// FullThread answers the threads of a task, under "root", and of its
// sub-tasks, under their ids, with the tools that were called.
func (t *Tasks) FullThread(ctx context.Context, id string) (map[string][]Message, error) {
	var threads map[string][]Message
	err := t.c.call(ctx, request{method: http.MethodGet, path: taskPath(id) + "/thread/full", repeat: true}, &threads)
	return threads, err
}

// Activity is a task's activity log.
type Activity struct {
	ID        string          `json:"id"`
	CreatedAt time.Time       `json:"created_at"`
	Messages  []ActivityEntry `json:"messages"`
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
}

// Activity answers a task's activity log: messages, tools and thoughts.
func (t *Tasks) Activity(ctx context.Context, id string) (*Activity, error) {
	var a Activity
	if err := t.c.call(ctx, request{method: http.MethodGet, path: taskPath(id) + "/activity", repeat: true}, &a); err != nil {
		return nil, err
	}
	return &a, nil
}
