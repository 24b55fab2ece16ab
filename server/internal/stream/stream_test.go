package stream_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/secret"
	"github.com/errand-dev/errand/server/internal/store/sqlite"
	"github.com/errand-dev/errand/server/internal/stream"
	"github.com/errand-dev/errand/server/internal/task"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	org  = "org"
	id   = "t"
	idle = time.Hour // nothing here may need the look after silence
)

// bench is a service whose commits are published to a hub.
type bench struct {
	*lifecycle.Service
	t      *testing.T
	hub    *stream.Hub
	source *stream.Source
}

type keepAll struct{}

func (keepAll) Keep(_ context.Context, _ auth.Scope, given, _ string) (kept, file string, err error) {
	return given, "", nil
}

func open(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, hub: stream.NewHub()}
	store, err := sqlite.Open(t.Context(), sqlite.Options{Verify: true, Dir: t.TempDir(), OnCommit: b.hub.Publish})
	b.must(err)
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	box, err := secret.NewBox(bytes.Repeat([]byte{7}, 32))
	b.must(err)
	b.Service = lifecycle.New(store, box, keepAll{}, func() string { return id }, slog.New(slog.DiscardHandler))
	b.source = stream.NewSource(b.hub, b.Service)
	b.must(store.PutOrganization(t.Context(), org, org))
	_, err = b.PutAgent(t.Context(), org, "bot", agent.Record{Name: "bot"})
	b.must(err)
	return b
}

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func who() lifecycle.Caller { return lifecycle.Caller{Scope: auth.All(org), By: "key alice"} }

// run begins a turn and returns the lease token of its attempt.
func (b *bench) run() string {
	b.t.Helper()
	_, _, err := b.Submit(b.t.Context(), who(), lifecycle.Submission{Spec: task.Spec{ID: id, AgentID: "bot"}})
	b.must(err)
	got, err := b.Claim(b.t.Context(), who(), lifecycle.ClaimRequest{Agents: []string{"bot"}, Worker: "w", Slots: 1})
	b.must(err)
	if len(got) != 1 {
		b.t.Fatalf("claimed %d", len(got))
	}
	return got[0].Token
}

func (b *bench) say(token string, n int) {
	b.t.Helper()
	events := make([]lifecycle.NewEvent, n)
	for i := range events {
		events[i] = lifecycle.NewEvent{Type: "chunk", Data: fmt.Appendf(nil, `"%d"`, i)}
	}
	_, err := b.Append(b.t.Context(), who(), id, token, events)
	b.must(err)
}

func (b *bench) finish(token string, reason task.EndReason) {
	b.t.Helper()
	_, err := b.Finish(b.t.Context(), org, id, token, lifecycle.Outcome{Reason: reason, Result: new("r")})
	b.must(err)
}

func (b *bench) log() []task.Event {
	b.t.Helper()
	var all []task.Event
	for {
		some, err := b.Events(b.t.Context(), org, id, int64(len(all)), 1000)
		b.must(err)
		if len(some) == 0 {
			return all
		}
		all = append(all, some...)
	}
}

func (b *bench) follow(after int64, only ...task.Type) iter.Seq2[task.Event, error] {
	return each(b.source.Follow(b.t.Context(), org, id, after, idle, only...))
}

// each yields the events of a stream one by one.
func each(parts iter.Seq2[stream.Part, error]) iter.Seq2[task.Event, error] {
	return func(yield func(task.Event, error) bool) {
		for p, err := range parts {
			if err != nil && !yield(task.Event{}, err) {
				return
			}
			for _, e := range p.Events {
				if !yield(e, nil) {
					return
				}
			}
		}
	}
}

// viewer is a stream that is being read.
type viewer struct {
	after int64
	seen  []task.Event
	err   error
	first chan struct{} // closed with its first event
	over  chan struct{} // closed when the stream has ended
}

// view reads a stream to its end in the background; gate, if not nil, holds it
// up behind its first event.
func (b *bench) view(after int64, gate <-chan struct{}) *viewer {
	v := &viewer{after: after, first: make(chan struct{}), over: make(chan struct{})}
	go func() {
		defer close(v.over)
		for e, err := range b.follow(after) {
			if err != nil {
				v.err = err
				return
			}
			if v.seen = append(v.seen, e); len(v.seen) == 1 {
				close(v.first)
				if gate != nil {
					<-gate
				}
			}
		}
	}()
	return v
}

