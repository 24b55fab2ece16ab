package postgres

import (
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/testkit/pgtest"
)

// A commit that has given up waiting for a standby, as somebody cancelled that, is a success
// for the database. Nobody is told so before a standby has confirmed it: neither who wrote,
// nor who comes again and finds it written.
func TestCommitThatNoStandbyHasConfirmed(t *testing.T) {
	t.Parallel()
	long(t)
	server := pgtest.Start(t, pgtest.Options{Volatile: true})
	one := open(t, Options{URL: server.URL("postgres"), Node: "one"})
	other := open(t, Options{URL: server.URL("postgres"), Node: "other"})
	conn, err := pgx.Connect(t.Context(), server.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // it only looked on
	do := func(statement string) (n int) {
		t.Helper()
		if err := conn.QueryRow(t.Context(), statement).Scan(&n); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
		return n
	}
	const cancel = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
	cancelled := func() {
		t.Helper()
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for tries := 0; do(cancel) == 0; tries++ {
			if tries > 3000 {
				t.Fatal("no commit waits for a standby")
			}
			<-tick.C
		}
	}
	set := func(names string) {
		t.Helper()
		for _, s := range []string{"ALTER SYSTEM SET synchronous_standby_names = '" + names + "'", "SELECT pg_reload_conf()"} {
			if _, err := conn.Exec(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
	}
	set("nobody")
	runs := 0
	wrote := make(chan error, 1)
	go func() {
		wrote <- one.Write(t.Context(), nil, func(tx lifecycle.Tx) error {
			runs++
			return create(tx, "t")
		})
	}()
	for range 3 { // the commit, and the looks at what became of it
		cancelled()
	}
	select {
	case err := <-wrote:
		t.Fatalf("who wrote was told %v", err)
	default:
	}
	found := func() error {
		return other.Write(t.Context(), nil, func(tx lifecycle.Tx) error {
			_, err := tx.Task("o", "t")
			return err
		})
	}
	read := make(chan error, 1)
	go func() { read <- found() }()
	for told := false; !told; {
		cancelled() // whoever waits now
		select {
		case err := <-read:
			if told = true; fault.CodeOf(err) != fault.Unavailable {
				t.Errorf("who found it was told %v", err)
			}
		case <-time.After(20 * time.Millisecond): // the commit of the other may have been cancelled
		}
	}
	set("")
	if err := errors.Join(<-wrote, found()); err != nil || runs != 1 {
		t.Errorf("told %v, after %d runs", err, runs)
	}
	if log, err := one.Events(t.Context(), "o", "t", 0, 10); err != nil || len(log) != 1 {
		t.Errorf("the log has %d events, %v", len(log), err)
	}
}

// A database that takes no writes any more is left for one that does: the connections to
// it are given up.
func TestDatabaseBecomesReadOnly(t *testing.T) {
	t.Parallel()
	long(t)
	server := pgtest.Start(t, pgtest.Options{Volatile: true})
	s := open(t, Options{URL: server.URL("postgres"), Node: "n"})
	conn, err := pgx.Connect(t.Context(), server.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // it only changed settings
	if _, err := s.Task(t.Context(), auth.All("home"), "t"); fault.CodeOf(err) != fault.NotFound {
		t.Fatal(err)
	}
	for _, only := range []string{"on", "off"} {
		for _, statement := range []string{"SET default_transaction_read_only = off", "ALTER SYSTEM SET default_transaction_read_only = " + only, "SELECT pg_reload_conf()"} {
			if _, err := conn.Exec(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for tries := 0; ; tries++ {
			err := begin(t.Context(), s, "t-"+only)
			if (err != nil) == (only == "on") {
				if err != nil && fault.CodeOf(err) != fault.Unavailable {
					t.Errorf("a writer is told %v", err)
				}
				break
			}
			if tries > 1000 {
				t.Fatalf("read-only is %s, and a writer is told %v", only, err)
			}
			<-tick.C
		}
		for tries := 0; only == "on" && s.pool.Stat().TotalConns() > 0; tries++ {
			if tries > 1000 {
				t.Fatal("a connection is kept to a database that takes no writes")
			}
			<-tick.C
		}
	}
}
