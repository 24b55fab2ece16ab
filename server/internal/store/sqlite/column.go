package sqlite

import (
	"fmt"
	"strings"

	"github.com/errand-dev/errand/server/internal/task"
)

// column is one column of a table and the field that it holds.
type column struct {
	name  string
	field any // points at the field
}

// value is the field as the driver takes it. It is the counterpart of set: the
// types that columns hold are a closed set, which spares each row the
// reflection of database/sql.
func (c column) value() any {
	switch x := c.field.(type) {
	case *string:
		return *x
	case **string:
		if *x == nil {
			return nil
		}
		return **x
	case *int:
		return int64(*x)
	case *int64:
		return *x
	case *float64:
		return *x
	case *bool:
		return *x
	case *task.Stamp:
		return int64(*x)
	case *task.Status:
		return string(*x)
	case *task.EndReason:
		return string(*x)
	case *task.Outcome:
		return string(*x)
	default:
		return fmt.Errorf("column %s: cannot store a %T", c.name, x) // which no driver takes
	}
}

// set gives the field what was read; NULL, which an outer join reads where it
// finds nothing, is the zero value.
func (c column) set(v any) error {
	var ok bool
	switch x := c.field.(type) {
	case *string:
		ok = text(x, v)
	case **string:
		var s string
		if ok = text(&s, v); ok && v != nil {
			*x = &s
		}
	case *int:
		ok = number(x, v)
	case *int64:
		ok = number(x, v)
	case *float64:
		*x, ok = v.(float64)
		ok = ok || v == nil
	case *bool:
		var n int64
		ok = number(&n, v)
		*x = n != 0
	case *task.Stamp:
		ok = number(x, v)
	case *task.Status:
		ok = text(x, v)
	case *task.EndReason:
		ok = text(x, v)
	case *task.Outcome:
		ok = text(x, v)
	}
	if !ok {
		return fmt.Errorf("column %s: cannot read a %T into a %T", c.name, v, c.field)
	}
	return nil
}

func text[T ~string](into *T, v any) bool {
	s, ok := v.(string)
	*into = T(s)
	return ok || v == nil
}

func number[T ~int | ~int64](into *T, v any) bool {
	n, ok := v.(int64)
	*into = T(n)
	return ok || v == nil
}

// names lists the columns for a statement, each under an optional table name.
func names(cols []column, table string) string {
	list := make([]string, len(cols))
	for i, c := range cols {
		list[i] = table + c.name
	}
	return strings.Join(list, ", ")
}

// marks holds a place for each column's value.
func marks(cols []column) string {
	return strings.TrimSuffix(strings.Repeat("?, ", len(cols)), ", ")
}

// values is what the columns hold now.
func values(cols []column) []any {
	vals := make([]any, len(cols))
	for i, c := range cols {
		vals[i] = c.value()
	}
	return vals
}

// scan reads a row into its columns, and what follows them into more.
func scan(rows rowScanner, cols []column, more ...any) error {
	read := make([]any, len(cols))
	dest := make([]any, len(cols), len(cols)+len(more))
	for i := range read {
		dest[i] = &read[i]
	}
	if err := rows.Scan(append(dest, more...)...); err != nil {
		return err
	}
	for i, c := range cols {
		if err := c.set(read[i]); err != nil {
			return err
		}
	}
	return nil
}
