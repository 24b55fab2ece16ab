package errand

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"
)

// fakeServer answers as the handler says.
func fakeServer(t *testing.T, handler http.HandlerFunc, options ...Option) *Client {
	t.Helper()
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	client, err := NewClient(append([]Option{WithURL(srv.URL), WithKey("k")}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// Every code crosses from the server's answer to the client's error and back,
// and has an error for errors.Is.
func TestCodesRoundTrip(t *testing.T) {
	t.Parallel()
	sentinels := map[Code]error{}
	for _, e := range []*Error{
		ErrMalformed, ErrUnauthenticated, ErrForbidden, ErrNotFound, ErrMethodNotAllowed, ErrConflict, ErrGone, ErrTooLarge,
		ErrInvalid, ErrRateLimited, ErrInternal, ErrUnimplemented, ErrUnavailable,
	} {
		sentinels[e.Code] = e
	}
	for _, code := range Codes() {
		client := fakeServer(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code.Status())
			fmt.Fprintf(w, `{"detail":"why","code":%q,"field":"f","request_id":"r"}`, code)
		}, WithRetry(0))
		_, err := client.Tasks.Get(t.Context(), "x")
		var e *Error
		if !errors.As(err, &e) || e.Code != code || e.Status != code.Status() || e.Field != "f" || e.RequestID != "r" {
			t.Errorf("%s: got %#v", code, err)
		}
		if got := codeFor(code.Status()); got != code {
			t.Errorf("status %d is read as %s, want %s", code.Status(), got, code)
		}
		if sentinels[code] == nil {
			t.Errorf("%s has no error for errors.Is", code)
		}
		for other, sentinel := range sentinels {
			if errors.Is(err, sentinel) != (other == code) {
				t.Errorf("%s and the error for %s", code, other)
			}
		}
	}
}

// What may be repeated is, and nothing else: a call that did something and
// whose answer was lost is not made again.
func TestRepeats(t *testing.T) {
	t.Parallel()
	cut := func(w http.ResponseWriter) { panic(http.ErrAbortHandler) }
	answer := func(status int) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { w.WriteHeader(status) }
	}
	get := func(c *Client, ctx context.Context) error { _, err := c.Tasks.Get(ctx, "x"); return err }
	create := func(c *Client, ctx context.Context) error { _, err := c.Tasks.Create(ctx, TaskRequest{}); return err }
	resume := func(c *Client, ctx context.Context) error { _, err := c.Tasks.Resume(ctx, "x"); return err }
	end := func(c *Client, ctx context.Context) error {
		_, err := c.Tasks.Update(ctx, "x", TaskUpdate{Status: Completed})
		return err
	}
	title := func(c *Client, ctx context.Context) error {
		title := "t"
		_, err := c.Tasks.Update(ctx, "x", TaskUpdate{Title: &title})
		return err
	}
	upload := func(r io.Reader) func(c *Client, ctx context.Context) error {
		return func(c *Client, ctx context.Context) error { _, err := c.Files.Upload(ctx, "x", r); return err }
	}
	for name, tt := range map[string]struct {
		call  func(*Client, context.Context) error
		first func(http.ResponseWriter)
		want  int // calls
	}{
		"get, cut":                 {get, cut, 2},
		"get, unavailable":         {get, answer(503), 2},
		"get, a proxy in trouble":  {get, answer(502), 2},
		"get, rate limited":        {get, answer(429), 2},
		"get, internal":            {get, answer(500), 1},
		"get, not found":           {get, answer(404), 1},
		"create, cut":              {create, cut, 2},
		"create, unavailable":      {create, answer(503), 2},
		"resume, cut":              {resume, cut, 1},
		"resume, unavailable":      {resume, answer(503), 1},
		"resume, rate limited":     {resume, answer(429), 2},
		"the end, cut":             {end, cut, 1},
		"a title, cut":             {title, cut, 2},
		"an upload, cut":           {upload(strings.NewReader("abc")), cut, 2},
		"an upload of a pipe, cut": {upload(io.MultiReader(strings.NewReader("abc"))), cut, 1},
		"an upload, rate limited":  {upload(strings.NewReader("abc")), answer(429), 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int32
			keys := make(chan string, 2)
			client := fakeServer(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				keys <- r.Header.Get("Idempotency-Key") + string(body)
				if calls.Add(1) == 1 {
					tt.first(w)
					return
				}
				fmt.Fprint(w, `{"id":"x"}`)
			})
			err := tt.call(client, t.Context())
			if got := int(calls.Load()); got != tt.want || (err == nil) != (tt.want == 2) {
				t.Errorf("%d calls, %v; want %d", got, err, tt.want)
			}
			if tt.want == 2 && len(keys) == 2 {
				if a, b := <-keys, <-keys; a != b {
					t.Errorf("the second try was %q, the first %q", b, a)
				}
			}
		})
	}
}

