package v1

import (
	"context"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/files"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
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
}

// registerFiles adds uploads. They are streamed to disk, so they are outside
// huma's decoding, but in its document.
func (r *routes) registerFiles() {
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
	r.describe(&op, true)
	r.api.OpenAPI().AddOperation(&op.Operation)
	r.api.Adapter().Handle(&op.Operation, func(hc huma.Context) {
		req, w := humago.Unwrap(hc)
		ctx := req.Context()
		err := edge.Require(ctx, op.roles...)
		if err == nil {
			err = r.upload(w, req)
		}
		if err != nil {
			edge.WriteError(ctx, w, r.Log, err)
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
		return badUpload(ctx, err)
	}
	edge.WriteJSON(w, http.StatusCreated, File{
		ID: f.ID, Name: name, Size: f.Size, ContentType: f.ContentType,
		URL: r.Shelf.URL(who.Organization, files.Ref(f.ID, name)), CreatedAt: f.CreatedAt,
	})
	return nil
}

// badUpload tells a client's broken upload from trouble of our own.
func badUpload(ctx context.Context, err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, os.ErrDeadlineExceeded) || ctx.Err() != nil {
		return fault.New(fault.Malformed, "the upload broke off")
	}
	return err
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
