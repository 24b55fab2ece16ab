package nodes

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"

	"github.com/errand-dev/errand/server/internal/testkit/pgtest"
)

// docs are such on which databases differ, if they look into them.
var docs = []string{ //nolint:gochecknoglobals // never changed
	`{"a":1,"a":2}`, `{"text":"\u0000","\u0000":0}`, `{"high":"\ud800"}`, `{"n":[1e200000,18446744073709551615,0.10,-0.0]}`, `["\ud83d\ude00","😀"]`, `{"b":1,"a":{"z":null}}`,
}

// A record goes from SQLite to PostgreSQL and back: all rows are the same, and servers go
// on with it, though each copy was killed in the middle and given again.
func TestStoreCopy(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	database, folder := c.database, c.data
	c.database = "" // SQLite, at first
	n := c.start(t)
	before := fill(t, n)
	refused(t, []string{"in use", "stop"}, folder, database)
	n.kill(t)
	// What servers refuse may be there all the same, from a release that took it.
	direct := openRows(t, filepath.Join(folder, "errand.db"), false)
	for i, doc := range docs {
		if _, err := direct.ExecContext(t.Context(), `UPDATE turns SET tokens = ? WHERE (org, task, n) = (SELECT org, task, n FROM turns WHERE finished_at = 0 ORDER BY task LIMIT 1 OFFSET ?)`, doc, i); err != nil {
			t.Fatal(err)
		}
	}
	// A face may keep no hash with a key.
	if _, err := direct.ExecContext(t.Context(), `INSERT INTO replays SELECT org, route, 'without a hash', x'', task, at FROM replays LIMIT 1`); err != nil {
		t.Fatal(err)
	}
	if err := direct.Close(); err != nil {
		t.Fatal(err)
	}

	said, killed := copyAndKill(t, folder, database, func() int { return rowsOf(t, database, "events") })
	inFolder := allRows(t, filepath.Join(folder, "errand.db"), false)
	equal(t, "in PostgreSQL", inFolder, allRows(t, database, true))
	for name := range inFolder {
		if !strings.Contains("\n"+said, "\n"+name+" ") {
			t.Errorf("it does not say that the table %s was copied", name)
		}
	}
	if len(inFolder["events"]) < 2000 || len(inFolder["secrets"]) == 0 || len(inFolder["workers"]) == 0 || len(inFolder["replays"]) == 0 {
		t.Errorf("there was not much to copy: %d events, %d secrets, %d workers", len(inFolder["events"]), len(inFolder["secrets"]), len(inFolder["workers"]))
	}
	refused(t, []string{"has a record already", "empty database"}, folder, database)
	c.database = database
	n = c.start(t)
	before.same(t, n)
	refused(t, []string{"a server uses it", "stop"}, database, filepath.Join(t.TempDir(), "back"))
	n.create(t, "worker", nil) // the record goes on
	n.signal(t, 15)
	n.ended(t)

	back := filepath.Join(t.TempDir(), "back")
	_, more := copyAndKill(t, database, back, func() int { return rowsOf(t, filepath.Join(back, "errand.db.copy"), "events") })
	equal(t, "back in SQLite", allRows(t, database, true), allRows(t, filepath.Join(back, "errand.db"), false))
	refused(t, []string{"has a record already", "another folder"}, database, back)
	for _, name := range []string{"files", "secret.key", "admin.key"} { // as docs/OPERATIONS.md says
		if out, err := exec.CommandContext(t.Context(), "cp", "-r", filepath.Join(folder, name), back).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	c.database, c.data = "", back
	n = c.start(t)
	before.same(t, n)
	n.claim(t, "worker", "at last")
	n.quiet(t)
	if killed < 1 || more < 1 { // how often depends on the machine
		t.Errorf("%d and %d copies were killed", killed, more)
	}
	t.Logf("%d and %d copies were killed", killed, more)
}

// What cannot be copied, or copied to, is refused in one line, and stays as it is.
func TestStoreCopyRefuses(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	empty := filepath.Join(t.TempDir(), "empty")
	refused(t, []string{"no data folder", "errand.db"}, empty, c.database)
	refused(t, []string{"no tables of Errand"}, c.database, empty)
	refused(t, []string{"postgres://"}, "mysql://u:"+password+"@h/d", empty)
	refused(t, []string{"is it running"}, "postgres://u:"+password+"@"+freeAddr(t)+"/d", empty)
	n := c.start(t)
	n.kill(t)
	other := pgtest.Database(t)
	change(t, c.database, "UPDATE schema_version SET version = version + 1")
	refused(t, []string{"newer release"}, c.database, other)
	change(t, c.database, "UPDATE schema_version SET version = version - 2")
	refused(t, []string{"older release", "once"}, c.database, other)
	change(t, c.database, "UPDATE schema_version SET version = version + 1000001")
	refused(t, []string{"interrupted"}, c.database, other)
	n = c.launch(t)
	if code := n.ended(t); code != 1 || !strings.Contains(n.log(t), "a copy into it was interrupted") {
		t.Errorf("a server on half a copy ends with %d: %s", code, n.log(t))
	}
}

// store makes the command that copies.
func store(t *testing.T, from, to string) *exec.Cmd {
	t.Helper()
	return exec.CommandContext(t.Context(), os.Getenv(binaryEnv), "store", "copy", "--from", from, "--to", to)
}

func refused(t *testing.T, says []string, from, to string) {
	t.Helper()
	out, err := store(t, from, to).CombinedOutput()
	said := strings.TrimSpace(string(out))
	if err == nil || strings.Contains(said, "\n") || strings.Contains(said, password) {
		t.Errorf("copy from %s to %s: %v, %s", from, to, err, said)
	}
	for _, text := range says {
		if !strings.Contains(said, text) {
			t.Errorf("copy from %s to %s: %s, without %q", from, to, said, text)
		}
	}
}

// copyAndKill makes a copy, and kills it each time when it has copied some more. It
// returns how often.
func copyAndKill(t *testing.T, from, to string, copied func() int) (said string, killed int) {
	t.Helper()
	for had := 0; ; killed++ {
		var out bytes.Buffer
		cmd := store(t, from, to)
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		kill := had < 2000 // the last one is let go on, and nobody looks into what it finishes
		eventually(t, "a copy goes on", func() bool {
			select {
			case err := <-ended:
				ended <- err
				return true
			default:
			}
			if !kill {
				return false
			}
			now := copied()
			more := now > had
			had = max(had, now)
			if more {
				_ = cmd.Process.Kill() // it may have ended
			}
			return more
		})
		err := <-ended
		if err == nil {
			if !strings.Contains(out.String(), "are the same in both") || !strings.Contains(out.String(), "secret.key") {
				t.Errorf("it said: %s", out.String())
			}
			return out.String(), killed
		}
		if cmd.ProcessState.Exited() {
			t.Fatalf("copy from %s to %s: %v\n%s", from, to, err, out.String())
		}
	}
}

// kept is asked of tasks that stay open, with a secret.
var kept = obj{"agent_id": "worker", "input": obj{"text": "stay"}, "user_tokens": obj{"secret": "s"}} //nolint:gochecknoglobals // never changed

// seen is what a server tells of a record.
type seen map[string]string

// same holds a server to tell the same.
func (s seen) same(t *testing.T, n *node) {
	t.Helper()
	for path, want := range s {
		var got string
		if key, yes := strings.CutPrefix(path, "again "); yes {
			var v view
			n.must(t, http.StatusOK, http.MethodPost, "/v1/tasks", kept, "Idempotency-Key", key).into(t, &v)
			got = v.ID
		} else {
			got = strings.ReplaceAll(string(n.must(t, http.StatusOK, http.MethodGet, path, nil).body), n.base, "")
		}
		if got != want {
			t.Errorf("%s was %.500s\nand is %.500s", path, want, got)
		}
	}
}

// fill gives a server a record to keep, with a bit of everything.
func fill(t *testing.T, n *node) seen {
	t.Helper()
	s := seen{}
	n.agent(t, "worker", 60)
	n.agent(t, "python", 60)
	n.must(t, http.StatusCreated, http.MethodPost, "/v1/keys", obj{"name": "other", "role": "user"})
	var file struct {
		URL string `json:"url"`
	}
	n.must(t, http.StatusCreated, http.MethodPost, "/v1/files?name=sales.csv", []byte("region,amount\nnorth,1\n"), "Content-Type", "application/octet-stream").into(t, &file)
	n.register(t)
	for i, doc := range docs {
		var data any = doc
		if i >= 4 { // no server takes the others as JSON
			data = json.RawMessage(doc)
		}
		key := fmt.Sprint("key-", i)
		made := n.create(t, "worker", obj{
			"title": "é\u2028 " + doc, "tags": []string{"x", "y"}, "timeout": 0.1 + float64(i),
			"input": obj{"text": doc, "files": []string{file.URL}, "user": obj{"email": "a@example.com", "d": data}},
		})
		got := n.claim(t, "worker", "w")
		if got.Task.ID != made.ID {
			t.Fatalf("claimed %s", got.Task.ID)
		}
		for part := range 5 {
			var events []obj
			for j := range 100 {
				events = append(events, obj{"type": "chunk", "data": doc, "client_id": fmt.Sprintf("%d-%d", part, j+1)},
					obj{"type": "think", "data": data})
			}
			n.must(t, http.StatusOK, http.MethodPost, "/v1/tasks/"+made.ID+"/events", obj{"lease_token": got.Lease.Token, "events": events})
		}
		if i%2 == 0 {
			n.finish(t, got, doc)
		} else {
			n.must(t, http.StatusOK, http.MethodPost, "/v1/tasks/"+made.ID+"/finish", obj{"lease_token": got.Lease.Token, "status": "failed", "result": doc})
		}
		s["/v1/tasks/"+made.ID] = ""
		s["/v1/tasks/"+made.ID+"/events?turns=all&limit=1000"] = ""
		s["again "+key] = n.create(t, "worker", kept, "Idempotency-Key", key).ID
		n.claim(t, "worker", "w") // it stays in hand
	}
	for path := range s {
		if strings.HasPrefix(path, "/") {
			s[path] = strings.ReplaceAll(string(n.must(t, http.StatusOK, http.MethodGet, path, nil).body), n.base, "")
		}
	}
	return s
}

func openRows(t *testing.T, place string, postgres bool) *sql.DB {
	t.Helper()
	driver := map[bool]string{true: "pgx", false: "sqlite"}[postgres]
	db, err := sql.Open(driver, place)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// rowsOf counts what a table has, if it is there.
func rowsOf(t *testing.T, place, table string) (n int) {
	t.Helper()
	postgres := strings.Contains(place, "://")
	if _, err := os.Stat(place); !postgres && err != nil {
		return 0
	}
	db := openRows(t, place, postgres)
	defer db.Close()                                                            //nolint:errcheck // it was only read
	_ = db.QueryRowContext(t.Context(), "SELECT count(*) FROM "+table).Scan(&n) // it may not be there yet
	return n
}

// allRows reads what is copied, past the copier: the rows of each table as texts, sorted.
func allRows(t *testing.T, place string, postgres bool) map[string][]string {
	t.Helper()
	db := openRows(t, place, postgres)
	defer db.Close() //nolint:errcheck // it was only read
	tables := "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table'"
	if postgres {
		tables = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema"
	}
	own := []string{"goose_db_version", "schema_version", "writers", "feed", "documents", "words", "search"}
	found := map[string][]string{}
	for _, row := range query(t, db, tables) {
		name := strings.TrimSuffix(strings.TrimPrefix(row, "name=string:"), "\t")
		name = strings.TrimSuffix(strings.TrimPrefix(name, "tablename=string:"), "\t")
		if !slices.Contains(own, name) && !strings.HasPrefix(name, "sqlite_") {
			found[name] = query(t, db, `SELECT * FROM "`+name+`"`)
		}
	}
	if len(found) < 26 {
		t.Fatalf("only %d tables were found", len(found))
	}
	return found
}

func query(t *testing.T, db *sql.DB, statement string) (found []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), statement)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close() //nolint:errcheck // Err tells what went wrong
	names, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		values, into := make([]any, len(names)), make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		fields := make([]string, len(names))
		for i, name := range names {
			fields[i] = fmt.Sprintf("%s=%T:%v\t", name, values[i], values[i])
		}
		slices.Sort(fields)
		found = append(found, strings.Join(fields, ""))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(found)
	return found
}

func equal(t *testing.T, where string, want, got map[string][]string) {
	t.Helper()
	for name, rows := range want {
		if !slices.Equal(rows, got[name]) {
			t.Errorf("%s the %d rows of %s became %d others", where, len(rows), name, len(got[name]))
		}
	}
	if len(want) != len(got) {
		t.Errorf("%s there are %d tables of %d", where, len(got), len(want))
	}
}
