package query

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	driver "modernc.org/sqlite"
)

// The limits of SQLite that a query has, by their numbers there.
const (
	limitLength, maxLength     = 0, 16 << 20 // of a value
	limitCompound, maxCompound = 4, 50
	limitAttached              = 7 // none
	limitPattern, maxPattern   = 8, 1000
	limitThreads               = 11 // none
)

// guard sees to it that only reading is left: what a statement may do is decided by
// SQLite's authorizer, when it has understood it.
func (d *database) guard(ctx context.Context) error {
	if err := d.exec(ctx, "PRAGMA query_only = ON"); err != nil {
		return err
	}
	for _, limit := range [...][2]int{{limitLength, maxLength}, {limitCompound, maxCompound}, {limitAttached, 0}, {limitPattern, maxPattern}, {limitThreads, 0}} {
		if _, err := driver.Limit(d.conn, limit[0], limit[1]); err != nil {
			return err
		}
	}
	return d.conn.Raw(func(c any) error {
		guarded, is := c.(driver.AuthorizerRegisterer)
		if !is {
			return errors.New("the driver has no authorizer")
		}
		return guarded.RegisterAuthorizer(allowed)
	})
}

// allowed is SQLite's authorizer: a query selects, reads, calls functions and may be
// recursive. Everything else is refused: to write, ATTACH, PRAGMA, VACUUM (which attaches),
// transactions, and what loads code.
func allowed(action driver.AuthorizerActionCode, _, function, _, _ string) driver.AuthorizerReturnCode {
	switch action { //nolint:exhaustive // what is not listed is refused
	case driver.AuthSelect, driver.AuthRead, driver.AuthRecursive:
		return driver.AuthorizerOK
	case driver.AuthFunction:
		switch strings.ToLower(function) {
		case "load_extension", valueFunction, "fts3_tokenizer", "sqlite_log":
			return driver.AuthorizerDeny
		}
		return driver.AuthorizerOK
	default:
		return driver.AuthorizerDeny
	}
}

// query runs one SELECT and writes what it answers as CSV.
func (d *database) query(ctx context.Context, statement string) (string, error) {
	if err := d.guard(ctx); err != nil {
		return "", err
	}
	rows, err := d.conn.QueryContext(ctx, statement)
	if err != nil {
		return "", d.explained(ctx, err)
	}
	defer rows.Close() //nolint:errcheck // it was only read
	columns, err := rows.Columns()
	if err != nil {
		return "", d.explained(ctx, err)
	}
	if len(columns) == 0 {
		return "", errors.New("write one SELECT: this answers nothing")
	}
	a := answer{}
	for i, name := range columns {
		a.add(i, name)
	}
	a.endRow()
	count, err := a.take(rows, len(columns), maxRows)
	if err != nil {
		return "", d.explained(ctx, err)
	}
	return a.text.String() + a.summary(count), nil
}

// explained is an error for whoever has written the query.
func (d *database) explained(ctx context.Context, err error) error {
	message := strings.TrimPrefix(err.Error(), "SQL logic error: ")
	switch {
	case ctx.Err() != nil:
		return d.late()
	case strings.Contains(message, "not authorized") || strings.Contains(message, "authorization denied") || strings.Contains(message, "prohibited") ||
		strings.Contains(message, "readonly"):
		return errors.New("only one SELECT is allowed: nothing that writes, and no ATTACH, PRAGMA, VACUUM, transaction or extension")
	case strings.Contains(message, "out of memory"):
		return d.large()
	case strings.Contains(message, "no such table"), strings.Contains(message, "no such column"):
		return fmt.Errorf("%s. There are: %s", message, d.names())
	}
	return errors.New(message)
}

// names are the tables with their columns.
func (d *database) names() string {
	var all []string
	for _, t := range d.tables {
		if t.name == "" {
			continue
		}
		columns := make([]string, len(t.columns))
		for i, c := range t.columns {
			columns[i] = quoted(c)
		}
		all = append(all, quoted(t.name)+" ("+strings.Join(columns, ", ")+")")
	}
	if len(all) == 0 {
		return "no tables"
	}
	return strings.Join(all, ", ")
}

// answer is a result as CSV, as far as there is room.
type answer struct {
	text strings.Builder
	row  strings.Builder
	full bool
	cut  bool // some value
}

