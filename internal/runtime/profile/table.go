package profile

import (
	"slices"
	"strconv"
)

const (
	// maxColumns is how many columns of a table are profiled.
	maxColumns = 300
	// headRows and headBytes bound the rows kept to decide about breakdowns.
	headRows  = 1_000
	headBytes = 4 << 20
)

// table profiles rows, wherever they come from.
type table struct {
	columns []*column
	byName  map[string]int
	rows    int
	budget  budget

	// head keeps the first rows until the breakdowns are planned, as that
	// takes a look at the columns first.
	head       [][]string
	headBytes  int
	planned    bool
	breakdowns []*breakdown
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
	t.rows++
	row = row[:min(len(row), len(t.columns))]
	for i, cell := range row {
		t.columns[i].add(cell, line, &t.budget)
	}
	if t.planned {
		t.breakDown(row)
		return
	}
	t.head = append(t.head, slices.Clone(row))
	for _, cell := range row {
		t.headBytes += len(cell)
	}
	if len(t.head) >= headRows || t.headBytes >= headBytes {
		t.plan()
	}
}

// finish must be called after the last row.
func (t *table) finish() {
	if !t.planned {
		t.plan()
	}
}

// plan chooses the breakdowns from what the first rows look like and feeds
// those rows to them.
func (t *table) plan() {
	t.planned = true
	t.breakdowns = planBreakdowns(t.columns)
	for _, row := range t.head {
		t.breakDown(row)
	}
	t.head = nil
}

func (t *table) breakDown(row []string) {
	for _, b := range t.breakdowns {
		b.add(row)
	}
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
