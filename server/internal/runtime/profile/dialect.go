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
	sheet  bool         // It is no file but a sheet: nothing parts its fields.
	format numberFormat // Of columns that say nothing about it.
	// formats are those of the first columns.
	formats []numberFormat
	// guessed are the columns whose numbers, all like 1.234, can be read in two ways.
	guessed []int
}

// sniffComma finds the separator from the start of a file. The extension decides
// only when the content says nothing.
func sniffComma(head []byte, whole bool, extension string) byte {
	preferred := byte(',')
	switch extension {
	case ".tsv", ".tab":
		preferred = '\t'
	case ".psv":
		preferred = '|'
	}
	comma := preferred
	best := judgeSplit(readRecords(bytes.NewReader(head), preferred, whole, sampleRecords))
	for _, other := range [...]byte{',', ';', '\t', '|'} {
		if split := judgeSplit(readRecords(bytes.NewReader(head), other, whole, sampleRecords)); split.compare(best) > 0 {
			comma, best = other, split
		}
	}
	return comma
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

func judgeSplit(records []record) split {
	widths := make(map[int]int)
	all, typed := 0, 0
	for _, record := range records {
		widths[record.width]++
		for _, cell := range record.cells {
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
// ways. Where no other column has decimal points, they are thousands if fields are
// parted by semicolons, as by those who write decimal commas, and if they are money,
// which has no three decimals; that is a guess. Where fields are parted by commas, so is
// that such columns are written like the others, and that 1,234 is a thousand where no
// number has a decimal point.
func (d *dialect) sniffFormats(records []record) {
	width := 0
	for _, record := range records {
		width = max(width, len(record.cells))
	}
	signs := make([]decimalSigns, width)
	for _, record := range records {
		for i, cell := range record.cells {
			signs[i].add(strings.TrimSpace(cell))
		}
	}
	commas, points := false, false
	for _, s := range signs {
		commas, points = commas || s.commas > s.points, points || s.points > s.commas
	}
	d.format.decimalComma = commas && d.comma != ','
	for i, s := range signs {
		format := d.format
		switch {
		case s.commas != s.points:
			format.decimalComma = s.commas > s.points
		case !d.format.decimalComma && s.pointed+s.parted > 0:
			format.decimalComma = !points && (d.comma == ';' || s.money || commas) && s.pointed > s.parted
			if d.comma != ',' || width == 1 || format.decimalComma || s.parted > 0 && !s.money && !points {
				d.guessed = append(d.guessed, i)
			}
		}
		d.formats = append(d.formats, format)
	}
}

// decimalSigns counts the numbers that make sense with one decimal sign only, and
// those like 1.234 and 1,234 that make sense with both.
type decimalSigns struct {
	commas, points  int
	pointed, parted int
	money           bool // Some of these have a currency.
}

func (s *decimalSigns) add(cell string) {
	_, withComma := numberFormat{decimalComma: true}.parse(cell)
	n, withPoint := numberFormat{}.parse(cell)
	switch {
	case withComma && !withPoint:
		s.commas++
	case withPoint && !withComma:
		s.points++
	case withPoint && strings.Contains(cell, "."):
		s.pointed++
	case withPoint && strings.Contains(cell, ","):
		s.parted++
	default:
		return
	}
	s.money = s.money || n.unit != "" && n.unit != "%"
}
