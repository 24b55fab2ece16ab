package files

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
)

// KeepLeft is how long a file is kept that tasks have used, after the last of them
// was deleted (rule D1).
const KeepLeft = 24 * time.Hour

const (
	// eraseBatch is how many files one commit drops, and one erases.
	eraseBatch = 256
	// eraseTime bounds how long one content takes to be erased, and how long others of
	// its batch are begun.
	eraseTime = 30 * time.Second
	// stuckErasure is after how long an erasure is begun again whose end nobody has
	// told. Until then it may be under way, and nobody brings the content.
	stuckErasure = 10 * eraseTime
	// expectTime is how long an upload waits for it, expectStep how often it looks.
	expectTime, expectStep = 30 * time.Second, 50 * time.Millisecond
	// lostUpload is after how long a content counts as lost whose upload was not heard of
	// again since it was whole.
	lostUpload = time.Hour
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
	_, _ = s.erase(context.WithoutCancel(ctx), id)
	return nil
}

// Forget drops what tasks have used, KeepLeft after the last of them was deleted, and
// erases the contents that no organization has any more, those among them that a crash
// kept from being noted or from being erased. It erases nothing else: what this database
// does not know may be another's that has the same place.
func (s *Shelf) Forget(ctx context.Context) error {
	orgs, err := s.store.Organizations(ctx)
	if err != nil {
		return fmt.Errorf("forget files: %w", err)
	}
	before := s.store.Now().Add(-KeepLeft)
	for _, org := range orgs {
		for more := true; more; {
			if _, more, err = s.store.DropLeft(ctx, org, before, eraseBatch); err != nil {
				return fmt.Errorf("forget files: %w", err)
			}
		}
	}
	tidied := s.tidy(ctx)
	for more := true; more; {
		if more, err = s.erase(ctx, ""); err != nil {
			return errors.Join(tidied, err)
		}
	}
	return tidied
}

// tidy removes uploads that a crash has cut off, and makes of the marks of an older
// release what stands for them now.
func (s *Shelf) tidy(ctx context.Context) error {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) { // nothing was ever uploaded
		return nil
	}
	for _, entry := range entries {
		info, gone := entry.Info()
		if !Unfinished(entry.Name()) || gone != nil {
			continue
		}
		old := time.Since(info.ModTime())
		id, marks := strings.CutPrefix(entry.Name(), mark)
		switch {
		case marks && isID(id) && old > lostUpload: // it came, and whether it is known is to be found out
			_, noted := s.store.Coming(ctx, id)
			if noted = errors.Join(noted, s.store.Came(ctx, id)); noted == nil {
				noted = os.Remove(filepath.Join(s.dir, entry.Name()))
			}
			err = errors.Join(err, noted)
		case old > deadUpload:
			err = errors.Join(err, os.Remove(filepath.Join(s.dir, entry.Name())))
		}
	}
	return err
}

// erase removes contents that no organization has and nobody brings: one, or with only ""
// a batch of all such. It says whether there may be more.
func (s *Shelf) erase(ctx context.Context, only string) (more bool, err error) {
	now := s.store.Now()
	ids, since, more, err := s.store.Going(ctx, only, now.Add(-lostUpload), now.Add(-stuckErasure), eraseBatch)
	if err != nil || len(ids) == 0 {
		return more, err
	}
	gone, rest, err := s.eraseEach(ctx, ids)
	more = more || len(rest) > 0
	switch {
	case errors.Is(err, ErrBusy):
		more, err = false, nil
	case err != nil:
		err = fmt.Errorf("erase files: %w", err)
	}
	return more, errors.Join(err, s.store.Gone(ctx, since, gone), s.store.Stay(ctx, since, rest))
}

// eraseEach erases contents one after the other, and says which have gone, and to which it
// has not come in eraseTime. Any other may be going still.
func (s *Shelf) eraseEach(ctx context.Context, ids []string) (gone, rest []string, err error) {
	for n, begun := 0, time.Now(); n < len(ids); n++ {
		if n > 0 && time.Since(begun) > eraseTime {
			return gone, ids[n:], err
		}
		erasing, stop := context.WithTimeout(ctx, eraseTime)
		failed := s.blobs.Erase(erasing, ids[n])
		stop()
		switch {
		case errors.Is(failed, ErrBusy):
			return gone, ids[n:], errors.Join(err, failed)
		case failed != nil:
			err = errors.Join(err, failed)
		default:
			gone = append(gone, ids[n])
		}
	}
	return gone, nil, err
}
