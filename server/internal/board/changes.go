package board

import (
	"context"
	"slices"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/lifecycle"
)

// Change says that the log of a task has grown, or that the task was deleted.
type Change struct {
	At   feed.Position
	Task string
	// First and Last are the numbers of the new events; 0 of a deleted task.
	First, Last int64
	Deleted     bool
}

// Changes are the changes of all tasks in one order, for programs: whoever reads on from
// where it has been misses none. It is safe for concurrent use.
type Changes struct {
	board  *Board
	source feed.Source
	tasks  Matcher
}

// Matcher tells which tasks match a filter (package lifecycle).
type Matcher interface {
	Matching(ctx context.Context, in auth.Scope, f lifecycle.Filter, ids []string) ([]string, error)
}

// NewChanges makes it of a store's feed and of the board that is told of the node's.
func NewChanges(b *Board, source feed.Source, tasks Matcher) *Changes {
	return &Changes{board: b, source: source, tasks: tasks}
}

// chunk is how many entries of the feed are looked at together.
const chunk = 500

// Now is the place behind all that can be read.
func (c *Changes) Now(ctx context.Context) (feed.Position, error) { return c.source.FeedEnd(ctx) }

// Read reads changes of tasks that match a filter, behind a place, in their order: at
// most limit. next is the place up to which it has read, and more says that there may
// be others behind it now. What stands in the feed no more is Gone; the zero place is the
// oldest that does. Of what was deleted since nothing is told but the deletion, and that
// only to whoever sees all: whose it was is not known any more.
func (c *Changes) Read(ctx context.Context, in auth.Scope, f lifecycle.Filter, after feed.Position, limit int) (found []Change, next feed.Position, more bool, err error) {
	entries, err := c.source.Feed(ctx, after, chunk)
	if err != nil {
		return nil, after, false, err
	}
	if err := c.kept(ctx, after, len(entries) > 0); err != nil {
		return nil, after, false, err
	}
	var ids []string
	for _, e := range entries {
		if e.Organization == in.Organization && e.Task != "" {
			ids = append(ids, e.Task)
		}
	}
	slices.Sort(ids)
	matching, err := c.tasks.Matching(ctx, in, f, slices.Compact(ids))
	if err != nil {
		return nil, after, false, err
	}
	next = after
	for _, e := range entries {
		if len(found) == limit {
			return found, next, true, nil
		}
		next = e.Position
		switch {
		case e.Organization != in.Organization || e.Task == "":
		case e.Kind&feed.Deleted != 0:
			if in.Whole() {
				found = append(found, Change{At: e.Position, Task: e.Task, Deleted: true})
			}
		case e.Kind&feed.Grew != 0 && slices.Contains(matching, e.Task):
			found = append(found, Change{At: e.Position, Task: e.Task, First: e.First, Last: e.Last})
		}
	}
	return found, next, len(entries) == chunk, nil
}

// kept is Gone if not all that stood behind a place is there. It is asked after what
// stands behind it, if anything does, was read: what goes meanwhile is missed by nobody.
// Every place is an entry's, of which the last is always kept; one behind that is of a
// time after the backup that was put back.
func (c *Changes) kept(ctx context.Context, after feed.Position, some bool) error {
	if after == (feed.Position{}) {
		return nil
	}
	first, last := feed.Position{}, after
	var err error
	if some {
		first, err = c.source.FeedBegin(ctx)
	} else {
		last, err = c.source.FeedEnd(ctx)
	}
	if err != nil {
		return err
	}
	if after.Before(first) || last.Before(after) {
		return fault.New(fault.Gone, "what stood behind this cursor is not kept any more: read the tasks again, and begin without a cursor")
	}
	return nil
}

// Bell yields a token when something has changed in an organization, until silence is
// called.
func (c *Changes) Bell(org string) (rings <-chan struct{}, silence func()) {
	b, bell := c.board, make(chan struct{}, 1)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bells[org] == nil {
		b.bells[org] = map[chan struct{}]struct{}{}
	}
	b.bells[org][bell] = struct{}{}
	return bell, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if delete(b.bells[org], bell); len(b.bells[org]) == 0 {
			delete(b.bells, org)
		}
	}
}

// ring tells whoever reads the changes of an organization. The board is locked.
func (b *Board) ring(org string) {
	for bell := range b.bells[org] {
		select {
		case bell <- struct{}{}:
		default:
		}
	}
}
