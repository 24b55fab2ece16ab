package task

import (
	"cmp"
	"encoding/json"
	"slices"

	"github.com/errand-dev/errand/server/internal/fault"
)

// Writer is who writes to a task.
type Writer struct {
	// Fenced says that the writer showed a lease token, which belongs to
	// Attempt. A writer without one is a person or a Python worker.
	Fenced  bool
	Attempt *Attempt
	// Stands says that a writer without a token counts as the holder where no
	// token exists (T6).
	Stands bool
}

// mayWrite reports whether the holder's attempt owns the running turn, and
// renews its lease if so (L2).
func (d *draft) mayWrite(h Writer) bool {
	t := &d.t
	if t.ended != "" {
		return false
	}
	if !h.Fenced { // while an earlier attempt may still write, nobody knows whose it is (T1b)
		if run := t.Run; t.Earlier == nil && run.Live() && run.Started() && !run.Fenced && h.Stands {
			d.author = Author{Attempt: run.Number}
		}
		return t.Earlier == nil
	}
	if h.Attempt == nil || !t.Run.Live() || t.Run.Number != h.Attempt.Number {
		return false
	}
	d.author = Author{Attempt: t.Run.Number}
	d.renew()
	return true
}

// mayPush refuses a writer without a token who is not the holder. One that stands
// for a worker is, as long as no attempt has a token: that is for an attempt on a
// Python worker, and for a turn that nobody was given (T6, L8). Whether the turn
// still takes anything is another question: nobody else's write is a late one.
func (t *Task) mayPush(h Writer) error {
	if t.stands(h) {
		return nil
	}
	return fault.New(fault.Forbidden,
		"an attempt's events are written under its lease: send its lease_token; without one only %s may be written", AgentMessage)
}

func (t *Task) stands(h Writer) bool {
	return h.Stands && (t.ended != "" || !t.Run.Attached() || !t.Run.Fenced)
}

// unnamed is the attempt that a write without a token is taken for.
func (t *Task) unnamed() *Attempt { return cmp.Or(t.Earlier, t.Run) }

func (d *draft) renew() {
	a := *d.t.Run
	a.LeaseUntil = d.now.Add(a.Lease)
	d.keep(a)
}

// late answers an end, or an event (status ""), that came too late. By its
// end an attempt lets go of a stopped turn, which confirms the stop (X2).
func (d *draft) late(a *Attempt, status Status, result *string) {
	t := &d.t
	current := a != nil && t.Run != nil && t.Run.Number == a.Number
	if status.Ends() && a != nil {
		d.letGo(*a)
		if directive, err := t.Directive(a); status == Stopped && err == nil && directive != Continue {
			return // it was told to let go and says that it has
		}
	}
	if current {
		a = t.Run
	}
	d.refuse(a, status, result,
		fault.New(fault.Conflict, "this attempt no longer owns the task, which is %s", t.state.Status))
}

func same(a, b *string) bool {
	return a == b || a != nil && b != nil && *a == *b
}

// letGo notes that an attempt runs no more (L10); if it was the one that a
// stop waits for, the stop is confirmed.
func (d *draft) letGo(a Attempt) {
	t := &d.t
	before := a
	current := t.Run != nil && t.Run.Number == a.Number
	if a.LetGoAt == 0 {
		a.LetGoAt = d.now
	}
	if current && a.Live() && t.ended != "" {
		a.EndedAt, a.Outcome = d.now, OutcomeStopped
	}
	if a != before {
		d.keep(a)
	}
	if current && !a.Live() && t.ended != "" && !t.Stop.Settled() {
		d.confirm()
	}
}

// Renew is a heartbeat: it holds the lease. Nothing is logged but what it says of
// the task besides, which counts while its attempt is to go on.
type Renew struct {
	By       Writer
	Side     json.RawMessage // fields of State
	Adjusted []string
}

func (c Renew) apply(d *draft) error {
	directive, err := d.t.Directive(c.By.Attempt)
	if err != nil && c.By.Attempt == nil {
		return err
	}
	d.refused = err
	if d.t.Run.Live() && d.t.Run.Number == c.By.Attempt.Number {
		d.renew()
	}
	switch {
	case err != nil, directive != Continue:
		_, err := d.tellLate(c.By.Attempt, c.Side)
		return err
	case len(c.Side) == 0 && len(c.Adjusted) == 0:
		return nil
	}
	d.author = Author{Attempt: c.By.Attempt.Number}
	if _, err := d.tell(*d.t.Run, c.Side, nil, c.Adjusted); err != nil {
		return err
	}
	d.logState(TaskUpdated, nil)
	return nil
}

