// Package responses is the server in the words of OpenAI's Responses API: an agent is a
// model, a turn of a task is a response, a task is a conversation. All of it is made of
// the task and its log; the package stores nothing.
package responses

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"strconv"
	"strings"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/files"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/invoke"
	"github.com/errand-dev/errand/server/internal/stream"
	"github.com/errand-dev/errand/server/internal/task"
)

// Word is the first word of the face's paths.
const Word = "openai"

// base is in front of all of its paths: the base URL of clients.
const base = "/" + Word + "/v1"

type face struct {
	edge.Core
	shelf *files.Shelf
}

// Face is the API as one of the server's faces.
func Face(kit edge.Core, shelf *files.Shelf) edge.Face {
	f := &face{kit, shelf}
	return edge.Face{Words: []string{Word}, Lists: []string{"include", "include[]"}, Register: f.register, Fail: fail}
}

func (f *face) register(mux *http.ServeMux) {
	for pattern, handle := range map[string]func(http.ResponseWriter, *http.Request) error{
		"POST /responses":                         f.create,
		"GET /responses/{id}":                     f.retrieve,
		"DELETE /responses/{id}":                  f.remove,
		"POST /responses/{id}/cancel":             f.cancel,
		"GET /responses/{id}/input_items":         f.inputItems,
		"GET /models":                             f.models,
		"GET /models/{id}":                        f.model,
		"POST /conversations":                     f.converse,
		"GET /conversations/{id}":                 f.conversation,
		"POST /conversations/{id}":                f.describe,
		"DELETE /conversations/{id}":              f.removeConversation,
		"GET /conversations/{id}/items":           f.conversationItems,
		"POST /conversations/{id}/items":          f.addItems,
		"GET /conversations/{id}/items/{item}":    f.conversationItem,
		"DELETE /conversations/{id}/items/{item}": f.removeItem,
		"POST /files":                             f.upload,
		"GET /files":                              f.files,
		"GET /files/{id}":                         f.file,
		"GET /files/{id}/content":                 f.content,
		"DELETE /files/{id}":                      f.removeFile,
	} {
		method, path, _ := strings.Cut(pattern, " ")
		mux.HandleFunc(method+" "+base+path, func(w http.ResponseWriter, r *http.Request) {
			err := edge.Require(r.Context(), auth.User)
			if err == nil {
				err = handle(w, r)
			}
			if err != nil {
				fail(w, r, f.Log, err)
			}
		})
	}
}

// fail answers an error in the form that the clients show. They repeat whatever they take
// for passing, and with it what costs money: of what no repeat mends it is said.
func fail(w http.ResponseWriter, r *http.Request, log *slog.Logger, err error) {
	status, b := edge.Describe(r.Context(), log, err)
	kind := serverError
	switch status {
	case http.StatusUnauthorized:
		kind = "authentication_error"
	case http.StatusForbidden:
		kind = "permission_error"
	case http.StatusNotFound:
		kind = "not_found_error"
	case http.StatusConflict:
		kind = "conflict"
	case http.StatusTooManyRequests:
		kind = "rate_limit_exceeded"
	default:
		if status < http.StatusInternalServerError {
			kind = "invalid_request_error"
		}
	}
	var field *string
	if b.Field != "" {
		field = &b.Field
		b.Detail = b.Field + ": " + b.Detail
	}
	maps.Copy(w.Header(), b.Header())
	if status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable {
		w.Header().Set("X-Should-Retry", "false")
	}
	edge.WriteJSON(w, status, map[string]any{"error": map[string]any{"message": b.Detail, "type": kind, "param": field, "code": b.Code}})
}

// found is a response with the turn that it is of.
type found struct {
	reference
	turn invoke.Turn
}

// find finds a response of a task that the caller sees.
func (f *face) find(ctx context.Context, id string) (found, error) {
	of, err := parseReference(id)
	if err != nil {
		return found{}, err
	}
	turn, err := f.Turns.Find(ctx, edge.Scope(ctx), of.task, of.turn)
	if fault.CodeOf(err) == fault.NotFound {
		err = noResponse(id)
	}
	return found{of, turn}, err
}

// read folds what the log has now.
func (f *face) read(ctx context.Context, x found) (*fold, error) {
	fold := newFold(x.reference, nil)
	for e, err := range f.Turns.Events(ctx, x.turn) {
		if err == nil {
			_, err = fold.add(e)
		}
		if err != nil {
			return nil, err
		}
	}
	if fold.r.ID == "" && x.part != allParts {
		return nil, noResponse(x.String())
	}
	return fold, nil
}

// readAll folds all responses of a turn as if they were one.
func (f *face) readAll(ctx context.Context, t invoke.Turn) (*fold, error) {
	return f.read(ctx, found{reference{task: t.Task, turn: t.Number, part: allParts}, t})
}

