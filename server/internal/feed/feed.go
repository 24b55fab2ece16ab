// Package feed orders the changes of all tasks. Each commit leaves a row for every
// task that it changed; whoever wants to know what happened, on this node or
// another, now or since a cursor, reads those rows in their order. One Tailer on
// each node does, and tells the hub of viewers, the wake-ups and what is measured.
package feed

import (
	"context"
	"sync"
	"time"

	"github.com/errand-dev/errand/server/internal/task"
)

// Position is the place of an entry: entries appear behind all that could be read
// before. The zero value is the beginning.
type Position struct {
	// Commit is the commit's number, N the entry's in it. Numbers rise; not every
	// number is used.
	Commit int64
	N      int
}

// Before reports whether p stands in front of q.
func (p Position) Before(q Position) bool {
	return p.Commit < q.Commit || p.Commit == q.Commit && p.N < q.N
}

// Kind says what a change means to those who wait: a set of flags.
type Kind int

// The flags of a Kind.
const (
	// Grew says that the log has new events, from First to Last.
	Grew Kind = 1 << iota
	// Ready says that the task may be handed out.
	Ready
	// Freed says that a worker may have a slot again: an attempt has let go, or a
	// Python worker has said so. The latter is no change of a task.
	Freed
	// Deleted says that the task is no more.
	Deleted
	// Redefined says that an agent has a new version, or is no more. It is no change
	// of a task.
	Redefined
	// Asked says that people are asked something, or are not any more.
	Asked
)

// Entry is one change of one task, or, without a Task, of an agent or a worker.
type Entry struct {
	Position
	Organization, Task, Agent string
	// Worker is whose slot was freed.
	Worker string
	Kind   Kind
	// First and Last are the numbers of the events that the log grew by.
	First, Last int64
	// Node is the node that committed it.
	Node string
	// Called says that whoever waits for it has been called before the commit.
	Called bool
	// Change is all of the change. Only entries of this node's own commits have it.
	Change *task.Change
}

// Of makes the entry of a change, and reports whether there is one: a heartbeat
// has none.
func Of(c task.Change) (Entry, bool) {
	e := Entry{Organization: c.Task.OrganizationID, Task: c.Task.ID, Agent: c.Task.AgentID, Change: &c}
	if n := len(c.Events); n > 0 {
		e.Kind |= Grew
		e.First, e.Last = c.Events[0].Seq, c.Events[n-1].Seq
	}
	for _, a := range c.Attempts {
		if a.LetGoAt != 0 {
			e.Kind |= Freed
			e.Worker = a.WorkerID
		}
	}
	if len(c.Asked)+len(c.Settled) > 0 {
		e.Kind |= Asked
	}
	if e.Kind != 0 && c.Task.Dispatchable() {
		e.Kind |= Ready
	}
	return e, e.Kind != 0
}

// Source is where the feed is read (a store).
type Source interface {
	// Feed reads entries behind a position, in order, at most limit.
	Feed(ctx context.Context, after Position, limit int) ([]Entry, error)
	// FeedBegin is the position of the first entry that is kept, zero without any.
	FeedBegin(ctx context.Context) (Position, error)
	// FeedEnd is the position behind the last entry that can be read now.
	FeedEnd(ctx context.Context) (Position, error)
}

// Live is a source that other nodes write, too. A mark is a moment as the database
// sees it: which commits can be read, and which are still under way. So nobody who
// takes long, in whatever database of the server, holds up what others have committed.
type Live interface {
	// Mark is the present moment. news says whether there may be any since an earlier
	// one, "" for none.
	Mark(ctx context.Context, since string) (mark string, news bool, err error)
	// News reads other nodes' entries behind a position that could not be read at one
	// mark, and can at a later one: in order, at most limit.
	News(ctx context.Context, since, until string, after Position, limit int) ([]Entry, error)
}

const (
	// page is how many entries one read asks for.
	page = 500
	// look is how often the feed is read without a hint.
	look = time.Second
)

// Tailer tells a node's parts of every change, each once: those of the node's own
// commits when they are committed, and those of other nodes when they can be read.
// Entries about one task may come in another order than their events have; whoever
// needs the order goes by these. It is safe for concurrent use.
type Tailer struct {
	mu   sync.Mutex // holds back whoever tells, so that the parts are told one by one
	tell func([]Entry)
}

// NewTailer makes a node's tailer. tell must not block.
func NewTailer(tell func([]Entry)) *Tailer { return &Tailer{tell: tell} }

// Committed tells of a commit of this node: the store calls it, in order, before
// it answers whoever asked for the commit.
func (t *Tailer) Committed(entries []Entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tell(entries)
}

// Follow tells of other nodes' commits until ctx ends: of all that can be read, and
// could not at a mark. A hint says that there may be some; there need not be any.
// failed is told when the feed cannot be read, once until it can be again.
func (t *Tailer) Follow(ctx context.Context, from Live, mark string, hints <-chan struct{}, failed func(error)) {
	tick := time.NewTicker(look)
	defer tick.Stop()
	well := true
	for {
		err := t.follow(ctx, from, &mark)
		if err != nil && well && ctx.Err() == nil {
			failed(err)
		}
		well = err == nil
		select {
		case <-ctx.Done():
			return
		case <-hints:
		case <-tick.C:
		}
	}
}

// follow tells all that can be read now.
func (t *Tailer) follow(ctx context.Context, from Live, mark *string) error {
	now, news, err := from.Mark(ctx, *mark)
	if err != nil {
		return err
	}
	for after := (Position{}); news; {
		found, err := from.News(ctx, *mark, now, after, page)
		if err != nil {
			return err // what was told is told again: viewers and workers do not mind
		}
		if len(found) > 0 {
			t.Committed(found)
			after = found[len(found)-1].Position
		}
		news = len(found) == page
	}
	*mark = now
	return nil
}
