package sqlite

import (
	"context"
	"encoding/json"
	"fmt"
	"sort"
	"time"

	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
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
			SELECT task FROM attempts WHERE org = ? AND let_go_at = 0 AND lease_until > 0 AND lease_until <= ? LIMIT ?)`,
		org, now, limit, org, now, limit)
}

// RenewAll implements lifecycle.Tx.
func (t *tx) RenewAll() error {
	now := t.Now()
	if err := t.execAll(`UPDATE attempts SET lease_until = CASE WHEN ended_at = 0 THEN ? + lease_us ELSE min(? + lease_us, give_up_at) END
		WHERE let_go_at = 0 AND lease_until > 0`, now, now); err != nil {
		return err
	}
	// The answer to a stop is awaited for one lease, too.
	return t.execAll(`UPDATE tasks SET (stop_until, alarm_at) = (
			SELECT ? + a.lease_us, ? + a.lease_us FROM attempts a
			WHERE a.org = tasks.org AND a.task = tasks.id AND a.number = tasks.execution_attempts)
		WHERE alarm_at > 0 AND ended = 'stopped' AND stop_until > 0
			AND stop_confirmed_at = 0 AND stop_abandoned_at = 0`, now, now)
}

// FollowClock implements lifecycle.Tx.
func (t *tx) FollowClock(jump time.Duration) error {
	now := t.Now()
	// No time-out is further away than its whole length, no retry than its whole
	// backoff: that holds for what was written since the jump, too.
	if err := t.execAll(`UPDATE tasks SET (timeout_at, alarm_at) = (
			SELECT until, until FROM (SELECT min(timeout_at + ?, ? + CAST(CASE WHEN timeout > 0 THEN timeout ELSE ? END * 1000000 AS INTEGER)) AS until))
		WHERE alarm_at > 0 AND ended = '' AND status = 'executing' AND timeout_at > 0`,
		max(jump, 0).Microseconds(), now, task.UnfencedTimeout.Seconds()); err != nil {
		return err
	}
	return t.execAll(`UPDATE tasks SET ready_at = max(run_at, min(ready_at + ?,
			? + CASE starts WHEN 0 THEN 0 ELSE min(? << min(starts - 1, 20), ?) END))
		WHERE queued = 1 AND ready_at > ? AND run_at < ready_at`,
		min(jump, 0).Microseconds(), now, task.FirstBackoff.Microseconds(), task.MaxBackoff.Microseconds(), now)
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
	return t.exec(`UPDATE attempts INDEXED BY attempts_worker SET lease_until = CASE WHEN ended_at = 0 THEN ? ELSE min(?, give_up_at) END
		WHERE org = ? AND worker_id = ? AND fenced = 0 AND let_go_at = 0
		AND started_at > 0 AND lease_until > 0 AND lease_until < ?`, until, until, org, worker, until)
}

// Untold implements lifecycle.Tx.
func (t *tx) Untold(org, worker string) ([]lifecycle.Sent, error) {
	var found []lifecycle.Sent
	err := each(background(), t, `SELECT task, number, sent_after FROM attempts INDEXED BY attempts_untold
		WHERE org = ? AND worker_id = ? AND reported = 0 ORDER BY sent_after, task, number`, []any{org, worker}, func(rows rowScanner) error {
		var x lifecycle.Sent
		if err := rows.Scan(&x.Task, &x.Number, &x.After); err != nil {
			return err
		}
		found = append(found, x)
		return nil
	})
	return found, err
}

// Remnants implements lifecycle.Tx.
func (t *tx) Remnants(org, id string) ([]task.Attempt, error) {
	return readAttempts(background(), t, "fenced = 0 AND (let_go_at = 0 OR reported = 0)", org, id)
}

// PutRemnant implements lifecycle.Tx.
func (t *tx) PutRemnant(org, id string, a task.Attempt) error {
	if a.Reported && !a.Holds() {
		t.w.memory.drop(taskKey{org, id})
		return t.exec("DELETE FROM attempts WHERE org = ? AND task = ? AND number = ?", org, id, a.Number)
	}
	return t.PutAttempt(org, id, a)
}

// NotePost implements lifecycle.Tx.
func (t *tx) NotePost(org, worker, id string) (bool, error) {
	seen, err := t.ids(`SELECT id FROM worker_posts WHERE org = ? AND worker = ? AND id = ?`, org, worker, id)
	if err != nil || len(seen) > 0 {
		return false, err
	}
	return true, t.exec(`INSERT INTO worker_posts (org, worker, id, at) VALUES (?, ?, ?, ?)`, org, worker, id, t.Now())
}

// Worker implements lifecycle.Tx.
func (t *tx) Worker(org, agentID, id string) (*lifecycle.Worker, error) {
	found, err := readWorkers(background(), t, "org = ? AND id = ? AND agent = ?", org, id, agentID)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

// PythonWorker implements lifecycle.Tx.
func (t *tx) PythonWorker(org, id string) (*lifecycle.Worker, error) {
	found, err := readWorkers(background(), t, pythonByID, org, id)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

const pythonByID = "org = ? AND id = ? AND kind = 'python'"

// maxKin bounds how many registrations of one place are looked at. Each counts
// for a day; those that matter are the newest.
const maxKin = 500

func kinOf(ctx context.Context, q querier, w lifecycle.Worker) ([]lifecycle.Worker, error) {
	return readWorkers(ctx, q, "org = ? AND agent = ? AND key_id = ? AND address = ? AND kind = 'python' ORDER BY last_heard DESC LIMIT ?",
		w.Organization, w.Agent, w.KeyID, w.Address, maxKin)
}

// Kin implements lifecycle.Tx.
func (t *tx) Kin(w lifecycle.Worker) ([]lifecycle.Worker, error) { return kinOf(background(), t, w) }

// KinOf implements lifecycle.Store.
func (s *Store) KinOf(ctx context.Context, org, worker string) ([]lifecycle.Worker, error) {
	found, err := readWorkers(ctx, s, pythonByID, org, worker)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return kinOf(ctx, s, found[0])
}

// Connected implements lifecycle.Tx.
func (t *tx) Connected() ([]lifecycle.Worker, error) {
	return readWorkers(background(), t, "connected = 1")
}

func readWorkers(ctx context.Context, q querier, where string, args ...any) ([]lifecycle.Worker, error) {
	var found []lifecycle.Worker
	err := each(ctx, q, `SELECT org, agent, id, kind, registered_at, last_heard, connected, busy, held,
		key_id, address, last_beat, cut_at, heir_until, owner_in, heir_of, tally FROM workers WHERE `+where,
		args, func(rows rowScanner) error {
			var w lifecycle.Worker
			var tally string
			if err := rows.Scan(&w.Organization, &w.Agent, &w.ID, &w.Kind, &w.RegisteredAt, &w.LastHeard,
				&w.Connected, &w.Busy, &w.Held, &w.KeyID, &w.Address, &w.LastBeat, &w.CutAt, &w.HeirUntil, &w.OwnerIn, &w.HeirOf, &tally); err != nil {
				return err
			}
			found = append(found, w)
			return json.Unmarshal([]byte(tally), &found[len(found)-1].Tally)
		})
	return found, err
}

// PutWorker implements lifecycle.Tx.
func (t *tx) PutWorker(w lifecycle.Worker) error {
	tally, err := json.Marshal(w.Tally)
	if err != nil {
		return fmt.Errorf("encode worker: %w", err)
	}
	return t.exec(`INSERT INTO workers (org, agent, id, kind, registered_at, last_heard, connected, busy, held,
			key_id, address, last_beat, cut_at, heir_until, owner_in, heir_of, tally)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (org, id, agent) DO UPDATE SET last_heard = excluded.last_heard,
			connected = excluded.connected, busy = excluded.busy, held = excluded.held,
			last_beat = excluded.last_beat, cut_at = excluded.cut_at, heir_until = excluded.heir_until,
			owner_in = excluded.owner_in, heir_of = excluded.heir_of, tally = excluded.tally`,
		w.Organization, w.Agent, w.ID, w.Kind, w.RegisteredAt, w.LastHeard, w.Connected, w.Busy, w.Held,
		w.KeyID, w.Address, w.LastBeat, w.CutAt, w.HeirUntil, w.OwnerIn, w.HeirOf, string(tally))
}

// DisconnectAll implements lifecycle.Tx.
func (t *tx) DisconnectAll(within time.Duration, heirs task.Stamp) error {
	return t.exec(`UPDATE workers SET connected = 0, cut_at = ?, heir_until = CASE
			WHEN last_heard >= (SELECT max(last_heard) FROM workers WHERE kind = 'python') - ? THEN ? ELSE 0 END
		WHERE kind = 'python' AND (connected = 1 OR heir_until > 0)`, t.Now(), within.Microseconds(), heirs)
}

// holders reads which workers hold an attempt. It looks through the leases that
// run, which are no more than there are tasks executing.
func holders(ctx context.Context, q querier, org string, now task.Stamp) (map[string]bool, error) {
	found := map[string]bool{}
	err := each(ctx, q, `SELECT worker_id FROM attempts INDEXED BY attempts_lease
		WHERE org = ? AND let_go_at = 0 AND lease_until > 0 AND lease_until > ?`, []any{org, now}, func(rows rowScanner) error {
		var id string
		err := rows.Scan(&id)
		found[id] = true
		return err
	})
	return found, err
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
	if found.Holders, err = holders(ctx, s, org, task.StampOf(s.opts.Now())); err != nil {
		return found, err
	}
	if t.Status() == task.Paused { // then its end is near in the log
		_, err = one(ctx, s, `SELECT json_extract(own, '$.by') FROM events WHERE org = ? AND task = ? AND type = 'paused'
			ORDER BY seq DESC LIMIT 1`, []any{org, id}, &found.PausedBy)
	}
	return found, err
}
