package profile

import (
	"fmt"
	"slices"
	"strings"
)

// maxNamed is how many columns are named one after the other.
const maxNamed = 4

// profileDelimited profiles comma-separated values and their relatives.
func profileDelimited(src *source) string {
	if len(src.head) == 0 {
		src.drain()
		return emptyFile(src)
	}
	comma, named := separatorLine(src.head)
	_, _ = src.Discard(named) // it is in the buffer
	if named == 0 {
		comma = sniffComma(src.head, src.whole(), src.extension())
	}
	from := newRecordReader(src.Reader, comma)
	if named > 0 {
		from.line++
	}
	f := &delimitedFile{src: src, dialect: dialect{comma: comma}, queue: &recordQueue{from: from}}
	f.readTables()
	src.drain()
	f.notes = slices.Concat(f.notes, from.flaws.notes(), src.notes())
	return f.section()
}

// delimitedFile is a delimited file, or a sheet, as far as it has been read.
type delimitedFile struct {
	src     *source
	dialect dialect
	queue   *recordQueue
	tables  []*delimited
	notes   []string
}

// readTables reads the first tables.
func (f *delimitedFile) readTables() {
	for len(f.tables) < maxTables && f.readTable() {
	}
	if next, more := f.queue.next(); more {
		f.notes = append(f.notes, fmt.Sprintf("What comes from line %s on is left out: only the first %s of a %s are profiled.",
			humanInt(next.line), plural(maxTables, "table"), f.dialect.container()))
	}
}

// readTable reads a table, and what stands above and below it. It returns false if
// there is nothing left.
func (f *delimitedFile) readTable() bool {
	sample := f.queue.look(sampleRecords)
	if len(sample) == 0 {
		return false
	}
	l := findLayout(sample)
	d := &delimited{
		dialect: f.dialect, layout: l, table: f.src.newTable(), line: sample[l.skip].line,
		width: sample[l.skip].width, notes: l.notes,
	}
	if len(l.names) > len(sample[l.skip].cells) {
		d.width++ // the names of the rows
	}
	d.dialect.sniffFormats(l.body)
	for range l.skip {
		f.queue.next()
	}
	for range l.headers {
		f.queue.next()
	}
	d.start(min(d.width, maxColumns))
	f.tables = append(f.tables, d)
	f.readRows(d)
	d.table.finish()
	return true
}

// readRows reads the rows of a table until another table begins.
func (f *delimitedFile) readRows(d *delimited) {
	for {
		next, more := f.queue.next()
		if !more {
			return
		}
		if (next.gap || len(d.below) > 0) && d.doubts < maxDoubts {
			if d.doubts++; f.ends(d, next) {
				return
			}
		}
		if next.among(d.layout.heads) {
			d.again.add(next.line)
			continue
		}
		if d.mayBeBelow(next) {
			next.cells = slices.Clone(next.cells)
			d.below = append(d.below, next)
			continue
		}
		f.src.progress.rows += d.addBelow()
		d.add(next)
		f.src.progress.rows++
	}
}

// ends tells whether another table begins with a record that follows a gap, or lines
// below the table. The record is then the next one again.
func (f *delimitedFile) ends(d *delimited, next record) bool {
	next.cells = slices.Clone(next.cells)
	f.queue.ahead = slices.Insert(f.queue.ahead, 0, next)
	follows := block(f.queue.look(headerRecords))
	if follows = follows[above(follows):]; isTable(follows) && (usualWidth(follows) != d.width || d.names(follows[0])) {
		return true
	}
	f.queue.ahead = f.queue.ahead[1:]
	return false
}

// section writes the report about the file.
func (f *delimitedFile) section() string {
	var md markdown
	if len(f.tables) == 0 {
		f.src.unread = true
		md.para("There are no rows to profile: " + f.src.sizeText() + " of nothing but " +
			"empty lines or one unclosed quote.")
		md.list(f.notes)
		return md.String()
	}
	f.write(&md, "", ", "+f.src.sizeText(), 3)
	return md.String()
}

