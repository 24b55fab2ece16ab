package postgres

import (
	"crypto/rand"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/files"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
	"github.com/errand-dev/errand/server/internal/testkit/pgtest"
)

// before makes a database whose tables are as they were before a migration.
func before(t *testing.T, migration string) (url string, conn *pgx.Conn) {
	t.Helper()
	url = pgtest.Schema(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	steps, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	statements := []string{"CREATE TABLE schema_version (one BIGINT PRIMARY KEY CHECK (one = 1), version BIGINT NOT NULL)"}
	n := slices.IndexFunc(steps, func(name string) bool { return strings.HasSuffix(name, migration) })
	for _, name := range steps[:n] {
		step, err := migrations.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		statements = append(statements, string(step))
	}
	for _, s := range append(statements, fmt.Sprintf("INSERT INTO schema_version VALUES (1, %d)", n)) {
		if _, err := conn.Exec(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	return url, conn
}

// What tasks of before refer to is in use; a text that PostgreSQL does not take for
// JSON is no obstacle.
func TestMigrationFindsWhatUsesFiles(t *testing.T) {
	t.Parallel()
	long(t)
	url, conn := before(t, "_file_uses.sql")
	used, unused := strings.Repeat("a", 64), strings.Repeat("c", 64)
	for _, s := range []string{
		`INSERT INTO tasks (org, id, agent_id, created_at, updated_at, turn, first_seq, last_seq, max_attempts, ready_at, queued, status, attempt, execution_attempts, owner)
			VALUES ('o', 't', 'a', 1, 1, 1, 1, 1, 1, 1, 0, 'pending', 1, 1, 'key:1'), ('o', 'u', 'a', 1, 1, 1, 1, 1, 1, 1, 0, 'pending', 1, 1, '')`,
		`INSERT INTO turns (org, task, n, spec, first_seq, last_seq) VALUES
			('o', 't', 1, '{"input":{"text":"\u0000","files":["file:` + used + `/a.csv"]}}', 1, 1),
			('o', 'u', 1, '{"input":{"text":"x","files":null,"attachments":[{"url":"file:` + used + `/a.csv"}]}}', 1, 1)`,
		`INSERT INTO files (org, id, size, content_type, created_at) VALUES ('o', '` + used + `', 3, 'text/csv', 5), ('o', '` + unused + `', 3, 'text/csv', 7)`,
		`INSERT INTO file_owners (org, id, owner, grp) VALUES ('o', '` + used + `', 'key:1', 'g')`,
	} {
		if _, err := conn.Exec(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, Options{URL: url, Node: "n"})
	for in, want := range map[auth.Scope]string{
		auth.All("o"):                       "c file 0, a a.csv 2",
		{Organization: "o", Owner: "key:1"}: "a a.csv 1",
		{Organization: "o", Group: "g"}:     "a a.csv 0",
	} {
		found, err := s.Files(t.Context(), in, files.Cursor{}, 10)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, x := range found {
			got = append(got, fmt.Sprintf("%.1s %s %d", x.ID, x.Name, x.Tasks))
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%+v sees %q, want %s", in, got, want)
		}
	}
}

// What people were asked before has its deadlines, to the microsecond; what is no JSON
// to the database is no obstacle.
func TestMigrationFindsWhatListsAreNarrowedBy(t *testing.T) {
	t.Parallel()
	long(t)
	url, conn := before(t, "_filters.sql")
	deep := strings.Repeat("[", 9000) + strings.Repeat("]", 9000)
	for id, side := range map[string]string{
		"many": `{"open":[{"id":"a","until":"2026-12-01T00:00:00.9999Z"},{"id":"b","until":null},{"id":"c","until":"2026-12-01T00:00:01Z"}]}`,
		"ever": `{"open":[{"id":"a","until":null}]}`,
		"nul":  `{"ext":"\u0000","open":[{"id":"a","until":"2026-12-01T00:00:00Z"}]}`,
		"deep": `{"open":[{"id":"a","until":"2026-12-01T00:00:02Z","ext":` + deep + `}]}`,
		"wait": `{"wait":{"cause":"batch"}}`,
	} {
		if _, err := conn.Exec(t.Context(), `INSERT INTO tasks (org, id, agent_id, created_at, updated_at, turn, first_seq, last_seq, max_attempts, ready_at, queued, status, attempt, execution_attempts, side, root_id)
			VALUES ('o', $1, 'a', 1, 1, 1, 1, 1, 1, 1, 1, 'pending', 1, 1, $2, $1)`, id, side); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(t.Context(), `INSERT INTO turns (org, task, n, spec, first_seq, last_seq) VALUES ('o', $1, 1, '{"input":{},"tags":["x"]}', 1, 1)`, id); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, Options{URL: url, Node: "n"})
	for f, want := range map[*lifecycle.Filter]string{
		{Asks: true}: "many ever deep",
		{Tag: "x"}:   "wait nul many ever deep",
		{Stands: &lifecycle.Stands{As: []task.Standing{"batch"}}}:    "wait",
		{Stands: &lifecycle.Stands{As: []task.Standing{"queued"}}}:   "nul many ever deep",
		{Stands: &lifecycle.Stands{As: []task.Standing{"assigned"}}}: "",
	} {
		found, err := s.Rows(t.Context(), auth.All("o"), *f, lifecycle.Page{Size: 10})
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, x := range found.Items {
			ids = append(ids, x.Task.ID)
		}
		if got := strings.Join(ids, " "); got != want {
			t.Errorf("%+v finds %q, want %q", *f, got, want)
		}
	}
	if next, err := s.NextDeadline(t.Context(), auth.All("o"), lifecycle.Filter{}); next.String() != "2026-12-01T00:00:00.9999Z" || err != nil {
		t.Errorf("the next deadline is %s, %v", next, err)
	}
}

// Tables are made by whoever may make tables in the schema, and nothing else.
func TestMigrationNeedsNoOtherRight(t *testing.T) {
	t.Parallel()
	long(t)
	url := pgtest.Database(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // the database goes with it
	name := "role_" + strings.ToLower(rand.Text())
	if _, err := conn.Exec(t.Context(), strings.NewReplacer("DATABASE", `DATABASE "`+conn.Config().Database+`"`, "ROLE", name).Replace(
		`CREATE USER ROLE; REVOKE ALL ON DATABASE FROM PUBLIC; GRANT CONNECT ON DATABASE TO ROLE; GRANT CREATE, USAGE ON SCHEMA public TO ROLE`)); err != nil {
		t.Fatal(err)
	}
	open(t, Options{URL: url + "&role=" + name, Node: "n"})
}

// Events of before are found by their client_ids, of whatever form these are.
func TestMigrationKeepsClientIDs(t *testing.T) {
	t.Parallel()
	long(t)
	url, conn := before(t, "_packs.sql")
	names := []string{"1-1", "1-2", "1-9", "1-10", "a-b-77", "-5", "1-0", "1-07", "17", "18", "0", "007", "é-3", "1-1234567890123456", "x", "-", "1-2-"}
	want := map[string]int64{}
	for i, name := range names {
		want[name] = int64(i + 1)
		if _, err := conn.Exec(t.Context(), "INSERT INTO events (org, task, seq, turn, type, time, own, client_id) VALUES ('o', 't', $1, 1, 'chunk', 5, '\"c\"', $2)", i+1, name); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, Options{URL: url, Node: "n"})
	var got map[string]int64
	if err := s.Write(t.Context(), nil, func(tx lifecycle.Tx) (err error) {
		got, err = tx.SeqsOfClients("o", "t", 1, append(names, "1-3", "1-8", "a-b-7", "a-b-", "1-", "16", "7", ""))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(want, got) {
		t.Errorf("%v, want %v", got, want)
	}
}