// The server's Retry-After is heeded, and told when it is longer than the
// client is to try.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	client := fakeServer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "60")
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	began := time.Now()
	_, err := client.Tasks.Get(t.Context(), "x")
	e, ok := as[*Error](err)
	if !ok || e.RetryAfter != time.Minute || !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %#v", err)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("it waited for %v", took)
	}
}

// A server that is not there yet is waited for, whatever the call: nothing
// can have reached it.
func TestRetryDial(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{}`) }))
	defer srv.Close()
	there := srv.Listener.Addr().String()
	dialled := make(chan struct{}, 100)
	var up atomic.Bool
	transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		defer func() { dialled <- struct{}{} }()
		addr := "127.0.0.1:1" // where nobody listens
		if up.Load() {
			addr = there
		}
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}}
	client, err := NewClient(WithURL("http://"+there), WithKey("k"), WithRetry(time.Minute), WithHTTPClient(&http.Client{Transport: transport}))
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan error, 1)
	go func() { _, err := client.Tasks.Resume(t.Context(), "x"); answered <- err }()
	<-dialled
	<-dialled
	up.Store(true)
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
}

// The key stays with the server that it is for.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("the other server got the key %q", r.Header.Get("X-Api-Key"))
	}))
	defer other.Close()
	client := fakeServer(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	})
	if _, err := client.Tasks.Get(t.Context(), "x"); err == nil {
		t.Error("a redirect counted as an answer")
	}
}

// A stream that breaks off after every event, with an error or a clean end,
// still yields every event once and in order.
func TestEventsSurviveEveryCut(t *testing.T) {
	t.Parallel()
	const last = 40
	client := fakeServer(t, func(w http.ResponseWriter, r *http.Request) {
		after := 0
		if id := r.Header.Get("Last-Event-ID"); id != "" {
			_, _ = fmt.Sscan(id, &after)
		}
		if after == last {
			w.WriteHeader(http.StatusNoContent)
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
	})
	want := int64(1)
	for e, err := range client.Tasks.Events(t.Context(), "t") {
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
// A stream of some types asks for these alone, and goes on behind the cursor that it
// was told without an event.
func TestEventsOfSomeTypes(t *testing.T) {
	t.Parallel()
	var asked []string
	client := fakeServer(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.RawQuery+" behind "+r.Header.Get("Last-Event-ID"))
		if len(asked) == 3 {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		if len(asked) == 1 {
			fmt.Fprint(w, "id: 5\ndata: {\"id\":5,\"type\":\"step\"}\n\n: ka\nid: 40\n\n")
			return
		}
		fmt.Fprint(w, ": ka\nid: 57\n\n")
	})
	var seen []int64
	for e, err := range client.Tasks.Events(t.Context(), "t", OnlyTypes(Step, Think), After(3)) {
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, e.ID)
	}
	want := []string{"types=step%2Cthink behind 3", "types=step%2Cthink behind 40", "types=step%2Cthink behind 57"}
	if !slices.Equal(asked, want) || !slices.Equal(seen, []int64{5}) {
		t.Errorf("asked %q and saw %v", asked, seen)
	}
}

// Invoke is one request, which is made again with its key when its answer is lost; it
// waits by events only when the server does no longer, and for its own turn.
func TestInvoke(t *testing.T) {
	t.Parallel()
	var asked, keys []string
	client := fakeServer(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.Path)
		if key := r.Header.Get("Idempotency-Key"); key != "" {
			keys = append(keys, key)
		}
		w.Header().Set("Content-Type", "application/json")
		switch len(asked) {
		case 1:
			panic(http.ErrAbortHandler)
		case 2:
			w.WriteHeader(http.StatusAccepted)
			fmt.Fprint(w, `{"id":"t","turn":2,"status":"executing","last_event_seq":5}`)
		case 3:
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprintf(w, "id: 9\ndata: {\"id\":9,\"type\":\"task_finished\",\"turn\":2}\n\n")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done() // the next turn is under way
		case 4, 5:
			fmt.Fprint(w, `{"id":"t","turn":2,"status":"completed"}`)
		}
	})
	for range 2 {
		task, err := client.Agents.Invoke(t.Context(), "a", TaskRequest{Prompt: "x"})
		if err != nil || task.ID != "t" || task.Status != Completed {
			t.Fatalf("%+v, %v", task, err)
		}
	}
	const invoke = "POST /v1/agents/a/invoke"
	if want := []string{invoke, invoke, "GET /v1/tasks/t/events", "GET /v1/tasks/t", invoke}; !slices.Equal(asked, want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
	if len(keys) != 3 || keys[0] != keys[1] || keys[1] == keys[2] {
		t.Errorf("the keys were %q", keys)
	}
}

func TestEventsOfUnknownTask(t *testing.T) {
	t.Parallel()
	client := fakeServer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"detail":"no task","code":"not_found"}`)
	})
	n := 0
	for _, err := range client.Tasks.Events(t.Context(), "t") {
		if n++; CodeOf(err) != CodeNotFound {
			t.Fatalf("got %v", err)
		}
	}
	if n != 1 {
		t.Fatalf("%d errors, want 1", n)
	}
}

