package errand

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Keys makes and revokes API keys. It needs an admin key.
type Keys struct{ c *Client }

// Role says what a key may do.
type Role string

// The roles.
const (
	RoleAdmin  Role = "admin"  // everything
	RoleUser   Role = "user"   // tasks, files, reading agents
	RoleWorker Role = "worker" // executing tasks
)

// Key is an API key.
type Key struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Role Role   `json:"role"`
	// Agents are those that a worker's key is for; none is all.
	Agents    []string  `json:"agents"`
	CreatedAt time.Time `json:"created_at"`
	RevokedAt time.Time `json:"revoked_at"`
	// Secret is the key itself. Only Create answers it, and only once.
	Secret string `json:"key"`
}

// Create makes a key. It is never repeated by itself.
func (k *Keys) Create(ctx context.Context, name string, role Role, agents ...string) (*Key, error) {
	var key Key
	err := k.c.call(ctx, request{method: http.MethodPost, path: "/v1/keys", body: struct {
		Name   string   `json:"name"`
		Role   Role     `json:"role"`
		Agents []string `json:"agents,omitempty"`
	}{name, role, agents}}, &key)
	if err != nil {
		return nil, err
	}
	return &key, nil
}

// List lists the keys, revoked ones too, without their secrets.
func (k *Keys) List(ctx context.Context) ([]Key, error) {
	var list struct {
		Items []Key `json:"items"`
	}
	err := k.c.call(ctx, request{method: http.MethodGet, path: "/v1/keys", repeat: true}, &list)
	return list.Items, err
}

// Revoke makes a key worthless. The last admin key cannot be revoked.
func (k *Keys) Revoke(ctx context.Context, id string) error {
	return k.c.call(ctx, request{method: http.MethodDelete, path: "/v1/keys/" + url.PathEscape(id)}, nil)
}
