package profile

import (
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkProfile reads orders like those of the test at size.
func BenchmarkProfile(b *testing.B) {
	path := filepath.Join(b.TempDir(), "orders.csv")
	const rows = 100_000
	writeSales(b, path, rows)
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(info.Size())
	for b.Loop() {
		if _, err := New().Run(b.Context(), asked(&recorder{}, "Analyze the data", diskFile(path))); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
