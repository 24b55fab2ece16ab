package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// MaxWait bounds how long a claim may wait for work.
const MaxWait = time.Minute

const (
	// look is how often the store is asked without a hint what stands in the queues
	// for which somebody waits, in case a hint was lost.
	look = 5 * time.Second
	// retry is when something is tried again that an outage of the store prevented.
	retry = time.Second
	// signOfLife is how often an open stream speaks for its worker.
	signOfLife = 5 * time.Second
	// parting bounds the last words about a worker whose stream has ended.
	parting = 5 * time.Second
)

// Workers is where remote workers get their tasks. It is safe for concurrent use.
type Workers struct {
	service *lifecycle.Service
	line    *Line
	log     *slog.Logger
	closing <-chan struct{}
}

// NewWorkers makes one that gives out nothing once closing is closed. Run has to run
// beside it.
func NewWorkers(service *lifecycle.Service, line *Line, log *slog.Logger, closing <-chan struct{}) *Workers {
	return &Workers{service: service, line: line, log: log, closing: closing}
}

// Run asks the store, for all who wait, what nobody has told: what other nodes'
// commits mean, and what has become ready by time. It returns when ctx
// ends or the server closes.
func (d *Workers) Run(ctx context.Context) {
	tick := time.NewTicker(look)
	defer tick.Stop()
	alarm := newAlarm()
	defer alarm.Stop()
	for {
		if err := d.ask(ctx); err != nil {
			if ctx.Err() == nil && fault.CodeOf(err) != fault.Unavailable { // else the store has told the log why
				d.log.ErrorContext(ctx, "look for those who wait for tasks", "error", err)
			}
			pause(ctx, retry)
		}
		alarm.set(d.line.alarm(), d.service.Now())
		select {
		case <-ctx.Done():
			return
		case <-d.closing:
			return
		case <-d.line.hint:
		case <-alarm.C:
		case <-tick.C:
			d.line.doubtAll()
		}
	}
}

// alarm is a timer by the store's clock.
type alarm struct{ *time.Timer }

func newAlarm() alarm {
	a := alarm{time.NewTimer(0)}
	a.Stop()
	return a
}

// set makes it ring at a moment, or, for 0, never.
func (a alarm) set(at, now task.Stamp) {
	if a.Stop(); at != 0 {
		a.Reset(max(at.Sub(now), time.Microsecond))
	}
}

// pause waits, unless ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// ask puts the line's questions to the store.
func (d *Workers) ask(ctx context.Context) error {
	var failed []error
	for _, x := range d.line.questions(d.service.Now()) {
		fronts, err := d.service.Fronts(ctx, x.org, x.lanes, x.limit)
		if err != nil {
			d.line.giveUp(x)
			failed = append(failed, err)
			continue
		}
		d.line.answer(x.org, fronts)
	}
	return errors.Join(failed...)
}

// Claim takes tasks as Service.Claim does, but waits for the first one, at
// most MaxWait. It returns nothing when the time is over or the server closes.
func (d *Workers) Claim(ctx context.Context, who lifecycle.Caller, r lifecycle.ClaimRequest, wait time.Duration) ([]lifecycle.Claimed, error) {
	place := d.line.join(who.Organization, r.Agents, r.Worker, false)
	defer place.leave()
	over := time.NewTimer(min(wait, MaxWait))
	defer over.Stop()
	for {
		select {
		case <-d.closing:
			return nil, nil
		default:
		}
		_, claimed, err := d.look(ctx, place, who, nil, r)
		if err != nil || len(claimed) > 0 || wait <= 0 {
			return claimed, err
		}
		place.wait()
		select {
		case <-ctx.Done():
			d.left(ctx, who.Organization, r)
			return nil, ctx.Err()
		case <-d.closing:
			return nil, nil
		case <-over.C:
			return nil, nil
		case <-place.called:
			place.look()
		}
	}
}

