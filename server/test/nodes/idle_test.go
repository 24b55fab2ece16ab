package nodes

import (
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/errand-dev/errand/server/internal/testkit/pgtest"
)

// A node that nobody uses costs next to nothing, however many agents there are.
func TestIdle(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it starts real servers")
	}
	server := pgtest.Start(t, pgtest.Options{Volatile: true, Settings: map[string]string{"shared_preload_libraries": "pg_stat_statements"}})
	c := clusterOn(t, server.URL("postgres"))
	change(t, c.database, "CREATE EXTENSION pg_stat_statements")
	all := []*node{c.start(t), c.start(t)}
	all[0].agent(t, "first", 60)
	change(t, c.database,
		"INSERT INTO agents SELECT org, 'agent-' || n, version, created_at, updated_at FROM agents, generate_series(1, 5000) n WHERE id = 'first'",
		"INSERT INTO agent_versions SELECT org, 'agent-' || n, version, replace(record, 'first', 'agent-' || n), updated_at FROM agent_versions, generate_series(1, 5000) n WHERE id = 'first'")
	calls := func() (n int) {
		c.ask(t, "SELECT sum(calls)::bigint FROM pg_stat_statements", &n)
		return n
	}
	const (
		span = 5 * time.Second
		most = 5 // statements a second: two of the beat, one of the feed, one of the sweeper
	)
	<-time.After(3 * time.Second) // what a start has begun is over
	change(t, c.database, "SELECT pg_stat_statements_reset()")
	before := make([]time.Duration, len(all))
	for i, n := range all {
		before[i] = n.cpu(t)
	}
	begun, had := time.Now(), calls()
	<-time.After(span) // it is what is measured
	took := time.Since(begun)
	asked := float64(calls()-had) / took.Seconds() / float64(len(all))
	if asked > most {
		t.Errorf("an idle node asks %.1f times a second", asked)
		c.statements(t)
	}
	for i, n := range all {
		if used := n.cpu(t) - before[i]; used > 3*took/100 { // tests run beside it
			t.Errorf("an idle node uses %v of %v", used, took)
		} else {
			t.Logf("an idle node asks %.1f times a second and uses %.2f %% of a core", asked, 100*used.Seconds()/took.Seconds())
		}
		n.must(t, http.StatusOK, http.MethodGet, "/v1/agents", nil)
		n.quiet(t)
	}
}

// statements logs what was asked most.
func (c *cluster) statements(t *testing.T) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), c.database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // it was only read
	rows, err := conn.Query(t.Context(), "SELECT calls || ' ' || left(query, 150) FROM pg_stat_statements ORDER BY calls DESC LIMIT 40")
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	t.Log(strings.Join(lines, "\n"))
}

// cpu is what the node's process has used.
func (n *node) cpu(t *testing.T) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n.cmd.Process.Pid))
	if err != nil {
		t.Skip(err) // of Linux alone
	}
	_, rest, _ := strings.Cut(string(text), ") ") // behind the name
	fields := strings.Fields(rest)
	user, errUser := strconv.Atoi(fields[11])
	system, errSystem := strconv.Atoi(fields[12])
	if errUser != nil || errSystem != nil {
		t.Fatalf("cannot read %s", text)
	}
	return time.Duration(user+system) * 10 * time.Millisecond // ticks of 100 Hz
}
