// Package table is what the SQL stores share: which rows there are, the statements
// that read and write them, and the fields that their columns hold. The statements
// are written once, in the common part of the dialects; a store adapts their
// spelling. No statement decides anything: it finds rows by what they hold, and
// writes rows as it is given them.
package table

import (
	"context"
	"errors"
)

// DB is a database, or one transaction of it, that answers queries. Statements
// hold ? for their arguments. Two phrases are for one dialect each, which the
// other leaves out: INDEXED BY and a name, behind a table, is SQLite's; FOR UPDATE
// and FOR KEY SHARE, at the end, lock rows where others may write them.
type DB interface {
	Query(ctx context.Context, query string, args ...any) (Rows, error)
}

// Rows is what a query found (as *sql.Rows).
type Rows interface {
	Next() bool
	Scan(dest ...any) error
	Err() error
	Close() error
}

// ErrRaced says that a row is not any more what a caller has read: another store on
// the same database was faster. The caller's function is run again.
var ErrRaced = errors.New("another node has written the same row")

// Op is one recorded write: a statement with its arguments.
type Op struct {
	SQL  string
	Args []any
	// In is the table that it changes.
	In Name
	// Must says that it has to change exactly one row; if not, somebody else was
	// faster: ErrRaced.
	Must bool
	// Key is how many of the first arguments name the one row that the statement makes or
	// overwrites; 0 if it is no upsert.
	Key int
}

// Name is a table, or a set of them.
type Name uint

// The tables.
const (
	Tasks Name = 1 << iota
	Turns
	Attempts
	Events
	Feed
	Agents
	Secrets
	Replays
	Workers
	Posts
	Nodes
	Keys
	Files
	Organizations
	Meta
	Graves
	Steps
	Sessions
	Approvals
	Passes
	Usage
	Tags
	Documents
	Search
	Pushes
	Webhooks
	Pieces
	Stats
)

// each calls scan for every row of a query.
func each(ctx context.Context, db DB, query string, args []any, scan func(Rows) error) (err error) {
	rows, err := db.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// one reads a single row; it reports whether there was one.
func one(ctx context.Context, db DB, query string, args []any, dest ...any) (bool, error) {
	found := false
	err := each(ctx, db, query, args, func(rows Rows) error {
		found = true
		return rows.Scan(dest...)
	})
	return found, err
}

// all reads each row of a query into one value, bound to its columns.
func all[T any](ctx context.Context, db DB, query string, args []any, bind func(*T) []column) ([]T, error) {
	var found []T
	err := each(ctx, db, query, args, func(rows Rows) error {
		var x T
		err := scan(rows, bind(&x))
		found = append(found, x)
		return err
	})
	return found, err
}

// texts reads one text column.
func texts(ctx context.Context, db DB, query string, args ...any) ([]string, error) {
	var found []string
	err := each(ctx, db, query, args, func(rows Rows) error {
		var text string
		err := rows.Scan(&text)
		found = append(found, text)
		return err
	})
	return found, err
}

// count reads one number.
func count(ctx context.Context, db DB, query string, args ...any) (int, error) {
	var n int
	_, err := one(ctx, db, query, args, &n)
	return n, err
}

// exists reports whether a query finds a row.
func exists(ctx context.Context, db DB, query string, args ...any) (bool, error) {
	var n int
	return one(ctx, db, query, args, &n)
}
