package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/errand-dev/errand"
	"github.com/errand-dev/errand/server/internal/app"
	"github.com/errand-dev/errand/server/internal/model"
	"github.com/errand-dev/errand/server/internal/outbound"
)

// modelAgent is the id of the agent that asks the model which 'errand run' has chosen.
const modelAgent = "model"

// chosen is who does a task without a server: the profiler, or a model.
type chosen struct {
	agent    string
	provider model.Provider
	model    string
}

// Models that are asked when nobody names one: inexpensive ones of their providers.
const (
	openaiModel    = "gpt-4o-mini"
	anthropicModel = "claude-haiku-4-5"
)

// lookTime bounds how long a local model's server is looked for.
const lookTime = 2 * time.Second

// choose decides who does a task that has files or not: what the user names, else a
// model of the first account that the environment has, else a model that runs here,
// else, for files, the profiler.
func choose(ctx context.Context, agent, name string, files bool) (chosen, error) {
	if agent == app.ProfileAgent {
		return chosen{agent: app.ProfileAgent}, nil
	}
	providers, err := model.FromEnvironment(os.Getenv)
	if err != nil {
		return chosen{}, err
	}
	p := providers[0] // accounts come first, Ollama is last
	c := chosen{agent: modelAgent, provider: p, model: name}
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	switch {
	case p.Name == model.Ollama:
		first, err := model.First(ctx, p, chooser(p))
		switch {
		case err == nil && name == "":
			c.model = first
		case err == nil:
		case files:
			return chosen{agent: app.ProfileAgent}, nil
		default:
			return chosen{}, errors.New("there is no model to ask: set OPENAI_API_KEY (and OPENAI_BASE_URL for a compatible endpoint) or ANTHROPIC_API_KEY," +
				" or start Ollama; data files that --file names are also reported on without a model")
		}
	case name != "":
	case p.Name == model.Anthropic:
		c.model = anthropicModel
	case strings.HasSuffix(hostOf(p), ".openai.com"):
		c.model = openaiModel
	default: // a compatible endpoint has models of its own
		if c.model, err = model.First(ctx, p, chooser(p)); err != nil {
			return chosen{}, fmt.Errorf("which model? Name one with --model: %w", err)
		}
	}
	return c, nil
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

// options let an own server ask the model, at that address and no other private one.
func (c chosen) options(o *app.Options) {
	if c.agent == modelAgent {
		o.Providers, o.AllowModelHosts = []model.Provider{c.provider}, []string{c.provider.Host()}
	}
}

// define makes the agent that asks the model.
func (c chosen) define(ctx context.Context, client *errand.Client) error {
	if c.agent != modelAgent {
		return nil
	}
	_, err := client.Agents.Apply(ctx, modelAgent, errand.Agent{
		Name: "Model", Runtime: "model", ModelProvider: c.provider.Name, ModelName: c.model,
	})
	return err
}

// say tells who is asked and what they are given, before anything is sent.
func (c chosen) say(w io.Writer, files []string) {
	if c.agent == app.ProfileAgent {
		fmt.Fprintln(w, "No model is used: the built-in profiler reads the files and reports what they hold.")
		return
	}
	given := "the prompt"
	if len(files) > 0 {
		given += " and the files " + strings.Join(files, ", ")
	}
	fmt.Fprintln(w, printable(fmt.Sprintf("The model %s of %s is asked at %s. It is given %s.", c.model, c.provider.Name, c.provider.Host(), given)))
}
