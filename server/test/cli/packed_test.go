package cli_test

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"os"
	"path/filepath"
	"strconv"

	"github.com/xuri/excelize/v2"
)

// packedSales writes the example's table as other programs keep tables: a workbook, and
// packed. What makes the workbook is not what reads it.
func packedSales(folder, table string) error {
	text, err := os.ReadFile(table)
	if err != nil {
		return err
	}
	book, err := salesBook(text)
	if err != nil {
		return err
	}
	var zipped, gzipped bytes.Buffer
	z, g := zip.NewWriter(&zipped), gzip.NewWriter(&gzipped)
	f, err := z.Create("data/sales_data.csv")
	if err != nil {
		return err
	}
	if _, err := f.Write(text); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	if _, err := g.Write(text); err != nil {
		return err
	}
	if err := g.Close(); err != nil {
		return err
	}
	parquet, err := os.ReadFile(filepath.Join("..", "..", "internal", "runtime", "profile", "testdata", "sales.parquet"))
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{"sales.xlsx": book, "sales.csv.gz": gzipped.Bytes(), "sales.zip": zipped.Bytes(), "sales.parquet": parquet} {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func salesBook(text []byte) ([]byte, error) {
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		return nil, err
	}
	f := excelize.NewFile()
	for i, row := range rows {
		cells := make([]any, len(row))
		for j, cell := range row {
			if n, err := strconv.ParseFloat(cell, 64); err == nil {
				cells[j] = n
			} else if cell != "" {
				cells[j] = cell
			}
		}
		at, err := excelize.CoordinatesToCellName(1, i+1)
		if err != nil {
			return nil, err
		}
		if err := f.SetSheetRow("Sheet1", at, &cells); err != nil {
			return nil, err
		}
	}
	var b bytes.Buffer
	err = f.Write(&b)
	return b.Bytes(), err
}
