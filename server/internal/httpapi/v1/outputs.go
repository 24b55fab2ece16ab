package v1

import (
	"context"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/files"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/task"
)

// Output is a file that an attempt has written.
type Output struct {
	Name        string     `json:"name" doc:"Its name with extension, which names it in its turn."`
	FileID      string     `json:"file_id" doc:"SHA-256 of its content: its id among the files."`
	Size        int64      `json:"size" doc:"How many bytes it has."`
	ContentType string     `json:"content_type" doc:"What it is, found from its name and content."`
	URL         string     `json:"url" doc:"Fetch it here without a key, or give it to another task. Good for a day."`
	Turn        int        `json:"turn" doc:"Of which turn it is."`
	Attempt     int        `json:"attempt" doc:"The attempt that wrote it, as the author of its event names it; 0 for none."`
	EventID     int64      `json:"event_id" doc:"The id of its output event in the task's log."`
	Time        task.Stamp `json:"time" doc:"When it was written."`
}

// OutputList is a part of a task's output files.
type OutputList struct {
	Items      []Output `json:"items" doc:"The files, in the order in which they were written."`
	NextCursor *string  `json:"next_cursor" doc:"Give it as cursor for what follows; null at the end."`
}

type outputsInput struct {
	TaskPath
	Turn int `query:"turn" minimum:"1" doc:"Of which turn; of all when left out."`
	Part
}

// leaseToken is the header in which a lease's token comes beside a body that is a file.
const leaseToken = "X-Errand-Lease-Token" //nolint:gosec // its name

func (r *routes) registerOutputs() {
	tags := []string{"outputs"}
	add(r, operation{roles: everybody(), shared: true, errors: []fault.Code{fault.Malformed}, Operation: huma.Operation{
		OperationID: "list-outputs", Method: http.MethodGet, Path: "/v1/tasks/{task_id}/outputs", Tags: tags,
		Summary: "List the files that a task's attempts have written",
	}}, r.outputs)
	text, number, first := &huma.Schema{Type: huma.TypeString}, &huma.Schema{Type: huma.TypeInteger}, 1.0
	number.Minimum = &first
	binary := map[string]*huma.MediaType{"application/octet-stream": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}}
	anything := map[string]*huma.MediaType{"*/*": binary["application/octet-stream"]}
	path := []*huma.Param{
		{Name: "task_id", In: "path", Required: true, Schema: text, Description: "The task's id."},
		{Name: "name", In: "path", Required: true, Schema: text, Description: "The file's name with extension, without folders."},
	}
	written := func(what string) *huma.Response {
		return &huma.Response{Description: what, Content: map[string]*huma.MediaType{"application/json": {Schema: schemaOf[Output](r)}}}
	}
	r.stream(operation{roles: everybody(), errors: []fault.Code{fault.Conflict}, Operation: huma.Operation{
		OperationID: "put-output", Method: http.MethodPut, Path: "/v1/tasks/{task_id}/outputs/{name}", Tags: tags,
		Summary: "Write an output file of a running task: its bytes as the body",
		Description: "Under the lease, which it renews when it begins and when it ends: send heartbeats meanwhile. At most 1 GiB. A file takes the place of the one of its" +
			" name in the turn; the same content again is answered like the first time. It is also an output event of the task's log.",
		Parameters: append(path, &huma.Param{
			Name: leaseToken, In: "header", Schema: text,
			Description: "The lease_token of the claim. It may be left out where no token exists: an attempt on a Python worker, a task that its creator executes.",
		}),
		RequestBody: &huma.RequestBody{Required: true, Content: binary},
		Responses:   map[string]*huma.Response{"201": written("Written."), "200": written("Written in the place of another, or known already.")},
	}}, true, r.putOutput)
	r.stream(operation{roles: everybody(), shared: true, Operation: huma.Operation{
		OperationID: "get-output", Method: http.MethodGet, Path: "/v1/tasks/{task_id}/outputs/{name}", Tags: tags,
		Summary: "Fetch an output file: its bytes, or a range of them",
		Parameters: append(path, &huma.Param{
			Name: "turn", In: "query", Schema: number, Description: "Of which turn; of the newest that has one when left out.",
		}),
		Responses: map[string]*huma.Response{
			"200": {Description: "The file.", Content: anything}, "206": {Description: "The range of it that was asked for.", Content: anything},
			"304": {Description: "It has not changed."}, "416": {Description: "It has no such range."},
		},
	}}, false, r.getOutput)
}

func (r *routes) outputShown(org string, o task.Output) Output {
	return Output{
		Name: o.Name, FileID: o.File, Size: o.Size, ContentType: o.ContentType, URL: r.Shelf.URL(org, files.Ref(o.File, o.Name)),
		Turn: o.Turn, Attempt: o.Attempt, EventID: o.Seq, Time: o.At,
	}
}

func (r *routes) outputs(ctx context.Context, in *outputsInput) (*struct{ Body OutputList }, error) {
	items, next, err := partOfTask(ctx, r, in.ID, in.Part, func(t task.Task, after int64, limit int) ([]task.Output, error) {
		return r.Service.Outputs(ctx, t.OrganizationID, t.ID, in.Turn, after, limit)
	}, func(o task.Output) (Output, int64) { return r.outputShown(edge.Principal(ctx).Organization, o), o.Seq })
	return &struct{ Body OutputList }{OutputList{items, next}}, err
}

func (r *routes) putOutput(w http.ResponseWriter, req *http.Request) error {
	ctx := req.Context()
	o, known, err := r.Shelf.PutOutput(ctx, r.Service, edge.Caller(ctx), req.PathValue("task_id"), req.Header.Get(leaseToken), req.PathValue("name"), req.Body)
	if err != nil {
		return edge.BadUpload(ctx, err)
	}
	status := http.StatusCreated
	if known {
		status = http.StatusOK
	}
	edge.WriteJSON(w, status, r.outputShown(edge.Principal(ctx).Organization, o))
	return nil
}

func (r *routes) getOutput(w http.ResponseWriter, req *http.Request) error {
	ctx, turn := req.Context(), 0
	if given := req.URL.Query().Get("turn"); given != "" {
		var err error
		if turn, err = strconv.Atoi(given); err != nil || turn < 1 {
			return fault.Field("turn", "must be a whole number from 1")
		}
	}
	t, err := r.Service.Task(ctx, edge.Scope(ctx), req.PathValue("task_id"))
	if err != nil {
		return err
	}
	o, err := r.Service.Output(ctx, t.OrganizationID, t.ID, turn, files.Name(req.PathValue("name")))
	if err != nil {
		return err
	}
	content, _, err := r.Shelf.Open(ctx, t.OrganizationID, o.File)
	if err != nil {
		return err
	}
	defer content.Close() //nolint:errcheck // it was only read
	edge.ServeFile(w, req, edge.Content{Name: o.Name, Type: o.ContentType, ID: o.File, At: o.At.Time(), ReadSeeker: content})
	return nil
}
