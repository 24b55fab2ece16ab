package lifecycle

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/task"
)

// PutAgent applies a record: a new agent, or a new version of one. A record
// that says what the newest version says makes no new one (A2). Credentials
// belong to the agent, not to a version: they are replaced, kept or removed.
func (s *Service) PutAgent(ctx context.Context, org, id string, r agent.Record) (agent.Agent, error) {
	if err := s.CheckAgent(id, &r); err != nil {
		return agent.Agent{}, err
	}
	kept, err := s.agentSecrets(ctx, org, id)
	if err != nil {
		return agent.Agent{}, err
	}
	secrets := kept.replaced(&r)
	changed := !reflect.DeepEqual(secrets, kept)
	var sealed []byte
	if changed && !secrets.none() {
		open, err := json.Marshal(secrets)
		if err != nil {
			return agent.Agent{}, fmt.Errorf("encode credentials: %w", err)
		}
		sealed = s.sealer.Seal(secretName(org, OfAgent, id), open)
	}
	var a agent.Agent
	err = s.store.Write(ctx, aboutAgent(org, id), func(tx Tx) error {
		before, err := tx.Agent(org, id, 0)
		isNew := fault.CodeOf(err) == fault.NotFound
		if err != nil && !isNew {
			return err
		}
		switch {
		case sealed != nil:
			err = tx.PutSecret(org, OfAgent, id, sealed)
		case changed:
			err = tx.DeleteSecret(org, OfAgent, id)
		default:
			err = nil
		}
		if err != nil {
			return err
		}
		if a = before; !isNew && before.Record.Equal(r) {
			return nil
		}
		now := tx.Now()
		a = agent.Agent{OrganizationID: org, ID: id, Version: before.Version + 1, CreatedAt: before.CreatedAt, UpdatedAt: now, Record: r}
		if isNew {
			a.CreatedAt = now
		}
		return tx.PutAgent(a)
	})
	s.caps.forget()
	return a, err
}

// CheckAgent says what PutAgent would refuse in a record, and fills what it leaves open.
func (s *Service) CheckAgent(id string, r *agent.Record) error {
	if err := CheckID("agent_id", id); err != nil {
		return err
	}
	if err := r.Normalize(); err != nil {
		return err
	}
	if err := s.checkCommand(*r); err != nil {
		return err
	}
	for i, server := range r.MCPServers {
		if server.Program != "" && !slices.Contains(s.servers, server.Program) {
			return fault.Field(fmt.Sprintf("mcp_servers[%d].program", i), "the server's configuration file does not define the MCP server %q", server.Program)
		}
	}
	return checkSchema("output_schema", r.OutputSchema)
}

// CreateAgent makes an agent with an id of the server's.
func (s *Service) CreateAgent(ctx context.Context, org string, r agent.Record) (agent.Agent, error) {
	return s.PutAgent(ctx, org, s.newID(), r)
}

// DeleteAgent removes an agent, its versions and its credentials. It is a
// Conflict while the agent has a task that has not ended (those that have stay)
// and while a Python worker is connected, which would create it again (A1).
func (s *Service) DeleteAgent(ctx context.Context, org, id string) error {
	return s.store.Write(ctx, aboutAgent(org, id), func(tx Tx) error {
		if _, err := tx.Agent(org, id, 0); err != nil {
			return err
		}
		open, err := tx.HasOpenTask(org, id)
		switch {
		case err != nil:
			return err
		case open:
			return fault.New(fault.Conflict, "agent %q has tasks that have not ended: stop them first", id)
		}
		worker, err := tx.Connected(org, id)
		switch {
		case err != nil:
			return err
		case worker != "":
			return fault.New(fault.Conflict, "worker %s of agent %q is connected, and would create it again: stop the worker first", worker, id)
		}
		if err := tx.DeleteSecret(org, OfAgent, id); err != nil {
			return err
		}
		return tx.DeleteAgent(org, id)
	})
}

// AgentVersions lists the versions of an agent before one, 0 for all, the newest
// first: at most limit, or fewer when they are long.
func (s *Service) AgentVersions(ctx context.Context, org, id string, before, limit int) ([]agent.Agent, error) {
	found, err := s.store.AgentVersions(ctx, org, id, before, limit)
	if err == nil && len(found) == 0 {
		_, err = s.store.Agent(ctx, org, id, 0) // says what to do
	}
	return found, err
}

// checkCommand refuses a program that the server does not know.
func (s *Service) checkCommand(r agent.Record) error {
	switch {
	case s.executes(r):
		return nil
	case len(s.commands) == 0:
		return fault.Field("command", "the server's configuration file defines no commands")
	default:
		return fault.Field("command", "the server's configuration file does not define %q, only %s", r.Command, strings.Join(s.commands, ", "))
	}
}

// executes reports whether an agent's program, if it needs one, is known.
func (s *Service) executes(r agent.Record) bool {
	return r.Runtime != agent.Command || slices.Contains(s.commands, r.Command)
}

