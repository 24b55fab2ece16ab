package table

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/files"
	"github.com/errand-dev/errand/server/internal/task"
)

// A file has a row in files, one in file_owners for each who has brought it, of
// which there is always one, and one in file_uses for each task that uses it: that was
// given it, or has written it. Where
// others write, too, whoever begins to use a file shares the lock of its row in
// files, and whoever brings it or removes rows has that lock alone: a file is never
// removed beneath a task that is being created, nor while it is brought again.

// lockFile has a file's row alone until the commit; it reports whether it is there.
func lockFile(ctx context.Context, db DB, org, id string) (bool, error) {
	return exists(ctx, db, "SELECT 1 FROM files WHERE org = ? AND id = ? FOR UPDATE", org, id)
}

// PutFile notes that an organization has a file, and who has brought it. What is
// brought again counts as not used yet.
func PutFile(org string, f files.File, name string, by files.Owner, at task.Stamp) []Op {
	return []Op{
		putFile(org, f, at),
		{
			SQL: `INSERT INTO file_owners (org, id, owner, grp, name, at) VALUES (?, ?, ?, ?, ?, ?)
				ON CONFLICT (org, id, owner, grp) DO UPDATE SET name = excluded.name, left_at = 0`,
			Args: []any{org, f.ID, by.Owner, by.Group, name, int64(at)}, In: Files,
		},
	}
}

// putFile notes that an organization has a file. It locks the row, and waits for who
// removes it.
func putFile(org string, f files.File, at task.Stamp) Op {
	return Op{
		SQL: `INSERT INTO files (org, id, size, content_type, created_at) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (org, id) DO UPDATE SET size = files.size`,
		Args: []any{org, f.ID, f.Size, f.ContentType, int64(at)}, In: Files,
	}
}

// File implements files.Store.
func (r *Reader) File(ctx context.Context, org, id string) (files.File, error) {
	f := files.File{ID: id}
	found, err := one(ctx, r.DB, "SELECT size, content_type, created_at FROM files WHERE org = ? AND id = ?",
		[]any{org, id}, &f.Size, &f.ContentType, &f.CreatedAt)
	if err != nil {
		return files.File{}, fmt.Errorf("read file: %w", err)
	}
	if !found {
		return files.File{}, noFile(id)
	}
	return f, nil
}

func noFile(id string) error { return fault.New(fault.NotFound, "no file %q", id) }

// within is a scope as a condition on a row's owner and group, to be added to others.
func within(in auth.Scope, row string) (string, []any) {
	switch {
	case in.Owner != "":
		return " AND " + row + ".owner = ?", []any{in.Owner}
	case in.Group != "":
		return " AND " + row + ".grp = ?", []any{in.Group}
	}
	return "", nil
}

// Brought implements files.Store.
func (r *Reader) Brought(ctx context.Context, in auth.Scope, id string) (bool, error) {
	narrower, more := within(in, "o")
	return exists(ctx, r.DB, "SELECT 1 FROM file_owners o WHERE o.org = ? AND o.id = ?"+narrower+" LIMIT 1", append([]any{in.Organization, id}, more...)...)
}

