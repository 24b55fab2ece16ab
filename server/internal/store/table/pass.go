package table

import (
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
	selectPass    = "SELECT " + names(passColumns(new(auth.Pass)), "p.") + ", " + names(keyColumns(new(auth.Key)), "k.") +
		" FROM passes p JOIN keys k ON k.org = p.org AND k.id = p.key_id WHERE "
)

// readPass reads a pass with its key.
func readPass(ctx context.Context, db DB, where string, args ...any) (p auth.Pass, k auth.Key, err error) {
	found := false
	err = each(ctx, db, selectPass+where, args, func(rows Rows) error {
		found = true
		return scan(rows, slices.Concat(passColumns(&p), keyColumns(&k)))
	})
	if err != nil {
		return p, k, fmt.Errorf("read pass: %w", err)
	}
	if !found {
		return p, k, fault.New(fault.NotFound, "no such pass")
	}
	return p, k, nil
}

func insertPass(p auth.Pass) Op {
	return Op{SQL: insertPassRow, Args: values(passColumns(&p)), In: Passes}
}

// takePass drops a pass that nobody else has dropped meanwhile.
func takePass(p auth.Pass) Op {
	return Op{SQL: "DELETE FROM passes WHERE org = ? AND task = ? AND id = ?", Args: []any{p.Organization, p.Task, p.ID}, In: Passes, Must: true}
}

func dropPasses(at task.Stamp) Op {
	return Op{SQL: "DELETE FROM passes WHERE until <= ?", Args: []any{int64(at)}, In: Passes}
}
