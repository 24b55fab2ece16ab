package model

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/errand-dev/errand/server/internal/model"
	"github.com/errand-dev/errand/server/internal/runtime"
	"github.com/errand-dev/errand/server/internal/task"
	"github.com/errand-dev/errand/server/internal/tool"
)

// turn is a question that is put until it is answered: the model is asked, what it
// calls is run, and it is asked again with what came of that. Each answer and each call
// is a step, so that another attempt finds the conversation as it was and goes on.
type turn struct {
	*runtime.Attempt
	provider string
	model    model.Model
	prices   model.Prices
	request  model.Request
	status   string // that the model is asked, until that was told
	tools    map[string]tool.Tool
	tried    []string        // the names of tools that were run
	shown    bool            // viewers have something that no answer stands behind
	theirs   map[string]bool // the names of those that the caller carries out
	given    []*call         // of the caller's tools, whose results the turn begins with
	steps    stepsByID
	next     []*call // of the answer that was heard last, if viewers know of them
	// heard is how many steps of answers are in the conversation, called how many calls,
	// and answers how many whole ones were held against a schema.
	heard, called, answers int
	asked                  int // how often the provider was, by this attempt
	// window is how many tokens the model takes at once, 0 for what is not known. used is
	// what the provider has counted of the first messages, which are covered; begun is how
	// many of them stood there before the first answer, and compacted the last summary's
	// step.
	window, used   int64
	begun, covered int
	compacted      string
}

const (
	// tries is how often a provider is asked before the attempt is given back.
	tries = 5
	// maxAfter is how long a provider's wish is waited for within an attempt.
	maxAfter = 2 * time.Minute
	// maxRest bounds it when the attempt is given back.
	maxRest = time.Hour
	// larger is by how much a limit is raised that has cut an answer, and usual the
	// one that is raised when there was none of ours.
	larger, usual = 4, 16_384
	// maxParts bounds how often an answer is continued.
	maxParts = 20
)

// run asks until there is an answer that ends the turn, at most so many times.
func (t *turn) run(ctx context.Context, most int) (runtime.Outcome, error) {
	if t.shown = t.Number > 1; t.shown { // the first one has nothing to go on with
		if err := t.remember(ctx); err != nil {
			return runtime.Outcome{}, err
		}
	}
	if err := t.received(ctx); err != nil {
		return runtime.Outcome{}, err
	}
	for range most {
		said, err := t.hear(ctx)
		if err != nil {
			return runtime.Outcome{}, err
		}
		t.count(said)
		if len(said.Calls) > 0 {
			open, err := t.call(ctx, said)
			if err != nil || len(open) > 0 {
				return runtime.Outcome{Reason: task.EndCompleted, Result: said.Text, Open: open}, err
			}
			continue
		}
		again, err := t.offer(ctx, &said)
		if err != nil || !again {
			return said.outcome(), err
		}
	}
	return runtime.Failed(fmt.Sprintf("The model was asked %d times without an end. Let the agent have more steps (max_steps), or ask for less.", most)), nil
}

// remember reads what the attempts of the turn have committed.
func (t *turn) remember(ctx context.Context) error {
	list, err := t.Steps(ctx)
	t.steps = steps(list)
	return err
}

// received tells viewers of the results of the caller's tools with which the turn begins.
func (t *turn) received(ctx context.Context) error {
	var events []runtime.Event
	for _, c := range t.given {
		e, err := c.event(task.ToolCallResult)
		if err != nil {
			return err
		}
		e.ClientID = "given-" + c.id
		events = append(events, e)
	}
	return tellAll(ctx, t, events)
}

// commit commits a step, and reads back what is kept: so the conversation is the same
// for those who go by the steps.
func (t *turn) commit(ctx context.Context, id, kind string, body any) error {
	return t.keep(id, kind, body, func(s task.Step) (task.Step, error) { return t.Commit(ctx, s) })
}

// keep is commit in the way that write does it.
func (t *turn) keep(id, kind string, body any, write func(task.Step) (task.Step, error)) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode step %s: %w", id, err)
	}
	s, err := write(task.Step{ID: id, Kind: kind, Body: raw})
	if err != nil {
		return err
	}
	return json.Unmarshal(s.Body, body)
}

// hear asks until there is a whole answer. What viewers have seen of one that broke off
// is void: the provider says it all again, in other words.
func (t *turn) hear(ctx context.Context) (answer, error) {
	wait := backoff.ExponentialBackOff{InitialInterval: 500 * time.Millisecond, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: 8 * time.Second}
	wait.Reset()
	maxTokens, raised := t.request.MaxTokens, false
	for try := 1; ; try++ {
		if err := t.void(ctx); err != nil {
			return answer{}, err
		}
		said, err := t.reply(ctx, maxTokens)
		failed, is := errors.AsType[*model.Error](err)
		switch {
		case err == nil && said.Finish == model.Length && !raised:
			raised, try = true, 0
			maxTokens = larger * cmp.Or(maxTokens, usual)
			continue
		case err == nil:
			t.heard += len(said.parts)
			return said, nil
		case !is || failed.Access:
			return answer{}, err
		case failed.TooLong:
			return answer{}, &failure{"The conversation is longer than the model takes. " + failed.Error()}
		case !failed.Temporary:
			return answer{}, &failure{failed.Error()}
		case try == tries || failed.After > maxAfter:
			return answer{}, &runtime.Later{Reason: failed.Error(), Delay: max(min(failed.After, maxRest), task.Backoff(t.Number))}
		}
		if err := t.Progress(ctx, "Waiting to ask again: "+failed.Error()); err != nil {
			return answer{}, err
		}
		select {
		case <-ctx.Done():
			return answer{}, context.Cause(ctx)
		case <-time.After(cmp.Or(failed.After, wait.NextBackOff())):
		}
		if err := t.remember(ctx); err != nil { // a part of it may have been whole
			return answer{}, err
		}
	}
}

// void tells viewers that what they have seen of the turn is no part of its answer.
func (t *turn) void(ctx context.Context) error {
	if !t.shown {
		return nil
	}
	t.shown = false
	return t.Events(ctx, []runtime.Event{void()})
}

func void() runtime.Event {
	return runtime.Event{Type: task.TaskCompactization, Data: task.VoidData()}
}
