package batch

import (
	"fmt"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/stats"
	"github.com/errand-dev/errand/server/internal/store/table"
	"github.com/errand-dev/errand/server/internal/task"
)

// tx is one caller's part of a commit: a list of writes, and the tasks as they
// have become by them.
type tx struct {
	c   *commit
	now task.Stamp
	// ops were recorded and not sent, in the tables of in; touched are all tables.
	ops         []table.Op
	in, touched table.Name
	// sent says that something was sent, for a question that only the database
	// could answer.
	sent    bool
	tasks   map[taskKey]*known     // that the caller has written
	rows    map[taskKey]*table.Row // that it has read, so that only what differs is written
	entries []feed.Entry
	// replays are the idempotency keys that the caller has written; dropped says that
	// others may have gone.
	replays map[replayKey]*lifecycle.Replay
	dropped bool
	counted []stats.Counted
	// asked is the task whose client_ids were asked for last, and said what came of it.
	asked taskKey
	said  said
}

// record adds writes to the list.
func (t *tx) record(ops ...table.Op) {
	for _, op := range ops {
		t.in |= op.In
		t.touched |= op.In
	}
	t.ops = append(t.ops, ops...)
}

// everything is the set of all tables.
const everything = ^table.Name(0)

// from is the database for a question about some tables: what was recorded of
// these is sent first. Before anything of the caller's own, all that callers before
// have recorded is: it must not be undone with it.
func (t *tx) from(tables table.Name) (table.DB, error) {
	c := t.c
	before := tables
	if t.in&tables != 0 {
		before = everything
	}
	if err := c.flush(before); err != nil {
		return nil, err
	}
	if t.in&tables != 0 {
		if !t.sent {
			if err := c.fail(c.w.engine.Save(background())); err != nil {
				return nil, err
			}
			t.sent = true
		}
		if err := c.fail(c.w.engine.Send(background(), table.Merge(t.ops))); err != nil {
			return nil, err
		}
		t.ops, t.in = nil, 0
	}
	return c.w.engine, nil
}

// ask puts a question to the database. Its errors end the transaction, but for
// those that say that something is not there.
func ask[T any](t *tx, tables table.Name, question func(table.DB) (T, error)) (T, error) {
	db, err := t.from(tables)
	if err != nil {
		var none T
		return none, err
	}
	found, err := question(db)
	if err != nil && !answered(err) {
		_ = t.c.fail(err)
	}
	return found, err
}

// Now implements lifecycle.Tx: one moment for all that a caller does.
func (t *tx) Now() task.Stamp {
	if t.now == 0 {
		t.now = t.c.w.engine.Now()
	}
	return t.now
}

// lock locks a row that others may write.
func (t *tx) lock(k lifecycle.Key) error {
	if t.c.locked[k] {
		return nil
	}
	t.c.locked[k] = true
	*t.c.met = append(*t.c.met, k)
	return t.c.fail(t.c.w.engine.Lock(background(), []lifecycle.Key{k}))
}

// read finds a task: as the caller has written it, as callers before have, as it
// is remembered, or as it is stored.
func (t *tx) read(org, id string, spec bool) (*known, error) {
	key := taskKey{org, id}
	if k, ok := t.written(key); ok {
		return t.seen(key, k, spec)
	}
	w := t.c.w
	if k, ok := w.memory.get(key); ok && (k.spec != nil || !spec) {
		if err := w.verify(key, k); err != nil {
			return nil, err
		}
		return t.seen(key, k, spec)
	}
	if _, absent := t.c.absent[key]; absent {
		return nil, lifecycle.NoTask(id)
	}
	if err := t.lock(lifecycle.Key{Of: lifecycle.TaskKey, Organization: org, ID: id}); err != nil {
		return nil, err
	}
	k := new(known)
	var err error
	k.task, k.row, err = table.ReadTask(background(), w.engine, auth.All(org), id, &k.spec)
	if err != nil {
		if !answered(err) {
			_ = t.c.fail(err)
		}
		return nil, err
	}
	w.memory.put(key, k)
	return t.seen(key, k, spec)
}

// written is what the caller, or else one before it in the commit, has made of a task.
func (t *tx) written(key taskKey) (*known, bool) {
	if k, ok := t.tasks[key]; ok {
		return k, true
	}
	k, ok := t.c.tasks[key]
	return k, ok
}

// wrote reports whether the caller, or one before it in the commit, has written a task.
func (t *tx) wrote(key taskKey) bool {
	_, wrote := t.written(key)
	return wrote
}

