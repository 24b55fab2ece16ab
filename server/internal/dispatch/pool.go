package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
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

// FileOpener opens the files of a task for the server's runtimes, and keeps those that
// they write.
type FileOpener interface {
	Files(org, id string, refs []string) []runtime.File
	Written(org string, outputs []task.Output) []runtime.File
	Output(ctx context.Context, org, id, token, name string, content io.Reader) (task.Output, error)
	// Give keeps what an agent is given of files, and Given reads that of a turn.
	Give(ctx context.Context, org, id, token string, list []runtime.Given) error
	Given(ctx context.Context, org, id string, turn int) ([]runtime.Given, error)
}

// Watcher signals changes of a task (package stream).
type Watcher interface {
	Watch(org, id string) (changed <-chan struct{}, stop func())
}

// Pool executes the agents whose runtime is inside the server. It claims like
// any other worker, through the same verbs.
type Pool struct {
	url     func() string
	service *lifecycle.Service
	worker  string // the id under which it claims: its node's
	watcher Watcher
	files   FileOpener
	present func(context.Context, lifecycle.Snapshot) (json.RawMessage, error)
	backlog *backlog
	slots   int
	freed   chan struct{} // holds a token after a slot has become free
	ends    handovers     // of attempts whose slots are free
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
	// Runner returns what executes an agent's tasks, nil for what the server
	// does not execute.
	Runner func(agent.Record) runtime.Runner
	// Slots bounds how many attempts run at a time.
	Slots int
	Log   *slog.Logger
	// URL is under what programs reach the server; nil for not at all.
	URL func() string
}

// NewPool makes a pool; Run starts it.
func NewPool(o PoolOptions) *Pool {
	p := &Pool{
		service: o.Service, worker: o.Service.Node(), watcher: o.Watcher, files: o.Files, present: o.Present,
		backlog: newBacklog(o.Service, o.Runner), slots: o.Slots, freed: make(chan struct{}, 1), log: o.Log, url: o.URL,
	}
	o.Line.tell(p.backlog.heard)
	return p
}

// errCrashed is the end of an attempt whose runtime has panicked.
var errCrashed = errors.New("the runtime crashed: the server's log says how")

