package task

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/errand-dev/errand/server/internal/fault"
)

// Patch is the Python client's PATCH: a lenient adapter in front of the strict
// transitions (rule S4). It never makes a task runnable and never wipes an end.
type Patch struct {
	// Full marks a body that is a whole task (Task.save, set_status, a
	// worker); without it the body is a person's deliberate, sparse act.
	Full bool
	// Status is what the body asks for, "" for nothing.
	Status Status
	// Number is a full body's execution_attempts.
	Number int
	// From is the attempt of that number, if there was one. It may be older
	// than those that the task itself knows.
	From   *Attempt
	Result *string
	// Side holds the fields of State that the body may write.
	Side json.RawMessage
	// Extension is merged into payload_extension.
	Extension json.RawMessage
	Adjusted  []string
	By        string
	// Retry lets another attempt follow one whose worker reports an error, if one may.
	Retry bool
	// Stands says that the caller counts as the attempt's worker (T6): only then
	// is the attempt the author of what changes.
	Stands bool
}

// echo begins the result that the client sends after it was answered 409 (S4).
const echo = "[409]"

func (c Patch) apply(d *draft) error {
	if !c.Full {
		return c.sparse(d)
	}
	if d.t.Earlier != nil { // an equal number proves nothing: that worker reloads before its last word
		c.From = d.t.Earlier
	}
	if c.From != nil && c.From.Fenced { // its worker speaks with its token: this is somebody else
		c.From = nil
	}
	if c.From != nil && c.reports() && !c.From.Reported {
		told := *c.From
		told.Reported = true
		d.keep(told)
		c.From = &told
	}
	stale := c.Number < d.t.state.ExecutionAttempts
	switch {
	case d.t.Earlier != nil:
		return c.leftover(d)
	case c.isEcho() && (stale || !d.heard()):
		if c.From != nil {
			d.letGo(*c.From)
		}
		return nil
	case stale:
		return c.stale(d)
	case d.t.ended != "":
		return c.afterEnd(d)
	default:
		return c.running(d)
	}
}

// Reports tells whether the patch is the first end that reaches us from an
// attempt on a Python worker.
func (c Patch) Reports() bool {
	return c.Full && c.reports() && c.From != nil && !c.From.Fenced && !c.From.Reported
}

// Attached tells whether the patch is the word of an attempt on a Python worker that
// still has its task.
func (c Patch) Attached() bool { return c.Full && c.From.Attached() && !c.From.Fenced }

// Ends tells whether the patch ends the turn of the task as it is, if its status
// does so at all: a body of an older attempt, or for an ended turn, does not.
func (c Patch) Ends(t Task) bool {
	return t.ended == "" && (!c.Full || t.Earlier == nil && c.Number >= t.state.ExecutionAttempts)
}

// reports tells whether it is an end by which a Python worker's attempt lets go (L10).
func (c Patch) reports() bool {
	return c.Status == Completed || c.Status == Failed || c.Status == Error
}

// isEcho tells whether it is what the client sends after it was answered 409.
func (c Patch) isEcho() bool {
	return c.Status == Error && c.Result != nil && strings.HasPrefix(*c.Result, echo)
}

// leftover is a full body while an attempt of an earlier turn may still write:
// it is taken for that attempt's, and changes nothing of this turn (T1b).
func (c Patch) leftover(d *draft) error {
	switch {
	case c.Status == Executing || c.Status == Paused:
		return fault.New(fault.Conflict, "an earlier attempt of this task, on worker %s, has not let go of it", c.From.WorkerID)
	case c.reports():
		d.letGo(*c.From)
		if !c.isEcho() {
			d.refuse(c.From, c.Status, c.Result, nil)
		}
	}
	return nil
}

