// Package dispatch brings tasks and workers together: wake-ups for whoever
// waits for work, the sweeper that lets deadlines pass, and the pool in which
// the server itself executes agents. It takes no decision about a task; all of
// that is package lifecycle's.
package dispatch

import (
	"sync"

	"github.com/errand-dev/errand/server/internal/feed"
)

// queue names the queue of an agent.
type queue struct{ org, agent string }

// Wakes tells waiting workers that there may be work. A wake is a hint: losing
// one costs time, never a task, since everybody who waits also looks now and
// then. It is safe for concurrent use.
type Wakes struct {
	mu      sync.Mutex
	waiting map[queue]map[chan struct{}]struct{}
	// all wait for any queue that their function wants.
	all map[chan struct{}]func(queue) bool
}

// NewWakes makes an empty set of wake-ups.
func NewWakes() *Wakes {
	return &Wakes{waiting: map[queue]map[chan struct{}]struct{}{}, all: map[chan struct{}]func(queue) bool{}}
}

// Publish wakes those who wait for tasks that a commit has made available, and
// those whose capacity may have changed.
func (w *Wakes) Publish(entries []feed.Entry) {
	for _, e := range entries {
		if e.Kind&(feed.Ready|feed.Freed) != 0 {
			w.wake(queue{e.Organization, e.Agent})
		}
	}
}

func (w *Wakes) wake(q queue) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.waiting[q] {
		token(c)
	}
	for c, wanted := range w.all {
		if wanted(q) {
			token(c)
		}
	}
}

// token leaves a token in the channel unless there is one.
func token(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// subscribeAll is subscribe to every queue that is wanted. The function is
// asked at each wake; it must be quick, and not call back.
func (w *Wakes) subscribeAll(wanted func(queue) bool) (woken <-chan struct{}, stop func()) {
	c := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all[c] = wanted
	return c, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.all, c)
	}
}

// subscribe answers a channel that holds a token after a wake of any of the queues.
func (w *Wakes) subscribe(queues ...queue) (woken <-chan struct{}, stop func()) {
	c := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, q := range queues {
		if w.waiting[q] == nil {
			w.waiting[q] = map[chan struct{}]struct{}{}
		}
		w.waiting[q][c] = struct{}{}
	}
	return c, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, q := range queues {
			delete(w.waiting[q], c)
			if len(w.waiting[q]) == 0 {
				delete(w.waiting, q)
			}
		}
	}
}
