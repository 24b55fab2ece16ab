package lifecycle

import (
	"encoding/json"
	"fmt"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/schema"
	"github.com/errand-dev/errand/server/internal/task"
)

// A result is held against its task's schema outside of the store's writer, for which
// others wait: the write that comes to one is run again with the verdict (S8).

// unjudgedError says which result a write needs a verdict on.
type unjudgedError struct {
	about
	result *string
	schema json.RawMessage
}

// about names the turn whose result it is.
type about struct {
	task Key
	turn int
}

func (e unjudgedError) Error() string {
	return fmt.Sprintf("the result of task %s was not held against its schema", e.task.ID)
}

// verdict is what schema.Check found in a result.
type verdict struct {
	result *string
	errors []string
}

// verdicts are those that a write needs, by turn.
type verdicts map[about]verdict

// judge adds the verdict that was missing. Most writes need none, and make no map.
func (v verdicts) judge(e unjudgedError) verdicts {
	if v == nil {
		v = verdicts{}
	}
	v[e.about] = verdict{e.result, schema.Check(e.schema, e.result)}
	return v
}

// judged applies a command with the verdict on the result that it comes to.
func (tx writing) judged(t task.Task, c task.Command) (task.Change, error) {
	of := about{Key{TaskKey, t.OrganizationID, t.ID}, t.Terms.Turn}
	if v, ok := tx.known[of]; ok {
		c = task.Judged{Command: c, Result: v.result, Errors: v.errors}
	}
	changed, err := task.Apply(t, c, tx.Now())
	unjudged, is := err.(*task.UnjudgedError) //nolint:errorlint // Apply returns its errors as they are
	if !is {
		return changed, err
	}
	s, err := tx.Snapshot(t.OrganizationID, t.ID)
	if err != nil {
		return task.Change{}, err
	}
	var spec struct {
		OutputSchema json.RawMessage `json:"output_schema"`
	}
	if err := json.Unmarshal(s.Spec, &spec); err != nil {
		return task.Change{}, fmt.Errorf("decode spec: %w", err)
	}
	return task.Change{}, unjudgedError{of, unjudged.Result, spec.OutputSchema}
}

// checkSchema refuses a schema that results cannot be held against.
func checkSchema(field string, raw json.RawMessage) error {
	if !task.HasSchema(raw) {
		return nil
	}
	if err := schema.Validate(raw); err != nil {
		return fault.Field(field, "%v", err)
	}
	return nil
}
