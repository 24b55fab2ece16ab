package task

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/errand-dev/errand/server/internal/fault"
)

// Begin starts a turn: the first of a new task (applied to the zero Task), or
// the next of one that has ended (T1).
type Begin struct {
	Spec Spec
	// Title, Source and the other fields of State that a creator may give.
	State    State
	Priority int
	RunAt    Stamp
	// Numbered is the highest attempt number of a deleted task with this id: a
	// worker that still knows it must not be taken for a new one.
	Numbered int
	// TraceParent becomes the task's.
	TraceParent string
	// Owner and Group become those of a new task, unless it has a Parent: then
	// they are the parent's (A3).
	Owner, Group string
	Scoped       bool
	// Parent is the task of which this is to be a sub-task, nil for none, and for a
	// sub-task that stays where it is.
	Parent *Task
	// Sealed says that the turn has secrets.
	Sealed bool
	// Budget is the agent's, for a turn that has none and is below none.
	Budget *Budget
	// Key is the id of the key that begins the turn, "" for none.
	Key string
}

func (c Begin) apply(d *draft) error {
	t := &d.t
	if t.LastSeq > 0 && t.ended == "" {
		return fault.New(fault.Conflict, "the task has not ended: it is %s", t.state.Status)
	}
	// A new turn does not wait for the answer to an old stop: the log says that
	// it never came. A fenced attempt is thereby out; one on a Python worker may
	// still write, so the turn is not handed out before that lets go (T1b).
	if t.Run.Live() {
		d.abandon()
	}
	d.leave()
	if t.LastSeq == 0 {
		t.OrganizationID, t.ID, t.AgentID = c.Spec.OrganizationID, c.Spec.ID, c.Spec.AgentID
		t.CreatedAt, t.Owner, t.Group, t.Scoped = d.now, c.Owner, c.Group, c.Scoped
		if c.Parent != nil {
			t.Owner, t.Group, t.Scoped = c.Parent.Owner, c.Parent.Group, c.Parent.Scoped
		}
	}
	was := t.Terms.ParentID
	if err := c.stay(t); err != nil {
		return err
	}
	last := t.state
	c.Spec.Turn, c.Spec.CreatedAt = t.Terms.Turn+1, t.CreatedAt
	t.Terms, t.TraceParent, t.BegunAt = c.Spec.Terms(), c.TraceParent, d.now
	switch {
	case c.Parent != nil:
		t.RootID, t.Depth = c.Parent.RootID, c.Parent.Depth+1
	case was == "" || t.Terms.ParentID != was:
		t.RootID, t.Depth = t.ID, 0
	}
	t.Starts, t.Steps, t.Stop, t.ended, t.Sealed, t.Wait, t.Metered = 0, 0, Stop{}, "", c.Sealed, Wait{}, nil
	t.FirstSeq, t.TimeoutAt, t.Used = t.LastSeq+1, 0, 0
	t.ReadyAt, t.ExpiresAt = max(d.now, c.RunAt), 0
	if c.Spec.ExpiresIn > 0 {
		t.ExpiresAt = t.ReadyAt.Add(seconds(c.Spec.ExpiresIn))
	}
	t.state = c.State
	t.state.Normalize()
	t.state.Status = Pending
	t.state.Priority, t.state.RunAt = c.Priority, c.RunAt
	t.state.Attempt, t.state.ExecutionAttempts = 1, max(last.ExecutionAttempts, c.Numbered)+1
	t.state.WorkerID = t.Terms.PinnedWorkerID
	c.paidBy(t)
	if err := c.open(t, was); err != nil {
		return err
	}
	if t.state.Title == nil {
		t.state.Title = last.Title
	}
	if t.state.HarnessCLI == nil { // a thread stays on the harness that it began on
		t.state.HarnessCLI = last.HarnessCLI
	}
	if t.state.PermissionMode == nil {
		t.state.PermissionMode = last.PermissionMode
	}
	d.logged = State{}
	d.logged.Normalize()
	t.Again = Again{}
	d.spec, d.tags = d.marshal(c.Spec), slices.Compact(slices.Sorted(slices.Values(c.Spec.Tags)))
	d.logState(TaskCreated, nil)
	return nil
}