// seen notes what the caller knows of a task.
func (t *tx) seen(key taskKey, k *known, spec bool) (*known, error) {
	if k.gone {
		return nil, lifecycle.NoTask(key.id)
	}
	if spec && k.spec == nil { // it was too long to be kept
		whole := *k
		if _, err := ask(t, table.Tasks|table.Turns, func(db table.DB) (_ struct{}, err error) {
			_, _, err = table.ReadTask(background(), db, auth.All(key.org), key.id, &whole.spec)
			return struct{}{}, err
		}); err != nil {
			return nil, err
		}
		k = &whole
	}
	t.saw(key, k.row)
	return k, nil
}

// saw notes the row in which a task stands.
func (t *tx) saw(key taskKey, row *table.Row) {
	if t.rows == nil {
		t.rows = map[taskKey]*table.Row{}
	}
	t.rows[key] = row
}

// Task implements lifecycle.Tasks.
func (t *tx) Task(org, id string) (task.Task, error) {
	k, err := t.read(org, id, false)
	if err != nil {
		return task.Task{}, err
	}
	return k.task, nil
}

// Snapshot implements lifecycle.Tasks.
func (t *tx) Snapshot(org, id string) (lifecycle.Snapshot, error) {
	k, err := t.read(org, id, true)
	if err != nil {
		return lifecycle.Snapshot{}, err
	}
	return lifecycle.Snapshot{Task: k.task, Spec: k.spec}, nil
}

// write notes what a task has become.
func (t *tx) write(key taskKey, k *known) {
	if t.tasks == nil {
		t.tasks = map[taskKey]*known{}
	}
	t.tasks[key] = k
}

// Save implements lifecycle.Tasks.
func (t *tx) Save(c task.Change) error {
	key := taskKey{c.Task.OrganizationID, c.Task.ID}
	ops, row, err := table.SaveChange(c, t.rows[key])
	if err != nil {
		return err
	}
	spec := c.Spec()
	if before, ok := t.recalled(key); ok && spec == nil {
		spec = before.spec
	}
	saved, err := row.Restore(c.Task.Run, c.Task.Earlier, c.Task.State().Result) // it reads like this again
	if err != nil {
		return err
	}
	t.saw(key, row)
	t.record(ops...)
	t.write(key, &known{task: saved, row: row, spec: spec, said: t.saidOf(key).with(c.Task.Terms.Turn, c.Events)})
	if e, ok := feed.Of(c); ok {
		t.entries = append(t.entries, e)
	}
	return nil
}

// recalled is what is known of a task without asking.
func (t *tx) recalled(key taskKey) (*known, bool) {
	if k, ok := t.written(key); ok {
		return k, true
	}
	return t.c.w.memory.get(key)
}

// saidOf is what is known of a task's client_ids.
func (t *tx) saidOf(key taskKey) said {
	if t.asked == key {
		return t.said
	}
	if k, ok := t.recalled(key); ok {
		return k.said
	}
	return said{}
}

// Delete implements lifecycle.Tasks.
func (t *tx) Delete(org, id string) error {
	key := taskKey{org, id}
	t.record(table.DeleteTask(org, id)...)
	t.dropped = true
	t.write(key, &known{gone: true})
	delete(t.rows, key)
	t.entries = append(t.entries, feed.Entry{Organization: org, Task: id, Kind: feed.Deleted})
	return nil
}

// Attempt implements lifecycle.Tasks.
func (t *tx) Attempt(org, id string, number int) (*task.Attempt, error) {
	return ask(t, table.Attempts, func(db table.DB) (*task.Attempt, error) {
		return table.ReadAttempt(background(), db, org, id, number)
	})
}

// AttemptByToken implements lifecycle.Tasks.
func (t *tx) AttemptByToken(org, id, hash string) (*task.Attempt, error) {
	return ask(t, table.Attempts, func(db table.DB) (*task.Attempt, error) {
		return table.ReadAttemptByToken(background(), db, org, id, hash)
	})
}

// TurnEnd implements lifecycle.Tasks.
func (t *tx) TurnEnd(org, id string, turn int) (reason task.EndReason, result *string, err error) {
	_, err = ask(t, table.Turns, func(db table.DB) (_ struct{}, err error) {
		reason, result, err = table.TurnEnd(background(), db, org, id, turn)
		return struct{}{}, err
	})
	return reason, result, err
}

