package a2a

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/deliver"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/files"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
)

// ping is the interval of silence after which a stream, or an answer that is waited for,
// says that it is alive: clients go after 5 s.
const ping = 3 * time.Second

// Options are what the routes need.
type Options struct {
	edge.Core
	Shelf  *files.Shelf
	Pushes *deliver.Book
	// PublicURL is under what the server is reached; "" is as it is asked.
	PublicURL string
}

type routes struct{ Options }

// Face is the protocol as one of the server's faces.
func Face(o Options) edge.Face {
	x := &routes{o}
	return edge.Face{Words: []string{"a2a"}, Register: x.register, Fail: fail}
}

func (x *routes) register(mux *http.ServeMux) {
	mux.HandleFunc("GET /a2a", x.page(x.showDirectory))
	const base = "/a2a/{agent}"
	mux.HandleFunc("GET "+base+"/.well-known/agent-card.json", x.page(x.showCard))
	mux.HandleFunc("POST "+base, x.rpc)
	mux.HandleFunc("POST "+base+"/message:send", x.rest((*call).send))
	mux.HandleFunc("POST "+base+"/message:stream", x.rest((*call).stream))
	mux.HandleFunc("GET "+base+"/tasks", x.rest((*call).list))
	mux.HandleFunc("GET "+base+"/tasks/{id}", x.restTask)
	mux.HandleFunc("POST "+base+"/tasks/{id}", x.restTask)
	mux.HandleFunc("GET "+base+"/extendedAgentCard", x.rest((*call).extended))
	const pushes = base + "/tasks/{taskId}/pushNotificationConfigs"
	mux.HandleFunc("POST "+pushes, x.rest((*call).createPush))
	mux.HandleFunc("GET "+pushes, x.rest((*call).listPushes))
	mux.HandleFunc("GET "+pushes+"/{id}", x.rest((*call).getPush))
	mux.HandleFunc("DELETE "+pushes+"/{id}", x.rest((*call).deletePush))
}

// methods are the methods of JSON-RPC.
func methods() map[string]operation {
	return map[string]operation{
		"SendMessage": (*call).send, "SendStreamingMessage": (*call).stream,
		"GetTask": (*call).get, "ListTasks": (*call).list, "CancelTask": (*call).cancel, "SubscribeToTask": (*call).subscribe,
		"GetExtendedAgentCard":             (*call).extended,
		"CreateTaskPushNotificationConfig": (*call).createPush, "GetTaskPushNotificationConfig": (*call).getPush,
		"ListTaskPushNotificationConfigs": (*call).listPushes, "DeleteTaskPushNotificationConfig": (*call).deletePush,
	}
}

// operation carries out a call and answers it, unless it returns an error.
type operation func(c *call, params json.RawMessage) error

// call is a request of the protocol, by either of its bindings.
type call struct {
	*routes
	w     http.ResponseWriter
	r     *http.Request
	agent agent.Agent
	// rpc says that it came by JSON-RPC, with this id.
	rpc bool
	id  json.RawMessage
	// begun says that its answer has begun with blanks.
	begun bool
	// streams says that a stream is the answer.
	streams bool
}

// admit refuses those who may not ask agents.
func (x *routes) admit(r *http.Request) error { return edge.Require(r.Context(), auth.User) }

// agentOf is the agent that the path names.
func (x *routes) agentOf(r *http.Request) (agent.Agent, error) {
	return x.Service.Agent(r.Context(), edge.Principal(r.Context()).Organization, r.PathValue("agent"), 0)
}

// page serves what is no call of the protocol.
func (x *routes) page(show func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := x.admit(r)
		if err == nil {
			err = show(w, r)
		}
		if err != nil {
			fail(w, r, x.Log, err)
		}
	}
}

