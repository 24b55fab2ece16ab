package crash

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// message is one server-sent event.
type message struct {
	id, name, data string
}

// sse is an open stream.
type sse struct {
	body  io.ReadCloser
	lines *bufio.Reader
	// odd collects lines that are no part of the wire.
	odd []string
}

// errRests says that nothing can come any more on a stream.
var errRests = errors.New("nothing more comes")

// open opens a stream. The caller closes it.
func (c *client) open(ctx context.Context, path, after string) (*sse, error) {
	headers := []string{"Accept", "text/event-stream"}
	if after != "" {
		headers = append(headers, "Last-Event-ID", after)
	}
	req, err := c.request(ctx, http.MethodGet, path, nil, headers...)
	if err != nil {
		return nil, err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if kind := res.Header.Get("Content-Type"); res.StatusCode != http.StatusOK || kind != "text/event-stream" {
		text, _ := io.ReadAll(res.Body)
		res.Body.Close() //nolint:errcheck // it is not wanted
		switch res.StatusCode {
		case http.StatusNoContent:
			return nil, errRests
		case http.StatusServiceUnavailable:
			return nil, fmt.Errorf("no stream now: %s", text)
		}
		return nil, fmt.Errorf("%w to a stream: %d %s %s", errOdd, res.StatusCode, kind, text)
	}
	return &sse{body: res.Body, lines: bufio.NewReader(res.Body)}, nil
}

func (s *sse) close() { _ = s.body.Close() } // the connection goes either way

// next reads the next event; io.EOF is the clean end of the stream.
func (s *sse) next() (message, error) {
	var m message
	for {
		line, err := s.lines.ReadString('\n')
		if err != nil {
			if errors.Is(err, io.EOF) && (line != "" || m != message{}) {
				err = io.ErrUnexpectedEOF
			}
			return m, err
		}
		line = strings.TrimSuffix(line, "\n")
		field, value, _ := strings.Cut(line, ": ")
		switch {
		case line == "" && m.data != "":
			return m, nil
		case line == "", strings.HasPrefix(line, ":"): // a keep-alive
		case field == "id":
			m.id = value
		case field == "event":
			m.name = value
		case field == "data" && m.data == "":
			m.data = value
		default:
			s.odd = append(s.odd, line)
		}
	}
}

// viewer follows a task's stream from its beginning to its end, over every
// cut, by Last-Event-ID. What it saw is in got.
type viewer struct {
	*client
	task string
	got  []string
	cuts int
	// bySDK says that it is the Go client's.
	bySDK bool
	// ended says that the task's end has been seen, maybe by an earlier connection.
	ended bool
	// next says after how many events it cuts the connection by itself; 0 is never.
	next func() int
	// pause, if set, is waited for before anything is read.
	pause <-chan struct{}
	// seen, if set, is told after each event.
	seen func(n int)
}

// follow runs until the task's end has been seen and the stream ended cleanly.
func (v *viewer) follow(ctx context.Context) error {
	last := ""
	for {
		done, err := v.once(ctx, &last)
		switch {
		case done || errors.Is(err, errOdd):
			return err
		case ctx.Err() != nil:
			return fmt.Errorf("%w after %d events (last error: %w)", ctx.Err(), len(v.got), err)
		}
		v.cuts++
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// once follows one connection.
func (v *viewer) once(ctx context.Context, last *string) (bool, error) {
	s, err := v.open(ctx, "/v1/tasks/"+v.task+"/events", *last)
	if errors.Is(err, errRests) && v.ended {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	defer s.close()
	if v.pause != nil {
		select {
		case <-v.pause:
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	limit := 0
	if v.next != nil {
		limit = v.next()
	}
	for n := 1; ; n++ {
		m, err := s.next()
		if errors.Is(err, io.EOF) {
			return v.ended, nil // a clean end without the task's end: the server goes
		}
		if err != nil {
			return false, err
		}
		if len(s.odd) > 0 || m.id == "" || m.name == "" {
			return true, fmt.Errorf("%w: event %+v, lines %q", errOdd, m, s.odd)
		}
		if !strings.Contains(m.data, `"id":`+m.id+`,"type":"`+m.name+`"`) {
			return true, fmt.Errorf("%w: id %s and name %s are not those of %s", errOdd, m.id, m.name, m.data)
		}
		v.got = append(v.got, m.data)
		*last = m.id
		v.ended = v.ended || m.name == "task_finished"
		if v.seen != nil {
			v.seen(len(v.got))
		}
		if n == limit {
			return false, nil
		}
	}
}

// slowly makes the client's first connection take next to nothing into buffers.
func (c *client) slowly() *client {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	var dialled atomic.Bool
	c.http.Transport = &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, addr)
			if tcp, ok := conn.(*net.TCPConn); ok && !dialled.Swap(true) {
				err = errors.Join(err, tcp.SetReadBuffer(64<<10))
			}
			return conn, err
		},
	}
	return c
}

// unsigned takes the signatures out of file URLs.
func unsigned(data string) string {
	return regexp.MustCompile(`/f/([0-9a-f]{64})/[^/"]+/`).ReplaceAllString(data, "/f/$1/SIGNATURE/")
}

// authorless is a log as the Go client tells it, which does not say who wrote an event.
func authorless(events []string) []string {
	author := regexp.MustCompile(`"author":\{[^}]*\},`)
	told := make([]string, len(events))
	for i, e := range events {
		told[i] = author.ReplaceAllString(e, "")
	}
	return told
}

// same compares two sequences of events but for signatures.
func same(t *testing.T, who string, got, want []string) {
	t.Helper()
	for i := range min(len(got), len(want)) {
		if unsigned(got[i]) != unsigned(want[i]) {
			t.Errorf("%s: event %d of %d is\n  %s\nnot\n  %s", who, i+1, len(want), tail(got[i], 500), tail(want[i], 500))
			return
		}
	}
	if len(got) != len(want) {
		t.Errorf("%s has seen %d events, not %d", who, len(got), len(want))
	}
}
