package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/errand-dev/errand"
	"github.com/errand-dev/errand/server/internal/app"
	"github.com/errand-dev/errand/server/internal/model"
	"github.com/errand-dev/errand/server/internal/outbound"
	"github.com/errand-dev/errand/server/internal/program"
)

// party is who does the task of a run.
type party struct {
	agent string // its id
	// model is the one to ask in the place of the agent's own, "" for that.
	model string
	// options are what an own server needs for it; nil if it is at a server, in place.
	options func(*app.Options)
	place   place
	// program does the task, in this process; nil if somebody else does.
	program *program.Program
	// define makes the agent at the server.
	define func(context.Context, *errand.Client) error
	// said are lines that say who is asked; the last goes on with what it is given.
	said []string
}

// profiler asks nobody.
func profiler() party {
	return party{agent: app.ProfileAgent, options: func(*app.Options) {}, define: nothing, said: []string{
		"No model is used: the built-in profiler reads the files and reports what they hold.",
	}}
}

func nothing(context.Context, *errand.Client) error { return nil }

// given says who is asked and what they are given, before anything is sent.
func (p party) given(files []string) []string {
	if p.agent == app.ProfileAgent {
		return p.said
	}
	what := "It is given the prompt"
	if len(files) > 0 {
		what += " and the files " + strings.Join(files, ", ")
	}
	lines, last := p.said[:len(p.said)-1], p.said[len(p.said)-1]
	return append(slices.Clip(lines), last+" "+what+".")
}

// modelAgent is the id of the agent that asks the model which 'errand run' has chosen.
const modelAgent = "model"

// Models that are asked when nobody names one: inexpensive ones of their providers.
const (
	openaiModel    = "gpt-4o-mini"
	anthropicModel = "claude-haiku-4-5"
)

// lookTime bounds how long a local model's server is looked for.
const lookTime = 2 * time.Second

// noModel says what to set.
const noModel = "there is no model to ask: set OPENAI_API_KEY (and OPENAI_BASE_URL for a compatible endpoint) or ANTHROPIC_API_KEY," +
	" or start Ollama; data files that --file names are also reported on without a model"

// choose decides who does a task that has files or not, when nobody is named: a model
// of the first account that the environment has, else one that runs here, else, for
// files, the profiler.
func choose(ctx context.Context, name string, files bool) (party, error) {
	accounts, err := model.FromEnvironment(os.Getenv)
	if err != nil {
		return party{}, err
	}
	p := accounts[0] // Ollama is last
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	switch {
	case p.Name == model.Ollama:
		first, err := model.First(ctx, p, chooser(p))
		switch {
		case err == nil && name == "":
			name = first
		case err == nil:
		case ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded):
			return party{}, err
		case files && name == "":
			return profiler(), nil
		default:
			return party{}, errors.New(noModel)
		}
	case name != "":
	case p.Name == model.Anthropic:
		name = anthropicModel
	case strings.HasSuffix(hostOf(p), ".openai.com"):
		name = openaiModel
	default: // a compatible endpoint has models of its own
		if name, err = model.First(ctx, p, chooser(p)); err != nil {
			return party{}, fmt.Errorf("which model? Name one with --model: %w", err)
		}
	}
	return party{
		agent: modelAgent,
		// The own server reaches the model at that address, and no other private one.
		options: func(o *app.Options) { o.Providers, o.AllowModelHosts = []model.Provider{p}, []string{p.Host()} },
		define: func(ctx context.Context, client *errand.Client) error {
			_, err := client.Agents.Apply(ctx, modelAgent, errand.Agent{Name: "Model", Runtime: "model", ModelProvider: p.Name, ModelName: name})
			return err
		},
		said: []string{asks(name, p)},
	}, nil
}

func asks(name string, p model.Provider) string {
	return fmt.Sprintf("The model %s of %s is asked at %s.", name, p.Name, p.Host())
}

// chooser is a client that connects to a provider that the environment names,
// wherever that is, and to nobody else that is private.
func chooser(p model.Provider) *http.Client {
	return model.NewClient(outbound.Guard{Hosts: []string{p.Host()}})
}

func hostOf(p model.Provider) string {
	if u, err := url.Parse(p.BaseURL); err == nil {
		return u.Hostname()
	}
	return p.BaseURL
}
