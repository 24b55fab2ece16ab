package files

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/durable"
	"github.com/errand-dev/errand/server/internal/fault"
)

// KeepLeft is how long a file is kept that tasks have used, after the last of them
// was deleted (rule D1).
const KeepLeft = 24 * time.Hour

const (
	// eraseBatch is how many files one commit drops, and one question names.
	eraseBatch = 256
	// eraseWait is how long who erases waits for those who bring or copy files: what it
	// does not get to is left to the next look.
	eraseWait = time.Second
	// lockStep is how often it looks whether they are done.
	lockStep = 5 * time.Millisecond
	// deadUpload is how long nothing of an upload has come when it is taken for one
	// that a crash has cut off.
	deadUpload = 24 * time.Hour
)

// Standing is how a file stands to a scope that wants to be rid of it.
type Standing struct {
	// Brought says that it was brought in the scope, and Others that it was brought
	// by others as well.
	Brought, Others bool
	// Using names tasks of the scope that use it: some, if there are any.
	Using []string
	// Used says that any task uses it.
	Used bool
}

// Removal is what becomes of a file that a scope is rid of.
type Removal int

// What becomes of it.
const (
	LeftToOthers Removal = iota + 1 // who have brought it, too
	LeftToTasks                     // of others, who were shown it: it is nobody's from now on
	Erased
)

// Remove decides whether a scope may be rid of a file, and what becomes of that. What
// others do with the same content is none of its business: it neither keeps it from
// that nor is told (A3).
func (s Standing) Remove(id string) (Removal, error) {
	switch {
	case !s.Brought:
		return 0, fault.New(fault.NotFound, "no file %q", id)
	case len(s.Using) > 0:
		return 0, fault.New(fault.Conflict, "tasks use this file, among them %s: delete those first", strings.Join(s.Using, ", "))
	case s.Others:
		return LeftToOthers, nil
	case s.Used:
		return LeftToTasks, nil
	}
	return Erased, nil
}

// List lists the files of a scope, newest first, behind a cursor: at most size, and
// the cursor of what follows, zero when these are the last.
func (s *Shelf) List(ctx context.Context, in auth.Scope, behind Cursor, size int) ([]Listed, Cursor, error) {
	found, err := s.store.Files(ctx, in, behind, size+1)
	if err != nil || len(found) <= size {
		return found, Cursor{}, err
	}
	found = found[:size]
	last := found[size-1]
	return found, Cursor{CreatedAt: last.CreatedAt, ID: last.ID}, nil
}

// Get reads a file of the scope.
func (s *Shelf) Get(ctx context.Context, in auth.Scope, id string) (Listed, error) {
	return s.store.FileOf(ctx, in, id)
}

// Delete removes a file from those of a scope, unless a task of it uses the file: a
// Conflict. The content goes with the last who has it.
func (s *Shelf) Delete(ctx context.Context, in auth.Scope, id string) error {
	removed, err := s.store.DropFile(ctx, in, id)
	if err != nil || removed != Erased {
		return err
	}
	// The record is gone, and so is the file for everybody. Whatever keeps the content
	// from going now, the next look tells the log what is wrong.
	_ = s.erase(context.WithoutCancel(ctx), []string{id})
	return nil
}

// Forget drops what tasks have used, KeepLeft after the last of them was deleted, and
// erases the contents that no organization has any more, those among them that a crash
// kept from being noted. It erases nothing else: what this database does not know may
// be another's that had the folder before. So the contents that a crash keeps from
// being erased stay.
func (s *Shelf) Forget(ctx context.Context) error {
	orgs, err := s.store.Organizations(ctx)
	if err != nil {
		return fmt.Errorf("forget files: %w", err)
	}
	before := s.store.Now().Add(-KeepLeft)
	for _, org := range orgs {
		for more := true; more; {
			var ids []string
			if ids, more, err = s.store.DropLeft(ctx, org, before, eraseBatch); err != nil {
				return fmt.Errorf("forget files: %w", err)
			}
			if err := s.erase(ctx, ids); err != nil {
				return err
			}
		}
	}
	if err := s.erase(ctx, nil); err != nil {
		return err
	}
	return s.tidy()
}

// tidy removes uploads that a crash has cut off.
func (s *Shelf) tidy() error {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) { // nothing was ever uploaded
		return nil
	}
	for _, entry := range entries {
		if info, gone := entry.Info(); strings.HasPrefix(entry.Name(), upload) && gone == nil && time.Since(info.ModTime()) > deadUpload {
			err = errors.Join(err, remove(filepath.Join(s.dir, entry.Name())))
		}
	}
	return err
}

// without are the ids that are not among others.
func without(ids, others []string) []string {
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return slices.Contains(others, id) })
}

// erase removes the contents of files that were dropped, those left by earlier calls
// and those whose commit never came among them, unless an organization has them again.
// It has the folder alone: what is being brought again either is known, or comes after
// this. What it does not get to is left to the next call.
func (s *Shelf) erase(ctx context.Context, ids []string) error {
	s.erasing.Lock()
	defer s.erasing.Unlock()
	s.left = append(s.left, ids...)
	marks, err := s.marks()
	if err != nil || len(s.left) == 0 && len(marks) == 0 {
		return err
	}
	lock := flock.New(lockOf(s.dir))
	waiting, stop := context.WithTimeout(ctx, eraseWait)
	defer stop()
	if _, err := lock.TryLockContext(waiting, lockStep); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return nil
		}
		return fmt.Errorf("erase files: %w", err)
	}
	defer lock.Unlock() //nolint:errcheck // closing it is what counts
	for len(s.left) > 0 {
		some := s.left[:min(len(s.left), eraseBatch)]
		if err := s.eraseUnknown(ctx, some); err != nil {
			return err
		}
		s.left = s.left[len(some):]
	}
	for some := range slices.Chunk(marks, eraseBatch) { // nobody brings anything now
		if err := s.eraseUnknown(ctx, some); err != nil {
			return err
		}
		for _, id := range some {
			if err := remove(filepath.Join(s.dir, coming+id)); err != nil {
				return fmt.Errorf("erase files: %w", err)
			}
		}
	}
	return nil
}

// eraseUnknown removes those of some contents that no organization has.
func (s *Shelf) eraseUnknown(ctx context.Context, ids []string) error {
	known, err := s.store.KnownFiles(ctx, ids)
	if err != nil {
		return fmt.Errorf("erase files: %w", err)
	}
	for _, id := range without(ids, known) {
		if err := remove(s.path(id)); err != nil {
			return fmt.Errorf("erase files: %w", err)
		}
	}
	return nil
}

// marks are the ids of files whose commit is under way, or never came.
func (s *Shelf) marks() ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // nothing was ever uploaded
		return nil, fmt.Errorf("erase files: %w", err)
	}
	var ids []string
	for _, entry := range entries {
		if id, is := strings.CutPrefix(entry.Name(), coming); is && isID(id) {
			ids = append(ids, id)
		}
	}
	return ids, nil
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

// Pin keeps the contents in a shelf's folder from being erased, whichever process
// would, until release is called.
func Pin(ctx context.Context, dir string) (release func(), err error) {
	lock := flock.New(lockOf(dir))
	if _, err := lock.TryRLockContext(ctx, lockStep); err != nil {
		return nil, fmt.Errorf("lock files: %w", err)
	}
	return func() { _ = lock.Unlock() }, nil
}

// lockOf is the file that is locked: shared by those who bring files, and alone by
// who erases some. It lies beside the folder.
func lockOf(dir string) string { return dir + ".lock" }
