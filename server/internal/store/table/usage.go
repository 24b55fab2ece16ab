package table

import (
	"context"
	"fmt"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/task"
)

// Count adds to what was counted for a spender on a day. Each writer has a row of its own:
// none waits for another's commit.
func Count(org string, of task.Spender, day task.Stamp, spent task.Allowance, writer string) Op {
	return Op{
		SQL: "INSERT INTO usage (org, kind, id, day, writer, tokens, cost) VALUES (?, ?, ?, ?, ?, ?, ?)" +
			" ON CONFLICT (org, kind, id, day, writer) DO UPDATE SET tokens = usage.tokens + excluded.tokens, cost = usage.cost + excluded.cost",
		Args: []any{org, string(of.Of), of.ID, int64(day), writer, spent.Tokens, spent.Cost}, In: Usage,
	}
}

// Used reads what was counted for a spender on the days from one until another.
func Used(ctx context.Context, db DB, org string, of task.Spender, from, until task.Stamp) (used task.Allowance, err error) {
	err = each(ctx, db, "SELECT tokens, cost FROM usage WHERE org = ? AND kind = ? AND id = ? AND day >= ? AND day < ?",
		[]any{org, string(of.Of), of.ID, int64(from), int64(until)}, func(rows Rows) error {
			var x task.Allowance
			err := rows.Scan(&x.Tokens, &x.Cost)
			used.Tokens, used.Cost = used.Tokens+x.Tokens, used.Cost+x.Cost
			return err
		})
	if err != nil {
		return used, fmt.Errorf("read what was used: %w", err)
	}
	return used, nil
}

// Used implements lifecycle.TaskReader.
func (r *Reader) Used(ctx context.Context, org string, of task.Spender, from, until task.Stamp) (task.Allowance, error) {
	return Used(ctx, r.DB, org, of, from, until)
}

// Spenders implements lifecycle.TaskReader.
func (r *Reader) Spenders(ctx context.Context, org string, kind task.CapOf, from, until task.Stamp, behind task.Spender, limit int) ([]task.Spender, error) {
	query, args := "SELECT DISTINCT kind, id FROM usage WHERE org = ? AND (kind, id) > (?, ?)", []any{org, string(behind.Of), behind.ID}
	if kind != "" {
		query, args = query+" AND kind = ?", append(args, string(kind))
	}
	var found []task.Spender
	err := each(ctx, r.DB, query+" AND day >= ? AND day < ? ORDER BY kind, id LIMIT ?", append(args, int64(from), int64(until), limit), func(rows Rows) error {
		var of, id string
		err := rows.Scan(&of, &id)
		found = append(found, task.Spender{Of: task.CapOf(of), ID: id})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read who has used something: %w", err)
	}
	return found, nil
}

// Capped implements lifecycle.TaskReader.
func (r *Reader) Capped(ctx context.Context, org string) ([]string, error) {
	names, err := texts(ctx, r.DB, "SELECT DISTINCT capped FROM tasks INDEXED BY tasks_capped WHERE org = ? AND capped <> ''", org)
	if err != nil {
		return nil, fmt.Errorf("read caps that hold tasks: %w", err)
	}
	return names, nil
}

// CappedBy implements lifecycle.TaskReader.
func (r *Reader) CappedBy(ctx context.Context, org, name, after string, limit int) ([]string, error) {
	ids, err := texts(ctx, r.DB, "SELECT id FROM tasks INDEXED BY tasks_capped WHERE org = ? AND capped = ? AND capped <> '' AND id > ? ORDER BY id LIMIT ?",
		org, name, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read what a cap holds: %w", err)
	}
	return ids, nil
}

// ReadCaps reads the caps of an agent or a key, nil for none.
func ReadCaps(ctx context.Context, db DB, org string, of task.Spender) (*task.Caps, error) {
	if of.Of == task.CapKey {
		found, err := readKeys(ctx, db, "org = ? AND id = ?", org, of.ID)
		if err != nil || len(found) == 0 {
			return nil, err
		}
		return found[0].Caps, nil
	}
	a, err := ReadAgent(ctx, db, org, of.ID, 0, "")
	if fault.CodeOf(err) == fault.NotFound {
		return nil, nil //nolint:nilnil // nil is the documented answer
	}
	return a.Record.Caps, err
}

// Caps implements lifecycle.RecordReader.
func (r *Reader) Caps(ctx context.Context, org string, of task.Spender) (*task.Caps, error) {
	return ReadCaps(ctx, r.DB, org, of)
}
