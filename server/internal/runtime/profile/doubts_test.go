package profile

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// lines makes a table of a header and 20 rows.
func lines(header string, row func(i int) string) string {
	var b strings.Builder
	fmt.Fprintln(&b, header)
	for i := range 20 {
		fmt.Fprintln(&b, row(i))
	}
	return b.String()
}

// Each of these had figures that were wrong without a word.
func TestNumbersThatMayMeanSomethingElse(t *testing.T) {
	t.Parallel()
	every := func(n, i int, odd, usual any) any {
		if i%n == 0 {
			return odd
		}
		return usual
	}
	tests := []struct {
		name, content string
		want          []string
	}{
		{
			"a day in eight digits", lines("date,v", func(i int) string { return fmt.Sprintf("202401%02d,%d", i+1, i) }),
			[]string{"| 20,240,120 | – | – |", "date: its numbers may stand for days"},
		},
		{
			"a spreadsheet's days with times", lines("order_date,v", func(i int) string { return fmt.Sprintf("%d.5,%d", 45000+i, i) }),
			[]string{"| 45,019.5 | – | – |", "may stand for days"},
		},
		{
			"a word for missing below", lines("t,v", func(i int) string { return fmt.Sprintf("x%d,%v", i, every(5, i, "-9999.0", 20+i)) }),
			[]string{"v: -9,999, found 4 times far from all other values"},
		},
		{
			"a word for missing above", lines("t,q", func(i int) string { return fmt.Sprintf("x%d,%v", i, every(5, i, 99, i%5)) }),
			[]string{"q: 99, found 4 times far from all other values"},
		},
		{
			"years of two digits", lines("t,v", func(i int) string { return fmt.Sprintf("%d/28/%d,%d", i%12+1, 60+i, i) }),
			[]string{"t: years of two digits are taken for 1970 to 2069."},
		},
		{
			"more digits than a float has", lines("n", func(i int) string { return strconv.Itoa(9007199254740993 + i) }),
			[]string{"n: quartiles are rounded to 15 digits"},
		},
		{
			"an average below", "name,v\nx,1\ny,2\nz,3\nAverage,2\nMedian,2\n",
			[]string{"2 rows called like a figure of others", "(first “Average” on line 5)"},
		},
		{
			"a total above its parts", "region,v\nTotal,6\nNorth,1\nSouth,2\nEast,3\n",
			[]string{"called like a total", "(first “Total” on line 2)"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			wantParts(t, profileOne(t, "a.csv", tt.content), tt.want...)
		})
	}
}

func TestNumbersThatMeanThemselves(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{
		"sales to date":      lines("region,sales to date", func(i int) string { return fmt.Sprintf("r%d,%d", i, 10*i) }),
		"ages, some of 99":   lines("name,age", func(i int) string { return fmt.Sprintf("n%d,%d", i, min(99, 30+i*5)) }),
		"one that is far":    lines("name,n", func(i int) string { return fmt.Sprintf("n%d,%d", i, max(i, (i-18)*999)) }),
		"nothing but nines":  lines("name,n", func(i int) string { return fmt.Sprintf("n%d,99", i) }),
		"years in full":      lines("day,n", func(i int) string { return fmt.Sprintf("%d/28/%d,%d", i%12+1, 1960+i, i) }),
		"another far number": lines("name,n", func(i int) string { return fmt.Sprintf("n%d,%d", i, i/18*5000) }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			report := profileOne(t, "a.csv", content)
			for _, doubt := range []string{"may stand for", "two digits"} {
				if strings.Contains(report, doubt) {
					t.Errorf("the report says %q:\n%s", doubt, report)
				}
			}
		})
	}
}
