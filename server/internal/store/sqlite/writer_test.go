package sqlite

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/files"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/store/table"
	"github.com/errand-dev/errand/server/internal/task"
)

// impatient makes the writer fail at once where it would wait for another one.
func impatient(t *testing.T, s *Store) {
	t.Helper()
	onWriter(t, s, func(db table.DB) error {
		_, err := pragma(t.Context(), db, "busy_timeout = 0")
		return err
	})
}

// lockOut takes the database's one write lock, and returns how to give it back.
func lockOut(t *testing.T, dir string) func() {
	t.Helper()
	other, err := sql.Open("sqlite", dsn(filepath.Join(dir, DatabaseFile)))
	if err != nil {
		t.Fatal(err)
	}
	tx, err := other.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		if err := other.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A database that cannot be written now is unavailable, and recovers.
func TestWriteWithoutADatabase(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	write := func(id string) error {
		return s.Write(t.Context(), nil, func(tx lifecycle.Tx) error { return create(tx, id) })
	}
	if err := write("before"); err != nil {
		t.Fatal(err)
	}
	impatient(t, s)
	giveBack := lockOut(t, dir)
	if err := write("meanwhile"); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("a write that cannot begin answered %v", err)
	}
	if err := s.Writable(t.Context()); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("the store is writable: %v", err)
	}
	if _, err := s.Task(t.Context(), auth.All("o"), "before"); err != nil {
		t.Errorf("a read meanwhile: %v", err)
	}
	giveBack()
	if err := s.Writable(t.Context()); err != nil { // nobody else writes to it
		t.Errorf("the store is not writable again: %v", err)
	}
	if err := write("after"); err != nil {
		t.Errorf("a write after that: %v", err)
	}
	if _, err := s.Task(t.Context(), auth.All("o"), "meanwhile"); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("the failed write is stored: %v", err)
	}
}

