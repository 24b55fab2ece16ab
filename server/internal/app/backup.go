package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/errand-dev/errand/server/internal/blob"
	"github.com/errand-dev/errand/server/internal/durable"
	"github.com/errand-dev/errand/server/internal/files"
	"github.com/errand-dev/errand/server/internal/secret"
	"github.com/errand-dev/errand/server/internal/store/sqlite"
)

// Backup copies a data folder to a folder that must not be there yet: what
// was committed when it began, the files of that, and the keys. A server may
// serve the folder meanwhile. The copy appears whole or not at all, readable
// by its owner alone, and is itself a data folder. It returns the size in bytes.
func Backup(ctx context.Context, data, dest string) (size int64, err error) {
	if err := mayBackUp(data, dest); err != nil {
		return 0, err
	}
	if shared(data) {
		return 0, fmt.Errorf("the record of %s is in PostgreSQL: copy that with pg_dump, and after it the folder with a copy of your own", data)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dest), ".errand-backup-*")
	if err != nil {
		return 0, fmt.Errorf("make %s: %w", dest, errors.Unwrap(err))
	}
	defer os.RemoveAll(tmp)                                          //nolint:errcheck // it is gone already if all went well
	release, err := blob.Pin(ctx, filepath.Join(data, files.Folder)) // what the database knows of stays
	if err == nil {
		defer release()
	} else if !errors.Is(err, os.ErrNotExist) { // of a folder that is not there the database's copy says so
		return 0, err
	}
	if err := sqlite.Backup(ctx, data, tmp); err != nil {
		return 0, err
	}
	for _, name := range []string{secret.KeyFile, filepath.Base(KeyFile(data))} {
		err := copyFile(filepath.Join(data, name), filepath.Join(tmp, name))
		if err != nil && !errors.Is(err, os.ErrNotExist) { // a key may come from the environment
			return 0, err
		}
	}
	// After the database: a file is on disk before the database knows it.
	if err := copyFiles(ctx, filepath.Join(data, files.Folder), filepath.Join(tmp, files.Folder)); err != nil {
		return 0, err
	}
	if size, err = sizeOf(tmp); err != nil {
		return 0, err
	}
	if err := errors.Join(durable.SyncDir(tmp), os.Rename(tmp, dest)); err != nil {
		return 0, fmt.Errorf("make %s: %w", dest, err)
	}
	return size, durable.SyncDir(filepath.Dir(dest))
}

// shared reports whether the servers of a data folder have their record elsewhere.
func shared(data string) bool {
	_, err := os.Stat(filepath.Join(data, startLock))
	_, own := os.Stat(filepath.Join(data, sqlite.DatabaseFile))
	return err == nil && own != nil
}

// mayBackUp refuses what could harm an older copy or the folder itself.
func mayBackUp(data, dest string) error {
	if _, err := os.Lstat(dest); err == nil {
		return fmt.Errorf("%s is there already: name a new folder", dest)
	} else if !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("look for %s: %w", dest, errors.Unwrap(err))
	}
	from, errFrom := filepath.Abs(data)
	to, errTo := filepath.Abs(dest)
	if err := errors.Join(errFrom, errTo); err != nil {
		return err
	}
	if within, err := filepath.Rel(from, to); err == nil && within != ".." && !strings.HasPrefix(within, ".."+string(filepath.Separator)) {
		return fmt.Errorf("%s is in the data folder itself: name a folder elsewhere", dest)
	}
	return nil
}

// copyFiles copies the uploaded files. They never change; one that is still
// being uploaded is nobody's yet.
func copyFiles(ctx context.Context, from, to string) error {
	err := filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || ctx.Err() != nil {
			return errors.Join(err, context.Cause(ctx))
		}
		rest, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rest)
		switch {
		case entry.IsDir():
			return durable.Mkdir(target)
		case files.Unfinished(entry.Name()):
			return nil
		default:
			return copyFile(path, target)
		}
	})
	if errors.Is(err, os.ErrNotExist) { // nothing was ever uploaded
		if _, missing := os.Stat(from); errors.Is(missing, os.ErrNotExist) {
			return nil
		}
	}
	return err
}

// copyFile makes a copy (mode 0600) that lasts.
func copyFile(from, to string) error {
	source, err := os.Open(from) //nolint:gosec // a file of the data folder
	if err != nil {
		return err
	}
	defer source.Close()                                                     //nolint:errcheck // it was only read
	target, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // where the operator wants it
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Sync(), target.Close())
}

func sizeOf(dir string) (size int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	return size, err
}
