package postgres

import (
	"context"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/errand-dev/errand/server/internal/store/table"
)

// indexed names an index, as only SQLite takes it.
var indexed = regexp.MustCompile(` INDEXED BY \w+`)

// inWords spells what finds words.
var inWords = strings.NewReplacer("words_match(?)", "w.said @@ ?::text::tsquery", "words_said(?)", "?::text::tsvector") //nolint:gochecknoglobals // never changed

// spellings keeps statements as PostgreSQL wants them.
type spellings struct{ known sync.Map }

// of is a statement as PostgreSQL wants it: arguments have numbers.
func (s *spellings) of(query string) string {
	if known, ok := s.known.Load(query); ok {
		return known.(string) //nolint:forcetypeassert,errcheck // nothing else is stored
	}
	var spelled strings.Builder
	n := 0
	for _, r := range inWords.Replace(indexed.ReplaceAllString(query, "")) {
		if r != '?' {
			spelled.WriteRune(r)
			continue
		}
		n++
		spelled.WriteString("$" + strconv.Itoa(n))
	}
	s.known.Store(query, spelled.String())
	return spelled.String()
}

// must is a statement that has to change a row. The division by zero that follows
// if it does not ends the transaction, before the COMMIT that is sent with it.
func must(query string) string {
	return "WITH changed AS (" + query + " RETURNING 1) SELECT 1 / count(*) FROM changed"
}

// querier is a connection, or a pool of them.
type querier interface {
	Query(ctx context.Context, query string, args ...any) (pgx.Rows, error)
}

// db adapts a connection for package table.
type db struct {
	on       querier
	spelling *spellings
	limit    time.Duration // of a question; 0 is none but the context's
}

// Query implements table.DB.
func (d db) Query(ctx context.Context, query string, args ...any) (table.Rows, error) {
	done := context.CancelFunc(func() {})
	if d.limit > 0 {
		ctx, done = context.WithTimeout(ctx, d.limit)
	}
	found, err := d.on.Query(ctx, d.spelling.of(query), args...)
	if err != nil {
		done()
		return nil, translated(err)
	}
	return rows{found, done}, nil
}

// rows adapts pgx.Rows.
type rows struct {
	pgx.Rows
	done context.CancelFunc
}

// Close implements table.Rows.
func (r rows) Close() error {
	r.Rows.Close()
	r.done()
	return nil
}

// Err implements table.Rows.
func (r rows) Err() error { return translated(r.Rows.Err()) }
