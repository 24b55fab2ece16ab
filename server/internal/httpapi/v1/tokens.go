package v1

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/task"
)

// Token reads one task; its text is not kept.
type Token struct {
	ID        string     `json:"id" doc:"Names the token, to revoke it."`
	TaskID    string     `json:"task_id" doc:"The task that it reads."`
	CreatedAt task.Stamp `json:"created_at" doc:"When it was made."`
	ExpiresAt task.Stamp `json:"expires_at" doc:"When it is good no more."`
}

// NewToken is a token that was just made.
type NewToken struct {
	Token
	Text string `json:"token" doc:"The token itself, for the parameter token. It is told once and not stored."`
}

// TokenCreate is the body that makes a token.
type TokenCreate struct {
	ExpiresIn *int `json:"expires_in,omitempty" minimum:"1" maximum:"2592000" doc:"Seconds for which it is good; an hour when left out."`
}

// TokenList is all tokens of a task.
type TokenList struct {
	Items []Token `json:"items" doc:"The tokens that are good, the oldest first; at most 100."`
}

func tokenOf(p auth.Pass) Token {
	return Token{ID: p.ID, TaskID: p.Task, CreatedAt: p.CreatedAt, ExpiresAt: p.Until}
}

// tokenLength is how long a token is good of which nobody has said it.
const tokenLength = time.Hour

func (r *routes) registerTokens() {
	tags := []string{"tasks"}
	add(r, operation{roles: users(), errors: []fault.Code{fault.Conflict}, Operation: huma.Operation{
		OperationID: "create-token", Method: http.MethodPost, Path: "/v1/tasks/{task_id}/tokens", DefaultStatus: http.StatusCreated, Tags: tags,
		Summary: "Make a token that reads one task",
		Description: "A page of yours can follow the task with it, which no key should be given: an EventSource sends no headers, so the token is the parameter `token` " +
			"of the task, its events and its outputs, and of nothing else. Pages of any site may use it. It ends with its time, its task, its maker's key, or when it is revoked.",
	}}, func(ctx context.Context, in *struct {
		TaskPath
		Body TokenCreate
	},
	) (*struct{ Body NewToken }, error) {
		if _, err := r.Service.Task(ctx, edge.Scope(ctx), in.ID); err != nil {
			return nil, err
		}
		length := tokenLength
		if in.Body.ExpiresIn != nil {
			length = time.Duration(*in.Body.ExpiresIn) * time.Second
		}
		p, text, err := r.Auth.Share(ctx, edge.Principal(ctx), in.ID, length)
		return &struct{ Body NewToken }{NewToken{Token: tokenOf(p), Text: text}}, err
	})
	add(r, operation{roles: users(), Operation: huma.Operation{
		OperationID: "list-tokens", Method: http.MethodGet, Path: "/v1/tasks/{task_id}/tokens", Tags: tags, Summary: "List the tokens that read a task",
	}}, func(ctx context.Context, in *TaskPath) (*struct{ Body TokenList }, error) {
		if _, err := r.Service.Task(ctx, edge.Scope(ctx), in.ID); err != nil {
			return nil, err
		}
		found, err := r.Auth.Shares(ctx, edge.Principal(ctx).Organization, in.ID)
		list := TokenList{Items: make([]Token, 0, len(found))}
		for _, p := range found {
			list.Items = append(list.Items, tokenOf(p))
		}
		return &struct{ Body TokenList }{list}, err
	})
	add(r, operation{roles: users(), Operation: huma.Operation{
		OperationID: "revoke-token", Method: http.MethodDelete, Path: "/v1/tasks/{task_id}/tokens/{token_id}", DefaultStatus: http.StatusNoContent, Tags: tags,
		Summary: "Revoke a token that reads a task", Description: "It is good for no further request; a stream that was begun with it goes on until it ends or breaks.",
	}}, func(ctx context.Context, in *struct {
		TaskPath
		Token string `path:"token_id" doc:"The token's id."`
	},
	) (*struct{}, error) {
		if _, err := r.Service.Task(ctx, edge.Scope(ctx), in.ID); err != nil {
			return nil, err
		}
		return nil, r.Auth.Unshare(ctx, edge.Principal(ctx).Organization, in.ID, in.Token)
	})
}
