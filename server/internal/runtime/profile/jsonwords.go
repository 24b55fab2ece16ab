package profile

import (
	"bytes"
	"io"
	"strings"
)

// wordFilter replaces what programs write for numbers that JSON has no words for, NaN
// and Infinity, by null.
type wordFilter struct {
	from     io.Reader
	in       []byte // What has been read and not been looked at.
	out      []byte // What has been looked at and not been handed out.
	err      error
	inString bool
	escaped  bool
	replaced int
}

func newWordFilter(from io.Reader) *wordFilter { return &wordFilter{from: from} }

// Read implements io.Reader.
func (w *wordFilter) Read(p []byte) (int, error) {
	for len(w.out) == 0 {
		if w.err != nil && len(w.in) == 0 {
			return 0, w.err
		}
		if w.err == nil {
			block := make([]byte, headSize)
			var n int
			n, w.err = w.from.Read(block)
			w.in = append(w.in, block[:n]...)
		}
		var used int
		w.out, used = w.pass(w.in, w.err != nil)
		w.in = w.in[used:]
	}
	n := copy(p, w.out)
	w.out = w.out[n:]
	return n, nil
}

// replace returns a whole value without such words.
func (w *wordFilter) replace(value []byte) []byte {
	w.inString, w.escaped = false, false
	passed, _ := w.pass(value, true)
	return passed
}

// pass returns what the beginning of text becomes, and how long that is: all of it,
// unless more may come and it ends with what may be half a word.
func (w *wordFilter) pass(text []byte, whole bool) (passed []byte, used int) {
	passed = make([]byte, 0, len(text))
	for used < len(text) {
		c := text[used]
		if w.inString {
			w.inString = c != '"' || w.escaped
			w.escaped = c == '\\' && !w.escaped
		} else if c == '"' {
			w.inString = true
		} else if c == 'N' || c == 'I' || c == '-' {
			word, half := noNumberAt(text[used:])
			if half && !whole {
				return passed, used
			}
			if word > 0 {
				w.replaced++
				passed = append(passed, "null"...)
				used += word
				continue
			}
		}
		passed = append(passed, c)
		used++
	}
	return passed, used
}

// noNumberAt returns the length of the word at the beginning of text, and whether the
// text is the beginning of one.
func noNumberAt(text []byte) (word int, half bool) {
	for _, w := range [...]string{"-Infinity", "Infinity", "-NaN", "NaN"} {
		if bytes.HasPrefix(text, []byte(w)) {
			return len(w), false
		}
		half = half || strings.HasPrefix(w, string(text[:min(len(text), len(w))])) && len(text) < len(w)
	}
	return 0, half
}

func (w *wordFilter) notes() []string {
	if w.replaced == 0 {
		return nil
	}
	return []string{plural(w.replaced, "number") + " written as NaN or Infinity " + isOrAre(w.replaced) + " taken for missing."}
}
