package query

import (
	"bytes"
	"compress/gzip"
	"os"
	"testing"
)

// made is a file that another program has made (profile's testdata/make.py).
func made(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile("../../runtime/profile/testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func zipped(t *testing.T, content string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestFormats: values are what the report takes them for, whatever keeps the table.
func TestFormats(t *testing.T) {
	t.Parallel()
	files := given("sales.parquet", made(t, "sales.parquet"), "types.parquet.gz", zipped(t, made(t, "types.parquet")), "f.xlsx", made(t, "formulas.xlsx"),
		"two.csv.gz", zipped(t, "a,b\n1,x\n2,y\n"))
	for _, c := range []struct{ sql, want string }{
		{"SELECT sum(revenue), sum(units), count(customer_type), min(date) FROM sales", "sum(revenue),sum(units),count(customer_type),min(date)\n146243.03,1573,235,2025-01-02\n(1 row)"},
		{"SELECT small, day, clock, milli, micro, byte, big, half, single, double, yes, text, choice, raw FROM types LIMIT 1", "small,day,clock,milli,micro,byte,big,half,single,double,yes,text,choice,raw\n" +
			"12.34,2025-01-15,23:59:59.999,2025-01-15 23:59:59.999,2025-01-15 23:59:59.999,200,9007199254740993,0.5,0.1,0.1,1,00123,x,binary of 2 bytes\n(1 row)"},
		{`SELECT "when", at, took, share, sum FROM f_Sheet`, "when,at,took,share,sum\n2025-01-15 18:00:00,06:30:00,36:00:00,0.125,NULL\n2025-01-16 00:00:00,07:00:00,1:30:00,0.3,NULL\n(2 rows)"},
		{"SELECT sum(a) FROM two", "sum(a)\n3\n(1 row)"},
	} {
		if got := query(t, files, c.sql); got.IsError || got.Text != c.want {
			t.Errorf("%s: %v\n%s\nwant\n%s", c.sql, got.IsError, got.Text, c.want)
		}
	}
}
