package tabular

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"encoding/binary"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
)

// These tests may not run side by side: each looks at the memory of the process.

func TestMain(m *testing.M) {
	if code, mine := Serve(os.Args[1:]); mine {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

const mebibyte = 1 << 20

// spaces is a deflate stream that becomes so many MiB of spaces.
func spaces(t *testing.T, mebibytes int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	must(t, err)
	part := func() []byte {
		from := b.Len()
		_, err := w.Write(bytes.Repeat([]byte(" "), mebibyte))
		must(t, err)
		must(t, w.Flush())
		return b.Bytes()[from:]
	}
	first := bytes.Clone(part())
	next := bytes.Clone(part()) // it refers to what came before, which is alike
	from := b.Len()
	must(t, w.Close())
	return bytes.Join([][]byte{first, bytes.Repeat(next, mebibytes-1), b.Bytes()[from:]}, nil)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// packed is a file of an archive, which says that it has size bytes.
type packed struct {
	name     string
	deflated []byte
	size     int
}

// file is one as it should be.
func file(t *testing.T, name, content string) packed {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	must(t, err)
	_, err = io.WriteString(w, content)
	must(t, err)
	must(t, w.Close())
	return packed{name, b.Bytes(), len(content)}
}

// blank is one of so many MiB of spaces, which says what it likes.
func blank(t *testing.T, name string, mebibytes, says int) packed {
	t.Helper()
	return packed{name, spaces(t, mebibytes), says * mebibyte}
}

func archive(t *testing.T, files ...packed) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, f := range files {
		to, err := w.CreateRaw(&zip.FileHeader{
			Name: f.name, Method: zip.Deflate, CompressedSize64: uint64(len(f.deflated)), UncompressedSize64: uint64(f.size),
		})
		must(t, err)
		_, err = to.Write(f.deflated)
		must(t, err)
	}
	must(t, w.Close())
	return b.Bytes()
}

// gzipped is a file of gzip around a deflate stream; its end is wrong, which nobody
// comes to see.
func gzipped(stream []byte) []byte {
	return bytes.Join([][]byte{{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3}, stream, make([]byte, 8)}, nil)
}

// read reads a file to its end, and returns all that is said about it.
func read(t *testing.T, content []byte) (said string, size int64) {
	t.Helper()
	if len(content) > 2*mebibyte {
		t.Fatalf("the file has %d bytes", len(content))
	}
	c := Open(t.Context(), "bomb", content[:min(len(content), HeadSize)], bytes.NewReader(content))
	defer c.Close()
	var notes []string
	switch {
	case c.Unread != nil:
		notes = append(notes, c.Unread.What)
	case c.Table != nil:
		for more := true; more; {
			_, more = c.Table.Next()
		}
		notes = c.Table.Notes()
	case c.Sheets != nil:
		for _, s := range c.Sheets {
			rows := s.Rows()
			rows.Skip()
			notes = append(notes, rows.Notes()...)
		}
	default:
		size, _ = io.Copy(io.Discard, c.Text)
		if err := c.Err(); err != nil {
			notes = append(notes, err.Error())
		}
	}
	return strings.Join(notes, " "), size
}

const (
	sheetPart = "xl/worksheets/sheet1.xml"
	textsPart = "xl/sharedStrings.xml"
)

// book is a workbook whose sheet and texts are given.
func book(t *testing.T, sheet, texts packed) []byte {
	t.Helper()
	return archive(t,
		file(t, "xl/workbook.xml", `<workbook xmlns:r="x"><sheets><sheet name="One" r:id="rId1"/></sheets></workbook>`),
		file(t, "xl/_rels/workbook.xml.rels", `<Relationships><Relationship Id="rId1" Type="http://x/worksheet" Target="worksheets/sheet1.xml"/></Relationships>`),
		sheet, texts)
}

// repeated is a parquet file that has one long text in many rows.
func repeated(t *testing.T, text string, rows int) []byte {
	t.Helper()
	type row struct {
		Text string `parquet:"text,dict"`
	}
	var b bytes.Buffer
	w := parquet.NewGenericWriter[row](&b)
	for range rows / 100 {
		_, err := w.Write(slices.Repeat([]row{{text}}, 100))
		must(t, err)
	}
	must(t, w.Close())
	return b.Bytes()
}

// TestSmallFilesThatBecomeLarge: whatever a small file becomes, it is refused with a
// message, in little memory, also if it says less of itself.
func TestSmallFilesThatBecomeLarge(t *testing.T) { //nolint:paralleltest // as above
	long := strings.Repeat("x", 30<<10)
	one, cell := "<sst><si><t>"+long+"</t></si></sst>", `<row><c t="s"><v>0</v></c></row>`
	for _, c := range []struct { //nolint:paralleltest // as above
		name    string
		content func() []byte
		want    string
	}{
		{"gzip", func() []byte { return gzipped(spaces(t, 1025)) }, "it becomes more than 1024 MiB when it is unpacked"},
		{"zip", func() []byte { return archive(t, blank(t, "a.csv", 1025, 1025)) }, "it becomes more than 1024 MiB when it is unpacked"},
		{"zip that says less", func() []byte { return archive(t, blank(t, "a.csv", 1025, 1)) }, "zip: not a valid zip file"},
		{"xlsx", func() []byte {
			return book(t, blank(t, sheetPart, 513, 513), file(t, textsPart, one))
		}, "a workbook that cannot be read: it becomes more than 512 MiB when it is unpacked"},
		{"xlsx of one long text", func() []byte {
			return book(t, blank(t, sheetPart, 300, 300), file(t, textsPart, one))
		}, "Reading stopped after row 0: a value is longer than 4 MiB."},
		{"xlsx of many texts", func() []byte {
			return book(t, file(t, sheetPart, "<sheetData>"+cell), file(t, textsPart, strings.Repeat(one, 2300)))
		}, "Reading stopped after row 1: it has more than 64 MiB of texts."},
		{"xlsx of one text in many cells", func() []byte {
			return book(t, file(t, sheetPart, strings.Repeat(cell, 40_000)), file(t, textsPart, one))
		}, "its cells have more than 1024 MiB."},
		{"xlsx of empty cells", func() []byte {
			return book(t, file(t, sheetPart, strings.Repeat(`<row><c r="XFD1"><v>1</v></c></row>`, 70_000)), file(t, textsPart, one))
		}, "its cells have more than 1024 MiB."},
		{"zip of xlsx", func() []byte {
			return archive(t, file(t, "a.xlsx", string(book(t, blank(t, sheetPart, 513, 513), file(t, textsPart, one)))))
		}, "a workbook that cannot be read: it becomes more than 512 MiB when it is unpacked"},
		{"parquet of one text in many cells", func() []byte { return repeated(t, long, 40_000) }, "its cells have more than 1024 MiB."},
		{"parquet that says more", func() []byte {
			footer := []byte{0x15, 2, 0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07} // a list of 2^31-1 columns
			return bytes.Join([][]byte{[]byte("PAR1"), footer, binary.LittleEndian.AppendUint32(nil, uint32(len(footer))), []byte("PAR1")}, nil)
		}, "a parquet file that cannot be read: it needs more than 512 MiB of memory to be read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			content := c.content()
			runtime.GC()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			said, size := read(t, content)
			runtime.ReadMemStats(&after)
			if !strings.Contains(said, c.want) || said == "" {
				t.Errorf("it is said %q, want %q", said, c.want)
			}
			if size > MaxStream {
				t.Errorf("%d bytes came out", size)
			}
			if grown := (after.HeapSys - before.HeapSys) / mebibyte; after.HeapSys > before.HeapSys && grown > 160 {
				t.Errorf("it took %d MiB", grown)
			}
		})
	}
}

// TestPackedTwice: what is packed within something packed is not unpacked, so that a
// file which holds itself ends.
func TestPackedTwice(t *testing.T) { //nolint:paralleltest // as above
	zipped := func(name string, content []byte) []byte { return archive(t, file(t, name, string(content))) }
	gzipped := func(content []byte) []byte {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, err := w.Write(content)
		must(t, err)
		must(t, w.Close())
		return b.Bytes()
	}
	text := []byte("a,b\n1,2\n")
	for name, content := range map[string][]byte{
		"gzip in zip": zipped("a.csv.gz", gzipped(text)), "zip in zip": zipped("a.zip", zipped("a.csv", text)),
		"zip in gzip": gzipped(zipped("a.csv", text)), "gzip in gzip": gzipped(gzipped(text)),
	} {
		if said, _ := read(t, content); said != "something that is packed twice" {
			t.Errorf("%s: %q", name, said)
		}
	}
	for name, content := range map[string][]byte{"gzip": gzipped(text), "zip": zipped("a.csv", text)} {
		if said, size := read(t, content); said != "" || size != int64(len(text)) {
			t.Errorf("%s: %q, %d bytes", name, said, size)
		}
	}
}
