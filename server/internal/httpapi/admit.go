package httpapi

import (
	"context"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	v1 "github.com/errand-dev/errand/server/internal/httpapi/v1"
	"github.com/errand-dev/errand/server/internal/ui"
)

// normalize is what happens to every path before the router (rule H1): double
// slashes collapse, a trailing one goes, and an organization in front of one
// of the Python client's first words moves into the context. No spelling of a
// path is ever answered with a redirect, which that client does not follow.
func normalize(r *http.Request) *http.Request {
	if isNormal(r.URL) {
		return r
	}
	segments := strings.FieldsFunc(r.URL.EscapedPath(), func(c rune) bool { return c == '/' })
	ctx := r.Context()
	if len(segments) >= 2 && !auth.Reserved(segments[0]) && auth.ClientWord(segments[1]) {
		org, err := url.PathUnescape(segments[0])
		if err != nil {
			org = segments[0]
		}
		ctx, segments = edge.WithOrganization(ctx, org), segments[1:]
	}
	for i, s := range segments {
		if s == "." || s == ".." { // the router would redirect: here they are names that nothing has
			segments[i] = strings.ReplaceAll(s, ".", "%2E")
		}
	}
	escaped := "/" + strings.Join(segments, "/")
	plain, err := url.PathUnescape(escaped)
	if err != nil {
		return r
	}
	r = r.WithContext(ctx)
	u := *r.URL
	u.Path, u.RawPath = plain, escaped
	r.URL = &u
	return r
}

// isNormal reports whether a path is as it has to be, which almost every one is.
func isNormal(u *url.URL) bool {
	return strings.HasPrefix(u.Path, "/v1/") && u.RawPath == "" && !strings.HasSuffix(u.Path, "/") &&
		!strings.Contains(u.Path, "//") && !strings.Contains(u.Path, "/.")
}

// open reports whether a request needs no key of ours: probes, files whose URL is
// signed, the web UI, and what its face says.
func (s *server) open(r *http.Request) bool {
	switch r.URL.Path {
	case "/healthz", "/readyz":
		return true
	}
	if f := s.face(r); f != nil {
		return f.Open != nil && f.Open(r)
	}
	return strings.HasPrefix(r.URL.Path, "/f/") || ui.Page(r)
}

// admit finds out who calls. The key is checked before the route, and an
// organization in the path must be the key's own; None, which the client sends
// for none, is (rules H1, A3).
func (s *server) admit(r *http.Request) (*http.Request, error) {
	if s.open(r) {
		if r.URL.Path == v1.SessionPath {
			return r, s.ownPage(r)
		}
		return r, nil
	}
	who, err := s.authenticate(r)
	if err != nil {
		return r, err
	}
	if org := edge.Organization(r.Context()); org != "" && org != "None" && org != who.Organization {
		return r, fault.New(fault.NotFound, "no organization %q for this key", org)
	}
	if who, err = who.For(r.Header.Get("X-Errand-User")); err != nil {
		return r, err
	}
	ctx := edge.WithStill(edge.WithPrincipal(r.Context(), who), func(ctx context.Context) error {
		_, err := s.authenticate(r.WithContext(ctx))
		return err
	})
	return r.WithContext(ctx), nil
}

// authenticate returns whose key a request shows, or, on /v1, whose session (rule A6).
func (s *server) authenticate(r *http.Request) (auth.Principal, error) {
	shown := key(r)
	if shown == "" && strings.HasPrefix(r.URL.Path, "/v1/") {
		if token := r.URL.Query().Get(edge.TokenParameter); token != "" && r.Method == http.MethodGet {
			return s.Auth.Admit(r.Context(), token)
		}
		session, err := s.Cookie.Read(r)
		if err != nil {
			return auth.Principal{}, err
		}
		if session != "" {
			if err := s.ownPage(r); err != nil {
				return auth.Principal{}, err
			}
			return s.Auth.Resume(r.Context(), session)
		}
	}
	return s.Auth.Authenticate(r.Context(), shown)
}

// ownPage refuses what a browser may have sent for a page of another site, with a
// cookie that it adds by itself. A form can send no JSON; an upload, whose body is no
// JSON either, has the first check alone.
func (s *server) ownPage(r *http.Request) error {
	if err := s.sites.Check(r); err != nil {
		return fault.New(fault.Forbidden, "a page of another site has sent this")
	}
	if r.Body == nil || r.Body == http.NoBody || r.URL.Path == "/v1/files" {
		return nil
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return fault.Field("Content-Type", "must be application/json in a request with a cookie")
	}
	return nil
}

