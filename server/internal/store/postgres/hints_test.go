package postgres

import (
	"context"
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/testkit/pgtest"
)

// A hint is sent although the connection that was kept for it has died meanwhile, as all do
// when a database is restarted.
func TestAHintIsSentByAnotherConnection(t *testing.T) {
	t.Parallel()
	long(t)
	s := open(t, Options{URL: pgtest.Schema(t)})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	kept, err := s.connect(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.pool.Exec(ctx, "SELECT pg_terminate_backend($1, 10000)", kept.PgConn().PID()); err != nil {
		t.Fatal(err)
	}
	used := s.notify(ctx, kept)
	if used == nil || used == kept {
		t.Fatalf("it was sent by %v", used)
	}
	hangUp(ctx, used)
}
