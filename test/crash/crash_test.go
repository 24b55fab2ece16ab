package crash

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"sync"
	"testing"
	"time"
)

// loadLease is the lease of the load's workers, in seconds.
const loadLease = 2

// TestKill kills the server again and again under load and holds what was
// acknowledged against what is there afterwards.
func TestKill(t *testing.T) {
	t.Parallel()
	rounds := 5
	if os.Getenv(soakEnv) == "1" {
		rounds = 100
	}
	s := newServer(t)
	s.client().putWorkerAgent(t, loadAgent, loadLease)
	b := newBook()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	for round := 1; round <= rounds && !t.Failed(); round++ {
		moment := 250*time.Millisecond + time.Duration(chance.Int64N(int64(900*time.Millisecond)))
		b.begin()
		underLoad(t, s, b, round, seed, func() {
			await(moment)
			s.kill(t)
		})
		restarted := time.Now()
		if round%2 == 0 { // it dies in the middle of its start as well
			s.launch(t)
			await(time.Duration(chance.Int64N(int64(60 * time.Millisecond))))
			s.kill(t)
		}
		s.start(t)
		ready := time.Since(restarted)
		resolve(t, s, b)
		c := newChecker(t, s.client(), b)
		dirty := b.takeDirty()
		c.tasks(dirty)
		t.Logf("round %d: killed after %v, ready again after %v; %v; %d tasks checked",
			round, moment.Round(time.Millisecond), ready.Round(time.Millisecond), b.counts, len(dirty))
	}
	if t.Failed() {
		return
	}
	drain(t, s, b)
	finalCheck(t, s, b)
	s.quiet(t)
}

func await(d time.Duration) { <-time.After(d) }

// underLoad runs the clients until the server has been killed.
func underLoad(t *testing.T, s *server, b *book, round int, seed uint64, kill func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var all sync.WaitGroup
	stream := uint64(round) << 8
	run := func(name string, do func(*load, context.Context) error) {
		stream++
		l := &load{client: s.client(), book: b, rand: rand.New(rand.NewPCG(seed, stream)), name: name, round: round}
		all.Go(func() {
			err := do(l, ctx)
			switch {
			case errors.Is(err, errOdd):
				t.Errorf("%s: %v", name, err)
			case err != nil: // the server is gone in the middle of a call
				b.note(func() { b.counts.unknown++ })
			}
		})
	}
	for i := range 2 {
		run(fmt.Sprintf("creator%d", i), (*load).creator)
	}
	for i := range 3 {
		run(fmt.Sprintf("worker%d", i), (*load).worker)
	}
	run("turner", (*load).turner)
	run("stopper", (*load).stopper)
	run("zombie", (*load).zombie)
	kill()
	// Clients that wait for their next moment do not notice by themselves.
	cancel()
	all.Wait()
}

// resolve repeats the creates that had no answer: with their keys, so that it
// does not matter whether they were carried out.
func resolve(t *testing.T, s *server, b *book) {
	t.Helper()
	l := &load{client: s.client(), book: b, name: "resolver", rand: rand.New(rand.NewPCG(1, 1))}
	for _, c := range b.unresolved() {
		if err := l.create(t.Context(), c); err != nil {
			t.Errorf("create %s again: %v", c.key, err)
		}
	}
}

// drainLimit bounds how long after the last crash every task has ended: a
// lease, the longest wait before a third attempt, and the work itself.
const drainLimit = 40 * time.Second

