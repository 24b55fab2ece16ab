package errand

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// trip answers requests.
type trip func(*http.Request) (*http.Response, error)

func (t trip) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

// A lease is kept however its heartbeats get through: over the second connection when
// the first is dead, and by a server that is so busy that each is answered late. It is
// given up when none is answered.
func TestAHeartbeatThatIsAnsweredLateKeepsTheLease(t *testing.T) {
	t.Parallel()
	const length, never = 30 * time.Second, time.Hour
	for name, c := range map[string]struct {
		takes func(n int64) time.Duration // for the nth heartbeat
		lost  bool
	}{
		"a busy server":          {takes: func(int64) time.Duration { return length / 3 }},
		"every other connection": {takes: func(n int64) time.Duration { return time.Duration(n%2) * never }},
		"a server that is gone":  {takes: func(int64) time.Duration { return never }, lost: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var beats atomic.Int64
				answer := trip(func(r *http.Request) (*http.Response, error) {
					if !sleep(r.Context(), c.takes(beats.Add(1))) {
						return nil, r.Context().Err()
					}
					return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"action":"continue"}`))}, nil
				})
				client, err := NewClient(WithURL("http://errand"), WithKey("k"), WithHTTPClient(&http.Client{Transport: answer}))
				if err != nil {
					t.Fatal(err)
				}
				l := newLease(client.Tasks, claim{Task: &Task{ID: "t"}, came: time.Now()})
				l.length = length
				work, cancel := context.WithCancelCause(t.Context())
				ended := make(chan struct{})
				go func() { defer close(ended); l.keep(work, cancel) }()
				sleep(work, 10*length)
				if lost := errors.Is(context.Cause(work), ErrLeaseLost); lost != c.lost {
					t.Errorf("the lease is lost: %v", lost)
				}
				cancel(nil)
				<-ended
			})
		})
	}
}
