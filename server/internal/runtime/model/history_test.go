package model

import (
	"context"
	"encoding/json"
	"iter"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/errand-dev/errand/server/internal/model"
	"github.com/errand-dev/errand/server/internal/runtime"
	"github.com/errand-dev/errand/server/internal/task"
)

// T10: turns that have left calls open are told as they were, with the summary that took
// the place of their beginning; what another model has said goes without what only that
// one can read, and no result is told whose call is gone.
func TestT10OpenTurnsAreToldAsTheyWere(t *testing.T) {
	t.Parallel()
	step := func(id string, body any) task.Step {
		raw, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		return task.Step{ID: id, Body: raw}
	}
	weather := []model.Call{{ID: "p1", Name: "weather", Arguments: `{}`}}
	asked := func(text string, results ...task.ToolResult) (s task.Spec) {
		s.Input.Text, s.ToolResults = &text, results
		return s
	}
	past := map[int]runtime.Past{
		2: {Spec: asked("Second"), Steps: []task.Step{
			step("model-1", answer{Provider: "p", Model: "m", Calls: []model.Call{{ID: "p0", Name: "peek", Arguments: `{}`}}, Raw: json.RawMessage(`"first"`)}),
			step("result-1-0", result{Text: "peeked"}),
			step("compact-1", answer{Text: "I peeked."}),
			step("model-2", answer{Provider: "p", Model: "m", Calls: weather, Raw: json.RawMessage(`"second"`)}),
		}},
		3: {Spec: asked("", task.ToolResult{CallID: "call_2_2_0", Content: "fog"}), Steps: []task.Step{
			step("model-1", answer{Provider: "q", Model: "n", Text: "Again.", Calls: weather, Raw: json.RawMessage(`"other"`)}),
		}},
	}
	a := &runtime.Attempt{
		Turn: 4, Spec: asked("More", task.ToolResult{CallID: "call_3_1_0", Content: "rain", IsError: true}),
		Earlier: func(context.Context) iter.Seq2[runtime.Turn, error] {
			return func(yield func(runtime.Turn, error) bool) {
				_ = yield(runtime.Turn{Number: 1, Prompt: "First", Result: "Done."}, nil) &&
					yield(runtime.Turn{Number: 2, Prompt: "Second"}, nil) && yield(runtime.Turn{Number: 3, Answers: true}, nil)
			}
		},
		Past: func(_ context.Context, turn int) (runtime.Past, error) { return past[turn], nil },
	}
	h := history{provider: "p", model: "m"}
	if err := h.conversation(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range h.messages {
		line := string(m.Role) + " " + strings.ReplaceAll(m.Text, "\n", " ") + string(m.Raw)
		for _, r := range m.Results {
			line += " result " + r.CallID + " " + r.Text
		}
		for _, c := range m.Calls {
			line += " call " + c.ID
		}
		got = append(got, line)
	}
	want := []string{
		"user Second  The conversation so far was too long to be kept. This is its summary, which you have written: I peeked.",
		`assistant "second"`, "user  result p1 fog", "assistant Again. call p1", "user More result p1 rain",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("T10: it is told (-want +got):\n%s", diff)
	}
	if question := summed(h.messages[2], "S"); len(question.Results) > 0 || !strings.HasSuffix(question.Text, "S") {
		t.Errorf("T10: summed up as %+v", question)
	}
}
