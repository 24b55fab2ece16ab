package reading_test

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xuri/excelize/v2"

	"github.com/errand-dev/errand/server/internal/reading"
)

// compiled is where the tests keep the sandbox for PDF, from one run to the next.
func compiled() string { return filepath.Join(os.TempDir(), "errand-test-pdf") }

func read(t *testing.T, content []byte, limit int) reading.Text {
	t.Helper()
	r := reading.New(compiled())
	got, err := r.Read(t.Context(), bytes.NewReader(content), limit)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	return got
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// archive is a zip of some files, each name before its content.
func archive(t *testing.T, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		f, err := w.Create(files[i])
		must(t, err)
		_, err = io.WriteString(f, files[i+1])
		must(t, err)
	}
	must(t, w.Close())
	return b.Bytes()
}

func TestText(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]string{
		"a,b\n1,ü\n":                          "a,b\n1,ü\n",
		"name,where\nlunch,a small caf\xe9\n": "name,where\nlunch,a small café\n",
		"\xff\xfeh\x00i\x00":                  "hi",
		"\xef\xbb\xbfwith mark":               "with mark",
		"":                                    "",
	} {
		got := read(t, []byte(content), 100)
		if got.As != reading.AsText || got.Text != want || !got.Whole {
			t.Errorf("%q is %+v", content, got)
		}
	}
	if got := read(t, []byte(strings.Repeat("ü", 100)), 51); got.Text != strings.Repeat("ü", 25) || got.Whole {
		t.Errorf("the beginning is %+v", got)
	}
	if got := read(t, []byte("\x00\x01\x02\x03"), 100); got.As != reading.AsNothing || len(got.Why) != 1 {
		t.Errorf("what is no text is %+v", got)
	}
}

