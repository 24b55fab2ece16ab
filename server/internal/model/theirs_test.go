package model

import (
	"encoding/json"
	"testing"
)

// TestCallsOfAnotherProvider: what another provider's model has said and called is told
// to either in its own form, with arguments that it takes.
func TestCallsOfAnotherProvider(t *testing.T) {
	t.Parallel()
	r := Request{Model: "m", MaxTokens: 5, Messages: []Message{
		{Role: Assistant, Text: "Let me look.", Calls: []Call{{"a", "weather", `{"city":"Ely"}`}, {"b", "time", `{"`}}},
		{Role: User, Results: []Result{{"a", "fog", false}, {"b", "no", true}}},
	}}
	for want, request := range map[string]any{
		`[{"role":"assistant","content":"Let me look.","tool_calls":[{"id":"a","type":"function","function":{"name":"weather","arguments":"{\"city\":\"Ely\"}"}},` +
			`{"id":"b","type":"function","function":{"name":"time","arguments":"{}"}}]},` +
			`{"role":"tool","tool_call_id":"a","content":"fog"},{"role":"tool","tool_call_id":"b","content":"Error: no"}]`: (&openai{}).request(r).Messages,
		`[{"role":"assistant","content":[{"type":"text","text":"Let me look."},{"type":"tool_use","id":"a","name":"weather","input":{"city":"Ely"}},` +
			`{"type":"tool_use","id":"b","name":"time","input":{}}]},` +
			`{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":"fog"},{"type":"tool_result","tool_use_id":"b","content":"no","is_error":true}]}]`: (&anthropic{}).request(r).Messages,
	} {
		got, err := json.Marshal(request)
		if err != nil || string(got) != want {
			t.Errorf("%s\nwant %s, %v", got, want, err)
		}
	}
}
