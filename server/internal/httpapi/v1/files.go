package v1

import (
	"context"
	"io"
	"mime"
	"mime/multipart"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/files"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// File is an uploaded file.
type File struct {
	ID          string     `json:"id" doc:"SHA-256 of its content."`
	Name        string     `json:"name" doc:"Its name with extension."`
	Size        int64      `json:"size" doc:"How many bytes it has."`
	ContentType string     `json:"content_type" doc:"What it is, found from its name and content."`
	URL         string     `json:"url" doc:"Give this to a task. Good for a day; tasks answer fresh ones."`
	CreatedAt   task.Stamp `json:"created_at" doc:"When it was first uploaded."`
	Tasks       int        `json:"tasks" doc:"How many tasks use it, counted to 1,000. A file is erased 24 hours after the last of them was deleted; one that no task has used stays."`
}

func (r *routes) file(org string, x files.Listed) File {
	return File{
		ID: x.ID, Name: x.Name, Size: x.Size, ContentType: x.ContentType, URL: r.Shelf.URL(org, files.Ref(x.ID, x.Name)),
		CreatedAt: x.CreatedAt, Tasks: x.Tasks,
	}
}

// FileQuery says which part of a list of files is wanted.
type FileQuery struct {
	PerPage int    `query:"per_page" minimum:"1" maximum:"50" default:"20" doc:"How many files a page holds."`
	Cursor  string `query:"cursor" doc:"next_cursor of the page before."`
}

// FileList is a page of files.
type FileList struct {
	Items      []File  `json:"items" doc:"The files of this page."`
	NextCursor *string `json:"next_cursor" doc:"Give it as cursor for what follows; null on the last page."`
}

// FilePath is the part of a path that names a file.
type FilePath struct {
	ID string `path:"file_id" doc:"The file's id: the SHA-256 of its content."`
}

type (
	fileAnswer     struct{ Body File }
	fileListAnswer struct{ Body FileList }
)

func (r *routes) registerFiles() {
	r.registerUpload()
	tags := []string{"files"}
	add(r, operation{roles: users(), errors: []fault.Code{fault.Malformed}, Operation: huma.Operation{
		OperationID: "list-files", Method: http.MethodGet, Path: "/v1/files", Tags: tags, Summary: "List uploaded files, newest first",
	}}, r.listFiles)
	add(r, operation{roles: users(), errors: []fault.Code{fault.NotFound}, Operation: huma.Operation{
		OperationID: "get-file", Method: http.MethodGet, Path: "/v1/files/{file_id}", Tags: tags, Summary: "Read what is known of an uploaded file",
	}}, func(ctx context.Context, in *FilePath) (*fileAnswer, error) {
		scope := edge.Scope(ctx)
		x, err := r.Shelf.Get(ctx, scope, in.ID)
		return &fileAnswer{r.file(scope.Organization, x)}, err
	})
	add(r, operation{roles: users(), errors: []fault.Code{fault.NotFound, fault.Conflict}, Operation: huma.Operation{
		OperationID: "delete-file", Method: http.MethodDelete, Path: "/v1/files/{file_id}", DefaultStatus: http.StatusNoContent, Tags: tags,
		Summary:     "Delete an uploaded file for good",
		Description: "409 while a task uses it, whatever its status: delete the task first. What others have uploaded with the same content stays theirs.",
	}}, func(ctx context.Context, in *FilePath) (*struct{}, error) {
		return nil, r.Shelf.Delete(ctx, edge.Scope(ctx), in.ID)
	})
}

func (r *routes) listFiles(ctx context.Context, in *FileQuery) (*fileListAnswer, error) {
	var behind lifecycle.Cursor
	if in.Cursor != "" {
		var err error
		if behind, err = edge.ReadCursor(in.Cursor); err != nil {
			return nil, err
		}
	}
	scope := edge.Scope(ctx)
	found, next, err := r.Shelf.List(ctx, scope, files.Cursor(behind), in.PerPage)
	if err != nil {
		return nil, err
	}
	list := FileList{Items: make([]File, 0, len(found))}
	for _, x := range found {
		list.Items = append(list.Items, r.file(scope.Organization, x))
	}
	if next != (files.Cursor{}) {
		cursor := edge.WriteCursor(lifecycle.Cursor(next))
		list.NextCursor = &cursor
	}
	return &fileListAnswer{list}, nil
}

// registerUpload adds uploads. They are streamed to disk, so they are outside
// huma's decoding, but in its document.
func (r *routes) registerUpload() {
	op := operation{roles: everybody(), Operation: huma.Operation{
		OperationID: "upload-file", Method: http.MethodPost, Path: "/v1/files", Tags: []string{"files"},
		Summary: "Upload a file: its bytes as the body, or one part named file of a form", DefaultStatus: http.StatusCreated,
		Parameters: []*huma.Param{{
			Name: "name", In: "query", Schema: &huma.Schema{Type: huma.TypeString},
			Description: "Its name with extension; a form's part has its own.",
		}},
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			"application/octet-stream": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}},
			"multipart/form-data": {Schema: &huma.Schema{Type: huma.TypeObject, Properties: map[string]*huma.Schema{
				"file": {Type: huma.TypeString, Format: "binary", Description: "The file's bytes."},
			}}},
		}},
		Responses: map[string]*huma.Response{"201": {
			Description: "Stored.", Content: map[string]*huma.MediaType{"application/json": {Schema: schemaOf[File](r)}},
		}},
	}}
	r.stream(op, true, r.upload)
}

