// Package files keeps uploaded files by the hash of their content, and turns
// the references that tasks keep into URLs that anyone may fetch for a day.
package files

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/durable"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/runtime/profile"
	"github.com/errand-dev/errand/server/internal/secret"
	"github.com/errand-dev/errand/server/internal/task"
)

// MaxSize is the most that one file may hold, in bytes.
const MaxSize = 1 << 30

// Folder is the name of the shelf's folder in the data folder.
const Folder = "files"

const (
	maxName = 200 // bytes of a file's name
	scheme  = "file:"
	prefix  = "/f/"
	upload  = "upload-" // begins the name of a file that is not whole yet
	mark    = "coming-" // began, in an older release, the name of what stood for a content on its way
)

// File is what is known of a stored file.
type File struct {
	ID          string // SHA-256 of its content, hexadecimal
	Size        int64
	ContentType string
	CreatedAt   task.Stamp
}

// Listed is a file as a scope sees it: what others have to do with the same content
// does not show.
type Listed struct {
	// File was CreatedAt when it was first brought in the scope.
	File
	// Name is what it was called when it was brought.
	Name string
	// Tasks is how many tasks of the scope use it, at most MaxTasks.
	Tasks int
}

// MaxTasks is how far the tasks that use a file are counted.
const MaxTasks = 1000

// Cursor is the place of a file in a list: the zero value is the beginning.
type Cursor struct {
	CreatedAt task.Stamp
	ID        string
}

// Owner is who brings a file (rule A3).
type Owner struct{ Owner, Group string }

// Store keeps which organization has which file, who has brought it, and which tasks
// use it. Which tasks do is written by those who create and delete tasks.
type Store interface {
	// PutFile notes that an organization has a file, and by whom it was brought.
	PutFile(ctx context.Context, org string, f File, name string, by Owner) error
	// PutKept notes that an organization has a file that nobody has brought: until a
	// task uses it, it counts as left.
	PutKept(ctx context.Context, org string, f File) error
	// Brought reports whether what the scope sees has brought the file.
	Brought(ctx context.Context, in auth.Scope, id string) (bool, error)
	// File reads a file's record; NotFound if the organization has none such.
	File(ctx context.Context, org, id string) (File, error)
	// Files lists files that were brought in the scope, newest first, behind a cursor.
	Files(ctx context.Context, in auth.Scope, behind Cursor, limit int) ([]Listed, error)
	// FileOf reads one of them; NotFound if there is none such.
	FileOf(ctx context.Context, in auth.Scope, id string) (Listed, error)
	// DropFile carries out what Standing.Remove decides.
	DropFile(ctx context.Context, in auth.Scope, id string) (Removal, error)
	// DropLeft drops what was brought and used, if the last task that did was deleted
	// before a moment: of at most limit files, whose ids it returns. It says whether
	// there may be more.
	DropLeft(ctx context.Context, org string, before task.Stamp, limit int) (ids []string, more bool, err error)
	// Coming notes that an upload brings a content to its place: from now on it is not
	// going. It is not free if it is going already.
	Coming(ctx context.Context, id string) (free bool, err error)
	// Came notes that such an upload is over: either an organization has the file, or
	// nobody will.
	Came(ctx context.Context, id string) error
	// Going finds contents that no organization has and no upload brings, and notes that
	// they are going: at most limit, and this one alone if only is not "". Uploads that
	// began before lost are over, in whatever way, and what is going since before stuck is
	// found again. It says since when they are going, and whether there may be more.
	Going(ctx context.Context, only string, lost, stuck task.Stamp, limit int) (ids []string, since task.Stamp, more bool, err error)
	// Stay notes that contents are not going for now, and Gone that they have gone: those
	// that nobody has found again since.
	Stay(ctx context.Context, since task.Stamp, ids []string) error
	Gone(ctx context.Context, since task.Stamp, ids []string) error
	// Organizations lists every organization's id.
	Organizations(ctx context.Context) ([]string, error)
	// Now is the store's clock.
	Now() task.Stamp
}

