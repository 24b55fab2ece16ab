package agui

import (
	"bytes"
	"cmp"
	"encoding/json"
	"time"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/story"
	"github.com/errand-dev/errand/server/internal/task"
)

// interrupt is a question with which a run ends.
type interrupt struct {
	ID             string          `json:"id"`
	Reason         string          `json:"reason"`
	Message        string          `json:"message,omitempty"`
	ToolCallID     string          `json:"toolCallId,omitempty"`
	ResponseSchema json.RawMessage `json:"responseSchema,omitempty"`
	ExpiresAt      string          `json:"expiresAt,omitempty"`
}

// resume is an answer to an interrupt.
type resume struct {
	InterruptID string          `json:"interruptId"`
	Status      string          `json:"status"`
	Payload     json.RawMessage `json:"payload"`
}

// interruptOf is a question as its interrupt.
func interruptOf(q story.Question) interrupt {
	i := interrupt{ID: q.ID, Reason: "input_required", Message: cmp.Or(q.Message, q.Title), ToolCallID: q.Call, ResponseSchema: q.Schema}
	if q.Kind == task.KindApproval {
		i.ResponseSchema = approval(q.Schema)
		if i.Reason = "confirmation"; q.Call != "" {
			i.Reason = "tool_call"
		}
	}
	if q.Deadline != 0 {
		i.ExpiresAt = q.Deadline.Time().UTC().Format(time.RFC3339Nano)
	}
	if !bytes.HasPrefix(i.ResponseSchema, []byte("{")) {
		i.ResponseSchema = nil // the clients take objects only
	}
	return i
}

// approval is the schema of the answer to an approval, with a value if it has a schema.
func approval(value json.RawMessage) json.RawMessage {
	type object = map[string]any
	members := object{"approved": object{"type": "boolean"}, "note": object{"type": "string"}}
	if len(value) > 0 {
		members["value"] = value
	}
	schema, err := json.Marshal(object{"type": "object", "properties": members, "required": []string{"approved"}})
	if err != nil {
		return nil // it is made of JSON
	}
	return schema
}

// reply is what the client answers. A question is answered with its value alone, an
// approval with true, false, or an object that says so.
func (x resume) reply(a task.Approval) (task.Reply, error) {
	given := json.RawMessage(bytes.TrimSpace(x.Payload))
	none := len(given) == 0 || string(given) == "null"
	switch {
	case x.Status == "cancelled":
		return task.Reply{Answer: task.Decline}, nil
	case x.Status != "resolved":
		return task.Reply{}, fault.Field("resume.status", "must be resolved or cancelled")
	case a.Kind == task.KindQuestion && none:
		return task.Reply{}, fault.Field("resume.payload", "is needed: it is the answer to a question")
	case a.Kind == task.KindQuestion:
		return task.Reply{Answer: task.Approve, Value: given}, nil
	case none:
		return task.Reply{Answer: task.Approve}, nil
	}
	var said struct {
		Approved *bool           `json:"approved"`
		Value    json.RawMessage `json:"value"`
		Note     string          `json:"note"`
	}
	if json.Unmarshal(given, &said.Approved) != nil && (json.Unmarshal(given, &said) != nil || said.Approved == nil) {
		return task.Reply{}, fault.Field("resume.payload", `must be true, false, or an object with "approved"`)
	}
	r := task.Reply{Answer: task.Approve, Value: said.Value, Note: said.Note}
	if !*said.Approved {
		r.Answer, r.Value = task.Decline, nil
	}
	return r, nil
}
