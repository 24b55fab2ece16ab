// Package model is the runtime in which the server itself asks a language model
// (package model of the wires). A task is one conversation: the agent's instructions,
// the earlier turns of the task, and what the present one asks, with its files as text.
// What the model says is streamed while it comes; a part that turns out to be of no
// answer is marked as void, so that every viewer and the result agree. What it calls is
// run, and it is asked again with the results, until it has answered.
package model

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/model"
	"github.com/errand-dev/errand/server/internal/reading"
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
	// Prices are those of models, for budgets of money.
	Prices model.Prices
	// Windows are those of models.
	Windows model.Windows
	// Reading makes text of the files that a task gives its agent.
	Reading *reading.Reader
	// Tools are those that an attempt's model may call, nil for none. Servers are those
	// of MCP servers, which can be called until done is.
	Tools   tool.Source
	Servers func(ctx context.Context, a *runtime.Attempt, who agent.Agent) (tools []tool.Tool, done func(), err error)
}

var _ runtime.Runner = (*Runner)(nil)

// Run asks the model until it has answered.
func (r *Runner) Run(ctx context.Context, a *runtime.Attempt) (runtime.Outcome, error) {
	t := &turn{Attempt: a}
	answer, err := r.run(ctx, t)
	if failed, is := errors.AsType[*failure](err); is {
		answer, err = runtime.Failed(failed.message), nil
	}
	answer.Tools = t.tried
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
	past := history{reader: r.Reading, provider: provider.Name, model: name, sees: sees(who.Record, provider)}
	if err := past.conversation(ctx, t.Attempt); err != nil {
		return runtime.Outcome{}, err
	}
	t.given = slices.DeleteFunc(past.open, func(c *call) bool { return c.known })
	t.provider, t.model, t.prices = provider.Name, model.New(provider, r.Client), r.Prices
	t.request = model.Request{
		Model: name, System: system(who.Record, t.Spec), Messages: past.messages, CacheKey: who.ID,
		Temperature: who.Record.Temperature, MaxTokens: who.Record.MaxTokens,
		Effort: cmp.Or(orEmpty(t.State.LLMReasoningEffort), who.Record.ReasoningEffort),
	}
	t.begun, t.window = len(past.messages), r.window(who.Record, provider.Name, name)
	if task.HasSchema(t.Spec.OutputSchema) {
		t.request.Schema = t.Spec.OutputSchema
	}
	done, err := r.equip(ctx, t, who)
	if err != nil {
		return runtime.Outcome{}, err
	}
	defer done()
	t.status = "Asking " + name + " of " + provider.Name
	return t.run(ctx, who.Steps())
}

// equip gives the model its tools, which it has until done is called.
func (r *Runner) equip(ctx context.Context, t *turn, who agent.Agent) (done func(), err error) {
	done = func() {}
	var tools, more []tool.Tool
	if r.Tools != nil {
		if tools, err = r.Tools(ctx, t.Attempt, who); err != nil {
			return nil, err
		}
	}
	if r.Servers != nil {
		if more, done, err = r.Servers(ctx, t.Attempt, who); err != nil {
			return nil, err
		}
	}
	t.tools, t.theirs = map[string]tool.Tool{}, map[string]bool{}
	needs := who.Record.NeedsApproval
	for _, x := range append(tools, more...) {
		if _, taken := t.tools[x.Name]; taken { // the server's own go first
			continue
		}
		x.Approved = x.Approved || slices.Contains(needs, x.Name) || slices.Contains(needs, "*") && x.Name != string(agent.Ask)
		t.equip(x)
	}
	for _, x := range t.Spec.ClientTools {
		if _, taken := t.tools[x.Name]; taken {
			done()
			return nil, &failure{fmt.Sprintf("The caller's tool %q (client_tools) has the name of one that the agent has: it needs another.", x.Name)}
		}
		t.theirs[x.Name] = true
		t.equip(tool.Tool{Name: x.Name, Description: x.Description, Input: x.InputSchema})
	}
	return done, nil
}

// equip gives the model a tool.
func (t *turn) equip(x tool.Tool) {
	t.tools[x.Name] = x
	t.request.Tools = append(t.request.Tools, model.Tool{Name: x.Name, Description: x.Description, Input: x.Input})
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

// window is how many tokens a model takes at once, 0 for what is not known. What a record
// says is of its own model.
func (r *Runner) window(own agent.Record, provider, name string) int64 {
	configured := r.Windows.Of(provider, name)
	if name == own.ModelName {
		return cmp.Or(own.ContextWindow, configured)
	}
	return cmp.Or(configured, own.ContextWindow)
}

func missing(p model.Provider, known bool) error {
	if known {
		return nil
	}
	return model.Missing(p.Name, "where the server is started")
}
