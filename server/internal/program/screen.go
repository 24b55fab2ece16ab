package program

import (
	"bytes"
	"io"
)

// screen reads what a program writes on a terminal as text: without the sequences that
// command a terminal, such as colours, and with plain ends of lines.
type screen struct {
	from  io.Reader
	where place
	back  bool // a carriage return was read, and it is not known what follows
}

// place is where in such a sequence the next byte is.
type place int

const (
	text        place = iota
	escape            // behind ESC
	parameters        // behind ESC [
	words             // behind ESC ], P, X, ^ or _: text that ends with BEL or ESC \
	wordsEscape       // behind ESC there
)

// Read implements io.Reader.
func (s *screen) Read(b []byte) (int, error) {
	for {
		// What is left over of one read goes before the next: b has room for it.
		n, err := s.from.Read(b[:max(1, len(b)-1)])
		shown := make([]byte, 0, n+1)
		for _, c := range b[:n] {
			shown = s.take(shown, c)
		}
		if err != nil && s.back {
			s.back, shown = false, append(shown, '\r')
		}
		if len(shown) > 0 || err != nil {
			return copy(b, shown), err
		}
	}
}

// take appends to what is shown what a byte adds.
func (s *screen) take(shown []byte, c byte) []byte {
	switch was := s.where; {
	case was == text && c == 0x1b:
		s.where = escape
	case was == text:
		return s.plain(shown, c)
	case was == escape && c == '[':
		s.where = parameters
	case was == escape && bytes.IndexByte([]byte("]PX^_"), c) >= 0:
		s.where = words
	case was == escape && c >= 0x20 && c < 0x30: // there is more of it
	case was == parameters && (c < 0x40 || c > 0x7e):
	case was == words && c == 0x1b:
		s.where = wordsEscape
	case was == words && c != 0x07:
	case was == wordsEscape && c != '\\':
		s.where = words
	default:
		s.where = text
	}
	return shown
}

// plain takes a byte of text.
func (s *screen) plain(shown []byte, c byte) []byte {
	if s.back && c != '\n' {
		shown = append(shown, '\r')
	}
	if s.back = c == '\r'; s.back {
		return shown
	}
	return append(shown, c)
}
