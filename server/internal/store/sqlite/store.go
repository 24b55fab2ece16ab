// Package sqlite keeps Errand's record in one SQLite file: write-ahead log,
// every commit on disk before it is acknowledged, one writer that puts the
// writes of concurrent callers into one commit, and readers beside it.
package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"
	"github.com/pressly/goose/v3"
	driver "modernc.org/sqlite" // it registers "sqlite"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/store/batch"
	"github.com/errand-dev/errand/server/internal/store/table"
	"github.com/errand-dev/errand/server/internal/task"
)

//go:embed migrations/*.sql
var migrations embed.FS

// ErrLocked is answered by Open when another server holds the data folder.
var ErrLocked = errors.New("another errand server uses this data folder")

// Options say how to open a store.
type Options struct {
	// Dir is the data folder; it is made if it is missing.
	Dir string
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// OnDecided, OnCommit, OnBatch and Verify are those of the writer (package batch).
	OnDecided func([]feed.Entry)
	OnCommit  func([]feed.Entry)
	OnBatch   func(size int, took time.Duration)
	Verify    bool
	// Node names the server in the feed; "" is lifecycle.DefaultNode.
	Node string
	// Log receives what went wrong behind an "internal" answer.
	Log *slog.Logger
}

// Store is an open database. Its methods are safe for concurrent use.
type Store struct {
	*table.Reader
	*table.Writer
	opts    Options
	lock    *flock.Flock
	reads   *reader
	writers *batch.Writers
	// shrinks says that free pages can be given back.
	shrinks bool
	// trouble is why the last write did not reach the disk, nil if it did.
	trouble atomic.Pointer[fault.Error]
}

// Readers beside the one writer; each holds a connection with its page cache.
const readers = 8

// Open opens or makes the database in the data folder and holds the folder's
// lock until Close. It returns ErrLocked when another process has it.
func Open(ctx context.Context, opts Options) (*Store, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(opts.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make data folder: %w", err)
	}
	opts.Node = cmp.Or(opts.Node, lifecycle.DefaultNode)
	lock, err := lockFolder(opts.Dir)
	if err != nil {
		return nil, err
	}
	s := &Store{opts: opts, lock: lock}
	if err := s.open(ctx); err != nil {
		if why := refusal(err); why != "" {
			err = fmt.Errorf("%s (%s): %w", why, opts.Dir, err)
		}
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// lockFolder locks a data folder, in which nobody else may serve or copy then.
func lockFolder(dir string) (*flock.Flock, error) {
	lock := flock.New(filepath.Join(dir, "lock"))
	locked, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock data folder: %w", err)
	}
	if !locked {
		return nil, fmt.Errorf("%w: %s", ErrLocked, dir)
	}
	return lock, nil
}

// path is the database's file.
func (s *Store) path() string { return filepath.Join(s.opts.Dir, DatabaseFile) }

func (s *Store) open(ctx context.Context) error {
	// What makes a file longer is on disk with fdatasync, too; fsync would wait for
	// its timestamps. Where there is none, the database goes on with fsync.
	_, _ = driver.Fdatasync(true)
	if err := migrate(ctx, s.path(), s.opts.Log); err != nil {
		return err
	}
	read, err := sql.Open("sqlite", dsn(s.path(), "query_only(ON)"))
	if err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	read.SetMaxOpenConns(readers)
	read.SetMaxIdleConns(readers)
	s.reads = &reader{db: read}
	if s.shrinks, err = shrinks(ctx, read); err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	s.Reader = &table.Reader{DB: s.reads, Clock: func() task.Stamp { return task.StampOf(s.opts.Now()) }, Words: words()}
	e, err := newEngine(ctx, s)
	if err != nil {
		return err
	}
	s.writers = batch.Start(batch.Options{
		Remember: true, Verify: s.opts.Verify, OnDecided: s.opts.OnDecided, OnCommit: s.opts.OnCommit, OnBatch: s.opts.OnBatch,
		Log: s.opts.Log,
	}, e)
	s.Writer = &table.Writer{Edit: s.writers.Edit, Words: words()}
	return nil
}

// migrate makes the database or brings it up to date, and tries to write to it.
func migrate(ctx context.Context, path string, log *slog.Logger) (err error) {
	db, err := sql.Open("sqlite", dsn(path, append([]string{shrinkable}, writing()...)...))
	if err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	provider, _, err := steps(ctx, db, path)
	if err != nil {
		return err
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate database %s: %w", path, err)
	}
	if _, err := db.ExecContext(ctx, "BEGIN IMMEDIATE; "+probe+"; COMMIT"); err != nil {
		return fmt.Errorf("try to write: %w", err)
	}
	if err := letShrink(ctx, db, log); err != nil {
		return fmt.Errorf("look at database %s: %w", path, err)
	}
	return nil
}

// steps are the migrations, and how many of them a database lacks. It may not be of a
// newer release.
func steps(ctx context.Context, db *sql.DB, path string) (p *goose.Provider, lacks int, err error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, 0, err
	}
	p, err = goose.NewProvider(goose.DialectSQLite3, db, files)
	if err != nil {
		return nil, 0, fmt.Errorf("read migrations: %w", err)
	}
	version, err := p.GetDBVersion(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("look at database %s: %w", path, err)
	}
	sources := p.ListSources()
	known := sources[len(sources)-1].Version
	if version > known {
		return nil, 0, fmt.Errorf("database %s: its tables are of a newer release (version %d, this one knows %d): use that release, or another data folder", path, version, known)
	}
	return p, int(known - version), nil
}

// Write implements lifecycle.Store.
func (s *Store) Write(ctx context.Context, about []lifecycle.Key, fn func(lifecycle.Tx) error) error {
	return s.writers.Write(ctx, about, fn)
}

// Beat implements lifecycle.Store. There are no other nodes, whose beats are what costs.
func (s *Store) Beat(ctx context.Context, _ string, _ func(lifecycle.Roll) bool, fn func(lifecycle.Tx) error) error {
	return s.Write(ctx, nil, fn)
}

// everywhere are the pragmas that every connection needs.
func everywhere() []string {
	return []string{"busy_timeout(10000)", "foreign_keys(OFF)", "cache_size(-16000)", "temp_store(MEMORY)"}
}

// writing are those of a connection that writes: what it commits is on disk.
func writing() []string {
	return []string{"synchronous(FULL)", "journal_mode(WAL)", "secure_delete(ON)", "wal_autocheckpoint(4000)"}
}

// dsn names a database file with its pragmas.
func dsn(path string, pragmas ...string) string {
	q := url.Values{"_txlock": {"immediate"}, "_pragma": append(everywhere(), pragmas...)}
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}
	return u.String()
}

// Close waits for the writes under way, closes the database and gives the
// data folder free. It may be called more than once.
func (s *Store) Close() error {
	var errs []error
	if s.writers != nil {
		errs = append(errs, s.writers.Close())
	}
	if s.reads != nil {
		errs = append(errs, s.reads.db.Close())
	}
	return errors.Join(append(errs, s.lock.Unlock())...)
}