// Erase implements lifecycle.Tasks.
func (t *tx) Erase(org, id string, rows int) (left int, err error) {
	ops, err := ask(t, table.Graves|table.Steps|table.Files|table.Approvals|table.Events|table.Turns|table.Attempts, func(db table.DB) (ops []table.Op, err error) {
		ops, left, err = table.Erase(background(), db, org, id, rows)
		return ops, err
	})
	t.record(ops...)
	return left, err
}

// Pack implements lifecycle.Tasks.
func (t *tx) Pack(org, id string, after int64, rows int) (to int64, err error) {
	ops, err := ask(t, table.Events, func(db table.DB) (ops []table.Op, err error) {
		ops, to, err = table.Pack(background(), db, org, id, after, rows)
		return ops, err
	})
	t.record(ops...)
	return to, err
}

// Unerased implements lifecycle.Tasks.
func (t *tx) Unerased(org, id string) (bool, error) {
	if t.c.absent[taskKey{org, id}] && !t.wrote(taskKey{org, id}) {
		return false, nil
	}
	return ask(t, table.Graves, func(db table.DB) (bool, error) { return table.Unerased(background(), db, org, id) })
}

// Children implements lifecycle.Tasks.
func (t *tx) Children(org, id string, limit int) ([]string, error) {
	return ask(t, table.Tasks, func(db table.DB) ([]string, error) { return table.Children(background(), db, org, id, limit) })
}

// AgedBelow implements lifecycle.Tasks.
func (t *tx) AgedBelow(org, id string) ([]lifecycle.Aged, error) {
	return ask(t, table.Tasks, func(db table.DB) ([]lifecycle.Aged, error) { return table.AgedBelow(background(), db, org, id) })
}

// Below implements lifecycle.Tasks.
func (t *tx) Below(org, id, after string, limit int) ([]string, error) {
	return ask(t, table.Tasks, func(db table.DB) ([]string, error) {
		return table.Below(background(), db, org, id, after, limit)
	})
}

// SeqsOfClients implements lifecycle.Tasks. What was recorded of other tasks' logs can
// wait for the commit, where all of them is sent at once. Whoever numbers its events
// one behind the other is known to tell new ones.
func (t *tx) SeqsOfClients(org, id string, turn int, clientIDs []string) (map[string]int64, error) {
	key := taskKey{org, id}
	var tables table.Name
	if _, ok := t.written(key); ok {
		tables = table.Events
	}
	fresh := false
	if of, low, ok := one(clientIDs); ok {
		s := t.saidOf(key)
		if s.turn != turn || s.of != of {
			top, err := ask(t, tables, func(db table.DB) (int64, error) {
				return table.TopOfClients(background(), db, org, id, turn, of)
			})
			if err != nil {
				return nil, err
			}
			s = said{turn, of, top}
		}
		t.asked, t.said, fresh = key, s, low > s.top
	}
	if fresh && !t.c.w.opts.Verify {
		return nil, nil
	}
	found, err := ask(t, tables, func(db table.DB) (map[string]int64, error) {
		return table.SeqsOfClients(background(), db, org, id, turn, clientIDs)
	})
	if err == nil && fresh && len(found) > 0 {
		err = fmt.Errorf("the writer remembers that task %s has no event behind %+v, but there is %v", id, t.said, found)
	}
	return found, err
}

// Output implements lifecycle.Tasks.
func (t *tx) Output(org, id string, turn int, name string) (*task.Output, error) {
	return ask(t, table.Files|table.Events, func(db table.DB) (*task.Output, error) {
		return table.ReadOutput(background(), db, org, id, turn, name)
	})
}

// CountOutputs implements lifecycle.Tasks.
func (t *tx) CountOutputs(org, id string, turn int) (int, error) {
	return ask(t, table.Files, func(db table.DB) (int, error) {
		return table.CountOutputs(background(), db, org, id, turn)
	})
}

// Step implements lifecycle.Tasks.
func (t *tx) Step(org, id string, turn int, step string) (*task.Step, error) {
	return ask(t, table.Steps|table.Events, func(db table.DB) (*task.Step, error) {
		return table.ReadStep(background(), db, org, id, turn, step)
	})
}

// Count implements lifecycle.Tasks.
func (t *tx) Count(org string, of task.Spender, day task.Stamp, spent task.Allowance) error {
	t.record(table.Count(org, of, day, spent, t.c.w.engine.Writer()))
	return nil
}

// AddStats implements lifecycle.Tasks.
func (t *tx) AddStats(all ...stats.Counted) {
	for _, x := range all {
		if len(x.Counts) > 0 {
			t.counted = append(t.counted, x)
		}
	}
}

