package xpander

import (
	"encoding/json"
	"net"
	"net/http"
	"time"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// asset is what the client wants to know of itself as a worker. The null
// members must be there: the client dies without them.
type asset struct {
	ID             string     `json:"id"`
	Name           string     `json:"name"`
	OrganizationID string     `json:"organization_id"`
	Type           string     `json:"type"`
	CreatedAt      task.Stamp `json:"created_at"`
	LastHeartbeat  task.Stamp `json:"last_heartbeat"`
	CreatedBy      *string    `json:"created_by"`
	DedicatedAgent *string    `json:"dedicated_agent_id"`
	ParentAssetID  *string    `json:"parent_asset_id"`
	IsBusy         bool       `json:"is_busy"`
}

// vanished is how long what was sent to a worker may stay unacknowledged before
// its stream breaks (rule L5).
const vanished = 20 * time.Second

// register is R14: a worker's stream. Its first event is the registration,
// then come the tasks.
func (r *routes) register(w http.ResponseWriter, req *http.Request) error {
	ctx, cancel := r.UntilClosing(req.Context())
	defer cancel()
	agent, p := req.PathValue("agent"), edge.Principal(req.Context())
	if !p.MayServe(agent) {
		return fault.New(fault.Forbidden, "this key may not work for agent %q", agent)
	}
	if err := edge.GiveUpPeer(ctx, vanished); err != nil {
		r.Log.WarnContext(ctx, "a worker that vanishes will be noticed late", "agent_id", agent, "error", err)
	}
	s := &workerStream{routes: r, w: w, req: req.WithContext(ctx)}
	err := r.Workers.Serve(ctx, lifecycle.Registration{
		Organization: p.Organization, Agent: agent, KeyID: p.KeyID, Address: host(req.RemoteAddr),
	}, s)
	if s.stop != nil {
		s.stop()
	}
	if err != nil && s.out != nil { // the answer has begun: only the log can be told
		r.Log.ErrorContext(ctx, "worker stream broke off", "agent_id", agent, "error", err)
		return nil
	}
	if err == nil && s.out == nil {
		return fault.New(fault.Unavailable, "the server is shutting down")
	}
	return err
}

// host is the address of a peer without its port.
func host(remote string) string {
	address, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	return address
}

// workerStream sends a worker what dispatch has for it. Comments keep the
// stream alive beside the events, one writer at a time.
type workerStream struct {
	*routes
	w    http.ResponseWriter
	req  *http.Request
	out  *edge.SSE
	send chan message
	stop func()
}

type message struct {
	name string
	data []byte
	done chan error
}

// Registered implements dispatch.Stream.
func (s *workerStream) Registered(w lifecycle.Worker) error {
	var err error
	if s.out, err = edge.StartSSE(s.w, s.req, s.WriteTimeout); err != nil {
		return err
	}
	s.start()
	data, err := json.Marshal(asset{
		ID: w.ID, Name: w.Agent, OrganizationID: w.Organization, Type: "worker",
		CreatedAt: w.RegisteredAt, LastHeartbeat: w.LastHeard, DedicatedAgent: &w.Agent,
	})
	if err != nil {
		return err
	}
	return s.event("worker-registration", data)
}

// Assigned implements dispatch.Stream. A task that cannot be told is ended: it
// would break the stream of one worker after another, and hold up all behind it.
func (s *workerStream) Assigned(snap lifecycle.Snapshot) error {
	ctx, t := s.req.Context(), snap.Task
	data, err := s.render(ctx, snap)
	if err == nil {
		return s.event("agent-execution", data)
	}
	if ctx.Err() != nil {
		return err
	}
	s.Log.ErrorContext(ctx, "a task cannot be handed out", "task_id", t.ID, "agent_id", t.AgentID, "error", err)
	return s.Service.GiveUp(ctx, t.OrganizationID, t.ID, "the task cannot be handed out: its secrets do not open; the server's log has the cause")
}

// start begins the goroutine that alone writes to the stream.
func (s *workerStream) start() {
	s.send = make(chan message)
	quit, gone := make(chan struct{}), make(chan struct{})
	s.stop = func() { close(quit); <-gone }
	go func() {
		defer close(gone)
		tick := time.NewTicker(s.KeepAlive)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case m := <-s.send:
				m.done <- s.out.Event(0, m.name, m.data)
			case <-tick.C:
				if s.out.KeepAlive() != nil {
					continue // the next event, or the request's context, tells
				}
			}
		}
	}()
}

func (s *workerStream) event(name string, data []byte) error {
	m := message{name, data, make(chan error, 1)}
	select {
	case s.send <- m:
		return <-m.done
	case <-s.req.Context().Done():
		return s.req.Context().Err()
	}
}

// heard is R15: heartbeats and capacity updates. Whatever cannot be understood
// is answered quietly; the client looks at nothing.
func (r *routes) heard(w http.ResponseWriter, req *http.Request) error {
	raw, err := edge.ReadBody(w, req)
	if err != nil {
		return err
	}
	var body struct {
		ID    string          `json:"id"`
		Event string          `json:"event"`
		Data  json.RawMessage `json:"data"`
	}
	if err := edge.Decode(edge.Mend(raw), &body); err != nil {
		return err
	}
	sign := lifecycle.Sign{ID: body.ID, Beat: body.Event == "worker-heartbeat"}
	if body.Event == "worker-capacity-update" {
		var capacity struct {
			IsBusy *bool `json:"is_busy"`
		}
		if json.Unmarshal(body.Data, &capacity) == nil {
			sign.Busy = capacity.IsBusy
		}
	}
	agent := req.URL.Query().Get("agent_id")
	p := edge.Principal(req.Context())
	if err := edge.RequireAgent(p, agent); err != nil {
		return err
	}
	if err := r.Service.Heard(req.Context(), p.Organization, agent, req.PathValue("worker"), sign); err != nil {
		return err
	}
	edge.WriteJSON(w, http.StatusOK, map[string]bool{"ok": true})
	return nil
}
