package sqlite

import (
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// fileSize is how many bytes a file takes.
func fileSize(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// long creates tasks with long logs, about 128 KiB each.
func long(t *testing.T, s *Store, ids ...string) {
	t.Helper()
	own := []byte(`"` + strings.Repeat("x", 4<<10) + `"`)
	events := make([]task.Event, 32)
	for i := range events {
		events[i] = task.Event{Type: task.AgentMessage, Own: own}
	}
	for _, id := range ids {
		if err := s.Write(t.Context(), about(id), func(tx lifecycle.Tx) error {
			if err := create(tx, id); err != nil {
				return err
			}
			return apply(tx, id, task.Append{Events: events})
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// numbered are ids.
func numbered(prefix string, n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprint(prefix, i)
	}
	return ids
}

// remove deletes tasks with all that is left of them.
func remove(t *testing.T, s *Store, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if err := s.Write(t.Context(), about(id), func(tx lifecycle.Tx) error {
			if err := tx.Delete("o", id); err != nil {
				return err
			}
			_, err := tx.Erase("o", id, 1000)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// What deleted tasks have taken goes back to the disk in small commits, and nothing
// else goes with it: a part stays for new tasks, who reads is not disturbed, and the
// log is cut when nobody writes.
func TestShrink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var commits int
	s, err := Open(t.Context(), Options{Dir: dir, OnBatch: func(int, time.Duration) { commits++ }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	shrink := func() {
		t.Helper()
		if err := s.Shrink(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	gone, stay := numbered("gone-", 60), numbered("stay-", 4)
	for i, id := range stay {
		long(t, s, gone[i*15:i*15+15]...)
		long(t, s, id)
	}
	shrink()
	full, err := s.Size(t.Context())
	if err != nil || full < 60*128<<10 {
		t.Fatalf("the database has %d bytes: %v", full, err)
	}
	remove(t, s, gone...)
	if same, err := s.Size(t.Context()); err != nil || same < full {
		t.Fatalf("the database has %d bytes of %d already: %v", same, full, err)
	}
	commits = 0
	shrink()
	size, file := fileSize(t, s.path()), int64(0)
	if file, err = s.Size(t.Context()); err != nil || file > 3<<20 || size != file {
		t.Errorf("the database has %d bytes of %d, its file %d: %v", file, full, size, err)
	}
	if least := int(full-file) / (shrinkStep * 4096); commits < least {
		t.Errorf("%d bytes were given back in %d commits", full-file, commits)
	}
	commits = 0
	if shrink(); commits > 0 {
		t.Errorf("%d commits more", commits)
	}
	for _, id := range stay {
		events, err := s.Events(t.Context(), "o", id, 0, 100)
		if err != nil || len(events) != 33 {
			t.Errorf("%s has %d events: %v", id, len(events), err)
		}
	}
	if problems := texts(t, s, "PRAGMA integrity_check"); len(problems) != 1 || problems[0] != "ok" {
		t.Errorf("the database: %q", problems)
	}

	log := s.path() + "-wal"
	if fileSize(t, log) == 0 {
		t.Error("the log of a database that is written was cut")
	}
	before := time.Now().Add(-restsAfter)
	if err := os.Chtimes(log, before, before); err != nil {
		t.Fatal(err)
	}
	if shrink(); fileSize(t, log) != 0 {
		t.Errorf("the log of a database that rests has %d bytes", fileSize(t, log))
	}
	long(t, s, "after")
}

// Who reads what was there before goes on reading it, and holds up nobody.
func TestShrinkBesideAReader(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	long(t, s, numbered("t-", 40)...)
	reading, err := s.reads.db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reading.ExecContext(t.Context(), "BEGIN"); err != nil {
		t.Fatal(err)
	}
	var n int
	count := func() int {
		t.Helper()
		if err := reading.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM events").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := count()
	remove(t, s, numbered("t-", 40)...)
	if err := s.Shrink(t.Context()); err != nil {
		t.Fatal(err)
	}
	if count() != before {
		t.Errorf("who reads sees %d rows of %d", n, before)
	}
	if _, err := reading.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := reading.Close(); err != nil {
		t.Fatal(err)
	}
	long(t, s, "more")
}

// A database of a release whose files could not shrink can, from the next start on
// if it is small; else a copy of it can.
func TestOldDatabasesShrink(t *testing.T) {
	t.Parallel()
	if s := openPrevious(t); !s.shrinks {
		t.Error("a small one cannot shrink after a start")
	} else if _, err := s.Task(t.Context(), auth.All("o"), "root"); err != nil {
		t.Error(err)
	}

	from, into := t.TempDir(), t.TempDir()
	path := filepath.Join(from, DatabaseFile)
	for _, step := range []struct {
		path string
		can  bool
	}{{path, false}, {filepath.Join(into, DatabaseFile), true}} {
		db, err := sql.Open("sqlite", dsn(step.path))
		if err != nil {
			t.Fatal(err)
		}
		if step.path == path {
			if _, err := db.ExecContext(t.Context(), previous); err != nil {
				t.Fatal(err)
			}
		}
		if can, err := shrinks(t.Context(), db); err != nil || can != step.can {
			t.Errorf("%s can shrink: %v, %v", step.path, can, err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if step.path == path {
			if err := Backup(t.Context(), from, into); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A large one of such a release keeps its size, whatever is deleted. A copy of it gives
// back what is deleted there.
func TestCopiesOfLargeOldDatabasesShrink(t *testing.T) {
	t.Parallel()
	s := openPrevious(t, `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1100)
		INSERT INTO events SELECT 'o', 'ring-1', i + 1, 1, 'agent_message', 1793534417000000, '"' || hex(zeroblob(32768)) || '"', NULL FROM n`,
		"UPDATE tasks SET last_seq = 1101 WHERE org = 'o' AND id = 'ring-1'")
	into := t.TempDir()
	if err := Backup(t.Context(), filepath.Dir(s.path()), into); err != nil {
		t.Fatal(err)
	}
	if s.shrinks || fileSize(t, s.path()) <= rebuiltAtOnce {
		t.Fatalf("a database of %d bytes was rebuilt at the start", fileSize(t, s.path()))
	}
	copied := open(t, into)
	for _, x := range []struct {
		s    *Store
		most int64
	}{{s, 1 << 40}, {copied, 8 << 20}} {
		before := fileSize(t, x.s.path())
		remove(t, x.s, "ring-1")
		for left := 0; left == 0; {
			if err := x.s.Write(t.Context(), about("ring-1"), func(tx lifecycle.Tx) (err error) {
				left, err = tx.Erase("o", "ring-1", 1000)
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
		for range 3 { // what is still in the log is left to the next time
			if err := x.s.Shrink(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if after := fileSize(t, x.s.path()); after > x.most || x.s == s && after < before {
			t.Errorf("a database of %d bytes has %d after nearly all of it was deleted", before, after)
		}
		if log, err := x.s.Task(t.Context(), auth.All("o"), "root"); err != nil || log.Task.LastSeq == 0 {
			t.Errorf("another task: %+v, %v", log.Task, err)
		}
	}
}

// What tokens take is less than three times their text once their log is packed, however
// they came.
func TestPackedTokensTakeLittle(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	if err := s.PutOrganization(t.Context(), "o", "o"); err != nil {
		t.Fatal(err)
	}
	write := func(fn func(lifecycle.Tx) error) {
		t.Helper()
		if err := s.Write(t.Context(), nil, fn); err != nil {
			t.Fatal(err)
		}
	}
	pages := func() (n int64) {
		t.Helper()
		end, err := s.FeedEnd(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		at, err := s.SearchPlace(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		at.Feed = end // which the search has read
		if err := s.PutDocuments(t.Context(), nil, nil, at); err != nil {
			t.Fatal(err)
		}
		if err := s.DropFeed(t.Context(), s.Now()+1e9); err != nil { // which is kept for minutes
			t.Fatal(err)
		}
		if err := s.reads.db.QueryRowContext(t.Context(), "SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	text, empty, random := int64(0), pages(), rand.New(rand.NewPCG(1, 2))
	for id := range 3 {
		id := fmt.Sprintf("task-%d", id)
		write(func(tx lifecycle.Tx) error {
			return errors.Join(create(tx, id), apply(tx, id, task.Claim{Worker: "w", TokenHash: "h", Lease: time.Minute}))
		})
		for n := 1; n <= 8000; {
			write(func(tx lifecycle.Tx) error {
				stored, err := tx.Task("o", id)
				for range 80 { // some in a request, most alone
					var said []task.Event
					for range 1 + n%7/5*3 {
						word := " "
						for range random.IntN(7) { // letters that cannot be squeezed
							word += string(rune('a' + random.IntN(26)))
						}
						text += int64(len(word))
						said = append(said, task.Event{Type: task.Chunk, Own: []byte(`"` + word + `"`), ClientID: fmt.Sprintf("1-%d", n)})
						n++
					}
					err = errors.Join(err, apply(tx, id, task.Append{By: task.Writer{Fenced: true, Attempt: stored.Run}, Events: said}))
				}
				return err
			})
		}
		write(func(tx lifecycle.Tx) error {
			return apply(tx, id, task.Settle{By: "somebody", Reason: task.EndCompleted, Result: new("r"), Correct: true})
		})
	}
	before := pages() - empty
	for id := range 3 {
		id := fmt.Sprintf("task-%d", id)
		for more := true; more; {
			write(func(tx lifecycle.Tx) error {
				stored, err := tx.Task("o", id)
				if err != nil {
					return err
				}
				to, err := tx.Pack("o", id, stored.Packed, 500)
				err = errors.Join(err, apply(tx, id, task.Pack{To: to}))
				stored, failed := tx.Task("o", id)
				more = stored.Packable()
				return errors.Join(err, failed)
			})
		}
	}
	after := pages() - empty
	t.Logf("%d bytes of text took %d, and %d when they were packed", text, before, after)
	if after > 3*text {
		t.Errorf("%d bytes for %d bytes of text", after, text)
	}
}
