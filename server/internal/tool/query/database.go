package query

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"fmt"
	"io"
	"strconv"
	"strings"

	driver "modernc.org/sqlite" // it registers "sqlite"

	"github.com/errand-dev/errand/server/internal/runtime/profile"
)

// database is the tables of a task in SQLite's memory.
type database struct {
	limits
	db     *sql.DB
	conn   *sql.Conn
	tables []*loaded
	// reading are the columns whose texts are being turned into values.
	reading []profile.Column
}

// loaded is a table that has been loaded.
type loaded struct {
	name, file string
	columns    []string // their names in SQL
	profile.Table
}

// open makes an empty database. A process opens one, as its function is the driver's.
func open(ctx context.Context, most limits) (*database, error) {
	d := &database{limits: most}
	err := driver.RegisterDeterministicScalarFunction(valueFunction, 2, d.value)
	if err != nil {
		return nil, err
	}
	if d.db, err = sql.Open("sqlite", ":memory:"); err != nil {
		return nil, err
	}
	if d.conn, err = d.db.Conn(ctx); err != nil {
		d.close()
		return nil, err
	}
	// Nothing is undone, and nothing is put on a disk.
	for _, pragma := range []string{"journal_mode = OFF", "temp_store = MEMORY", "trusted_schema = OFF", "cell_size_check = OFF"} {
		if _, err := d.conn.ExecContext(ctx, "PRAGMA "+pragma); err != nil {
			d.close()
			return nil, err
		}
	}
	return d, nil
}

func (d *database) close() {
	if d.conn != nil {
		_ = d.conn.Close() // the process ends with it
	}
	_ = d.db.Close()
}

// load reads a file and makes tables of it: one of the name, or one for each list in a
// JSON object.
func (d *database) load(ctx context.Context, name, file string, content io.Reader) error {
	l := loader{database: d, ctx: ctx, prefix: "loading_" + name + "_"}
	if err := d.exec(ctx, "BEGIN"); err != nil {
		return err
	}
	tables, note, err := profile.Load(ctx, file, content, l.row)
	if err == nil {
		err = l.flush()
	}
	if err == nil {
		err = d.exec(ctx, "COMMIT")
	}
	if err != nil {
		return fmt.Errorf("load %s: %w", file, d.explained(ctx, err))
	}
	if note != "" {
		d.tables = append(d.tables, &loaded{file: file, Table: profile.Table{Notes: []string{"it is " + note + " and has no tables"}}})
	}
	for n, t := range tables {
		if err := d.settle(ctx, &l, n, t, name, file); err != nil {
			return fmt.Errorf("load %s: %w", file, d.explained(ctx, err))
		}
	}
	return nil
}

func (d *database) exec(ctx context.Context, statement string, args ...any) error {
	_, err := d.conn.ExecContext(ctx, statement, args...)
	return err
}

// loader puts rows into tables while they come, as texts.
type loader struct {
	*database
	ctx    context.Context //nolint:containedctx // of one loading
	prefix string
	into   []*filling
}

// filling is a table that is being filled.
type filling struct {
	name    string
	columns []string
	taken   names
	rows    int
	values  []any // of rows that are not in the table yet
}

// maxValues is how many values a statement inserts, at most.
const maxValues = 4000

// maxColumns is how many columns of a table SQL sees, half of what SQLite takes.
const maxColumns = 1000

func (l *loader) row(n int, columns []string, cells []any) error {
	for len(l.into) <= n {
		l.into = append(l.into, &filling{name: l.prefix + strconv.Itoa(len(l.into)), taken: names{}})
	}
	f := l.into[n]
	columns = columns[:min(len(columns), maxColumns)]
	cells = cells[:min(len(cells), maxColumns)]
	if len(columns) > len(f.columns) {
		if err := l.widen(f, columns); err != nil {
			return err
		}
	}
	f.values = append(f.values, cells...)
	for range len(columns) - len(cells) {
		f.values = append(f.values, nil)
	}
	if f.rows++; len(f.values)+len(columns) > maxValues {
		return l.insert(f)
	}
	return nil
}

// widen gives a table the columns that it lacks.
func (l *loader) widen(f *filling, columns []string) error {
	if err := l.insert(f); err != nil {
		return err
	}
	for _, name := range columns[len(f.columns):] {
		name = f.taken.unique(name)
		statement := "ALTER TABLE " + quoted(f.name) + " ADD COLUMN " + quoted(name)
		if len(f.columns) == 0 {
			statement = "CREATE TABLE " + quoted(f.name) + " (" + quoted(name) + ")"
		}
		if err := l.exec(l.ctx, statement); err != nil {
			return err
		}
		f.columns = append(f.columns, name)
	}
	return nil
}

func (l *loader) insert(f *filling) error {
	if len(f.values) == 0 {
		return nil
	}
	row := "(?" + strings.Repeat(",?", len(f.columns)-1) + ")"
	rows := row + strings.Repeat(","+row, len(f.values)/len(f.columns)-1)
	err := l.exec(l.ctx, "INSERT INTO "+quoted(f.name)+" VALUES "+rows, f.values...)
	f.values = f.values[:0]
	return err
}

func (l *loader) flush() error {
	for _, f := range l.into {
		if err := l.insert(f); err != nil {
			return err
		}
	}
	return nil
}

// settle makes of a filled table what the reader has found it to be.
func (d *database) settle(ctx context.Context, l *loader, n int, t profile.Table, name, file string) error {
	if n >= len(l.into) {
		return nil // it has no rows
	}
	f := l.into[n]
	if len(t.Columns) == 0 {
		return d.exec(ctx, "DROP TABLE "+quoted(f.name))
	}
	if more := len(t.Columns) - len(f.columns); more > 0 {
		t.Columns = t.Columns[:len(f.columns)]
		t.Notes = append(t.Notes, fmt.Sprintf("Only its first %d columns are here, %d more are not.", len(f.columns), more))
	}
	if t.Name != "" {
		name += "_" + identifier(t.Name)
	}
	taken := names{}
	for _, other := range d.tables {
		taken[strings.ToLower(other.name)] = true
	}
	made := &loaded{name: taken.unique(name), file: file, columns: f.columns, Table: t}
	d.tables = append(d.tables, made)
	if err := d.read(ctx, f, t); err != nil {
		return err
	}
	return d.exec(ctx, "ALTER TABLE "+quoted(f.name)+" RENAME TO "+quoted(made.name))
}

// read turns the texts of a table into the values that they stand for.
func (d *database) read(ctx context.Context, f *filling, t profile.Table) error {
	var changes []string
	for i, c := range t.Columns {
		if !c.IsText() {
			changes = append(changes, fmt.Sprintf("%s = %s(%d, %[1]s)", quoted(f.columns[i]), valueFunction, i))
		}
	}
	if len(changes) == 0 {
		return nil
	}
	d.reading = t.Columns
	return d.exec(ctx, "UPDATE "+quoted(f.name)+" SET "+strings.Join(changes, ", "))
}

// valueFunction is what turns the text of a column into a value.
const valueFunction = "errand_value"

func (d *database) value(_ *driver.FunctionContext, args []sqldriver.Value) (sqldriver.Value, error) {
	column, _ := args[0].(int64)
	text, is := args[1].(string)
	if !is {
		return nil, nil //nolint:nilnil // a cell without a value has none
	}
	switch value := d.reading[column].Value(text).(type) {
	case bool:
		if value {
			return int64(1), nil
		}
		return int64(0), nil
	default:
		return value, nil
	}
}