// Blobs is the place where contents lie, by the ids of their files. Its methods are safe
// for concurrent use, also by several servers.
type Blobs interface {
	// Limit is the most that a content may have, in bytes.
	Limit() int64
	// Put keeps the content of a file of the shelf's folder, which it may move. It is
	// there for good when Put returns, and there is no harm in its having been there.
	Put(ctx context.Context, id string, size int64, path string) error
	// Open reads a content for as long as ctx goes on; fs.ErrNotExist if it is not there.
	Open(ctx context.Context, id string, size int64) (io.ReadSeekCloser, error)
	// Erase removes a content, if it is there, and nothing when ctx has ended. ErrBusy says
	// that it has not begun, and is to be asked again later.
	Erase(ctx context.Context, id string) error
}

// ErrBusy is an error of Blobs.Erase.
var ErrBusy = errors.New("the contents are in use")

// Shelf has the files of all organizations. Its methods are safe for concurrent use.
type Shelf struct {
	dir   string
	blobs Blobs
	store Store
	box   *secret.Box
	now   func() time.Time
	base  func() string // the URL under which the server is reached
}

// NewShelf makes a shelf whose contents lie in blobs; what is not whole yet lies in a
// folder of the data folder.
func NewShelf(dir string, blobs Blobs, store Store, box *secret.Box, now func() time.Time, base func() string) *Shelf {
	return &Shelf{dir: dir, blobs: blobs, store: store, box: box, now: now, base: base}
}

// Name reduces what a user called a file to a name that is safe in a path and
// in a header: no folders, no control characters, at most 200 bytes.
func Name(given string) string {
	given = path.Base(strings.ReplaceAll(given, `\`, "/"))
	name := strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) || strings.ContainsRune(`/?#%"<>|*:`, r) {
			return '_'
		}
		return r
	}, given)
	name = strings.Trim(name, " .")
	if ext := path.Ext(name); len(name) > maxName && len(ext) < maxName/2 {
		stem := name[:maxName-len(ext)]
		for !utf8.ValidString(stem) {
			stem = stem[:len(stem)-1]
		}
		name = strings.TrimRight(stem, " .") + ext
	}
	if name == "" || len(name) > maxName {
		return "file"
	}
	return name
}

// Ref is what a task keeps of a file.
func Ref(id, name string) string { return scheme + id + "/" + name }

// SplitRef takes a reference apart; ok is false for anything else.
func SplitRef(ref string) (id, name string, ok bool) {
	rest, ok := strings.CutPrefix(ref, scheme)
	if !ok {
		return "", "", false
	}
	id, name, ok = strings.Cut(rest, "/")
	if !ok || !isID(id) || Name(name) != name {
		return "", "", false
	}
	return id, name, true
}

// isID reports whether a text has the form of a file's id.
func isID(text string) bool {
	raw, err := hex.DecodeString(text)
	return err == nil && len(raw) == sha256.Size && hex.EncodeToString(raw) == text
}

// storing says what went wrong with the disk.
func storing(err error) error {
	if why := durable.Refusal(err); why != "" {
		return fault.New(fault.Unavailable, "%s: the file was not stored; try again", why)
	}
	return fmt.Errorf("store file: %w", err)
}

// Put stores what r yields under a name; more than MaxSize bytes are TooLarge.
func (s *Shelf) Put(ctx context.Context, org string, by Owner, name string, r io.Reader) (File, error) {
	return s.bring(ctx, name, r, func(ctx context.Context, f File) error { return s.store.PutFile(ctx, org, f, name, by) })
}