// drain lets workers finish everything, which must end by itself.
func drain(t *testing.T, s *server, b *book) {
	t.Helper()
	begun := time.Now()
	b.begin()
	ctx, cancel := context.WithTimeout(t.Context(), drainLimit)
	defer cancel()
	var all sync.WaitGroup
	for i := range 3 {
		l := &load{client: s.client(), book: b, name: fmt.Sprintf("worker%d", i), rand: rand.New(rand.NewPCG(7, uint64(i)))}
		all.Go(func() {
			if err := l.worker(ctx); err != nil && ctx.Err() == nil {
				t.Errorf("drain: %v", err)
			}
		})
	}
	ghost := &load{client: s.client(), book: b, name: "zombie", rand: rand.New(rand.NewPCG(8, 8))}
	all.Go(func() {
		if err := ghost.zombie(ctx); err != nil && ctx.Err() == nil {
			t.Errorf("drain: %v", err)
		}
	})
	c := s.client()
	open := -1
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for open != 0 && ctx.Err() == nil {
		open = 0
		for _, status := range []string{"pending", "executing", "paused"} {
			var page struct {
				Total int `json:"total"`
			}
			c.must(t, http.StatusOK, http.MethodGet, "/v1/tasks?per_page=1&status="+status, nil).into(t, &page)
			open += page.Total
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	cancel()
	all.Wait()
	if open != 0 {
		var page struct {
			Items []taskView `json:"items"`
		}
		for _, status := range []string{"pending", "executing"} {
			c.must(t, http.StatusOK, http.MethodGet, "/v1/tasks?per_page=5&status="+status, nil).into(t, &page)
			for _, v := range page.Items {
				t.Logf("stuck: %s", c.must(t, http.StatusOK, http.MethodGet, "/v1/tasks/"+v.ID, nil).body)
			}
		}
		t.Fatalf("%d tasks have not ended %v after the last crash", open, drainLimit)
	}
	t.Logf("drained in %v: %v", time.Since(begun).Round(time.Millisecond), b.counts)
}

// finalCheck checks everything once more, and what repeats and superseded
// workers are answered.
func finalCheck(t *testing.T, s *server, b *book) {
	t.Helper()
	b.takeDirty()
	c := newChecker(t, s.client(), b)
	ids := c.listed(t)
	if len(ids) != len(c.accounts) {
		t.Errorf("%d tasks are listed, %d were acknowledged", len(ids), len(c.accounts))
	}
	c.tasks(ids)
	repeated := repeats(t, s, b, c)
	zombies := haunt(t, s, b, c)
	c.tasks(ids) // nothing has changed but refusals
	attempts, lost := 0, 0
	for _, end := range c.owners {
		lost += len(end.lost)
	}
	for _, x := range c.accounts {
		attempts += len(x.holds)
	}
	t.Logf("in the end: %d tasks, %d turns, %d claims, %d attempts lost, %d creates and finishes repeated, %d superseded attempts refused",
		len(ids), len(c.owners), attempts, lost, repeated, zombies)
	if repeated == 0 || zombies == 0 {
		t.Error("the load was too small to show anything")
	}
}

// listed lists the ids of all tasks.
func (c *checker) listed(t *testing.T) []string {
	t.Helper()
	var ids []string
	path := "/v1/tasks?per_page=50"
	for cursor := ""; ; {
		var page struct {
			Items []taskView `json:"items"`
			Next  *string    `json:"next_cursor"`
		}
		c.must(t, http.StatusOK, http.MethodGet, path+cursor, nil).into(t, &page)
		for _, v := range page.Items {
			ids = append(ids, v.ID)
		}
		if page.Next == nil {
			return ids
		}
		cursor = "&cursor=" + *page.Next
	}
}

// most bounds how much of a long run is repeated at its end.
const most = 600

// repeats sends creates and finishes again, which must be answered as the
// first time.
func repeats(t *testing.T, s *server, b *book, c *checker) int {
	t.Helper()
	l := &load{client: s.client(), book: b, name: "repeater", rand: rand.New(rand.NewPCG(2, 2))}
	n := 0
	for _, made := range sample(b.creations, most) {
		if err := l.create(t.Context(), made); err != nil {
			t.Errorf("create %s again: %v", made.key, err)
		}
		n++
	}
	for _, h := range sample(b.holds, most) {
		if h.end == nil || !h.end.acked || c.owners[turnKey(h.task, h.turn)].later {
			continue
		}
		if err := l.finish(t.Context(), h); err != nil {
			t.Errorf("finish of %s again: %v", h.task, err)
		}
		n++
	}
	return n
}

func sample[T any](all []T, n int) []T {
	if len(all) <= n {
		return all
	}
	mixed := slices.Clone(all)
	rand.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
	return mixed[:n]
}

// haunt lets every attempt that was superseded by another write once more.
func haunt(t *testing.T, s *server, b *book, c *checker) int {
	t.Helper()
	cl := s.client()
	n := 0
	for _, h := range b.holds {
		end, ended := c.owners[turnKey(h.task, h.turn)]
		if !ended || !slices.Contains(end.lost, h.number) {
			continue
		}
		n++
		data := json.RawMessage(`{"client":"ghost","number":-1}`)
		for path, body := range map[string]obj{
			"/events":    {"lease_token": h.token, "events": []obj{{"type": "step", "data": data}}},
			"/finish":    {"lease_token": h.token, "status": "completed", "result": "ghost"},
			"/heartbeat": {"lease_token": h.token},
		} {
			a, err := cl.call(t.Context(), http.MethodPost, "/v1/tasks/"+h.task+path, body)
			if err != nil || a.status != http.StatusConflict {
				t.Errorf("%s with the token of attempt %d of %s, which was superseded: %v %s", path, h.number, h.task, err, a)
			}
		}
		if now := cl.task(t, h.task); now.Result != nil && *now.Result == "ghost" {
			t.Errorf("task %s has the result of a superseded attempt", h.task)
		}
	}
	return n
}