// write writes about the tables, of which there are some. Those of a sheet have its
// name.
func (f *delimitedFile) write(md *markdown, sheet, size string, level int) {
	if len(f.tables) == 1 {
		f.tables[0].section(md, f.src, sheet, size, f.notes, level)
		return
	}
	md.para(fmt.Sprintf("%s%s.", bold(plural(len(f.tables), "table")), size))
	md.list(f.notes)
	for i, d := range f.tables {
		name := fmt.Sprintf("Table %d", i+1)
		md.heading(level, fmt.Sprintf("%s, from line %s", name, humanInt(d.line)))
		d.section(md, f.src, strings.TrimSpace(sheet+" "+name), "", nil, level+1)
	}
}

// delimited is a table of a delimited file as far as it has been read.
type delimited struct {
	dialect dialect
	layout  layout
	table   *table
	line    int // Where it begins.
	width   int // How many fields its first record has.
	short   flaw
	long    flaw
	again   flaw     // Rows that name the columns again.
	below   []record // What has come since the last row, and may be no rows.
	doubts  int      // How often it was looked whether the table has ended.
	notes   []string
}

// start names the columns.
func (d *delimited) start(columns int) {
	d.table.spots = true
	for i := range columns {
		d.table.addColumn(cellAt(d.layout.names, i), d.dialect.formatOf(i))
	}
}

func (d *delimited) add(r record) {
	switch {
	case d.dialect.sheet && r.width < d.width: // its last cells are empty
	case r.width < d.width:
		d.short.add(r.line)
	case r.width > d.width:
		d.long.add(r.line)
	}
	d.table.add(r.cells, r.line)
}

// mayBeBelow tells whether a record looks like a line below the table: a remark, or
// nothing at all. If rows follow it is one of them.
func (d *delimited) mayBeBelow(r record) bool {
	if len(d.below) >= maxFooter || d.width < 2 {
		return false
	}
	switch filled := r.filled(); {
	case filled == 0:
		return true
	case d.width >= wide && !d.dialect.sheet:
		return r.width < d.width && filled <= min(narrow, d.width/2) && r.remark()
	default: // a short row of two columns, or of a sheet, looks like a remark, too, but for an empty line before it
		return r.width == 1 && (r.gap || len(d.below) > 0) && r.remark()
	}
}

// addBelow makes rows of the lines that seemed to be below the table, and returns how
// many.
func (d *delimited) addBelow() int {
	for _, r := range d.below {
		d.add(r)
	}
	n := len(d.below)
	d.below = d.below[:0]
	return n
}

// names tells whether a record of the table's width names columns: there is a name
// where all rows have values.
func (d *delimited) names(r record) bool {
	for i, cell := range r.cells {
		cell = strings.TrimSpace(cell)
		if !isMissing(cell) && !isTyped(cell) && columnIsTyped(d.layout.body, i) {
			return true
		}
	}
	return false
}

// section writes the report about the table.
func (d *delimited) section(md *markdown, src *source, name, size string, more []string, level int) {
	header := "the first line names the columns"
	switch {
	case d.layout.headers == 0:
		header = "no header line was found, so columns are named by position"
	case d.layout.headers == 2:
		header = "two lines name the columns"
	case d.layout.skip > 0:
		header = fmt.Sprintf("line %s names the columns", humanInt(d.line))
	}
	md.para(fmt.Sprintf("%s in %s%s%s%s; %s.",
		bold(plural(d.table.rows, "row")), bold(plural(d.width, "column")),
		size, d.dialect.separators(), d.decimalCommas(), header))
	notes := slices.Concat(d.allNotes(), more)
	src.found(name, d.table, notes)
	writeTable(md, d.table, notes, level)
	d.table.forget()
}