// key is the key that a request shows: in x-api-key, or as a bearer token for
// clients that can send only that.
func key(r *http.Request) string {
	if k := r.Header.Get("x-api-key"); k != "" {
		return k
	}
	bearer, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return bearer
}

// once lists the headers that say one thing. The names are canonical.
var once = []string{ //nolint:gochecknoglobals // a constant
	"X-Api-Key", "Authorization", "X-Errand-User", "Idempotency-Key", "Last-Event-Id",
	"X-Agent-Version", "X-Execution-Id", "X-Preflight-Check", "X-Tool-Call-Id", "X-Errand-Lease-Token",
}

// single refuses what is said twice: a reader of the first word and a reader of the
// last would each take another for it (rule H5). No parameter of any route may stand
// more than once, but those of which a face says that they are lists. Headers that are lists are joined, so that all of them count.
func (s *server) single(r *http.Request) error {
	for _, name := range once {
		if len(r.Header[name]) > 1 {
			return fault.Field(name, "stands more than once")
		}
	}
	if accept := r.Header["Accept"]; len(accept) > 1 {
		r.Header.Set("Accept", strings.Join(accept, ", "))
	}
	if r.URL.RawQuery == "" || ui.Page(r) { // whose parameters only the page itself reads
		return nil
	}
	query, _ := url.ParseQuery(r.URL.RawQuery) // what cannot be read counts for nothing, or is refused by its route
	face := s.face(r)
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if len(query[name]) > 1 && (face == nil || !slices.Contains(face.Lists, name)) {
			return fault.Field(name, "stands more than once")
		}
	}
	return nil
}

// leased names the route of /v1 that a request with a lease token goes to, "" for
// any other. Which these are, TestS5EveryDoorOfALease compares with the document.
func leased(r *http.Request) string {
	if r.URL.Path == "/v1/claim" && r.Method == http.MethodPost { // for each of its ends
		return "claim"
	}
	rest, isTask := strings.CutPrefix(r.URL.Path, "/v1/tasks/")
	_, verb, _ := strings.Cut(rest, "/")
	switch verb {
	case "heartbeat", "finish", "release", "events", "steps", "wait", "approvals":
		if isTask && r.Method == http.MethodPost {
			return verb
		}
	}
	return ""
}

// checked refuses bodies on /v1 that hold what no text may hold, or a member
// twice. What carries a lease is made to fit instead (rule S5): an attempt's events,
// steps and questions here, what its other words say of the task where they are read, which
// tells of it.
func checked(w http.ResponseWriter, r *http.Request) (*http.Request, error) {
	path := r.URL.Path
	if !strings.HasPrefix(path, "/v1/") || isFile(r) || r.Body == nil || r.Body == http.NoBody {
		return r, nil
	}
	body, err := edge.ReadBody(w, r)
	if err != nil {
		return r, err
	}
	switch door := leased(r); door {
	case "heartbeat", "finish", "release":
	default:
		err := plain(body)
		if err != nil && door == "claim" {
			err = plain(edge.Blank(body, "finished"))
		}
		switch {
		case err != nil && (door != "events" && door != "steps" && door != "approvals" || !edge.ShowsLease(body)):
			return r, err
		case err != nil:
			body = edge.Mend(body)
		}
	}
	// What the header says does not matter (curl -d says it is a form): the
	// body of these routes is JSON.
	r.Header.Set("Content-Type", "application/json")
	r.Body = edge.NewText(body)
	r.ContentLength = int64(len(body))
	return r, nil
}

// isFile reports whether a body is a file, and no JSON, whatever the method: one that is
// not there is told before its body is looked at.
func isFile(r *http.Request) bool {
	rest, ofTask := strings.CutPrefix(r.URL.Path, "/v1/tasks/")
	return r.URL.Path == "/v1/files" || ofTask && strings.Contains(rest, "/outputs/")
}

// plain refuses what no text may hold, and a member twice.
func plain(body []byte) error {
	if err := edge.CheckText(body); err != nil {
		return err
	}
	return edge.CheckNames(body)
}