// take writes rows, most at most.
func (a *answer) take(rows *sql.Rows, width, most int) (count int, err error) {
	values, into := make([]any, width), make([]any, width)
	for i := range values {
		into[i] = &values[i]
	}
	for !a.full && rows.Next() {
		if count == most {
			a.full = true
			break
		}
		if err := rows.Scan(into...); err != nil {
			return count, err
		}
		for i, value := range values {
			a.add(i, value)
		}
		if a.endRow() {
			count++
		}
	}
	return count, rows.Err()
}

// add adds a value to the row.
func (a *answer) add(i int, value any) {
	if i > 0 {
		a.row.WriteByte(',')
	}
	switch v := value.(type) {
	case []byte:
		if len(v) > maxCell/2 {
			a.cut, value = true, v[:maxCell/2]
		}
	case string:
		if len(v) > maxCell {
			a.cut, value = true, strings.ToValidUTF8(v[:maxCell], "")+"…"
		}
	}
	a.row.WriteString(shown(value))
}

// endRow takes a row, unless there is no more room for it.
func (a *answer) endRow() bool {
	defer a.row.Reset()
	if a.text.Len()+a.row.Len()+1 > maxText {
		a.full = true
		return false
	}
	a.text.WriteString(a.row.String())
	a.text.WriteByte('\n')
	return true
}

func (a *answer) summary(rows int) string {
	said := strconv.Itoa(rows) + " rows"
	if rows == 1 {
		said = "1 row"
	}
	if a.full {
		said = "only the first " + said + " are shown, and there are more: aggregate, or use LIMIT and OFFSET"
	}
	if a.cut {
		said += fmt.Sprintf("; values are cut at %d bytes", maxCell)
	}
	return "(" + said + ")"
}

// shown is a value as CSV has it. NULL is a word without quotes, and that text has some.
func shown(value any) string {
	switch v := value.(type) {
	case nil:
		return "NULL"
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return number(v)
	case []byte:
		return fmt.Sprintf("x'%x'", v)
	case string:
		if v == "" || v == "NULL" {
			return `"` + v + `"`
		}
		return text(v)
	default:
		return text(fmt.Sprint(v))
	}
}

// number has as many digits as SQLite shows: what was added up of 0.1 and 0.2 is 0.3.
func number(v float64) string {
	if math.IsInf(v, 0) {
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 15, 64), 64)
	if err != nil {
		rounded = v
	}
	if math.Abs(rounded) < 1e15 && math.Abs(rounded) >= 1e-5 || rounded == 0 {
		return strconv.FormatFloat(rounded, 'f', -1, 64)
	}
	return strconv.FormatFloat(rounded, 'g', -1, 64)
}

// text is a text as CSV has it.
func text(v string) string {
	if !utf8.ValidString(v) {
		v = strings.ToValidUTF8(v, "\uFFFD")
	}
	if strings.ContainsAny(v, ",\"\n\r") || strings.TrimSpace(v) != v {
		return `"` + strings.ReplaceAll(v, `"`, `""`) + `"`
	}
	return v
}

// firstRows is how many rows of a table are shown in the list.
const firstRows = 3

// list tells which tables there are.
func (d *database) list(ctx context.Context) (string, error) {
	var out strings.Builder
	for _, t := range d.tables {
		if t.name == "" {
			fmt.Fprintf(&out, "The file %s: %s.\n\n", t.file, strings.Join(t.Notes, "; "))
			continue
		}
		fmt.Fprintf(&out, "Table %s, from %s: %d rows, with the columns\n", quoted(t.name), t.file, t.Rows)
		for i, c := range t.columns {
			fmt.Fprintf(&out, "  %s %s\n", quoted(c), t.Columns[i].Kind)
		}
		for _, note := range t.Notes {
			fmt.Fprintf(&out, "  Note: %s\n", note)
		}
		first, err := d.first(ctx, t)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&out, "  Its first rows:\n%s\n", first)
	}
	if len(d.tables) == 0 {
		return "The files have no tables.", nil
	}
	list := strings.TrimRight(out.String(), "\n")
	if len(list) > maxText {
		list = strings.ToValidUTF8(list[:maxText], "") + "…\n(There are more, for which there is no room.)"
	}
	return list, nil
}

func (d *database) first(ctx context.Context, t *loaded) (string, error) {
	rows, err := d.conn.QueryContext(ctx, "SELECT * FROM "+quoted(t.name)+" LIMIT "+strconv.Itoa(firstRows)) //nolint:gosec // the name is quoted
	if err != nil {
		return "", err
	}
	defer rows.Close() //nolint:errcheck // it was only read
	a := answer{}
	_, err = a.take(rows, len(t.columns), firstRows)
	return a.text.String(), err
}
