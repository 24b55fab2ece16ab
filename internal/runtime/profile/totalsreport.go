package profile

import (
	"fmt"
	"math/big"
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
	for _, m := range r.of.breakdowns[0].measures {
		n := &r.of.columns[m.column].numbers
		items = append(items, fmt.Sprintf("Sum of %s: %s; mean: %s.",
			inline(m.name, maxName), bold(n.sumText()), n.style().rounded(n.mean())))
	}
	for _, b := range r.of.breakdowns {
		if b.months {
			continue
		}
		lines := b.totals()
		for i, line := range lines {
			if line.name == missingGroup || line.name == remainingGroup {
				continue
			}
			share := ""
			if s := shareOf(lines, i); s != "" {
				share = " (" + s + ")"
			}
			items = append(items, fmt.Sprintf("Largest %s by %s: %s with %s%s.",
				inline(b.name, maxName), inline(b.measures[0].name, maxName),
				bold(inline(line.name, maxCell)), r.style(b.measures[0]).exact(line.sums[0]), share))
			break
		}
	}
	r.heading(r.level, "At a glance")
	r.list(items)
}

func (r *tableReport) style(m measure) numberStyle { return r.of.columns[m.column].numbers.style() }

// breakdowns shows sums by category and by month.
func (r *tableReport) breakdowns() {
	for _, b := range r.of.breakdowns {
		lines := b.totals()
		by := inline(b.name, maxName)
		if b.months {
			by = b.period() + " of " + by
		}
		head, names := []string{by, "Rows"}, make([]string, 0, len(b.measures))
		for _, m := range b.measures {
			head = append(head, inline(m.name, maxName))
			names = append(names, inline(m.name, maxName))
		}
		shown := len(lines)
		if !b.months {
			shown = min(shown, maxTotals)
		}
		rows := make([][]string, 0, shown+1)
		for i, line := range lines[:shown] {
			rows = append(rows, r.totalRow(b, line, inline(line.name, maxCell), shareOf(lines, i)))
		}
		if rest := lines[shown:]; len(rest) > 0 {
			rows = append(rows, r.totalRow(b, addUp(rest), "*"+humanInt(len(rest))+" more"+"*", ""))
		}
		r.heading(r.level, "Totals of "+strings.Join(names, " and ")+" by "+by)
		r.table(append(head, "Share"), "lr"+strings.Repeat("r", len(b.measures)+1), rows)
	}
}

// totalRow is a line of the table of a breakdown.
func (r *tableReport) totalRow(b *breakdown, line total, name, share string) []string {
	cells := []string{name, humanInt(line.rows)}
	for i, m := range b.measures {
		cells = append(cells, r.style(m).exact(line.sums[i]))
	}
	return append(cells, share)
}

// addUp makes one line of many.
func addUp(lines []total) total {
	all := total{sums: newRats(len(lines[0].sums))}
	for _, line := range lines {
		all.rows += line.rows
		for i, sum := range line.sums {
			all.sums[i].Add(all.sums[i], sum)
		}
	}
	return all
}

// shareOf is the share of a line in the first measure. There is none if some
// sum is negative, as shares then make no sense.
func shareOf(lines []total, i int) string {
	for _, line := range lines {
		if line.sums[0].Sign() < 0 {
			return ""
		}
	}
	all := addUp(lines).sums[0]
	if all.Sign() == 0 {
		return ""
	}
	share, _ := new(big.Rat).Quo(lines[i].sums[0], all).Float64()
	return percent(share, 1)
}
