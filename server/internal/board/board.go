// Package board tells open pages what changes in their lists. It reads the feed of
// the node, and each changed task once for all pages that show the same list, however
// many these are: no page asks for anything.
package board

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/lifecycle"
)

const (
	// tick is how often a task's row is told at most.
	tick = 250 * time.Millisecond
	// calm is how many changed tasks a tick tells of: whoever looks at more than 200 a
	// second is told to read the list again.
	calm = 50
	// slow is how often counts, and that a list is to be read again, are told at most.
	slow = time.Second
	// buffer is how many frames wait for a page. One that falls further behind is told
	// to read its lists again.
	buffer = 256
)

// Reader reads what is told (package lifecycle).
type Reader interface {
	RowsOf(ctx context.Context, in auth.Scope, f lifecycle.Filter, ids []string) ([]lifecycle.Row, error)
	Counts(ctx context.Context, in auth.Scope, f lifecycle.Filter) ([]lifecycle.StatusCount, error)
}

// Show renders what is told.
type Show struct {
	Row    func(lifecycle.Row) (json.RawMessage, error)
	Counts func([]lifecycle.StatusCount) (json.RawMessage, error)
}

// Kind says what a list tells of.
type Kind int

// The kinds of lists.
const (
	Rows Kind = iota
	Counts
)

// List is what a page looks at.
type List struct {
	Kind   Kind
	Scope  auth.Scope
	Filter lifecycle.Filter
}

// Frame is what a page is told.
type Frame struct {
	Event string
	Data  json.RawMessage
}

// Frames that say the same for every list.
var (
	resetRows   = Frame{"reset", json.RawMessage(`{"what":"rows"}`)}   //nolint:gochecknoglobals // a constant
	resetCounts = Frame{"reset", json.RawMessage(`{"what":"counts"}`)} //nolint:gochecknoglobals // a constant
)

// Board tells pages of changes. It is safe for concurrent use.
type Board struct {
	read Reader
	show Show
	wake chan struct{} // holds a token while something has changed

	mu    sync.Mutex
	lists map[List]*shown
	// changed are the tasks of organizations with lists that have changed since the last
	// tick, and whether each is no more.
	changed map[string]map[string]bool
}

// shown is a list that somebody looks at.
type shown struct {
	pages map[*Page]struct{}
	// last is the newest frame of counts, for whoever comes later.
	last Frame
	// stale lists have something to tell that is told only now and then.
	stale bool
	told  time.Time
}

// New makes a board. Run makes it tell.
func New(read Reader, show Show) *Board {
	return &Board{read: read, show: show, wake: make(chan struct{}, 1), lists: map[List]*shown{}, changed: map[string]map[string]bool{}}
}

// Publish notes committed changes. It does not wait.
func (b *Board) Publish(entries []feed.Entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.lists) == 0 {
		return
	}
	for _, e := range entries {
		if e.Task == "" {
			continue
		}
		if changed := b.changed[e.Organization]; changed != nil {
			changed[e.Task] = e.Kind&feed.Deleted != 0
			b.rouse()
		}
	}
}

func (b *Board) rouse() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// Run tells pages until ctx ends.
func (b *Board) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.wake:
		}
		b.tell(ctx)
		select { // what comes meanwhile is told together
		case <-ctx.Done():
			return
		case <-time.After(tick):
		}
	}
}

// tell tells of what has changed.
func (b *Board) tell(ctx context.Context) {
	b.mu.Lock()
	changed := b.changed
	b.changed = make(map[string]map[string]bool, len(changed))
	for org := range changed {
		b.changed[org] = map[string]bool{}
	}
	lists := maps.Clone(b.lists)
	b.mu.Unlock()
	now, again := time.Now(), false
	for l, s := range lists {
		tasks := changed[l.Scope.Organization]
		var frames []Frame
		switch whole, later := b.due(l, s, len(tasks), now); {
		case later:
			again = true
		case whole:
			frames = b.whole(ctx, l)
		case len(tasks) > 0 && l.Kind == Rows:
			frames = b.rows(ctx, l, tasks)
		}
		b.send(l, s, frames)
	}
	if again {
		b.rouse()
	}
}

// due reports whether all of a list is to be told of at once, and whether not yet.
func (b *Board) due(l List, s *shown, tasks int, now time.Time) (whole, later bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s.stale = s.stale || tasks > 0 && (l.Kind == Counts || tasks > calm)
	if !s.stale || now.Sub(s.told) < slow {
		return false, s.stale
	}
	s.stale, s.told = false, now
	return true, false
}

