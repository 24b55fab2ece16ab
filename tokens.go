package errand

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// TaskToken reads one task, its events and its outputs, and nothing else.
type TaskToken struct {
	ID        string    `json:"id"`
	TaskID    string    `json:"task_id"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
	// Secret is the token itself. Only Share answers it, and only once.
	Secret string `json:"token"`
}

// Share makes a token with which a page follows a task: as the parameter token of the
// task's URLs, since an EventSource sends no headers. It is good for a time, at least a
// second and at most 30 days, 0 for an hour, and ends with its task, with the client's
// key, and with Unshare. It is never repeated by itself.
func (t *Tasks) Share(ctx context.Context, id string, good time.Duration) (*TaskToken, error) {
	var token TaskToken
	err := t.c.call(ctx, request{method: http.MethodPost, path: taskPath(id) + "/tokens", body: struct {
		ExpiresIn int64 `json:"expires_in,omitempty"`
	}{int64(good / time.Second)}}, &token)
	if err != nil {
		return nil, err
	}
	return &token, nil
}

// Shares lists the tokens that read a task, the oldest first, without their secrets.
func (t *Tasks) Shares(ctx context.Context, id string) ([]TaskToken, error) {
	var list struct {
		Items []TaskToken `json:"items"`
	}
	err := t.c.call(ctx, request{method: http.MethodGet, path: taskPath(id) + "/tokens", repeat: true}, &list)
	return list.Items, err
}

// Unshare revokes a token that reads a task.
func (t *Tasks) Unshare(ctx context.Context, id, token string) error {
	return t.c.call(ctx, request{method: http.MethodDelete, path: taskPath(id) + "/tokens/" + url.PathEscape(token)}, nil)
}

// SharedURL is where a page reads a task's events with the token: as server-sent events,
// or as JSON, as its Accept says.
func (t *Tasks) SharedURL(token *TaskToken) string {
	return t.c.base + taskPath(token.TaskID) + "/events?token=" + token.Secret
}