// Causes for which a running attempt is cancelled.
var (
	errToldToStop = errors.New("the task was paused")
	errTurnOver   = fmt.Errorf("%w, or it is over: %w", errToldToStop, runtime.ErrStopped)
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
		err := p.claim(claim, work, slots, &running)
		p.ends.release()
		if err != nil {
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
	over := p.ends.take(s.org)
	ends := make([]lifecycle.End, len(over))
	for i, x := range over {
		ends[i] = x.end
	}
	ended, claimed, err := p.service.FinishAndClaim(ctx, who, ends, lifecycle.ClaimRequest{Agents: s.agents, Worker: p.worker, Slots: s.slots})
	for i, x := range over {
		var a answered
		if err == nil {
			a = answered{true, ended[i].Refused}
		}
		x.told <- a
	}
	p.backlog.claimed(s, err != nil || len(claimed) > 0)
	if err != nil {
		return err
	}
	for _, c := range claimed {
		slots <- struct{}{}
		running.Go(func() {
			free := sync.OnceFunc(func() {
				<-slots
				token(p.freed)
			})
			defer free()
			p.execute(ctx, work, c, s.runners[c.Task.AgentID], free)
		})
	}
	return nil
}

// execute runs one attempt to its end and reports it, with the next claim if there is
// one: then its slot is freed for that.
func (p *Pool) execute(claim, work context.Context, c lifecycle.Claimed, runner runtime.Runner, free func()) {
	t := c.Task
	log := p.log.With("task_id", t.ID, "attempt", t.State().Attempt, "agent_id", t.AgentID)
	ctx, cancel := context.WithCancelCause(work)
	var leased sync.WaitGroup
	leased.Go(func() { p.keepLease(ctx, cancel, c) })
	o, err := p.run(ctx, c, runner, log)
	cause := context.Cause(ctx)
	cancel(nil)
	leased.Wait()

	// The last word must not be cut short by the end of the work itself.
	last, done := context.WithTimeout(context.WithoutCancel(work), parting)
	defer done()
	later, putOff := errors.AsType[*runtime.Later](err)
	switch {
	case errors.Is(err, runtime.ErrWaiting): // it has given its task up itself
		return
	case errors.Is(cause, runtime.ErrLost):
		log.WarnContext(work, "attempt given up", "cause", cause)
		return
	case errors.Is(cause, errToldToStop):
		err = p.finish(claim, last, c, lifecycle.Outcome{Reason: task.EndStopped, Side: side(o.Usage)}, free)
	case work.Err() != nil && err != nil:
		log.InfoContext(work, "attempt given back", "cause", errShutDown)
		_, err = p.service.GiveBack(last, t.OrganizationID, t.ID, c.Token, lifecycle.GivenBack{Side: side(o.Usage)})
	case putOff:
		_, err = p.service.GiveBack(last, t.OrganizationID, t.ID, c.Token, lifecycle.GivenBack{Reason: later.Reason, Delay: later.Delay, Side: side(o.Usage)})
	default:
		err = p.finish(claim, last, c, outcome(o, err), free)
	}
	if code := fault.CodeOf(err); err != nil && code != fault.Conflict && code != fault.NotFound {
		log.ErrorContext(work, "report the end of an attempt", "error", err)
	}
}

// finish reports an attempt's end: in one commit with the claim of the next task, or
// else alone.
func (p *Pool) finish(claim, last context.Context, c lifecycle.Claimed, o lifecycle.Outcome, free func()) error {
	org := c.Task.OrganizationID
	if claim.Err() == nil {
		x := p.ends.put(org, lifecycle.End{Task: c.Task.ID, Token: c.Token, Outcome: o})
		free()
		if a := p.handedOver(claim, x); a.yes {
			return a.err
		}
	}
	_, err := p.service.Finish(last, org, c.Task.ID, c.Token, o)
	return err
}

// handedOver waits for what becomes of an end, or takes it back.
func (p *Pool) handedOver(claim context.Context, x *handover) answered {
	patience := time.NewTimer(handoverPatience)
	defer patience.Stop()
	select {
	case a := <-x.told:
		return a
	case <-patience.C:
	case <-claim.Done():
	}
	if p.ends.withdraw(x) {
		return answered{}
	}
	return <-x.told // it is under way
}

// run calls the runtime; a panic of it is an error of this attempt alone.
func (p *Pool) run(ctx context.Context, c lifecycle.Claimed, runner runtime.Runner, log *slog.Logger) (o runtime.Outcome, err error) {
	defer func() {
		if r := recover(); r != nil { // what it says is for the operator: nobody knows what it holds
			log.ErrorContext(ctx, "a runtime crashed", "panic", r, "stack", string(debug.Stack()))
			err = errCrashed
		}
	}()
	a, err := p.attempt(c)
	if err != nil {
		return runtime.Outcome{}, err
	}
	return runner.Run(ctx, a)
}

// attempt is a claimed task as a runtime sees it.
func (p *Pool) attempt(c lifecycle.Claimed) (*runtime.Attempt, error) {
	spec, refs, err := c.Asked()
	if err != nil {
		return nil, err
	}
	org, t := c.Task.OrganizationID, c.Task
	var models *runtime.Models
	if c.Models != nil && p.url != nil {
		models = &runtime.Models{URL: p.url(), Token: c.Models.Token, Providers: c.Models.Providers}
	}
	return &runtime.Attempt{
		Models: models, Organization: org, TaskID: t.ID, Turn: t.Terms.Turn, Number: t.State().Attempt, TraceParent: c.TraceParent,
		Spec: spec, State: t.State(), Files: p.files.Files(org, t.ID, refs), Journal: journal{p.service, p.files, c},
		Agent: func(ctx context.Context) (agent.Agent, error) {
			return p.service.AgentOf(ctx, org, spec)
		},
		Earlier: func(ctx context.Context) iter.Seq2[runtime.Turn, error] { return p.earlier(ctx, t) },
		Past:    func(ctx context.Context, turn int) (runtime.Past, error) { return p.past(ctx, t, turn) },
		Written: func(ctx context.Context) ([]runtime.File, error) { return p.written(ctx, t) },
		Task:    func(ctx context.Context) (json.RawMessage, error) { return p.present(ctx, c.Snapshot) },
	}, nil
}

// written reads the outputs of a task's present turn.
func (p *Pool) written(ctx context.Context, t task.Task) ([]runtime.File, error) {
	outputs, err := whole(ctx, t, t.Terms.Turn, p.service.Outputs, func(o task.Output) int64 { return o.Seq })
	if err != nil {
		return nil, err
	}
	return p.files.Written(t.OrganizationID, outputs), nil
}

// turnsRead is how many turns one read asks for.
const turnsRead = 100

// earlier reads the turns before a task's present one.
func (p *Pool) earlier(ctx context.Context, t task.Task) iter.Seq2[runtime.Turn, error] {
	return func(yield func(runtime.Turn, error) bool) {
		for after := 0; after < t.Terms.Turn-1; {
			turns, err := p.service.Turns(ctx, t.OrganizationID, t.ID, after, min(turnsRead, t.Terms.Turn-1-after))
			if err == nil && len(turns) == 0 {
				err = lifecycle.NoTask(t.ID)
			}
			if err != nil {
				yield(runtime.Turn{}, err)
				return
			}
			for _, x := range turns {
				after = x.Number
				if !yield(runtime.Turn{Number: x.Number, Prompt: orEmpty(x.Prompt), Result: orEmpty(x.Result), Answers: x.Answers}, nil) {
					return
				}
			}
		}
	}
}

// past reads a turn before a task's present one, with all that it was asked.
func (p *Pool) past(ctx context.Context, t task.Task, turn int) (runtime.Past, error) {
	found, err := p.service.Turns(ctx, t.OrganizationID, t.ID, turn-1, 1)
	if err == nil && (len(found) == 0 || found[0].Number != turn) {
		err = lifecycle.NoTask(t.ID)
	}
	if err != nil {
		return runtime.Past{}, err
	}
	left, err := p.service.AsLeft(ctx, auth.All(t.OrganizationID), t.ID, found[0].FirstSeq)
	if err != nil {
		return runtime.Past{}, err
	}
	spec, _, err := left.Asked()
	if err != nil {
		return runtime.Past{}, err
	}
	given, err := p.files.Given(ctx, t.OrganizationID, t.ID, turn)
	if err != nil {
		return runtime.Past{}, err
	}
	steps, err := whole(ctx, t, turn, p.service.Steps, stepSeq)
	return runtime.Past{Spec: spec, State: left.Task.State(), Given: given, Steps: steps}, err
}

func orEmpty(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// outcome is how an attempt ended, for the service. What it has used counts whatever
// the end.
func outcome(o runtime.Outcome, err error) lifecycle.Outcome {
	end := lifecycle.Outcome{Reason: o.Reason, Result: &o.Result, Open: o.Open}
	if o.Result == "" && len(o.Open) > 0 {
		end.Result = nil
	}
	if err != nil {
		text := err.Error()
		end.Reason, end.Result, end.Open = task.EndWorkerError, &text, nil
	}
	end.Side = side(o.Usage)
	return end
}

// side is what an attempt has used as fields of a task, nil for nothing.
func side(u runtime.Usage) json.RawMessage {
	if u.Tokens == nil && len(u.Tools) == 0 {
		return nil
	}
	fields, _ := json.Marshal(struct { // numbers and names always encode
		Tokens *task.Tokens `json:"tokens,omitempty"`
		Tools  []string     `json:"used_tools,omitempty"`
	}{u.Tokens, u.Tools})
	return fields
}

// keepLease keeps the lease of an attempt, and cancels the attempt when it is told
// to stop or, before the lease runs out, when it could not be renewed (L3).
func (p *Pool) keepLease(ctx context.Context, cancel context.CancelCauseFunc, c lifecycle.Claimed) {
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
		case b.Do == task.StopWork:
			cancel(errTurnOver)
			return
		case b.Do != task.Continue:
			cancel(errToldToStop)
			return
		}
		limit.Reset(lease * 4 / 5)
	}
}

