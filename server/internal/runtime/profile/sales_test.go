package profile

import (
	"encoding/csv"
	"fmt"
	"math/big"
	"os"
	"strings"
	"testing"
)

const salesFile = "../../../../examples/data/sales_data.csv"

// salesRows reads the example the plain way, to check the report against.
func salesRows(t *testing.T) (index map[string]int, rows [][]string) {
	t.Helper()
	file, err := os.Open(salesFile)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	all, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	index = make(map[string]int)
	for i, name := range all[0] {
		index[name] = i
	}
	return index, all[1:]
}

func mustRat(t *testing.T, s string) *big.Rat {
	t.Helper()
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		t.Fatalf("%q is not a number", s)
	}
	return r
}

func TestSalesRevenueIsUnitsTimesPrice(t *testing.T) {
	t.Parallel()
	index, rows := salesRows(t)
	if len(rows) != 240 {
		t.Errorf("got %d rows, want 240", len(rows))
	}
	for i, row := range rows {
		want := new(big.Rat).Mul(mustRat(t, row[index["units"]]), mustRat(t, row[index["unit_price"]]))
		if got := mustRat(t, row[index["revenue"]]); got.Cmp(want) != 0 {
			t.Errorf("row %d: revenue is %s, want %s", i+1, got.FloatString(4), want.FloatString(4))
		}
	}
}

func TestSalesTotals(t *testing.T) {
	t.Parallel()
	index, rows := salesRows(t)
	total := new(big.Rat)
	type group struct {
		rows, units int64
		revenue     *big.Rat
	}
	regions := make(map[string]*group)
	missing := 0
	for _, row := range rows {
		revenue := mustRat(t, row[index["revenue"]])
		total.Add(total, revenue)
		g := regions[row[index["region"]]]
		if g == nil {
			g = &group{revenue: new(big.Rat)}
			regions[row[index["region"]]] = g
		}
		g.rows++
		g.units += mustRat(t, row[index["units"]]).Num().Int64()
		g.revenue.Add(g.revenue, revenue)
		if row[index["rating"]] == "" {
			missing++
		}
	}

	text, _ := profileFiles(t, diskFile(salesFile))
	sum := group3(total.FloatString(2))
	wantParts(t, text,
		"**240 rows** in **12 columns**",
		"Sum of revenue: **"+sum+"**",
		fmt.Sprintf("| rating | integer | %d (", missing),
	)
	line := tableLine(t, text, "### Numbers", "revenue")
	if got := line[len(line)-1]; got != sum {
		t.Errorf("the sum of revenue is %s, want %s", got, sum)
	}
	if len(regions) != 4 {
		t.Errorf("got %d regions, want 4", len(regions))
	}
	for name, g := range regions {
		wantParts(t, text, fmt.Sprintf("| %s | %d | %s | %d |", name, g.rows, group3(g.revenue.FloatString(2)), g.units))
	}
}

// tableLine returns the cells of the line that starts with name in the table
// after the heading.
func tableLine(t *testing.T, report, heading, name string) []string {
	t.Helper()
	_, rest, found := strings.Cut(report, heading+"\n")
	_, line, also := strings.Cut(rest, "\n| "+name+" | ")
	if !found || !also {
		t.Fatalf("no line %q after %q in:\n%s", name, heading, report)
	}
	line, _, _ = strings.Cut(line, " |\n")
	return strings.Split(line, " | ")
}
