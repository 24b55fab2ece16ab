package lifecycle

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/plan"
	"github.com/errand-dev/errand/server/internal/task"
)

// sideFields are the fields of task.State that a PATCH of the Python client may
// write; every other one is the server's own and ignored there (rule S4).
func sideFields() []string {
	return []string{
		"title", "internal_status", "last_executed_node_id", "used_tools", "tokens", "duration",
		"hitl_request", "pending_eca_request", "source", "voice_id", "triggering_agent_id",
		"test_run_node_id", "disable_attachment_injection", "return_metrics", "deep_planning",
		"additional_context", "llm_model_provider", "llm_model_name", "llm_reasoning_effort", "tool_call_limit",
		"harness_cli", "permission_mode",
	}
}

// CheckSide checks one field of a patch of task.State.
func CheckSide(name string, value json.RawMessage) error {
	if err := checkText(name, value); err != nil {
		return err
	}
	var state task.State
	patch, err := json.Marshal(map[string]json.RawMessage{name: value})
	if err != nil {
		return fault.Field(name, "is not JSON")
	}
	if err := state.Fold(patch); err != nil {
		return fault.Field(name, "has the wrong type")
	}
	switch name {
	case "internal_status":
		return CheckInternalStatus(name, state.InternalStatus)
	case "used_tools":
		if len(state.UsedTools) > task.MaxUsedTools {
			return fault.Field(name, "must not be more than %d", task.MaxUsedTools)
		}
	case "deep_planning":
		if _, err := plan.Read(value); err != nil {
			return fault.Field(name, "%v", err)
		}
	case "hitl_request", "pending_eca_request":
		var object map[string]json.RawMessage
		if json.Unmarshal(value, &object) != nil {
			return fault.Field(name, "must be an object")
		}
	case "duration":
		if math.IsInf(state.Duration, 0) {
			return fault.Field(name, "is out of range")
		}
	}
	return checkAsked(state)
}

// checkText refuses what no text in the store may hold.
func checkText(field string, value json.RawMessage) error {
	if !utf8.Valid(value) {
		return fault.Field(field, "is not valid UTF-8")
	}
	if bytes.Contains(value, []byte(`\u0000`)) && hasNUL(value) {
		return fault.Field(field, "must not contain NUL")
	}
	return nil
}

// hasNUL reports whether any text inside the value holds a NUL.
func hasNUL(value json.RawMessage) bool {
	dec := json.NewDecoder(bytes.NewReader(value))
	for {
		token, err := dec.Token()
		if err != nil {
			return false
		}
		if text, ok := token.(string); ok && strings.ContainsRune(text, 0) {
			return true
		}
	}
}

// Patch is the Python client's PATCH (rules S4, S5): fields is the body.
func (s *Service) Patch(ctx context.Context, who Caller, id string, fields map[string]json.RawMessage) (Snapshot, error) {
	c, unfit, err := readPatch(fields)
	if err != nil {
		return Snapshot{}, err
	}
	c.By, c.Stands = who.By, who.Worker
	var after Snapshot
	var refused error
	last := c
	err = s.write(ctx, who.By, aboutTask(who.Organization, id), func(tx writing) error {
		p := c
		defer func() { last = p }()
		var err error
		after, refused, err = change(tx, who.Scope, id, func(t task.Task) (task.Command, error) {
			var err error
			if p, err = sender(tx.Tx, t, c); err != nil {
				return nil, err
			}
			if unfit != nil && !p.Attached() {
				return nil, unfit
			}
			return p, besides(tx, t, p)
		})
		switch {
		case fault.CodeOf(err) == fault.NotFound:
			// It may be out of the scope; and whose a deleted one was is not known.
			if _, found := tx.Task(who.Organization, id); found == nil || !who.Whole() {
				return err
			}
			refused = err
			return reportDeleted(tx, who.Organization, id, c)
		case err != nil || !p.Reports():
			return err
		}
		return reported(tx, who.Organization, p.From.WorkerID)
	})
	if err != nil {
		return Snapshot{}, err
	}
	after.Task = last.Answer(after.Task)
	return after, refused
}

// sender finds out which attempt a full body is from.
func sender(tx Tx, t task.Task, p task.Patch) (task.Patch, error) {
	if p.Number < 0 {
		p.Number = t.State().ExecutionAttempts
	}
	if !p.Full {
		return p, nil
	}
	if p.From = t.Earlier; p.From != nil {
		return p, nil
	}
	var err error
	p.From, err = tx.Attempt(t.OrganizationID, t.ID, p.Number)
	// Its worker may be heard again, so nothing is repeated that its agent does not
	// also want repeated when it is lost.
	if err == nil && p.Status == task.Error && p.From.Live() && !p.From.Fenced && p.From.MayRetry {
		p.Retry, err = retriesErrors(tx, t)
	}
	return p, err
}

// besides carries out what a patch means beyond its task.
func besides(tx writing, t task.Task, p task.Patch) error {
	if p.Status == task.Executing && p.From != nil && !p.From.Fenced {
		return letHaveWork(tx.Tx, t, p.From.WorkerID)
	}
	return nil
}

