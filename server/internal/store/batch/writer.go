package batch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/store/table"
	"github.com/errand-dev/errand/server/internal/task"
)

// Engine is the connection of one writer: only one goroutine uses it. An error of
// it ends the transaction, which is then rolled back. One that is table.ErrRaced
// says that the same may succeed if it is done again; a fault of code Unavailable
// says what every caller is to be told.
type Engine interface {
	// DB reads inside the transaction, what was sent included.
	table.DB
	// Begin begins a transaction and locks what it is about. Rollback follows if it
	// fails, too.
	Begin(ctx context.Context, about []lifecycle.Key) error
	// Lock locks rows that others may write; one that is not there is passed over.
	Lock(ctx context.Context, about []lifecycle.Key) error
	// Now is the store's clock.
	Now() task.Stamp
	// Writer names the writer among all of its database, over restarts.
	Writer() string
	// Send writes.
	Send(ctx context.Context, ops []table.Op) error
	// Save marks the place to which Back goes back, which undoes what was sent since.
	Save(ctx context.Context) error
	Back(ctx context.Context) error
	// Commit writes and commits, with the feed's entries, whose positions it sets.
	Commit(ctx context.Context, ops []table.Op, entries []feed.Entry) error
	Rollback(ctx context.Context)
	// End ends a transaction that has written nothing. An error says that what it has
	// read may yet be lost, so that nobody may be told of it.
	End(ctx context.Context) error
	Close() error
}

// Options are what the writers of a store share.
type Options struct {
	// Remember keeps the tasks and agents that were read or written last: for a
	// database that nobody else writes. Of another one they are known for a commit.
	Remember bool
	// Verify compares what is remembered with the database whenever it is used,
	// and fails the write where they differ: for tests.
	Verify bool
	// OnCommit is told of each commit, in order, before its callers are answered.
	// It must not block.
	OnCommit func([]feed.Entry)
	// OnDecided is told what a commit will have changed before it is made, and may let
	// go of those whom it makes write: they go into the same commit if they come at once.
	// What it is told may yet fail, and is then told again or never happens. It may
	// change the entries' Called, and must not block. It needs Remember.
	OnDecided func([]feed.Entry)
	// OnBatch is told of each commit: how many callers shared it, and how long it
	// took with their functions.
	OnBatch func(size int, took time.Duration)
	// Log is told of panics in callers' functions; nil for nobody.
	Log *slog.Logger
}

// Writers commit what callers write. They are safe for concurrent use.
type Writers struct {
	opts  Options
	queue *queue
	all   []*writer
	gone  sync.WaitGroup
	once  sync.Once
	err   error
}

// Start begins a writer on each engine; Close ends them. With Remember there is
// one engine only.
func Start(opts Options, engines ...Engine) *Writers {
	w := &Writers{opts: opts, queue: newQueue()}
	for _, e := range engines {
		one := newWriter(e, opts)
		w.all = append(w.all, one)
		w.gone.Go(func() { one.run(w.queue) })
	}
	return w
}

// Write implements lifecycle.Store.
func (w *Writers) Write(ctx context.Context, about []lifecycle.Key, fn func(lifecycle.Tx) error) error {
	return w.queue.write(&request{ctx: ctx, about: about, rows: lifecycle.LongRows(ctx), fn: fn, done: make(chan struct{})})
}

// Shortly is Write for a caller about nothing that may have a shorter way. A caller who
// has a commit for itself tries it first, outside of any transaction: fn is for what that
// leaves undone.
func (w *Writers) Shortly(ctx context.Context, short func(Engine) (done bool, err error), fn func(lifecycle.Tx) error) error {
	return w.queue.write(&request{ctx: ctx, short: short, fn: fn, done: make(chan struct{})})
}

// Close finishes the commits under way and turns away who waits. It may be called
// more than once.
func (w *Writers) Close() error {
	w.once.Do(func() {
		w.queue.close()
		w.gone.Wait()
		for _, one := range w.all {
			w.err = errors.Join(w.err, one.engine.Close())
		}
	})
	return w.err
}

// writer is one goroutine with its engine.
type writer struct {
	engine Engine
	opts   Options
	memory memory
	// Every task that is created or claimed asks for its agent.
	agents answers[agentKey, agent.Agent]
	// Every task that is created, claimed or spends asks for its spenders' caps.
	caps answers[capsKey, *task.Caps]
}

