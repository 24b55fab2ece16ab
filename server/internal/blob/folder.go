package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"github.com/errand-dev/errand/server/internal/durable"
	"github.com/errand-dev/errand/server/internal/files"
)

const (
	// eraseWait is how long who erases waits for those who copy files.
	eraseWait = time.Second
	// lockStep is how often it looks whether they are done.
	lockStep = 5 * time.Millisecond
)

// folder keeps contents as files of the shelf's own folder.
type folder struct{ dir string }

func (f folder) path(id string) string { return filepath.Join(f.dir, id[:2], id) }

// Limit implements files.Blobs.
func (folder) Limit() int64 { return files.MaxSize }

// Put implements files.Blobs.
func (f folder) Put(_ context.Context, id string, _ int64, path string) error {
	final := f.path(id)
	if err := durable.Mkdir(filepath.Dir(final)); err != nil {
		return err
	}
	return durable.Rename(path, final)
}

// Open implements files.Blobs.
func (f folder) Open(_ context.Context, id string, _ int64) (io.ReadSeekCloser, error) {
	return os.Open(f.path(id))
}

// Erase implements files.Blobs.
func (f folder) Erase(ctx context.Context, id string) error {
	lock := flock.New(lockOf(f.dir))
	waiting, stop := context.WithTimeout(ctx, eraseWait)
	defer stop()
	if _, err := lock.TryLockContext(waiting, lockStep); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return files.ErrBusy
		}
		return err
	}
	defer lock.Unlock()               //nolint:errcheck // closing it is what counts
	if err := ctx.Err(); err != nil { // this process has stood still
		return err
	}
	return remove(f.path(id))
}

// remove removes a file, if it is there, and makes that last.
func remove(path string) error {
	err := os.Remove(path)
	if err == nil {
		err = durable.SyncDir(filepath.Dir(path))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Pin keeps the contents in a folder from being erased, whichever process would, until
// release is called.
func Pin(ctx context.Context, dir string) (release func(), err error) {
	lock := flock.New(lockOf(dir))
	if _, err := lock.TryRLockContext(ctx, lockStep); err != nil {
		return nil, fmt.Errorf("lock files: %w", err)
	}
	return func() { _ = lock.Unlock() }, nil
}

// lockOf is the file that is locked: shared by those who copy files, and alone by who
// erases some. It lies beside the folder.
func lockOf(dir string) string { return dir + ".lock" }