// saw waits for the stream's end and checks that it was the log behind the cursor.
func (v *viewer) saw(t *testing.T, log []task.Event) {
	t.Helper()
	<-v.over
	if v.err != nil {
		t.Errorf("T7: from %d: %v", v.after, v.err)
	}
	if diff := cmp.Diff(log[v.after:], v.seen); diff != "" && (len(v.seen) > 0 || int(v.after) < len(log)) {
		t.Errorf("T7: a viewer from %d saw %d events of %d:\n%.2000s", v.after, len(v.seen), len(log), diff)
	}
}

func TestT7ViewersFromAnyCursorSeeTheSame(t *testing.T) {
	t.Parallel()
	b := open(t)
	token := b.run()
	var viewers []*viewer
	for range 10 { // at each stage one from the start and one from the head
		viewers = append(viewers, b.view(0, nil), b.view(int64(len(b.log())), nil))
		b.say(token, 3)
	}
	b.finish(token, task.EndCompleted)
	log := b.log()
	for after := range len(log) + 1 { // and afterwards, resumed at each cursor
		viewers = append(viewers, b.view(int64(after), nil))
	}
	for _, v := range viewers {
		v.saw(t, log)
	}
	if n := b.hub.Subscribers(); n != 0 {
		t.Errorf("%d subscriptions are left", n)
	}
}

func TestT7LogLongerThanOnePage(t *testing.T) {
	t.Parallel()
	b := open(t)
	token := b.run()
	b.say(token, 1000)
	v := b.view(0, nil)
	<-v.first
	b.say(token, 1000) // in one commit, more than a buffer holds
	b.finish(token, task.EndCompleted)
	v.saw(t, b.log())
}

func TestT7SlowViewerHealsFromTheStore(t *testing.T) {
	t.Parallel()
	b := open(t)
	token := b.run()
	gate := make(chan struct{})
	slow := b.view(0, gate)
	<-slow.first
	fast := b.view(0, nil)
	for range 300 { // more commits than a buffer holds, and nobody waits for the slow one
		b.say(token, 2)
	}
	close(gate)
	b.say(token, 1)
	b.finish(token, task.EndCompleted)
	slow.saw(t, b.log())
	fast.saw(t, b.log())
}

func TestT7ManyViewersUnderLoad(t *testing.T) {
	t.Parallel()
	b := open(t)
	token := b.run()
	var writers, joining sync.WaitGroup
	viewers := make(chan *viewer, 64)
	for w := range 4 {
		random := rand.New(rand.NewPCG(1, uint64(w)))
		writers.Go(func() {
			for i := range 40 {
				b.say(token, 1+random.IntN(40))
				if i%4 == 0 {
					after := random.Int64N(b.head() + 1)
					joining.Go(func() { viewers <- b.view(after, nil) })
				}
			}
		})
	}
	writers.Wait()
	joining.Wait()
	b.finish(token, task.EndCompleted)
	close(viewers)
	log := b.log()
	n := 0
	for v := range viewers {
		v.saw(t, log)
		n++
	}
	if n != 40 {
		t.Errorf("%d viewers", n)
	}
}

func (b *bench) head() int64 {
	now, err := b.Seen(b.t.Context(), org, id)
	b.must(err)
	return now.LastSeq
}

func TestT7StreamEndsOnlyOnceTheStopIsSettled(t *testing.T) {
	t.Parallel()
	b := open(t)
	token := b.run()
	live := b.view(0, nil)
	_, err := b.Stop(t.Context(), who(), id)
	b.must(err)
	late := b.view(b.head(), nil) // its cursor is past task_finished
	_, err = b.Append(t.Context(), who(), id, token, []lifecycle.NewEvent{{Type: "chunk", Data: []byte(`"late"`)}})
	if fault.CodeOf(err) != fault.Conflict {
		t.Fatal(err)
	}
	<-late.first // it still gets what follows
	b.finish(token, task.EndStopped)
	log := b.log()
	live.saw(t, log)
	late.saw(t, log)
	if last := log[len(log)-1].Type; last != task.StopConfirmed {
		t.Errorf("T7: the log ends with %s", last)
	}
}

