package table

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/errand-dev/errand/server/internal/files"
	"github.com/errand-dev/errand/server/internal/task"
)

// The rows of outputs are among those of files: they say which contents a task has
// written and not replaced.

// saveOutput notes an output in place of the one of its name. Its file is brought by
// the task's owner; a file that it replaces is used no more, unless the task has it
// from elsewhere, too.
func saveOutput(t task.Task, o task.Output) []Op {
	org := t.OrganizationID
	f := files.File{ID: o.File, Size: o.Size, ContentType: o.ContentType}
	ops := []Op{
		putFile(org, f, o.At),
		{
			SQL: `INSERT INTO file_owners (org, id, owner, grp, name, at, left_at) VALUES (?, ?, ?, ?, ?, ?, 0)
				ON CONFLICT (org, id, owner, grp) DO UPDATE SET left_at = 0,
					name = CASE WHEN file_owners.name = '' THEN excluded.name ELSE file_owners.name END`,
			Args: []any{org, o.File, t.Owner, t.Group, o.Name, int64(o.At)}, In: Files,
		},
		{
			SQL:  "INSERT INTO file_uses (org, id, task, owner, grp, given) VALUES (?, ?, ?, ?, ?, 0) ON CONFLICT (org, id, task) DO NOTHING",
			Args: []any{org, o.File, t.ID, t.Owner, t.Group}, In: Files,
		},
		{
			SQL: `INSERT INTO outputs (org, task, seq, turn, name, file) VALUES (?, ?, ?, ?, ?, ?)
				ON CONFLICT (org, task, turn, name) DO UPDATE SET seq = excluded.seq, file = excluded.file`,
			Args: []any{org, t.ID, o.Seq, o.Turn, o.Name, o.File}, In: Files,
		},
	}
	if o.Replaces == "" {
		return ops
	}
	unused := ` AND u.given = 0 AND NOT EXISTS (SELECT 1 FROM outputs x WHERE x.org = u.org AND x.task = u.task AND x.file = u.id)`
	return append(ops,
		Op{
			SQL: `UPDATE file_owners AS o SET left_at = ? WHERE o.org = ? AND o.id = ?
				AND EXISTS (SELECT 1 FROM file_uses u WHERE u.org = o.org AND u.id = o.id AND u.task = ?` + unused + " AND " + counts + ")",
			Args: []any{int64(o.At), org, o.Replaces, t.ID}, In: Files,
		},
		Op{
			SQL:  "DELETE FROM file_uses AS u WHERE u.org = ? AND u.id = ? AND u.task = ?" + unused,
			Args: []any{org, o.Replaces, t.ID}, In: Files,
		},
	)
}

const readingOutputs = `SELECT e.seq, e.turn, e.time, e.own, e.attempt
	FROM outputs o JOIN events e ON e.org = o.org AND e.task = o.task AND e.seq = o.seq
	WHERE o.org = ? AND o.task = ?`

func outputs(ctx context.Context, db DB, condition string, args ...any) ([]task.Output, error) {
	var found []task.Output
	err := each(ctx, db, readingOutputs+condition, args, func(rows Rows) error {
		var e task.Event
		var own string
		if err := rows.Scan(&e.Seq, &e.Turn, &e.Time, &own, &e.Author.Attempt); err != nil {
			return err
		}
		e.Own = json.RawMessage(own)
		o, err := task.OutputOf(e)
		found = append(found, o)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read outputs: %w", err)
	}
	return found, nil
}

// Outputs implements lifecycle.TaskReader.
func (r *Reader) Outputs(ctx context.Context, org, id string, turn int, after int64, limit int) ([]task.Output, error) {
	if turn == 0 {
		return outputs(ctx, r.DB, " AND o.seq > ? ORDER BY o.seq LIMIT ?", org, id, after, limit)
	}
	return outputs(ctx, r.DB, " AND o.turn = ? AND o.seq > ? ORDER BY o.seq LIMIT ?", org, id, turn, after, limit)
}

// Output implements lifecycle.TaskReader.
func (r *Reader) Output(ctx context.Context, org, id string, turn int, name string) (*task.Output, error) {
	return ReadOutput(ctx, r.DB, org, id, turn, name)
}

// ReadOutput reads an output by its name, of a turn or, with 0, of the newest that has
// one; nil when there is none.
func ReadOutput(ctx context.Context, db DB, org, id string, turn int, name string) (*task.Output, error) {
	condition, args := " AND o.name = ?", []any{org, id, name}
	if turn != 0 {
		condition, args = " AND o.turn = ? AND o.name = ?", []any{org, id, turn, name}
	}
	found, err := outputs(ctx, db, condition+" ORDER BY o.seq DESC LIMIT 1", args...)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

// CountOutputs counts the outputs of a turn.
func CountOutputs(ctx context.Context, db DB, org, id string, turn int) (int, error) {
	return count(ctx, db, "SELECT count(*) FROM outputs WHERE org = ? AND task = ? AND turn = ?", org, id, turn)
}
