package task

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/errand-dev/errand/server/internal/fault"
)

// Command is something that happens to a task. The commands are a closed set
// of this package.
type Command interface {
	apply(d *draft) error
}

// Change is what a command decided. All of it is committed together, or none.
type Change struct {
	Task Task
	// Events continue the log, in order.
	Events []Event
	// Attempts are to be inserted or overwritten by their number.
	Attempts []Attempt
	// Turn is what changes in the row of the turn, nil for nothing.
	Turn *TurnChange
	// Steps are those that its events commit.
	Steps []Step
	// Outputs are those that its events tell of.
	Outputs []Output
	// Given is what its events tell to have been given of files.
	Given []Given
	// Asked are the approvals that its events ask for, and Settled those that are open
	// no more.
	Asked   []Approval
	Settled []Settled
	// Refused, if not nil, is the caller's answer although the change
	// stands: the refusal itself is part of the log.
	Refused error

	// quiet says that the task has changed although no event tells of it.
	quiet bool
}

// TurnChange is what a change writes into the row of a turn, which keeps once
// what is long: parts that are nil stay as they are.
type TurnChange struct {
	Number int
	// Begun makes the row.
	Begun *TurnBegun
	// Ended says how the turn ended, for good: what an override shows instead is
	// in the task.
	Ended *TurnEnded
	// Result replaces the result, and Shown what an override shows in its place.
	Result, Shown *TurnResult
}

// TurnBegun is a turn's beginning.
type TurnBegun struct {
	Spec     json.RawMessage
	FirstSeq int64
	// Tags are the spec's, each once.
	Tags []string
}

// TurnEnded is a turn's end.
type TurnEnded struct {
	Status     Status
	Reason     EndReason
	Attempts   int
	Tokens     *Tokens
	StartedAt  Stamp
	FinishedAt Stamp
	LastSeq    int64
}

// TurnResult is a result, nil for none.
type TurnResult struct{ Text *string }

// Spec is the JSON of the turn that the change began, nil if it began none.
func (c Change) Spec() json.RawMessage {
	if c.Turn == nil || c.Turn.Begun == nil {
		return nil
	}
	return c.Turn.Begun.Spec
}

// Sign names who wrote those of the change's events that no attempt has written.
func (c Change) Sign(by string) {
	for i := range c.Events {
		if c.Events[i].Author == (Author{}) {
			c.Events[i].Author.By = by
		}
	}
}

// Empty reports whether there is nothing to store.
func (c Change) Empty() bool { return len(c.Events) == 0 && len(c.Attempts) == 0 && !c.quiet }

// EndedAttempts are those that ceased to own their turn by the change.
func (c Change) EndedAttempts() []Attempt {
	if len(c.Events) == 0 {
		return nil
	}
	var ended []Attempt
	for _, a := range c.Attempts {
		if a.EndedAt == c.Events[0].Time {
			ended = append(ended, a)
		}
	}
	return ended
}

// Apply carries out one command at the moment now. It is pure: the given task
// is not changed, and an error means that nothing changes.
func Apply(t Task, c Command, now Stamp) (Change, error) {
	d := &draft{t: t, now: now, logged: t.state}
	if err := c.apply(d); err != nil {
		return Change{}, err
	}
	if d.err != nil {
		return Change{}, d.err
	}
	d.book(t)
	if len(d.events) > 0 {
		d.t.UpdatedAt = now
	}
	d.t.Sealed = d.t.Sealed && !d.t.LetGo()
	return Change{
		Task: d.t, Events: d.events, Attempts: d.attempts, Turn: d.turn, Steps: d.steps, Outputs: d.outputs, Given: d.given, Asked: d.asked, Settled: d.settled,
		Refused: d.refused, quiet: d.t.changedQuietly(t),
	}, nil
}

// draft is a change in the making.
type draft struct {
	t        Task
	now      Stamp
	logged   State           // the state as the log tells it so far
	spec     json.RawMessage // of a turn that begins
	tags     []string        // likewise
	events   []Event
	attempts []Attempt
	turn     *TurnChange
	steps    []Step
	outputs  []Output
	given    []Given
	asked    []Approval
	settled  []Settled
	author   Author // of the events that follow, if an attempt writes them
	judged   *Judged
	cost     float64 // of models that were used
	refused  error
	err      error
}

