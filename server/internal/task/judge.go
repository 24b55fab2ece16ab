package task

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/errand-dev/errand/server/internal/fault"
)

// HasSchema reports whether a JSON Schema asks for anything: null and {} do not.
func HasSchema(raw json.RawMessage) bool {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || string(raw) == "null" {
		return false
	}
	var members map[string]json.RawMessage
	return json.Unmarshal(raw, &members) != nil || len(members) > 0
}

// ResultCheck is how a result follows the schema that a task asks for (S8).
type ResultCheck struct {
	State CheckState `json:"state"`
	// Rounds is how often a result was sent back to be repaired in this turn.
	Rounds int `json:"rounds"`
	// Errors says what does not follow, in words for whoever is to repair it; empty
	// when all does.
	Errors []string `json:"errors"`
}

// UnmarshalJSON implements json.Unmarshaler: copies made before share nothing with what
// it writes.
func (c *ResultCheck) UnmarshalJSON(raw []byte) error {
	type plain ResultCheck
	var given plain
	if err := json.Unmarshal(raw, &given); err != nil {
		return err
	}
	*c = ResultCheck(given)
	return nil
}

// CheckState is the verdict of a ResultCheck.
type CheckState string

// The verdicts.
const (
	CheckValid    CheckState = "valid"
	CheckRepaired CheckState = "repaired" // valid, after at least one round
	CheckInvalid  CheckState = "invalid"
)

// CheckStates lists every verdict.
func CheckStates() []CheckState { return []CheckState{CheckValid, CheckRepaired, CheckInvalid} }

// Judged is a command for which results have been held against the task's schema. How
// that is done is not for a lifecycle: a command that comes to a result without a
// verdict is an *UnjudgedError, and is to come again with one.
type Judged struct {
	Command Command
	// Result is what was judged, and Errors is what of it does not follow.
	Result *string
	Errors []string
}

func (c Judged) apply(d *draft) error {
	d.judged = &c
	return c.Command.apply(d)
}

// UnjudgedError says that a result is to be held against the task's schema first.
type UnjudgedError struct{ Result *string }

func (*UnjudgedError) Error() string { return "the result was not held against its schema" }

// judge notes how the result follows the schema, if one was asked for and the turn ends
// completed; otherwise there is nothing to say of it.
func (d *draft) judge(ended EndReason) error {
	if !d.t.Terms.Schema || ended == EndSchemaMismatch { // which is what was found
		return nil
	}
	s := &d.t.state
	rounds := 0
	if s.ResultCheck != nil {
		rounds = s.ResultCheck.Rounds
	}
	if ended != EndCompleted || len(s.OpenCalls) > 0 { // what ends with calls is no answer yet
		if rounds == 0 { // else it tells what was tried
			s.ResultCheck = nil
		}
		return nil
	}
	if d.judged == nil || !same(d.judged.Result, s.Result) {
		return &UnjudgedError{s.Result}
	}
	check := ResultCheck{State: CheckValid, Rounds: rounds, Errors: []string{}}
	switch {
	case len(d.judged.Errors) > 0:
		check.State, check.Errors = CheckInvalid, d.judged.Errors
	case rounds > 0:
		check.State = CheckRepaired
	}
	s.ResultCheck = &check
	return nil
}

// Offer holds a result against the task's schema before its attempt ends with it. One
// that does not follow is sent back; any other changes nothing.
type Offer struct {
	By     Writer
	Result *string
	// Repair is how often results are sent back in the turn.
	Repair int
}

func (c Offer) apply(d *draft) error {
	if !d.mayWrite(c.By) {
		d.late(c.By.Attempt, "", nil)
		return nil
	}
	before := d.t.state
	d.t.state.Result = c.Result
	if err := d.judge(EndCompleted); err != nil {
		return err
	}
	if !d.mismatch() || !d.sendBack(before, c.Repair) {
		d.t.state = before
	}
	return nil
}

// sendBack lets an attempt go on whose result, which has been judged, is to be
// repaired: of what it gave only the check and what it has used is kept. It reports false when that was
// done as often as it may.
func (d *draft) sendBack(before State, limit int) bool {
	check := *d.t.state.ResultCheck
	if check.Rounds >= limit {
		return false
	}
	check.Rounds++
	used := d.t.state // was used for it all the same
	d.t.state = before
	d.t.state.Tokens, d.t.state.Duration, d.t.state.UsedTools = used.Tokens, used.Duration, used.UsedTools
	d.t.state.ResultCheck = &check
	d.logState(TaskUpdated, nil)
	d.refused = fault.Field("result", "does not follow output_schema (round %d): %s", check.Rounds, strings.Join(check.Errors, "; "))
	return true
}

// mismatch reports whether the result was judged, and does not follow.
func (d *draft) mismatch() bool {
	check := d.t.state.ResultCheck
	return d.t.Terms.Schema && check != nil && check.State == CheckInvalid
}
