package profile

import (
	"fmt"
	"slices"
	"strings"
)

const (
	// maxPreamble is how many lines above a table are looked through.
	maxPreamble = 50
	// maxTables is how many tables of a file are profiled.
	maxTables = 5
	// maxFooter is how many lines below a table are looked through.
	maxFooter = 50
	// maxDoubts is how often it is looked whether a table ends at an empty line.
	maxDoubts = 1_000
	// narrow is how many fields of a line can have something in them for it to stand
	// above or below a table of wide or more.
	narrow, wide = 2, 3
	// minRows is how many records make a table for sure, with its header.
	minRows = 3
)

// layout is where the parts of a table are.
type layout struct {
	skip    int      // Lines above it.
	headers int      // Lines that name its columns: 0, 1 or 2.
	names   []string // Of its columns, none without headers.
	heads   []record // Of these lines those that are no rows where they come again.
	body    []record // The first of its rows.
	notes   []string // What was guessed.
}

// findLayout finds the first table in a sample of a file.
func findLayout(sample []record) layout {
	l := layout{skip: findTable(sample)}
	if l.skip > 0 {
		l.notes = append(l.notes, fmt.Sprintf("%s above the table %s left out, the first is “%s” on line %s.",
			plural(l.skip, "line"), isOrAre(l.skip), inline(shown(sample[0]), maxCell), humanInt(sample[0].line)))
	}
	table := block(sample[l.skip:])
	if len(table) < 2 {
		table = sample[l.skip:]
	}
	table, heads := withoutHeads(table)
	rows := table[:min(len(table), headerRecords)]
	switch {
	case hasRowNames(rows):
		l.headers, l.names = 1, append([]string{"row name"}, rows[0].cells...)
		l.notes = append(l.notes, "The rows have one field more than the first line has names: the first field is taken for the row's name.")
	case hasHeader(rows):
		l.headers, l.names = 1, slices.Clone(rows[0].cells)
		if numbered(rows) || hasCorner(rows) {
			l.notes = append(l.notes, "The first line is taken for the names of the columns, though some are numbers.")
		}
		if hasUnder(rows) {
			l.headers = 2
			l.nameTwice(rows[0].cells, rows[1].cells)
			l.notes = append(l.notes, fmt.Sprintf("Lines %s and %s name the columns together.",
				humanInt(rows[0].line), humanInt(rows[1].line)))
		}
	}
	if l.headers > 0 {
		l.heads = heads[:min(len(heads), l.headers)]
		l.names[0] = strings.TrimPrefix(l.names[0], "# ") // of a comment that names the columns
	}
	l.body = table[l.headers:]
	return l
}

func isOrAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

// shown is a record as one text.
func shown(r record) string {
	var filled []string
	for _, cell := range r.cells {
		if cell = strings.TrimSpace(cell); cell != "" {
			filled = append(filled, cell)
		}
	}
	return strings.Join(filled, " ")
}

// among tells whether a record is one of these, but for the space around its cells.
func (r record) among(others []record) bool {
	same := func(a, b string) bool { return strings.TrimSpace(a) == strings.TrimSpace(b) }
	return slices.ContainsFunc(others, func(o record) bool { return slices.EqualFunc(r.cells, o.cells, same) })
}

// withoutHeads takes the lines that name the columns, one or two, out of the records below
// them, where they come again above values. Without values there may be none.
func withoutHeads(table []record) (rest, heads []record) {
	if table[0].booleans() { // yes,no may name columns, and be a row of them
		return table, nil
	}
	rest = table
	for n := 1; n <= 2 && n < len(rest); n++ {
		heads = slices.Clone(rest[:n])
		below := slices.DeleteFunc(slices.Clone(rest[n:]), func(r record) bool { return r.among(heads) })
		rest = slices.Concat(heads, below)
		if hasValues(below) {
			return rest, heads
		}
	}
	return table, nil
}

// booleans tells whether a record has nothing but booleans, and fields without anything.
func (r record) booleans() bool {
	return !slices.ContainsFunc(r.cells, func(cell string) bool {
		cell = strings.TrimSpace(cell)
		return !isBool(cell) && !isMissing(cell)
	})
}

// filled is how many fields of a record have something in them.
func (r record) filled() int {
	n := 0
	for _, cell := range r.cells {
		if strings.TrimSpace(cell) != "" {
			n++
		}
	}
	return n
}

// remark tells whether a record has a text in it that is no value.
func (r record) remark() bool {
	return slices.ContainsFunc(r.cells, func(cell string) bool {
		cell = strings.TrimSpace(cell)
		return !isMissing(cell) && !isTyped(cell)
	})
}

// comment tells whether a record is a comment as programs write them.
func (r record) comment() bool { return strings.HasPrefix(r.cells[0], "#") }

// usualWidth is the most common number of fields.
func usualWidth(records []record) int {
	times := map[int]int{}
	usual := 0
	for _, r := range records {
		times[r.width]++
		if n := times[r.width]; n > times[usual] || n == times[usual] && r.width > usual {
			usual = r.width
		}
	}
	return usual
}

