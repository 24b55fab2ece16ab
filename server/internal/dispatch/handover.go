package dispatch

import (
	"slices"
	"sync"
	"time"

	"github.com/errand-dev/errand/server/internal/lifecycle"
)

// handoverPatience is how long an end waits for the pool's next claim, which may be
// held up, before it goes alone.
const handoverPatience = 100 * time.Millisecond

// handovers are ends of attempts that go with the pool's next claims. They are safe
// for concurrent use.
type handovers struct {
	mu      sync.Mutex
	waiting []*handover
}

// handover is the end of an attempt whose slot is free.
type handover struct {
	org  string
	end  lifecycle.End
	told chan answered // gets one
}

// answered is what became of an end: nothing if it has to go alone.
type answered struct {
	yes bool
	err error
}

func (h *handovers) put(org string, end lifecycle.End) *handover {
	x := &handover{org, end, make(chan answered, 1)}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.waiting = append(h.waiting, x)
	return x
}

// take takes ends of an organization for its claim.
func (h *handovers) take(org string) (taken []*handover) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.waiting = slices.DeleteFunc(h.waiting, func(x *handover) bool {
		mine := x.org == org && len(taken) < lifecycle.MaxClaims
		if mine {
			taken = append(taken, x)
		}
		return mine
	})
	return taken
}

// withdraw takes an end back, unless it is under way.
func (h *handovers) withdraw(x *handover) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := len(h.waiting)
	h.waiting = slices.DeleteFunc(h.waiting, func(y *handover) bool { return x == y })
	return len(h.waiting) < before
}

// release lets those go alone for which no claim came.
func (h *handovers) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, x := range h.waiting {
		x.told <- answered{}
	}
	h.waiting = nil
}
