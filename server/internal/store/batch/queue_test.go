package batch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/store/table"
)

// underway is a write that a writer has begun and which does not end before it may.
type underway struct {
	answer chan error
	free   chan struct{}
}

// block occupies a writer.
func block(t *testing.T, w *Writers, about ...lifecycle.Key) underway {
	t.Helper()
	h := underway{answer: make(chan error, 1), free: make(chan struct{})}
	begun := make(chan struct{})
	go func() {
		h.answer <- w.Write(t.Context(), about, func(tx lifecycle.Tx) error {
			close(begun)
			<-h.free
			return puts(tx, "held")
		})
	}()
	select {
	case <-begun:
	case err := <-h.answer:
		t.Fatal(err)
	}
	return h
}

// let lets the write end.
func (h underway) let(t *testing.T) {
	t.Helper()
	close(h.free)
	if err := <-h.answer; err != nil {
		t.Error(err)
	}
}

// wait begins a write, and returns when it is in the queue.
func wait(ctx context.Context, w *Writers, about []lifecycle.Key, fn func(lifecycle.Tx) error) chan error {
	answer := make(chan error, 1)
	c := newComer(ctx)
	go func() { answer <- w.Write(c, about, fn) }()
	<-c.waits
	return answer
}

func start(t *testing.T, n int, opts Options) (*Writers, []*fake) {
	t.Helper()
	var engines []Engine
	var fakes []*fake
	for range n {
		f := &fake{}
		fakes, engines = append(fakes, f), append(engines, f)
	}
	w := Start(opts, engines...)
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		for _, f := range fakes {
			if f.closed != 1 {
				t.Errorf("an engine was closed %d times", f.closed)
			}
		}
	})
	return w, fakes
}

