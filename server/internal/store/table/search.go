package table

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/search"
	"github.com/errand-dev/errand/server/internal/task"
)

// Words is how a store spells words.
type Words struct {
	// Said is a document's, Match finds documents that have some words and the terms.
	Said  func(words []string) string
	Match func(words []string, q search.Query) string
}

const (
	// look is how many documents that have the words one search looks at.
	look = 10_000
	// slots is how many documents may have begun in one millisecond.
	slots = 1 << 20

	selectUnindexed = `SELECT t.org, t.id, t.agent_id, t.owner, t.grp, t.created_at,
		COALESCE((SELECT max(d.last_seq) FROM documents d WHERE d.org = t.org AND d.task = t.id), 0) FROM tasks t WHERE `
	// matching are the newest documents that have some words, in front of one.
	matching = "(SELECT w.rowid AS id FROM words w WHERE words_match(?) AND w.rowid < ? ORDER BY w.rowid DESC LIMIT ?) m"
)

func readUnindexed(ctx context.Context, db DB, where string, args ...any) ([]search.Unindexed, error) {
	var found []search.Unindexed
	err := each(ctx, db, selectUnindexed+where, args, func(rows Rows) error {
		var t search.Unindexed
		err := rows.Scan(&t.Org, &t.ID, &t.Agent, &t.Owner, &t.Group, &t.CreatedAt, &t.Last)
		found = append(found, t)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read what is not indexed: %w", err)
	}
	return found, nil
}

// SearchPlace implements search.Store.
func (r *Reader) SearchPlace(ctx context.Context) (p search.Place, err error) {
	var walked int
	_, err = one(ctx, r.DB, "SELECT pos, n, org, task, walked FROM search", nil, &p.Feed.Commit, &p.Feed.N, &p.Org, &p.Task, &walked)
	p.Walked = walked == 1
	return p, err
}

// UnindexedOf implements search.Store.
func (r *Reader) UnindexedOf(ctx context.Context, org string, ids []string) ([]search.Unindexed, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	args, n := []any{org}, 1
	for n < len(ids) { // of few sizes, so that few statements are prepared
		n *= 4
	}
	for i := range n {
		args = append(args, ids[min(i, len(ids)-1)])
	}
	return readUnindexed(ctx, r.DB, "t.org = ? AND t.id IN (?"+strings.Repeat(", ?", n-1)+")", args...)
}

// UnindexedBehind implements search.Store.
func (r *Reader) UnindexedBehind(ctx context.Context, org, id string, limit int) ([]search.Unindexed, error) {
	return readUnindexed(ctx, r.DB, "(t.org, t.id) > (?, ?) ORDER BY t.org, t.id LIMIT ?", org, id, limit)
}

// Found implements search.Store.
func (r *Reader) Found(ctx context.Context, in auth.Scope, q search.Query, f lifecycle.Filter, before int64, limit int) (found []search.Hit, next int64, err error) {
	if before == 0 {
		before = 1 << 62
	}
	match := r.Words.Match(search.Bounds(in, f.Agent), q)
	where, more := conditions(facets(in, f))
	query := `SELECT d.id, d.task, d.first_seq, d.last_seq, t.agent_id, t.status, t.created_at,
		CASE WHEN octet_length(t.title) <= 65536 THEN t.title END FROM ` + matching +
		" CROSS JOIN documents d CROSS JOIN tasks t WHERE d.id = m.id AND t.org = d.org AND t.id = d.task AND " + where + " ORDER BY m.id DESC LIMIT ?"
	args := append(append([]any{match, before, look}, more...), limit)
	err = each(ctx, r.DB, query, args, func(rows Rows) error {
		var h search.Hit
		err := rows.Scan(&h.ID, &h.Task, &h.First, &h.Last, &h.Agent, &h.Status, &h.CreatedAt, &h.Title)
		found = append(found, h)
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("search: %w", err)
	}
	if len(found) == limit {
		return found, found[limit-1].ID, nil
	}
	var n int
	var last *int64
	if _, err := one(ctx, r.DB, "SELECT count(*), min(m.id) FROM "+matching, []any{match, before, look}, &n, &last); err != nil {
		return nil, 0, fmt.Errorf("search: %w", err)
	}
	if n == look && last != nil {
		next = *last
	}
	return found, next, nil
}

// PutDocuments implements search.Store.
func (w *Writer) PutDocuments(ctx context.Context, all []search.Document, at search.Place) error {
	return w.Edit(lifecycle.Long(ctx, max(1, len(all))), func(db DB, _ task.Stamp) ([]Op, error) {
		// Two nodes that are at it do it one after the other.
		if _, err := exists(ctx, db, "SELECT 1 FROM search FOR UPDATE"); err != nil {
			return nil, err
		}
		walked := 0
		if at.Walked {
			walked = 1
		}
		ops := []Op{{
			SQL:  "UPDATE search SET pos = ?, n = ?, org = ?, task = ?, walked = ?",
			Args: []any{at.Feed.Commit, at.Feed.N, at.Org, at.Task, walked}, In: Search,
		}}
		known, next := map[taskOf]int64{}, map[int64]int64{}
		for _, d := range all {
			id := taskOf{d.Org, d.Of.ID, d.Of.CreatedAt}
			last, seen := known[id]
			if !seen {
				var err error
				if last, err = indexedTo(ctx, db, id); err != nil {
					return nil, err
				}
				known[id] = last
			}
			if last < 0 || d.First <= last {
				continue
			}
			known[id] = d.Last
			number, err := numberOf(ctx, db, d.At, next)
			if err != nil {
				return nil, err
			}
			ops = append(ops,
				Op{SQL: "INSERT INTO documents (id, org, task, first_seq, last_seq) VALUES (?, ?, ?, ?, ?)", Args: []any{number, d.Org, d.Of.ID, d.First, d.Last}, In: Documents},
				Op{SQL: "INSERT INTO words (rowid, said) VALUES (?, words_said(?))", Args: []any{number, w.Words.Said(d.Words)}, In: Documents})
		}
		return ops, nil
	})
}

type taskOf struct {
	org, id string
	at      task.Stamp
}

// indexedTo reads up to which event a task is in the index; -1 for one that is no more.
func indexedTo(ctx context.Context, db DB, t taskOf) (last int64, err error) {
	there, err := exists(ctx, db, "SELECT 1 FROM tasks WHERE org = ? AND id = ? AND created_at = ? FOR KEY SHARE", t.org, t.id, int64(t.at))
	if err != nil || !there {
		return -1, err
	}
	_, err = one(ctx, db, "SELECT COALESCE(max(last_seq), 0) FROM documents WHERE org = ? AND task = ?", []any{t.org, t.id}, &last)
	return last, err
}

// errFull: nobody creates a million tasks in a millisecond.
var errFull = errors.New("too many documents of one moment")

// numberOf is the next free number for a document that begins at a moment.
func numberOf(ctx context.Context, db DB, at task.Stamp, next map[int64]int64) (int64, error) {
	first := int64(at) / 1000 * slots
	n, known := next[first]
	if !known {
		if _, err := one(ctx, db, "SELECT COALESCE(max(id) + 1, ?) FROM documents WHERE id >= ? AND id < ?", []any{first, first, first + slots}, &n); err != nil {
			return 0, err
		}
	}
	if n >= first+slots {
		return 0, errFull
	}
	next[first] = n + 1
	return n, nil
}

// DropDocuments takes a task out of the index.
func dropDocuments(org, id string) []Op {
	return []Op{
		{SQL: "DELETE FROM words WHERE rowid IN (SELECT id FROM documents WHERE org = ? AND task = ?)", Args: []any{org, id}, In: Documents},
		{SQL: "DELETE FROM documents WHERE org = ? AND task = ?", Args: []any{org, id}, In: Documents},
	}
}
