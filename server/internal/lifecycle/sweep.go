package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/task"
)

const (
	// sweepBatch is how many tasks one look at an organization takes up.
	sweepBatch = 200
	// forgetBatch is how many rows one commit of Forget looks at.
	forgetBatch = 200
	// maxGap is how long all nodes may be silent before every lease gets its full
	// length again: so long could nobody reach a server (L2).
	maxGap = 2 * time.Second
	// silentNode is how long a node may be silent before its workers' streams are
	// taken for closed, and before another node sweeps in its place.
	silentNode = 3 * time.Second
	// beatStep is how exactly it is known when a node was last there.
	beatStep = time.Second
)

// Beat says that this node is there: several times a second, as long as it is. It
// finds out whether no node was, after which every lease has its full length
// again; cuts off the workers of nodes that have fallen silent; and reports
// whether it is this node's turn to sweep.
//
// renew says that for all this node knows no server could be reached until now.
// asOf is the moment of the beat: what it does not know of has not passed.
func (s *Service) Beat(ctx context.Context, renew bool) (asOf task.Stamp, sweeps bool, err error) {
	err = s.write(ctx, s.node, nil, func(tx writing) error {
		asOf = tx.Now()
		before, err := tx.Alive()
		if err != nil {
			return err
		}
		if s.node == DefaultNode && before.Sweeper == s.node && !renew { // no other node asks
			if leased, err := tx.Leased(); err != nil || !leased {
				sweeps = true
				return err
			}
		}
		nodes, err := tx.Nodes()
		if err != nil {
			return err
		}
		now, others := asOf, false
		mine := Node{ID: s.node}
		heard := func(at task.Stamp) bool { return at <= now && now.Sub(at) < silentNode } // 0 is long ago
		for _, n := range nodes {
			switch {
			case n.ID == s.node:
				mine = n
			case heard(n.Heard):
				others = true
			default:
				if err := cutOffAll(tx, n.ID); err != nil {
					return err
				}
				if err := tx.DropNode(n.ID); err != nil {
					return err
				}
			}
		}
		alive := before
		if gap := now.Sub(before.Heard); gap > maxGap || gap < 0 || renew && !others {
			if alive.Renewed = now; others {
				s.log.WarnContext(ctx, "no server could be reached: all leases are renewed", "for", gap)
			}
		}
		holder := slices.ContainsFunc(nodes, func(n Node) bool { return n.ID == before.Sweeper && heard(n.Heard) })
		if !holder {
			alive.Sweeper = s.node
		}
		if sweeps = alive.Sweeper == s.node; alive != before || now.Sub(before.Heard) >= beatStep {
			alive.Heard = now
			if err := tx.PutAlive(alive); err != nil {
				return err
			}
		}
		if since := now.Sub(mine.Heard); since >= beatStep || since < 0 {
			mine.Heard = now
			return tx.PutNode(mine)
		}
		return nil
	})
	return asOf, sweeps, err
}

// Sweep carries out what deadlines demand that passed until a beat: lost leases,
// time-outs, expiries, stops that nobody answers. A lease that runs out while this
// waits for the store, or while the server stands still, has not: for all we know
// nobody could reach the store meanwhile (L2). It reports how many tasks it looked at.
func (s *Service) Sweep(ctx context.Context, asOf task.Stamp) (int, error) {
	orgs, err := s.store.Organizations(ctx)
	if err != nil {
		return 0, fmt.Errorf("sweep: %w", err)
	}
	var alive Alive
	if err := s.store.Write(ctx, nil, func(tx Tx) (err error) {
		alive, err = tx.Alive()
		return err
	}); err != nil {
		return 0, fmt.Errorf("sweep: %w", err)
	}
	swept := 0
	var errs []error
	for _, org := range orgs {
		due, err := s.store.Due(ctx, org, asOf, alive.Renewed, sweepBatch)
		errs = append(errs, err)
		for _, id := range due {
			errs = append(errs, s.sweep(ctx, org, id, asOf, alive.Renewed))
		}
		swept += len(due)
	}
	return swept, errors.Join(errs...)
}

// sweep lets the deadlines of one task pass.
func (s *Service) sweep(ctx context.Context, org, id string, asOf, renewed task.Stamp) error {
	return s.write(ctx, s.node, aboutTask(org, id), func(tx writing) error {
		lapsed := func(a task.Attempt) bool { return a.Lapsed(asOf, renewed) }
		t, err := tx.Task(org, id)
		if fault.CodeOf(err) == fault.NotFound { // deleted: a Python worker may still have run it
			return letGoRemnants(tx.Tx, org, id, lapsed)
		}
		if err != nil {
			return err
		}
		for _, a := range []*task.Attempt{t.Holdover, t.Run} {
			if a == nil || !lapsed(*a) {
				continue
			}
			changed, err := apply(tx, t, task.Lose{Number: a.Number, Reason: "the lease ran out"})
			if err != nil {
				return err
			}
			if t = changed.Task; !a.Started() && !a.Fenced {
				if err := hold(tx.Tx, t, a.WorkerID); err != nil {
					return err
				}
			}
		}
		_, err = apply(tx, t, task.Tick{Renewed: renewed})
		return err
	})
}

