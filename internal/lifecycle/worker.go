package lifecycle

import (
	"context"

	"github.com/errand-dev/errand/internal/agent"
	"github.com/errand-dev/errand/internal/fault"
	"github.com/errand-dev/errand/internal/task"
)

// MaxOutstanding is how many tasks a Python worker may have at a time (L9).
const MaxOutstanding = 6

// Register notes a Python worker whose stream has opened, and creates its
// agent if it is unknown (A1). Each stream is a new worker.
func (s *Service) Register(ctx context.Context, org, agentID string) (Worker, error) {
	if err := CheckID("agent_id", agentID); err != nil {
		return Worker{}, err
	}
	w := Worker{Organization: org, Agent: agentID, ID: s.newID(), Kind: PythonWorker, Connected: true}
	err := s.store.Write(ctx, func(tx Tx) error {
		now := tx.Now()
		_, err := tx.Agent(org, agentID, 0)
		if fault.CodeOf(err) == fault.NotFound {
			err = tx.PutAgent(agent.Agent{
				OrganizationID: org, ID: agentID, Version: 1, CreatedAt: now, UpdatedAt: now,
				Record: agent.Record{Name: agentID, Runtime: agent.Worker},
			})
		}
		if err != nil {
			return err
		}
		w.RegisteredAt, w.LastHeard = now, now
		return tx.PutWorker(w)
	})
	return w, err
}

// Heard notes a sign of life and extends the worker's leases: they hold while
// its own stream is open or it was heard within a lease. An unknown worker is
// passed over quietly. A capacity update also tells whether it is busy.
func (s *Service) Heard(ctx context.Context, org, agentID, workerID string, busy *bool) error {
	return s.store.Write(ctx, func(tx Tx) error {
		w, err := tx.Worker(org, agentID, workerID)
		if err != nil || w == nil || w.Kind != PythonWorker {
			return err
		}
		if busy != nil {
			w.Busy = *busy
		}
		w.LastHeard = tx.Now()
		if err := tx.PutWorker(*w); err != nil {
			return err
		}
		a, err := tx.Agent(org, agentID, 0)
		if err != nil {
			return err
		}
		return tx.RenewWorker(org, workerID, w.LastHeard.Add(a.UnfencedLease()))
	})
}

// Disconnect notes that a Python worker's stream has ended. What it was given
// and has not started is queued again at once; a late start is refused.
func (s *Service) Disconnect(ctx context.Context, org, agentID, workerID string) error {
	return s.store.Write(ctx, func(tx Tx) error {
		w, err := tx.Worker(org, agentID, workerID)
		if err != nil || w == nil {
			return err
		}
		w.Connected = false
		if err := tx.PutWorker(*w); err != nil {
			return err
		}
		ids, err := tx.Unstarted(org, workerID)
		if err != nil {
			return err
		}
		for _, id := range ids {
			t, err := tx.Task(org, id)
			if err != nil {
				return err
			}
			if _, err := apply(tx, t, task.Lose{Reason: "its worker has disconnected"}); err != nil {
				return err
			}
		}
		return nil
	})
}

// Assign hands tasks to a Python worker, as many as it may have: at most six
// outstanding, none while it says that it is busy or is held (L4, L9).
func (s *Service) Assign(ctx context.Context, org, agentID, workerID string) ([]Snapshot, error) {
	var given []Snapshot
	err := s.store.Write(ctx, func(tx Tx) error {
		given = nil
		w, err := tx.Worker(org, agentID, workerID)
		if err != nil || w == nil || !w.Connected || w.Busy || w.Held {
			return err
		}
		out, err := tx.Outstanding(org, workerID)
		if err != nil || out >= MaxOutstanding {
			return err
		}
		a, err := tx.Agent(org, agentID, 0)
		if err != nil {
			return err
		}
		ids, err := tx.Next(Want{Organization: org, Agent: agentID, Worker: workerID, Limit: MaxOutstanding - out})
		if err != nil {
			return err
		}
		for _, id := range ids {
			before, err := tx.Snapshot(org, id)
			if err != nil {
				return err
			}
			changed, err := apply(tx, before.Task, task.Assign{Worker: workerID, Lease: a.UnfencedLease(), MayRetry: a.Record.RetryStarted})
			if err != nil {
				return err
			}
			given = append(given, Snapshot{Task: changed.Task, Spec: before.Spec})
		}
		return nil
	})
	return given, err
}