// Used implements lifecycle.Tasks.
func (t *tx) Used(org string, of task.Spender, from, until task.Stamp) (task.Allowance, error) {
	return ask(t, table.Usage, func(db table.DB) (task.Allowance, error) {
		return table.Used(background(), db, org, of, from, until)
	})
}

// Approval implements lifecycle.Tasks.
func (t *tx) Approval(org, id string) (*task.Approval, error) {
	return ask(t, table.Approvals|table.Events|table.Tasks, func(db table.DB) (*task.Approval, error) {
		return table.ReadApproval(background(), db, org, id)
	})
}

// ApprovalOf implements lifecycle.Tasks.
func (t *tx) ApprovalOf(org, id string, turn int, key string) (*task.Approval, error) {
	return ask(t, table.Approvals|table.Events|table.Tasks, func(db table.DB) (*task.Approval, error) {
		return table.ReadApprovalOf(background(), db, org, id, turn, key)
	})
}

// Take implements lifecycle.Tasks.
func (t *tx) Take(w lifecycle.Want) ([]lifecycle.Snapshot, error) {
	ids, err := ask(t, table.Tasks, func(db table.DB) ([]string, error) { return table.Next(background(), db, w, t.Now()) })
	if err != nil {
		return nil, err
	}
	var about []lifecycle.Key
	for _, id := range ids {
		k := lifecycle.Key{Of: lifecycle.TaskKey, Organization: w.Organization, ID: id}
		t.c.locked[k] = true
		if !t.wrote(taskKey{w.Organization, id}) {
			about = append(about, k)
		}
	}
	if err := t.c.ahead(about); err != nil {
		return nil, err
	}
	taken := make([]lifecycle.Snapshot, 0, len(ids))
	for _, id := range ids {
		s, err := t.Snapshot(w.Organization, id)
		if err != nil {
			return nil, err
		}
		taken = append(taken, s)
	}
	return taken, nil
}

// Queued implements lifecycle.Tasks.
func (t *tx) Queued(org, agentID string, limit int) (int, error) {
	return ask(t, table.Tasks, func(db table.DB) (int, error) { return table.Queued(background(), db, org, agentID, limit) })
}

// Agent implements lifecycle.Records.
func (t *tx) Agent(org, id string, version int) (agent.Agent, error) {
	return recall(t, &t.c.w.agents, agentKey{org, id, version}, func(db table.DB) (agent.Agent, error) {
		return table.ReadAgent(background(), db, org, id, version, table.LockAgent)
	})
}

// PutAgent implements lifecycle.Records.
func (t *tx) PutAgent(a agent.Agent) error {
	t.record(table.PutAgent(a)...)
	t.entries = append(t.entries, feed.Entry{Organization: a.OrganizationID, Agent: a.ID, Kind: feed.Redefined})
	return nil
}

// DeleteAgent implements lifecycle.Records.
func (t *tx) DeleteAgent(org, id string) error {
	t.record(table.DeleteAgent(org, id)...)
	t.entries = append(t.entries, feed.Entry{Organization: org, Agent: id, Kind: feed.Redefined})
	return nil
}

// Caps implements lifecycle.Records.
func (t *tx) Caps(org string, of task.Spender) (*task.Caps, error) {
	return recall(t, &t.c.w.caps, capsKey{org, of}, func(db table.DB) (*task.Caps, error) {
		return table.ReadCaps(background(), db, org, of)
	})
}

// HasOpenTask implements lifecycle.Records.
func (t *tx) HasOpenTask(org, agentID string) (bool, error) {
	return ask(t, table.Tasks, func(db table.DB) (bool, error) { return table.HasOpenTask(background(), db, org, agentID) })
}

// PutSecret implements lifecycle.Records.
func (t *tx) PutSecret(org string, of lifecycle.SecretOf, id string, sealed []byte) error {
	t.record(table.PutSecret(org, of, id, sealed))
	return nil
}

// DeleteSecret implements lifecycle.Records.
func (t *tx) DeleteSecret(org string, of lifecycle.SecretOf, id string) error {
	t.record(table.DeleteSecret(org, of, id))
	return nil
}

// Files implements lifecycle.Records.
func (t *tx) Files(org string, ids []string) ([]string, error) {
	return ask(t, table.Files, func(db table.DB) ([]string, error) { return table.LockFiles(background(), db, org, ids) })
}

// PutUse implements lifecycle.Records.
func (t *tx) PutUse(of task.Task, file string) error {
	t.record(table.PutUse(of.OrganizationID, file, of.ID, of.Owner, of.Group))
	return nil
}

