package sqlite

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// background is the context of everything the writer does: a write that has
// begun is finished, whoever asked for it.
func background() context.Context { return context.Background() }

// Task implements lifecycle.Tx.
func (t *tx) Task(org, id string) (task.Task, error) {
	key := taskKey{org, id}
	if k, ok, err := t.recall(key, false); ok || err != nil {
		return k.task, err
	}
	found, r, err := readTask(background(), t, org, id, nil)
	if err != nil {
		return task.Task{}, err
	}
	t.remember(r)
	t.w.memory.put(key, known{task: found, row: r})
	return found, nil
}

// Snapshot implements lifecycle.Tx.
func (t *tx) Snapshot(org, id string) (lifecycle.Snapshot, error) {
	key := taskKey{org, id}
	if k, ok, err := t.recall(key, true); ok || err != nil {
		return lifecycle.Snapshot{Task: k.task, Spec: k.spec}, err
	}
	var s lifecycle.Snapshot
	var r *row
	var err error
	if s.Task, r, err = readTask(background(), t, org, id, &s.Spec); err != nil {
		return lifecycle.Snapshot{}, err
	}
	t.remember(r)
	t.w.memory.put(key, known{s.Task, r, s.Spec})
	return s, nil
}

// remember keeps a row, so that Save writes only what differs from it.
func (t *tx) remember(r *row) {
	if t.rows == nil {
		t.rows = map[taskKey]*row{}
	}
	t.rows[taskKey{r.task.OrganizationID, r.task.ID}] = r
}

// Attempt implements lifecycle.Tx.
func (t *tx) Attempt(org, id string, number int) (*task.Attempt, error) {
	return readAttempt(background(), t, "number = ?", org, id, number)
}

// AttemptByToken implements lifecycle.Tx.
func (t *tx) AttemptByToken(org, id, hash string) (*task.Attempt, error) {
	return readAttempt(background(), t, "token_hash = ?", org, id, hash)
}

// TurnEnd implements lifecycle.Tx.
func (t *tx) TurnEnd(org, id string, turn int) (reason task.EndReason, result *string, err error) {
	_, err = one(background(), t, "SELECT end_reason, result FROM turns WHERE org = ? AND task = ? AND n = ?",
		[]any{org, id, turn}, &reason, &result)
	return reason, result, err
}

// Save implements lifecycle.Tx.
func (t *tx) Save(c task.Change) error {
	r, err := rowOf(c.Task)
	if err != nil {
		return err
	}
	if err := t.saveTask(r); err != nil {
		return fmt.Errorf("save task: %w", err)
	}
	for _, e := range c.Events {
		if err := t.saveEvent(c.Task, e); err != nil {
			return fmt.Errorf("save event: %w", err)
		}
	}
	for _, a := range c.Attempts {
		if err := t.putAttempt(c.Task.OrganizationID, c.Task.ID, a); err != nil {
			return fmt.Errorf("save attempt: %w", err)
		}
	}
	t.changes = append(t.changes, c)
	return t.keep(c.Task, r, c.Spec())
}

// saveTask inserts a row that was not read before, or updates the columns
// that have changed: an index is touched only when its own columns are.
func (t *tx) saveTask(r *row) error {
	org, id := r.task.OrganizationID, r.task.ID
	before, known := t.rows[taskKey{org, id}]
	t.remember(r)
	cols := r.columns()
	if !known {
		return t.exec(t.statements().insertTask, values(cols)...)
	}
	var set strings.Builder
	var args []any
	for i, was := range before.columns() {
		now := cols[i].value()
		if was.value() == now {
			continue
		}
		if set.Len() > 0 {
			set.WriteString(", ")
		}
		set.WriteString(was.name + " = ?")
		args = append(args, now)
	}
	if len(args) == 0 {
		return nil
	}
	return t.exec("UPDATE tasks SET "+set.String()+" WHERE org = ? AND id = ?", append(args, org, id)...)
}