// Agent reads a version of an agent, 0 for the newest.
func (s *Service) Agent(ctx context.Context, org, id string, version int) (agent.Agent, error) {
	return s.store.Agent(ctx, org, id, version)
}

// AgentOf reads the agent of a task in the version that it asks for, or the newest.
func (s *Service) AgentOf(ctx context.Context, org string, asked task.Spec) (agent.Agent, error) {
	version := 0
	if asked.AgentVersion != nil {
		var err error
		if version, err = strconv.Atoi(*asked.AgentVersion); err != nil {
			return agent.Agent{}, fmt.Errorf("version of agent %s: %w", asked.AgentID, err)
		}
	}
	return s.store.Agent(ctx, org, asked.AgentID, version)
}

// agentsRead is how many agents one read of the store asks for.
const agentsRead = 200

// AgentsAfter lists agents by id, after one: at most limit, or fewer when they are
// long; none when there are no more.
func (s *Service) AgentsAfter(ctx context.Context, org, after string, limit int) ([]agent.Agent, error) {
	return s.store.Agents(ctx, org, after, limit)
}

// EachAgent yields all agents by id. An error is yielded last.
func (s *Service) EachAgent(ctx context.Context, org string) iter.Seq2[agent.Agent, error] {
	return func(yield func(agent.Agent, error) bool) {
		for after := ""; ; {
			found, err := s.store.Agents(ctx, org, after, agentsRead)
			if err != nil {
				yield(agent.Agent{}, err)
				return
			}
			if len(found) == 0 {
				return
			}
			for _, a := range found {
				if !yield(a, nil) {
					return
				}
				after = a.ID
			}
		}
	}
}

// agentSecrets are what an agent keeps sealed: its model's credentials, without a value
// for none, and the headers of its MCP servers and of its remote agent, by their URLs.
type agentSecrets struct {
	agent.Credentials
	Headers map[string]map[string]string `json:"headers,omitempty"`
}

func (s *Service) agentSecrets(ctx context.Context, org, id string) (x agentSecrets, err error) {
	err = s.open(ctx, org, OfAgent, id, &x)
	return x, err
}

func (x agentSecrets) none() bool { return x.Value == "" && len(x.Headers) == 0 }

// replaced are the secrets after a record was applied, out of which it takes them. What
// the record leaves open stays: credentials, and the headers for the same URL.
func (x agentSecrets) replaced(r *agent.Record) agentSecrets {
	switch {
	case r.LLMCredential != nil:
		x.Credentials = *r.LLMCredential
	case r.NoCredential:
		x.Credentials = agent.Credentials{}
	}
	r.LLMCredential, r.NoCredential = nil, false
	before := x.Headers
	x.Headers = nil
	take := func(url string, given *map[string]string) {
		headers := *given
		if headers == nil {
			headers = before[url]
		}
		if *given = nil; len(headers) == 0 {
			return
		}
		if x.Headers == nil {
			x.Headers = map[string]map[string]string{}
		}
		x.Headers[url] = headers
	}
	r.MCPServers = slices.Clone(r.MCPServers)
	for i := range r.MCPServers {
		take(r.MCPServers[i].URL, &r.MCPServers[i].Headers)
	}
	if r.Remote != nil {
		remote := *r.Remote
		take(remote.URL, &remote.Headers)
		r.Remote = &remote
	}
	return x
}

// AgentCredentials opens an agent's credentials; nil when it has none.
func (s *Service) AgentCredentials(ctx context.Context, org, id string) (*agent.Credentials, error) {
	x, err := s.agentSecrets(ctx, org, id)
	if err != nil || x.Value == "" {
		return nil, err
	}
	return &x.Credentials, nil
}

// AgentHeaders opens the headers of an agent's MCP servers and of its remote agent, by
// their URLs.
func (s *Service) AgentHeaders(ctx context.Context, org, id string) (map[string]map[string]string, error) {
	x, err := s.agentSecrets(ctx, org, id)
	return x.Headers, err
}

// TaskSecrets opens a task's secrets; the zero value when it has none.
func (s *Service) TaskSecrets(ctx context.Context, org, id string) (Secrets, error) {
	var x Secrets
	err := s.open(ctx, org, OfTask, id, &x)
	return x, err
}

func (s *Service) open(ctx context.Context, org string, of SecretOf, id string, into any) error {
	sealed, err := s.store.Secret(ctx, org, of, id)
	if err != nil || sealed == nil {
		return err
	}
	open, err := s.sealer.Open(secretName(org, of, id), sealed)
	if err != nil {
		return fmt.Errorf("open secrets of %s %s: %w", of, id, err)
	}
	if err := json.Unmarshal(open, into); err != nil {
		return fmt.Errorf("decode secrets of %s %s: %w", of, id, err)
	}
	return nil
}
