package crash

import (
	"fmt"
	"sync/atomic"
)

// toll counts what was done to servers and workers, and what came of it.
type toll struct {
	rounds, tasks, events, histories          atomic.Int64
	servers, workers, stops, faults           atomic.Int64
	losses, stuck, late, gaps, unlinearizable atomic.Int64
}

// tolls sums up all tests of this process, for its closing line.
var tolls toll //nolint:gochecknoglobals // one process, one line

// String is the closing line.
func (x *toll) String() string {
	return fmt.Sprintf("soak: %d rounds, %d tasks, %d events, %d kills of server, %d of workers, %d stopped for a while, %d faults of disk, line and clock; "+
		"%d histories checked; %d acknowledged losses, %d stuck, %d late writes accepted, %d gaps for viewers, %d histories without an order",
		x.rounds.Load(), x.tasks.Load(), x.events.Load(), x.servers.Load(), x.workers.Load(), x.stops.Load(), x.faults.Load(),
		x.histories.Load(), x.losses.Load(), x.stuck.Load(), x.late.Load(), x.gaps.Load(), x.unlinearizable.Load())
}
