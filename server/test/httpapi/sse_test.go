package httpapi_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
)

// message is one server-sent event.
type message struct {
	id, event, data string
}

// stream is an open stream of server-sent events. Its lines are read by a
// goroutine, so that a test can give up waiting.
type stream struct {
	*http.Response
	messages chan message
	lines    []string // all of them; to be read once messages is closed
	cut      error    // how the body ended, nil for a clean end; likewise
}

// follow opens a stream; it ends with the test at the latest.
func (s *server) follow(t *testing.T, c call) *stream {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	res := s.open(t, ctx, c) //nolint:bodyclose // the goroutine below closes it
	out := &stream{Response: res, messages: make(chan message, 1000)}
	done := make(chan struct{})
	t.Cleanup(func() {
		cancel()
		<-done
	})
	if kind := res.Header.Get("Content-Type"); res.StatusCode != http.StatusOK || kind != "text/event-stream" {
		t.Errorf("%s: answered %d with Content-Type %q", c.path, res.StatusCode, kind)
	}
	checkDocumented(t, c, answer{res.StatusCode, res.Header, nil})
	go func() {
		defer close(done)
		defer close(out.messages)
		defer res.Body.Close() //nolint:errcheck // it was only read
		var m message
		lines := bufio.NewReader(res.Body)
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				if err != io.EOF {
					out.cut = err
				}
				return
			}
			line = strings.TrimSuffix(line, "\n")
			out.lines = append(out.lines, line)
			name, value, _ := strings.Cut(line, ": ")
			switch name {
			case "id":
				m.id = value
			case "event":
				m.event = value
			case "data":
				m.data = value
				checkEvent(t, c, value)
			case "":
				if m != (message{}) {
					out.messages <- m
				}
				m = message{}
			}
		}
	}()
	return out
}

// next waits for the next event of a stream.
func (s *stream) next(t *testing.T) message {
	t.Helper()
	m, ok := <-s.messages
	if !ok {
		t.Fatalf("the stream ended (%v) after %q", s.cut, s.lines)
	}
	return m
}

// rest reads a stream to its end, which must be a clean one.
func (s *stream) rest(t *testing.T) []message {
	t.Helper()
	var all []message
	for m := range s.messages {
		all = append(all, m)
	}
	if s.cut != nil {
		t.Errorf("the stream was cut: %v", s.cut)
	}
	return all
}
