package batch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/store/table"
	"github.com/errand-dev/errand/server/internal/task"
)

var errBoom = errors.New("boom")

// alone is a writer that nobody else uses, and that a test drives itself.
func alone(opts Options) (*writer, *fake) {
	f := &fake{}
	return newWriter(f, opts), f
}

// requests makes a request of each function, in the order of their names, and of
// each one's own key.
func requests(t *testing.T, fns ...func(lifecycle.Tx) error) []*request {
	t.Helper()
	batch := make([]*request, len(fns))
	for i, fn := range fns {
		batch[i] = &request{ctx: t.Context(), fn: fn, done: make(chan struct{})}
	}
	return batch
}

// outcomes lists what callers were answered.
func outcomes(batch []*request) []error {
	errs := make([]error, len(batch))
	for i, r := range batch {
		errs[i] = r.err
	}
	return errs
}

// What is sent, and when: nothing before its function has returned, unless a
// question needs it; then also what callers before have recorded, and a mark
// behind that, to which the transaction goes back if the function fails.
func TestWhatIsSentWhen(t *testing.T) {
	t.Parallel()
	put := func(ids ...string) func(lifecycle.Tx) error {
		return func(tx lifecycle.Tx) error {
			for _, id := range ids {
				if err := puts(tx, id); err != nil {
					return err
				}
			}
			return nil
		}
	}
	then := func(fns ...func(lifecycle.Tx) error) func(lifecycle.Tx) error {
		return func(tx lifecycle.Tx) error {
			for _, fn := range fns {
				if err := fn(tx); err != nil {
					return err
				}
			}
			return nil
		}
	}
	boom := func(lifecycle.Tx) error { return errBoom }
	panics := func(lifecycle.Tx) error { panic("p") }
	secret := func(tx lifecycle.Tx) error { return tx.PutSecret("o", lifecycle.OfTask, "s", nil) }
	another := func(tx lifecycle.Tx) error { return tx.PutSecret("o", lifecycle.OfTask, "t", nil) }
	for name, c := range map[string]struct {
		fns    []func(lifecycle.Tx) error
		calls  string
		stored []string
	}{
		"nothing":                          {fns(boom), "begin, rollback", nil},
		"a question only":                  {fns(asks), "begin, ask nodes, rollback", nil},
		"writes only":                      {fns(put("a", "b"), put("c")), "begin, commit a b c", []string{"a", "b", "c"}},
		"a failure before":                 {fns(then(put("a"), boom), put("b")), "begin, commit b", []string{"b"}},
		"a failure behind":                 {fns(put("a"), then(put("b"), boom)), "begin, commit a", []string{"a"}},
		"a panic":                          {fns(put("a"), then(put("b"), panics), put("c")), "begin, commit a c", []string{"a", "c"}},
		"only failures":                    {fns(then(put("a"), boom), then(put("b"), panics)), "begin, rollback", nil},
		"a question before":                {fns(then(asks, put("a"))), "begin, ask nodes, commit a", []string{"a"}},
		"a question behind":                {fns(then(put("a"), asks, put("b"))), "begin, save, send a, ask nodes, commit b", []string{"a", "b"}},
		"a question about something else":  {fns(then(put("a"), secret, func(tx lifecycle.Tx) error { _, err := tx.Posted("o", "w", "p"); return err })), "begin, ask worker_posts, commit o task s a", []string{"o", "task", "s", "a"}},
		"a question about callers before":  {fns(put("a"), put("b"), asks, put("c")), "begin, send a b, ask nodes, commit c", []string{"a", "b", "c"}},
		"a failure after a question":       {fns(then(put("a"), asks, put("b"), boom), put("c")), "begin, save, send a, ask nodes, back, commit c", []string{"c"}},
		"a panic after a question":         {fns(put("c"), then(put("a"), asks, panics)), "begin, send c, save, send a, ask nodes, back, commit", []string{"c"}},
		"a failure among those that asked": {fns(put("a"), then(put("b"), asks), then(put("c"), asks, put("d"), asks, boom), put("e")), "begin, send a, save, send b, ask nodes, save, send c, ask nodes, send d, ask nodes, back, commit e", []string{"a", "b", "e"}},
		"two in the same table, one asked": {fns(secret, then(another, put("a"), asks)), "begin, send o task s, save, send o task t a, ask nodes, commit", []string{"o", "task", "s", "o", "task", "t", "a"}},
		"a question about some of it":      {fns(secret, put("a"), asks, put("b")), "begin, send a, ask nodes, commit o task s b", []string{"a", "o", "task", "s", "b"}},
		"a failure that asked, behind it":  {fns(secret, put("a"), asks, then(another, put("b"), asks, boom), put("c")), "begin, send a, ask nodes, send o task s, save, send o task t b, ask nodes, back, commit c", []string{"a", "o", "task", "s", "c"}},
		"only a failure that asked":        {fns(then(put("a"), asks, boom)), "begin, save, send a, ask nodes, back, rollback", nil},
		"asked twice":                      {fns(then(put("a"), asks, asks)), "begin, save, send a, ask nodes, ask nodes, commit", []string{"a"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, f := alone(Options{})
			w.commit(&group{all: requests(t, c.fns...)})
			if calls := f.called(); calls != c.calls {
				t.Errorf("calls\n%s, want\n%s", calls, c.calls)
			}
			if stored := f.all(); !reflect.DeepEqual(stored, c.stored) {
				t.Errorf("stored %q, want %q", stored, c.stored)
			}
		})
	}
}

