package errand

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/errand-dev/errand/internal/fault"
)

// Every code crosses from the server's answer to the client's error and back.
func TestCodesRoundTrip(t *testing.T) {
	t.Parallel()
	for _, code := range fault.Codes() {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code.Status())
			fmt.Fprintf(w, `{"detail":"why","code":%q,"field":"f","request_id":"r"}`, code)
		}))
		t.Cleanup(srv.Close)
		client, err := NewClient(WithURL(srv.URL), WithKey("k"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.Tasks.Get(t.Context(), "x")
		var e *Error
		if !errors.As(err, &e) || e.Code != code || e.Status != code.Status() || e.Field != "f" || e.RequestID != "r" {
			t.Errorf("%s: got %#v", code, err)
		}
		if got := fault.FromStatus(code.Status()); got != code {
			t.Errorf("status %d is read as %s, want %s", code.Status(), got, code)
		}
	}
}

// A stream that breaks off after every event, with an error or a clean end,
// still yields every event once and in order.
func TestEventsSurviveEveryCut(t *testing.T) {
	t.Parallel()
	const last = 40
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		after := 0
		if id := r.Header.Get("Last-Event-ID"); id != "" {
			_, _ = fmt.Sscan(id, &after)
		} else if id := r.URL.Query().Get("after"); id != "" {
			_, _ = fmt.Sscan(id, &after)
		}
		if r.Header.Get("Accept") != "text/event-stream" {
			fmt.Fprintf(w, `{"items":[],"done":%t}`, after >= last)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		if after > 0 { // what was seen before comes once more
			fmt.Fprintf(w, "id: %d\ndata: {\"id\":%d,\"type\":\"chunk\",\"data\":\"x\"}\n\n", after, after)
		}
		if next := after + 1; next <= last {
			fmt.Fprintf(w, ": ka\n\nid: %d\ndata: {\"id\":%d,\ndata: \"type\":\"chunk\",\"data\":\"x\"}\n\n", next, next)
			fmt.Fprint(w, "data: {\"id\":99") // breaks off inside an event
		}
		if after%2 == 0 {
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
	}))
	defer srv.Close()
	client, err := NewClient(WithURL(srv.URL), WithKey("k"))
	if err != nil {
		t.Fatal(err)
	}
	want := int64(1)
	for e, err := range client.Tasks.Events(t.Context(), "t", FromStart) {
		if err != nil {
			t.Fatal(err)
		}
		if e.ID != want {
			t.Fatalf("event %d, want %d", e.ID, want)
		}
		want++
	}
	if want != last+1 {
		t.Fatalf("ended after event %d of %d", want-1, last)
	}
}

// An error that the server answered ends the stream.
func TestEventsOfUnknownTask(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"detail":"no task","code":"not_found"}`)
	}))
	defer srv.Close()
	client, err := NewClient(WithURL(srv.URL), WithKey("k"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, err := range client.Tasks.Events(t.Context(), "t", FromStart) {
		if n++; CodeOf(err) != CodeNotFound {
			t.Fatalf("got %v", err)
		}
	}
	if n != 1 {
		t.Fatalf("%d errors, want 1", n)
	}
}

func FuzzNextData(f *testing.F) {
	f.Add([]byte("id: 1\ndata: {\"a\":1}\n\n: ka\n\ndata: x\ndata: y\r\n\r\n"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		r := bufio.NewReader(bytes.NewReader(stream))
		for {
			data, err := nextData(r, func() {})
			if err != nil {
				return
			}
			for line := range strings.Lines(string(data)) {
				if !bytes.Contains(stream, []byte(strings.TrimRight(line, "\n"))) {
					t.Fatalf("%q was never sent", line)
				}
			}
		}
	})
}