// Two writers never have callers that are about the same row; others do not wait
// for them.
func TestKeysAreExclusive(t *testing.T) {
	t.Parallel()
	w, _ := start(t, 2, Options{})
	first := block(t, w, key("a"), key("b"))
	var ran atomic.Int32
	run := func(lifecycle.Tx) error { ran.Add(1); return nil }
	ofAgent := lifecycle.Key{Of: lifecycle.AgentKey, Organization: "o", ID: "b"}
	elsewhere := lifecycle.Key{Of: lifecycle.TaskKey, Organization: "p", ID: "a"}
	same, both := wait(t.Context(), w, []lifecycle.Key{key("a")}, run), wait(t.Context(), w, []lifecycle.Key{key("c"), key("b")}, run)
	for _, about := range [][]lifecycle.Key{nil, {key("c")}, {ofAgent}, {elsewhere}} { // the other writer is free for these
		if err := w.Write(t.Context(), about, func(lifecycle.Tx) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if n := ran.Load(); n != 0 {
		t.Errorf("%d writes about what another has were run", n)
	}
	first.let(t)
	if err := errors.Join(<-same, <-both); err != nil || ran.Load() != 2 {
		t.Errorf("after that %d were run: %v", ran.Load(), err)
	}
}

// A caller that leaves the queue is answered at once, and not run later. One that
// a writer has is answered with what became of it.
func TestWhoLeavesTheQueueIsNotRun(t *testing.T) {
	t.Parallel()
	w, fakes := start(t, 1, Options{})
	first := block(t, w)
	ctx, leave := context.WithCancel(t.Context())
	ran := false
	left := wait(ctx, w, nil, func(lifecycle.Tx) error { ran = true; return nil })
	stays := wait(t.Context(), w, nil, func(tx lifecycle.Tx) error { return puts(tx, "stays") })
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("who left was answered %v", err)
	}
	first.let(t)
	if err := <-stays; err != nil || ran {
		t.Errorf("who stayed was answered %v; who left was run: %v", err, ran)
	}

	ctx, leave = context.WithCancel(t.Context())
	answer := wait(ctx, w, nil, func(tx lifecycle.Tx) error {
		leave()
		return puts(tx, "begun")
	})
	if err := <-answer; err != nil {
		t.Errorf("who left when it was run was answered %v", err)
	}
	if stored := fakes[0].all(); !slices.Equal(stored, []string{"held", "stays", "begun"}) {
		t.Errorf("stored %q", stored)
	}
}

// Whoever waits when a writer becomes free goes into one commit, up to a bound.
func TestWhoWaitsSharesACommit(t *testing.T) {
	t.Parallel()
	const callers = maxBatch + 40
	var sizes []int
	w, fakes := start(t, 1, Options{OnBatch: func(size int, _ time.Duration) { sizes = append(sizes, size) }})
	first := block(t, w)
	var answers []chan error
	for i := range callers {
		answers = append(answers, wait(t.Context(), w, nil, func(tx lifecycle.Tx) error { return puts(tx, strconv.Itoa(i)) }))
	}
	first.let(t)
	want := []string{"held"}
	for i, answer := range answers {
		if err := <-answer; err != nil {
			t.Fatal(err)
		}
		want = append(want, strconv.Itoa(i))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(sizes, []int{1, maxBatch, 40}) {
		t.Errorf("commits of %v", sizes)
	}
	if stored := fakes[0].all(); !slices.Equal(stored, want) {
		t.Errorf("not in their order: %q", stored)
	}
}

// What is not long passes the long writes that a commit has no room for; these keep
// their order, and one goes with each commit however long it is.
func TestLongWritesHoldUpEachOtherOnly(t *testing.T) {
	t.Parallel()
	w, fakes := start(t, 1, Options{})
	first := block(t, w)
	var answers []chan error
	put := func(ctx context.Context, name string) {
		answers = append(answers, wait(ctx, w, nil, func(tx lifecycle.Tx) error { return puts(tx, name) }))
	}
	put(lifecycle.Long(t.Context(), maxRows/2), "a")
	put(lifecycle.Long(t.Context(), maxRows), "b")
	put(lifecycle.Long(t.Context(), 1), "c") // it would fit, but not before b
	for i := range maxBatch {
		put(t.Context(), strconv.Itoa(i))
	}
	put(t.Context(), "short")
	put(lifecycle.Long(t.Context(), 2*maxRows), "d")
	first.let(t)
	for _, answer := range answers {
		if err := <-answer; err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"held", "a"}
	for i := range maxBatch {
		want = append(want, strconv.Itoa(i))
	}
	want = append(want, "b", "short", "c", "d")
	if stored := fakes[0].all(); !slices.Equal(stored, want) {
		t.Errorf("stored %q", stored)
	}
}

// Close lets what is under way end, turns away those who wait, and all who come.
func TestClose(t *testing.T) {
	t.Parallel()
	w, fakes := start(t, 2, Options{})
	one, two := block(t, w, key("a")), block(t, w, key("b"))
	ran := false
	waits := wait(t.Context(), w, nil, func(lifecycle.Tx) error { ran = true; return nil })
	closed := make(chan error)
	go func() { closed <- w.Close() }()
	if err := <-waits; fault.CodeOf(err) != fault.Unavailable || ran {
		t.Errorf("who waited was run: %v, answered: %v", ran, err)
	}
	if err := w.Write(t.Context(), nil, func(lifecycle.Tx) error { ran = true; return nil }); fault.CodeOf(err) != fault.Unavailable || ran {
		t.Errorf("who came later was run: %v, answered: %v", ran, err)
	}
	one.let(t)
	two.let(t)
	if err := errors.Join(<-closed, w.Close()); err != nil {
		t.Error(err)
	}
	for i, f := range fakes {
		if stored := f.all(); !slices.Equal(stored, []string{"held"}) {
			t.Errorf("writer %d has stored %q", i, stored)
		}
	}
}

// The queue under any arrivals, departures and ends: no two writers have the same
// key at a time, those about one and the same come in their order, and nobody is
// forgotten.
func TestQueueOfAnyRequests(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		q := newQueue()
		var waiting []*request
		under := map[lifecycle.Key]bool{}
		var batches [][]*request
		taken := 0
		free := func(r *request) bool {
			return !slices.ContainsFunc(r.about, func(k lifecycle.Key) bool { return under[k] })
		}
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			switch rapid.IntRange(0, 4).Draw(rt, "step") {
			case 0, 1:
				r := &request{done: make(chan struct{})}
				for _, k := range rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c"}), 0, 2).Draw(rt, "about") {
					r.about = append(r.about, key(k))
				}
				if err := q.add(r); err != nil {
					rt.Fatal(err)
				}
				waiting = append(waiting, r)
			case 2:
				if len(waiting) == 0 {
					continue
				}
				i := rapid.IntRange(0, len(waiting)-1).Draw(rt, "who leaves")
				if !q.remove(waiting[i]) || q.remove(waiting[i]) {
					rt.Fatal("who waits can leave, once")
				}
				waiting = slices.Delete(waiting, i, i+1)
			case 3:
				if !slices.ContainsFunc(waiting, free) { // the writer would wait
					continue
				}
				batch := q.take(new(room))
				var want []*request
				waiting = slices.DeleteFunc(waiting, func(r *request) bool {
					if free(r) {
						want = append(want, r)
						return true
					}
					return false
				})
				if !slices.Equal(batch, want) {
					rt.Fatalf("taken %d, want %d, in their order", len(batch), len(want))
				}
				for _, r := range batch {
					for _, k := range r.about {
						under[k] = true
					}
				}
				taken += len(batch)
				batches = append(batches, batch)
			case 4:
				if len(batches) == 0 {
					continue
				}
				i := rapid.IntRange(0, len(batches)-1).Draw(rt, "which ends")
				q.finish(batches[i])
				for _, r := range batches[i] {
					<-r.done
					for _, k := range r.about {
						delete(under, k)
					}
				}
				batches = slices.Delete(batches, i, i+1)
			}
		}
		q.close()
		for _, r := range waiting {
			if <-r.done; fault.CodeOf(r.err) != fault.Unavailable {
				rt.Fatalf("who waited at the end was answered %v", r.err)
			}
		}
		if q.take(new(room)) != nil || q.add(&request{}) == nil {
			rt.Fatal("a closed queue goes on")
		}
	})
}

