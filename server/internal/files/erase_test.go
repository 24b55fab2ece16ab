package files_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/blob"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/files"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/secret"
	"github.com/errand-dev/errand/server/internal/task"
	"github.com/errand-dev/errand/server/internal/testkit/teststore"
)

const org = "org"

// place is a shelf over a real store, with the verbs that use it.
type place struct {
	*files.Shelf
	*lifecycle.Service
	t     *testing.T
	dir   string
	blobs files.Blobs
	build func(files.Blobs) // the shelf anew
	ahead atomic.Int64      // of the clock
}

func open(t *testing.T) *place {
	t.Helper()
	p := &place{t: t, dir: t.TempDir()}
	now := func() time.Time { return time.Now().Add(time.Duration(p.ahead.Load())) }
	store := teststore.Open(t, t, teststore.Options{Dir: p.dir, Now: now})
	t.Cleanup(func() { p.must(store.Close()) })
	box, err := secret.NewBox(bytes.Repeat([]byte{7}, 32))
	p.must(err)
	folder := filepath.Join(p.dir, files.Folder)
	blobs, err := blob.Open(t.Context(), blob.Folder, folder, store, slog.New(slog.DiscardHandler))
	p.must(err)
	p.blobs, p.build = blobs, func(b files.Blobs) {
		p.Shelf = files.NewShelf(folder, b, store, box, now, func() string { return "http://h" })
	}
	p.build(blobs)
	p.Service = lifecycle.New(store, box, p.Shelf, func() string { return "made" }, slog.New(slog.DiscardHandler))
	p.must(store.PutOrganization(t.Context(), org, org))
	_, err = p.PutAgent(t.Context(), org, "bot", agent.Record{Name: "bot"})
	p.must(err)
	return p
}

func (p *place) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// create creates a task that uses a file.
func (p *place) create(id, file string) error {
	_, _, err := p.Submit(p.t.Context(), lifecycle.Caller{Scope: auth.All(org), Owner: "key:1"}, lifecycle.Submission{
		Spec: task.Spec{ID: id, AgentID: "bot", Input: task.Input{Text: new("x"), Files: []string{files.Ref(file, "a")}}},
	})
	return err
}

func (p *place) put(content string) (string, error) {
	f, err := p.Put(p.t.Context(), org, files.Owner{Owner: "key:1"}, "a", strings.NewReader(content))
	return f.ID, err
}

// reads reports whether the file is there, and then its content must be.
func (p *place) reads(id string) bool {
	p.t.Helper()
	content, _, err := p.Open(p.t.Context(), org, id)
	if fault.CodeOf(err) == fault.NotFound {
		return false
	}
	p.must(err)
	defer content.Close() //nolint:errcheck // it was only read
	_, err = io.ReadAll(content)
	p.must(err)
	return true
}

func (p *place) content(id string) bool {
	p.t.Helper()
	_, err := os.Stat(filepath.Join(p.dir, files.Folder, id[:2], id))
	if !errors.Is(err, fs.ErrNotExist) {
		p.must(err)
	}
	return err == nil
}

// The clock alone makes a file go, a day after its last task (D1).
func TestD1FilesGoByTheClock(t *testing.T) {
	t.Parallel()
	if teststore.OnPostgres() {
		t.Skip("the clock is the database's: the API's tests move what is stored")
	}
	p := open(t)
	used, err := p.put("used")
	p.must(err)
	never, err := p.put("never")
	p.must(err)
	p.must(p.create("t", used))
	look := func(after time.Duration, want bool) {
		t.Helper()
		p.ahead.Add(int64(after))
		p.must(p.Shelf.Forget(t.Context()))
		if p.reads(used) != want || p.content(used) != want || !p.reads(never) {
			t.Errorf("after %s more the used file is there: %v, want %v; the other: %v", after, p.reads(used), want, p.reads(never))
		}
	}
	look(10*365*24*time.Hour, true)
	p.must(p.Service.Delete(t.Context(), lifecycle.Caller{Scope: auth.All(org)}, "t"))
	look(24*time.Hour-time.Minute, true)
	look(2*time.Minute, false)
	if err := p.create("t", used); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("H6: a create with a file that has gone: %v", err)
	}
}

// A content goes when its record has gone and nobody holds the folder, who may be about
// to need it. What this database has never known is another's, which had the folder
// before: it stays.
func TestH6OnlyWhatWasKnownIsErased(t *testing.T) {
	t.Parallel()
	p := open(t)
	p.must(p.Shelf.Forget(t.Context())) // there is no folder yet
	id, err := p.put("known")
	p.must(err)
	foreign := strings.Repeat("ab", 32)
	folder := filepath.Join(p.dir, files.Folder, foreign[:2])
	p.must(os.MkdirAll(folder, 0o700))
	p.must(os.WriteFile(filepath.Join(folder, foreign), []byte("x"), 0o600))
	release, err := blob.Pin(t.Context(), filepath.Join(p.dir, files.Folder))
	p.must(err)
	p.must(p.Shelf.Delete(t.Context(), auth.All(org), id))
	p.must(p.Shelf.Forget(t.Context()))
	if !p.content(id) {
		t.Error("H6: a content was erased although it was held")
	}
	release()
	p.must(p.Shelf.Forget(t.Context()))
	if p.content(id) || !p.content(foreign) {
		t.Errorf("H6: the dropped content is there: %v, the unknown one: %v", p.content(id), p.content(foreign))
	}
}

