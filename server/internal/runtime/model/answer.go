package model

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/errand-dev/errand/server/internal/model"
	"github.com/errand-dev/errand/server/internal/runtime"
	"github.com/errand-dev/errand/server/internal/task"
)

// answer is what a model has said in one go. It is the body of a step, so that it is
// paid for once whatever becomes of the attempt: Raw goes back to the provider as it
// came (rule T8).
type answer struct {
	Provider string          `json:"provider"`
	Model    string          `json:"model"`
	Text     string          `json:"text"`
	Calls    []string        `json:"calls,omitempty"` // the names of tools
	Finish   model.Finish    `json:"finish"`
	Usage    *model.Usage    `json:"usage"`
	Raw      json.RawMessage `json:"raw"`

	parts []model.Message // of a whole answer, as they go back to the provider
}

// outcome is the answer as the end of a turn.
func (a answer) outcome() runtime.Outcome {
	switch {
	case a.Finish == model.Length:
		return runtime.Failed("The model's answer is longer than it may be, also with a larger limit. It began: " + beginning(a.Text))
	case a.Finish == model.Refused:
		return runtime.Failed(cmp.Or(a.Text, "The model has refused to answer."))
	case a.Finish == model.Interrupted:
		return runtime.Failed(fmt.Sprintf("The model has paused %d times without an end.", maxParts))
	case len(a.Calls) > 0:
		return runtime.Failed(fmt.Sprintf("The model has called a tool (%s), and this agent has none.", a.Calls[0]))
	case a.Text == "":
		return runtime.Failed("The model has ended without saying anything.")
	default:
		return runtime.Completed(a.Text)
	}
}

// bare takes the fence away in which models like to put what is to be JSON alone.
func bare(text string) string {
	text = strings.TrimSpace(text)
	inner, fenced := strings.CutPrefix(text, "```")
	inner, ended := strings.CutSuffix(inner, "```")
	_, inner, lines := strings.Cut(inner, "\n") // the language stands behind the fence
	if !fenced || !ended || !lines {
		return text
	}
	return strings.TrimSpace(inner)
}

// offer holds a whole answer against the schema of the task: it reports whether the
// model is to be asked once more, and has then told it why. What was found is a step,
// too, so that no attempt counts it again.
func (t *turn) offer(ctx context.Context, a *answer) (again bool, err error) {
	if !task.HasSchema(t.Spec.OutputSchema) || a.outcome().Reason != task.EndCompleted {
		return false, nil
	}
	a.Text = bare(a.Text)
	t.answers++
	id := fmt.Sprintf("check-%d", t.answers)
	var wrong []string
	if known := find(t.steps, id); known != nil {
		err = json.Unmarshal(known.Body, &wrong)
	} else if wrong, err = t.Offer(ctx, a.Text); err == nil && len(wrong) > 0 {
		var body json.RawMessage
		if body, err = json.Marshal(wrong); err == nil {
			_, err = t.Commit(ctx, task.Step{ID: id, Kind: "check", Body: body})
		}
	}
	if err != nil || len(wrong) == 0 {
		return false, err
	}
	t.shown = true
	t.request.Messages = append(append(slices.Clip(t.request.Messages), a.parts...), model.Message{
		Role: model.User, Text: "Your answer does not follow the JSON Schema that was asked for:\n- " + strings.Join(wrong, "\n- ") +
			"\nAnswer again, with the whole JSON alone.",
	})
	return true, nil
}

// find is a step that was committed, nil if it was not.
func find(steps []task.Step, id string) *task.Step {
	for i := range steps {
		if steps[i].ID == id {
			return &steps[i]
		}
	}
	return nil
}

// ask asks once, and again for as long as the model only pauses. What an earlier
// attempt has been answered is not asked again, but told to viewers.
func (t *turn) ask(ctx context.Context) (answer, error) {
	var err error
	if t.steps, err = t.Steps(ctx); err != nil {
		return answer{}, err
	}
	var whole answer
	var text strings.Builder
	request := t.request
	for n := 1; n <= maxParts; n++ {
		part, err := t.part(ctx, fmt.Sprintf("model-%d", t.heard+n), request)
		if err != nil {
			return answer{}, err
		}
		text.WriteString(part.Text)
		whole.Finish, whole.Calls = part.Finish, append(whole.Calls, part.Calls...)
		whole.parts = append(whole.parts, model.Message{Role: model.Assistant, Raw: part.Raw})
		if part.Finish != model.Interrupted {
			break
		}
		request.Messages = append(slices.Clip(request.Messages), whole.parts[n-1])
	}
	whole.Text = text.String()
	return whole, nil
}

// part is one answer of the provider: a step that was committed, or one that is heard
// now and committed. What was cut by a limit is asked for again, and is none.
func (t *turn) part(ctx context.Context, id string, request model.Request) (answer, error) {
	if s := find(t.steps, id); s != nil {
		var a answer
		if err := json.Unmarshal(s.Body, &a); err != nil {
			return a, fmt.Errorf("decode step %s: %w", id, err)
		}
		v := newVoice(ctx, t, func(error) {})
		v.say(task.Chunk, a.Text)
		_, err := v.end()
		return a, err
	}
	a, err := t.listen(ctx, request)
	if err != nil || a.Finish == model.Length {
		return a, err
	}
	body, err := json.Marshal(a)
	if err != nil || len(body) > maxStep { // an answer that long is asked for again if it must be
		return a, err
	}
	_, err = t.Commit(ctx, task.Step{ID: id, Kind: "model", Body: body})
	return a, err
}

// maxStep leaves room in an event for what else stands in a step's.
const maxStep = task.MaxEvent - 4<<10

// listen hears one answer of the provider to its end, and brings it into the log
// meanwhile. What it has used counts even if it breaks off.
func (t *turn) listen(ctx context.Context, request model.Request) (answer, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	a := answer{Provider: t.provider, Model: request.Model}
	var text strings.Builder
	var err error
	voice := newVoice(ctx, t, cancel)
	for d, failed := range t.model.Stream(ctx, request) {
		switch {
		case failed != nil:
			err = failed
		case d.Text != "":
			text.WriteString(d.Text)
			voice.say(task.Chunk, d.Text)
		case d.Reasoning != "":
			voice.say(task.Think, d.Reasoning)
		case d.Call != nil && d.Call.Name != "":
			a.Calls = append(a.Calls, d.Call.Name)
		case d.Usage != nil:
			a.Usage = d.Usage
		case d.End != nil:
			a.Finish, a.Raw = d.End.Finish, d.End.Raw
		}
	}
	spoken, told := voice.end()
	t.shown = t.shown || spoken
	if u := a.Usage; u != nil {
		t.used.Add(task.Tokens{Prompt: u.Prompt, Completion: u.Completion, CacheRead: u.CacheRead, CacheWrite: u.CacheWrite})
	}
	a.Text = text.String()
	return a, cmp.Or(told, err)
}
