package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// DatabaseFile is the database in a data folder.
const DatabaseFile = "errand.db"

// Backup writes the database of a data folder into another folder (mode 0600):
// all that was committed when it began. A server may use the folder meanwhile
// and need not; it is not kept waiting, but its write-ahead log grows until the
// copy is done. The copy can shrink (Store.Shrink) even if the database is of an older
// release and cannot. An error leaves nothing of use behind.
func Backup(ctx context.Context, dir, into string) (err error) {
	source := filepath.Join(dir, DatabaseFile)
	if _, err := os.Stat(source); errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s is no data folder: it has no %s", dir, DatabaseFile)
	} else if err != nil {
		return fmt.Errorf("read database: %w", err)
	}
	db, err := sql.Open("sqlite", dsn(source))
	if err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	can, err := shrinks(ctx, db)
	if err != nil {
		return fmt.Errorf("read database: %w", err)
	}
	if !can { // where it can, the pragma would write
		if _, err := db.ExecContext(ctx, "PRAGMA "+shrinkable); err != nil {
			return fmt.Errorf("open database: %w", err)
		}
	}
	// SQLite fills an empty file, but would make one that others can read.
	target, err := os.OpenFile(filepath.Join(into, DatabaseFile), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600) //nolint:gosec // where the operator wants it
	if err != nil {
		return fmt.Errorf("make copy: %w", err)
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	if _, err := db.ExecContext(ctx, "VACUUM INTO ?", target.Name()); err != nil {
		return fmt.Errorf("copy database: %w", err)
	}
	return target.Sync()
}
