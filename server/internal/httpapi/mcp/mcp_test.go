package mcp

import (
	"net/http/httptest"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"

	"github.com/errand-dev/errand/server/internal/fault"
)

// What is refused in front of the SDK has the status that the SDK would give it.
func TestStatusesOfRefusals(t *testing.T) {
	t.Parallel()
	old, modern := &message{}, &message{}
	modern.Params.Meta.Version = "2026-07-28"
	for _, c := range []struct {
		m      *message
		err    error
		status int
	}{
		{modern, &jsonrpc.Error{Code: jsonrpc.CodeInvalidParams}, 400},
		{modern, missingTasks(), 400},
		{modern, &jsonrpc.Error{Code: jsonrpc.CodeMethodNotFound}, 404},
		{old, &jsonrpc.Error{Code: jsonrpc.CodeMethodNotFound}, 200},
		{modern, &jsonrpc.Error{Code: jsonrpc.CodeInternalError}, 200},
		{modern, fault.New(fault.TooLarge, "too long"), 413},
	} {
		w := httptest.NewRecorder()
		(&face{}).refuse(w, c.m, c.err)
		if w.Code != c.status {
			t.Errorf("%v: %d, want %d", c.err, w.Code, c.status)
		}
	}
}