// journal is a runtime's, under the lease of its attempt. What it has said cannot be
// asked of it again, so an outage of the store is waited for; the end of the lease
// ends that as well.
type journal struct {
	service *lifecycle.Service
	files   FileOpener
	c       lifecycle.Claimed
}

var _ runtime.Journal = journal{}

// Progress implements runtime.Journal.
func (j journal) Progress(ctx context.Context, status string) error {
	return persist(ctx, func() error {
		return j.service.Progress(ctx, j.c.Task.OrganizationID, j.c.Task.ID, j.c.Token, status)
	})
}

// Chunk implements runtime.Journal.
func (j journal) Chunk(ctx context.Context, text string) error {
	e, err := lifecycle.ChunkOf(text)
	if err != nil {
		return err
	}
	return j.append(ctx, []lifecycle.NewEvent{e})
}

// Events implements runtime.Journal.
func (j journal) Events(ctx context.Context, events []runtime.Event) error {
	return j.append(ctx, newEvents(events))
}

func newEvents(events []runtime.Event) []lifecycle.NewEvent {
	list := make([]lifecycle.NewEvent, len(events))
	for i, e := range events {
		list[i] = lifecycle.NewEvent{Type: string(e.Type), Data: e.Data, ClientID: e.ClientID}
	}
	return list
}