// Directive is what the answer to a heartbeat tells the worker to do.
type Directive string

// The directives.
const (
	Continue  Directive = "continue"
	StopWork  Directive = "stop"
	PauseWork Directive = "pause"
)

// Directive tells what a fenced attempt is to do. A superseded attempt, or one
// that has ended its turn itself, gets a Conflict (L3).
func (t *Task) Directive(a *Attempt) (Directive, error) {
	if a == nil {
		return "", fault.New(fault.Conflict, "no attempt of this task has that lease token")
	}
	if a.Live() {
		if t.ended != "" {
			return StopWork, nil
		}
		return Continue, nil
	}
	switch a.Outcome {
	case OutcomeStopped, OutcomeAbandoned, OutcomeTimedOut, OutcomeOverruled:
		return StopWork, nil
	case OutcomePaused, OutcomeWaiting:
		return PauseWork, nil
	case OutcomeFinished, OutcomeLost, OutcomeReleased, OutcomeFailed, OutcomeUnassigned:
	}
	return "", fault.New(fault.Conflict, "this attempt no longer owns the task (%s)", a.Outcome)
}

// Append continues the log with a worker's or a pusher's events (T6).
type Append struct {
	By     Writer
	Events []Event // Type, Own and ClientID are taken
}

func (c Append) apply(d *draft) error {
	may := d.mayWrite(c.By)
	if len(c.Events) == 0 && (c.By.Attempt != nil || !c.By.Fenced) {
		return nil // all of it was written before: the first answer was lost
	}
	if !c.By.Fenced && slices.ContainsFunc(c.Events, func(e Event) bool { return e.Type != AgentMessage }) {
		if err := d.t.mayPush(c.By); err != nil {
			return err
		}
	}
	if !may {
		a := c.By.Attempt
		if !c.By.Fenced {
			a = d.t.unnamed()
		}
		d.late(a, "", nil)
		return nil
	}
	for _, e := range c.Events {
		if e.Type == StepDone && d.author.Attempt > 0 {
			d.t.Again.GivenBack = 0
		}
		own := d.author
		if e.Type == AgentMessage && !c.By.Fenced { // a person's, whoever executes the task
			own = Author{}
		}
		d.add(Event{Type: e.Type, Own: e.Own, ClientID: e.ClientID, Author: own})
	}
	return nil
}

// Edit changes fields that decide no status. On an ended task what it changes
// is logged as an override, since nothing else may follow there (T3).
type Edit struct {
	By       Writer
	Who      string
	Side     json.RawMessage // fields of State
	Adjusted []string
	Priority *int
	RunAt    *Stamp
}

func (c Edit) apply(d *draft) error {
	t := &d.t
	if c.By.Fenced && !d.mayWrite(c.By) {
		d.late(c.By.Attempt, "", nil)
		return nil
	}
	if (c.Priority != nil || c.RunAt != nil) && (t.ended != "" || t.state.Status != Pending) {
		return fault.New(fault.Conflict, "priority and run_at can only be changed while the task is pending")
	}
	if err := d.take(c.Side, nil, c.Adjusted); err != nil {
		return err
	}
	if c.Priority != nil {
		t.state.Priority = *c.Priority
	}
	if c.RunAt != nil {
		if t.ExpiresAt != 0 { // with what is left of the time that counts: that in which it may run (S7)
			t.ExpiresAt += max(*c.RunAt, d.now) - max(t.state.RunAt, d.now)
		}
		t.state.RunAt, t.ReadyAt = *c.RunAt, max(*c.RunAt, d.now)
	}
	d.logChange(c.Who)
	return nil
}

// logChange logs changed fields in the way that the turn's state allows.
func (d *draft) logChange(who string) {
	if d.t.ended != "" {
		d.logState(Override, by{who})
		return
	}
	d.logState(TaskUpdated, nil)
}

// AddChild counts a new sub-task. An ended parent takes none: a stop that has
// cascaded must not be outrun. Sub-tasks are rows of their own; the parent's log
// does not grow with them.
type AddChild struct{}

func (AddChild) apply(d *draft) error {
	if d.t.ended != "" {
		return fault.New(fault.Conflict, "the parent task has ended (%s)", d.t.ended)
	}
	d.t.Subtasks++
	return nil
}