// hold keeps new tasks from a worker that let an assignment lapse (L4).
func hold(tx Tx, t task.Task, worker string) error {
	w, err := tx.Worker(t.OrganizationID, t.AgentID, worker)
	if err != nil || w == nil || w.Kind != PythonWorker {
		return err
	}
	w.Held = true
	return tx.PutWorker(*w)
}

// FollowClock keeps what deadlines measure after the clock has jumped by some
// length; 0 mends what a jump has left that nobody saw.
func (s *Service) FollowClock(ctx context.Context, jump time.Duration) error {
	orgs, err := s.store.Organizations(ctx)
	if err != nil {
		return fmt.Errorf("follow the clock: %w", err)
	}
	for _, org := range orgs {
		ids, err := s.store.Ahead(ctx, org, s.store.Now())
		if err != nil {
			return err
		}
		for chunk := range slices.Chunk(ids, sweepBatch) {
			if err := s.followClock(ctx, org, chunk, jump); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Service) followClock(ctx context.Context, org string, ids []string, jump time.Duration) error {
	about := make([]Key, len(ids))
	for i, id := range ids {
		about[i] = Key{TaskKey, org, id}
	}
	return s.write(ctx, s.node, about, func(tx writing) error {
		for _, id := range ids {
			t, err := tx.Task(org, id)
			if fault.CodeOf(err) == fault.NotFound {
				continue
			}
			if err != nil {
				return err
			}
			if _, err := apply(tx, t, task.FollowClock{Jump: jump}); err != nil {
				return err
			}
		}
		return nil
	})
}

// Begin notes that the node has just started: none of its workers' streams is
// open. What was assigned and not started is queued again; for a while each
// registration may be the heir of a worker that the stop has cut off (L5).
func (s *Service) Begin(ctx context.Context) error {
	return s.write(ctx, s.node, nil, func(tx writing) error { return cutOffAll(tx, s.node) })
}

// Leave notes that the node ends: nobody has to wait for its silence.
func (s *Service) Leave(ctx context.Context) error {
	return s.write(ctx, s.node, nil, func(tx writing) error {
		if err := cutOffAll(tx, s.node); err != nil {
			return err
		}
		alive, err := tx.Alive()
		if err != nil {
			return err
		}
		if alive.Sweeper == s.node {
			alive.Sweeper = ""
			if err := tx.PutAlive(alive); err != nil {
				return err
			}
		}
		return tx.DropNode(s.node)
	})
}

// cutOffAll cuts off the Python workers of a node. Those that were heard shortly
// before the last of them was may have an heir for a while (L5).
func cutOffAll(tx writing, node string) error {
	known, err := tx.OfNode(node)
	if err != nil {
		return err
	}
	last := task.Stamp(0)
	for _, w := range known {
		last = max(last, w.LastHeard)
	}
	for _, w := range known {
		wasOpen := w.Connected
		w.Connected, w.CutAt, w.HeirUntil = false, tx.Now(), 0
		if w.LastHeard >= last.Add(-heirWithin) {
			w.HeirUntil = tx.Now().Add(HeirsAfterStart)
		}
		if err := tx.PutWorker(w); err != nil {
			return err
		}
		if wasOpen {
			if err := takeBack(tx, w.Organization, w.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// Forget drops what is kept for a day only.
func (s *Service) Forget(ctx context.Context) error {
	orgs, err := s.store.Organizations(ctx)
	if err != nil {
		return fmt.Errorf("forget: %w", err)
	}
	for _, org := range orgs {
		for more := true; more; {
			if err := s.store.Write(ctx, nil, func(tx Tx) (err error) {
				more, err = forget(tx, org, tx.Now().Add(-KeepReplays))
				return err
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

// forget drops a part of what is older, and reports whether there may be more.
func forget(tx Tx, org string, before task.Stamp) (more bool, err error) {
	if err := errors.Join(tx.DropReplays(org, before), tx.DropPosts(org, before)); err != nil {
		return false, err
	}
	left, err := tx.Orphans(org, before, forgetBatch)
	if err != nil {
		return false, err
	}
	dropped := 0
	for _, x := range left { // their workers count them for as long as they are there (L6)
		w, err := tx.PythonWorker(org, x.WorkerID)
		if err != nil {
			return false, err
		}
		if w == nil || !w.Connected {
			dropped++
			if err := tx.DropAttempt(org, x.Task, x.Number); err != nil {
				return false, err
			}
		}
	}
	absent, err := tx.Absent(org, before, forgetBatch)
	if err != nil {
		return false, err
	}
	for _, w := range absent {
		if err := tx.DropWorker(org, w.Agent, w.ID); err != nil {
			return false, err
		}
	}
	return dropped == forgetBatch || len(absent) == forgetBatch, nil
}
