package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/errand-dev/errand"
)

// budgetFlag is a budget on the command line: names and values, as in
// tokens=1000,at_limit=end. Without the flag it is nil.
type budgetFlag struct{ *errand.Budget }

// UnmarshalText implements encoding.TextUnmarshaler.
func (f *budgetFlag) UnmarshalText(text []byte) error {
	f.Budget = new(errand.Budget)
	return pairs(text, f.Budget, "tokens, cost, tool_calls, steps, seconds, subtasks, depth, warn_at and at_limit")
}

// allowanceFlag is an allowance on the command line, as in tokens=1000,cost=2. Without
// the flag it is nil.
type allowanceFlag struct{ *errand.Allowance }

// UnmarshalText implements encoding.TextUnmarshaler.
func (f *allowanceFlag) UnmarshalText(text []byte) error {
	f.Allowance = new(errand.Allowance)
	return pairs(text, f.Allowance, "tokens and cost")
}

// pairs reads names and values, of which there are known ones, into a struct.
func pairs(text []byte, into any, known string) error {
	given := map[string]any{}
	for pair := range strings.SplitSeq(string(text), ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
		if !ok {
			return fmt.Errorf("%q is no NAME=VALUE", pair)
		}
		name = strings.ReplaceAll(name, "-", "_")
		if name == "at_limit" {
			given[name] = value
		} else {
			given[name] = json.Number(value)
		}
	}
	raw, err := json.Marshal(given)
	if err != nil {
		return fmt.Errorf("%q is no list of numbers: %w", text, err)
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("%q: %w; there are %s", text, err, known)
	}
	return nil
}

// budgetLine says what was spent of which limits.
func budgetLine(t *errand.Task) string {
	s, b := t.Spent, t.Budget
	if s == nil {
		return ""
	}
	if b == nil {
		return "that of task " + s.TaskID
	}
	var parts []string
	add := func(name string, has, most float64) {
		if most > 0 {
			parts = append(parts, fmt.Sprintf("%g of %g %s", has, most, name))
		}
	}
	add("tokens", float64(s.Tokens), float64(b.Tokens))
	add("cost", s.Cost, b.Cost)
	add("tool calls", float64(s.ToolCalls), float64(b.ToolCalls))
	add("steps", float64(s.Steps), float64(b.Steps))
	add("seconds", s.Seconds, b.Seconds)
	if b.Subtasks != nil {
		parts = append(parts, fmt.Sprintf("%d of %d sub-tasks", s.Subtasks, *b.Subtasks))
	}
	return strings.Join(parts, ", ")
}
