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

// Sees says which tasks and files of its organization a key sees.
type Sees string

// What keys see.
const (
	SeesOwn   Sees = "own"   // what it has made, or the user for whom it acts
	SeesGroup Sees = "group" // what keys of its group have made
	SeesAll   Sees = "all"
)

// KeyRequest asks for a key. Name and Role must be given.
type KeyRequest struct {
	// Name is for people, at most 255 bytes; logs of tasks say it.
	Name string
	Role Role
	// Agents are those that a worker's key is for; none is all.
	Agents []string
	// Sees is what the key is to see; "" is all. Only a user's can see less.
	Sees Sees
	// Group becomes the group of what it makes, at most 128 bytes; "" is none.
	Group string
	// Trusted lets it act for users: see Client.ForUser.
	Trusted bool
	// Caps are what the tasks that it begins may spend together; nil is no limit.
	Caps *Caps
	// ExpiresAt is when it is to end by itself; zero is never.
	ExpiresAt time.Time
}

// Key is an API key.
type Key struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Role Role   `json:"role"`
	// Agents are those that a worker's key is for; none is all.
	Agents []string `json:"agents"`
	// Sees is what it sees, Group becomes the group of what it makes, and Trusted
	// says that it may act for users: see Client.ForUser.
	Sees    Sees   `json:"sees"`
	Group   string `json:"group"`
	Trusted bool   `json:"trusted"`
	// Person is as whom somebody acts who has signed in with the provider, and "" for
	// any other key.
	Person string `json:"person"`
	// Caps are what the tasks that it begins may spend together, nil for no limit.
	Caps      *Caps     `json:"caps"`
	CreatedAt time.Time `json:"created_at"`
	// CreatedBy is who has made it, as logs of tasks name them; "" if nobody knows.
	CreatedBy string `json:"created_by"`
	// ExpiresAt is when it ends by itself, zero for never, and LastUsedAt when it was
	// used last, to about a minute, zero for never. Create does not answer the latter.
	ExpiresAt  time.Time `json:"expires_at"`
	LastUsedAt time.Time `json:"last_used_at"`
	RevokedAt  time.Time `json:"revoked_at"`
	// Secret is the key itself. Only Create answers it, and only once.
	Secret string `json:"key"`
}

// Create makes a key. It is never repeated by itself.
func (k *Keys) Create(ctx context.Context, r KeyRequest) (*Key, error) {
	var key Key
	err := k.c.call(ctx, request{method: http.MethodPost, path: "/v1/keys", body: struct {
		Name      string    `json:"name"`
		Role      Role      `json:"role"`
		Agents    []string  `json:"agents,omitempty"`
		Sees      Sees      `json:"sees,omitempty"`
		Group     string    `json:"group,omitempty"`
		Trusted   bool      `json:"trusted,omitempty"`
		Caps      *Caps     `json:"caps,omitempty"`
		ExpiresAt time.Time `json:"expires_at,omitzero"`
	}(r)}, &key)
	if err != nil {
		return nil, err
	}
	return &key, nil
}

// List lists the keys, revoked ones too, without their secrets.
func (k *Keys) List(ctx context.Context) ([]Key, error) {
	return whole(parts[Key](ctx, k.c, "/v1/keys", nil))
}

// Cap gives a key other caps in the place of those that it has, nil for none. What was
// paused because of them goes on if none is reached any more.
func (k *Keys) Cap(ctx context.Context, id string, caps *Caps) (*Key, error) {
	var key Key
	err := k.c.call(ctx, request{method: http.MethodPatch, path: "/v1/keys/" + url.PathEscape(id), repeat: true, body: struct {
		Caps *Caps `json:"caps"`
	}{caps}}, &key)
	if err != nil {
		return nil, err
	}
	return &key, nil
}

// Revoke makes a key worthless. The last admin key that does not expire cannot be revoked.
func (k *Keys) Revoke(ctx context.Context, id string) error {
	return k.c.call(ctx, request{method: http.MethodDelete, path: "/v1/keys/" + url.PathEscape(id)}, nil)
}
