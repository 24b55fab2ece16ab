package errand

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// maxBatch and maxBatchBytes bound what goes in one request.
	maxBatch      = 1000
	maxBatchBytes = 4 << 20
	// maxWaiting and maxWaitingBytes bound what waits to be sent; a handler
	// that is faster than the server waits with it.
	maxWaiting      = 10 * maxBatch
	maxWaitingBytes = 4 * maxBatchBytes
	// After a request the next one waits gatherTimes as long as that took, at most
	// mostGathering.
	gatherTimes   = 4
	mostGathering = 200 * time.Millisecond
)

// gathering is how long events are gathered after a request that took so long: hardly
// at all while the server is quick, and the longer the busier it is, so that whoever
// tells much has a request under way a fifth of the time.
func gathering(took time.Duration) time.Duration { return min(gatherTimes*took, mostGathering) }

// outbox sends an attempt's events in their order. An event that comes after some
// silence is sent at once; what comes while a request is under way, or shortly after
// it, goes together with the next, so that the busier the server, the more events a
// request has. It is safe for concurrent use.
type outbox struct {
	lease *lease

	wake chan struct{} // there is something to send
	now  chan struct{} // somebody waits for that

	mu      sync.Mutex
	waiting []eventBody
	bytes   int
	taken   int           // how many events were ever put in
	sent    int           // how many of them the server has
	err     error         // why nothing more is sent
	moved   chan struct{} // closed and made anew when sent or err changes
}

func newOutbox(l *lease) *outbox {
	return &outbox{lease: l, wake: make(chan struct{}, 1), now: make(chan struct{}, 1), moved: make(chan struct{})}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// put adds an event. It waits while too much is waiting to be sent.
func (o *outbox) put(ctx context.Context, e eventBody) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case o.err != nil:
			return o.err
		case len(o.waiting) < maxWaiting && o.bytes < maxWaitingBytes:
			o.waiting = append(o.waiting, e)
			o.bytes += len(e.Data)
			o.taken++
			signal(o.wake)
			return nil
		}
		signal(o.now)
		o.wait(ctx)
	}
}

// wait waits for a change. The lock is held before and after.
func (o *outbox) wait(ctx context.Context) {
	moved := o.moved
	o.mu.Unlock()
	select {
	case <-moved:
	case <-ctx.Done():
	}
	o.mu.Lock()
}

// flush waits until the server has all that was put in so far.
func (o *outbox) flush(ctx context.Context) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for mine := o.taken; o.sent < mine; {
		switch {
		case o.err != nil:
			return o.err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
		signal(o.now)
		o.wait(ctx)
	}
	return o.err
}

// run sends until ctx ends or the server refuses the events.
func (o *outbox) run(ctx context.Context) {
	var next time.Time // is when the next request may be sent, unless somebody waits
	for {
		select {
		case <-ctx.Done():
			return
		case <-o.wake:
		}
		if !o.gather(ctx, time.Until(next)) {
			return
		}
		begun := time.Now()
		if batch := o.batch(); len(batch) > 0 && !o.send(ctx, batch) {
			return
		}
		next = time.Now().Add(gathering(time.Since(begun)))
	}
}

// gather waits for so long or until somebody waits for what is to be sent. It reports
// whether ctx has not ended.
func (o *outbox) gather(ctx context.Context, rest time.Duration) bool {
	if rest <= 0 {
		return true
	}
	t := time.NewTimer(rest)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-o.now:
	case <-t.C:
	}
	return true
}

// batch is what goes in the next request.
func (o *outbox) batch() []eventBody {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, size := 0, 0
	for n < min(len(o.waiting), maxBatch) && (n == 0 || size+len(o.waiting[n].Data) <= maxBatchBytes) {
		size += len(o.waiting[n].Data)
		n++
	}
	return o.waiting[:n:n]
}

// send sends a batch and reports whether the server has taken it.
func (o *outbox) send(ctx context.Context, batch []eventBody) bool {
	err := o.lease.append(ctx, batch)
	if errors.Is(err, ErrConflict) {
		signal(o.lease.nudge) // the answer to a heartbeat says why
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.err = err
	if err == nil {
		o.sent += len(batch)
		o.waiting = o.waiting[len(batch):]
		for _, e := range batch {
			o.bytes -= len(e.Data)
		}
		if len(o.waiting) > 0 {
			signal(o.wake)
		}
	}
	close(o.moved)
	o.moved = make(chan struct{})
	return err == nil
}
