package postgres

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/store/table"
	"github.com/errand-dev/errand/server/internal/task"
)

var errClosed = errors.New("the connection is closed")

func isEOF(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// engine is the connection of one of the store's writers (package batch). A
// transaction takes two trips: what begins it, locks what it is about and reads
// the clock; and what was recorded, with COMMIT. Questions take one each.
type engine struct {
	store *Store
	n     int // which of the store's writers
	conn  *pgx.Conn
	now   task.Stamp
	saved bool // there is a savepoint
	// replicated says that commits wait for a standby, and doubt that the last one has
	// given up waiting: it stands, but may be lost with the server.
	replicated, doubt bool
}

// Query implements table.DB inside the transaction.
func (e *engine) Query(_ context.Context, query string, args ...any) (table.Rows, error) {
	found, err := db{e.conn, &e.store.spelling, answerTime}.Query(e.store.trips, query, args...)
	return found, e.failed("read", err)
}

// Locking statements. Rows are locked in the order of their keys, so that two
// writers wait for each other one way only.
const (
	lockTasks = `SELECT 1 FROM tasks t JOIN unnest($1::text[], $2::text[]) AS k (org, id) ON t.org = k.org AND t.id = k.id
		ORDER BY t.org, t.id FOR UPDATE OF t`
	lockAgents = `SELECT 1 FROM agents t JOIN unnest($1::text[], $2::text[]) AS k (org, id) ON t.org = k.org AND t.id = k.id
		ORDER BY t.org, t.id FOR UPDATE OF t`
	readClock = `SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint`
)

// trip is the context of one trip to the database, which no caller ends.
func (e *engine) trip() (context.Context, context.CancelFunc) {
	return context.WithTimeout(e.store.trips, answerTime)
}

// send makes a trip.
func (e *engine) send(trip *pgx.Batch) error {
	ctx, done := e.trip()
	defer done()
	return e.conn.SendBatch(ctx, trip).Close()
}

// lock adds the locks of keys to a trip, and reports whether there are any.
func lock(trip *pgx.Batch, about []lifecycle.Key) (some bool) {
	for of, statement := range map[lifecycle.KeyKind]string{lifecycle.TaskKey: lockTasks, lifecycle.AgentKey: lockAgents} {
		var orgs, ids []string
		for _, k := range about {
			if k.Of == of {
				orgs, ids = append(orgs, k.Organization), append(ids, k.ID)
			}
		}
		if len(ids) > 0 {
			trip.Queue(statement, orgs, ids)
			some = true
		}
	}
	return some
}

// lockWriter locks the row of this writer for as long as the transaction lives: who
// looks up what became of its commit waits for it to be over, wherever the COMMIT is
// on its way. And it lets the database end a transaction that is left alone: a server that
// stands still must not keep from others what it has locked. That holds for the
// transaction only, as a pooler may give the connection to others. It also reads the clock,
// and whether commits wait for a standby.
const lockWriter = readClock + `, current_setting('synchronous_standby_names') <> '' AND current_setting('synchronous_commit') NOT IN ('off', 'local'),
	set_config('idle_in_transaction_session_timeout', '3s', true) FROM writers WHERE node = $1 AND n = $2 FOR UPDATE`

// insertWriter makes the row of a writer, if it is not there.
const insertWriter = `INSERT INTO writers (node, n, last_commit, born) VALUES ($1, $2, 0, extract(epoch FROM now()) * 1000000) ON CONFLICT (node, n) DO NOTHING`

// connect makes the connection. A commit that has given up waiting for a standby, as
// somebody has cancelled it, is a success with a warning.
func (e *engine) connect(ctx context.Context) error {
	config := e.store.config.Copy()
	config.OnNotice = func(_ *pgconn.PgConn, told *pgconn.Notice) {
		e.doubt = e.doubt || told.Code == warning || told.Code == adminShutdown
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err == nil {
		e.conn = conn
	}
	return err
}

// connected makes a connection unless there is one.
func (e *engine) connected() error {
	if e.conn != nil && !e.conn.IsClosed() {
		return nil
	}
	ctx, done := e.trip()
	defer done()
	if err := e.connect(ctx); err != nil {
		return e.store.failed("connect", err)
	}
	return nil
}

// Begin implements batch.Engine. The clock is read when the locks are held, so that
// what follows another writer's change is not older than it.
func (e *engine) Begin(_ context.Context, about []lifecycle.Key) error {
	if err := e.connected(); err != nil {
		return err
	}
	err := e.begin(about)
	if errors.Is(err, pgx.ErrNoRows) { // while this server stood still, another one has started and tidied up
		trip := &pgx.Batch{}
		trip.Queue(insertWriter, e.store.opts.Node, e.n)
		if err = e.send(trip); err == nil {
			err = e.begin(about)
		}
	}
	return e.failed("begin", err)
}

// begin begins a transaction, unless this writer has no row.
func (e *engine) begin(about []lifecycle.Key) error {
	trip := &pgx.Batch{}
	trip.Queue("BEGIN")
	trip.Queue(lockWriter, e.store.opts.Node, e.n).QueryRow(func(row pgx.Row) error { return row.Scan(&e.now, &e.replicated, nil) })
	if lock(trip, about) {
		trip.Queue(readClock).QueryRow(func(row pgx.Row) error { return row.Scan(&e.now) })
	}
	e.saved, e.doubt = false, false
	begun := time.Now()
	if err := e.send(trip); err != nil {
		e.Rollback(context.Background()) // what a deadlock, say, has left open would fail all that follow
		return err
	}
	e.store.clock.set(e.now, begun, time.Now())
	return nil
}

// Lock implements batch.Engine.
func (e *engine) Lock(_ context.Context, about []lifecycle.Key) error {
	trip := &pgx.Batch{}
	lock(trip, about)
	return e.failed("lock", e.send(trip))
}

// Writer implements batch.Engine.
func (e *engine) Writer() string { return e.store.opts.Node + " " + strconv.Itoa(e.n) }

// Now implements batch.Engine.
func (e *engine) Now() task.Stamp {
	if e.store.opts.Now != nil {
		return task.StampOf(e.store.opts.Now())
	}
	return e.now
}

// queue adds writes to a trip.
func (e *engine) queue(trip *pgx.Batch, ops []table.Op) {
	for _, op := range ops {
		statement := e.store.spelling.of(op.SQL)
		if op.Must {
			statement = must(statement)
		}
		trip.Queue(statement, op.Args...)
	}
}

// Send implements batch.Engine.
func (e *engine) Send(_ context.Context, ops []table.Op) error {
	if len(ops) == 0 {
		return nil
	}
	trip := &pgx.Batch{}
	e.queue(trip, ops)
	return e.failed("write", e.send(trip))
}

// Save implements batch.Engine. The place of the caller before is given up.
func (e *engine) Save(context.Context) error {
	trip := &pgx.Batch{}
	if e.saved {
		trip.Queue("RELEASE SAVEPOINT caller")
	}
	trip.Queue("SAVEPOINT caller")
	e.saved = true
	return e.failed("save", e.send(trip))
}

// Back implements batch.Engine.
func (e *engine) Back(context.Context) error {
	ctx, done := e.trip()
	defer done()
	_, err := e.conn.Exec(ctx, "ROLLBACK TO SAVEPOINT caller")
	return e.failed("go back", err)
}

// insertFeed adds entries at the transaction's own number: readers stop below the
// oldest transaction that runs, so nothing appears behind what they have read.
const insertFeed = `INSERT INTO feed (pos, n, org, task, agent, kind, first_seq, last_seq, worker, node, at)
	SELECT pg_current_xact_id()::text::bigint, e.*, $9, $10
	FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::text[]) AS e
	RETURNING pos`

// inOrder fails, as if another node had been faster, when a task has an entry behind
// this transaction's: it got its number early, for another row, and had to wait for
// the task. Tried again it gets a later one. Few entries have a later number.
const inOrder = `SELECT 1 / (1 - least(count(*), 1)) FROM feed f JOIN unnest($1::text[], $2::text[]) AS e (org, task)
	ON f.org = e.org AND f.task = e.task AND e.task <> '' WHERE f.pos > pg_current_xact_id()::text::bigint`

// Commit implements batch.Engine. The row of this writer takes the commit's id, by
// which it is looked up if the answer is lost (rule D3).
func (e *engine) Commit(_ context.Context, ops []table.Op, entries []feed.Entry) error {
	id := commitID()
	trip := &pgx.Batch{}
	e.queue(trip, ops)
	if len(entries) > 0 {
		e.queueFeed(trip, entries)
	}
	trip.Queue("UPDATE writers SET last_commit = $1 WHERE node = $2 AND n = $3", id, e.store.opts.Node, e.n)
	trip.Queue("COMMIT")
	err := e.send(trip)
	if err == nil && e.doubt {
		err = errUnconfirmed
		hangUp(e.store.trips, e.conn)
	}
	if err != nil && e.conn.IsClosed() && unanswered(err) {
		if err = e.lookUp(e.store.trips, id, err); errors.Is(err, table.ErrRaced) {
			return err
		}
	}
	if err != nil {
		return e.failed("commit", err)
	}
	e.store.recovered()
	if len(entries) > 0 {
		e.store.hint()
		e.store.grew(len(entries))
	}
	return nil
}

func (e *engine) queueFeed(trip *pgx.Batch, entries []feed.Entry) {
	var ns, kinds, firsts, lasts []int64
	var orgs, tasks, agents, workers []string
	for i, x := range entries {
		entries[i].N, entries[i].Node = i, e.store.opts.Node
		ns, kinds = append(ns, int64(i)), append(kinds, int64(x.Kind))
		firsts, lasts = append(firsts, x.First), append(lasts, x.Last)
		orgs, tasks, agents = append(orgs, x.Organization), append(tasks, x.Task), append(agents, x.Agent)
		workers = append(workers, x.Worker)
	}
	trip.Queue(inOrder, orgs, tasks)
	trip.Queue(insertFeed, ns, orgs, tasks, agents, kinds, firsts, lasts, workers, e.store.opts.Node, e.Now()).QueryRow(func(row pgx.Row) error {
		var pos int64
		err := row.Scan(&pos)
		for i := range entries {
			entries[i].Commit = pos
		}
		return err
	})
}

// unanswered reports whether the database has not said what became of a commit. One
// that ends the session says nothing of what the session did last.
func unanswered(err error) bool {
	var told *pgconn.PgError
	return !errors.As(err, &told) || told.Severity != "ERROR"
}

func commitID() int64 {
	var raw [8]byte
	_, _ = rand.Read(raw[:]) // never fails
	return int64(binary.BigEndian.Uint64(raw[:]) >> 1)
}

const (
	// lookUpTime bounds how long the outcome of a commit is looked for.
	lookUpTime = 30 * time.Second
	// lookUpEvery is how often.
	lookUpEvery = 200 * time.Millisecond
)

// errUnconfirmed is a commit that has not waited for the standby.
var errUnconfirmed = errors.New("no standby has confirmed it")

// lookUp finds out what became of a commit whose answer was lost, or that no standby has
// confirmed. The row is read for update, which waits for a transaction that is still under
// way (lockWriter), and is a commit itself: when a standby has confirmed that one, it has
// all that was before.
func (e *engine) lookUp(ctx context.Context, id int64, cause error) error {
	ctx, cancel := context.WithTimeout(ctx, lookUpTime)
	defer cancel()
	retry := time.NewTicker(lookUpEvery)
	defer retry.Stop()
	for {
		last, err := e.lastCommit(ctx)
		switch {
		case err == nil && last == id:
			return nil
		case err == nil: // it is known not to be stored, so it may be done again
			return fmt.Errorf("%w: %w", table.ErrRaced, cause)
		}
		select {
		case <-ctx.Done():
			return &trouble{
				fault.New(fault.Unavailable, "the database has not confirmed that this is stored, though reads may show it: repeat it with the same Idempotency-Key, or look for it later"),
				errors.Join(cause, err),
			}
		case <-retry.C:
		}
	}
}

func (e *engine) lastCommit(ctx context.Context) (int64, error) {
	if e.conn.IsClosed() {
		if err := e.connect(ctx); err != nil {
			return 0, err
		}
	}
	e.doubt = false
	var last int64
	err := e.conn.QueryRow(ctx, "SELECT last_commit FROM writers WHERE node = $1 AND n = $2 FOR UPDATE", e.store.opts.Node, e.n).Scan(&last)
	if err == nil && e.doubt {
		err = errUnconfirmed
	}
	return last, err
}

// Rollback implements batch.Engine. A connection on which that fails is given up:
// the server then rolls back.
func (e *engine) Rollback(context.Context) {
	if e.conn == nil || e.conn.IsClosed() {
		return
	}
	ctx, done := e.trip()
	defer done()
	if _, err := e.conn.Exec(ctx, "ROLLBACK"); err != nil {
		_ = e.conn.Close(ctx)
	}
}

// End implements batch.Engine. What was read may be of a commit that no standby has
// confirmed yet: then this one, which has locked rows, waits for that, too.
func (e *engine) End(ctx context.Context) error {
	if !e.replicated {
		e.Rollback(ctx)
		return nil
	}
	trip := &pgx.Batch{}
	trip.Queue("COMMIT")
	err := e.send(trip)
	if err == nil && e.doubt {
		err = &trouble{fault.New(fault.Unavailable, "the database has not confirmed what it holds; try again"), errUnconfirmed}
	}
	return e.failed("confirm", err)
}

// Close implements batch.Engine.
func (e *engine) Close() error {
	if e.conn == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	return e.conn.Close(ctx)
}

// failed makes an error what callers understand, and notes one that is everybody's.
func (e *engine) failed(step string, err error) error {
	if err == nil {
		return nil
	}
	if e.store.trips.Err() != nil {
		return fault.New(fault.Unavailable, "the server is shutting down, and the database does not answer")
	}
	if code(err) == readOnly {
		hangUp(e.store.trips, e.conn)
	}
	return e.store.failed(step, fmt.Errorf("%s: %w", step, err))
}
