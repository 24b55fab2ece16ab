// Package sqlite keeps Errand's record in one SQLite file: write-ahead log,
// every commit on disk before it is acknowledged, one writer that puts the
// writes of concurrent callers into one commit, and readers beside it.
package sqlite

import (
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
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/errand-dev/errand/server/internal/fault"
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
	// OnCommit is told of each commit's changes, in order, before the
	// callers are answered. It runs on the writer and must not block.
	OnCommit func([]task.Change)
	// OnDelete is told likewise of deleted tasks.
	OnDelete func(org, id string)
	// Verify compares what the writer remembers of a task with the database
	// whenever it is used, and fails the write where they differ: for tests.
	Verify bool
	// OnBatch is told likewise of each commit: how many callers shared it, and
	// how long it took with their writes.
	OnBatch func(size int, took time.Duration)
	// Log receives what went wrong behind an "internal" answer.
	Log *slog.Logger
}

// Store is an open database. Its methods are safe for concurrent use.
type Store struct {
	opts  Options
	lock  *flock.Flock
	write *sql.DB
	read  *sql.DB
	made  *statements
	stmts prepared // of the readers
	w     *writer
	// trouble is why the last write did not reach the disk, nil if it did.
	trouble atomic.Pointer[fault.Error]
}

// Readers beside the one writer; each holds a connection with its page cache.
const readers = 8

// Open opens or makes the database in the data folder and holds the folder's
// lock until Close. It answers ErrLocked when another process has it.
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
	s := &Store{opts: opts, made: newStatements(), lock: flock.New(filepath.Join(opts.Dir, "lock"))}
	held, err := s.lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock data folder: %w", err)
	}
	if !held {
		return nil, fmt.Errorf("%w: %s", ErrLocked, opts.Dir)
	}
	if err := s.open(ctx, filepath.Join(opts.Dir, databaseFile)); err != nil {
		if why := refusal(err); why != "" {
			err = fmt.Errorf("%s (%s): %w", why, opts.Dir, err)
		}
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Store) open(ctx context.Context, path string) error {
	var err error
	if s.write, err = sql.Open("sqlite", dsn(path, "synchronous(FULL)", "journal_mode(WAL)", "secure_delete(ON)", "wal_autocheckpoint(4000)")); err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	s.write.SetMaxOpenConns(1)
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, s.write, files)
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate database %s: %w", path, err)
	}
	if _, err := s.write.ExecContext(ctx, "BEGIN IMMEDIATE; "+probe+"; COMMIT"); err != nil {
		return fmt.Errorf("try to write: %w", err)
	}
	if s.read, err = sql.Open("sqlite", dsn(path, "query_only(ON)")); err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	s.read.SetMaxOpenConns(readers)
	s.read.SetMaxIdleConns(readers)
	s.w, err = newWriter(ctx, s)
	return err
}

// dsn names a database file with the pragmas that every connection needs.
func dsn(path string, pragmas ...string) string {
	q := url.Values{"_txlock": {"immediate"}}
	for _, p := range append(pragmas, "busy_timeout(10000)", "foreign_keys(OFF)", "cache_size(-16000)", "temp_store(MEMORY)") {
		q.Add("_pragma", p)
	}
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}
	return u.String()
}

// Close waits for the writes under way, closes the database and gives the
// data folder free. It may be called more than once.
func (s *Store) Close() error {
	var errs []error
	if s.w != nil {
		errs = append(errs, s.w.close())
	}
	for _, db := range []*sql.DB{s.read, s.write} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(append(errs, s.lock.Unlock())...)
}
