package table

import (
	"context"
	"fmt"
	"slices"

	"github.com/errand-dev/errand/server/internal/task"
)

// Coming implements files.Store.
func (w *Writer) Coming(ctx context.Context, id string) (free bool, err error) {
	err = w.Edit(ctx, func(db DB, now task.Stamp) ([]Op, error) {
		going, err := exists(ctx, db, "SELECT 1 FROM transit WHERE id = ? AND going = 1", id)
		if free = !going; going || err != nil {
			return nil, err
		}
		return []Op{{
			SQL: `INSERT INTO transit (id, at, coming, going) VALUES (?, ?, 1, 0)
				ON CONFLICT (id) DO UPDATE SET at = excluded.at, coming = transit.coming + 1 WHERE transit.going = 0`,
			Args: []any{id, int64(now)}, In: Files, Must: true,
		}}, nil
	})
	return free, err
}

// Came implements files.Store.
func (w *Writer) Came(ctx context.Context, id string) error {
	return w.put(ctx, func(task.Stamp) []Op {
		return []Op{{SQL: "UPDATE transit SET coming = coming - 1 WHERE id = ? AND coming > 0", Args: []any{id}, In: Files}}
	})
}

// loosen notes that a content may be nobody's from now on.
func loosen(id string, now task.Stamp) Op {
	return Op{SQL: "INSERT INTO transit (id, at, coming, going) VALUES (?, ?, 0, 0) ON CONFLICT (id) DO NOTHING", Args: []any{id, int64(now)}, In: Files}
}

// Going implements files.Store.
func (w *Writer) Going(ctx context.Context, only string, lost, stuck task.Stamp, limit int) (ids []string, since task.Stamp, more bool, err error) {
	err = w.Edit(ctx, func(db DB, now task.Stamp) ([]Op, error) {
		ids, since = nil, now // not those of an earlier run
		found, err := texts(ctx, db, `SELECT id FROM transit
			WHERE (going = 0 AND coming = 0 OR going = 0 AND coming > 0 AND at < ? OR going = 1 AND at < ?) AND (? = '' OR id = ?) LIMIT ? FOR UPDATE`,
			int64(lost), int64(stuck), only, only, limit)
		if more = len(found) == limit; len(found) == 0 || err != nil {
			return nil, err
		}
		places, args := among(found)
		known, err := texts(ctx, db, "SELECT DISTINCT id FROM files WHERE id IN "+places, args...)
		if err != nil {
			return nil, err
		}
		var ops []Op
		for _, id := range found {
			if slices.Contains(known, id) {
				ops = append(ops, Op{SQL: "DELETE FROM transit WHERE id = ?", Args: []any{id}, In: Files})
				continue
			}
			ids = append(ids, id)
			ops = append(ops, Op{SQL: "UPDATE transit SET going = 1, at = ? WHERE id = ?", Args: []any{int64(now), id}, In: Files})
		}
		return ops, nil
	})
	if err != nil {
		return nil, 0, false, fmt.Errorf("find contents that nobody has: %w", err)
	}
	return ids, since, more, nil
}

// Stay implements files.Store.
func (w *Writer) Stay(ctx context.Context, since task.Stamp, ids []string) error {
	return w.transit(ctx, "UPDATE transit SET going = 0", since, ids)
}

// Gone implements files.Store.
func (w *Writer) Gone(ctx context.Context, since task.Stamp, ids []string) error {
	return w.transit(ctx, "DELETE FROM transit", since, ids)
}

// transit changes the rows of those of some contents that are going since a moment.
func (w *Writer) transit(ctx context.Context, change string, since task.Stamp, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	places, args := among(ids)
	return w.put(ctx, func(task.Stamp) []Op {
		return []Op{{SQL: change + " WHERE going = 1 AND at = ? AND id IN " + places, Args: append([]any{int64(since)}, args...), In: Files}}
	})
}

// PutPiece implements blob.Rows.
func (w *Writer) PutPiece(ctx context.Context, id string, n int, piece []byte) error {
	return w.put(ctx, func(task.Stamp) []Op {
		return []Op{{
			SQL:  "INSERT INTO pieces (id, n, piece) VALUES (?, ?, ?) ON CONFLICT (id, n) DO UPDATE SET piece = excluded.piece",
			Args: []any{id, n, piece}, In: Pieces,
		}}
	})
}

// DropPieces implements blob.Rows.
func (w *Writer) DropPieces(ctx context.Context, id string) error {
	return w.put(ctx, func(task.Stamp) []Op {
		return []Op{{SQL: "DELETE FROM pieces WHERE id = ?", Args: []any{id}, In: Pieces}}
	})
}

// Piece implements blob.Rows.
func (r *Reader) Piece(ctx context.Context, id string, n int) ([]byte, error) {
	var piece []byte
	found, err := one(ctx, r.DB, "SELECT piece FROM pieces WHERE id = ? AND n = ?", []any{id, n}, &piece)
	if err != nil {
		return nil, fmt.Errorf("read a content: %w", err)
	}
	if found && piece == nil {
		piece = []byte{}
	}
	return piece, nil
}
