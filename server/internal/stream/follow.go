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
	// Events reads a task's log after a sequence number, in order.
	Events(ctx context.Context, org, id string, after int64, limit int) ([]task.Event, error)
	// Seen reads the task as it is now; an error of code NotFound ends a stream.
	Seen(ctx context.Context, org, id string) (task.Task, error)
}

// page is how many events one read of the store asks for.
const page = 256

// ErrIdle is yielded, with a zero event, whenever a stream has been silent for
// the interval that its follower asked for. The stream goes on after it.
var ErrIdle = errors.New("nothing happened")

// Source makes streams. It is safe for concurrent use.
type Source struct {
	hub *Hub
	log Log
}

// NewSource makes a source of streams from a log and the hub that its commits
// are published to.
func NewSource(hub *Hub, log Log) *Source {
	hub.log = log
	return &Source{hub: hub, log: log}
}

// Follow yields a task's events after a sequence number, each once and in
// order: first what is committed, then what is being committed. It ends when
// the turn that is then the last has ended, no answer to a stop is awaited,
// and all of the log has been yielded; also when ctx ends or the task is
// deleted. Any other error is yielded last. After each interval of silence it
// yields ErrIdle, and looks at the store in case a hint was lost.
func (s *Source) Follow(ctx context.Context, org, id string, after int64, idle time.Duration) iter.Seq2[task.Event, error] {
	return func(yield func(task.Event, error) bool) {
		sub := s.hub.subscribe(org, id)
		defer sub.close()
		f := follower{source: s, ctx: ctx, org: org, id: id, cursor: after, yield: yield}
		timer := time.NewTimer(idle)
		defer timer.Stop()
		more := f.catchUp()
		for more {
			select {
			case <-ctx.Done():
				return
			case <-sub.ready:
				more = f.deliver(sub.take())
			case <-timer.C:
				more = yield(task.Event{}, ErrIdle) && f.catchUp()
			}
			timer.Reset(idle)
		}
	}
}

// Await waits until a turn of a task has ended; an error tells that it ended otherwise:
// ctx did, or the task is not there. It reads no log: the hub tells of the end, and
// the store is asked at first and whenever a hint may have been lost.
func (s *Source) Await(ctx context.Context, org, id string, turn int, idle time.Duration) error {
	sub := s.hub.subscribe(org, id)
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
			var events []task.Event
			events, look = sub.take()
			if slices.ContainsFunc(events, func(e task.Event) bool { return e.Type == task.TaskFinished && e.Turn == turn }) {
				return nil
			}
		case <-timer.C:
			look = true
		}
		timer.Reset(idle)
	}
}

// follower is the state of one stream.
type follower struct {
	source  *Source
	ctx     context.Context //nolint:containedctx // it lives as long as one call of Follow
	org, id string
	cursor  int64
	yield   func(task.Event, error) bool
}

// catchUp yields what the store has beyond the cursor. It answers false when
// nothing more will follow.
func (f *follower) catchUp() bool {
	for {
		events, err := f.source.log.Events(f.ctx, f.org, f.id, f.cursor, page)
		if err != nil {
			return f.fail(err)
		}
		for _, e := range events {
			if !f.emit(e) {
				return false
			}
		}
		if len(events) > 0 {
			continue
		}
		t, err := f.source.log.Seen(f.ctx, f.org, f.id)
		if err != nil {
			return f.fail(err)
		}
		if t.LastSeq < f.cursor { // deleted, and its id is used anew
			return false
		}
		if t.LastSeq == f.cursor { // else more was committed between the two reads
			return !t.Done()
		}
	}
}

// deliver yields published events. They are taken only while they continue
// the cursor without a gap; otherwise the store has what is missing.
func (f *follower) deliver(events []task.Event, look bool) bool {
	for _, e := range events {
		switch {
		case e.Seq <= f.cursor:
		case e.Seq == f.cursor+1:
			if !f.emit(e) {
				return false
			}
			look = look || mayEnd(e.Type)
		default:
			return f.catchUp()
		}
	}
	return !look || f.catchUp()
}

// mayEnd reports whether a turn can be over with an event of the type.
func mayEnd(t task.Type) bool {
	return t == task.TaskFinished || t == task.StopConfirmed || t == task.StopAbandoned
}

func (f *follower) emit(e task.Event) bool {
	f.cursor = e.Seq
	return f.yield(e, nil)
}

func (f *follower) fail(err error) bool {
	if f.ctx.Err() == nil {
		f.yield(task.Event{}, err)
	}
	return false
}
