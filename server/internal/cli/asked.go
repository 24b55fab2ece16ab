package cli

import (
	"encoding/json"
	"strings"

	"github.com/errand-dev/errand"
)

// headline is what is asked, in one line.
func headline(a errand.Approval) string {
	text := strings.Join(strings.Fields(a.Title+" "+a.Message), " ")
	if text == "" {
		text = a.ToolName
	}
	return text
}

// particulars are lines that say more of what is asked.
func particulars(a errand.Approval) []string {
	var lines []string
	if given(a.Payload) {
		lines = append(lines, strings.TrimPrefix(a.ToolName+" ", " ")+string(a.Payload))
	}
	switch form := formOf(a.Schema); {
	case len(form.Enum) > 0:
		words := make([]string, len(form.Enum))
		for i, value := range form.Enum {
			words[i] = valueText(value)
		}
		lines = append(lines, "one of: "+strings.Join(words, ", "))
	case given(a.Schema) && form.Type != "string":
		lines = append(lines, "the answer follows "+string(a.Schema))
	}
	return lines
}

func given(part json.RawMessage) bool { return len(part) > 0 && string(part) != "null" }

// form is what of a schema is of use to whoever types.
type form struct {
	Type string            `json:"type"`
	Enum []json.RawMessage `json:"enum"`
}

// formOf reads a schema; of one that has more than that, what it has.
func formOf(schema json.RawMessage) (f form) {
	_ = json.Unmarshal(schema, &f) // one of several types, say, is none
	return f
}

// answerPrompt is what stands before an answer that is typed.
func answerPrompt(a errand.Approval) string {
	if a.Kind == errand.KindApproval {
		return "approve (y or n): "
	}
	return "answer: "
}

// replyOf is what a line at the terminal answers; said is false for nothing.
func replyOf(a errand.Approval, line string) (reply errand.Reply, said bool) {
	if line == "" {
		return errand.Reply{}, false
	}
	if a.Kind == errand.KindApproval {
		reply.Answer = errand.Decline
		if strings.EqualFold(line, "y") || strings.EqualFold(line, "yes") {
			reply.Answer = errand.Approve
		}
		return reply, true
	}
	return errand.Reply{Value: answerValue(a.Schema, line)}, true
}

// answerValue is what was typed as JSON: as it stands if it is some, else, and where a
// text is asked for, as a text.
func answerValue(schema json.RawMessage, text string) json.RawMessage {
	if json.Valid([]byte(text)) && (formOf(schema).Type != "string" || strings.HasPrefix(text, `"`)) {
		return json.RawMessage(text)
	}
	raw, _ := json.Marshal(text) // a text can always be written
	return raw
}

// valueText is a value in words: a text as it stands.
func valueText(value json.RawMessage) string {
	var text string
	if json.Unmarshal(value, &text) == nil {
		return text
	}
	return string(value)
}
