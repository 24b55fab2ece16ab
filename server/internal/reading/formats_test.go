package reading_test

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/errand-dev/errand/server/internal/reading"
	"github.com/errand-dev/errand/server/internal/tabular"
)

func TestMain(m *testing.M) {
	if code, mine := tabular.Serve(os.Args[1:]); mine {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

func gzipped(t *testing.T, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(content)
	must(t, err)
	must(t, w.Close())
	return b.Bytes()
}

// Models are given what is packed, and tables of parquet as CSV.
func TestPackedFiles(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../runtime/profile/testdata/types.parquet")
	must(t, err)
	for _, content := range [][]byte{content, gzipped(t, content), archive(t, "a.parquet", string(content))} {
		got := read(t, content, 10_000)
		if got.As != reading.AsTable || got.Rows != 3 || !strings.HasPrefix(got.Text, "small,wide,day,") || !strings.Contains(got.Text, "\n12.34,123456789012345") ||
			!strings.Contains(strings.Join(got.Why, " "), "2 columns hold lists or records, and are not read: list, record.") {
			t.Errorf("%+v", got)
		}
	}
	for name, c := range map[string]struct {
		content []byte
		want    string
	}{
		"text in gzip": {gzipped(t, []byte("hello")), "It was unpacked from gzip."},
		"text in zip":  {archive(t, "a.txt", "hello"), "It was unpacked from zip."},
		"many files":   {archive(t, "a.txt", "hello", "b.txt", "x"), "It is an archive of 2 files."},
		"twice":        {gzipped(t, gzipped(t, []byte("hello"))), "It is something that is packed twice."},
		"broken gzip":  {gzipped(t, []byte(strings.Repeat("hello", 1000)))[:20], "What is packed in it cannot be read: unexpected EOF."},
		"no parquet":   {[]byte("PAR1nothing"), "It is a parquet file that cannot be read: "},
	} {
		got := read(t, c.content, 10_000)
		if len(got.Why) != 1 || !strings.HasPrefix(got.Why[0], c.want) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// Whatever a small document or PDF becomes, a bounded part of it is in memory.
func TestSmallFilesThatBecomeLarge(t *testing.T) { //nolint:paralleltest // it looks at the memory of the process
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	f, err := w.Create("word/document.xml")
	must(t, err)
	_, err = io.WriteString(f, "<w:document><w:body><w:p><w:r><w:t>")
	must(t, err)
	for range 200 {
		_, err := f.Write(bytes.Repeat([]byte("x"), 1<<20))
		must(t, err)
	}
	must(t, w.Close())
	// A page of a PDF whose description is packed twice.
	page := deflated(t, func(w io.Writer) error {
		inner, err := zlib.NewWriterLevel(w, zlib.BestCompression)
		must(t, err)
		for range 64 {
			_, err := inner.Write(bytes.Repeat([]byte(" "), 1<<20))
			must(t, err)
		}
		return inner.Close()
	})
	length := fmt.Sprintf("<</Length %d", len(page))
	book := bytes.Replace(pdf([]string{page}, 0), []byte(length), []byte(length+"/Filter[/FlateDecode/FlateDecode]"), 1)
	for _, c := range []struct {
		name    string
		content []byte
		want    string // how its text begins
		most    uint64 // in MiB
	}{
		{"docx", b.Bytes(), "xxx", 64},
		{"pdf", book, "", 1024 + 64}, // the sandbox's memory
	} {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		got := read(t, c.content, 1000)
		runtime.ReadMemStats(&after)
		if len(c.content) > 1<<20 || len(got.Text) > 1000 || !strings.HasPrefix(got.Text, c.want) || got.Whole && len(got.Why) == 0 {
			t.Errorf("%s of %d bytes: %+v", c.name, len(c.content), got)
		}
		if after.HeapSys > before.HeapSys+c.most<<20 {
			t.Errorf("%s took %d MiB", c.name, (after.HeapSys-before.HeapSys)>>20)
		}
	}
}

func deflated(t *testing.T, write func(io.Writer) error) string {
	t.Helper()
	var b bytes.Buffer
	w, err := zlib.NewWriterLevel(&b, zlib.BestCompression)
	must(t, err)
	must(t, write(w))
	must(t, w.Close())
	return b.String()
}