func (j journal) append(ctx context.Context, events []lifecycle.NewEvent) error {
	who := lifecycle.Caller{Scope: auth.All(j.c.Task.OrganizationID)}
	return persist(ctx, func() error {
		_, err := j.service.Append(ctx, who, j.c.Task.ID, j.c.Token, events)
		return err
	})
}

// Steps implements runtime.Journal.
func (j journal) Steps(ctx context.Context) ([]task.Step, error) {
	return whole(ctx, j.c.Task, j.c.Task.Terms.Turn, j.service.Steps, stepSeq)
}

// Approvals implements runtime.Journal.
func (j journal) Approvals(ctx context.Context) ([]task.Approval, error) {
	return whole(ctx, j.c.Task, j.c.Task.Terms.Turn, j.service.ApprovalsOf, func(x task.Approval) int64 { return x.Seq })
}

func stepSeq(s task.Step) int64 { return s.Seq }

// listRead is how many of a list one read asks for.
const listRead = 1000

// whole reads all of a list of a task's turn, whose parts begin behind an event.
func whole[T any](ctx context.Context, t task.Task, turn int, read func(ctx context.Context, org, id string, turn int, after int64, limit int) ([]T, error), seq func(T) int64) ([]T, error) {
	var all []T
	for after := int64(0); ; {
		var some []T
		err := persist(ctx, func() (err error) {
			some, err = read(ctx, t.OrganizationID, t.ID, turn, after, listRead)
			return err
		})
		if err != nil || len(some) == 0 {
			return all, err
		}
		all, after = append(all, some...), seq(some[len(some)-1])
	}
}

// Commit implements runtime.Journal.
func (j journal) Commit(ctx context.Context, step task.Step) (task.Step, error) {
	return j.commit(ctx, lifecycle.NewStep{ID: step.ID, Kind: step.Kind, Body: step.Body})
}

func (j journal) commit(ctx context.Context, n lifecycle.NewStep) (committed task.Step, err error) {
	err = persist(ctx, func() (err error) {
		committed, _, err = j.service.CommitStep(ctx, j.c.Task.OrganizationID, j.c.Task.ID, j.c.Token, n)
		return err
	})
	return committed, err
}

// MaySpend implements runtime.Journal.
func (j journal) MaySpend(ctx context.Context, priced bool) error {
	return persist(ctx, func() error {
		return j.service.MaySpend(ctx, j.c.Task.OrganizationID, j.c.Task.ID, j.c.Task.Run.Number, priced)
	})
}

// Spend implements runtime.Journal.
func (j journal) Spend(ctx context.Context, id string, paid runtime.Paid) error {
	return persist(ctx, func() error {
		return j.service.Spend(ctx, j.c.Task.OrganizationID, j.c.Task.ID, id, paid.Use, partial(paid))
	})
}

