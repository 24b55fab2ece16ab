package profile

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/xuri/excelize/v2"
)

// workbook makes an xlsx by a public library that is not the one which reads it.
func workbook(tb testing.TB, fill func(f *excelize.File) error) string {
	tb.Helper()
	f := excelize.NewFile()
	var b bytes.Buffer
	if err := fill(f); err != nil {
		tb.Fatal(err)
	}
	if err := f.Write(&b); err != nil {
		tb.Fatal(err)
	}
	return b.String()
}

// sheet puts rows on a sheet: what looks like a number is one.
func sheet(f *excelize.File, name string, rows [][]string) error {
	if _, err := f.NewSheet(name); err != nil {
		return err
	}
	for i, row := range rows {
		for j, cell := range row {
			at, err := excelize.CoordinatesToCellName(j+1, i+1)
			if err != nil {
				return err
			}
			var value any = cell
			if n, err := strconv.ParseFloat(cell, 64); err == nil {
				value = n
			}
			if cell == "" {
				continue
			}
			if err := f.SetCellValue(name, at, value); err != nil {
				return err
			}
		}
	}
	return nil
}

func readSales(tb testing.TB) (text string, rows [][]string) {
	tb.Helper()
	content, err := os.ReadFile(salesFile)
	if err != nil {
		tb.Fatal(err)
	}
	rows, err = csv.NewReader(bytes.NewReader(content)).ReadAll()
	if err != nil {
		tb.Fatal(err)
	}
	return string(content), rows
}

// figures is a report from its first heading on below that of the file.
func figures(report string) string {
	_, body, _ := strings.Cut(report, "\n### ")
	return body
}

// TestWorkbookSaysWhatItsTableSays: the figures of a sheet are those of the same table
// as CSV.
func TestWorkbookSaysWhatItsTableSays(t *testing.T) {
	t.Parallel()
	text, rows := readSales(t)
	book := workbook(t, func(f *excelize.File) error { return sheet(f, "Sheet1", rows) })
	want, got := profileOne(t, "sales_data.csv", text), profileOne(t, "sales_data.xlsx", book)
	if figures(want) == "" || figures(got) != figures(want) {
		t.Errorf("the workbook says\n%s\nand CSV\n%s", got, want)
	}
	wantParts(t, got, "**240 rows** in **12 columns**, ", " of xlsx; the first line names the columns.")
}

// oneSheet is a workbook with a sheet as another program writes it, and more parts.
func oneSheet(tb testing.TB, sheet string, more ...string) string {
	tb.Helper()
	const namespace = ` xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"`
	parts := append([]string{
		"xl/workbook.xml", `<workbook` + namespace + `><sheets><sheet name="One" sheetId="1" r:id="rId1"/></sheets><calcPr fullCalcOnLoad="1"/></workbook>`,
		"xl/_rels/workbook.xml.rels", `<Relationships><Relationship Id="rId1" Type="http://x/worksheet" Target="worksheets/sheet1.xml"/></Relationships>`,
		"xl/worksheets/sheet1.xml", `<worksheet` + namespace + `>` + sheet + `</worksheet>`,
	}, more...)
	return zipped(tb, parts...)
}

