package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/errand-dev/errand"
	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/agentfile"
	"github.com/errand-dev/errand/server/internal/app"
	"github.com/errand-dev/errand/server/internal/model"
)

// crew are the agents of a file. One of them does the task: the first, or the one that
// FILE#ID names.
type crew struct {
	name    string // of the file
	agents  []agentfile.Agent
	records []agent.Record // of the agents
	lead    int
}

// readCrew reads the agents of --agent FILE.
func readCrew(e *env, named string) (crew, error) {
	name, id, chosen := strings.Cut(named, "#")
	agents, err := readAgents(e, name)
	if err != nil {
		return crew{}, err
	}
	c := crew{name: name, agents: agents, records: make([]agent.Record, len(agents))}
	for i, a := range agents {
		if err := json.Unmarshal(a.JSON, &c.records[i]); err != nil {
			return crew{}, a.Wrong("", err.Error())
		}
	}
	if chosen {
		if c.lead = slices.IndexFunc(agents, func(a agentfile.Agent) bool { return a.ID == id }); c.lead < 0 {
			return crew{}, fmt.Errorf("%s: has no agent %q", name, id)
		}
	}
	return c, nil
}

// own is the crew at an own server. It has the accounts of the environment and may
// reach exactly the addresses at which the crew's models are.
func (c crew) own(asked string) (party, error) {
	lead, r := c.agents[c.lead], c.records[c.lead]
	if r.Runtime == "" || r.Runtime == agent.Worker {
		return party{}, lead.Wrong("runtime", "its tasks are for workers elsewhere: start a server, apply the agent there, and let 'errand worker --agent "+lead.ID+"' do them")
	}
	accounts, err := model.FromEnvironment(os.Getenv)
	if err != nil {
		return party{}, err
	}
	hosts, remote := make([]string, 0, len(c.agents)), []string(nil)
	who := party{agent: lead.ID, model: asked, define: nothing, options: func(o *app.Options) {
		o.Agents, o.Providers, o.AllowModelHosts, o.AllowRemoteHosts = c.agents, accounts, hosts, remote
	}}
	said := fmt.Sprintf("The agent %s of %s has the runtime %s.", lead.ID, c.name, r.Runtime)
	for i, r := range c.records {
		if r.Runtime == agent.A2A {
			remote = append(remote, (model.Provider{BaseURL: r.Remote.URL}).Host())
			who.said = append(who.said, fmt.Sprintf("The agent %s of %s is a remote one at %s, which is sent what it is asked, with the files.", c.agents[i].ID, c.name, r.Remote.URL))
		}
		if r.Runtime != agent.Model {
			continue
		}
		p, known := model.Endpoint(accounts, r)
		if !known && (r.LLMCredential == nil || p.BaseURL == "") {
			return party{}, c.agents[i].Wrong("model_provider", model.Missing(p.Name, "").Error())
		}
		hosts = append(hosts, p.Host())
		if i == c.lead {
			said = c.asks(i, cmp.Or(asked, r.ModelName), p)
		} else {
			who.said = append(who.said, c.asks(i, r.ModelName, p))
		}
	}
	who.said = append(who.said, said)
	return who, nil
}

func (c crew) asks(i int, name string, p model.Provider) string {
	return fmt.Sprintf("The agent %s of %s: %s", c.agents[i].ID, c.name, asks(name, p))
}

// at is the crew at a server that somebody has named, where it is applied.
func (c crew) at(server place, asked string) party {
	lead := c.agents[c.lead]
	return party{
		agent: lead.ID, model: asked, place: server,
		said: []string{fmt.Sprintf("The agent %s of %s was applied to %s and does the task there.", lead.ID, c.name, server.URL)},
		define: func(ctx context.Context, client *errand.Client) error {
			for _, given := range c.agents {
				a, err := recordOf(given)
				if err != nil {
					return err
				}
				if _, err := client.Agents.Apply(ctx, a.ID, a); err != nil {
					return refusedAt(given, err)
				}
			}
			return nil
		},
	}
}
