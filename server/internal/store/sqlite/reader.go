package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"strings"
	"sync"

	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/store/table"
)

// spelled is a statement as SQLite wants it: nobody else writes, so there are no
// locks of rows.
func spelled(query string) string {
	plain, _, _ := strings.Cut(query, " FOR ")
	return inWords.Replace(plain)
}

// inWords spells what finds words.
var inWords = strings.NewReplacer("words_match(?)", "w.words MATCH ?", "words_said(?)", "?") //nolint:gochecknoglobals // never changed

// reader is the readers' side of a database. It keeps their statements;
// database/sql prepares each again on whichever connection it runs.
type reader struct {
	db    *sql.DB
	mu    sync.RWMutex
	stmts map[string]*sql.Stmt
}

// maxStatements bounds how many statements are kept, each of them once for each
// connection. Lists have one for each set of filters, of which there are many thousands.
const maxStatements = 500

// Query implements table.DB beside the writer.
func (r *reader) Query(ctx context.Context, query string, args ...any) (table.Rows, error) {
	s, err := r.stmt(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	if s == nil {
		return r.db.QueryContext(ctx, spelled(query), args...)
	}
	return s.QueryContext(ctx, args...)
}

// stmt is the statement kept for a query; nil where as many are kept as may be.
func (r *reader) stmt(ctx context.Context, query string) (*sql.Stmt, error) {
	r.mu.RLock()
	s, ok := r.stmts[query]
	r.mu.RUnlock()
	if ok {
		return s, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if s, ok := r.stmts[query]; ok || len(r.stmts) == maxStatements {
		return s, nil
	}
	s, err := r.db.PrepareContext(ctx, spelled(query))
	if err != nil {
		return nil, err
	}
	if r.stmts == nil {
		r.stmts = map[string]*sql.Stmt{}
	}
	r.stmts[query] = s
	return s, nil
}

// Size is how many bytes the database takes.
func (s *Store) Size(ctx context.Context) (int64, error) {
	rows, err := s.reads.Query(ctx, "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
	if err != nil {
		return 0, fmt.Errorf("measure database: %w", err)
	}
	defer rows.Close() //nolint:errcheck // Err tells what went wrong
	var size int64
	for rows.Next() {
		if err := rows.Scan(&size); err != nil {
			return 0, err
		}
	}
	return size, rows.Err()
}

// maxCommit is behind every commit.
const maxCommit = math.MaxInt64

// Feed implements feed.Source.
func (s *Store) Feed(ctx context.Context, after feed.Position, limit int) ([]feed.Entry, error) {
	return table.ReadFeed(ctx, s.reads, after, maxCommit, limit)
}

// FeedBegin implements feed.Source.
func (s *Store) FeedBegin(ctx context.Context) (feed.Position, error) {
	return table.FeedBegin(ctx, s.reads)
}

// FeedEnd implements feed.Source.
func (s *Store) FeedEnd(ctx context.Context) (feed.Position, error) {
	return table.FeedEnd(ctx, s.reads, maxCommit)
}