// stay lets a sub-task's next turn stand where the last one did, in what it leaves
// open.
func (c *Begin) stay(was *Task) error {
	spec := &c.Spec
	if spec.ParentExecution == nil && was.Terms.ParentID != "" {
		spec.ParentExecution = new(was.Terms.ParentID)
	}
	switch {
	case spec.ParentExecution == nil && spec.OnParentEnd != nil:
		return fault.Field("on_parent_end", "is for a sub-task: name its parent_execution as well")
	case spec.ParentExecution != nil && spec.OnParentEnd == nil:
		end := StopOnParentEnd
		if was.Terms.Keep {
			end = KeepOnParentEnd
		}
		spec.OnParentEnd = &end
	}
	return nil
}

// Assign hands the turn to a Python worker: it owns the task, which stays
// pending until the worker starts it (L1).
type Assign struct {
	Worker   string
	Lease    time.Duration
	MayRetry bool
	// SentAfter is the worker's count at this moment (L6).
	SentAfter int
}

func (c Assign) apply(d *draft) error {
	a := Attempt{
		WorkerID: c.Worker, MayRetry: c.MayRetry, SentAfter: c.SentAfter,
		Lease: c.Lease, LeaseUntil: d.now.Add(c.Lease),
	}
	if err := d.handOut(a); err != nil {
		return err
	}
	d.logState(TaskUpdated, nil)
	return nil
}

// Claim hands the turn to a fenced worker and starts it, in one commit (L1).
type Claim struct {
	Worker    string
	TokenHash string
	Lease     time.Duration
}

func (c Claim) apply(d *draft) error {
	a := Attempt{
		Fenced: true, WorkerID: c.Worker, TokenHash: c.TokenHash,
		Lease: c.Lease, LeaseUntil: d.now.Add(c.Lease),
	}
	if err := d.handOut(a); err != nil {
		return err
	}
	return d.start()
}

// handOut makes a the current attempt.
func (d *draft) handOut(a Attempt) error {
	t := &d.t
	if !t.Dispatchable() {
		return fault.New(fault.Conflict, "the task cannot be claimed: it is %s", t.state.Status)
	}
	if t.ReadyAt > d.now {
		return fault.New(fault.Conflict, "the task may not start before %s", t.ReadyAt)
	}
	a.Number, a.Turn, a.InTurn = t.state.ExecutionAttempts, t.Terms.Turn, t.state.Attempt
	a.AssignedAt, a.Reported = d.now, a.Fenced // a fenced worker's reports are told apart by their token
	t.Run = &a
	d.keep(a)
	t.Again.Why, t.Again.Wait = "", 0
	t.state.WorkerID = &a.WorkerID
	return nil
}

// start begins the current attempt, or execution without one (L8).
func (d *draft) start() error {
	t := &d.t
	if err := d.move(actStart, Executing); err != nil {
		return err
	}
	t.Starts++
	t.state.StartedAt = d.now
	d.limitTime()
	if t.Run.Live() {
		a := *t.Run
		a.StartedAt, a.LeaseUntil = d.now, d.now.Add(a.Lease)
		if !a.Fenced {
			a.GiveUpAt = d.now.Add(t.timeLeft())
		}
		d.keep(a)
		d.log(AttemptStarted, struct {
			Attempt int    `json:"attempt"`
			Number  int    `json:"execution_attempt"`
			Worker  string `json:"worker_id"`
		}{a.InTurn, a.Number, a.WorkerID})
	}
	d.logState(TaskUpdated, nil)
	return nil
}