func newWriter(e Engine, opts Options) *writer {
	w := &writer{engine: e, opts: opts}
	w.agents.of, w.caps.of = table.Agents, table.Agents|table.Keys
	return w
}

func (w *writer) run(q *queue) {
	for {
		g := group{}
		if w.opts.OnDecided != nil {
			g.from = q
		}
		if g.all = q.take(&g.room); g.all == nil {
			return
		}
		w.commit(&g)
		q.finish(g.all)
	}
}

// group are the requests of a commit.
type group struct {
	all []*request
	room
	from *queue // of those who may yet come; nil when nobody may
}

// late are those who have come since, who are in the batch now.
func (g *group) late() []*request {
	if g.from == nil {
		return nil
	}
	late := g.from.more(&g.room)
	g.all = append(g.all, late...)
	return late
}

// tries is how often a batch, and then each caller alone, is tried again when
// another node has written the same rows.
const tries = 5

// commit writes a batch in one transaction. If that fails for what one of them
// wrote, each is tried alone, so that no caller fails for its neighbour's fault.
func (w *writer) commit(g *group) {
	if r := g.all[0]; len(g.all) == 1 && r.short != nil {
		done, err := r.short(w.engine)
		if done || err != nil && !errors.Is(err, table.ErrRaced) {
			r.err = err
			return
		}
	}
	err := w.insist(g)
	for _, r := range g.all {
		alone := err
		if err != nil && len(g.all) > 1 && !everybodys(err) {
			alone = w.insist(&group{all: []*request{r}})
		}
		if alone != nil { // else r.err is its own outcome
			r.err = alone
		}
	}
}

// everybodys reports whether an error is what every caller is to be told: nothing
// can be stored now.
func everybodys(err error) bool { return fault.CodeOf(err) == fault.Unavailable }

// answered reports whether an error is the answer to a question, which leaves the
// transaction as it was: something is not there, or what Edit was asked for is
// against the rules.
func answered(err error) bool {
	code := fault.CodeOf(err)
	return code == fault.NotFound || code == fault.Conflict
}

// insist tries until no other node is faster. What a try came to lock on its way,
// the next one locks when it begins, in the order that all keep.
func (w *writer) insist(g *group) error {
	var met []lifecycle.Key
	for n := 1; ; n++ {
		err := w.try(g, &met)
		if n >= tries || !errors.Is(err, table.ErrRaced) {
			return err
		}
	}
}

// background is the context of everything a writer does: a write that has begun is
// finished, whoever asked for it.
func background() context.Context { return context.Background() }

// try runs the requests in one transaction. A request's own failure is set in the
// request; an error means that nothing of the batch is stored.
func (w *writer) try(g *group, met *[]lifecycle.Key) error {
	begun := time.Now()
	ctx := background()
	about := slices.Clone(*met)
	for _, r := range g.all {
		about = append(about, r.about...)
	}
	if err := w.engine.Begin(ctx, about); err != nil {
		w.engine.Rollback(ctx) // it may have begun, and then not got its locks
		return err
	}
	c := &commit{w: w, about: about, met: met, replays: map[replayKey]*lifecycle.Replay{}, counting: table.Counting{}}
	c.begin()
	if err := c.ahead(about); err != nil {
		w.engine.Rollback(ctx)
		return err
	}
	for next := g.all; len(next) > 0; next = g.late() {
		for _, r := range next {
			if r.err = r.ctx.Err(); r.err != nil {
				continue
			}
			r.err = c.run(r.fn)
			if c.err != nil {
				w.engine.Rollback(ctx)
				return c.err
			}
		}
		c.decided()
	}
	if !c.wrote {
		return w.engine.End(ctx)
	}
	c.ops = append(c.ops, c.counting.Ops(w.engine.Now(), w.engine.Writer())...)
	if err := w.engine.Commit(ctx, table.Merge(c.ops), c.entries); err != nil {
		w.engine.Rollback(ctx)
		return err
	}
	w.remember(c)
	if w.opts.OnBatch != nil {
		w.opts.OnBatch(len(g.all), time.Since(begun))
	}
	if w.opts.OnCommit != nil && len(c.entries) > 0 {
		w.opts.OnCommit(c.entries)
	}
	return nil
}

