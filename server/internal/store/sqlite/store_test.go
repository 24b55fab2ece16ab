package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"go.uber.org/goleak"
	driver "modernc.org/sqlite"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/store/storetest"
	"github.com/errand-dev/errand/server/internal/store/table"
	"github.com/errand-dev/errand/server/internal/task"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(victimDir); dir != "" {
		os.Exit(victim(dir))
	}
	goleak.VerifyTestMain(m)
}

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, storetest.Kind{New: func(t *testing.T) storetest.Place {
		t.Helper()
		dir := t.TempDir()
		return func(t *testing.T, o storetest.Options) storetest.Store {
			t.Helper()
			s, err := Open(t.Context(), Options{Verify: true, Dir: dir, Now: o.Now, OnCommit: o.OnCommit, Node: o.Node})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
	}})
}

// open opens a store that the end of the test closes.
func open(tb testing.TB, dir string) *Store {
	tb.Helper()
	s, err := Open(tb.Context(), Options{Dir: dir})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// texts reads one text column of what is stored.
func texts(tb testing.TB, s *Store, query string) []string {
	tb.Helper()
	rows, err := s.reads.Query(tb.Context(), query)
	if err != nil {
		tb.Fatal(err)
	}
	defer rows.Close() //nolint:errcheck // Err tells what went wrong
	var found []string
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			tb.Fatal(err)
		}
		found = append(found, text)
	}
	if err := rows.Err(); err != nil {
		tb.Fatal(err)
	}
	return found
}

// onWriter calls fn with the writer's connection, in a transaction.
func onWriter(tb testing.TB, s *Store, fn func(table.DB) error) {
	tb.Helper()
	if err := s.writers.Edit(tb.Context(), func(db table.DB, _ task.Stamp) ([]table.Op, error) { return nil, fn(db) }); err != nil {
		tb.Fatal(err)
	}
}

// pragma reads a setting of a connection.
func pragma(ctx context.Context, db table.DB, name string) (string, error) {
	rows, err := db.Query(ctx, "PRAGMA "+name)
	if err != nil {
		return "", err
	}
	defer rows.Close() //nolint:errcheck // Err tells what went wrong
	var value any
	for rows.Next() {
		if err := rows.Scan(&value); err != nil {
			return "", err
		}
	}
	return fmt.Sprint(value), rows.Err()
}

// about names tasks.
func about(ids ...string) []lifecycle.Key {
	keys := make([]lifecycle.Key, len(ids))
	for i, id := range ids {
		keys[i] = lifecycle.Key{Of: lifecycle.TaskKey, Organization: "o", ID: id}
	}
	return keys
}

// create saves a new task.
func create(tx lifecycle.Tx, id string, edits ...func(*task.Spec)) error {
	spec := task.Spec{OrganizationID: "o", ID: id, AgentID: "a", MaxAttempts: 3}
	for _, edit := range edits {
		edit(&spec)
	}
	c, err := task.Apply(task.Task{}, task.Begin{Spec: spec}, tx.Now())
	if err != nil {
		return err
	}
	return tx.Save(c)
}

// apply changes a stored task.
func apply(tx lifecycle.Tx, id string, c task.Command) error {
	t, err := tx.Task("o", id)
	if err != nil {
		return err
	}
	changed, err := task.Apply(t, c, tx.Now())
	if err != nil {
		return err
	}
	return tx.Save(changed)
}

func TestOneServerPerFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := open(t, dir)
	if s, err := Open(t.Context(), Options{Dir: dir}); !errors.Is(err, ErrLocked) {
		t.Fatalf("a second Open answered %v, %v", s, err)
	}
	if err := first.Write(t.Context(), nil, func(tx lifecycle.Tx) error { return create(tx, "t") }); err != nil {
		t.Fatalf("the first store does not write after another was refused: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Errorf("a second Close: %v", err)
	}
	if _, err := open(t, dir).Task(t.Context(), auth.All("o"), "t"); err != nil {
		t.Errorf("after a reopen: %v", err)
	}
}

func TestOpenFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(dir, "broken")
	if err := os.Mkdir(broken, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(broken, "errand.db"), make([]byte, 8192), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, broken} {
		if s, err := Open(t.Context(), Options{Dir: dir}); err == nil {
			t.Errorf("Open of %s answered %v", dir, s)
		}
	}
	if err := os.Remove(filepath.Join(broken, "errand.db")); err != nil {
		t.Fatal(err)
	}
	open(t, broken) // the failed Open has given the folder free
}

// The name of the folder is a name, not part of a URL.
func TestFolderNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"plain", "a b", "50%20", "what?x=1&y", "#1", "é", "a/b/c"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), name)
			s := open(t, dir)
			if err := s.Write(t.Context(), nil, func(tx lifecycle.Tx) error { return create(tx, "t") }); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(filepath.Join(dir, "errand.db")); err != nil {
				t.Error(err)
			}
			if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("folder: %v, %v", info.Mode(), err)
			}
		})
	}
}

// Every acknowledged commit is on disk: that is what these settings say.
func TestDurabilitySettings(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	if err := s.Write(t.Context(), nil, func(tx lifecycle.Tx) error { return create(tx, "t") }); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS == "linux" && !driver.FdatasyncEnabled() {
		t.Error("commits wait for timestamps")
	}
	onWriter(t, s, func(db table.DB) error {
		for name, want := range map[string]string{
			"synchronous": "2", "journal_mode": "wal", "secure_delete": "1", "wal_autocheckpoint": "4000", "query_only": "0", "foreign_keys": "0",
		} {
			got, err := pragma(t.Context(), db, name)
			if err != nil {
				return err
			}
			if got != want {
				t.Errorf("writer: %s = %s, want %s", name, got, want)
			}
		}
		return nil
	})
	var conns []interface{ Close() error }
	for range readers { // each of the readers, not one of them several times
		c, err := s.reads.db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
		for pragma, want := range map[string]string{"query_only": "1", "busy_timeout": "10000", "journal_mode": "wal"} {
			var got string
			if err := c.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
				t.Errorf("reader: %s = %s, %v, want %s", pragma, got, err, want)
			}
		}
	}
	for _, c := range conns {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestMigrationsRunOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var before []string
	for range 3 {
		s, err := Open(t.Context(), Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		now := texts(t, s, `SELECT name || ': ' || COALESCE(sql, '') FROM sqlite_master
			UNION ALL SELECT version_id || ' at ' || tstamp FROM goose_db_version ORDER BY 1`)
		if before != nil && fmt.Sprint(now) != fmt.Sprint(before) {
			t.Errorf("schema was %v, is %v", before, now)
		}
		if before = now; len(now) < 20 {
			t.Errorf("schema: %v", now)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A write that meets the end of the store either is stored or answers that it
// is not; after the end all answer so.
func TestCloseUnderWrites(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	const callers = 16
	acknowledged := make([][]string, callers)
	failed := make([]error, callers)
	begun := make(chan struct{}, callers)
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			for n := 0; ; n++ {
				id := fmt.Sprintf("t-%d-%d", i, n)
				if failed[i] = s.Write(context.WithoutCancel(t.Context()), nil, func(tx lifecycle.Tx) error { return create(tx, id) }); failed[i] != nil {
					return
				}
				acknowledged[i] = append(acknowledged[i], id)
				if n == 5 {
					begun <- struct{}{}
				}
			}
		})
	}
	for range callers {
		<-begun
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	all.Wait()
	reopened := open(t, dir)
	total := 0
	for i := range callers {
		if fault.CodeOf(failed[i]) != fault.Unavailable {
			t.Errorf("caller %d was answered %v", i, failed[i])
		}
		for _, id := range acknowledged[i] {
			if _, err := reopened.Task(t.Context(), auth.All("o"), id); err != nil {
				t.Errorf("acknowledged: %v", err)
			}
		}
		total += len(acknowledged[i])
	}
	list, err := reopened.Tasks(t.Context(), auth.All("o"), lifecycle.Filter{}, lifecycle.Page{Size: 1, Count: true})
	if err != nil || list.Total != min(total, lifecycle.MaxCount+1) {
		t.Errorf("%d tasks are stored, %v; %d were acknowledged, the others refused", list.Total, err, total)
	}
}
