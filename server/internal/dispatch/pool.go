package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/runtime"
	"github.com/errand-dev/errand/server/internal/task"
)

// FileOpener opens the files of a task for the server's runtimes.
type FileOpener interface {
	Files(org string, refs []string) []runtime.File
}

// Watcher signals changes of a task (package stream).
type Watcher interface {
	Watch(org, id string) (changed <-chan struct{}, stop func())
}

// Pool executes the agents whose runtime is inside the server. It claims like
// any other worker, through the same verbs.
type Pool struct {
	service *lifecycle.Service
	worker  string // the id under which it claims: its node's
	watcher Watcher
	files   FileOpener
	present func(context.Context, lifecycle.Snapshot) (json.RawMessage, error)
	backlog *backlog
	slots   int
	freed   chan struct{} // holds a token after a slot has become free
	log     *slog.Logger
}

// PoolOptions say what a pool executes.
type PoolOptions struct {
	Service *lifecycle.Service
	Line    *Line
	Watcher Watcher
	Files   FileOpener
	// Present renders a task's public JSON.
	Present func(context.Context, lifecycle.Snapshot) (json.RawMessage, error)
	// Runner answers what executes an agent's tasks, nil for what the server
	// does not execute.
	Runner func(agent.Record) runtime.Runner
	// Slots bounds how many attempts run at a time.
	Slots int
	Log   *slog.Logger
}

// NewPool makes a pool; Run starts it.
func NewPool(o PoolOptions) *Pool {
	p := &Pool{
		service: o.Service, worker: o.Service.Node(), watcher: o.Watcher, files: o.Files, present: o.Present,
		backlog: newBacklog(o.Service, o.Runner), slots: o.Slots, freed: make(chan struct{}, 1), log: o.Log,
	}
	o.Line.tell(p.backlog.heard)
	return p
}

// errCrashed is the end of an attempt whose runtime has panicked.
var errCrashed = errors.New("the runtime crashed: the server's log says how")

// Causes for which a running attempt is cancelled.
var (
	errToldToStop = errors.New("the task was stopped or paused")
	errLeaseLost  = fmt.Errorf("the lease could not be renewed: %w", runtime.ErrLost)
	errShutDown   = errors.New("the server is shutting down")
	errSuperseded = fmt.Errorf("another attempt has taken the task: %w", runtime.ErrLost)
)

// Run claims and executes until claim ends; what runs then may go on until
// work ends, after which it is given back. Run returns when nothing runs.
func (p *Pool) Run(claim, work context.Context) {
	tick := time.NewTicker(look)
	defer tick.Stop()
	alarm := newAlarm()
	defer alarm.Stop()
	slots := make(chan struct{}, p.slots)
	var running sync.WaitGroup
	defer running.Wait()
	for {
		if err := p.claim(claim, work, slots, &running); err != nil {
			if claim.Err() == nil && fault.CodeOf(err) != fault.Unavailable { // else the store has told the log why
				p.log.ErrorContext(claim, "claim for the server's own runtimes", "error", err)
			}
			pause(claim, retry)
		}
		if alarm.set(0, 0); len(slots) < cap(slots) {
			alarm.set(p.backlog.alarm(), p.service.Now())
		}
		select {
		case <-claim.Done():
			return
		case <-p.backlog.hint:
		case <-p.freed:
		case <-alarm.C:
		case <-tick.C:
			p.backlog.stale = true
		}
	}
}

