package teststore

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

// Rows reads all that the database of a folder holds, past the store: the rows of
// each table as text, in which every value stands.
func Rows(tb testing.TB, dir string) map[string][]string {
	tb.Helper()
	driver, source, tables := "sqlite", filepath.Join(dir, "errand.db"), "SELECT name FROM sqlite_master WHERE type = 'table'"
	if url := DatabaseURL(tb, dir); url != "" {
		driver, source, tables = "pgx", url, "SELECT tablename FROM pg_tables WHERE schemaname = current_schema"
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		tb.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // it was only read
	found := map[string][]string{}
	for _, name := range texts(tb, db, tables) {
		found[name] = texts(tb, db, `SELECT * FROM "`+name+`"`)
	}
	return found
}

// texts reads each row of a query into one text.
func texts(tb testing.TB, db *sql.DB, query string) []string {
	tb.Helper()
	rows, err := db.QueryContext(context.WithoutCancel(tb.Context()), query)
	if err != nil {
		tb.Fatal(err)
	}
	defer rows.Close() //nolint:errcheck // Err tells what went wrong
	names, err := rows.Columns()
	if err != nil {
		tb.Fatal(err)
	}
	var found []string
	for rows.Next() {
		values, into := make([]any, len(names)), make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			tb.Fatal(err)
		}
		var text []string
		for _, v := range values {
			if raw, ok := v.([]byte); ok {
				v = string(raw)
			}
			text = append(text, fmt.Sprint(v))
		}
		found = append(found, strings.Join(text, "\t"))
	}
	if err := rows.Err(); err != nil {
		tb.Fatal(err)
	}
	return found
}
