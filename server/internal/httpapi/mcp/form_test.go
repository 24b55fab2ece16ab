package mcp

import (
	"encoding/json"
	"testing"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/task"
)

// H15: a question of any schema is a flat form, and what is filled in is its answer.
func TestH15Forms(t *testing.T) {
	t.Parallel()
	for about, c := range map[string]struct {
		kind   task.ApprovalKind
		schema string
		form   string // what is shown
		filled string
		value  string // the answer's; "" for none
		note   string
		wrong  string // what is refused
	}{
		"an approval": {
			kind: task.KindApproval, form: `{"type":"object","properties":{"note":{"type":"string","title":"Note","maxLength":4096}}}`,
			filled: `{"note":"for now","confirm":true}`, note: "for now", wrong: `{"note":1}`,
		},
		"an approval, nothing filled in": {
			kind: task.KindApproval, form: `{"type":"object","properties":{"note":{"type":"string","title":"Note","maxLength":4096}}}`, wrong: `[]`,
		},
		"a question": {
			kind: task.KindQuestion, form: `{"type":"object","properties":{"value":{"type":"string","title":"Answer"}},"required":["value"]}`,
			filled: `{"value":"blue"}`, value: `"blue"`, wrong: `"blue"`,
		},
		"a flat form": {
			kind: task.KindQuestion, schema: `{"type":"object","properties":{"n":{"type":"integer","minimum":1}},"required":["n"],"additionalProperties":false}`,
			form:   `{"type":"object","properties":{"n":{"type":"integer","minimum":1}},"required":["n"]}`,
			filled: `{"n":9007199254740993}`, value: `{"n":9007199254740993}`,
		},
		"a plain value": {
			kind: task.KindQuestion, schema: `{"type":"boolean"}`, form: `{"type":"object","properties":{"value":{"type":"boolean"}},"required":["value"]}`,
			filled: `{"value":true}`, value: `true`,
		},
		"more than a form has": {
			kind: task.KindQuestion, schema: `{"type":"array"}`,
			form: `{"type":"object","properties":{"value":{"description":"JSON that follows the schema {\"type\":\"array\"}","title":"JSON","type":"string"}},` +
				`"required":["value"]}`,
			filled: `{"value":"[1, {\"a\": 2}]"}`, value: `[1, {"a": 2}]`, wrong: `{"value":"[1"}`,
		},
		"a form in a form": {
			kind: task.KindQuestion, schema: `{"type":"object","properties":{"a":{"type":"object"}}}`,
			form: `{"type":"object","properties":{"value":{"description":"JSON that follows the schema {\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"object\"}}}",` +
				`"title":"JSON","type":"string"}},"required":["value"]}`,
			filled: `{"value":"{}"}`, value: `{}`, wrong: `{"value":{}}`,
		},
	} {
		a := task.Approval{ID: "one", Asked: task.Asked{Kind: c.kind, Schema: json.RawMessage(c.schema)}}
		if shown, err := json.Marshal(elicitation(a).Params.Schema); err != nil || string(shown) != c.form {
			t.Errorf("H15: %s is shown as %s, %v", about, shown, err)
		}
		got, err := (&response{"accept", json.RawMessage(c.filled)}).reply(a)
		if err != nil || got.Answer != task.Approve || string(got.Value) != c.value || got.Note != c.note {
			t.Errorf("H15: %s is answered %+v, %v", about, got, err)
		}
		if got, err := (&response{Action: "decline"}).reply(a); err != nil || got.Answer != task.Decline || got.Value != nil {
			t.Errorf("H15: %s is declined as %+v, %v", about, got, err)
		}
		for _, r := range []response{{"perhaps", nil}, {"accept", json.RawMessage(c.wrong)}} {
			if _, err := r.reply(a); (r.Action != "accept" || c.wrong != "") && fault.CodeOf(err) != fault.Invalid {
				t.Errorf("H15: %s, %s %s: %v", about, r.Action, r.Content, err)
			}
		}
	}
}