// Leaving the loop closes the connection.
func TestEventsCloseWhenLeft(t *testing.T) {
	t.Parallel()
	left := make(chan struct{})
	client := fakeServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: {\"id\":1}\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(left)
	})
	for _, err := range client.Tasks.Events(t.Context(), "t") {
		if err != nil {
			t.Fatal(err)
		}
		break
	}
	<-left
}

// The environment is read, ours before the Python client's, and options win.
func TestEnvironment(t *testing.T) {
	for _, name := range []string{"URL", "API_KEY", "FETCH_ALLOW", "MAX_INLINE_TEXT_CHARS"} {
		t.Setenv("ERRAND_"+name, "")
	}
	t.Setenv("XPANDER_BASE_URL", "")
	if _, err := NewClient(WithKey("k")); err == nil || !strings.Contains(err.Error(), "ERRAND_URL") {
		t.Errorf("without a URL: %v", err)
	}
	if _, err := NewClient(WithURL("http://h"), WithKey("")); err == nil || !strings.Contains(err.Error(), "ERRAND_API_KEY") {
		t.Errorf("without a key: %v", err)
	}
	if _, err := NewClient(WithURL("127.0.0.1:4747"), WithKey("k")); err == nil {
		t.Error("a URL without a scheme was taken")
	}
	t.Setenv("XPANDER_BASE_URL", "errand.example.com/")
	t.Setenv("XPANDER_API_KEY", "theirs")
	t.Setenv("XPANDER_INTERNAL_FETCH_ALLOWLIST", "10.0.0.0/8, files.corp")
	t.Setenv("XPANDER_MAX_INLINE_TEXT_CHARS", "5")
	c, err := NewClient()
	if err != nil || c.base != "https://errand.example.com" || c.key != "theirs" || len(c.files.allow) != 2 || c.inline != (inlineLimits{5, 24000}) {
		t.Errorf("the Python client's: %+v, %v", c, err)
	}
	t.Setenv("ERRAND_URL", "http://h:1")
	t.Setenv("ERRAND_API_KEY", "ours")
	t.Setenv("ERRAND_FETCH_ALLOW", "10.0.0.1")
	t.Setenv("ERRAND_MAX_INLINE_TEXT_CHARS", "6")
	c, err = NewClient()
	if err != nil || c.base != "http://h:1" || c.key != "ours" || len(c.files.allow) != 1 || c.inline.each != 6 || c.files.own != "h:1" {
		t.Errorf("ours: %+v, %v", c, err)
	}
	if said := fmt.Sprintf("%v %+v", c, c); strings.Contains(said, "ours") {
		t.Errorf("the client prints its key: %s", said)
	}
	c, err = NewClient(WithURL("https://o"), WithKey("o"), WithPrivateFiles())
	if err != nil || c.base != "https://o" || c.key != "o" || c.files.allow != nil || c.files.own != "o:443" {
		t.Errorf("options: %+v, %v", c, err)
	}
}

