package profile

import (
	"context"
	"io"
	"strings"
	"time"
)

// Table is a table of a file, as it was found to be when all of it had been read.
type Table struct {
	// Name is the key of the list in a JSON object, "" for a file's only table.
	Name    string
	Columns []Column
	Rows    int
	// Notes say what was wrong with it, one sentence each.
	Notes []string
}

// Column is a column of a table.
type Column struct {
	// Name is one that no other column has.
	Name string
	// Kind is its type in words: integer, number, number (€), boolean, date, date/time,
	// text or empty.
	Kind string

	of *column
}

// Sink takes the rows of the tables of a file, of which there may be several, while they
// are read: those of table n, from 0. The columns are named, and more of them may come
// with a later row. Cells are texts without the space around them, nil for those without
// a value, and none where a row is short. Both are valid until it returns.
type Sink func(n int, columns []string, cells []any) error

// Load reads a file as the report does, and gives its rows to a sink. It returns the
// tables by their numbers, without columns for those that turned out to be none, and
// nothing at all for a file that has no tables; note then says what it is. Its errors are
// the context's and the sink's.
func Load(ctx context.Context, name string, content io.Reader, sink Sink) (tables []Table, note string, err error) {
	quiet := &progress{say: func(string) error { return ctx.Err() }, name: name, next: bytesPerStatus}
	src := newSource(ctx, name, content, quiet)
	defer src.content.Close()
	src.load = newLoader(sink, func(err error) { quiet.err = err })
	what, mediaType := classify(src)
	if _, note = profileContent(src, what, mediaType); what == contentText {
		note = "plain text"
	}
	if err := ctx.Err(); err != nil {
		return nil, "", err
	}
	if quiet.err != nil {
		return nil, "", quiet.err
	}
	return src.load.tables, note, nil
}

// loader passes rows on, until somebody has had enough.
type loader struct {
	sink    Sink
	stop    func(error)
	numbers map[*table]int
	names   [][]string // of columns, by the tables' numbers
	tables  []Table
	cells   []any
	full    bool // no row is wanted any more
}

func newLoader(sink Sink, stop func(error)) *loader {
	return &loader{sink: sink, stop: stop, numbers: map[*table]int{}}
}

func (l *loader) number(t *table) int {
	n, known := l.numbers[t]
	if !known {
		n = len(l.tables)
		l.numbers[t] = n
		l.names, l.tables = append(l.names, nil), append(l.tables, Table{})
	}
	return n
}

func (l *loader) row(t *table, cells []string) {
	if l.full {
		return
	}
	n := l.number(t)
	for _, c := range t.columns[len(l.names[n]):] {
		l.names[n] = append(l.names[n], c.name)
	}
	l.cells = l.cells[:0]
	for _, cell := range cells {
		if value := strings.TrimSpace(cell); isMissing(value) {
			l.cells = append(l.cells, nil)
		} else {
			l.cells = append(l.cells, value)
		}
	}
	if err := l.sink(n, l.names[n], l.cells); err != nil {
		l.stop(err) // what is left of the file is not read
	}
}

// newTable makes a table of the file.
func (s *source) newTable() *table {
	t := newTable()
	if s.load != nil {
		t.each = s.load.row
	}
	return t
}

// found tells of a table that has been read.
func (s *source) found(name string, t *table, notes []string) {
	if s.load == nil {
		return
	}
	found := Table{Name: name, Rows: t.rows, Notes: notes}
	for _, c := range t.columns {
		found.Notes = append(found.Notes, c.notes()...)
		found.Columns = append(found.Columns, Column{Name: c.name, Kind: c.kindName(), of: c})
	}
	s.load.tables[s.load.number(t)] = found
}

// IsText tells whether its values are texts as they are.
func (c Column) IsText() bool { return c.of.kind() == kindText || c.of.kind() == kindEmpty }

// Value is what the text of a cell stands for, as the report takes it: an int64, a float64 for numbers
// with a fraction or a unit and for whole ones that are too large, true or false, text,
// or nil for what is not of the column's type. Dates are texts like
// 2006-01-02, with the time of day 2006-01-02 15:04:05 if any in the column has one, in
// UTC where they name an offset.
func (c Column) Value(value string) any {
	switch c.of.kind() {
	case kindInteger, kindNumber:
		n, ok := c.of.format.parse(value)
		if !ok || n.unit != c.of.numbers.unit && (n.unit != "" || n.approx != 0) {
			return nil
		}
		if c.of.kind() == kindInteger && n.exact.wide == nil && n.exact.scale == 0 {
			return n.exact.small
		}
		return n.approx
	case kindBoolean:
		if !isBool(value) {
			return nil
		}
		return strings.ContainsAny(value[:1], "tTyY")
	case kindDate:
		return c.moment(value)
	case kindEmpty, kindText:
	}
	return value
}

func (c Column) moment(value string) any {
	m, ok := parseMoment(value)
	at := m.in[c.of.dates.order()]
	switch at = at.UTC(); {
	case !ok || m.in[c.of.dates.order()].IsZero():
		return nil
	case !c.of.dates.clock:
		return at.Format(time.DateOnly)
	case at.Nanosecond() != 0:
		return at.Format("2006-01-02 15:04:05.000")
	default:
		return at.Format(time.DateTime)
	}
}