// block returns the records up to the next gap.
func block(records []record) []record {
	for i, r := range records {
		if i > 0 && r.gap {
			return records[:i]
		}
	}
	return records
}

// findTable returns how many records come before the first table. It is either in the
// first block, or it has the usual width of all.
func findTable(sample []record) int {
	first := block(sample)
	if skip := above(first); isTable(first[skip:]) || len(first) == len(sample) {
		return skip
	}
	return above(sample)
}

// isTable tells whether records are a table for sure: named columns with values.
func isTable(records []record) bool {
	width := usualWidth(records)
	if width < 2 || len(records) < minRows {
		return false
	}
	alike := 0
	for _, r := range records[1:] {
		if r.width == width {
			alike++
		}
	}
	return alike*5 >= (len(records)-1)*4 && (hasHeader(records) || hasRowNames(records))
}

// above returns how many records stand above the table that the others make.
func above(sample []record) int {
	width := usualWidth(sample)
	for i, r := range sample[:min(len(sample), maxPreamble)] {
		rest := sample[i:]
		switch {
		case r.comment() && len(rest) > 1 && (r.width != width || rest[1].comment() || hasHeader(rest[1:])):
		case r.width >= width && (width < wide || r.filled() > min(narrow, width/2)):
			return i
		case i == 0 && r.width == width-1 && r.names() && !hasHeader(rest[1:]):
			return 0
		case width < 2:
			return i
		}
	}
	return 0
}

// hasHeader tells whether the first record names the columns. Names are text,
// so a number, date or truth value there speaks against it, except for years
// and dates above something else, and for numbers that count. A value that comes
// again below, in a row that is not the same altogether, speaks against it too.
func hasHeader(records []record) bool {
	if len(records) == 0 {
		return false
	}
	first, body := records[0], records[1:min(len(records), headerRecords)]
	counted := numbered(records) || hasCorner(records)
	typed, named := false, false
	for i, cell := range first.cells {
		cell = strings.TrimSpace(cell)
		switch {
		case isMissing(cell):
		case counted:
			named = true
		case isPeriod(cell) && len(body) > 0 && !allPeriods(body, i):
		case isTyped(cell):
			return false
		default:
			named = true
		}
		typed = typed || columnIsTyped(body, i)
	}
	if !named {
		return false
	}
	return typed || !recurs(first.cells, body)
}

// hasCorner tells whether the first record has nothing above what names the rows, and
// numbers that rise, such as years and sizes, above the others.
func hasCorner(records []record) bool {
	first, body := records[0], records[1:]
	if len(body) < minRows || len(first.cells) < wide || strings.TrimSpace(first.cells[0]) != "" {
		return false
	}
	for _, r := range body {
		if strings.TrimSpace(r.cells[0]) == "" {
			return false
		}
	}
	for i, cell := range first.cells[1:] {
		n, ok := (numberFormat{}).parse(strings.TrimSpace(cell))
		last, _ := (numberFormat{}).parse(strings.TrimSpace(first.cells[i]))
		if !ok || i > 0 && !last.less(n) {
			return false
		}
	}
	return true
}

// numbered tells whether the first record counts its columns: 0, 1, 2 as programs
// name columns without names, or 0.05, 0.5, 0.95 for quantiles. Most rows below do
// not.
func numbered(records []record) bool {
	if len(records) < 2 {
		return false
	}
	how, body := countingOf(records[0]), records[1:min(len(records), headerRecords)]
	alike := 0
	for _, r := range body {
		if countingOf(r) == how {
			alike++
		}
	}
	return how != noCounting && alike*2 < len(body)
}

// counting is how the numbers of a record rise.
type counting int

const (
	noCounting    counting = iota
	wholeCounting          // 0, 1, 2 or 1, 2, 3 and so on.
	shareCounting          // Within 0 and 1.
)

// countingOf tells how the numbers of a record rise that has a name or nothing before
// them.
func countingOf(r record) counting {
	if _, number := (numberFormat{}).parse(strings.TrimSpace(r.cells[0])); number || len(r.cells) < wide {
		return noCounting
	}
	var numbers []float64
	for _, cell := range r.cells {
		if n, ok := (numberFormat{}).parse(strings.TrimSpace(cell)); ok && n.unit == "" {
			numbers = append(numbers, n.approx)
		}
	}
	if len(numbers) < 2 || len(numbers) == len(r.cells) || len(numbers) < len(r.cells)-narrow {
		return noCounting
	}
	whole, share := numbers[0] == 0 || numbers[0] == 1, numbers[0] >= 0
	for i, n := range numbers {
		whole = whole && n == numbers[0]+float64(i)
		share = share && n <= 1 && (i == 0 || n > numbers[i-1])
	}
	switch {
	case whole:
		return wholeCounting
	case share:
		return shareCounting
	default:
		return noCounting
	}
}

