package table

import (
	"context"
	"math"
	"slices"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/files"
	"github.com/errand-dev/errand/server/internal/task"
)

// Writer keeps the records that no verb of package lifecycle writes. It is safe
// for concurrent use.
type Writer struct {
	// Edit commits the writes that fn returns. fn reads the transaction's database
	// and may run more than once.
	Edit func(ctx context.Context, fn func(db DB, now task.Stamp) ([]Op, error)) error
	// Oldest is the commit from which on the feed cannot be read yet; nil if all of it
	// can be.
	Oldest func(ctx context.Context) (int64, error)
	// Words is how the store spells words.
	Words Words
}

// put commits writes that depend on nothing.
func (w *Writer) put(ctx context.Context, ops func(now task.Stamp) []Op) error {
	return w.Edit(ctx, func(_ DB, now task.Stamp) ([]Op, error) { return ops(now), nil })
}

// PutKey implements auth.Store.
func (w *Writer) PutKey(ctx context.Context, k auth.Key) error {
	return w.put(ctx, func(task.Stamp) []Op { return []Op{InsertKey(k)} })
}

// PutPerson implements auth.Store.
func (w *Writer) PutPerson(ctx context.Context, k auth.Key) (auth.Key, error) {
	var key auth.Key
	err := w.Edit(ctx, func(db DB, _ task.Stamp) ([]Op, error) {
		found, err := readKeys(ctx, db, "hash = ? FOR UPDATE", k.Hash)
		switch {
		case err != nil:
			return nil, err
		case len(found) == 0:
			key = k
			return []Op{InsertKey(k)}, nil
		}
		if key = found[0]; key.RevokedAt != 0 {
			return nil, nil
		}
		key.Name, key.Role, key.Sees, key.Group, key.Person = k.Name, k.Role, k.Sees, k.Group, k.Person
		return []Op{changePerson(key)}, nil
	})
	return key, err
}

// CapKey implements auth.Store.
func (w *Writer) CapKey(ctx context.Context, org, id string, caps *task.Caps) (auth.Key, error) {
	var key auth.Key
	err := w.Edit(ctx, func(db DB, _ task.Stamp) ([]Op, error) {
		found, err := readKeys(ctx, db, "org = ? AND id = ? FOR UPDATE", org, id)
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, fault.New(fault.NotFound, "no key %q", id)
		}
		key = found[0]
		key.Caps = caps
		return []Op{CapKey(org, id, caps)}, nil
	})
	return key, err
}

// RevokeKey implements auth.Store.
func (w *Writer) RevokeKey(ctx context.Context, org, id string) error {
	return w.Edit(ctx, func(db DB, now task.Stamp) ([]Op, error) {
		keys, err := ReadKeys(ctx, db, org)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(keys, func(k auth.Key) bool { return k.ID == id })
		switch {
		case i < 0:
			return nil, fault.New(fault.NotFound, "no key %q", id)
		case keys[i].RevokedAt != 0:
			return nil, nil
		}
		keys[i].RevokedAt = now
		if !slices.ContainsFunc(keys, func(k auth.Key) bool {
			return k.Role == auth.Admin && k.RevokedAt == 0 && k.ExpiresAt == 0 && k.Person == ""
		}) {
			return nil, fault.New(fault.Conflict, "this is the last admin key that does not expire: make another one first")
		}
		return []Op{RevokeKey(org, id, now)}, nil
	})
}

// UseKey implements auth.Store.
func (w *Writer) UseKey(ctx context.Context, org, id string, at task.Stamp) error {
	return w.put(ctx, func(task.Stamp) []Op { return []Op{useKey(org, id, at)} })
}

// PutSession implements auth.SessionStore.
func (w *Writer) PutSession(ctx context.Context, s auth.Session) error {
	return w.put(ctx, func(task.Stamp) []Op { return []Op{insertSession(s)} })
}

// ExtendSession implements auth.SessionStore.
func (w *Writer) ExtendSession(ctx context.Context, s auth.Session) error {
	return w.put(ctx, func(task.Stamp) []Op { return []Op{extendSession(s)} })
}

