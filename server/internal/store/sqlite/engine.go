package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/store/table"
	"github.com/errand-dev/errand/server/internal/task"
)

// engine is the one connection that writes (package batch).
type engine struct {
	store *Store
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
	// commits numbers those that left something in the feed.
	commits int64
}

func newEngine(ctx context.Context, s *Store) (*engine, error) {
	conn, err := s.write.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("open writer: %w", err)
	}
	e := &engine{store: s, conn: conn, stmts: map[string]*sql.Stmt{}}
	end, err := table.FeedEnd(ctx, e, maxCommit)
	e.commits = end.Commit
	return e, err
}

// stmt prepares a statement once.
func (e *engine) stmt(ctx context.Context, query string) (*sql.Stmt, error) {
	if s, ok := e.stmts[query]; ok {
		return s, nil
	}
	s, err := e.conn.PrepareContext(ctx, spelled(query))
	if err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	e.stmts[query] = s
	return s, nil
}

// Query implements table.DB on the writer's own connection.
func (e *engine) Query(ctx context.Context, query string, args ...any) (table.Rows, error) {
	s, err := e.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(ctx, args...)
}

// do runs a statement without arguments.
func (e *engine) do(ctx context.Context, statement string) error {
	s, err := e.stmt(ctx, statement)
	if err == nil {
		_, err = s.ExecContext(ctx)
	}
	return err
}

// Begin implements batch.Engine. Nobody else writes: there is nothing to lock.
func (e *engine) Begin(ctx context.Context, _ []lifecycle.Key) error {
	if err := e.do(ctx, "BEGIN IMMEDIATE"); err != nil {
		return e.store.failed("begin", err)
	}
	return nil
}

// Lock implements batch.Engine.
func (e *engine) Lock(context.Context, []lifecycle.Key) error { return nil }

// Now implements batch.Engine.
func (e *engine) Now() task.Stamp { return e.store.Now() }

// Send implements batch.Engine.
func (e *engine) Send(ctx context.Context, ops []table.Op) error {
	for _, op := range ops {
		s, err := e.stmt(ctx, op.SQL)
		if err != nil {
			return err
		}
		done, err := s.ExecContext(ctx, op.Args...)
		if refusal(err) != "" {
			return e.store.failed("write", err)
		}
		if err != nil {
			return err
		}
		if !op.Must {
			continue
		}
		if n, err := done.RowsAffected(); err != nil || n != 1 {
			return fmt.Errorf("%d rows were changed by %s: %w", n, op.SQL, errors.Join(err, table.ErrRaced))
		}
	}
	return nil
}

// Save implements batch.Engine.
func (e *engine) Save(ctx context.Context) error { return e.do(ctx, "SAVEPOINT caller") }

// Back implements batch.Engine.
func (e *engine) Back(ctx context.Context) error { return e.do(ctx, "ROLLBACK TO caller") }

// Commit implements batch.Engine.
func (e *engine) Commit(ctx context.Context, ops []table.Op, entries []feed.Entry) error {
	if len(entries) > 0 {
		for i := range entries {
			entries[i].Position, entries[i].Node = feed.Position{Commit: e.commits + 1, N: i}, e.store.opts.Node
		}
		ops = append(ops, table.InsertFeed(entries, e.Now())...)
	}
	if err := e.Send(ctx, ops); err != nil {
		return err
	}
	if err := e.do(ctx, "COMMIT"); err != nil {
		return e.store.failed("commit", err)
	}
	if len(entries) > 0 {
		e.commits++
		e.store.recovered()
	}
	return nil
}

// Rollback implements batch.Engine. SQLite ends a transaction by itself when the
// disk fails.
func (e *engine) Rollback(ctx context.Context) {
	if err := e.do(ctx, "ROLLBACK"); err != nil && !strings.Contains(err.Error(), "no transaction is active") {
		e.store.opts.Log.ErrorContext(ctx, "rollback", "error", err)
	}
}

// Close implements batch.Engine.
func (e *engine) Close() error {
	var errs []error
	for _, s := range e.stmts {
		errs = append(errs, s.Close())
	}
	e.stmts = nil
	if err := e.conn.Close(); err != nil && !errors.Is(err, sql.ErrConnDone) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
