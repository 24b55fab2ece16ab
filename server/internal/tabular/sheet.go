package tabular

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

const (
	// maxColumn is how many columns a sheet has, as Excel's.
	maxColumn = 16_384
	// cellSize is what a cell counts beside its text, in bytes.
	cellSize = 24
)

// Sheet is a table of a file, or what people have put on a sheet of a workbook.
type Sheet struct {
	// Name is that of the sheet.
	Name string
	// Hidden says that people do not see it.
	Hidden bool

	book  *workbook
	part  string
	other bool // It is a chart or the like, and has no cells.
}

// Kind is what a cell is.
type Kind byte

// The kinds of cells.
const (
	// Value is what its text says, as it is stored and not as a format shows it: numbers
	// have a point and no thousands, dates and times are like 2006-01-02 15:04:05, and
	// truth is true or false.
	Value Kind = iota
	// Fault is an error of a formula, such as #N/A.
	Fault
	// Unstored is a formula without a stored value; the text is the formula, with a =.
	Unstored
)

// Cell is one of a row. One without anything in it is an empty Value.
type Cell struct {
	Text string
	Kind Kind
}

// Row is a row of a sheet that has something in it.
type Row struct {
	// Number is its own, from 1.
	Number int
	Hidden bool
	// Cells are those up to the last one with something in it.
	Cells []Cell
}

// Rows reads the rows of a sheet, from the first to the last. It may be read once.
type Rows struct {
	sheet *Sheet
	part  *part
	row   int
	cells []Cell
	err   error

	hidden, columns int
	merged          int
	firstMerged     string
	formulas        int
	stored          int // Of those, the ones with a stored value.
	faults          int
	firstFault      string
}

// Rows opens the sheet.
func (s *Sheet) Rows() *Rows {
	r := &Rows{sheet: s}
	if !s.other {
		r.part, r.err = s.book.open(s.part)
	}
	return r
}

// Next returns the next row with something in it, which is valid until the next call,
// and false after the last one.
func (r *Rows) Next() (Row, bool) {
	for r.part != nil && r.err == nil {
		token, err := r.part.next()
		if err != nil {
			r.end(err)
			break
		}
		e, begins := token.(xml.StartElement)
		if !begins {
			continue
		}
		switch e.Name.Local {
		case "col":
			if isTrue(attribute(e, "hidden")) {
				r.columns += span(attribute(e, "min"), attribute(e, "max"))
			}
		case "mergeCell":
			if r.merged++; r.merged == 1 {
				r.firstMerged = attribute(e, "ref")
			}
		case "row":
			row, err := r.read(e)
			if err != nil {
				r.end(err)
				break
			}
			if len(row.Cells) > 0 {
				return row, true
			}
		}
	}
	return Row{}, false
}

// Skip reads to the end.
func (r *Rows) Skip() {
	for more := true; more; {
		_, more = r.Next()
	}
}

func (r *Rows) end(err error) {
	if !errors.Is(err, io.EOF) {
		r.err = err
	}
	r.part.close()
	r.part = nil
}

// span is how many columns are from one to another.
func span(from, to string) int {
	first, err := strconv.Atoi(from)
	last, err2 := strconv.Atoi(to)
	if err != nil || err2 != nil || last < first {
		return 0
	}
	return last - first + 1
}

