package table

import (
	"strings"
	"sync"

	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/task"
)

// SaveChange is the writes of a change to a task. before is the row as it was
// read, nil for a task that was not there; row is what becomes of it.
func SaveChange(c task.Change, before *Row) (ops []Op, row *Row, err error) {
	if row, err = RowOf(c.Task); err != nil {
		return nil, nil, err
	}
	org, id := c.Task.OrganizationID, c.Task.ID
	if op, changed := saveTask(before, row); changed {
		ops = append(ops, op)
	}
	if c.Turn != nil {
		ops = saveTurn(ops, c.Task, *c.Turn)
	}
	ops = append(ops, insertEvents(org, id, c.Events)...)
	for _, s := range c.Steps {
		ops = append(ops, insertStep(org, id, s))
	}
	for _, o := range c.Outputs {
		ops = append(ops, saveOutput(c.Task, o)...)
	}
	for _, g := range c.Given {
		ops = append(ops, saveGiven(org, id, g))
	}
	for _, a := range c.Asked {
		ops = append(ops, insertApproval(c.Task, a))
	}
	for _, s := range c.Settled {
		ops = append(ops, settleApproval(org, s))
	}
	for _, a := range c.Attempts {
		ops = append(ops, PutAttempt(org, id, a))
	}
	return ops, row, nil
}

// saveTask inserts a row that was not there, or updates the columns that have
// changed: an index is touched only when its own columns are.
func saveTask(before, row *Row) (Op, bool) {
	two := comparing.Get().(*[2][]column) //nolint:errcheck,forcetypeassert // nothing else is in it
	defer func() {
		clear(two[0])
		clear(two[1])
		comparing.Put(two)
	}()
	two[1] = row.bind(two[1][:0])
	now := two[1]
	if before == nil {
		return Op{SQL: insertTask, Args: values(now), In: Tasks}, true
	}
	two[0] = before.bind(two[0][:0])
	var set strings.Builder
	var args []any
	for i, was := range two[0] {
		if was.equals(now[i]) {
			continue
		}
		if set.Len() > 0 {
			set.WriteString(", ")
		}
		set.WriteString(taskNames[i].name + " = ?")
		args = append(args, now[i].value())
	}
	if len(args) == 0 {
		return Op{}, false
	}
	return Op{
		SQL:  "UPDATE tasks SET " + set.String() + " WHERE org = ? AND id = ?",
		Args: append(args, row.task.OrganizationID, row.task.ID), In: Tasks, Must: true,
	}, true
}

// comparing has room for the columns of a row and of the one that follows it.
var comparing = sync.Pool{New: func() any { return new([2][]column) }}

// saveTurn writes what a change says of its turn's row.
func saveTurn(ops []Op, of task.Task, t task.TurnChange) []Op {
	org, id := of.OrganizationID, of.ID
	if b := t.Begun; b != nil {
		ops = append(ops, Op{
			SQL:  "INSERT INTO turns (org, task, n, spec, first_seq, last_seq) VALUES (?, ?, ?, ?, ?, ?)",
			Args: []any{org, id, t.Number, string(b.Spec), b.FirstSeq, b.FirstSeq}, In: Turns,
		})
		ops = append(ops, saveTags(org, id, of.CreatedAt, t.Number, b.Tags)...)
	}
	var set []string
	var args []any
	add := func(column string, value any) { set, args = append(set, column+" = ?"), append(args, value) }
	if t.Result != nil {
		add("result", t.Result.Text)
	}
	if t.Shown != nil {
		add("shown_result", t.Shown.Text)
	}
	if e := t.Ended; e != nil {
		var tokens any
		if e.Tokens != nil {
			tokens = jsonField{e.Tokens}.encode()
		}
		add("status", string(e.Status))
		add("end_reason", string(e.Reason))
		add("attempts", e.Attempts)
		add("tokens", tokens)
		add("started_at", int64(e.StartedAt))
		add("finished_at", int64(e.FinishedAt))
		add("last_seq", e.LastSeq)
	}
	if len(set) > 0 {
		ops = append(ops, Op{
			SQL:  "UPDATE turns SET " + strings.Join(set, ", ") + " WHERE org = ? AND task = ? AND n = ?",
			Args: append(args, org, id, t.Number), In: Turns, Must: true,
		})
	}
	return ops
}

// dropTags forgets the tags of a task.
const dropTags = "DELETE FROM tags WHERE org = ? AND task = ?"

// saveTags keeps the tags of a turn, in the place of those of the turn before.
func saveTags(org, id string, created task.Stamp, turn int, tags []string) []Op {
	var ops []Op
	if turn > 1 {
		ops = append(ops, Op{SQL: dropTags, Args: []any{org, id}, In: Tags})
	}
	for _, tag := range tags {
		ops = append(ops, Op{SQL: "INSERT INTO tags (org, tag, created_at, task) VALUES (?, ?, ?, ?)", Args: []any{org, tag, int64(created), id}, In: Tags})
	}
	return ops
}

// PutAttempt makes an attempt or overwrites it.
func PutAttempt(org, id string, a task.Attempt) Op {
	lease := a.Lease.Microseconds()
	return Op{SQL: putAttempt, Args: values(attemptRow(&org, &id, &a, &lease)), In: Attempts, Key: attemptKey}
}

// DropAttempt removes an attempt.
func DropAttempt(org, id string, number int) Op {
	return Op{SQL: "DELETE FROM attempts WHERE org = ? AND task = ? AND number = ?", Args: []any{org, id, number}, In: Attempts}
}

func feedColumns(e *feed.Entry) []column {
	return []column{
		{"pos", &e.Commit},
		{"n", &e.N},
		{"org", &e.Organization},
		{"task", &e.Task},
		{"agent", &e.Agent},
		{"kind", &e.Kind},
		{"first_seq", &e.First},
		{"last_seq", &e.Last},
		{"node", &e.Node},
		{"worker", &e.Worker},
	}
}