// hasUnder tells whether the second record goes on naming the columns: where there
// are values below, it has names, units or years, and nothing where the names are
// enough. Values in the first column have one, too, if all of several have.
func hasUnder(records []record) bool {
	if len(records) < 3 || records[1].width != records[0].width {
		return false
	}
	under, body := records[1], records[2:]
	named, values := 0, 0
	for i, cell := range under.cells {
		cell = strings.TrimSpace(cell)
		typed := columnIsTyped(body, i)
		if typed && (cell != "" || !allPeriods(body, i)) { // dates have no units
			values++
		}
		switch {
		case cell == "":
		case !typed:
			return false
		case isPeriod(cell) && !allPeriods(body, i), !isTyped(cell) && !isBool(cell) && !isMissing(cell):
			named++
		default:
			return false
		}
	}
	if strings.TrimSpace(cellAt(under.cells, 0)) == "" {
		return named*2 > values
	}
	return named > 1 && named == values && len(body) >= minRows // all of them, the first column's too
}

// nameTwice names columns by two lines. A name stands for the columns to its right
// that have none.
func (l *layout) nameTwice(upper, lower []string) {
	last := ""
	for i := range l.names {
		over, under := strings.TrimSpace(cellAt(upper, i)), strings.TrimSpace(cellAt(lower, i))
		if over == "" && under != "" {
			over = last
		}
		last = over
		l.names[i] = strings.TrimSpace(over + " " + under)
	}
}

// hasRowNames tells whether the rows have a name before what the first record names.
// A separator at the end of each row is no such thing.
func hasRowNames(records []record) bool {
	if len(records) < 2 {
		return false
	}
	first, body := records[0], records[1:min(len(records), headerRecords)]
	ends := false
	for _, r := range body {
		if r.width != first.width+1 {
			return false
		}
		ends = ends || strings.TrimSpace(cellAt(r.cells, first.width)) != ""
	}
	return ends && first.names()
}

// names tells whether all fields of a record are texts that can be names.
func (r record) names() bool {
	return !slices.ContainsFunc(r.cells, func(cell string) bool {
		cell = strings.TrimSpace(cell)
		return isMissing(cell) || isTyped(cell)
	})
}

// hasValues tells whether a column has values and no text.
func hasValues(body []record) bool {
	for i := range usualWidth(body) {
		if columnIsTyped(body, i) {
			return true
		}
	}
	return false
}

// columnIsTyped tells whether all cells below the first record are typed.
func columnIsTyped(body []record, i int) bool {
	values := 0
	for _, r := range body {
		cell := strings.TrimSpace(cellAt(r.cells, i))
		if isMissing(cell) {
			continue
		}
		if !isTyped(cell) && !isBool(cell) {
			return false
		}
		values++
	}
	return values > 0
}

// isTyped tells whether a cell is a value rather than a name.
func isTyped(cell string) bool {
	if _, ok := (numberFormat{}).parse(cell); ok {
		return true
	}
	if _, ok := (numberFormat{decimalComma: true}).parse(cell); ok {
		return true
	}
	_, ok := parseMoment(cell)
	return ok || strings.EqualFold(cell, "true") || strings.EqualFold(cell, "false")
}

func isYear(cell string) bool {
	return len(cell) == 4 && allDigits(cell) && cell >= "1900" && cell < "2100"
}

// isPeriod knows years and dates, the values that do name columns at times.
func isPeriod(cell string) bool {
	if isYear(cell) {
		return true
	}
	_, ok := parseMoment(cell)
	return ok
}

// allPeriods tells whether a column has nothing but years and dates, and some of them.
// Years that go on where the first line ends are rows like it.
func allPeriods(body []record, i int) bool {
	values := 0
	for _, r := range body {
		cell := strings.TrimSpace(cellAt(r.cells, i))
		if isMissing(cell) {
			continue
		}
		if !isPeriod(cell) {
			return false
		}
		values++
	}
	return values > 0
}

// recurs tells whether some cell of the first record comes again below it.
func recurs(first []string, body []record) bool {
	for _, r := range body {
		same := 0
		for i, cell := range first {
			if strings.TrimSpace(cell) != "" && cell == cellAt(r.cells, i) {
				same++
			}
		}
		// A whole line that comes again is a header that was pasted in twice.
		if same > 0 && same < len(first) {
			return true
		}
	}
	return false
}

// separatorLine returns the separator that Excel's own first line names, and the
// line's length; 0 if there is no such line.
func separatorLine(head []byte) (comma byte, size int) {
	const mark = "sep="
	if len(head) < len(mark)+2 || !strings.EqualFold(string(head[:len(mark)]), mark) {
		return 0, 0
	}
	comma, size = head[len(mark)], len(mark)+1
	for _, end := range [...]string{"\r\n", "\n", "\r"} {
		if strings.HasPrefix(string(head[size:min(len(head), size+2)]), end) {
			return comma, size + len(end)
		}
	}
	return 0, 0
}
