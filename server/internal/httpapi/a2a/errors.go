package a2a

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
)

// kind is an error of the protocol: its number in JSON-RPC, and in REST its HTTP status
// with the name of that; reason is the same in both.
type kind struct {
	code   int
	http   int
	status string
	reason string
}

// The protocol's errors, and those of HTTP and JSON-RPC themselves.
var ( //nolint:gochecknoglobals // constants
	unreadable    = kind{-32700, http.StatusBadRequest, "INVALID_ARGUMENT", "PARSE_ERROR"}
	noRequest     = kind{-32600, http.StatusBadRequest, "INVALID_ARGUMENT", "INVALID_REQUEST"}
	noMethod      = kind{-32601, http.StatusNotFound, "NOT_FOUND", "METHOD_NOT_FOUND"}
	invalid       = kind{-32602, http.StatusBadRequest, "INVALID_ARGUMENT", "INVALID_PARAMS"}
	internal      = kind{-32603, http.StatusInternalServerError, "INTERNAL", "INTERNAL_ERROR"}
	taskNotFound  = kind{-32001, http.StatusNotFound, "NOT_FOUND", "TASK_NOT_FOUND"}
	notCancelable = kind{-32002, http.StatusBadRequest, "FAILED_PRECONDITION", "TASK_NOT_CANCELABLE"}
	noPush        = kind{-32003, http.StatusBadRequest, "FAILED_PRECONDITION", "PUSH_NOTIFICATION_NOT_SUPPORTED"}
	unsupported   = kind{-32004, http.StatusBadRequest, "FAILED_PRECONDITION", "UNSUPPORTED_OPERATION"}
	otherContent  = kind{-32005, http.StatusBadRequest, "INVALID_ARGUMENT", "CONTENT_TYPE_NOT_SUPPORTED"}
	noExtended    = kind{-32007, http.StatusBadRequest, "FAILED_PRECONDITION", "EXTENDED_AGENT_CARD_NOT_CONFIGURED"}
	otherVersion  = kind{-32009, http.StatusBadRequest, "FAILED_PRECONDITION", "VERSION_NOT_SUPPORTED"}
)

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
	kind
	message string
	early   bool
	header  http.Header
}

func tell(ctx context.Context, log *slog.Logger, err error) told {
	if p, ok := errors.AsType[*protocolError](err); ok {
		return told{kind: p.kind, message: p.message}
	}
	status, body := edge.Describe(ctx, log, err)
	t := told{message: body.Detail, header: body.Header()}
	if body.Field != "" {
		t.message = body.Field + ": " + body.Detail
	}
	switch body.Code {
	case fault.Malformed, fault.Invalid, fault.Gone:
		t.kind = invalid
	case fault.Conflict:
		if t.kind = unsupported; body.Field != "" {
			t.kind = invalid
		}
	case fault.NotFound:
		t.kind = taskNotFound
	default:
		t.kind, t.early = kind{internal.code, status, statuses(status), statuses(status)}, true
		if status == http.StatusUnauthorized {
			t.header.Set("WWW-Authenticate", "Bearer")
		}
	}
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
		Type: "type.googleapis.com/google.rpc.ErrorInfo", Reason: t.reason, Domain: "a2a-protocol.org",
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
		t.kind = kind{noMethod.code, http.StatusNotFound, "NOT_FOUND", "NOT_FOUND"}
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
