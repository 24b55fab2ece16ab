// Package board tells open pages what changes in their lists. It reads the feed of
// the node, and each changed task once for all pages that show the same list, however
// many these are: no page asks for anything.
package board

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

const (
	// tick is how often a task's row is told at most.
	tick = 250 * time.Millisecond
	// calm is how many changed tasks a tick tells of: whoever looks at more than 200 a
	// second is told to read the list again.
	calm = 50
	// slow is how often counts, and that a list is to be read again, are told at most.
	slow = time.Second
	// look is how often workers are looked at while a page shows them.
	look = 2 * time.Second
	// buffer is how many frames wait for a page. One that falls further behind is told
	// to read its lists again.
	buffer = 256
)

// Reader reads what is told (package lifecycle).
type Reader interface {
	RowsOf(ctx context.Context, in auth.Scope, f lifecycle.Filter, ids []string) ([]lifecycle.Row, error)
	Counts(ctx context.Context, in auth.Scope, f lifecycle.Filter) (lifecycle.Counts, error)
	ApprovalsSince(ctx context.Context, in auth.Scope, id string, from int64, limit int) ([]task.Approval, error)
	Workers(ctx context.Context, in auth.Scope, agent string) ([]lifecycle.Present, error)
}

// Show renders what is told.
type Show struct {
	Row      func(lifecycle.Row) (json.RawMessage, error)
	Counts   func(lifecycle.Counts) (json.RawMessage, error)
	Approval func(task.Approval) (json.RawMessage, error)
	Workers  func([]lifecycle.Present) (json.RawMessage, error)
}

// Kind says what a list tells of.
type Kind int

// The kinds of lists.
const (
	Rows Kind = iota
	Counts
	Approvals
	Workers
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

// name is what a list is called where it is to be read again.
func (k Kind) name() string { return [...]string{"rows", "counts", "approvals", "workers"}[k] }

// reset says that a list is to be read again.
func (k Kind) reset() Frame { return Frame{"reset", json.RawMessage(`{"what":"` + k.name() + `"}`)} }

// whole reports whether all of a list is told at once, when something has changed.
func (k Kind) whole() bool { return k == Counts || k == Workers }

// Board tells pages of changes. It is safe for concurrent use.
type Board struct {
	read Reader
	show Show
	wake chan struct{} // holds a token while something has changed

	mu    sync.Mutex
	lists map[List]*shown
	// bells are rung when something changes in an organization.
	bells map[string]map[chan struct{}]struct{}
	// changed are the tasks of organizations with lists that have changed since the last
	// tick, by their ids; that of "" stands for workers.
	changed map[string]map[string]change
}

// change is what has become of a task.
type change struct {
	deleted bool
	// asked is the first event that may have asked people something, or answered it; 0
	// for none.
	asked int64
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
	return &Board{read: read, show: show, wake: make(chan struct{}, 1), lists: map[List]*shown{}, bells: map[string]map[chan struct{}]struct{}{}, changed: map[string]map[string]change{}}
}

// Publish notes committed changes. It does not wait.
func (b *Board) Publish(entries []feed.Entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range entries {
		b.ring(e.Organization)
		changed := b.changed[e.Organization]
		if changed == nil || e.Task == "" && e.Kind&feed.Freed == 0 {
			continue
		}
		c := changed[e.Task]
		c.deleted = e.Kind&feed.Deleted != 0
		if e.Kind&feed.Asked != 0 && (c.asked == 0 || e.First < c.asked) {
			c.asked = e.First
		}
		changed[e.Task] = c
		b.rouse()
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
	round := time.NewTicker(look)
	defer round.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.wake:
		case <-round.C:
			b.lookAround()
		}
		b.tell(ctx)
		select { // what comes meanwhile is told together
		case <-ctx.Done():
			return
		case <-time.After(tick):
		}
	}
}

// lookAround makes the lists of workers be read: of what these do the feed has little.
func (b *Board) lookAround() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for l, s := range b.lists {
		s.stale = s.stale || l.Kind == Workers
	}
}

