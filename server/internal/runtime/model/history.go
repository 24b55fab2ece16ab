package model

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/errand-dev/errand/server/internal/model"
	"github.com/errand-dev/errand/server/internal/reading"
	"github.com/errand-dev/errand/server/internal/runtime"
	"github.com/errand-dev/errand/server/internal/task"
)

// history is what was said in a task until now.
type history struct {
	reader *reading.Reader
	// provider and model are who is asked now: what they have said goes back as it came.
	provider, model string
	messages        []model.Message
	// sees says that the model is given pictures.
	sees bool
	// open are the calls that were made last, if some of them are the caller's to answer.
	open []*call
}

// conversation tells of the task's earlier turns, and what is asked now. Of an earlier
// turn it has what was asked and answered; but turns that have left calls open, of which
// the present one brings what came, are told as they were, answer by answer (rule T10).
func (h *history) conversation(ctx context.Context, a *runtime.Attempt) error {
	var turns []runtime.Turn
	for turn, err := range a.Earlier(ctx) {
		if err != nil {
			return err
		}
		turns = append(turns, turn)
	}
	whole := len(turns)
	if len(a.Spec.ToolResults) > 0 {
		for whole--; whole > 0 && turns[whole].Answers; whole-- { //revive:disable-line:empty-block
		}
	}
	h.sum(turns[:max(whole, 0)])
	for _, turn := range turns[max(whole, 0):] {
		past, err := a.Past(ctx, turn.Number)
		if err != nil {
			return err
		}
		if err := h.ask(past.Spec, past.State, past.Given); err != nil {
			return err
		}
		if err := h.retell(turn.Number, past.Steps); err != nil {
			return err
		}
	}
	given, err := filesGiven(ctx, h.reader, a, h.sees)
	if err != nil {
		return err
	}
	return h.ask(a.Spec, a.State, given)
}

// sum tells of turns what was asked and answered. One that has left calls open has its
// answer in those that follow.
func (h *history) sum(turns []runtime.Turn) {
	var asked []string
	for i, turn := range turns {
		asked = append(asked, turn.Prompt)
		if i+1 < len(turns) && turns[i+1].Answers {
			continue
		}
		if prompt := joined(asked...); prompt != "" && turn.Result != "" { // half of it would be taken for another's
			h.messages = append(h.messages, model.Message{Role: model.User, Text: prompt}, model.Message{Role: model.Assistant, Text: turn.Result})
		}
		asked = nil
	}
}

// ask puts what a turn asks, behind what came of the calls that are open.
func (h *history) ask(spec task.Spec, state task.State, given []runtime.Given) error {
	text := opening(spec, state, given)
	for _, c := range h.open {
		if c.known {
			continue
		}
		i := slices.IndexFunc(spec.ToolResults, func(r task.ToolResult) bool { return r.CallID == c.id })
		if i < 0 {
			return fmt.Errorf("the turn has no result of the call %s, which is open", c.id)
		}
		came := spec.ToolResults[i]
		c.result = result{ID: c.id, Tool: c.Name, Ran: true, IsError: came.IsError}
		c.result.Text, _ = cut(came.Content) // the turn's own spec has the whole
	}
	pictures := picturesOf(given)
	if text == "" && len(h.open) == 0 && len(pictures) == 0 {
		return &failure{"The task asks nothing: it has neither a prompt nor a file."}
	}
	h.messages = append(h.messages, model.Message{Role: model.User, Results: resultsOf(h.open), Text: text, Pictures: pictures})
	return nil
}

// retell tells what was said in a turn from its steps, until calls are open.
func (h *history) retell(number int, list []task.Step) error {
	h.open = nil
	steps := steps(list)
	answers, asked := 0, len(h.messages)
	for n := 1; ; n++ {
		var said, summary answer
		switch compacted, err := steps.recall(fmt.Sprintf("compact-%d", n-1), &summary); {
		case err != nil:
			return err
		case compacted:
			h.messages, asked = []model.Message{summed(h.messages[asked-1], summary.Text)}, 1
		}
		known, err := steps.recall(fmt.Sprintf("model-%d", n), &said)
		if err != nil || !known {
			return err
		}
		h.messages = append(h.messages, said.message(h.provider, h.model))
		switch {
		case said.Finish == model.Interrupted:
		case len(said.Calls) > 0:
			calls, open, err := callsOf(number, n, said, steps)
			if err != nil || open {
				h.open = calls
				return err
			}
			h.messages = append(h.messages, model.Message{Role: model.User, Results: resultsOf(calls)})
		default:
			answers++
			var wrong []string
			if _, err := steps.recall(fmt.Sprintf("check-%d", answers), &wrong); err != nil {
				return err
			}
			h.messages = append(h.messages, repair(wrong))
		}
	}
}

// callsOf are the calls of the nth answer of a turn with what came of them; open says
// that of some nothing has.
func callsOf(turn, n int, said answer, steps stepsByID) (calls []*call, open bool, err error) {
	for i, asked := range said.Calls {
		c := &call{Call: asked, step: fmt.Sprintf("%d-%d", n, i), id: fmt.Sprintf("call_%d_%d_%d", turn, n, i)}
		if c.known, err = steps.recall("result-"+c.step, &c.result); err != nil {
			return nil, false, err
		}
		open = open || !c.known
		calls = append(calls, c)
	}
	return calls, open, nil
}

// resultsOf are what came of calls, as the model is told of it.
func resultsOf(calls []*call) []model.Result {
	var results []model.Result
	for _, c := range calls {
		results = append(results, model.Result{CallID: c.ID, Text: c.result.Text, IsError: c.result.IsError})
	}
	return results
}

// stepsByID are a turn's steps.
type stepsByID map[string]task.Step

func steps(list []task.Step) stepsByID {
	all := make(stepsByID, len(list))
	for _, s := range list {
		all[s.ID] = s
	}
	return all
}

// recall reads a step; known is false if there is none.
func (all stepsByID) recall(id string, into any) (known bool, err error) {
	s, known := all[id]
	if !known {
		return false, nil
	}
	if err := json.Unmarshal(s.Body, into); err != nil {
		return false, fmt.Errorf("decode step %s: %w", id, err)
	}
	return true, nil
}