// log appends an event whose data does not touch the state.
func (d *draft) log(typ Type, data any) {
	raw, ok := data.(json.RawMessage)
	if !ok {
		raw = d.marshal(data)
	}
	d.add(Event{Type: typ, Own: raw, Author: d.author})
}

// logState appends an event that carries what has changed in the state since
// the log last spoke of it, and the members of extra. An update without any
// change is not logged.
func (d *draft) logState(typ Type, extra any) {
	e := Event{Type: typ}
	skip := ""
	switch typ { //nolint:exhaustive // the other types keep nothing in the turn
	case TaskCreated:
		e.Kept = d.spec
	case TaskFinished:
		if e.Kept, d.err = KeptResult(d.t.state.Result); d.err != nil {
			return
		}
		skip = "result"
	}
	patch := diff(&d.logged, &d.t.state, skip)
	if len(patch) == 0 && (typ == TaskUpdated || typ == Override) {
		return
	}
	e.Own = d.object(patch)
	if extra != nil {
		e.Own = Splice(e.Own, d.marshal(extra))
	}
	d.logged = d.t.state
	e.Author = d.author
	d.add(e)
	d.keepTurn(typ, patch)
}

// keepTurn notes what an event about the state leaves in the row of its turn.
// After the end a result stands beside the first one, which task_finished goes on
// showing.
func (d *draft) keepTurn(typ Type, patch []member) {
	state := d.t.state
	if d.turn == nil || d.turn.Number != d.t.Terms.Turn {
		d.turn = &TurnChange{Number: d.t.Terms.Turn}
	}
	changed := slices.ContainsFunc(patch, func(m member) bool { return m.name == "result" })
	switch typ { //nolint:exhaustive // the other types keep nothing in the turn
	case TaskCreated:
		d.turn.Begun = &TurnBegun{Spec: d.spec, FirstSeq: d.t.FirstSeq, Tags: d.tags}
	case TaskFinished:
		d.turn.Result = &TurnResult{state.Result}
		d.turn.Ended = &TurnEnded{
			Status: state.Status, Reason: state.EndReason, Attempts: state.Attempt, Tokens: state.Tokens,
			StartedAt: state.StartedAt, FinishedAt: state.FinishedAt, LastSeq: d.t.LastSeq,
		}
	case TaskUpdated:
		if changed {
			d.turn.Result = &TurnResult{state.Result}
		}
	case Override:
		if changed {
			d.turn.Shown = &TurnResult{state.Result}
		}
	}
	if *d.turn == (TurnChange{Number: d.turn.Number}) {
		d.turn = nil
	}
}

func (d *draft) add(e Event) {
	d.t.LastSeq++
	e.Seq, e.Turn, e.Time = d.t.LastSeq, d.t.Terms.Turn, d.now
	d.events = append(d.events, e)
}

func (d *draft) marshal(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil && d.err == nil {
		d.err = err
	}
	return b
}

// object is the JSON of an object whose names need no quoting.
func (d *draft) object(members []member) json.RawMessage {
	out := make([]byte, 0, 256)
	out = append(out, '{')
	for i, m := range members {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(append(out, '"'), m.name...), `":`...)
		out = append(out, d.marshal(m.value)...)
	}
	return append(out, '}')
}

// keep records an attempt for the commit; the last word on a number stands.
func (d *draft) keep(a Attempt) {
	if d.t.Run != nil && d.t.Run.Number == a.Number {
		d.t.Run = &a
	}
	if d.t.Earlier != nil && d.t.Earlier.Number == a.Number {
		if d.t.Earlier = &a; !a.Attached() {
			d.t.Earlier = nil
		}
	}
	for i := range d.attempts {
		if d.attempts[i].Number == a.Number {
			d.attempts[i] = a
			return
		}
	}
	d.attempts = append(d.attempts, a)
}

// move changes the status if the table allows it.
func (d *draft) move(do action, to Status) error {
	from := d.t.state.Status
	if d.t.ended != "" {
		return fault.New(fault.Conflict, "cannot %s: the task has ended (%s)", do, d.t.ended)
	}
	if !legal(do, from, to) {
		return fault.New(fault.Conflict, "cannot %s a task that is %s", do, from)
	}
	d.t.state.Status = to
	d.clock(from, to)
	return nil
}

// fold lays a patch of allowed fields over the state.
func (d *draft) fold(patch json.RawMessage) error {
	if len(patch) == 0 {
		return nil
	}
	if err := d.t.state.Fold(patch); err != nil {
		return fault.New(fault.Malformed, "fields of the wrong type")
	}
	return nil
}

