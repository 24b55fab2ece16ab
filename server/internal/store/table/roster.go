package table

import (
	"context"
	"fmt"
	"time"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

func workerColumns(w *lifecycle.Worker) []column {
	return []column{
		{"org", &w.Organization},
		{"id", &w.ID},
		{"agent", &w.Agent},
		{"kind", &w.Kind},
		{"registered_at", &w.RegisteredAt},
		{"last_heard", &w.LastHeard},
		{"connected", &w.Connected},
		{"node", &w.Node},
		{"busy", &w.Busy},
		{"held", &w.Barred},
		{"slots", &w.Slots},
		{"key_id", &w.KeyID},
		{"address", &w.Address},
		{"last_beat", &w.LastBeat},
		{"cut_at", &w.CutAt},
		{"heir_until", &w.HeirUntil},
		{"owner_in", &w.OwnerIn},
		{"heir_of", &w.HeirOf},
		{"tally", jsonField{&w.Tally}},
	}
}

// Statements that are made of lists of columns.
var (
	putWorker           = upsert("workers", 3, workerColumns(new(lifecycle.Worker)))
	readingWorkers      = "SELECT " + names(workerColumns(new(lifecycle.Worker)), "") + " FROM workers WHERE "
	readingTaskAttempts = "SELECT task, " + names(attemptColumns(new(task.Attempt), new(int64)), "") + " FROM attempts "
)

// lockWorkers keeps others from writing the workers that were read.
const lockWorkers = " FOR UPDATE"

// pythonByID finds a Python worker, whose id is the server's own.
const pythonByID = "org = ? AND id = ? AND kind = 'python'"

func readWorkers(ctx context.Context, db DB, where string, args ...any) ([]lifecycle.Worker, error) {
	found, err := all(ctx, db, readingWorkers+where, args, workerColumns)
	if err != nil {
		return nil, fmt.Errorf("read workers: %w", err)
	}
	return found, nil
}

func readWorker(ctx context.Context, db DB, where string, args ...any) (*lifecycle.Worker, error) {
	found, err := readWorkers(ctx, db, where, args...)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

// ReadWorker reads a worker of an agent to be written, nil when it is not known.
func ReadWorker(ctx context.Context, db DB, org, agentID, id string) (*lifecycle.Worker, error) {
	return readWorker(ctx, db, "org = ? AND id = ? AND agent = ?"+lockWorkers, org, id, agentID)
}

// ReadClaimer reads a worker of an agent and locks nothing, nil when it is not known.
func ReadClaimer(ctx context.Context, db DB, org, agentID, id string) (*lifecycle.Worker, error) {
	return readWorker(ctx, db, "org = ? AND id = ? AND agent = ?", org, id, agentID)
}

// ReadPythonWorker reads a Python worker to be written, nil when it is not known.
func ReadPythonWorker(ctx context.Context, db DB, org, id string) (*lifecycle.Worker, error) {
	return readWorker(ctx, db, pythonByID+lockWorkers, org, id)
}

// maxSiblings bounds how many registrations of one place are looked at. Each counts
// for a day; those that matter are the newest.
const maxSiblings = 500

// maxPresent and maxHeld bound how much of workers is looked at.
const (
	maxPresent  = 1000
	maxAttempts = 10_000
)

// Workers implements lifecycle.RosterReader.
func (r *Reader) Workers(ctx context.Context, org, agent string) ([]lifecycle.Worker, error) {
	if agent != "" {
		return readWorkers(ctx, r.DB, "org = ? AND agent = ? ORDER BY last_heard DESC LIMIT ?", org, agent, maxPresent)
	}
	return readWorkers(ctx, r.DB, "org = ? ORDER BY id, agent LIMIT ?", org, maxPresent)
}

// InHand implements lifecycle.RosterReader.
func (r *Reader) InHand(ctx context.Context, in auth.Scope) (map[string]lifecycle.Hands, error) {
	found := map[string]lifecycle.Hands{}
	narrower, args := narrow(in)
	err := each(ctx, r.DB, `SELECT a.worker_id, a.task, CASE WHEN t.org = a.org`+narrower+` THEN 1 ELSE 0 END
		FROM attempts a INDEXED BY attempts_lease JOIN tasks t ON t.org = a.org AND t.id = a.task
		WHERE a.org = ? AND a.let_go_at = 0 AND a.lease_until > 0 AND a.lease_until > ? ORDER BY a.lease_until LIMIT ?`,
		append(args, in.Organization, int64(r.Clock()), maxAttempts), func(rows Rows) error {
			var worker, id string
			var seen int
			err := rows.Scan(&worker, &id, &seen)
			hands := found[worker]
			if hands.AtWork++; seen == 1 {
				hands.Tasks = append(hands.Tasks, id)
			}
			found[worker] = hands
			return err
		})
	return found, err
}

// Lost implements lifecycle.RosterReader.
func (r *Reader) Lost(ctx context.Context, org string, since task.Stamp) (map[string]int, error) {
	found := map[string]int{}
	err := each(ctx, r.DB, `SELECT worker_id FROM attempts INDEXED BY attempts_lost
		WHERE org = ? AND outcome = 'lost' AND ended_at > ? ORDER BY ended_at LIMIT ?`, []any{org, int64(since), maxAttempts}, func(rows Rows) error {
		var worker string
		err := rows.Scan(&worker)
		found[worker]++
		return err
	})
	return found, err
}

// Siblings lists the Python workers of one agent, key and address.
func Siblings(ctx context.Context, db DB, w lifecycle.Worker) ([]lifecycle.Worker, error) {
	return readWorkers(ctx, db, "org = ? AND agent = ? AND key_id = ? AND address = ? AND kind = 'python' ORDER BY last_heard DESC LIMIT ?",
		w.Organization, w.Agent, w.KeyID, w.Address, maxSiblings)
}

// SiblingsOf implements lifecycle.RosterReader.
func (r *Reader) SiblingsOf(ctx context.Context, org, worker string) ([]lifecycle.Worker, error) {
	w, err := readWorker(ctx, r.DB, pythonByID, org, worker)
	if err != nil || w == nil {
		return nil, err
	}
	return Siblings(ctx, r.DB, *w)
}

// OfNode lists the Python workers of a node that are connected or may have an heir.
func OfNode(ctx context.Context, db DB, node string) ([]lifecycle.Worker, error) {
	return readWorkers(ctx, db, "node = ? AND kind = 'python' AND (connected = 1 OR heir_until > 0)"+lockWorkers, node)
}

// Connected reports a Python worker of an agent whose stream is open, "" for none.
func Connected(ctx context.Context, db DB, org, agentID string) (string, error) {
	var id string
	_, err := one(ctx, db, "SELECT id FROM workers INDEXED BY workers_agent WHERE org = ? AND agent = ? AND connected = 1 LIMIT 1", []any{org, agentID}, &id)
	return id, err
}

// Absent lists workers without a stream that were last heard before a moment.
func Absent(ctx context.Context, db DB, org string, before task.Stamp, limit int) ([]lifecycle.Worker, error) {
	return readWorkers(ctx, db, "org = ? AND connected = 0 AND last_heard < ? LIMIT ?", org, before, limit)
}

// PutWorker makes a worker or overwrites it.
func PutWorker(w lifecycle.Worker) Op {
	return Op{SQL: putWorker, Args: values(workerColumns(&w)), In: Workers}
}

// DropWorker removes a worker.
func DropWorker(org, agentID, id string) Op {
	return Op{SQL: "DELETE FROM workers WHERE org = ? AND id = ? AND agent = ?", Args: []any{org, id, agentID}, In: Workers}
}

// AttemptsOf lists the attempts on a Python worker that have not let go.
func AttemptsOf(ctx context.Context, db DB, org, worker string) ([]lifecycle.TaskAttempt, error) {
	return taskAttempts(ctx, db, "INDEXED BY attempts_worker WHERE org = ? AND worker_id = ? AND fenced = 0 AND let_go_at = 0 ORDER BY task, number", org, worker)
}

// Orphans lists attempts on Python workers that the deletion of their tasks has
// left behind.
func Orphans(ctx context.Context, db DB, org string, before task.Stamp, limit int) ([]lifecycle.TaskAttempt, error) {
	return taskAttempts(ctx, db, `INDEXED BY attempts_untold WHERE org = ? AND reported = 0 AND assigned_at < ?
		AND NOT EXISTS (SELECT 1 FROM tasks t WHERE t.org = attempts.org AND t.id = attempts.task) LIMIT ?`, org, before, limit)
}

func taskAttempts(ctx context.Context, db DB, where string, args ...any) ([]lifecycle.TaskAttempt, error) {
	var found []lifecycle.TaskAttempt
	err := each(ctx, db, readingTaskAttempts+where, args, func(rows Rows) error {
		var x lifecycle.TaskAttempt
		var lease int64
		err := scan(rows, append([]column{{"task", &x.Task}}, attemptColumns(&x.Attempt, &lease)...))
		x.Lease = time.Duration(lease) * time.Microsecond
		found = append(found, x)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read attempts: %w", err)
	}
	return found, nil
}

// Untold lists the attempts on a Python worker whose end it has not told.
func Untold(ctx context.Context, db DB, org, worker string) ([]lifecycle.Sent, error) {
	var found []lifecycle.Sent
	err := each(ctx, db, `SELECT task, number, sent_after FROM attempts INDEXED BY attempts_untold
		WHERE org = ? AND worker_id = ? AND reported = 0 ORDER BY sent_after, task, number`, []any{org, worker}, func(rows Rows) error {
		var x lifecycle.Sent
		err := rows.Scan(&x.Task, &x.Number, &x.After)
		found = append(found, x)
		return err
	})
	return found, err
}

// Leased reports whether any attempt is under a lease.
func Leased(ctx context.Context, db DB) (bool, error) {
	return exists(ctx, db, "SELECT 1 FROM attempts INDEXED BY attempts_lease WHERE let_go_at = 0 AND lease_until > 0 LIMIT 1")
}

// Posted reports whether a worker's post is remembered.
func Posted(ctx context.Context, db DB, org, worker, id string) (bool, error) {
	return exists(ctx, db, "SELECT 1 FROM worker_posts WHERE org = ? AND worker = ? AND id = ?", org, worker, id)
}

// PutPost remembers a post.
func PutPost(org, worker, id string, at task.Stamp) Op {
	return Op{SQL: "INSERT INTO worker_posts (org, worker, id, at) VALUES (?, ?, ?, ?)", Args: []any{org, worker, id, int64(at)}, In: Posts}
}

// DropPosts forgets posts that are older.
func DropPosts(org string, before task.Stamp) Op {
	return Op{SQL: "DELETE FROM worker_posts WHERE org = ? AND at < ?", Args: []any{org, int64(before)}, In: Posts}
}

func aliveColumns(a *lifecycle.Alive) []column {
	return []column{{"heard", &a.Heard}, {"renewed", &a.Renewed}, {"sweeper", &a.Sweeper}}
}

// ReadAlive reads when any node was last there.
func ReadAlive(ctx context.Context, db DB) (lifecycle.Alive, error) {
	found, err := all(ctx, db, "SELECT heard, renewed, sweeper FROM alive FOR UPDATE", nil, aliveColumns)
	if err != nil || len(found) == 0 {
		return lifecycle.Alive{}, err
	}
	return found[0], nil
}

// PutAlive notes when any node was last there. The table's only row is always there.
func PutAlive(a lifecycle.Alive) Op {
	return Op{SQL: "UPDATE alive SET heard = ?, renewed = ?, sweeper = ?", Args: values(aliveColumns(&a)), In: Nodes, Must: true}
}

func nodeColumns(n *lifecycle.Node) []column { return []column{{"id", &n.ID}, {"heard", &n.Heard}} }

// ReadNodes lists the nodes.
func ReadNodes(ctx context.Context, db DB) ([]lifecycle.Node, error) {
	return all(ctx, db, "SELECT id, heard FROM nodes ORDER BY id", nil, nodeColumns)
}

// Nodes implements lifecycle.RosterReader.
func (r *Reader) Nodes(ctx context.Context) ([]lifecycle.Node, error) { return ReadNodes(ctx, r.DB) }

// PutNode notes when a node was last there.
func PutNode(n lifecycle.Node) Op {
	return Op{SQL: upsert("nodes", 1, nodeColumns(&n)), Args: values(nodeColumns(&n)), In: Nodes}
}

// DropNode forgets a node.
func DropNode(id string) Op {
	return Op{SQL: "DELETE FROM nodes WHERE id = ?", Args: []any{id}, In: Nodes}
}
