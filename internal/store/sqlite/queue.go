package sqlite

import (
	"context"
	"sort"

	"github.com/errand-dev/errand/internal/lifecycle"
	"github.com/errand-dev/errand/internal/task"
)

// waiting is a queued task as the queue's index shows it.
type waiting struct {
	id       string
	priority int
	readyAt  task.Stamp
}

// head reads the front of an agent's queue: the tasks of one pin ("" for
// none), by priority, then oldest, that are ready now. It goes from one level
// of priority to the next, so that tasks scheduled for later, however many,
// are never walked through.
func head(ctx context.Context, q querier, w lifecycle.Want, pin string, now task.Stamp) ([]waiting, error) {
	var found []waiting
	for level := task.MaxPriority + 1; len(found) < w.Limit; {
		var top int
		ok, err := one(ctx, q, `SELECT priority FROM tasks INDEXED BY tasks_queue
			WHERE org = ? AND agent_id = ? AND pin = ? AND queued = 1 AND priority < ?
			ORDER BY priority DESC LIMIT 1`, []any{w.Organization, w.Agent, pin, level}, &top)
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
		level = top
		err = each(ctx, q, `SELECT id, priority, ready_at FROM tasks INDEXED BY tasks_queue
			WHERE org = ? AND agent_id = ? AND pin = ? AND queued = 1 AND priority = ? AND ready_at <= ?
			ORDER BY ready_at, id LIMIT ?`,
			[]any{w.Organization, w.Agent, pin, level, now, w.Limit - len(found)}, func(rows rowScanner) error {
				var x waiting
				if err := rows.Scan(&x.id, &x.priority, &x.readyAt); err != nil {
					return err
				}
				found = append(found, x)
				return nil
			})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// next merges the common queue with that of the tasks pinned to the worker.
func next(ctx context.Context, q querier, w lifecycle.Want, now task.Stamp) ([]string, error) {
	found, err := head(ctx, q, w, "", now)
	if err != nil {
		return nil, err
	}
	if w.Worker != "" {
		pinned, err := head(ctx, q, w, w.Worker, now)
		if err != nil {
			return nil, err
		}
		found = append(found, pinned...)
		sort.SliceStable(found, func(i, j int) bool {
			if found[i].priority != found[j].priority {
				return found[i].priority > found[j].priority
			}
			return found[i].readyAt < found[j].readyAt
		})
	}
	ids := make([]string, 0, w.Limit)
	for _, x := range found[:min(len(found), w.Limit)] {
		ids = append(ids, x.id)
	}
	return ids, nil
}

// Next implements lifecycle.Tx.
func (t *tx) Next(w lifecycle.Want) ([]string, error) { return next(background(), t, w, t.Now()) }

// Queued implements lifecycle.Tx.
func (t *tx) Queued(org, agentID string, limit int) (int, error) {
	var n int
	_, err := one(background(), t, `SELECT count(*) FROM (SELECT 1 FROM tasks INDEXED BY tasks_queue
		WHERE org = ? AND agent_id = ? AND queued = 1 LIMIT ?)`, []any{org, agentID, limit}, &n)
	return n, err
}

// Now implements lifecycle.Store.
func (s *Store) Now() task.Stamp { return task.StampOf(s.opts.Now()) }

// Ready implements lifecycle.Store.
func (s *Store) Ready(ctx context.Context, w lifecycle.Want) (bool, error) {
	w.Limit = 1
	ids, err := next(ctx, s, w, task.StampOf(s.opts.Now()))
	return len(ids) > 0, err
}

// Due implements lifecycle.Tx.
func (t *tx) Due(org string, limit int) ([]string, error) {
	now := t.Now()
	return t.ids(`SELECT id FROM (
			SELECT id FROM tasks WHERE org = ? AND alarm_at > 0 AND alarm_at <= ? LIMIT ?)
		UNION SELECT task FROM (
			SELECT task FROM attempts WHERE org = ? AND ended_at = 0 AND lease_until > 0 AND lease_until <= ? LIMIT ?)`,
		org, now, limit, org, now, limit)
}

// RenewAll implements lifecycle.Tx.
func (t *tx) RenewAll() error {
	now := t.Now()
	if err := t.exec(`UPDATE attempts SET lease_until = ? + lease_us WHERE ended_at = 0 AND lease_until > 0`, now); err != nil {
		return err
	}
	// The answer to a stop is awaited for one lease, too.
	return t.exec(`UPDATE tasks SET (stop_until, alarm_at) = (
			SELECT ? + a.lease_us, ? + a.lease_us FROM attempts a
			WHERE a.org = tasks.org AND a.task = tasks.id AND a.number = tasks.execution_attempts)
		WHERE alarm_at > 0 AND ended = 'stopped' AND stop_until > 0
			AND stop_confirmed_at = 0 AND stop_abandoned_at = 0`, now, now)
}

// Outstanding implements lifecycle.Tx.
func (t *tx) Outstanding(org, worker string) (int, error) {
	var n int
	_, err := one(background(), t, `SELECT count(*) FROM attempts INDEXED BY attempts_worker WHERE org = ? AND worker_id = ? AND fenced = 0 AND let_go_at = 0`,
		[]any{org, worker}, &n)
	return n, err
}

// Unstarted implements lifecycle.Tx.
func (t *tx) Unstarted(org, worker string) ([]string, error) {
	return t.ids(`SELECT task FROM attempts INDEXED BY attempts_worker WHERE org = ? AND worker_id = ? AND fenced = 0 AND let_go_at = 0
		AND ended_at = 0 AND started_at = 0`, org, worker)
}

// RenewWorker implements lifecycle.Tx.
func (t *tx) RenewWorker(org, worker string, until task.Stamp) error {
	return t.exec(`UPDATE attempts INDEXED BY attempts_worker SET lease_until = ? WHERE org = ? AND worker_id = ? AND fenced = 0 AND let_go_at = 0
		AND ended_at = 0 AND started_at > 0 AND lease_until > 0 AND lease_until < ?`, until, org, worker, until)
}

// Worker implements lifecycle.Tx.
func (t *tx) Worker(org, agentID, id string) (*lifecycle.Worker, error) {
	found, err := readWorkers(background(), t, "org = ? AND id = ? AND agent = ?", org, id, agentID)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

func readWorkers(ctx context.Context, q querier, where string, args ...any) ([]lifecycle.Worker, error) {
	var found []lifecycle.Worker
	err := each(ctx, q, `SELECT org, agent, id, kind, registered_at, last_heard, connected, busy, held FROM workers WHERE `+where,
		args, func(rows rowScanner) error {
			var w lifecycle.Worker
			if err := rows.Scan(&w.Organization, &w.Agent, &w.ID, &w.Kind, &w.RegisteredAt, &w.LastHeard,
				&w.Connected, &w.Busy, &w.Held); err != nil {
				return err
			}
			found = append(found, w)
			return nil
		})
	return found, err
}

// PutWorker implements lifecycle.Tx.
func (t *tx) PutWorker(w lifecycle.Worker) error {
	return t.exec(`INSERT INTO workers (org, agent, id, kind, registered_at, last_heard, connected, busy, held)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (org, id, agent) DO UPDATE SET last_heard = excluded.last_heard,
			connected = excluded.connected, busy = excluded.busy, held = excluded.held`,
		w.Organization, w.Agent, w.ID, w.Kind, w.RegisteredAt, w.LastHeard, w.Connected, w.Busy, w.Held)
}

// DisconnectAll implements lifecycle.Tx.
func (t *tx) DisconnectAll() error {
	return t.exec(`UPDATE workers SET connected = 0 WHERE connected = 1`)
}

// holds reports whether a worker holds an attempt. It looks through the leases
// that run, which are no more than there are tasks executing.
func holds(ctx context.Context, q querier, org, worker string, now task.Stamp) (bool, error) {
	var n int
	return one(ctx, q, `SELECT 1 FROM attempts INDEXED BY attempts_lease
		WHERE org = ? AND ended_at = 0 AND lease_until > 0 AND lease_until > ? AND worker_id = ? LIMIT 1`,
		[]any{org, now, worker}, &n)
}

// Waiting implements lifecycle.Store.
func (s *Store) Waiting(ctx context.Context, org, id string) (lifecycle.Queue, error) {
	var found lifecycle.Queue
	t, _, err := readTask(ctx, s, org, id, nil)
	if err != nil {
		return found, err
	}
	pin := ""
	if t.Terms.PinnedWorkerID != nil {
		pin = *t.Terms.PinnedWorkerID
	}
	_, err = one(ctx, s, `SELECT count(*) FROM (SELECT 1 FROM tasks INDEXED BY tasks_queue
		WHERE org = ? AND agent_id = ? AND pin = ? AND queued = 1 AND priority >= ?
		AND (priority > ? OR ready_at < ? OR (ready_at = ? AND id < ?)) AND ready_at <= ? LIMIT 1000)`,
		[]any{
			org, t.AgentID, pin, t.State().Priority, t.State().Priority, t.ReadyAt, t.ReadyAt, id,
			task.StampOf(s.opts.Now()),
		}, &found.Ahead)
	if err != nil {
		return found, err
	}
	found.Workers, err = readWorkers(ctx, s, "org = ? AND agent = ? ORDER BY last_heard DESC LIMIT 100", org, t.AgentID)
	if err != nil {
		return found, err
	}
	_, err = one(ctx, s, `SELECT count(*) FROM tasks t INDEXED BY tasks_status
		JOIN attempts a ON a.org = t.org AND a.task = t.id AND a.number = t.execution_attempts AND a.ended_at = 0
		WHERE t.org = ? AND t.agent_id = ? AND t.status = 'executing'`,
		[]any{org, t.AgentID}, &found.Executing)
	if err != nil {
		return found, err
	}
	if pin != "" {
		if found.PinBusy, err = holds(ctx, s, org, pin, task.StampOf(s.opts.Now())); err != nil {
			return found, err
		}
	}
	_, err = one(ctx, s, `SELECT json_extract(own, '$.by') FROM events WHERE org = ? AND task = ? AND type = 'paused'
		ORDER BY seq DESC LIMIT 1`, []any{org, id}, &found.PausedBy)
	return found, err
}
