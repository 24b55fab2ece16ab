package profile

import (
	"bytes"
	"io"
	"strings"
	"unicode/utf8"
)

// Text is the beginning of a file as text.
type Text struct {
	// Is says whether the file is text at all.
	Is bool
	// Text is UTF-8, whatever the file's encoding.
	Text string
	// Whole says that this is all of it.
	Whole bool
}

// ReadText reads a file as text, up to about limit bytes of it; it ends with a whole
// character. Its errors are the reader's.
func ReadText(content io.Reader, limit int) (Text, error) {
	sample := make([]byte, headSize)
	n, err := io.ReadFull(content, sample)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF { //nolint:errorlint // ReadFull gives these two as they are
		return Text{}, err
	}
	sample = sample[:n]
	encoding, mark := sniffEncoding(sample)
	if encoding == encodingBytes && !isText(sample) {
		return Text{}, nil
	}
	var text strings.Builder
	_, err = io.Copy(&text, io.LimitReader(newDecoder(encoding, bytes.Clone(sample[mark:]), content), int64(limit)+1))
	if err != nil {
		return Text{}, err
	}
	whole := text.Len() <= limit
	all := text.String()
	if !whole {
		for all = all[:limit]; len(all) > 0; all = all[:len(all)-1] {
			if r, size := utf8.DecodeLastRuneInString(all); r != utf8.RuneError || size != 1 {
				break
			}
		}
	}
	return Text{Is: true, Text: all, Whole: whole}, nil
}
