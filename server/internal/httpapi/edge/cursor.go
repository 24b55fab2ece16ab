package edge

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth is how deep objects and lists may be nested: as deep as encoding/json
// takes them.
const maxDepth = 10_000

// Cursor goes over JSON text without decoding it, once, and as strictly as
// encoding/json. After a method has reported false its place means nothing.
type Cursor struct {
	left  []byte
	depth int
}

// NewCursor makes a cursor at the beginning of a text.
func NewCursor(text []byte) *Cursor { return &Cursor{left: text} }

// Next is the next byte that is no space, which stays; 0 at the end.
func (c *Cursor) Next() byte {
	for i, b := range c.left {
		if b != ' ' && b != '\n' && b != '\t' && b != '\r' {
			c.left = c.left[i:]
			return b
		}
	}
	c.left = nil
	return 0
}

// Take passes over the next byte that is no space, if it is this one.
func (c *Cursor) Take(b byte) bool {
	if c.Next() != b {
		return false
	}
	c.left = c.left[1:]
	return true
}

// End reports whether nothing but space is left.
func (c *Cursor) End() bool { return c.Next() == 0 && len(c.left) == 0 }

// Text passes over a text and returns what stands between its quotes, and whether
// that is the text itself: it has no escapes.
func (c *Cursor) Text() (raw []byte, plain, ok bool) {
	if !c.Take('"') {
		return nil, false, false
	}
	plain = true
	for i := 0; i < len(c.left); i++ {
		switch b := c.left[i]; {
		case b == '"':
			raw, c.left = c.left[:i], c.left[i+1:]
			return raw, plain, true
		case b < ' ':
			return nil, false, false
		case b == '\\':
			plain = false
			n := escape(c.left[i+1:])
			if n == 0 {
				return nil, false, false
			}
			i += n
		}
	}
	return nil, false, false
}

// escape is how many bytes behind a backslash belong to it, 0 if it is none.
func escape(behind []byte) int {
	if len(behind) == 0 {
		return 0
	}
	switch behind[0] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 1
	case 'u':
		if len(behind) < 5 {
			return 0
		}
		for _, b := range behind[1:5] {
			if ('0' > b || b > '9') && ('a' > b|0x20 || b|0x20 > 'f') {
				return 0
			}
		}
		return 5
	}
	return 0
}

// String passes over a text and returns it. It does not look whether the text is UTF-8.
func (c *Cursor) String() (text string, ok bool) {
	raw, plain, ok := c.Text()
	if !plain {
		raw = unescaped(raw)
	}
	return string(raw), ok
}

// unescaped is a text without its escapes. It is never nil.
func unescaped(raw []byte) []byte {
	text := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			text = append(text, raw[i])
			continue
		}
		i++
		switch raw[i] {
		case 'b':
			text = append(text, '\b')
		case 'f':
			text = append(text, '\f')
		case 'n':
			text = append(text, '\n')
		case 'r':
			text = append(text, '\r')
		case 't':
			text = append(text, '\t')
		case 'u':
			r := unit(raw[i-1:])
			i += 4
			if utf16.IsSurrogate(r) {
				if r = utf16.DecodeRune(r, unit(raw[i+1:])); r != utf8.RuneError {
					i += 6
				}
			}
			text = utf8.AppendRune(text, r)
		default:
			text = append(text, raw[i])
		}
	}
	return text
}

// unit is the unit of UTF-16 that stands as an escape in front of a text, -1 for none.
func unit(text []byte) rune {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return -1
	}
	n, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(n)
}

// Number passes over a number and returns how it is written.
func (c *Cursor) Number() (raw []byte, ok bool) {
	c.Next()
	rest := bytes.TrimPrefix(c.left, []byte("-"))
	whole := digits(rest)
	if whole == 0 || whole > 1 && rest[0] == '0' {
		return nil, false
	}
	rest = rest[whole:]
	if len(rest) > 0 && rest[0] == '.' {
		n := digits(rest[1:])
		if n == 0 {
			return nil, false
		}
		rest = rest[1+n:]
	}
	if len(rest) > 0 && rest[0]|0x20 == 'e' {
		rest = rest[1:]
		if len(rest) > 0 && (rest[0] == '+' || rest[0] == '-') {
			rest = rest[1:]
		}
		n := digits(rest)
		if n == 0 {
			return nil, false
		}
		rest = rest[n:]
	}
	raw, c.left = c.left[:len(c.left)-len(rest)], rest
	return raw, true
}

func digits(text []byte) int {
	n := 0
	for n < len(text) && '0' <= text[n] && text[n] <= '9' {
		n++
	}
	return n
}

// Word passes over true, false or null.
func (c *Cursor) Word(word string) bool {
	c.Next()
	if len(c.left) < len(word) || string(c.left[:len(word)]) != word {
		return false
	}
	c.left = c.left[len(word):]
	return true
}

// Object passes over an object: member is called in front of each value, which it has
// to pass over, with the member's name as Text answers it.
func (c *Cursor) Object(member func(name []byte, plain bool) bool) bool {
	if !c.Take('{') || !c.deeper() {
		return false
	}
	for more := c.Next() != '}'; more; more = c.Take(',') {
		name, plain, ok := c.Text()
		if !ok || !c.Take(':') || !member(name, plain) {
			return false
		}
	}
	c.depth--
	return c.Take('}')
}

// List passes over a list: item is called in front of each value, which it has to
// pass over.
func (c *Cursor) List(item func() bool) bool {
	if !c.Take('[') || !c.deeper() {
		return false
	}
	for more := c.Next() != ']'; more; more = c.Take(',') {
		if !item() {
			return false
		}
	}
	c.depth--
	return c.Take(']')
}

func (c *Cursor) deeper() bool {
	c.depth++
	return c.depth <= maxDepth
}

// Value passes over any value and returns how it is written.
func (c *Cursor) Value() (raw json.RawMessage, ok bool) {
	c.Next()
	from := c.left
	switch c.Next() {
	case '{':
		ok = c.Object(func([]byte, bool) bool { return c.skip() })
	case '[':
		ok = c.List(c.skip)
	default:
		ok = c.scalar()
	}
	if !ok {
		return nil, false
	}
	return json.RawMessage(from[:len(from)-len(c.left)]), true
}

func (c *Cursor) skip() bool {
	_, ok := c.Value()
	return ok
}

// scalar passes over a value that holds no other.
func (c *Cursor) scalar() (ok bool) {
	switch c.Next() {
	case '"':
		_, _, ok = c.Text()
	case 't':
		ok = c.Word("true")
	case 'f':
		ok = c.Word("false")
	case 'n':
		ok = c.Word("null")
	default:
		_, ok = c.Number()
	}
	return ok
}
