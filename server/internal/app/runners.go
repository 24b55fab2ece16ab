package app

import (
	"context"
	"log/slog"
	"net/http"
	"slices"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/files"
	"github.com/errand-dev/errand/server/internal/httpapi/proxy"
	v1 "github.com/errand-dev/errand/server/internal/httpapi/v1"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/mcp"
	wire "github.com/errand-dev/errand/server/internal/model"
	"github.com/errand-dev/errand/server/internal/outbound"
	"github.com/errand-dev/errand/server/internal/program"
	"github.com/errand-dev/errand/server/internal/reading"
	"github.com/errand-dev/errand/server/internal/runtime"
	"github.com/errand-dev/errand/server/internal/runtime/a2a"
	"github.com/errand-dev/errand/server/internal/runtime/command"
	"github.com/errand-dev/errand/server/internal/runtime/model"
	"github.com/errand-dev/errand/server/internal/runtime/profile"
	"github.com/errand-dev/errand/server/internal/tool"
	"github.com/errand-dev/errand/server/internal/tool/delegate"
	"github.com/errand-dev/errand/server/internal/tool/fetch"
	filetools "github.com/errand-dev/errand/server/internal/tool/files"
	"github.com/errand-dev/errand/server/internal/tool/people"
	"github.com/errand-dev/errand/server/internal/tool/query"
)

// runners returns what executes an agent's tasks inside the server, nil for
// agents that it leaves to remote workers, and for commands that it does not
// know.
func runners(commands map[string]program.Program, models *model.Runner, remote *a2a.Runner) func(agent.Record) runtime.Runner {
	profiler := profile.New()
	programs := make(map[string]*command.Runner, len(commands))
	for name, p := range commands {
		programs[name] = command.New(p)
	}
	return func(r agent.Record) runtime.Runner {
		switch r.Runtime {
		case agent.Profile:
			return profiler
		case agent.Command:
			if p, known := programs[r.Command]; known {
				return p
			}
			return nil
		case agent.Model:
			return models
		case agent.A2A:
			return remote
		case agent.Worker:
			return nil
		default:
			return nil
		}
	}
}

// hidden are programs that do not see the data folder if they are confined.
func hidden(programs map[string]program.Program, data string) map[string]program.Program {
	all := make(map[string]program.Program, len(programs))
	for name, p := range programs {
		p.Box.Hide = append(slices.Clone(p.Box.Hide), data)
		all[name] = p
	}
	return all
}

// models is the runtime of agents that ask a model. An agent's own key is opened when
// it is needed.
func models(o Options, s *lifecycle.Service, reader *reading.Reader, servers *mcp.Host) *model.Runner {
	return &model.Runner{
		Providers: o.Providers, Prices: o.Prices, Windows: o.Windows,
		Client: wire.NewClient(outbound.Guard{Networks: o.AllowPrivate, Hosts: o.AllowModelHosts}),
		Credential: func(ctx context.Context, org, agentID string) (string, error) {
			c, err := s.AgentCredentials(ctx, org, agentID)
			if err != nil || c == nil {
				return "", err
			}
			return c.Value, nil
		},
		Tools:   kit(o, reader).Tools,
		Reading: reader,
		Servers: (&toolServers{s, servers}).open,
	}
}

// remoteAgents is the runtime of agents that are remote ones.
func remoteAgents(o Options, s *lifecycle.Service) *a2a.Runner {
	return &a2a.Runner{
		Client:  &http.Client{Transport: outbound.Guard{Networks: o.AllowPrivate, Hosts: o.AllowRemoteHosts}.Transport()},
		Headers: s.AgentHeaders,
	}
}

// kit has the built-in tools, each by the name by which agents ask for it.
func kit(o Options, reader *reading.Reader) tool.Kit {
	return tool.Kit{
		agent.Fetch: fetch.New(outbound.Guard{Networks: o.AllowPrivate}),
		agent.SQL:   query.New(),
		agent.Files: filetools.New(reader),
		agent.Ask:   people.Tools,

		agent.Delegate: delegate.Tools,
	}
}

// maxPreviews is how many files are read at a time to tell what an agent would be given.
const maxPreviews = 4

// previews reads files as agents would be given them.
func previews(runner func(agent.Record) runtime.Runner, opener *files.Opener) v1.Preview {
	slots := make(chan struct{}, maxPreviews)
	return func(ctx context.Context, who agent.Agent, ref string) (runtime.Given, bool, error) {
		p, is := runner(who.Record).(runtime.Previewer)
		if !is {
			return runtime.Given{}, false, nil
		}
		select {
		case slots <- struct{}{}:
		default:
			return runtime.Given{}, false, fault.New(fault.RateLimited, "%d files are being read for others: try again in a moment", maxPreviews)
		}
		defer func() { <-slots }()
		g, err := p.Preview(ctx, who, opener.Files(who.OrganizationID, "", []string{ref})[0])
		return g, true, err
	}
}

// warnOfUnknown tells of agents whose tasks nobody will execute.
func warnOfUnknown(ctx context.Context, s *lifecycle.Service, commands map[string]program.Program, log *slog.Logger) error {
	orgs, err := s.Organizations(ctx)
	if err != nil {
		return err
	}
	for _, org := range orgs {
		for a, err := range s.EachAgent(ctx, org) {
			if err != nil {
				return err
			}
			if _, known := commands[a.Record.Command]; a.Record.Runtime == agent.Command && !known {
				log.WarnContext(ctx, "the configuration does not define this agent's command: its tasks wait", "agent_id", a.ID, "command", a.Record.Command)
			}
		}
	}
	return nil
}

// modelProxy lets attempts ask the providers at which the server has accounts.
func modelProxy(o Options, s *lifecycle.Service) proxy.Options {
	return proxy.Options{
		Service: s, Providers: o.Providers, Prices: o.Prices, Timeout: o.WriteTimeout, Log: o.Log,
		Client: wire.NewClient(outbound.Guard{Networks: o.AllowPrivate, Hosts: o.AllowModelHosts}),
	}
}

// proxied are the names of those of the providers that the proxy leads to.
func proxied(providers []wire.Provider) []string {
	var names []string
	for _, p := range providers {
		if p.Name == wire.OpenAI || p.Name == wire.Anthropic {
			names = append(names, p.Name)
		}
	}
	return names
}
