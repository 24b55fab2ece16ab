package mcp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/task"
)

// inputRequest is what a task asks of the client.
type inputRequest struct {
	Method string `json:"method"`
	Params elicit `json:"params"`
}

// elicit asks a person to fill in a form.
type elicit struct {
	Mode    string `json:"mode"`
	Message string `json:"message"`
	Schema  any    `json:"requestedSchema"`
}

// response is what a person has done with a form.
type response struct {
	Action  string          `json:"action"`
	Content json.RawMessage `json:"content"`
}

// form is the schema of a form: an object of plain values, with nothing that clients do
// not know.
type form struct {
	Type       string                     `json:"type"`
	Properties map[string]json.RawMessage `json:"properties"`
	Required   []string                   `json:"required,omitempty"`
}

// The members of a form that is made here.
const (
	valueMember = "value" // the answer itself
	noteMember  = "note"  // a word for whoever asked
)

// elicitation is a question as a form.
func elicitation(a task.Approval) inputRequest {
	f, _ := formOf(a)
	return inputRequest{"elicitation/create", elicit{"form", wording(a), f}}
}

// layout says how the answer stands in a form.
type layout int

const (
	layNote  layout = iota // nothing is asked but yes or no
	layWhole               // the form is the answer
	layValue               // a member of it is
	layText                // a member of it is, as a text of JSON
)

// formOf makes the form of a question. Forms are flat: what its schema wants beyond that
// is asked for as JSON.
func formOf(a task.Approval) (form, layout) {
	switch {
	case len(a.Schema) > 0:
		if f, ok := flat(a.Schema); ok {
			return f, layWhole
		}
		if isPlain(a.Schema) {
			return oneMember(valueMember, a.Schema, true), layValue
		}
		told, _ := json.Marshal(map[string]string{"type": "string", "title": "JSON", "description": "JSON that follows the schema " + string(a.Schema)}) // texts
		return oneMember(valueMember, told, true), layText
	case a.Kind == task.KindQuestion:
		return oneMember(valueMember, json.RawMessage(`{"type":"string","title":"Answer"}`), true), layValue
	default:
		return oneMember(noteMember, json.RawMessage(`{"type":"string","title":"Note","maxLength":4096}`), false), layNote
	}
}

func oneMember(name string, schema json.RawMessage, required bool) form {
	f := form{Type: "object", Properties: map[string]json.RawMessage{name: schema}}
	if required {
		f.Required = []string{name}
	}
	return f
}

// flat reads the schema of an object of plain values.
func flat(schema json.RawMessage) (f form, ok bool) {
	if json.Unmarshal(schema, &f) != nil || f.Type != "object" || len(f.Properties) == 0 {
		return f, false
	}
	for _, p := range f.Properties {
		if !isPlain(p) {
			return f, false
		}
	}
	return f, true
}

// isPlain reports whether a schema is one that forms have for a value.
func isPlain(schema json.RawMessage) bool {
	var s struct {
		Type string `json:"type"`
	}
	return json.Unmarshal(schema, &s) == nil && slices.Contains([]string{"string", "number", "integer", "boolean"}, s.Type)
}

// reply is the answer that a person has given in a form.
func (r *response) reply(a task.Approval) (task.Reply, error) {
	switch r.Action {
	case "decline":
		return task.Reply{Answer: task.Decline}, nil
	case "accept":
	default:
		return task.Reply{}, fault.New(fault.Invalid, `the action of %s must be accept, decline or cancel`, a.ID)
	}
	reply := task.Reply{Answer: task.Approve}
	_, lay := formOf(a)
	if lay == layWhole {
		reply.Value = r.Content
		return reply, nil
	}
	var members map[string]json.RawMessage
	if len(r.Content) > 0 && json.Unmarshal(r.Content, &members) != nil {
		return reply, fault.New(fault.Invalid, "the content of %s must be an object", a.ID)
	}
	var text string
	switch value := members[valueMember]; lay {
	case layNote:
		if err := textOf(members[noteMember], &reply.Note); err != nil {
			return reply, fault.New(fault.Invalid, "%s of %s must be a text", noteMember, a.ID)
		}
	case layText:
		if err := textOf(value, &text); err != nil || !json.Valid([]byte(text)) {
			return reply, fault.New(fault.Invalid, "%s of %s must be a text of JSON", valueMember, a.ID)
		}
		reply.Value = json.RawMessage(text)
	case layWhole, layValue:
		reply.Value = value
	}
	return reply, nil
}

// textOf reads a text, which may be absent.
func textOf(raw json.RawMessage, into *string) error {
	if raw = bytes.TrimSpace(raw); len(raw) == 0 {
		return nil
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("a text: %w", err)
	}
	return nil
}