// bring stores what r yields, and then calls note, which is to commit that the file is
// there: on an error the content goes again, unless somebody has it.
func (s *Shelf) bring(ctx context.Context, name string, r io.Reader, note func(context.Context, File) error) (File, error) {
	f, path, err := s.spool(name, r)
	if err != nil {
		return File{}, err
	}
	defer os.Remove(path) //nolint:errcheck // it is gone already where contents lie in a folder
	// Whatever happens to this server from here on, the content is found by it.
	if err := s.expect(ctx, f.ID); err != nil {
		return File{}, err
	}
	defer func() { _ = s.store.Came(context.WithoutCancel(ctx), f.ID) }() // if not, it counts as lost after a while
	ctx, stop := context.WithTimeout(ctx, lostUpload/2)
	defer stop()
	if err := s.blobs.Put(ctx, f.ID, f.Size, path); err != nil {
		return File{}, storing(err)
	}
	if err := note(ctx, f); err != nil {
		return File{}, err
	}
	return f, nil
}

// spool writes what r yields to a file of the shelf's folder, whose name it returns.
func (s *Shelf) spool(name string, r io.Reader) (f File, path string, err error) {
	if err := durable.Mkdir(s.dir); err != nil {
		return File{}, "", storing(err)
	}
	tmp, err := os.CreateTemp(s.dir, upload+"*")
	if err != nil {
		return File{}, "", storing(err)
	}
	defer func() {
		if err != nil {
			_ = errors.Join(tmp.Close(), os.Remove(tmp.Name()))
		}
	}()
	most := min(MaxSize, s.blobs.Limit())
	hash, head := sha256.New(), &header{}
	size, err := io.Copy(io.MultiWriter(tmp, hash, head), io.LimitReader(r, most+1))
	if err != nil {
		return File{}, "", storing(err)
	}
	if size > most {
		return File{}, "", &fault.Error{Code: fault.TooLarge, Field: "file", Message: fmt.Sprintf("must not exceed %d bytes", most)}
	}
	if err := errors.Join(tmp.Sync(), tmp.Close()); err != nil {
		return File{}, "", storing(err)
	}
	return File{
		ID: hex.EncodeToString(hash.Sum(nil)), Size: size, ContentType: profile.TypeOf(head.first, name), CreatedAt: task.StampOf(s.now()),
	}, tmp.Name(), nil
}

// expect notes that a content is coming. One that is going is waited for, and erased
// here if whoever began to erase it has died.
func (s *Shelf) expect(ctx context.Context, id string) error {
	until := time.Now().Add(expectTime)
	for {
		free, err := s.store.Coming(ctx, id)
		if free || err != nil {
			return err
		}
		if time.Now().After(until) {
			return fault.New(fault.Unavailable, "the same content is being erased: try again")
		}
		if _, err := s.erase(ctx, id); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(expectStep):
		}
	}
}

// Unfinished tells whether a file in the shelf's folder is no content: it is not whole
// yet, or says, in a folder of an older release, that one was coming.
func Unfinished(name string) bool {
	return strings.HasPrefix(name, upload) || strings.HasPrefix(name, mark)
}

// Open reads a file that the organization has, for as long as ctx goes on.
func (s *Shelf) Open(ctx context.Context, org, id string) (io.ReadSeekCloser, File, error) {
	f, err := s.store.File(ctx, org, id)
	if err != nil {
		return nil, File{}, err
	}
	content, err := s.blobs.Open(ctx, id, f.Size)
	if err != nil {
		return nil, File{}, fmt.Errorf("open file: %w", err)
	}
	return content, f, nil
}

// URL renders a reference: signed, good for a day and until the end of a UTC
// day, so that all answers of one day are equal (rules H6, T4). Anything that
// is no reference is answered as it is.
func (s *Shelf) URL(org, ref string) string {
	id, name, ok := SplitRef(ref)
	if !ok {
		return ref
	}
	until := s.now().UTC().Add(24*time.Hour + 24*time.Hour - 1).Truncate(24 * time.Hour).Unix()
	return s.base() + prefix + id + "/" + s.sign(org, id, name, until) + "/" + url.PathEscape(name)
}

// sign makes "<expiry>.<organization>.<mac>", all of it safe in a path.
func (s *Shelf) sign(org, id, name string, until int64) string {
	expiry := strconv.FormatInt(until, 36)
	mac := s.box.MAC("file", org, id, name, expiry)[:16]
	enc := base64.RawURLEncoding
	return expiry + "." + enc.EncodeToString([]byte(org)) + "." + enc.EncodeToString(mac)
}

