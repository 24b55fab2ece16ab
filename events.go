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
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// streamStart is the cursor of a stream that begins with the present turn.
const streamStart int64 = -1

// stream says what a stream shows.
type stream struct {
	after int64
	types []string // none: all
}

// StreamOption changes what a stream of events shows.
type StreamOption func(*stream)

// After begins behind the event of that number: the last one that was seen.
func After(id int64) StreamOption { return func(s *stream) { s.after = id } }

// AllTurns begins with the task's first turn instead of its present one.
func AllTurns() StreamOption { return After(0) }

// OnlyTypes shows events of these types alone. What others there are is not sent at
// all, and a stream that reconnects does not read it again.
func OnlyTypes(types ...EventType) StreamOption {
	return func(s *stream) {
		for _, t := range types {
			s.types = append(s.types, string(t))
		}
	}
}

const eventStream = "text/event-stream"

// silence is how long a stream may be without even a keep-alive before its
// connection counts as dead.
const silence = 60 * time.Second

// Events yields a task's events, from the beginning of its present turn unless
// an option says otherwise: each once and in order, until the turn has ended
// and its log is complete. A cut connection, a restart of the server or a
// proxy's time-out are survived: the stream reconnects from its cursor, for as
// long as ctx lives. Leaving the loop closes the connection. An error that the
// server answered, such as ErrNotFound, an answer that is no stream of events, as a
// proxy's page, or the end of ctx is yielded last.
func (t *Tasks) Events(ctx context.Context, id string, options ...StreamOption) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		s := stream{after: streamStart}
		for _, o := range options {
			o(&s)
		}
		resume(ctx, func() (over, moved bool, err error) {
			before := s.after
			over, err = t.follow(ctx, id, &s, yield)
			return over, s.after != before, err
		}, func(err error) { yield(Event{}, err) })
	}
}

// resume connects again and again until the stream is over, ctx ends, or the answer
// would always be the same; fail is told of the last two. connect reads one connection
// and reports whether the stream is over, and whether anything has come. A connection
// that ends without an error after something came is followed by the next at once.
func resume(ctx context.Context, connect func() (over, moved bool, err error), fail func(error)) {
	wait := firstRetry
	for {
		over, moved, err := connect()
		if over {
			return
		}
		if ctx.Err() != nil {
			fail(ctx.Err())
			return
		}
		if _, foreign := as[*foreignError](err); foreign || final(err) {
			fail(err)
			return
		}
		if moved {
			wait = firstRetry
			if err == nil { // the next connection tells what the end meant
				continue
			}
		}
		pause := wait
		if answered, ok := as[*Error](err); ok {
			pause = max(pause, answered.RetryAfter)
		}
		sleep(ctx, pause)
		wait = min(2*wait, lastRetry)
	}
}

// follow reads one connection. It reports whether the stream is over: nothing can
// come any more, or the caller has left. A clean end of the connection alone does not
// say so: the server may be restarting.
func (t *Tasks) follow(ctx context.Context, id string, s *stream, yield func(Event, error) bool) (bool, error) {
	r := request{
		method: http.MethodGet, path: taskPath(id) + "/events",
		header: http.Header{"Accept": {eventStream}}, query: query(map[string]string{"types": strings.Join(s.types, ",")}),
	}
	if s.after != streamStart {
		r.header.Set("Last-Event-ID", strconv.FormatInt(s.after, 10))
	}
	over, err := t.c.connection(ctx, r, func(last int64, data []byte) (over bool) {
		if data == nil { // the cursor alone: what follows it is still to come
			s.after = max(s.after, last)
			return false
		}
		var e Event
		if err := json.Unmarshal(data, &e); err != nil { // it would be the same after a reconnect
			yield(Event{}, fmt.Errorf("decode event: %w", err))
			return true
		}
		if e.ID <= s.after {
			return false
		}
		s.after = e.ID
		return !yield(e, nil)
	})
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return over, err
}

// connection reads one connection of a stream and hands each event to a function, until
// that says that the stream is over, or 204 that nothing can come. The data is nil for
// an id alone. The end of the connection is io.EOF; one that is silent for too long is
// broken off.
func (c *Client) connection(ctx context.Context, r request, each func(id int64, data []byte) (over bool)) (bool, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watchdog := time.AfterFunc(silence, cancel)
	defer watchdog.Stop()
	res, err := c.send(ctx, r, &content{})
	if err != nil {
		return false, err
	}
	defer res.Body.Close() //nolint:errcheck // the stream is over or broken
	if res.StatusCode == http.StatusNoContent {
		return true, nil
	}
	lines, err := streamOf(res)
	if err != nil {
		return false, err
	}
	for {
		id, data, err := nextData(lines, func() { watchdog.Reset(silence) })
		if err != nil {
			return false, err
		}
		if each(id, data) {
			return true, nil
		}
	}
}

// streamOf begins to read a stream of events; an answer that is none is foreign.
func streamOf(res *http.Response) (*bufio.Reader, error) {
	lines := bufio.NewReader(res.Body)
	if kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); kind == eventStream { // what cannot be parsed is none
		return lines, nil
	}
	_, _ = lines.Peek(1)                     // an empty answer is foreign, too
	begin, _ := lines.Peek(lines.Buffered()) // what has come of it
	return nil, foreign(res, begin, nil)
}

// nextData reads an event-stream to the end of its next event and returns the
// event's data, nil for an id without an event, and its id, 0 for none. alive is
// called for every line.
func nextData(r *bufio.Reader, alive func()) (id int64, data []byte, err error) {
	for {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return 0, nil, err // an event that broke off is not one
		}
		alive()
		line = bytes.TrimSuffix(line[:len(line)-1], []byte("\r"))
		field, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case len(line) == 0 && (data != nil || id > 0):
			return id, data, nil
		case string(field) == "id":
			id, _ = strconv.ParseInt(string(bytes.TrimPrefix(value, []byte(" "))), 10, 64) // none of ours is anything else
		case string(field) == "data":
			if data != nil {
				data = append(data, '\n')
			}
			data = append(data, bytes.TrimPrefix(value, []byte(" "))...)
			if data == nil {
				data = []byte{}
			}
		}
	}
}

// Wait follows a task until its turn has ended and a stop has been confirmed or
// given up, and returns it.
func (t *Tasks) Wait(ctx context.Context, id string) (*Task, error) {
	for _, err := range t.Events(ctx, id, OnlyTypes(TaskFinished)) { // the stream ends with the turn, and reads no log
		if err != nil {
			return nil, err
		}
	}
	return t.Get(ctx, id)
}
