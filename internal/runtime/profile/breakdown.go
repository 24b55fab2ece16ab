package profile

import (
	"math/big"
	"slices"
	"strings"
	"unicode"
)

const (
	maxCategories  = 50    // A column with more values is no category.
	maxBreakdowns  = 4     // How many category columns are broken down.
	maxGroups      = 2_000 // How many groups one breakdown keeps.
	maxMonths      = 24    // Above that, months are shown as years.
	missingGroup   = "(missing)"
	remainingGroup = "(other)"
)

// breakdown sums measures, such as revenue, over the groups of one column,
// such as region.
type breakdown struct {
	by       int
	name     string
	measures []measure
	groups   map[string]*group

	// months is set when the column holds dates, which are grouped by month.
	months bool
	order  dateOrder
}

// measure is a numeric column worth adding up.
type measure struct {
	column int
	name   string
	unit   string
	format numberFormat
}

// group is one line of a breakdown.
type group struct {
	name string
	rows int
	sums []exactSum
}

// planBreakdowns finds tables that look like sales, spending and the like: a
// column of money or quantities beside columns of categories or dates.
func planBreakdowns(columns []*column) []*breakdown {
	measures := chooseMeasures(columns)
	if len(measures) == 0 {
		return nil
	}
	var months, categories []*breakdown
	for i, c := range columns {
		b := &breakdown{by: i, name: c.name, measures: measures, groups: make(map[string]*group)}
		switch {
		case c.kind() == kindDate && len(months) == 0:
			b.months, b.order = true, c.dates.order()
			months = append(months, b)
		case isCategory(c) && len(categories) < maxBreakdowns:
			categories = append(categories, b)
		}
	}
	return append(categories, months...)
}

func isCategory(c *column) bool {
	if k := c.kind(); k != kindText && k != kindBoolean {
		return false
	}
	n := c.tally.distinct()
	return n >= 2 && n <= maxCategories && n*2 <= c.values
}

// chooseMeasures picks the column that names money best, and the one that
// names a quantity best.
func chooseMeasures(columns []*column) []measure {
	var money, quantity *measure
	best := 0
	for i, c := range columns {
		if !c.numeric() {
			continue
		}
		words := nameWords(c.name)
		m := &measure{column: i, name: c.name, unit: c.numbers.unit, format: c.format}
		if rank := moneyRank(words, m.unit); rank > best {
			money, best = m, rank
		} else if quantity == nil && isQuantity(words) {
			quantity = m
		}
	}
	var measures []measure
	for _, m := range [...]*measure{money, quantity} {
		if m != nil {
			measures = append(measures, *m)
		}
	}
	return measures
}

// nameWords splits a column name such as unitPrice, unit_price or "Unit price".
func nameWords(name string) []string {
	var spaced strings.Builder
	lower := false
	for _, r := range name {
		if !unicode.IsLetter(r) {
			r = ' '
		}
		if lower && unicode.IsUpper(r) {
			spaced.WriteByte(' ')
		}
		lower = unicode.IsLower(r)
		spaced.WriteRune(unicode.ToLower(r))
	}
	return strings.Fields(spaced.String())
}

// moneyRank tells how much a column is about an amount of money that can be
// added up; 0 means not at all.
func moneyRank(words []string, unit string) int {
	rank := 0
	if unit != "" && unit != "%" {
		rank = 1
	}
	for _, word := range words {
		switch word {
		case "price", "prices", "rate", "avg", "average", "mean", "per", "pct", "percent", "id", "year", "number",
			"units", "quantity", "qty", "count":
			// A sum of these says nothing, or nothing about money.
			return 0
		case "revenue", "revenues", "sales", "turnover":
			rank = max(rank, 4)
		case "amount", "total", "income", "earnings", "subtotal":
			rank = max(rank, 3)
		case "profit", "cost", "costs", "spend", "spending", "expense", "expenses", "budget", "payment":
			rank = max(rank, 2)
		}
	}
	return rank
}

func isQuantity(words []string) bool {
	found := false
	for _, word := range words {
		switch word {
		case "price", "prices", "cost", "costs", "rate", "avg", "average", "mean", "per", "pct", "percent", "id":
			return false
		case "quantity", "qty", "units", "count", "volume", "orders", "pieces", "items", "sold":
			found = true
		}
	}
	return found
}

// add records one row, which may be too short.
func (b *breakdown) add(row []string) {
	g := b.group(b.key(cellAt(row, b.by)))
	g.rows++
	for i, m := range b.measures {
		n, ok := m.format.parse(strings.TrimSpace(cellAt(row, m.column)))
		if ok && n.unit == m.unit {
			g.sums[i].add(n.exact)
		}
	}
}

func cellAt(row []string, i int) string {
	if i < len(row) {
		return row[i]
	}
	return ""
}

// key is the name of the group a cell belongs to.
func (b *breakdown) key(cell string) string {
	value := strings.TrimSpace(cell)
	if isMissing(value) {
		return missingGroup
	}
	if !b.months {
		return clip(value, maxCell)
	}
	m, ok := parseMoment(value)
	if at := m.in[b.order]; ok && !at.IsZero() {
		return at.Format("2006-01")
	}
	return remainingGroup
}

func (b *breakdown) group(name string) *group {
	if g := b.groups[name]; g != nil {
		return g
	}
	if len(b.groups) >= maxGroups && name != remainingGroup {
		return b.group(remainingGroup)
	}
	g := &group{name: strings.Clone(name), sums: make([]exactSum, len(b.measures))}
	b.groups[g.name] = g
	return g
}

// total is a line of a finished breakdown.
type total struct {
	name string
	rows int
	sums []*big.Rat
}

// totals returns the lines in the order of the report: time runs forward,
// categories run from the largest sum to the smallest.
func (b *breakdown) totals() []total {
	cut := 0 // How much of a name is kept.
	if b.months && b.period() == "year" {
		cut = len("2006")
	}
	merged := make(map[string]*total)
	var lines []*total
	for name, g := range b.groups {
		if cut > 0 && name[0] != '(' {
			name = name[:cut]
		}
		line := merged[name]
		if line == nil {
			line = &total{name: name, sums: newRats(len(b.measures))}
			merged[name] = line
			lines = append(lines, line)
		}
		line.rows += g.rows
		for i := range g.sums {
			line.sums[i].Add(line.sums[i], g.sums[i].rat())
		}
	}
	slices.SortFunc(lines, func(x, y *total) int {
		if !b.months {
			if c := y.sums[0].Cmp(x.sums[0]); c != 0 {
				return c
			}
		}
		// Names in brackets are no months and come last.
		return strings.Compare(strings.Replace(x.name, "(", "~", 1), strings.Replace(y.name, "(", "~", 1))
	})
	result := make([]total, 0, len(lines))
	for _, line := range lines {
		result = append(result, *line)
	}
	return result
}

// period is what dates are grouped by: months, unless there are too many.
func (b *breakdown) period() string {
	if len(b.groups) > maxMonths {
		return "year"
	}
	return "month"
}

func newRats(n int) []*big.Rat {
	rats := make([]*big.Rat, n)
	for i := range rats {
		rats[i] = new(big.Rat)
	}
	return rats
}
