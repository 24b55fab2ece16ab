// Package people has the tool with which a model asks a person.
package people

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/runtime"
	"github.com/errand-dev/errand/server/internal/task"
	"github.com/errand-dev/errand/server/internal/tool"
)

// Tools are those of an attempt.
func Tools(context.Context, *runtime.Attempt, agent.Agent) ([]tool.Tool, error) {
	return []tool.Tool{{
		Name: "ask_person",
		Description: "Asks a person a question and waits for the answer, which may take long. " +
			"Use it when something is missing that only a person can know or decide.",
		Input: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["question"],"properties":{` +
			`"question":{"type":"string","minLength":1,"maxLength":8000,"description":"What you want to know, as a whole: the person sees nothing else."},` +
			`"options":{"type":"array","minItems":2,"maxItems":50,"items":{"type":"string","maxLength":200},"description":"The answers that there are, if there are only so many."}}}`),
		Idempotent: true, // the call's id names the question
		Run:        ask,
	}}, nil
}

func ask(ctx context.Context, c tool.Call) (tool.Result, error) {
	var given struct {
		Question string   `json:"question"`
		Options  []string `json:"options"`
	}
	if err := json.Unmarshal(c.Arguments, &given); err != nil {
		return tool.Error(err.Error()), nil
	}
	form := map[string]any{"type": "string", "minLength": 1}
	if len(given.Options) > 0 {
		form = map[string]any{"type": "string", "enum": given.Options}
	}
	schema, err := json.Marshal(form)
	if err != nil {
		return tool.Result{}, fmt.Errorf("encode schema: %w", err)
	}
	asked, err := c.Ask(ctx, task.Asked{Key: c.ID, Kind: task.KindQuestion, Message: given.Question, Schema: schema})
	if err != nil {
		return tool.Refused(err)
	}
	return Answer(asked)
}

// Answer is what a model is told of an approval that was answered; the error of one that
// is open is a *tool.Pending.
func Answer(asked task.Approval) (tool.Result, error) {
	a := asked.Answered
	switch {
	case asked.State == task.ApprovalOpen:
		return tool.Result{}, &tool.Pending{Approvals: []string{asked.ID}}
	case a == nil:
		return tool.Error("Nobody has answered in time."), nil
	}
	note := ""
	if a.Note != "" {
		note = " They add: " + a.Note
	}
	if a.ByDefault {
		note += " (Nobody has answered in time: this is the default.)"
	}
	if a.Answer == task.Decline {
		return tool.Error("The person has declined." + note), nil
	}
	var said string
	if json.Unmarshal(a.Value, &said) != nil {
		said = string(a.Value)
	}
	return tool.Text(said + note), nil
}
