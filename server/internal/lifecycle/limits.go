package lifecycle

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/task"
)

// Limits hold creators back (rule H7). The zero value does not.
type Limits struct {
	// MaxQueued is how many tasks of an agent may wait for a worker, those
	// that are scheduled for later among them; 0 is any number.
	MaxQueued int
	// CreateRate is how many tasks a key may create per second, and at once a
	// second's worth of them; 0 is any number.
	CreateRate float64
}

const (
	// fullFor is how long a queue that was found full is not counted again.
	fullFor = 100 * time.Millisecond
	// retryFull is when a creator is told to come again to a full queue.
	retryFull = time.Second
	// maxRooms bounds how many queues are remembered.
	maxRooms = 10_000
)

// gate enforces Limits. It is safe for concurrent use.
type gate struct {
	Limits
	mu     sync.Mutex
	rates  map[string]*rate.Limiter // by organization and key
	queues map[string]*queueRoom    // by organization and agent
}

// queueRoom is what is known of the room in a queue.
type queueRoom struct {
	left int        // how many more fit for certain
	full task.Stamp // when it was last found full
}

// Limit sets limits on creating. It is called before the service is used.
func (s *Service) Limit(l Limits) {
	s.gate = &gate{Limits: l, rates: map[string]*rate.Limiter{}, queues: map[string]*queueRoom{}}
}

// pace returns RateLimited to a key that creates faster than it may.
func (g *gate) pace(who Caller, now task.Stamp) error {
	if g == nil || g.CreateRate <= 0 {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	name := who.Organization + "\x00" + who.Key
	l := g.rates[name]
	if l == nil {
		l = rate.NewLimiter(rate.Limit(g.CreateRate), max(1, int(g.CreateRate)))
		g.rates[name] = l
	}
	r := l.ReserveN(now.Time(), 1)
	wait := r.DelayFrom(now.Time())
	if wait == 0 {
		return nil
	}
	r.CancelAt(now.Time())
	return &fault.Error{
		Code: fault.RateLimited, RetryAfter: wait,
		Message: "this key creates tasks faster than the server lets it",
	}
}

// seats is the room in queues that one write takes: once, however often it is run,
// and not at all when it fails.
type seats struct {
	gate  *gate
	taken []*queueRoom
}

// giveBack gives back what was taken.
func (s *seats) giveBack() {
	if len(s.taken) == 0 {
		return
	}
	s.gate.mu.Lock()
	defer s.gate.mu.Unlock()
	for _, q := range s.taken {
		q.left++
	}
	s.taken = nil
}

// take returns RateLimited when an agent's queue is full. The queue is counted
// only once as many tasks came as had room in it the last time.
func (s *seats) take(tx Tx, org, agentID string) error {
	g := s.gate
	if g == nil || g.MaxQueued <= 0 {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	name := org + "\x00" + agentID
	q := g.queues[name]
	if q == nil {
		if len(g.queues) >= maxRooms { // what is forgotten is counted anew
			clear(g.queues)
		}
		q = &queueRoom{}
		g.queues[name] = q
	}
	now := tx.Now()
	if since := now.Sub(q.full); q.left == 0 && (since >= fullFor || since < 0) { // somebody may have set the clock
		n, err := tx.Queued(org, agentID, g.MaxQueued)
		if err != nil {
			return err
		}
		if q.left = g.MaxQueued - n; q.left == 0 {
			q.full = now
		}
	}
	if q.left == 0 {
		return &fault.Error{
			Code: fault.RateLimited, RetryAfter: retryFull,
			Message: "the queue of this agent is full",
		}
	}
	q.left--
	s.taken = append(s.taken, q)
	return nil
}
