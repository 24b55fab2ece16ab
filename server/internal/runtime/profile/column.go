package profile

import (
	"strings"
)

// kind is the type inferred for a column.
type kind int

const (
	kindEmpty kind = iota
	kindInteger
	kindNumber
	kindBoolean
	kindDate
	kindText
)

// column collects everything there is to say about one column while its cells
// stream by. Its type is known only at the end, so all types are followed.
type column struct {
	name    string
	format  numberFormat
	values  int // Cells that are not missing.
	tally   tally
	numbers numbers
	dates   dates

	absent    []absence // Words that were taken for no value.
	notNumber misfit
	notBool   misfit
	notDate   misfit

	last cell
}

// cell is what a column has made of the cell of the current row.
type cell struct {
	missing bool
	group   int // Its position in the tally, or -1.
	amount  amount
	moment  moment // Zero if it is no date.
}

// misfit counts the values that are not of some type and keeps the first one.
type misfit struct {
	count int
	first string
	line  int
}

func (m *misfit) add(value string, line int) {
	if m.count == 0 {
		m.first, m.line = clip(value, maxCell), line
	}
	m.count++
}

// numbers summarises the numeric values of a column.
type numbers struct {
	count    int
	sum      exactSum
	min, max number
	low      edge
	high     edge // Of the values with their signs turned.
	scale    int  // The most decimal places of a value.
	unit     string
	codes    int
	sample   sample
}

// add records a value and tells whether it goes with the others: dollars and
// percents cannot be added up. A plain 0 goes with anything.
func (n *numbers) add(v number, b *budget) bool {
	if n.count == 0 {
		n.unit, n.min, n.max = v.unit, v, v
	}
	if n.unit == "" && n.min.approx == 0 && n.max.approx == 0 {
		n.unit = v.unit
	}
	if v.unit != n.unit && (v.unit != "" || v.approx != 0) {
		return false
	}
	if v.code {
		n.codes++
	}
	if v.less(n.min) {
		n.min = v
	}
	if n.max.less(v) {
		n.max = v
	}
	n.low.add(v.approx)
	n.high.add(-v.approx)
	n.count++
	n.scale = max(n.scale, v.exact.scale)
	n.sum.add(v.exact)
	n.sample.add(v.approx, b)
	return true
}

// exactFloat is the size up to which every whole number is a float64.
const exactFloat = 1 << 53

// less compares exactly where floats are too coarse, as for long identifiers.
func (v number) less(w number) bool {
	if v.approx == w.approx && (v.approx >= exactFloat || v.approx <= -exactFloat) {
		return v.exact.rat().Cmp(w.exact.rat()) < 0
	}
	return v.approx < w.approx
}

// add records one cell; line is where it stands.
func (c *column) add(text string, line int, b *budget) {
	value := strings.TrimSpace(text)
	c.last = cell{missing: isMissing(value)}
	if c.last.missing {
		c.miss(value)
		return
	}
	c.values++
	c.last.group = c.tally.add(value, b)
	if n, ok := c.format.parse(value); ok && c.numbers.add(n, b) {
		c.last.amount = amount{value: n.exact, ok: true}
	} else {
		c.notNumber.add(value, line)
	}
	if !isBool(value) {
		c.notBool.add(value, line)
	}
	m, ok := c.dates.add(value)
	if c.last.moment = m; !ok {
		c.notDate.add(value, line)
	}
}

// kind is the type that fits the values: up to one in twenty may be out of
// line, and is then reported, before a column is called text.
func (c *column) kind() kind {
	fits := func(hits int) bool { return hits > 0 && (c.values-hits)*20 <= c.values }
	switch {
	case c.values == 0:
		return kindEmpty
	case fits(c.numbers.count) && c.numbers.codes == 0:
		if c.numbers.scale == 0 && c.numbers.unit == "" {
			return kindInteger
		}
		return kindNumber
	case fits(c.values - c.notBool.count):
		return kindBoolean
	case fits(c.dates.hits()):
		return kindDate
	default:
		return kindText
	}
}

// numeric tells whether sums and quartiles make sense.
func (c *column) numeric() bool {
	k := c.kind()
	return k == kindInteger || k == kindNumber
}

// kindName is the type in words.
func (c *column) kindName() string {
	switch c.kind() {
	case kindEmpty:
		return "empty"
	case kindInteger:
		return "integer"
	case kindNumber:
		if c.numbers.unit != "" {
			return "number (" + c.numbers.unit + ")"
		}
		return "number"
	case kindBoolean:
		return "boolean"
	case kindDate:
		if c.dates.clock {
			return "date/time"
		}
		return "date"
	case kindText:
		return "text"
	}
	return "text"
}

// misfits returns the values that are not of the type of the column.
func (c *column) misfits() misfit {
	switch c.kind() {
	case kindInteger, kindNumber:
		return c.notNumber
	case kindBoolean:
		return c.notBool
	case kindDate:
		m := c.notDate
		m.count = c.values - c.dates.hits()
		return m
	case kindEmpty, kindText:
	}
	return misfit{}
}

// isMissing knows the usual ways to write that there is no value.
func isMissing(s string) bool {
	if len(s) > len("-infinity") || s == "Na" { // sodium
		return false
	}
	switch strings.ToLower(s) {
	case "", "-", "--", "na", "n/a", "n.a.", "nan", "nil", "none", "null", "missing", "?", ".", `\n`, "<na>",
		"#n/a", "#div/0!", "#ref!", "#value!", "#name?", "#num!", "#null!",
		"inf", "+inf", "-inf", "infinity", "+infinity", "-infinity":
		return true
	default:
		return false
	}
}

// absence counts a word that was taken for no value.
type absence struct {
	word  string
	times int
}

// maxAbsent is how many different words of a column are counted.
const maxAbsent = 4

func (c *column) miss(word string) {
	if word == "" || word == "-" || word == "--" {
		return
	}
	for i := range c.absent {
		if c.absent[i].word == word {
			c.absent[i].times++
			return
		}
	}
	if len(c.absent) < maxAbsent {
		c.absent = append(c.absent, absence{word: strings.Clone(word), times: 1})
	}
}

// telling tells whether it has to be said that a word was taken for no value: it may
// be meant in a column of texts, and numbers cannot be without end.
func (a absence) telling(k kind) bool {
	switch strings.ToLower(a.word) {
	case "nan", "null", "#n/a", "n/a", "<na>", `\n`:
		return false
	case "na", "n.a.", "nil", "none", "missing":
		return k == kindText || k == kindEmpty
	default:
		return true
	}
}

// absentWords lists the words that were taken for no value and may mean something.
func (t *table) absentWords() string {
	var words []string
	for _, c := range t.columns {
		for _, a := range c.absent {
			if a.telling(c.kind()) {
				words = append(words, "“"+inline(a.word, maxCell)+"” in "+inline(c.name, maxName)+" ("+humanInt(a.times)+")")
			}
		}
	}
	if more := len(words) - maxNamed; more > 0 {
		words = append(words[:maxNamed], humanInt(more)+" more")
	}
	return strings.Join(words, ", ")
}

// isBool knows the usual words for true and false. Plain 0 and 1 are integers.
func isBool(s string) bool {
	if len(s) > len("false") {
		return false
	}
	switch strings.ToLower(s) {
	case "true", "false", "yes", "no", "t", "f", "y", "n":
		return true
	default:
		return false
	}
}
