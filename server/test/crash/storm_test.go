package crash

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"
)

// storm is a load on a server, and all that is known of it. Rounds of load end
// with a strike at the server, at its workers, or at what they need.
type storm struct {
	*server
	book  *book
	herd  *herd
	crowd *crowd
	// dial makes a client of the load.
	dial   func() *client
	seed   uint64
	chance *rand.Rand
	round  int
}

// newStorm makes a storm over a server that runs, with a herd of workers of
// the Go client that reach it at a URL.
func newStorm(t *testing.T, s *server, url string) *storm {
	t.Helper()
	x := &storm{server: s, book: newBook(), dial: func() *client { return newClient(url) }, seed: rand.Uint64()}
	t.Logf("seed %d", x.seed)
	x.chance = rand.New(rand.NewPCG(x.seed, 0))
	s.client().putWorkerAgent(t, loadAgent, loadLease)
	s.client().putWorkerAgent(t, herdAgent, loadLease)
	x.crowd = newCrowd(t, url)
	x.herd = newHerd(t, url, 2)
	return x
}

// rounds is how often something is done: a few times, and many when soaking.
func rounds(short, long int) int {
	if os.Getenv(soakEnv) == "1" {
		return long
	}
	return short
}

// between is a random time.
func (x *storm) between(least, most time.Duration) time.Duration {
	return least + time.Duration(x.chance.Int64N(int64(most-least)))
}

func await(d time.Duration) { <-time.After(d) }

// blow runs the clients of one round, and viewers; the round is over after the
// strike, which finds all of them at work.
func (x *storm) blow(t *testing.T, strike func()) {
	t.Helper()
	x.round++
	tolls.rounds.Add(1)
	x.book.begin()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var gathering sync.WaitGroup
	gathering.Go(func() { x.crowd.gather(ctx, x.book, 2) })
	underLoad(t, x.dial, x.book, x.round, x.seed, func() {
		eventually(t, 20*time.Second, "the load is at work", func() bool {
			working := false
			x.book.note(func() { working = x.book.counts.claims > 4 && x.book.counts.finishes > 0 })
			return working || t.Failed()
		})
		strike()
	})
	cancel()
	gathering.Wait()
}

// underLoad runs the load's clients until the strike is over.
func underLoad(t *testing.T, dial func() *client, b *book, round int, seed uint64, strike func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var all sync.WaitGroup
	stream := uint64(round) << 8
	run := func(name string, do func(*load, context.Context) error) {
		stream++
		l := &load{client: dial(), book: b, rand: rand.New(rand.NewPCG(seed, stream)), name: name, round: round}
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
	run("giver", (*load).giver)
	if round%2 == 0 {
		run("batcher", (*load).batcher)
	}
	for i := range 3 {
		run(fmt.Sprintf("worker%d", i), (*load).worker)
	}
	run("turner", (*load).turner)
	run("stopper", (*load).stopper)
	run("zombie", (*load).zombie)
	strike()
	// Clients that wait for their next moment do not notice by themselves.
	cancel()
	all.Wait()
}

// settle repeats the creates that had no answer, with their keys, so that it
// does not matter whether they were carried out. Then it checks what the round
// has touched, and returns how many tasks that were.
func (x *storm) settle(t *testing.T) int {
	t.Helper()
	l := &load{client: x.client(), book: x.book, name: "resolver", rand: rand.New(rand.NewPCG(1, 1))}
	for _, c := range x.book.unresolved() {
		if err := l.create(t.Context(), c); err != nil {
			t.Errorf("create %s again: %v", c.key, err)
		}
	}
	dirty := x.book.takeDirty()
	newChecker(t, x.client(), x.book).tasks(dirty)
	return len(dirty)
}

// end lets everything be finished, and checks it once more. The server has told
// of nothing but what was provoked.
func (x *storm) end(t *testing.T, provoked ...string) {
	t.Helper()
	if t.Failed() {
		return
	}
	x.herd.revive(t)
	drain(t, x.server, x.book)
	x.herd.end(t)
	x.crowd.end(t, x.client())
	finalCheck(t, x)
	x.quiet(t, provoked...)
}