// tell tells of what has changed.
func (b *Board) tell(ctx context.Context) {
	b.mu.Lock()
	changed := b.changed
	b.changed = make(map[string]map[string]change, len(changed))
	for org := range changed {
		b.changed[org] = map[string]change{}
	}
	lists := maps.Clone(b.lists)
	b.mu.Unlock()
	now, again := time.Now(), false
	for l, s := range lists {
		tasks := changed[l.Scope.Organization]
		if l.Kind != Workers {
			tasks = maps.Clone(tasks)
			delete(tasks, "")
		}
		if l.Kind == Approvals {
			maps.DeleteFunc(tasks, func(_ string, c change) bool { return c.asked == 0 && !c.deleted })
		}
		var frames []Frame
		switch whole, later := b.due(l, s, len(tasks), now); {
		case later:
			again = true
		case whole:
			frames = b.whole(ctx, l)
		case len(tasks) > 0 && l.Kind == Rows:
			frames = b.rows(ctx, l, tasks)
		case len(tasks) > 0 && l.Kind == Approvals:
			frames = b.approvals(ctx, l, tasks)
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
	s.stale = s.stale || tasks > 0 && (l.Kind.whole() || tasks > calm)
	if !s.stale || now.Sub(s.told) < slow {
		return false, s.stale
	}
	s.stale, s.told = false, now
	return true, false
}

// whole is what is told of all of a list at once.
func (b *Board) whole(ctx context.Context, l List) []Frame {
	var data json.RawMessage
	var err error
	switch l.Kind {
	case Counts:
		var found lifecycle.Counts
		if found, err = b.read.Counts(ctx, l.Scope, l.Filter); err == nil {
			data, err = b.show.Counts(found)
		}
	case Workers:
		var found []lifecycle.Present
		if found, err = b.read.Workers(ctx, l.Scope, l.Filter.Agent); err == nil {
			data, err = b.show.Workers(found)
		}
	case Rows, Approvals:
		return []Frame{l.Kind.reset()}
	}
	if err != nil {
		return []Frame{l.Kind.reset()}
	}
	return []Frame{{l.Kind.name(), data}}
}

// approvals is what people are asked, and are not any more, in some tasks.
func (b *Board) approvals(ctx context.Context, l List, tasks map[string]change) []Frame {
	var frames []Frame
	for _, id := range slices.Sorted(maps.Keys(tasks)) {
		if tasks[id].deleted { // what it asked goes with it
			return []Frame{l.Kind.reset()}
		}
		found, err := b.read.ApprovalsSince(ctx, l.Scope, id, tasks[id].asked, calm)
		if fault.CodeOf(err) == fault.NotFound {
			continue
		}
		if err != nil || len(found) == calm {
			return []Frame{l.Kind.reset()}
		}
		for _, a := range slices.Backward(found) {
			data, err := b.show.Approval(a)
			if err != nil {
				return []Frame{l.Kind.reset()}
			}
			frames = append(frames, Frame{"approval", data})
		}
	}
	return frames
}

// rows is what is told of some tasks: those that the list shows, and those of which it
// may have shown the row before. What a scope does not see is told in no way.
func (b *Board) rows(ctx context.Context, l List, tasks map[string]change) []Frame {
	var ids, gone []string
	for id, c := range tasks {
		switch {
		case !c.deleted:
			ids = append(ids, id)
		case l.Scope.Whole():
			gone = append(gone, id)
		default: // whose it was is not known any more
			return []Frame{Rows.reset()}
		}
	}
	slices.Sort(ids)
	found, err := b.read.RowsOf(ctx, l.Scope, l.Filter, ids)
	if err != nil {
		return []Frame{Rows.reset()}
	}
	frames := make([]Frame, 0, len(tasks))
	for _, x := range found {
		data, err := b.show.Row(x)
		if err != nil {
			return []Frame{Rows.reset()}
		}
		frames = append(frames, Frame{"row", slices.Concat([]byte(`{"item":`), data, []byte(`}`))})
		ids = slices.DeleteFunc(ids, func(id string) bool { return id == x.Task.ID })
	}
	if lasting := l.Filter.Lasting(); len(ids) > 0 && lasting != l.Filter {
		left, err := b.read.RowsOf(ctx, l.Scope, lasting, ids)
		if err != nil {
			return []Frame{Rows.reset()}
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
	if l.Kind.whole() {
		last := frames[len(frames)-1]
		if last.Event == s.last.Event && bytes.Equal(last.Data, s.last.Data) {
			return
		}
		s.last = last
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
				b.changed[l.Scope.Organization] = map[string]change{}
			}
		}
		s.pages[p] = struct{}{}
		if s.last.Event != "" {
			p.push([]Frame{s.last})
		} else if l.Kind.whole() {
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
		taken = []Frame{}
		for _, l := range p.lists {
			if f := l.Kind.reset(); !slices.ContainsFunc(taken, func(x Frame) bool { return bytes.Equal(x.Data, f.Data) }) {
				taken = append(taken, f)
			}
		}
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
