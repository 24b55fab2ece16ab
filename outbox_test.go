package errand

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
)

// slowServer takes appended events and answers each request when it is told to.
type slowServer struct {
	came   chan []eventBody
	answer chan int // a status
}

func (s *slowServer) RoundTrip(r *http.Request) (*http.Response, error) {
	var body struct {
		Events []eventBody `json:"events"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		return nil, err
	}
	s.came <- body.Events
	select {
	case status := <-s.answer:
		return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("{}"))}, nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// gathered answers the texts of the request that is under way.
func (s *slowServer) gathered(t *testing.T) []string {
	t.Helper()
	synctest.Wait()
	select {
	case events := <-s.came:
		texts := make([]string, 0, len(events))
		for _, e := range events {
			texts = append(texts, strings.Trim(string(e.Data), `"`))
		}
		return texts
	default:
		t.Fatal("nothing was sent")
		return nil
	}
}

// withOutbox runs f in a bubble whose clock stands still as long as anything can
// happen without it.
func withOutbox(t *testing.T, f func(t *testing.T, s *slowServer, tell func(...string))) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &slowServer{came: make(chan []eventBody, 1), answer: make(chan int)}
		c, err := NewClient(WithURL("http://errand"), WithKey("k"), WithHTTPClient(&http.Client{Transport: s}))
		if err != nil {
			t.Fatal(err)
		}
		o := newOutbox(newLease(c.Tasks, claim{Task: &Task{ID: "t"}}))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); o.run(ctx) }()
		f(t, s, func(texts ...string) {
			for _, text := range texts {
				if err := o.put(ctx, eventBody{Chunk, json.RawMessage(`"` + text + `"`), ""}); err != nil {
					t.Error(err)
				}
			}
		})
		cancel()
		<-ended
	})
}

// A quiet outbox sends at once, and what comes while a request is under way goes
// together with the next: neither waits for the clock.
func TestOutboxGathersOnlyUnderLoad(t *testing.T) {
	t.Parallel()
	withOutbox(t, func(t *testing.T, s *slowServer, tell func(...string)) { //nolint:thelper // it is the test itself
		want := func(texts ...string) {
			t.Helper()
			if got := s.gathered(t); fmt.Sprint(got) != fmt.Sprint(texts) {
				t.Errorf("sent %q, want %q", got, texts)
			}
		}
		tell("a")
		want("a")
		tell("b", "c")
		tell("d")
		s.answer <- http.StatusOK
		want("b", "c", "d")
		s.answer <- http.StatusOK
		synctest.Wait()
		tell("e")
		want("e")
	})
}

// A request has no more than the server takes.
func TestOutboxHeedsTheLimitsOfARequest(t *testing.T) {
	t.Parallel()
	withOutbox(t, func(t *testing.T, s *slowServer, tell func(...string)) { //nolint:thelper // it is the test itself
		tell("first")
		s.gathered(t)
		many := make([]string, maxBatch+1)
		large := strings.Repeat("x", MaxEvent-2)
		tell(many...)
		for range maxBatchBytes/MaxEvent + 1 {
			tell(large)
		}
		for _, n := range []int{maxBatch, 1 + maxBatchBytes/MaxEvent - 1, 2} {
			s.answer <- http.StatusOK
			if got := s.gathered(t); len(got) != n {
				t.Errorf("%d events in a request, want %d", len(got), n)
			}
		}
	})
}
