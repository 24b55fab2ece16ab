package table

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/errand-dev/errand/server/internal/auth"
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
func head(ctx context.Context, db DB, w lifecycle.Want, pin string, now task.Stamp, lock string) ([]waiting, error) {
	var found []waiting
	for level := task.MaxPriority + 1; len(found) < w.Limit; {
		var top int
		ok, err := one(ctx, db, `SELECT priority FROM tasks INDEXED BY tasks_queue
			WHERE org = ? AND agent_id = ? AND pin = ? AND queued = 1 AND priority < ?
			ORDER BY priority DESC LIMIT 1`, []any{w.Organization, w.Agent, pin, level}, &top)
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
		level = top
		err = each(ctx, db, `SELECT id, priority, ready_at FROM tasks INDEXED BY tasks_queue
			WHERE org = ? AND agent_id = ? AND pin = ? AND queued = 1 AND priority = ? AND ready_at <= ?
			ORDER BY ready_at, id LIMIT ?`+lock,
			[]any{w.Organization, w.Agent, pin, level, int64(now), w.Limit - len(found)}, func(rows Rows) error {
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
func next(ctx context.Context, db DB, w lifecycle.Want, now task.Stamp, lock string) ([]string, error) {
	found, err := head(ctx, db, w, "", now, lock)
	if err != nil {
		return nil, err
	}
	if w.Worker != "" {
		pinned, err := head(ctx, db, w, w.Worker, now, lock)
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

// Next reads the ids of tasks that may be handed out now, and locks their rows;
// those that somebody else has locked are passed over.
func Next(ctx context.Context, db DB, w lifecycle.Want, now task.Stamp) ([]string, error) {
	return next(ctx, db, w, now, " FOR UPDATE SKIP LOCKED")
}

// Queued counts an agent's tasks that wait for a worker, at most limit.
func Queued(ctx context.Context, db DB, org, agentID string, limit int) (int, error) {
	return count(ctx, db, `SELECT count(*) FROM (SELECT 1 FROM tasks INDEXED BY tasks_queue
		WHERE org = ? AND agent_id = ? AND queued = 1 LIMIT ?) counted`, org, agentID, limit)
}

// HasOpenTask reports whether a task of the agent has not ended.
func HasOpenTask(ctx context.Context, db DB, org, agentID string) (bool, error) {
	return exists(ctx, db, "SELECT 1 FROM tasks INDEXED BY tasks_open WHERE org = ? AND agent_id = ? AND ended = '' LIMIT 1", org, agentID)
}

// Ready implements lifecycle.TaskReader.
func (r *Reader) Ready(ctx context.Context, w lifecycle.Want) (bool, error) {
	w.Limit = 1
	ids, err := next(ctx, r.DB, w, r.Clock(), "")
	return len(ids) > 0, err
}

// Due implements lifecycle.TaskReader.
func (r *Reader) Due(ctx context.Context, org string, now, renewed task.Stamp, limit int) ([]string, error) {
	alarms, err := texts(ctx, r.DB, "SELECT id FROM tasks WHERE org = ? AND alarm_at > 0 AND alarm_at <= ? ORDER BY alarm_at LIMIT ?", org, now, limit)
	if err != nil {
		return nil, fmt.Errorf("read deadlines: %w", err)
	}
	leases, err := texts(ctx, r.DB, `SELECT task FROM attempts INDEXED BY attempts_lease
		WHERE org = ? AND let_go_at = 0 AND lease_until > 0 AND lease_until <= ? AND lease_us <= ? ORDER BY lease_until LIMIT ?`,
		org, now, now.Sub(renewed).Microseconds(), limit)
	if err != nil {
		return nil, fmt.Errorf("read leases: %w", err)
	}
	due := slices.Concat(alarms, leases)
	slices.Sort(due)
	return slices.Compact(due), nil
}

// Ahead implements lifecycle.TaskReader.
func (r *Reader) Ahead(ctx context.Context, org string, now task.Stamp) ([]string, error) {
	found, err := texts(ctx, r.DB, "SELECT id FROM tasks INDEXED BY tasks_alarm WHERE org = ? AND alarm_at > 0 AND (status = 'executing' OR stop_until > 0)", org)
	if err != nil {
		return nil, fmt.Errorf("read what is timed: %w", err)
	}
	for _, query := range []string{
		"SELECT id FROM tasks INDEXED BY tasks_queue WHERE org = ? AND queued = 1 AND ready_at > ? AND run_at < ready_at",
		"SELECT task FROM attempts INDEXED BY attempts_lease WHERE org = ? AND let_go_at = 0 AND lease_until > 0 AND lease_until > ? + lease_us",
	} {
		ids, err := texts(ctx, r.DB, query, org, now)
		if err != nil {
			return nil, fmt.Errorf("read what lies ahead: %w", err)
		}
		found = append(found, ids...)
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}

// holders reads which workers hold an attempt. It looks through the leases that
// run, which are no more than there are tasks executing.
func holders(ctx context.Context, db DB, org string, now task.Stamp) (map[string]bool, error) {
	ids, err := texts(ctx, db, `SELECT worker_id FROM attempts INDEXED BY attempts_lease
		WHERE org = ? AND let_go_at = 0 AND lease_until > 0 AND lease_until > ?`, org, now)
	found := make(map[string]bool, len(ids))
	for _, id := range ids {
		found[id] = true
	}
	return found, err
}

// Waiting implements lifecycle.TaskReader.
func (r *Reader) Waiting(ctx context.Context, org, id string) (lifecycle.Queue, error) {
	var found lifecycle.Queue
	t, _, err := ReadTask(ctx, r.DB, auth.All(org), id, nil)
	if err != nil {
		return found, err
	}
	pin := ""
	if t.Terms.PinnedWorkerID != nil {
		pin = *t.Terms.PinnedWorkerID
	}
	now := r.Clock()
	state := t.State()
	found.Ahead, err = count(ctx, r.DB, `SELECT count(*) FROM (SELECT 1 FROM tasks INDEXED BY tasks_queue
		WHERE org = ? AND agent_id = ? AND pin = ? AND queued = 1 AND priority >= ?
		AND (priority > ? OR ready_at < ? OR (ready_at = ? AND id < ?)) AND ready_at <= ? LIMIT 1000) counted`,
		org, t.AgentID, pin, state.Priority, state.Priority, int64(t.ReadyAt), int64(t.ReadyAt), id, int64(now))
	if err != nil {
		return found, err
	}
	if found.Workers, err = readWorkers(ctx, r.DB, "org = ? AND agent = ? ORDER BY last_heard DESC LIMIT 100", org, t.AgentID); err != nil {
		return found, err
	}
	found.Executing, err = count(ctx, r.DB, `SELECT count(*) FROM tasks t INDEXED BY tasks_status
		JOIN attempts a ON a.org = t.org AND a.task = t.id AND a.number = t.execution_attempts AND a.ended_at = 0
		WHERE t.org = ? AND t.agent_id = ? AND t.status = 'executing'`, org, t.AgentID)
	if err != nil {
		return found, err
	}
	if found.Holders, err = holders(ctx, r.DB, org, now); err != nil {
		return found, err
	}
	if t.Status() == task.Paused { // then its end is near in the log
		var own *string
		_, err = one(ctx, r.DB, "SELECT own FROM events WHERE org = ? AND task = ? AND type = 'paused' ORDER BY seq DESC LIMIT 1", []any{org, id}, &own)
		if own != nil {
			var told struct {
				By string `json:"by"`
			}
			err = errors.Join(err, json.Unmarshal([]byte(*own), &told))
			found.PausedBy = told.By
		}
	}
	return found, err
}

// Counts sums up an organization's tasks that have not ended, by every status
// that they may have, and its queues. The queries walk through index entries of
// open tasks alone: among 1,000,000 tasks a thousand open ones take 0.3 ms.
func (r *Reader) Counts(ctx context.Context, org string) ([]lifecycle.StatusCount, []lifecycle.QueueDepth, error) {
	var counts []lifecycle.StatusCount
	for _, status := range task.Statuses() {
		if status.Ends() {
			continue
		}
		n, err := count(ctx, r.DB, "SELECT count(*) FROM tasks INDEXED BY tasks_status WHERE org = ? AND status = ?", org, string(status))
		if err != nil {
			return nil, nil, fmt.Errorf("count tasks: %w", err)
		}
		counts = append(counts, lifecycle.StatusCount{Status: status, Count: n})
	}
	var queues []lifecycle.QueueDepth
	err := each(ctx, r.DB, `SELECT agent_id, count(*), min(ready_at) FROM tasks INDEXED BY tasks_queue
		WHERE org = ? AND queued = 1 GROUP BY agent_id`, []any{org}, func(rows Rows) error {
		var q lifecycle.QueueDepth
		err := rows.Scan(&q.Agent, &q.Count, &q.Oldest)
		queues = append(queues, q)
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("measure queues: %w", err)
	}
	return counts, queues, nil
}
