package v1

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/task"
)

// Session tells a browser who it is signed in as, and at which server.
type Session struct {
	Key            SessionKey `json:"key" doc:"The key with which it was begun, or which the request has shown."`
	OrganizationID string     `json:"organization_id" doc:"The key's organization."`
	ExpiresAt      task.Stamp `json:"expires_at" doc:"When the session ends unless it is used before, which prolongs no person's; null for a request that shows the key itself."`
	Version        string     `json:"version" doc:"The server's version."`
	User           string     `json:"user" doc:"As whom somebody acts who has signed in with the provider; empty for a key." example:"anna@example.com"`
	SignOut        string     `json:"sign_out" doc:"Where a browser goes after its session has ended, to sign out at the provider, too; empty for nowhere." example:"/v1/session/oidc/end"`
	UI             string     `json:"ui" doc:"Names the web UI that the server has built in; another one means that a page is to be loaded again. Empty for none."`
}

// SessionKey is the key of a session.
type SessionKey struct {
	ID     string    `json:"id" doc:"The key's id."`
	Name   string    `json:"name" doc:"Its name for people." example:"reports"`
	Role   auth.Role `json:"role" enum:"admin,user,worker" doc:"What it may do."`
	Agents []string  `json:"agents" nullable:"false" doc:"The agents that a worker's key is for; empty is all."`
}

// SignIn is the body that begins a session: it holds a key, or the code of a link.
type SignIn struct {
	Key  string `json:"key,omitempty" maxLength:"1024" doc:"The key's text."`
	Code string `json:"code,omitempty" maxLength:"1024" doc:"The code of a link, in the place of a key: it signs in once."`
}

// LinkCreate is the body that makes a link.
type LinkCreate struct {
	Next string `json:"next,omitempty" maxLength:"1024" pattern:"^/ui/" doc:"The page to which the link leads; the list of tasks when left out." example:"/ui/tasks/task-456"`
}

// Link signs a browser in once.
type Link struct {
	Path      string     `json:"path" doc:"What stands behind the server's URL. Whoever opens it first is signed in; the code is in its fragment, which no browser sends and no log has."`
	ExpiresAt task.Stamp `json:"expires_at" doc:"When it is good no more, though nobody has opened it."`
}

type cookieAnswer struct {
	SetCookie string `header:"Set-Cookie" doc:"The cookie that holds the session."`
}

func (r *routes) registerSession() {
	tags := []string{"session"}
	r.registerWays(tags)
	add(r, operation{open: true, errors: []fault.Code{fault.RateLimited}, Operation: huma.Operation{
		OperationID: "sign-in", Method: http.MethodPost, Path: SessionPath, DefaultStatus: http.StatusNoContent, Tags: tags,
		Summary: "Sign a browser in with a key, or with the code of a link",
		Description: "The answer sets a cookie that stands for the key on the paths of /v1 until 12 hours have passed without a request, somebody signs out, " +
			"or the key is revoked. A request with a cookie must come from a page of this server. An address may try 10 times a minute.",
	}}, func(ctx context.Context, in *struct{ Body SignIn }) (*cookieAnswer, error) {
		signIn, shown := r.Auth.SignIn, in.Body.Key
		if in.Body.Code != "" {
			signIn, shown = r.Auth.FollowLink, in.Body.Code
		}
		if (in.Body.Key == "") == (in.Body.Code == "") {
			return nil, fault.Field("key", "either it or code must be given")
		}
		session, err := signIn(ctx, shown, edge.Peer(ctx))
		return &cookieAnswer{r.Cookie.Write(session).String()}, err
	})
	add(r, operation{roles: everybody(), Operation: huma.Operation{
		OperationID: "create-link", Method: http.MethodPost, Path: "/v1/session/links", DefaultStatus: http.StatusCreated, Tags: tags,
		Summary:     "Make a link that signs a browser in",
		Description: "The browser that opens it first, within 10 minutes, is signed in as the request's key.",
	}}, func(ctx context.Context, in *struct{ Body LinkCreate }) (*struct{ Body Link }, error) {
		path, until, err := r.Auth.Link(ctx, edge.Principal(ctx), in.Body.Next)
		return &struct{ Body Link }{Link{Path: path, ExpiresAt: until}}, err
	})
	add(r, operation{roles: everybody(), Operation: huma.Operation{
		OperationID: "get-session", Method: http.MethodGet, Path: SessionPath, Tags: tags, Summary: "Read who is signed in",
	}}, func(ctx context.Context, _ *struct{}) (*struct{ Body Session }, error) {
		who := edge.Principal(ctx)
		s := Session{
			Key:            SessionKey{ID: who.KeyID, Name: who.KeyName, Role: who.Role, Agents: append([]string{}, who.Agents...)},
			OrganizationID: who.Organization, Version: r.Version, UI: r.UI,
		}
		if who.Session != nil {
			s.ExpiresAt = who.Session.Until
		}
		if who.Person {
			s.User = who.User
			if r.People != nil && r.People.EndsSession() {
				s.SignOut = leavePath
			}
		}
		return &struct{ Body Session }{s}, nil
	})
	add(r, operation{roles: everybody(), Operation: huma.Operation{
		OperationID: "sign-out", Method: http.MethodDelete, Path: SessionPath, DefaultStatus: http.StatusNoContent, Tags: tags,
		Summary: "Sign a browser out", Description: "It ends the session that the request's cookie shows, and no other.",
	}}, func(ctx context.Context, _ *struct{}) (*cookieAnswer, error) {
		if s := edge.Principal(ctx).Session; s != nil {
			if err := r.Auth.SignOut(ctx, *s); err != nil {
				return nil, err
			}
		}
		return &cookieAnswer{r.Cookie.Write("").String()}, nil
	})
}
