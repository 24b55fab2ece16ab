package profile

import (
	"fmt"
	"strings"
	"testing"
)

func TestProfileDelimited(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, file, content string
		want                []string
	}{
		{
			"byte order mark", "a.csv", "\ufeffname,n\nx,1\ny,2\n",
			[]string{"| name | text |", "**2 rows** in **2 columns**"},
		},
		{
			"semicolons and decimal commas", "a.csv", "name;n\nx;1,5\ny;1.002,25\n",
			[]string{"separated by semicolons, numbers with a decimal comma", "| n | 1.50 |", "| 1,003.75 |"},
		},
		{
			"decimal commas beside points", "a.csv",
			"kunde;lat;betrag;menge\nA;52.5200;1.234,56 €;1.000\nB;48.137;0,44 €;2.500\nC;53.551;-35,00 €;1.250\n",
			[]string{
				"numbers with a decimal comma, but a decimal point in lat;", "| lat | 48.137 |", "€1,200.00 |", "| menge | integer |", "| 4,750 |",
			},
		},
		{
			"decimal commas without a header", "a.csv", "1,5;2,5\n3,5;4,5\n5,5;6,5\n",
			[]string{"separated by semicolons, numbers with a decimal comma;", "| column 2 | number | 0 | 3 |", "| 13.5 |"},
		},
		{
			"text and decimal commas without a header", "a.csv", "Ann;Ulm;1,5\nBob;Köln;3,5\nCat;Bonn;5,5\n",
			[]string{"separated by semicolons, numbers with a decimal comma;", "**3 columns**", "| 10.5 |"},
		},
		{
			"lists with semicolons in them", "a.csv", "x,1,a;b\ny,2,c;d\nz,3,e;f\n",
			[]string{"separated by commas;", "| column 2 | integer | 0 | 3 |"},
		},
		{
			"decimal commas in all columns", "a.csv", "a;b\n1,5;0,250\n2,5;0,500\n",
			[]string{"numbers with a decimal comma;", "| b | 0.25 |", "| 0.75 |"},
		},
		{
			"decimal commas in quotes", "a.csv", "n,v,w\nx,\"1.234,56\",\"1,234\"\ny,\"12,50\",\"2,500\"\n",
			[]string{"separated by commas, numbers with a decimal comma in v;", "| 1,247.06 |", "| 3,734 |"},
		},
		{
			"decimal commas in some rows only", "a.csv", "n;v\n" + strings.Repeat("x;12,5\n", 30) + "y;12.5\n",
			[]string{"v: 1 value not read as number, the first is “12.5” on line 32."},
		},
		{
			"negative money", "a.csv", "n;v\nx;($1,000.25)\ny;$0.25\nz;$5.00-\n",
			[]string{"| v | number ($) | 0 | 3 |", "| -$1,005.00 |"},
		},
		{
			"nothing has no currency", "a.csv", "n;v\nx;0\ny;12,50 €\nx;0,00\ny;-2,25 €\n",
			[]string{"| v | number (€) | 0 | 4 |", "| €10.25 |"},
		},
		{
			"something without its currency", "a.csv", "n;v\nx;1\ny;12,50 €\n",
			[]string{"| v | text |"},
		},
		{
			"codes of currencies", "a.csv", "n;v\nx;1.000,25 EUR\ny;-0,25 EUR\n",
			[]string{"| v | number (EUR) | 0 | 2 |", "| 1,000.00 EUR |", "| -0.25 EUR |"},
		},
		{
			"NaN and infinities", "a.csv", "n,v\nx,NaN\ny,inf\n" + strings.Repeat("z,1.5\n", 40),
			[]string{"| v | number | 2 (4.8%) |", "| 60 |", "Taken for missing: “inf” in v (1)."},
		},
		{
			"tabs by content", "a.csv", "name\tn\nx, y\t1\nz\t2\n",
			[]string{"separated by tabs", "**2 rows** in **2 columns**"},
		},
		{
			"pipes", "a.csv", "name|n\nx|1\nz|2\n",
			[]string{"separated by pipes"},
		},
		{
			"tsv with commas in it", "a.tsv", "name\tn\nx,y,z\t1\na,b\t2\n",
			[]string{"separated by tabs", "**2 rows** in **2 columns**"},
		},
		{
			"CRLF", "a.csv", "name,n\r\nx,1\r\ny,2\r\n",
			[]string{"**2 rows** in **2 columns**", "| n | integer | 0 | 2 |"},
		},
		{
			"CR", "a.csv", "name,n\rx,1\ry,2\r",
			[]string{"**2 rows** in **2 columns**", "| n | integer | 0 | 2 |"},
		},
		{
			"quoted newlines and quotes", "a.csv", "name,n\n\"a\r\nb, \"\"c\"\"\",1\n\"a\nb, \"\"c\"\"\",2\n",
			[]string{"**2 rows** in **2 columns**", `| a b, "c" | 2 | 100.0% |`},
		},
		{
			"space before a quote", "a.csv", "name,n\nx, \"1\"\ny, \"2\"\n",
			[]string{"| n | integer | 0 | 2 |"},
		},
		{
			"ragged rows", "a.csv", "a,b,c\n1,2,3\n4,5\n6,7,8,9\n10\n",
			[]string{
				"2 rows have fewer fields than the first line; what is not there counts as missing (first on line 3).",
				"1 row has more fields than the first line; the surplus is ignored (first on line 4).",
				"| c | integer | 2 (50.0%) | 2 |",
			},
		},
		{
			"no header", "a.csv", "north,12.50,2025-01-01\nsouth,13.50,2025-01-02\n",
			[]string{"no header line was found", "| column 2 | number | 0 | 2 |", "**2 rows** in **3 columns**"},
		},
		{
			"a header above a value out of line", "a.csv", "n,name\n" + strings.Repeat("1,x\n", 300) + "oops,name\n",
			[]string{"the first line names the columns", "**301 rows**"},
		},
		{
			"no header, all text", "a.csv", "ann,red\nbob,blue\ncat,red\n",
			[]string{"no header line was found", "**3 rows**"},
		},
		{
			"years in the header", "a.csv", "country,2019,2020\nX,1.5,2\nY,3,4\n",
			[]string{"| 2019 | number | 0 | 2 |", "**2 rows**"},
		},
		{
			"dates in the header", "a.csv", "country,1/22/20,1/23/20\nX,1,2\nY,3,4\n",
			[]string{"| 1/22/20 | integer | 0 | 2 |"},
		},
		{
			"empty and repeated names", "a.csv", "a,,a,a (2),\n1,2,3,4,5\n",
			[]string{"| a |", "| column 2 |", "| a (2) |", "| a (2) (2) |", "| column 5 |"},
		},
		{"empty file", "a.csv", "", []string{"The file is empty."}},
		{"only a byte order mark", "a.csv", "\ufeff", []string{"The file is empty."}},
		{"only empty lines", "a.csv", "\n\r\n  \n", []string{"There are no rows to profile: 6 bytes"}},
		{"only a header", "a.csv", "a,b\n", []string{"**0 rows** in **2 columns**", "| a | empty | 0 | 0 |"}},
		{
			"one row without header", "a.csv", "1,2\n",
			[]string{"**1 row** in **2 columns**", "| column 1 | 1 | 1 | 1 | 1 | 1 | 1 | 1 |"},
		},
		{
			"NUL bytes", "a.csv", "a,b\nx\x00y,1\nx\x00y,2\n",
			[]string{"2 cells have NUL bytes (first on line 2).", "| x\ufffdy | 2 | 100.0% |"},
		},
		{
			"Latin-1", "a.csv", "a,b\ncaf\xe9,1\ncaf\xe9,2\n",
			[]string{"2 bytes are not UTF-8 and are read as Windows-1252", "| café | 2 |"},
		},
		{
			"open quote", "a.csv", "a,b\n1,2\n3,\"4\n5,6\n",
			[]string{"1 quotation mark has no other half: taken as text (first on line 3).", "**3 rows**", "| b | text |"},
		},
		{
			"text after a quote", "a.csv", "a,b\n\"1\"x,2\n3,4\n",
			[]string{"1 character has been found between a closing quote and the next separator (first on line 2)."},
		},
		{
			"missing values", "a.csv", "a,b\n1,NA\nn/a,null\nNaN,None\n,-\n",
			[]string{"| a | integer | 3 (75.0%) | 1 |", "| b | empty | 4 (100.0%) | 0 |"},
		},
		{
			"types", "a.csv", "i,f,b,d,t,c,u\n1,1.5,yes,2025-01-31,x,007,$1.50\n-2,2e3,no,2025-02-01 10:30,y,123,\"-$1,000.25\"\n",
			[]string{
				"| i | integer |", "| f | number |", "| b | boolean |", "| d | date/time |", "| t | text |",
				"| c | text |", "| u | number ($) |", "-$998.75 |", "| d | 2025-01-31 00:00:00 | 2025-02-01 10:30:00 | 1 |",
				"c: digits with leading zeros are taken for labels",
			},
		},
		{
			"percents", "a.csv", "p\n12.5%\n7.5 %\n",
			[]string{"| p | number (%) |", "| p | 7.5% | 8.75% | 10% | 11.25% | 12.5% | 10% | – |"},
		},
		{
			"mixed currencies", "a.csv", "p\n$1\n€2\n$3\n€4\n", []string{"| p | text |"},
		},
		{
			"a value out of line", "a.csv", "p\n" + strings.Repeat("1\n", 19) + "oops\n" + strings.Repeat("1\n", 20),
			[]string{"| p | integer |", "p: 1 value not read as integer, the first is “oops” on line 21."},
		},
		{
			"days and months", "a.csv", "d,e\n01/02/2025,03/04/2025\n13/02/2025,03/04/2025\n",
			[]string{
				"| d | 2025-02-01 | 2025-02-13 | 12 |", "| e | 2025-03-04 | 2025-03-04 | 0 |",
				"e: day and month cannot be told apart",
			},
		},
		{
			"markup in cells and names", "a.csv", "`n`|x,<i>\na|b,<script>alert(1)</script>\na|b,*x* _y_ z_z [l](u)\n",
			[]string{
				"| \\`n\\`\\|x |", "&lt;i&gt;", "| a\\|b | 2 | 100.0% |",
			},
		},
		{
			"exact sums", "a.csv", "x\n0.1\n0.2\n1234.26\n12345678901234567890.001\n",
			[]string{"| 12,345,678,901,234,569,124.561 |"},
		},
		{
			"long identifiers", "a.csv", "x\n9007199254740993\n9007199254740992\n9007199254740995\n",
			[]string{"| x | 9,007,199,254,740,992 |", " 9,007,199,254,740,995 |"},
		},
		{
			"a spreadsheet in disguise", "a.csv", "PK\x03\x04rest", []string{"Not analysed: 8 bytes of an archive that is broken."},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			text := profileOne(t, tt.file, tt.content)
			wantParts(t, text, tt.want...)
			if strings.Contains(text, "<script") || strings.Contains(text, "%!") {
				t.Errorf("the report has raw markup or a formatting fault:\n%s", text)
			}
		})
	}
}