// saveEvent appends to the log, and to the turn what the event only shows.
func (t *tx) saveEvent(tk task.Task, e task.Event) error {
	org, id, state := tk.OrganizationID, tk.ID, tk.State()
	var err error
	switch e.Type { //nolint:exhaustive // the other types keep nothing in the turn
	case task.TaskCreated:
		err = t.exec(`INSERT INTO turns (org, task, n, spec, first_seq, last_seq) VALUES (?, ?, ?, ?, ?, ?)`,
			org, id, e.Turn, string(e.Kept), e.Seq, e.Seq)
	case task.TaskFinished:
		var tokens *string
		if state.Tokens != nil {
			b, failed := json.Marshal(state.Tokens)
			if failed != nil {
				return failed
			}
			text := string(b)
			tokens = &text
		}
		err = t.exec(`UPDATE turns SET result = ?, status = ?, end_reason = ?, attempts = ?, tokens = ?,
			started_at = ?, finished_at = ?, last_seq = ? WHERE org = ? AND task = ? AND n = ?`,
			state.Result, state.Status, state.EndReason, state.Attempt, tokens,
			state.StartedAt, state.FinishedAt, e.Seq, org, id, e.Turn)
	case task.TaskUpdated, task.Override:
		err = t.saveResult(tk, e)
	}
	if err != nil {
		return err
	}
	var clientID *string
	if e.ClientID != "" {
		clientID = &e.ClientID
	}
	return t.exec(`INSERT INTO events (org, task, seq, turn, type, time, own, client_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		org, id, e.Seq, e.Turn, e.Type, e.Time, string(e.Own), clientID)
}

// saveResult keeps a result that changed apart from the turn's end. After the
// end it stands beside the first one, which task_finished goes on showing.
func (t *tx) saveResult(tk task.Task, e task.Event) error {
	var patch struct {
		Result *json.RawMessage `json:"result"`
	}
	if err := json.Unmarshal(e.Own, &patch); err != nil || patch.Result == nil {
		return err
	}
	column := "result"
	if e.Type == task.Override {
		column = "shown_result"
	}
	return t.exec("UPDATE turns SET "+column+" = ? WHERE org = ? AND task = ? AND n = ?",
		tk.State().Result, tk.OrganizationID, tk.ID, e.Turn)
}

// PutAttempt implements lifecycle.Tx.
func (t *tx) PutAttempt(org, id string, a task.Attempt) error {
	t.w.memory.drop(taskKey{org, id})
	return t.putAttempt(org, id, a)
}

func (t *tx) putAttempt(org, id string, a task.Attempt) error {
	lease := a.Lease.Microseconds()
	return t.exec(t.statements().putAttempt, append([]any{org, id}, values(attemptColumns(&a, &lease))...)...)
}

// Delete implements lifecycle.Tx.
func (t *tx) Delete(org, id string) error {
	// What a Python worker may still run, or tell of, stays behind (rules L6, L10).
	now := t.Now()
	if err := t.exec(`UPDATE attempts SET ended_at = CASE ended_at WHEN 0 THEN ? ELSE ended_at END,
		let_go_at = CASE WHEN let_go_at = 0 AND started_at = 0 THEN ? ELSE let_go_at END
		WHERE org = ? AND task = ?`, now, now, org, id); err != nil {
		return fmt.Errorf("delete task: %w", err)
	}
	for _, query := range []string{
		"DELETE FROM events WHERE org = ? AND task = ?",
		"DELETE FROM attempts WHERE org = ? AND task = ? AND reported = 1 AND (fenced = 1 OR let_go_at > 0)",
		"DELETE FROM turns WHERE org = ? AND task = ?",
		"DELETE FROM tasks WHERE org = ? AND id = ?",
		"DELETE FROM secrets WHERE org = ? AND owner = 'task' AND id = ?",
		"DELETE FROM replays INDEXED BY replays_task WHERE org = ? AND task = ?",
	} {
		if err := t.exec(query, org, id); err != nil {
			return fmt.Errorf("delete task: %w", err)
		}
	}
	delete(t.rows, taskKey{org, id})
	t.w.memory.drop(taskKey{org, id})
	t.deleted = append(t.deleted, [2]string{org, id})
	return nil
}

// Children implements lifecycle.Tx.
func (t *tx) Children(org, id string) ([]string, error) {
	return t.ids(`SELECT id FROM tasks WHERE org = ? AND parent_id = ? AND parent_id <> '' ORDER BY created_at, id`, org, id)
}

// ids reads one text column.
func (t *tx) ids(query string, args ...any) ([]string, error) {
	return texts(background(), t, query, args...)
}

// SeqOfClient implements lifecycle.Tx.
func (t *tx) SeqOfClient(org, id string, turn int, clientID string) (int64, error) {
	var seq int64
	_, err := one(background(), t, `SELECT seq FROM events WHERE org = ? AND task = ? AND turn = ? AND client_id = ?`,
		[]any{org, id, turn, clientID}, &seq)
	return seq, err
}

// PutSecret implements lifecycle.Tx.
func (t *tx) PutSecret(org string, of lifecycle.SecretOf, id string, sealed []byte) error {
	return t.exec(`INSERT INTO secrets (org, owner, id, sealed) VALUES (?, ?, ?, ?)
		ON CONFLICT (org, owner, id) DO UPDATE SET sealed = excluded.sealed`, org, of, id, sealed)
}

// DeleteSecret implements lifecycle.Tx.
func (t *tx) DeleteSecret(org string, of lifecycle.SecretOf, id string) error {
	return t.exec(`DELETE FROM secrets WHERE org = ? AND owner = ? AND id = ?`, org, of, id)
}

// Replay implements lifecycle.Tx.
func (t *tx) Replay(org, route, key string) (*lifecycle.Replay, error) {
	var r lifecycle.Replay
	found, err := one(background(), t, `SELECT hash, task, at FROM replays WHERE org = ? AND route = ? AND key = ?`,
		[]any{org, route, key}, &r.Hash, &r.TaskID, &r.At)
	if err != nil || !found {
		return nil, err
	}
	return &r, nil
}

// PutReplay implements lifecycle.Tx.
func (t *tx) PutReplay(org, route, key string, r lifecycle.Replay) error {
	return t.exec(`INSERT INTO replays (org, route, key, hash, task, at) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (org, route, key) DO UPDATE SET hash = excluded.hash, task = excluded.task, at = excluded.at`,
		org, route, key, r.Hash, r.TaskID, r.At)
}

// Forget implements lifecycle.Tx.
func (t *tx) Forget(before task.Stamp) error {
	orgs, err := t.ids(`SELECT id FROM organizations`)
	if err != nil {
		return err
	}
	for _, org := range orgs {
		if err := t.exec(`DELETE FROM replays WHERE org = ? AND at < ?`, org, before); err != nil {
			return err
		}
		if err := t.exec(`DELETE FROM attempts WHERE org = ? AND reported = 0 AND assigned_at < ?
			AND NOT EXISTS (SELECT 1 FROM tasks t WHERE t.org = attempts.org AND t.id = attempts.task)
			AND NOT EXISTS (SELECT 1 FROM workers w WHERE w.org = attempts.org AND w.id = attempts.worker_id AND w.connected = 1)`,
			org, before); err != nil {
			return err
		}
		for _, query := range []string{
			`DELETE FROM workers WHERE org = ? AND connected = 0 AND last_heard < ?`,
			`DELETE FROM worker_posts WHERE org = ? AND at < ?`,
		} {
			if err := t.exec(query, org, before); err != nil {
				return err
			}
		}
	}
	return nil
}
