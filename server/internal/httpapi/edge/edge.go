// Package edge holds what both HTTP faces share: who calls, how bodies are
// read and errors written, how a task is rendered and a stream is sent. It
// holds no rule about tasks.
package edge

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/traceparent"
)

type contextKey int

const (
	principalKey contextKey = iota
	organizationKey
	requestIDKey
	connectionKey
	traceParentKey
	stillKey
)

// WithPrincipal notes who makes the request.
func WithPrincipal(ctx context.Context, p auth.Principal) context.Context {
	return context.WithValue(ctx, principalKey, p)
}

// Principal is who makes the request; the zero value before authentication.
func Principal(ctx context.Context) auth.Principal {
	p, _ := ctx.Value(principalKey).(auth.Principal)
	return p
}

// WithStill notes what asks again whether the request would be let in.
func WithStill(ctx context.Context, ask func(context.Context) error) context.Context {
	return context.WithValue(ctx, stillKey, ask)
}

// Still reports why a request would not be let in any more.
func Still(ctx context.Context) error {
	if ask, ok := ctx.Value(stillKey).(func(context.Context) error); ok {
		return ask(ctx)
	}
	return nil
}

// Caller is the principal as package lifecycle wants it.
func Caller(ctx context.Context) lifecycle.Caller {
	p := Principal(ctx)
	traceParent, _ := ctx.Value(traceParentKey).(string)
	return lifecycle.Caller{
		Scope: p.Scope(), Owner: p.Owner(), Group: p.Group, Scoped: p.User != "" || p.Sees == auth.SeesOwn,
		Worker: p.Role == auth.Admin || p.Role == auth.Worker, Admin: p.Role == auth.Admin,
		By: p.By(), Key: p.KeyID, TraceParent: traceParent,
	}
}

// Scope is what the principal sees.
func Scope(ctx context.Context) auth.Scope {
	p := Principal(ctx)
	return p.Scope()
}

// WithTraceParent notes the trace to which the request belongs, if its header
// names one.
func WithTraceParent(ctx context.Context, header string) context.Context {
	if header == "" {
		return ctx
	}
	if c, ok := traceparent.Parse(header); ok {
		return context.WithValue(ctx, traceParentKey, c.String())
	}
	return ctx
}

// WithOrganization notes the organization that the path named.
func WithOrganization(ctx context.Context, org string) context.Context {
	return context.WithValue(ctx, organizationKey, org)
}

// Organization is the organization that the path named, "" for none.
func Organization(ctx context.Context) string {
	org, _ := ctx.Value(organizationKey).(string)
	return org
}

// WithRequestID notes the request's id.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey, id)
}

// RequestID is the request's id.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey).(string)
	return id
}

// Require returns Forbidden unless the principal has one of the roles. An
// admin may do everything.
func Require(ctx context.Context, roles ...auth.Role) error {
	role := Principal(ctx).Role
	if role == auth.Admin {
		return nil
	}
	if slices.Contains(roles, role) {
		return nil
	}
	return fault.New(fault.Forbidden, "a key with the role %s may not do this", role)
}

// RequireAgent returns Forbidden for a worker's key that is for other agents
// than this one (rule A3); "" stands for all agents.
func RequireAgent(p auth.Principal, agent string) error {
	switch {
	case p.Role != auth.Worker || p.MayServe(agent):
		return nil
	case agent == "":
		return fault.New(fault.Forbidden, "this worker key is for named agents only")
	default:
		return fault.New(fault.Forbidden, "this worker key is not for agent %q", agent)
	}
}

// Body is the body of an error on /v1.
type Body struct {
	Detail    string     `json:"detail" doc:"What was wrong, for a person."`
	Code      fault.Code `json:"code" doc:"The kind of error, from a closed list."`
	Field     string     `json:"field,omitempty" doc:"The field that was wrong."`
	RequestID string     `json:"request_id" doc:"Names the request in the server's log."`
	// RetryAfter goes into the header of that name.
	RetryAfter time.Duration `json:"-"`
}

// retryAfter is when to try again if nobody knows better.
const retryAfter = time.Second

// Header is what an error says in headers.
func (b Body) Header() http.Header {
	h := http.Header{}
	if b.Code == fault.RateLimited || b.Code == fault.Unavailable {
		seconds := math.Ceil(cmp.Or(b.RetryAfter, retryAfter).Seconds())
		h.Set("Retry-After", strconv.Itoa(int(seconds)))
	}
	return h
}

// Describe makes an error fit to be shown: anything but a fault is logged with
// its cause and shown as internal.
func Describe(ctx context.Context, log *slog.Logger, err error) (int, Body) {
	var f *fault.Error
	switch {
	case errors.As(err, &f):
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		f = fault.New(fault.Unavailable, "the request was cut short")
	default:
		log.ErrorContext(ctx, "request failed", "request_id", RequestID(ctx), "error", err)
		f = fault.New(fault.Internal, "something went wrong in the server; its log has the cause under the request id")
	}
	return f.Code.Status(), Body{
		Detail: f.Message, Code: f.Code, Field: f.Field, RequestID: RequestID(ctx), RetryAfter: f.RetryAfter,
	}
}

// WriteError answers an error in the form of /v1.
func WriteError(ctx context.Context, w http.ResponseWriter, log *slog.Logger, err error) {
	status, body := Describe(ctx, log, err)
	maps.Copy(w.Header(), body.Header())
	WriteJSON(w, status, body)
}

// WriteJSON answers a JSON body.
func WriteJSON(w http.ResponseWriter, status int, body any) {
	raw, ok := body.(json.RawMessage)
	if !ok {
		var err error
		if raw, err = json.Marshal(body); err != nil {
			http.Error(w, `{"detail":"the answer cannot be encoded"}`, http.StatusInternalServerError)
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(raw) // a client that has gone away learns nothing more
}
