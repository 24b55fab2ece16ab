package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/errand-dev/errand/server/internal/store/table"
)

// conn is the writer's connection. It speaks to SQLite without database/sql and
// its driver, which would cost a third of what the writer's statements take.
type conn struct {
	*sqlite.Conn
	stmts map[string]*sqlite.Stmt
}

// dial opens an existing database.
func dial(path string, pragmas ...string) (*conn, error) {
	opened, err := sqlite.OpenConn(path, sqlite.OpenReadWrite)
	if err != nil {
		return nil, err
	}
	c := &conn{opened, map[string]*sqlite.Stmt{}}
	for _, p := range append(everywhere(), pragmas...) {
		if err := c.set(p); err != nil {
			return nil, errors.Join(fmt.Errorf("set %s: %w", p, err), c.Close())
		}
	}
	return c, nil
}

// set carries out a pragma, which may answer its value.
func (c *conn) set(pragma string) error {
	s, _, err := c.PrepareTransient("PRAGMA " + pragma)
	if err != nil {
		return err
	}
	_, err = s.Step()
	return errors.Join(err, s.Finalize())
}

// stmt prepares a statement once and binds its arguments.
func (c *conn) stmt(query string, args []any) (*sqlite.Stmt, error) {
	s, ok := c.stmts[query]
	if !ok {
		var err error
		if s, err = c.Prepare(spelled(query)); err != nil {
			return nil, err
		}
		c.stmts[query] = s
	}
	if n := s.BindParamCount(); n != len(args) {
		return nil, fmt.Errorf("%d arguments for the %d of %s", len(args), n, query)
	}
	for i, x := range args {
		if err := bind(s, i+1, x); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// bind gives a statement an argument, as database/sql would.
func bind(s *sqlite.Stmt, i int, arg any) error {
	switch x := arg.(type) {
	case string:
		s.BindText(i, x)
	case int64:
		s.BindInt64(i, x)
	case int:
		s.BindInt64(i, int64(x))
	case nil:
		s.BindNull(i)
	case float64:
		s.BindFloat(i, x)
	case bool:
		s.BindBool(i, x)
	case []byte:
		if x == nil {
			s.BindNull(i)
			return nil
		}
		s.BindBytes(i, x)
	default: // a pointer, or a type of its own: the value below it
		plain, err := driver.DefaultParameterConverter.ConvertValue(x)
		if err != nil {
			return fmt.Errorf("argument %d: %w", i, err)
		}
		if _, known := plain.(time.Time); known {
			return fmt.Errorf("argument %d: cannot store a %T", i, x)
		}
		return bind(s, i, plain)
	}
	return nil
}

// longArg is the length from which on arguments are not kept, in bytes.
const longArg = 4 << 10

// unbind lets go of long arguments, which a statement would hold until its next use.
func unbind(s *sqlite.Stmt, args []any) {
	for i, arg := range args {
		if text, ok := arg.(string); ok && len(text) > longArg {
			s.BindNull(i + 1)
		} else if blob, ok := arg.([]byte); ok && len(blob) > longArg {
			s.BindNull(i + 1)
		}
	}
}

// exec carries out a statement and tells how many rows it has changed.
func (c *conn) exec(query string, args ...any) (changed int, err error) {
	s, err := c.stmt(query, args)
	if err != nil {
		return 0, err
	}
	for more := true; more; {
		if more, err = s.Step(); err != nil {
			return 0, err
		}
	}
	err = s.Reset()
	unbind(s, args)
	return c.Changes(), err
}

// Query implements table.DB. The rows of a statement must be closed before it is
// used again.
func (c *conn) Query(_ context.Context, query string, args ...any) (table.Rows, error) {
	s, err := c.stmt(query, args)
	if err != nil {
		return nil, err
	}
	return &rows{stmt: s, args: args}, nil
}

// Close closes the connection with its statements. It may be called more than once.
func (c *conn) Close() error {
	if c.stmts == nil {
		return nil
	}
	c.stmts = nil
	return c.Conn.Close()
}

// rows is what a query of the writer finds.
type rows struct {
	stmt *sqlite.Stmt
	args []any
	err  error
}

// Next implements table.Rows.
func (r *rows) Next() bool {
	more := false
	if r.err == nil {
		more, r.err = r.stmt.Step()
	}
	return more
}

// Scan implements table.Rows.
func (r *rows) Scan(dest ...any) error {
	for i, into := range dest {
		if err := table.Set(into, r.column(i)); err != nil {
			return fmt.Errorf("column %d: %w", i, err)
		}
	}
	return nil
}

// column is a value of the row as database/sql would tell it.
func (r *rows) column(i int) any {
	switch s := r.stmt; s.ColumnType(i) {
	case sqlite.TypeInteger:
		return s.ColumnInt64(i)
	case sqlite.TypeFloat:
		return s.ColumnFloat(i)
	case sqlite.TypeText:
		return s.ColumnText(i)
	case sqlite.TypeBlob:
		blob := make([]byte, s.ColumnLen(i))
		s.ColumnBytes(i, blob)
		return blob
	case sqlite.TypeNull:
	}
	return nil
}

// Err implements table.Rows.
func (r *rows) Err() error { return r.err }

// Close implements table.Rows.
func (r *rows) Close() error {
	err := r.stmt.Reset()
	unbind(r.stmt, r.args)
	return err
}
