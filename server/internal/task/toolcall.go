package task

import (
	"encoding/json"
	"fmt"
	"strings"
)

// ToolCall is the data of the events of a tool's call, in the Python client's form:
// Result and IsError are set in a tool_call_result alone.
type ToolCall struct {
	// RequestID joins the request and its result.
	RequestID   string `json:"request_id"`
	OperationID string `json:"operation_id"`
	// ToolCallID is what the model's provider calls it, if that is known.
	ToolCallID string          `json:"tool_call_id,omitempty"`
	ToolName   string          `json:"tool_name"`
	Payload    json.RawMessage `json:"payload"`
	Result     json.RawMessage `json:"result,omitempty"`
	IsError    *bool           `json:"is_error,omitempty"`
}

// Data is the call as an event's. What is too long for one is cut: an agent must not
// fail because its tool has much to say.
func (c ToolCall) Data() (json.RawMessage, error) {
	data, err := json.Marshal(c)
	if err == nil && len(data) > MaxEvent {
		c.Payload, c.Result = shortened(c.Payload), shortened(c.Result)
		data, err = json.Marshal(c)
	}
	if err != nil {
		return nil, fmt.Errorf("encode tool call: %w", err)
	}
	return data, nil
}

// longest is how many bytes of a value that made an event too long are shown.
const longest = 16 << 10

// shortened returns a long value as the beginning of its JSON, as text.
func shortened(raw json.RawMessage) json.RawMessage {
	if len(raw) <= longest {
		return raw
	}
	short, err := json.Marshal(strings.ToValidUTF8(string(raw[:longest]), "") + "…")
	if err != nil {
		return nil
	}
	return short
}
