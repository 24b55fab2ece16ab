package lifecycle

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/task"
)

// MaxClaims bounds how many tasks one claim may take.
const MaxClaims = 100

// ClaimRequest asks for work.
type ClaimRequest struct {
	Agents []string
	Worker string
	Slots  int
}

// Claimed is a task that was handed out with a lease.
type Claimed struct {
	Snapshot
	// Token proves the lease; it is told once and only its hash is stored.
	Token string
	// TraceParent is the W3C trace context of the attempt, "" for none.
	TraceParent string
	// Models is how the attempt may ask models through the server, nil for not at all.
	Models *ModelAccess
}

// ModelAccess is how an attempt asks models through the server (B2).
type ModelAccess struct {
	// Token stands in the place of a provider's key for as long as the lease is held.
	Token string `json:"token"`
	// Providers are those at which the server has accounts: openai, anthropic.
	Providers []string `json:"providers"`
}

// Claim hands out and starts up to Slots tasks of the agents: by priority, then
// oldest, over all agents alike (rule L1). It returns at once, with nothing when
// there is nothing; package dispatch waits.
func (s *Service) Claim(ctx context.Context, who Caller, r ClaimRequest) ([]Claimed, error) {
	_, claimed, err := s.FinishAndClaim(ctx, who, nil, r)
	return claimed, err
}

func (r ClaimRequest) check() error {
	if r.Worker == "" || len(r.Worker) > task.MaxID {
		return fault.Field("worker_id", "must be 1 to %d bytes that name the worker", task.MaxID)
	}
	if r.Slots < 1 || r.Slots > MaxClaims {
		return fault.Field("slots", "must be from 1 to %d", MaxClaims)
	}
	return nil
}

// wanted is what a claim asks the store for, and how long the leases of each agent
// are. It refuses agents that are not there, before anything is written.
func wanted(tx Tx, org string, r ClaimRequest) (Want, map[string]time.Duration, error) {
	want := Want{Organization: org, Worker: r.Worker, Limit: r.Slots}
	leases := make(map[string]time.Duration, len(r.Agents))
	for _, id := range r.Agents {
		if _, twice := leases[id]; twice {
			continue
		}
		a, err := tx.Agent(org, id, 0)
		if err != nil {
			return Want{}, nil, err
		}
		leases[id] = a.Lease()
		want.Agents = append(want.Agents, id)
	}
	return want, leases, nil
}

// take claims what the store has of what is wanted; more is that of handOut.
func (s *Service) take(tx writing, want Want, leases map[string]time.Duration) (claimed []Claimed, more bool, err error) {
	for _, id := range want.Agents {
		if err := heardClaim(tx, want.Organization, id, want.Worker, want.Limit, false); err != nil {
			return nil, false, err
		}
	}
	more, err = handOut(tx, want, func(before Snapshot) (bool, error) {
		token := newToken()
		lease := leases[before.Task.AgentID]
		changed, err := apply(tx, before.Task, task.Claim{Worker: want.Worker, TokenHash: hashToken(token), Lease: lease})
		if err != nil || !changed.Task.Run.Live() {
			return false, err
		}
		claimed = append(claimed, Claimed{Snapshot: Snapshot{Task: changed.Task, Spec: before.Spec}, Token: token, Models: s.modelAccess(changed.Task)})
		return true, nil
	})
	return claimed, more, err
}

// maxPassedOver is about how many tasks that must not begin one commit passes over.
const maxPassedOver = 64

// handOut gives what the store has of what is wanted. give answers false of a task that
// a budget or a cap holds instead: what stands behind it is taken in its place. Of such
// tasks one commit passes over some; more says that there may be others behind them.
func handOut(tx writing, want Want, give func(Snapshot) (bool, error)) (more bool, err error) {
	for passed := 0; want.Limit > 0; {
		if passed >= maxPassedOver {
			return true, nil
		}
		taken, err := tx.Take(want)
		if err != nil {
			return false, err
		}
		last := len(taken) < want.Limit
		for _, before := range taken {
			given, err := give(before)
			switch {
			case err != nil:
				return false, err
			case given:
				want.Limit--
			default:
				passed++
			}
		}
		if last {
			return false, nil
		}
	}
	return false, nil
}

// Left notes that a claiming worker was there until now, and no longer.
func (s *Service) Left(ctx context.Context, org string, r ClaimRequest) error {
	return s.write(ctx, s.node, nil, func(tx writing) error {
		for _, id := range r.Agents { // a second time it changes nothing
			if err := heardClaim(tx, org, id, r.Worker, 0, true); err != nil {
				return err
			}
		}
		return nil
	})
}

// heardClaim notes that a claiming worker is there, at most every few seconds, or that it
// leaves.
func heardClaim(tx writing, org, agentID, worker string, slots int, leaves bool) error {
	now, key := tx.Now(), heardKey{org, agentID, worker}
	if !tx.heard.begin(key, now, slots, leaves) {
		return nil
	}
	w, err := tx.Claimer(org, agentID, worker)
	switch {
	case err != nil:
		return err
	case w == nil:
		w = &Worker{Organization: org, Agent: agentID, ID: worker, Kind: FencedWorker, RegisteredAt: now}
	case w.Kind == PythonWorker: // it is heard by its stream
		return nil
	}
	if now.Sub(w.LastHeard) > absence { // it may be another one of the name
		w.Slots = 0
	}
	if leaves || !w.heardAs().lately(now, slots) {
		w.LastHeard, w.Slots, w.CutAt = now, max(w.Slots, slots), 0
		if leaves {
			w.CutAt = now
		}
		err = tx.PutWorker(*w)
	}
	tx.heard.made[key] = w.heardAs()
	return err
}

// presenceStep is how exactly it is known when a claiming worker was last seen.
const presenceStep = 5 * time.Second

// Fronts tells what stands in lanes: every level of priority that has queued
// tasks. It counts up to limit tasks of each that are ready.
func (s *Service) Fronts(ctx context.Context, org string, lanes []Lane, limit int) ([]Front, error) {
	return s.store.Fronts(ctx, org, lanes, limit)
}

// QueuedAgents lists the ids of agents that have queued tasks, ready or not.
func (s *Service) QueuedAgents(ctx context.Context, org string) ([]string, error) {
	return s.store.QueuedAgents(ctx, org)
}

// Now is the store's clock, by which tasks become ready.
func (s *Service) Now() task.Stamp { return s.store.Now() }

// Asked is what the task was asked, and the URLs or references of its files,
// attachments among them.
func (s Snapshot) Asked() (spec task.Spec, files []string, err error) {
	if err := json.Unmarshal(s.Spec, &spec); err != nil {
		return task.Spec{}, nil, fmt.Errorf("decode spec: %w", err)
	}
	files = slices.Clone(spec.Input.Files)
	_, err = EachAttachment(spec.Input.Attachments, func(_ int, url string) (string, error) {
		files = append(files, url)
		return url, nil
	})
	return spec, files, err
}

// Running reports whether an attempt still owns its task's turn.
func (s *Service) Running(ctx context.Context, org, id string, number int) (bool, error) {
	now, err := s.store.Task(ctx, auth.All(org), id)
	if err != nil {
		return false, err
	}
	run := now.Task.Run
	return run.Live() && run.Number == number && now.Task.Status() == task.Executing, nil
}

// Organizations lists every organization's id.
func (s *Service) Organizations(ctx context.Context) ([]string, error) {
	return s.store.Organizations(ctx)
}
