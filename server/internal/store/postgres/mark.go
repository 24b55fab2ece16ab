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

// Mark implements feed.Live.
func (s *Store) Mark(ctx context.Context) (string, error) {
	breaks := s.breaks.Load()
	var m mark
	err := s.pool.QueryRow(ctx, "SELECT (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint::text, "+
		strings.TrimPrefix(readClock, "SELECT ")+", pg_current_snapshot()::text").Scan(&m.life, &m.at, &m.snapshot)
	m.life += "/" + strconv.FormatInt(breaks, 10)
	return m.String(), translated(err)
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
		return table.ReadNews(ctx, s.DB, after, "at >= ?"+visible, []any{from.at.Add(-again), to.snapshot}, limit)
	}
	next, running, err := parts(from.snapshot)
	if err != nil {
		return nil, err
	}
	return table.ReadNews(ctx, s.DB, after, "(pos >= ? OR pos = ANY (?))"+visible, []any{next, running, to.snapshot}, limit)
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
