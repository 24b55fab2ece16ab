package responses

import (
	"context"
	"io"
	"mime/multipart"
	"net/http"
	"strings"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/files"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
)

// filePrefix begins the ids of files.
const filePrefix = "file-"

// file is an uploaded file.
type file struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Bytes   int64  `json:"bytes"`
	Created int64  `json:"created_at"`
	Name    string `json:"filename"`
	Purpose string `json:"purpose"`
	Status  string `json:"status"`
}

func shownFile(x files.Listed) file {
	return file{filePrefix + x.ID, "file", x.Size, x.CreatedAt.Time().Unix(), x.Name, "user_data", "processed"}
}

func (f *face) put(ctx context.Context, name string, content io.Reader) (files.File, error) {
	who := edge.Principal(ctx)
	return f.shelf.Put(ctx, who.Organization, files.Owner{Owner: who.Owner(), Group: who.Group}, files.Name(name), content)
}

// fileOf finds a file by its id.
func (f *face) fileOf(ctx context.Context, id string) (files.Listed, error) {
	sum, is := strings.CutPrefix(id, filePrefix)
	if !is {
		return files.Listed{}, fault.New(fault.NotFound, "no file %q", id)
	}
	return f.shelf.Get(ctx, edge.Scope(ctx), sum)
}

// upload stores the part of a form that is named file. Its purpose does not matter.
func (f *face) upload(w http.ResponseWriter, r *http.Request) error {
	form, err := r.MultipartReader()
	if err != nil {
		return fault.New(fault.Malformed, "must be a form with a part named file")
	}
	for {
		var part *multipart.Part
		if part, err = form.NextPart(); err != nil {
			return fault.Field("file", "the form has no part of that name")
		}
		if part.FormName() != "file" {
			continue
		}
		name := files.Name(part.FileName())
		kept, err := f.put(r.Context(), name, part)
		if err != nil {
			return edge.BadUpload(r.Context(), err)
		}
		x, err := f.shelf.Get(r.Context(), edge.Scope(r.Context()), kept.ID)
		if err != nil {
			return err
		}
		x.Name = name // the one that it came with
		edge.WriteJSON(w, http.StatusOK, shownFile(x))
		return nil
	}
}

// files lists those of the caller, newest first.
func (f *face) files(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	if query.Get("order") == "asc" {
		return fault.Field("order", "must be desc: files are listed newest first")
	}
	limit, err := limitOf(query)
	if err != nil {
		return err
	}
	var behind files.Cursor
	if after := query.Get("after"); after != "" {
		x, err := f.fileOf(r.Context(), after)
		if err != nil {
			return fault.Field("after", "must be the id of a file")
		}
		behind = files.Cursor{CreatedAt: x.CreatedAt, ID: x.ID}
	}
	found, next, err := f.shelf.List(r.Context(), edge.Scope(r.Context()), behind, limit)
	if err != nil {
		return err
	}
	page := list{Object: "list", Data: []any{}, More: next != (files.Cursor{})}
	for _, x := range found {
		page.add(listed{filePrefix + x.ID, shownFile(x)})
	}
	edge.WriteJSON(w, http.StatusOK, page)
	return nil
}

func (f *face) file(w http.ResponseWriter, r *http.Request) error {
	x, err := f.fileOf(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	edge.WriteJSON(w, http.StatusOK, shownFile(x))
	return nil
}

func (f *face) content(w http.ResponseWriter, r *http.Request) error {
	x, err := f.fileOf(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	content, kept, err := f.shelf.Open(r.Context(), edge.Principal(r.Context()).Organization, x.ID)
	if err != nil {
		return err
	}
	defer content.Close() //nolint:errcheck // it was only read
	edge.ServeFile(w, r, edge.Content{Name: x.Name, Type: kept.ContentType, ID: x.ID, At: x.CreatedAt.Time(), ReadSeeker: content})
	return nil
}

func (f *face) removeFile(w http.ResponseWriter, r *http.Request) error {
	x, err := f.fileOf(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	if err := f.shelf.Delete(r.Context(), edge.Scope(r.Context()), x.ID); err != nil {
		return err
	}
	edge.WriteJSON(w, http.StatusOK, deleted{filePrefix + x.ID, "file", true})
	return nil
}
