package table

import (
	"context"
	"fmt"
)

// DeleteTask removes a task, and what somebody might take for its successor's. It
// leaves the rest to Erase.
func DeleteTask(org, id string) []Op {
	var ops []Op
	for _, d := range []struct {
		sql string
		in  Name
	}{
		{"INSERT INTO graves (org, task) VALUES (?, ?) ON CONFLICT DO NOTHING", Graves},
		{"DELETE FROM attempts WHERE org = ? AND task = ? AND " + matters, Attempts},
		{"DELETE FROM tasks WHERE org = ? AND id = ?", Tasks},
		{dropTags, Tags},
		{"DELETE FROM secrets WHERE org = ? AND owner = 'task' AND id = ?", Secrets},
		{"DELETE FROM passes WHERE org = ? AND task = ?", Passes},
		{"DELETE FROM pushes WHERE org = ? AND task = ?", Pushes},
		{"DELETE FROM replays INDEXED BY replays_task WHERE org = ? AND task = ?", Replays},
	} {
		ops = append(ops, Op{SQL: d.sql, Args: []any{org, id}, In: d.in})
	}
	return ops
}

const (
	// matters is true of attempts that others look at than their task: a lease that
	// runs, a worker that may have to tell of it. Those of a deleted task that are
	// put back outlive it.
	matters = "(let_go_at = 0 OR reported = 0)"
	past    = "let_go_at <> 0 AND reported = 1"
	// eraseBytes is after how much text one Erase ends, with the row that reaches it.
	eraseBytes = 4 << 20
)

// remains is what is left of a deleted task in one table: rows by their number, and
// how many bytes each has.
type remains struct {
	in         Name
	list, drop string
}

// leftovers are listed and dropped from their end, so that a log that somebody still
// reads ends early and has no holes.
func leftovers() []remains {
	of := func(in Name, table, number, size, where string) remains {
		return remains{
			in, "SELECT " + number + ", " + size + " FROM " + table + " WHERE org = ? AND task = ?" + where + " ORDER BY " + number + " DESC LIMIT ?",
			"DELETE FROM " + table + " WHERE org = ? AND task = ? AND " + number + " >= ?" + where,
		}
	}
	return []remains{
		of(Documents, "documents", "last_seq", "0", ""),
		of(Steps, "steps", "seq", "0", ""),
		of(Approvals, "approvals", "seq", "0", ""),
		of(Events, "events", "seq", "octet_length(own) + COALESCE(octet_length(packed), 0)", ""),
		of(Files, "outputs", "seq", "0", ""),
		of(Files, "given_files", "seq", "0", ""),
		of(Turns, "turns", "n", "octet_length(spec) + COALESCE(octet_length(result), 0) + COALESCE(octet_length(shown_result), 0)", ""),
		of(Attempts, "attempts", "number", "0", " AND "+past),
	}
}

// Unerased reports whether something may be left of a deleted task.
func Unerased(ctx context.Context, db DB, org, id string) (bool, error) {
	return exists(ctx, db, "SELECT 1 FROM graves WHERE org = ? AND task = ?", org, id)
}

// Erase is the writes that remove at most so many rows of a deleted task. It also
// returns how many fewer they are: then nothing is left.
func Erase(ctx context.Context, db DB, org, id string, rows int) (ops []Op, left int, err error) {
	// Two who are at it do it one after the other.
	there, err := exists(ctx, db, "SELECT 1 FROM graves WHERE org = ? AND task = ? FOR UPDATE", org, id)
	if !there || err != nil {
		return nil, rows, err
	}
	bytes := eraseBytes
	for _, r := range leftovers() {
		n, lowest := 0, int64(0)
		if err := each(ctx, db, r.list, []any{org, id, rows}, func(found Rows) error {
			var number int64
			var size int
			if err := found.Scan(&number, &size); err != nil || bytes <= 0 {
				return err
			}
			n, lowest, bytes = n+1, number, bytes-size
			return nil
		}); err != nil {
			return nil, 0, fmt.Errorf("read what is left of a task: %w", err)
		}
		if n > 0 {
			ops = append(ops, Op{SQL: r.drop, Args: []any{org, id, lowest}, In: r.in})
		}
		if rows -= n; rows == 0 || bytes <= 0 {
			return ops, 0, nil
		}
	}
	return append(ops, Op{SQL: "DELETE FROM graves WHERE org = ? AND task = ?", Args: []any{org, id}, In: Graves}), rows, nil
}