func fns(list ...func(lifecycle.Tx) error) []func(lifecycle.Tx) error { return list }

// The rows that a batch is about are locked when it begins, and read in one question,
// others when they are read first.
func TestWhatIsLocked(t *testing.T) {
	t.Parallel()
	w, f := alone(Options{})
	batch := requests(t, func(tx lifecycle.Tx) error {
		for _, id := range []string{"a", "b", "c", "c"} {
			if _, err := tx.Task("o", id); fault.CodeOf(err) != fault.NotFound {
				return fmt.Errorf("a task that is not there: %w", err)
			}
		}
		return nil
	}, func(lifecycle.Tx) error { return nil })
	batch[0].about, batch[1].about = []lifecycle.Key{key("a")}, []lifecycle.Key{key("b")}
	w.commit(&group{all: batch})
	if calls := f.called(); calls != "begin a b, ask tasks, ask graves, lock c, ask tasks, ask tasks, rollback" || batch[0].err != nil {
		t.Errorf("calls %s; answer %v", calls, batch[0].err)
	}
}

// What a transaction came to lock on its way is locked when the one that is done in
// its place begins: two that have locked the same in different orders do not meet
// like that again.
func TestRacedLocksInOneOrder(t *testing.T) {
	t.Parallel()
	w, f := alone(Options{})
	raced := 2
	f.fail = func(call string) error {
		if raced > 0 && strings.HasPrefix(call, "lock c") {
			raced--
			return table.ErrRaced
		}
		return nil
	}
	batch := requests(t, func(tx lifecycle.Tx) error {
		for _, id := range []string{"a", "b", "c"} {
			if _, err := tx.Task("o", id); fault.CodeOf(err) != fault.NotFound {
				return err
			}
		}
		return nil
	})
	batch[0].about = []lifecycle.Key{key("a")}
	w.commit(&group{all: batch})
	var begun []string
	for call := range strings.SplitSeq(f.called(), ", ") {
		if strings.HasPrefix(call, "begin") || strings.HasPrefix(call, "lock") {
			begun = append(begun, call)
		}
	}
	if want := []string{"begin a", "lock b", "lock c", "begin b c a"}; batch[0].err != nil || !reflect.DeepEqual(begun, want) {
		t.Errorf("%q, want %q; answer %v", begun, want, batch[0].err)
	}
}

// Whoever lost a race against another node is run again; a batch that goes on
// losing is taken apart.
func TestRacedIsRunAgain(t *testing.T) {
	t.Parallel()
	raced := fmt.Errorf("a row: %w", table.ErrRaced)
	for _, c := range []struct {
		name  string
		fails func(commit int, call string) error
		runs  [2]int
		want  [2]error
	}{
		{"once", func(n int, _ string) error {
			if n == 1 {
				return raced
			}
			return nil
		}, [2]int{2, 2}, [2]error{}},
		{"one of them always", func(_ int, call string) error {
			if strings.Contains(call, "b") {
				return raced
			}
			return nil
		}, [2]int{tries + 1, 2 * tries}, [2]error{nil, table.ErrRaced}},
		{"together only", func(_ int, call string) error {
			if strings.Contains(call, "a b") {
				return raced
			}
			return nil
		}, [2]int{tries + 1, tries + 1}, [2]error{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w, f := alone(Options{})
			commits := 0
			f.fail = func(call string) error {
				if !strings.HasPrefix(call, "commit") {
					return nil
				}
				commits++
				return c.fails(commits, strings.TrimPrefix(call, "commit"))
			}
			var runs [2]int
			batch := requests(t, func(tx lifecycle.Tx) error { runs[0]++; return puts(tx, "a") }, func(tx lifecycle.Tx) error { runs[1]++; return puts(tx, "b") })
			w.commit(&group{all: batch})
			if runs != c.runs {
				t.Errorf("run %d times, want %d", runs, c.runs)
			}
			var want []string
			for i, err := range outcomes(batch) {
				if !errors.Is(err, c.want[i]) || (err == nil) != (c.want[i] == nil) {
					t.Errorf("caller %d was answered %v, want %v", i, err, c.want[i])
				}
				if c.want[i] == nil {
					want = append(want, string(rune('a'+i)))
				}
			}
			if stored := f.all(); !reflect.DeepEqual(stored, want) {
				t.Errorf("stored %q, want %q", stored, want)
			}
		})
	}
}

