package a2a

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
)

// kind is an error of the protocol, or of JSON-RPC itself, by its reason.
type kind string

// The errors.
const (
	unreadable    kind = "PARSE_ERROR"
	noRequest     kind = "INVALID_REQUEST"
	noMethod      kind = "METHOD_NOT_FOUND"
	invalid       kind = "INVALID_PARAMS"
	taskNotFound  kind = "TASK_NOT_FOUND"
	notCancelable kind = "TASK_NOT_CANCELABLE"
	unsupported   kind = "UNSUPPORTED_OPERATION"
	otherContent  kind = "CONTENT_TYPE_NOT_SUPPORTED"
	noExtended    kind = "EXTENDED_AGENT_CARD_NOT_CONFIGURED"
	otherVersion  kind = "VERSION_NOT_SUPPORTED"
)

// wire is how an error stands on the wire: its number in JSON-RPC, and in REST its HTTP
// status with the name of that.
type wire struct {
	code   int
	http   int
	status string
}

// internal is the number of what is none of the errors above.
const internal = -32603

func (k kind) wire() wire {
	const wrong, notNow = "INVALID_ARGUMENT", "FAILED_PRECONDITION"
	switch k {
	case unreadable:
		return wire{-32700, http.StatusBadRequest, wrong}
	case noRequest:
		return wire{-32600, http.StatusBadRequest, wrong}
	case noMethod:
		return wire{-32601, http.StatusNotFound, "NOT_FOUND"}
	case invalid:
		return wire{-32602, http.StatusBadRequest, wrong}
	case taskNotFound:
		return wire{-32001, http.StatusNotFound, "NOT_FOUND"}
	case notCancelable:
		return wire{-32002, http.StatusBadRequest, notNow}
	case unsupported:
		return wire{-32004, http.StatusBadRequest, notNow}
	case otherContent:
		return wire{-32005, http.StatusBadRequest, wrong}
	case noExtended:
		return wire{-32007, http.StatusBadRequest, notNow}
	case otherVersion:
		return wire{-32009, http.StatusBadRequest, notNow}
	default:
		return wire{internal, http.StatusInternalServerError, "INTERNAL"}
	}
}

// protocolError is an error in the words of the protocol.
type protocolError struct {
	kind
	message string
}

func (e *protocolError) Error() string { return e.message }

func (k kind) errorf(format string, args ...any) error {
	return &protocolError{k, fmt.Sprintf(format, args...)}
}

// told is an error as it is answered. early says that it is one of HTTP and not of the
// protocol: it keeps its status in JSON-RPC, too.
type told struct {
	wire
	reason  kind
	message string
	early   bool
	header  http.Header
}

func tell(ctx context.Context, log *slog.Logger, err error) told {
	if p, ok := errors.AsType[*protocolError](err); ok {
		return told{wire: p.wire(), reason: p.kind, message: p.message}
	}
	status, body := edge.Describe(ctx, log, err)
	t := told{message: body.Detail, header: body.Header()}
	if body.Field != "" {
		t.message = body.Field + ": " + body.Detail
	}
	switch {
	case body.Code == fault.NotFound:
		t.reason = taskNotFound
	case body.Code == fault.Conflict && body.Field == "":
		t.reason = unsupported
	case slices.Contains([]fault.Code{fault.Malformed, fault.Invalid, fault.Gone, fault.Conflict}, body.Code):
		t.reason = invalid
	default:
		t.wire, t.reason, t.early = wire{internal, status, statuses(status)}, kind(statuses(status)), true
		if status == http.StatusUnauthorized {
			t.header.Set("WWW-Authenticate", "Bearer")
		}
		return t
	}
	t.wire = t.reason.wire()
	return t
}

// statuses is the protocol's name of an HTTP status.
func statuses(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "UNAUTHENTICATED"
	case http.StatusForbidden:
		return "PERMISSION_DENIED"
	case http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return "UNIMPLEMENTED"
	case http.StatusRequestEntityTooLarge, http.StatusTooManyRequests:
		return "RESOURCE_EXHAUSTED"
	case http.StatusServiceUnavailable:
		return "UNAVAILABLE"
	default:
		return "INTERNAL"
	}
}

// detail is the reason of an error as programs read it.
type detail struct {
	Type     string            `json:"@type"`
	Reason   string            `json:"reason"`
	Domain   string            `json:"domain"`
	Metadata map[string]string `json:"metadata"`
}

func (t told) details(ctx context.Context) []detail {
	return []detail{{
		Type: "type.googleapis.com/google.rpc.ErrorInfo", Reason: string(t.reason), Domain: "a2a-protocol.org",
		Metadata: map[string]string{"requestId": edge.RequestID(ctx)},
	}}
}

// restError is the body of an error in REST.
type restError struct {
	Code    int      `json:"code"`
	Status  string   `json:"status"`
	Message string   `json:"message"`
	Details []detail `json:"details"`
}

// fail answers an error in the form of REST, which also is that of what is met before it
// is known that a request is one of JSON-RPC.
func fail(w http.ResponseWriter, r *http.Request, log *slog.Logger, err error) {
	t := tell(r.Context(), log, err)
	if fault.CodeOf(err) == fault.NotFound { // a path, or an agent
		t.reason = "NOT_FOUND"
	}
	writeREST(w, r, t)
}

func writeREST(w http.ResponseWriter, r *http.Request, t told) {
	maps.Copy(w.Header(), t.header)
	edge.WriteJSON(w, t.http, map[string]restError{"error": {t.http, t.status, t.message, t.details(r.Context())}})
}

// rpcError is an error in JSON-RPC.
type rpcError struct {
	Code    int      `json:"code"`
	Message string   `json:"message"`
	Data    []detail `json:"data"`
}

// rpcAnswer answers a request of JSON-RPC.
type rpcAnswer struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Result  any             `json:"result,omitempty"`
	Error   *rpcError       `json:"error,omitempty"`
}