// DropUses implements lifecycle.Records.
func (t *tx) DropUses(org, id string) error {
	t.record(table.DropUses(org, id, t.Now())...)
	return nil
}

// Replay implements lifecycle.Records.
func (t *tx) Replay(org, route, key string) (*lifecycle.Replay, error) {
	if r, known := t.replay(replayKey{org, route, key}); known {
		return r, nil
	}
	return ask(t, table.Replays, func(db table.DB) (*lifecycle.Replay, error) {
		return table.ReadReplay(background(), db, org, route, key)
	})
}

// Replays implements lifecycle.Records.
func (t *tx) Replays(org, route string, keys []string) (map[string]*lifecycle.Replay, error) {
	return ask(t, table.Replays, func(db table.DB) (map[string]*lifecycle.Replay, error) {
		return table.ReadReplays(background(), db, org, route, keys)
	})
}

// PutReplay implements lifecycle.Records.
func (t *tx) PutReplay(org, route, key string, before *lifecycle.Replay, r lifecycle.Replay) error {
	t.record(table.PutReplay(org, route, key, before, r))
	if t.replays == nil {
		t.replays = map[replayKey]*lifecycle.Replay{}
	}
	t.replays[replayKey{org, route, key}] = &r
	return nil
}

// replay is what is known of an idempotency key without asking.
func (t *tx) replay(key replayKey) (r *lifecycle.Replay, known bool) {
	if t.dropped || t.c.dropped {
		return nil, false
	}
	if r, known = t.replays[key]; !known {
		r, known = t.c.replays[key]
	}
	return r, known
}

// DropReplays implements lifecycle.Records.
func (t *tx) DropReplays(org string, before task.Stamp) error {
	t.record(table.DropReplays(org, before))
	t.dropped = true
	return nil
}

// Alive implements lifecycle.Roster.
func (t *tx) Alive() (lifecycle.Alive, error) {
	return ask(t, table.Nodes, func(db table.DB) (lifecycle.Alive, error) { return table.ReadAlive(background(), db) })
}

// PutAlive implements lifecycle.Roster.
func (t *tx) PutAlive(a lifecycle.Alive) error {
	t.record(table.PutAlive(a))
	return nil
}

// Leased implements lifecycle.Roster.
func (t *tx) Leased() (bool, error) {
	return ask(t, table.Attempts, func(db table.DB) (bool, error) { return table.Leased(background(), db) })
}

// Nodes implements lifecycle.Roster.
func (t *tx) Nodes() ([]lifecycle.Node, error) {
	return ask(t, table.Nodes, func(db table.DB) ([]lifecycle.Node, error) { return table.ReadNodes(background(), db) })
}

// PutNode implements lifecycle.Roster.
func (t *tx) PutNode(n lifecycle.Node) error {
	t.record(table.PutNode(n))
	return nil
}

// DropNode implements lifecycle.Roster.
func (t *tx) DropNode(id string) error {
	t.record(table.DropNode(id))
	return nil
}

// Worker implements lifecycle.Roster.
func (t *tx) Worker(org, agentID, id string) (*lifecycle.Worker, error) {
	return ask(t, table.Workers, func(db table.DB) (*lifecycle.Worker, error) {
		return table.ReadWorker(background(), db, org, agentID, id)
	})
}

// Claimer implements lifecycle.Roster. What others have recorded of workers can wait for
// the commit: rows that it wrote before would be locked until then.
func (t *tx) Claimer(org, agentID, id string) (*lifecycle.Worker, error) {
	return ask(t, 0, func(db table.DB) (*lifecycle.Worker, error) {
		return table.ReadClaimer(background(), db, org, agentID, id)
	})
}

// PythonWorker implements lifecycle.Roster.
func (t *tx) PythonWorker(org, id string) (*lifecycle.Worker, error) {
	return ask(t, table.Workers, func(db table.DB) (*lifecycle.Worker, error) {
		return table.ReadPythonWorker(background(), db, org, id)
	})
}

// PutWorker implements lifecycle.Roster.
func (t *tx) PutWorker(w lifecycle.Worker) error {
	t.record(table.PutWorker(w))
	return nil
}

// Freed implements lifecycle.Roster.
func (t *tx) Freed(org, agentID, worker string) error {
	t.entries = append(t.entries, feed.Entry{Organization: org, Agent: agentID, Worker: worker, Kind: feed.Freed})
	return nil
}

