package profile

import (
	"fmt"
	"strings"
	"testing"
)

// TestTablesAsPeopleHaveThem: each is a kind of file as programs and people write
// them. What was guessed or left out is said.
func TestTablesAsPeopleHaveThem(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, file, content string
		want                []string
		never               []string
	}{
		{
			"lines above, an empty line", "a.csv",
			"Report of sales\nMade,2026-01-31\n\nregion,day,amount\nNorth,2026-01-03,10.50\nSouth,2026-01-04,20.25\n",
			[]string{"**2 rows** in **3 columns**", "line 4 names the columns", "| 30.75 |", "2 lines above the table are left out, the first is “Report of sales” on line 1."},
			nil,
		},
		{
			"lines above, filled up with separators", "a.csv",
			"Report of sales,,\nMade by me,,\nregion,day,amount\nNorth,2026-01-03,10.50\nSouth,2026-01-04,20.25\n",
			[]string{"**2 rows** in **3 columns**", "| 30.75 |", "2 lines above the table are left out"},
			nil,
		},
		{
			"comments above", "a.csv", "# from the lab\n# unit: mm, s\nname,a,b\nx,1,2\ny,3,4\n",
			[]string{"**2 rows** in **3 columns**", "2 lines above the table are left out", "| b | integer |"},
			nil,
		},
		{
			"a comment that names the columns", "a.csv", "# a,b,c\n1,2,3\n4,5,6\n",
			[]string{"**2 rows** in **3 columns**", "| a | integer |"},
			[]string{"left out"},
		},
		{
			"files one after the other, each with the names", "a.csv", "a,b\n1,2\n3,4\na,b\n5,6\n a,b\n7,8\n",
			[]string{"**4 rows** in **2 columns**", "| a | integer | 0 | 4 |", "2 rows have nothing but the names of the columns again, which are left out (first on line 4)."},
			nil,
		},
		{
			"rows of texts alone that come again are rows", "a.csv", "milk,bread\nwater,bread\nmilk,bread\nmilk,bread\n",
			[]string{"**4 rows** in **2 columns**"},
			[]string{"again"},
		},
		{
			"lines below", "a.csv",
			"region,day,amount\nNorth,2026-01-03,10\nSouth,2026-01-04,20\n\nMade by the shop on 2026-02-01\nConfidential\n",
			[]string{"**2 rows** in **3 columns**", "| 30 |", "2 lines below the table are left out, the first is “Made by the shop on 2026-02-01” on line 5."},
			[]string{"fewer fields"},
		},
		{
			"empty rows below", "a.csv", "a,b\n1,2\n3,4\n,\n,\n",
			[]string{"**2 rows**", "2 rows without a value at the end are left out."},
			nil,
		},
		{
			"an empty row between others is one", "a.csv", "a,b\n1,2\n,\n3,4\n",
			[]string{"**3 rows**", "| a | integer | 1 (33.3%) | 2 |"},
			[]string{"left out"},
		},
		{
			"a short row is one", "a.csv", "a,b,c\n1,2,3\n4\n5,6,7\n",
			[]string{"**3 rows**", "1 row has fewer fields than the first line"},
			[]string{"left out"},
		},
		{
			"a total below", "a.csv", "region,n,amount\nNorth,1,10.10\nSouth,2,20.20\nTotal,3,30.30\n",
			[]string{"**2 rows**", "| 30.30 |", "1 row repeats the sums of others and is left out (first “Total” on line 4)."},
			[]string{"**Total**"},
		},
		{
			"a total of rounded numbers", "a.csv", "region,share\na,33.333\nb,33.333\nc,33.333\nSum,100.000\n",
			[]string{"**3 rows**", "| 99.999 |"},
			nil,
		},
		{
			"totals of groups, and of all", "a.csv",
			"region,shop,amount\nNorth,a,1\nNorth,b,2\nNorth total,,3\nSouth,c,4\nSouth,d,5\nSouth total,,9\nGrand total,,12\n",
			[]string{"**4 rows**", "| 12 |", "3 rows repeat the sums of others and are left out (first “North total” on line 4)."},
			nil,
		},
		{
			"a total without a word", "a.csv", "region,amount\na,1\nb,2\nc,3\n,6\n",
			[]string{"**3 rows**", "1 row repeats the sums of others and is left out (first on line 5)."},
			nil,
		},
		{
			"called a total, but none", "a.csv", "region,amount\na,1\nb,2\nTotal,7\n",
			[]string{"**3 rows**", "1 row called like a total, but with other numbers than the sums above, is counted like any other (first “Total” on line 4)."},
			nil,
		},
		{
			"a name with the word in it", "a.csv", "shop,amount\nTotal Wine,5\nCorner,7\nTotal Wine,9\n",
			[]string{"**3 rows**", "| 21 |"},
			[]string{"left out", "called like"},
		},
		{
			"years name columns, the last is empty", "a.csv", "country,2023,2024,2025\nAruba,1.5,2.5,\nAngola,2.5,3.5,\n",
			[]string{"**2 rows**", "| 2023 | number |", "| 2025 | empty |"},
			[]string{"no header line"},
		},
		{
			"years below years", "a.csv", "2001,2002\n2003,2004\n2005,2006\n",
			[]string{"no header line was found", "**3 rows**"},
			nil,
		},
		{
			"numbers name columns", "a.csv", ",0,1,2\nx,1.5,2.5,3.5\ny,4.5,5.5,6.5\n",
			[]string{"**2 rows**", "| 0 | number |", "The first line is taken for the names of the columns, though some are numbers."},
			nil,
		},
		{
			"years above what names the rows", "a.csv", ",1940,1945,1950\nfood,22.2,44.5,59.6\nhealth,3.5,5.8,9.7\nother,1,2,3\n",
			[]string{"**3 rows**", "| 1945 | number |"},
			nil,
		},
		{
			"sizes above sizes", "a.csv", ",16.5,16.75,17.25\n71,0,1,2\n70,0,3,1\n69,5,0,0\n", []string{"**3 rows**", "| 16.75 | integer |"}, nil,
		},
		{
			"numbers that count in each row name nothing", "a.csv", "x,1,2,3\ny,1,2,3\nz,1,2,3\n",
			[]string{"no header line was found", "**3 rows**"},
			nil,
		},
		{
			"two lines of names", "a.csv", "region,sales,,cost\n,2024,2025,2025\nNorth,10,20,5\nSouth,30,40,6\n",
			[]string{"**2 rows**", "two lines name the columns", "| sales 2024 | integer |", "| sales 2025 | integer |", "| cost 2025 | integer |", "Lines 1 and 2 name the columns together."},
			nil,
		},
		{
			"units below names", "a.csv", "name,weight,height\n,kg,cm\na,1.5,170\nb,2.5,180\n",
			[]string{"**2 rows**", "| weight kg | number |", "| height cm | integer |"},
			nil,
		},
		{
			"names of rows", "a.tsv", "mpg\tcyl\nMazda\t21.0\t6\nFiat\t22.5\t4\n",
			[]string{"**2 rows** in **3 columns**", "| cyl | integer | 0 | 2 |", "the first field is taken for the row's name"},
			nil,
		},
		{
			"a separator at the end of rows", "a.csv", "a,b\n1,2,\n3,4,\n",
			[]string{"| a | integer |", "| 4 |", "2 rows have more fields than the first line"},
			[]string{"row name"},
		},
		{
			"the line of Excel", "a.csv", "sep=;\nname;n\nx,y;1,5\nz;2,5\n",
			[]string{"**2 rows** in **2 columns**", "separated by semicolons", "| n | number |"},
			[]string{"sep="},
		},
		{
			"two tables", "a.csv", "shop,sales\na,100\nb,200\n\nregion,sales,cost\nNorth,350,90\nSouth,250,60\n",
			[]string{"**2 tables**", "### Table 1, from line 1", "### Table 2, from line 5", "| sales | 100 | 125 | 150 | 175 | 200 | 150 | 300 |", "| cost | 60 |"},
			nil,
		},
		{
			"two tables of the same width, with a title", "a.csv", "shop,sales\na,100\nb,200\n\nCosts\nshop,cost\na,7\nb,8\n",
			[]string{"**2 tables**", "| cost | 7 |", "1 line above the table is left out, the first is “Costs” on line 5."},
			nil,
		},
		{
			"an empty line between rows", "a.csv", "a,b\n1,2\n\n3,4\n\n5,6\n",
			[]string{"**3 rows** in **2 columns**"},
			[]string{"tables**"},
		},
		{
			"quotes without another half", "a.tsv", "id\ttitle\tvotes\n1\t\"One\t10\n2\tTwo\t10\n3\t\"Three\t10\n4\tFour\t10\n",
			[]string{"**4 rows**", "| 40 |", "2 quotation marks have no other half: taken as text (first on line 2)."},
			nil,
		},
		{
			"a text of several lines", "a.csv", "id,text\n1,\"a\nb\"\n2,\"c, d\ne\"\n",
			[]string{"**2 rows**"},
			[]string{"half"},
		},
		{
			"thousands or decimals", "a.csv", "shop;sales\na;1.234\nb;999\nc;2.500\n",
			[]string{"| 4,733 |", "sales: all numbers can be read in two ways; 1.234 is taken for a thousand."},
			nil,
		},
		{
			"thousands or decimals, by tabs", "a.tsv", "shop\tsales\na\t1.234\nb\t2.500\n",
			[]string{"| 3.734 |", "sales: all numbers can be read in two ways; 1.234 is taken for one and a fraction"},
			nil,
		},
		{
			"three digits behind a point, with a currency", "a.csv", "sales\n1.234 €\n-999 €\n3.499 €\n",
			[]string{"| €3,734 |", "sales: all numbers can be read in two ways; 1.234 is taken for a thousand."},
			nil,
		},
		{
			"three digits behind a point, and decimal commas in another column", "a.csv", "k,sales,all\na,1.234,\"1.250,5\"\nb,3.499,\"2,5\"\n",
			[]string{"| 4,733 |", "sales: all numbers can be read in two ways; 1.234 is taken for a thousand."},
			nil,
		},
		{
			"three digits behind a comma, and no point in the file", "a.csv", "k,sales\na,\"1,234\"\nb,\"3,499\"\n",
			[]string{"| 4,733 |", "sales: all numbers can be read in two ways; 1.234 is taken for one and a fraction, and 1,234 for a thousand."},
			nil,
		},
		{
			"three digits behind a comma, and points in another column", "a.csv", "k,sales,share\na,\"1,234\",0.5\nb,\"3,499\",0.25\n",
			[]string{"| 4,733 |"},
			[]string{"two ways"},
		},
		{
			"three digits behind a point, with a currency, and points in another column", "a.csv", "k,price,far\na,$3.459,0.5\nb,$3.541,1.25\n",
			[]string{"| $7 |"},
			[]string{"two ways"},
		},
		{
			"three digits behind a point, points in another column, by semicolons", "a.csv", "k;mass;far\na;3.459;0.5\nb;3.541;1.25\n",
			[]string{"mass: all numbers can be read in two ways; 1.234 is taken for one and a fraction", "| mass | 3.459 |"},
			nil,
		},
		{
			"booleans that are like the names of their columns are a row", "a.csv", "yes,no\nyes,no\nno,no\nyes,yes\nyes,no\n",
			[]string{"**4 rows** in **2 columns**"},
			[]string{"again"},
		},
		{
			"a text above numbers in a column that is alone is no unit", "a.csv", "code\nabc\n1\n2\n3\n",
			[]string{"**4 rows** in **1 column**"},
			[]string{"together"},
		},
		{
			"files one after the other, each with names and units", "a.csv", "speed,load\n(km/h),(kg)\n1,2.5\n3,4\n5,6\nspeed,load\n(km/h),(kg)\n7,8\n",
			[]string{"**4 rows**", "| speed (km/h) | integer |", "2 rows have nothing but the names of the columns again, which are left out (first on line 6)."},
			nil,
		},
		{
			"a text that comes again above a column of texts is a row", "a.csv", "k,n\nx,y\n1,2\nx,y\nb,4\n",
			[]string{"**4 rows**"},
			[]string{"again", "together"},
		},
		{
			"units below names, but for dates", "a.csv", "k,day,load,until,w\n,,(kg),,(m)\na,2024-01-01,2.5,2024-02-01,1\nb,2024-01-02,4,2024-02-02,2\n",
			[]string{"**2 rows**", "| load (kg) | number |", "| w (m) | integer |"},
			nil,
		},
		{
			"units below all names", "a.csv", "speed,load\n(km/h),(kg)\n1,2.5\n3,4\n5,6\n",
			[]string{"**3 rows**", "| speed (km/h) | integer |", "| load (kg) | number |", "Lines 1 and 2 name the columns together."},
			nil,
		},
		{
			"a begin like a picture", "a.csv", "BMI,age\n21.5,30\n24.1,40\n", []string{"| age | integer |"}, nil,
		},
		{
			"a begin like a font", "a.csv", "id,date,Seats,Uncontested,ALPSeats,LPSeats\n1,1949-12-10,121,0,47,55\n", []string{"| LPSeats | integer |"}, nil,
		},
		{
			"a page", "a.csv", "<!DOCTYPE html><html><body>Sign in, please</body></html>", []string{"Not analysed: 56 bytes of an HTML page."}, nil,
		},
		{
			"a table in a text", "a.txt", "day\tn\n2026-01-01\t5\n2026-01-02\t6\n", []string{"**2 rows** in **2 columns**"}, nil,
		},
		{
			"a table with a title and a remark in a text", "stdin", "Sales\n\nshop,amount\na,1.5\nb,2.5\nTotal,4.0\n\nMade by me\n",
			[]string{"**2 rows** in **2 columns**", "| amount | number |"},
			nil,
		},
		{
			"a table of two lines", "stdin", "a,b\n1,2\n", []string{"**1 row** in **2 columns**"}, nil,
		},
		{
			"two lines of prose", "stdin", "Dear all, hello\nIt is, say, 5\n", []string{"Text: **2 lines**"}, nil,
		},
		{
			"two lines of numbers", "stdin", "1,2\n3,4\n", []string{"Text: **2 lines**"}, nil,
		},
		{
			"prose with commas", "a.txt", "Dear all, hello\nI write, you read\nBye, me\n", []string{"Text: **3 lines**"}, nil,
		},
		{
			"JSON without a name", "stdin", `[{"a": 1}, {"a": 2}]`, []string{"A list of **2 elements**", "| a | integer |"}, nil,
		},
		{
			"JSON lines without a name", "stdin", "{\"a\": 1}\n{\"a\": 2}\n", []string{"**2 lines** of JSON"}, nil,
		},
		{
			"a list below", "a.json", `{"ok": true, "data": {"items": [{"n": 1}, {"n": 2}], "next": {"more": [{"m": 3}]}}}`,
			[]string{"### The list data.items", "### The list data.next.more", "| data | object | object with 2 keys |"},
			nil,
		},
		{
			"no numbers in JSON", "a.json", `[{"n": 1, "t": "NaN -Infinity \" NaN"}, {"n": NaN}, {"n": -Infinity}, {"n": -2}]`,
			[]string{"A list of **4 elements**", "| n | integer | 2 (50.0%) | 2 |", "2 numbers written as NaN or Infinity are taken for missing."},
			nil,
		},
		{
			"no numbers in JSON lines", "a.jsonl", "{\"n\": 1}\n{\"n\": NaN}\n",
			[]string{"**2 lines** of JSON", "1 number written as NaN or Infinity is taken for missing."},
			nil,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			report := profileOne(t, tt.file, tt.content)
			wantParts(t, report, tt.want...)
			for _, part := range tt.never {
				if strings.Contains(report, part) {
					t.Errorf("the report has %q:\n%s", part, report)
				}
			}
		})
	}
}

