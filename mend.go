package errand

import (
	"bytes"
	"unicode/utf8"
)

// mend replaces in JSON what no text of a log may hold, NUL and bytes that are no
// UTF-8, by U+FFFD: models and tools write such things, and what they cost must not
// be the result of the attempt.
func mend(data []byte) []byte {
	const escaped, replaced = `\u0000`, `\ufffd`
	if !utf8.Valid(data) {
		data = bytes.ToValidUTF8(data, []byte("\uFFFD"))
	}
	if !bytes.Contains(data, []byte(escaped)) {
		return data
	}
	mended := bytes.Clone(data)
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
