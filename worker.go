package errand

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"
)

// Handler executes a run attempt of a task. What it answers is the task's
// result. ctx ends when the attempt has to: context.Cause(ctx) is then
// ErrStopped, ErrPaused, ErrWaiting, ErrLeaseLost or ErrShutdown. After ErrShutdown an answer
// without an error still counts, so that nothing is done twice; otherwise
// whatever the handler answers is not the task's result any more. A handler that
// does not heed ctx keeps its slot.
//
// An error of type Failure ends the task Failed: the agent could not do it. Any
// other error, and a panic, ends it Errored: the worker could not. Retry makes an
// error after which another attempt is to follow, and Later gives the task back.
type Handler func(ctx context.Context, a *Attempt) (result string, err error)

// Why the work of an attempt has to end before it is done.
var (
	// ErrStopped: somebody has stopped the task. That the handler returns is
	// what confirms the stop.
	ErrStopped = errors.New("the task was stopped")
	// ErrPaused: the task is held, and will be another attempt's later.
	ErrPaused = errors.New("the task was paused")
	// ErrLeaseLost: the lease could not be renewed in time, or another attempt
	// or a person has taken the task over.
	ErrLeaseLost = errors.New("the lease on the task was lost")
	// ErrShutdown: the worker ends and its drain time is over.
	ErrShutdown = errors.New("the worker is shutting down")
)

// Failure is the error of an agent that could not do a task, while everything
// about it worked.
type Failure struct { //nolint:errname // it is what happened, like an exit status
	// Message becomes the task's result.
	Message string
	// Reason is EndFailed, EndSchemaMismatch or EndBudget; "" is EndFailed.
	Reason EndReason
}

func (f Failure) Error() string { return f.Message }

// Failf makes a Failure.
func Failf(format string, args ...any) error { return Failure{Message: fmt.Sprintf(format, args...)} }

// Retry says of an error that another attempt may do better: it follows after the
// delay, at most a day, if fewer than the task's MaxAttempts have started. Otherwise
// the task ends as err says. 0 leaves the delay to the server: a second, doubled with
// each attempt, at most five minutes. It is nil if err is.
func Retry(err error, delay time.Duration) error {
	if err == nil {
		return nil
	}
	return &retry{err, delay}
}

type retry struct {
	error
	delay time.Duration
}

func (r *retry) Unwrap() error { return r.error }

// Later gives the task back: this attempt could not begin with it, does not count
// among MaxAttempts, and the next may begin after the delay, at most a day. why says
// for people what was in the way. A task that is given back 20 times in a row,
// without a step or another outcome between, ends Errored.
func Later(why error, delay time.Duration) error { return &later{why, delay} }

type later struct {
	why   error
	delay time.Duration
}

func (l *later) Error() string {
	if l.why == nil {
		return "not now"
	}
	return l.why.Error()
}

func (l *later) Unwrap() error { return l.why }

// WorkerOptions say how a worker works.
type WorkerOptions struct {
	// ID names the worker; tasks may be pinned to it. Two workers that run at
	// the same time need two ids. Otherwise it is ERRAND_WORKER_ID, then made
	// of the machine's name and a random part.
	ID string
	// Slots bounds how many attempts run at a time, up to 100; 0 is 4.
	Slots int
	// Drain is how long running attempts may go on after the context of Run
	// has ended; 0 is 20 s.
	Drain time.Duration
	// Grace is how long a handler may take to return once the drain time is
	// over and its ctx has ended; 0 is 1 s.
	Grace time.Duration
	// Log is told what happens to attempts; nil is nobody.
	Log *slog.Logger
}

// Worker executes the tasks of agents. It claims them with a lease, keeps the
// lease while a handler works, tells the handler to stop when the task is
// stopped, and reports what it answers.
type Worker struct {
	client   *Client
	id       string
	slots    int
	drain    time.Duration
	grace    time.Duration
	log      *slog.Logger
	agents   []string // whose tasks it takes, over all of them alike
	handlers map[string]Handler
}

const (
	defaultSlots = 4
	maxSlots     = 100
	defaultDrain = 20 * time.Second
	// pollFor is how long the server may keep a claim waiting for work.
	pollFor      = 30 * time.Second
	defaultGrace = time.Second
	// parting is how long it may take to give a task back.
	parting = time.Second
)