func TestDocuments(t *testing.T) {
	t.Parallel()
	const open = `<?xml version="1.0"?><w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body>`
	content := open + `<w:p><w:pPr><w:pStyle w:val="Heading2"/></w:pPr><w:r><w:t>Title</w:t></w:r></w:p>
		<w:p><w:r><w:t xml:space="preserve">One &amp; </w:t></w:r><w:r><w:t>two</w:t><w:br/><w:t>three</w:t></w:r></w:p>
		<w:p><w:del><w:r><w:delText>gone</w:delText></w:r></w:del></w:p>
		<w:tbl><w:tr><w:tc><w:p><w:r><w:t>a</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>b</w:t></w:r></w:p></w:tc></w:tr>
		<w:tr><w:tc><w:p/></w:tc><w:tc><w:p><w:r><w:t>d</w:t></w:r></w:p></w:tc></w:tr></w:tbl></w:body></w:document>`
	got := read(t, archive(t, "[Content_Types].xml", "", "word/document.xml", content), 1000)
	want := "## Title\nOne & two\nthree\n\na | b\n | d\n"
	if got.As != reading.AsText || got.Text != want || !got.Whole || !slices.Equal(got.Why, []string{"What is marked as deleted was left out."}) {
		t.Errorf("%+v, want %q", got, want)
	}
	for name, c := range map[string]string{"cut off": content[:300], "no XML": "\x00", "empty": open, "mismatched": "</w:tr></w:p></w:t>"} {
		if got := read(t, archive(t, "word/document.xml", c), 1000); len(got.Why) == 0 {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := read(t, archive(t, "word/document.xml", open+strings.Repeat("<w:p><w:r><w:t>word</w:t></w:r></w:p>", 10_000)), 100); len(got.Text) > 100 || got.Whole {
		t.Errorf("the beginning has %d bytes, whole %v", len(got.Text), got.Whole)
	}
}

// book makes a workbook.
func book(t *testing.T, fill func(f *excelize.File)) []byte {
	t.Helper()
	f := excelize.NewFile()
	fill(f)
	var b bytes.Buffer
	must(t, f.Write(&b))
	must(t, f.Close())
	return b.Bytes()
}

// Values are those that are stored (traps 12): no format rounds them, and dates are dates.
func TestWorkbooks(t *testing.T) {
	t.Parallel()
	content := book(t, func(f *excelize.File) {
		style := func(number int, custom string) int {
			s := &excelize.Style{NumFmt: number}
			if custom != "" {
				s = &excelize.Style{CustomNumFmt: &custom}
			}
			id, err := f.NewStyle(s)
			must(t, err)
			return id
		}
		set := func(cell string, value any, id int) {
			must(t, f.SetCellValue("Sheet1", cell, value))
			must(t, f.SetCellStyle("Sheet1", cell, cell, id))
		}
		must(t, f.SetSheetRow("Sheet1", "A1", &[]any{"name", "a,b", "00123", true}))
		set("A2", 0.125, style(9, ""))                     // 13%
		set("B2", 1234.5, style(3, ""))                    // 1,235
		set("C2", 45672, style(14, ""))                    // 01-15-25
		set("D2", 45672.75, style(0, "yyyy\\-mm\\-dd hh")) // hours alone
		set("E2", 0.999999988425926, style(21, ""))        // 23:59:59.999
		set("F2", 45672, style(0, `0.0 "days"`))           // no date: its d stands in quotes
		set("G2", 1, style(0, `[Red]0`))                   // nor is a colour
		set("H2", 59, style(14, ""))                       // before the day that never was
		must(t, f.SetCellFormula("Sheet1", "A3", "SUM(B2:B2)"))
		must(t, f.SetCellValue("Sheet1", "B3", "x"))
		_, err := f.NewSheet("Secret")
		must(t, err)
		must(t, f.SetCellValue("Secret", "A1", "s"))
		must(t, f.SetSheetVisible("Secret", false))
		must(t, f.SetRowVisible("Sheet1", 3, false))
	})
	got := read(t, content, 10_000)
	want := "## Sheet: Sheet1\nname,\"a,b\",00123,true\n0.125,1234.5,2025-01-15,2025-01-15 18:00:00,23:59:59.999,45672,1,1900-02-28\n=SUM(B2:B2),x\n\n## Sheet: Secret\ns\n\n"
	if got.As != reading.AsTable || got.Text != want || !got.Whole || got.Rows != 4 {
		t.Errorf("%+v\nwant\n%s", got, want)
	}
	if why := strings.Join(got.Why, " "); why != "1 row is hidden, and read all the same. 1 formula without a stored value: there is no value here until a spreadsheet program has saved the workbook. "+
		"The sheet Secret is hidden, and read all the same." {
		t.Errorf("it says %s", why)
	}
	of1904 := book(t, func(f *excelize.File) {
		yes := true
		must(t, f.SetWorkbookProps(&excelize.WorkbookPropsOptions{Date1904: &yes}))
		id, err := f.NewStyle(&excelize.Style{NumFmt: 14})
		must(t, err)
		must(t, f.SetCellValue("Sheet1", "A1", 44210))
		must(t, f.SetCellStyle("Sheet1", "A1", "A1", id))
	})
	if got := read(t, of1904, 1000); !strings.Contains(got.Text, "2025-01-15") {
		t.Errorf("of 1904: %q", got.Text)
	}
	if got := read(t, content[:len(content)/2], 1000); got.As != reading.AsNothing {
		t.Errorf("half of it: %+v", got)
	}
	if got := read(t, archive(t, "xl/workbook.xml", "<x/>"), 1000); got.As == reading.AsText {
		t.Errorf("no workbook: %+v", got)
	}
}

// What a small file becomes when it is unpacked is bounded.
func TestUnpackedIsBounded(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	f, err := w.Create("word/document.xml")
	must(t, err)
	zeros := bytes.Repeat([]byte(" "), 1<<20)
	for range 257 {
		_, err := f.Write(zeros)
		must(t, err)
	}
	must(t, w.Close())
	if b.Len() > 1<<20 {
		t.Fatalf("it has %d bytes", b.Len())
	}
	got := read(t, b.Bytes(), 1000)
	if got.As != reading.AsNothing || !strings.Contains(got.Why[0], "256 MiB") {
		t.Errorf("%+v", got)
	}
	// One that says less of itself than it holds.
	lying := bytes.ReplaceAll(b.Bytes(), []byte{0, 0, 16, 16}, []byte{0, 16, 0, 0})
	if got := read(t, lying, 1000); got.As != reading.AsNothing {
		t.Errorf("lying: %+v", got)
	}
	if got := read(t, append([]byte("PK\x03\x04"), make([]byte, reading.MaxFile)...), 1000); got.As != reading.AsNothing || !strings.Contains(got.Why[0], "64 MiB") {
		t.Errorf("large: %+v", got)
	}
}

func TestImages(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	must(t, png.Encode(&b, image.NewGray(image.Rect(0, 0, 30, 20))))
	if got := read(t, b.Bytes(), 100); got.As != reading.AsNothing || got.Width != 30 || got.Height != 20 {
		t.Errorf("%+v", got)
	}
	if got := read(t, b.Bytes()[:20], 100); got.As != reading.AsNothing || got.Why[0] != "It is an image that is broken." {
		t.Errorf("broken: %+v", got)
	}
}

// pdf makes a PDF; each page is what draws it, turned by so many degrees.
func pdf(pages []string, turned int) []byte {
	var b bytes.Buffer
	var at []int
	object := func(body string) {
		at = append(at, b.Len())
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", len(at), body)
	}
	b.WriteString("%PDF-1.4\n")
	var kids []string
	for i := range pages {
		kids = append(kids, fmt.Sprintf("%d 0 R", 4+2*i))
	}
	object("<</Type/Catalog/Pages 2 0 R>>")
	object(fmt.Sprintf("<</Type/Pages/Count %d/Kids[%s]>>", len(pages), strings.Join(kids, " ")))
	object("<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>")
	for i, p := range pages {
		object(fmt.Sprintf("<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Rotate %d/Resources<</Font<</F 3 0 R>>>>/Contents %d 0 R>>", turned, 5+2*i))
		object(fmt.Sprintf("<</Length %d>>stream\n%s\nendstream", len(p), p))
	}
	begin := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(at)+1)
	for _, offset := range at {
		fmt.Fprintf(&b, "%010d 00000 n \n", offset)
	}
	fmt.Fprintf(&b, "trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n", len(at)+1, begin)
	return b.Bytes()
}

func line(y int, text string) string {
	return fmt.Sprintf("BT /F 12 Tf 50 %d Td (%s) Tj ET\n", y, text)
}

func TestPDF(t *testing.T) {
	t.Parallel()
	got := read(t, pdf([]string{line(700, "First page") + line(680, "second line"), "", line(700, "Last") + line(680, "a well-") + line(660, "known and com-") + line(640, "puter")}, 0), 10_000)
	if got.As != reading.AsText || got.Pages != 3 || !got.Whole || !slices.Equal(got.Why, []string{"Without text, perhaps scanned: page 2."}) {
		t.Errorf("%+v", got)
	}
	for _, want := range []string{"--- page 1 ---\nFirst page\nsecond line\n\n--- page 2 ---\n(no text: it may be a scan)\n\n--- page 3 ---\nLast\n", "computer"} {
		if !strings.Contains(got.Text, want) {
			t.Errorf("%q has no %q", got.Text, want)
		}
	}
	if strings.Contains(got.Text, "\x02") {
		t.Errorf("traps 8: %q", got.Text)
	}
	if got := read(t, pdf([]string{"", "0 0 m 5 5 l S"}, 0), 100); got.As != reading.AsNothing || got.Pages != 2 || got.Why[0] != "None of its 2 pages has text: it seems to be scanned." {
		t.Errorf("scanned: %+v", got)
	}
	if got := read(t, pdf([]string{line(700, "one") + line(600, "two")}, 90), 1000); !slices.Contains(got.Why, "Turned, so that lines may stand in a wrong order: page 1.") {
		t.Errorf("turned: %+v", got)
	}
	if got := read(t, []byte("%PDF-1.7\nnothing"), 100); got.As != reading.AsNothing || got.Why[0] != "It is a PDF that is broken." {
		t.Errorf("broken: %+v", got)
	}
	if got := read(t, pdf(slices.Repeat([]string{line(700, strings.Repeat("x", 90))}, 50), 0), 1000); len(got.Text) > 1000 || got.Whole || got.Pages != 50 {
		t.Errorf("the beginning has %d bytes of %d pages, whole %v", len(got.Text), got.Pages, got.Whole)
	}
}

func TestReadingEndsWithItsContext(t *testing.T) {
	t.Parallel()
	r := reading.New(compiled())
	t.Cleanup(func() { must(t, r.Close()) })
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	<-ctx.Done()
	if got, err := r.Read(ctx, bytes.NewReader(pdf([]string{line(1, "x")}, 0)), 100); err == nil {
		t.Errorf("it answered %+v", got)
	}
}