// listed reads files of a scope: of each the row of who has brought it first there. What
// the server keeps for tasks has no name, and is not among them.
func listed(ctx context.Context, db DB, in auth.Scope, condition string, args ...any) ([]files.Listed, error) {
	uses, ofUses := within(in, "u")
	mine, ofMine := within(in, "o")
	earlier, ofEarlier := within(in, "p")
	query := `SELECT o.id, f.size, f.content_type, o.at, o.name,
			(SELECT count(*) FROM (SELECT 1 FROM file_uses u WHERE u.org = o.org AND u.id = o.id` + uses + fmt.Sprintf(" LIMIT %d) counted)", files.MaxTasks) + `
		FROM file_owners o JOIN files f ON f.org = o.org AND f.id = o.id
		WHERE o.org = ?` + mine + ` AND o.name <> '' AND NOT EXISTS (SELECT 1 FROM file_owners p WHERE p.org = o.org AND p.id = o.id AND p.name <> ''` + earlier + `
			AND (p.at, p.owner, p.grp) < (o.at, o.owner, o.grp))` + condition
	all := append(append(ofUses, in.Organization), append(append(ofMine, ofEarlier...), args...)...)
	var found []files.Listed
	err := each(ctx, db, query, all, func(rows Rows) error {
		var x files.Listed
		err := rows.Scan(&x.ID, &x.Size, &x.ContentType, &x.CreatedAt, &x.Name, &x.Tasks)
		found = append(found, x)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list files: %w", err)
	}
	return found, nil
}

// Files implements files.Store.
func (r *Reader) Files(ctx context.Context, in auth.Scope, behind files.Cursor, limit int) ([]files.Listed, error) {
	order := " ORDER BY o.at DESC, o.id DESC LIMIT ?"
	if in.Group != "" { // as in the index of those that have one
		order = " AND o.grp <> ''" + order
	}
	if behind == (files.Cursor{}) {
		return listed(ctx, r.DB, in, order, limit)
	}
	return listed(ctx, r.DB, in, " AND (o.at, o.id) < (?, ?)"+order, behind.CreatedAt, behind.ID, limit)
}

// FileOf implements files.Store.
func (r *Reader) FileOf(ctx context.Context, in auth.Scope, id string) (files.Listed, error) {
	found, err := listed(ctx, r.DB, in, " AND o.id = ?", id)
	if err != nil {
		return files.Listed{}, err
	}
	if len(found) == 0 {
		return files.Listed{}, noFile(id)
	}
	return found[0], nil
}

// among is a list of at least one id as arguments of IN: padded, so that few
// statements need to be prepared.
func among[T ~string](ids []T) (places string, args []any) {
	n := 1
	for n < len(ids) {
		n *= 2
	}
	args = make([]any, n)
	for i := range args {
		args[i] = string(ids[min(i, len(ids)-1)])
	}
	return "(?" + strings.Repeat(", ?", n-1) + ")", args
}

// LockFiles finds those of some files that an organization has; they stay until the
// commit.
func LockFiles(ctx context.Context, db DB, org string, ids []string) ([]string, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	places, args := among(ids)
	return texts(ctx, db, "SELECT id FROM files WHERE org = ? AND id IN "+places+" ORDER BY id FOR KEY SHARE", append([]any{org}, args...)...)
}

// PutUse notes that a task was given a file.
func PutUse(org, id, taskID, owner, group string) Op {
	return Op{
		SQL:  "INSERT INTO file_uses (org, id, task, owner, grp, given) VALUES (?, ?, ?, ?, ?, 1) ON CONFLICT (org, id, task) DO UPDATE SET given = 1",
		Args: []any{org, id, taskID, owner, group}, In: Files,
	}
}

// counts says that a use u is one of what o has brought: its owner's own, if that has
// brought the file; if not, it has it from all who have.
const counts = `(u.owner = o.owner OR NOT EXISTS (
	SELECT 1 FROM file_owners p WHERE p.org = u.org AND p.id = u.id AND p.owner = u.owner))`

// DropUses notes that a task uses no file any more, and since when those who have
// brought its files have one task less that does.
func DropUses(org, taskID string, now task.Stamp) []Op {
	return []Op{
		{
			SQL: `UPDATE file_owners AS o SET left_at = ? WHERE o.org = ? AND o.id IN (SELECT id FROM file_uses INDEXED BY file_uses_task WHERE org = ? AND task = ?)
				AND EXISTS (SELECT 1 FROM file_uses u WHERE u.org = o.org AND u.id = o.id AND u.task = ? AND ` + counts + ")",
			Args: []any{int64(now), org, org, taskID, taskID}, In: Files,
		},
		{SQL: "DELETE FROM file_uses INDEXED BY file_uses_task WHERE org = ? AND task = ?", Args: []any{org, taskID}, In: Files},
	}
}

// deleteFile removes what says that an organization has a file.
func deleteFile(org, id string) Op {
	return Op{
		SQL:  "DELETE FROM files WHERE org = ? AND id = ? AND NOT EXISTS (SELECT 1 FROM file_owners o WHERE o.org = files.org AND o.id = files.id)",
		Args: []any{org, id}, In: Files,
	}
}

// DropFile implements files.Store.
func (w *Writer) DropFile(ctx context.Context, in auth.Scope, id string) (removed files.Removal, err error) {
	err = w.Edit(ctx, func(db DB, now task.Stamp) (ops []Op, err error) {
		standing, err := standingOf(ctx, db, in, id)
		if err != nil {
			return nil, err
		}
		if removed, err = standing.Remove(id); err != nil {
			return nil, err
		}
		org := in.Organization
		narrower, more := within(in, "o")
		if removed == files.Erased {
			ops = append(ops, loosen(id, now))
		}
		if removed == files.LeftToTasks {
			ops = append(ops, Op{
				SQL: `INSERT INTO file_owners (org, id, owner, grp, name, at, left_at)
					SELECT org, id, '', '', name, at, CAST(? AS BIGINT) FROM file_owners o WHERE o.org = ? AND o.id = ?` + narrower + " ORDER BY o.at LIMIT 1",
				Args: append([]any{int64(now), org, id}, more...), In: Files,
			})
		}
		return append(ops,
			Op{SQL: "DELETE FROM file_owners AS o WHERE o.org = ? AND o.id = ?" + narrower, Args: append([]any{org, id}, more...), In: Files},
			deleteFile(org, id)), nil
	})
	return removed, err
}

// standingOf reads how a file stands to a scope, and keeps it so until the commit.
func standingOf(ctx context.Context, db DB, in auth.Scope, id string) (s files.Standing, err error) {
	there, err := lockFile(ctx, db, in.Organization, id)
	if !there || err != nil {
		return s, err
	}
	key := []any{in.Organization, id}
	narrower, more := within(in, "o")
	all, err := count(ctx, db, "SELECT count(*) FROM file_owners o WHERE o.org = ? AND o.id = ?", key...)
	if err != nil {
		return s, err
	}
	mine, err := count(ctx, db, "SELECT count(*) FROM file_owners o WHERE o.org = ? AND o.id = ?"+narrower, append(key, more...)...)
	if err != nil {
		return s, err
	}
	s.Brought, s.Others = mine > 0, all > mine
	narrower, more = within(in, "u")
	if s.Using, err = texts(ctx, db, "SELECT u.task FROM file_uses u WHERE u.org = ? AND u.id = ?"+narrower+" ORDER BY u.task LIMIT 3",
		append(key, more...)...); err != nil {
		return s, err
	}
	s.Used, err = exists(ctx, db, "SELECT 1 FROM file_uses u WHERE u.org = ? AND u.id = ? LIMIT 1", key...)
	return s, err
}

// leftLong finds what was brought and has been left by its last task before a moment.
const leftLong = " o.left_at > 0 AND o.left_at < ? AND NOT EXISTS (SELECT 1 FROM file_uses u WHERE u.org = o.org AND u.id = o.id AND " + counts + ")"

// DropLeft implements files.Store.
func (w *Writer) DropLeft(ctx context.Context, org string, before task.Stamp, limit int) (ids []string, more bool, err error) {
	err = w.Edit(ctx, func(db DB, now task.Stamp) (ops []Op, err error) {
		ids, err = texts(ctx, db, "SELECT o.id FROM file_owners o WHERE o.org = ? AND"+leftLong+" ORDER BY o.left_at LIMIT ?", org, int64(before), limit)
		if more = len(ids) == limit; len(ids) == 0 || err != nil {
			return nil, err
		}
		slices.Sort(ids)
		ids = slices.Compact(ids)
		for _, id := range ids { // in order, so that two of us wait one way only
			if _, err := lockFile(ctx, db, org, id); err != nil {
				return nil, err
			}
			ops = append(ops, Op{
				SQL:  "DELETE FROM file_owners AS o WHERE o.org = ? AND o.id = ? AND" + leftLong,
				Args: []any{org, id, int64(before)}, In: Files,
			}, deleteFile(org, id), loosen(id, now))
		}
		return ops, nil
	})
	return ids, more, err
}
