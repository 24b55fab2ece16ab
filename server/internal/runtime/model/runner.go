// Package model is the runtime in which the server itself asks a language model
// (package model of the wires). A task is one conversation: the agent's instructions,
// the earlier turns of the task, and what the present one asks, with its files as text.
// What the model says is streamed while it comes; a part that turns out to be of no
// answer is marked as void, so that every viewer and the result agree.
package model

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/model"
	"github.com/errand-dev/errand/server/internal/runtime"
	"github.com/errand-dev/errand/server/internal/task"
	"github.com/errand-dev/errand/server/internal/tool"
)

// Runner implements [runtime.Runner]. One serves all model agents of a server, and
// any number of attempts at once.
type Runner struct {
	// Providers are the accounts of the server. Their keys go to their own addresses
	// only, whatever an agent's record names.
	Providers []model.Provider
	// Client is what providers are asked with: its transport decides which addresses
	// may be dialled (rule A4).
	Client *http.Client
	// Credential opens an agent's own key, "" for none.
	Credential func(ctx context.Context, org, agentID string) (string, error)
	// Tools are those that an attempt's model may call, nil for none.
	Tools tool.Source
}

var _ runtime.Runner = (*Runner)(nil)

// Run asks the model until it has answered.
func (r *Runner) Run(ctx context.Context, a *runtime.Attempt) (runtime.Outcome, error) {
	t := &turn{Attempt: a}
	if before := a.State.Tokens; before != nil { // of earlier attempts
		t.used = *before
	}
	answer, err := r.run(ctx, t)
	if t.used != (task.Tokens{}) {
		answer.Tokens = &t.used
	}
	return answer, err
}

func (r *Runner) run(ctx context.Context, t *turn) (runtime.Outcome, error) {
	who, err := t.Agent(ctx)
	if err != nil {
		return runtime.Outcome{}, err
	}
	provider, name, err := r.endpoint(ctx, who, t.State)
	if err != nil {
		return runtime.Outcome{}, err
	}
	messages, err := conversation(ctx, t.Attempt)
	if failed, is := errors.AsType[*failure](err); is {
		return runtime.Failed(failed.message), nil
	} else if err != nil {
		return runtime.Outcome{}, err
	}
	t.provider, t.model = provider.Name, model.New(provider, r.Client)
	t.request = model.Request{
		Model: name, System: system(who.Record, t.Spec), Messages: messages, CacheKey: who.ID,
		Temperature: who.Record.Temperature, MaxTokens: who.Record.MaxTokens,
		Effort: cmp.Or(orEmpty(t.State.LLMReasoningEffort), who.Record.ReasoningEffort),
	}
	if err := t.Progress(ctx, "Asking "+name+" of "+provider.Name); err != nil {
		return runtime.Outcome{}, err
	}
	return t.run(ctx)
}

// failure is what the agent could not do, for its user.
type failure struct{ message string }

func (f *failure) Error() string { return f.message }

func orEmpty(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// endpoint decides who is asked: what the task names goes before what the record
// names. The agent's own address and key are those of its own provider.
func (r *Runner) endpoint(ctx context.Context, who agent.Agent, asked task.State) (p model.Provider, name string, err error) {
	own, provider := who.Record.Provider(), orEmpty(asked.LLMModelProvider)
	isOwn := provider == "" || provider == own
	if name = orEmpty(asked.LLMModelName); name == "" && isOwn {
		name = who.Record.ModelName
	}
	if name == "" {
		return p, "", errors.New("llm_model_provider names " + provider + ", and llm_model_name no model of it")
	}
	if !isOwn {
		p, known := model.Account(r.Providers, provider)
		return p, name, missing(p, known)
	}
	p, known := model.Endpoint(r.Providers, who.Record)
	key, err := r.Credential(ctx, who.OrganizationID, who.ID)
	if err != nil {
		return p, "", err
	}
	p.Key = cmp.Or(key, p.Key)
	return p, name, missing(p, known || key != "" && p.BaseURL != "")
}

func missing(p model.Provider, known bool) error {
	if known {
		return nil
	}
	return model.Missing(p.Name, "where the server is started")
}

// turn is a question that is put until it is answered.
type turn struct {
	*runtime.Attempt
	provider string
	model    model.Model
	request  model.Request
	used     task.Tokens
	shown    bool // viewers have something that no answer stands behind
	steps    []task.Step
	// heard is how many steps the answers had that were sent back, and answers how
	// many whole ones were held against a schema.
	heard, answers int
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

// run asks until there is an answer. What viewers have seen of one that broke off is
// void: the provider says it all again, in other words.
func (t *turn) run(ctx context.Context) (runtime.Outcome, error) {
	wait := backoff.ExponentialBackOff{InitialInterval: 500 * time.Millisecond, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: 8 * time.Second}
	wait.Reset()
	t.shown = t.Number > 1
	raised := false
	for try := 1; ; try++ {
		if err := t.void(ctx); err != nil {
			return runtime.Outcome{}, err
		}
		said, err := t.ask(ctx)
		failed, is := errors.AsType[*model.Error](err)
		switch {
		case err == nil && said.Finish == model.Length && !raised:
			raised, try = true, 0
			t.request.MaxTokens = larger * cmp.Or(t.request.MaxTokens, usual)
			continue
		case err == nil:
			again, err := t.offer(ctx, &said)
			if err != nil || !again {
				return said.outcome(), err
			}
			t.heard, try = t.heard+len(said.parts), 0
			continue
		case !is || failed.Access:
			return runtime.Outcome{}, err
		case !failed.Temporary:
			return runtime.Failed(failed.Error()), nil
		case try == tries || failed.After > maxAfter:
			return runtime.Outcome{}, &runtime.Later{Reason: failed.Error(), Delay: max(min(failed.After, maxRest), task.Backoff(t.Number))}
		}
		if err := t.Progress(ctx, "Waiting to ask again: "+failed.Error()); err != nil {
			return runtime.Outcome{}, err
		}
		select {
		case <-ctx.Done():
			return runtime.Outcome{}, context.Cause(ctx)
		case <-time.After(cmp.Or(failed.After, wait.NextBackOff())):
		}
	}
}

// void tells viewers that what they have seen of the turn is no part of its answer.
func (t *turn) void(ctx context.Context) error {
	if !t.shown {
		return nil
	}
	t.shown = false
	return t.Events(ctx, []runtime.Event{{Type: task.TaskCompactization, Data: json.RawMessage(`{"type": "retry", "data": {"is_retry": true}}`)}})
}
