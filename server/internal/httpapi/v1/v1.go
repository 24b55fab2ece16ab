// Package v1 is the public REST API. Its OpenAPI document is made from the
// types that decode the requests, so the two cannot drift apart. It holds no
// rule about tasks.
package v1

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/deliver"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/files"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/people"
	"github.com/errand-dev/errand/server/internal/search"
	"github.com/errand-dev/errand/server/internal/task"
)

// Options are what the routes need.
type Options struct {
	edge.Core
	Version string
	// Store is what keeps the record: sqlite or postgres.
	Store string
	// UI names the web UI that is built in, "" for none.
	UI   string
	Auth *auth.Authenticator
	// People is the provider with which people sign in; nil for none.
	People *people.Provider
	Search *search.Finder
	Pushes *deliver.Book
	Cookie edge.SessionCookie
	// Data is the server's data folder.
	Data  string
	Shelf *files.Shelf
	// Preview reads a file as an agent would be given it.
	Preview Preview
}

type routes struct {
	Options
	api   huma.API
	forms sync.Map // by the types of items that are read by themselves
}

// hook guards huma's settings that are one for the whole process.
var hook sync.Once //nolint:gochecknoglobals // so are they

// SessionPath is where a browser signs in.
const SessionPath = "/v1/session"

// Face is the API as one of the server's faces. Open are signing in and the API's own
// description: pages that are the same for everybody, which a browser could send no key
// for. Errors of huma itself take the API's form too; that form is one hook for the whole process.
func Face(o Options) edge.Face {
	return edge.Face{
		Words:    []string{"v1"},
		Lists:    []string{"status", "log"},
		Register: func(mux *http.ServeMux) { register(mux, o) },
		Open: func(r *http.Request) bool {
			switch r.URL.Path {
			case "/v1/docs", "/v1/openapi.json", waysPath, oidcPath, CallbackPath, leavePath:
				return true
			case SessionPath:
				return r.Method == http.MethodPost
			}
			return false
		},
		Fail: func(w http.ResponseWriter, r *http.Request, log *slog.Logger, err error) {
			edge.WriteError(r.Context(), w, log, err)
		},
	}
}

func register(mux *http.ServeMux, o Options) *routes {
	config := huma.DefaultConfig("Errand", o.Version)
	config.Info.Description = about
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "/v1/openapi", "", ""
	config.CreateHooks = nil // no links to schemas inside the answers
	config.Formats = formats()
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"key":     {Type: "apiKey", In: "header", Name: "x-api-key", Description: "A key of your organization."},
		"token":   {Type: "apiKey", In: "query", Name: edge.TokenParameter, Description: "A token that reads one task."},
		"session": {Type: "apiKey", In: "cookie", Name: o.Cookie.Name, Description: "A browser's session; the end of the name is the server's own."},
	}
	config.Security = []map[string][]string{{"key": {}}, {"session": {}}}
	documented(config.Components.Schemas)
	hook.Do(func() {
		huma.ValidateStrictCasing = true // a field in other letters is an unknown field
		huma.NewErrorWithContext = newError
		huma.NewError = func(status int, message string, errs ...error) huma.StatusError {
			return newError(nil, status, message, errs...)
		}
	})
	r := &routes{Options: o, api: humago.New(mux, config)}
	r.registerCreate()
	r.registerCreateMany()
	r.registerInvoke()
	r.registerTasks()
	r.registerTree()
	r.registerSearch()
	r.registerStop()
	r.registerThreads()
	r.registerReport()
	r.registerEvents()
	r.registerPages()
	r.registerSteps()
	r.registerWait()
	r.registerOutputs()
	r.registerGiven()
	r.registerApprovals()
	r.registerWorkers()
	r.registerPresent()
	r.registerServer()
	r.registerTrouble()
	r.registerAgents()
	r.registerKeys()
	r.registerUsage()
	r.registerWebhooks()
	r.registerStats()
	r.registerSession()
	r.registerTokens()
	r.registerFiles()
	r.explain()
	r.registerDocs(mux)
	r.registerPeople(mux)
	return r
}

