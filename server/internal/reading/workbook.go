package reading

import (
	"context"
	"encoding/csv"
	"fmt"
	"strings"

	"github.com/errand-dev/errand/server/internal/tabular"
)

// workbook reads sheets as CSV, one after the other. Values are those that are stored, not
// as a format shows them: 0.125 and not 13%. Dates and times are written as such.
func workbook(ctx context.Context, sheets []*tabular.Sheet, limit int) (Text, error) {
	b := book{out: builder{limit: limit}}
	for _, s := range sheets {
		if b.out.full() {
			break
		}
		if err := b.sheet(ctx, s); err != nil {
			return Text{}, err
		}
	}
	text, whole := b.out.text()
	for i := range b.tables { // what was cut off is not there
		b.tables[i].From, b.tables[i].To = min(b.tables[i].From, len(text)), min(b.tables[i].To, len(text))
	}
	return Text{As: AsTable, Text: text, Whole: whole, Rows: b.rows, Tables: b.tables, Why: b.why}, nil
}

// book is a workbook on its way to text.
type book struct {
	out    builder
	rows   int
	tables []Table
	why    []string
}

func (b *book) sheet(ctx context.Context, s *tabular.Sheet) error {
	if s.Hidden {
		b.why = append(b.why, fmt.Sprintf("The sheet %s is hidden, and read all the same.", s.Name))
	}
	fmt.Fprintf(&b.out, "## Sheet: %s\n", s.Name)
	if s.Chart() {
		fmt.Fprintln(&b.out, "(It has no cells.)")
		return nil
	}
	w := csv.NewWriter(&b.out)
	table := Table{Name: s.Name, From: b.out.Len()}
	rows := s.Rows()
	last := 0
	for !b.out.full() {
		row, more := rows.Next()
		if !more {
			break
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		cells := make([]string, len(row.Cells))
		for i, c := range row.Cells {
			cells[i] = c.Text
		}
		if row.Number > last+1 && last > 0 {
			b.out.WriteByte('\n') // rows without anything
		}
		last = row.Number
		if err := w.Write(cells); err != nil {
			return err
		}
		w.Flush()
		table.Rows++
		table.Columns = max(table.Columns, len(cells))
	}
	b.rows += table.Rows
	if table.To = b.out.Len(); table.Rows > 0 && len(b.tables) < maxTables {
		b.tables = append(b.tables, table)
	}
	for _, note := range rows.Notes() {
		if len(b.tables) > 1 {
			note = strings.TrimSpace(s.Name) + ": " + note
		}
		b.why = append(b.why, note)
	}
	b.out.WriteByte('\n')
	return nil
}

// table reads a table whose columns are named as CSV.
func table(ctx context.Context, t *tabular.Table, limit int) (Text, error) {
	out := builder{limit: limit}
	w := csv.NewWriter(&out)
	rows := 0
	err := w.Write(t.Columns)
	for w.Flush(); err == nil && !out.full(); w.Flush() {
		cells, more := t.Next()
		if ctx.Err() != nil {
			return Text{}, context.Cause(ctx)
		}
		if !more {
			break
		}
		rows++
		err = w.Write(cells)
	}
	if err != nil {
		return Text{}, err
	}
	text, whole := out.text()
	one := Table{To: len(text), Rows: rows, Columns: len(t.Columns)}
	return Text{As: AsTable, Text: text, Whole: whole, Rows: rows, Tables: []Table{one}, Why: t.Notes()}, nil
}
