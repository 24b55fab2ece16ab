package profile

import (
	"math"
	"math/big"
	"strings"
	"testing"
)

// FuzzNumber holds what is taken for a number to exact arithmetic: plain digits
// are the number that they say, and the approximation is that number's.
func FuzzNumber(f *testing.F) {
	for _, seed := range []string{"0", "-1.5", "1,234.5", "1.234,5", "$1.50", "(3)", "50%", "1e-320", "007", "€ 1.000", "−5", "+", "1e999", ".5", "5.", "1,,2"} {
		f.Add(seed, false)
		f.Add(seed, true)
	}
	f.Fuzz(func(t *testing.T, cell string, comma bool) {
		cell = strings.TrimSpace(cell)
		n, ok := numberFormat{decimalComma: comma}.parse(cell)
		plain := cell != "" && len(cell) <= 30 && strings.Trim(cell, "0123456789") == ""
		if !ok {
			if plain {
				t.Errorf("%q is no number", cell)
			}
			return
		}
		if math.IsNaN(n.approx) || math.IsInf(n.approx, 0) {
			t.Fatalf("%q is %v", cell, n.approx)
		}
		exact := n.exact.rat()
		if want, _ := new(big.Rat).SetString(cell); plain && exact.Cmp(want) != 0 {
			t.Errorf("%q is %s", cell, exact.RatString())
		}
		if near, _ := exact.Float64(); near != n.approx {
			t.Errorf("%q is exactly %v, and about %v", cell, near, n.approx)
		}
	})
}

// FuzzMoment holds for any cell that what is taken for a date is one of the
// calendar whose digits stand in the cell.
func FuzzMoment(f *testing.F) {
	for _, seed := range []string{"2025-01-31", "31.01.2025", "1/2/25", "Jan 5, 2025", "5 March 2025 10:30", "2025-02-30", "2024-02-29T23:59:59Z", "20250131", "Mon 3 Feb 2025", "2025-W01"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, cell string) {
		m, ok := parseMoment(cell)
		if !ok {
			return
		}
		found := false
		for _, at := range m.in {
			if at.IsZero() {
				continue
			}
			found = true
			year := at.Format("2006")
			if !strings.Contains(cell, year) && !strings.Contains(cell, year[2:]) {
				t.Errorf("%q is %s", cell, at)
			}
			if again, ok := parseMoment(at.Format("2006-01-02")); !ok || !again.in[0].Equal(at.Truncate(0)) && again.in[0].YearDay() != at.YearDay() {
				t.Errorf("%q is %s, which is %v", cell, at, again.in)
			}
		}
		if !found {
			t.Errorf("%q is a date without a day", cell)
		}
	})
}
