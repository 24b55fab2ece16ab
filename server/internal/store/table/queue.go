package table

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// source is a lane with its highest level of priority that has not been read.
type source struct {
	lifecycle.Lane
	top int
}

// tops finds the highest level of priority below one, over all lanes of a claim,
// and the lanes that have tasks of it.
func tops(ctx context.Context, db DB, w lifecycle.Want, below int) (at []source, err error) {
	lanes := make([]lifecycle.Lane, 0, 2*len(w.Agents))
	for _, a := range w.Agents {
		lanes = append(lanes, lifecycle.Lane{Agent: a})
		if w.Worker != "" {
			lanes = append(lanes, lifecycle.Lane{Agent: a, Pin: w.Worker})
		}
	}
	wanted, args := laneValues(lanes)
	err = each(ctx, db, wanted+`SELECT agent, pin, (SELECT priority FROM tasks INDEXED BY tasks_queue
			WHERE org = ? AND agent_id = agent AND pin = wanted.pin AND queued = 1 AND priority < ? ORDER BY priority DESC LIMIT 1)
		FROM wanted`, append(args, w.Organization, below), func(rows Rows) error {
		var s source
		var top *int
		if err := rows.Scan(&s.Agent, &s.Pin, &top); err != nil || top == nil {
			return err
		}
		if s.top = *top; len(at) > 0 && s.top > at[0].top {
			at = at[:0]
		}
		if len(at) == 0 || s.top == at[0].top {
			at = append(at, s)
		}
		return nil
	})
	return at, err
}

// laneValues is the common table "wanted" of some lanes.
func laneValues(lanes []lifecycle.Lane) (with string, args []any) {
	for _, l := range lanes {
		args = append(args, l.Agent, l.Pin)
	}
	return "WITH wanted (agent, pin) AS (VALUES (?, ?)" + strings.Repeat(", (?, ?)", len(lanes)-1) + ")\n\t\t", args
}

// waiting is a queued task as the queue's index shows it.
type waiting struct {
	id      string
	readyAt task.Stamp
}

// ofLevel is a source's level, as the queue's index holds it in order.
const ofLevel = `FROM tasks INDEXED BY tasks_queue
		WHERE org = ? AND agent_id = ? AND pin = ? AND queued = 1 AND priority = ? AND ready_at <= ?`

// front reads the oldest tasks of a source's level that are ready, and locks
// them; those that somebody else has locked are passed over.
func front(ctx context.Context, db DB, org string, s source, now task.Stamp, limit int, lock string) (found []waiting, err error) {
	err = each(ctx, db, "SELECT id, ready_at "+ofLevel+" ORDER BY ready_at, id LIMIT ?"+lock,
		[]any{org, s.Agent, s.Pin, s.top, int64(now), limit}, func(rows Rows) error {
			var x waiting
			err := rows.Scan(&x.id, &x.readyAt)
			found = append(found, x)
			return err
		})
	return found, err
}

// shares tells how many of the oldest tasks of a level stand in each source,
// locked by somebody or not.
func shares(ctx context.Context, db DB, org string, of []source, now task.Stamp, limit int) ([]int, error) {
	share := make([]int, len(of))
	if len(of) == 1 {
		share[0] = limit
		return share, nil
	}
	var query strings.Builder
	args := make([]any, 0, 5*len(of)+1)
	for i, s := range of {
		if i > 0 {
			query.WriteString(" UNION ALL ")
		}
		fmt.Fprintf(&query, "SELECT %d AS source, ready_at, id %s", i, ofLevel)
		args = append(args, org, s.Agent, s.Pin, s.top, int64(now))
	}
	err := each(ctx, db, query.String()+" ORDER BY ready_at, id LIMIT ?", append(args, limit), func(rows Rows) error {
		var i int
		var x waiting
		err := rows.Scan(&i, &x.readyAt, &x.id)
		share[i]++
		return err
	})
	return share, err
}

// draw takes the oldest tasks of one level from several sources. It locks no
// more than it takes, so that nobody else passes over what is left.
func draw(ctx context.Context, db DB, org string, from []source, now task.Stamp, limit int, lock string) ([]waiting, error) {
	var last []waiting // of sources that have no more
	for {
		share, err := shares(ctx, db, org, from, now, limit-len(last))
		if err != nil {
			return nil, err
		}
		found, more := slices.Clone(last), make([]source, 0, len(from))
		for i, s := range from {
			got, err := front(ctx, db, org, s, now, share[i], lock)
			if err != nil {
				return nil, err
			}
			if found = append(found, got...); len(got) < share[i] { // somebody else has locked some
				last = append(last, got...)
			} else {
				more = append(more, s)
			}
		}
		if len(more) == len(from) || len(more) == 0 || len(found) >= limit {
			slices.SortFunc(found, func(a, b waiting) int { return cmp.Or(cmp.Compare(a.readyAt, b.readyAt), cmp.Compare(a.id, b.id)) })
			return found, nil
		}
		from = more
	}
}

