package lifecycle

import (
	"sync"

	"github.com/errand-dev/errand/server/internal/task"
)

// heardBook is what the node has read of claiming workers that were heard lately, so that
// not every claim has to read it.
type heardBook struct {
	mu    sync.Mutex
	known map[heardKey]heardAs
}

type heardKey struct{ org, agent, worker string }

// heardAs is when a worker was last heard, and the most slots that it had.
type heardAs struct {
	at    task.Stamp
	slots int
}

// maxHeard bounds how many workers are remembered.
const maxHeard = 10_000

// lately reports whether a claim for so many slots has nothing to note.
func (b *heardBook) lately(key heardKey, now task.Stamp, slots int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	as, ok := b.known[key]
	return ok && as.lately(now, slots)
}

func (as heardAs) lately(now task.Stamp, slots int) bool {
	return now.Sub(as.at) < presenceStep && slots <= as.slots
}

func (b *heardBook) note(key heardKey, as heardAs) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.known == nil || len(b.known) >= maxHeard {
		b.known = map[heardKey]heardAs{}
	}
	b.known[key] = as
}