// whole is what is told of all of a list at once.
func (b *Board) whole(ctx context.Context, l List) []Frame {
	if l.Kind == Rows {
		return []Frame{resetRows}
	}
	found, err := b.read.Counts(ctx, l.Scope, l.Filter)
	if err != nil {
		return []Frame{resetCounts}
	}
	data, err := b.show.Counts(found)
	if err != nil {
		return []Frame{resetCounts}
	}
	return []Frame{{"counts", data}}
}

// rows is what is told of some tasks: those that the list shows, and those of which it
// may have shown the row before. What a scope does not see is told in no way.
func (b *Board) rows(ctx context.Context, l List, tasks map[string]bool) []Frame {
	var ids, gone []string
	for id, deleted := range tasks {
		switch {
		case !deleted:
			ids = append(ids, id)
		case l.Scope.Whole():
			gone = append(gone, id)
		default: // whose it was is not known any more
			return []Frame{resetRows}
		}
	}
	slices.Sort(ids)
	found, err := b.read.RowsOf(ctx, l.Scope, l.Filter, ids)
	if err != nil {
		return []Frame{resetRows}
	}
	frames := make([]Frame, 0, len(tasks))
	for _, x := range found {
		data, err := b.show.Row(x)
		if err != nil {
			return []Frame{resetRows}
		}
		frames = append(frames, Frame{"row", slices.Concat([]byte(`{"item":`), data, []byte(`}`))})
		ids = slices.DeleteFunc(ids, func(id string) bool { return id == x.Task.ID })
	}
	if lasting := l.Filter.Lasting(); len(ids) > 0 && lasting != l.Filter {
		left, err := b.read.RowsOf(ctx, l.Scope, lasting, ids)
		if err != nil {
			return []Frame{resetRows}
		}
		for _, x := range left {
			gone = append(gone, x.Task.ID)
		}
	}
	for _, id := range gone {
		data, _ := json.Marshal(map[string]string{"gone": id}) // texts can be encoded
		frames = append(frames, Frame{"row", data})
	}
	return frames
}

// send leaves frames for all that look at a list.
func (b *Board) send(l List, s *shown, frames []Frame) {
	if len(frames) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if l.Kind == Counts {
		s.last = frames[len(frames)-1]
	}
	for p := range s.pages {
		p.push(frames)
	}
}

// Page is one open page.
type Page struct {
	board *Board
	lists []List
	ready chan struct{}

	mu      sync.Mutex
	pending []Frame
	behind  bool
}

// Open begins to tell a page of lists. Close ends it.
func (b *Board) Open(lists []List) *Page {
	p := &Page{board: b, lists: lists, ready: make(chan struct{}, 1)}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range lists {
		s := b.lists[l]
		if s == nil {
			s = &shown{pages: map[*Page]struct{}{}}
			b.lists[l] = s
			if b.changed[l.Scope.Organization] == nil {
				b.changed[l.Scope.Organization] = map[string]bool{}
			}
		}
		s.pages[p] = struct{}{}
		if s.last.Event != "" {
			p.push([]Frame{s.last})
		} else if l.Kind == Counts {
			s.stale = true
			b.rouse()
		}
	}
	return p
}

// Close ends it.
func (p *Page) Close() {
	b := p.board
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range p.lists {
		if s := b.lists[l]; s != nil {
			if delete(s.pages, p); len(s.pages) == 0 {
				delete(b.lists, l)
			}
		}
	}
	for org := range b.changed {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(b.lists)), func(l List) bool { return l.Scope.Organization == org }) {
			delete(b.changed, org)
		}
	}
}

// Ready yields a token while there is something to take.
func (p *Page) Ready() <-chan struct{} { return p.ready }

// Take empties what was left for the page.
func (p *Page) Take() []Frame {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := p.pending
	if p.behind {
		taken = []Frame{resetRows, resetCounts}
	}
	p.pending, p.behind = nil, false
	return taken
}

func (p *Page) push(frames []Frame) {
	p.mu.Lock()
	if p.behind = p.behind || len(p.pending)+len(frames) > buffer; p.behind {
		p.pending = nil
	} else {
		p.pending = append(p.pending, frames...)
	}
	p.mu.Unlock()
	select {
	case p.ready <- struct{}{}:
	default:
	}
}
