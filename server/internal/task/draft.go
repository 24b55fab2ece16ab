package task

import (
	"encoding/json"
	"reflect"
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
	// Refused, if not nil, is the caller's answer although the change
	// stands: the refusal itself is part of the log.
	Refused error
}

// Spec is the JSON of the turn that the change began, nil if it began none.
func (c Change) Spec() json.RawMessage {
	for _, e := range c.Events {
		if e.Type == TaskCreated {
			return e.Kept
		}
	}
	return nil
}

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
	if len(d.events) > 0 {
		d.t.UpdatedAt = now
	}
	return Change{Task: d.t, Events: d.events, Attempts: d.attempts, Refused: d.refused}, nil
}

// draft is a change in the making.
type draft struct {
	t        Task
	now      Stamp
	logged   State           // the state as the log tells it so far
	spec     json.RawMessage // of a turn that begins
	events   []Event
	attempts []Attempt
	refused  error
	err      error
}

// log appends an event whose data does not touch the state.
func (d *draft) log(typ Type, data any) {
	raw, ok := data.(json.RawMessage)
	if !ok {
		raw = d.marshal(data)
	}
	d.add(Event{Type: typ, Own: raw})
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
	d.add(e)
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
	if d.t.Holdover != nil && d.t.Holdover.Number == a.Number {
		if d.t.Holdover = &a; !a.Holds() {
			d.t.Holdover = nil
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
