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
	ExpiresAt      task.Stamp `json:"expires_at" doc:"When the session ends unless it is used before; null for a request that shows the key itself."`
	Version        string     `json:"version" doc:"The server's version."`
	UI             string     `json:"ui" doc:"Names the web UI that the server has built in; another one means that a page is to be loaded again. Empty for none."`
}

// SessionKey is the key of a session.
type SessionKey struct {
	ID     string    `json:"id" doc:"The key's id."`
	Name   string    `json:"name" doc:"Its name for people." example:"reports"`
	Role   auth.Role `json:"role" enum:"admin,user,worker" doc:"What it may do."`
	Agents []string  `json:"agents" nullable:"false" doc:"The agents that a worker's key is for; empty is all."`
}

// SignIn is the body that begins a session.
type SignIn struct {
	Key string `json:"key" maxLength:"1024" doc:"The key's text."`
}

type cookieAnswer struct {
	SetCookie string `header:"Set-Cookie" doc:"The cookie that holds the session."`
}

func (r *routes) registerSession() {
	tags := []string{"session"}
	add(r, operation{open: true, errors: []fault.Code{fault.RateLimited}, Operation: huma.Operation{
		OperationID: "sign-in", Method: http.MethodPost, Path: "/v1/session", DefaultStatus: http.StatusNoContent, Tags: tags,
		Summary: "Sign a browser in with a key",
		Description: "The answer sets a cookie that stands for the key on the paths of /v1 until 12 hours have passed without a request, somebody signs out, " +
			"or the key is revoked. A request with a cookie must come from a page of this server. An address may try 10 times a minute.",
	}}, func(ctx context.Context, in *struct{ Body SignIn }) (*cookieAnswer, error) {
		session, err := r.Auth.SignIn(ctx, in.Body.Key, edge.Peer(ctx))
		return &cookieAnswer{r.Cookie.Write(session).String()}, err
	})
	add(r, operation{roles: everybody(), Operation: huma.Operation{
		OperationID: "get-session", Method: http.MethodGet, Path: "/v1/session", Tags: tags, Summary: "Read who is signed in",
	}}, func(ctx context.Context, _ *struct{}) (*struct{ Body Session }, error) {
		who := edge.Principal(ctx)
		s := Session{
			Key:            SessionKey{ID: who.KeyID, Name: who.KeyName, Role: who.Role, Agents: append([]string{}, who.Agents...)},
			OrganizationID: who.Organization, Version: r.Version, UI: r.UI,
		}
		if who.Session != nil {
			s.ExpiresAt = who.Session.Until
		}
		return &struct{ Body Session }{s}, nil
	})
	add(r, operation{roles: everybody(), Operation: huma.Operation{
		OperationID: "sign-out", Method: http.MethodDelete, Path: "/v1/session", DefaultStatus: http.StatusNoContent, Tags: tags,
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
