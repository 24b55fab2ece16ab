package errand

import (
	"context"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Files uploads, lists and deletes files.
type Files struct{ c *Client }

// File is an uploaded file.
type File struct {
	// ID is the SHA-256 of its content.
	ID          string `json:"id"`
	Name        string `json:"name"`
	Size        int64  `json:"size"`
	ContentType string `json:"content_type"`
	// URL is what to give to a task; it is good for a day.
	URL string `json:"url"`
	// CreatedAt is when it was first uploaded.
	CreatedAt time.Time `json:"created_at"`
	// Tasks is how many tasks use it, counted to 1,000. A file is erased 24 hours
	// after the last of them was deleted; one that no task has used stays.
	Tasks int `json:"tasks"`
}

// Upload stores what r yields, at most 1 GiB, under a name with an extension.
// The same content is stored once. If r is an io.Seeker, an upload that breaks
// off is begun again.
func (f *Files) Upload(ctx context.Context, name string, r io.Reader) (*File, error) {
	var file File
	err := f.c.call(ctx, request{
		method: http.MethodPost, path: "/v1/files", query: url.Values{"name": {name}}, body: r, repeat: true, limit: -1,
	}, &file)
	if err != nil {
		return nil, err
	}
	return &file, nil
}

// FileListOptions say which page of the files is wanted.
type FileListOptions struct {
	// PerPage is at most 50; 0 is 20.
	PerPage int
	// Cursor is the NextCursor of the page before.
	Cursor string
}

func (o FileListOptions) query() map[string]string {
	q := map[string]string{"cursor": o.Cursor}
	if o.PerPage > 0 {
		q["per_page"] = strconv.Itoa(o.PerPage)
	}
	return q
}

// FilePage is a page of files, newest first.
type FilePage struct {
	Items      []File `json:"items"`
	NextCursor string `json:"next_cursor"`
}

// List lists the uploaded files that the key sees, newest first.
func (f *Files) List(ctx context.Context, o FileListOptions) (*FilePage, error) {
	var page FilePage
	err := f.c.call(ctx, request{method: http.MethodGet, path: "/v1/files", query: query(o.query()), repeat: true}, &page)
	if err != nil {
		return nil, err
	}
	return &page, nil
}

// All yields every uploaded file that the key sees, newest first, page by page. An
// error is yielded last.
func (f *Files) All(ctx context.Context, o FileListOptions) iter.Seq2[File, error] {
	return parts[File](ctx, f.c, "/v1/files", o.query())
}

// Get reads what is known of an uploaded file, with a fresh URL.
func (f *Files) Get(ctx context.Context, id string) (*File, error) {
	var file File
	err := f.c.call(ctx, request{method: http.MethodGet, path: filePath(id), repeat: true}, &file)
	if err != nil {
		return nil, err
	}
	return &file, nil
}

// Delete removes an uploaded file for good. While a task that is there uses it, ended
// or not, that is ErrConflict: delete the task first. What others have uploaded with
// the same content stays theirs.
func (f *Files) Delete(ctx context.Context, id string) error {
	return f.c.call(ctx, request{method: http.MethodDelete, path: filePath(id)}, nil)
}

func filePath(id string) string { return "/v1/files/" + url.PathEscape(id) }
