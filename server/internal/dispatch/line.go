// Package dispatch brings tasks and workers together: the line in which workers
// wait for tasks, the sweeper that lets deadlines pass, and the pool in which the
// server itself executes agents. It takes no decision about a task; all of that is
// package lifecycle's.
package dispatch

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// queue names the queue of an agent.
type queue struct{ org, agent string }

// call is why somebody in line looks: there may be a task in a queue, pinned to a
// worker or, with an empty pin, to none.
type call struct {
	queue
	pin string
}

// Line is where workers wait for tasks. Whoever comes looks first, and then waits:
// one task calls one worker, the one that has waited longest of those that may have
// it. Whoever was called looks, and gets its task or goes back to its place. A call
// that nobody answers goes to the next.
//
// So nobody waits in vain: whenever a task becomes ready, somebody who could have
// it looks after that, unless everybody who waits has looked after it anyway. What
// a commit of another node means, and what becomes ready by time, is not known
// here; such queues are doubtful, and one question for all who wait answers it
// ([Workers.Run]). A lost hint costs time, never a task, since all queues become
// doubtful now and then. It is safe for concurrent use.
type Line struct {
	mu       sync.Mutex
	queues   map[queue]*crowd
	streams  map[streamKey]*place
	tickets  int
	present  int // places that are not gone
	doubtful map[queue]bool
	hint     chan struct{} // holds a token after a queue has become doubtful, or an alarm was set
	others   []func(feed.Entry)
}

type streamKey struct{ org, worker string }

// crowd are those who are in line for a queue.
type crowd struct {
	waiting []*place            // by their tickets
	looking map[*place]struct{} // look at the store just now
	resting map[*place]struct{} // have no room
	// alarm is the moment at which the next task becomes ready, 0 for never: of
	// those that no worker is named for ("") and of those pinned to known workers.
	alarm task.Stamp
	known map[string]bool
}

// place is a worker's place in line. Its methods are called by one goroutine.
type place struct {
	line   *Line
	queues []queue
	worker string
	stream *streamKey // nil for one that comes with room for what it takes
	// called holds a token while there is a reason to look.
	called chan struct{}

	// The rest is the line's, under its lock.
	ticket int
	state  state
	next   *call // what it was called for and has not begun to look for
	now    *call // what it looks for
	freed  bool  // it may have got room since it began to look
	heir   bool  // room may come from tasks under other ids
}

// state is what somebody in line does.
type state int

const (
	looking state = iota
	waiting
	resting
	gone
)

// NewLine makes an empty line.
func NewLine() *Line {
	return &Line{
		queues: map[queue]*crowd{}, streams: map[streamKey]*place{}, doubtful: map[queue]bool{}, hint: make(chan struct{}, 1),
	}
}

