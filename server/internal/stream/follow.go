package stream

import (
	"context"
	"errors"
	"iter"
	"slices"
	"time"

	"github.com/errand-dev/errand/server/internal/task"
)

// Log reads what is committed (package lifecycle).
type Log interface {
	// Events reads a task's log after a sequence number, in order; given types,
	// only events of these.
	Events(ctx context.Context, org, id string, after int64, limit int, only ...task.Type) ([]task.Event, error)
	// Seen reads the task as it is now; an error of code NotFound ends a stream.
	Seen(ctx context.Context, org, id string) (task.Task, error)
}

// page is how many events one read of the store asks for.
const page = 256

// ErrIdle is yielded, with a part without events, whenever a stream has been silent
// for the interval that its follower asked for. The stream goes on after it.
var ErrIdle = errors.New("nothing happened")

// Part is what a stream yields at a time.
type Part struct {
	// Events are in order. What came together is in one part.
	Events []task.Event
	// To is the number up to which the log has been looked at: behind the last
	// event, where what follows is not of the types that were asked for.
	To int64
}

// Source makes streams. It is safe for concurrent use.
type Source struct {
	hub   *Hub
	log   Log
	looks chan struct{} // of streams that look at the store after silence
}

// maxLooks is how many of these do so at a time.
const maxLooks = 8

// NewSource makes a source of streams from a log and the hub that its commits
// are published to.
func NewSource(hub *Hub, log Log) *Source {
	hub.log = log
	return &Source{hub: hub, log: log, looks: make(chan struct{}, maxLooks)}
}

// Followed reports whether somebody on this node follows a task or waits for its end.
func (s *Source) Followed(org, id string) bool { return s.hub.viewed(topic{org, id}) }

// Follow yields a task's events after a sequence number, each once and in
// order: first what is committed, then what is being committed. Given types, it
// yields only events of these, and costs nothing while others are committed. It
// ends when the turn that is then the last has ended, no answer to a stop is
// awaited, and all of the log has been looked at, which a last part without events
// tells if there was something that is left out; also when ctx ends or the task is
// deleted. Any other error is yielded last. After each interval of silence it
// yields ErrIdle, and looks at the store in case a hint was lost.
func (s *Source) Follow(ctx context.Context, org, id string, after int64, idle time.Duration, only ...task.Type) iter.Seq2[Part, error] {
	return func(yield func(Part, error) bool) {
		f := s.Open(org, id, after, only...)
		defer f.Close()
		timer := time.NewTimer(idle)
		defer timer.Stop()
		more := f.Step(ctx, yield)
		for more {
			told := f.told
			select {
			case <-ctx.Done():
				return
			case <-f.Ready():
				more = f.Step(ctx, yield)
			case <-timer.C:
				more = f.Look(ctx, yield)
				timer.Reset(idle)
			}
			if f.told != told {
				timer.Reset(idle)
			}
		}
	}
}

// Open begins what Follow does, for whoever takes its steps by himself and closes it:
// thousands of streams wait, and need no goroutine for that.
func (s *Source) Open(org, id string, after int64, only ...task.Type) *Follower {
	return &Follower{source: s, sub: s.hub.subscribe(org, id, only), cursor: after, told: after}
}