// stream registers an operation whose body or answer is a file: it is in the document,
// and outside of huma's decoding.
func (r *routes) stream(op operation, hasBody bool, handle func(http.ResponseWriter, *http.Request) error) {
	r.describe(&op, hasBody)
	r.api.OpenAPI().AddOperation(&op.Operation)
	r.api.Adapter().Handle(&op.Operation, func(hc huma.Context) {
		req, w := humago.Unwrap(hc)
		err := r.admit(hc, op)
		if err == nil {
			err = checkQuery(hc)
		}
		if err == nil {
			err = handle(w, req)
		}
		if err != nil {
			edge.WriteError(req.Context(), w, r.Log, err)
		}
	})
}

func (r *routes) upload(w http.ResponseWriter, req *http.Request) error {
	ctx, who := req.Context(), edge.Principal(req.Context())
	content, name, err := uploaded(req)
	if err != nil {
		return err
	}
	if name == "" {
		return fault.Field("name", "say what the file is called: ?name=sales.csv")
	}
	name = files.Name(name)
	f, err := r.Shelf.Put(ctx, who.Organization, files.Owner{Owner: who.Owner(), Group: who.Group}, name, content)
	if err != nil {
		return edge.BadUpload(ctx, err)
	}
	x, err := r.Shelf.Get(ctx, who.Scope(), f.ID)
	if err != nil {
		return err
	}
	x.Name = name // the one that it came with
	edge.WriteJSON(w, http.StatusCreated, r.file(who.Organization, x))
	return nil
}

// uploaded finds the content and name in a request.
func uploaded(req *http.Request) (io.Reader, string, error) {
	name := req.URL.Query().Get("name")
	kind, _, _ := mime.ParseMediaType(req.Header.Get("Content-Type")) // what cannot be parsed is no form
	if kind != "multipart/form-data" {
		return req.Body, name, nil
	}
	form, err := req.MultipartReader()
	if err != nil {
		return nil, "", fault.New(fault.Malformed, "the form cannot be read")
	}
	for {
		var part *multipart.Part
		if part, err = form.NextPart(); err != nil {
			return nil, "", fault.Field("file", "the form has no part named file")
		}
		if part.FormName() == "file" {
			if name == "" {
				name = part.FileName()
			}
			return part, name, nil
		}
	}
}
