package reading_test

import (
	"bytes"
	"compress/gzip"
	"os"
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