// open begins a call. An agent that is not there is answered like a path that is not.
func (x *routes) open(w http.ResponseWriter, r *http.Request) (*call, bool) {
	err := x.admit(r)
	c := &call{routes: x, w: w, r: r}
	if err == nil {
		c.agent, err = x.agentOf(r)
	}
	if err != nil {
		fail(w, r, x.Log, err)
		return nil, false
	}
	if c.asks(sequence) {
		w.Header().Set("A2A-Extensions", sequence)
	}
	return c, true
}

// asks reports whether the caller knows an extension.
func (c *call) asks(uri string) bool {
	return slices.ContainsFunc(strings.Split(strings.Join(c.r.Header.Values("A2A-Extensions"), ","), ","), func(asked string) bool {
		return strings.TrimSpace(asked) == uri
	})
}

// checkVersion refuses other versions than ours. Who names none is taken for one who
// speaks it.
func (c *call) checkVersion() error {
	given := c.r.Header.Get("A2A-Version")
	if given == "" || given == version || strings.HasPrefix(given, version+".") {
		return nil
	}
	return otherVersion.errorf("this server speaks version %s, not %q", version, given)
}

// rpc serves JSON-RPC.
func (x *routes) rpc(w http.ResponseWriter, r *http.Request) {
	c, ok := x.open(w, r)
	if !ok {
		return
	}
	c.rpc, c.id = true, json.RawMessage("null")
	if err := c.dispatch(); err != nil {
		c.fail(err) //nolint:contextcheck // a call has its request's own
	}
}

func (c *call) dispatch() error {
	body, err := edge.ReadBody(c.w, c.r)
	if err != nil {
		return err
	}
	var request struct {
		Version string          `json:"jsonrpc"`
		ID      json.RawMessage `json:"id"`
		Method  string          `json:"method"`
		Params  json.RawMessage `json:"params"`
	}
	checked := checkBody(body)
	if err := json.Unmarshal(body, &request); err != nil && checked == nil {
		return noRequest.errorf("must be a request of JSON-RPC 2.0, an object")
	}
	if id := bytes.TrimSpace(request.ID); len(id) > 0 {
		if id[0] == '{' || id[0] == '[' || id[0] == 't' || id[0] == 'f' {
			return noRequest.errorf("id: must be text, a number or null")
		}
		c.id = id
	}
	if checked != nil {
		return checked
	}
	if request.Version != "2.0" || request.Method == "" {
		return noRequest.errorf(`must have jsonrpc "2.0" and a method`)
	}
	if err := c.checkVersion(); err != nil {
		return err
	}
	do, ok := methods()[request.Method]
	if !ok {
		return noMethod.errorf("there is no method %q", request.Method)
	}
	if params := bytes.TrimSpace(request.Params); len(params) > 0 && params[0] != '{' {
		return invalid.errorf("params: must be an object")
	}
	return do(c, request.Params)
}

// rest serves an operation by REST.
func (x *routes) rest(do operation) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, ok := x.open(w, r)
		if !ok {
			return
		}
		err := c.checkVersion()
		var params json.RawMessage
		if err == nil {
			params, err = c.params()
		}
		if err == nil {
			err = do(c, params)
		}
		if err != nil {
			c.fail(err) //nolint:contextcheck // a call has its request's own
		}
	}
}

// restTask serves what is done to one task: its id ends, after the number of its turn,
// with a colon and the verb.
func (x *routes) restTask(w http.ResponseWriter, r *http.Request) {
	id, verb := r.PathValue("id"), ""
	if of, rest, ok := strings.Cut(id, "~"); ok {
		var turn string
		if turn, verb, ok = strings.Cut(rest, ":"); ok {
			id = of + "~" + turn
		}
	} else if i := strings.LastIndexByte(id, ':'); i >= 0 { // no id of ours
		id, verb = id[:i], id[i+1:]
	}
	r.SetPathValue("id", id)
	switch {
	case verb == "" && r.Method == http.MethodGet:
		x.rest((*call).get)(w, r)
	case verb == "cancel" && r.Method == http.MethodPost:
		x.rest((*call).cancel)(w, r)
	case verb == "subscribe":
		x.rest((*call).subscribe)(w, r)
	default:
		fail(w, r, x.Log, fault.New(fault.NotFound, "there is no %s %s", r.Method, r.URL.Path))
	}
}

