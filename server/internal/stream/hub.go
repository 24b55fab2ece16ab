// Package stream turns committed events into live subscriptions. What a
// subscriber gets is always the log: committed events are only a faster way
// to it, and whoever cannot keep up, or missed something, reads the store
// from its cursor (rules T3, T7).
package stream

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/task"
)

// buffer and bufferBytes bound what waits for one subscriber in memory. A
// subscriber that falls further behind reads the rest from the store. The bytes of
// an event are counted for each of its subscribers, although they share them: which
// of them lets go last is not known.
const (
	buffer      = 256 // events
	bufferBytes = 1 << 20
)

type topic struct{ org, id string }

// Hub spreads committed events. It is safe for concurrent use. Publishing
// never waits for a subscriber.
type Hub struct {
	log  Log // of NewSource; nil before
	mu   sync.Mutex
	subs map[topic]map[*subscription]struct{}
}

// NewHub makes a hub. NewSource joins it with the log; then changes may be
// published.
func NewHub() *Hub { return &Hub{subs: map[topic]map[*subscription]struct{}{}} }

// subscription is one subscriber's place in the hub.
type subscription struct {
	hub   *Hub
	topic topic
	only  []task.Type   // what it is told of; none is everything
	ready chan struct{} // holds a token while there is something to look at
	// signal says that nobody takes the events: it is only told that there are some
	// which no attempt has written.
	signal bool

	mu      sync.Mutex
	pending batch
	call    func() // in place of the next token; nil for none
}

// batch is what waits for a subscriber.
type batch struct {
	// from and to are the numbers that it covers, without a gap; 0 is none.
	from, to int64
	events   []task.Event // those among them that the subscriber is told of
	size     int          // of these, in bytes
	look     bool         // the store has more than events says
}

// Publish tells of committed changes, in the order of the feed. Events of another
// node's commit are read once, for all who view the task here.
func (h *Hub) Publish(entries []feed.Entry) {
	for _, e := range entries {
		t := topic{e.Organization, e.Task}
		switch {
		case e.Kind&feed.Deleted != 0:
			h.tell(t, nil) // they look at the store
		case e.Kind&feed.Grew == 0:
		case e.Change != nil:
			h.tell(t, e.Change.Events)
		case h.followed(t):
			h.tell(t, h.read(e))
		}
	}
}

// followed reports whether a task has a subscriber.
func (h *Hub) followed(t topic) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.subs[t]) > 0
}

// readTime bounds the reading of another node's events. Who is not told of them in
// time reads them for himself.
const readTime = 2 * time.Second

// read reads what an entry says that a log has grown by; nil when that cannot be
// read now, or is too much.
func (h *Hub) read(e feed.Entry) []task.Event {
	if h.log == nil || e.Last-e.First >= buffer {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), readTime)
	defer cancel()
	events, err := h.log.Events(ctx, e.Organization, e.Task, e.First-1, int(e.Last-e.First)+1)
	if err != nil {
		return nil
	}
	return events
}

func (h *Hub) tell(t topic, events []task.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.subs[t] {
		s.push(events)
	}
}

func (h *Hub) subscribe(org, id string, only []task.Type) *subscription {
	return h.join(&subscription{hub: h, topic: topic{org, id}, only: only, ready: make(chan struct{}, 1)})
}

func (h *Hub) join(s *subscription) *subscription {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.subs[s.topic] == nil {
		h.subs[s.topic] = map[*subscription]struct{}{}
	}
	h.subs[s.topic][s] = struct{}{}
	return s
}

// viewed reports whether a task has a subscriber who takes its events.
func (h *Hub) viewed(t topic) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.subs[t] {
		if !s.signal {
			return true
		}
	}
	return false
}

// Subscribers counts the open subscriptions.
func (h *Hub) Subscribers() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, s := range h.subs {
		n += len(s)
	}
	return n
}

func (s *subscription) close() {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	delete(s.hub.subs[s.topic], s)
	if len(s.hub.subs[s.topic]) == 0 {
		delete(s.hub.subs, s.topic)
	}
}

// push leaves events for the subscriber. If they would be too many, all are
// dropped and it is sent to the store; so it is by a push of nothing. What it is
// not told of does not wake it.
func (s *subscription) push(events []task.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	wake := s.signal && tells(events) || !s.signal && s.pending.add(events, s.only)
	switch {
	case !wake:
	case s.call != nil:
		s.call()
		s.call = nil
	default:
		select {
		case s.ready <- struct{}{}:
		default:
		}
	}
}

// callOnce has a function called in place of the next token, at once if there is one.
func (s *subscription) callOnce(call func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.call = call; call == nil {
		return
	}
	select {
	case <-s.ready:
		s.call = nil
		call()
	default:
	}
}

// tells reports whether events, or a push of nothing, say anything of a task beyond what
// its attempt does itself, which may be much in a second.
func tells(events []task.Event) bool {
	return len(events) == 0 || slices.ContainsFunc(events, func(e task.Event) bool {
		switch e.Type { //nolint:exhaustive // the others may be somebody else's
		case task.ModelUsed, task.OutputWritten, task.FileGiven:
			return false
		default:
			return !e.Type.Writable()
		}
	})
}

// add takes in what was committed, and reports whether the subscriber has to look.
func (b *batch) add(events []task.Event, only []task.Type) (wake bool) {
	if len(events) == 0 {
		*b = batch{look: true}
		return true
	}
	for _, e := range events {
		switch {
		case b.to == 0:
			b.from = e.Seq
		case e.Seq <= b.to:
			continue
		}
		told := len(only) == 0 || slices.Contains(only, e.Type)
		size := len(e.Own) + len(e.Kept)
		if b.to > 0 && e.Seq > b.to+1 || told && (len(b.events) == buffer || b.size+size > bufferBytes) {
			*b = batch{look: true}
			return true
		}
		if b.to = e.Seq; told {
			b.events, b.size = append(b.events, e), b.size+size
		}
		b.look = b.look || mayEnd(e.Type)
		wake = wake || told || mayEnd(e.Type)
	}
	return wake
}

// mayEnd reports whether a turn can be over with an event of the type.
func mayEnd(t task.Type) bool {
	return t == task.TaskFinished || t == task.StopConfirmed || t == task.StopAbandoned
}

// take empties what was left for the subscriber.
func (s *subscription) take() batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.pending
	s.pending = batch{}
	return b
}

// Watch signals whenever a task's log grows by what attempts do not write themselves, or
// the task is deleted, until stop is called. Signals that come close together may be one.
func (h *Hub) Watch(org, id string) (changed <-chan struct{}, stop func()) {
	s := h.join(&subscription{hub: h, topic: topic{org, id}, ready: make(chan struct{}, 1), signal: true})
	return s.ready, s.close
}