// stale takes nothing but the title from a body that an earlier attempt wrote.
func (c Patch) stale(d *draft) error {
	if c.Status == Executing {
		return fault.New(fault.Conflict, "a later attempt owns this task")
	}
	if err := d.takeOnly(c, "title"); err != nil {
		return err
	}
	d.logChange(c.By)
	if c.Status.Ends() {
		if c.From != nil {
			d.letGo(*c.From)
		}
		d.refuse(c.From, c.Status, c.Result, nil)
	}
	return nil
}

// afterEnd freezes status and result, but for a paused display of a stop and
// a late worker's own end.
func (c Patch) afterEnd(d *draft) error {
	t := &d.t
	late := c.Status == Completed || c.Status == Failed
	switch {
	case c.Status == Executing:
		return fault.New(fault.Conflict, "the task has ended (%s)", t.ended)
	case c.Status == Paused:
		if t.ended == EndStopped && t.state.Status == Stopped {
			d.show(Paused, c.By)
		}
	case c.Status == Stopped:
		if t.ended == EndStopped {
			d.show(Stopped, c.By)
		}
	case late && t.ended == EndWorkerLost && c.From != nil && t.Run != nil && t.Run.Number == c.Number:
		return Settle{
			By: "late worker", Reason: PlainEnd(c.Status), Result: c.Result, Correct: true, Side: c.Side, Adjusted: c.Adjusted,
		}.apply(d)
	case c.Status.Ends():
		if c.From != nil {
			d.letGo(*c.From)
		}
		if t.state.Status != c.Status || c.Result != nil && !same(c.Result, t.state.Result) {
			d.refuse(c.From, c.Status, c.Result, nil)
		}
	}
	if err := d.takeOnly(c, "tokens", "used_tools", "duration", "internal_status", "title"); err != nil {
		return err
	}
	d.logChange(c.By)
	return nil
}

// extend merges what the body adds to the payload.
func (c Patch) extend(d *draft) error {
	if len(c.Extension) == 0 {
		return nil
	}
	merged, err := mergeJSON(d.t.state.PayloadExtension, c.Extension)
	if err != nil {
		return fault.Field("tool_call_payload_extension", "must be an object")
	}
	d.t.state.PayloadExtension = merged
	return nil
}

// running is a full body on a turn that has not ended.
func (c Patch) running(d *draft) error {
	t := &d.t
	if run := t.Run; c.Stands && c.From != nil && run.Live() && run.Number == c.From.Number {
		d.author = Author{Attempt: run.Number}
	}
	if c.Retry && c.Status == Error && d.heard() && d.mayFollow() {
		return d.tryAgain(Error, c.Result, c.Side, c.Adjusted, nil)
	}
	if err := d.take(c.Side, c.Result, c.Adjusted); err != nil {
		return err
	}
	if err := c.extend(d); err != nil {
		return err
	}
	switch c.Status {
	case "", Pending:
	case Executing:
		switch t.state.Status { //nolint:exhaustive // an ended turn does not come here
		case Pending:
			return d.start()
		case Paused:
			if !d.heard() {
				return fault.New(fault.Conflict, "the task is paused")
			}
		}
	case Paused:
		if t.state.Status == Paused { // a copy of what it is
			break
		}
		if err := (Pause{By: c.By}).apply(d); err != nil {
			return err
		}
	case Stopped:
		return RequestStop{By: c.By}.apply(d)
	case Completed, Failed, Error:
		if d.heard() {
			return d.finish(actFinish, PlainEnd(c.Status), OutcomeFinished)
		}
		return d.finish(actSettle, PlainEnd(c.Status), OutcomeOverruled)
	}
	d.logState(TaskUpdated, nil)
	return nil
}

// heard reports whether a Python worker's attempt is under way: no 409 of ours
// can have been its answer, and its end is the turn's.
func (d *draft) heard() bool {
	t := &d.t
	return t.ended == "" && t.Run.Live() && t.Run.Started() && !t.Run.Fenced
}

