package tool

import (
	"fmt"
	"unicode/utf8"
)

// Piece is a part of a long text, at most so many bytes from an offset, with a line
// behind it that says where it ends, and where the next piece begins if there is one.
func Piece(text string, offset, most int) string {
	if offset >= len(text) && offset > 0 {
		return fmt.Sprintf("(There is nothing more: the text has %d bytes.)", len(text))
	}
	end := min(offset+most, len(text))
	for end < len(text) && !utf8.RuneStart(text[end]) {
		end--
	}
	for offset < end && !utf8.RuneStart(text[offset]) {
		offset++
	}
	switch {
	case offset == 0 && end == len(text):
		return text
	case end == len(text):
		return fmt.Sprintf("%s\n(This is the end: bytes %d to %d.)", text[offset:], offset, end)
	default:
		return fmt.Sprintf("%s\n(Bytes %d to %d of %d. The next piece has the offset %d.)", text[offset:end], offset, end, len(text), end)
	}
}
