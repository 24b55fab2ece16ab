package auth

import (
	"context"
	"fmt"
	"time"

	"github.com/errand-dev/errand/server/internal/fault"
)

// MaxName is how long the name of a key may be, in bytes.
const MaxName = 255

// Issue makes a key and answers its text, which is told once and not stored.
// Only a worker's key can be for named agents.
func (a *Authenticator) Issue(ctx context.Context, org, name string, role Role, agents []string) (Key, string, error) {
	switch {
	case name == "" || len(name) > MaxName:
		return Key{}, "", fault.Field("name", "must be 1 to %d bytes", MaxName)
	case !role.Valid():
		return Key{}, "", fault.Field("role", "must be admin, user or worker")
	case role != Worker && len(agents) > 0:
		return Key{}, "", fault.Field("agents", "only a worker's key can be for named agents")
	}
	text := Generate()
	k := NewKey(org, name, role, text, time.Now())
	k.Agents = agents
	if err := a.store.PutKey(ctx, k); err != nil {
		return Key{}, "", fmt.Errorf("issue key: %w", err)
	}
	return k, text, nil
}

// Keys lists an organization's keys, the oldest first, revoked ones too.
func (a *Authenticator) Keys(ctx context.Context, org string) ([]Key, error) {
	return a.store.Keys(ctx, org)
}

// Revoke makes a key good for no further request here, and on other nodes
// after cacheFor. It is idempotent; an organization's last admin key is a
// Conflict.
func (a *Authenticator) Revoke(ctx context.Context, org, id string) error {
	if err := a.store.RevokeKey(ctx, org, id); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.revocations++
	for hash, c := range a.known {
		if c.who.Organization == org && c.who.KeyID == id {
			delete(a.known, hash)
		}
	}
	return nil
}
