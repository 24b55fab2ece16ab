package profile

import (
	"bufio"
	"io"
	"slices"
	"strings"
)

const (
	// maxField is how many bytes of a field are kept; the rest is dropped.
	maxField = 32 << 10
	// maxFields is how many fields of a record are kept; the rest is counted.
	maxFields = maxColumns
)

// recordReader splits delimited text into records. It accepts any text: what
// is not as it should be is counted for the report instead of ending the file.
// Line breaks are LF, CRLF and CR, and fields may be quoted with ".
type recordReader struct {
	in    *bufio.Reader
	comma byte
	line  int // Of the next byte, from 1.

	text   []byte   // The kept fields of the record, one after the other.
	ends   []int    // Where each of them ends in text.
	fields []string // The record handed out last.
	extra  int      // How many fields of it were not kept.

	flaws recordFlaws
}

// recordFlaws says what was wrong with the text so far.
type recordFlaws struct {
	openQuote int  // The line of a quote that is never closed.
	stray     flaw // Text between a closing quote and the delimiter.
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

// next returns the next record and the line on which it starts, and false at
// the end. The strings are the caller's, the slice is valid until the next
// call. Empty lines are skipped.
func (r *recordReader) next() (record []string, line int, ok bool) {
	for {
		line = r.line
		more, blank := r.scan()
		if r.flaws.openQuote != 0 {
			// The record has swallowed the rest of the file: it is no row.
			return nil, line, false
		}
		if !blank {
			return r.split(), line, true
		}
		if !more {
			return nil, line, false
		}
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
		c, err := r.in.ReadByte()
		if err != nil {
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
				r.keep(&field, '\n')
				continue
			}
			r.endField(&field, start)
			return true, blank
		case field.quoted && c == '"':
			if r.skip('"') {
				r.keep(&field, '"')
			} else {
				field.quoted, field.closed = false, true
			}
		case field.quoted:
			r.keep(&field, c)
		case c == r.comma:
			blank = false
			r.endField(&field, start)
		case c == '"' && !field.closed && !field.dense:
			// Spaces before the quote are no part of the field.
			blank = false
			r.drop(&field)
			field.quoted, field.openedAt = true, r.line
		default:
			if space := c == ' ' || c == '\t'; !space {
				blank, field.dense = false, true
			}
			if field.closed {
				r.flaws.stray.add(r.line)
			}
			r.keep(&field, c)
		}
	}
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

// width is how many fields the last record had.
func (r *recordReader) width() int { return len(r.fields) + r.extra }

// readRecords returns the first records of a sample, without the last one if
// the sample may end in the middle of it.
func readRecords(sample io.Reader, comma byte, whole bool, limit int) [][]string {
	r := newRecordReader(bufio.NewReader(sample), comma)
	var records [][]string
	for len(records) < limit {
		record, _, ok := r.next()
		if !ok {
			if !whole && len(records) > 1 {
				records = records[:len(records)-1]
			}
			break
		}
		records = append(records, slices.Clone(record))
	}
	return records
}
