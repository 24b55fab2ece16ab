package table

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/stats"
	"github.com/errand-dev/errand/server/internal/task"
)

// statsKey names what is counted for those who see a scope.
type statsKey struct{ org, scope, agent, model string }

// statsScope is how what a key sees is called.
func statsScope(owner, group string) string {
	switch {
	case owner != "":
		return "owner " + owner
	case group != "":
		return "group " + group
	default:
		return ""
	}
}

// Counting is what is counted until a commit, which adds it to the rows of its minute and of
// longer times: a commit of many callers writes these once.
type Counting map[statsKey]stats.Counts

// Add adds what one caller has counted.
func (s Counting) Add(x stats.Counted) {
	scopes := []string{"", statsScope(x.Owner, ""), statsScope("", x.Group)}
	slices.Sort(scopes)
	for _, scope := range slices.Compact(scopes) {
		key := statsKey{x.Org, scope, x.Agent, x.Model}
		if s[key] == nil {
			s[key] = stats.Counts{}
		}
		s[key].Add(x.Counts)
	}
}

// Ops are the writes of a writer who commits at a moment. Each has rows of its own: none
// waits for another's commit.
func (s Counting) Ops(at task.Stamp, writer string) []Op {
	var rows [][]any
	for key, c := range s {
		for _, span := range stats.Spans() {
			us := span.Length.Microseconds()
			for what, n := range c {
				if n == 0 { // one came and one went
					continue
				}
				rows = append(rows, []any{key.org, key.scope, us, int64(at) / us * us, key.agent, key.model, what, writer, n})
			}
		}
	}
	var ops []Op
	for len(rows) > 0 { // no two have one key
		n := most
		for n > len(rows) {
			n /= 2
		}
		ops = append(ops, Op{
			SQL: "INSERT INTO stats (org, scope, span, at, agent, model, what, writer, n) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)" + strings.Repeat(", (?, ?, ?, ?, ?, ?, ?, ?, ?)", n-1) +
				" ON CONFLICT (org, scope, span, at, agent, model, what, writer) DO UPDATE SET n = stats.n + excluded.n",
			Args: slices.Concat(rows[:n]...), In: Stats,
		})
		rows = rows[n:]
	}
	return ops
}

// Stats implements lifecycle.TaskReader.
func (r *Reader) Stats(ctx context.Context, in auth.Scope, q stats.Query) ([]stats.Row, error) {
	args := []any{int64(q.From), q.Step.Microseconds(), in.Organization, statsScope(in.Owner, in.Group), q.Span.Microseconds(), int64(q.From), int64(q.To)}
	part := "(at - ?) / ? AS step, '' AS id"
	if q.By != stats.ByStep {
		part, args = "CAST(0 AS BIGINT) AS step, "+string(q.By)+" AS id", args[2:]
	}
	query := "SELECT " + part + ", what, sum(n) FROM stats WHERE org = ? AND scope = ? AND span = ? AND at >= ? AND at < ?"
	if q.Agent != "" {
		query, args = query+" AND agent = ?", append(args, q.Agent)
	}
	found, err := all(ctx, r.DB, query+" GROUP BY step, id, what", args, func(x *stats.Row) []column {
		return []column{{"step", &x.Step}, {"id", &x.ID}, {"what", &x.What}, {"n", &x.N}}
	})
	if err != nil {
		return nil, fmt.Errorf("read stats: %w", err)
	}
	return found, nil
}

// statsStep bounds how many rows one commit drops.
const statsStep = 1000

// DropStats drops what is not kept any more at a moment.
func (w *Writer) DropStats(ctx context.Context, at task.Stamp) error {
	for _, span := range stats.Spans() {
		for more := true; more; {
			if err := w.Edit(ctx, func(db DB, _ task.Stamp) ([]Op, error) {
				before, us := int64(at.Add(-span.Keep)), span.Length.Microseconds()
				var last int64
				n := 0
				err := each(ctx, db, "SELECT at FROM stats WHERE span = ? AND at < ? ORDER BY at LIMIT ?", []any{us, before, statsStep}, func(rows Rows) error {
					n++
					return rows.Scan(&last)
				})
				if more = n == statsStep; n == 0 || err != nil { // an idle server writes nothing
					return nil, err
				}
				return []Op{{SQL: "DELETE FROM stats WHERE span = ? AND at <= ?", Args: []any{us, last}, In: Stats}}, nil
			}); err != nil {
				return err
			}
		}
	}
	return nil
}