func TestT7CursorPastTheEndEndsAtOnce(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.finish(b.run(), task.EndCompleted)
	head := b.head()
	for _, after := range []int64{head, head + 10} {
		for e, err := range b.follow(after) {
			t.Errorf("T7: from %d: %v, %v", after, e, err)
		}
	}
}

func TestT7ANewTurnKeepsTheStreamOpen(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.finish(b.run(), task.EndCompleted)
	token := b.run()
	v := b.view(0, nil)
	<-v.first
	b.say(token, 1)
	b.finish(token, task.EndCompleted)
	v.saw(t, b.log())
}

func TestT7DeletedTaskEndsTheStream(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.run()
	v := b.view(0, nil)
	<-v.first
	b.must(b.Delete(t.Context(), who(), id))
	<-v.over
	if fault.CodeOf(v.err) != fault.NotFound {
		t.Errorf("T7: ended with %v", v.err)
	}
	for _, err := range b.follow(0) {
		if fault.CodeOf(err) != fault.NotFound {
			t.Errorf("T7: afterwards %v", err)
		}
	}
}

func TestX2ViewerThatGoesStopsNothing(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.run()
	for _, err := range b.follow(0) {
		b.must(err)
		break
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seen := 0
	for _, err := range each(b.source.Follow(ctx, org, id, 0, idle)) {
		b.must(err)
		if seen++; seen == 2 {
			cancel()
		}
	}
	now, err := b.Seen(t.Context(), org, id)
	b.must(err)
	if now.Status() != task.Executing || b.hub.Subscribers() != 0 {
		t.Errorf("X2: %s, %d subscriptions", now.Status(), b.hub.Subscribers())
	}
}

// long is a log of events that are made when they are read.
type long struct{ head atomic.Int64 }

const longEvent = task.MaxEvent

func (l *long) event(seq int64) task.Event {
	return task.Event{Seq: seq, Type: task.Chunk, Own: slices.Concat([]byte(`"`), bytes.Repeat([]byte{'a' + byte(seq%26)}, longEvent-2), []byte(`"`))}
}

func (l *long) Events(_ context.Context, _, _ string, after int64, limit int, _ ...task.Type) ([]task.Event, error) {
	var some []task.Event
	for seq := after + 1; seq <= l.head.Load() && len(some) < min(limit, 4); seq++ {
		some = append(some, l.event(seq))
	}
	return some, nil
}

func (l *long) Seen(context.Context, string, string) (task.Task, error) {
	return task.Task{LastSeq: l.head.Load()}, nil
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestT7AStalledViewerHoldsLittle lets viewers stand still while long events come, and
// one that is only told that some do. It is not parallel: it looks at the heap.
func TestT7AStalledViewerHoldsLittle(t *testing.T) { //nolint:paralleltest // see above
	const (
		viewers = 5
		events  = 200
		bound   = viewers * (4 << 20)
	)
	l, hub := &long{}, stream.NewHub()
	source := stream.NewSource(hub, l)
	l.head.Store(1)
	gate, stalled, over := make(chan struct{}), make(chan struct{}), make(chan int64)
	for range viewers {
		go func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			last := int64(0)
			for part, err := range source.Follow(ctx, org, id, 0, idle) {
				if err != nil {
					t.Errorf("T7: after %d: %v", last, err)
				}
				for _, e := range part.Events {
					if e.Seq != last+1 || len(e.Own) != longEvent {
						t.Errorf("T7: after %d came %d", last, e.Seq)
					}
					if last = e.Seq; last == 1 {
						stalled <- struct{}{}
						<-gate
					}
				}
				if last == events {
					break
				}
			}
			over <- last
		}()
		<-stalled
	}
	_, stop := hub.Watch(org, id)
	defer stop()
	before := heap()
	for seq := int64(2); seq <= events; seq++ { // each commit's events are the hub's own
		l.head.Store(seq)
		hub.Publish([]feed.Entry{{Organization: org, Task: id, Kind: feed.Grew, First: seq, Last: seq, Change: &task.Change{Events: []task.Event{l.event(seq)}}}})
	}
	if used := heap() - before; used > bound {
		t.Errorf("T7: %d stalled viewers hold %d MiB", viewers, used>>20)
	}
	close(gate)
	for range viewers {
		if last := <-over; last != events {
			t.Errorf("T7: a viewer saw %d of %d", last, events)
		}
	}
}

// memory is a log whose commits nobody hears of.
type memory struct {
	mu     sync.Mutex
	events []task.Event
	broken error
	reads  int // of events
}

func (m *memory) Events(_ context.Context, _, _ string, after int64, limit int, only ...task.Type) ([]task.Event, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads++
	rest := chosen(m.events[min(int(after), len(m.events)):], only)
	return rest[:min(limit, len(rest))], m.broken
}

// chosen are the events of some types, all if there is none.
func chosen(events []task.Event, only []task.Type) []task.Event {
	return slices.DeleteFunc(slices.Clone(events), func(e task.Event) bool { return len(only) > 0 && !slices.Contains(only, e.Type) })
}

func (m *memory) Seen(context.Context, string, string) (task.Task, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return task.Task{LastSeq: int64(len(m.events))}, nil
}

func (m *memory) add(types ...task.Type) []task.Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range append(types, task.Chunk)[:max(1, len(types))] {
		m.events = append(m.events, task.Event{Seq: int64(len(m.events) + 1), Type: t})
	}
	return m.events[len(m.events)-max(1, len(types)):]
}

func TestT7LostHintCostsOnlyTheSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		m.add()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		begin, silences := time.Now(), 0
		for e, err := range each(stream.NewSource(stream.NewHub(), m).Follow(ctx, org, id, 0, 15*time.Second)) {
			switch {
			case errors.Is(err, stream.ErrIdle):
				silences++
				m.add() // committed without a hint
			case err != nil:
				t.Fatal(err)
			case e.Seq == 4:
				cancel()
			}
		}
		if took := time.Since(begin); silences != 3 || took != 45*time.Second {
			t.Errorf("T7: %d silences in %s", silences, took)
		}
	})
}

// H4: whoever waits for a turn's end reads no log, however long that is.
func TestH4AwaitReadsNoLog(t *testing.T) {
	t.Parallel()
	b := open(t)
	token := b.run()
	b.say(token, 100)
	unread := &blind{Service: b.Service, looked: make(chan struct{}, 100)}
	source := stream.NewSource(b.hub, unread)
	await := func(turn int) <-chan error {
		over := make(chan error, 1)
		go func() { over <- source.Await(t.Context(), org, id, turn, idle) }()
		<-unread.looked
		return over
	}
	first := await(1)
	for range 300 { // more commits than a buffer holds, and none of them the end
		b.say(token, 1)
	}
	b.finish(token, task.EndCompleted)
	if err := <-first; err != nil {
		t.Errorf("H4: the wait ended with %v", err)
	}
	token = b.run()
	if err := <-await(1); err != nil { // it is over, whatever has followed
		t.Errorf("H4: the wait for a turn before the last ended with %v", err)
	}
	second := await(2)
	b.finish(token, task.EndCompleted)
	if err := <-second; err != nil {
		t.Errorf("H4: the second wait ended with %v", err)
	}
	b.run()
	third := await(3)
	b.must(b.Delete(t.Context(), who(), id))
	if err := <-third; fault.CodeOf(err) != fault.NotFound {
		t.Errorf("H4: the wait for a deleted task ended with %v", err)
	}
	if n := b.hub.Subscribers(); n != 0 || unread.reads.Load() != 0 {
		t.Errorf("H4: %d subscriptions are left, and the log was read %d times", n, unread.reads.Load())
	}
}

// blind counts who reads a log.
type blind struct {
	*lifecycle.Service
	looked chan struct{}
	reads  atomic.Int64
}

func (l *blind) Events(ctx context.Context, org, id string, after int64, limit int, only ...task.Type) ([]task.Event, error) {
	l.reads.Add(1)
	return l.Service.Events(ctx, org, id, after, limit, only...)
}

func (l *blind) Seen(ctx context.Context, org, id string) (task.Task, error) {
	defer func() { l.looked <- struct{}{} }()
	return l.Service.Seen(ctx, org, id)
}

func TestT7ErrorOfTheStoreIsYieldedLast(t *testing.T) {
	t.Parallel()
	m := &memory{broken: fault.New(fault.Unavailable, "no")}
	m.add()
	n := 0
	for _, err := range stream.NewSource(stream.NewHub(), m).Follow(t.Context(), org, id, 0, idle) {
		if n++; fault.CodeOf(err) != fault.Unavailable {
			t.Errorf("got %v", err)
		}
	}
	if n != 1 {
		t.Errorf("yielded %d times", n)
	}
}