// token leaves a token in the channel unless there is one.
func token(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// tell makes fn hear of each entry. It is quick, and does not call back.
func (l *Line) tell(fn func(feed.Entry)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.others = append(l.others, fn)
}

// Expect calls workers for tasks that a commit is about to make available, and marks
// what it has called for: it is for a store with one writer, so that those who look
// because of it look behind what they were called for, perhaps in the same commit.
func (l *Line) Expect(entries []feed.Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, e := range entries {
		if q := (queue{e.Organization, e.Agent}); e.Kind&feed.Ready != 0 && l.queues[q] != nil && e.Change != nil && readyAt(e) == 0 {
			l.call(call{q, pinOf(e.Change.Task)})
			entries[i].Called = true
		}
	}
}

// Publish calls workers for tasks that a commit has made available, and those that
// it may have given room.
func (l *Line) Publish(entries []feed.Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range entries {
		if e.Kind&feed.Freed != 0 {
			l.freed(e)
		}
		if e.Kind&feed.Ready != 0 && !e.Called {
			l.ready(e)
		}
		for _, fn := range l.others {
			fn(e)
		}
	}
}

func (l *Line) freed(e feed.Entry) {
	workers := []string{e.Worker}
	if e.Change != nil {
		for _, a := range e.Change.Attempts {
			workers = append(workers, a.WorkerID)
		}
	}
	for _, w := range workers {
		if p := l.streams[streamKey{e.Organization, w}]; p != nil {
			p.free()
		}
	}
	if c := l.queues[queue{e.Organization, e.Agent}]; c != nil {
		for p := range c.resting {
			if p.heir {
				p.free()
			}
		}
	}
}

// ready takes what a commit has made available. Only a node's own commits tell which
// worker may have it, and when.
func (l *Line) ready(e feed.Entry) {
	q := queue{e.Organization, e.Agent}
	c := l.queues[q]
	switch {
	case c == nil: // whoever comes looks
	case e.Change == nil:
		l.doubt(q)
	case readyAt(e) > 0:
		if at := readyAt(e); c.alarm == 0 || at < c.alarm {
			c.alarm = at
			token(l.hint)
		}
	default:
		l.call(call{q, pinOf(e.Change.Task)})
	}
}

// readyAt is when the task of a node's own commit becomes ready, 0 for at once.
func readyAt(e feed.Entry) task.Stamp {
	if n := len(e.Change.Events); n > 0 && e.Change.Task.ReadyAt > e.Change.Events[n-1].Time {
		return e.Change.Task.ReadyAt
	}
	return 0
}

func pinOf(t task.Task) string {
	if t.Terms.PinnedWorkerID == nil {
		return ""
	}
	return *t.Terms.PinnedWorkerID
}

// doubt notes that nobody knows what a queue holds.
func (l *Line) doubt(q queue) {
	c := l.queues[q]
	if c == nil {
		return
	}
	if len(c.waiting)+len(c.looking) == 0 {
		clear(c.known) // the next one to wait asks
		return
	}
	l.doubtful[q] = true
	token(l.hint)
}

// call makes the one look that has waited longest and may have the task; or, if
// nobody waits, one that looks already and may be too early: it looks again.
// Whoever comes later looks by itself.
func (l *Line) call(why call) {
	c := l.queues[why.queue]
	if c == nil {
		return
	}
	fits := func(p *place) bool { return why.pin == "" || p.worker == why.pin }
	if i := slices.IndexFunc(c.waiting, fits); i >= 0 {
		p := c.waiting[i]
		p.become(looking)
		p.next = &why
		token(p.called)
		return
	}
	var first *place
	for p := range c.looking {
		if p.next == nil && fits(p) && (first == nil || p.ticket < first.ticket) {
			first = p
		}
	}
	if first != nil {
		first.next = &why
		token(first.called)
	}
}

// join takes a place at the end of the line, which looks. A stream has limited
// room.
func (l *Line) join(org string, agents []string, worker string, stream bool) *place {
	p := &place{line: l, worker: worker, called: make(chan struct{}, 1), state: gone}
	for _, a := range agents {
		if q := (queue{org, a}); !slices.Contains(p.queues, q) {
			p.queues = append(p.queues, q)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, q := range p.queues {
		if l.queues[q] == nil {
			l.queues[q] = &crowd{looking: map[*place]struct{}{}, resting: map[*place]struct{}{}, known: map[string]bool{}}
		}
	}
	if stream {
		p.stream = &streamKey{org, worker}
		l.streams[*p.stream] = p
	}
	p.toBack()
	p.become(looking)
	return p
}

// become changes what a place does.
func (p *place) become(s state) {
	for _, q := range p.queues {
		c := p.line.queues[q]
		at, _ := slices.BinarySearchFunc(c.waiting, p, byTicket)
		switch p.state {
		case waiting:
			c.waiting = slices.Delete(c.waiting, at, at+1)
		case looking:
			delete(c.looking, p)
		case resting:
			delete(c.resting, p)
		case gone:
		}
		switch s {
		case waiting:
			c.waiting = slices.Insert(c.waiting, at, p)
		case looking:
			c.looking[p] = struct{}{}
		case resting:
			c.resting[p] = struct{}{}
		case gone:
		}
	}
	p.line.present += s.presence() - p.state.presence()
	p.state = s
}

func (s state) presence() int {
	if s == gone {
		return 0
	}
	return 1
}

// Present returns how many are in line: claims that wait, and worker streams.
func (l *Line) Present() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.present
}

func byTicket(a, b *place) int { return cmp.Compare(a.ticket, b.ticket) }

func (p *place) toBack() {
	p.line.tickets++
	p.ticket = p.line.tickets
}

// look is called before looking at the store.
func (p *place) look() {
	p.line.mu.Lock()
	defer p.line.mu.Unlock()
	p.become(looking) // it may look unasked
	p.now, p.next, p.freed = p.next, nil, false
}

// took notes what the look has found: the place is now the last. If it is not of
// what the place was called for, somebody else is called for that.
func (p *place) took(tasks ...task.Task) {
	p.line.mu.Lock()
	defer p.line.mu.Unlock()
	for _, t := range tasks {
		if p.now != nil && *p.now == (call{queue{t.OrganizationID, t.AgentID}, pinOf(t)}) {
			p.now = nil
		}
	}
	p.toBack()
}

// wait goes back to the place in line after a look that found nothing more. If it
// was called meanwhile, there is a token already.
func (p *place) wait() {
	l := p.line
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.now = nil; p.next != nil {
		return
	}
	p.freed = false // it has room anyway
	p.quiet()
	p.become(waiting)
	for _, q := range p.queues {
		if !l.queues[q].known[p.worker] {
			l.doubt(q)
		}
	}
}

// rest leaves the line, but for being told of room: the look found that there is
// none. Whatever it was called for goes to the next.
func (p *place) rest(heir bool) {
	p.line.mu.Lock()
	defer p.line.mu.Unlock()
	if p.heir = heir; !p.freed { // else there is a token already
		p.quiet()
		p.become(resting)
	}
	p.pass()
}

// quiet takes back the token.
func (p *place) quiet() {
	select {
	case <-p.called:
	default:
	}
}

// free notes that a place may have room.
func (p *place) free() {
	switch p.state {
	case resting:
		p.become(looking)
	case waiting, gone:
		return
	case looking:
	}
	p.freed = true
	token(p.called)
}

// pass gives its calls to the next.
func (p *place) pass() {
	calls := []*call{p.now, p.next}
	p.now, p.next = nil, nil
	for _, c := range calls {
		if c != nil {
			p.line.call(*c)
		}
	}
}

// failed notes that its look failed. Others may have passed over what it had
// almost taken.
func (p *place) failed() {
	p.line.mu.Lock()
	defer p.line.mu.Unlock()
	for _, q := range p.queues {
		p.line.doubt(q)
	}
}

// leave gives up the place. What it was called for and did not get goes to the next.
func (p *place) leave() {
	l := p.line
	l.mu.Lock()
	defer l.mu.Unlock()
	p.become(gone)
	if p.stream != nil && l.streams[*p.stream] == p {
		delete(l.streams, *p.stream)
	}
	p.pass()
}

// maxAbsent is about how many workers are remembered that do not wait just now.
const maxAbsent = 64

// question asks what stands in the doubtful queues of an organization.
type question struct {
	org    string
	queues []queue
	lanes  []lifecycle.Lane
	limit  int // more tasks than that are of no interest
}

// questions lists what has to be asked at a moment. Each must be answered, or
// given up.
func (l *Line) questions(now task.Stamp) []question {
	l.mu.Lock()
	defer l.mu.Unlock()
	for q, c := range l.queues {
		if c.alarm != 0 && c.alarm <= now {
			l.doubtful[q] = true
		}
	}
	byOrg := map[string]*question{}
	byName := func(a, b queue) int { return cmp.Or(cmp.Compare(a.org, b.org), cmp.Compare(a.agent, b.agent)) }
	for _, q := range slices.SortedFunc(maps.Keys(l.doubtful), byName) {
		c := l.queues[q]
		if c == nil || len(c.waiting)+len(c.looking) == 0 {
			continue
		}
		x := byOrg[q.org]
		if x == nil {
			x = &question{org: q.org}
			byOrg[q.org] = x
		}
		x.queues = append(x.queues, q)
		here := len(c.waiting) + len(c.looking)
		if len(c.known) > 2*here+maxAbsent {
			clear(c.known)
		}
		c.known[""] = true
		for _, p := range c.waiting {
			c.known[p.worker] = true
		}
		for p := range c.looking {
			c.known[p.worker] = true
		}
		for _, pin := range slices.Sorted(maps.Keys(c.known)) {
			x.lanes = append(x.lanes, lifecycle.Lane{Agent: q.agent, Pin: pin})
		}
		x.limit = max(x.limit, here)
		c.alarm = 0 // what comes from now on is heard
	}
	clear(l.doubtful)
	var list []question
	for _, x := range byOrg {
		list = append(list, *x)
	}
	return list
}

// answer calls workers for what stands in the queues of a question.
func (l *Line) answer(org string, fronts []lifecycle.Front) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range fronts {
		q := queue{org, f.Agent}
		if c := l.queues[q]; c != nil && f.Next != 0 && (c.alarm == 0 || f.Next < c.alarm) {
			c.alarm = f.Next
		}
		for range f.Ready {
			l.call(call{q, f.Pin})
		}
	}
}

// giveUp notes that a question was not answered.
func (l *Line) giveUp(x question) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, q := range x.queues {
		l.doubt(q)
	}
}

// doubtAll makes every queue doubtful for which somebody waits, and forgets the others.
func (l *Line) doubtAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for q, c := range l.queues {
		if l.doubt(q); len(c.waiting)+len(c.looking)+len(c.resting) == 0 {
			delete(l.queues, q)
		}
	}
}

// alarm is when the next task becomes ready by time, 0 for never.
func (l *Line) alarm() task.Stamp {
	l.mu.Lock()
	defer l.mu.Unlock()
	var soonest task.Stamp
	for _, c := range l.queues {
		if c.alarm != 0 && (soonest == 0 || c.alarm < soonest) {
			soonest = c.alarm
		}
	}
	return soonest
}
