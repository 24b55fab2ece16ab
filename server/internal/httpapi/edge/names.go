package edge

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/errand-dev/errand/server/internal/fault"
)

// CheckNames refuses a JSON body in which a member of an object stands twice:
// checks would see the last one only, while decoding mixes both. It says
// nothing about a body that is no JSON.
func CheckNames(body []byte) error {
	if !json.Valid(body) {
		return nil // for the decoder to refuse
	}
	w := walk{left: body}
	if path := w.value(); path != nil {
		return fault.Field(strings.ToValidUTF8(pathOf(path), "\uFFFD"), "is given twice")
	}
	return nil
}

// walk goes over valid JSON, whose nesting the decoder bounds.
type walk struct{ left []byte }

// step is a member's name, or an index with a nil name.
type step struct {
	name  []byte
	index int
}

func pathOf(innermostFirst []step) string {
	var b strings.Builder
	for _, s := range slices.Backward(innermostFirst) {
		switch {
		case s.name == nil:
			fmt.Fprintf(&b, "[%d]", s.index)
		case b.Len() > 0:
			b.WriteByte('.')
			b.Write(s.name)
		default:
			b.Write(s.name)
		}
	}
	return b.String()
}

// next takes the next byte that is no space.
func (w *walk) next() byte {
	for {
		c := w.left[0]
		w.left = w.left[1:]
		if c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			return c
		}
	}
}

// value passes over a value and answers the way to the first member that stands
// twice in it, the innermost step first.
func (w *walk) value() []step {
	switch w.next() {
	case '{':
		return w.object()
	case '[':
		return w.list()
	case '"':
		w.text()
	default: // a number, or a word
		if end := bytes.IndexAny(w.left, ",]} \t\r\n"); end >= 0 {
			w.left = w.left[end:]
		} else {
			w.left = nil
		}
	}
	return nil
}

// text passes over the rest of a text and answers what stands in it.
func (w *walk) text() []byte {
	for i := 0; ; i++ {
		switch w.left[i] {
		case '\\':
			i++
		case '"':
			raw := w.left[:i]
			w.left = w.left[i+1:]
			return raw
		}
	}
}

func (w *walk) object() []step {
	var seen names
	c := w.next()
	for c == '"' {
		name := plainName(w.text())
		if !seen.add(name) {
			return []step{{name: name}}
		}
		w.next() // the colon
		if path := w.value(); path != nil {
			return append(path, step{name: name})
		}
		if c = w.next(); c == ',' {
			c = w.next()
		}
	}
	return nil
}

func (w *walk) list() []step {
	if rest := bytes.TrimLeft(w.left, " \t\r\n"); rest[0] == ']' {
		w.left = rest[1:]
		return nil
	}
	for i := 0; ; i++ {
		if path := w.value(); path != nil {
			return append(path, step{index: i})
		}
		if w.next() == ']' {
			return nil
		}
	}
}

// plainName is a name without its escapes. It is never nil.
func plainName(raw []byte) []byte {
	if !bytes.ContainsRune(raw, '\\') {
		return raw
	}
	var text string
	if json.Unmarshal([]byte(`"`+string(raw)+`"`), &text) != nil {
		return raw
	}
	return []byte(text)
}

// few is up to how many names comparing them all is cheaper than a map.
const few = 16

// names are those of one object.
type names struct {
	list [][]byte
	set  map[string]bool
}

// add reports whether a name is new.
func (n *names) add(name []byte) bool {
	if n.set == nil && len(n.list) < few {
		for _, other := range n.list {
			if bytes.Equal(name, other) {
				return false
			}
		}
		n.list = append(n.list, name)
		return true
	}
	if n.set == nil {
		n.set = make(map[string]bool, 2*few)
		for _, other := range n.list {
			n.set[string(other)] = true
		}
	}
	if n.set[string(name)] {
		return false
	}
	n.set[string(name)] = true
	return true
}
