package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
)

// grownFirst is how many changes of this node ask for the first look at the tables; each
// later look is asked for by twice as many.
const grownFirst = 128

// grownTables are those that take more than twice the pages that they had when the
// database looked at them: what it knows is of another table.
const grownTables = `SELECT quote_ident(relname) FROM pg_class WHERE relkind = 'r'
	AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())
	AND pg_relation_size(oid) > 2 * current_setting('block_size')::bigint * greatest(relpages, 1)`

// grew counts changes that were stored, and asks for a look at the tables.
func (s *Store) grew(changes int) {
	if next := s.nextLook.Load(); s.changes.Add(int64(changes)) >= next && s.nextLook.CompareAndSwap(next, 2*next) {
		leave(s.grown)
	}
}

// analyzeGrown lets the database look at tables that have grown. By itself it does so
// once a minute, and until then plans its statements as for an empty table, and keeps
// these plans: each of them would read all rows that a minute has brought.
func (s *Store) analyzeGrown(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.grown:
		}
		if err := s.analyze(ctx); err != nil && ctx.Err() == nil {
			s.opts.Log.DebugContext(ctx, "the database did not look at its tables", "error", bare(err))
		}
	}
}

// analyze lets the database look at the tables that have grown, one after the other.
func (s *Store) analyze(ctx context.Context) error {
	found, err := s.pool.Query(ctx, grownTables)
	if err != nil {
		return err
	}
	names, err := pgx.CollectRows(found, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, name := range names {
		_, failed := s.pool.Exec(ctx, "ANALYZE (SKIP_LOCKED) "+name)
		err = errors.Join(err, failed)
	}
	return err
}
