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
	w := walk{Cursor: NewCursor(body)}
	w.value()
	if w.twice == nil || !json.Valid(body) { // for the decoder to refuse
		return nil
	}
	return fault.Field(strings.ToValidUTF8(pathOf(w.twice), "\uFFFD"), "is given twice")
}

// walk looks for the first member that stands twice.
type walk struct {
	*Cursor
	// twice is the way to it, the innermost step first; nil for none.
	twice []step
}

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

// value passes over a value, unless it is no JSON or has a member twice.
func (w *walk) value() bool {
	switch w.Next() {
	case '{':
		return w.object()
	case '[':
		i := -1
		return w.List(func() bool {
			i++
			return w.value() || w.at(step{index: i})
		})
	default:
		return w.scalar()
	}
}

func (w *walk) object() bool {
	var seen names
	return w.Object(func(name []byte, plain bool) bool {
		if !plain {
			name = unescaped(name)
		}
		if !seen.add(name) {
			w.twice = []step{{name: name}}
			return false
		}
		return w.value() || w.at(step{name: name})
	})
}

// at adds a step to the way to what was found below it. It returns false.
func (w *walk) at(s step) bool {
	if w.twice != nil {
		w.twice = append(w.twice, s)
	}
	return false
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
