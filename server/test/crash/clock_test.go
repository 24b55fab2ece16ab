package crash

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/app"
)

// Environment of a server process whose clock can be set.
const (
	helperData = "ERRAND_CRASH_DATA"
	helperAddr = "ERRAND_CRASH_ADDR"
)

// clockServer serves like errand serve, by a clock that each line of standard
// input sets: a duration by which it then differs from the machine's. (A Go
// program asks the kernel for the time directly, so that there is nothing to
// preload between; and the machine's own clock belongs to others, too.)
func clockServer(ctx context.Context, lines <-chan string) error {
	var off atomic.Int64
	o := app.DefaultOptions()
	o.Addr, o.Data, o.AdminKey, o.Drain = os.Getenv(helperAddr), os.Getenv(helperData), adminKey, time.Second
	o.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	o.Now = func() time.Time { return time.Now().Add(time.Duration(off.Load())) }
	server, err := app.Start(ctx, o)
	if err != nil {
		return err
	}
	for {
		select {
		case line := <-lines:
			by, err := time.ParseDuration(line)
			if err != nil {
				return err
			}
			off.Store(int64(by))
		case <-ctx.Done():
			return server.Stop() //nolint:contextcheck // it has its own limit
		}
	}
}

// newClockServer starts a server whose clock can be set.
func newClockServer(t *testing.T) *server {
	t.Helper()
	s := prepareServer(t)
	s.clock = true
	s.start(t)
	return s
}

// setClock sets the server's clock: how far it is from the machine's.
func (s *server) setClock(t *testing.T, off time.Duration) {
	t.Helper()
	if _, err := fmt.Fprintln(s.proc.life, off); err != nil {
		t.Fatal(err)
	}
	tolls.faults.Add(1)
}

// TestClockJumps sets a server's clock forward and back by more than any
// deadline: who works goes on, and who waits is not held up.
func TestClockJumps(t *testing.T) {
	t.Parallel()
	s := newClockServer(t)
	c := s.client()
	c.putWorkerAgent(t, "relay", int(takeoverLease.Seconds()))
	c.putWorkerAgent(t, "queue", 30)
	made := c.create(t, obj{"agent_id": "relay", "timeout": 600, "input": obj{"text": "carry on"}})
	_, notes, _ := startHelperNoted(t, s, "relay", "steady")
	for _, off := range []time.Duration{time.Hour, -time.Hour, 0} {
		waiting := c.create(t, obj{"agent_id": "queue", "input": obj{"text": "wait"}})
		s.setClock(t, off)
		if got := c.claim(t, "queue", "taker"); got.Task.ID != waiting.ID {
			t.Errorf("claimed %s, not %s", got.Task.ID, waiting.ID)
		} else {
			c.must(t, http.StatusOK, http.MethodPost, "/v1/tasks/"+waiting.ID+"/finish",
				obj{"lease_token": got.Lease.Token, "status": "completed", "result": "taken"})
		}
		before := beats(t, notes)
		eventually(t, 10*time.Second, "the worker works on", func() bool { return beats(t, notes) > before+2 })
		for _, id := range []string{made.ID, waiting.ID} {
			events, _ := c.mustLog(t, id)
			for _, e := range events {
				if e.Type == "attempt_lost" {
					t.Errorf("%v: the log of %s has %s %s", off, id, e.Type, e.Data)
				}
			}
		}
	}
	if now := c.task(t, made.ID); now.Status != "executing" || now.Attempt != 1 {
		t.Errorf("the task is %s in attempt %d", now.Status, now.Attempt)
	}
	s.quiet(t)
}

// TestClock sets the server's clock under load.
func TestClock(t *testing.T) {
	t.Parallel()
	s := newClockServer(t)
	x := newStorm(t, s, s.url())
	x.book.jumpy = true
	for range rounds(2, 20) {
		if t.Failed() {
			break
		}
		by := x.between(-2*time.Hour, 2*time.Hour)
		if x.round%3 == 2 { // too little to be taken for a jump, or nearly
			by = x.between(-4*time.Second, 4*time.Second)
		}
		x.blow(t, func() {
			await(x.between(200*time.Millisecond, 600*time.Millisecond))
			s.setClock(t, by)
			await(x.between(100*time.Millisecond, time.Second))
			if x.round%2 == 0 { // maybe before anybody has looked
				s.kill(t)
			}
		})
		if x.round%2 == 0 { // with the machine's own clock
			s.start(t)
		}
		checked := x.settle(t)
		t.Logf("round %d: clock off by %v; %v; %d tasks checked", x.round, by.Round(time.Millisecond), x.book.counts, checked)
	}
	x.end(t)
}

// lines reads standard input; it is closed when the test is gone.
func lines() <-chan string {
	read := make(chan string)
	go func() {
		defer os.Exit(1)
		for s := bufio.NewScanner(os.Stdin); s.Scan(); {
			read <- s.Text()
		}
	}()
	return read
}