// answer writes a response as it is now.
func (f *face) answer(ctx context.Context, w http.ResponseWriter, x found) error {
	raw, err := f.show(ctx, x)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(raw)))
	edge.WriteJSON(w, http.StatusOK, raw)
	return nil
}

// show renders a response as it is now, for those who do not stream it.
func (f *face) show(ctx context.Context, x found) (json.RawMessage, error) {
	fold, err := f.read(ctx, x)
	if err != nil {
		return nil, err
	}
	now := fold.response()
	if now.Status == cancelled && fold.request.Waited { // whoever waits takes a cancelled text for the answer
		now.Status = failed
	}
	return json.Marshal(now)
}

func (f *face) retrieve(w http.ResponseWriter, r *http.Request) error {
	x, err := f.find(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	query := r.URL.Query()
	if query.Get("stream") != "true" {
		return f.answer(r.Context(), w, x)
	}
	after := -1
	if given := query.Get("starting_after"); given != "" {
		if after, err = strconv.Atoi(given); err != nil {
			return fault.Field("starting_after", "must be the sequence_number of an event")
		}
	}
	if x.part > 0 { // that it is not there has to be told before the stream begins
		if _, err := f.read(r.Context(), x); err != nil {
			return err
		}
	}
	return f.follow(w, r, x, after, func(bool) {})
}

// follow streams a response, whose events up to a number are known. It tells whether all
// of it has been sent.
func (f *face) follow(w http.ResponseWriter, r *http.Request, x found, after int, told func(arrived bool)) error {
	unfollowed, err := f.OnDisconnect(r, x.turn)
	if err != nil {
		return err
	}
	var out *edge.SSE
	fold := newFold(x.reference, func(e frame) error {
		if e.Number <= after {
			return nil
		}
		raw, err := json.Marshal(e)
		if err != nil {
			return err
		}
		return out.Add(0, e.Type, raw)
	})
	f.Stream(w, r, edge.View{
		Organization: x.turn.Organization, Task: x.turn.Task, After: x.turn.First - 1,
		Send: func(_ context.Context, to *edge.SSE, e task.Event) (more bool, err error) {
			out = to
			done, err := fold.add(e)
			if done {
				err = errors.Join(err, to.Flush())
				told(err == nil)
			}
			return !done, err
		},
		// A client that reads half an answer to the end takes it for whole, and one whose
		// connection breaks can go on.
		Unfinished: func(*edge.SSE) {
			told(false)
			edge.Cut()
		},
		Unfollowed: func(ctx context.Context) {
			told(false)
			if unfollowed != nil {
				unfollowed(ctx)
			}
		},
	})
	return nil
}

// await waits until a response has ended. It calls idle whenever nothing has happened for
// KeepAlive.
func (f *face) await(ctx context.Context, x found, idle func() error) error {
	ctx, cancel := f.UntilClosing(ctx)
	defer cancel()
	part := 0
	for p, err := range f.Source.Follow(ctx, x.turn.Organization, x.turn.Task, x.turn.First-1, f.KeepAlive, task.TurnPaused, task.TaskFinished) {
		if errors.Is(err, stream.ErrIdle) {
			err = idle()
		}
		if err != nil {
			return err
		}
		for _, e := range p.Events {
			switch {
			case e.Turn != x.turn.Number || e.Type == task.TaskFinished:
				return nil
			case len(asksOf(e)) == 0:
			case part == x.part:
				return nil
			default:
				part++
			}
		}
	}
	return ctx.Err()
}

func (f *face) cancel(w http.ResponseWriter, r *http.Request) error {
	x, err := f.find(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	if _, err := f.Turns.Stop(r.Context(), edge.Caller(r.Context()), x.turn); err != nil && fault.CodeOf(err) != fault.Conflict {
		return err // a conflict says that another turn has followed: this one is over
	}
	return f.answer(r.Context(), w, x)
}

// remove deletes a response that is all of its task.
func (f *face) remove(w http.ResponseWriter, r *http.Request) error {
	ctx, id := r.Context(), r.PathValue("id")
	x, err := f.find(ctx, id)
	if err != nil {
		return err
	}
	last, err := f.Turns.Find(ctx, edge.Scope(ctx), x.task, 0)
	if err != nil {
		return err
	}
	if last.Number > 1 || x.part > 0 {
		return fault.New(fault.Conflict, "it is one of several of a conversation, which is deleted as a whole: DELETE %s/conversations/%s%s", base, conversationPrefix, x.task)
	}
	if err := f.Service.Delete(ctx, edge.Caller(ctx), x.task); err != nil {
		return err
	}
	edge.WriteJSON(w, http.StatusOK, deleted{id, "response.deleted", true})
	return nil
}

type deleted struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Deleted bool   `json:"deleted"`
}
