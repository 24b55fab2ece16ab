package lifecycle

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/stats"
	"github.com/errand-dev/errand/server/internal/task"
)

// Trouble is something that is wrong now, and that somebody can do something about.
type Trouble struct {
	Kind TroubleKind
	// Severe says that nothing goes on because of it.
	Severe bool
	// Message says what is wrong, and Help what to do about it.
	Message, Help string
	// Since is when it began, 0 where that is not known.
	Since task.Stamp
	// Count is how many tasks, or attempts, are concerned, 0 for what is no matter of these;
	// there may be More.
	Count int
	More  bool
	// Agent, Worker, Waiting and Status are a filter that finds the tasks; all are zero
	// where none does.
	Agent, Worker, Waiting string
	Status                 []task.Status
}

// TroubleKind is a kind of trouble.
type TroubleKind string

// The kinds of trouble.
const (
	TroubleNoWorker    TroubleKind = "no_worker"
	TroubleAbsentPin   TroubleKind = "pinned_worker_absent"
	TroubleBudget      TroubleKind = "budget"
	TroubleLongWait    TroubleKind = "long_wait"
	TroubleLost        TroubleKind = "lost_attempts"
	TroubleFailing     TroubleKind = "failing"
	TroubleLittleSpace TroubleKind = "little_space"
)

const (
	// maxTroubles bounds how many of a kind are told.
	maxTroubles = 20
	// lately is the time in which attempts were lost and turns ended that are looked at.
	lately = time.Hour
	// long is from when on a task waits for long that only needs a free slot.
	long = 10 * time.Minute
	// manyLost is how many attempts a worker may lose before that is trouble.
	manyLost = 2
	// manyWrong is how many turns of an agent have to go wrong, and oneIn what part of all.
	manyWrong, oneIn = 5, 5
)

// Troubles returns what is wrong now with the tasks of a scope: what is severe first. It asks
// a few questions for each agent that has a queue, and none for each task.
func (s *Service) Troubles(ctx context.Context, in auth.Scope) ([]Trouble, error) {
	var all []Trouble
	for _, look := range []func(context.Context, auth.Scope) ([]Trouble, error){s.queueTrouble, s.waitTrouble, s.lostTrouble, s.failTrouble} {
		found, err := look(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("look for trouble: %w", err)
		}
		all = append(all, found[:min(len(found), maxTroubles)]...)
	}
	slices.SortStableFunc(all, func(a, b Trouble) int { return cmp.Compare(severity(b), severity(a)) })
	return all, nil
}

func severity(t Trouble) int {
	if t.Severe {
		return 1
	}
	return 0
}

// queueTrouble is about agents of which no worker is there, or all are busy for long.
func (s *Service) queueTrouble(ctx context.Context, in auth.Scope) ([]Trouble, error) {
	agents, err := s.store.QueuedAgents(ctx, in.Organization)
	if err != nil {
		return nil, err
	}
	var all []Trouble
	for _, agent := range agents {
		q, err := s.store.Staff(ctx, in.Organization, agent)
		if err != nil {
			return nil, err
		}
		x := Trouble{Agent: agent}
		if len(q.alive()) == 0 && q.Executing == 0 {
			err = s.unstaffed(ctx, in, q, &x)
		} else {
			err = s.busy(ctx, in, &x)
		}
		if err != nil {
			return nil, err
		}
		if x.Kind != "" {
			all = append(all, x)
		}
		if len(all) == maxTroubles {
			break
		}
	}
	return all, nil
}

func (s *Service) unstaffed(ctx context.Context, in auth.Scope, q Queue, x *Trouble) (err error) {
	x.Waiting = reasonNobody
	if x.Count, x.More, err = s.countOf(ctx, in, Filter{Agent: x.Agent, Waiting: x.Waiting}); err != nil || x.Count == 0 {
		return err
	}
	x.Kind, x.Severe = TroubleNoWorker, true
	for _, w := range q.Workers {
		x.Since = max(x.Since, w.LastHeard)
	}
	seen := "none was ever seen"
	if x.Since != 0 {
		seen = "the last was heard at " + x.Since.Time().Format("15:04:05 UTC on 2 January")
	}
	x.Message = fmt.Sprintf("agent %s has no worker, and %s for one; %s", x.Agent, numbered(x.Count, x.More, "task waits", "tasks wait"), seen)
	x.Help = "start one: errand worker --agent " + x.Agent + " -- ./my-agent"
	return nil
}

