package lifecycle

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/schema"
	"github.com/errand-dev/errand/server/internal/task"
)

// toolName is what all providers take for the name of a tool.
var toolName = regexp.MustCompile(fmt.Sprintf(`^[A-Za-z0-9_-]{1,%d}$`, task.MaxToolName))

// checkTheirs checks the caller's tools, and the form of the results of their calls (T10).
func checkTheirs(spec *task.Spec) error {
	if len(spec.ClientTools) > task.MaxClientTools {
		return fault.Field("client_tools", "must not be more than %d", task.MaxClientTools)
	}
	spec.ClientTools = slices.Clone(spec.ClientTools) // the caller's stay its own
	names := map[string]bool{}
	for i := range spec.ClientTools {
		t, field := &spec.ClientTools[i], fmt.Sprintf("client_tools[%d].", i)
		if isNull(t.InputSchema) {
			t.InputSchema = json.RawMessage(`{"type": "object"}`)
		}
		switch {
		case !toolName.MatchString(t.Name):
			return fault.Field(field+"name", "must be 1 to %d of A-Z a-z 0-9 _ -", task.MaxToolName)
		case names[t.Name]:
			return fault.Field(field+"name", "is another tool's, too")
		case !isObjects(t.InputSchema):
			return fault.Field(field+"input_schema", `must be a JSON Schema with "type": "object"`)
		}
		if err := schema.Validate(t.InputSchema); err != nil {
			return fault.Field(field+"input_schema", "%v", err)
		}
		names[t.Name] = true
	}
	whole, err := json.Marshal(spec.ClientTools)
	if err != nil {
		return fmt.Errorf("encode tools: %w", err)
	}
	if len(whole) > task.MaxClientBytes {
		return &fault.Error{Code: fault.TooLarge, Field: "client_tools", Message: fmt.Sprintf("must not exceed %d bytes of JSON", task.MaxClientBytes)}
	}
	size := 0
	for _, r := range spec.ToolResults {
		size += len(r.Content)
	}
	if size > task.MaxPrompt {
		return &fault.Error{Code: fault.TooLarge, Field: "tool_results", Message: fmt.Sprintf("must not exceed %d bytes together", task.MaxPrompt)}
	}
	return nil
}

// isObjects reports whether a schema is that of objects.
func isObjects(raw json.RawMessage) bool {
	var s struct {
		Type string `json:"type"`
	}
	return json.Unmarshal(raw, &s) == nil && s.Type == "object"
}

// noResult is what a model is told of an open call of which its caller says nothing.
const noResult = "The caller has given no result of this call."

// answerCalls lets a turn begin with what came of the calls that the last one has left
// open: of all of them, in their order. Where it names no tools it has those of the last.
func answerCalls(tx Tx, before task.Task, spec *task.Spec) error {
	if before.LastSeq > 0 && before.Ended() == "" { // which is what is refused
		return nil
	}
	given := map[string]task.ToolResult{}
	open := before.State().OpenCalls
	for i, r := range spec.ToolResults {
		field := fmt.Sprintf("tool_results[%d].call_id", i)
		if !slices.ContainsFunc(open, func(c task.OpenCall) bool { return c.ID == r.CallID }) {
			return fault.Field(field, "%s", notOpen(r.CallID, open))
		}
		if _, twice := given[r.CallID]; twice {
			return fault.Field(field, "has a result before")
		}
		given[r.CallID] = r
	}
	if len(open) == 0 {
		return nil
	}
	spec.ToolResults = make([]task.ToolResult, len(open))
	for i, c := range open {
		r, is := given[c.ID]
		if !is {
			r = task.ToolResult{CallID: c.ID, Content: noResult, IsError: true}
		}
		spec.ToolResults[i] = r
	}
	if len(spec.ClientTools) > 0 {
		return nil
	}
	last, err := tx.Snapshot(before.OrganizationID, before.ID)
	if err != nil {
		return err
	}
	asked, _, err := last.Asked()
	spec.ClientTools = asked.ClientTools
	return err
}

// notOpen says why there is nothing to answer.
func notOpen(id string, open []task.OpenCall) string {
	if len(open) == 0 {
		return fmt.Sprintf("no call %q is open: the task has left none", id)
	}
	ids := make([]string, len(open))
	for i, c := range open {
		ids[i] = c.ID
	}
	return fmt.Sprintf("no call %q is open; there are: %s", id, strings.Join(ids, ", "))
}