func FuzzQuote(f *testing.F) {
	f.Add("a\"\\\x00\u2028😀\x7f")
	f.Fuzz(func(t *testing.T, s string) {
		quoted, read := quote(s), ""
		if err := json.Unmarshal([]byte(quoted), &read); err != nil || read != strings.ToValidUTF8(s, string(utf8.RuneError)) && utf8.ValidString(s) {
			t.Fatalf("%q became %s, which is %q, %v", s, quoted, read, err)
		}
		if strings.ContainsFunc(quoted, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Fatalf("%q became %s", s, quoted)
		}
	})
}

// T7: a stream can end cleanly although its task has not: its server went. If the task
// has ended before the client looks, what happened meanwhile is yet to be read; 204
// says that nothing is.
func TestT7CleanEndOfAStreamIsNotTheEndOfTheTask(t *testing.T) {
	t.Parallel()
	const last = 3
	c := fakeServer(t, func(w http.ResponseWriter, r *http.Request) {
		after, _ := strconv.Atoi(r.Header.Get("Last-Event-ID")) // "" is the beginning
		if after == last {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		to := last
		if after == 0 {
			to = 1
		}
		for id := after + 1; id <= to; id++ {
			fmt.Fprintf(w, "data: {\"id\": %d, \"type\": \"chunk\", \"data\": \"x\"}\n\n", id)
		}
	})
	var seen []int64
	for e, err := range c.Tasks.Events(t.Context(), "t") {
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, e.ID)
	}
	if !slices.Equal(seen, []int64{1, 2, last}) {
		t.Errorf("seen %v", seen)
	}
}

// An answer that something else gives in the server's place is an error that says
// what it is, to a stream and to every other call, also to one whose answer tells
// nothing.
func TestForeignAnswers(t *testing.T) {
	t.Parallel()
	const page = "\n<!DOCTYPE html>\n<title>Please sign in</title>"
	for _, x := range []struct {
		kind, body string
		status     int
		calls      string // those that it is foreign to
		want       []string
	}{
		{"text/html; charset=utf-8", page, 200, "stream get delete", []string{"200 OK", "text/html", "<!DOCTYPE html>"}},
		{"text/html", page, 404, "stream get delete", []string{"404 Not Found", "text/html", "<!DOCTYPE html>"}},
		{"text/plain", "", 200, "stream get delete", []string{"200 OK", "text/plain"}},
		{"application/json", `{"id": "t"}`, 200, "stream", []string{"200 OK", "application/json", `{\"id\": \"t\"}`}},
	} {
		c := fakeServer(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", x.kind)
			w.WriteHeader(x.status)
			_, _ = io.WriteString(w, x.body)
		})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		for name, do := range map[string]func() error{
			"stream": func() error {
				for _, err := range c.Tasks.Events(ctx, "t") {
					return err
				}
				return nil
			},
			"get":    func() error { _, err := c.Tasks.Get(ctx, "t"); return err },
			"delete": func() error { return c.Tasks.Delete(ctx, "t") },
		} {
			err := do()
			if !strings.Contains(x.calls, name) {
				if err != nil {
					t.Errorf("%d %s to %s: %v", x.status, x.kind, name, err)
				}
				continue
			}
			for _, part := range x.want {
				if err == nil || !strings.Contains(err.Error(), part) {
					t.Errorf("%d %s to %s: %v, without %s", x.status, x.kind, name, err, part)
				}
			}
		}
	}
}