// claim fills the free slots.
func (p *Pool) claim(ctx, work context.Context, slots chan struct{}, running *sync.WaitGroup) error {
	for len(slots) < cap(slots) && ctx.Err() == nil {
		if err := p.backlog.refresh(ctx, p.worker, cap(slots)); err != nil {
			return err
		}
		shares := p.backlog.shares(cap(slots) - len(slots))
		if len(shares) == 0 {
			return nil
		}
		for _, s := range shares {
			if err := p.claimFor(ctx, work, s, slots, running); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *Pool) claimFor(ctx, work context.Context, s share, slots chan struct{}, running *sync.WaitGroup) error {
	who := lifecycle.Caller{Scope: auth.All(s.org), By: p.worker}
	claimed, err := p.service.Claim(ctx, who, lifecycle.ClaimRequest{Agents: s.agents, Worker: p.worker, Slots: s.slots})
	p.backlog.claimed(s, err != nil || len(claimed) > 0)
	if err != nil {
		return err
	}
	for _, c := range claimed {
		slots <- struct{}{}
		running.Go(func() {
			defer func() {
				<-slots
				token(p.freed)
			}()
			p.execute(work, c, s.runners[c.Task.AgentID])
		})
	}
	return nil
}

// execute runs one attempt to its end and reports it.
func (p *Pool) execute(work context.Context, c lifecycle.Claimed, runner runtime.Runner) {
	t := c.Task
	log := p.log.With("task_id", t.ID, "attempt", t.State().Attempt, "agent_id", t.AgentID)
	ctx, cancel := context.WithCancelCause(work)
	var holding sync.WaitGroup
	holding.Go(func() { p.hold(ctx, cancel, c) })
	result, err := p.run(ctx, c, runner, log)
	cause := context.Cause(ctx)
	cancel(nil)
	holding.Wait()

	// The last word must not be cut short by the end of the work itself.
	last, done := context.WithTimeout(context.WithoutCancel(work), parting)
	defer done()
	later, putOff := errors.AsType[*runtime.Later](err)
	switch {
	case errors.Is(cause, runtime.ErrLost):
		log.WarnContext(work, "attempt given up", "cause", cause)
		return
	case errors.Is(cause, errToldToStop):
		_, err = p.service.Finish(last, t.OrganizationID, t.ID, c.Token, lifecycle.Outcome{Reason: task.EndStopped})
	case work.Err() != nil && err != nil:
		log.InfoContext(work, "attempt given back", "cause", errShutDown)
		_, err = p.service.Release(last, t.OrganizationID, t.ID, c.Token)
	case putOff:
		_, err = p.service.GiveBack(last, t.OrganizationID, t.ID, c.Token, lifecycle.GivenBack{Reason: later.Reason, Delay: later.Delay})
	default:
		_, err = p.service.Finish(last, t.OrganizationID, t.ID, c.Token, outcome(result, err))
	}
	if code := fault.CodeOf(err); err != nil && code != fault.Conflict && code != fault.NotFound {
		log.ErrorContext(work, "report the end of an attempt", "error", err)
	}
}

// run calls the runtime; a panic of it is an error of this attempt alone.
func (p *Pool) run(ctx context.Context, c lifecycle.Claimed, runner runtime.Runner, log *slog.Logger) (result string, err error) {
	defer func() {
		if r := recover(); r != nil { // what it says is for the operator: nobody knows what it holds
			log.ErrorContext(ctx, "a runtime crashed", "panic", r, "stack", string(debug.Stack()))
			err = errCrashed
		}
	}()
	prompt, refs, err := c.Input()
	if err != nil {
		return "", err
	}
	job := runtime.Job{
		TaskID: c.Task.ID, Attempt: c.Task.State().Attempt, TraceParent: c.TraceParent, Prompt: prompt, Files: p.files.Files(c.Task.OrganizationID, refs),
		Task: func() (json.RawMessage, error) { return p.present(ctx, c.Snapshot) },
	}
	return runner.Run(ctx, job, reporter{p.service, c})
}

func outcome(result string, err error) lifecycle.Outcome {
	var failure *runtime.Failure
	switch {
	case err == nil:
		return lifecycle.Outcome{Reason: task.EndCompleted, Result: &result}
	case errors.As(err, &failure):
		return lifecycle.Outcome{Reason: task.EndFailed, Result: &failure.Message}
	default:
		text := err.Error()
		return lifecycle.Outcome{Reason: task.EndWorkerError, Result: &text}
	}
}

// hold keeps the lease of an attempt, and cancels the attempt when it is told
// to stop or, before the lease runs out, when it could not be renewed (L3).
func (p *Pool) hold(ctx context.Context, cancel context.CancelCauseFunc, c lifecycle.Claimed) {
	changed, stop := p.watcher.Watch(c.Task.OrganizationID, c.Task.ID)
	defer stop()
	lease := c.Task.Run.Lease
	beat := time.NewTicker(lease / 3)
	defer beat.Stop()
	limit := time.NewTimer(lease * 4 / 5)
	defer limit.Stop()
	for {
		last := false
		select {
		case <-ctx.Done():
			return
		case <-limit.C: // the store itself says whether it is: the server may have stood still
			last = true
		case <-changed:
			// Its own events come by here as well: only what may tell it to
			// stop is worth a heartbeat.
			if running, err := p.service.Running(ctx, c.Task.OrganizationID, c.Task.ID, c.Task.Run.Number); err != nil || running {
				continue
			}
		case <-beat.C:
		}
		b, err := p.service.Heartbeat(ctx, c.Task.OrganizationID, c.Task.ID, c.Token)
		switch code := fault.CodeOf(err); {
		case code == fault.Conflict || code == fault.NotFound:
			cancel(errSuperseded)
			return
		case err != nil && last:
			cancel(errLeaseLost)
			return
		case err != nil: // the store may come back before the lease ends
			continue
		case b.Do != task.Continue:
			cancel(errToldToStop)
			return
		}
		limit.Reset(lease * 4 / 5)
	}
}

// reporter writes what a runtime says into the log, under its lease.
type reporter struct {
	service *lifecycle.Service
	c       lifecycle.Claimed
}

// Progress implements runtime.Reporter.
func (r reporter) Progress(ctx context.Context, status string) error {
	return r.service.Progress(ctx, r.c.Task.OrganizationID, r.c.Task.ID, r.c.Token, status)
}

// Chunk implements runtime.Reporter.
func (r reporter) Chunk(ctx context.Context, text string) error {
	e, err := lifecycle.ChunkOf(text)
	if err != nil {
		return err
	}
	_, err = r.service.Append(ctx, lifecycle.Caller{Scope: auth.All(r.c.Task.OrganizationID)}, r.c.Task.ID, r.c.Token, []lifecycle.NewEvent{e})
	return err
}

// Events implements runtime.Reporter. What a runtime has said cannot be asked
// of it again, so an outage of the store is waited for; the end of the lease
// ends that as well.
func (r reporter) Events(ctx context.Context, events []runtime.Event) error {
	list := make([]lifecycle.NewEvent, len(events))
	for i, e := range events {
		list[i] = lifecycle.NewEvent{Type: string(e.Type), Data: e.Data}
	}
	for {
		_, err := r.service.Append(ctx, lifecycle.Caller{Scope: auth.All(r.c.Task.OrganizationID)}, r.c.Task.ID, r.c.Token, list)
		if fault.CodeOf(err) != fault.Unavailable {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(retry):
		}
	}
}