// busy looks at how long the first of an agent's tasks waits for a free slot. The queue is
// the organization's: whoever does not see all of it is told nothing.
func (s *Service) busy(ctx context.Context, in auth.Scope, x *Trouble) error {
	if !in.Whole() {
		return nil
	}
	fronts, err := s.store.Fronts(ctx, in.Organization, []Lane{{Agent: x.Agent}}, ahead)
	if err != nil {
		return err
	}
	now := s.store.Now()
	for _, f := range fronts {
		if f.Ready > 0 && f.Oldest <= now.Add(-long) && (x.Since == 0 || f.Oldest < x.Since) {
			x.Since = f.Oldest
		}
		x.Count += f.Ready
	}
	if x.Since == 0 {
		return nil
	}
	x.Kind, x.Status, x.More = TroubleLongWait, []task.Status{task.Pending}, x.Count >= ahead
	x.Message = fmt.Sprintf("agent %s does not keep up: %s, the first for %d min", x.Agent, numbered(x.Count, x.More, "task waits", "tasks wait"), int(now.Sub(x.Since).Minutes()))
	x.Help = "give it more slots, or start another worker"
	return nil
}

// waitTrouble is about tasks that wait for something that does not come by itself.
func (s *Service) waitTrouble(ctx context.Context, in auth.Scope) ([]Trouble, error) {
	var all []Trouble
	for _, x := range []Trouble{
		{
			Kind: TroubleAbsentPin, Waiting: reasonPin, Message: "for a worker that is not there",
			Help: "start the worker that they are pinned to, or stop them",
		}, {
			Kind: TroubleBudget, Waiting: string(task.ForBudget), Message: "because a budget or a cap is used up",
			Help: "raise the budget or the cap, or stop them",
		},
	} {
		var err error
		if x.Count, x.More, err = s.countOf(ctx, in, Filter{Waiting: x.Waiting}); err != nil {
			return nil, err
		}
		if x.Count == 0 {
			continue
		}
		x.Message = numbered(x.Count, x.More, "task waits", "tasks wait") + " " + x.Message
		all = append(all, x)
	}
	return all, nil
}

// lostTrouble is about workers that lose attempts.
func (s *Service) lostTrouble(ctx context.Context, in auth.Scope) ([]Trouble, error) {
	lost, err := s.store.Lost(ctx, in.Organization, s.store.Now().Add(-lately))
	if err != nil {
		return nil, err
	}
	var all []Trouble
	for worker, n := range lost {
		if n >= manyLost {
			all = append(all, Trouble{
				Kind: TroubleLost, Worker: worker, Count: n,
				Message: fmt.Sprintf("worker %s has lost %d attempts in the last hour", worker, n),
				Help:    "look at its log; if it lives and pauses for long, raise lease_seconds of its agent",
			})
		}
	}
	slices.SortFunc(all, func(a, b Trouble) int { return cmp.Or(b.Count-a.Count, cmp.Compare(a.Worker, b.Worker)) })
	return all, nil
}

// failTrouble is about agents of which much has gone wrong.
func (s *Service) failTrouble(ctx context.Context, in auth.Scope) ([]Trouble, error) {
	now := s.store.Now()
	agents, err := s.statsBy(ctx, in, stats.Query{By: stats.ByAgent, From: now.Add(-lately), To: now + 1, Span: time.Minute})
	if err != nil {
		return nil, err
	}
	var all []Trouble
	for agent, c := range agents {
		ended, wrong := 0, 0
		for _, r := range task.EndReasons() {
			n := int(c.Ended(r))
			ended += n
			if status := r.Status(); status == task.Failed || status == task.Error {
				wrong += n
			}
		}
		if wrong >= manyWrong && wrong*oneIn >= ended {
			all = append(all, Trouble{
				Kind: TroubleFailing, Severe: wrong == ended, Agent: agent, Status: []task.Status{task.Failed, task.Error}, Count: wrong,
				Message: fmt.Sprintf("agent %s: %d of %d tasks that ended in the last hour went wrong", agent, wrong, ended),
				Help:    "read why at the newest of them",
			})
		}
	}
	slices.SortFunc(all, func(a, b Trouble) int { return cmp.Or(b.Count-a.Count, cmp.Compare(a.Agent, b.Agent)) })
	return all, nil
}

// countOf counts the tasks of a filter, whatever it waits for.
func (s *Service) countOf(ctx context.Context, in auth.Scope, f Filter) (int, bool, error) {
	if err := s.settle(ctx, in, &f); err != nil {
		return 0, false, err
	}
	return s.store.Count(ctx, in, f)
}

// numbered is a number of things.
func numbered(n int, more bool, one, several string) string {
	switch {
	case more:
		return fmt.Sprintf("more than %d %s", n, several)
	case n == 1:
		return "1 " + one
	default:
		return fmt.Sprintf("%d %s", n, several)
	}
}