// limitTime sets the moment at which executing ends by time-out (S7).
func (d *draft) limitTime() {
	t := &d.t
	t.TimeoutAt = 0
	if t.Terms.Timeout > 0 || t.Run.Live() && !t.Run.Fenced {
		t.TimeoutAt = d.now.Add(t.timeLeft())
	}
}

// timeLimit is how long the turn may execute, if there is a limit.
func (t *Task) timeLimit() time.Duration {
	return cmp.Or(seconds(t.Terms.Timeout), UnfencedTimeout).Truncate(time.Microsecond) // as moments are kept
}

// timeLeft is what of it was left when the turn last began to execute.
func (t *Task) timeLeft() time.Duration { return max(t.timeLimit()-t.Used, 0) }

// keepTime notes what the turn has used of its time-out when it ceases to execute.
func (d *draft) keepTime() {
	t := &d.t
	if t.TimeoutAt != 0 {
		t.Used = max(t.Used, t.timeLimit()-t.TimeoutAt.Sub(d.now))
		t.TimeoutAt = 0
	}
}

// spare leaves out of the time in which the turn is to start what has passed since it
// ceased to be pending, 0 for not at all: only that in which it is pending, and may
// run, counts (S7).
func (d *draft) spare(since Stamp) {
	if t := &d.t; since != 0 && t.ExpiresAt != 0 {
		t.ExpiresAt += max(d.now-max(since, t.state.RunAt), 0)
	}
}

// outOfTime reports whether the turn has executed for as long as it may: no other
// attempt is begun for it.
func (d *draft) outOfTime() bool {
	t := &d.t
	return t.state.Status == Executing && t.TimeoutAt != 0 && t.TimeoutAt <= d.now
}

// Finish is a fenced worker's own end of its attempt. After a stop it is the
// worker's acknowledgement.
type Finish struct {
	By       Writer
	Reason   EndReason
	Result   *string
	Side     json.RawMessage // fields of State
	Adjusted []string        // fields that had to be cut or dropped (S5)
	// Open are the calls of the caller's tools with which a completed turn ends (T10).
	Open []OpenCall
	// Retry lets another attempt follow a reason that is no success, if one may
	// (L4). Delay is until when, nil for the backoff of lost attempts.
	Retry bool
	Delay *time.Duration
	// Repeats says that the attempt has ended its turn in just this way: the
	// first answer may have been lost on the way.
	Repeats bool
	// Repair is how often a result that does not follow the task's schema is sent back
	// in the turn, and the attempt goes on: 0 ends it schema_mismatch at once.
	Repair int
}

func (c Finish) apply(d *draft) error {
	if !d.mayWrite(c.By) {
		a, err := d.tellLate(c.By.Attempt, c.Side)
		if err != nil || c.Repeats {
			return err
		}
		d.late(a, c.Reason.Status(), c.Result)
		return nil
	}
	if c.Reason == EndStopped {
		return fault.Field("status", "a worker may confirm a stop, but nobody has asked for one")
	}
	if c.Retry && d.mayFollow() {
		return d.tryAgain(c.Reason.Status(), c.Result, c.Side, c.Adjusted, c.Delay)
	}
	before := d.t.state
	if _, err := d.tell(*d.t.Run, c.Side, c.Result, c.Adjusted); err != nil {
		return err
	}
	if c.Reason == EndCompleted && len(c.Open) > 0 {
		d.t.state.OpenCalls = c.Open
	}
	if err := d.judge(c.Reason); err != nil {
		return err
	}
	if c.Reason == EndCompleted && len(c.Open) == 0 && d.mismatch() {
		if d.sendBack(before, c.Repair) {
			return nil
		}
		c.Reason = EndSchemaMismatch
	}
	return d.finish(actFinish, c.Reason, OutcomeFinished)
}

// mayFollow reports whether another attempt may follow one that has started.
func (d *draft) mayFollow() bool { return d.t.Starts < d.t.Terms.MaxAttempts && !d.outOfTime() }