// DropSession implements auth.SessionStore.
func (w *Writer) DropSession(ctx context.Context, s auth.Session) error {
	return w.put(ctx, func(task.Stamp) []Op { return []Op{dropSession(s)} })
}

// DropSessions implements auth.SessionStore.
func (w *Writer) DropSessions(ctx context.Context, at task.Stamp) error {
	return w.Edit(ctx, func(db DB, _ task.Stamp) ([]Op, error) {
		over, err := exists(ctx, db, "SELECT 1 FROM sessions WHERE until <= ? LIMIT 1", int64(at))
		if err != nil || !over { // an idle server writes nothing
			return nil, err
		}
		return []Op{dropSessions(at)}, nil
	})
}

// PutPass implements auth.PassStore.
func (w *Writer) PutPass(ctx context.Context, p auth.Pass) error {
	return w.Edit(ctx, func(db DB, now task.Stamp) ([]Op, error) {
		if p.Task != "" {
			if err := shareable(ctx, db, p, now); err != nil {
				return nil, err
			}
		}
		return []Op{insertPass(p)}, nil
	})
}

// TakePass implements auth.PassStore.
func (w *Writer) TakePass(ctx context.Context, hash []byte) (p auth.Pass, k auth.Key, err error) {
	err = w.Edit(ctx, func(db DB, _ task.Stamp) (ops []Op, err error) {
		if p, k, err = readPass(ctx, db, "p.hash = ? AND p.task = ''", hash); err != nil {
			return nil, err
		}
		return []Op{takePass(p)}, nil
	})
	return p, k, err
}

// DropPass implements auth.PassStore.
func (w *Writer) DropPass(ctx context.Context, org, of, id string) error {
	return w.Edit(ctx, func(db DB, _ task.Stamp) ([]Op, error) {
		there, err := exists(ctx, db, "SELECT 1 FROM passes WHERE org = ? AND task = ? AND task <> '' AND id = ?", org, of, id)
		if err != nil {
			return nil, err
		}
		if !there {
			return nil, fault.New(fault.NotFound, "no token %q", id)
		}
		return []Op{dropPass(org, of, id)}, nil
	})
}

// DropPasses implements auth.PassStore.
func (w *Writer) DropPasses(ctx context.Context, at task.Stamp) error {
	return w.Edit(ctx, func(db DB, _ task.Stamp) ([]Op, error) {
		over, err := exists(ctx, db, "SELECT 1 FROM passes WHERE until <= ? LIMIT 1", int64(at))
		if err != nil || !over { // an idle server writes nothing
			return nil, err
		}
		return []Op{dropPasses(at)}, nil
	})
}

// PutOrganization implements auth.Store.
func (w *Writer) PutOrganization(ctx context.Context, id, name string) error {
	if auth.Reserved(id) {
		return fault.Field("organization", "%q is the first word of a path (H1)", id)
	}
	return w.put(ctx, func(now task.Stamp) []Op { return []Op{PutOrganization(id, name, now)} })
}

// PutFile implements files.Store.
func (w *Writer) PutFile(ctx context.Context, org string, f files.File, name string, by files.Owner) error {
	return w.put(ctx, func(now task.Stamp) []Op { return PutFile(org, f, name, by, now) })
}

// DropFeed drops entries of the feed that are older than a moment, but for the newest of
// them: in small commits, between which others write. What cannot be read yet stays.
func (w *Writer) DropFeed(ctx context.Context, old task.Stamp) error {
	before := int64(math.MaxInt64)
	if w.Oldest != nil {
		var err error
		if before, err = w.Oldest(ctx); err != nil {
			return err
		}
	}
	for n := feedStep; n == feedStep; {
		if err := w.Edit(ctx, func(db DB, _ task.Stamp) ([]Op, error) {
			var upTo feed.Position
			var err error
			if n, upTo, err = oldFeed(ctx, db, old, before); n == 0 || err != nil {
				return nil, err
			}
			return []Op{dropFeed(upTo)}, nil
		}); err != nil {
			return err
		}
	}
	return nil
}

var (
	_ auth.Store = struct {
		*Reader
		*Writer
	}{}
	_ files.Store = struct {
		*Reader
		*Writer
	}{}
)
