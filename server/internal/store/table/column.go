package table

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/lifecycle"
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
		if *x {
			return int64(1)
		}
		return int64(0)
	case *task.Stamp:
		return int64(*x)
	case *time.Duration:
		return x.Microseconds()
	case *task.Status:
		return string(*x)
	case *task.Standing:
		return string(*x)
	case *task.EndReason:
		return string(*x)
	case *task.Outcome:
		return string(*x)
	case *lifecycle.WorkerKind:
		return string(*x)
	case *auth.Role:
		return string(*x)
	case *auth.Sees:
		return string(*x)
	case *feed.Kind:
		return int64(*x)
	case *[]byte:
		return *x
	case *task.Usage:
		if *x == (task.Usage{}) { // as of most
			return ""
		}
		return jsonField{x}.encode()
	case jsonField:
		return x.encode()
	default:
		return fmt.Errorf("column %s: cannot store a %T", c.name, x) // which no driver takes
	}
}

// equals reports whether the column of another row, whose field has the same type, has the
// same value.
func (c column) equals(d column) bool {
	switch x := c.field.(type) {
	case *string:
		return same(x, d.field)
	case **string:
		y, ok := d.field.(**string)
		return ok && (*x == nil) == (*y == nil) && (*x == nil || **x == **y)
	case *int:
		return same(x, d.field)
	case *int64:
		return same(x, d.field)
	case *bool:
		return same(x, d.field)
	case *task.Stamp:
		return same(x, d.field)
	case *task.Status:
		return same(x, d.field)
	case *task.EndReason:
		return same(x, d.field)
	default:
		return c.value() == d.value()
	}
}

// same reports whether two pointers of one type point at the same value.
func same[T comparable](x *T, y any) bool {
	z, ok := y.(*T)
	return ok && *x == *z
}

// Set gives a variable what was read, for Rows that are not database/sql's: a field
// of a column's type, a pointer to one, which NULL leaves nil, or *any.
func Set(into, v any) error {
	if plain, ok := into.(*any); ok { // as of each column of a row
		*plain = v
		return nil
	}
	target := reflect.ValueOf(into).Elem()
	if target.Kind() != reflect.Pointer {
		return column{"", into}.set(v)
	}
	if target.SetZero(); v == nil {
		return nil
	}
	target.Set(reflect.New(target.Type().Elem()))
	return Set(target.Interface(), v)
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
	case *time.Duration:
		var n int64
		ok = number(&n, v)
		*x = time.Duration(n) * time.Microsecond // as moments are kept
	case *task.Status:
		ok = text(x, v)
	case *task.Standing:
		ok = text(x, v)
	case *task.EndReason:
		ok = text(x, v)
	case *task.Outcome:
		ok = text(x, v)
	case *lifecycle.WorkerKind:
		ok = text(x, v)
	case *auth.Role:
		ok = text(x, v)
	case *auth.Sees:
		ok = text(x, v)
	case *feed.Kind:
		ok = number(x, v)
	case *[]byte:
		*x, ok = v.([]byte)
		ok = ok || v == nil
	case *task.Usage:
		if v == nil || v == "" {
			return nil
		}
		return jsonField{x}.decode(v)
	case jsonField:
		return x.decode(v)
	}
	if !ok {
		return fmt.Errorf("cannot read a %T into a %T", v, c.field)
	}
	return nil
}

// jsonField is a field that stands as JSON in a text column.
type jsonField struct{ into any }

func (f jsonField) encode() any {
	text, err := json.Marshal(f.into)
	if err != nil {
		return fmt.Errorf("encode a %T: %w", f.into, err) // which no driver takes
	}
	return string(text)
}

func (f jsonField) decode(v any) error {
	text, ok := v.(string)
	if !ok {
		return fmt.Errorf("cannot read a %T as JSON", v)
	}
	return json.Unmarshal([]byte(text), f.into)
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
func scan(rows Rows, cols []column, more ...any) error {
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
			return fmt.Errorf("column %s: %w", c.name, err)
		}
	}
	return nil
}

// insert is a statement that makes a row.
func insert(table string, cols []column) string {
	return "INSERT INTO " + table + " (" + names(cols, "") + ") VALUES (" + marks(cols) + ")"
}

// upsert is a statement that makes a row, or overwrites all of the one that has
// the same key, which is made of the first columns.
func upsert(table string, keys int, cols []column) string {
	set := make([]string, 0, len(cols))
	for _, c := range cols[keys:] {
		set = append(set, c.name+" = excluded."+c.name)
	}
	return insert(table, cols) + " ON CONFLICT (" + names(cols[:keys], "") + ") DO UPDATE SET " + strings.Join(set, ", ")
}