// NewWorker makes a worker. Handle tells it what to do, and Run starts it.
func NewWorker(client *Client, o WorkerOptions) *Worker {
	w := &Worker{
		client: client, id: firstOf(o.ID, os.Getenv("ERRAND_WORKER_ID")), slots: o.Slots, drain: o.Drain, grace: o.Grace,
		log: o.Log, handlers: map[string]Handler{},
	}
	if w.id == "" {
		host, _ := os.Hostname() // the random part is enough
		w.id = strings.TrimPrefix(host+"-"+newKey()[:12], "-")
	}
	if w.slots <= 0 {
		w.slots = defaultSlots
	}
	w.slots = min(w.slots, maxSlots)
	if w.drain <= 0 {
		w.drain = defaultDrain
	}
	if w.grace <= 0 {
		w.grace = defaultGrace
	}
	if w.log == nil {
		w.log = slog.New(slog.DiscardHandler)
	}
	w.log = w.log.With("worker_id", w.id)
	return w
}

// ID is the worker's id.
func (w *Worker) ID() string { return w.id }

// Handle sets who executes the tasks of an agent. It is called before Run.
func (w *Worker) Handle(agentID string, h Handler) {
	if !slices.Contains(w.agents, agentID) {
		w.agents = append(w.agents, agentID)
	}
	w.handlers[agentID] = h
}

// Run claims and executes tasks until ctx ends. Then it claims no more, gives
// what runs the drain time, and returns nil; what is still not done is told
// ErrShutdown and given back, so that another worker gets it at once. An
// error means that the server refuses this worker: a wrong key, an agent that
// does not exist. A server that cannot be reached is waited for.
func (w *Worker) Run(ctx context.Context) error {
	if len(w.agents) == 0 {
		return errors.New("the worker has no handler: call Handle first")
	}
	work, leave := context.WithCancelCause(context.WithoutCancel(ctx)) // leases are kept while Run lasts
	defer leave(ErrShutdown)
	handling, shut := context.WithCancelCause(work)
	defer shut(nil)
	claiming, noMore := context.WithCancel(ctx)
	defer noMore()
	told := newEnds(w)
	slots := make(chan struct{}, w.slots)
	var running sync.WaitGroup
	go told.run(claiming)
	err := w.claim(claiming, slots, func(c claim) {
		running.Go(func() {
			defer func() { <-slots }()
			for next := &c; next != nil; {
				if next = w.execute(claiming, work, handling, *next, told); next != nil && claiming.Err() != nil {
					w.turnDown(work, *next)
					return
				}
			}
		})
	})
	noMore()
	idle := make(chan struct{})
	go func() { defer close(idle); running.Wait() }()
	if !done(idle, w.drain) {
		shut(ErrShutdown)
		if !done(idle, w.grace+parting) {
			w.log.WarnContext(ctx, "attempts were left to their leases", "attempts", len(slots))
		}
	}
	return err
}

// done waits, and reports whether the channel was closed in time.
func done(c <-chan struct{}, limit time.Duration) bool {
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case <-c:
		return true
	case <-t.C:
		return false
	}
}

// claim takes tasks for free slots until ctx ends or the server refuses the
// worker. Each task that it starts holds a slot.
func (w *Worker) claim(ctx context.Context, slots chan struct{}, start func(claim)) error {
	wait := firstRetry
	for {
		select {
		case <-ctx.Done():
			return nil
		case slots <- struct{}{}: // at least one is free
		}
		<-slots // only claims take slots, so it stays free
		claims, err := w.client.claim(ctx, w.agents, w.id, cap(slots)-len(slots), pollFor)
		for _, c := range claims {
			slots <- struct{}{}
			start(c)
		}
		if ctx.Err() != nil { // which is what ended the call
			return nil //nolint:nilerr // as it was meant to
		}
		switch code := CodeOf(err); {
		case err == nil:
			wait = firstRetry
		case code == "" || code == CodeUnavailable || code == CodeInternal || code == CodeRateLimited:
			w.log.WarnContext(ctx, "claim", "error", err)
			e, _ := as[*Error](err)
			if e != nil {
				wait = max(wait, e.RetryAfter)
			}
			sleep(ctx, wait)
			wait = min(2*wait, lastRetry)
		default:
			return fmt.Errorf("claim for %s: %w", strings.Join(w.agents, ", "), err)
		}
	}
}

// turnDown gives back a task that came when the worker had begun to end.
func (w *Worker) turnDown(work context.Context, c claim) {
	log := w.log.With("task_id", c.Task.ID, "agent_id", c.Task.AgentID, "attempt", c.Lease.Attempt)
	if err := newLease(w.client.Tasks, c).release(work, "", 0); err != nil {
		log.WarnContext(work, "a task is left to its lease: the worker is ending", "error", err)
	}
}

