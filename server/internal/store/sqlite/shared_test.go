package sqlite

import (
	"context"
	"sync"
	"testing"

	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/store/batch"
	"github.com/errand-dev/errand/server/internal/store/storetest"
	"github.com/errand-dev/errand/server/internal/store/table"
)

// turns is an engine whose database others write, too. Its transactions take
// turns with theirs.
type turns struct {
	*engine
	turn *sync.Mutex
}

func (e turns) Begin(ctx context.Context, about []lifecycle.Key) error {
	e.turn.Lock() // until a commit, or a rollback
	if err := e.engine.Begin(ctx, about); err != nil {
		return err
	}
	end, err := table.FeedEnd(ctx, e.engine, maxCommit)
	e.commits = end.Commit
	return err
}

func (e turns) Commit(ctx context.Context, ops []table.Op, entries []feed.Entry) error {
	err := e.engine.Commit(ctx, ops, entries)
	if err == nil {
		e.turn.Unlock()
	}
	return err
}

func (e turns) Rollback(ctx context.Context) {
	e.engine.Rollback(ctx)
	e.turn.Unlock()
}

func (e turns) End(ctx context.Context) error {
	e.Rollback(ctx)
	return nil
}

// SQLite stores refuse to share a database. Two that are made to do so, and whose
// writers remember nothing, show on any machine that the suite's races have a winner.
func TestSharedDatabase(t *testing.T) {
	t.Parallel()
	storetest.Run(t, storetest.Kind{Shared: true, OnlyRaces: true, New: func(t *testing.T) storetest.Place {
		t.Helper()
		dir := t.TempDir()
		var turn sync.Mutex
		return func(t *testing.T, o storetest.Options) storetest.Store {
			t.Helper()
			s, err := share(t, Options{Dir: dir, Now: o.Now, OnCommit: o.OnCommit, Node: o.Node}, &turn)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
	}})
}

// share opens a store beside others.
func share(t *testing.T, opts Options, turn *sync.Mutex) (*Store, error) {
	t.Helper()
	turn.Lock()
	defer turn.Unlock()
	s, err := Open(t.Context(), opts)
	if err != nil {
		return nil, err
	}
	if err := s.lock.Unlock(); err != nil {
		return nil, err
	}
	return s, rewire(t.Context(), s, batch.Options{OnCommit: opts.OnCommit}, func(e *engine) batch.Engine { return turns{e, turn} })
}

// rewire gives a store other writers.
func rewire(ctx context.Context, s *Store, opts batch.Options, wrap func(*engine) batch.Engine) error {
	if err := s.writers.Close(); err != nil {
		return err
	}
	e, err := newEngine(ctx, s)
	if err != nil {
		return err
	}
	s.writers = batch.Start(opts, wrap(e))
	s.Writer = &table.Writer{Edit: s.writers.Edit, Words: words()}
	return nil
}