// zipped is an archive of files.
func zipped(tb testing.TB, parts ...string) string {
	tb.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := 0; i+1 < len(parts); i += 2 {
		f, err := w.Create(parts[i])
		if err == nil {
			_, err = f.Write([]byte(parts[i+1]))
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.String()
}

// TestSheets: what people do with sheets is read, or it is said that it is not.
func TestSheets(t *testing.T) {
	t.Parallel()
	dated := func(since1904 bool) string {
		return workbook(t, func(f *excelize.File) error {
			if err := f.SetWorkbookProps(&excelize.WorkbookPropsOptions{Date1904: &since1904}); err != nil {
				return err
			}
			day, err := f.NewStyle(&excelize.Style{NumFmt: 14})
			if err != nil {
				return err
			}
			if err := sheet(f, "Sheet1", [][]string{{"day", "amount"}, {"44197", "1.5"}, {"44198.25", "0.10000000000000001"}, {"44199", "1E-3"}}); err != nil {
				return err
			}
			return f.SetCellStyle("Sheet1", "A2", "A4", day)
		})
	}
	several := workbook(t, func(f *excelize.File) error {
		for _, name := range []string{"North", "South", "Empty"} {
			rows := [][]string{{"Sales of " + name}, {}, {"item", "price", "when"}, {"Pen", "2", "2025-01-02"}, {"Ink", "4", "2025-01-03"}, {"Cup", "", ""}, {}, {"Made by hand"}}
			if name == "Empty" {
				rows = nil
			}
			if err := sheet(f, name, rows); err != nil {
				return err
			}
		}
		if err := f.DeleteSheet("Sheet1"); err != nil {
			return err
		}
		return f.SetSheetVisible("South", false)
	})
	for _, c := range []struct {
		name, book string
		want       []string
	}{
		{"since 1900", dated(false), []string{"| day | 2021-01-01 00:00:00 | 2021-01-03 00:00:00 | 2 |", "| amount | 0.001 |", "| 1.601 |"}},
		{"since 1904", dated(true), []string{"| day | 2025-01-02 00:00:00 | 2025-01-04 00:00:00 | 2 |"}},
		{"several", several, []string{
			"**3 sheets**, ", " of xlsx.", "- The sheet South is hidden, and read all the same.", "- The sheet Empty is empty.",
			"### Sheet North\n\n**3 rows** in **3 columns**; line 3 names the columns.", "### Sheet South\n\n**3 rows**",
			"| item | text | 0 | 3 |", "| price | integer | 1 (33.3%) | 2 |", "1 line above the table is left out, the first is “Sales of North” on line 1.",
			"1 line below the table is left out, the first is “Made by hand” on line 8.",
		}},
		{"formulas, errors and merged cells", oneSheet(t, `<cols><col min="4" max="5" hidden="1"/></cols><sheetData>
			<row r="2"><c r="B2" t="inlineStr"><is><t>name</t></is></c><c r="C2" t="inlineStr"><is><r><t>am</t></r><r><t>ount</t></r><rPh><t>no</t></rPh></is></c><c r="D2" t="str"><v>paid</v></c></row>
			<row r="3"><c r="B3" t="str"><v>a_x000D_b</v></c><c r="C3"><f>1+1</f><v>2</v></c><c r="D3" t="b"><v>1</v></c></row>
			<row r="4" hidden="1"><c r="B4" t="str"><v>c</v></c><c r="C4"><f>C3*2</f></c><c r="D4" t="b"><v>0</v></c></row>
			<row r="5"><c t="str" r="B5"><v>d</v></c><c t="e"><f>1/0</f><v>#SPILL!</v></c><c t="b"><v>0</v></c></row>
			</sheetData><mergeCells><mergeCell ref="B2:B3"/></mergeCells>`), []string{
			"**3 rows** in **3 columns**, ", "| amount | integer | 2 (66.7%) | 1 |", "| paid | boolean | 0 | 2 |",
			"- 1 row is hidden, and read all the same.", "- 2 columns are hidden, and read all the same.", "- 1 formula without a stored value:",
			"- 2 values of formulas in the workbook may be old: it asks to be calculated anew, which is not done here.",
			"- 1 cell has an error, the first is #SPILL! in row 5: there is no value.", "- 1 range of cells is merged, the first is B2:B3:",
		}},
		{"cut off", oneSheet(t, `<sheetData><row><c><v>1</v></c><c><v>2</v></c></row><row><c><v>`), []string{"Reading stopped after row 2: "}},
		{"a text that is not there", oneSheet(t, `<sheetData><row><c t="s"><v>7</v></c></row></sheetData>`), []string{"Nothing could be analysed.", "Reading stopped after row 1: a part of it is not there."}},
		{"no sheets", zipped(t, "xl/workbook.xml", "<workbook/>", "xl/_rels/workbook.xml.rels", "<a/>"), []string{"a workbook that cannot be read: a part of it is not there."}},
		{"nothing", workbook(t, func(*excelize.File) error { return nil }), []string{"Nothing could be analysed.", "There is nothing on the only sheet: "}},
		{"an old one", "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", []string{"Not analysed: 8 bytes of a workbook of an old kind (xls), or one with a password. Save it as xlsx"}},
		{"a binary one", zipped(t, "xl/workbook.bin", ""), []string{"of a binary workbook (xlsb). Save it as xlsx"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			wantParts(t, profileOne(t, "book.xlsx", c.book), c.want...)
		})
	}
}

// TestParquetSaysWhatItsTableSays: the figures of a parquet file, of several row groups,
// are those of the same table as CSV.
func TestParquetSaysWhatItsTableSays(t *testing.T) {
	t.Parallel()
	text, _ := readSales(t)
	want, got := profileOne(t, "sales_data.csv", text), profileOne(t, "sales_data.parquet", testdata(t, "sales.parquet"))
	if figures(want) == "" || figures(got) != figures(want) {
		t.Errorf("parquet says\n%s\nand CSV\n%s", got, want)
	}
	wantParts(t, got, "**240 rows** in **12 columns**, ", " of parquet.")
}

func testdata(tb testing.TB, name string) string {
	tb.Helper()
	content, err := os.ReadFile("testdata/" + name)
	if err != nil {
		tb.Fatal(err)
	}
	return string(content)
}

// TestOthersFiles: files that other programs have made (testdata/make.py).
func TestOthersFiles(t *testing.T) {
	t.Parallel()
	for name, want := range map[string][]string{
		"types.parquet": {
			"**3 rows** in **17 columns**, ", "| half | -1.5 | -1 | -0.5 | 0 | 0.5 | -0.5 | -1 |", "| small | -0.05 | 3.0475 | 6.145 | 9.2425 | 12.34 | 6.145 | 12.29 |",
			" 18,446,744,073,709,551,615 | 9,223,372,036,854,775,807.5 | 18,446,744,073,709,551,615 |", " 9,007,199,254,740,993 | 4,503,599,627,370,496 | 9,007,199,254,740,992 |",
			"| double | 0.1 | 0.1 | 0.1 | 0.1 | 0.1 | 0.1 | 0.1 |", "| day | 1969-12-31 | 2025-01-15 |", "| milli | 2025-01-15 23:59:59 |", "| micro | 2025-01-15 23:59:59 UTC |",
			"- 2 columns hold lists or records, and are not read: list, record.",
		},
		"int96.parquet":   {"| old | 2025-01-15 23:59:59 |"},
		"formulas.xlsx":   {"| when | 2025-01-15 18:00:00 | 2025-01-16 00:00:00 |", "- 2 formulas without a stored value:", "- The sheet Notes is hidden", "- The sheet Notes is empty."},
		"uncomputed.xlsx": {"- 3 values of formulas in the workbook may be old: it asks to be calculated anew, which is not done here."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantParts(t, profileOne(t, name, testdata(t, name)), want...)
		})
	}
}

func gzipped(tb testing.TB, content string) string {
	tb.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write([]byte(content))
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		tb.Fatal(err)
	}
	return b.String()
}

