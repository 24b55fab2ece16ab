package table

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/task"
)

func passColumns(p *auth.Pass) []column {
	return []column{
		{"org", &p.Organization},
		{"hash", &p.Hash},
		{"id", &p.ID},
		{"key_id", &p.KeyID},
		{"task", &p.Task},
		{"created_at", &p.CreatedAt},
		{"until", &p.Until},
	}
}

// Statements that are made of lists of columns.
var (
	insertPassRow = insert("passes", passColumns(new(auth.Pass)))
	selectPasses  = "SELECT " + names(passColumns(new(auth.Pass)), "") + " FROM passes WHERE "
	selectPass    = "SELECT " + names(passColumns(new(auth.Pass)), "p.") + ", " + names(keyColumns(new(auth.Key)), "k.") +
		" FROM passes p JOIN keys k ON k.org = p.org AND k.id = p.key_id WHERE "
)

// readPass reads a pass with its key.
func readPass(ctx context.Context, db DB, where string, args ...any) (auth.Pass, auth.Key, error) {
	return readWithKey(ctx, db, "pass", selectPass+where, args, passColumns)
}

// readWithKey reads something that stands for a key, and the key.
func readWithKey[T any](ctx context.Context, db DB, noun, query string, args []any, columns func(*T) []column) (x T, k auth.Key, err error) {
	found := false
	err = each(ctx, db, query, args, func(rows Rows) error {
		found = true
		return scan(rows, slices.Concat(columns(&x), keyColumns(&k)))
	})
	if err != nil {
		return x, k, fmt.Errorf("read %s: %w", noun, err)
	}
	if !found {
		return x, k, fault.New(fault.NotFound, "no such %s", noun)
	}
	return x, k, nil
}

// shareable reports why a pass may not read its task: that is not there, or many do.
func shareable(ctx context.Context, db DB, p auth.Pass, now task.Stamp) error {
	there, err := exists(ctx, db, "SELECT 1 FROM tasks WHERE org = ? AND id = ? FOR KEY SHARE", p.Organization, p.Task)
	if err != nil {
		return err
	}
	if !there {
		return fault.New(fault.NotFound, "no task %q", p.Task)
	}
	n, err := count(ctx, db, "SELECT count(*) FROM passes WHERE org = ? AND task = ? AND until > ?", p.Organization, p.Task, int64(now))
	if err == nil && n >= auth.MaxShares {
		err = fault.New(fault.Conflict, "%d tokens read this task already: revoke some", n)
	}
	return err
}

// PassByHash implements auth.PassStore.
func (r *Reader) PassByHash(ctx context.Context, hash []byte) (auth.Pass, auth.Key, error) {
	return readPass(ctx, r.DB, "p.hash = ? AND p.task <> ''", hash)
}

// Passes implements auth.PassStore.
func (r *Reader) Passes(ctx context.Context, org, of string, at task.Stamp) ([]auth.Pass, error) {
	found, err := all(ctx, r.DB, selectPasses+"org = ? AND task = ? AND task <> '' AND until > ?", []any{org, of, int64(at)}, passColumns)
	if err != nil {
		return nil, fmt.Errorf("read passes: %w", err)
	}
	slices.SortFunc(found, func(a, b auth.Pass) int {
		return cmp.Or(cmp.Compare(a.CreatedAt, b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return found, nil
}

func insertPass(p auth.Pass) Op {
	return Op{SQL: insertPassRow, Args: values(passColumns(&p)), In: Passes}
}

// takePass drops a pass that nobody else has dropped meanwhile.
func takePass(p auth.Pass) Op {
	op := dropPass(p.Organization, p.Task, p.ID)
	op.Must = true
	return op
}

func dropPass(org, of, id string) Op {
	return Op{SQL: "DELETE FROM passes WHERE org = ? AND task = ? AND id = ?", Args: []any{org, of, id}, In: Passes}
}

func dropPasses(at task.Stamp) Op {
	return Op{SQL: "DELETE FROM passes WHERE until <= ?", Args: []any{int64(at)}, In: Passes}
}
