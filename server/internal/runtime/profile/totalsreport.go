package profile

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// maxTotals is how many groups of a breakdown are shown.
const maxTotals = 10

// glance sums up a table that looks like sales, for those in a hurry.
func (r *tableReport) glance() {
	if len(r.of.breakdowns) == 0 {
		return
	}
	var items []string
	for _, m := range r.of.measures {
		n := &m.numbers
		items = append(items, fmt.Sprintf("Sum of %s: %s; mean: %s.",
			inline(m.name, maxName), bold(m.sumText()), n.style().rounded(n.mean())))
	}
	money := r.of.measures[0]
	for _, b := range r.of.breakdowns {
		// Of values that are not all known, the largest is not known either.
		if b.period != "" || b.others.rows > 0 {
			continue
		}
		first := slices.IndexFunc(b.lines, func(line total) bool { return line.name != missingGroup })
		if first < 0 {
			continue
		}
		share := shareOf(b.lines, first+1)[first]
		if share != "" {
			share = " (" + share + ")"
		}
		items = append(items, fmt.Sprintf("Largest %s by %s: %s with %s%s.",
			inline(b.by.name, maxName), inline(money.name, maxName), bold(inline(b.lines[first].name, maxCell)),
			money.numbers.style().exact(b.lines[first].sums[0].rat()), share))
	}
	r.heading(r.level, "At a glance")
	r.list(items)
}

// breakdowns shows sums by category and by month.
func (r *tableReport) breakdowns() {
	head, names := []string{"", "Rows"}, make([]string, 0, len(r.of.measures))
	for _, m := range r.of.measures {
		head = append(head, inline(m.name, maxName))
		names = append(names, inline(m.name, maxName))
	}
	head = append(head, "Share")
	for _, b := range r.of.breakdowns {
		by := inline(b.by.name, maxName)
		if b.period != "" {
			by = b.period + " of " + by
		}
		head[0] = by
		r.heading(r.level, "Totals of "+strings.Join(names, " and ")+" by "+by)
		if b.others.rows > 0 {
			r.para("Only the first " + plural(b.by.tally.distinct(), "different value") + " have totals of their own; " +
				"those are exact, but a larger one may be among the others.")
		}
		r.table(head, "lr"+strings.Repeat("r", len(names)+1), r.totalRows(b))
	}
}

// totalRows are the lines of the table of a breakdown.
func (r *tableReport) totalRows(b *breakdown) [][]string {
	shown := len(b.lines)
	if b.period == "" {
		shown = min(shown, maxTotals)
	}
	lines := b.lines
	if b.others.rows > 0 {
		lines = append(slices.Clone(lines), b.others)
	}
	shares := shareOf(lines, shown)
	rows := make([][]string, 0, shown+2)
	add := func(line total, name, share string) {
		rows = append(rows, r.totalRow(line, name, share))
	}
	for i, line := range b.lines[:shown] {
		add(line, inline(line.name, maxCell), shares[i])
	}
	if rest := b.lines[shown:]; len(rest) > 0 {
		add(addUp(rest, len(r.of.measures)), "*"+humanInt(len(rest))+" more*", "")
	}
	if b.others.rows > 0 {
		add(b.others, "*all others*", "")
	}
	return rows
}

func (r *tableReport) totalRow(line total, name, share string) []string {
	cells := []string{name, humanInt(line.rows)}
	for i, m := range r.of.measures {
		cells = append(cells, m.numbers.style().exact(line.sums[i].rat()))
	}
	return append(cells, share)
}

// shareOf returns the share of each of the first lines in the sum of the first
// measure. There are none if some sum is negative, as shares then make no sense.
func shareOf(lines []total, first int) []string {
	whole := exactSum{}
	for _, line := range lines {
		if line.sums[0].negative() {
			return make([]string, first)
		}
		whole.merge(line.sums[0])
	}
	all := whole.rat()
	shares := make([]string, first)
	for i, line := range lines[:first] {
		if all.Sign() > 0 {
			share, _ := new(big.Rat).Quo(line.sums[0].rat(), all).Float64()
			shares[i] = percent(share, 1)
		}
	}
	return shares
}
