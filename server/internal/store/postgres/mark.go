package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/store/table"
	"github.com/errand-dev/errand/server/internal/task"
)

// mark is a moment as the database sees it: a snapshot of PostgreSQL's, when that was, and
// in which life of the database. A new primary, and a server that has crashed, may give
// again the numbers of transactions that had no outcome before.
type mark struct {
	life     string
	at       task.Stamp
	snapshot string // xmin:xmax:xip,xip
}

func (m mark) String() string { return fmt.Sprintf("%s %d %s", m.life, m.at, m.snapshot) }

func parseMark(text string) (m mark, err error) {
	if _, err = fmt.Sscan(text, &m.life, &m.at, &m.snapshot); err != nil {
		return m, fmt.Errorf("%q is no mark: %w", text, err)
	}
	return m, nil
}

// moment reads a mark.
const moment = "SELECT (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint::text, " +
	"(extract(epoch FROM clock_timestamp()) * 1000000)::bigint, pg_current_snapshot()::text"

// unseen are others' entries that could not be read in an earlier snapshot.
const unseen = "(pos >= ? OR pos = ANY (?)) AND node <> ?"

// Mark implements feed.Live. What a statement can read is what its snapshot shows: so the
// one that reads the mark knows whether there is any news.
func (s *Store) Mark(ctx context.Context, since string) (string, bool, error) {
	m := mark{life: strconv.FormatInt(s.breaks.Load(), 10)}
	query, args := moment+", FALSE", []any(nil)
	var from mark
	if since != "" {
		var err error
		if from, err = parseMark(since); err != nil {
			return "", false, err
		}
		next, running, err := parts(from.snapshot)
		if err != nil {
			return "", false, err
		}
		query, args = s.spelling.of(moment+", EXISTS (SELECT 1 FROM feed WHERE "+unseen+")"), []any{next, running, s.opts.Node}
	}
	var life string
	var news bool
	err := s.pool.QueryRow(ctx, query, args...).Scan(&life, &m.at, &m.snapshot, &news)
	m.life = life + "/" + m.life
	return m.String(), news || since != "" && m.life != from.life, translated(err)
}

// again is how far before a mark of another life news are told again. An entry has the
// moment at which its commit began, which a server may have waited for (answerTime) and
// looked up (lookUpTime) since; and the clocks of two hosts differ.
const again = 2 * time.Minute

// News implements feed.Live. A commit stands in the feed by its transaction's number,
// and a snapshot says of each number whether it was over: so what has become readable
// between two of them is known exactly, whatever else still runs. Between two lives it is
// known by its time alone, and some is told twice.
func (s *Store) News(ctx context.Context, since, until string, after feed.Position, limit int) ([]feed.Entry, error) {
	from, err := parseMark(since)
	if err != nil {
		return nil, err
	}
	to, err := parseMark(until)
	if err != nil {
		return nil, err
	}
	const visible = " AND pg_visible_in_snapshot(pos::text::xid8, ?::pg_snapshot)"
	if from.life != to.life {
		return table.ReadNews(ctx, s.DB, after, "at >= ? AND node <> ?"+visible, []any{from.at.Add(-again), s.opts.Node, to.snapshot}, limit)
	}
	next, running, err := parts(from.snapshot)
	if err != nil {
		return nil, err
	}
	return table.ReadNews(ctx, s.DB, after, unseen+visible, []any{next, running, s.opts.Node, to.snapshot}, limit)
}

// parts takes a snapshot apart: the number that no transaction had yet, and those below
// it that were under way.
func parts(text string) (next int64, running []int64, err error) {
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return 0, nil, fmt.Errorf("%q is no snapshot", text)
	}
	if next, err = strconv.ParseInt(parts[1], 10, 64); err != nil {
		return 0, nil, err
	}
	running = []int64{}
	for _, number := range strings.FieldsFunc(parts[2], func(r rune) bool { return r == ',' }) {
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return 0, nil, err
		}
		running = append(running, n)
	}
	return next, running, nil
}