// Answer is the task as the client is to see it after its PATCH. A paused task
// whose attempt goes on is shown to it as executing: it copies the answer and
// would else report paused as its end (S4).
func (c Patch) Answer(t Task) Task {
	if c.Full && c.Status == Executing && t.ended == "" && t.state.Status == Paused {
		t.state.Status = Executing
	}
	if c.Retry && t.ended == "" { // another attempt follows: this one has ended as it says
		t.state.Status = Error
	}
	return t
}

// sparse is a person's deliberate act.
func (c Patch) sparse(d *draft) error {
	t := &d.t
	if err := c.extend(d); err != nil {
		return err
	}
	if c.Status == Completed || c.Status == Failed || c.Status == Error {
		return Settle{
			By: c.By, Reason: PlainEnd(c.Status), Result: c.Result,
			Correct: true, FromPending: true, Side: c.Side,
		}.apply(d)
	}
	if c.Status == Executing && t.ended != "" {
		return fault.New(fault.Conflict, "the task has ended (%s)", t.ended)
	}
	if err := d.take(c.Side, c.Result, nil); err != nil {
		return err
	}
	if t.ended != "" && c.Result != nil {
		if err := d.judge(t.ended); err != nil {
			return err
		}
	}
	switch c.Status {
	case Executing:
		return c.execute(d)
	case Paused:
		switch {
		case t.ended == "":
			if err := (Pause{By: c.By}).apply(d); err != nil {
				return err
			}
		case t.ended == EndStopped && t.state.Status == Stopped:
			t.state.Status = Paused
		}
	case Stopped:
		return RequestStop{By: c.By}.apply(d)
	case "", Pending, Completed, Failed, Error:
	}
	d.logChange(c.By)
	return nil
}

// execute is a person's word that the task is being executed: by nobody that
// the server knows (L8), unless an attempt already does.
func (c Patch) execute(d *draft) error {
	t := &d.t
	switch t.state.Status { //nolint:exhaustive // an ended turn does not come here
	case Pending:
		if t.Run.Live() { // assigned, not started: taken back
			d.endAttempt(OutcomeUnassigned)
			d.requeue(0)
		}
		return d.start()
	case Paused:
		return Resume{By: c.By}.rejoin(d)
	}
	d.logState(TaskUpdated, nil)
	return nil
}

// takeOnly takes the named fields of a body and nothing else.
func (d *draft) takeOnly(c Patch, names ...string) error {
	adjusted := slices.DeleteFunc(slices.Clone(c.Adjusted), func(name string) bool { return !slices.Contains(names, name) })
	return d.take(pick(c.Side, names...), nil, adjusted)
}

// pick keeps the named members of a JSON object.
func pick(object json.RawMessage, names ...string) json.RawMessage {
	all, some := members(object), map[string]json.RawMessage{}
	if all == nil {
		return nil
	}
	for _, n := range names {
		if v, ok := all[n]; ok {
			some[n] = v
		}
	}
	picked, err := json.Marshal(some)
	if err != nil {
		return nil
	}
	return picked
}

// mergeJSON lays one JSON object over another, member by member, all the way
// down. Numbers keep their digits.
func mergeJSON(base, over json.RawMessage) (json.RawMessage, error) {
	var b, o map[string]any
	for raw, into := range map[*json.RawMessage]*map[string]any{&base: &b, &over: &o} {
		if len(*raw) == 0 {
			continue
		}
		dec := json.NewDecoder(bytes.NewReader(*raw))
		dec.UseNumber()
		if err := dec.Decode(into); err != nil {
			return nil, err
		}
	}
	return json.Marshal(mergeMaps(b, o))
}

func mergeMaps(base, over map[string]any) map[string]any {
	if base == nil {
		base = map[string]any{}
	}
	for k, v := range over {
		below, isMap := v.(map[string]any)
		under, wasMap := base[k].(map[string]any)
		if isMap && wasMap {
			v = mergeMaps(under, below)
		}
		base[k] = v
	}
	return base
}
