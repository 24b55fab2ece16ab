// Package batch commits the writes of concurrent callers together. A caller's
// function records what it writes; nothing of that is sent to the database before
// the function has returned nil, so one that fails costs its neighbours nothing.
// Stores bring an Engine, the connection of a writer.
package batch

import (
	"context"
	"sync"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
)

// maxBatch bounds how many callers share one commit, so that the first of
// them does not wait for an endless queue behind it. Beside them go long writes
// (lifecycle.Long) of so many rows in all, at least one.
const (
	maxBatch = 256
	maxRows  = 1000
)

// request is one caller's write on its way.
type request struct {
	ctx   context.Context //nolint:containedctx // it is the caller's own, and is dropped with the request
	about []lifecycle.Key
	rows  int // of a long write, else 0
	fn    func(lifecycle.Tx) error
	short func(Engine) (done bool, err error) // is tried before fn by a caller alone; nil for none
	err   error
	done  chan struct{}
}

// queue is where callers wait for a writer. Whoever waits when one becomes free
// goes into its next commit together; a lone caller never waits for company. Two
// writers never have callers that are about the same row. Long writes keep their
// order among each other, and what comes behind passes those that have no room.
type queue struct {
	mu      sync.Mutex
	some    *sync.Cond
	waiting []*request
	busy    map[lifecycle.Key]bool
	closed  bool
}

func newQueue() *queue {
	q := &queue{busy: map[lifecycle.Key]bool{}}
	q.some = sync.NewCond(&q.mu)
	return q
}

// write waits for the outcome of a request. Once a writer has it, the outcome is
// the commit's: leaving early could report a failure of what is stored.
func (q *queue) write(r *request) error {
	if err := q.add(r); err != nil {
		return err
	}
	select {
	case <-r.done:
		return r.err
	case <-r.ctx.Done():
	}
	if q.remove(r) {
		return r.ctx.Err()
	}
	<-r.done
	return r.err
}

func (q *queue) add(r *request) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return errClosing()
	}
	q.waiting = append(q.waiting, r)
	q.some.Signal()
	return nil
}

func errClosing() error { return fault.New(fault.Unavailable, "the server is shutting down") }

// remove takes back a request that no writer has yet.
func (q *queue) remove(r *request) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, x := range q.waiting {
		if x == r {
			q.waiting = append(q.waiting[:i], q.waiting[i+1:]...)
			return true
		}
	}
	return false
}

// take waits for requests and returns those that may go into one commit; none once
// the queue is closed.
func (q *queue) take(has *room) []*request {
	q.mu.Lock()
	defer q.mu.Unlock()
	for !q.closed {
		if found := q.fitting(has); len(found) > 0 {
			return found
		}
		q.some.Wait()
	}
	return nil
}

// more is take for a commit that is under way: it does not wait.
func (q *queue) more(has *room) []*request {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.fitting(has)
}

// fitting takes out those who wait, have room, and are not in the way of another
// writer.
func (q *queue) fitting(has *room) (found []*request) {
	rest := q.waiting[:0]
	for _, r := range q.waiting {
		if q.free(r) && has.taken(r) {
			found = append(found, r)
			continue
		}
		rest = append(rest, r)
	}
	clear(q.waiting[len(rest):])
	q.waiting = rest
	for _, r := range found {
		for _, k := range r.about {
			q.busy[k] = true
		}
	}
	return found
}

// room is what a commit has taken up.
type room struct {
	short, rows int
	full        bool // a long write did not fit; those behind it wait, too
}

// taken takes a request up if there is room for it.
func (c *room) taken(r *request) bool {
	if r.rows == 0 {
		c.short++
		return c.short <= maxBatch
	}
	c.full = c.full || c.rows > 0 && c.rows+r.rows > maxRows
	if !c.full {
		c.rows += r.rows
	}
	return !c.full
}

// free reports whether no other writer has what the request is about.
func (q *queue) free(r *request) bool {
	for _, k := range r.about {
		if q.busy[k] {
			return false
		}
	}
	return true
}

// finish answers the callers of a batch.
func (q *queue) finish(batch []*request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, r := range batch {
		for _, k := range r.about {
			delete(q.busy, k)
		}
		close(r.done)
	}
	if len(q.waiting) > 0 {
		q.some.Broadcast()
	}
}

// close turns away those who wait, and all who come.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	for _, r := range q.waiting {
		r.err = errClosing()
		close(r.done)
	}
	q.waiting = nil
	q.some.Broadcast()
}