// Verify returns whose file a signed URL names; NotFound for a bad or old one.
func (s *Shelf) Verify(id, signature, name string) (org string, err error) {
	parts := strings.Split(signature, ".")
	if len(parts) == 3 {
		raw, decoding := base64.RawURLEncoding.DecodeString(parts[1])
		until, parsing := strconv.ParseInt(parts[0], 36, 64)
		if decoding == nil && parsing == nil && hmac.Equal([]byte(signature), []byte(s.sign(string(raw), id, name, until))) {
			if s.now().Unix() > until {
				return "", fault.New(fault.Gone, "this URL has expired: ask for the task or file again")
			}
			return string(raw), nil
		}
	}
	return "", fault.New(fault.NotFound, "no such file, or a wrong signature")
}

// Keep turns what a user gave as a file's URL into what a task keeps: http(s)
// URLs as they are, our own references and URLs as references to files that
// are in the scope, with the file's id. Everything else is Invalid under the given
// field. Whoever has a URL with a good signature may read the file, and so may the
// task.
func (s *Shelf) Keep(ctx context.Context, in auth.Scope, given, field string) (kept, file string, err error) {
	if kept, err = s.keep(ctx, in, given, field); err != nil {
		return "", "", err
	}
	file, _, _ = SplitRef(kept)
	return kept, file, nil
}

func (s *Shelf) keep(ctx context.Context, in auth.Scope, given, field string) (string, error) {
	ref, shown := given, false
	if rest, ours := strings.CutPrefix(given, s.base()+prefix); ours {
		parts := strings.Split(rest, "/")
		name, err := url.PathUnescape(parts[len(parts)-1])
		if len(parts) != 3 || err != nil {
			return "", fault.Field(field, "is not a file URL of this server")
		}
		ref = Ref(parts[0], name)
		org, err := s.Verify(parts[0], parts[1], name)
		shown = err == nil && org == in.Organization
	}
	if strings.HasPrefix(ref, scheme) {
		id, _, ok := SplitRef(ref)
		if !ok {
			return "", fault.Field(field, "is not a file of this server: upload it with POST /v1/files")
		}
		if _, err := s.store.File(ctx, in.Organization, id); err != nil {
			if fault.CodeOf(err) == fault.NotFound {
				return "", lifecycle.NoFile(field)
			}
			return "", err
		}
		if !in.Whole() && !shown {
			brought, err := s.store.Brought(ctx, in, id)
			if err == nil && !brought {
				err = lifecycle.NoFile(field)
			}
			if err != nil {
				return "", err
			}
		}
		return ref, nil
	}
	u, err := url.Parse(given)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return "", fault.Field(field, "must be an http or https URL, or a file uploaded with POST /v1/files")
	}
	if ref, ours := s.signed(in.Organization, u); ours {
		return ref, nil
	}
	return given, nil
}

// signed is the reference of a file whose URL was signed for an organization with
// this server's key under another base: by another node, or before the server
// moved. Nobody else can make such a signature, wherever the URL points.
func (s *Shelf) signed(org string, u *url.URL) (ref string, ours bool) {
	parts := strings.Split(u.EscapedPath(), "/")
	if len(parts) < 4 || "/"+parts[len(parts)-4]+"/" != prefix {
		return "", false
	}
	parts = parts[len(parts)-3:]
	name, err := url.PathUnescape(parts[2])
	if err != nil {
		return "", false
	}
	if signedFor, err := s.Verify(parts[0], parts[1], name); err != nil || signedFor != org {
		return "", false
	}
	return Ref(parts[0], name), true
}

// header keeps the first bytes of a content, to sniff its type.
type header struct{ first []byte }

func (h *header) Write(p []byte) (int, error) {
	if room := 512 - len(h.first); room > 0 {
		h.first = append(h.first, p[:min(room, len(p))]...)
	}
	return len(p), nil
}