// apiError is an error in the API's form.
type apiError struct {
	status int
	edge.Body
}

func (e *apiError) Error() string { return e.Detail }

// GetStatus implements huma.StatusError.
func (e *apiError) GetStatus() int { return e.status }

// GetHeaders implements huma.HeadersError.
func (e *apiError) GetHeaders() http.Header { return e.Header() }

// ContentType implements huma.ContentTypeFilter: errors are plain JSON.
func (e *apiError) ContentType(string) string { return "application/json" }

// MarshalJSON writes the body alone.
func (e *apiError) MarshalJSON() ([]byte, error) { return json.Marshal(e.Body) }

// Schema implements huma.SchemaProvider.
func (e *apiError) Schema(r huma.Registry) *huma.Schema {
	return r.Schema(reflect.TypeFor[Error](), true, "")
}

// newError gives huma's own errors the API's form. It names the first field
// that was wrong, and never repeats a value: that might be a secret.
func newError(ctx huma.Context, status int, message string, errs ...error) huma.StatusError {
	e := &apiError{status: status, Body: edge.Body{Detail: message, Code: fault.FromStatus(status)}}
	if ctx != nil {
		e.RequestID = edge.RequestID(ctx.Context())
	}
	for _, err := range errs {
		if detail, ok := errors.AsType[*huma.ErrorDetail](err); ok {
			e.Field, e.Detail = fieldOf(detail)
			break
		}
	}
	return e
}

// misfit is what the decoder says of a number that the document allows and no
// variable of ours can hold: with the field, behind the names of our types, if
// it knows that.
var misfit = regexp.MustCompile(`^json: cannot unmarshal number .* into Go (?:struct field (?:[A-Z]\w*\.)+(\S+)|value) of type`)

// fieldOf returns the field that one of huma's errors is about, and what was
// wrong. A missing member is named itself, not what it is missing from.
func fieldOf(d *huma.ErrorDetail) (field, message string) {
	field = strings.TrimPrefix(d.Location, "body.")
	if parameter, isQuery := strings.CutPrefix(d.Location, "query."); isQuery { // of one that may stand more than once no place is told
		field, _, _ = strings.Cut(parameter, "[")
	}
	if wrong := misfit.FindStringSubmatch(d.Message); wrong != nil {
		return cmp.Or(wrong[1], field), "holds a number that does not fit: whole numbers are written without fraction and exponent, and have a largest"
	}
	name, isMissing := strings.CutPrefix(d.Message, "expected required property ")
	if !isMissing {
		return field, d.Message
	}
	name = strings.TrimSuffix(name, " to be present")
	if field == "body" {
		return name, "must be given"
	}
	return field + "." + name, "must be given"
}

// add registers a handler whose errors take the API's form.
func add[I, O any](r *routes, op operation, handle func(context.Context, *I) (*O, error)) {
	op.MaxBodyBytes = edge.MaxBody
	op.BodyReadTimeout = -1 // the body has been read when it comes here
	var read *quick
	op.Middlewares = append(op.Middlewares, func(hc huma.Context, next func(huma.Context)) {
		var err error
		if !op.open {
			err = r.admit(hc, op)
		}
		if err == nil {
			err = checkQuery(hc)
		}
		if err != nil {
			_, w := humago.Unwrap(hc)
			edge.WriteError(hc.Context(), w, r.Log, err)
			return
		}
		if !read.serve(hc) {
			next(hc)
		}
	})
	_, hasBody := reflect.TypeFor[I]().FieldByName("Body")
	r.describe(&op, hasBody)
	answer := func(ctx context.Context, in *I) (*O, error) {
		out, err := handle(ctx, in)
		if err == nil {
			return out, nil
		}
		status, body := edge.Describe(ctx, r.Log, err)
		return nil, &apiError{status: status, Body: body}
	}
	huma.Register(r.api, op.Operation, answer)
	read = newQuick(r.api, op.Operation, answer)
	r.repeat(op)
}

