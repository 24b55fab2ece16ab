package profile

import (
	"bufio"
	"bytes"
	"io"
	"slices"
	"strings"
)

const (
	// maxField is how many bytes of a field are kept; the rest is dropped.
	maxField = 32 << 10
	// maxFields is how many fields of a record are kept; the rest is counted.
	maxFields = maxColumns
	// maxQuoted is how much of a quoted field can be read anew when its quote turns
	// out to be none.
	maxQuoted = 64 << 10
	// maxLiteral is after how many of those no quote is believed any more.
	maxLiteral = 1_000
)

// recordReader splits delimited text into records. It accepts any text: what
// is not as it should be is counted for the report instead of ending the file.
// Line breaks are LF, CRLF and CR, and fields may be quoted with ". A quote that
// swallows line breaks and then ends in the middle of a field, or never, is a
// character like others: an inch, or a title that begins with one.
type recordReader struct {
	in    *bufio.Reader
	comma byte
	line  int // Of the next byte, from 1.

	text   []byte   // The kept fields of the record, one after the other.
	ends   []int    // Where each of them ends in text.
	fields []string // The record handed out last.
	extra  int      // How many fields of it were not kept.

	quoted []byte // What has been read since the quote of the current field.
	again  []byte // What is read once more before anything else.

	flaws recordFlaws
}

// recordFlaws says what was wrong with the text so far.
type recordFlaws struct {
	openQuote int  // The line of a quote that is never closed.
	stray     flaw // Text between a closing quote and the delimiter.
	literal   flaw // Quotes that are characters like others.
	cut       flaw // Fields longer than maxField.
	nul       flaw // Fields with NUL bytes.
}

// flaw counts a kind of fault and keeps its first line.
type flaw struct {
	count int
	line  int
}

func (f *flaw) add(line int) {
	if f.count == 0 {
		f.line = line
	}
	f.count++
}

func newRecordReader(in *bufio.Reader, comma byte) *recordReader {
	return &recordReader{in: in, comma: comma, line: 1}
}

// record is a line of delimited text.
type record struct {
	cells []string
	width int  // How many fields it had, of which some may not have been kept.
	line  int  // On which it starts.
	gap   bool // An empty line comes before it.
}

// next returns the next record, and false at the end. The strings are the
// caller's, the slice is valid until the next call. Empty lines are skipped.
func (r *recordReader) next() (next record, ok bool) {
	for {
		next.line = r.line
		more, blank := r.scan()
		if r.flaws.openQuote != 0 {
			// The record has swallowed the rest of the file: it is no row.
			return record{}, false
		}
		if !blank {
			next.cells = r.split()
			next.width = len(next.cells) + r.extra
			return next, true
		}
		if !more {
			return record{}, false
		}
		next.gap = true
	}
}

// scan reads one record. It reports whether there may be more, and whether
// the record was an empty line.
func (r *recordReader) scan() (more, blank bool) {
	r.text, r.ends, r.extra = r.text[:0], r.ends[:0], 0
	start := r.line
	field := fieldScan{}
	blank = true
	for {
		c, err := r.read()
		if err != nil {
			if field.quoted && r.unquote(&field) {
				continue
			}
			if field.quoted {
				r.flaws.openQuote = field.openedAt
			}
			r.endField(&field, start)
			return false, blank
		}
		switch {
		case c == '\n' || c == '\r':
			if c == '\r' {
				r.skip('\n')
			}
			r.line++
			if field.quoted {
				r.recall('\n')
				r.keep(&field, '\n')
				continue
			}
			r.endField(&field, start)
			return true, blank
		case field.quoted && c == '"':
			if r.recall(c); r.skip('"') {
				r.recall(c)
				r.keep(&field, '"')
			} else {
				field.quoted, field.closed = false, true
			}
		case field.quoted:
			r.recall(c)
			r.keep(&field, c)
			r.run(&field, '"')
		case c == r.comma:
			blank = false
			r.endField(&field, start)
		case c == '"' && !field.closed && !field.dense && r.flaws.literal.count < maxLiteral:
			// Spaces before the quote are no part of the field.
			blank = false
			r.drop(&field)
			field.quoted, field.openedAt = true, r.line
			r.quoted = r.quoted[:0]
		default:
			space := c == ' ' || c == '\t'
			if field.closed {
				if r.recall(c); !space && r.line > field.openedAt && r.unquote(&field) {
					continue
				}
				r.flaws.stray.add(r.line)
			}
			if !space {
				blank, field.dense = false, true
			}
			r.keep(&field, c)
			if field.dense && !field.closed {
				r.run(&field, r.comma)
			}
		}
	}
}

// runSize is how far run looks: further than most fields are long.
const runSize = 64

