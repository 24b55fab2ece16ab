package v1

import (
	"context"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/errand-dev/errand/server/internal/deliver"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// Webhook is a webhook in answers; only create-webhook tells its secret.
type Webhook struct {
	ID          string                `json:"id" doc:"Names the webhook."`
	URL         string                `json:"url" doc:"Where its messages are posted." example:"https://example.com/errand"`
	Types       []deliver.MessageType `json:"types" nullable:"false" doc:"The types of its messages; empty is all."`
	Agents      []string              `json:"agents" nullable:"false" doc:"The agents of whose tasks it is told; empty is all."`
	Enabled     bool                  `json:"enabled" doc:"Whether it is told of anything. The server disables one that has taken nothing for five days, or answers 410."`
	CreatedAt   task.Stamp            `json:"created_at" doc:"When it was made."`
	CreatedBy   string                `json:"created_by" doc:"Who has made it, as logs of tasks name them."`
	LastTakenAt task.Stamp            `json:"last_taken_at" doc:"When it has taken a message last, to a minute; null for never."`
	Failures    int                   `json:"failures" doc:"How many requests have failed since then."`
	LastFailed  task.Stamp            `json:"last_failed_at" doc:"When a request has failed last; null for never."`
	LastFailure string                `json:"last_failure" doc:"Why that was; empty for never." example:"answered 500"`
}

// NewWebhook is a webhook that was just made.
type NewWebhook struct {
	Webhook
	Secret string `json:"secret" doc:"Signs its messages, for a library of Standard Webhooks. It is told once: keep it."`
}

// WebhookList is all webhooks that a key sees.
type WebhookList struct {
	Items []Webhook `json:"items" doc:"The webhooks, the oldest first; at most 50."`
}

// WebhookCreate is the body that makes a webhook.
type WebhookCreate struct {
	URL     string                `json:"url" minLength:"1" maxLength:"2048" doc:"Where its messages are to be posted." example:"https://example.com/errand"`
	Types   []deliver.MessageType `json:"types,omitempty" maxItems:"20" doc:"The types of its messages: that a task has come to a status, or that people are asked something. All when left open."`
	Agents  []string              `json:"agents,omitempty" maxItems:"100" doc:"The agents of whose tasks it is told; all when left open."`
	Secret  string                `json:"secret,omitempty" maxLength:"128" doc:"What is to sign its messages: whsec_ and 24 to 64 bytes in base64. The server makes one when it is left out."`
	Enabled *bool                 `json:"enabled,omitempty" doc:"Whether it is to be told of anything; it is when left out."`
}

// WebhookUpdate is the body that changes a webhook.
type WebhookUpdate struct {
	URL     *string                `json:"url,omitempty" minLength:"1" maxLength:"2048" doc:"Where its messages are to be posted."`
	Types   *[]deliver.MessageType `json:"types,omitempty" maxItems:"20" doc:"Other types of messages; empty is all."`
	Agents  *[]string              `json:"agents,omitempty" maxItems:"100" doc:"Other agents; empty is all."`
	Enabled *bool                  `json:"enabled,omitempty" doc:"Whether it is to be told of anything. One that is enabled again is told of what happens from then on."`
}

// WebhookTest is what has come of a test message.
type WebhookTest struct {
	Taken   bool   `json:"taken" doc:"Whether it was answered with a status 2xx."`
	Failure string `json:"failure" doc:"Why it was not taken; empty if it was." example:"answered 500"`
}

// WebhookPath names a webhook.
type WebhookPath struct {
	ID string `path:"webhook_id" doc:"The webhook's id."`
}

func webhookOf(w deliver.Webhook) Webhook {
	return Webhook{
		ID: w.ID, URL: w.URL, Types: append([]deliver.MessageType{}, w.Types...), Agents: append([]string{}, w.Agents...), Enabled: w.Enabled,
		CreatedAt: w.CreatedAt, CreatedBy: w.CreatedBy,
		LastTakenAt: w.TakenAt, Failures: w.Failures, LastFailed: w.FailedAt, LastFailure: w.Failure,
	}
}

func checkAgents(ids []string) error {
	for i, id := range ids {
		if err := lifecycle.CheckID("agents["+strconv.Itoa(i)+"]", id); err != nil {
			return err
		}
	}
	return nil
}

func (r *routes) registerWebhooks() {
	tags := []string{"webhooks"}
	add(r, operation{roles: users(), errors: []fault.Code{fault.Conflict}, Operation: huma.Operation{
		OperationID: "create-webhook", Method: http.MethodPost, Path: "/v1/webhooks", DefaultStatus: http.StatusCreated, Tags: tags,
		Summary: "Have an address told of tasks",
		Description: "It is told, from now on, of the tasks that the key sees. Each message is JSON of a type, a timestamp and data, which holds ids and a status and nothing of what" +
			" a task was asked or has said, and is signed as Standard Webhooks says.",
	}}, r.createWebhook)
	add(r, operation{roles: users(), Operation: huma.Operation{
		OperationID: "list-webhooks", Method: http.MethodGet, Path: "/v1/webhooks", Tags: tags, Summary: "List webhooks, and how they have taken their messages",
	}}, func(ctx context.Context, _ *struct{}) (*struct{ Body WebhookList }, error) {
		found, err := r.Pushes.Webhooks(ctx, edge.Scope(ctx))
		list := WebhookList{Items: make([]Webhook, len(found))}
		for i, w := range found {
			list.Items[i] = webhookOf(w)
		}
		return &struct{ Body WebhookList }{list}, err
	})
	add(r, operation{roles: users(), errors: []fault.Code{fault.NotFound}, Operation: huma.Operation{
		OperationID: "update-webhook", Method: http.MethodPatch, Path: "/v1/webhooks/{webhook_id}", Tags: tags,
		Summary: "Change where a webhook is, and what it is told; enable or disable it",
	}}, func(ctx context.Context, in *struct {
		WebhookPath
		Body WebhookUpdate
	},
	) (*struct{ Body Webhook }, error) {
		if in.Body.Agents != nil {
			if err := checkAgents(*in.Body.Agents); err != nil {
				return nil, err
			}
		}
		w, err := r.Pushes.Change(ctx, edge.Scope(ctx), in.ID, deliver.WebhookChange(in.Body))
		return &struct{ Body Webhook }{webhookOf(w)}, err
	})
	add(r, operation{roles: users(), errors: []fault.Code{fault.NotFound}, Operation: huma.Operation{
		OperationID: "delete-webhook", Method: http.MethodDelete, Path: "/v1/webhooks/{webhook_id}", DefaultStatus: http.StatusNoContent, Tags: tags,
		Summary: "Delete a webhook: it is told nothing more",
	}}, func(ctx context.Context, in *WebhookPath) (*struct{}, error) {
		return nil, r.Pushes.Delete(ctx, edge.Scope(ctx), in.ID)
	})
	add(r, operation{roles: users(), errors: []fault.Code{fault.NotFound}, Operation: huma.Operation{
		OperationID: "test-webhook", Method: http.MethodPost, Path: "/v1/webhooks/{webhook_id}/test", Tags: tags,
		Summary:     "Post a message to a webhook now, and say what has come of it",
		Description: "The message has the type webhook.test. It is posted once, also to a webhook that is disabled, and within 20 s.",
	}}, func(ctx context.Context, in *WebhookPath) (*struct{ Body WebhookTest }, error) {
		failure, err := r.Pushes.Try(ctx, edge.Scope(ctx), in.ID)
		return &struct{ Body WebhookTest }{WebhookTest{Taken: failure == "", Failure: failure}}, err
	})
}

func (r *routes) createWebhook(ctx context.Context, in *struct{ Body WebhookCreate }) (*struct{ Body NewWebhook }, error) {
	if err := checkAgents(in.Body.Agents); err != nil {
		return nil, err
	}
	w, text, err := r.Pushes.Create(ctx, deliver.Webhook{
		Scope: edge.Scope(ctx), CreatedBy: edge.Principal(ctx).By(),
		URL: in.Body.URL, Types: in.Body.Types, Agents: in.Body.Agents, Enabled: in.Body.Enabled == nil || *in.Body.Enabled,
	}, in.Body.Secret)
	return &struct{ Body NewWebhook }{NewWebhook{webhookOf(w), text}}, err
}