// params are those of a request in REST: its body, or, of a GET, its query; ids stand in
// the path.
func (c *call) params() (json.RawMessage, error) {
	members := map[string]any{}
	if c.r.Method == http.MethodGet {
		for name, values := range c.r.URL.Query() {
			value, err := parameter(camelName(name), values[0])
			if err != nil {
				return nil, err
			}
			members[camelName(name)] = value
		}
	} else {
		body, err := edge.ReadBody(c.w, c.r)
		if err != nil {
			return nil, err
		}
		if body = bytes.TrimSpace(body); len(body) > 0 {
			if err := checkBody(body); err != nil {
				return nil, err
			}
			var own map[string]json.RawMessage
			if json.Unmarshal(body, &own) != nil {
				return nil, invalid.errorf("the body must be a JSON object")
			}
			for name, value := range own {
				members[name] = value
			}
		}
	}
	for _, name := range []string{"id", "taskId"} {
		if given := c.r.PathValue(name); given != "" {
			members[name] = given
		}
	}
	return encode(members)
}

// parameter is a parameter of a query as JSON would have it.
func parameter(name, text string) (any, error) {
	switch name {
	case "historyLength", "pageSize":
		n, err := strconv.Atoi(text)
		if err != nil {
			return nil, invalid.errorf("%s: must be a whole number", name)
		}
		return n, nil
	case "includeArtifacts":
		yes, err := strconv.ParseBool(text)
		if err != nil {
			return nil, invalid.errorf("%s: must be true or false", name)
		}
		return yes, nil
	default:
		return text, nil
	}
}

// answer answers a call.
func (c *call) answer(result any) error {
	if c.rpc {
		result = rpcAnswer{Version: "2.0", ID: c.id, Result: result}
	}
	raw, err := json.Marshal(result)
	if err != nil {
		return err
	}
	c.begin()
	_, _ = c.w.Write(raw) // a client that has gone away learns nothing more
	return nil
}

// begin answers 200, once.
func (c *call) begin() {
	if c.begun {
		return
	}
	c.begun = true
	c.w.Header().Set("Content-Type", "application/a2a+json")
	if c.rpc {
		c.w.Header().Set("Content-Type", "application/json")
	}
	c.w.WriteHeader(http.StatusOK)
}

// blank tells a client who waits that the answer is coming: JSON may begin with blanks.
func (c *call) blank() error {
	c.begin()
	if _, err := c.w.Write([]byte("\n")); err != nil {
		return err
	}
	return http.NewResponseController(c.w).Flush()
}

// fail answers an error in the form of the call's binding.
func (c *call) fail(err error) {
	t := tell(c.r.Context(), c.Log, err)
	switch {
	case c.rpc:
		raw, _ := json.Marshal(rpcAnswer{Version: "2.0", ID: c.id, Error: &rpcError{t.code, t.message, t.details(c.r.Context())}}) // these can be encoded
		if t.early && !c.begun {
			for name := range t.header {
				c.w.Header().Set(name, t.header.Get(name))
			}
			edge.WriteJSON(c.w, t.http, json.RawMessage(raw))
			return
		}
		if c.streams && strings.Contains(c.r.Header.Get("Accept"), "text/event-stream") { // its clients see no error that is not in a stream
			if out, err := edge.StartSSE(c.w, c.r, c.WriteTimeout); err == nil {
				_ = out.Event(0, "", raw) // it is the last that is said
			}
			return
		}
		c.begin()
		_, _ = c.w.Write(raw)
	case c.begun:
		edge.Cut()
	default:
		writeREST(c.w, c.r, t)
	}
}

// extended answers that there is no other card than the one that wants a key already.
func (c *call) extended(json.RawMessage) error {
	return noExtended.errorf("the card at .well-known/agent-card.json is the whole one")
}
