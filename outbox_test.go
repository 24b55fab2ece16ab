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
	"time"
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

// gathered returns the texts of the request that is under way.
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
func withOutbox(t *testing.T, f func(t *testing.T, s *slowServer, o *outbox, tell func(...string))) {
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
		f(t, s, o, func(texts ...string) {
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
	withOutbox(t, func(t *testing.T, s *slowServer, _ *outbox, tell func(...string)) { //nolint:thelper // it is the test itself
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

// How long is gathered grows with what a request takes, up to a bound.
func TestGathering(t *testing.T) {
	t.Parallel()
	for took, want := range map[time.Duration]time.Duration{
		0: 0, time.Millisecond: 4 * time.Millisecond, 30 * time.Millisecond: 120 * time.Millisecond,
		50 * time.Millisecond: mostGathering, time.Minute: mostGathering,
	} {
		if got := gathering(took); got != want {
			t.Errorf("after %s: %s, want %s", took, got, want)
		}
	}
}

// After a request that took long, events are gathered for a time, unless they are
// waited for; and what comes later than that is sent at once.
func TestOutboxGathersLongerWhenTheServerIsBusy(t *testing.T) {
	t.Parallel()
	withOutbox(t, func(t *testing.T, s *slowServer, o *outbox, tell func(...string)) { //nolint:thelper // it is the test itself
		const took = 10 * time.Millisecond
		answer := func() {
			t.Helper()
			sleep(t.Context(), took) // on the bubble's clock
			s.answer <- http.StatusOK
			synctest.Wait()
		}
		begun := time.Now()
		since := func(want time.Duration, texts ...string) {
			t.Helper()
			events := <-s.came
			if got := time.Since(begun); got != want || len(events) != len(texts) {
				t.Errorf("%d events after %s, want %d after %s", len(events), got, len(texts), want)
			}
			begun = time.Now()
		}
		tell("a")
		since(0, "a")
		answer()
		tell("b")
		sleep(t.Context(), 3*took)
		tell("c")
		since(took+gathering(took), "b", "c")
		answer()
		tell("d")
		flushed := make(chan error)
		go func() { flushed <- o.flush(t.Context()) }()
		since(took, "d") // at once, for somebody waits
		answer()
		if err := <-flushed; err != nil {
			t.Error(err)
		}
		sleep(t.Context(), gathering(took))
		tell("e")
		since(took+gathering(took), "e")
	})
}

// A request has no more than the server takes.
func TestOutboxHeedsTheLimitsOfARequest(t *testing.T) {
	t.Parallel()
	withOutbox(t, func(t *testing.T, s *slowServer, _ *outbox, tell func(...string)) { //nolint:thelper // it is the test itself
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
