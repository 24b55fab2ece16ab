// Package mcp is the server as an MCP server, at /mcp: its agents and their tasks as
// tools, and for clients that know the extension io.modelcontextprotocol/tasks a turn as
// one of its tasks. The SDK speaks the transport and both eras of the protocol, that of
// initialize and that without; what is asked is answered here. No request needs a
// session, so any server of a database answers any of them, and a restart ends nothing.
package mcp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/files"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/outbound"
	"github.com/errand-dev/errand/server/internal/task"
)

// Options are what the face needs.
type Options struct {
	edge.Core
	Version string
	// Origin is the URL under which clients reach the server, "" for none known.
	Origin string
	// Shelf makes the URLs of files.
	Shelf *files.Shelf
	// Retention says how long ended tasks are kept.
	Retention task.Retention
	// AgentTools makes each agent a tool of its own.
	AgentTools bool
}

// Face is the protocol as one of the server's.
func Face(o Options) edge.Face {
	return edge.Face{
		Words:    []string{"mcp"},
		Register: func(mux *http.ServeMux) { mux.Handle("POST /mcp", newFace(o)) },
		Fail: func(w http.ResponseWriter, r *http.Request, log *slog.Logger, err error) {
			edge.WriteError(r.Context(), w, log, err)
		},
	}
}

type face struct {
	Options
	// plain answers with JSON, streamed with events: the progress of a call comes before
	// its answer.
	plain, streamed http.Handler
	// sites refuses what other sites' pages make a browser send.
	sites *http.CrossOriginProtection
}

func newFace(o Options) *face {
	f := &face{Options: o, sites: http.NewCrossOriginProtection()}
	_ = f.sites.AddTrustedOrigin(o.Origin) // one that is none is nobody's
	can := &sdk.ServerCapabilities{
		// There is no prompt and no resource; of whoever does not say so clients ask in vain.
		Tools: &sdk.ToolCapabilities{}, Prompts: &sdk.PromptCapabilities{}, Resources: &sdk.ResourceCapabilities{},
	}
	can.AddExtension(tasksExtension, nil)
	server := sdk.NewServer(&sdk.Implementation{Name: "errand", Title: "Errand", Version: o.Version}, &sdk.ServerOptions{
		Instructions: instructions, Capabilities: can,
		SetCacheable: func(_ context.Context, _ sdk.Request, c *sdk.Cacheable) { c.CacheScope = private },
	})
	server.AddReceivingMiddleware(f.answer)
	f.addTasks(server)
	handler := func(asJSON bool) http.Handler {
		return sdk.NewStreamableHTTPHandler(func(*http.Request) *sdk.Server { return server }, &sdk.StreamableHTTPOptions{
			Stateless: true, JSONResponse: asJSON, PropagateRequestCancellation: true,
			DisableLocalhostProtection: true, MaxRequestBodyBytes: -1, // both are seen to here
		})
	}
	f.plain, f.streamed = handler(true), handler(false)
	return f
}

const (
	// private says that an answer is for those alone who have asked.
	private = "private"

	instructions = "Errand runs agents as durable tasks: a task outlives this connection and any restart. Look for an agent with list_agents, ask it with run_agent. " +
		"If the answer says that the task has not ended, call get_task until it has; do not run it again. Where people are asked something, answer_task answers."
)

// ServeHTTP looks at a request's message before the SDK does, which reads some of it
// otherwise than the protocol wants.
func (f *face) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := f.admit(r); err != nil {
		edge.WriteError(r.Context(), w, f.Log, err)
		return
	}
	body, err := edge.ReadBody(w, r)
	if err != nil {
		f.refuse(w, nil, err)
		return
	}
	m, err := read(body, r.Header)
	if err != nil {
		f.refuse(w, &m, err)
		return
	}
	handler := f.plain
	if m.Params.Meta.Progress != nil {
		handler = f.streamed
		w.Header().Set("X-Accel-Buffering", "no")
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(longestWait + f.WriteTimeout)) // a failure shows when writing
	}
	r = r.WithContext(context.WithValue(r.Context(), messageKey{}, &m))
	r.Body = edge.NewText(body)
	if m.listens() {
		f.listen(w, r, &m)
		return
	}
	handler.ServeHTTP(w, r)
}

