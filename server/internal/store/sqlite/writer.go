package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// maxBatch bounds how many callers share one commit, so that the first of
// them does not wait for an endless queue behind it.
const maxBatch = 256

// request is one caller's write on its way through the writer.
type request struct {
	ctx  context.Context //nolint:containedctx // it is the caller's own, and is dropped with the request
	fn   func(lifecycle.Tx) error
	err  error
	done chan struct{}
}

// writer owns the one connection that writes. Whoever waits when it becomes
// free goes into the next commit together; a lone caller never waits for company.
type writer struct {
	store  *Store
	conn   *sql.Conn
	stmts  map[string]*sql.Stmt
	agents map[agentKey]agent.Agent // as the transaction sees them
	memory memory
	queue  chan *request
	stop   chan struct{}
	once   sync.Once
	gone   chan struct{}
}

func newWriter(ctx context.Context, s *Store) (*writer, error) {
	conn, err := s.write.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("open writer: %w", err)
	}
	w := &writer{
		store: s, conn: conn, stmts: map[string]*sql.Stmt{}, agents: map[agentKey]agent.Agent{},
		queue: make(chan *request), stop: make(chan struct{}), gone: make(chan struct{}),
	}
	go w.run()
	return w, nil
}

// Write implements lifecycle.Store.
func (s *Store) Write(ctx context.Context, fn func(lifecycle.Tx) error) error {
	r := &request{ctx: ctx, fn: fn, done: make(chan struct{})}
	select {
	case s.w.queue <- r:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.w.stop:
		return fault.New(fault.Unavailable, "the server is shutting down")
	}
	// From here on the outcome is the commit's: leaving early could report a
	// failure of what is stored.
	<-r.done
	return r.err
}

func (w *writer) run() {
	defer close(w.gone)
	batch := make([]*request, 0, maxBatch)
	for {
		batch = batch[:0]
		select {
		case r := <-w.queue:
			batch = append(batch, r)
		case <-w.stop:
			return
		}
		w.commit(w.gather(batch))
	}
}

// gather adds everybody who waits at this moment.
func (w *writer) gather(batch []*request) []*request {
	for len(batch) < maxBatch {
		select {
		case r := <-w.queue:
			batch = append(batch, r)
		default:
			return batch
		}
	}
	return batch
}

// commit writes a batch in one transaction. If one of them fails after it has
// written, the transaction is undone and each is tried alone, so that no
// caller fails for its neighbour's fault.
func (w *writer) commit(batch []*request) {
	err := w.try(batch)
	_, undone := errors.AsType[dirtyError](err)
	for _, r := range batch {
		alone := err
		if undone && len(batch) > 1 {
			alone = w.try([]*request{r})
		}
		if alone != nil { // else r.err is its own outcome
			r.err = alone
		}
	}
	for _, r := range batch {
		close(r.done)
	}
}

// dirtyError marks a request that failed after it had written.
type dirtyError struct{ cause error }

func (e dirtyError) Error() string { return e.cause.Error() }
func (e dirtyError) Unwrap() error { return e.cause }

// try runs the requests in one transaction. A request's own, clean failure is
// set in the request; an error means that nothing of the batch is stored.
func (w *writer) try(batch []*request) (err error) {
	begun := time.Now()
	if err := w.do("BEGIN IMMEDIATE"); err != nil {
		return w.failed("begin", err)
	}
	defer func() {
		if err != nil {
			clear(w.agents)
			w.memory.clear()
			w.undo()
		}
	}()
	all := &tx{w: w}
	wrote := false
	for _, r := range batch {
		if r.err = r.ctx.Err(); r.err != nil {
			continue
		}
		one := &tx{w: w}
		r.err = call(r.fn, one)
		switch {
		case r.err != nil && one.dirty:
			return dirtyError{r.err}
		case r.err == nil:
			wrote = wrote || one.dirty
			all.changes = append(all.changes, one.changes...)
			all.deleted = append(all.deleted, one.deleted...)
		}
	}
	if !wrote {
		w.undo()
		return nil
	}
	if err := w.do("COMMIT"); err != nil {
		return w.failed("commit", err)
	}
	if measure := w.store.opts.OnBatch; measure != nil {
		measure(len(batch), time.Since(begun))
	}
	if len(all.changes) > 0 {
		w.store.recovered()
	}
	all.publish()
	return nil
}

// do runs a statement that begins or ends a transaction.
func (w *writer) do(statement string) error {
	s, err := w.stmt(statement)
	if err == nil {
		_, err = s.ExecContext(context.Background())
	}
	return err
}

// undo ends the transaction, unless SQLite has: it does so by itself when the
// disk fails.
func (w *writer) undo() {
	if err := w.do("ROLLBACK"); err != nil && !strings.Contains(err.Error(), "no transaction is active") {
		w.store.opts.Log.Error("rollback", "error", err)
	}
}

// call turns a panic of fn into an error, which undoes its writes.
func call(fn func(lifecycle.Tx) error, t *tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			t.dirty = true
			err = fmt.Errorf("panic in a write: %v", p)
		}
	}()
	return fn(t)
}

// stmt prepares a statement once. Only the writer's goroutine calls it.
func (w *writer) stmt(query string) (*sql.Stmt, error) {
	if s, ok := w.stmts[query]; ok {
		return s, nil
	}
	s, err := w.conn.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	w.stmts[query] = s
	return s, nil
}

func (w *writer) close() error {
	w.once.Do(func() { close(w.stop) })
	<-w.gone
	var errs []error
	for _, s := range w.stmts {
		errs = append(errs, s.Close())
	}
	w.stmts = nil
	if err := w.conn.Close(); err != nil && !errors.Is(err, sql.ErrConnDone) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// tx is one request's part of a transaction.
type tx struct {
	w       *writer
	dirty   bool
	now     task.Stamp
	rows    map[taskKey]*row // tasks as they were read
	changes []task.Change
	deleted [][2]string
}

// publish makes a commit known.
func (t *tx) publish() {
	opts := t.w.store.opts
	if opts.OnCommit != nil && len(t.changes) > 0 {
		opts.OnCommit(t.changes)
	}
	for _, d := range t.deleted {
		if opts.OnDelete != nil {
			opts.OnDelete(d[0], d[1])
		}
	}
}

func (t *tx) exec(query string, args ...any) error {
	t.dirty = true
	s, err := t.w.stmt(query)
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	if _, err = s.ExecContext(context.Background(), args...); refusal(err) != "" {
		return t.w.failed("write", err)
	}
	return err
}

// execAll is exec of a statement that changes tasks, or attempts under a lease,
// without naming them: nothing that the writer remembers holds after it.
func (t *tx) execAll(query string, args ...any) error {
	t.w.memory.clear()
	return t.exec(query, args...)
}

// Now implements lifecycle.Tx: one moment for all that a request does.
func (t *tx) Now() task.Stamp {
	if t.now == 0 {
		t.now = task.StampOf(t.w.store.opts.Now())
	}
	return t.now
}

func (t *tx) statements() *statements { return t.w.store.made }

// query implements querier on the writer's own connection, so that a caller
// sees the writes of those before it in the batch.
func (t *tx) query(_ context.Context, query string, args ...any) (*sql.Rows, error) {
	s, err := t.w.stmt(query)
	if err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	return s.QueryContext(context.Background(), args...)
}