// Whatever is written begins with BEGIN IMMEDIATE: a transaction that reads first
// and takes the lock later is refused at once if somebody else has it, whatever
// the time-out. While the lock is somebody else's, none gets beyond its beginning.
func TestEveryWriteBeginsImmediately(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var log bytes.Buffer
	s, err := Open(t.Context(), Options{Dir: dir, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if !strings.Contains(dsn("x"), "_txlock=immediate") {
		t.Error("transactions of database/sql, such as those of migrations, begin deferred")
	}
	impatient(t, s)
	defer lockOut(t, dir)()
	ctx, ran := t.Context(), false
	for what, write := range map[string]func() error{
		"Write": func() error {
			return s.Write(ctx, about("t"), func(tx lifecycle.Tx) error { ran = true; return create(tx, "t") })
		},
		"a Write that only reads": func() error {
			return s.Write(ctx, nil, func(lifecycle.Tx) error { ran = true; return nil })
		},
		"PutKey": func() error { return s.PutKey(ctx, auth.Key{Organization: "o", ID: "k"}) },
		"PutPerson": func() error {
			_, err := s.PutPerson(ctx, auth.Key{Organization: "o", ID: "k"})
			return err
		},
		"RevokeKey":       func() error { return s.RevokeKey(ctx, "o", "k") },
		"PutOrganization": func() error { return s.PutOrganization(ctx, "o", "o") },
		"PutKept":         func() error { return s.PutKept(ctx, "o", files.File{ID: "f"}) },
		"PutFile":         func() error { return s.PutFile(ctx, "o", files.File{ID: "f"}, "f", files.Owner{}) },
		"DropFile": func() error {
			_, err := s.DropFile(ctx, auth.All("o"), "f")
			return err
		},
		"DropLeft": func() error {
			_, _, err := s.DropLeft(ctx, "o", 1, 1)
			return err
		},
		"DropFeed":  func() error { return s.DropFeed(ctx, 1) },
		"DropStats": func() error { return s.DropStats(ctx, 1) },
		"Writable":  func() error { return s.Writable(ctx) },
	} {
		s.trouble.Store(nil)
		if what == "Writable" { // else it has nothing to try
			s.trouble.Store(fault.New(fault.Unavailable, "something else"))
		}
		log.Reset()
		if err := write(); fault.CodeOf(err) != fault.Unavailable || ran {
			t.Errorf("%s: its function ran: %v, answer: %v", what, ran, err)
		}
		if !strings.Contains(log.String(), "step=begin") {
			t.Errorf("%s did not fail at its beginning: %s", what, log.String())
		}
	}
}

// Delete knows every table: one that is added later must not keep a deleted
// task's data.
func TestDeleteLeavesNoRow(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	rows := func() map[string]bool {
		found := map[string]bool{}
		for _, tc := range texts(t, s, `SELECT m.name || ':' || c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c
			WHERE m.type = 'table' AND c.type = 'TEXT' AND m.name NOT LIKE 'sqlite_%' AND m.name <> 'feed'`) {
			table, column, _ := strings.Cut(tc, ":")
			if n := texts(t, s, "SELECT "+column+" FROM "+table+" WHERE "+column+" = 'the-task'"); len(n) > 0 {
				found[tc] = true
			}
		}
		return found
	}
	for _, fn := range []func(tx lifecycle.Tx) error{
		func(tx lifecycle.Tx) error { return create(tx, "the-task") },
		func(tx lifecycle.Tx) error { return apply(tx, "the-task", task.Claim{Worker: "w", TokenHash: "h"}) },
		func(tx lifecycle.Tx) error { return tx.PutSecret("o", lifecycle.OfTask, "the-task", []byte("s")) },
		func(tx lifecycle.Tx) error {
			return tx.PutReplay("o", "r", "k", nil, lifecycle.Replay{Hash: []byte("h"), TaskID: "the-task"})
		},
	} {
		if err := s.Write(t.Context(), about("the-task"), fn); err != nil {
			t.Fatal(err)
		}
	}
	if before := rows(); len(before) != 7 {
		t.Fatalf("columns that name the task: %v", before)
	}
	if err := s.Write(t.Context(), about("the-task"), func(tx lifecycle.Tx) error {
		if err := tx.Delete("o", "the-task"); err != nil {
			return err
		}
		_, err := tx.Erase("o", "the-task", 100)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if after := rows(); len(after) > 0 {
		t.Errorf("left behind: %v", after)
	}
}

// What was committed is measured, and nothing else.
func TestCommitsAreMeasured(t *testing.T) {
	t.Parallel()
	var sizes []int
	s, err := Open(t.Context(), Options{Dir: t.TempDir(), OnBatch: func(size int, took time.Duration) {
		if took <= 0 {
			t.Errorf("a commit took %s", took)
		}
		sizes = append(sizes, size)
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, fn := range []func(lifecycle.Tx) error{
		func(tx lifecycle.Tx) error { return create(tx, "t") },
		func(lifecycle.Tx) error { return nil },
		func(tx lifecycle.Tx) error { _, err := tx.Task("o", "nothing"); return err },
		func(tx lifecycle.Tx) error { return create(tx, "u") },
	} {
		if err := s.Write(t.Context(), nil, fn); err != nil && fault.CodeOf(err) != fault.NotFound {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(sizes, []int{1, 1}) {
		t.Errorf("commits of %v callers, want two of one", sizes)
	}
}

// An attempt that numbers its events one behind the other is asked once which of them
// are there; a repeat is found all the same, and so is what an undone write has told.
func TestNumberedEventsAreAskedForOnce(t *testing.T) {
	t.Parallel()
	ask := func(s *Store, undo bool, names ...string) (found map[string]int64) {
		t.Helper()
		err := s.Write(t.Context(), about("t"), func(tx lifecycle.Tx) (err error) {
			stored, err := tx.Task("o", "t")
			if err != nil {
				return err
			}
			if found, err = tx.SeqsOfClients("o", "t", stored.Terms.Turn, names); err != nil {
				return err
			}
			var fresh []task.Event
			for _, name := range names {
				if found[name] == 0 {
					fresh = append(fresh, task.Event{Type: task.Chunk, Own: []byte(`"c"`), ClientID: name})
				}
			}
			if err := apply(tx, "t", task.Append{By: task.Writer{Fenced: true, Attempt: stored.Run}, Events: fresh}); err != nil || !undo {
				return err
			}
			return errUndone
		})
		if undo != errors.Is(err, errUndone) {
			t.Fatal(err)
		}
		return found
	}
	talk := func(s *Store) {
		t.Helper()
		if err := s.Write(t.Context(), about("t"), func(tx lifecycle.Tx) error {
			return errors.Join(create(tx, "t"), apply(tx, "t", task.Claim{Worker: "w", TokenHash: "h", Lease: time.Minute}))
		}); err != nil {
			t.Fatal(err)
		}
		stored, err := s.Task(t.Context(), auth.All("o"), "t")
		if err != nil {
			t.Fatal(err)
		}
		last := stored.Task.LastSeq
		for _, c := range []struct {
			undo  bool
			names []string
			want  map[string]int64
		}{
			{false, []string{"1-1", "1-2"}, nil},
			{true, []string{"1-3", "1-4"}, nil},
			{false, []string{"1-3"}, nil},
			{false, []string{"1-4", "1-5"}, nil},
			{false, []string{"2-1"}, nil},
			{false, []string{"1-2", "1-6"}, map[string]int64{"1-2": last + 2}},
			{false, []string{"1-6", "1-5"}, map[string]int64{"1-6": last + 7, "1-5": last + 5}},
			{false, []string{"x", "1-7"}, nil},
			{false, []string{"1-7"}, map[string]int64{"1-7": last + 9}},
		} {
			if got := ask(s, c.undo, c.names...); len(got)+len(c.want) > 0 && !maps.Equal(got, c.want) {
				t.Fatalf("%v are known as %v, want %v", c.names, got, c.want)
			}
		}
	}
	talk(open(t, t.TempDir())) // which compares what it remembers
	_, queries := queriesOf(t, func(s *Store) error {
		talk(s)
		return nil
	})
	if !slices.ContainsFunc(queries, func(q string) bool { return strings.HasPrefix(q, "SELECT client_no, seq, first_seq") }) {
		t.Error("a repeat asked nothing")
	}
	_, queries = queriesOf(t, func(s *Store) error {
		if err := s.Write(t.Context(), about("t"), func(tx lifecycle.Tx) error {
			return errors.Join(create(tx, "t"), apply(tx, "t", task.Claim{Worker: "w", TokenHash: "h", Lease: time.Minute}))
		}); err != nil {
			return err
		}
		for n := range 5 {
			ask(s, false, fmt.Sprintf("1-%d", 2*n+1), fmt.Sprintf("1-%d", 2*n+2))
		}
		return nil
	})
	if slices.ContainsFunc(queries, func(q string) bool { return strings.HasPrefix(q, "SELECT client_no, seq, first_seq") }) {
		t.Error("what is new was asked for")
	}
}

var errUndone = errors.New("to be undone")