// CommitWith implements runtime.Journal.
func (j journal) CommitWith(ctx context.Context, step task.Step, with runtime.With) (task.Step, error) {
	n := lifecycle.NewStep{ID: step.ID, Kind: step.Kind, Body: step.Body, Before: newEvents(with.Before)}
	if paid := with.Paid; paid != nil {
		n.Use, n.Partial, n.Last = &paid.Use, partial(*paid), paid.Last
	}
	if with.Then != nil {
		var events []lifecycle.NewEvent
		made := false // a commit may be tried more than once
		n.Then = func(kept json.RawMessage) ([]lifecycle.NewEvent, error) {
			if !made {
				then, err := with.Then(kept)
				if err != nil {
					return nil, err
				}
				events, made = newEvents(then), true
			}
			return events, nil
		}
	}
	return j.commit(ctx, n)
}

func partial(paid runtime.Paid) *string {
	if paid.Partial == "" {
		return nil
	}
	return &paid.Partial
}

// Offer implements runtime.Journal.
func (j journal) Offer(ctx context.Context, result string) (wrong []string, err error) {
	err = persist(ctx, func() (err error) {
		wrong, err = j.service.Offer(ctx, j.c.Task.OrganizationID, j.c.Task.ID, j.c.Token, result)
		return err
	})
	return wrong, err
}

// Ask implements runtime.Journal.
func (j journal) Ask(ctx context.Context, q task.Asked) (asked task.Approval, err error) {
	err = persist(ctx, func() error {
		done, err := j.service.AskPeople(ctx, j.c.Task.OrganizationID, j.c.Task.ID, j.c.Token, lifecycle.Asking{Asked: q, Stay: true})
		asked = done.Approval
		return err
	})
	return asked, err
}

// SubTask implements runtime.Journal.
func (j journal) SubTask(ctx context.Context, key string, s runtime.SubTask) (below runtime.Below, err error) {
	sub := lifecycle.Submission{Spec: task.Spec{AgentID: s.Agent, Input: task.Input{Text: &s.Prompt}}}
	sub.State.TriggeringAgentID = &j.c.Task.AgentID
	if s.Title != "" {
		sub.State.Title = &s.Title
	}
	err = persist(ctx, func() error {
		t, gone, err := j.service.SubTask(ctx, j.c.Task.OrganizationID, j.c.Task.ID, j.c.Token, key, sub)
		state := t.State()
		below = runtime.Below{ID: t.ID, Ended: t.Ended(), Gone: gone, Result: orEmpty(state.Result)}
		return err
	})
	return below, err
}

// Await implements runtime.Journal.
func (j journal) Await(ctx context.Context, w runtime.Wait) error {
	org, id := j.c.Task.OrganizationID, j.c.Task.ID
	return persist(ctx, func() error {
		done, err := j.service.Wait(ctx, org, id, j.c.Token, lifecycle.WaitFor{
			SubTasks: w.SubTasks, Approvals: w.Approvals, Any: w.Any, Until: w.Until, Side: side(w.Usage),
		})
		if err == nil && done.Waiting {
			err = runtime.ErrWaiting
		}
		return err
	})
}

// Output implements runtime.Journal.
func (j journal) Output(ctx context.Context, name string, content io.ReadSeeker) (written task.Output, err error) {
	err = persist(ctx, func() error {
		if _, err := content.Seek(0, io.SeekStart); err != nil {
			return err
		}
		written, err = j.files.Output(ctx, j.c.Task.OrganizationID, j.c.Task.ID, j.c.Token, name, content)
		return err
	})
	return written, err
}

// Give implements runtime.Journal.
func (j journal) Give(ctx context.Context, list []runtime.Given) error {
	return persist(ctx, func() error {
		return j.files.Give(ctx, j.c.Task.OrganizationID, j.c.Task.ID, j.c.Token, list)
	})
}

// Given implements runtime.Journal.
func (j journal) Given(ctx context.Context) (list []runtime.Given, err error) {
	err = persist(ctx, func() (err error) {
		list, err = j.files.Given(ctx, j.c.Task.OrganizationID, j.c.Task.ID, j.c.Task.Terms.Turn)
		return err
	})
	return list, err
}

// persist calls until the store has answered, or ctx ends.
func persist(ctx context.Context, call func() error) error {
	for {
		err := call()
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
