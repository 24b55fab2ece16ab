package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"

	"github.com/errand-dev/errand/server/internal/durable"
	"github.com/errand-dev/errand/server/internal/store/copier"
)

// unfinishedFile is the database of a data folder while it is copied there.
const unfinishedFile = DatabaseFile + ".copy"

// Copy is a database that is copied, or in which a copy is made. Its data folder is
// locked until it is closed.
type Copy struct {
	copier.Base
	path string
	lock *flock.Flock
}

// CopyFrom opens the database of a data folder to be copied.
func CopyFrom(ctx context.Context, dir string) (*Copy, error) {
	path := filepath.Join(dir, DatabaseFile)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s is no data folder: it has no %s", dir, DatabaseFile)
	}
	c := &Copy{path: path}
	err := c.open(dir)
	if err == nil {
		var lacks int
		if _, lacks, err = steps(ctx, c.DB, path); lacks > 0 {
			err = fmt.Errorf("database %s: its tables are of an older release: start this one's server on it once", path)
		}
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// CopyInto makes a database in a data folder that has none, or opens the one in which an
// earlier copy was interrupted. Finish makes it the folder's.
func CopyInto(ctx context.Context, dir string) (*Copy, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make data folder: %w", err)
	}
	c := &Copy{path: filepath.Join(dir, unfinishedFile)}
	err := c.open(dir)
	if err == nil {
		err = vacant(dir)
	}
	if err == nil {
		err = migrate(ctx, c.path, slog.New(slog.DiscardHandler))
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// vacant refuses a folder that has a record, or what one has left: SQLite would play another
// database's log into the copy when that is done and has its name.
func vacant(dir string) error {
	if _, err := os.Lstat(filepath.Join(dir, DatabaseFile)); err == nil {
		return fmt.Errorf("%s has a record already (%s): name another folder", dir, DatabaseFile)
	}
	for _, end := range []string{"-wal", "-shm", "-journal"} {
		if _, err := os.Lstat(filepath.Join(dir, DatabaseFile+end)); err == nil {
			return fmt.Errorf("%s has the file %s of a database that was there: move it to where that one's %s is now", dir, DatabaseFile+end, DatabaseFile)
		}
	}
	return nil
}

// open locks the folder and opens the database, which need not be there.
func (c *Copy) open(dir string) (err error) {
	if c.lock, err = lockFolder(dir); err != nil {
		return err
	}
	if c.DB, err = sql.Open("sqlite", dsn(c.path, writing()...)); err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	c.DB.SetMaxOpenConns(1)
	c.Spell = func(query string) string { return query }
	return nil
}

// Alone reports that nobody else could write to the database until now: the folder is locked.
func (*Copy) Alone(context.Context) error { return nil }

// Finish makes a copy the database of its folder.
func (c *Copy) Finish(context.Context) error {
	err := c.DB.Close() // the last connection brings the write-ahead log into the file
	if _, there := os.Lstat(c.path + "-wal"); err == nil && there == nil {
		err = fmt.Errorf("%s-wal is still there", c.path)
	}
	if err == nil {
		err = durable.Rename(c.path, filepath.Join(filepath.Dir(c.path), DatabaseFile))
	}
	if err != nil {
		return fmt.Errorf("finish the copy: %w", err)
	}
	return nil
}

// Close closes the database and gives the data folder free.
func (c *Copy) Close() error {
	var err error
	if c.DB != nil {
		err = c.DB.Close()
	}
	if c.lock != nil {
		err = errors.Join(err, c.lock.Unlock())
	}
	return err
}