// Creates, uploads, deletions and the sweeper's looks at one content, all at once: a
// task that was created has its file, and an upload that was answered is there.
func TestH6NothingIsErasedThatIsComing(t *testing.T) {
	t.Parallel()
	p := open(t)
	who := lifecycle.Caller{Scope: auth.All(org)}
	id, err := p.put("content")
	p.must(err)
	created, refused := 0, 0
	for round := range 40 {
		var all sync.WaitGroup
		var made atomic.Bool
		name := fmt.Sprint("t-", round)
		ctx := context.WithoutCancel(t.Context())
		failures := make([]error, 4)
		all.Go(func() {
			err := p.create(name, id)
			if made.Store(err == nil); fault.CodeOf(err) != fault.Invalid {
				failures[0] = err
			}
		})
		all.Go(func() {
			if err := p.Shelf.Delete(ctx, auth.All(org), id); fault.CodeOf(err) != fault.NotFound && fault.CodeOf(err) != fault.Conflict {
				failures[1] = err
			}
		})
		if round%3 == 0 {
			all.Go(func() { _, failures[2] = p.put("content") })
		}
		all.Go(func() { failures[3] = p.Shelf.Forget(ctx) })
		all.Wait()
		p.must(errors.Join(failures...))
		there := p.reads(id) // which fails if there is a record without its content
		if made.Load() {
			created++
			if !there {
				t.Fatalf("H6: round %d: the task was created, and its file is gone", round)
			}
			p.must(p.Service.Delete(ctx, who, name))
		} else {
			refused++
		}
		if _, err := p.put("content"); err != nil || !p.reads(id) {
			t.Fatalf("H6: round %d: what was brought is not there, %v", round, err)
		}
	}
	t.Logf("%d tasks were created, %d refused", created, refused)
}

// balky has contents of which one cannot be erased.
type balky struct {
	files.Blobs
	not string
}

func (b balky) Erase(ctx context.Context, id string) error {
	if id == b.not {
		return errors.New("it balks")
	}
	return b.Blobs.Erase(ctx, id)
}

// What keeps one content from being erased keeps no other from that, nor from being
// brought again; the one is erased when it was not heard of for a while, also by who
// brings it.
func TestH6AnErasureThatBrokeOff(t *testing.T) {
	t.Parallel()
	if teststore.OnPostgres() {
		t.Skip("the clock is the database's: the stores' tests move it")
	}
	p := open(t)
	ids := make([]string, 3)
	for i := range ids {
		id, err := p.put(fmt.Sprint("content ", i))
		p.must(err)
		ids[i] = id
	}
	release, err := blob.Pin(t.Context(), filepath.Join(p.dir, files.Folder))
	p.must(err)
	for _, id := range ids {
		p.must(p.Shelf.Delete(t.Context(), auth.All(org), id)) // later, as somebody copies them
	}
	release()
	p.build(balky{p.blobs, ids[1]})
	if err := p.Shelf.Forget(t.Context()); err == nil || !strings.Contains(err.Error(), "it balks") {
		t.Errorf("H6: %v", err)
	}
	p.build(p.blobs)
	p.must(p.Shelf.Forget(t.Context()))
	if p.content(ids[0]) || !p.content(ids[1]) || p.content(ids[2]) {
		t.Errorf("H6: the first is there: %v, the one that may be going still: %v, the last: %v", p.content(ids[0]), p.content(ids[1]), p.content(ids[2]))
	}
	p.ahead.Add(int64(5*time.Minute + time.Second))
	for i := range ids {
		if id, err := p.put(fmt.Sprint("content ", i)); err != nil || !p.reads(id) {
			t.Errorf("H6: content %d was brought again: %v", i, err)
		}
	}
}

// The mark by which an older release said that a content is coming is found.
func TestH6MarksOfAnOlderRelease(t *testing.T) {
	t.Parallel()
	p := open(t)
	known, err := p.put("known")
	p.must(err)
	lost := strings.Repeat("ab", 32)
	folder := filepath.Join(p.dir, files.Folder)
	p.must(os.MkdirAll(filepath.Join(folder, "ab"), 0o700))
	p.must(os.WriteFile(filepath.Join(folder, "ab", lost), []byte("x"), 0o600))
	ago := time.Now().Add(-2 * time.Hour)
	for _, id := range []string{known, lost} {
		mark := filepath.Join(folder, "coming-"+id)
		p.must(os.WriteFile(mark, nil, 0o600))
		p.must(os.Chtimes(mark, ago, ago))
	}
	p.must(p.Shelf.Forget(t.Context()))
	left, err := filepath.Glob(filepath.Join(folder, "coming-*"))
	p.must(err)
	if p.content(lost) || !p.reads(known) || len(left) > 0 {
		t.Errorf("H6: the lost content is there: %v, the known one: %v, marks: %v", p.content(lost), p.reads(known), left)
	}
}