func TestProfileDelimitedHugeLine(t *testing.T) {
	t.Parallel()
	huge := strings.Repeat("ä", 1<<20)
	text := profileOne(t, "huge.csv", "a,b\n"+huge+",1\nx,2\n")
	wantParts(t, text, "**2 rows** in **2 columns**",
		"1 cell has more than 32 KiB; the rest of it is left out (first on line 2).",
		"| b | 1 | 1.25 | 1.5 | 1.75 | 2 | 1.5 | 3 |")
	if len(text) > 4<<10 {
		t.Errorf("the report has %d bytes", len(text))
	}

	wide := profileOne(t, "wide.csv", strings.Repeat("7,", 1<<20)+"7\n")
	wantParts(t, wide, "**1 row** in **1,048,577 columns**", "Only the first 5,000 columns of 1,048,577 are profiled.")
}

func TestBreakdownByCategory(t *testing.T) {
	t.Parallel()
	var csv strings.Builder
	csv.WriteString("when,shop,Total Amount,qty,unit price\n")
	for i := range 3 * headRows {
		fmt.Fprintf(&csv, "%d-%02d-01,shop %d,0.1,%d,9\n", 2000+i%5, 1+i%12, i%12, i%12)
	}
	text := profileOne(t, "orders.csv", csv.String())
	wantParts(t, text,
		"Sum of Total Amount: **300**; mean: 0.1.",
		"### Totals of Total Amount and qty by shop",
		"| shop 11 | 250 | 25 | 2,750 | 8.3% |",
		"| *2 more* | 500 | 50 |",
		"by year of when", "| 2000 | 600 | 60 |",
	)
	if strings.Contains(text, "Totals of unit price") {
		t.Error("unit prices were added up")
	}
	for _, plain := range []string{"a,b\nx,1\nx,2\ny,3\ny,4\n", "revenue\n1\n2\n"} {
		if text := profileOne(t, "a.csv", plain); strings.Contains(text, "Totals of") {
			t.Errorf("totals for %q, which is no sales table", plain)
		}
	}
}

func TestTallyIsBounded(t *testing.T) {
	t.Parallel()
	var csv strings.Builder
	csv.WriteString("k\nfirst\n")
	for i := range maxDistinct + 10 {
		fmt.Fprintf(&csv, "k%d\n", i)
	}
	csv.WriteString("first\n")
	text := profileOne(t, "a.csv", csv.String())
	wantParts(t, text, "| k | text | 0 | over 50,000 |", "| first | 2 |",
		"k: only the first 50,000 different values are counted among the top values.")
}
