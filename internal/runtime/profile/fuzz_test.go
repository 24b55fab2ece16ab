package profile

import (
	"bytes"
	"context"
	"io"
	"os"
	"testing"

	"github.com/errand-dev/errand/internal/runtime"
)

// FuzzProfileCSV checks that no content, under any name, makes the runtime
// panic, fail or write a report that is not clean text.
func FuzzProfileCSV(f *testing.F) {
	sales, err := os.ReadFile(salesFile)
	if err != nil {
		f.Fatal(err)
	}
	seeds := []string{
		"", "a,b\n1,2\n", "\ufeffa;b\r\n1,5;\"x\ny\"\"\"\r\n", "a\tb\n\x00\t\xff\n", "a,b\n\"1",
		"d,revenue,kind\n2025-01-01,$1.50,x\n01/02/2025,\"1,000\",x\n", "1e308\n-1e308\n1e-320\n",
		`[{"a":{"b":[1]}},2]`, `{"a":[{"b":1}]}`, "{\"a\":1}\n{\"a\":2}\n", "text | `code`\n",
		string(sales[:2_000]),
	}
	names := []string{"a.csv", "a.tsv", "a.json", "a.jsonl", "a.txt", "a.bin"}
	for i, seed := range seeds {
		f.Add([]byte(seed), byte(i))
		f.Add([]byte(seed), byte(0))
	}
	f.Fuzz(func(t *testing.T, content []byte, name byte) {
		// Not on disk like other tests, as that is what would take the time.
		profileFiles(t, runtime.File{
			Name: names[int(name)%len(names)],
			Open: func(context.Context) (io.ReadCloser, error) {
				return io.NopCloser(bytes.NewReader(content)), nil
			},
		})
	})
}
