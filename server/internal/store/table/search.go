package table

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

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

	selectUnindexed = `SELECT t.org, t.id, t.created_at, t.agent_id, t.owner, t.grp, t.last_seq,
		COALESCE((SELECT max(d.last_seq) FROM documents d WHERE d.org = t.org AND d.task = t.id AND d.created_at = t.created_at), 0),
		CASE WHEN EXISTS (SELECT 1 FROM events e WHERE e.org = t.org AND e.task = t.id AND e.seq = t.last_seq AND e.type = 'chunk') THEN 1 ELSE 0 END
		FROM tasks t WHERE `
	// matching are the newest documents that have some words, in front of one.
	matching = "(SELECT w.rowid AS id FROM words w WHERE words_match(?) AND w.rowid < ? ORDER BY w.rowid DESC LIMIT ?) m"
	// dropDeleted drops documents of a task that was deleted, also where another has its id
	// now: who writes documents does not keep anybody from deleting their task meanwhile.
	dropDeleted = `DELETE FROM documents WHERE id IN (SELECT d.id FROM documents d WHERE d.org = ? AND d.task = ?
		AND NOT EXISTS (SELECT 1 FROM tasks t WHERE t.org = d.org AND t.id = d.task AND t.created_at = d.created_at) ORDER BY d.last_seq DESC LIMIT ?)`
	// dropAtMost is how many that are: one step writes fewer, and the others are erased
	// with the task's log.
	dropAtMost = 1000
)

func readUnindexed(ctx context.Context, db DB, where string, args ...any) ([]search.Unindexed, error) {
	var found []search.Unindexed
	err := each(ctx, db, selectUnindexed+where, args, func(rows Rows) error {
		var t search.Unindexed
		var speaks int
		err := rows.Scan(&t.Org, &t.ID, &t.CreatedAt, &t.Agent, &t.Owner, &t.Group, &t.End, &t.Last, &speaks)
		t.Speaks = speaks == 1
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
	_, err = one(ctx, r.DB, "SELECT step, pos, n, org, task, walked FROM search", nil, &p.Step, &p.Feed.Commit, &p.Feed.N, &p.Org, &p.Task, &walked)
	p.Walked = walked == 1
	return p, err
}

// UnindexedOf implements search.Store.
func (r *Reader) UnindexedOf(ctx context.Context, org string, ids []string) ([]search.Unindexed, error) {
	places, names := among(ids)
	return readUnindexed(ctx, r.DB, "t.org = ? AND t.id IN "+places, append([]any{org}, names...)...)
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
		CASE WHEN octet_length(t.title) <= 65536 THEN t.title END,
		(SELECT substr(u.spec, 1, 2560) FROM turns u WHERE u.org = t.org AND u.task = t.id AND u.n = t.turn) FROM ` + matching +
		" CROSS JOIN documents d CROSS JOIN tasks t WHERE d.id = m.id AND t.org = d.org AND t.id = d.task AND t.created_at = d.created_at AND " + where + " ORDER BY m.id DESC LIMIT ?"
	args := append(append([]any{match, before, look}, more...), limit)
	err = each(ctx, r.DB, query, args, func(rows Rows) error {
		var h search.Hit
		var spec string
		err := rows.Scan(&h.ID, &h.Task, &h.First, &h.Last, &h.Agent, &h.Status, &h.CreatedAt, &h.Title, &spec)
		h.Prompt, _ = asked(spec, "")
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
func (w *Writer) PutDocuments(ctx context.Context, all []search.Document, gone []search.Of, at search.Place) error {
	return w.Edit(lifecycle.Long(ctx, max(1, len(all)+len(gone))), func(db DB, _ task.Stamp) ([]Op, error) {
		// Two nodes that are at it do it one after the other.
		current, err := exists(ctx, db, "SELECT 1 FROM search WHERE step = ? FOR UPDATE", at.Step)
		if err != nil || !current {
			return nil, err
		}
		walked := 0
		if at.Walked {
			walked = 1
		}
		ops := []Op{{
			SQL:  "UPDATE search SET step = step + 1, pos = ?, n = ?, org = ?, task = ?, walked = ?",
			Args: []any{at.Feed.Commit, at.Feed.N, at.Org, at.Task, walked}, In: Search, Must: true,
		}}
		numbers := map[int64]int64{}
		var words []Op
		for _, d := range inTime(all) {
			number, err := numberOf(ctx, db, d.At, numbers)
			if err != nil {
				return nil, err
			}
			ops = append(ops, Op{
				SQL:  "INSERT INTO documents (id, org, task, created_at, first_seq, last_seq) VALUES (?, ?, ?, ?, ?, ?)",
				Args: []any{number, d.Of.Org, d.Of.ID, int64(d.Of.CreatedAt), d.First, d.Last}, In: Documents,
			})
			words = append(words, Op{SQL: "INSERT INTO words (rowid, said) VALUES (?, words_said(?))", Args: []any{number, w.Words.Said(d.Words)}, In: Documents})
		}
		ops = append(ops, words...)
		for _, t := range gone { // also those that were added just now
			ops = append(ops, Op{SQL: dropDeleted, Args: []any{t.Org, t.ID, dropAtMost}, In: Documents})
		}
		return ops, nil
	})
}

// inTime are documents in the order of their numbers, in which an index takes them best.
func inTime(all []search.Document) []search.Document {
	return slices.SortedStableFunc(slices.Values(all), func(a, b search.Document) int { return cmp.Compare(a.At, b.At) })
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
