package profile

import (
	"cmp"
	"slices"
	"strings"
)

const (
	fewCategories  = 50 // A column with no more values is a category rather than a name.
	maxBreakdowns  = 4  // How many category columns are broken down.
	maxMonths      = 48 // Above that, months are shown as years.
	missingGroup   = "(missing)"
	remainingGroup = "(other)"
)

// totals sums the measures of a table over the categories of each column that
// may turn out to have some, and over months. Which columns do is only known at
// the end: the first rows of a large file may look quite different from the rest.
type totals struct {
	measures   []*column
	categories []*categoryTotals
	months     *monthTotals // Of the first column of dates, or nil.
	amounts    []amount     // Of the current row.
}

// amount is the value of a measure in one row, if there is one.
type amount struct {
	value decimal
	ok    bool
}

// planTotals finds tables that look like sales, spending and the like: columns
// of money or quantities. It returns nil if this is none.
func planTotals(columns []*column) *totals {
	measures := chooseMeasures(columns)
	if len(measures) == 0 {
		return nil
	}
	t := &totals{measures: measures, amounts: make([]amount, len(measures))}
	for _, c := range columns {
		switch c.kind() {
		case kindText, kindBoolean, kindEmpty:
			t.categories = append(t.categories, &categoryTotals{by: c, width: len(measures)})
		case kindDate:
			if t.months == nil {
				t.months = &monthTotals{by: c, width: len(measures), sums: make(map[monthKey]*total)}
			}
		case kindInteger, kindNumber:
		}
	}
	return t
}

// add adds the row that the columns have read last.
func (t *totals) add() {
	for i, m := range t.measures {
		t.amounts[i] = m.last.amount
	}
	for _, c := range t.categories {
		c.add(t.amounts)
	}
	if t.months != nil {
		t.months.add(t.amounts)
	}
}

// categoryTotals sums the measures by the values of a column.
type categoryTotals struct {
	by    *column
	width int
	sums  []exactSum // Width of them for each slot.
	ids   bool       // Nearly each row has a value of its own; sums are not kept.
}

// The slots of the sums: rows without a value, rows whose value is beyond the
// limit of the tally, then the values of the tally.
const (
	slotMissing = iota
	slotOthers
	firstSlot
)

func (c *categoryTotals) add(amounts []amount) {
	if c.ids {
		return
	}
	if c.by.tally.beyond > maxDistinct && c.sums != nil && c.by.unique() {
		c.ids, c.sums = true, nil
		return
	}
	slot := firstSlot + c.by.last.group
	switch {
	case c.by.last.missing:
		slot = slotMissing
	case c.by.last.group < 0:
		slot = slotOthers
	}
	for len(c.sums) < (slot+1)*c.width {
		c.sums = append(c.sums, exactSum{})
	}
	for i, a := range amounts {
		if a.ok {
			c.sums[slot*c.width+i].add(a.value)
		}
	}
}

// unique tells whether hardly any of the values that are counted has come twice.
func (c *column) unique() bool {
	kept := c.values - c.tally.beyond
	return c.tally.distinct()*20 > kept*19
}

// line is the total of a slot.
func (c *categoryTotals) line(name string, slot, rows int) total {
	from := min(slot*c.width, len(c.sums))
	sums := slices.Clone(c.sums[from:min(from+c.width, len(c.sums))])
	return total{name: name, rows: rows, sums: append(sums, make([]exactSum, c.width-len(sums))...)}
}

// lines returns the totals of the values, and of those beyond the limit.
func (c *categoryTotals) lines(rows int) (lines []total, others total) {
	names := make([]string, c.by.tally.distinct())
	for key, at := range c.by.tally.known {
		names[at] = textOfKey(key)
	}
	for at, name := range names {
		lines = append(lines, c.line(name, firstSlot+at, c.by.tally.times[at]))
	}
	if missing := rows - c.by.values; missing > 0 {
		lines = append(lines, c.line(missingGroup, slotMissing, missing))
	}
	return lines, c.line("", slotOthers, c.by.tally.beyond)
}

// isCategory tells whether a value comes at least twice on average.
func (c *categoryTotals) isCategory() bool {
	n, k := c.by.tally.distinct(), c.by.kind()
	return !c.ids && (k == kindText || k == kindBoolean) && n >= 2 && n*2 <= c.by.values-c.by.tally.beyond
}

// total is a line of a breakdown.
type total struct {
	name string
	rows int
	sums []exactSum
}

func (t *total) merge(other total) {
	t.rows += other.rows
	for i, sum := range other.sums {
		t.sums[i].merge(sum)
	}
}

// addUp makes one line of many.
func addUp(lines []total, width int) total {
	all := total{sums: make([]exactSum, width)}
	for _, line := range lines {
		all.merge(line)
	}
	return all
}

// breakdown is the totals by one column, ready to be shown.
type breakdown struct {
	by     *column
	period string // "month" or "year" if the column holds dates.
	// lines run from the largest sum to the smallest, or as time runs.
	lines  []total
	others total // The rows of the values that are too many to be kept apart.
}

// finish returns the totals worth showing: of the measures that are numbers to
// the end, by the columns with the fewest values, and by time.
func (t *totals) finish(rows int) (measures []*column, breakdowns []*breakdown) {
	var live []int
	for i, m := range t.measures {
		if m.additive() {
			live, measures = append(live, i), append(measures, m)
		}
	}
	if len(live) == 0 {
		return nil, nil
	}
	for _, c := range t.chooseCategories() {
		b := &breakdown{by: c.by}
		b.lines, b.others = c.lines(rows)
		breakdowns = append(breakdowns, b)
	}
	if t.months != nil && t.months.by.kind() == kindDate {
		b := &breakdown{by: t.months.by}
		b.lines, b.period = t.months.lines()
		breakdowns = append(breakdowns, b)
	}
	for _, b := range breakdowns {
		b.keep(live)
		b.sort()
	}
	return measures, breakdowns
}

// chooseCategories returns the columns to break down, in their own order.
func (t *totals) chooseCategories() []*categoryTotals {
	var few, many []*categoryTotals
	for _, c := range t.categories {
		switch {
		case !c.isCategory():
		case c.by.tally.distinct() <= fewCategories && !c.by.tally.capped:
			few = append(few, c)
		default:
			many = append(many, c)
		}
	}
	slices.SortStableFunc(many, func(a, b *categoryTotals) int {
		return cmp.Compare(a.by.tally.distinct(), b.by.tally.distinct())
	})
	chosen := append(few, many...)
	chosen = chosen[:min(len(chosen), maxBreakdowns)]
	slices.SortFunc(chosen, func(a, b *categoryTotals) int {
		return cmp.Compare(slices.Index(t.categories, a), slices.Index(t.categories, b))
	})
	return chosen
}

// keep leaves only the sums of some measures.
func (b *breakdown) keep(live []int) {
	pick := func(t *total) {
		kept := make([]exactSum, 0, len(live))
		for _, i := range live {
			if i < len(t.sums) {
				kept = append(kept, t.sums[i])
			}
		}
		t.sums = kept
	}
	for i := range b.lines {
		pick(&b.lines[i])
	}
	pick(&b.others)
}

// sort leaves lines that are equal in the order in which they came up.
func (b *breakdown) sort() {
	slices.SortStableFunc(b.lines, func(x, y total) int {
		if b.period == "" {
			if c := y.sums[0].compare(x.sums[0]); c != 0 {
				return c
			}
		}
		// Names in brackets are no months and come last.
		return strings.Compare(strings.Replace(x.name, "(", "~", 1), strings.Replace(y.name, "(", "~", 1))
	})
}
