// Package teststore opens the store of a test: SQLite in its folder, or, with
// ERRAND_TEST_STORE=postgres, a PostgreSQL database of the test's own. So a suite
// that opens its store here runs on both.
package teststore

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/blob"
	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/files"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/store/postgres"
	"github.com/errand-dev/errand/server/internal/store/sqlite"
	"github.com/errand-dev/errand/server/internal/testkit/pgtest"
)

// Store is an open store.
type Store interface {
	lifecycle.Store
	auth.Store
	files.Store
	blob.Rows
	feed.Source
	Close() error
}

// Options say how to open one.
type Options struct {
	// Dir is where it lies: opened again there, it has what was stored.
	Dir      string
	Now      func() time.Time
	OnCommit func([]feed.Entry)
}

// tester is what testing and rapid have in common.
type tester interface {
	Helper()
	Fatalf(format string, args ...any)
}

// OnPostgres reports whether the tests run on PostgreSQL.
func OnPostgres() bool { return os.Getenv("ERRAND_TEST_STORE") == "postgres" }

// databases are those of the folders.
var databases = struct { //nolint:gochecknoglobals // a test opens its folder more than once
	sync.Mutex
	urls map[string]string
}{urls: map[string]string{}}

// DatabaseURL is the database that stands for a folder, "" for SQLite in it.
func DatabaseURL(tb testing.TB, dir string) string {
	tb.Helper()
	if !OnPostgres() {
		return ""
	}
	databases.Lock()
	defer databases.Unlock()
	if databases.urls[dir] == "" {
		databases.urls[dir] = pgtest.Schema(tb)
	}
	return databases.urls[dir]
}

// Use says which database stands for a folder, for a test that has brought its own.
func Use(dir, url string) {
	databases.Lock()
	defer databases.Unlock()
	databases.urls[dir] = url
}

// made is an empty SQLite database with its tables: making them, step by step as
// releases did, costs more than most tests.
var made = sync.OnceValues(func() (content []byte, err error) { //nolint:gochecknoglobals // once for each process is the point
	dir, err := os.MkdirTemp("", "errand-teststore-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	s, err := sqlite.Open(context.Background(), sqlite.Options{Dir: dir})
	if err != nil {
		return nil, err
	}
	if err := s.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(dir, "errand.db"))
})

// Prepare puts an empty SQLite database into a new folder, so that the first opening
// finds its tables made. A folder that has one is left alone.
func Prepare(tb testing.TB, dir string) {
	tb.Helper()
	content, err := made()
	if err != nil {
		tb.Fatalf("make a database: %v", err)
	}
	file, err := os.OpenFile(filepath.Join(dir, "errand.db"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrExist) {
		return
	}
	if err == nil {
		_, err = file.Write(content)
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		tb.Fatalf("place a database: %v", err)
	}
}

// Open opens a store. tb owns its database, and t is told what goes wrong.
func Open(tb testing.TB, t tester, o Options) Store {
	tb.Helper()
	t.Helper()
	if url := DatabaseURL(tb, o.Dir); url != "" {
		s, err := postgres.Open(context.WithoutCancel(tb.Context()), postgres.Options{URL: url, Now: o.Now, OnCommit: o.OnCommit})
		if err != nil {
			t.Fatalf("open store: %v", err)
		}
		return s
	}
	Prepare(tb, o.Dir)
	s, err := sqlite.Open(context.WithoutCancel(tb.Context()), sqlite.Options{Verify: true, Dir: o.Dir, Now: o.Now, OnCommit: o.OnCommit})
	if err != nil {
		t.Fatalf("open store: %v", err)
	}
	return s
}
