package lifecycle

import (
	"context"
	"errors"
	"fmt"

	"github.com/errand-dev/errand/internal/fault"
	"github.com/errand-dev/errand/internal/task"
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
			errs = append(errs, s.sweep(ctx, org, id))
		}
		swept += len(due)
	}
	return swept, errors.Join(errs...)
}

// sweep lets the deadlines of one task pass.
func (s *Service) sweep(ctx context.Context, org, id string) error {
	err := s.store.Write(ctx, func(tx Tx) error {
		t, err := tx.Task(org, id)
		if err != nil {
			return err
		}
		if run := t.Run; run.Live() && run.LeaseUntil != 0 && run.LeaseUntil <= tx.Now() {
			lapsed := !run.Started() && !run.Fenced
			changed, err := apply(tx, t, task.Lose{Reason: "the lease ran out"})
			if err != nil {
				return err
			}
			if lapsed {
				if err := hold(tx, t, run.WorkerID); err != nil {
					return err
				}
			}
			t = changed.Task
		}
		_, err = apply(tx, t, task.Tick{})
		return err
	})
	if fault.CodeOf(err) == fault.NotFound { // deleted meanwhile
		return nil
	}
	return err
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
// time in which no worker could reach a server (rule L2).
func (s *Service) RenewLeases(ctx context.Context) error {
	return s.store.Write(ctx, func(tx Tx) error { return tx.RenewAll() })
}

// DisconnectAll notes after a start that no worker's stream is open yet.
func (s *Service) DisconnectAll(ctx context.Context) error {
	return s.store.Write(ctx, func(tx Tx) error { return tx.DisconnectAll() })
}

// Forget drops what is kept for a day only.
func (s *Service) Forget(ctx context.Context) error {
	return s.store.Write(ctx, func(tx Tx) error { return tx.Forget(tx.Now().Add(-KeepReplays)) })
}
