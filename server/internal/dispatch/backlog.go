package dispatch

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/runtime"
	"github.com/errand-dev/errand/server/internal/task"
)

// backlog is what the pool knows of the queues of the agents that it executes. It
// asks the store about those of which it has heard, and now and then about all that
// hold something; never about agents for which nothing is to do. All methods but
// heard are called by one goroutine.
type backlog struct {
	service *lifecycle.Service
	runner  func(agent.Record) runtime.Runner
	hint    chan struct{} // holds a token after a queue has become doubtful

	mu       sync.Mutex
	doubtful map[queue]bool
	// runners are what executes the agents' tasks: nil for those of others, whose
	// wakes, which under load come by the thousand, are not for the pool.
	runners map[queue]runtime.Runner
	// redefined rises with each change of an agent.
	redefined int

	fronts map[queue]front      // of agents that have something ready
	alarms map[queue]task.Stamp // when more becomes ready
	served string               // the organization that had the last turn
	stale  bool                 // queues of which nothing was heard may hold something
}

// front is what an agent has ready.
type front struct {
	runner runtime.Runner
	levels []lifecycle.Front
}

func newBacklog(service *lifecycle.Service, runner func(agent.Record) runtime.Runner) *backlog {
	return &backlog{
		service: service, runner: runner, hint: make(chan struct{}, 1), doubtful: map[queue]bool{},
		runners: map[queue]runtime.Runner{}, fronts: map[queue]front{}, alarms: map[queue]task.Stamp{}, stale: true,
	}
}

// maxKnown bounds how many agents are remembered.
const maxKnown = 100_000

// heard takes a change of a task or of an agent.
func (b *backlog) heard(e feed.Entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	q := queue{e.Organization, e.Agent}
	if e.Kind&feed.Redefined != 0 {
		b.redefined++
		delete(b.runners, q)
		b.doubt(q)
	}
	if e.Kind&feed.Ready != 0 {
		b.doubt(q)
	}
}

// doubt notes that nobody knows what a queue holds.
func (b *backlog) doubt(q queue) {
	if r, known := b.runners[q]; known && r == nil {
		return
	}
	b.doubtful[q] = true
	token(b.hint)
}

func (b *backlog) doubtAll(queues []queue) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, q := range queues {
		b.doubt(q)
	}
}

// lookAll makes every queue doubtful that holds something.
func (b *backlog) lookAll(ctx context.Context) error {
	if !b.stale {
		return nil
	}
	orgs, err := b.service.Organizations(ctx)
	if err != nil {
		return err
	}
	for _, org := range orgs {
		agents, err := b.service.QueuedAgents(ctx, org)
		if err != nil {
			return err
		}
		for _, id := range agents {
			b.doubtAll([]queue{{org, id}})
		}
	}
	b.stale = false
	return nil
}

// ring makes the queues doubtful in which more has become ready.
func (b *backlog) ring() {
	now := b.service.Now()
	for q, at := range b.alarms {
		if at <= now {
			b.doubtAll([]queue{q})
		}
	}
}

// alarm is when more becomes ready by time, 0 for never.
func (b *backlog) alarm() task.Stamp {
	var soonest task.Stamp
	for _, at := range b.alarms {
		if soonest == 0 || at < soonest {
			soonest = at
		}
	}
	return soonest
}