// DropWorker implements lifecycle.Roster.
func (t *tx) DropWorker(org, agentID, id string) error {
	t.record(table.DropWorker(org, agentID, id))
	return nil
}

func (t *tx) workers(question func(table.DB) ([]lifecycle.Worker, error)) ([]lifecycle.Worker, error) {
	return ask(t, table.Workers, question)
}

// Siblings implements lifecycle.Roster.
func (t *tx) Siblings(w lifecycle.Worker) ([]lifecycle.Worker, error) {
	return t.workers(func(db table.DB) ([]lifecycle.Worker, error) { return table.Siblings(background(), db, w) })
}

// OfNode implements lifecycle.Roster.
func (t *tx) OfNode(node string) ([]lifecycle.Worker, error) {
	return t.workers(func(db table.DB) ([]lifecycle.Worker, error) { return table.OfNode(background(), db, node) })
}

// Connected implements lifecycle.Roster.
func (t *tx) Connected(org, agentID string) (string, error) {
	return ask(t, table.Workers, func(db table.DB) (string, error) { return table.Connected(background(), db, org, agentID) })
}

// Absent implements lifecycle.Roster.
func (t *tx) Absent(org string, before task.Stamp, limit int) ([]lifecycle.Worker, error) {
	return t.workers(func(db table.DB) ([]lifecycle.Worker, error) {
		return table.Absent(background(), db, org, before, limit)
	})
}

// AttemptsOf implements lifecycle.Roster.
func (t *tx) AttemptsOf(org, worker string) ([]lifecycle.TaskAttempt, error) {
	return ask(t, table.Attempts, func(db table.DB) ([]lifecycle.TaskAttempt, error) {
		return table.AttemptsOf(background(), db, org, worker)
	})
}

// Untold implements lifecycle.Roster.
func (t *tx) Untold(org, worker string) ([]lifecycle.Sent, error) {
	return ask(t, table.Attempts, func(db table.DB) ([]lifecycle.Sent, error) {
		return table.Untold(background(), db, org, worker)
	})
}

// Attempts implements lifecycle.Roster.
func (t *tx) Attempts(org, id string) ([]task.Attempt, error) {
	if t.c.absent[taskKey{org, id}] && !t.wrote(taskKey{org, id}) {
		return nil, nil
	}
	return ask(t, table.Attempts, func(db table.DB) ([]task.Attempt, error) {
		return table.ReadUnfenced(background(), db, org, id)
	})
}

// Orphans implements lifecycle.Roster.
func (t *tx) Orphans(org string, before task.Stamp, limit int) ([]lifecycle.TaskAttempt, error) {
	return ask(t, table.Attempts|table.Tasks, func(db table.DB) ([]lifecycle.TaskAttempt, error) {
		return table.Orphans(background(), db, org, before, limit)
	})
}

// PutAttempt implements lifecycle.Roster.
func (t *tx) PutAttempt(org, id string, a task.Attempt) error {
	t.record(table.PutAttempt(org, id, a))
	return t.forget(org, id)
}

// DropAttempt implements lifecycle.Roster.
func (t *tx) DropAttempt(org, id string, number int) error {
	t.record(table.DropAttempt(org, id, number))
	return t.forget(org, id)
}

// forget reads a task again, if it is there, after its attempts were written.
func (t *tx) forget(org, id string) error {
	key := taskKey{org, id}
	if err := t.lock(lifecycle.Key{Of: lifecycle.TaskKey, Organization: org, ID: id}); err != nil {
		return err
	}
	k, err := ask(t, table.Tasks|table.Turns|table.Attempts, func(db table.DB) (*known, error) {
		k := new(known)
		var err error
		k.task, k.row, err = table.ReadTask(background(), db, auth.All(org), id, &k.spec)
		return k, err
	})
	switch {
	case err == nil:
		t.write(key, k)
		t.saw(key, k.row)
	case answered(err):
		t.write(key, &known{gone: true})
		return nil
	}
	return err
}

// Posted implements lifecycle.Roster.
func (t *tx) Posted(org, worker, id string) (bool, error) {
	return ask(t, table.Posts, func(db table.DB) (bool, error) { return table.Posted(background(), db, org, worker, id) })
}

// PutPost implements lifecycle.Roster.
func (t *tx) PutPost(org, worker, id string) error {
	t.record(table.PutPost(org, worker, id, t.Now()))
	return nil
}

// DropPosts implements lifecycle.Roster.
func (t *tx) DropPosts(org string, before task.Stamp) error {
	t.record(table.DropPosts(org, before))
	return nil
}
