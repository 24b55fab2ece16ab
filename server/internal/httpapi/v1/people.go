package v1

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"

	"github.com/danielgtaylor/huma/v2"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/people"
)

// Where browsers go, with what they are redirected to: pages, no part of the API.
const (
	waysPath = "/v1/session/ways"
	oidcPath = "/v1/session/oidc"
	// CallbackPath is where the provider sends people back, with which they sign in.
	CallbackPath = oidcPath + "/callback"
	leavePath    = oidcPath + "/end"
)

// Ways are the ways to sign a browser in, beside a key.
type Ways struct {
	Providers []Way `json:"providers" nullable:"false" doc:"The provider with which people sign in, at most one."`
}

// Way is a provider with which people sign in.
type Way struct {
	Name    string `json:"name" doc:"Its name for people." example:"Example"`
	Path    string `json:"path" doc:"Where a browser goes to sign in; its parameter next names a page to come back to." example:"/v1/session/oidc"`
	Problem string `json:"problem" doc:"Why that is not possible at the moment; empty if it is."`
}

// problemOf says in public why nobody can sign in: the log has the details.
func problemOf(err error) string {
	if err == nil {
		return ""
	}
	return "the provider cannot be reached, or is another one: the server's log says more"
}

func (r *routes) registerPeople(mux *http.ServeMux) {
	if r.People == nil {
		return
	}
	mux.HandleFunc("GET "+oidcPath, r.beginSignIn)
	mux.HandleFunc("GET "+CallbackPath, r.finishSignIn)
	if r.People.EndsSession() {
		mux.HandleFunc("GET "+leavePath, func(w http.ResponseWriter, req *http.Request) { lead(w, r.People.Leave(req.Context())) })
	}
}

func (r *routes) registerWays(tags []string) {
	add(r, operation{open: true, Operation: huma.Operation{
		OperationID: "get-ways", Method: http.MethodGet, Path: waysPath, Tags: tags, Summary: "Read with which provider people can sign in",
	}}, func(context.Context, *struct{}) (*struct{ Body Ways }, error) {
		w := Ways{Providers: []Way{}}
		if r.People != nil {
			w.Providers = append(w.Providers, Way{Name: r.People.Name(), Path: oidcPath, Problem: problemOf(r.People.Absent())})
		}
		return &struct{ Body Ways }{w}, nil
	})
}

// ownPage is what a path of the web UI looks like: nobody is led anywhere else.
var ownPage = regexp.MustCompile(`^/ui/([^/\\\x00-\x20][^\\\x00-\x20]*)?$`)

// beginSignIn sends a browser to the provider.
func (r *routes) beginSignIn(w http.ResponseWriter, req *http.Request) {
	next := req.URL.Query().Get("next")
	if len(next) > 1024 || !ownPage.MatchString(next) {
		next = "/ui/"
	}
	to, kept, err := r.People.Begin(req.Context(), next)
	if err != nil {
		r.refuse(w, req, next, err)
		return
	}
	http.SetCookie(w, r.attemptCookie(kept))
	lead(w, to)
}

// finishSignIn takes a browser back from the provider. Its answer leads to a page of the web UI,
// which needs no cookie: a strict one is sent only with what that page asks for.
func (r *routes) finishSignIn(w http.ResponseWriter, req *http.Request) {
	kept := ""
	if c, err := req.Cookie(r.attemptCookie("").Name); err == nil {
		kept = c.Value
	}
	http.SetCookie(w, r.attemptCookie("")) // it is used up
	who, next, err := r.People.Finish(req.Context(), kept, req.URL.Query())
	if err != nil {
		r.refuse(w, req, next, err)
		return
	}
	session, err := r.Auth.Welcome(req.Context(), who)
	if why, is := map[fault.Code]people.Why{fault.Forbidden: people.Revoked, fault.Invalid: people.Nameless}[fault.CodeOf(err)]; is {
		err = &people.RefusedError{Why: why, Who: who.User, Err: err}
	}
	if err != nil {
		r.refuse(w, req, next, err)
		return
	}
	r.Log.InfoContext(req.Context(), "signed in with the provider", "user", who.User, "role", who.Role, "group", who.Group)
	http.SetCookie(w, r.Cookie.Write(session))
	lead(w, next)
}

// attemptCookie is what a browser keeps while somebody is at the provider, from where it is
// led back: a strict cookie would not come along.
func (r *routes) attemptCookie(kept string) *http.Cookie {
	c := r.Cookie.Write(kept) //nolint:gosec // as secure as the session's
	c.Name, c.Path, c.SameSite = c.Name+"_oidc", oidcPath, http.SameSiteLaxMode
	if kept != "" {
		c.MaxAge = int(people.AttemptLength.Seconds())
	}
	return c
}

// refuse leads a browser to the page that says why it is not signed in; the log says more.
func (r *routes) refuse(w http.ResponseWriter, req *http.Request, next string, err error) {
	why, level := people.Why("failed"), slog.LevelError
	said := []any{"request_id", edge.RequestID(req.Context()), "error", err}
	if refusal, is := errors.AsType[*people.RefusedError](err); is {
		why, level = refusal.Why, slog.LevelWarn
		said = append(said, "why", why, "user", refusal.Who, "groups", refusal.Groups)
	}
	r.Log.Log(req.Context(), level, "not signed in with the provider", said...)
	query := url.Values{"problem": {string(why)}, "request": {edge.RequestID(req.Context())}}
	if next != "" {
		query.Set("next", next)
	}
	lead(w, auth.SignInPage+"?"+query.Encode())
}

// lead sends a browser elsewhere.
func lead(w http.ResponseWriter, to string) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
}
