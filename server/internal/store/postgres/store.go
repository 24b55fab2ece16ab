// Package postgres keeps Errand's record in a PostgreSQL database, which any number
// of servers may share. It holds the same rows as package sqlite and decides as
// little; what several writers need beside that is here: rows are locked before
// they are read to be written, a commit whose answer was lost is looked up, and
// who was overtaken by another node does it again.
package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/store/batch"
	"github.com/errand-dev/errand/server/internal/store/table"
	"github.com/errand-dev/errand/server/internal/task"
)

// Options say how to open a store.
type Options struct {
	// URL names the database, for example postgres://user@host/name.
	URL string
	// ListenURL leads to the same database in a way on which notifications arrive, which
	// they do not through some poolers; "" is URL.
	ListenURL string
	// Node names the server among those that share the database. No two that run
	// have the same.
	Node string
	// Now is the clock; nil is the database's.
	Now func() time.Time
	// OnCommit, OnBatch are those of the writers (package batch).
	OnCommit func([]feed.Entry)
	OnBatch  func(size int, took time.Duration)
	// Log receives what went wrong behind an answer that does not say.
	Log *slog.Logger
}

const (
	// writers is how many commits a server may have under way at a time.
	writers = 2
	// readers bounds its other connections.
	readers = 8
	// connectTime bounds the making of a connection to one host, unless the URL says.
	connectTime = 2 * time.Second
	// openTime bounds how long Open tries.
	openTime = 15 * time.Second
	// pooledTries is how often Open looks whether a pooler gives one connection to two clients.
	pooledTries = 5
	// closeTime bounds the last word to the database.
	closeTime = 2 * time.Second
	// answerTime bounds how long a writer waits for an answer, readTime how long a
	// question may take: a database that does not answer is one that cannot be reached.
	answerTime = 20 * time.Second
	readTime   = 10 * time.Second
)

// Store is an open database. Its methods are safe for concurrent use.
type Store struct {
	*table.Reader
	*table.Writer
	opts     Options
	config   *pgx.ConnConfig
	listens  *pgx.ConnConfig // of the connection of the hints
	pool     *pgxpool.Pool
	writers  *batch.Writers
	spelling spellings
	clock    clock
	// trouble is why the last write was not stored, nil if it was.
	trouble atomic.Pointer[fault.Error]

	hints   chan struct{} // holds a token when there may be something in the feed
	breaks  atomic.Int64  // how often the connection of the hints was lost
	changed chan struct{} // holds a token when the others are to be told

	grown    chan struct{} // holds a token when the database is to look at its tables
	changes  atomic.Int64  // stored by this server
	nextLook atomic.Int64  // at so many of them

	end context.CancelFunc
	// trips is the life of what the writers ask; cut ends it.
	trips context.Context //nolint:containedctx // the writers' own
	cut   context.CancelFunc
	parts sync.WaitGroup
	once  sync.Once
	err   error
}

