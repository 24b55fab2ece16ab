package sqlite

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/fault"
)

const selectAgent = `SELECT a.org, a.id, v.version, a.created_at, v.updated_at, v.record
	FROM agents a JOIN agent_versions v ON v.org = a.org AND v.id = a.id `

func readAgents(ctx context.Context, q querier, where string, args ...any) ([]agent.Agent, error) {
	var found []agent.Agent
	err := each(ctx, q, selectAgent+where, args, func(rows rowScanner) error {
		var a agent.Agent
		var record string
		if err := rows.Scan(&a.OrganizationID, &a.ID, &a.Version, &a.CreatedAt, &a.UpdatedAt, &record); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(record), &a.Record); err != nil {
			return err
		}
		found = append(found, a)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read agents: %w", err)
	}
	return found, nil
}

func readAgent(ctx context.Context, q querier, org, id string, version int) (agent.Agent, error) {
	where, args := "WHERE a.org = ? AND a.id = ? AND v.version = a.version", []any{org, id}
	if version > 0 {
		where, args = "WHERE a.org = ? AND a.id = ? AND v.version = ?", append(args, version)
	}
	found, err := readAgents(ctx, q, where, args...)
	if err != nil {
		return agent.Agent{}, err
	}
	if len(found) == 0 {
		if version > 0 {
			return agent.Agent{}, fault.New(fault.NotFound, "no version %d of agent %q", version, id)
		}
		return agent.Agent{}, fault.New(fault.NotFound,
			`no agent %q: make it with 'errand agent apply %s', or PUT /v1/agents/%s {"name": "%s", "runtime": "worker"}`, id, id, id, id)
	}
	return found[0], nil
}

// Agent implements lifecycle.Store.
func (s *Store) Agent(ctx context.Context, org, id string, version int) (agent.Agent, error) {
	return readAgent(ctx, s, org, id, version)
}

// AgentVersions implements lifecycle.Store.
func (s *Store) AgentVersions(ctx context.Context, org, id string) ([]agent.Agent, error) {
	return readAgents(ctx, s, "WHERE a.org = ? AND a.id = ? ORDER BY v.version DESC", org, id)
}

// Agents implements lifecycle.Store.
func (s *Store) Agents(ctx context.Context, org string) ([]agent.Agent, error) {
	return readAgents(ctx, s, "WHERE a.org = ? AND v.version = a.version ORDER BY a.id", org)
}

// agentKey names a version of an agent, 0 for the newest.
type agentKey struct {
	org, id string
	version int
}

// maxAgents bounds how many agents the writer remembers.
const maxAgents = 1000

// Agent implements lifecycle.Tx. Every task that is created or claimed asks for
// its agent, so the writer remembers them: nobody else changes them, and a
// change, or the undoing of one, makes it forget all.
func (t *tx) Agent(org, id string, version int) (agent.Agent, error) {
	key := agentKey{org, id, version}
	if a, ok := t.w.agents[key]; ok {
		return a, nil
	}
	a, err := readAgent(background(), t, org, id, version)
	if err != nil {
		return agent.Agent{}, err
	}
	if len(t.w.agents) >= maxAgents {
		clear(t.w.agents)
	}
	t.w.agents[key] = a
	return a, nil
}

// PutAgent implements lifecycle.Tx.
func (t *tx) PutAgent(a agent.Agent) error {
	record, err := json.Marshal(a.Record)
	if err != nil {
		return fmt.Errorf("encode agent: %w", err)
	}
	clear(t.w.agents)
	if err := t.exec(`INSERT INTO agents (org, id, version, created_at, updated_at) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (org, id) DO UPDATE SET version = excluded.version, updated_at = excluded.updated_at`,
		a.OrganizationID, a.ID, a.Version, a.CreatedAt, a.UpdatedAt); err != nil {
		return fmt.Errorf("put agent: %w", err)
	}
	return t.exec(`INSERT INTO agent_versions (org, id, version, record, updated_at) VALUES (?, ?, ?, ?, ?)`,
		a.OrganizationID, a.ID, a.Version, string(record), a.UpdatedAt)
}

// DeleteAgent implements lifecycle.Tx.
func (t *tx) DeleteAgent(org, id string) error {
	clear(t.w.agents)
	for _, query := range []string{
		"DELETE FROM agent_versions WHERE org = ? AND id = ?",
		"DELETE FROM agents WHERE org = ? AND id = ?",
	} {
		if err := t.exec(query, org, id); err != nil {
			return fmt.Errorf("delete agent: %w", err)
		}
	}
	return nil
}

// HasOpenTask implements lifecycle.Tx.
func (t *tx) HasOpenTask(org, agentID string) (bool, error) {
	var n int
	found, err := one(background(), t, `SELECT 1 FROM tasks INDEXED BY tasks_open WHERE org = ? AND agent_id = ? AND ended = '' LIMIT 1`,
		[]any{org, agentID}, &n)
	return found, err
}
