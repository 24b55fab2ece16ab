package sqlite

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"zombiezen.com/go/sqlite"

	"github.com/errand-dev/errand/server/internal/store/table"
	"github.com/errand-dev/errand/server/internal/task"
)

// dialed is a connection to a database with one table.
func dialed(t *testing.T) *conn {
	t.Helper()
	dir := t.TempDir()
	open(t, dir)
	c, err := dial(filepath.Join(dir, DatabaseFile))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := c.exec("CREATE TEMP TABLE x (k INTEGER PRIMARY KEY, v)"); err != nil {
		t.Fatal(err)
	}
	return c
}

// What the writer binds and reads is what database/sql would bind and read.
func TestValuesOfTheWriter(t *testing.T) {
	t.Parallel()
	c := dialed(t)
	long := strings.Repeat("é", longArg)
	for i, x := range []struct{ arg, want any }{
		{"a\x00b", "a\x00b"},
		{"", ""},
		{long, long},
		{nil, nil},
		{7, int64(7)},
		{int64(-1 << 62), int64(-1 << 62)},
		{1.5, 1.5},
		{true, int64(1)},
		{[]byte{0, 1}, []byte{0, 1}},
		{[]byte{}, []byte{}},
		{[]byte(long), []byte(long)},
		{[]byte(nil), nil},
		{(*string)(nil), nil},
		{&long, long},
		{task.Stamp(5), int64(5)},
		{task.Executing, "executing"},
	} {
		if n, err := c.exec("INSERT INTO x (k, v) VALUES (?, ?)", i, x.arg); n != 1 || err != nil {
			t.Fatalf("%T: %d, %v", x.arg, n, err)
		}
		for range 2 { // a statement that was used before
			var got any
			rows, err := c.Query(t.Context(), "SELECT v FROM x WHERE k = ?", i)
			if err != nil || !rows.Next() {
				t.Fatalf("%T: %v", x.arg, err)
			}
			if err := rows.Scan(&got); err != nil || !reflect.DeepEqual(got, x.want) || rows.Next() || rows.Err() != nil {
				t.Errorf("a %T came back as a %T, %v, %v", x.arg, got, err, rows.Err())
			}
			if err := rows.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// A statement that fails says why, changes nothing, and can be used again.
func TestStatementsThatFail(t *testing.T) {
	t.Parallel()
	c := dialed(t)
	const put = "INSERT INTO x (k, v) VALUES (?, ?)"
	for what, args := range map[string][]any{"too few": {1}, "too many": {1, 2, 3}, "a struct": {1, struct{}{}}, "an error": {1, task.Restore}} {
		if _, err := c.exec(put, args...); err == nil {
			t.Errorf("%s arguments were taken", what)
		}
	}
	if _, err := c.exec(put, 1, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := c.exec(put, 1, 2); sqlite.ErrCode(err).ToPrimary() != sqlite.ResultConstraint || refusal(err) != "" {
		t.Errorf("the same key again: %v", err)
	}
	if n, err := c.exec("UPDATE x SET v = ?", 3); n != 1 || err != nil {
		t.Errorf("%d rows, %v", n, err)
	}
	if _, err := c.exec("SELECT nothing FROM nowhere"); err == nil {
		t.Error("a table that is not there was read")
	}
	rows, err := c.Query(t.Context(), "SELECT abs(?)", int64(-1<<63)) // which overflows
	if err != nil {
		t.Fatal(err)
	}
	if rows.Next() || rows.Err() == nil {
		t.Error("a question that fails was answered")
	}
	if err := rows.Close(); err != nil {
		t.Error(err)
	}
	var db table.DB = c
	if _, err := table.FeedEnd(t.Context(), db, maxCommit); err != nil {
		t.Error(err)
	}
	if _, err := c.exec("PRAGMA query_only(ON)"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.exec("DELETE FROM feed"); refusal(err) == "" {
		t.Errorf("a database that cannot be written: %v", err)
	}
}