// admit refuses keys that may not ask agents, and what may come from a page of another
// site: by its origin, or because the page has given the name of its host our address.
func (f *face) admit(r *http.Request) error {
	if err := f.sites.Check(r); err != nil {
		return fault.New(fault.Forbidden, "a page of another site has sent this")
	}
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if local != nil && loopback(local.String()) && !loopback(r.Host) {
		if ours, err := url.Parse(f.Origin); err != nil || ours.Host != r.Host {
			return fault.New(fault.Forbidden, "the host %q is not this server's: start it with --public-url", r.Host)
		}
	}
	return edge.Require(r.Context(), auth.User)
}

// loopback reports whether a host, with or without a port, is this machine.
func loopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return outbound.Loopback(strings.Trim(host, "[]"))
}

// message is what a request's body says that the SDK does not tell, or tells otherwise.
type message struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params struct {
		TaskID        string `json:"taskId"`
		Notifications struct {
			TaskIDs json.RawMessage `json:"taskIds"`
		} `json:"notifications"`
		Meta struct {
			Progress     any    `json:"progressToken"`
			Version      string `json:"io.modelcontextprotocol/protocolVersion"`
			Capabilities struct {
				Elicitation map[string]json.RawMessage `json:"elicitation"`
				Extensions  map[string]json.RawMessage `json:"extensions"`
			} `json:"io.modelcontextprotocol/clientCapabilities"`
		} `json:"_meta"`
	} `json:"params"`
}

type messageKey struct{}

// asked is the message that is being answered.
func asked(ctx context.Context) *message {
	if m, ok := ctx.Value(messageKey{}).(*message); ok {
		return m
	}
	return &message{}
}

// modern reports whether the client speaks the revision without initialize.
func (m *message) modern() bool { return m.Params.Meta.Version != "" }

// tasks reports whether the client takes a task for an answer.
func (m *message) tasks() bool {
	_, declared := m.Params.Meta.Capabilities.Extensions[tasksExtension]
	return declared
}

// elicits reports whether the client shows forms to people.
func (m *message) elicits() bool {
	e := m.Params.Meta.Capabilities.Elicitation
	_, forms := e["form"]
	return e != nil && (forms || len(e) == 0)
}

// methods are those that have an answer.
func methods() []string {
	return []string{
		"initialize", "ping", "server/discover", listen, "tools/list", "tools/call", "prompts/list", "prompts/get",
		"resources/list", "resources/templates/list", "resources/read", tasksGet, tasksUpdate, tasksCancel,
	}
}

// read reads a body as far as it is looked at here. The message is filled in even with
// an error, so that whoever waits for its id hears of it.
func read(body []byte, h http.Header) (m message, err error) {
	if !json.Valid(body) {
		return m, &jsonrpc.Error{Code: jsonrpc.CodeParseError, Message: "the body is not valid JSON"}
	}
	_ = json.Unmarshal(body, &m) // what is of a wrong type is refused by whoever reads it
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("[")) {
		return m, &jsonrpc.Error{Code: jsonrpc.CodeInvalidRequest, Message: "batches are of a revision that is over: send each message by itself"}
	}
	if _, err := jsonrpc.DecodeMessage(body); err != nil {
		return m, &jsonrpc.Error{Code: jsonrpc.CodeInvalidRequest, Message: "the body is no message of JSON-RPC 2.0: " + err.Error()}
	}
	switch {
	case !fitID(m.ID):
		id := m.ID
		m.ID = nil
		return m, &jsonrpc.Error{Code: jsonrpc.CodeInvalidRequest, Message: fmt.Sprintf("the id %s must be a text, or a whole number up to 2^53", id)}
	case m.ID != nil && m.Method != "" && !slices.Contains(methods(), m.Method):
		return m, &jsonrpc.Error{Code: jsonrpc.CodeMethodNotFound, Message: fmt.Sprintf("there is no method %q", m.Method)}
	case strings.HasPrefix(m.Method, "tasks/"):
		if name := h.Get("Mcp-Name"); name != "" && name != m.Params.TaskID {
			return m, &jsonrpc.Error{Code: sdk.CodeHeaderMismatch, Message: fmt.Sprintf("the header Mcp-Name says %q, the body's taskId is %q", name, m.Params.TaskID)}
		}
	}
	if err := edge.CheckText(body); err != nil {
		return m, err
	}
	return m, edge.CheckNames(body)
}

