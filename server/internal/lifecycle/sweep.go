package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/task"
)

const (
	// sweepLook is how many tasks one look at an organization takes up, sweepBatch
	// how many of them one commit: few enough that others get their turn at the
	// writer in between. sweepCommits is how many of these are under way at once.
	sweepLook    = 1000
	sweepBatch   = 25
	sweepCommits = 4
	// followBatch is how many tasks one commit lets follow the clock.
	followBatch = 200
	// forgetBatch is how many rows one commit of Forget looks at.
	forgetBatch = 200
	// maxGap is how long all nodes may be silent before every lease gets its full
	// length again: so long could nobody reach a server (L2). A shorter silence puts
	// off the sweeps (MaxQuiet): on a busy machine there may be one every few seconds,
	// and leases that each renewed would never run out.
	maxGap = 10 * time.Second
	// MaxQuiet is how far apart the beats of a node may be before its leases get the
	// time in between once more (L2).
	MaxQuiet = 2 * time.Second
	// SilentNode is how long a node may be silent before its workers' streams are
	// taken for closed, and before another node sweeps in its place.
	SilentNode = 3 * time.Second
	// BeatStep is how exactly it is known when a node was last there.
	BeatStep = time.Second
)

// Beat says that this node is there: several times a second, as long as it is. It
// finds out whether no node was, after which every lease has its full length
// again; cuts off the workers of nodes that have fallen silent; and reports
// whether it is this node's turn to sweep.
//
// renew says that for all this node knows no server could be reached until now.
func (s *Service) Beat(ctx context.Context, renew bool) (Pulse, error) {
	var p Pulse
	var nodes []Node
	calm := func(r Roll) bool {
		if renew || !r.calm(s.node) {
			return false
		}
		nodes, p = r.Nodes, Pulse{AsOf: r.Now, Renewed: r.Alive.Renewed, Silence: r.Now.Sub(r.Alive.Heard), Sweeps: r.Alive.Sweeper == s.node}
		return true
	}
	beat := func(ctx context.Context, _ []Key, fn func(Tx) error) error {
		return s.store.Beat(ctx, s.node, calm, fn)
	}
	err := s.writeBy(ctx, beat, s.node, nil, func(tx writing) error {
		before, err := tx.Alive()
		if err != nil {
			return err
		}
		p = Pulse{AsOf: tx.Now(), Renewed: before.Renewed}
		if before.Heard > 0 {
			p.Silence = p.AsOf.Sub(before.Heard)
		}
		if s.node == DefaultNode && before.Sweeper == s.node && !renew { // no other node asks
			if leased, err := tx.Leased(); err != nil || !leased {
				p.Sweeps = true
				return err
			}
		}
		if nodes, err = tx.Nodes(); err != nil {
			return err
		}
		now, others := p.AsOf, false
		mine := Node{ID: s.node}
		heard := func(at task.Stamp) bool { return awake(at, now) }
		for _, n := range nodes {
			switch {
			case n.ID == s.node:
				mine = n
			case heard(n.Heard):
				others = true
			default:
				since := n.Heard // its streams were cut then, and not when that was noticed
				if now.Sub(since) > maxGap || since > now {
					since = now
				}
				if err := cutOffAll(tx, n.ID, since); err != nil {
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
		sweeps := slices.ContainsFunc(nodes, func(n Node) bool { return n.ID == before.Sweeper && heard(n.Heard) })
		if !sweeps {
			alive.Sweeper = s.node
		}
		p.Sweeps, p.Renewed = alive.Sweeper == s.node, alive.Renewed
		if alive != before || now.Sub(before.Heard) >= BeatStep {
			alive.Heard = now
			if err := tx.PutAlive(alive); err != nil {
				return err
			}
		}
		if since := now.Sub(mine.Heard); since >= BeatStep || since < 0 {
			mine.Heard = now
			return tx.PutNode(mine)
		}
		return nil
	})
	if err == nil {
		s.answers.hear(nodes, p.AsOf)
	}
	return p, err
}

// awake reports whether who was last heard at a moment has not fallen silent. 0 is long ago.
func awake(at, now task.Stamp) bool { return at <= now && now.Sub(at) < SilentNode }

// calm reports whether there is nothing to decide for a node: it and all others were heard
// of late, and one of them sweeps.
func (r Roll) calm(node string) bool {
	here, sweeper := false, false
	for _, n := range r.Nodes {
		if !awake(n.Heard, r.Now) {
			return false
		}
		here, sweeper = here || n.ID == node, sweeper || n.ID == r.Alive.Sweeper
	}
	return here && sweeper && awake(r.Alive.Heard, r.Now)
}

// Pulse is what a beat has found out.
type Pulse struct {
	// AsOf is the moment of the beat: what it does not know of has not passed.
	AsOf task.Stamp
	// Renewed is when a server could be reached again after the last time in which
	// none could, as in Alive.
	Renewed task.Stamp
	// Silence is how long no node was heard until this beat, by the clock, to the second;
	// 0 when none ever was.
	Silence time.Duration
	// Sweeps says that it is this node's turn to sweep.
	Sweeps bool
}

// Sweep carries out what deadlines demand that passed until a beat: lost leases,
// time-outs, expiries, stops that nobody answers. A lease that runs out while this
// waits for the store, or while the server stands still, has not: for all we know
// nobody could reach the store meanwhile (L2).
//
// It is one round: of each organization so many tasks, in many small commits, so
// that neither one that has very many nor the sweep holds up anybody else. more says
// that another round would find more.
func (s *Service) Sweep(ctx context.Context, p Pulse) (more bool, err error) {
	found, err := s.Dues(ctx, p)
	if err != nil {
		return false, err
	}
	var errs []error
	var swept []*portion
	for _, org := range found.Passed {
		due, err := s.store.Due(ctx, org, p.AsOf, p.Renewed, sweepLook)
		errs = append(errs, err)
		for ids := range slices.Chunk(due, sweepBatch) {
			swept = append(swept, &portion{org: org, ids: ids, last: len(due) >= sweepLook})
		}
	}
	var under sync.WaitGroup
	room := make(chan struct{}, sweepCommits)
	for _, x := range swept {
		room <- struct{}{}
		under.Go(func() {
			defer func() { <-room }()
			x.changed, x.err = s.sweep(ctx, p, x.org, x.ids)
		})
	}
	under.Wait()
	for _, x := range swept {
		errs = append(errs, x.err)
		more = more || x.last && x.changed // what cannot be carried out is left for the next beat
	}
	return more, errors.Join(errs...)
}

// Dues tells what there is to do, as of a beat, for the node that sweeps.
func (s *Service) Dues(ctx context.Context, p Pulse) (Dues, error) {
	return s.store.Dues(ctx, p.AsOf, p.Renewed)
}

// portion is what one commit of a sweep carries out.
type portion struct {
	org  string
	ids  []string
	last bool // of an organization that may have more
	// changed says that something was carried out.
	changed bool
	err     error
}

// sweep lets the deadlines of some tasks pass, in one commit; if that fails, of each
// alone, so that no task waits for what is wrong with another. It reports whether
// anything has changed.
func (s *Service) sweep(ctx context.Context, p Pulse, org string, ids []string) (changed bool, err error) {
	about := make([]Key, len(ids))
	for i, id := range ids {
		about[i] = Key{TaskKey, org, id}
	}
	err = s.write(ctx, s.node, about, func(tx writing) error {
		changed = false
		for _, id := range ids {
			did, err := sweepOne(tx, p, org, id)
			if err != nil {
				return fmt.Errorf("task %s: %w", id, err)
			}
			changed = changed || did
		}
		return nil
	})
	if err == nil || len(ids) == 1 || ctx.Err() != nil || fault.CodeOf(err) == fault.Unavailable {
		return changed && err == nil, err
	}
	var errs []error
	for i := range ids {
		did, err := s.sweep(ctx, p, org, ids[i:i+1])
		changed, errs = changed || did, append(errs, err)
	}
	return changed, errors.Join(errs...)
}

// sweepOne lets the deadlines of one task pass.
func sweepOne(tx writing, p Pulse, org, id string) (changed bool, err error) {
	lapsed := func(a task.Attempt) bool { return a.Lapsed(p.AsOf, p.Renewed) }
	t, err := tx.Task(org, id)
	if fault.CodeOf(err) == fault.NotFound { // deleted: a Python worker may still have run it
		return true, letGoRemnants(tx.Tx, org, id, lapsed)
	}
	if err != nil {
		return false, err
	}
	for _, a := range []*task.Attempt{t.Earlier, t.Run} {
		if a == nil || !lapsed(*a) {
			continue
		}
		after, err := apply(tx, t, task.Lose{Number: a.Number, Reason: "the lease ran out"})
		if err != nil {
			return false, err
		}
		changed = changed || !after.Empty()
		if t = after.Task; !a.Started() && !a.Fenced {
			if err := bar(tx.Tx, t, a.WorkerID); err != nil {
				return false, err
			}
		}
	}
	t, expired, err := expire(tx, t, p.AsOf)
	if err != nil {
		return false, err
	}
	changed = changed || expired
	after, err := apply(tx, t, task.Tick{Renewed: p.Renewed})
	return changed || !after.Empty(), err
}

// bar keeps new tasks from a worker that let an assignment lapse (L4).
func bar(tx Tx, t task.Task, worker string) error {
	w, err := tx.Worker(t.OrganizationID, t.AgentID, worker)
	if err != nil || w == nil || w.Kind != PythonWorker {
		return err
	}
	w.Barred = true
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
		for chunk := range slices.Chunk(ids, followBatch) {
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
	return s.write(ctx, s.node, nil, func(tx writing) error { return cutOffAll(tx, s.node, tx.Now()) })
}

// Leave notes that the node ends: nobody has to wait for its silence.
func (s *Service) Leave(ctx context.Context) error {
	return s.write(ctx, s.node, nil, func(tx writing) error {
		if err := cutOffAll(tx, s.node, tx.Now()); err != nil {
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

// cutOffAll cuts off the Python workers of a node, whose streams are cut since a moment.
// Those that were heard shortly before the last of them was may have an heir for a while
// after it (L5).
func cutOffAll(tx writing, node string, since task.Stamp) error {
	known, err := tx.OfNode(node)
	if err != nil {
		return err
	}
	last := task.Stamp(0)
	for _, w := range known {
		last = max(last, w.LastHeard)
	}
	for _, w := range known {
		heirUntil := task.Stamp(0)
		if w.LastHeard >= last.Add(-heirWithin) {
			heirUntil = since.Add(HeirsAfterStart)
		}
		if err := disconnect(tx, w, heirUntil); err != nil {
			return err
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