// letHaveWork frees a worker that was held for an assignment it let lapse: it
// has shown that it is alive to its tasks (L4).
func letHaveWork(tx Tx, t task.Task, worker string) error {
	w, err := tx.Worker(t.OrganizationID, t.AgentID, worker)
	if err != nil || w == nil || !w.Barred {
		return err
	}
	if err := readmit(tx, w); err != nil {
		return err
	}
	return tx.PutWorker(*w)
}

// reportDeleted counts an end that comes for a deleted task: it is the last word
// of the attempt that was left behind (L6, L10).
func reportDeleted(tx writing, org, id string, p task.Patch) error {
	left, err := tx.Attempts(org, id)
	if err != nil {
		return err
	}
	for _, a := range left {
		if p.From = &a; !p.Reports() || p.Number >= 0 && p.Number != a.Number {
			continue
		}
		if err := endRemnants(tx.Tx, org, id, func(x task.Attempt) bool { return x.Number == a.Number }); err != nil {
			return err
		}
		return reported(tx, org, a.WorkerID)
	}
	return nil
}

// readPatch makes sense of a body. A full body that ends a turn is made to fit
// rather than refused, and so is one by which an attempt holds its task: unfit
// says why any other is refused (S5).
func readPatch(fields map[string]json.RawMessage) (p task.Patch, unfit, err error) {
	p.Number = -1
	_, p.Full = fields["id"]
	if raw := fields["status"]; !isNull(raw) {
		var text string
		if json.Unmarshal(raw, &text) != nil {
			return p, nil, fault.Field("status", "must be text")
		}
		if err := CheckStatus("status", text); err != nil {
			return p, nil, err
		}
		p.Status = task.Status(text)
	}
	if raw := fields["execution_attempts"]; p.Full && !isNull(raw) {
		if json.Unmarshal(raw, &p.Number) != nil {
			p.Number = -1
		}
	}
	var wrong [3]error
	wrong[0] = readResult(&p, fields["result"])
	side := map[string]json.RawMessage{}
	for _, name := range sideFields() {
		value, given := fields[name]
		junk := string(value) == "[null]" || string(value) == "[[]]" // the client's tuple defaults
		// The client writes a marker into additional_context and needs it
		// back; its stale copies of none must not wipe what is there. A plan
		// is the server's to begin and cannot be taken away.
		kept := name == "additional_context" || name == "deep_planning"
		if !given || junk || kept && isNull(value) {
			continue
		}
		side[name] = value
	}
	var adjusted []string
	adjusted, wrong[1] = storableFields(side)
	p.Adjusted = append(p.Adjusted, adjusted...)
	if p.Side, err = json.Marshal(side); err != nil {
		return p, nil, fmt.Errorf("encode patch: %w", err)
	}
	wrong[2] = readExtension(&p, fields["tool_call_payload_extension"])
	unfit = cmp.Or(wrong[:]...)
	switch {
	case !p.Full:
		return p, nil, unfit
	case p.Status.Ends():
		return p, nil, nil
	}
	return p, unfit, nil
}

// readExtension reads what a body adds to the payload.
func readExtension(p *task.Patch, raw json.RawMessage) error {
	const name = "tool_call_payload_extension"
	if isNull(raw) {
		return nil
	}
	err := checkObject(name, raw)
	if err != nil {
		p.Adjusted = append(p.Adjusted, name)
		raw = Mend(raw)
	}
	if checkObject(name, raw) == nil {
		p.Extension = raw
	}
	return err
}

// checkObject checks a value that must be an object of storable texts.
func checkObject(field string, raw json.RawMessage) error {
	if err := checkText(field, raw); err != nil {
		return err
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(raw, &object) != nil {
		return fault.Field(field, "must be an object")
	}
	return nil
}

func readResult(p *task.Patch, raw json.RawMessage) error {
	var adjusted bool
	p.Result, adjusted = StorableResult(raw)
	if !adjusted {
		return nil
	}
	p.Adjusted = []string{"result"}
	if len(raw) > task.MaxResult {
		return &fault.Error{Code: fault.TooLarge, Field: "result", Message: fmt.Sprintf("must not exceed %d bytes", task.MaxResult)}
	}
	return fault.Field("result", "must be text without NUL")
}

// RefuseTooLarge ends a Python worker's attempt whose final body was too large
// to be read (S5); anything else is left as it is.
func (s *Service) RefuseTooLarge(ctx context.Context, who Caller, id string) error {
	reason := "result too large"
	return s.write(ctx, who.By, aboutTask(who.Organization, id), func(tx writing) error {
		found, err := find(tx, who.Scope, id)
		if err != nil {
			return err
		}
		t := found.Task
		run := cmp.Or(t.Earlier, t.Run)
		if run == nil || run.Fenced || !run.Attached() || !run.Started() {
			return fault.New(fault.TooLarge, "the body exceeds the limit")
		}
		p := task.Patch{Full: true, Status: task.Error, Number: run.Number, From: run, Result: &reason, By: who.By, Stands: who.Worker}
		if _, err := apply(tx, t, p); err != nil || !p.Reports() {
			return err
		}
		return reported(tx, who.Organization, run.WorkerID)
	})
}
