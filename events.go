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
		wait := firstRetry
		for {
			before := s.after
			ended, err := t.follow(ctx, id, &s, yield)
			if ended {
				return
			}
			if ctx.Err() != nil {
				yield(Event{}, ctx.Err())
				return
			}
			if _, foreign := as[*foreignError](err); foreign || final(err) {
				yield(Event{}, err)
				return
			}
			if s.after != before {
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
}

// follow reads one connection. It reports whether the stream is over: nothing can
// come any more, or the caller has left. A clean end of the connection alone does not
// say so: the server may be restarting.
func (t *Tasks) follow(ctx context.Context, id string, s *stream, yield func(Event, error) bool) (bool, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := request{
		method: http.MethodGet, path: taskPath(id) + "/events",
		header: http.Header{"Accept": {eventStream}}, query: query(map[string]string{"types": strings.Join(s.types, ",")}),
	}
	if s.after != streamStart {
		r.header.Set("Last-Event-ID", strconv.FormatInt(s.after, 10))
	}
	watchdog := time.AfterFunc(silence, cancel)
	defer watchdog.Stop()
	res, err := t.c.send(ctx, r, &content{})
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
		last, data, err := nextData(lines, func() { watchdog.Reset(silence) })
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if data == nil { // the cursor alone: what follows it is still to come
			s.after = max(s.after, last)
			continue
		}
		var e Event
		if err := json.Unmarshal(data, &e); err != nil { // it would be the same after a reconnect
			yield(Event{}, fmt.Errorf("decode event: %w", err))
			return true, nil
		}
		if e.ID <= s.after {
			continue
		}
		s.after = e.ID
		if !yield(e, nil) {
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

// nextData reads an event-stream to the end of its next event and answers the
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
// given up, and answers it.
func (t *Tasks) Wait(ctx context.Context, id string) (*Task, error) {
	for _, err := range t.Events(ctx, id, OnlyTypes(TaskFinished)) { // the stream ends with the turn, and reads no log
		if err != nil {
			return nil, err
		}
	}
	return t.Get(ctx, id)
}
