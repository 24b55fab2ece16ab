package profile

import (
	"fmt"
	"math"
	"strings"
)

// edge is the least of some numbers, how often it occurs, and the next one.
type edge struct {
	value, next float64
	times       int
}

func (e *edge) add(v float64) {
	switch {
	case e.times == 0:
		e.value, e.next = v, math.Inf(1)
	case v < e.value:
		e.next, e.value, e.times = e.value, v, 0
	case v > e.value:
		e.next = min(e.next, v)
		return
	}
	e.times++
}

// apart tells whether the least number occurs again and again, and is farther from
// the others than these, up to the most, are from each other.
func (e *edge) apart(most float64) bool {
	return e.times > 1 && !math.IsInf(e.next, 1) && e.next-e.value > most-e.next
}

// doubts says what numbers may mean other than themselves.
func (c *column) doubts(name string) []string {
	var notes []string
	n := &c.numbers
	if isDayName(nameWords(c.name)) {
		notes = append(notes, name+": its numbers may stand for days; they are shown as they are.")
	}
	if !c.isCode() {
		if n.low.apart(n.max.approx) && isNines(n.min) {
			notes = append(notes, n.notMissing(name, n.min, n.low.times))
		}
		if n.high.apart(-n.min.approx) && isNines(n.max) {
			notes = append(notes, n.notMissing(name, n.max, n.high.times))
		}
	}
	if max(n.max.approx, -n.min.approx) >= exactFloat {
		notes = append(notes, name+": quartiles are rounded to 15 digits; everything else is exact.")
	}
	return notes
}

// isNines knows what files write where they have no number: 99, -999, 9999.9.
func isNines(v number) bool {
	digits := strings.Trim(v.exact.rat().FloatString(min(v.exact.scale, maxPlaces)), "-")
	if whole, part, ok := strings.Cut(digits, "."); ok {
		digits = whole + strings.TrimRight(part, "0")
	}
	return len(digits) > 1 && strings.Trim(digits, "9") == ""
}

// notMissing says that a number was counted that may mean that there is none.
func (n *numbers) notMissing(name string, v number, times int) string {
	return fmt.Sprintf("%s: %s, found %s far from all other values, may stand for a missing one; it is counted as a number.",
		name, n.style().exact(v.exact.rat()), plural(times, "time"))
}
