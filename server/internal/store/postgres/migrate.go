package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the tables up to date. Nodes that start together take turns: who
// has the one row of schema_version changes the tables, in one transaction.
func migrate(ctx context.Context, conn *pgx.Conn) error {
	steps, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return err
	}
	for _, statement := range []string{
		"CREATE TABLE IF NOT EXISTS schema_version (one BIGINT PRIMARY KEY CHECK (one = 1), version BIGINT NOT NULL)",
		"INSERT INTO schema_version (one, version) VALUES (1, 0) ON CONFLICT DO NOTHING",
	} {
		if _, err := conn.Exec(ctx, statement); err != nil && !made(err) {
			return err
		}
	}
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		var version int
		if err := tx.QueryRow(ctx, "SELECT version FROM schema_version FOR UPDATE").Scan(&version); err != nil {
			return err
		}
		if version >= unfinished {
			return errors.New("a copy into it was interrupted: go on with it (errand store copy), or use another database")
		}
		if version > len(steps) {
			return newer(version, len(steps))
		}
		for n, name := range steps[version:] {
			step, err := migrations.ReadFile(name)
			if err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, string(step)); err != nil {
				return fmt.Errorf("%s: %w", strings.TrimPrefix(name, "migrations/"), err)
			}
			if _, err := tx.Exec(ctx, "UPDATE schema_version SET version = $1", version+n+1); err != nil {
				return err
			}
		}
		return nil
	})
}

// restored forgets the places in the feed that this database cluster has not come to yet.
// They count its transactions, and those of a dump are of the cluster that it was taken
// from: a task that has an entry of the future could not be written to, and news would
// never get behind it. What is committed and seen here has a smaller number, also when
// other nodes are at work. The search begins anew, and finds what it has.
func restored(ctx context.Context, conn *pgx.Conn) error {
	const future = " >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
	for _, statement := range []string{
		"DELETE FROM feed WHERE pos" + future,
		"UPDATE search SET step = step + 1, pos = 0, n = 0, org = '', task = '', walked = 0 WHERE pos" + future,
	} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// made reports whether another node has just made the same table.
func made(err error) bool {
	var told *pgconn.PgError
	return errors.As(err, &told) && (told.Code == uniqueViolation || told.Code == "42P07" || told.Code == "42710")
}

// bare is an error of a connection in one line, without the URL, which may hold a
// password. The same is said once, however many ways were tried.
func bare(err error) error {
	var connect *pgconn.ConnectError
	if !errors.As(err, &connect) {
		return err
	}
	var said []string
	for line := range strings.Lines(connect.Unwrap().Error()) {
		if line = strings.TrimSpace(line); !slices.Contains(said, line) {
			said = append(said, line)
		}
	}
	return errors.New(strings.Join(said, "; "))
}
