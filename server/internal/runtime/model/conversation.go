package model

import (
	"cmp"
	"strings"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/runtime"
	"github.com/errand-dev/errand/server/internal/task"
)

// system is what the model is told about itself. A task's override stands in the
// place of the record's instructions. It comes before everything else and is the
// same for all tasks alike, so that providers can keep it.
func system(r agent.Record, t task.Spec) string {
	var parts []string
	switch i := r.Instructions; {
	case orEmpty(t.InstructionsOverride) != "":
		parts = append(parts, *t.InstructionsOverride)
	case i != nil:
		parts = append(parts, strings.Join(i.Role, "\n"))
		if len(i.Goal) > 0 {
			parts = append(parts, "Goal:\n"+strings.Join(i.Goal, "\n"))
		}
		parts = append(parts, i.General)
	}
	format := cmp.Or(orEmpty(t.OutputFormat), orEmpty(r.OutputFormat))
	schema := t.OutputSchema
	if !task.HasSchema(schema) {
		schema = r.OutputSchema
	}
	return joined(append(parts, form(format, schema))...)
}

// form says in which form the answer is wanted.
func form(format string, schema []byte) string {
	switch format {
	case "json":
		if task.HasSchema(schema) {
			return "Answer with JSON alone, without a fence around it, that follows this JSON Schema:\n" + string(schema)
		}
		return "Answer with JSON alone, without a fence around it."
	case "markdown":
		return "Answer in Markdown."
	case "text":
		return "Answer in plain text."
	case "voice":
		return "Answer in words that are going to be spoken aloud."
	default:
		return ""
	}
}

// joined puts paragraphs together, without empty ones.
func joined(parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		if p = strings.TrimSpace(p); p == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteString("\n\n")
		}
		b.WriteString(p)
	}
	return b.String()
}

// opening is what a turn is asked, "" for nothing.
func opening(spec task.Spec, state task.State, given []runtime.Given) string {
	parts := []string{orEmpty(spec.Input.Text)}
	if expected := orEmpty(spec.ExpectedOutput); expected != "" {
		parts = append(parts, "Expected output: "+expected)
	}
	if more := orEmpty(state.AdditionalContext); more != "" {
		parts = append(parts, "Additional context:\n"+more)
	}
	for _, g := range given {
		parts = append(parts, fileGiven(g))
	}
	return joined(parts...)
}

// beginning is the first part of a text, for a sentence.
func beginning(text string) string {
	const some = 2000
	if len(text) <= some {
		return text
	}
	return strings.ToValidUTF8(text[:some], "") + "…"
}
