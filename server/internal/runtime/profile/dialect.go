package profile

import (
	"bytes"
	"cmp"
	"strings"
)

const (
	// sampleRecords is how many records are looked at to find out about a file.
	sampleRecords = 1_000
	// headerRecords is with how many of them the first is compared.
	headerRecords = 200
)

// dialect is how a delimited file is written.
type dialect struct {
	comma  byte
	header bool
	format numberFormat // Of columns that say nothing about it.
	// formats are those of the first columns.
	formats []numberFormat
}

// sniffDialect finds out from the start of a file. The extension decides only
// when the content says nothing.
func sniffDialect(head []byte, whole bool, extension string) dialect {
	preferred := byte(',')
	switch extension {
	case ".tsv", ".tab":
		preferred = '\t'
	case ".psv":
		preferred = '|'
	}
	d := dialect{comma: preferred}
	best := readRecords(bytes.NewReader(head), preferred, whole, sampleRecords)
	bestSplit := judgeSplit(best)
	for _, comma := range [...]byte{',', ';', '\t', '|'} {
		records := readRecords(bytes.NewReader(head), comma, whole, sampleRecords)
		if split := judgeSplit(records); split.compare(bestSplit) > 0 {
			d.comma, best, bestSplit = comma, records, split
		}
	}
	d.header = hasHeader(best[:min(len(best), headerRecords)])
	if d.header {
		best = best[1:]
	}
	d.sniffFormats(best)
	return d
}

// formatOf is how the column at position i writes its numbers.
func (d dialect) formatOf(i int) numberFormat {
	if i < len(d.formats) {
		return d.formats[i]
	}
	return d.format
}

// split is how well records look split at one sign.
type split struct {
	uniform float64 // The share of those with the most common number of fields,
	width   int     // which is this one.
	typed   float64 // The share of characters in fields that are values, not text.
}

func judgeSplit(records [][]string) split {
	widths := make(map[int]int)
	all, typed := 0, 0
	for _, record := range records {
		widths[len(record)]++
		for _, cell := range record {
			all += len(cell)
			if isTyped(strings.TrimSpace(cell)) {
				typed += len(cell)
			}
		}
	}
	best := split{typed: float64(typed) / float64(max(all, 1))}
	for width, times := range widths {
		share := float64(times) / float64(len(records))
		if width > 1 && (share > best.uniform || share == best.uniform && width > best.width) {
			best.uniform, best.width = share, width
		}
	}
	return best
}

// compare prefers records that are alike, then those with values in them, as
// 1,5 is no longer one when it is split at the wrong sign, then wide ones.
func (s split) compare(other split) int {
	return cmp.Or(cmp.Compare(s.uniform, other.uniform), cmp.Compare(s.typed, other.typed),
		cmp.Compare(s.width, other.width))
}

// sniffFormats finds out how each column writes its numbers. In a file whose
// fields are not parted by commas, one column with decimal commas speaks for
// all that have nothing but thousands such as 1.234, which can be read in both
// ways.
func (d *dialect) sniffFormats(records [][]string) {
	width := 0
	for _, record := range records {
		width = max(width, len(record))
	}
	signs := make([]decimalSigns, width)
	for _, record := range records {
		for i, cell := range record {
			signs[i].add(strings.TrimSpace(cell))
		}
	}
	for _, s := range signs {
		if d.comma != ',' && s.commas > s.points {
			d.format.decimalComma = true
		}
	}
	for _, s := range signs {
		format := d.format
		if s.commas != s.points {
			format.decimalComma = s.commas > s.points
		}
		d.formats = append(d.formats, format)
	}
}

// decimalSigns counts the numbers that make sense with one decimal sign only.
type decimalSigns struct {
	commas, points int
}

func (s *decimalSigns) add(cell string) {
	_, withComma := numberFormat{decimalComma: true}.parse(cell)
	_, withPoint := numberFormat{}.parse(cell)
	switch {
	case withComma && !withPoint:
		s.commas++
	case withPoint && !withComma:
		s.points++
	}
}

// hasHeader tells whether the first record names the columns. Names are text,
// so a number, date or truth value there speaks against it, except for years
// and dates above something else. A value that comes again below, in a row
// that is not the same altogether, speaks against it too.
func hasHeader(records [][]string) bool {
	if len(records) == 0 {
		return false
	}
	first, body := records[0], records[1:]
	typed, named := false, false
	for i, cell := range first {
		cell = strings.TrimSpace(cell)
		switch {
		case isMissing(cell):
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
	return typed || !recurs(first, body)
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

// columnIsTyped tells whether all cells below the first record are typed.
func columnIsTyped(body [][]string, i int) bool {
	values := 0
	for _, record := range body {
		cell := strings.TrimSpace(cellAt(record, i))
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

func allPeriods(body [][]string, i int) bool {
	for _, record := range body {
		if cell := strings.TrimSpace(cellAt(record, i)); !isMissing(cell) && !isPeriod(cell) {
			return false
		}
	}
	return true
}

// recurs tells whether some cell of the first record comes again below it.
func recurs(first []string, body [][]string) bool {
	for _, record := range body {
		same := 0
		for i, cell := range first {
			if strings.TrimSpace(cell) != "" && cell == cellAt(record, i) {
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
