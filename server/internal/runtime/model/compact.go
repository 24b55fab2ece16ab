package model

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/errand-dev/errand/server/internal/model"
	"github.com/errand-dev/errand/server/internal/runtime"
	"github.com/errand-dev/errand/server/internal/task"
)

const (
	// nearly is the part of the model's window at which the conversation is summed up.
	nearly = 0.8
	// shortened is what is left of each result where the whole is too long even to be
	// summed up, in bytes.
	shortened = 2 << 10
)

// sumUp asks for what takes the place of the conversation.
const sumUp = "Your context is nearly full. Do not answer the task now, and call no tool. Sum up this conversation so that you can go on with the summary alone:" +
	" what was asked, what was found out (names, numbers and quotations as they are), what was done and what came of it, what is still to be done." +
	" Write the summary only."

// reply asks for one answer. Where the conversation nears the end of the model's window,
// or the provider says that it is too long, it is summed up first.
func (t *turn) reply(ctx context.Context, maxTokens int) (answer, error) {
	if _, err := t.compact(ctx, false); err != nil {
		return answer{}, err
	}
	request := t.request
	request.MaxTokens = maxTokens
	said, err := t.ask(ctx, request)
	if !tooLong(err) {
		return said, err
	}
	done, failed := t.compact(ctx, true)
	switch {
	case failed != nil:
		return answer{}, failed
	case !done:
		return answer{}, err
	}
	request.Messages = t.request.Messages
	return t.ask(ctx, request)
}

func tooLong(err error) bool {
	failed, is := errors.AsType[*model.Error](err)
	return is && failed.TooLong
}

// compact puts a summary in the place of the conversation, if that is near the end of the
// window, or must it. The summary is a step: another attempt finds it at the same place,
// and it is paid for once. It reports whether there is one that was not there before.
func (t *turn) compact(ctx context.Context, must bool) (done bool, err error) {
	id := fmt.Sprintf("compact-%d", t.heard)
	if t.compacted == id {
		return false, nil
	}
	var summary answer
	known, err := t.steps.recall(id, &summary)
	if err != nil {
		return false, err
	}
	if !known {
		_, answered := t.steps[fmt.Sprintf("model-%d", t.heard+1)]
		if answered || len(t.request.Messages) < 2 || !must && !t.near() {
			return false, nil
		}
		if summary, err = t.summary(ctx, id, must); err != nil {
			return false, err
		}
	}
	t.request.Messages, t.begun = []model.Message{summed(t.request.Messages[t.begun-1], summary.Text)}, 1
	t.compacted, t.used, t.covered = id, 0, 0
	data, err := json.Marshal(map[string]any{
		"type": "summarization", "data": map[string]string{"new_task_prompt": beginning(t.Prompt()), "task_context": summary.Text},
	})
	if err != nil {
		return false, fmt.Errorf("encode event: %w", err)
	}
	return true, t.Events(ctx, []runtime.Event{{Type: task.TaskCompactization, Data: data, ClientID: id}})
}

// summed is what was asked, with a summary in the place of all that was said. What came
// of calls that it began with is in the summary: the calls are gone.
func summed(question model.Message, summary string) model.Message {
	return model.Message{
		Role: model.User, Pictures: question.Pictures, Text: joined(question.Text, "The conversation so far was too long to be kept. This is its summary, which you have written:\n"+summary),
	}
}

// bytesOf is about how long messages are.
func bytesOf(messages []model.Message) (n int) {
	for _, m := range messages {
		if n += len(m.Raw); len(m.Raw) == 0 {
			n += len(m.Text)
		}
		for _, r := range m.Results {
			n += len(r.Text)
		}
		for _, p := range m.Pictures {
			n += pictureTokens(p) * bytesPerToken
		}
	}
	return n
}

// near reports whether the next request is near the end of the window: by what the
// provider has counted, and an estimate of what has come since.
func (t *turn) near() bool {
	if t.window == 0 {
		return false
	}
	tokens := t.used
	if tokens == 0 {
		length := len(t.request.System)
		for _, x := range t.request.Tools {
			length += len(x.Name) + len(x.Description) + len(x.Input)
		}
		tokens = int64(length / bytesPerToken)
	}
	tokens += int64(bytesOf(t.request.Messages[min(t.covered, len(t.request.Messages)):]) / bytesPerToken)
	return float64(tokens) >= nearly*float64(t.window)
}

// count notes what the provider has counted for an answer that was heard, which is about
// to become part of the conversation.
func (t *turn) count(said answer) {
	if u := said.Usage; u != nil && u.Prompt > 0 {
		t.used, t.covered = u.Prompt+u.Completion, len(t.request.Messages)+len(said.parts)
	}
}

// summary asks for one and commits it. If the whole is too long for that, or is known to
// be, results are shortened.
func (t *turn) summary(ctx context.Context, id string, short bool) (answer, error) {
	if err := t.afford(ctx, t.request.Model); err != nil {
		return answer{}, err
	}
	if err := t.Progress(ctx, "Summing up, as the conversation has become long"); err != nil {
		return answer{}, err
	}
	request := t.request
	request.CallPrefix = fmt.Sprintf("call_%d_%s_", t.Turn, id)
	request.Schema = nil // a summary is prose
	request.Messages = slices.Clone(request.Messages)
	if short {
		for i, m := range request.Messages {
			request.Messages[i].Results = slices.Clone(m.Results)
			for j, r := range m.Results {
				request.Messages[i].Results[j].Text = beginningOf(r.Text, shortened)
			}
		}
	}
	last := len(request.Messages) - 1
	if request.Messages[last].Role == model.User {
		request.Messages[last].Text = joined(request.Messages[last].Text, sumUp)
	} else {
		request.Messages = append(request.Messages, model.Message{Role: model.User, Text: sumUp})
	}
	a := answer{Provider: t.provider, Model: request.Model}
	err := a.gather(t.model.Stream(ctx, request), func(task.Type, string) {})
	if tooLong(err) && !short {
		return t.summary(ctx, id, true)
	}
	a.Text, a.Raw, a.Calls = beginningOf(strings.TrimSpace(a.Text), maxStep/8), nil, nil
	if err == nil && a.Text == "" {
		err = &failure{"The conversation has become too long for the model, and it has written no summary of it."}
	}
	if err != nil {
		return a, errors.Join(err, t.spend(ctx, id, request, a))
	}
	paid := t.paid(request, a)
	paid.Partial, paid.Last = "", false
	return a, t.keep(id, "compact", &a, func(s task.Step) (task.Step, error) { return t.CommitWith(ctx, s, runtime.With{Paid: &paid}) })
}

// beginningOf is a text, or as much of it as there is room for.
func beginningOf(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