// rows are who has which row.
type rows struct {
	mu     sync.Mutex
	locked map[lifecycle.Key]*exclusive
	torn   []string
}

// exclusive is an engine that notes when two have the same row in a transaction.
type exclusive struct {
	*fake
	rows *rows
}

func (e *exclusive) Begin(ctx context.Context, about []lifecycle.Key) error {
	e.rows.mu.Lock()
	defer e.rows.mu.Unlock()
	for _, k := range about {
		if other := e.rows.locked[k]; other != nil && other != e {
			e.rows.torn = append(e.rows.torn, k.ID)
		}
		e.rows.locked[k] = e
	}
	return e.fake.Begin(ctx, about)
}

func (e *exclusive) over() {
	e.rows.mu.Lock()
	defer e.rows.mu.Unlock()
	maps.DeleteFunc(e.rows.locked, func(_ lifecycle.Key, by *exclusive) bool { return by == e })
}

func (e *exclusive) Commit(ctx context.Context, ops []table.Op, entries []feed.Entry) error {
	defer e.over()
	return e.fake.Commit(ctx, ops, entries)
}

func (e *exclusive) Rollback(ctx context.Context) {
	defer e.over()
	e.fake.Rollback(ctx)
}

// Many callers of few rows on several writers: each write is stored once, and its
// row is in one transaction at a time.
func TestManyWriters(t *testing.T) {
	t.Parallel()
	const callers, each, few = 24, 40, 4
	shared := &rows{locked: map[lifecycle.Key]*exclusive{}}
	engines := make([]Engine, 3)
	for i := range engines {
		engines[i] = &exclusive{&fake{}, shared}
	}
	w := Start(Options{}, engines...)
	failures := make([]error, callers)
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			for n := range each {
				about := []lifecycle.Key{key(strconv.Itoa((i + n) % few)), key(strconv.Itoa((i + 2*n) % few))}
				failures[i] = errors.Join(failures[i], w.Write(t.Context(), about[:1+n%2], func(tx lifecycle.Tx) error {
					return puts(tx, fmt.Sprint(i, " ", n))
				}))
			}
		})
	}
	all.Wait()
	if err := errors.Join(errors.Join(failures...), w.Close()); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, e := range engines {
		stored := e.(*exclusive).all()
		for _, x := range stored {
			seen[x]++
		}
	}
	if len(shared.torn) > 0 || len(seen) != callers*each {
		t.Errorf("%d of %d writes are stored; two writers had %q at a time", len(seen), callers*each, shared.torn)
	}
}
