package profile

import (
	"slices"
	"strconv"
)

const (
	// maxColumns is how many columns of a table are profiled.
	maxColumns = 5_000
	// headRows and headBytes bound the rows kept to decide about totals.
	headRows  = 1_000
	headBytes = 4 << 20
)

// table profiles rows, wherever they come from.
type table struct {
	columns []*column
	byName  map[string]int
	rows    int
	budget  budget
	spots   bool // Rows that repeat sums are left out.
	sums    sumRows

	// head keeps the first rows until the totals are planned, as that takes a
	// look at the columns first.
	head      []headRow
	headBytes int
	planned   bool
	totals    *totals // nil if there is nothing to add up.

	// each is told of each row that counts; nil for nobody.
	each func(t *table, row []string)

	// What is made of the totals in the end.
	measures   []*column
	breakdowns []*breakdown
}

type headRow struct {
	cells []string
	line  int
}

func newTable() *table {
	return &table{byName: make(map[string]int)}
}

// addColumn appends a column under a name no other column has. Its cells are
// in the given format.
func (t *table) addColumn(name string, format numberFormat) {
	name = plain(name)
	if name == "" {
		name = "column " + strconv.Itoa(len(t.columns)+1)
	}
	unique := name
	for n := 2; ; n++ {
		if _, taken := t.byName[unique]; !taken {
			break
		}
		unique = name + " (" + strconv.Itoa(n) + ")"
	}
	t.byName[unique] = len(t.columns)
	t.columns = append(t.columns, &column{name: unique, format: format})
}

// add profiles one row. Cells beyond the last column are ignored, cells that
// are not there are missing. The row may be reused by the caller.
func (t *table) add(row []string, line int) {
	row = row[:min(len(row), len(t.columns))]
	if t.planned {
		t.profile(row, line)
		return
	}
	t.head = append(t.head, headRow{cells: slices.Clone(row), line: line})
	for _, cell := range row {
		t.headBytes += len(cell)
	}
	if len(t.head) >= headRows || t.headBytes >= headBytes {
		t.plan()
	}
}

func (t *table) profile(row []string, line int) {
	if t.spots && t.isSum(row, line) {
		return
	}
	t.rows++
	if t.planned && t.each != nil {
		t.each(t, row)
	}
	for i, c := range t.columns {
		c.add(cellAt(row, i), line, &t.budget)
	}
	if t.totals != nil {
		t.totals.add()
	}
}

func cellAt(row []string, i int) string {
	if i < len(row) {
		return row[i]
	}
	return ""
}

// finish must be called after the last row.
func (t *table) finish() {
	if !t.planned {
		t.plan()
	}
	if t.totals != nil {
		t.measures, t.breakdowns = t.totals.finish(t.rows)
		t.totals = nil
	}
}

// plan profiles the first rows to see what there is to add up, and then starts anew,
// so that the totals have these rows, too.
func (t *table) plan() {
	t.profileHead()
	t.totals = planTotals(t.columns)
	t.planned, t.rows, t.sums, t.budget = true, 0, sumRows{}, budget{columns: len(t.columns)}
	for _, c := range t.columns {
		*c = column{name: c.name, format: c.format}
	}
	t.profileHead()
	t.head = nil
}

func (t *table) profileHead() {
	for _, row := range t.head {
		t.profile(row.cells, row.line)
	}
}

// forget gives the memory back that nothing but the report needs.
func (t *table) forget() {
	for _, c := range t.columns {
		c.tally, c.numbers.sample = tally{}, sample{}
	}
	t.measures, t.breakdowns = nil, nil
}

// missing is how many cells of the column have no value.
func (t *table) missing(c *column) int { return t.rows - c.values }

// choose returns the columns that satisfy the condition.
func (t *table) choose(condition func(*column) bool) []*column {
	var chosen []*column
	for _, c := range t.columns {
		if condition(c) {
			chosen = append(chosen, c)
		}
	}
	return chosen
}