// execute runs one attempt to its end and reports it. The end of handling is told
// to the handler alone: what it has answered before is still written. It returns the
// task that came for the slot with the answer to the report, nil for none.
func (w *Worker) execute(claiming, work, handling context.Context, c claim, told *ends) (next *claim) {
	began := time.Now()
	log := w.log.With("task_id", c.Task.ID, "agent_id", c.Task.AgentID, "attempt", c.Lease.Attempt)
	ctx, cancel := context.WithCancelCause(work)
	defer cancel(nil)
	handler, shut := context.WithCancelCause(ctx)
	defer shut(nil)
	defer context.AfterFunc(handling, func() { shut(context.Cause(handling)) })()
	lease := newLease(w.client.Tasks, c)
	a := &Attempt{began: began, Task: c.Task, Number: c.Lease.Attempt, trace: c.TraceParent, models: c.Models, lease: lease, out: newOutbox(lease), steps: newSteps(), part: cancel}
	lease.used = a.spent
	var helpers sync.WaitGroup
	helpers.Go(func() { lease.keep(ctx, cancel) })
	helpers.Go(func() { lease.listen(ctx, c.Task.LastEventSeq) })
	helpers.Go(func() { a.out.run(ctx) })
	log.InfoContext(ctx, "attempt started")

	result, err := a.run(handler, w.handlers[c.Task.AgentID], log)
	cause := context.Cause(ctx)
	switch {
	case cause != nil:
	case handler.Err() != nil && err != nil:
		cause = ErrShutdown
	default:
		lost := a.out.flush(ctx)
		if cause = context.Cause(ctx); cause == nil && lost != nil && err == nil {
			err = fmt.Errorf("write events: %w", lost)
		}
	}
	cancel(nil)
	helpers.Wait()

	switch {
	case errors.Is(cause, ErrStopped):
		next, err = told.finish(claiming, work, lease, outcome{Status: Stopped, spending: a.spent()})
	case errors.Is(cause, ErrShutdown):
		log.InfoContext(work, "attempt given back")
		err = lease.release(work, "", 0)
	case errors.Is(cause, ErrWaiting):
		log.InfoContext(work, "the task waits")
		lease.parted(work)
		return nil
	case cause != nil:
		log.WarnContext(work, "attempt given up", "cause", cause)
		lease.parted(work)
		return nil
	case isLater(err):
		l, _ := as[*later](err)
		log.InfoContext(work, "attempt given back", "until", l.delay, "reason", err)
		err = lease.release(work, err.Error(), l.delay)
	default:
		o := outcomeOf(result, err)
		o.spending = a.spent()
		if err != nil {
			log.WarnContext(work, "attempt ended", "status", o.Status, "error", err)
		} else {
			log.InfoContext(work, "attempt ended", "status", o.Status)
		}
		next, err = told.finish(claiming, work, lease, o)
	}
	switch {
	case errors.Is(err, ErrConflict), errors.Is(err, ErrNotFound): // it is somebody else's, or nobody's, by now
		log.WarnContext(work, "the attempt's end came too late", "error", err)
	case err != nil:
		log.ErrorContext(work, "report the attempt's end", "error", err)
	}
	return next
}

// run calls the handler; a panic of it is an error of this attempt alone.
func (a *Attempt) run(ctx context.Context, h Handler, log *slog.Logger) (result string, err error) {
	defer func() {
		if r := recover(); r != nil {
			log.ErrorContext(ctx, "the handler panicked", "panic", r, "stack", string(debug.Stack()))
			err = fmt.Errorf("the handler panicked: %v", r)
		}
	}()
	if h == nil {
		return "", fmt.Errorf("this worker has no handler for agent %s", a.Task.AgentID)
	}
	return h(ctx, a)
}

func isLater(err error) bool {
	_, is := as[*later](err)
	return is
}

// outcome is how an attempt ended.
type outcome struct {
	LeaseToken string    `json:"lease_token"`
	Status     Status    `json:"status"`
	Reason     EndReason `json:"end_reason,omitempty"`
	Result     *string   `json:"result,omitempty"`
	spending
	Retry bool    `json:"retry,omitempty"`
	Delay float64 `json:"delay,omitempty"`
}

func outcomeOf(result string, err error) outcome {
	if err == nil {
		return outcome{Status: Completed, Result: &result}
	}
	o := outcomeOfError(err)
	if again, is := as[*retry](err); is {
		o.Retry, o.Delay = true, seconds(again.delay)
	}
	return o
}

func outcomeOfError(err error) outcome {
	text := err.Error()
	failure, failed := as[Failure](err)
	if p, ok := as[*Failure](err); ok {
		failure, failed = *p, true
	}
	if !failed {
		return outcome{Status: Errored, Result: &text}
	}
	switch failure.Reason { //nolint:exhaustive // the others are no failures of an agent
	case EndSchemaMismatch, EndBudget:
		return outcome{Status: Failed, Reason: failure.Reason, Result: &text}
	default:
		return outcome{Status: Failed, Result: &text}
	}
}
