package profile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/errand-dev/errand/server/internal/tabular"
)

// maxSheets is how many sheets of a workbook are profiled.
const maxSheets = 50

// profileSheets profiles a workbook, sheet by sheet.
func profileSheets(src *source) string {
	src.drain()
	b := book{src: src}
	for _, s := range src.content.Sheets {
		if s.Chart() {
			b.charts = append(b.charts, s.Name)
		} else {
			b.sheets = append(b.sheets, s)
		}
	}
	var body markdown
	for _, s := range b.sheets[:min(len(b.sheets), maxSheets)] {
		b.sheet(&body, s)
	}
	src.unread = b.tables == 0
	var md markdown
	if len(b.sheets) != 1 {
		md.para(fmt.Sprintf("%s, %s.", bold(plural(len(b.sheets), "sheet")), src.sizeText()))
	}
	md.list(b.notes())
	return md.String() + body.String()
}

// profileNamed profiles a table whose columns have names, as those of parquet do.
func profileNamed(src *source) string {
	src.drain()
	from, t := src.content.Table, src.newTable()
	for _, name := range from.Columns[:min(len(from.Columns), maxColumns)] {
		t.addColumn(name, numberFormat{})
	}
	for {
		row, more := from.Next()
		if !more || src.progress.err != nil {
			break
		}
		src.progress.rows++
		t.add(row, src.progress.rows)
	}
	t.finish()
	notes := slices.Concat(from.Notes(), src.notes())
	if len(from.Columns) > maxColumns {
		notes = append(notes, fmt.Sprintf("Only the first %s are profiled.", plural(maxColumns, "column")))
	}
	var md markdown
	md.para(fmt.Sprintf("%s in %s, %s.", bold(plural(t.rows, "row")), bold(plural(len(from.Columns), "column")), src.sizeText()))
	src.unread = len(from.Columns) == 0
	src.found("", t, notes)
	writeTable(&md, t, notes, 3)
	return md.String()
}

// book is a workbook as far as it has been read.
type book struct {
	src    *source
	sheets []*tabular.Sheet
	charts []string
	empty  []string
	hidden []string
	tables int
}

// sheet writes the report about a sheet.
func (b *book) sheet(md *markdown, s *tabular.Sheet) {
	rows := s.Rows()
	from := &sheetRecords{rows: rows}
	f := &delimitedFile{src: b.src, dialect: dialect{comma: ',', sheet: true}, queue: &recordQueue{from: from}}
	f.readTables()
	rows.Skip()
	f.notes = slices.Concat(f.notes, rows.Notes(), from.notes())
	if s.Hidden {
		b.hidden = append(b.hidden, s.Name)
	}
	if len(b.sheets) == 1 {
		if len(f.tables) > 0 {
			f.write(md, "", ", "+b.src.sizeText(), 3)
			b.tables += len(f.tables)
			return
		}
		md.para("There is nothing on the only sheet: " + b.src.sizeText() + ".")
		md.list(f.notes)
		return
	}
	if len(f.tables) == 0 {
		if b.empty = append(b.empty, s.Name); len(f.notes) > 0 {
			md.heading(3, "Sheet "+inline(s.Name, maxName))
			md.list(f.notes)
		}
		return
	}
	md.heading(3, "Sheet "+inline(s.Name, maxName))
	f.write(md, s.Name, "", 4)
	b.tables += len(f.tables)
}

func (b *book) notes() []string {
	var notes []string
	add := func(names []string, one, more string) {
		if len(names) == 0 {
			return
		}
		for i := range names {
			names[i] = inline(names[i], maxName)
		}
		if left := len(names) - maxNamed; left > 0 {
			names = append(names[:maxNamed], humanInt(left)+" more")
		}
		what := more
		if len(names) == 1 {
			what = one
		}
		notes = append(notes, fmt.Sprintf(what, strings.Join(names, ", ")))
	}
	add(b.hidden, "The sheet %s is hidden, and read all the same.", "Sheets that are hidden, and read all the same: %s.")
	add(b.empty, "The sheet %s is empty.", "Empty sheets: %s.")
	add(b.charts, "The sheet %s is a chart or the like, and not read.", "Sheets that are charts or the like, and not read: %s.")
	if left := len(b.sheets) - maxSheets; left > 0 {
		notes = append(notes, fmt.Sprintf("Only the first %s are profiled; %s more are left out, from %s on.",
			plural(maxSheets, "sheet"), humanInt(left), inline(b.sheets[maxSheets].Name, maxName)))
	}
	return notes
}

// sheetRecords makes records of the rows of a sheet. A row of a sheet ends with its last
// value, but it is as wide as the others unless it has a single value, as a title and a
// remark have.
type sheetRecords struct {
	rows  *tabular.Rows
	ahead []record // What was read to see how wide the sheet is.
	begun bool
	first int // The first column that has a value, from 0,
	width int // and how many there are from it on.
	last  int // The number of the last row.

	cut  flaw
	left flaw // Rows with something left of the first column.
}

// notes says what was left out.
func (s *sheetRecords) notes() []string {
	notes := s.cut.note(nil, "cell", "more than "+humanSize(maxField)+"; the rest of it is left out")
	return s.left.note(notes, "row", "something left of the table, which is left out")
}

func (s *sheetRecords) next() (record, bool) {
	if !s.begun {
		s.begin()
	}
	if len(s.ahead) > 0 {
		next := s.ahead[0]
		s.ahead = s.ahead[1:]
		return s.fit(next), true
	}
	next, more := s.read()
	return s.fit(next), more
}

// begin looks at the first rows.
func (s *sheetRecords) begin() {
	s.begun, s.first = true, -1
	end := 0
	for size := 0; len(s.ahead) < sampleRecords && size < headBytes; {
		next, more := s.read()
		if !more {
			break
		}
		s.ahead = append(s.ahead, next)
		if at := slices.IndexFunc(next.cells, func(cell string) bool { return cell != "" }); at >= 0 && (s.first < 0 || at < s.first) {
			s.first = at
		}
		end = max(end, next.width)
		for _, cell := range next.cells {
			size += len(cell)
		}
	}
	s.first = max(s.first, 0)
	s.width = end - s.first
}

// read reads a row as it is.
func (s *sheetRecords) read() (record, bool) {
	row, more := s.rows.Next()
	if !more {
		return record{}, false
	}
	next := record{line: row.Number, gap: row.Number > s.last+1, width: len(row.Cells)}
	s.last = row.Number
	next.cells = make([]string, min(len(row.Cells), maxFields))
	for i := range next.cells {
		c := row.Cells[i]
		if c.Kind != tabular.Value {
			continue
		}
		if len(c.Text) > maxField {
			s.cut.add(row.Number)
			c.Text = strings.ToValidUTF8(c.Text[:maxField], "")
		}
		next.cells[i] = c.Text
	}
	return next, true
}

// fit makes a row as wide as the sheet.
func (s *sheetRecords) fit(r record) record {
	if r.cells == nil {
		return r
	}
	beside := r.cells[:min(s.first, len(r.cells))]
	if slices.ContainsFunc(beside, func(cell string) bool { return cell != "" }) {
		s.left.add(r.line)
	}
	if r.cells, r.width = r.cells[len(beside):], r.width-len(beside); len(r.cells) == 0 {
		r.cells, r.width = []string{""}, 1
	}
	if r.width < s.width && (r.filled() > 1 || s.width == 1) {
		r.width = s.width
		r.cells = append(r.cells, make([]string, max(0, min(s.width, maxFields)-len(r.cells)))...)
	}
	return r
}