// tryAgain ends an attempt with the error that its worker told, which is not the
// turn's end, and queues the turn for another; a paused one stays paused.
func (d *draft) tryAgain(status Status, result *string, side json.RawMessage, adjusted []string, delay *time.Duration) error {
	t := &d.t
	whole := slices.DeleteFunc(slices.Clone(adjusted), func(name string) bool { return name == "result" })
	var err error
	if t.Run.Fenced {
		_, err = d.tell(*t.Run, side, nil, whole)
	} else {
		err = d.take(side, nil, whole)
	}
	if err != nil {
		return err
	}
	a := *t.Run
	d.endAttempt(OutcomeFailed)
	t.Again.GivenBack = 0
	reason := "its worker reported " + string(status)
	if result != nil && *result != "" {
		reason += ": " + *cut(result, maxRefusedResult)
	}
	d.logLost(a, reason)
	if t.state.Status == Paused {
		return nil
	}
	wait := Backoff(t.Starts)
	if delay != nil {
		wait = *delay
	}
	return d.queueAgain(a, reason, wait)
}

// queueAgain makes an executing turn wait for the attempt after a.
func (d *draft) queueAgain(a Attempt, reason string, wait time.Duration) error {
	if err := d.move(actRequeue, Pending); err != nil {
		return err
	}
	d.requeue(wait)
	why := fmt.Sprintf("attempt %d: %s", a.InTurn, reason)
	d.t.Again.Why = *cut(&why, maxWhy)
	d.logState(TaskUpdated, nil)
	return nil
}

// finish ends the turn and its attempt.
func (d *draft) finish(do action, reason EndReason, outcome Outcome) error {
	if err := d.move(do, reason.Status()); err != nil {
		return err
	}
	if err := d.judge(reason); err != nil {
		return err
	}
	d.t.ended, d.t.state.EndReason, d.t.state.FinishedAt = reason, reason, d.now
	d.t.TimeoutAt, d.t.ExpiresAt, d.t.Wait = 0, 0, Wait{}
	d.closeAll()
	// An attempt that is told to stop stays live until it answers or is given up.
	if d.t.Run.Live() && !(reason == EndStopped && d.t.Run.Started()) {
		d.endAttempt(outcome)
	}
	var extra any
	if told := d.t.state.Adjusted; len(told) > 0 && slices.Equal(told, d.logged.Adjusted) {
		extra = map[string][]string{"adjusted": told} // an end says what of it is not whole, told before or not
	}
	d.logState(TaskFinished, extra)
	switch {
	case do == actBudget:
		d.descend(Descent{At: d.now, By: d.t.by(), All: true, To: DescentEnds})
	case reason == EndStopped:
		d.descend(Descent{At: d.now, By: d.t.Stop.By, All: true})
	default:
		d.descend(Descent{At: d.now, By: "parent " + d.t.ID})
	}
	return nil
}

// endAttempt takes the turn from the current attempt. A fenced attempt, and
// one that never started, ended itself or was given up, has thereby let go (L10).
func (d *draft) endAttempt(outcome Outcome) {
	a := *d.t.Run
	a.EndedAt, a.Outcome = d.now, outcome
	switch outcome {
	case OutcomeFinished, OutcomeWaiting, OutcomeLost, OutcomeReleased, OutcomeFailed, OutcomeTimedOut:
		a.LetGoAt = d.now
	case OutcomeUnassigned, OutcomePaused, OutcomeStopped, OutcomeAbandoned, OutcomeOverruled:
		if a.Fenced || !a.Started() {
			a.LetGoAt = d.now
		}
	}
	d.keep(a)
}

// Lose gives up an attempt whose lease ran out, or which its worker no longer
// runs. If the turn was the attempt's, another follows after a backoff, or the
// turn ends if none may (L4); a paused turn stays paused.
type Lose struct {
	// Number is the attempt's; one that has let go already is passed over.
	Number int
	// Over says that its worker has told it to be over, but never how (L6, L7).
	Over bool
	// Reason says for the log why, for example "the lease ran out".
	Reason string
}