// next reads the front of the lanes of a claim: by priority, then oldest, over
// all of them alike. It goes from one level of priority to the next, so that
// tasks scheduled for later, however many, are never walked through.
func next(ctx context.Context, db DB, w lifecycle.Want, now task.Stamp, lock string) ([]string, error) {
	var ids []string
	for level := task.MaxPriority + 1; len(w.Agents) > 0 && len(ids) < w.Limit; {
		from, err := tops(ctx, db, w, level)
		if err != nil || len(from) == 0 {
			return ids, err
		}
		level = from[0].top
		found, err := draw(ctx, db, w.Organization, from, now, w.Limit-len(ids), lock)
		if err != nil {
			return nil, err
		}
		for _, x := range found {
			ids = append(ids, x.id)
		}
	}
	return ids, nil
}

// Next reads the ids of tasks that may be handed out now, and locks their rows;
// those that somebody else is about to write are passed over.
func Next(ctx context.Context, db DB, w lifecycle.Want, now task.Stamp) ([]string, error) {
	return next(ctx, db, w, now, " FOR NO KEY UPDATE SKIP LOCKED")
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

// Fronts implements lifecycle.TaskReader.
func (r *Reader) Fronts(ctx context.Context, org string, lanes []lifecycle.Lane, limit int) ([]lifecycle.Front, error) {
	var found []lifecycle.Front
	now := int64(r.Clock())
	const ofLevel = "FROM tasks INDEXED BY tasks_queue WHERE org = ? AND agent_id = agent AND pin = level.pin AND queued = 1 AND priority = level.priority"
	for some := range slices.Chunk(lanes, frontStep) {
		wanted, args := laneValues(some)
		query := "WITH RECURSIVE" + strings.TrimSuffix(strings.TrimPrefix(wanted, "WITH"), "\n\t\t") + `, level (agent, pin, priority) AS (
			SELECT agent, pin, (SELECT priority FROM tasks INDEXED BY tasks_queue
				WHERE org = ? AND agent_id = agent AND pin = wanted.pin AND queued = 1 ORDER BY priority DESC LIMIT 1) FROM wanted
			UNION ALL
			SELECT agent, pin, (SELECT priority FROM tasks INDEXED BY tasks_queue
				WHERE org = ? AND agent_id = agent AND pin = level.pin AND queued = 1 AND priority < level.priority ORDER BY priority DESC LIMIT 1)
			FROM level WHERE priority IS NOT NULL)
			SELECT agent, pin, priority, (SELECT ready_at ` + ofLevel + ` ORDER BY ready_at LIMIT 1),
				(SELECT count(*) FROM (SELECT 1 ` + ofLevel + ` AND ready_at <= ? LIMIT ?) counted),
				(SELECT ready_at ` + ofLevel + ` AND ready_at > ? ORDER BY ready_at LIMIT 1)
			FROM level WHERE priority IS NOT NULL`
		err := each(ctx, r.DB, query, append(args, org, org, org, org, now, limit, org, now), func(rows Rows) error {
			var f lifecycle.Front
			var next *int64
			err := rows.Scan(&f.Agent, &f.Pin, &f.Priority, &f.Oldest, &f.Ready, &next)
			if next != nil {
				f.Next = task.Stamp(*next)
			}
			found = append(found, f)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("look at queues: %w", err)
		}
	}
	return found, nil
}

// frontStep is how many lanes one statement looks at.
const frontStep = 256

// QueuedAgents implements lifecycle.TaskReader.
func (r *Reader) QueuedAgents(ctx context.Context, org string) ([]string, error) {
	found, err := texts(ctx, r.DB, `WITH RECURSIVE found (agent) AS (
		SELECT (SELECT agent_id FROM tasks INDEXED BY tasks_queue WHERE org = ? AND queued = 1 ORDER BY agent_id LIMIT 1)
		UNION ALL
		SELECT (SELECT agent_id FROM tasks INDEXED BY tasks_queue WHERE org = ? AND queued = 1 AND agent_id > agent ORDER BY agent_id LIMIT 1)
		FROM found WHERE agent IS NOT NULL)
		SELECT agent FROM found WHERE agent IS NOT NULL`, org, org)
	if err != nil {
		return nil, fmt.Errorf("list agents with queued tasks: %w", err)
	}
	return found, nil
}

// What is due in an organization.
const (
	dueAlarms = "FROM tasks WHERE org = %s AND alarm_at > 0 AND alarm_at <= ?"
	dueLeases = "FROM attempts INDEXED BY attempts_lease\n\t\tWHERE org = %s AND let_go_at = 0 AND lease_until > 0 AND lease_until <= ? AND lease_us <= ?"
)

// duties finds what there is to do, by its kind: the organizations in which deadlines
// have passed, and of all else whether there is any.
var duties = fmt.Sprintf(`SELECT 'passed', id FROM organizations o WHERE EXISTS (SELECT 1 `+dueAlarms+`) OR EXISTS (SELECT 1 `+dueLeases+`)
	UNION ALL SELECT 'ahead', '' WHERE EXISTS (SELECT 1 FROM organizations o
		WHERE EXISTS (SELECT 1 FROM tasks INDEXED BY tasks_alarm WHERE org = o.id AND alarm_at > 0)
		OR EXISTS (SELECT 1 FROM attempts INDEXED BY attempts_lease WHERE org = o.id AND let_go_at = 0 AND lease_until > 0))
	UNION ALL SELECT 'unfinished', '' WHERE EXISTS (SELECT 1 FROM organizations o
		WHERE EXISTS (SELECT 1 FROM tasks INDEXED BY tasks_descending WHERE org = o.id AND descending = 1)
		OR EXISTS (SELECT 1 FROM graves WHERE org = o.id))
	UNION ALL SELECT 'capped', '' WHERE EXISTS (SELECT 1 FROM organizations o
		WHERE EXISTS (SELECT 1 FROM tasks INDEXED BY tasks_capped WHERE org = o.id AND capped <> ''))
	UNION ALL SELECT 'push', '' WHERE EXISTS (SELECT 1 `+duePushes+`)`, "o.id", "o.id")

// Dues implements lifecycle.TaskReader.
func (r *Reader) Dues(ctx context.Context, now, renewed task.Stamp) (found lifecycle.Dues, err error) {
	err = each(ctx, r.DB, duties, []any{int64(now), int64(now), now.Sub(renewed).Microseconds(), int64(now)}, func(rows Rows) error {
		var what, org string
		err := rows.Scan(&what, &org)
		switch what {
		case "passed":
			found.Passed = append(found.Passed, org)
		case "ahead":
			found.Ahead = true
		case "unfinished":
			found.Unfinished = true
		case "capped":
			found.Capped = true
		case "push":
			found.Pushes = true
		}
		return err
	})
	if err != nil {
		return lifecycle.Dues{}, fmt.Errorf("look for what is due: %w", err)
	}
	return found, nil
}

// Due implements lifecycle.TaskReader.
func (r *Reader) Due(ctx context.Context, org string, now, renewed task.Stamp, limit int) ([]string, error) {
	alarms, err := texts(ctx, r.DB, fmt.Sprintf("SELECT id "+dueAlarms+" ORDER BY alarm_at LIMIT ?", "?"), org, now, limit)
	if err != nil {
		return nil, fmt.Errorf("read deadlines: %w", err)
	}
	leases, err := texts(ctx, r.DB, fmt.Sprintf("SELECT task "+dueLeases+" ORDER BY lease_until LIMIT ?", "?"),
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

// occupied reads which workers have an attempt. It looks through the leases that
// run, which are no more than there are tasks executing.
func occupied(ctx context.Context, db DB, org string, now task.Stamp) (map[string]bool, error) {
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
	ahead := found.Ahead
	if found, err = r.Staff(ctx, org, t.AgentID); err != nil {
		return found, err
	}
	if found.Ahead = ahead; t.Status() == task.Paused {
		found.PausedBy, err = r.PausedBy(ctx, org, id)
	}
	return found, err
}

// Staff implements lifecycle.TaskReader.
func (r *Reader) Staff(ctx context.Context, org, agent string) (found lifecycle.Queue, err error) {
	if found.Workers, err = readWorkers(ctx, r.DB, "org = ? AND agent = ? ORDER BY last_heard DESC LIMIT 100", org, agent); err != nil {
		return found, err
	}
	found.Executing, err = count(ctx, r.DB, `SELECT count(*) FROM tasks t INDEXED BY tasks_status
		JOIN attempts a ON a.org = t.org AND a.task = t.id AND a.number = t.execution_attempts AND a.ended_at = 0
		WHERE t.org = ? AND t.agent_id = ? AND t.status = 'executing'`, org, agent)
	if err != nil {
		return found, err
	}
	found.Occupied, err = occupied(ctx, r.DB, org, r.Clock())
	return found, err
}

// Line implements lifecycle.TaskReader.
func (r *Reader) Line(ctx context.Context, org string, lane lifecycle.Lane, limit int) ([]string, error) {
	return texts(ctx, r.DB, `SELECT id FROM tasks INDEXED BY tasks_queue WHERE org = ? AND agent_id = ? AND pin = ? AND queued = 1 AND ready_at <= ?
		ORDER BY priority DESC, ready_at, id LIMIT ?`, org, lane.Agent, lane.Pin, int64(r.Clock()), limit)
}

// PausedBy implements lifecycle.TaskReader.
func (r *Reader) PausedBy(ctx context.Context, org, id string) (string, error) {
	var own *string // near the end of the log
	_, err := one(ctx, r.DB, "SELECT own FROM events WHERE org = ? AND task = ? AND type = 'paused' ORDER BY seq DESC LIMIT 1", []any{org, id}, &own)
	if err != nil || own == nil {
		return "", err
	}
	var told struct {
		By string `json:"by"`
	}
	err = json.Unmarshal([]byte(*own), &told)
	return told.By, err
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