// An error of the engine, wherever it happens, undoes all of the transaction: the
// callers are tried alone, and it is told to whose write it was. That nothing can
// be stored now is told to all at once.
func TestErrorsOfTheEngine(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"commit", "send", "save", "ask", "lock", "back"} {
		for _, why := range []error{errBoom, fault.New(fault.Invalid, "no text"), fault.New(fault.Unavailable, "the disk is full")} {
			t.Run(fmt.Sprint(where, ", ", why), func(t *testing.T) {
				t.Parallel()
				var told []string
				w, f := alone(Options{OnCommit: func(entries []feed.Entry) {
					for _, e := range entries {
						told = append(told, e.Task)
					}
				}})
				guilty := false // what happens in this transaction is the second caller's fault
				f.fail = func(call string) error {
					if strings.HasPrefix(call, "begin") {
						guilty = false
					}
					if guilty && strings.HasPrefix(call, where) {
						return why
					}
					return nil
				}
				good := func(id string) func(lifecycle.Tx) error {
					return func(tx lifecycle.Tx) error { return errors.Join(tx.Save(begun(id)), puts(tx, id)) }
				}
				batch := requests(t, good("a"), func(tx lifecycle.Tx) error {
					guilty = true
					_, err := tx.Task("o", "x")
					if fault.CodeOf(err) == fault.NotFound {
						err = nil
					}
					err = errors.Join(err, good("b")(tx), asks(tx))
					if where == "back" {
						return errors.New("so that it goes back")
					}
					return err
				}, good("c"))
				w.commit(&group{all: batch})
				want, all := []string{"a", "c"}, fault.CodeOf(why) == fault.Unavailable
				if all {
					want = nil
				}
				for i, err := range outcomes(batch) {
					if bad := i == 1 || all; bad != (err != nil) || bad && !errors.Is(err, why) {
						t.Errorf("caller %d was answered %v", i, err)
					}
				}
				if stored := f.all(); !reflect.DeepEqual(stored, want) || !reflect.DeepEqual(told, want) {
					t.Errorf("stored %q, told of %q, want %q", stored, told, want)
				}
			})
		}
	}
}

// begun is the beginning of a task.
func begun(id string) task.Change {
	c, err := task.Apply(task.Task{}, task.Begin{Spec: task.Spec{OrganizationID: "o", ID: id, AgentID: "a"}}, 1)
	if err != nil {
		c.Refused = err
	}
	return c
}

// A function that passes over an error of the engine does not get its write stored.
func TestErrorsOfTheEngineCannotBePassedOver(t *testing.T) {
	t.Parallel()
	w, f := alone(Options{})
	f.fail = func(call string) error {
		if strings.HasPrefix(call, "ask") {
			return errBoom
		}
		return nil
	}
	batch := requests(t, func(tx lifecycle.Tx) error { _ = asks(tx); return puts(tx, "a") })
	w.commit(&group{all: batch})
	if stored := f.all(); len(stored) > 0 || !errors.Is(batch[0].err, errBoom) {
		t.Errorf("stored %q, answer %v", stored, batch[0].err)
	}
}

// When nothing can begin, everybody is told, and nobody is run.
func TestNothingCanBegin(t *testing.T) {
	t.Parallel()
	for _, why := range []error{errBoom, fault.New(fault.Unavailable, "the database cannot be reached")} {
		w, f := alone(Options{})
		f.fail = func(call string) error {
			if strings.HasPrefix(call, "begin") {
				return why
			}
			return nil
		}
		ran := false
		run := func(lifecycle.Tx) error { ran = true; return nil }
		batch := requests(t, run, run)
		w.commit(&group{all: batch})
		if !errors.Is(batch[0].err, why) || !errors.Is(batch[1].err, why) || ran {
			t.Errorf("%v: answers %v, run: %v", why, outcomes(batch), ran)
		}
		if calls := f.called(); calls != strings.TrimSuffix(strings.Repeat("begin, rollback, ", strings.Count(calls, "begin")), ", ") {
			t.Errorf("%v: what had begun, but without its locks, is not rolled back: %s", why, calls)
		}
	}
}

