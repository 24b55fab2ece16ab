package dispatch

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
)

// MaxWait bounds how long a claim may wait for work.
const MaxWait = time.Minute

const (
	// look is how often a waiting worker looks at the store without a wake:
	// for tasks that become ready by time, and in case a wake was lost.
	look = time.Second
	// signOfLife is how often an open stream speaks for its worker.
	signOfLife = 5 * time.Second
	// parting bounds the last words about a worker whose stream has ended.
	parting = 5 * time.Second
)

// Desk is where remote workers get their tasks. It is safe for concurrent use.
type Desk struct {
	service *lifecycle.Service
	wakes   *Wakes
	log     *slog.Logger
	closing <-chan struct{}
}

// NewDesk makes a desk that gives out nothing once closing is closed.
func NewDesk(service *lifecycle.Service, wakes *Wakes, log *slog.Logger, closing <-chan struct{}) *Desk {
	return &Desk{service: service, wakes: wakes, log: log, closing: closing}
}

// Claim takes tasks as Service.Claim does, but waits for the first one, at
// most MaxWait. It answers nothing when the time is over or the server closes.
func (d *Desk) Claim(ctx context.Context, who lifecycle.Caller, r lifecycle.ClaimRequest, wait time.Duration) ([]lifecycle.Claimed, error) {
	queues := make([]queue, 0, len(r.Agents))
	for _, a := range r.Agents {
		queues = append(queues, queue{who.Organization, a})
	}
	woken, stop := d.wakes.subscribe(queues...)
	defer stop()
	over := time.NewTimer(min(wait, MaxWait))
	defer over.Stop()
	tick := time.NewTicker(look)
	defer tick.Stop()
	for ready := true; ; {
		select {
		case <-d.closing:
			return nil, nil
		default:
		}
		if ready {
			claimed, err := d.service.Claim(ctx, who, r)
			if len(claimed) > 0 && ctx.Err() != nil { // nobody is there to take them
				return nil, d.giveBack(ctx, who.Organization, claimed)
			}
			if err != nil || len(claimed) > 0 {
				return claimed, err
			}
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-d.closing:
			return nil, nil
		case <-over.C:
			return nil, nil
		case <-woken:
		case <-tick.C:
		}
		var err error
		if ready, err = d.ready(ctx, who, r); err != nil {
			return nil, err
		}
	}
}

// giveBack releases tasks whose claimer has gone, uncounted.
func (d *Desk) giveBack(ctx context.Context, org string, claimed []lifecycle.Claimed) error {
	cause := ctx.Err()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), parting)
	defer cancel()
	for _, c := range claimed {
		if _, err := d.service.Release(ctx, org, c.Task.ID, c.Token); err != nil {
			d.log.WarnContext(ctx, "a task is left to its lease: its claimer has gone", "task_id", c.Task.ID, "error", err)
		}
	}
	return cause
}

func (d *Desk) ready(ctx context.Context, who lifecycle.Caller, r lifecycle.ClaimRequest) (bool, error) {
	for _, a := range r.Agents {
		if ready, err := d.service.Ready(ctx, who.Organization, a, r.Worker); ready || err != nil {
			return ready, err
		}
	}
	return false, nil
}

// Stream is the sending side of a Python worker's registration stream.
type Stream interface {
	Registered(w lifecycle.Worker) error
	Assigned(s lifecycle.Snapshot) error
}

// Serve registers a Python worker and sends it tasks until its stream breaks,
// ctx ends, or the server closes. While the stream is open it speaks for the
// worker's leases.
func (d *Desk) Serve(ctx context.Context, r lifecycle.Registration, out Stream) error {
	select {
	case <-d.closing:
		return nil
	default:
	}
	w, err := d.register(ctx, r)
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return err
	}
	log := d.log.With("worker_id", w.ID, "agent_id", w.Agent)
	log.InfoContext(ctx, "worker connected")
	defer func() {
		d.disconnect(context.WithoutCancel(ctx), w, log)
		log.InfoContext(ctx, "worker disconnected")
	}()
	if err := out.Registered(w); err != nil {
		return nil
	}
	woken, stop := d.wakes.subscribe(queue{w.Organization, w.Agent})
	defer stop()
	err = d.feed(ctx, w, out, woken)
	if ctx.Err() != nil { // the worker has gone, or the server closes: what that cut short is no error
		return nil
	}
	return err
}

// disconnect notes that a worker's stream has ended. It tries until that is
// stored; when the server closes, its next start will note it.
func (d *Desk) disconnect(ctx context.Context, w lifecycle.Worker, log *slog.Logger) {
	retry := time.NewTicker(look)
	defer retry.Stop()
	for {
		try, cancel := context.WithTimeout(ctx, parting)
		err := d.service.Disconnect(try, w.Organization, w.Agent, w.ID)
		cancel()
		if err == nil {
			return
		}
		if fault.CodeOf(err) != fault.Unavailable { // else the store has told the log why
			log.ErrorContext(ctx, "note a worker's disconnection", "error", err)
		}
		select {
		case <-d.closing:
			return
		case <-retry.C:
		}
	}
}

func (d *Desk) feed(ctx context.Context, w lifecycle.Worker, out Stream, woken <-chan struct{}) error {
	tick := time.NewTicker(look)
	defer tick.Stop()
	alive := time.NewTicker(signOfLife)
	defer alive.Stop()
	for {
		given, err := d.service.Assign(ctx, w.Organization, w.Agent, w.ID)
		if err != nil {
			return fmt.Errorf("assign tasks: %w", err)
		}
		for _, s := range given {
			if err := out.Assigned(s); err != nil {
				d.log.WarnContext(ctx, "a task did not reach its worker", "task_id", s.Task.ID, "worker_id", w.ID, "error", err)
				return nil
			}
		}
		for waiting := true; waiting; {
			select {
			case <-ctx.Done():
				return nil
			case <-d.closing:
				return nil
			case <-alive.C:
				if err := d.service.Speak(ctx, w.Organization, w.Agent, w.ID); err != nil {
					return fmt.Errorf("speak for worker: %w", err)
				}
				continue
			case <-woken:
			case <-tick.C:
			}
			ready, err := d.service.Ready(ctx, w.Organization, w.Agent, w.ID)
			if err != nil {
				return fmt.Errorf("look for tasks: %w", err)
			}
			waiting = !ready
		}
	}
}

// Heard notes a worker's own sign of life and looks at once whether it may
// have more to do.
func (d *Desk) Heard(ctx context.Context, org, agentID, workerID string, sign lifecycle.Sign) error {
	if err := d.service.Heard(ctx, org, agentID, workerID, sign); err != nil {
		return err
	}
	if sign.Busy != nil && !*sign.Busy {
		d.wakes.wake(queue{org, agentID})
	}
	return nil
}
