package table

import (
	"context"
	"fmt"
	"strings"

	"github.com/errand-dev/errand/server/internal/auth"
)

// probes are how many rows indexes have for parts of a condition, as far as they were
// counted.
type probes map[string]int

// probe is how far the rows of a part are counted.
const probe = 2000

// walkOf is the walk for a condition: along the index that has the fewest rows for one
// of its parts, which is looked up if there are several. Of parts that have many rows
// each, whichever is first: tasks that match all of it are then found soon, if they do
// not stand together.
func (r *Reader) walkOf(ctx context.Context, in auth.Scope, parts []facet, known probes) (walk, error) {
	best, fewest, several := -1, 0, 0
	for _, p := range parts {
		if p.index != "" || p.tag != "" {
			several++
		}
	}
	for i, p := range parts {
		if p.index == "" && p.tag == "" {
			continue
		}
		n := 0
		if several > 1 {
			var err error
			if n, err = r.probe(ctx, in, p, known); err != nil {
				return walk{}, err
			}
		}
		if best < 0 || n < fewest {
			best, fewest = i, n
		}
	}
	w := walk{}
	if best >= 0 && parts[best].tag != "" {
		w.tagged = true
		parts[best].where = "g.tag = ?"
		for i := range parts {
			if parts[i].every {
				parts[i].where = strings.Replace(parts[i].where, "t.", "g.", 1)
			}
		}
	} else if best >= 0 && several > 1 {
		w.index = parts[best].index
	}
	w.where, w.args = conditions(parts)
	var along, rest []facet
	for i, p := range parts {
		if p.every || i == best || best < 0 && p.index != "" {
			along = append(along, p)
		} else {
			rest = append(rest, p)
		}
	}
	if len(rest) > 0 {
		w.along, w.alongArgs = conditions(along)
		w.rest, w.restArgs = conditions(rest)
	}
	return w, nil
}

// probe counts the rows of a part, at most probe.
func (r *Reader) probe(ctx context.Context, in auth.Scope, p facet, known probes) (int, error) {
	key := p.where + fmt.Sprint(p.args)
	if n, ok := known[key]; ok {
		return n, nil
	}
	query := "SELECT 1 FROM tasks t INDEXED BY " + p.index + " WHERE t.org = ? AND " + p.where
	if p.tag != "" {
		query = "SELECT 1 FROM tags g WHERE g.org = ? AND g.tag = ?"
	}
	n, err := count(ctx, r.DB, fmt.Sprintf("SELECT count(*) FROM (%s LIMIT %d) counted", query, probe), append([]any{in.Organization}, p.args...)...)
	if err != nil {
		return 0, fmt.Errorf("count tasks: %w", err)
	}
	known[key] = n
	return n, nil
}
