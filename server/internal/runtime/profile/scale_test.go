package profile

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// salesBook is a large file of orders, and what its report has to say: all of
// it added up as whole numbers of cents while the rows were made up.
type salesBook struct {
	rows      int
	revenue   int64
	units     int64
	byRegion  map[string]*ledger
	byMonth   map[string]*ledger
	byProduct map[string]*ledger
}

type ledger struct {
	rows, revenue, units int64
}

func post(ledgers map[string]*ledger, name string, revenue, units int64) {
	l := ledgers[name]
	if l == nil {
		l = &ledger{}
		ledgers[name] = l
	}
	l.rows++
	l.revenue += revenue
	l.units += units
}

// writeSales writes orders as a person would export them: sorted by date, with
// columns of ids and mail addresses, quoted line breaks, refunds, gaps and short
// rows.
func writeSales(tb testing.TB, path string, rows int) *salesBook {
	tb.Helper()
	file, err := os.Create(path)
	if err != nil {
		tb.Fatal(err)
	}
	out := bufio.NewWriterSize(file, 1<<16)
	book := &salesBook{
		rows: rows, byRegion: make(map[string]*ledger), byMonth: make(map[string]*ledger),
		byProduct: make(map[string]*ledger),
	}
	random := rand.New(rand.NewPCG(1, 2))
	regions := [...]string{"North", "South", "East", "West", "Île-de-France"}
	first := time.Date(2023, 1, 1, 0, 0, 0, 0, time.UTC)
	line := []byte("order_id,date,region,product,customer,email,units,unit_price,revenue,note\n")
	for i := range rows {
		// What cannot be written is told by Flush.
		_, _ = out.Write(line)
		day := first.AddDate(0, 0, i*900/rows)
		region := regions[random.IntN(len(regions))]
		product := "Product " + strconv.Itoa(random.IntN(300))
		customer := strconv.Itoa(random.IntN(rows/4 + 1))
		units, price := int64(1+random.IntN(20)), int64(100+random.IntN(100_000))
		revenue := units * price
		if random.IntN(50) == 0 {
			revenue = -revenue
		}
		line = append(line[:0], "ORD-"...)
		line = strconv.AppendInt(line, int64(10_000_000+i), 10)
		line = append(line, ',')
		line = day.AppendFormat(line, time.DateOnly)
		line = append(line, ","+region+","+product+",Customer "+customer+",user"+customer+"@example.com,"...)
		line = strconv.AppendInt(line, units, 10)
		line = append(line, ',')
		line = appendCents(line, price)
		line = append(line, ',')
		line = appendCents(line, revenue)
		switch i % 4 {
		case 0:
			line = append(line, ",\"said \"\"fine\"\",\nthen left\"\n"...)
		case 1:
			line = append(line, '\n') // A short row.
		default:
			line = append(line, ",\r\n"...)
		}
		book.revenue += revenue
		book.units += units
		post(book.byRegion, region, revenue, units)
		post(book.byMonth, day.Format("2006-01"), revenue, units)
		post(book.byProduct, product, revenue, units)
	}
	_, _ = out.Write(line)
	if err := out.Flush(); err != nil {
		tb.Fatal(err)
	}
	if err := file.Close(); err != nil {
		tb.Fatal(err)
	}
	return book
}

func appendCents(line []byte, n int64) []byte {
	if n < 0 {
		line, n = append(line, '-'), -n
	}
	line = append(strconv.AppendInt(line, n/100, 10), '.', byte('0'+n%100/10))
	return append(line, byte('0'+n%10))
}

// scale is how many rows are profiled, as a million take too long for every
// run, and how many bytes the job may then hold: about half as much again as it
// does, and much less than the rows.
func scale() (rows int, live uint64) {
	if os.Getenv("ERRAND_SOAK") != "" {
		return 1_000_000, 64 << 20
	}
	return 100_000, 32 << 20
}

func TestProfileAtSize(t *testing.T) { //nolint:paralleltest // it measures the memory of the whole process
	path := filepath.Join(t.TempDir(), "orders.csv")
	size, live := scale()
	book := writeSales(t, path, size)

	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var most uint64
	rec := &recorder{}
	rec.hook = func() error {
		runtime.GC()
		runtime.ReadMemStats(&now)
		most = max(most, now.HeapAlloc-min(now.HeapAlloc, before.HeapAlloc))
		return nil
	}
	start := time.Now()
	done, err := New().Run(t.Context(), asked(rec, "Analyze the data", diskFile(path)))
	if err != nil {
		t.Fatal(err)
	}
	took, text := time.Since(start), done.Result
	checkReport(t, text, rec)
	t.Logf("%d rows in %v, %.0f a second, %d statuses, %d KiB held at most",
		book.rows, took, float64(book.rows)/took.Seconds(), len(rec.statuses), most>>10)
	if most > live {
		t.Errorf("the job held %d bytes, want at most %d", most, live)
	}
	// A report every 4 MiB or so of about 100 bytes a row, but not too many.
	if !strings.Contains(rec.statuses[1], " rows, ") || !strings.HasSuffix(rec.statuses[1], "%") {
		t.Errorf("the second status is %q, want rows and a percentage", rec.statuses[1])
	}
	if least := book.rows / 50_000; len(rec.statuses) < least || len(rec.statuses) > maxStatuses+3 {
		t.Errorf("%d statuses, want at least %d: %q", len(rec.statuses), least, rec.statuses)
	}

	count := func(n int64) string { return humanInt(int(n)) }
	wantParts(t, text,
		"**"+humanInt(book.rows)+" rows** in **10 columns**",
		"Sum of revenue: **"+cents(book.revenue)+"**", "Sum of units: **"+count(book.units)+"**",
		"Totals of revenue and units by month of date", "| order_id | text | 0 | over 50,000 |",
		count(int64(book.rows+2)/4)+" rows have fewer fields than the first line",
	)
	for _, ledgers := range []map[string]*ledger{book.byRegion, book.byMonth} {
		for name, l := range ledgers {
			wantParts(t, text, fmt.Sprintf("| %s | %s | %s | %s |", name, count(l.rows), cents(l.revenue), count(l.units)))
		}
	}
	shown, least := 0, int64(0)
	for name, l := range book.byProduct {
		if strings.Contains(text, fmt.Sprintf("| %s | %s | %s | %s |", name, count(l.rows), cents(l.revenue), count(l.units))) {
			if shown++; least == 0 || l.revenue < least {
				least = l.revenue
			}
		}
	}
	larger := 0
	for _, l := range book.byProduct {
		if l.revenue >= least {
			larger++
		}
	}
	if shown != maxTotals || larger != maxTotals {
		t.Errorf("%d products with their totals, %d are as large; want the largest %d", shown, larger, maxTotals)
	}
}
