package reading

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/xuri/excelize/v2"
)

// workbook reads an xlsx as CSV, sheet by sheet. Values are those that are stored, not
// as a format shows them: 0.125 and not 13%. Dates and times are written as such.
func workbook(ctx context.Context, all []byte, limit int) (t Text, err error) {
	defer func() { // a reader of hostile files, of others
		if recover() != nil {
			t, err = nothing("It is a workbook that is broken."), nil
		}
	}()
	f, err := excelize.OpenReader(bytes.NewReader(all), excelize.Options{
		RawCellValue: true, UnzipSizeLimit: maxUnpacked, UnzipXMLSizeLimit: maxUnpacked,
	})
	switch {
	case errors.Is(err, excelize.ErrWorkbookPassword) || errors.Is(err, excelize.ErrWorkbookFileFormat):
		return nothing("It is a workbook that is broken, or that needs a password."), nil
	case err != nil:
		return nothing("It is a workbook that is broken, or unpacks too far."), nil
	}
	defer f.Close() //nolint:errcheck // it was only read
	b := book{file: f, out: builder{limit: limit}, kinds: map[int]kind{}}
	if p, err := f.GetWorkbookProps(); err == nil && p.Date1904 != nil {
		b.since1904 = *p.Date1904
	}
	for _, sheet := range f.GetSheetList() {
		if b.out.full() {
			break
		}
		if err := b.sheet(ctx, sheet); err != nil {
			return Text{}, err
		}
	}
	text, whole := b.out.text()
	for i := range b.tables { // what was cut off is not there
		b.tables[i].From, b.tables[i].To = min(b.tables[i].From, len(text)), min(b.tables[i].To, len(text))
	}
	return Text{As: AsTable, Text: text, Whole: whole, Rows: b.rows, Tables: b.tables, Why: b.why()}, nil
}

// kind is how a number is written.
type kind int

const (
	plainNumber kind = iota
	dateOrTime
)

// book is a workbook on its way to text.
type book struct {
	file      *excelize.File
	out       builder
	since1904 bool
	kinds     map[int]kind // by style
	rows      int
	formulas  int // without a stored value
	hidden    []string
	tables    []Table
}

func (b *book) why() []string {
	var why []string
	if len(b.hidden) > 0 {
		why = append(why, "Hidden, and read all the same: "+strings.Join(b.hidden, ", ")+".")
	}
	if b.formulas > 0 {
		why = append(why, rowsText(b.formulas, "formula")+" without a stored value: the formula stands in its place.")
	}
	return why
}

func (b *book) sheet(ctx context.Context, name string) error {
	if visible, err := b.file.GetSheetVisible(name); err == nil && !visible {
		b.hidden = append(b.hidden, "sheet "+name)
	}
	fmt.Fprintf(&b.out, "## Sheet: %s\n", name)
	rows, err := b.file.Rows(name)
	if err != nil { // such as a sheet that is a chart
		fmt.Fprintln(&b.out, "(It has no cells.)")
		return nil
	}
	defer rows.Close() //nolint:errcheck // it was only read
	w := csv.NewWriter(&b.out)
	hidden, n := 0, 0
	table := Table{Name: name, From: b.out.Len()}
	for ; rows.Next() && !b.out.full(); n++ {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		cells, err := rows.Columns()
		if err != nil {
			break
		}
		if rows.GetRowOpts().Hidden {
			hidden++
		}
		table.Columns = max(table.Columns, len(cells))
		for i := range cells {
			cells[i] = b.value(name, i+1, n+1, cells[i])
		}
		if err := w.Write(cells); err != nil {
			return err
		}
		w.Flush()
	}
	b.rows += n
	if table.Rows, table.To = n, b.out.Len(); n > 0 && len(b.tables) < maxTables {
		b.tables = append(b.tables, table)
	}
	if hidden > 0 {
		b.hidden = append(b.hidden, rowsText(hidden, "row")+" of "+name)
	}
	b.out.WriteByte('\n')
	return nil
}

// value is a cell as text.
func (b *book) value(sheet string, column, row int, raw string) string {
	cell, err := excelize.CoordinatesToCellName(column, row)
	if err != nil {
		return raw
	}
	if raw == "" {
		formula, err := b.file.GetCellFormula(sheet, cell)
		if err != nil || formula == "" {
			return ""
		}
		b.formulas++
		return "=" + formula
	}
	serial, err := strconv.ParseFloat(raw, 64)
	if err != nil || serial < 0 || serial > 2958466 || b.kindOf(sheet, cell) != dateOrTime { // the year 9999
		return raw
	}
	return moment(serial, b.since1904)
}

// kindOf is how the number of a cell is written, by its format.
func (b *book) kindOf(sheet, cell string) kind {
	id, err := b.file.GetCellStyle(sheet, cell)
	if err != nil {
		return plainNumber
	}
	k, known := b.kinds[id]
	if known {
		return k
	}
	if style, err := b.file.GetStyle(id); err == nil {
		if isDateFormat(style.NumFmt, style.CustomNumFmt) {
			k = dateOrTime
		}
	}
	b.kinds[id] = k
	return k
}

// literals are the parts of a format that are shown as they stand, and colours.
var literals = regexp.MustCompile(`"[^"]*"|\\.|\[(?i:[a-z]{3,}\d*|\$[^\]]*|[<>=][^\]]*)\]|_.|\*.`)

func isDateFormat(number int, custom *string) bool {
	if custom != nil && *custom != "" {
		first, _, _ := strings.Cut(*custom, ";")
		return strings.ContainsAny(strings.ToLower(literals.ReplaceAllString(first, "")), "ymdhs")
	}
	return number >= 14 && number <= 22 || number >= 27 && number <= 36 || number >= 45 && number <= 47 || number >= 50 && number <= 58
}

// moment writes the day, or the time of a day, that a serial number stands for. Serials
// are whole milliseconds at best.
func moment(serial float64, since1904 bool) string {
	day, part := math.Modf(serial)
	clock := time.Duration(math.Round(part*86_400_000)) * time.Millisecond
	if day == 0 && !since1904 {
		return time.Time{}.Add(clock).Format("15:04:05.999")
	}
	epoch := time.Date(1899, 12, 30, 0, 0, 0, 0, time.UTC)
	switch {
	case since1904:
		epoch = time.Date(1904, 1, 1, 0, 0, 0, 0, time.UTC)
	case day < 60: // the day that never was, 29 February 1900, is counted
		epoch = epoch.AddDate(0, 0, 1)
	}
	at := epoch.AddDate(0, 0, int(day)).Add(clock)
	if clock == 0 {
		return at.Format(time.DateOnly)
	}
	return at.Format("2006-01-02 15:04:05.999")
}
