package profile

import (
	"bytes"
	"io"
	"unicode/utf16"
	"unicode/utf8"
)

// encoding is how the characters of a file are written.
type encoding int

const (
	// encodingBytes is UTF-8, or any older encoding: what is no UTF-8 is read
	// as Windows-1252, which Latin-1 is a part of.
	encodingBytes encoding = iota
	encodingUTF16LE
	encodingUTF16BE
)

// sniffEncoding goes by the byte order mark, which is no part of the text, or
// by what UTF-16 cannot hide without one.
func sniffEncoding(head []byte) (e encoding, mark int) {
	switch {
	case bytes.HasPrefix(head, []byte("\ufeff")):
		return encodingBytes, len("\ufeff")
	case bytes.HasPrefix(head, []byte("\xff\xfe")):
		return encodingUTF16LE, len("\xff\xfe")
	case bytes.HasPrefix(head, []byte("\xfe\xff")):
		return encodingUTF16BE, len("\xfe\xff")
	}
	for _, e := range [...]encoding{encodingUTF16LE, encodingUTF16BE} {
		if e.obvious(head) {
			return e, 0
		}
	}
	return encodingBytes, 0
}

// obvious tells whether content without a mark must be UTF-16: a third of its
// characters or more are ASCII, as separators, digits and spaces are in any
// language, and none is a control character.
func (e encoding) obvious(head []byte) bool {
	units, ascii := 0, 0
	for ; len(head) >= 2; head = head[2:] {
		switch u := e.unit(head); {
		case u < ' ' && u != '\t' && u != '\n' && u != '\r', u == utf8.RuneError, u >= 0xfffe:
			return false
		case u < utf8.RuneSelf:
			ascii++
		}
		units++
	}
	return ascii >= 2 && ascii*3 >= units
}

// unit is the first unit of UTF-16 in b.
func (e encoding) unit(b []byte) uint16 {
	if e == encodingUTF16LE {
		return uint16(b[0]) | uint16(b[1])<<8
	}
	return uint16(b[0])<<8 | uint16(b[1])
}

// decoder makes valid UTF-8 of content in any encoding.
type decoder struct {
	encoding encoding
	from     io.Reader

	block   []byte // Room for what is read next.
	rest    []byte // The end of what was read: half a character.
	err     error  // The end of from.
	decoded []byte // What has been decoded and not been handed out.
	room    []byte // For decoded, unless it is a part of block.

	foreign flaw // Bytes, or characters of UTF-16, that are out of place.
	feeds   int  // Line breaks before foreign, as LF
	returns int  // and as CR.
}

// newDecoder decodes head, the start of the content, and then what follows it.
func newDecoder(e encoding, head []byte, from io.Reader) *decoder {
	d := &decoder{encoding: e, from: from, block: make([]byte, headSize)}
	d.decode(head)
	return d
}

func (d *decoder) Read(p []byte) (int, error) {
	for len(d.decoded) == 0 {
		if d.err != nil {
			return 0, d.err
		}
		rest := copy(d.block, d.rest)
		var n int
		n, d.err = d.from.Read(d.block[rest:])
		d.decode(d.block[:rest+n])
	}
	n := copy(p, d.decoded)
	d.decoded = d.decoded[n:]
	return n, nil
}

// decode sets decoded and rest.
func (d *decoder) decode(content []byte) {
	if d.encoding == encodingBytes {
		d.decodeBytes(content)
	} else {
		d.decodeUTF16(content)
	}
}

func (d *decoder) decodeBytes(content []byte) {
	end := len(content)
	if d.err == nil {
		end = wholeRunes(content)
	}
	content, d.rest = content[:end], content[end:]
	if utf8.Valid(content) {
		d.decoded = content
		d.pass(content)
		return
	}
	d.room = d.room[:0]
	for len(content) > 0 {
		good := validPrefix(content)
		d.pass(content[:good])
		d.room = append(d.room, content[:good]...)
		if content = content[good:]; len(content) > 0 {
			d.foreign.add(d.line())
			d.room = utf8.AppendRune(d.room, windows1252(content[0]))
			content = content[1:]
		}
	}
	d.decoded = d.room
}

func (d *decoder) decodeUTF16(content []byte) {
	d.room = d.room[:0]
	for len(content) >= 2 {
		r, size := rune(d.encoding.unit(content)), 2
		if utf16.IsSurrogate(r) {
			if len(content) < 4 && d.err == nil {
				break
			}
			if len(content) >= 4 {
				r = utf16.DecodeRune(r, rune(d.encoding.unit(content[2:])))
			} else {
				r = utf8.RuneError
			}
			if r == utf8.RuneError {
				d.pass(d.room)
				d.foreign.add(d.line())
			} else {
				size = 4
			}
		}
		d.room = utf8.AppendRune(d.room, r)
		content = content[size:]
	}
	d.pass(d.room)
	if len(content) == 1 && d.err != nil {
		d.foreign.add(d.line())
		d.room = utf8.AppendRune(d.room, utf8.RuneError)
		content = nil
	}
	d.decoded, d.rest = d.room, content
}

// pass counts the lines of a text before the first thing that is out of place.
func (d *decoder) pass(text []byte) {
	if d.foreign.count == 0 {
		d.feeds += bytes.Count(text, []byte{'\n'})
		d.returns += bytes.Count(text, []byte{'\r'})
	}
}

// line is the line after what has been passed. A file breaks its lines in one
// way or the other.
func (d *decoder) line() int { return 1 + max(d.feeds, d.returns) }

// wholeRunes is how much of a text remains when it does not end within a character.
func wholeRunes(text []byte) int {
	for back := 1; back < utf8.UTFMax && back <= len(text); back++ {
		at := len(text) - back
		if utf8.RuneStart(text[at]) {
			if !utf8.FullRune(text[at:]) {
				return at
			}
			break
		}
	}
	return len(text)
}

// validPrefix is how much of a text is UTF-8.
func validPrefix(text []byte) int {
	for i := 0; i < len(text); {
		if text[i] < utf8.RuneSelf {
			i++
			continue
		}
		r, size := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return len(text)
}

// windows1252 is the character of a byte from 0x80 on.
func windows1252(b byte) rune {
	if b >= 0xa0 {
		return rune(b)
	}
	// Only this part differs from Latin-1. Bytes that stand for nothing are
	// control characters there, as they are here.
	return [...]rune{
		'€', 0x81, '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', 0x8d, 'Ž', 0x8f,
		0x90, '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', 0x9d, 'ž', 'Ÿ',
	}[b-0x80]
}

// note says how the characters were read, if not all were as they should be.
func (d *decoder) note() []string {
	n := d.foreign.count
	if n == 0 {
		return nil
	}
	verb := "are"
	if n == 1 {
		verb = "is"
	}
	what := plural(n, "byte") + " " + verb + " not UTF-8 and " + verb + " read as Windows-1252"
	if d.encoding != encodingBytes {
		what = plural(n, "character") + " " + verb + " not valid UTF-16 and " + verb + " shown as \ufffd"
	}
	return []string{what + " (the first on line " + humanInt(d.foreign.line) + ")."}
}
