package table

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/errand-dev/errand/server/internal/files"
	"github.com/errand-dev/errand/server/internal/task"
)

// saveGiven notes which event tells what was given of a file, in place of what an
// earlier attempt was given.
func saveGiven(org, id string, g task.Given) Op {
	return Op{
		SQL: `INSERT INTO given_files (org, task, seq, turn, n) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (org, task, turn, n) DO UPDATE SET seq = excluded.seq`,
		Args: []any{org, id, g.Seq, g.Turn, g.Number}, In: Files,
	}
}

// putKept notes that an organization has a content that nobody has brought: the server
// has made it, for tasks to use. Until one does it counts as left.
func putKept(org string, f files.File, at task.Stamp) []Op {
	return []Op{
		putFile(org, f, at),
		{
			SQL: `INSERT INTO file_owners (org, id, owner, grp, name, at, left_at) VALUES (?, ?, '', '', '', ?, ?)
				ON CONFLICT (org, id, owner, grp) DO UPDATE SET left_at = CASE WHEN file_owners.left_at > 0 THEN excluded.left_at ELSE 0 END`,
			Args: []any{org, f.ID, int64(at), int64(at)}, In: Files,
		},
	}
}

// PutKept implements files.Store.
func (w *Writer) PutKept(ctx context.Context, org string, f files.File) error {
	return w.put(ctx, func(now task.Stamp) []Op { return putKept(org, f, now) })
}

// Given implements lifecycle.TaskReader.
func (r *Reader) Given(ctx context.Context, org, id string, turn, after, limit int) ([]task.Given, error) {
	var found []task.Given
	size := 0
	err := each(ctx, r.DB, `SELECT e.seq, e.turn, e.time, e.own
		FROM given_files g JOIN events e ON e.org = g.org AND e.task = g.task AND e.seq = g.seq
		WHERE g.org = ? AND g.task = ? AND g.turn = ? AND g.n > ? ORDER BY g.n LIMIT ?`, []any{org, id, turn, after, limit}, func(rows Rows) error {
		var e task.Event
		var own string
		if err := rows.Scan(&e.Seq, &e.Turn, &e.Time, &own); err != nil {
			return err
		}
		e.Own = json.RawMessage(own)
		g, err := task.GivenOf(e)
		if err != nil {
			return err
		}
		found = append(found, g)
		if size += len(own); size >= maxBytes {
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, fmt.Errorf("read what was given: %w", err)
	}
	return found, nil
}