// take lays what a writer gave over the state: side, a patch of allowed fields,
// and a result, nil for none. adjusted names what had to be cut, mended or left
// out before it came here (S5); a field that is given whole is whole again.
func (d *draft) take(side json.RawMessage, result *string, adjusted []string) error {
	was := d.t.state.Tokens.orNone()
	if err := d.lay(side, result, adjusted); err != nil {
		return err
	}
	now := d.t.state.Tokens.orNone()
	if run := d.t.Run; now != was && run.Live() && run.Fenced { // somebody else has counted for it
		a := *run
		a.Usage.Told = run.Usage.tokens()
		a.Usage.Told.Add(now.since(was))
		d.keep(a)
	}
	return nil
}

// lay is take for what is no attempt's.
func (d *draft) lay(side json.RawMessage, result *string, adjusted []string) error {
	if err := d.fold(side); err != nil {
		return err
	}
	s := &d.t.state
	d.atLeastMetered()
	if result != nil {
		s.Result = result
	}
	if len(s.Adjusted) == 0 && len(adjusted) == 0 {
		return nil
	}
	given := members(side)
	left := slices.DeleteFunc(slices.Clone(s.Adjusted), func(name string) bool {
		_, again := given[name]
		return again || name == "result" && result != nil
	})
	s.Adjusted = slices.Compact(slices.Sorted(slices.Values(append(left, adjusted...))))
	return nil
}

// members are those of a JSON object, none of anything else.
func members(object json.RawMessage) map[string]json.RawMessage {
	var all map[string]json.RawMessage
	if json.Unmarshal(object, &all) != nil {
		return nil
	}
	return all
}

// refuse notes a late write, once for each attempt, and sets the caller's
// answer. Only an end, whose result must not be lost, is noted although an event
// (status "") was before.
func (d *draft) refuse(a *Attempt, status Status, result *string, answer error) {
	d.refused = answer
	if a == nil || a.RefusedEnd || status == "" && a.RefusedEvent {
		return
	}
	noted := *a
	for _, kept := range d.attempts {
		if kept.Number == a.Number { // this change has more to say of it
			noted = kept
		}
	}
	if status == "" {
		noted.RefusedEvent = true
	} else {
		noted.RefusedEnd = true
	}
	d.keep(noted)
	d.log(LateWriteRefused, struct {
		Attempt int     `json:"execution_attempt"`
		Worker  string  `json:"worker_id"`
		Status  Status  `json:"refused_status,omitempty"`
		Result  *string `json:"refused_result"`
	}{a.Number, a.WorkerID, status, cut(result, maxRefusedResult)})
}

// stateNames are the JSON names of State's fields, in their order.
var stateNames = sync.OnceValue(func() []string { //nolint:gochecknoglobals // a constant that has to be computed
	var names []string
	for field := range reflect.TypeFor[State]().Fields() {
		names = append(names, field.Tag.Get("json"))
	}
	return names
})

// member is a member of a JSON object.
type member struct {
	name  string
	value any
}

// diff is the public fields in which two states differ.
func diff(before, after *State, skip string) []member {
	var patch []member
	b, a := reflect.ValueOf(before).Elem(), reflect.ValueOf(after).Elem()
	for i, name := range stateNames() {
		if name != skip && !equal(b.Field(i), a.Field(i)) {
			patch = append(patch, member{name, a.Field(i).Interface()})
		}
	}
	return patch
}

// equal is reflect.DeepEqual, at less cost for what most fields are: plain, the
// same, or nothing.
func equal(a, b reflect.Value) bool {
	switch a.Kind() { //nolint:exhaustive // the other kinds are compared in depth
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int64, reflect.Float64:
		return a.Equal(b)
	case reflect.Pointer:
		if a.Pointer() == b.Pointer() {
			return true
		}
	case reflect.Slice:
		if a.Len() == 0 && b.Len() == 0 {
			return a.IsNil() == b.IsNil()
		}
	}
	return reflect.DeepEqual(a.Interface(), b.Interface())
}

// cut shortens text to at most limit bytes without splitting a code point.
func cut(text *string, limit int) *string {
	if text == nil || len(*text) <= limit {
		return text
	}
	n := limit
	for n > 0 && !utf8.RuneStart((*text)[n]) {
		n--
	}
	short := strings.Clone((*text)[:n])
	return &short
}