// commit is a transaction in the making.
type commit struct {
	w *writer
	// ops are what callers before have recorded and was not sent yet, in the tables
	// of in.
	ops []table.Op
	in  table.Name
	// wrote says that there is, or was, something to commit; touched are all tables.
	wrote   bool
	touched table.Name
	tasks   map[taskKey]*known // as they have become
	entries []feed.Entry
	// counting is what is written last, once for all callers.
	counting table.Counting
	told     int // of the entries, to OnDecided
	// about is what was locked when the transaction began, locked is that and what came
	// to be since, and met was locked on the way.
	about  []lifecycle.Key
	locked map[lifecycle.Key]bool
	met    *[]lifecycle.Key
	// absent are ids that no task had when the transaction began. True says that no
	// deleted one has left anything either.
	absent map[taskKey]bool
	// replays are idempotency keys as they were, and as callers have written them, unless
	// dropped says that some may have gone since.
	replays map[replayKey]*lifecycle.Replay
	dropped bool
	err     error // of the engine: nothing of the batch stands
}

// decided tells what the commit will have changed, and lets those come who write because
// of that.
func (c *commit) decided() {
	if tell := c.w.opts.OnDecided; tell != nil && c.told < len(c.entries) {
		tell(c.entries[c.told:])
		c.told = len(c.entries)
		runtime.Gosched()
	}
}

// run carries out one caller's function.
func (c *commit) run(fn func(lifecycle.Tx) error) error {
	t := &tx{c: c}
	err := c.call(fn, t)
	if err == nil {
		c.accept(t)
		return nil
	}
	if c.err == nil && t.sent {
		c.err = c.w.engine.Back(background())
		c.begin()
	}
	return err
}

// begin forgets what was locked, and what was read under a lock, but for what the
// transaction has locked since it began: the database has let go of the rest. Where nobody
// else writes there is nothing to lock.
func (c *commit) begin() {
	c.absent = map[taskKey]bool{}
	c.locked = make(map[lifecycle.Key]bool, len(c.about))
	for _, k := range c.about {
		c.locked[k] = true
	}
	if !c.w.opts.Remember {
		c.w.forget()
	}
}

// errPanic is a caller's function that panicked. What it said is for the log alone.
var errPanic = errors.New("a write panicked")

// call turns a panic of fn into an error.
func (c *commit) call(fn func(lifecycle.Tx) error, t *tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			if log := c.w.opts.Log; log != nil {
				log.Error("a write panicked", "panic", p, "stack", string(debug.Stack()))
			}
			err = errPanic
		}
	}()
	return fn(t)
}

// accept makes what a caller has written part of the commit.
func (c *commit) accept(t *tx) {
	if t.sent || len(t.ops)+len(t.counted) > 0 {
		c.wrote = true
	}
	c.ops, c.in = append(c.ops, t.ops...), c.in|t.in
	c.touched |= t.touched
	c.entries = append(c.entries, t.entries...)
	c.dropped = c.dropped || t.dropped
	maps.Copy(c.replays, t.replays)
	for _, x := range t.counted {
		c.counting.Add(x)
	}
	if c.tasks == nil {
		c.tasks = t.tasks
		return
	}
	maps.Copy(c.tasks, t.tasks)
}

// flush sends what callers before have recorded of some tables.
func (c *commit) flush(tables table.Name) error {
	if c.in&tables == 0 {
		return nil
	}
	var now []table.Op
	later := c.ops[:0]
	for _, op := range c.ops {
		if op.In&tables != 0 {
			now = append(now, op)
		} else {
			later = append(later, op)
		}
	}
	clear(c.ops[len(later):])
	c.ops, c.in = later, c.in&^tables
	return c.fail(c.w.engine.Send(background(), table.Merge(now)))
}

// fail notes an error of the engine.
func (c *commit) fail(err error) error {
	if err != nil && c.err == nil {
		c.err = err
	}
	return err
}

// Edit commits the writes that fn returns, which reads the transaction's database:
// for records that no verb writes.
func (w *Writers) Edit(ctx context.Context, fn func(table.DB, task.Stamp) ([]table.Op, error)) error {
	return w.Write(ctx, nil, func(port lifecycle.Tx) error {
		t, ok := port.(*tx)
		if !ok {
			return fmt.Errorf("unexpected transaction %T", port)
		}
		_, err := ask(t, everything, func(db table.DB) (struct{}, error) {
			ops, err := fn(db, t.Now())
			t.record(ops...)
			return struct{}{}, err
		})
		return err
	})
}
