// Package httpapi puts the HTTP faces together: the path normalizer and the
// key check in front of one router, then the Python client's routes, /v1,
// files, the web UI, probes and metrics.
package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/deliver"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/files"
	"github.com/errand-dev/errand/server/internal/httpapi/a2a"
	"github.com/errand-dev/errand/server/internal/httpapi/agui"
	"github.com/errand-dev/errand/server/internal/httpapi/aisdk"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/httpapi/mcp"
	"github.com/errand-dev/errand/server/internal/httpapi/proxy"
	"github.com/errand-dev/errand/server/internal/httpapi/responses"
	v1 "github.com/errand-dev/errand/server/internal/httpapi/v1"
	"github.com/errand-dev/errand/server/internal/httpapi/xpander"
	"github.com/errand-dev/errand/server/internal/people"
	"github.com/errand-dev/errand/server/internal/search"
	"github.com/errand-dev/errand/server/internal/task"
	"github.com/errand-dev/errand/server/internal/ui"
)

// Options are what the faces need.
type Options struct {
	edge.Core
	Version string
	// Store is what keeps the record: sqlite or postgres.
	Store string
	Auth  *auth.Authenticator
	// People is the provider with which people sign in; nil for none.
	People *people.Provider
	Search *search.Finder
	Pushes *deliver.Book
	// Cookie is where browsers keep their sessions, Origin what their pages come from.
	Cookie edge.SessionCookie
	Origin string
	// PublicURL is under what clients reach the server; "" is whatever they ask at.
	PublicURL string
	Shelf     *files.Shelf
	// Preview reads a file as an agent would be given it.
	Preview v1.Preview
	// Data is the server's data folder.
	Data string
	// Proxy lets attempts ask models.
	Proxy proxy.Options
	// Streams take answers over that last long; nil leaves them to net/http.
	Streams *Streams
	// Defaults are for agents that leave them open.
	Defaults xpander.Defaults
	// Retention says how long ended tasks are kept.
	Retention task.Retention
	// AgentTools makes each agent a tool of its own at /mcp.
	AgentTools bool
	// Ready says why the server cannot serve now; nil means that it can.
	Ready func(context.Context) error
	// Metrics serves /metrics.
	Metrics http.Handler
	// Measure is told of each request: its route, "" for none, the status of
	// its answer, 0 for none, and how long that took.
	Measure func(route string, status int, took time.Duration)
}

type server struct {
	Options
	mux   *http.ServeMux
	faces []edge.Face
	// sites refuses what other sites' pages make a browser send.
	sites *http.CrossOriginProtection
}

// New makes the handler of all faces.
func New(o Options) http.Handler { return newServer(o) }

func newServer(o Options) *server {
	s := &server{Options: o, mux: http.NewServeMux(), sites: http.NewCrossOriginProtection()}
	_ = s.sites.AddTrustedOrigin(o.Origin) // one that is none is nobody's
	s.faces = []edge.Face{
		v1.Face(v1.Options{Core: o.Core, Version: o.Version, Store: o.Store, UI: ui.Built(), Auth: o.Auth, People: o.People, Search: o.Search, Pushes: o.Pushes, Cookie: o.Cookie, Shelf: o.Shelf, Preview: o.Preview, Data: o.Data}),
		proxy.Face(o.Proxy),
		agui.Face(o.Core, o.Shelf),
		mcp.Face(mcp.Options{Core: o.Core, Version: o.Version, Origin: o.Origin, Shelf: o.Shelf, Retention: o.Retention, AgentTools: o.AgentTools}),
		aisdk.Face(o.Core, o.Shelf),
		xpander.Face(o.Core, o.Defaults),
		responses.Face(o.Core, o.Shelf),
		a2a.Face(a2a.Options{Core: o.Core, Shelf: o.Shelf, Pushes: o.Pushes, PublicURL: o.PublicURL}),
	}
	for _, f := range s.faces {
		f.Register(s.mux)
	}
	s.mux.HandleFunc("GET /f/{id}/{signature}/{name}", s.file)
	s.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		edge.WriteJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	s.mux.HandleFunc("GET /readyz", s.ready)
	s.mux.HandleFunc("GET /metrics", s.operator(o.Metrics.ServeHTTP))
	s.mux.HandleFunc("GET /debug/pprof/profile", s.operator(pprof.Profile))
	s.mux.HandleFunc("GET /debug/pprof/{name}", s.operator(pprof.Index))
	ui.Register(s.mux, s.missing)
	s.mux.HandleFunc(noRoute, s.unrouted)
	return s
}

// noRoute is the pattern of what no other pattern matches.
const noRoute = "/"

// ServeHTTP leads a request through the normalizer, the key check and the
// checks on its text to its route, and logs it.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{server: s, begun: time.Now(), id: uuid.NewString(), seen: newAnswerWriter(w, s.WriteTimeout)}
	x.seen.Header().Set("X-Request-Id", x.id)
	r = normalize(r.WithContext(edge.WithTraceParent(edge.WithRequestID(r.Context(), x.id), r.Header.Get("Traceparent"))))
	x.r = s.limitBody(x.seen, r)
	taken := false
	defer func() { //nolint:contextcheck // an exchange has its request
		if taken { // others write the answer now
			return
		}
		x.seen.leave(s.ReadTimeout)
		if x.end(recover()) {
			panic(http.ErrAbortHandler) //nolint:forbidigo // the answer is to be cut, not to end as if it were whole
		}
	}()
	if err := x.admit(); err != nil { //nolint:contextcheck // see above
		s.fail(x.seen, x.r, err)
		return
	}
	s.mux.ServeHTTP(x.seen, x.r)
	if x.seen.later == nil {
		return
	}
	if taken = s.Streams.take(x); !taken { //nolint:contextcheck // see above
		edge.Wait(x.seen.last, x.seen.later)
	}
}

