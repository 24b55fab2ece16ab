package postgres

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
	"github.com/errand-dev/errand/server/internal/testkit/pgtest"
)

// A beat notes that its node is there once a second, unless that comes after a silence,
// and shows who was.
func TestBeat(t *testing.T) {
	t.Parallel()
	database := pgtest.Schema(t)
	s := open(t, Options{URL: database, Node: "one"})
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	for name, c := range map[string]struct {
		ago   int // milliseconds, since all were heard
		noted bool
	}{
		"just now":       {400, false},
		"a second ago":   {1100, true},
		"almost silent":  {2500, true},
		"silent":         {3100, false},
		"in time to be":  {-500, false},
		"a long silence": {100_000, false},
	} {
		_, err := conn.Exec(t.Context(), `WITH moment AS (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint - $1 * 1000 AS at),
			old AS (DELETE FROM nodes), gone AS (UPDATE alive SET heard = at, renewed = 7, sweeper = 'other' FROM moment)
			INSERT INTO nodes SELECT id, at FROM moment, (VALUES ('one'), ('other')) AS n (id) ON CONFLICT (id) DO UPDATE SET heard = excluded.heard`, c.ago)
		if err != nil {
			t.Fatal(err)
		}
		var before, after lifecycle.Roll
		look := func(into *lifecycle.Roll) {
			t.Helper()
			err := s.Beat(t.Context(), "nobody", func(r lifecycle.Roll) bool { *into = r; return true }, nil)
			if err != nil {
				t.Fatal(err)
			}
		}
		err = s.Beat(t.Context(), "one", func(r lifecycle.Roll) bool { before = r; return true }, nil)
		if err != nil {
			t.Fatal(err)
		}
		look(&after)
		was := before.Now - before.Nodes[0].Heard
		if len(before.Nodes) != 2 || was < task.Stamp(c.ago)*1000 || before.Alive.Heard != before.Nodes[0].Heard || before.Alive.Renewed != 7 || before.Alive.Sweeper != "other" {
			t.Errorf("%s: the roll was %+v", name, before)
		}
		if noted := after.Nodes[0].Heard == before.Now && after.Alive.Heard == before.Now; noted != c.noted || after.Nodes[1] != before.Nodes[1] {
			t.Errorf("%s: the roll is %+v after %+v", name, after, before)
		}
	}
	ran := false
	if err := s.Beat(t.Context(), "one", func(lifecycle.Roll) bool { return false }, func(lifecycle.Tx) error { ran = true; return nil }); err != nil || !ran {
		t.Errorf("what is to be decided: %t, %v", ran, err)
	}
}