// TestCodesAreNotAddedUp: what names something has no sum, whatever it is called.
func TestCodesAreNotAddedUp(t *testing.T) {
	t.Parallel()
	codes := []string{
		"id", "customer_id", "customerId", "Order No", "invoice number", "zip", "Postal Code", "phone", "cost_center", "year",
		"fiscal year", "Jahr", "Kundennummer", "Rechnungs-Nr", "latitude", "EAN", "account no",
	}
	sums := []string{"amount", "number", "paid", "valid", "units", "number_of_items", "years_of_service", "age", "population"}
	csv := strings.Join(append(append([]string{"name"}, codes...), sums...), ",") + "\n"
	for i := range 4 {
		csv += fmt.Sprintf("n%d%s%s\n", i, strings.Repeat(fmt.Sprintf(",%d", 2000+i), len(codes)), strings.Repeat(fmt.Sprintf(",%d", 2*i), len(sums)))
	}
	_, numbers, _ := strings.Cut(profileOne(t, "a.csv", csv), "# Numbers")
	numbers, _, _ = strings.Cut(numbers, "\n#")
	sum := func(name string) string {
		for line := range strings.Lines(numbers) {
			if cells := strings.Split(strings.TrimSpace(line), " | "); cells[0] == "| "+inline(name, maxName) {
				return strings.TrimSuffix(cells[len(cells)-1], " |")
			}
		}
		return "no such column"
	}
	for _, name := range codes {
		if got := sum(name); got != nothing {
			t.Errorf("the sum of %s is %s", name, got)
		}
	}
	for _, name := range sums {
		if got := sum(name); got != "12" {
			t.Errorf("the sum of %s is %s, want 12", name, got)
		}
	}
	long := profileOne(t, "b.csv", "name,who,paid\na,5551234567,1000000001\nb,5551234568,1000000001\nc,5551234569,1000000003\n")
	wantParts(t, long, "| who | 5,551,234,567 |", "| – | – |", "| 3,000,000,005 |")
}
