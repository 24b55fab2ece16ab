package profile

import (
	"bytes"
	"context"
	"io"
	"math"
	"math/big"
	"os"
	"testing"

	"github.com/errand-dev/errand/server/internal/runtime"
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

// FuzzParseNumber holds the short way of reading a number to the long one.
func FuzzParseNumber(f *testing.F) {
	for _, seed := range []string{
		"0", "-12.50", "1,234,567.89", "1.234,5", "0,5", "00.7", "123456789012345678", "9007199254740993.1",
		"0.000000000000000001", "1,23", ",5", "5.", "1.5e3", "1 234", "1’234", "12,345.6,7", "(5)", "EUR 5",
	} {
		f.Add(seed, false)
		f.Add(seed, true)
	}
	f.Fuzz(func(t *testing.T, s string, decimalComma bool) {
		if len(s) > maxNumberLength {
			return
		}
		format := numberFormat{decimalComma: decimalComma}
		short, sure, ok := format.parseShort(s)
		if !sure {
			return
		}
		long, also := format.parseLong(s)
		if ok != also {
			t.Fatalf("%q is a number: %v, read in full: %v", s, ok, also)
		}
		if ok && (short.exact.rat().Cmp(long.exact.rat()) != 0 || short.exact.scale != long.exact.scale ||
			short.approx != long.approx || short.code != long.code) {
			t.Errorf("%q is %+v, read in full %+v", s, short, long)
		}
	})
}

// FuzzExactSum holds sums of any sizes to those of fractions.
func FuzzExactSum(f *testing.F) {
	f.Add(int64(1), 2, int64(-5), 0, int64(3), 1)
	f.Add(int64(math.MaxInt64), 0, int64(1), 0, int64(math.MinInt64), 0)
	f.Add(int64(math.MinInt64), 0, int64(-1), 18, int64(7), 19)
	f.Add(int64(0), 320, int64(9e17), 0, int64(1), 5)
	f.Fuzz(func(t *testing.T, a int64, x int, b int64, y int, c int64, z int) {
		var sum exactSum
		want := new(big.Rat)
		for _, d := range []decimal{{small: a, scale: x}, {small: b, scale: y}, {small: c, scale: z}} {
			if d.scale < 0 || d.scale > maxExponent+maxNumberLength {
				return
			}
			sum.add(d)
			want.Add(want, d.rat())
			if got := sum.rat(); got.Cmp(want) != 0 {
				t.Fatalf("the sum is %s, want %s", got, want)
			}
		}
	})
}
