package lifecycle

import (
	"sync"

	"github.com/errand-dev/errand/server/internal/task"
)

// heardBook is what the node knows of claiming workers that were heard lately, so that
// not every claim has to read it. Of commits that are under way one alone is to note a
// worker: two that each note the same two would wait for each other's rows.
type heardBook struct {
	mu    sync.Mutex
	known map[heardKey]heardAs
	under map[heardKey]bool // is being noted
}

type heardKey struct{ org, agent, worker string }

// heardAs is when a worker was last heard, the most slots that it had, and whether it
// has left since.
type heardAs struct {
	at    task.Stamp
	slots int
	left  bool
}

func (w Worker) heardAs() heardAs { return heardAs{w.LastHeard, w.Slots, w.left()} }

// left tells whether a claiming worker has gone since it was last heard to stay.
func (w Worker) left() bool { return w.CutAt != 0 && w.CutAt >= w.LastHeard }

// maxHeard bounds how many workers are remembered.
const maxHeard = 10_000

func (as heardAs) lately(now task.Stamp, slots int) bool {
	return now.Sub(as.at) < presenceStep && slots <= as.slots && !as.left
}

// hearing is what one write notes of claiming workers. The book learns of it when it is
// stored.
type hearing struct {
	book *heardBook
	made map[heardKey]heardAs
}

// begin reports whether a claim for so many slots, or that the worker leaves, is to be
// noted, and by this write.
func (h *hearing) begin(key heardKey, now task.Stamp, slots int, leaves bool) bool {
	b := h.book
	b.mu.Lock()
	defer b.mu.Unlock()
	if as, ok := b.known[key]; ok && !leaves && as.lately(now, slots) || b.under[key] {
		return false
	}
	if b.under == nil {
		b.under = map[heardKey]bool{}
	}
	b.under[key] = true
	if h.made == nil {
		h.made = map[heardKey]heardAs{}
	}
	h.made[key] = heardAs{}
	return true
}

// end ends what the write has begun.
func (h *hearing) end(stored bool) {
	if len(h.made) == 0 {
		return
	}
	b := h.book
	b.mu.Lock()
	defer b.mu.Unlock()
	for key, as := range h.made {
		delete(b.under, key)
		if stored && as.at > 0 {
			if b.known == nil || len(b.known) >= maxHeard {
				b.known = map[heardKey]heardAs{}
			}
			b.known[key] = as
		}
	}
	clear(h.made)
}
