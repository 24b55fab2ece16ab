package profile

import (
	"fmt"
	"math/big"
	"time"
)

const (
	maxTopValues  = 10 // How many categories of a column are shown.
	maxTopColumns = 30 // How many columns have their categories shown.
	maxCodes      = 12 // An integer column with no more values is a category too.
)

// tableReport writes the report about one table.
type tableReport struct {
	*markdown

	of    *table
	level int // Of its headings.
}

// writeTable reports everything known about a table, and the notes.
func writeTable(md *markdown, t *table, notes []string, level int) {
	r := tableReport{markdown: md, of: t, level: level}
	r.glance()
	r.columns()
	r.numbers()
	r.dates()
	r.breakdowns()
	r.categories()
	r.notes(level, append(notes, r.columnNotes()...))
}

// columns lists all columns with their types.
func (r *tableReport) columns() {
	if len(r.of.columns) == 0 {
		return
	}
	rows := make([][]string, 0, len(r.of.columns))
	for _, c := range r.of.columns {
		missing := humanInt(r.of.missing(c))
		if n := r.of.missing(c); n > 0 {
			missing += " (" + percent(float64(n), float64(r.of.rows)) + ")"
		}
		distinct := humanInt(c.tally.distinct())
		if c.tally.capped {
			distinct = "over " + distinct
		}
		rows = append(rows, []string{inline(c.name, maxName), c.kindName(), missing, distinct})
	}
	r.heading(r.level, "Columns")
	r.table([]string{"Column", "Type", "Missing", "Distinct"}, "llrr", rows)
}

// numbers summarises the numeric columns.
func (r *tableReport) numbers() {
	var rows [][]string
	for _, c := range r.of.choose((*column).numeric) {
		n := &c.numbers
		style, q := n.style(), n.sample.quartiles()
		rows = append(rows, []string{
			inline(c.name, maxName), style.exact(n.min.exact.rat()),
			style.float(q[0]), style.float(q[1]), style.float(q[2]),
			style.exact(n.max.exact.rat()), c.meanText(), c.sumText(),
		})
	}
	if len(rows) == 0 {
		return
	}
	r.heading(r.level, "Numbers")
	r.table([]string{"Column", "Min", "Q1", "Median", "Q3", "Max", "Mean", "Sum"}, "lrrrrrrr", rows)
}

// nothing stands for what would say nothing.
const nothing = "–"

// mean is exact. There must be at least one value.
func (n *numbers) mean() *big.Rat {
	return new(big.Rat).Quo(n.sum.rat(), new(big.Rat).SetInt64(int64(n.count)))
}

// meanText shows the mean; codes have none.
func (c *column) meanText() string {
	if c.isCode() {
		return nothing
	}
	return c.numbers.style().rounded(c.numbers.mean())
}

// sumText shows the sum, if it says something.
func (c *column) sumText() string {
	if !c.additive() {
		return nothing
	}
	return c.numbers.style().exact(c.numbers.sum.rat())
}

// dates shows the range of the date columns.
func (r *tableReport) dates() {
	var rows [][]string
	for _, c := range r.of.choose(func(c *column) bool { return c.kind() == kindDate }) {
		s, layout := c.dates.spans[c.dates.order()], time.DateOnly
		if c.dates.clock {
			layout = time.DateTime
		}
		if c.dates.zoned { // they may differ from one value to the next
			s.first, s.last, layout = s.first.UTC(), s.last.UTC(), layout+" UTC"
		}
		days := int(s.last.Sub(s.first) / (24 * time.Hour))
		rows = append(rows, []string{
			inline(c.name, maxName), s.first.Format(layout), s.last.Format(layout), humanInt(days),
		})
	}
	if len(rows) == 0 {
		return
	}
	r.heading(r.level, "Dates")
	r.table([]string{"Column", "Earliest", "Latest", "Days between"}, "lllr", rows)
}

// categories shows the most frequent values of the columns that have some.
func (r *tableReport) categories() {
	columns := r.of.choose((*column).categorical)
	if len(columns) == 0 {
		return
	}
	r.heading(r.level, "Top values")
	for _, c := range columns[:min(len(columns), maxTopColumns)] {
		var rows [][]string
		for _, value := range c.tally.top(maxTopValues) {
			rows = append(rows, []string{
				inline(value.value, maxCell), humanInt(value.times),
				percent(float64(value.times), float64(c.values)),
			})
		}
		if more := c.tally.distinct() - maxTopValues; more > 0 {
			others := plural(more, "other value")
			if c.tally.capped {
				others = "over " + others
			}
			rows = append(rows, []string{"*" + others + "*", "", ""})
		}
		r.table([]string{inline(c.name, maxName), "Rows", "Share"}, "lrr", rows)
	}
}

// categorical tells whether the values of a column are worth counting.
func (c *column) categorical() bool {
	switch distinct := c.tally.distinct(); c.kind() {
	case kindText, kindBoolean:
		return distinct < c.values-c.tally.beyond
	case kindInteger:
		return distinct <= maxCodes && distinct*4 <= c.values
	case kindEmpty, kindNumber, kindDate:
	}
	return false
}

// columnNotes says what the tables cannot.
func (r *tableReport) columnNotes() []string {
	var notes []string
	for _, c := range r.of.columns {
		notes = append(notes, c.notes()...)
		name := inline(c.name, maxName)
		if n := &c.numbers; c.numeric() && n.sample.full {
			notes = append(notes, fmt.Sprintf("%s: quartiles are estimated from %s picked at random; everything else is exact.",
				name, plural(len(n.sample.values), "value")))
		}
		if c.tally.capped && c.categorical() {
			notes = append(notes, fmt.Sprintf("%s: only the first %s are counted among the top values.",
				name, plural(c.tally.distinct(), "different value")))
		}
	}
	if words := r.of.absentWords(); words != "" {
		notes = append(notes, "Taken for missing: "+words+".")
	}
	if skipped := len(r.of.choose((*column).categorical)) - maxTopColumns; skipped > 0 {
		notes = append(notes, fmt.Sprintf("The top values of %s more are not shown.", plural(skipped, "column")))
	}
	return notes
}

// notes says what in the column was read otherwise than it may be meant.
func (c *column) notes() []string {
	var notes []string
	name := inline(c.name, maxName)
	if m := c.misfits(); m.count > 0 {
		first := ""
		if m.first != "" {
			first = fmt.Sprintf(", the first is “%s” on line %s", inline(m.first, maxCell), humanInt(m.line))
		}
		notes = append(notes, fmt.Sprintf("%s: %s not read as %s%s.", name, plural(m.count, "value"), c.kindName(), first))
	}
	if c.kind() == kindText && c.numbers.codes > 0 && c.numbers.count == c.values {
		notes = append(notes, name+": digits with leading zeros are taken for labels, not for numbers.")
	}
	if c.kind() == kindDate && c.dates.ambiguous() {
		notes = append(notes, name+": day and month cannot be told apart; the month is taken to come first.")
	}
	if c.kind() == kindDate && c.dates.short {
		notes = append(notes, name+": years of two digits are taken for 1970 to 2069.")
	}
	if c.numeric() {
		notes = append(notes, c.doubts(name)...)
	}
	return notes
}
