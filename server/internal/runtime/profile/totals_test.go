package profile

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// cents writes a number of cents as the report does.
func cents(n int64) string {
	sign := ""
	if n < 0 {
		sign, n = "-", -n
	}
	return sign + group3(fmt.Sprintf("%d.%02d", n/100, n%100))
}

// What the first rows look like must not decide what the totals say: files are
// often sorted, here by date, then by country.
func TestTotalsOfSortedRows(t *testing.T) {
	t.Parallel()
	const months, perMonth, countries = 14, 2_000, 4
	var csv strings.Builder
	csv.WriteString("date;country;sku;umsatz;kosten;menge\n")
	byMonth := make(map[string]int64)
	byCountry := make(map[string]int64)
	bySKU := make(map[string]int64)
	quantities := make(map[string]int)
	var all int64
	for m := range months {
		for i := range perMonth {
			year, month, day := 2023+m/12, 1+m%12, 1+i*28/perMonth
			country := fmt.Sprintf("land %d", i*countries/perMonth)
			sku := fmt.Sprintf("sku-%03d", (i*7+m)%200)
			amount := int64(i*37%100_000 - 500)
			text := fmt.Sprintf("%d,%02d €", amount/100, amount%100)
			if amount < 0 {
				text = fmt.Sprintf("(%d,%02d €)", -amount/100, -amount%100)
			}
			fmt.Fprintf(&csv, "%02d/%02d/%d;%s;%s;%s;%d,5 €;%d\n", day, month, year, country, sku, text, i%3, i%5)
			name := fmt.Sprintf("%d-%02d", year, month)
			byMonth[name] += amount
			byCountry[country] += amount
			bySKU[sku] += amount
			quantities[name] += i % 5
			all += amount
		}
	}
	text := profileOne(t, "sorted.csv", csv.String())
	sum := func(amount int64) string {
		if amount < 0 {
			return "-€" + cents(-amount)
		}
		return "€" + cents(amount)
	}
	wantParts(t, text, "Sum of umsatz: **"+sum(all)+"**", "Sum of kosten:", "Sum of menge:",
		"### Totals of umsatz and kosten and menge by month of date", "*190 more*")
	for name, amount := range byMonth {
		wantParts(t, text, fmt.Sprintf("| %s | 2,000 | %s | €2,999 | %s |", name, sum(amount), humanInt(quantities[name])))
	}
	for name, amount := range byCountry {
		wantParts(t, text, fmt.Sprintf("| %s | 7,000 | %s |", name, sum(amount)))
	}
	shown := 0
	for name, amount := range bySKU {
		if strings.Contains(text, fmt.Sprintf("| %s | 140 | %s |", name, sum(amount))) {
			shown++
		}
	}
	if shown != maxTotals {
		t.Errorf("%d SKUs with their totals, want %d:\n%s", shown, maxTotals, text)
	}
}

// Where there are too many groups to keep, the report says so and the rest is
// one group: nothing is lost.
func TestTotalsOfTooManyGroups(t *testing.T) {
	t.Parallel()
	var csv strings.Builder
	csv.WriteString("customer,id,revenue\n")
	const customers = maxDistinct + 1_000
	for round := range 2 {
		for i := range customers {
			fmt.Fprintf(&csv, "c%d,%d-%d,%d\n", i, round, i, i%1_000)
		}
	}
	text := profileOne(t, "many.csv", csv.String())
	const sum = 2 * 999 * 1_000 / 2 // Of any thousand customers.
	wantParts(t, text,
		"Sum of revenue: **"+humanInt(sum*customers/1_000)+"**",
		"### Totals of revenue by customer\n\nOnly the first 50,000 different values have totals of their own; those are exact, "+
			"but a larger one may be among the others.",
		"| c10999 | 2 | 1,998 |", "| *49,990 more* |",
		"| *all others* | 2,000 | "+humanInt(sum)+" |",
	)
	if strings.Contains(text, "by id") || strings.Contains(text, "Largest customer") || strings.Contains(text, "| id | Rows | Share |") {
		t.Errorf("the report breaks down by a column of ids, or names a largest value it cannot know:\n%s", text)
	}
}

func TestTotalsGoByTheWholeFile(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name       string
		head, tail string // Rows, of which there are enough to plan by.
		want, not  string
	}{
		{
			"amounts that turn out to be text", "x,5\ny,6\n", "x,about 7\ny,much\n",
			"| revenue | text |", "Totals of",
		},
		{
			"categories that begin late", ",5\n", "x,1\ny,2\n",
			"| y | 2,000 | 4,000 |", "zzz",
		},
		{
			"categories that turn out to be ids", "x,5\ny,5\n", "#,1\n",
			"| region | text |", "Totals of",
		},
		{
			"amounts that are percents", "x,5%\ny,6%\n", "x,7%\n",
			"| revenue | number (%) |", "Totals of",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var csv strings.Builder
			csv.WriteString("region,revenue\n" + strings.Repeat(tt.head, headRows))
			for i := range 2 * headRows {
				csv.WriteString(strings.ReplaceAll(tt.tail, "#", strconv.Itoa(i)))
			}
			text := profileOne(t, "a.csv", csv.String())
			wantParts(t, text, tt.want)
			if strings.Contains(text, tt.not) {
				t.Errorf("the report has %q:\n%s", tt.not, text)
			}
		})
	}
}

func TestTotalsOfYears(t *testing.T) {
	t.Parallel()
	var csv strings.Builder
	csv.WriteString("day,revenue\n")
	for i := range 10 * 12 {
		fmt.Fprintf(&csv, "%d-%02d-15,%d\n", 2010+i/12, 1+i%12, i)
	}
	csv.WriteString(",1\nsoon,2\n")
	text := profileOne(t, "a.csv", csv.String())
	wantParts(t, text, "by year of day", "| 2010 | 12 | 66 |", "| 2019 | 12 | 1,362 |", "| (missing) | 1 | 1 |", "| (other) | 1 | 2 |")
}
