package model

import (
	"bytes"
	"encoding/json"
	"maps"
	"strings"
)

// assembled is a JSON object that is put together from pieces. Members that nobody
// here knows are kept: providers want them back.
type assembled map[string]json.RawMessage

// isSet reports whether a member is there and not null.
func isSet(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }

// text is a member that is a text, "" for any other.
func (a assembled) text(name string) string {
	var text string
	if raw := a[name]; isSet(raw) && json.Unmarshal(raw, &text) != nil {
		return ""
	}
	return text
}

// number is a member that is a whole number, -1 for any other.
func (a assembled) number(name string) int {
	n := -1
	if raw := a[name]; isSet(raw) && json.Unmarshal(raw, &n) != nil {
		return -1
	}
	return n
}

// firstText is the first of some members that is a text and not empty.
func firstText(a assembled, names ...string) string {
	for _, name := range names {
		if text := a.text(name); text != "" {
			return text
		}
	}
	return ""
}

// set takes a member unless it says nothing new.
func (a assembled) set(name string, value json.RawMessage) {
	if _, is := a[name]; !is || isSet(value) && string(value) != `""` {
		a[name] = value
	}
}

// message is an object whose texts and lists come in pieces.
type message struct {
	members assembled
	texts   map[string]*strings.Builder
}

func newMessage() message { return message{assembled{}, map[string]*strings.Builder{}} }

// join continues a member: texts and lists grow, anything else is replaced.
func (m message) join(name string, value json.RawMessage) {
	before := m.members[name]
	switch {
	case !isSet(value):
		if before == nil && m.texts[name] == nil {
			m.members[name] = value
		}
	case value[0] == '"':
		m.write(name, assembled{name: value}.text(name))
	case value[0] == '[' && isSet(before) && before[0] == '[':
		m.members[name] = joinLists(before, value)
	default:
		m.members[name] = value
	}
}

// write continues a text.
func (m message) write(name, text string) {
	b := m.texts[name]
	if b == nil {
		b = &strings.Builder{}
		m.texts[name] = b
	}
	b.WriteString(text)
}

// whole is the object as it is now.
func (m message) whole() (assembled, error) {
	all := maps.Clone(m.members)
	for name, text := range m.texts {
		raw, err := json.Marshal(text.String())
		if err != nil {
			return nil, err
		}
		all[name] = raw
	}
	return all, nil
}

// joinLists makes one list of two.
func joinLists(a, b json.RawMessage) json.RawMessage {
	inside := func(list json.RawMessage) []byte { return bytes.TrimSpace(list[1 : len(list)-1]) }
	first, second := inside(a), inside(b)
	if len(first) == 0 || len(second) == 0 {
		return json.RawMessage("[" + string(first) + string(second) + "]")
	}
	return json.RawMessage("[" + string(first) + "," + string(second) + "]")
}