// left notes that a worker was there until now, when it leaves in the midst of a claim.
func (d *Workers) left(ctx context.Context, org string, r lifecycle.ClaimRequest) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), parting)
	defer cancel()
	if err := d.service.Left(ctx, org, r); err != nil {
		d.log.DebugContext(ctx, "when a worker was last seen is its last claim", "worker_id", r.Worker, "error", err)
	}
}

// FinishAndClaim is Service.FinishAndClaim: it waits for no task. Once the server
// closes it takes ends only.
func (d *Workers) FinishAndClaim(
	ctx context.Context, who lifecycle.Caller, ends []lifecycle.End, r lifecycle.ClaimRequest,
) ([]lifecycle.Ended, []lifecycle.Claimed, error) {
	select {
	case <-d.closing:
		ended, err := d.service.FinishMany(ctx, who.Organization, ends)
		return ended, nil, err
	default:
	}
	place := d.line.join(who.Organization, r.Agents, r.Worker, false)
	defer place.leave()
	return d.look(ctx, place, who, ends, r)
}

// look claims what there is, once.
func (d *Workers) look(
	ctx context.Context, place *place, who lifecycle.Caller, ends []lifecycle.End, r lifecycle.ClaimRequest,
) ([]lifecycle.Ended, []lifecycle.Claimed, error) {
	ended, claimed, err := d.service.FinishAndClaim(ctx, who, ends, r)
	switch {
	case len(claimed) > 0 && ctx.Err() != nil: // nobody is there to take them
		return nil, nil, d.giveBack(ctx, who.Organization, claimed)
	case err != nil:
		place.failed()
		return nil, nil, err
	}
	for _, c := range claimed {
		place.took(c.Task)
	}
	return ended, claimed, nil
}

// giveBack releases tasks whose claimer has gone, uncounted.
func (d *Workers) giveBack(ctx context.Context, org string, claimed []lifecycle.Claimed) error {
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

// Stream is the sending side of a Python worker's registration stream.
type Stream interface {
	Registered(w lifecycle.Worker) error
	Assigned(s lifecycle.Snapshot) error
}

// Serve registers a Python worker and sends it tasks until its stream breaks,
// ctx ends, or the server closes. While the stream is open it speaks for the
// worker's leases.
func (d *Workers) Serve(ctx context.Context, r lifecycle.Registration, out Stream) error {
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
	err = d.feed(ctx, w, out)
	if ctx.Err() != nil { // the worker has gone, or the server closes: what that cut short is no error
		return nil
	}
	return err
}

// disconnect notes that a worker's stream has ended. It tries until that is
// stored; when the server closes, its next start will note it.
func (d *Workers) disconnect(ctx context.Context, w lifecycle.Worker, log *slog.Logger) {
	again := time.NewTicker(retry)
	defer again.Stop()
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
		case <-again.C:
		}
	}
}

// feed sends a worker tasks whenever it has room and it is its turn.
func (d *Workers) feed(ctx context.Context, w lifecycle.Worker, out Stream) error {
	place := d.line.join(w.Organization, []string{w.Agent}, w.ID, true)
	defer place.leave()
	alive := time.NewTicker(signOfLife)
	defer alive.Stop()
	for {
		found, err := d.service.Assign(ctx, w.Organization, w.Agent, w.ID)
		if err != nil {
			place.failed()
			return fmt.Errorf("assign tasks: %w", err)
		}
		for _, s := range found.Given {
			if err := out.Assigned(s); err != nil {
				d.log.WarnContext(ctx, "a task did not reach its worker", "task_id", s.Task.ID, "worker_id", w.ID, "error", err)
				return nil
			}
			place.took(s.Task)
		}
		if found.Room > 0 {
			place.wait()
		} else {
			place.rest(found.Heir)
		}
		for again := false; !again; {
			select {
			case <-ctx.Done():
				return nil
			case <-d.closing:
				return nil
			case <-place.called:
				again = true
			case <-alive.C:
				if err := d.service.Speak(ctx, w.Organization, w.Agent, w.ID); err != nil {
					return fmt.Errorf("speak for worker: %w", err)
				}
				again = found.Room <= 0 // there may be some since, and nobody has told
			}
		}
		place.look()
	}
}
