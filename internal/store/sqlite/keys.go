package sqlite

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"fmt"

	"github.com/errand-dev/errand/internal/auth"
	"github.com/errand-dev/errand/internal/fault"
	"github.com/errand-dev/errand/internal/files"
	"github.com/errand-dev/errand/internal/lifecycle"
)

// edit runs statements of this package's own in a write.
func (s *Store) edit(ctx context.Context, fn func(*tx) error) error {
	return s.Write(ctx, func(port lifecycle.Tx) error {
		t, ok := port.(*tx)
		if !ok {
			return fmt.Errorf("unexpected transaction %T", port)
		}
		return fn(t)
	})
}

// KeyByHash implements auth.Store.
func (s *Store) KeyByHash(ctx context.Context, hash []byte) (auth.Key, error) {
	var k auth.Key
	var agents string
	found, err := one(ctx, s, `SELECT org, id, name, role, agents, hash, created_at FROM keys WHERE hash = ? AND revoked_at = 0`,
		[]any{hash}, &k.Organization, &k.ID, &k.Name, &k.Role, &agents, &k.Hash, &k.CreatedAt)
	if err != nil {
		return auth.Key{}, fmt.Errorf("read key: %w", err)
	}
	if !found || subtle.ConstantTimeCompare(k.Hash, hash) != 1 {
		return auth.Key{}, fault.New(fault.NotFound, "no such key")
	}
	if err := json.Unmarshal([]byte(agents), &k.Agents); err != nil {
		return auth.Key{}, fmt.Errorf("read key: %w", err)
	}
	return k, nil
}

// PutKey implements auth.Store.
func (s *Store) PutKey(ctx context.Context, k auth.Key) error {
	agents, err := json.Marshal(append([]string{}, k.Agents...))
	if err != nil {
		return fmt.Errorf("encode key: %w", err)
	}
	return s.edit(ctx, func(t *tx) error {
		return t.exec(`INSERT INTO keys (org, id, name, role, agents, hash, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			k.Organization, k.ID, k.Name, k.Role, string(agents), k.Hash, k.CreatedAt)
	})
}

// PutOrganization implements auth.Store.
func (s *Store) PutOrganization(ctx context.Context, id, name string) error {
	return s.edit(ctx, func(t *tx) error {
		return t.exec(`INSERT INTO organizations (id, name, created_at) VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING`,
			id, name, t.Now())
	})
}

// PutFile implements files.Store.
func (s *Store) PutFile(ctx context.Context, org string, f files.File) error {
	return s.edit(ctx, func(t *tx) error {
		return t.exec(`INSERT INTO files (org, id, size, content_type, created_at) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (org, id) DO NOTHING`, org, f.ID, f.Size, f.ContentType, t.Now())
	})
}

// File implements files.Store.
func (s *Store) File(ctx context.Context, org, id string) (files.File, error) {
	f := files.File{ID: id}
	found, err := one(ctx, s, `SELECT size, content_type, created_at FROM files WHERE org = ? AND id = ?`,
		[]any{org, id}, &f.Size, &f.ContentType, &f.CreatedAt)
	if err != nil {
		return files.File{}, fmt.Errorf("read file: %w", err)
	}
	if !found {
		return files.File{}, fault.New(fault.NotFound, "no file %q", id)
	}
	return f, nil
}

var (
	_ auth.Store  = (*Store)(nil)
	_ files.Store = (*Store)(nil)
)
