package profile

import (
	"bytes"
	"strings"
)

// sampleRecords is how many records are looked at to find out about a file.
const sampleRecords = 200

// dialect is how a delimited file is written.
type dialect struct {
	comma  byte
	header bool
	format numberFormat
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
	bestScore := uniformity(best)
	for _, comma := range [...]byte{',', ';', '\t', '|'} {
		records := readRecords(bytes.NewReader(head), comma, whole, sampleRecords)
		if score := uniformity(records); score > bestScore {
			d.comma, best, bestScore = comma, records, score
		}
	}
	d.header = hasHeader(best)
	if d.comma != ',' {
		d.format.decimalComma = usesDecimalComma(best)
	}
	return d
}

// uniformity scores how well records look split: first by the share of those
// with the most common number of fields, then by that number.
func uniformity(records [][]string) float64 {
	widths := make(map[int]int)
	for _, record := range records {
		widths[len(record)]++
	}
	score := 0.0
	for width, times := range widths {
		if width > 1 {
			share := float64(times) / float64(len(records))
			score = max(score, share+float64(width)/1e4)
		}
	}
	return score
}

// usesDecimalComma compares the numbers that make sense with one decimal sign only.
func usesDecimalComma(records [][]string) bool {
	commas, points := 0, 0
	for _, record := range records {
		for _, cell := range record {
			cell = strings.TrimSpace(cell)
			_, withComma := numberFormat{decimalComma: true}.parse(cell)
			_, withPoint := numberFormat{}.parse(cell)
			switch {
			case withComma && !withPoint:
				commas++
			case withPoint && !withComma:
				points++
			}
		}
	}
	return commas > points
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