// decimalCommas says which numbers have one.
func (d *delimited) decimalCommas() string {
	general := d.dialect.format
	var others []string
	for _, c := range d.table.columns {
		if c.format != general {
			others = append(others, inline(c.name, maxName))
		}
	}
	if more := len(others) - maxNamed; more > 0 {
		others = append(others[:maxNamed], plural(more, "more column"))
	}
	names := strings.Join(others, " and ")
	switch {
	case general.decimalComma && names != "":
		return ", numbers with a decimal comma, but a decimal point in " + names
	case general.decimalComma:
		return ", numbers with a decimal comma"
	case names != "":
		return ", numbers with a decimal comma in " + names
	default:
		return ""
	}
}

func (d *delimited) allNotes() []string {
	notes := d.notes
	if d.width > len(d.table.columns) {
		notes = append(notes, fmt.Sprintf("Only the first %s of %s are profiled.",
			plural(len(d.table.columns), "column"), humanInt(d.width)))
	}
	for _, i := range d.dialect.guessed {
		if i < len(d.table.columns) && d.table.columns[i].numeric() {
			notes = append(notes, d.guess(d.table.columns[i]))
		}
	}
	notes = append(notes, d.notesBelow()...)
	notes = append(notes, d.table.sums.notes()...)
	notes = d.again.note(notes, "row", "nothing but the names of the columns again, which are left out")
	notes = d.short.note(notes, "row", "fewer fields than the first line; what is not there counts as missing")
	return d.long.note(notes, "row", "more fields than the first line; the surplus is ignored")
}

// guess says how numbers that can be read in two ways were read.
func (d *delimited) guess(c *column) string {
	what := "1.234 is taken for one and a fraction, and 1,234 for a thousand"
	if c.format.decimalComma {
		what = "1.234 is taken for a thousand"
	}
	return inline(c.name, maxName) + ": all numbers can be read in two ways; " + what + "."
}

// notesBelow tells of what stands below the table.
func (d *delimited) notesBelow() []string {
	var notes []string
	remarks := slices.DeleteFunc(slices.Clone(d.below), func(r record) bool { return r.filled() == 0 })
	if empty := len(d.below) - len(remarks); empty > 0 {
		notes = append(notes, fmt.Sprintf("%s without a value at the end %s left out.", plural(empty, "row"), isOrAre(empty)))
	}
	if n := len(remarks); n > 0 {
		notes = append(notes, fmt.Sprintf("%s below the table %s left out, the first is “%s” on line %s.",
			plural(n, "line"), isOrAre(n), inline(shown(remarks[0]), maxCell), humanInt(remarks[0].line)))
	}
	return notes
}

// note appends "3 rows have ... (first on line 7)." if there is such a flaw.
func (f flaw) note(notes []string, noun, rest string) []string {
	if f.count == 0 {
		return notes
	}
	verb := "have"
	if f.count == 1 {
		verb = "has"
	}
	return append(notes, fmt.Sprintf("%s %s %s (first on line %s).",
		plural(f.count, noun), verb, rest, humanInt(f.line)))
}

func (f recordFlaws) notes() []string {
	var notes []string
	notes = f.nul.note(notes, "cell", "NUL bytes")
	notes = f.literal.note(notes, "quotation mark", "no other half: taken as text")
	notes = f.stray.note(notes, "character", "been found between a closing quote and the next separator")
	notes = f.cut.note(notes, "cell", "more than "+humanSize(maxField)+"; the rest of it is left out")
	if f.openQuote != 0 {
		notes = append(notes, fmt.Sprintf("The quote opened on line %s is never closed, so everything "+
			"from that row on is left out.", humanInt(f.openQuote)))
	}
	return notes
}

// separators says what parts the fields.
func (d dialect) separators() string {
	if d.sheet {
		return ""
	}
	return ", separated by " + commaName(d.comma)
}

func (d dialect) container() string {
	if d.sheet {
		return "sheet"
	}
	return "file"
}

func commaName(comma byte) string {
	switch comma {
	case ';':
		return "semicolons"
	case '\t':
		return "tabs"
	case '|':
		return "pipes"
	default:
		return "commas"
	}
}