// A viewer of some types sees what the log has of them, from every cursor, however
// much else there is, and its stream ends although it does not show the end.
func TestT7ViewersOfSomeTypes(t *testing.T) {
	t.Parallel()
	b := open(t)
	token := b.run()
	type some struct {
		*viewer
		only []task.Type
	}
	var viewers []some
	view := func(after int64, only ...task.Type) {
		v := &viewer{after: after, over: make(chan struct{})}
		viewers = append(viewers, some{v, only})
		go func() {
			defer close(v.over)
			for e, err := range b.follow(after, only...) {
				v.seen, v.err = append(v.seen, e), errors.Join(v.err, err)
			}
		}()
	}
	all := func(after int64) {
		view(after, task.Chunk)
		view(after, task.StopRequested, task.TurnPaused)
		view(after, task.StepDone, task.AttemptStarted, task.TaskFinished)
	}
	for range 3 {
		all(0)
		all(b.head())
		b.say(token, 400) // more than a page and a buffer hold
		_, err := b.Append(t.Context(), who(), id, token, []lifecycle.NewEvent{{Type: "step", Data: []byte("1")}})
		b.must(err)
	}
	b.finish(token, task.EndCompleted)
	log := b.log()
	for after := int64(0); after <= b.head(); after += 211 {
		all(after)
	}
	for _, v := range viewers {
		<-v.over
		if diff := cmp.Diff(chosen(log[v.after:], v.only), v.seen, cmpopts.EquateEmpty()); v.err != nil || diff != "" {
			t.Errorf("T7: %v from %d: %v\n%.2000s", v.only, v.after, v.err, diff)
		}
	}
}

// What a viewer does not show costs it nothing but that its cursor moves on, which
// is told in silence and at the end.
func TestT7WhatIsLeftOutMovesTheCursor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, hub := &memory{}, stream.NewHub()
		commit := func(types ...task.Type) {
			hub.Publish([]feed.Entry{{Organization: org, Task: id, Kind: feed.Grew, Change: &task.Change{Events: m.add(types...)}}})
		}
		source := stream.NewSource(hub, m)
		var told []string
		go func() {
			for p, err := range source.Follow(t.Context(), org, id, 0, 15*time.Second, task.StopRequested) {
				m.mu.Lock()
				told = append(told, fmt.Sprint(len(p.Events), p.To, err))
				m.mu.Unlock()
			}
		}()
		synctest.Wait()
		seen := func() (int, []string) {
			m.mu.Lock()
			defer m.mu.Unlock()
			return m.reads, slices.Clone(told)
		}
		before, _ := seen()
		for range 1000 {
			commit(task.Chunk)
			synctest.Wait()
		}
		if reads, told := seen(); reads != before || told != nil {
			t.Errorf("T7: %d reads and %v while nothing was committed that it shows", reads-before, told)
		}
		time.Sleep(15 * time.Second) //nolint:forbidigo // of the bubble's clock
		synctest.Wait()
		commit(task.Chunk, task.StopRequested, task.Chunk)
		synctest.Wait()
		want := []string{"0 1000 " + stream.ErrIdle.Error(), "1 1003 <nil>"}
		_, got := seen()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

// TestWatch holds that who watches a task is told of what its attempt has to know, and
// not of what that writes itself, however much it is.
func TestWatch(t *testing.T) {
	t.Parallel()
	hub := stream.NewHub()
	changed, stop := hub.Watch(org, id)
	defer stop()
	for _, kind := range append(task.Types(), "") { // "" is a deletion
		entry := feed.Entry{Organization: org, Task: id, Kind: feed.Grew, Change: &task.Change{Events: []task.Event{{Type: kind}}}}
		if kind == "" {
			entry = feed.Entry{Organization: org, Task: id, Kind: feed.Deleted}
		}
		hub.Publish([]feed.Entry{entry})
		told := false
		select {
		case <-changed:
			told = true
		default:
		}
		notes := kind == task.ModelUsed || kind == task.OutputWritten || kind == task.FileGiven
		if want := !kind.Writable() && !notes; told != want {
			t.Errorf("%q: told %v, want %v", kind, told, want)
		}
	}
}
