package lifecycle

import (
	"context"
	"slices"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/task"
)

// The reasons that are a matter of the queue.
const (
	reasonPin    = "pinned_worker_absent"
	reasonNobody = "no_worker"
	reasonBehind = "behind"
	reasonBusy   = "workers_busy"
)

// settle tells the store what Filter.Waiting means now: WhyWaiting says it of one task,
// this finds all of which it would.
func (s *Service) settle(ctx context.Context, in auth.Scope, f *Filter) error {
	now := s.store.Now()
	queued := []task.Standing{task.StandsQueued, task.StandsRetry}
	switch f.Waiting {
	case "":
	case "scheduled":
		f.Stands = &Stands{As: []task.Standing{task.StandsQueued}, Until: now}
	case "retry":
		f.Stands = &Stands{As: []task.Standing{task.StandsRetry}, Until: now}
	case reasonPin, reasonNobody, reasonBehind, reasonBusy:
		f.Stands = &Stands{As: queued, From: now}
		return s.settleQueue(ctx, in.Organization, *f)
	default:
		f.Stands = &Stands{As: []task.Standing{task.Standing(f.Waiting)}}
	}
	return nil
}

// settleQueue looks at the workers of the agents that have queued tasks.
func (s *Service) settleQueue(ctx context.Context, org string, f Filter) error {
	agents, err := s.store.QueuedAgents(ctx, org)
	if err != nil {
		return err
	}
	var staffed, bare []string
	there := map[string]bool{}
	for _, agent := range agents {
		if f.Agent != "" && agent != f.Agent {
			continue
		}
		q, err := s.store.Staff(ctx, org, agent)
		if err != nil {
			return err
		}
		alive := q.alive()
		for _, w := range alive {
			there[w.ID] = true
		}
		for id := range q.Occupied {
			there[id] = true
		}
		if len(alive) == 0 && q.Executing == 0 {
			bare = append(bare, agent)
		} else {
			staffed = append(staffed, agent)
		}
	}
	x := f.Stands
	for id := range there {
		x.Workers = append(x.Workers, id)
	}
	slices.Sort(x.Workers)
	switch f.Waiting {
	case reasonPin:
		x.Pinned = true
	case reasonNobody:
		x.Free, x.Agents = true, append([]string{}, bare...)
	default:
		x.Free, x.Agents = true, append([]string{}, staffed...)
		heads, err := s.heads(ctx, org, staffed, x.Workers)
		if err != nil {
			return err
		}
		if f.Waiting == reasonBusy {
			x.Heads = append([]string{}, heads...)
		} else {
			x.NotHeads = heads
		}
	}
	return nil
}

// heads are the tasks that stand first in the lanes of agents.
func (s *Service) heads(ctx context.Context, org string, agents, workers []string) ([]string, error) {
	var heads []string
	for _, agent := range agents {
		for _, pin := range append([]string{""}, workers...) {
			first, err := s.store.Line(ctx, org, Lane{Agent: agent, Pin: pin}, 1)
			if err != nil {
				return nil, err
			}
			heads = append(heads, first...)
		}
	}
	return heads, nil
}

// stands reports whether a task still stands as it did when it was listed.
func (x *Stands) stands(t task.Task) bool {
	return x == nil || slices.Contains(x.As, t.Standing()) && (x.Until == 0 || t.ReadyAt > x.Until) && (x.From == 0 || t.ReadyAt <= x.From)
}