// TestPacked: what is packed is read as if it were not, and it is said how far.
func TestPacked(t *testing.T) {
	t.Parallel()
	var random strings.Builder
	random.WriteString("id,amount\n")
	for i := range 20_000 {
		random.WriteString(strconv.Itoa(i*i%9973) + "x," + strconv.Itoa(i*7919%10_007) + "\n")
	}
	whole := gzipped(t, random.String())
	for _, c := range []struct {
		name, file, content string
		want                []string
	}{
		{"several members", "a.csv.gz", gzipped(t, "region,amount\nNorth,1\n") + gzipped(t, "South,2\nTotal,3\n"), []string{"**2 rows** in **2 columns**", "1 row repeats the sums of others and is left out"}},
		{"in UTF-16", "a.csv.gz", gzipped(t, "\xff\xfea\x00;\x00b\x00\n\x001\x00;\x002\x00,\x005\x00\n\x00"), []string{"of gzip of UTF-16, separated by semicolons, numbers with a decimal comma;"}},
		{"JSON", "a.json.gz", gzipped(t, `[{"a": 1}, {"a": 2.5}]`), []string{"A list of **2 elements**", "| a | 1 |"}},
		{"lines of JSON in zip", "a.zip", zipped(t, "__MACOSX/x", "", "in/b.jsonl", "{\"a\": 1}\n{\"a\": 2}\n", "in/", ""), []string{"**2 lines** of JSON"}},
		{"cut off", "a.csv.gz", whole[:len(whole)/2], []string{"The file could be read only up to ", ": unexpected EOF."}},
		{"its end is wrong", "a.csv.gz", whole[:len(whole)-8] + "12345678", []string{"**20,000 rows**", "gzip: invalid checksum."}},
		{"nothing", "a.csv.gz", gzipped(t, ""), []string{"Nothing could be analysed."}},
		{"something that is no table", "a.gz", gzipped(t, "\x89PNG\r\n\x1a\nrest"), []string{"Nothing could be analysed.", "of image/png."}},
		{"a broken one", "a.gz", "\x1f\x8bno", []string{"Nothing could be analysed.", "something packed with gzip that is broken."}},
		{"many files", "a.zip", zipped(t, "a.csv", "a", "b.csv", "b"), []string{"of an archive of 2 files. Unpack it and attach the files inside"}},
		{"broken parquet", "a.parquet", "PAR1" + strings.Repeat("x", 100) + "PAR1", []string{"Nothing could be analysed.", "a parquet file that cannot be read: "}},
		{"half of a parquet file", "a.parquet", testdata(t, "sales.parquet")[:6000], []string{"Nothing could be analysed.", "a parquet file that cannot be read: "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			wantParts(t, profileOne(t, c.file, c.content), c.want...)
		})
	}
}
