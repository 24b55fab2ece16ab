package nodes

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/errand-dev/errand"
)

// obj is a JSON object.
type obj = map[string]any

// api calls a server as any program would. Nothing is retried.
type api struct {
	base string
	http *http.Client
}

func newAPI(t *testing.T, base string) *api {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(transport.CloseIdleConnections)
	return &api{base, &http.Client{Transport: transport}}
}

// sdk is the Go client for the same server.
func (a *api) sdk(t *testing.T) *errand.Client {
	t.Helper()
	c, err := errand.NewClient(errand.WithURL(a.base), errand.WithKey(adminKey), errand.WithHTTPClient(a.http))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// answer is what a server said.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) String() string { return fmt.Sprintf("%d %s", a.status, tail(string(a.body), 500)) }

func (a answer) into(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal(a.body, v); err != nil {
		t.Fatalf("decode %s: %v", a, err)
	}
}

// open makes a request and leaves the answer's body open.
func (a *api) open(ctx context.Context, method, path string, body any, headers ...string) (*http.Response, error) {
	var content io.Reader
	switch b := body.(type) {
	case nil:
	case []byte:
		content = bytes.NewReader(b)
	default:
		encoded, err := json.Marshal(b)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(encoded)
	}
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, content)
	if err != nil {
		return nil, err
	}
	req.Header.Set("x-api-key", adminKey)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return a.http.Do(req)
}

// call makes a call. An error means that there was no whole answer.
func (a *api) call(ctx context.Context, method, path string, body any, headers ...string) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	res, err := a.open(ctx, method, path, body, headers...)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close() //nolint:errcheck // it was read to its end, or has failed
	text, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, text}, err
}

// must makes a call that has to be answered with a status.
func (a *api) must(t *testing.T, status int, method, path string, body any, headers ...string) answer {
	t.Helper()
	got, err := a.call(t.Context(), method, path, body, headers...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	if got.status != status {
		t.Fatalf("%s %s: %s, not %d", method, path, got, status)
	}
	return got
}

// agent makes an agent for remote workers, with a lease in seconds.
func (a *api) agent(t *testing.T, id string, lease int) {
	t.Helper()
	a.must(t, http.StatusOK, http.MethodPut, "/v1/agents/"+id, obj{"name": id, "runtime": "worker", "lease_seconds": lease})
}

// view is what the tests look at of a task.
type view struct {
	ID        string          `json:"id"`
	Status    string          `json:"status"`
	EndReason string          `json:"end_reason"`
	Result    *string         `json:"result"`
	Attempt   int             `json:"attempt"`
	Input     json.RawMessage `json:"input"`
	Waiting   json.RawMessage `json:"waiting"`
}

func (a *api) create(t *testing.T, agent string, more obj, headers ...string) view {
	t.Helper()
	body := obj{"agent_id": agent, "input": obj{"text": "do it"}}
	maps.Copy(body, more)
	var v view
	a.must(t, http.StatusCreated, http.MethodPost, "/v1/tasks", body, headers...).into(t, &v)
	return v
}

func (a *api) task(t *testing.T, id string) view {
	t.Helper()
	var v view
	a.must(t, http.StatusOK, http.MethodGet, "/v1/tasks/"+id, nil).into(t, &v)
	return v
}

// claimed is one claim.
type claimed struct {
	Task  view `json:"task"`
	Lease struct {
		Token     string    `json:"token"`
		ExpiresAt time.Time `json:"expires_at"`
	} `json:"lease"`
}

// claims asks for one task and waits for it.
func (a *api) claims(ctx context.Context, agent, worker string, wait time.Duration) ([]claimed, error) {
	got, err := a.call(ctx, http.MethodPost, "/v1/claim", obj{"agent_ids": []string{agent}, "worker_id": worker, "wait": wait.Seconds()})
	if err != nil {
		return nil, err
	}
	if got.status != http.StatusOK {
		return nil, fmt.Errorf("claim: %s", got)
	}
	var body struct {
		Claims []claimed `json:"claims"`
	}
	return body.Claims, json.Unmarshal(got.body, &body)
}

// claim takes exactly one task.
func (a *api) claim(t *testing.T, agent, worker string) claimed {
	t.Helper()
	got, err := a.claims(t.Context(), agent, worker, 10*time.Second)
	if err != nil || len(got) != 1 {
		t.Fatalf("claim of %s: %v, %v", agent, got, err)
	}
	return got[0]
}

// say appends an event with a text under a lease, and returns its number.
func (a *api) say(t *testing.T, c claimed, text string) int64 {
	t.Helper()
	var got struct {
		IDs []int64 `json:"ids"`
	}
	a.must(t, http.StatusOK, http.MethodPost, "/v1/tasks/"+c.Task.ID+"/events",
		obj{"lease_token": c.Lease.Token, "events": []obj{{"type": "chunk", "data": text, "client_id": text}}}).into(t, &got)
	if len(got.IDs) != 1 {
		t.Fatalf("one event has the numbers %v", got.IDs)
	}
	return got.IDs[0]
}

func (a *api) finish(t *testing.T, c claimed, result string) {
	t.Helper()
	a.must(t, http.StatusOK, http.MethodPost, "/v1/tasks/"+c.Task.ID+"/finish", obj{"lease_token": c.Lease.Token, "status": "completed", "result": result})
}

// event is one event of a log.
type event struct {
	ID   int64           `json:"id"`
	Type string          `json:"type"`
	Time time.Time       `json:"time"`
	Data json.RawMessage `json:"data"`
}

// events reads the log of a task.
func (a *api) events(t *testing.T, id string) []event {
	t.Helper()
	var page struct {
		Items []event `json:"items"`
	}
	a.must(t, http.StatusOK, http.MethodGet, "/v1/tasks/"+id+"/events?turns=all&limit=1000", nil).into(t, &page)
	return page.Items
}

// typed picks the events of a type.
func typed(events []event, kind string) []event {
	return slices.DeleteFunc(slices.Clone(events), func(e event) bool { return e.Type != kind })
}

// message is one message of a stream, with the moment of its arrival.
type message struct {
	id, name, data string
	at             time.Time
}

// sse is an open stream. All that it has sent is in the channel, which is closed
// after it; err then says how it ended, io.EOF for properly.
type sse struct {
	messages chan message
	err      error
	close    func()
}

// stream opens a stream, until the test ends.
func (a *api) stream(t *testing.T, path string, headers ...string) *sse {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	res, err := a.open(ctx, http.MethodGet, path, nil, append(headers, "Accept", "text/event-stream")...) //nolint:bodyclose // closed by the reader
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(res.Body)
		cancel()
		t.Fatalf("GET %s: %d %s", path, res.StatusCode, text)
	}
	s := &sse{messages: make(chan message, 4096), close: cancel}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		defer res.Body.Close() //nolint:errcheck // it was only read
		defer close(s.messages)
		s.err = read(bufio.NewReader(res.Body), func(m message) { s.messages <- m })
	}()
	t.Cleanup(func() { cancel(); <-gone })
	return s
}

