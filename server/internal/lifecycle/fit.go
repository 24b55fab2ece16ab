package lifecycle

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/errand-dev/errand/server/internal/task"
)

// fit makes an outcome storable: an end is never refused for its content (S5).
// It answers the fields that had to be cut, cleaned or dropped.
func fit(o Outcome) (Outcome, []string) {
	adjusted := o.Adjusted
	if o.Result != nil {
		clean := fitText(*o.Result)
		if clean != *o.Result {
			adjusted = append(adjusted, "result")
		}
		o.Result = &clean
	}
	side, more := fitSide(o.Side)
	o.Side = side
	return o, append(adjusted, more...)
}

func fitText(text string) string { return cutBytes(cleanText(text), task.MaxResult) }

// FitResult makes a result of any JSON storable: text as text, anything else
// as its JSON. It reports whether that changed what was given.
func FitResult(raw json.RawMessage) (result *string, adjusted bool) {
	if isNull(raw) {
		return nil, false
	}
	var text string
	err := json.Unmarshal(raw, &text)
	if err != nil {
		text = string(raw)
	}
	fitted := fitText(text)
	return &fitted, err != nil || fitted != text || !utf8.Valid(raw)
}

// fitSide makes a patch of task.State storable in the same way.
func fitSide(patch json.RawMessage) (json.RawMessage, []string) {
	var fields map[string]json.RawMessage
	if len(patch) == 0 || json.Unmarshal(patch, &fields) != nil {
		return nil, nil
	}
	adjusted := fitFields(fields)
	kept, err := json.Marshal(fields)
	if err != nil {
		return nil, adjusted
	}
	return kept, adjusted
}

// fitFields keeps of the fields of a task.State those whose values can be
// stored, cut or cleaned where that helps, and names those it changed.
func fitFields(fields map[string]json.RawMessage) []string {
	var adjusted []string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		value := fields[name]
		fixed := fitField(name, value)
		if string(fixed) == string(value) {
			continue
		}
		adjusted = append(adjusted, name)
		if fields[name] = fixed; fixed == nil {
			delete(fields, name)
		}
	}
	return adjusted
}

// fitField answers a storable form of a field's value, nil for none.
func fitField(name string, value json.RawMessage) json.RawMessage {
	if CheckSide(name, value) == nil {
		return value
	}
	dec := json.NewDecoder(bytes.NewReader(value))
	dec.UseNumber()
	var decoded any
	if dec.Decode(&decoded) != nil {
		return nil
	}
	decoded = cleanAll(decoded)
	if text, ok := decoded.(string); ok && name == "internal_status" {
		decoded = cutRunes(text, task.MaxInternalStatus)
	}
	fixed, err := json.Marshal(decoded)
	if err != nil || CheckSide(name, fixed) != nil {
		return nil
	}
	return fixed
}

// cleanAll cleans the texts in a decoded value.
func cleanAll(value any) any {
	switch v := value.(type) {
	case string:
		return cleanText(v)
	case []any:
		for i := range v {
			v[i] = cleanAll(v[i])
		}
	case map[string]any:
		clean := make(map[string]any, len(v))
		for name, member := range v {
			clean[cleanText(name)] = cleanAll(member)
		}
		return clean
	}
	return value
}

// cleanText replaces what must not be stored.
func cleanText(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	return strings.ReplaceAll(text, "\x00", "\uFFFD")
}

func cutBytes(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}

func cutRunes(text string, limit int) string {
	n := 0
	for i := range text {
		if n == limit {
			return text[:i]
		}
		n++
	}
	return text
}