func (c Lose) apply(d *draft) error {
	t := &d.t
	given := t.attempt(c.Number)
	if given == nil || !given.Attached() && (given.Reported || !c.Over) {
		return nil
	}
	a := *given
	a.Reported = a.Reported || c.Over
	d.keep(a)
	if !a.Live() || t.ended != "" || a.Number != t.state.ExecutionAttempts {
		return c.afterwards(d, a)
	}
	d.endAttempt(OutcomeLost)
	t.Again.GivenBack = 0
	if !a.Started() {
		t.Run.Outcome = OutcomeUnassigned
		d.keep(*t.Run)
		d.requeue(0)
		d.logState(TaskUpdated, nil)
		return nil
	}
	d.logLost(a, c.Reason)
	switch {
	case t.state.Status == Paused:
		return nil
	case d.outOfTime():
		return d.finish(actTimeout, EndTimeout, OutcomeTimedOut)
	}
	if (a.Fenced || a.MayRetry) && d.mayFollow() {
		return d.queueAgain(a, c.Reason, Backoff(t.Starts))
	}
	return d.finish(actGiveUp, EndWorkerLost, OutcomeLost)
}

// afterwards gives up an attempt whose turn is not, or no longer, its own. What
// its worker told to be over has let go by itself, which answers a stop; a fenced
// worker may still acknowledge one until Tick gives that up.
func (c Lose) afterwards(d *draft, a Attempt) error {
	switch {
	case c.Over:
		d.letGo(a)
	default:
		if a.LeaseUntil = 0; !a.Fenced {
			a.LetGoAt = d.now
		}
		d.keep(a)
	}
	return nil
}

// Knows reports whether the attempt of that number may still hold the task.
func (t *Task) Knows(number int) bool { return t.attempt(number) != nil }

// attempt is the task's attempt of that number, of those that may still hold it.
func (t *Task) attempt(number int) *Attempt {
	for _, a := range []*Attempt{t.Run, t.Earlier} {
		if a != nil && a.Number == number {
			return a
		}
	}
	return nil
}

// leave parts the turn from its attempt, which stays behind if it may still run.
func (d *draft) leave() {
	if run := d.t.Run; run.Attached() {
		d.t.Earlier = run
	}
	d.t.Run = nil
}

// Release takes the turn from an attempt whose worker gives it back: it is
// queued again at once and, being no loss, is not counted (L4). A worker that
// was told to stop has thereby let go. One that is given back again and again ends
// worker_lost: nobody gets on with it.
type Release struct {
	Reason string
	// Delay is how long no other attempt may begin.
	Delay time.Duration
	// Side is what the attempt tells of itself: fields of State.
	Side     json.RawMessage
	Adjusted []string
}

func (c Release) apply(d *draft) error {
	t := &d.t
	if !t.Run.Live() {
		return nil
	}
	if t.ended != "" {
		a, err := d.tellLate(t.Run, c.Side)
		if err == nil {
			d.letGo(*a)
		}
		return err
	}
	a, err := d.tell(*t.Run, c.Side, nil, c.Adjusted)
	if err != nil {
		return err
	}
	d.endAttempt(OutcomeReleased)
	d.logLost(a, c.Reason)
	if d.outOfTime() {
		return d.finish(actTimeout, EndTimeout, OutcomeTimedOut)
	}
	if t.Again.GivenBack++; t.Again.GivenBack >= MaxGivenBack {
		return d.finish(actGiveUp, EndWorkerLost, OutcomeReleased)
	}
	t.Starts--
	return d.queueAgain(a, c.Reason, c.Delay)
}

// logLost says that an attempt is over without an end of its own.
func (d *draft) logLost(a Attempt, reason string) {
	d.log(AttemptLost, struct {
		Attempt int    `json:"attempt"`
		Number  int    `json:"execution_attempt"`
		Worker  string `json:"worker_id"`
		Reason  string `json:"reason"`
	}{a.InTurn, a.Number, a.WorkerID, reason})
}