// admit refuses a principal who has none of the roles, or who works for other
// agents than the one that the path, or the path's task, names (rule A3). It
// comes before the body is looked at.
func (r *routes) admit(hc huma.Context, op operation) error {
	ctx, roles := hc.Context(), op.roles
	if pass := edge.Principal(ctx).Pass; pass != nil {
		if op.shared && hc.Param("task_id") == pass.Task {
			return nil
		}
		return fault.New(fault.Forbidden, "this token reads one task, its events and its outputs, and nothing else")
	}
	if err := edge.Require(ctx, roles...); err != nil {
		return err
	}
	if id := hc.Param("task_id"); id != "" {
		return r.admitTo(ctx, id)
	}
	if agent := hc.Param("agent_id"); agent != "" {
		return edge.RequireAgent(edge.Principal(ctx), agent)
	}
	return nil
}

// admitTo is admit for what names a task: that of an agent for whom a worker's key
// is not, is refused.
func (r *routes) admitTo(ctx context.Context, id string) error {
	p := edge.Principal(ctx)
	if p.Role != auth.Worker || len(p.Agents) == 0 {
		return nil
	}
	t, err := r.Service.Task(ctx, p.Scope(), id)
	if err != nil {
		return err
	}
	return edge.RequireAgent(p, t.AgentID)
}

// formats are JSON and nothing else. What is rendered already is written as it is.
func formats() map[string]huma.Format {
	f := huma.DefaultJSONFormat
	f.Marshal = func(w io.Writer, v any) error {
		if x, ok := v.(interface{ rendered() json.RawMessage }); ok {
			_, err := w.Write(slices.Concat(x.rendered(), []byte("\n"))) // it may be shared
			return err
		}
		return huma.DefaultJSONFormat.Marshal(w, v)
	}
	return map[string]huma.Format{"application/json": f, "json": f}
}

// raw is an answer that is rendered already, documented by T.
type raw[T any] struct{ json json.RawMessage }

func (x raw[T]) rendered() json.RawMessage { return x.json }

// MarshalJSON writes the answer as it is.
func (x raw[T]) MarshalJSON() ([]byte, error) { return x.json, nil }

// Schema implements huma.SchemaProvider.
func (x raw[T]) Schema(r huma.Registry) *huma.Schema {
	return r.Schema(reflect.TypeFor[T](), true, "")
}

// Task documents a task in answers.
type Task struct {
	task.Spec
	task.State
	Tokens       orNull[task.Tokens]       `json:"tokens" doc:"Model tokens that the turn has used; null while that is not known."`
	UpdatedAt    task.Stamp                `json:"updated_at" doc:"When anything about it last changed."`
	Stop         orNull[task.Stop]         `json:"stop" doc:"What became of a request to stop; null when there was none."`
	Waiting      orNull[lifecycle.Waiting] `json:"waiting" doc:"Why a task that has not ended is not executing; null otherwise, and wherever it was not asked."`
	Spent        orNull[task.Shown]        `json:"spent" doc:"What was used of the budget that it spends from; null without one."`
	LastEventSeq int64                     `json:"last_event_seq" doc:"The number of the newest event in its log."`
	SubTasks     []string                  `json:"sub_executions" doc:"The ids of its sub-tasks, the oldest first; the first 1000."`
	Owner        string                    `json:"owner" doc:"Whose task it is: the key (key:…) that created it, or the user (user:…) for whom it did; a sub-task's is its parent's. Empty for a task of a time before owners."`
	Group        string                    `json:"group" doc:"Which group of keys may see it; empty for none."`
}

type taskAnswer struct {
	Status int
	Replay string `header:"Idempotent-Replay"`
	Body   raw[Task]
}

func (r *routes) answer(ctx context.Context, s lifecycle.Snapshot, err error) (*taskAnswer, error) {
	if err != nil {
		return nil, err
	}
	rendered, err := r.Presenter.Task(ctx, s, nil)
	return &taskAnswer{Status: http.StatusOK, Body: raw[Task]{rendered}}, err
}

// TaskPath is the part of a path that names a task. It is exported because only
// exported structs can be embedded in an input.
type TaskPath struct {
	ID string `path:"task_id" doc:"The task's id."`
}
