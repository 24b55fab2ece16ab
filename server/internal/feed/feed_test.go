package feed_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/task"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPositionsAreOrdered(t *testing.T) {
	t.Parallel()
	sorted := []feed.Position{{}, {N: 1}, {Commit: 1}, {Commit: 1, N: 2}, {Commit: 2}, {Commit: 1 << 62, N: 1 << 30}}
	for i, p := range sorted {
		for j, q := range sorted {
			if p.Before(q) != (i < j) {
				t.Errorf("%v before %v: %v", p, q, p.Before(q))
			}
		}
	}
}

// entry is what a change by some commands makes of a task.
func entry(t *testing.T, commands ...task.Command) (feed.Entry, bool, task.Change) {
	t.Helper()
	change, err := task.Apply(task.Task{}, task.Begin{Spec: task.Spec{OrganizationID: "o", ID: "t", AgentID: "a", MaxAttempts: 3}}, 1_000_000)
	for i, c := range commands {
		if err != nil {
			t.Fatal(err)
		}
		change, err = task.Apply(change.Task, c, task.Stamp(i+2)*1_000_000)
	}
	if err != nil {
		t.Fatal(err)
	}
	e, there := feed.Of(change)
	return e, there, change
}

// What a change means to those who wait.
func TestEntryOfAChange(t *testing.T) {
	t.Parallel()
	claim := task.Claim{Worker: "w", TokenHash: "h", Lease: time.Minute}
	assign := task.Assign{Worker: "py", Lease: time.Minute}
	start := task.Patch{Full: true, Status: task.Executing, Number: 1}
	end := task.Settle{By: "p", Reason: task.EndFailed, Correct: true, FromPending: true}
	two := task.Append{Events: []task.Event{{Type: task.AgentMessage, Own: []byte("1")}, {Type: task.AgentMessage, Own: []byte("2")}}}
	for _, c := range []struct {
		name        string
		do          []task.Command
		kind        feed.Kind
		first, last int64
	}{
		{"begun", nil, feed.Grew | feed.Ready, 1, 1},
		{"two events", []task.Command{two}, feed.Grew | feed.Ready, 2, 3},
		{"claimed", []task.Command{claim}, feed.Grew, 2, 3},
		{"assigned", []task.Command{assign}, feed.Grew, 2, 2},
		{"taken back", []task.Command{assign, task.Lose{Number: 1}}, feed.Grew | feed.Ready | feed.Freed, 3, 3},
		{"lost", []task.Command{claim, task.Lose{Number: 1}}, feed.Grew | feed.Ready | feed.Freed, 4, 5},
		{"paused", []task.Command{task.Pause{By: "p"}}, feed.Grew, 2, 3},
		{"resumed", []task.Command{task.Pause{By: "p"}, task.Resume{By: "p"}}, feed.Grew | feed.Ready, 4, 5},
		{"overruled", []task.Command{claim, end}, feed.Grew | feed.Freed, 4, 4},
		{"overruled, goes on", []task.Command{assign, start, end}, feed.Grew, 5, 5},
		{"let go after that", []task.Command{assign, start, end, task.Lose{Number: 1}}, feed.Freed, 0, 0},
		{"let go of what it holds over", []task.Command{assign, start, end, task.Begin{Spec: task.Spec{AgentID: "a"}}, task.Lose{Number: 1}}, feed.Freed | feed.Ready, 0, 0},
		{"a heartbeat", []task.Command{assign, start, task.Hear{Number: 1, Until: 1 << 60}}, 0, 0, 0},
		{"a sub-task counted", []task.Command{task.AddChild{}}, 0, 0, 0},
	} {
		e, there, change := entry(t, c.do...)
		if there != (c.kind != 0) {
			t.Errorf("%s: there is an entry: %v", c.name, there)
		}
		if !there {
			continue
		}
		worker := ""
		if c.kind&feed.Freed != 0 {
			worker = change.Attempts[len(change.Attempts)-1].WorkerID
		}
		want := feed.Entry{Worker: worker, Organization: "o", Task: "t", Agent: "a", Kind: c.kind, First: c.first, Last: c.last}
		if e.Change == nil || e.Change.Task.LastSeq != change.Task.LastSeq {
			t.Errorf("%s: its change is %+v", c.name, e.Change)
		}
		if e.Change = nil; e != want {
			t.Errorf("%s: %+v, want %+v", c.name, e, want)
		}
	}
}

// shelf is a feed to be read.
type shelf struct {
	mu      sync.Mutex
	entries []feed.Entry
	fails   error
	reads   int
}

func (s *shelf) add(node string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range n {
		s.entries = append(s.entries, feed.Entry{Position: feed.Position{Commit: int64(len(s.entries) + 1)}, Node: node, Task: strconv.Itoa(len(s.entries) + 1)})
	}
}

func (s *shelf) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails = err
}

// Mark is how many entries there are: nobody takes long here.
func (s *shelf) Mark(_ context.Context, since string) (string, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	now := strconv.Itoa(len(s.entries))
	return now, now != since, s.fails
}