// fitID reports whether the SDK answers an id as it came: it keeps numbers as floats.
func fitID(id json.RawMessage) bool {
	if id == nil || id[0] == '"' || string(id) == "null" {
		return true
	}
	var n int64
	return json.Unmarshal(id, &n) == nil && -1<<53 < n && n < 1<<53
}

// refuse answers an error in front of the SDK.
func (f *face) refuse(w http.ResponseWriter, m *message, err error) {
	status := http.StatusBadRequest
	var id json.RawMessage
	if m != nil {
		id = m.ID
	}
	told, is := errors.AsType[*jsonrpc.Error](err)
	switch {
	case !is:
		told = &jsonrpc.Error{Code: jsonrpc.CodeInvalidRequest, Message: err.Error()}
		status = fault.CodeOf(err).Status()
	case told.Code == jsonrpc.CodeMethodNotFound && m.modern():
		status = http.StatusNotFound
	case told.Code == jsonrpc.CodeMethodNotFound, // of old clients, anything else but 200 ends the session
		told.Code == jsonrpc.CodeInternalError: // nothing is wrong with the request
		status = http.StatusOK
	}
	edge.WriteJSON(w, status, struct {
		Version string          `json:"jsonrpc"`
		ID      json.RawMessage `json:"id"`
		Error   *jsonrpc.Error  `json:"error"`
	}{"2.0", id, told})
}

// answer answers what is asked of tools and tasks, and leaves the rest to the SDK. It
// runs on a goroutine of the SDK's, where a panic would end the server.
func (f *face) answer(next sdk.MethodHandler) sdk.MethodHandler {
	return func(ctx context.Context, method string, req sdk.Request) (res sdk.Result, err error) {
		defer func() {
			if p := recover(); p != nil {
				f.Log.ErrorContext(ctx, "panic", "request_id", edge.RequestID(ctx), "method", method, "panic", p, "stack", string(debug.Stack()))
				res, err = nil, &jsonrpc.Error{Code: jsonrpc.CodeInternalError, Message: "something went wrong in the server"}
			}
		}()
		switch p := req.GetParams().(type) {
		case *sdk.ListToolsParams:
			res, err = f.tools(ctx, p)
		case *sdk.CallToolParamsRaw:
			session, _ := req.GetSession().(*sdk.ServerSession)
			res, err = f.call(ctx, session, p)
		case *taskParams:
			if !asked(ctx).tasks() {
				return nil, missingTasks()
			}
			res, err = next(ctx, method, req)
		case *sdk.SubscriptionsListenParams:
			if asked(ctx).listens() {
				return pass(ctx)
			}
			return next(ctx, method, req)
		default:
			return next(ctx, method, req)
		}
		if err != nil {
			return nil, f.rpcError(ctx, err)
		}
		return res, nil
	}
}

// rpcError is an error in the protocol's words.
func (f *face) rpcError(ctx context.Context, err error) error {
	if _, is := errors.AsType[*jsonrpc.Error](err); is {
		return err
	}
	_, told := edge.Describe(ctx, f.Log, err)
	code := int64(jsonrpc.CodeInvalidParams)
	if ours(told.Code) {
		code = jsonrpc.CodeInternalError
	}
	return &jsonrpc.Error{Code: code, Message: sentence(told)}
}

// ours reports whether a fault is not the caller's.
func ours(code fault.Code) bool { return code == fault.Internal || code == fault.Unavailable }

// sentence is what was wrong, with the field.
func sentence(told edge.Body) string {
	if told.Field == "" {
		return told.Detail
	}
	return told.Field + ": " + told.Detail
}
