package lifecycle

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/task"
)

// absence is after which silence a worker that claims is not there any more: longer
// than a claim may wait.
const absence = 90 * time.Second

// Present is a worker as people look at it.
type Present struct {
	ID     string
	Agents []string
	Kind   WorkerKind
	// Node has its stream, and Address is where it is, of a Python worker.
	Node, Address string
	// Slots are how many tasks it can have, as far as that is known; 0 for not.
	Slots     int
	Connected bool
	// Busy says that it takes nothing more.
	Busy             bool
	Since, LastHeard task.Stamp
	// Tasks are those in its hands, the first MaxPresentTasks of them, of which AtWork counts all.
	Tasks  []string
	AtWork int
	// Lost counts the attempts that it has lost in the last 24 hours.
	Lost int
}

// MaxPresentTasks is how many tasks of a worker are named.
const MaxPresentTasks = 20

// Workers lists those that take the tasks of an agent, or with "" of any: by their ids.
// One that was not heard for a day is forgotten. They are the organization's; of their
// tasks those in the scope are named.
func (s *Service) Workers(ctx context.Context, in auth.Scope, agent string) ([]Present, error) {
	known, err := s.store.Workers(ctx, in.Organization, agent)
	if err != nil {
		return nil, err
	}
	hands, err := s.store.InHand(ctx, in)
	if err != nil {
		return nil, err
	}
	nodes, err := s.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	now := s.store.Now()
	lost, err := s.store.Lost(ctx, in.Organization, now.Add(-24*time.Hour))
	if err != nil {
		return nil, err
	}
	slices.SortFunc(known, func(a, b Worker) int {
		return 2*strings.Compare(a.ID, b.ID) + strings.Compare(a.Agent, b.Agent)
	})
	found := []Present{}
	for _, w := range known {
		if last := len(found) - 1; last < 0 || found[last].ID != w.ID {
			hands := hands[w.ID]
			found = append(found, Present{
				ID: w.ID, Kind: w.Kind, Since: w.RegisteredAt, Lost: lost[w.ID], AtWork: hands.AtWork,
				Tasks: append([]string{}, hands.Tasks[:min(len(hands.Tasks), MaxPresentTasks)]...),
			})
		}
		p := &found[len(found)-1]
		p.Agents = append(p.Agents, w.Agent)
		p.Since, p.LastHeard, p.Slots = min(p.Since, w.RegisteredAt), max(p.LastHeard, w.LastHeard), max(p.Slots, w.Slots)
		if w.Kind == PythonWorker {
			p.Node, p.Address, p.Connected, p.Slots = w.Node, w.Address, w.Connected, MaxOutstanding
			p.Busy = w.Busy || w.Barred || p.AtWork >= MaxOutstanding
			continue
		}
		node := func(n Node) bool { return n.ID == p.ID } // it claims only when there is something
		p.Connected = p.Connected || p.AtWork > 0 || !w.left() && now.Sub(w.LastHeard) < absence || slices.ContainsFunc(nodes, node)
		p.Busy = p.Slots > 0 && p.AtWork >= p.Slots
	}
	return found, nil
}

// Nodes lists the servers of this database, by their names. One that was silent for so
// long that others do its work is forgotten. This one is heard now: while it is alone and
// idle it writes nothing.
func (s *Service) Nodes(ctx context.Context) ([]Node, error) {
	nodes, err := s.store.Nodes(ctx)
	for i := range nodes {
		if nodes[i].ID == s.node {
			nodes[i].Heard = s.store.Now()
		}
	}
	return nodes, err
}

// ApprovalsSince lists, of a task in the scope, what its events from a number on ask or
// answer, and what is closed, the newest first: at most limit, or fewer when they are
// long.
func (s *Service) ApprovalsSince(ctx context.Context, in auth.Scope, id string, from int64, limit int) ([]task.Approval, error) {
	t, err := s.Task(ctx, in, id)
	if err != nil {
		return nil, err
	}
	return s.store.ApprovalsSince(ctx, t.OrganizationID, t.ID, from, limit)
}
