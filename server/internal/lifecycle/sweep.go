package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/task"
)

// sweepBatch is how many tasks one look at an organization takes up.
const sweepBatch = 200

// Sweep carries out what deadlines demand: lost leases, time-outs, expiries,
// stops that nobody answers. It reports how many tasks it looked at.
func (s *Service) Sweep(ctx context.Context) (int, error) {
	orgs, err := s.store.Organizations(ctx)
	if err != nil {
		return 0, fmt.Errorf("sweep: %w", err)
	}
	// A lease that runs out while this waits for the store has not: for all we
	// know nobody could reach the store meanwhile (L2).
	asOf := s.store.Now()
	swept := 0
	var errs []error
	for _, org := range orgs {
		var due []string
		err := s.store.Write(ctx, func(tx Tx) error {
			var err error
			due, err = tx.Due(org, sweepBatch)
			return err
		})
		errs = append(errs, err)
		for _, id := range due {
			errs = append(errs, s.sweep(ctx, org, id, asOf))
		}
		swept += len(due)
	}
	return swept, errors.Join(errs...)
}

// sweep lets the deadlines of one task pass.
func (s *Service) sweep(ctx context.Context, org, id string, asOf task.Stamp) error {
	return s.store.Write(ctx, func(tx Tx) error {
		lapsed := func(a task.Attempt) bool { return a.Holds() && a.LeaseUntil != 0 && a.LeaseUntil <= asOf }
		t, err := tx.Task(org, id)
		if fault.CodeOf(err) == fault.NotFound { // deleted: a Python worker may still have run it
			return letGoRemnants(tx, org, id, lapsed)
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
				if err := hold(tx, t, a.WorkerID); err != nil {
					return err
				}
			}
		}
		_, err = apply(tx, t, task.Tick{})
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

// RenewLeases gives every live lease its full length from now: for after a
// time in which no worker could reach a server (rule L2), and after the clock
// has jumped by some length, if it has. What else measures a length of time
// then keeps it.
func (s *Service) RenewLeases(ctx context.Context, jump time.Duration) error {
	return s.store.Write(ctx, func(tx Tx) error { return errors.Join(tx.RenewAll(), tx.FollowClock(jump)) })
}

// DisconnectAll notes after a start that no worker's stream is open yet. What
// was assigned and not started is queued again; for a while each registration may
// be the heir of a worker that the stop has cut off (L5).
func (s *Service) DisconnectAll(ctx context.Context) error {
	return s.store.Write(ctx, func(tx Tx) error {
		open, err := tx.Connected()
		if err != nil {
			return err
		}
		if err := tx.DisconnectAll(heirWithin, tx.Now().Add(HeirsAfterStart)); err != nil {
			return err
		}
		for _, w := range open {
			if err := takeBack(tx, w.Organization, w.ID); err != nil {
				return err
			}
		}
		return nil
	})
}

// Forget drops what is kept for a day only.
func (s *Service) Forget(ctx context.Context) error {
	return s.store.Write(ctx, func(tx Tx) error { return tx.Forget(tx.Now().Add(-KeepReplays)) })
}