// run takes what follows in a field and has no sign in it, which is most of it, at
// once. end is what ends the field beside a line break.
func (r *recordReader) run(f *fieldScan, end byte) {
	if len(r.again) > 0 {
		return
	}
	ahead, _ := r.in.Peek(min(r.in.Buffered(), runSize))
	for _, sign := range [...]byte{end, '\n', '\r', 0} {
		if i := bytes.IndexByte(ahead, sign); i >= 0 {
			ahead = ahead[:i]
		}
	}
	if room := maxField - f.size; room > 0 && len(r.ends) < maxFields {
		r.text = append(r.text, ahead[:min(room, len(ahead))]...)
	}
	if room := maxQuoted + 1 - len(r.quoted); f.quoted && room > 0 {
		r.quoted = append(r.quoted, ahead[:min(room, len(ahead))]...)
	}
	f.size += len(ahead)
	_, _ = r.in.Discard(len(ahead)) // it is buffered
}

// read returns the next byte.
func (r *recordReader) read() (byte, error) {
	if len(r.again) > 0 {
		c := r.again[0]
		r.again = r.again[1:]
		return c, nil
	}
	return r.in.ReadByte()
}

// recall keeps what comes after a quote, in case that it is read anew.
func (r *recordReader) recall(c byte) {
	if len(r.quoted) <= maxQuoted {
		r.quoted = append(r.quoted, c)
	}
}

// unquote makes the quote of a field a character of it, after which everything is
// read anew. It returns false if that was too long ago.
func (r *recordReader) unquote(f *fieldScan) bool {
	if len(r.quoted) > maxQuoted {
		return false
	}
	r.flaws.literal.add(f.openedAt)
	r.again = slices.Concat(r.quoted, r.again)
	r.line = f.openedAt
	r.drop(f)
	*f = fieldScan{dense: true}
	r.keep(f, '"')
	return true
}

// fieldScan is where the scanner is within a field.
type fieldScan struct {
	size     int
	openedAt int  // The line of the opening quote.
	quoted   bool // Between the quotes.
	closed   bool // After the closing quote.
	dense    bool // Some character outside quotes is not a space.
	nul      bool
}

func (r *recordReader) keep(f *fieldScan, c byte) {
	f.nul = f.nul || c == 0
	f.size++
	if f.size <= maxField && len(r.ends) < maxFields {
		r.text = append(r.text, c)
	}
}

// drop forgets what has been kept of the field.
func (r *recordReader) drop(f *fieldScan) {
	start := 0
	if n := len(r.ends); n > 0 {
		start = r.ends[n-1]
	}
	r.text, f.size = r.text[:start], 0
}

func (r *recordReader) endField(f *fieldScan, line int) {
	if f.nul {
		r.flaws.nul.add(line)
	}
	if f.size > maxField {
		r.flaws.cut.add(line)
	}
	if len(r.ends) < maxFields {
		r.ends = append(r.ends, len(r.text))
	} else {
		r.extra++
	}
	*f = fieldScan{}
}

// skip consumes the next byte if it is c.
func (r *recordReader) skip(c byte) bool {
	if len(r.again) > 0 {
		if r.again[0] != c {
			return false
		}
		r.again = r.again[1:]
		return true
	}
	next, err := r.in.Peek(1)
	if err != nil || next[0] != c {
		return false
	}
	_, err = r.in.Discard(1)
	return err == nil
}

// split makes strings of the record: one for all fields, and slices of it.
func (r *recordReader) split() []string {
	r.fields = r.fields[:0]
	all, from := string(r.text), 0
	for _, end := range r.ends {
		field := all[from:end]
		if len(field) == maxField {
			// The limit may have cut a character.
			field = strings.ToValidUTF8(field, "")
		}
		r.fields = append(r.fields, field)
		from = end
	}
	return r.fields
}

// readRecords returns the first records of a sample, without the last one if
// the sample may end in the middle of it.
func readRecords(sample io.Reader, comma byte, whole bool, limit int) []record {
	r := newRecordReader(bufio.NewReader(sample), comma)
	var records []record
	for len(records) < limit {
		next, ok := r.next()
		if !ok {
			if !whole && len(records) > 1 {
				records = records[:len(records)-1]
			}
			break
		}
		next.cells = slices.Clone(next.cells)
		records = append(records, next)
	}
	return records
}

// records are those of a delimited file or of a sheet, one after the other.
type records interface {
	// next returns the next one, and false at the end. The strings are the caller's, the
	// slice is valid until the next call.
	next() (record, bool)
}

// recordQueue hands out records, some of which have been looked at before.
type recordQueue struct {
	from  records
	ahead []record
}

// next returns the next record, and false at the end. It is valid until the next call.
func (q *recordQueue) next() (record, bool) {
	if len(q.ahead) > 0 {
		first := q.ahead[0]
		q.ahead = q.ahead[1:]
		return first, true
	}
	return q.from.next()
}

// look returns the next records, at most limit, without taking them.
func (q *recordQueue) look(limit int) []record {
	for size := 0; len(q.ahead) < limit && size < headBytes; {
		next, ok := q.from.next()
		if !ok {
			break
		}
		next.cells = slices.Clone(next.cells)
		for _, cell := range next.cells {
			size += len(cell)
		}
		q.ahead = append(q.ahead, next)
	}
	return q.ahead[:min(limit, len(q.ahead))]
}
