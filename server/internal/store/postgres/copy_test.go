package postgres

import (
	"testing"

	"github.com/errand-dev/errand/server/internal/testkit/pgtest"
)

// What keeps servers from a database while it is copied holds for as long as that takes,
// whatever the database does with sessions that say nothing; when it is lost all the same,
// the copy says so.
func TestLockOfACopy(t *testing.T) {
	t.Parallel()
	database := pgtest.Schema(t)
	c, err := CopyInto(t.Context(), database+"&idle_in_transaction_session_timeout=60000")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // its lock is gone
	var limit string
	if err := c.guard.QueryRow(t.Context(), "SHOW idle_in_transaction_session_timeout").Scan(&limit); err != nil || limit != "0" {
		t.Errorf("the lock is lost after %s, %v", limit, err)
	}
	if err := c.Alone(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := c.DB.ExecContext(t.Context(), "SELECT pg_terminate_backend($1)", int(c.guard.PgConn().PID())); err != nil {
		t.Fatal(err)
	}
	if c.Alone(t.Context()) == nil {
		t.Error("the lock is lost, and it is not said")
	}
}
