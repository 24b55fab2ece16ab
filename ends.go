package errand

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	// endPatience is how long an end waits for those that are under way before it
	// goes alone; at most a tenth of its lease.
	endPatience = 500 * time.Millisecond
	// maxResultTogether is the longest result, in bytes, that others may wait for.
	maxResultTogether = 1 << 20
)

// ends tells the ends of a worker's attempts, each with a claim for the slot that it
// frees. An end that finds nothing under way is sent at once; those that come while a
// request is under way go together with the next, so that load gathers by itself.
// What cannot be told so is told by the lease itself, which tries on. It is safe for
// concurrent use.
type ends struct {
	worker *Worker
	wake   chan struct{} // there is something to send

	mu      sync.Mutex
	waiting []*ending
}

// ending is an attempt's end that is to be told.
type ending struct {
	lease   *lease
	outcome outcome
	told    chan told // gets one
}

// told is what came of telling an end.
type told struct {
	answered bool
	err      error  // the server's answer
	next     *claim // for the slot; nil for none
}

func newEnds(w *Worker) *ends { return &ends{worker: w, wake: make(chan struct{}, 1)} }

// finish tells an attempt's end, and returns the task that its slot got for it; nil
// for none. Once claiming has ended, no slot gets any.
func (e *ends) finish(claiming, work context.Context, l *lease, o outcome) (next *claim, err error) {
	if claiming.Err() == nil && (o.Result == nil || len(*o.Result) <= maxResultTogether) {
		if t := e.tell(claiming, l, o); t.answered {
			return t.next, t.err
		}
	}
	return nil, l.finish(work, o)
}

// tell tells an end together with others, unless that takes too long to begin.
func (e *ends) tell(claiming context.Context, l *lease, o outcome) told {
	o.LeaseToken = l.token
	x := &ending{lease: l, outcome: o, told: make(chan told, 1)}
	e.mu.Lock()
	e.waiting = append(e.waiting, x)
	e.mu.Unlock()
	signal(e.wake)
	patience := time.NewTimer(min(endPatience, l.length/10))
	defer patience.Stop()
	select {
	case t := <-x.told:
		return t
	case <-patience.C:
	case <-claiming.Done():
	}
	e.mu.Lock()
	at := slices.Index(e.waiting, x)
	if at >= 0 {
		e.waiting = slices.Delete(e.waiting, at, at+1)
	}
	e.mu.Unlock()
	if at >= 0 {
		return told{}
	}
	return <-x.told // it is under way
}

// run sends what is waiting until claiming ends.
func (e *ends) run(claiming context.Context) {
	for {
		select {
		case <-claiming.Done():
			return
		case <-e.wake:
		}
		if batch := e.batch(); len(batch) > 0 {
			e.send(claiming, batch)
		}
	}
}

// batch takes what goes in the next request.
func (e *ends) batch() []*ending {
	e.mu.Lock()
	defer e.mu.Unlock()
	n, size := 0, 0
	for n < min(len(e.waiting), maxSlots) && size <= maxBatchBytes {
		if result := e.waiting[n].outcome.Result; result != nil {
			size += len(*result)
		}
		n++
	}
	batch := slices.Clone(e.waiting[:n])
	if e.waiting = slices.Delete(e.waiting, 0, n); len(e.waiting) > 0 {
		signal(e.wake)
	}
	return batch
}

// send tells ends and claims as many tasks. It tries once: each end has its own way
// of trying on. The end of claiming does not cut it short.
func (e *ends) send(claiming context.Context, batch []*ending) {
	w := e.worker
	limit := batch[0].lease.length
	for _, x := range batch {
		limit = min(limit, x.lease.length)
	}
	limit = max(limit/5, time.Second) // as for a heartbeat: nothing renews their leases meanwhile
	claims, fates, err := w.client.finishAndClaim(context.WithoutCancel(claiming), w.agents, w.id, batch, limit)
	for i, x := range batch {
		var t told
		if err == nil {
			t = told{answered: true, err: fates[i]}
			if i < len(claims) {
				t.next = &claims[i]
			}
		}
		x.told <- t
	}
}

// finishAndClaim reports ends and asks for as many tasks at most, without waiting for
// any. It returns an error for each end, nil for one that counts.
func (c *Client) finishAndClaim(ctx context.Context, agents []string, worker string, ends []*ending, limit time.Duration) ([]claim, []error, error) {
	body := claimBody{Agents: agents, Worker: worker, Slots: len(ends)}
	for _, x := range ends {
		body.Finished = append(body.Finished, finishedBody{x.lease.task, x.outcome})
	}
	r := request{method: http.MethodPost, path: "/v1/claim", body: body, limit: limit}
	content, err := r.encode()
	if err != nil {
		return nil, nil, err
	}
	var answer claimAnswer
	if err := c.try(ctx, r, content, &answer); err != nil {
		return nil, nil, err
	}
	if len(answer.Finished) != len(ends) {
		return nil, nil, errors.New("the server did not answer to each end")
	}
	fates := make([]error, len(ends))
	for i, f := range answer.Finished {
		fates[i] = f.Error.err()
	}
	return answer.came(c), fates, nil
}
