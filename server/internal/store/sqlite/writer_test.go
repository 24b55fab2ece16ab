package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

var errBoom = errors.New("boom")

// Callers that share a commit: whatever the mixture, in whatever order, each
// hears what became of its own write, the good ones are stored and told, the
// others are neither.
func TestCallersOfOneCommit(t *testing.T) {
	t.Parallel()
	var told []string
	s, err := Open(t.Context(), Options{Dir: t.TempDir(), OnCommit: func(changes []task.Change) {
		for _, c := range changes {
			told = append(told, c.Task.ID)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	ended, end := context.WithCancel(t.Context())
	end()
	kinds := []struct {
		name string
		ctx  context.Context             //nolint:containedctx // what is tested
		fn   func(tx lifecycle.Tx) error // after the task has been created, if it is
		make bool
		want func(error) bool
	}{
		{"good", t.Context(), func(lifecycle.Tx) error { return nil }, true, func(err error) bool { return err == nil }},
		{"reads only", t.Context(), func(lifecycle.Tx) error { return nil }, false, func(err error) bool { return err == nil }},
		{"fails clean", t.Context(), func(lifecycle.Tx) error { return errBoom }, false, func(err error) bool { return errors.Is(err, errBoom) }},
		{"fails after a write", t.Context(), func(lifecycle.Tx) error { return errBoom }, true, func(err error) bool { return errors.Is(err, errBoom) }},
		{"fault after a write", t.Context(), func(tx lifecycle.Tx) error { _, err := tx.Task("o", "nothing"); return err }, true, func(err error) bool { return fault.CodeOf(err) == fault.NotFound }},
		{"panics", t.Context(), func(lifecycle.Tx) error { panic("p") }, false, func(err error) bool { return err != nil && strings.Contains(err.Error(), "panic") }},
		{"panics after a write", t.Context(), func(lifecycle.Tx) error { panic("p") }, true, func(err error) bool { return err != nil && strings.Contains(err.Error(), "panic") }},
		{"cancelled", ended, func(lifecycle.Tx) error { return errBoom }, true, func(err error) bool { return errors.Is(err, context.Canceled) }},
	}
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		var batch []*request
		var stored, ids []string
		mixture := rapid.SliceOfN(rapid.IntRange(0, len(kinds)-1), 1, 8).Draw(rt, "mixture")
		for i, k := range mixture {
			id, kind := fmt.Sprintf("t-%d-%d", run, i), kinds[k]
			ids = append(ids, id)
			if kind.make && kind.name == "good" {
				stored = append(stored, id)
			}
			batch = append(batch, &request{ctx: kind.ctx, done: make(chan struct{}), fn: func(tx lifecycle.Tx) error {
				if kind.make {
					if err := create(tx, id); err != nil {
						return err
					}
				}
				return kind.fn(tx)
			}})
		}
		told = nil
		s.w.commit(batch) // the writer is idle: nobody else writes to this store
		for i, r := range batch {
			<-r.done
			if kind := kinds[mixture[i]]; !kind.want(r.err) {
				rt.Fatalf("caller %d, %q, was answered %v", i, kind.name, r.err)
			}
		}
		if !slices.Equal(told, stored) {
			rt.Fatalf("told of %v, want %v", told, stored)
		}
		for _, id := range ids {
			_, err := s.Task(t.Context(), "o", id)
			if found := err == nil; found != slices.Contains(stored, id) {
				rt.Fatalf("task %s is stored: %v (%v)", id, found, err)
			}
		}
	})
}

// A database that cannot be written now is unavailable, and recovers.
func TestWriteWithoutADatabase(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	write := func(id string) error {
		return s.Write(t.Context(), func(tx lifecycle.Tx) error { return create(tx, id) })
	}
	if err := write("before"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.w.conn.ExecContext(t.Context(), "PRAGMA busy_timeout = 0"); err != nil {
		t.Fatal(err)
	}
	other, err := sql.Open("sqlite", dsn(filepath.Join(dir, "errand.db")))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()                          //nolint:errcheck // only its lock is of interest
	conn, err := other.BeginTx(t.Context(), nil) // takes the database's one write lock
	if err != nil {
		t.Fatal(err)
	}
	if err := write("meanwhile"); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("a write that cannot begin answered %v", err)
	}
	if err := conn.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := write("after"); err != nil {
		t.Errorf("a write after that: %v", err)
	}
	if _, err := s.Task(t.Context(), "o", "meanwhile"); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("the failed write is stored: %v", err)
	}
}

// Delete knows every table: one that is added later must not keep a deleted
// task's data.
func TestDeleteLeavesNoRow(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	rows := func() map[string]int {
		tables, err := texts(t.Context(), s, `SELECT m.name || ':' || c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c
			WHERE m.type = 'table' AND c.type = 'TEXT' AND m.name NOT LIKE 'sqlite_%'`)
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]int{}
		for _, tc := range tables {
			table, column, _ := strings.Cut(tc, ":")
			n := 0
			if _, err := one(t.Context(), s, "SELECT count(*) FROM "+table+" WHERE "+column+" = 'the-task'", nil, &n); err != nil {
				t.Fatal(err)
			}
			if n > 0 {
				found[tc] = n
			}
		}
		return found
	}
	steps := []func(tx lifecycle.Tx) error{
		func(tx lifecycle.Tx) error { return create(tx, "the-task") },
		func(tx lifecycle.Tx) error { return apply(tx, "the-task", task.Claim{Worker: "w", TokenHash: "h"}) },
		func(tx lifecycle.Tx) error { return tx.PutSecret("o", lifecycle.OfTask, "the-task", []byte("s")) },
		func(tx lifecycle.Tx) error {
			return tx.PutReplay("o", "r", "k", lifecycle.Replay{Hash: []byte("h"), TaskID: "the-task"})
		},
	}
	for _, fn := range steps {
		if err := s.Write(t.Context(), fn); err != nil {
			t.Fatal(err)
		}
	}
	if before := rows(); len(before) != 6 {
		t.Fatalf("columns that name the task: %v", before)
	}
	if err := s.Write(t.Context(), func(tx lifecycle.Tx) error { return tx.Delete("o", "the-task") }); err != nil {
		t.Fatal(err)
	}
	if after := rows(); len(after) > 0 {
		t.Errorf("left behind: %v", after)
	}
}
