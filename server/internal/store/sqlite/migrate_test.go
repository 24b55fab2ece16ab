package sqlite

import (
	"errors"
	"testing"

	"github.com/errand-dev/errand/server/internal/lifecycle"
)

// A data folder of the first release is taken over with all that is in it.
func TestMigrationKeepsTasks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := Open(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Write(t.Context(), func(tx lifecycle.Tx) error { return create(tx, "old") }); err != nil {
		t.Fatal(err)
	}
	before, err := s.Task(t.Context(), "o", "old")
	if err != nil {
		t.Fatal(err)
	}
	for _, undo := range []string{ // what the newer migrations have added
		"ALTER TABLE tasks DROP COLUMN traceparent",
		"DELETE FROM goose_db_version WHERE version_id > 1",
	} {
		if _, err := s.w.conn.ExecContext(t.Context(), undo); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Task(t.Context(), "o", "old"); err == nil {
		t.Fatal("the database is not an old one")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = open(t, dir)
	after, err := s.Task(t.Context(), "o", "old")
	err = errors.Join(err, s.Write(t.Context(), func(tx lifecycle.Tx) error { return create(tx, "new") }))
	if err != nil || after.Task.LastSeq != before.Task.LastSeq || string(after.Spec) != string(before.Spec) || after.Task.TraceParent != "" {
		t.Errorf("the task became %+v (%v), it was %+v", after, err, before)
	}
}
