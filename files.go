package errand

import (
	"context"
	"io"
	"net/http"
	"net/url"
)

// Files uploads files.
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