func (s *shelf) News(_ context.Context, since, until string, after feed.Position, limit int) ([]feed.Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from, err := strconv.Atoi(since)
	to, err2 := strconv.Atoi(until)
	if err := errors.Join(err, err2, s.fails); err != nil {
		return nil, err
	}
	found := slices.DeleteFunc(slices.Clone(s.entries[from:to]), func(e feed.Entry) bool { return !after.Before(e.Position) || e.Node == "mine" })
	return found[:min(len(found), limit)], nil
}

// tailing is a tailer that follows a shelf.
type tailing struct {
	*shelf
	*feed.Tailer
	mu     sync.Mutex
	told   []string
	failed []error
	hints  chan struct{}
	end    context.CancelFunc
}

// tail follows a shelf in a bubble of synctest, and comes to rest.
func tail(t *testing.T, s *shelf) *tailing {
	t.Helper()
	x := &tailing{shelf: s, hints: make(chan struct{}, 1)}
	x.Tailer = feed.NewTailer(func(entries []feed.Entry) {
		x.mu.Lock()
		defer x.mu.Unlock()
		for _, e := range entries {
			x.told = append(x.told, cmp.Or(e.Task, "own"))
		}
	})
	ctx, end := context.WithCancel(t.Context())
	x.end = end
	go x.Follow(ctx, s, strconv.Itoa(len(s.entries)), x.hints, func(err error) {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.failed = append(x.failed, err)
	})
	synctest.Wait()
	return x
}

// expect compares what was told since the last time, and how often the reading failed.
func (x *tailing) expect(t *testing.T, what string, failures int, want ...string) {
	t.Helper()
	synctest.Wait()
	x.mu.Lock()
	defer x.mu.Unlock()
	if !slices.Equal(x.told, want) || len(x.failed) != failures {
		t.Errorf("%s: told of %q, want %q; failures %v", what, x.told, want, x.failed)
	}
	x.told, x.failed = nil, nil
}

// pass lets time pass in a bubble of synctest, which takes none.
func pass(d time.Duration) { <-time.After(d) }

// A tailer tells of other nodes' commits from those on that were not there when it
// began, each once and in order, when it gets a hint, and after a second without
// one. Its own are told by the store.
func TestTailerFollowsOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		s.add("other", 3)
		x := tail(t, s)
		x.expect(t, "what was there", 0)

		s.add("other", 2)
		x.hints <- struct{}{}
		x.expect(t, "after a hint", 0, "4", "5")
		x.hints <- struct{}{}
		x.expect(t, "after a hint for nothing", 0)

		s.add("mine", 1)
		s.add("third", 1)
		s.add("mine", 1)
		x.expect(t, "without a hint, at once", 0)
		pass(time.Second)
		x.expect(t, "without a hint, a second later", 0, "7")

		x.Committed([]feed.Entry{{Node: "mine"}, {Node: "mine"}})
		x.expect(t, "its own", 0, "own", "own")
		x.end()
		synctest.Wait()
		s.add("other", 1)
		pass(time.Minute)
		x.expect(t, "after its end", 0)
	})
}

// What could not be read is read later, and nothing is left out.
func TestTailerGoesOnAfterAFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		s.add("other", 3)
		s.fail(errors.New("the database is away"))
		x := tail(t, s)
		defer x.end()
		x.expect(t, "before the end of the feed could be read", 1)
		s.fail(nil)
		x.hints <- struct{}{}
		x.expect(t, "what was there when it could be read", 0)

		s.add("other", 1)
		s.fail(errors.New("the database is away again"))
		pass(3 * time.Second)
		x.expect(t, "while it is away, told once", 1)
		s.add("other", 1)
		s.fail(nil)
		pass(time.Second)
		x.expect(t, "when it is back", 0, "4", "5")
	})
}

// However many there are, all are told, in parts.
func TestTailerReadsAllThatIsThere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		x := tail(t, s)
		defer x.end()
		for _, n := range []int{499, 500, 501, 1000, 2345} {
			before := len(s.entries)
			s.add("other", n)
			s.add("mine", 5)
			x.hints <- struct{}{}
			var want []string
			for i := range n {
				want = append(want, strconv.Itoa(before+i+1))
			}
			x.expect(t, fmt.Sprint(n, " entries"), 0, want...)
		}
	})
}

// Whoever tells does so one by one: what is committed here, and what is read of
// others, is never told at the same time.
func TestTailerTellsOneByOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		telling, told := 0, 0
		x := feed.NewTailer(func(entries []feed.Entry) {
			telling++ // the race detector watches
			told += len(entries)
			if telling != 1 {
				t.Error("two tell at a time")
			}
			telling--
		})
		ctx, end := context.WithCancel(t.Context())
		hints := make(chan struct{})
		go x.Follow(ctx, s, "0", hints, func(err error) { t.Error(err) })
		synctest.Wait()
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for range 50 {
					x.Committed([]feed.Entry{{Node: "mine"}})
				}
			})
		}
		for range 50 {
			s.add("other", 1)
			hints <- struct{}{}
		}
		all.Wait()
		synctest.Wait()
		end()
		synctest.Wait()
		if told != 8*50+50 {
			t.Errorf("told of %d entries", told)
		}
	})
}
