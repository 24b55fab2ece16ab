package sqlite

import (
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/files"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// openPrevious opens the data folder of the release before, after it was changed.
func openPrevious(t *testing.T, changes ...string) *Store {
	t.Helper()
	dir := t.TempDir()
	db, err := sql.Open("sqlite", dsn(filepath.Join(dir, DatabaseFile)))
	if err != nil {
		t.Fatal(err)
	}
	for _, statements := range append([]string{previous}, changes...) {
		if _, err := db.ExecContext(t.Context(), statements); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return open(t, dir)
}

func same(t *testing.T, what string, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// last is the moment of the last change in the previous release's folder.
const last = task.Stamp(1793534430000000)

// A data folder of the previous release is taken over with all that is in it: tasks
// stand where they do in their trees, and go on.
func TestMigrationKeepsTasks(t *testing.T) {
	t.Parallel()
	s := openPrevious(t)
	ctx := t.Context()
	type place struct {
		Root            string
		Depth, Subtasks int
	}
	for id, want := range map[string]place{
		"root":       {"root", 0, 2},
		"child":      {"root", 1, 1},
		"child-2":    {"root", 1, 0},
		"grandchild": {"root", 2, 0},
		"left":       {"left", 0, 1}, // its parent is deleted
		"below left": {"left", 1, 0},
		"ring-1":     {"ring-1", 0, 1}, // who has no top is one
		"ring-2":     {"ring-2", 0, 1},
		"over":       {"over", 0, 0},
	} {
		found, err := s.Task(ctx, auth.All("o"), id)
		if err != nil {
			t.Fatal(err)
		}
		x := found.Task
		same(t, "place of "+id, want, place{x.RootID, x.Depth, x.Subtasks})
		same(t, "owner of "+id, "", x.Owner+x.Group)
		same(t, "trace of "+id, "trace of "+id, x.TraceParent)
		if len(found.Spec) == 0 {
			t.Errorf("the spec of %s is lost", id)
		}
	}
	foreign, err := s.Task(ctx, auth.All("p"), "child")
	if err != nil {
		t.Fatal(err)
	}
	same(t, "the namesake, whose parent is in another organization", place{"child", 0, 0}, place{foreign.Task.RootID, foreign.Task.Depth, foreign.Task.Subtasks})

	turns, err := s.Turns(ctx, "o", "root", 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "turns", []lifecycle.Turn{
		{Number: 1, FirstSeq: 1, CreatedAt: 1793534401000000, FinishedAt: 1793534404000000, Prompt: new("root"), Result: new("corrected"), Tokens: &task.Tokens{Prompt: 3}},
		{Number: 2, FirstSeq: 6, CreatedAt: 1793534406000000, Prompt: new("root")},
	}, turns)
	log, err := s.Events(ctx, "o", "child", 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "length of a log", 5, len(log))
	same(t, "an event", task.Event{Seq: 5, Turn: 1, Type: task.Chunk, Time: 1793534410000000, Own: []byte(`{"a":1,"a":2}`), ClientID: "c"}, log[4])
	over, err := s.Task(ctx, auth.All("o"), "over")
	if err != nil || over.Task.Earlier == nil || over.Task.Earlier.WorkerID != "py" {
		t.Errorf("the attempt that holds a task over: %+v, %v", over.Task.Earlier, err)
	}
	due, err := s.Due(ctx, "o", last.Add(time.Hour), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "due", []string{"child", "gone", "grandchild", "over", "stopped"}, due)
	same(t, "schema", len(texts(t, open(t, t.TempDir()), "SELECT name FROM sqlite_master")), len(texts(t, s, "SELECT name FROM sqlite_master")))

	goesOn(t, s)
}

// goesOn writes to what the previous release has left.
func goesOn(t *testing.T, s *Store) {
	t.Helper()
	ctx := t.Context()
	if end, err := s.FeedEnd(ctx); err != nil || end != (feed.Position{}) {
		t.Errorf("the feed ends at %v, %v", end, err)
	}
	if err := s.Write(ctx, about("grandchild", "child", "child-2"), func(tx lifecycle.Tx) error {
		g, err := tx.Task("o", "grandchild")
		if err != nil {
			return err
		}
		by := task.Writer{Fenced: true, Attempt: g.Run}
		return errors.Join(
			apply(tx, "grandchild", task.Finish{By: by, Reason: task.EndCompleted, Result: new("done")}),
			apply(tx, "child", task.AddChild{}), apply(tx, "child", task.Patch{Full: true, Status: task.Completed, Number: 1, From: &task.Attempt{Number: 1}}),
			apply(tx, "child-2", task.Resume{By: "p"}), create(tx, "new"),
		)
	}); err != nil {
		t.Fatal(err)
	}
	told, err := s.Feed(ctx, feed.Position{}, 100)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, x := range told {
		got = append(got, fmt.Sprint(x.Task, " ", x.First, " to ", x.Last, " on ", x.Node))
	}
	same(t, "feed", []string{"grandchild 4 to 4 on server", "child 6 to 6 on server", "child-2 4 to 5 on server", "new 1 to 1 on server"}, got)
	log, err := s.Events(ctx, "o", "grandchild", 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "authors", []task.Author{{}, {}, {}, {Attempt: 1}}, []task.Author{log[0].Author, log[1].Author, log[2].Author, log[3].Author})
}

// Agents, secrets, keys, files and workers of the previous release stay, with what
// is new set to what they were before it was there.
func TestMigrationKeepsRecords(t *testing.T) {
	t.Parallel()
	s := openPrevious(t)
	ctx := t.Context()
	keys, err := s.Keys(ctx, "o", auth.Key{}, 100)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "keys", []auth.Key{
		{Organization: "o", ID: "k-admin", Name: "admin", Role: auth.Admin, Agents: []string{}, Hash: []byte("hash of admin"), CreatedAt: 1, Sees: auth.SeesAll},
		{Organization: "o", ID: "k-worker", Name: "worker", Role: auth.Worker, Agents: []string{"a", "b"}, Hash: []byte("hash of worker"), CreatedAt: 2, Sees: auth.SeesAll},
		{Organization: "o", ID: "k-old", Name: "old", Role: auth.User, Agents: []string{}, Hash: []byte("hash of old"), CreatedAt: 3, RevokedAt: last, Sees: auth.SeesAll},
	}, keys)
	a, err := s.Agent(ctx, "o", "a", 0)
	if err != nil || a.Version != 2 || a.Record.Name != "B" {
		t.Errorf("agent %+v, %v", a, err)
	}
	f, err := s.File(ctx, "o", "f")
	if err != nil {
		t.Fatal(err)
	}
	same(t, "file", files.File{ID: "f", Size: 4, ContentType: "text/plain", CreatedAt: last}, f)
	secret, err := s.Secret(ctx, "o", lifecycle.OfTask, "root")
	if err != nil || !slices.Equal(secret, []byte{0, 1}) {
		t.Errorf("secret %v, %v", secret, err)
	}
	worker := lifecycle.Worker{
		Organization: "o", Agent: "a", ID: "py", Kind: lifecycle.PythonWorker, RegisteredAt: 5, LastHeard: last, Connected: true, Node: lifecycle.DefaultNode, Busy: true,
		KeyID: "k", Address: "10.0.0.1", LastBeat: 7, Tally: lifecycle.Tally{Posts: 2, Reports: 1, Doubts: []lifecycle.Doubt{{Post: 2, Missing: 1}}},
	}
	if err := s.Write(ctx, nil, func(tx lifecycle.Tx) error {
		mine, err := tx.OfNode(lifecycle.DefaultNode) // the start that follows cuts it off
		attempts, failed := tx.AttemptsOf("o", "py")
		var ids []string
		for _, x := range attempts {
			ids = append(ids, x.Task)
		}
		orphans, lost := tx.Orphans("o", last.Add(time.Hour), 10)
		replay, gone := tx.Replay("o", "create", "key")
		posted, unknown := tx.Posted("o", "py", "post")
		alive, dead := tx.Alive()
		nodes, none := tx.Nodes()
		same(t, "workers of the node", []lifecycle.Worker{worker}, mine)
		same(t, "held", []string{"child", "gone", "over"}, ids)
		same(t, "orphans", 1, len(orphans))
		same(t, "replay", &lifecycle.Replay{Hash: []byte{3, 0}, TaskID: "root", At: last}, replay)
		same(t, "posted", true, posted)
		same(t, "alive", lifecycle.Alive{}, alive)
		same(t, "nodes", 0, len(nodes))
		return errors.Join(err, failed, lost, gone, unknown, dead, none)
	}); err != nil {
		t.Fatal(err)
	}
}

// Secrets that have outlived their turn go; those of a turn that has not ended, or
// whose attempt has not let go, stay, and are known to be there.
func TestMigrationErasesSecretsOfEndedTurns(t *testing.T) {
	t.Parallel()
	s := openPrevious(t, `INSERT INTO secrets SELECT 'o', 'task', id, X'01' FROM tasks WHERE org = 'o' AND id <> 'root'`,
		`INSERT INTO secrets VALUES ('o', 'task', 'no task', X'01'), ('p', 'task', 'over', X'01')`,
		`UPDATE tasks SET ended = 'failed' WHERE id IN ('over', 'left')`)
	kept := []string{"below left", "child", "child-2", "grandchild", "over", "ring-1", "ring-2", "root", "stopped"}
	same(t, "secrets", append([]string{"agent a"}, kept...), texts(t, s, "SELECT CASE owner WHEN 'task' THEN id ELSE owner || ' ' || id END FROM secrets ORDER BY 1"))
	same(t, "sealed tasks", kept, texts(t, s, "SELECT id FROM tasks WHERE sealed = 1 ORDER BY id"))
}

// What tasks refer to, in whichever turn, is in use from then on; what none does was
// perhaps never used, and stays.
func TestMigrationFindsWhatUsesFiles(t *testing.T) {
	t.Parallel()
	used, attached, unused := strings.Repeat("a", 64), strings.Repeat("b", 64), strings.Repeat("c", 64)
	s := openPrevious(t, fmt.Sprintf(`INSERT INTO files SELECT 'o', value, 3, 'text/csv', 7 FROM json_each('[%q, %q, %q]')`, used, attached, unused),
		fmt.Sprintf(`UPDATE turns SET spec = replace(json_set(spec, '$.input.files', json('["https://example.com/", "file:%s/a & b.csv"]')), '&', '\u0026') WHERE task = 'root' AND n = 1`, used),
		fmt.Sprintf(`UPDATE turns SET spec = json_set(spec, '$.input.attachments', json('[{"url": "file:%s/doc.pdf"}, {"url": "https://example.com/"}]')) WHERE task = 'over'`, attached),
		fmt.Sprintf(`UPDATE turns SET spec = json_set(spec, '$.input.text', '"file:%s/x" is no reference') WHERE task = 'left'`, unused))
	found, err := s.Files(t.Context(), auth.All("o"), files.Cursor{}, 10)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, x := range found {
		got = append(got, fmt.Sprintf("%.1s %s %d", x.ID, x.Name, x.Tasks))
	}
	same(t, "files", []string{"f file 0", "c file 0", "b doc.pdf 1", "a a & b.csv 1"}, got)
	if ids, _, err := s.DropLeft(t.Context(), "o", s.Now(), 10); len(ids) != 0 || err != nil {
		t.Errorf("%v go at once, %v", ids, err)
	}
	if _, err := s.DropFile(t.Context(), auth.All("o"), attached); fault.CodeOf(err) != fault.Conflict {
		t.Errorf("a file in use: %v", err)
	}
	if err := s.Write(t.Context(), about("over"), func(tx lifecycle.Tx) error { return errors.Join(tx.DropUses("o", "over"), tx.Delete("o", "over")) }); err != nil {
		t.Fatal(err)
	}
	if ids, _, err := s.DropLeft(t.Context(), "o", s.Now()+1, 10); !slices.Equal(ids, []string{attached}) || err != nil {
		t.Errorf("%v go after their last task, %v", ids, err)
	}
}

// What people were asked before has its deadlines, to the microsecond, and every task
// stands as it did; what SQLite cannot read, as it is too deep, is no obstacle.
func TestMigrationFindsWhatListsAreNarrowedBy(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", 5000) + strings.Repeat("]", 5000)
	side := func(id, text string) string {
		return fmt.Sprintf("UPDATE tasks SET side = '%s' WHERE org = 'o' AND id = '%s'", text, id)
	}
	s := openPrevious(t,
		side("grandchild", `{"open":[{"id":"a","until":"2026-12-01T00:00:00.9999Z"},{"id":"b","until":null},{"id":"c","until":"2026-12-01T00:00:01Z"}]}`),
		side("child", `{"open":[{"id":"a","until":null}]}`),
		side("stopped", `{"open":[{"id":"a","until":"2026-12-01T00:00:00Z"}]}`), // it has ended
		side("left", `{"wait":{"cause":"batch"}}`),
		side("ring-1", `{"wait":{"cause":"batch","held":true},"account":{"held":true}}`),
		side("root", `{"again":{"why":"failed"}}`),
		side("ring-2", `{"ext":`+deep+`,"open":[{"id":"a","until":"2026-12-01T00:00:00Z"}]}`),
		`UPDATE turns SET spec = replace(spec, '"tags":null', '"tags":["x","y"]') WHERE org = 'o' AND task = 'left'`,
		`UPDATE turns SET spec = replace(spec, '"output_schema":null', '"output_schema":`+deep+`') WHERE org = 'o' AND task = 'ring-1'`,
		`UPDATE turns SET spec = replace(spec, '"files":null', '"files":["file:x"],"more":`+deep+`') WHERE org = 'o' AND task = 'ring-2'`)
	same(t, "asked", []string{"child 0", "grandchild 1796083200999900"}, texts(t, s, "SELECT id || ' ' || asked_until FROM tasks WHERE asks = 1 ORDER BY 1"))
	same(t, "standing", []string{"below left queued", "child-2 paused", "left batch", "over earlier_attempt", "ring-1 budget", "ring-2 queued", "root retry"},
		texts(t, s, "SELECT id || ' ' || standing FROM tasks WHERE org = 'o' AND standing <> '' ORDER BY 1"))
	same(t, "tags", []string{"left x", "left y"}, texts(t, s, "SELECT task || ' ' || tag FROM tags ORDER BY 1"))
	for _, id := range []string{"grandchild", "child", "ring-2"} {
		if found, err := s.Task(t.Context(), auth.All("o"), id); err != nil || len(found.Task.Open) == 0 {
			t.Errorf("%s asks %v, %v", id, found.Task.Open, err)
		}
	}
	if next, err := s.NextDeadline(t.Context(), auth.All("o"), lifecycle.Filter{}); next.String() != "2026-12-01T00:00:00.9999Z" || err != nil {
		t.Errorf("the next deadline is %s, %v", next, err)
	}
}

// Events of before are found by their client_ids, of whatever form these are.
func TestMigrationKeepsClientIDs(t *testing.T) {
	t.Parallel()
	names := []string{"1-1", "1-2", "1-9", "1-10", "a-b-77", "-5", "1-0", "1-07", "17", "18", "0", "007", "é-3", "1-1234567890123456", "x", "-", "1-2-"}
	var changes []string
	for i, name := range names {
		changes = append(changes, fmt.Sprintf("INSERT INTO events VALUES ('o', 'ring-1', %d, 1, 'chunk', 1793534417000000, '\"c\"', '%s')", i+2, name))
	}
	s := openPrevious(t, append(changes, fmt.Sprintf("UPDATE tasks SET last_seq = %d WHERE id = 'ring-1'", len(names)+1))...)
	want := map[string]int64{}
	for i, name := range names {
		want[name] = int64(i + 2)
	}
	var got map[string]int64
	if err := s.Write(t.Context(), nil, func(tx lifecycle.Tx) (err error) {
		got, err = tx.SeqsOfClients("o", "ring-1", 1, append(names, "1-3", "1-8", "a-b-7", "a-b-", "1-", "16", "7", ""))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	same(t, "client_ids", want, got)
	events, err := s.Events(t.Context(), "o", "ring-1", 1, 100)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range events {
		same(t, "client_id of an event", names[i], e.ClientID)
	}
}

// So is one of the first release.
func TestMigrationFromTheFirstRelease(t *testing.T) {
	t.Parallel()
	s := openPrevious(t, "ALTER TABLE tasks DROP COLUMN traceparent", "DELETE FROM goose_db_version WHERE version_id > 1")
	found, err := s.Task(t.Context(), auth.All("o"), "grandchild")
	if err != nil || found.Task.LastSeq != 3 || found.Task.RootID != "root" || found.Task.TraceParent != "" {
		t.Errorf("%+v, %v", found.Task, err)
	}
	goesOn(t, s)
}

// A large tree of the previous release is taken over in reasonable time.
func TestMigrationOfManyTasks(t *testing.T) {
	t.Parallel()
	begun := time.Now()
	s := openPrevious(t, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
		INSERT INTO tasks (org, id, agent_id, created_at, updated_at, turn, first_seq, last_seq, parent_id, max_attempts, ready_at, queued, status, attempt, execution_attempts)
		SELECT 'big', 'n-' || i, 'a', i, i, 1, 1, 1, CASE WHEN i = 1 THEN '' WHEN i <= 3000 THEN 'n-' || (i - 1) ELSE 'n-' || (i / 10) END, 3, i, 0, 'pending', 1, 1 FROM n`)
	t.Logf("taken over in %s", time.Since(begun))
	same(t, "deepest and widest", []string{"2999"}, texts(t, s, "SELECT max(depth) FROM tasks WHERE org = 'big' AND root_id = 'n-1'"))
	same(t, "tasks without their root", []string{"0"}, texts(t, s, "SELECT count(*) FROM tasks WHERE org = 'big' AND root_id <> 'n-1'"))
	same(t, "sub-tasks", []string{"19999"}, texts(t, s, "SELECT sum(subtasks) FROM tasks WHERE org = 'big'"))
	same(t, "tasks with another number of them", []string{"0"}, texts(t, s, `SELECT count(*) FROM tasks t WHERE org = 'big'
		AND subtasks <> (SELECT count(*) FROM tasks c WHERE c.org = 'big' AND c.parent_id = t.id AND c.parent_id <> '')`))
}

// A database of a newer release is refused in one line, and stays as it is.
func TestNewerDatabaseIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := Open(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", dsn(filepath.Join(dir, DatabaseFile)))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // a test's
	if _, err := db.ExecContext(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)"); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "its tables are of a newer release (version 9999, this one knows ") {
		t.Errorf("opened: %v", err)
	}
}
