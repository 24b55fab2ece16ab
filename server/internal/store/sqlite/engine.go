package sqlite

import (
	"context"
	"errors"
	"fmt"

	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/store/table"
	"github.com/errand-dev/errand/server/internal/task"
)

// engine is the one connection that writes (package batch).
type engine struct {
	*conn
	store *Store
	// commits numbers those that left something in the feed.
	commits int64
}

func newEngine(ctx context.Context, s *Store) (*engine, error) {
	c, err := dial(s.path(), writing()...)
	if err != nil {
		return nil, fmt.Errorf("open writer: %w", err)
	}
	end, err := table.FeedEnd(ctx, c, maxCommit)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open writer: %w", err), c.Close())
	}
	return &engine{conn: c, store: s, commits: end.Commit}, nil
}

// Begin implements batch.Engine. Nobody else writes: there is nothing to lock.
func (e *engine) Begin(context.Context, []lifecycle.Key) error {
	if err := e.do("BEGIN IMMEDIATE"); err != nil {
		return e.store.failed("begin", err)
	}
	return nil
}

// Lock implements batch.Engine.
func (e *engine) Lock(context.Context, []lifecycle.Key) error { return nil }

// Now implements batch.Engine.
func (e *engine) Now() task.Stamp { return e.store.Now() }

// Writer implements batch.Engine.
func (e *engine) Writer() string { return "" }

// Send implements batch.Engine.
func (e *engine) Send(_ context.Context, ops []table.Op) error {
	for _, op := range ops {
		n, err := e.exec(op.SQL, op.Args...)
		if refusal(err) != "" {
			return e.store.failed("write", err)
		}
		if err != nil {
			return err
		}
		if op.Must && n != 1 {
			return fmt.Errorf("%d rows were changed by %s: %w", n, op.SQL, table.ErrRaced)
		}
	}
	return nil
}

// Save implements batch.Engine.
func (e *engine) Save(context.Context) error { return e.do("SAVEPOINT caller") }

// Back implements batch.Engine.
func (e *engine) Back(context.Context) error { return e.do("ROLLBACK TO caller") }

func (e *engine) do(statement string) error {
	_, err := e.exec(statement)
	return err
}

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
	if err := e.do("COMMIT"); err != nil {
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
	if e.AutocommitEnabled() {
		return
	}
	if err := e.do("ROLLBACK"); err != nil {
		e.store.opts.Log.ErrorContext(ctx, "rollback", "error", err)
	}
}

// End implements batch.Engine.
func (e *engine) End(ctx context.Context) error {
	e.Rollback(ctx)
	return nil
}
