package sqlite

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/files"
	"github.com/errand-dev/errand/server/internal/lifecycle"
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

const selectKey = `SELECT org, id, name, role, agents, hash, created_at, revoked_at FROM keys WHERE `

func readKeys(ctx context.Context, q querier, where string, args ...any) ([]auth.Key, error) {
	var found []auth.Key
	err := each(ctx, q, selectKey+where, args, func(rows rowScanner) error {
		var k auth.Key
		var agents string
		if err := rows.Scan(&k.Organization, &k.ID, &k.Name, &k.Role, &agents, &k.Hash, &k.CreatedAt, &k.RevokedAt); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(agents), &k.Agents); err != nil {
			return err
		}
		found = append(found, k)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	return found, nil
}

// KeyByHash implements auth.Store.
func (s *Store) KeyByHash(ctx context.Context, hash []byte) (auth.Key, error) {
	found, err := readKeys(ctx, s, `hash = ?`, hash)
	if err != nil {
		return auth.Key{}, err
	}
	if len(found) == 0 || subtle.ConstantTimeCompare(found[0].Hash, hash) != 1 {
		return auth.Key{}, fault.New(fault.NotFound, "no such key")
	}
	return found[0], nil
}

// Keys implements auth.Store.
func (s *Store) Keys(ctx context.Context, org string) ([]auth.Key, error) {
	return readKeys(ctx, s, `org = ? ORDER BY created_at, id`, org)
}

// RevokeKey implements auth.Store.
func (s *Store) RevokeKey(ctx context.Context, org, id string) error {
	return s.edit(ctx, func(t *tx) error {
		keys, err := readKeys(background(), t, `org = ? ORDER BY created_at, id`, org)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(keys, func(k auth.Key) bool { return k.ID == id })
		switch {
		case i < 0:
			return fault.New(fault.NotFound, "no key %q", id)
		case keys[i].RevokedAt != 0:
			return nil
		}
		keys[i].RevokedAt = t.Now()
		if !slices.ContainsFunc(keys, func(k auth.Key) bool { return k.Role == auth.Admin && k.RevokedAt == 0 }) {
			return fault.New(fault.Conflict, "this is the last admin key: make another one first")
		}
		return t.exec(`UPDATE keys SET revoked_at = ? WHERE org = ? AND id = ?`, t.Now(), org, id)
	})
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
