package edge

import (
	"bytes"
	"context"
	"encoding/base64"
	"mime"
	"strings"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/files"
)

// Inline is a file that came inside a request, in base64.
type Inline struct {
	// Name is what it is called, "" if nobody says.
	Name string
	// Type is its media type.
	Type string
	Data string
}

// KeepURL returns what a task takes as the URL of a file: the URL itself, or for a data: URL
// in base64 what Keep makes of it.
func KeepURL(ctx context.Context, shelf *files.Shelf, url, name, field string) (string, error) {
	rest, is := strings.CutPrefix(url, "data:")
	head, data, whole := strings.Cut(rest, ",")
	kind, encoded := strings.CutSuffix(head, ";base64")
	if !is || !whole || !encoded {
		return url, nil
	}
	return Inline{name, kind, data}.Keep(ctx, shelf, field)
}

// Keep stores the file as an upload of the caller's, and returns what a task takes as its URL.
func (in Inline) Keep(ctx context.Context, shelf *files.Shelf, field string) (string, error) {
	content, err := base64.StdEncoding.DecodeString(in.Data)
	if err != nil {
		return "", fault.Field(field, "is not valid base64")
	}
	if in.Name == "" {
		in.Name = "file" + extension(in.Type)
	}
	who, name := Principal(ctx), files.Name(in.Name)
	f, err := shelf.Put(ctx, who.Organization, files.Owner{Owner: who.Owner(), Group: who.Group}, name, bytes.NewReader(content))
	if err != nil {
		return "", err
	}
	return files.Ref(f.ID, name), nil
}

// extension is that of names of files of a type, "" if none is known.
func extension(kind string) string {
	kind, _, _ = mime.ParseMediaType(kind)
	switch _, sub, _ := strings.Cut(kind, "/"); sub {
	case "plain":
		return ".txt"
	case "markdown":
		return ".md"
	case "jpeg":
		return ".jpg"
	case "mpeg":
		return ".mp3"
	case "vnd.openxmlformats-officedocument.spreadsheetml.sheet":
		return ".xlsx"
	case "csv", "json", "pdf", "png", "gif", "webp", "html", "xml", "wav", "mp4", "webm":
		return "." + sub
	default:
		return ""
	}
}
