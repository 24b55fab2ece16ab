package model

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// names gives the calls of an answer ids that nothing else in the conversation has.
type names struct {
	prefix string
	taken  map[string]bool
}

func newNames(r Request) names {
	n := names{r.CallPrefix, map[string]bool{}}
	for _, m := range r.Messages {
		for _, result := range m.Results {
			n.taken[result.CallID] = true
		}
	}
	return n
}

// name is the id of a call, given what the provider calls it.
func (n names) name(given string, slot int) string {
	if given == "" || n.taken[given] {
		given = n.prefix + strconv.Itoa(slot)
	}
	n.taken[given] = true
	return given
}

// isObject reports whether a text is a JSON object, and nothing beside it.
func isObject(text []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte("{")) && json.Valid(text)
}

// objectOf is the arguments of a call as an object: none of what is no JSON.
func objectOf(arguments string) json.RawMessage {
	if !isObject([]byte(arguments)) {
		return json.RawMessage("{}")
	}
	return json.RawMessage(arguments)
}

// quoted is a text as JSON.
func quoted(text string) json.RawMessage {
	raw, err := json.Marshal(text)
	if err != nil {
		return json.RawMessage(`""`) // a text can always be written
	}
	return raw
}
