package crash

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// loadLease is the lease of the load's workers, in seconds.
const loadLease = 2

// TestKill kills the server and workers again and again under load and holds
// what was acknowledged against what is there afterwards.
func TestKill(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	x := newStorm(t, s, s.url())
	for range rounds(5, 100) {
		if t.Failed() {
			break
		}
		moment := x.between(250*time.Millisecond, 1150*time.Millisecond)
		x.blow(t, func() {
			await(moment / 2)
			switch x.round % 4 {
			case 1:
				x.herd.freeze(t, x.chance)
			case 3: // after two rounds it finds its tasks to be others'
				x.herd.revive(t)
			}
			x.herd.kill(t, x.chance)
			await(moment / 2)
			s.kill(t)
		})
		restarted := time.Now()
		if x.round%2 == 0 { // it dies in the middle of its start as well
			s.launch(t)
			await(x.between(0, 60*time.Millisecond))
			s.kill(t)
		}
		s.start(t)
		ready := time.Since(restarted)
		checked := x.settle(t)
		t.Logf("round %d: killed after %v, ready again after %v; %v; %d tasks checked",
			x.round, moment.Round(time.Millisecond), ready.Round(time.Millisecond), x.book.counts, checked)
	}
	x.end(t)
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
	ghost := &load{client: s.client(), book: b, name: "zombie", rand: rand.New(rand.NewPCG(8, 8))}
	// The workers lose the first that they claim, so there is one to claim.
	last := &creation{agent: loadAgent, key: fmt.Sprintf("last-%v", b.since()), text: "be lost", turn: 1}
	b.note(func() { b.creations = append(b.creations, last) })
	if err := ghost.create(ctx, last); err != nil {
		t.Fatalf("drain: %v", err)
	}
	var all sync.WaitGroup
	for i := range 3 {
		l := &load{client: s.client(), book: b, name: fmt.Sprintf("worker%d", i), rand: rand.New(rand.NewPCG(7, uint64(i)))}
		all.Go(func() {
			if err := l.worker(ctx); err != nil && ctx.Err() == nil {
				t.Errorf("drain: %v", err)
			}
		})
	}
	all.Go(func() {
		if err := ghost.zombie(ctx); err != nil && ctx.Err() == nil {
			t.Errorf("drain: %v", err)
		}
	})
	c := s.client()
	// One question, for a lease that runs out between two takes its task from
	// under the second to under the first.
	const stillOpen = "/v1/tasks?status=pending&status=executing&status=paused&per_page="
	open := -1
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for open != 0 && ctx.Err() == nil {
		var page struct {
			Total int `json:"total"`
		}
		c.must(t, http.StatusOK, http.MethodGet, stillOpen+"1", nil).into(t, &page)
		open = page.Total
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	cancel()
	all.Wait()
	if open != 0 {
		tolls.stuck.Add(int64(open))
		var page struct {
			Items []taskView `json:"items"`
		}
		c.must(t, http.StatusOK, http.MethodGet, stillOpen+"10", nil).into(t, &page)
		for _, v := range page.Items {
			t.Logf("stuck: %s", c.must(t, http.StatusOK, http.MethodGet, "/v1/tasks/"+v.ID, nil).body)
		}
		t.Fatalf("%d tasks have not ended %v after the last crash", open, drainLimit)
	}
	t.Logf("drained in %v: %v", time.Since(begun).Round(time.Millisecond), b.counts)
}

// finalCheck checks everything once more, and what repeats and superseded
// workers are answered.
func finalCheck(t *testing.T, x *storm) {
	t.Helper()
	b, s := x.book, x.server
	b.takeDirty()
	c := newChecker(t, s.client(), b)
	c.noted = x.herd.acknowledged(t)
	ids := c.listed(t)
	if len(ids) != len(c.accounts) {
		tolls.losses.Add(1)
		t.Errorf("%d tasks are listed, %d were acknowledged", len(ids), len(c.accounts))
	}
	c.tasks(ids)
	tolls.tasks.Add(int64(len(ids)))
	tolls.events.Add(c.events.Load())
	histories := c.histories(t)
	repeated := repeats(t, s, b, c)
	zombies := haunt(t, s, b, c)
	c.tasks(ids) // nothing has changed but refusals
	notes := 0
	for _, of := range c.noted {
		notes += len(of)
	}
	attempts, lost := 0, 0
	for _, end := range c.owners {
		lost += len(end.lost)
	}
	for _, of := range c.accounts {
		attempts += len(of.leases)
	}
	t.Logf("in the end: %d tasks, %d turns, %d claims, %d attempts lost, %d creates and finishes repeated, %d superseded attempts refused, "+
		"%d events acknowledged to the herd; %d histories in order",
		len(ids), len(c.owners), attempts, lost, repeated, zombies, notes, histories)
	if repeated == 0 || zombies == 0 || notes == 0 || histories == 0 {
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
	for _, h := range sample(b.leases, most) {
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
	for _, h := range b.leases {
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
				tolls.late.Add(1)
				t.Errorf("%s with the token of attempt %d of %s, which was superseded: %v %s", path, h.number, h.task, err, a)
			}
		}
		if now := cl.task(t, h.task); now.Result != nil && *now.Result == "ghost" {
			tolls.late.Add(1)
			t.Errorf("task %s has the result of a superseded attempt", h.task)
		}
	}
	return n
}