// A caller that has gone is not run, also when others share its commit.
func TestGoneCallersAreNotRun(t *testing.T) {
	t.Parallel()
	w, f := alone(Options{})
	gone, leave := context.WithCancel(t.Context())
	leave()
	batch := requests(t, func(tx lifecycle.Tx) error { return puts(tx, "a") }, func(tx lifecycle.Tx) error { return puts(tx, "b") })
	batch[1].ctx = gone
	w.commit(&group{all: batch})
	if stored := f.all(); !reflect.DeepEqual(stored, []string{"a"}) || batch[0].err != nil || !errors.Is(batch[1].err, context.Canceled) {
		t.Errorf("stored %q, answers %v", stored, outcomes(batch))
	}
}

// What a commit has done is told, and measured, before its callers are answered.
func TestCommitsAreToldFirst(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var told []string
	note := func(what string) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, what)
	}
	f := &fake{}
	w := Start(Options{
		OnCommit: func(entries []feed.Entry) { note("told of " + entries[0].Task) },
		OnBatch:  func(size int, _ time.Duration) { note(fmt.Sprint("commit of ", size)) },
	}, f)
	for _, id := range []string{"a", "b"} {
		if err := w.Write(t.Context(), nil, func(tx lifecycle.Tx) error {
			return tx.Save(task.Change{Task: task.Task{OrganizationID: "o", ID: id}, Events: []task.Event{{Seq: 1}}})
		}); err != nil {
			t.Fatal(err)
		}
		note("answered " + id)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	want := []string{"commit of 1", "told of a", "answered a", "commit of 1", "told of b", "answered b"}
	if !reflect.DeepEqual(told, want) {
		t.Errorf("%q, want %q", told, want)
	}
}

// Edit records what its function returns, which sees all that was written before.
// What it refuses is answered, and nothing of it is stored.
func TestEdit(t *testing.T) {
	t.Parallel()
	f := &fake{}
	w := Start(Options{}, f)
	refused := fault.New(fault.Conflict, "no")
	for _, fail := range []error{nil, refused, errBoom} {
		err := w.Edit(t.Context(), func(db table.DB, now task.Stamp) ([]table.Op, error) {
			_, err := db.Query(t.Context(), "SELECT 1 FROM keys")
			return []table.Op{table.PutNode(lifecycle.Node{ID: fmt.Sprint("at ", int64(now))})}, errors.Join(err, fail)
		})
		if !errors.Is(err, fail) || (err == nil) != (fail == nil) {
			t.Errorf("answered %v, want %v", err, fail)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if calls := f.called(); calls != "begin, ask keys, commit at 1, begin, ask keys, rollback, begin, ask keys, rollback" {
		t.Errorf("calls %s", calls)
	}
}

// What a panic says is told to the log, with its stack, and not to the caller.
func TestPanicIsLoggedWithItsStack(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	w, _ := alone(Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	batch := requests(t, func(lifecycle.Tx) error { panic("a secret") })
	w.commit(&group{all: batch})
	if err := batch[0].err; err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("answered %v", err)
	}
	if !strings.Contains(log.String(), "a secret") || !strings.Contains(log.String(), "writer_test.go") {
		t.Errorf("logged %s", log.String())
	}
}

// Whoever writes because of what a commit will have changed goes into that commit, if
// it comes at once; and if the commit fails, what it is told again is written again.
func TestWhoIsCalledGoesAlong(t *testing.T) {
	t.Parallel()
	for name, fails := range map[string]bool{"at once": false, "after a failure": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var w *Writers
			var answers []chan error
			told := 0
			w, fakes := start(t, 1, Options{Remember: true, OnDecided: func(entries []feed.Entry) {
				if told += len(entries); len(answers) == 0 {
					answers = append(answers, wait(t.Context(), w, nil, func(tx lifecycle.Tx) error { return puts(tx, "b") }))
				}
			}})
			commits := 0
			fakes[0].fail = func(call string) error {
				if strings.HasPrefix(call, "commit") {
					if commits++; fails && commits == 1 {
						return errBoom
					}
				}
				return nil
			}
			err := w.Write(t.Context(), nil, func(tx lifecycle.Tx) error { return errors.Join(tx.Save(begun("a")), puts(tx, "a")) })
			if err = errors.Join(err, <-answers[0]); err != nil {
				t.Fatal(err)
			}
			want, times := 1, 1
			if fails { // together, and then each alone
				want, times = 3, 2
			}
			if commits != want || told != times {
				t.Errorf("%d commits, %d entries were told: %s", commits, told, fakes[0].called())
			}
			if stored := fakes[0].all(); !reflect.DeepEqual(stored, []string{"a", "b"}) {
				t.Errorf("stored %q", stored)
			}
		})
	}
}
