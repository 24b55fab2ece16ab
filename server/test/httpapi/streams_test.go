package httpapi_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// wire is a connection by which a test says what it wants, byte by byte.
type wire struct {
	*testing.T
	net.Conn
	in *bufio.Reader
}

func (s *server) dial(t *testing.T) *wire {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.url, "http://"))
	if err == nil {
		err = c.SetDeadline(time.Now().Add(patience))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &wire{T: t, Conn: c, in: bufio.NewReader(c)}
}

// ask sends a GET, with the head's further lines.
func (w *wire) ask(path, version string, lines ...string) {
	w.Helper()
	head := append([]string{"GET " + path + " HTTP/" + version, "Host: errand", "x-api-key: " + adminKey}, lines...)
	if _, err := io.WriteString(w, strings.Join(head, "\r\n")+"\r\n\r\n"); err != nil {
		w.Fatal(err)
	}
}

// answer reads the head of an answer.
func (w *wire) answer() *http.Response {
	w.Helper()
	res, err := http.ReadResponse(w.in, nil)
	if err != nil {
		w.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		w.Fatalf("answered %s", res.Status)
	}
	return res
}

// all reads an answer to its end.
func (w *wire) all(res *http.Response) string {
	w.Helper()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		w.Fatal(err)
	}
	return string(text)
}

// isClosed waits until the server has closed the connection.
func (w *wire) isClosed() {
	w.Helper()
	if b, err := w.in.ReadByte(); err != io.EOF {
		w.Errorf("the connection goes on: %q, %v", b, err)
	}
}

const live = "Accept: text/event-stream"

// A stream is sent by its connection alone, which is the server's again behind it.
func TestT7AConnectionGoesOnBehindItsStreams(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	w := s.dial(t)
	for i := range 3 {
		id := fmt.Sprintf("task-%d", i)
		s.task(t, id)
		w.ask("/v1/tasks/"+id+"/events", "1.1", live)
		res := w.answer()
		if i == 1 { // in the midst of it
			w.ask("/v1/tasks/"+id, "1.1")
		}
		s.must(t, 200, call{method: "POST", path: "/v1/tasks/" + id + "/stop"})
		if text := w.all(res); !strings.Contains(text, "event: task_created\n") || !strings.Contains(text, "event: task_finished\n") {
			t.Errorf("the stream was %q", text)
		}
		if i == 0 {
			w.ask("/v1/tasks/"+id, "1.1")
		}
		if i < 2 {
			if text := w.all(w.answer()); !strings.Contains(text, `"id":"`+id+`"`) {
				t.Errorf("answered %s", text)
			}
		}
	}
	if err := s.Stop(); err != nil { // it waits for nobody who has nothing to ask
		t.Error(err)
	}
	w.isClosed()
}

// Whoever wants no more than one answer gets that.
func TestT7TheLastStreamOfAConnection(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "one")
	old, closing, silent := s.dial(t), s.dial(t), s.dial(t)
	old.ask("/v1/tasks/one/events", "1.0", live)
	closing.ask("/v1/tasks/one/events", "1.1", live, "Connection: close")
	silent.ask("/v1/tasks/one/events", "1.1", live)
	first, second, third := old.answer(), closing.answer(), silent.answer()
	if !first.Close || !second.Close || third.Close {
		t.Errorf("closed afterwards: %t, %t, %t", first.Close, second.Close, third.Close)
	}
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/one/stop"})
	for w, res := range map[*wire]*http.Response{old: first, closing: second} {
		if text := w.all(res); !strings.Contains(text, "event: task_finished\n") {
			t.Errorf("the stream was %q", text)
		}
		w.isClosed()
	}
	if text := silent.all(third); !strings.Contains(text, "event: task_finished\n") {
		t.Errorf("the stream was %q", text)
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	silent.isClosed()
}