// exchange is a request and its answer.
type exchange struct {
	*server
	begun time.Time
	id    string
	r     *http.Request
	seen  *answerWriter
}

// admit says why a request does not come to its route.
func (x *exchange) admit() (err error) {
	x.r, err = x.server.admit(x.r)
	if edge.Principal(x.r.Context()).Pass != nil { // whose page it is does not matter: the browser adds nothing of its own
		x.seen.Header().Set("Access-Control-Allow-Origin", "*")
	}
	if err == nil {
		err = x.single(x.r)
	}
	if err == nil {
		x.r, err = checked(x.seen, x.r)
	}
	return err
}

// goOn writes an answer that was taken over, until that rests, or has ended, whole or not.
func (x *exchange) goOn() (rest edge.Rest, whole bool) {
	defer func() {
		if rest == nil {
			whole = !x.end(recover())
		}
	}()
	return x.seen.later(x.seen.last), false
}

// end logs and measures a request whose answer has ended, p being what its handler has
// panicked with, and reports whether the answer is to be cut.
func (x *exchange) end(p any) (cut bool) {
	ctx, path := x.r.Context(), logged(x.r.URL.Path)
	cut = p == http.ErrAbortHandler //nolint:errorlint // a panic's value, not an error
	if p != nil && !cut {
		x.Log.ErrorContext(ctx, "panic", "request_id", x.id, "path", path, "panic", p, "stack", string(debug.Stack()))
		if cut = x.seen.status != 0; !cut { // who has read half of it must not take that for all
			x.fail(x.seen, x.r, fault.New(fault.Internal, "something went wrong in the server"))
		}
	}
	took := time.Since(x.begun)
	x.Log.LogAttrs(ctx, slog.LevelDebug, "request",
		slog.String("request_id", x.id), slog.String("method", x.r.Method), slog.String("path", path),
		slog.Int("status", x.seen.status), slog.Duration("took", took))
	if x.seen.stream {
		took = x.seen.answered.Sub(x.begun)
	}
	x.Measure(x.r.Pattern, x.seen.status, took)
	return cut
}

// logged is a path without the signature that a file's URL carries.
func logged(path string) string {
	if strings.HasPrefix(path, "/f/") {
		return "/f/…"
	}
	return path
}

// fail answers an error in the form of the face that the path belongs to.
func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	if f := s.face(r); f != nil {
		f.Fail(w, r, s.Log, err)
		return
	}
	xpander.WriteError(w, r, s.Log, err)
}

// face is the face that a request is for, nil for what belongs to none.
func (s *server) face(r *http.Request) *edge.Face {
	for i := range s.faces {
		if s.faces[i].Has(r) {
			return &s.faces[i]
		}
	}
	return nil
}

// unrouted answers a path that no route has, or a method that it has not.
func (s *server) unrouted(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := s.mux.Handler(other); pattern != noRoute {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) > 0 {
		list := strings.Join(allowed, ", ")
		w.Header().Set("Allow", list)
		s.fail(w, r, fault.New(fault.MethodNotAllowed, "there is no %s %s, only %s", r.Method, r.URL.Path, list))
		return
	}
	s.missing(w, r)
}

// missing answers a path that nothing is behind.
func (s *server) missing(w http.ResponseWriter, r *http.Request) {
	s.fail(w, r, fault.New(fault.NotFound, "there is no %s %s", r.Method, r.URL.Path))
}

// operator lets nobody but the operator in, the admins of the first
// organization: what it guards speaks of all organizations.
func (s *server) operator(handle http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		who := edge.Principal(r.Context())
		if who.Role != auth.Admin || who.Organization != auth.DefaultOrganization {
			s.fail(w, r, fault.New(fault.Forbidden, "this is for admin keys of the organization %s", auth.DefaultOrganization))
			return
		}
		handle(w, r)
	}
}

func (s *server) ready(w http.ResponseWriter, r *http.Request) {
	if err := s.Ready(r.Context()); err != nil {
		told := "not ready"
		if f, ok := errors.AsType[*fault.Error](err); ok {
			told += ": " + f.Message
		}
		s.fail(w, r, fault.New(fault.Unavailable, "%s", told))
		return
	}
	edge.WriteJSON(w, http.StatusOK, map[string]string{"status": "ready"})
}

// file serves a file by its signed URL: no key, no redirect (H6).
func (s *server) file(w http.ResponseWriter, r *http.Request) {
	id, name := r.PathValue("id"), r.PathValue("name")
	org, err := s.Shelf.Verify(id, r.PathValue("signature"), name)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	content, f, err := s.Shelf.Open(r.Context(), org, id)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	defer content.Close() //nolint:errcheck // it was only read
	w.Header().Set("Cache-Control", "private, max-age=3600")
	edge.ServeFile(w, r, edge.Content{Name: name, Type: f.ContentType, ID: id, At: f.CreatedAt.Time(), ReadSeeker: content})
}
