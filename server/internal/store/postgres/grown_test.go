package postgres

import (
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/errand-dev/errand/server/internal/testkit/pgtest"
)

// What a node writes into an empty database is looked at within seconds, so that a task
// is found by its key, and not among all of its organization.
func TestGrownTablesAreLookedAt(t *testing.T) {
	t.Parallel()
	long(t)
	to := pgtest.Schema(t)
	s := open(t, Options{URL: to})
	conn, err := pgx.Connect(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // it has only looked
	if _, err := conn.Exec(t.Context(), "ALTER TABLE tasks SET (autovacuum_enabled = false)"); err != nil {
		t.Fatal(err) // the database is not to do so by itself
	}
	for range 2 * grownFirst {
		if err := begin(t.Context(), s, rand.Text()); err != nil {
			t.Fatal(err)
		}
	}
	known := func() (known bool) {
		if err := conn.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_stats WHERE schemaname = current_schema() AND tablename = 'tasks')").Scan(&known); err != nil {
			t.Fatal(err)
		}
		return known
	}
	for deadline := time.Now().Add(time.Minute); !known(); <-time.After(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the database has not looked at its tables")
		}
	}
	found, err := conn.Query(t.Context(), "EXPLAIN UPDATE tasks SET turn = 2 WHERE org = 'home' AND id = 'one'")
	if err != nil {
		t.Fatal(err)
	}
	plan, err := pgx.CollectRows(found, pgx.RowTo[string])
	if err != nil || !strings.Contains(strings.Join(plan, "\n"), "tasks_pkey") {
		t.Errorf("a task is looked for by %q, %v", plan, err)
	}
}