// requeue makes the task wait for its next attempt.
func (d *draft) requeue(wait time.Duration) {
	t := &d.t
	d.spare(cmp.Or(t.state.StartedAt, t.state.PausedAt))
	d.keepTime()
	if t.Run != nil { // its number has been handed out
		t.state.ExecutionAttempts++
		t.state.Attempt++
		d.leave()
	}
	t.state.StartedAt, t.Again.Wait = 0, wait
	t.state.WorkerID = t.Terms.PinnedWorkerID
	if wait > 0 {
		t.ReadyAt = d.now.Add(wait)
	}
}

// Pause holds the turn until it is resumed (S6). One that waits goes on when both are
// over.
type Pause struct {
	By string `json:"by"`
	// Cause is "" where somebody just wants it.
	Cause Cause `json:"cause,omitempty"`
	// Cap is the one that holds it, nil for none.
	Cap *Capped `json:"cap,omitempty"`
}

func (c Pause) apply(d *draft) error {
	t := &d.t
	if t.ended == "" && t.state.Status == Paused {
		switch a := t.Account; {
		case t.Waits() && !t.Wait.Paused:
			t.Wait.Paused = true
		case !t.Waits() && a != nil && a.Exhausted && !a.Paused:
			d.account().Paused = true
		default:
			return nil
		}
		d.log(TurnPaused, c)
		return nil
	}
	if err := d.move(actPause, Paused); err != nil {
		return err
	}
	t.state.PausedAt = d.now
	d.keepTime()
	if t.Run.Live() {
		if t.Run.Fenced || !t.Run.Started() {
			d.endAttempt(OutcomePaused)
		} // else it cannot be told and may go on (L10)
	}
	d.log(TurnPaused, c)
	d.logState(TaskUpdated, nil)
	return nil
}

// Resume lets a paused turn go on: with its unfenced attempt if that never
// let go, else with its next attempt (S6). One that somebody has paused while it
// waited waits on; one that only waits goes on although nothing has come (S9).
type Resume struct{ By string }

func (c Resume) apply(d *draft) error {
	if d.t.Wait.Paused {
		d.t.Wait.Paused = false
		d.log(TurnResumed, by(c))
		return nil
	}
	if a := d.account(); a != nil {
		a.Exhausted, a.Paused = false, false
	}
	if d.t.Run.Live() { // only an unfenced, started attempt stays live while paused
		return c.rejoin(d)
	}
	if err := d.move(actResume, Pending); err != nil {
		return err
	}
	if run := d.t.Run; run.Started() && run.Outcome == OutcomePaused { // held, not lost: not counted (L4)
		d.t.Starts--
	}
	d.requeue(0)
	return c.log(d)
}

// rejoin goes on with the attempt that never let go, or with none (L8).
func (c Resume) rejoin(d *draft) error {
	if err := d.move(actRejoin, Executing); err != nil {
		return err
	}
	t := &d.t
	if t.Run.Live() {
		d.renew()
	}
	if t.state.StartedAt == 0 {
		d.spare(t.state.PausedAt)
		t.state.StartedAt = d.now
	}
	d.limitTime()
	return c.log(d)
}

func (c Resume) log(d *draft) error {
	d.t.state.PausedAt, d.t.Wait = 0, Wait{}
	d.log(TurnResumed, by(c))
	d.logState(TaskUpdated, nil)
	return nil
}

// RequestStop ends the turn stopped, at once for every reader (X1). The
// attempt that runs is told, and its answer is awaited for one lease (X2). An
// ended task is left as it is, except that one shown as paused is shown as
// stopped again (S4). The stop goes on to all that is below the task.
type RequestStop struct{ By string }

