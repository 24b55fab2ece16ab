package auth

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/task"
)

// MaxName is how long the name of a key may be, in bytes.
const MaxName = 255

// Issue makes a key like the one asked for, and returns its text, which is told
// once and not stored. Only a worker's key can be for named agents, and only a
// user's can see less than all: admins manage, and workers execute, what is all of
// the organization's.
func (a *Authenticator) Issue(ctx context.Context, wanted Key) (Key, string, error) {
	switch {
	case wanted.Name == "" || len(wanted.Name) > MaxName:
		return Key{}, "", fault.Field("name", "must be 1 to %d bytes", MaxName)
	case !wanted.Role.Valid():
		return Key{}, "", fault.Field("role", "must be admin, user or worker")
	case wanted.Role != Worker && len(wanted.Agents) > 0:
		return Key{}, "", fault.Field("agents", "only a worker's key can be for named agents")
	case !wanted.Sees.Valid():
		return Key{}, "", fault.Field("sees", "must be own, group or all")
	case wanted.Role != User && wanted.Sees != SeesAll:
		return Key{}, "", fault.Field("sees", "only a user's key can see less than all")
	case wanted.Sees == SeesGroup && wanted.Group == "":
		return Key{}, "", fault.Field("group", "must name the group that the key sees")
	case len(wanted.Group) > MaxGroup || !printable(wanted.Group):
		return Key{}, "", fault.Field("group", "must be at most %d bytes without control characters", MaxGroup)
	}
	now := time.Now()
	if wanted.ExpiresAt != 0 && wanted.ExpiresAt <= task.StampOf(now) {
		return Key{}, "", fault.Field("expires_at", "must be in the future")
	}
	text := Generate()
	k := NewKey(wanted.Organization, wanted.Name, wanted.Role, text, now)
	if err := wanted.Caps.Check("caps"); err != nil {
		return Key{}, "", err
	}
	k.Caps = wanted.Caps
	k.ExpiresAt, k.CreatedBy = wanted.ExpiresAt, wanted.CreatedBy
	k.Agents, k.Sees, k.Group, k.Trusted = wanted.Agents, wanted.Sees, wanted.Group, wanted.Trusted
	if err := a.store.PutKey(ctx, k); err != nil {
		return Key{}, "", fmt.Errorf("issue key: %w", err)
	}
	return k, text, nil
}

// MaxGroup is how long the name of a group, or of a user, may be, in bytes.
const MaxGroup = 128

// printable reports whether a name is text without control characters.
func printable(name string) bool {
	return utf8.ValidString(name) && !strings.ContainsFunc(name, unicode.IsControl)
}

// For is the principal as it acts for a user, whom only a trusted key may name.
func (p Principal) For(user string) (Principal, error) {
	switch {
	case user == "":
		return p, nil
	case !p.Trusted:
		return p, fault.New(fault.Forbidden, "this key may not act for a user: only one made with \"trusted\": true may")
	case len(user) > MaxGroup || !printable(user):
		return p, fault.New(fault.Malformed, "the user's name must be at most %d bytes without control characters", MaxGroup)
	}
	p.User = user
	return p, nil
}

// Keys lists an organization's keys behind one, of which CreatedAt and ID count, the
// zero value for all: the oldest first, revoked ones too, at most limit.
func (a *Authenticator) Keys(ctx context.Context, org string, behind Key, limit int) ([]Key, error) {
	return a.store.Keys(ctx, org, behind, limit)
}

// Cap gives a key other caps, nil for none.
func (a *Authenticator) Cap(ctx context.Context, org, id string, caps *task.Caps) (Key, error) {
	if err := caps.Check("caps"); err != nil {
		return Key{}, err
	}
	return a.store.CapKey(ctx, org, id, caps)
}

// Revoke makes a key good for no further request here, and on other nodes
// after cacheFor. It is idempotent; an organization's last admin key that does not expire is a
// Conflict.
func (a *Authenticator) Revoke(ctx context.Context, org, id string) error {
	if err := a.store.RevokeKey(ctx, org, id); err != nil {
		return err
	}
	a.forget(func(c cached) bool { return c.who.Organization == org && c.who.KeyID == id })
	return nil
}
