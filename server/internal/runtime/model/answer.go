package model

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"iter"
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
	Calls    []model.Call    `json:"calls,omitempty"`
	Finish   model.Finish    `json:"finish"`
	Usage    *model.Usage    `json:"usage"`
	Raw      json.RawMessage `json:"raw"`

	thought int             // how many bytes of reasoning there were
	parts   []model.Message // of a whole answer, as they go back to the provider
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
	known, err := t.steps.recall(id, &wrong)
	if err == nil && !known {
		if wrong, err = t.Offer(ctx, a.Text); err == nil && len(wrong) > 0 {
			err = t.commit(ctx, id, "check", &wrong)
		}
	}
	if err != nil || len(wrong) == 0 {
		return false, err
	}
	t.shown = true
	t.request.Messages = append(append(slices.Clip(t.request.Messages), a.parts...), repair(wrong))
	return true, nil
}

// repair sends an answer back, of which it says what is wrong.
func repair(wrong []string) model.Message {
	return model.Message{
		Role: model.User, Text: "Your answer does not follow the JSON Schema that was asked for:\n- " + strings.Join(wrong, "\n- ") +
			"\nAnswer again, with the whole JSON alone.",
	}
}

// message is the answer as it goes back: as it came if it was who is asked now that has
// given it, since what else stands in it means nothing to others.
func (a answer) message(provider, name string) model.Message {
	if a.Provider == provider && a.Model == name {
		return model.Message{Role: model.Assistant, Raw: a.Raw}
	}
	return model.Message{Role: model.Assistant, Text: a.Text, Calls: a.Calls}
}

// ask asks once, and again for as long as the model only pauses. What an earlier
// attempt has been answered is not asked again, but told to viewers.
func (t *turn) ask(ctx context.Context, request model.Request) (answer, error) {
	var whole answer
	var text strings.Builder
	for n := t.heard + 1; n <= t.heard+maxParts; n++ {
		request.CallPrefix = fmt.Sprintf("call_%d_%d_", t.Turn, n)
		part, err := t.part(ctx, n, text.String(), request)
		if err != nil {
			return answer{}, err
		}
		text.WriteString(part.Text)
		whole.Finish, whole.Calls, whole.Usage = part.Finish, part.Calls, part.Usage
		said := part.message(t.provider, request.Model)
		whole.parts = append(whole.parts, said)
		if part.Finish != model.Interrupted {
			break
		}
		request.Messages = append(slices.Clip(request.Messages), said)
	}
	whole.Text = text.String()
	return whole, nil
}

// part is the nth answer of the provider: a step that was committed, or one that is heard
// now and committed, with what it calls. Before it stands what it continues. What was cut
// by a limit is asked for again, and is none.
func (t *turn) part(ctx context.Context, n int, before string, request model.Request) (a answer, err error) {
	id := fmt.Sprintf("model-%d", n)
	known, err := t.steps.recall(id, &a)
	switch {
	case err != nil || known && len(a.Calls) > 0: // what was said before calls has been told, as a thought
		return a, err
	case known:
		v := newVoice(ctx, t, "", func(error) {})
		v.say(task.Chunk, a.Text)
		t.shown, err = v.end()
		return a, err
	}
	if err := t.afford(ctx, request.Model); err != nil {
		return a, err
	}
	a, rest, err := t.listen(ctx, request)
	if err != nil || a.Finish == model.Length {
		return a, cmp.Or(err, t.spend(ctx, id, request, a))
	}
	body, err := json.Marshal(a)
	if err != nil {
		return a, err
	}
	if len(body) > maxStep || len(rest) > maxEvents {
		if err := tellAll(ctx, t, rest); err != nil {
			return a, err
		}
		rest = nil
	}
	switch {
	case len(body) <= maxStep:
		paid := t.paid(request, a)
		return a, t.keep(id, "model", &a, func(s task.Step) (task.Step, error) {
			return t.CommitWith(ctx, s, runtime.With{Before: rest, Paid: &paid, Then: func(kept json.RawMessage) ([]runtime.Event, error) {
				return t.announced(n, before, kept)
			}})
		})
	case len(a.Calls) > 0: // nothing is run that could not be remembered
		err = &failure{fmt.Sprintf("The model's calls of tools are too long: %d bytes.", len(body))}
	}
	// An answer that long is asked for again if it must be.
	return a, cmp.Or(t.spend(ctx, id, request, a), err)
}

// maxStep leaves room in an event for what else stands in a step's.
const maxStep = task.MaxEvent - 4<<10

// listen hears one answer of the provider to its end, and brings it into the log
// meanwhile, but for the rest that is to go with its step. What it has used counts even if
// it breaks off; then there is no rest.
func (t *turn) listen(ctx context.Context, request model.Request) (a answer, rest []runtime.Event, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	a = answer{Provider: t.provider, Model: request.Model}
	voice := newVoice(ctx, t, t.status, cancel)
	t.status = ""
	err = a.gather(t.model.Stream(ctx, request), voice.say)
	var spoken bool
	var told error
	if err == nil && a.Finish != model.Length {
		rest, spoken, told = voice.leave()
	} else {
		spoken, told = voice.end()
	}
	t.shown = t.shown || spoken
	return a, rest, cmp.Or(told, err)
}

// gather puts an answer together as it comes, and says it on.
func (a *answer) gather(stream iter.Seq2[model.Delta, error], say func(task.Type, string)) (err error) {
	var text strings.Builder
	for d, failed := range stream {
		switch {
		case failed != nil:
			err = failed
		case d.Text != "":
			text.WriteString(d.Text)
			say(task.Chunk, d.Text)
		case d.Reasoning != "":
			a.thought += len(d.Reasoning)
			say(task.Think, d.Reasoning)
		case d.Usage != nil:
			a.Usage = d.Usage
		case d.End != nil:
			a.Finish, a.Calls, a.Raw = d.End.Finish, d.End.Calls, d.End.Raw
		}
	}
	a.Text = text.String()
	return err
}