func (c RequestStop) apply(d *draft) error {
	t := &d.t
	if t.ended != "" {
		d.show(t.ended.Status(), c.By)
		d.descend(Descent{At: d.now, By: c.By, All: true})
		return nil
	}
	t.Stop = Stop{RequestedAt: d.now, By: c.By}
	d.log(StopRequested, by(c))
	t.state.IsManuallyStopped = true
	if err := d.finish(actStop, EndStopped, OutcomeStopped); err != nil {
		return err
	}
	if !t.Run.Live() {
		d.confirm()
		return nil
	}
	t.Stop.Until = d.now.Add(t.Run.Lease)
	return nil
}

// confirm notes that no attempt runs any more.
func (d *draft) confirm() {
	d.t.Stop.ConfirmedAt = d.now
	d.log(StopConfirmed, struct{}{})
}

// abandon gives up waiting for the answer to a stop.
func (d *draft) abandon() {
	if d.t.Run.Live() {
		d.endAttempt(OutcomeAbandoned)
	}
	if !d.t.Stop.Settled() {
		d.t.Stop.AbandonedAt = d.now
		d.log(StopAbandoned, struct{}{})
	}
}

// Tick lets a deadline pass: Alarm says when there is one.
type Tick struct {
	// Renewed is when a server could be reached again, as for Attempt.Lapsed: the
	// answer to a stop is awaited for one lease.
	Renewed Stamp
}

func (c Tick) apply(d *draft) error {
	t := &d.t
	if at := t.tickAt(); at == 0 || at > d.now {
		return nil
	}
	switch {
	case t.ended != "":
		if until := c.Renewed.Add(t.Run.Lease); t.Run.Live() && until > d.now {
			t.Stop.Until = until // or it would be looked at again and again
			return nil
		}
		d.abandon()
		return nil
	case t.state.Status == Pending:
		return d.finish(actExpire, EndExpired, OutcomeOverruled)
	case t.Waits() && t.Wait.Until != 0 && t.Wait.Until <= d.now:
		if t.Wait.Cap != nil {
			return Uncap{By: "the next " + string(t.Wait.Cap.Period)}.apply(d)
		}
		return d.wake()
	case t.state.Status == Paused:
		return Lose{Number: t.Run.Number, Reason: "its time-out has passed"}.apply(d)
	case !d.outOfTime(): // of a budget
		a := d.account()
		d.count(a)
		a.Until = 0
		return nil
	default:
		return d.finish(actTimeout, EndTimeout, OutcomeTimedOut)
	}
}

// Settle is a person's decision how a turn ends. With Correct it may also
// change how an ended turn is shown to have ended (S1, S4).
type Settle struct {
	By      string
	Reason  EndReason
	Result  *string
	Correct bool
	Side    json.RawMessage // fields of State
	// Adjusted names what a late worker's end gave otherwise (S5).
	Adjusted []string
	// FromPending also lets a turn that is pending or paused be settled (S4, sparse).
	FromPending bool
}

func (c Settle) apply(d *draft) error {
	t := &d.t
	if t.ended == "" && t.state.Status != Executing && !c.FromPending {
		return fault.New(fault.Conflict, "cannot end a %s task as %s: stop it instead", t.state.Status, c.Reason.Status())
	}
	if t.ended != "" && !c.Correct {
		return fault.New(fault.Conflict, "the task has ended (%s): only an override may correct that", t.ended)
	}
	if err := d.take(c.Side, c.Result, c.Adjusted); err != nil {
		return err
	}
	if t.ended == "" {
		return d.finish(actSettle, c.Reason, OutcomeOverruled)
	}
	if err := d.judge(c.Reason); err != nil {
		return err
	}
	t.ended, t.state.EndReason = c.Reason, c.Reason
	t.state.Status = c.Reason.Status()
	d.logState(Override, by{c.By})
	return nil
}

// show changes how an ended turn is shown, and only that (S4).
func (d *draft) show(s Status, who string) {
	d.t.state.Status = s
	d.logState(Override, by{who})
}

type by struct {
	By string `json:"by"`
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
