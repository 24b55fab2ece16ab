package edge

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/errand-dev/errand/server/internal/fault"
)

// Content is a file that somebody has brought, as it is served.
type Content struct {
	// Name is one that files.Name has made.
	Name string
	// Type is its content type, and ID the SHA-256 of its content.
	Type, ID string
	// At is when it was brought.
	At time.Time
	io.ReadSeeker
}

// ServeFile serves a file, or the range of it that is asked for. Whatever it holds, a
// browser must not run it (H6).
func ServeFile(w http.ResponseWriter, r *http.Request, c Content) {
	h := w.Header()
	h.Set("Content-Type", c.Type)
	h.Set("Content-Disposition", `attachment; filename="`+c.Name+`"`)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	h.Set("Etag", `"`+c.ID+`"`)
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "private, no-cache")
	}
	http.ServeContent(w, r, c.Name, c.At, c)
}

// BadUpload tells a client's broken upload from trouble of our own.
func BadUpload(ctx context.Context, err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, os.ErrDeadlineExceeded) || ctx.Err() != nil {
		return fault.New(fault.Malformed, "the upload broke off")
	}
	return err
}