// Await waits until a turn of a task has ended; an error tells that it ended otherwise:
// ctx did, or the task is not there. It reads no log: the hub tells of the end, and
// the store is asked at first and whenever a hint may have been lost.
func (s *Source) Await(ctx context.Context, org, id string, turn int, idle time.Duration) error {
	sub := s.hub.subscribe(org, id, []task.Type{task.TaskFinished})
	defer sub.close()
	timer := time.NewTimer(idle)
	defer timer.Stop()
	for look := true; ; {
		if look {
			t, err := s.log.Seen(ctx, org, id)
			if err != nil || t.Terms.Turn != turn || t.Ended() != "" {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-sub.ready:
			b := sub.take()
			if slices.ContainsFunc(b.events, func(e task.Event) bool { return e.Turn == turn }) {
				return nil
			}
			look = b.look
		case <-timer.C:
			look = true
		}
		timer.Reset(idle)
	}
}

// Follower is a stream that goes on in steps. It is used by one goroutine at a time.
type Follower struct {
	source *Source
	sub    *subscription
	begun  bool
	cursor int64 // the log has been looked at up to here
	told   int64 // and whoever follows knows it up to here

	// The rest is a step's.
	ctx   context.Context //nolint:containedctx // see above
	yield func(Part, error) bool
}

// Close ends the stream.
func (f *Follower) Close() { f.sub.close() }

// Ready yields a value when there may be something for a Step.
func (f *Follower) Ready() <-chan struct{} { return f.sub.ready }

// Wake calls a function once, as soon as there may be something for a Step; it must not
// wait. nil takes that back.
func (f *Follower) Wake(call func()) { f.sub.callOnce(call) }

// Step yields what is there: the first one what is committed, others what was published
// since. It returns false when the stream is over.
func (f *Follower) Step(ctx context.Context, yield func(Part, error) bool) bool {
	f.ctx, f.yield = ctx, yield
	if !f.begun {
		f.begun = true
		return f.catchUp()
	}
	return f.deliver(f.sub.take())
}

// Look is a Step after silence: it yields ErrIdle, and looks at the store.
func (f *Follower) Look(ctx context.Context, yield func(Part, error) bool) bool {
	f.ctx, f.yield = ctx, yield
	return f.deliver(f.sub.take()) && f.rest() && f.look()
}

// look looks whether the store has more than was published.
func (f *Follower) look() bool {
	if t, err := f.seen(); err == nil && t.LastSeq == f.cursor && !t.Done() {
		return true
	}
	return f.catchUp()
}

// seen reads the task, for a few streams at a time: of thousands, many have been silent
// for equally long.
func (f *Follower) seen() (task.Task, error) {
	select {
	case f.source.looks <- struct{}{}:
	case <-f.ctx.Done():
		return task.Task{}, f.ctx.Err()
	}
	defer func() { <-f.source.looks }()
	return f.source.log.Seen(f.ctx, f.sub.topic.org, f.sub.topic.id)
}

// catchUp yields what the store has beyond the cursor. It returns false when
// nothing more will follow.
func (f *Follower) catchUp() bool {
	var head int64 // of the log before it was read
	for {
		events, err := f.source.log.Events(f.ctx, f.sub.topic.org, f.sub.topic.id, f.cursor, page, f.sub.only...)
		if err != nil {
			return f.fail(err)
		}
		if len(events) > 0 {
			if !f.tell(events) {
				return false
			}
			continue
		}
		f.cursor = max(f.cursor, head)
		t, err := f.source.log.Seen(f.ctx, f.sub.topic.org, f.sub.topic.id)
		switch {
		case err != nil:
			return f.fail(err)
		case t.LastSeq < f.cursor: // deleted, and its id is used anew
			return false
		case t.LastSeq > f.cursor: // it is left out, or was committed between the two reads
			head = t.LastSeq
		case t.Done():
			if f.told < f.cursor {
				f.yield(Part{To: f.cursor}, nil)
			}
			return false
		default:
			return true
		}
	}
}

// deliver yields published events. They are taken only while they continue
// the cursor without a gap; otherwise the store has what is missing.
func (f *Follower) deliver(b batch) bool {
	switch {
	case b.to <= f.cursor:
	case b.from > f.cursor+1:
		return f.catchUp()
	default:
		fresh := slices.IndexFunc(b.events, func(e task.Event) bool { return e.Seq > f.cursor })
		f.cursor = b.to
		if fresh >= 0 && !f.tell(b.events[fresh:]) {
			return false
		}
	}
	return !b.look || f.catchUp()
}

// tell yields events, the last of which is not behind the cursor.
func (f *Follower) tell(events []task.Event) bool {
	f.told = events[len(events)-1].Seq
	f.cursor = max(f.cursor, f.told)
	return f.yield(Part{events, f.cursor}, nil)
}

// rest tells of silence.
func (f *Follower) rest() bool {
	f.told = f.cursor
	return f.yield(Part{To: f.cursor}, ErrIdle)
}

func (f *Follower) fail(err error) bool {
	if f.ctx.Err() == nil {
		f.yield(Part{To: f.cursor}, err)
	}
	return false
}