// runnerOf returns what executes an agent's tasks, nil for nothing of the pool's.
func (b *backlog) runnerOf(ctx context.Context, q queue) (runtime.Runner, error) {
	b.mu.Lock()
	r, known := b.runners[q]
	as := b.redefined
	b.mu.Unlock()
	if known {
		return r, nil
	}
	a, err := b.service.Agent(ctx, q.org, q.agent, 0)
	if err != nil && fault.CodeOf(err) != fault.NotFound {
		return nil, err
	}
	if err == nil {
		r = b.runner(a.Record)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.redefined == as { // else it may be another by now
		if len(b.runners) >= maxKnown {
			clear(b.runners)
		}
		b.runners[q] = r
	}
	return r, nil
}

// refresh asks what stands in the doubtful queues, for a worker: up to limit tasks
// of each are of interest.
func (b *backlog) refresh(ctx context.Context, worker string, limit int) error {
	if err := b.lookAll(ctx); err != nil {
		return err
	}
	b.ring()
	b.mu.Lock()
	doubtful := b.doubtful
	b.doubtful = map[queue]bool{}
	b.mu.Unlock()
	lanes := map[string][]lifecycle.Lane{}
	runners := map[queue]runtime.Runner{}
	var failed []error
	for q := range doubtful {
		delete(b.fronts, q)
		delete(b.alarms, q)
		switch r, err := b.runnerOf(ctx, q); {
		case err != nil:
			failed = append(failed, err)
			b.doubtAll([]queue{q})
		case r != nil:
			runners[q] = r
			lanes[q.org] = append(lanes[q.org], lifecycle.Lane{Agent: q.agent}, lifecycle.Lane{Agent: q.agent, Pin: worker})
		}
	}
	for org, of := range lanes {
		fronts, err := b.service.Fronts(ctx, org, of, limit)
		if err != nil {
			failed = append(failed, err)
			for _, l := range of {
				b.doubtAll([]queue{{org, l.Agent}})
			}
			continue
		}
		for _, f := range fronts {
			q := queue{org, f.Agent}
			if f.Ready > 0 {
				b.fronts[q] = front{runners[q], append(b.fronts[q].levels, f)}
			}
			if at := b.alarms[q]; f.Next != 0 && (at == 0 || f.Next < at) {
				b.alarms[q] = f.Next
			}
		}
	}
	return errors.Join(failed...)
}

// share is what an organization may claim.
type share struct {
	org    string
	agents []string
	// runners execute the agents' tasks.
	runners map[string]runtime.Runner
	slots   int
}

// shares deals out free slots: organizations take turns. Within one the agents with
// the tasks that come first share what it has.
func (b *backlog) shares(free int) []share {
	ready := map[string]int{}
	for q, x := range b.fronts {
		for _, f := range x.levels {
			ready[q.org] += f.Ready
		}
	}
	orgs := slices.Sorted(maps.Keys(ready))
	next := slices.IndexFunc(orgs, func(org string) bool { return org > b.served })
	slots := map[string]int{}
	for i, passed := max(next, 0), 0; free > 0 && passed < len(orgs); i++ {
		org := orgs[i%len(orgs)]
		if slots[org] == min(ready[org], lifecycle.MaxClaims) {
			passed++
			continue
		}
		passed = 0
		slots[org]++
		free--
		b.served = org
	}
	var dealt []share
	for _, org := range orgs {
		if n := slots[org]; n > 0 {
			agents, runners := b.first(org, n)
			dealt = append(dealt, share{org, agents, runners, n})
		}
	}
	return dealt
}

// first lists the agents of an organization among whose tasks the first n are.
func (b *backlog) first(org string, n int) (agents []string, runners map[string]runtime.Runner) {
	type head struct {
		agent    string
		priority int
		oldest   task.Stamp
	}
	var heads []head
	for q, x := range b.fronts {
		if q.org != org {
			continue
		}
		best := slices.MinFunc(x.levels, func(x, y lifecycle.Front) int {
			return cmp.Or(cmp.Compare(y.Priority, x.Priority), cmp.Compare(x.Oldest, y.Oldest))
		})
		heads = append(heads, head{q.agent, best.Priority, best.Oldest})
	}
	slices.SortFunc(heads, func(x, y head) int {
		return cmp.Or(cmp.Compare(y.priority, x.priority), cmp.Compare(x.oldest, y.oldest), cmp.Compare(x.agent, y.agent))
	})
	runners = map[string]runtime.Runner{}
	for _, h := range heads[:min(n, len(heads))] {
		agents = append(agents, h.agent)
		runners[h.agent] = b.fronts[queue{org, h.agent}].runner
	}
	return agents, runners
}

// claimed notes that an organization has had its turn. If it got nothing, another
// node was faster; else nobody knows what is left.
func (b *backlog) claimed(s share, something bool) {
	for _, id := range s.agents {
		q := queue{s.org, id}
		if delete(b.fronts, q); something {
			b.doubtAll([]queue{q})
		}
	}
}
