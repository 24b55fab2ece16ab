package task

import "encoding/json"

// ClientTool is a tool of whoever creates a task: the agent's model may call it, and the
// caller carries the call out (rule T10).
type ClientTool struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	// InputSchema is the JSON Schema of the arguments: an object's.
	InputSchema json.RawMessage `json:"input_schema,omitempty"`
}

// OpenCall is a call of such a tool with which a turn has ended.
type OpenCall struct {
	// ID names the call in its task.
	ID   string `json:"id"`
	Name string `json:"name"`
	// Arguments are an object that follows the tool's schema.
	Arguments json.RawMessage `json:"arguments"`
}

// ToolResult is what came of an open call: the turn that follows begins with it.
type ToolResult struct {
	CallID  string `json:"call_id"`
	Content string `json:"content"`
	IsError bool   `json:"is_error,omitempty"`
}

// Bounds of what a caller gives.
const (
	MaxClientTools = 128
	// MaxClientBytes bounds all tools of a caller together, as JSON.
	MaxClientBytes = 256 << 10
	// MaxToolName is how long the name of a tool may be: what all providers take.
	MaxToolName = 64
)
