package lifecycle

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/errand-dev/errand/server/internal/task"
)

// What carries a lease or an end is never refused for what it says besides (S5):
// what cannot be stored as it is given is cut, mended or left out, and its name
// is answered, for the task to tell.

// storableOutcome makes an outcome storable: an end is never refused for its content (S5).
// It returns the fields that had to be cut, cleaned or dropped.
func storableOutcome(o Outcome) (Outcome, []string) {
	adjusted := o.Adjusted
	if o.Result != nil {
		clean := storableText(*o.Result)
		if clean != *o.Result {
			adjusted = append(adjusted, "result")
		}
		o.Result = &clean
	}
	side, more := storableSide(o.Side)
	o.Side = side
	return o, append(adjusted, more...)
}

func storableText(text string) string { return cutBytes(task.CleanText(text), task.MaxResult) }

// StorableResult makes a result of any JSON storable: text as text, anything else
// as its JSON. It reports whether that changed what was given.
func StorableResult(raw json.RawMessage) (result *string, adjusted bool) {
	if isNull(raw) {
		return nil, false
	}
	var text string
	err := json.Unmarshal(raw, &text)
	if err != nil {
		text = string(raw)
	}
	fitted := storableText(text)
	return &fitted, err != nil || fitted != text || !utf8.Valid(raw)
}

// storableSide makes a patch of task.State storable in the same way.
func storableSide(patch json.RawMessage) (json.RawMessage, []string) {
	var fields map[string]json.RawMessage
	if len(patch) == 0 || json.Unmarshal(patch, &fields) != nil {
		return nil, nil
	}
	adjusted, _ := storableFields(fields)
	kept, err := json.Marshal(fields)
	if err != nil {
		return nil, adjusted
	}
	return kept, adjusted
}

// storableFields keeps of the fields of a task.State those whose values can be
// stored, cut or mended where that helps, and names those it changed. wrong says
// of the first of them why somebody who may be refused is.
func storableFields(fields map[string]json.RawMessage) (adjusted []string, wrong error) {
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		err := CheckSide(name, fields[name])
		if err == nil {
			continue
		}
		if wrong == nil {
			wrong = err
		}
		adjusted = append(adjusted, name)
		if fixed := storableField(name, fields[name]); fixed != nil {
			fields[name] = fixed
		} else {
			delete(fields, name)
		}
	}
	return adjusted, wrong
}

// storableField returns a storable form of a value that is none, nil if there is none.
func storableField(name string, value json.RawMessage) json.RawMessage {
	fixed := Mend(value)
	switch name {
	case "internal_status":
		fixed = storableAs(fixed, func(text string) string { return cutRunes(text, task.MaxInternalStatus) })
	case "used_tools":
		fixed = storableAs(fixed, func(names []string) []string { return names[:min(len(names), task.MaxUsedTools)] })
	}
	if CheckSide(name, fixed) != nil {
		return nil
	}
	return fixed
}

// storableAs shortens a value of the type that its field has; any other is left as it is.
func storableAs[T any](value json.RawMessage, shorten func(T) T) json.RawMessage {
	var given T
	if json.Unmarshal(value, &given) != nil {
		return value
	}
	short, err := json.Marshal(shorten(given))
	if err != nil {
		return value
	}
	return short
}

// Mend replaces in JSON what no text in the store may hold, NUL and bytes that are
// no UTF-8, by U+FFFD. Everything else keeps its bytes.
func Mend(raw json.RawMessage) json.RawMessage {
	const escaped, replaced = `\u0000`, `\ufffd`
	if !utf8.Valid(raw) {
		raw = bytes.ToValidUTF8(raw, []byte("\uFFFD"))
	}
	if !bytes.Contains(raw, []byte(escaped)) {
		return raw
	}
	mended := bytes.Clone(raw)
	for i := 0; i < len(mended)-1; i++ {
		if mended[i] != '\\' {
			continue
		}
		if bytes.HasPrefix(mended[i:], []byte(escaped)) {
			copy(mended[i:], replaced)
		}
		i++ // what is escaped begins no escape itself
	}
	return mended
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