// Open connects to the database and makes its tables, or brings those of an older
// release up to date. Close ends it.
func Open(ctx context.Context, opts Options) (*Store, error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	opts.Node = cmp.Or(opts.Node, lifecycle.DefaultNode)
	pooled, err := configure(opts.URL)
	if err != nil {
		return nil, err
	}
	listens, err := configure(cmp.Or(opts.ListenURL, opts.URL))
	if err != nil {
		return nil, fmt.Errorf("the URL at which to listen: %w", err)
	}
	pooled.MaxConns = readers
	s := &Store{opts: opts, config: pooled.ConnConfig, listens: listens.ConnConfig, hints: make(chan struct{}, 1), changed: make(chan struct{}, 1), grown: make(chan struct{}, 1)}
	s.nextLook.Store(grownFirst)
	lives, end := context.WithCancel(context.WithoutCancel(ctx))
	s.end = end
	s.trips, s.cut = context.WithCancel(context.WithoutCancel(ctx))
	if err := s.open(ctx, lives, pooled); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// configure reads a database's URL.
func configure(text string) (*pgxpool.Config, error) {
	c, err := pgxpool.ParseConfig(text)
	if err != nil {
		return nil, unreadable(text)
	}
	if c.ConnConfig.DefaultQueryExecMode == pgx.QueryExecModeDescribeExec {
		return nil, errors.New("the database URL asks for default_query_exec_mode=describe_exec, with which a pooler can give one client the rows of another: leave it out, or use cache_describe or exec")
	}
	if c.ConnConfig.ConnectTimeout == 0 {
		c.ConnConfig.ConnectTimeout = connectTime
	}
	if c.ConnConfig.ValidateConnect == nil { // of many hosts that which takes writes, as target_session_attrs=read-write
		c.ConnConfig.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	return c, nil
}

// unreadable says what is wrong with a database's URL, and nothing of what stands in it: that
// may be a password.
func unreadable(text string) error {
	if u, err := url.Parse(text); err == nil {
		for option := range u.Query() {
			without, others := *u, u.Query()
			others.Del(option)
			without.RawQuery = others.Encode()
			if _, err := pgxpool.ParseConfig(without.String()); err == nil {
				return fmt.Errorf("the database URL has a value of %s that cannot be used", option)
			}
		}
	}
	return errors.New("the database URL cannot be read: write postgres://user:password@host:5432/name")
}

func (s *Store) open(ctx, lives context.Context, pooled *pgxpool.Config) error {
	ctx, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()
	conn, err := s.connect(ctx)
	if err != nil {
		return fmt.Errorf("connect to the database at %s: %w (%s)", place(s.config), bare(err), advice(err))
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // it was only used to begin
	if err := s.keepsStatements(ctx, conn); err != nil {
		return fmt.Errorf("connect to the database at %s: %w", place(s.config), err)
	}
	if err := migrate(ctx, conn); err != nil {
		return fmt.Errorf("make the tables of the database at %s: %w%s", place(s.config), err, missingRight(s.config, err))
	}
	if err := restored(ctx, conn); err != nil {
		return fmt.Errorf("look at the feed of the database at %s: %w%s", place(s.config), err, missingRight(s.config, err))
	}
	if err := s.prepare(ctx, conn); err != nil {
		return fmt.Errorf("write to the database at %s: %w%s", place(s.config), err, missingRight(s.config, err))
	}
	if s.pool, err = pgxpool.NewWithConfig(lives, pooled); err != nil {
		return fmt.Errorf("open the database: %w", err)
	}
	s.Reader = &table.Reader{DB: db{s.pool, &s.spelling, readTime}, Clock: s.now, Words: words()}
	engines := make([]batch.Engine, writers)
	for n := range engines {
		engines[n] = &engine{store: s, n: n}
	}
	s.writers = batch.Start(batch.Options{OnCommit: s.opts.OnCommit, OnBatch: s.opts.OnBatch, Log: s.opts.Log}, engines...)
	s.Writer = &table.Writer{Edit: s.writers.Edit, Oldest: s.oldest, Words: words()}
	s.parts.Go(func() { s.tell(lives) })
	s.parts.Go(func() { s.listen(lives) })
	s.parts.Go(func() { s.analyzeGrown(lives) })
	return nil
}

// keepsStatements refuses a pooler that gives a connection to one client after the other,
// unless the URL says that nothing is to be prepared: what one client has prepared, another
// stumbles over.
func (s *Store) keepsStatements(ctx context.Context, conn *pgx.Conn) error {
	if s.config.DefaultQueryExecMode != pgx.QueryExecModeCacheStatement {
		return nil
	}
	other, err := s.connect(ctx)
	if err != nil {
		return fmt.Errorf("%w (%s)", bare(err), advice(err))
	}
	defer hangUp(ctx, other)
	for n := range pooledTries { // others may have in between what a pooler would give again
		for _, c := range []*pgx.Conn{conn, other} {
			if _, err := c.Prepare(ctx, fmt.Sprint("errand_alone_", n), "SELECT 1"); code(err) == preparedTwice || code(err) == preparedNever {
				return errors.New(pooledStatements)
			} else if err != nil {
				return err
			}
		}
	}
	return nil
}

// advice says what to do about a connection that cannot be made.
func advice(err error) string {
	if errors.Is(err, pgconn.ErrReadOnlyConnection) {
		return "it takes no writes: name the primary, or all hosts as host1:5432,host2:5432, of which that is chosen"
	}
	var told *pgconn.PgError
	if !errors.As(err, &told) {
		if strings.Contains(err.Error(), "refused TLS") { // of which pgx has no value
			return "turn TLS on there (ssl = on), or, where nobody else listens, ask for none with sslmode=disable"
		}
		return "is it running, and is the URL right?"
	}
	switch told.Code {
	case "3D000":
		return "make it with CREATE DATABASE, or name another"
	case "28P01", "28000":
		return "look at the URL's user and password, and at pg_hba.conf"
	case noMoreConnections:
		return connectionsNeeded
	}
	return "is the URL right?"
}

// missingRight says how to give a right that the URL's user lacks, what keeps a pooler
// from mixing up statements, or what a database may wait for that does not answer.
func missingRight(c *pgx.ConnConfig, err error) string {
	if pgconn.Timeout(err) {
		return " (does another session lock its tables, or do its commits wait for a standby that has gone?)"
	}
	switch code(err) {
	case preparedTwice, preparedNever:
		return " (" + pooledStatements + ")"
	case "42501":
	default:
		return ""
	}
	return fmt.Sprintf(" (make %[1]s the database's owner, or GRANT CREATE, USAGE ON SCHEMA public TO %[1]s; where another role has made the tables, make it a member: GRANT that_role TO %[1]s)", c.User)
}

// prepare makes the rows by which this server's commits are looked up, and reads
// the clock.
func (s *Store) prepare(ctx context.Context, conn *pgx.Conn) error {
	trip := &pgx.Batch{}
	trip.Queue("DELETE FROM writers WHERE born < (extract(epoch FROM now()) - 86400) * 1000000 AND node <> $1 AND NOT EXISTS (SELECT 1 FROM nodes WHERE id = node)", s.opts.Node)
	for n := range writers {
		trip.Queue(insertWriter, s.opts.Node, n)
	}
	var now task.Stamp
	trip.Queue(readClock).QueryRow(func(row pgx.Row) error { return row.Scan(&now) })
	begun := time.Now()
	err := conn.SendBatch(ctx, trip).Close()
	s.clock.set(now, begun, time.Now())
	return err
}

// connect makes a connection.
func (s *Store) connect(ctx context.Context) (*pgx.Conn, error) {
	return pgx.ConnectConfig(ctx, s.config.Copy())
}

// place is where the database is, or may be, without the password.
func place(c *pgx.ConnConfig) string {
	hosts := []string{fmt.Sprintf("%s:%d", c.Host, c.Port)}
	for _, other := range c.Fallbacks { // each host once, with and without TLS
		if host := fmt.Sprintf("%s:%d", other.Host, other.Port); !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	return strings.Join(hosts, ",") + "/" + c.Database
}

// Write implements lifecycle.Store.
func (s *Store) Write(ctx context.Context, about []lifecycle.Key, fn func(lifecycle.Tx) error) error {
	return s.writers.Write(ctx, about, fn)
}

// Beat implements lifecycle.Store.
func (s *Store) Beat(ctx context.Context, node string, calm func(lifecycle.Roll) bool, fn func(lifecycle.Tx) error) error {
	return s.writers.Shortly(ctx, func(by batch.Engine) (bool, error) {
		e, ok := by.(*engine)
		if !ok || s.opts.Now != nil || s.trouble.Load() != nil { // a commit says that the trouble is over
			return false, nil //nolint:nilerr // it goes the other way
		}
		roll, err := e.hear(node)
		return err == nil && calm(roll), err
	}, fn)
}

// now is the store's clock beside a transaction.
func (s *Store) now() task.Stamp {
	if s.opts.Now != nil {
		return task.StampOf(s.opts.Now())
	}
	return s.clock.now()
}

// clock is the database's, as far as it was last seen to be from this machine's.
type clock struct{ ahead atomic.Int64 } // microseconds

// set notes what the database's clock showed at a moment between two others.
func (c *clock) set(shown task.Stamp, begun, over time.Time) {
	middle := begun.Add(over.Sub(begun) / 2)
	c.ahead.Store(int64(shown - task.StampOf(middle)))
}

func (c *clock) now() task.Stamp { return task.StampOf(time.Now()) + task.Stamp(c.ahead.Load()) }

// Size is how many bytes the database takes.
func (s *Store) Size(ctx context.Context) (int64, error) {
	var size int64
	err := s.pool.QueryRow(ctx, "SELECT pg_database_size(current_database())").Scan(&size)
	return size, translated(err)
}

// oldest is the number below which every transaction is over.
func (s *Store) oldest(ctx context.Context) (int64, error) {
	var number int64
	err := s.pool.QueryRow(ctx, "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint").Scan(&number)
	return number, translated(err)
}

// Feed implements feed.Source.
func (s *Store) Feed(ctx context.Context, after feed.Position, limit int) ([]feed.Entry, error) {
	before, err := s.oldest(ctx)
	if err != nil {
		return nil, err
	}
	return table.ReadFeed(ctx, s.DB, after, before, limit)
}

// FeedBegin implements feed.Source.
func (s *Store) FeedBegin(ctx context.Context) (feed.Position, error) {
	return table.FeedBegin(ctx, s.DB)
}

// FeedEnd implements feed.Source. Whatever is committed from now on stands behind it.
func (s *Store) FeedEnd(ctx context.Context) (feed.Position, error) {
	before, err := s.oldest(ctx)
	if err != nil {
		return feed.Position{}, err
	}
	return table.FeedEnd(ctx, s.DB, before)
}

// failed notes that a write was not stored. The log is told once, not by everybody
// who is turned away meanwhile.
func (s *Store) failed(step string, err error) error {
	err = translated(err)
	var everybodys *trouble
	if !errors.As(err, &everybodys) {
		return err
	}
	if everybodys.told.Message == readOnlyDatabase { // another host may take them
		s.pool.Reset()
	}
	if was := s.trouble.Swap(everybodys.told); was == nil || was.Message != everybodys.told.Message {
		s.opts.Log.Error("the store cannot write", "step", step, "error", bare(everybodys.cause))
	}
	return everybodys.told
}

// recovered notes that a write was stored.
func (s *Store) recovered() {
	if s.trouble.Swap(nil) != nil {
		s.opts.Log.Info("the store can write again")
	}
}

// Writable reports why nothing can be stored now. If the last write has failed
// it tries another one, so that a server recovers although nobody writes to it.
func (s *Store) Writable(ctx context.Context) error {
	if s.trouble.Load() == nil {
		return nil
	}
	return s.writers.Edit(ctx, func(table.DB, task.Stamp) ([]table.Op, error) {
		return []table.Op{{SQL: "UPDATE alive SET heard = heard", In: table.Nodes}}, nil
	})
}

// Close waits for the writes under way, but not for a database that does not answer,
// and ends the connections. It may be called more than once.
func (s *Store) Close() error {
	s.once.Do(func() {
		s.end()
		late := time.AfterFunc(closeTime, s.cut)
		if s.writers != nil {
			s.err = s.writers.Close()
		}
		late.Stop()
		s.cut()
		s.parts.Wait()
		if s.pool != nil {
			s.pool.Close()
		}
	})
	return s.err
}
