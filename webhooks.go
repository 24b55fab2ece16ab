package errand

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Webhooks are addresses that are told of what becomes of tasks, by messages in the form of
// Standard Webhooks, for which there are libraries in many languages.
type Webhooks struct{ c *Client }

// WebhookRequest asks for a webhook, which is told of the tasks that the client's key sees.
// URL must be given.
type WebhookRequest struct {
	URL string
	// Types are those of its messages, for example "task.completed"; none is all.
	Types []string
	// Agents are those of whose tasks it is told; none is all.
	Agents []string
	// Secret signs its messages: "whsec_" and 24 to 64 bytes in base64. The server makes one
	// if it is "".
	Secret string
}

// Webhook is an address that is told of tasks.
type Webhook struct {
	ID     string   `json:"id"`
	URL    string   `json:"url"`
	Types  []string `json:"types"`
	Agents []string `json:"agents"`
	// Enabled says whether it is told of anything. The server disables one that has taken
	// nothing for five days, or answers 410.
	Enabled   bool      `json:"enabled"`
	CreatedAt time.Time `json:"created_at"`
	CreatedBy string    `json:"created_by"`
	// LastTakenAt is when it has taken a message last, to a minute, zero for never. Failures
	// counts the requests that have failed since.
	LastTakenAt time.Time `json:"last_taken_at"`
	Failures    int       `json:"failures"`
	// LastFailedAt is when a request has failed last, zero for never, and LastFailure why.
	LastFailedAt time.Time `json:"last_failed_at"`
	LastFailure  string    `json:"last_failure"`
	// Secret signs its messages. Only Create answers it, and only once.
	Secret string `json:"secret"`
}

// WebhookChange changes a webhook; nil is nothing. Empty lists are all.
type WebhookChange struct {
	URL     *string   `json:"url,omitempty"`
	Types   *[]string `json:"types,omitempty"`
	Agents  *[]string `json:"agents,omitempty"`
	Enabled *bool     `json:"enabled,omitempty"`
}

// Create makes a webhook. It is never repeated by itself.
func (w *Webhooks) Create(ctx context.Context, r WebhookRequest) (*Webhook, error) {
	var made Webhook
	err := w.c.call(ctx, request{method: http.MethodPost, path: "/v1/webhooks", body: struct {
		URL    string   `json:"url"`
		Types  []string `json:"types,omitempty"`
		Agents []string `json:"agents,omitempty"`
		Secret string   `json:"secret,omitempty"`
	}(r)}, &made)
	if err != nil {
		return nil, err
	}
	return &made, nil
}

// List lists the webhooks that the client's key sees, the oldest first.
func (w *Webhooks) List(ctx context.Context) ([]Webhook, error) {
	var list struct {
		Items []Webhook `json:"items"`
	}
	err := w.c.call(ctx, request{method: http.MethodGet, path: "/v1/webhooks", repeat: true}, &list)
	return list.Items, err
}

// Update changes a webhook. One that is enabled again is told of what happens from then on.
func (w *Webhooks) Update(ctx context.Context, id string, c WebhookChange) (*Webhook, error) {
	var changed Webhook
	if err := w.c.call(ctx, request{method: http.MethodPatch, path: webhookPath(id), repeat: true, body: c}, &changed); err != nil {
		return nil, err
	}
	return &changed, nil
}

// Test posts a message of the type "webhook.test" to a webhook, once and at once, and
// returns why it was not taken, "" if it was.
func (w *Webhooks) Test(ctx context.Context, id string) (failure string, err error) {
	var came struct {
		Failure string `json:"failure"`
	}
	err = w.c.call(ctx, request{method: http.MethodPost, path: webhookPath(id) + "/test"}, &came)
	return came.Failure, err
}

// Delete removes a webhook: it is told nothing more.
func (w *Webhooks) Delete(ctx context.Context, id string) error {
	return w.c.call(ctx, request{method: http.MethodDelete, path: webhookPath(id)}, nil)
}

func webhookPath(id string) string { return "/v1/webhooks/" + url.PathEscape(id) }