// read reads a row that has begun.
func (r *Rows) read(e xml.StartElement) (Row, error) {
	if number, err := strconv.Atoi(attribute(e, "r")); err == nil {
		if number <= r.row {
			return Row{}, errors.New("its rows are out of order")
		}
		r.row = number
	} else {
		r.row++
	}
	row := Row{Number: r.row, Hidden: isTrue(attribute(e, "hidden"))}
	r.cells = r.cells[:0]
	for {
		token, err := r.part.next()
		if err != nil {
			return Row{}, unexpected(err)
		}
		switch x := token.(type) {
		case xml.StartElement:
			if x.Name.Local == "c" {
				if err := r.cell(x); err != nil {
					return Row{}, err
				}
			}
		case xml.EndElement:
			if x.Name.Local != "row" {
				continue
			}
			for len(r.cells) > 0 && r.cells[len(r.cells)-1] == (Cell{}) {
				r.cells = r.cells[:len(r.cells)-1]
			}
			if row.Cells = r.cells; row.Hidden && len(row.Cells) > 0 {
				r.hidden++
			}
			return row, r.pay(len(row.Cells) * cellSize)
		}
	}
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// pay counts what is shown.
func (r *Rows) pay(size int) error {
	if r.sheet.book.shown -= int64(size); r.sheet.book.shown < 0 {
		return fmt.Errorf("its cells have more than %d MiB", maxShown>>20)
	}
	return nil
}

// cell reads a cell that has begun.
func (r *Rows) cell(e xml.StartElement) error {
	at := len(r.cells)
	if name := attribute(e, "r"); name != "" {
		at = columnOf(name)
	}
	if at < len(r.cells) || at >= maxColumn {
		return errors.New("its cells are out of order")
	}
	kind, style := attribute(e, "t"), attribute(e, "s")
	in, err := r.content()
	if err != nil {
		return err
	}
	if in.computed {
		r.formulas++
	}
	c := Cell{}
	in.stored = in.stored && (in.value != "" || kind == "str") // an empty value is one if it is text
	switch {
	case in.computed && !in.stored:
		c = Cell{Text: "=" + in.formula, Kind: Unstored}
	case in.computed:
		r.stored++
	}
	if in.value != "" {
		if c.Text, err = r.value(kind, style, in.value); err != nil {
			return err
		}
	}
	if kind == "e" && c.Text != "" {
		c.Kind = Fault
		if r.faults++; r.faults == 1 {
			r.firstFault = c.Text + " in row " + strconv.Itoa(r.row)
		}
	}
	if c == (Cell{}) {
		return nil
	}
	for len(r.cells) < at {
		r.cells = append(r.cells, Cell{})
	}
	r.cells = append(r.cells, c)
	return r.pay(len(c.Text))
}

// inCell is what is in a cell.
type inCell struct {
	value, formula   string
	computed, stored bool // It has a formula, and a value of it.
}

// content reads what is in a cell.
func (r *Rows) content() (c inCell, err error) {
	in := ""
	for {
		token, err := r.part.next()
		if err != nil {
			return inCell{}, unexpected(err)
		}
		switch x := token.(type) {
		case xml.StartElement:
			switch in = x.Name.Local; in {
			case "f":
				c.computed = true
			case "v":
				c.stored = true
			case "is":
				if c.value, err = r.part.text("is"); err != nil {
					return inCell{}, unexpected(err)
				}
			}
		case xml.EndElement:
			if x.Name.Local == "c" {
				return c, nil
			}
			in = ""
		case xml.CharData:
			switch in {
			case "v":
				c.value += string(x)
			case "f":
				c.formula += string(x)
			}
		}
		if len(c.value)+len(c.formula) > maxToken {
			return inCell{}, errToken
		}
	}
}

// value is what stands in a cell.
func (r *Rows) value(kind, style, raw string) (string, error) {
	switch kind {
	case "s":
		return r.sheet.book.text(strings.TrimSpace(raw))
	case "str":
		return unescaped(raw), nil
	case "inlineStr", "e":
		return raw, nil
	case "b":
		if isTrue(raw) {
			return "true", nil
		}
		return "false", nil
	case "d":
		day, clock, _ := strings.Cut(raw, "T")
		if clock = strings.TrimSuffix(clock, "Z"); strings.Trim(clock, "0:.") == "" {
			return day, nil
		}
		return day + " " + clock, nil
	}
	f := plainNumber
	if i, err := strconv.Atoi(style); err == nil && i >= 0 && i < len(r.sheet.book.formats) {
		f = r.sheet.book.formats[i]
	}
	return f.write(raw, r.sheet.book.since1904), nil
}

// columnOf is the number of a cell's column, from 0: that of B7 is 1. It is out of a
// sheet if there is none.
func columnOf(cell string) int {
	column := 0
	for i := range len(cell) {
		c := cell[i] &^ 0x20 // a capital
		if c < 'A' || c > 'Z' {
			break
		}
		if column = column*26 + int(c-'A') + 1; column > maxColumn {
			break
		}
	}
	if column == 0 {
		return maxColumn
	}
	return column - 1
}

// Err is what ended the rows early, in words.
func (r *Rows) Err() string {
	if r.err == nil {
		return ""
	}
	return reason(r.err)
}

// Chart tells whether the sheet has no cells, as one with nothing but a chart.
func (s *Sheet) Chart() bool { return s.other }

// Notes say what is to be known about the rows, once they have been read: one sentence each.
func (r *Rows) Notes() []string {
	var notes []string
	add := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	if r.hidden > 0 {
		add("%s hidden, and read all the same.", count(r.hidden, "row is", "rows are"))
	}
	if r.columns > 0 {
		add("%s hidden, and read all the same.", count(r.columns, "column is", "columns are"))
	}
	if unstored := r.formulas - r.stored; unstored > 0 {
		add("%s without a stored value: there is no value here until a spreadsheet program has saved the workbook.",
			count(unstored, "formula", "formulas"))
	}
	if r.stored > 0 && r.sheet.book.recalculated {
		add("%s in the workbook may be old: it asks to be calculated anew, which is not done here.",
			count(r.stored, "value of a formula", "values of formulas"))
	}
	if r.faults > 0 {
		add("%s, the first is %s: there is no value.", count(r.faults, "cell has an error", "cells have errors"), r.firstFault)
	}
	if r.merged > 0 {
		add("%s, the first is %s: what is in one counts for its first cell alone.", count(r.merged, "range of cells is merged", "ranges of cells are merged"), r.firstMerged)
	}
	if err := r.Err(); err != "" {
		add("Reading stopped after row %d: %s.", r.row, err)
	}
	return notes
}

func count(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + more
}
