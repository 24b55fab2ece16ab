package errand

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strconv"
	"time"

	"github.com/errand-dev/errand/internal/task"
)

// EventType is the kind of an event.
type EventType = task.Type

// The types of events that most programs look at.
const (
	TaskCreated  = task.TaskCreated
	TaskUpdated  = task.TaskUpdated
	TaskFinished = task.TaskFinished
	Chunk        = task.Chunk
)

// Event is one entry of a task's log.
type Event struct {
	// ID is its number: gapless, rising, and the cursor of a stream.
	ID     int64           `json:"id"`
	Type   EventType       `json:"type"`
	TaskID string          `json:"task_id"`
	Turn   int             `json:"turn"`
	Time   time.Time       `json:"time"`
	Data   json.RawMessage `json:"data"`
}

// Text is the text of a chunk, "" for any other event.
func (e Event) Text() string {
	var text string
	if e.Type != Chunk || json.Unmarshal(e.Data, &text) != nil {
		return ""
	}
	return text
}

// FromStart begins a stream at the first event of the task's present turn.
const FromStart int64 = -1

const (
	// firstRetry and lastRetry bound the wait before a stream reconnects.
	firstRetry = 100 * time.Millisecond
	lastRetry  = 5 * time.Second
	// silence is how long a stream may be without even a keep-alive before
	// its connection counts as dead.
	silence = 60 * time.Second
)

// Events yields a task's events behind the event numbered after, or from
// FromStart: each once and in order, until the turn has ended and its log is
// complete. A cut connection, a restart of the server or a proxy's time-out
// are survived: the stream reconnects from its cursor, for as long as ctx
// lives. Leaving the loop closes the connection. An error that the server
// answered, such as CodeNotFound, or the end of ctx is yielded last.
func (t *Tasks) Events(ctx context.Context, id string, after int64) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		wait := firstRetry
		for {
			before := after
			ended, err := t.follow(ctx, id, &after, yield)
			if ended {
				return
			}
			if ctx.Err() != nil {
				yield(Event{}, ctx.Err())
				return
			}
			var answered *Error
			if errors.As(err, &answered) && answered.Status < 500 {
				yield(Event{}, err)
				return
			}
			if after != before {
				wait = firstRetry
			}
			timer := time.NewTimer(wait)
			select {
			case <-ctx.Done():
			case <-timer.C:
			}
			timer.Stop()
			wait = min(2*wait, lastRetry)
		}
	}
}

// follow reads one connection. It reports whether the stream is over: the turn
// has ended, or the caller has left.
func (t *Tasks) follow(ctx context.Context, id string, after *int64, yield func(Event, error) bool) (bool, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := request{
		method: http.MethodGet, path: taskPath(id) + "/events",
		header: http.Header{"Accept": {"text/event-stream"}},
	}
	if *after != FromStart {
		r.header.Set("Last-Event-ID", strconv.FormatInt(*after, 10))
	}
	watchdog := time.AfterFunc(silence, cancel)
	defer watchdog.Stop()
	res, err := t.c.send(ctx, r)
	if err != nil {
		return false, err
	}
	defer res.Body.Close() //nolint:errcheck // the stream is over or broken
	lines := bufio.NewReader(res.Body)
	for {
		data, err := nextData(lines, func() { watchdog.Reset(silence) })
		if errors.Is(err, io.EOF) {
			return t.over(ctx, id, *after)
		}
		if err != nil {
			return false, err
		}
		var e Event
		if err := json.Unmarshal(data, &e); err != nil {
			return false, fmt.Errorf("decode event: %w", err)
		}
		if e.ID <= *after {
			continue
		}
		*after = e.ID
		if !yield(e, nil) {
			return true, nil
		}
	}
}

// over finds out what a stream's clean end means: that the log is complete, or
// only that the server is restarting.
func (t *Tasks) over(ctx context.Context, id string, after int64) (bool, error) {
	page := struct {
		Done bool `json:"done"`
	}{}
	r := request{method: http.MethodGet, path: taskPath(id) + "/events"}
	if after != FromStart {
		r.query = map[string][]string{"after": {strconv.FormatInt(after, 10)}}
	}
	err := t.c.call(ctx, r, &page)
	return page.Done, err
}

// nextData reads an event-stream to the end of its next event and answers the
// event's data. alive is called for every line.
func nextData(r *bufio.Reader, alive func()) ([]byte, error) {
	var data []byte
	for {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return nil, err // an event that broke off is not one
		}
		alive()
		line = bytes.TrimRight(line, "\r\n")
		switch {
		case len(line) == 0 && data != nil:
			return data, nil
		case bytes.HasPrefix(line, []byte("data:")):
			if data != nil {
				data = append(data, '\n')
			}
			data = append(data, bytes.TrimPrefix(line[len("data:"):], []byte(" "))...)
			if data == nil {
				data = []byte{}
			}
		}
	}
}

// Wait follows a task until its turn has ended, and answers it.
func (t *Tasks) Wait(ctx context.Context, id string) (*Task, error) {
	for _, err := range t.Events(ctx, id, FromStart) {
		if err != nil {
			return nil, err
		}
	}
	return t.Get(ctx, id)
}