// follow reads a stream behind a cursor until it breaks.
func (a *api) follow(ctx context.Context, path, cursor string, each func(message)) error {
	res, err := a.open(ctx, http.MethodGet, path, nil, "Accept", "text/event-stream", "Last-Event-ID", cursor)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // it was only read
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %d", path, res.StatusCode)
	}
	return read(bufio.NewReader(res.Body), each)
}

func read(lines *bufio.Reader, each func(message)) error {
	var m message
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return err
		}
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch field {
		case "":
			if m.data != "" {
				m.at = time.Now()
				each(m)
			}
			m = message{}
		case "id":
			m.id = value
		case "event":
			m.name = value
		case "data":
			m.data = value
		}
	}
}

// next waits for the next message of a name; others go by.
func (s *sse) next(t *testing.T, name string) message {
	t.Helper()
	over := time.NewTimer(patience)
	defer over.Stop()
	for {
		select {
		case m, open := <-s.messages:
			if !open {
				t.Fatalf("the stream ended before %s: %v", name, s.err)
			}
			if m.name == name {
				return m
			}
		case <-over.C:
			t.Fatalf("no %s within %v", name, patience)
		}
	}
}

// rest waits for the stream's proper end and returns what came until then.
func (s *sse) rest(t *testing.T) []message {
	t.Helper()
	var all []message
	over := time.NewTimer(patience)
	defer over.Stop()
	for {
		select {
		case m, open := <-s.messages:
			if !open {
				if s.err != io.EOF { //nolint:errorlint // a reader's end is never wrapped
					t.Errorf("the stream ended with %v", s.err)
				}
				return all
			}
			all = append(all, m)
		case <-over.C:
			t.Fatalf("the stream has not ended within %v; so far %d messages", patience, len(all))
		}
	}
}

// gapless holds a viewer's messages to be all behind a cursor, and answers them.
func gapless(t *testing.T, who string, got []message, after, last int64) {
	t.Helper()
	for i, m := range got {
		if m.id != strconv.FormatInt(after+int64(i)+1, 10) {
			t.Errorf("%s: message %d behind %d has the id %s", who, i+1, after, m.id)
			return
		}
	}
	if after+int64(len(got)) != last {
		t.Errorf("%s has seen %d events behind %d, the log ends at %d", who, len(got), after, last)
	}
}

// median is the one in the middle.
func median(took []time.Duration) time.Duration {
	slices.Sort(took)
	return took[len(took)/2]
}
