package sqlite

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/deliver"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/files"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/search"
	"github.com/errand-dev/errand/server/internal/stats"
	"github.com/errand-dev/errand/server/internal/store/batch"
	"github.com/errand-dev/errand/server/internal/task"
)

// plan is how SQLite carries out a statement, a line for each step.
func plan(t *testing.T, s *Store, query string) []string {
	t.Helper()
	query = spelled(query)
	// Nothing is bound: the planner does not look at values.
	rows, err := s.reads.db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, slices.Repeat([]any{nil}, strings.Count(query, "?"))...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close() //nolint:errcheck // Err tells what went wrong
	var steps []string
	for rows.Next() {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			t.Fatal(err)
		}
		steps = append(steps, step)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return steps
}

// queriesOf lists the statements that fn makes the store prepare.
func queriesOf(t *testing.T, fn func(*Store) error) (*Store, []string) {
	t.Helper()
	s := open(t, t.TempDir())
	var e *engine
	if err := rewire(t.Context(), s, batch.Options{Remember: true}, func(own *engine) batch.Engine { e = own; return e }); err != nil {
		t.Fatal(err)
	}
	clear(e.stmts)
	if err := fn(s); err != nil {
		t.Fatal(err)
	}
	prepared := slices.Concat(slices.Collect(maps.Keys(e.stmts)), slices.Collect(maps.Keys(s.reads.stmts)))
	slices.Sort(prepared)
	return s, slices.Compact(prepared)
}

// Each single filter of a list is one walk along an index, in the list's own
// order: whole, from a cursor, and when it is counted.
func TestListFiltersUseAnIndex(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		filter lifecycle.Filter
		index  string
		in     auth.Scope
	}{
		"none":     {lifecycle.Filter{}, "tasks_created (org=?", auth.All("o")},
		"agent":    {lifecycle.Filter{Agent: "x"}, "tasks_agent (org=? AND agent_id=?", auth.All("o")},
		"user":     {lifecycle.Filter{User: "x"}, "tasks_user (org=? AND user_id=?", auth.All("o")},
		"parent":   {lifecycle.Filter{Parent: "x"}, "tasks_parent (org=? AND parent_id=?", auth.All("o")},
		"trigger":  {lifecycle.Filter{Trigger: "x"}, "tasks_trigger (org=? AND triggering_agent_id=?", auth.All("o")},
		"status":   {lifecycle.Filter{Status: lifecycle.Among(task.Failed)}, "tasks_status (org=? AND status=?", auth.All("o")},
		"internal": {lifecycle.Filter{InternalStatus: "x"}, "tasks_note (org=? AND internal_status=?", auth.All("o")},
		"worker":   {lifecycle.Filter{Worker: "x"}, "tasks_worker (org=? AND worker_id=?", auth.All("o")},
		"reason":   {lifecycle.Filter{EndReason: task.EndTimeout}, "tasks_reason (org=? AND end_reason=?", auth.All("o")},
		"roots":    {lifecycle.Filter{Roots: true}, "tasks_roots (org=?", auth.All("o")},
		"asks":     {lifecycle.Filter{Asks: true}, "tasks_asks (org=?", auth.All("o")},
		"standing": {lifecycle.Filter{Stands: &lifecycle.Stands{As: []task.Standing{task.StandsPaused}}}, "tasks_standing (org=? AND standing=?", auth.All("o")},
		"tag":      {lifecycle.Filter{Tag: "x"}, "g USING PRIMARY KEY (org=? AND tag=?", auth.All("o")},
		"from":     {lifecycle.Filter{From: 1}, "tasks_created (org=? AND created_at>?", auth.All("o")},
		"to":       {lifecycle.Filter{To: 1}, "tasks_created (org=? AND created_at<?", auth.All("o")},
		"from, to": {lifecycle.Filter{From: 1, To: 2}, "tasks_created (org=? AND created_at>? AND created_at<?", auth.All("o")},
		"owner":    {lifecycle.Filter{}, "tasks_owner (org=? AND owner=?", auth.Scope{Organization: "o", Owner: "x"}},
		"group":    {lifecycle.Filter{}, "tasks_group (org=? AND grp=?", auth.Scope{Organization: "o", Group: "x"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, queries := queriesOf(t, func(s *Store) error {
				_, err := s.Tasks(t.Context(), c.in, c.filter, lifecycle.Page{Size: 50, Count: true})
				_, failed := s.Tasks(t.Context(), c.in, c.filter, lifecycle.Page{Size: 50, Cursor: lifecycle.Cursor{CreatedAt: 5, ID: "t"}})
				_, uncounted := s.CountOpen(t.Context(), c.in, c.filter)
				_, unopened := s.Open(t.Context(), c.in, c.filter, lifecycle.Cursor{}, 50)
				_, lost := s.Open(t.Context(), c.in, c.filter, lifecycle.Cursor{CreatedAt: 5, ID: "t"}, 50)
				return errors.Join(err, failed, uncounted, unopened, lost)
			})
			if len(queries) != 6 {
				t.Fatalf("%d statements: %q", len(queries), queries)
			}
			for _, q := range queries {
				steps := strings.Join(plan(t, s, q), "; ")
				index := c.index
				if name == "agent" && strings.Contains(q, "t.ended = ''") {
					index = "tasks_open (org=? AND agent_id=?" // which holds no other tasks
				}
				if name == "none" && strings.Contains(steps, "COVERING INDEX tasks_status (org=?)") && !strings.Contains(q, "ORDER BY") {
					continue // it counts any tasks, along any index
				}
				if !strings.Contains(steps, index) || strings.Contains(steps, "SCAN t") || strings.Contains(steps, "TEMP B-TREE") && name != "tag" { // of tags a page is sorted

					t.Errorf("%s\n%s\nwant a search by %s", q, steps, index)
				}
				if (strings.Contains(q, "(t.created_at, t.id) <") || strings.Contains(q, "(g.created_at, g.task) <")) && !strings.Contains(steps, "created_at<?") && !strings.Contains(steps, "(created_at,id)<") && !strings.Contains(steps, "(created_at,task)<") {
					t.Errorf("%s\n%s\nthe cursor is not part of the search", q, steps)
				}
			}
		})
	}
}

// What is found along several walks is counted along their indexes, too.
func TestCountsOfSeveralWalksUseTheirIndexes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		filter  lifecycle.Filter
		indexes []string // one for each statement that differs
	}{
		"root":     {lifecycle.Filter{Root: "x"}, []string{"tasks_root (org=? AND root_id=?", "PRIMARY KEY (org=? AND id=?)"}},
		"queue":    {lifecycle.Filter{Stands: &lifecycle.Stands{As: []task.Standing{task.StandsQueued, task.StandsRetry}, From: 1}}, []string{"tasks_standing (org=? AND standing=?"}},
		"statuses": {lifecycle.Filter{Status: lifecycle.Among(task.Failed, task.Error)}, []string{"tasks_status (org=? AND status=?"}},
	} {
		s, queries := queriesOf(t, func(s *Store) error {
			_, _, err := s.Count(t.Context(), auth.All("o"), c.filter)
			return err
		})
		var steps []string
		for _, q := range queries {
			steps = append(steps, strings.Join(plan(t, s, q), "; "))
		}
		slices.Sort(steps)
		if len(steps) != len(c.indexes) {
			t.Fatalf("%s: %d statements: %q", name, len(queries), queries)
		}
		for i, step := range steps {
			if !strings.Contains(step, c.indexes[i]) || strings.Contains(step, "TEMP B-TREE") {
				t.Errorf("%s: %s\nwant a search by %s", name, step, c.indexes[i])
			}
		}
	}
}

// No statement of the store walks a whole table or organization or sorts its
// rows, but for those that say why. (Without statistics SQLite takes the first
// column of a primary key for nearly unique and walks all of an organization:
// INDEXED BY tells it better.)
func TestNoStatementScans(t *testing.T) {
	t.Parallel()
	scans := []string{ // what may, with the beginning of the statement
		"SELECT agent_id, count(*), min(ready_at)",                             // Counts: the queue only
		"SELECT page_count * page_size",                                        // Size: two numbers
		"SELECT id FROM organizations",                                         // all of them
		"WITH RECURSIVE found (agent)",                                         // QueuedAgents: the first of an index, then from one to the next
		"SELECT id, heard FROM nodes",                                          // likewise
		"SELECT heard, renewed, sweeper FROM alive",                            // one row
		"UPDATE alive SET",                                                     // the same
		"SELECT 1 FROM attempts INDEXED BY attempts_lease WHERE let_go_at = 0", // Leased: the first of an index
		"SELECT pos, n FROM feed WHERE pos < ? ORDER BY pos DESC",              // FeedEnd: the last of the key
		"SELECT pos, n FROM feed ORDER BY pos, n LIMIT 1",                      // FeedBegin: likewise
		"SELECT min(t.asked_until)",                                            // NextDeadline: tasks that ask people
		readingWorkers + "org = ? ORDER BY id",                                 // Workers: all of them
		"SELECT id FROM tasks INDEXED BY tasks_descending",                     // Unfinished: those that are, hardly any
		"SELECT task FROM graves",                                              // likewise
		"SELECT DISTINCT capped FROM tasks INDEXED BY tasks_capped",            // Capped: those that caps hold
		"SELECT 'passed', id FROM organizations o",                             // Dues: whether each has any
		"SELECT id FROM tasks INDEXED BY tasks_unpacked",                       // Unpacked: of the last minute
		readingNode,    // OfNode: all workers, once after a start
		readingAbsent,  // Absent: all workers, now and then
		readingOrphans, // Orphans: along those that are untold
		"SELECT id FROM tasks INDEXED BY tasks_alarm WHERE org = ? AND alarm_at > 0 AND (status", // Ahead: all alarms, after a jump of the clock
		"SELECT id FROM tasks INDEXED BY tasks_queue WHERE org = ? AND queued = 1 AND ready_at",  // likewise, all of the queue
		"SELECT task, number, sent_after FROM attempts",                                          // Untold: sorts the few of one worker
		selectKey + "org = ?",                                                                       // Keys: all of them, few
		"SELECT t.id, t.agent_id, t.org",                                                            // Tasks: see the test above
		"SELECT count(*) FROM (SELECT 1 FROM tasks t",                                               // likewise
		"SELECT count(*), count(*) FROM (SELECT 1 FROM tasks t",                                     // likewise
		"SELECT t.created_at, t.id FROM tasks t",                                                    // Open: likewise
		"SELECT o.id, f.size, f.content_type",                                                       // Files, FileOf: see the test below
		"SELECT 1 FROM search", "SELECT step, pos, n", "SELECT pos, n FROM search", "UPDATE search", // one row
		"SELECT CAST(0 AS BIGINT) AS step, agent AS id",   // Stats: likewise
		"SELECT (at - ?) / ? AS step",                     // Stats: sorts what was counted in a window, along its key
		"SELECT d.id, d.task, d.first_seq",                // Found: so many that have the words, by their own index
		"SELECT count(*), min(m.id) FROM (SELECT w.rowid", // likewise
		"SELECT pos, n FROM webhooks WHERE enabled = 1",   // the first of an index
		"SELECT count(*) FROM webhooks",                   // of one organization, few
		readingWebhooks + "enabled = 1",                   // EnabledWebhooks: all that are
		readingWebhooks + "org = ? ORDER BY created_at",   // Webhooks: all of an organization, few
		"SELECT e.task, e.turn, min(e.seq)",               // TurnsFor: sorts what a part of the feed tells
	}
	s, queries := queriesOf(t, everything)
	if len(queries) < 60 {
		t.Fatalf("%d statements only", len(queries))
	}
	for _, p := range scans {
		if !slices.ContainsFunc(queries, func(q string) bool { return strings.HasPrefix(q, p) }) {
			t.Errorf("no statement begins with %q", p)
		}
	}
	for _, q := range queries {
		if slices.ContainsFunc(scans, func(p string) bool { return strings.HasPrefix(q, p) }) {
			continue
		}
		for _, step := range plan(t, s, q) {
			if strings.HasPrefix(step, "SCAN ") && !few(step) || strings.Contains(step, "TEMP B-TREE") || strings.HasSuffix(step, "(org=?)") {
				t.Errorf("%s\n%s", q, step)
			}
		}
	}
}

// A list of files is one walk along the index of whose they are.
func TestListsOfFilesUseAnIndex(t *testing.T) {
	t.Parallel()
	for index, in := range map[string]auth.Scope{
		"o USING INDEX file_owners_at (org=?":                auth.All("o"),
		"o USING INDEX file_owners_owner (org=? AND owner=?": {Organization: "o", Owner: "x"},
		"o USING INDEX file_owners_group (org=? AND grp=?":   {Organization: "o", Group: "x"},
	} {
		s, queries := queriesOf(t, func(s *Store) error {
			_, err := s.Files(t.Context(), in, files.Cursor{}, 50)
			_, failed := s.Files(t.Context(), in, files.Cursor{CreatedAt: 5, ID: "f"}, 50)
			if _, err := s.FileOf(t.Context(), in, "f"); fault.CodeOf(err) != fault.NotFound {
				return err
			}
			return errors.Join(err, failed)
		})
		if len(queries) != 3 {
			t.Fatalf("%d statements: %q", len(queries), queries)
		}
		for _, q := range queries {
			index := index
			if strings.Contains(q, "AND o.id = ?") {
				index = "o USING PRIMARY KEY (org=? AND id=?"
			}
			if steps := strings.Join(plan(t, s, q), "; "); !strings.Contains(steps, index) || strings.Contains(steps, "TEMP B-TREE") {
				t.Errorf("%s\n%s\nwant a search of %s", q, steps, index)
			} else if strings.Contains(q, "(o.at, o.id) <") && !strings.Contains(steps, "at<?") && !strings.Contains(steps, "(at,id)<") {
				t.Errorf("%s\n%s\nthe cursor is not part of the search", q, steps)
			}
		}
	}
}

// few reports whether a step walks through rows that the statement itself has brought.
func few(step string) bool {
	return step == "SCAN CONSTANT ROW" || strings.HasSuffix(step, "CONSTANT ROWS") || step == "SCAN counted" || slices.Contains([]string{"SCAN wanted", "SCAN level", "SCAN found"}, step) || strings.HasSuffix(step, "-ROW VALUES CLAUSE")
}

// The queue and the deadlines are found by their own indexes, which hold
// nothing but what is waiting.
func TestQueueAndDeadlinesUseTheirIndexes(t *testing.T) {
	t.Parallel()
	s, queries := queriesOf(t, everything)
	for _, c := range []struct{ begins, step string }{
		{"WITH wanted (agent, pin)", "USING COVERING INDEX tasks_queue (org=? AND agent_id=? AND pin=? AND priority<?)"},
		{"SELECT id, ready_at FROM tasks", "USING COVERING INDEX tasks_queue (org=? AND agent_id=? AND pin=? AND priority=? AND ready_at<?)"},
		{"SELECT 0 AS source", "MERGE (UNION ALL); LEFT; SEARCH tasks USING COVERING INDEX tasks_queue (org=? AND agent_id=? AND pin=? AND priority=? AND ready_at<?)"},
		{"WITH RECURSIVE wanted", "USING COVERING INDEX tasks_queue (org=? AND agent_id=? AND pin=? AND priority<?)"},
		{"WITH RECURSIVE found", "USING COVERING INDEX tasks_queue (org=? AND agent_id>?)"},
		{"SELECT count(*) FROM (SELECT 1 FROM tasks INDEXED BY tasks_queue\n\t\tWHERE org = ? AND agent_id = ? AND queued", "USING COVERING INDEX tasks_queue (org=? AND agent_id=?)"},
		{"SELECT count(*) FROM (SELECT 1 FROM tasks INDEXED BY tasks_queue\n\t\tWHERE org = ? AND agent_id = ? AND pin", "USING COVERING INDEX tasks_queue (org=? AND agent_id=? AND pin=? AND priority>?)"},
		{"SELECT id FROM tasks WHERE org = ? AND alarm_at > 0 AND alarm_at <= ?", "tasks_alarm (org=? AND alarm_at>? AND alarm_at<?)"},
		{"SELECT 'passed'", "tasks_alarm (org=? AND alarm_at>? AND alarm_at<?)"},
		{"SELECT 'passed'", "attempts_lease (org=? AND lease_until>? AND lease_until<?)"},
		{"SELECT 'passed'", "tasks_alarm (org=? AND alarm_at>?)"},
		{"SELECT 'passed'", "attempts_lease (org=? AND lease_until>?)"},
		{"SELECT 'passed'", "tasks_descending (org=?)"},
		{"SELECT 'passed'", "tasks_capped (org=?"},
		{"SELECT 'passed'", "pushes_due (due>? AND due<?)"},
		{"SELECT task FROM attempts INDEXED BY attempts_lease\n", "attempts_lease (org=? AND lease_until>? AND lease_until<?)"},
		{"SELECT task FROM attempts INDEXED BY attempts_lease WHERE org = ? AND let_go_at = 0 AND lease_until > 0 AND lease_until > ? +", "attempts_lease (org=? AND lease_until>?)"},
		{"SELECT id FROM tasks INDEXED BY tasks_alarm", "tasks_alarm (org=? AND alarm_at>?)"},
		{"SELECT worker_id FROM attempts INDEXED BY", "attempts_lease (org=? AND lease_until>?)"},
		{"SELECT 1 FROM attempts INDEXED BY attempts_lease", "USING COVERING INDEX attempts_lease"},
		{"SELECT 1 FROM tasks INDEXED BY tasks_open", "tasks_open (org=? AND agent_id=?)"},
		{readingAttempts + "INDEXED BY attempts_worker", "attempts_worker (org=? AND worker_id=?)"},
		{readingOrphans, "attempts_untold (org=?)"},
		{"SELECT task, number, sent_after FROM attempts", "attempts_untold (org=? AND worker_id=?)"},
		{"DELETE FROM replays WHERE org = ? AND at <", "replays_at (org=? AND at<?)"},
		{"DELETE FROM replays INDEXED BY", "replays_task (org=? AND task=?)"},
		{"DELETE FROM worker_posts", "worker_posts_at (org=? AND at<?)"},
		{"SELECT id FROM tasks INDEXED BY tasks_unpacked", "USING COVERING INDEX tasks_unpacked (org=?)"},
		{"SELECT client_no, seq, first_seq FROM events", "events_numbered (org=? AND task=? AND turn=? AND client_of=? AND client_no>?)"},
		{"SELECT client_no FROM events", "USING COVERING INDEX events_numbered (org=? AND task=? AND turn=? AND client_of=?)"},
		{"SELECT client_id, seq FROM events", "events_client (org=? AND task=? AND turn=? AND client_id=?)"},
		{"SELECT id FROM tasks INDEXED BY tasks_parent", "tasks_parent (org=? AND parent_id=?)"},
		{"SELECT id FROM tasks INDEXED BY tasks_below", "tasks_below (org=? AND parent_id=? AND id>?)"},
		{"SELECT id FROM tasks INDEXED BY tasks_descending", "USING COVERING INDEX tasks_descending (org=?)"},
		{"SELECT task FROM graves", "PRIMARY KEY (org=?)"},
		{"SELECT p.org, p.task", "p USING INDEX pushes_due (due>? AND due<?)"},
		{"SELECT 1 FROM graves WHERE org = ? AND task = ?", "PRIMARY KEY (org=? AND task=?)"},
		{"SELECT seq, octet_length(own)", "PRIMARY KEY (org=? AND task=?)"},
		{"SELECT n, octet_length(spec)", "(org=? AND task=?)"},
		{"SELECT number, 0 FROM attempts", "PRIMARY KEY (org=? AND task=?)"},
		{"DELETE FROM events WHERE org = ? AND task = ? AND seq >= ?", "PRIMARY KEY (org=? AND task=? AND seq>?)"},
		{"DELETE FROM events WHERE org = ? AND task = ? AND seq >= ? AND seq <= ?", "PRIMARY KEY (org=? AND task=? AND seq>? AND seq<?)"},
		{"DELETE FROM turns", "(org=? AND task=? AND n>?)"},
		{"SELECT id FROM tasks WHERE org = ? AND parent_id = ? AND parent_id <> '' AND created_at <=", "tasks_parent (org=? AND parent_id=? AND created_at<?)"},
		{readingWorkers + "org = ? AND agent = ? AND key_id = ?", "workers_kin (org=? AND agent=? AND key_id=? AND address=?)"},
		{"SELECT id FROM workers INDEXED BY workers_agent", "workers_agent (org=? AND agent=?)"},
		{"SELECT 1 FROM file_owners", "PRIMARY KEY (org=? AND id=?"},
		{"SELECT o.id FROM file_owners", "file_owners_left (org=? AND left_at>? AND left_at<?)"},
		{"DELETE FROM file_uses", "file_uses_task (org=? AND task=?)"},
		{"SELECT (at - ?) / ? AS step", "PRIMARY KEY (org=? AND scope=? AND span=? AND at>? AND at<?)"},
		{"SELECT at FROM stats", "stats_old (span=? AND at<?)"},
		{"DELETE FROM stats", "stats_old (span=? AND at<?)"},
		{readingFeed + "WHERE (pos, n) >", "PRIMARY KEY ((pos,n)>(?,?)"},
		{"SELECT pos, n FROM feed WHERE pos < ?", "PRIMARY KEY (pos<?)"},
		{"SELECT pos, n, at FROM feed WHERE pos < ?", "PRIMARY KEY (pos<?)"},
		{"DELETE FROM feed WHERE (pos, n) < (?, ?)", "PRIMARY KEY ((pos,n)<(?,?))"},
	} {
		i := slices.IndexFunc(queries, func(q string) bool { return strings.HasPrefix(q, c.begins) })
		if i < 0 {
			t.Errorf("no statement begins with %q", c.begins)
			continue
		}
		if steps := strings.Join(plan(t, s, queries[i]), "; "); !strings.Contains(steps, c.step) {
			t.Errorf("%s\n%s\nwant %s", queries[i], steps, c.step)
		}
	}
}

// The driver gives each of several statements the first arguments again, so a
// statement that has arguments must be just one.
func TestStatementsWithArgumentsAreSingle(t *testing.T) {
	t.Parallel()
	_, queries := queriesOf(t, everything)
	for _, q := range queries {
		if strings.Contains(q, ";") && strings.Contains(q, "?") {
			t.Errorf("several statements with arguments: %s", q)
		}
		for _, text := range strings.Split(q, "'")[1:] { // nothing is spelled out that should be an argument
			if len(text) > 60 && !strings.ContainsAny(text, "=?(,") {
				t.Errorf("a long text in a statement: %s", q)
			}
		}
	}
}

// Beginnings of statements that are made of lists of columns.
const (
	selectKey       = "SELECT org, id, name, role, agents, hash, created_at, revoked_at, sees, grp, trusted, caps, expires_at, created_by, last_used_at, person FROM keys WHERE "
	readingWorkers  = "SELECT org, id, agent, kind, registered_at, last_heard, connected, node, busy, held, slots, key_id, address, last_beat, cut_at, heir_until, owner_in, heir_of, tally FROM workers WHERE "
	readingWebhooks = "SELECT org, id, owner, grp, created_at, created_by, url, target, types, agents, secret, enabled, pos, n, taken_at, failures, failed_at, failure FROM webhooks WHERE "
	readingNode     = readingWorkers + "node = ?"
	readingAbsent   = readingWorkers + "org = ? AND connected = 0"
	readingAttempts = "SELECT task, number, turn, in_turn, fenced, worker_id, token_hash, may_retry, assigned_at, started_at, ended_at, outcome, let_go_at, lease_us, lease_until, give_up_at, sent_after, reported, refused_event, refused_end, used FROM attempts "
	readingOrphans  = readingAttempts + "INDEXED BY attempts_untold"
	readingFeed     = "SELECT pos, n, org, task, agent, kind, first_seq, last_seq, node, worker FROM feed "
)

// everything runs each statement of the store once.
func everything(s *Store) error {
	ctx := context.Background()
	if err := s.PutOrganization(ctx, "o", "o"); err != nil {
		return err
	}
	if err := s.Write(ctx, nil, func(tx lifecycle.Tx) error { return errors.Join(everyWrite(tx), everyQuestion(tx)) }); err != nil {
		return err
	}
	return errors.Join(everyRecord(ctx, s), everyRead(ctx, s))
}

func everyWrite(tx lifecycle.Tx) error {
	a := agent.Agent{OrganizationID: "o", ID: "a", Version: 1}
	r := lifecycle.Replay{Hash: []byte{1}, At: 1}
	tx.AddStats(stats.Counted{Of: stats.Of{Org: "o", Owner: "x", Group: "g", Agent: "a"}, Counts: stats.Counts{stats.Begun: 1}})
	return errors.Join(
		create(tx, "t"), apply(tx, "t", task.Assign{Worker: "w"}), apply(tx, "t", task.Patch{Status: task.Completed, Result: new("r")}),
		apply(tx, "t", task.Settle{Reason: task.EndFailed, Result: new("s"), Correct: true}),
		create(tx, "u"), create(tx, "stepped"), apply(tx, "stepped", task.Claim{Worker: "w", TokenHash: "h", Lease: 1}), stepped(tx, "stepped"), packed(tx, "stepped"), asked(tx, "stepped"), create(tx, "pinned", func(s *task.Spec) { s.PinnedWorkerID = new("w") }), tx.PutSecret("o", lifecycle.OfTask, "t", []byte{1}), tx.DeleteSecret("o", lifecycle.OfTask, "t"),
		tx.PutReplay("o", "r", "k", nil, r), tx.PutReplay("o", "r", "k", &r, r), tx.DropReplays("o", 1),
		tx.PutWorker(lifecycle.Worker{Organization: "o", ID: "w", Agent: "a"}), tx.DropWorker("o", "a", "w"), tx.Freed("o", "a", "w"),
		tx.PutNode(lifecycle.Node{ID: "n"}), tx.DropNode("n"), tx.PutAlive(lifecycle.Alive{Heard: 1}),
		tx.PutPost("o", "w", "p"), tx.DropPosts("o", 1),
		tx.PutAttempt("o", "t", task.Attempt{Number: 9}), tx.DropAttempt("o", "t", 9),
		tx.PutAgent(a), tx.DeleteAgent("o", "a"), tx.Delete("o", "t"), erased(tx, "t"),
	)
}

func stepped(tx lifecycle.Tx, id string) error {
	t, err := tx.Task("o", id)
	return errors.Join(err, apply(tx, id, task.CommitStep{By: task.Writer{Fenced: true, Attempt: t.Run}, Step: task.Step{ID: "s", Body: []byte("1")}}))
}

func packed(tx lifecycle.Tx, id string) error {
	t, err := tx.Task("o", id)
	said := task.Event{Type: task.Chunk, Own: []byte(`"c"`)}
	err = errors.Join(err, apply(tx, id, task.Append{By: task.Writer{Fenced: true, Attempt: t.Run}, Events: []task.Event{said}}),
		apply(tx, id, task.Append{By: task.Writer{Fenced: true, Attempt: t.Run}, Events: []task.Event{said}}))
	_, failed := tx.Pack("o", id, 0, 100)
	return errors.Join(err, failed)
}

func asked(tx lifecycle.Tx, id string) error {
	t, err := tx.Task("o", id)
	return errors.Join(err, apply(tx, id, task.Ask{By: task.Writer{Fenced: true, Attempt: t.Run}, ID: "asked", Asked: task.Asked{Key: "k", Kind: task.KindQuestion}}),
		apply(tx, id, task.Respond{To: task.Approval{ID: "asked", Turn: 1}}))
}

func erased(tx lifecycle.Tx, id string) error {
	_, err := tx.Erase("o", id, 100)
	return err
}

func everyQuestion(tx lifecycle.Tx) error {
	var failed []error
	note := func(_ any, err error) { failed = append(failed, err) }
	note(tx.Snapshot("o", "u"))
	for _, version := range []int{0, 1} { // there is none: only the statements count
		if _, err := tx.Agent("o", "a", version); fault.CodeOf(err) != fault.NotFound {
			failed = append(failed, err)
		}
	}
	note(tx.Caps("o", task.Spender{Of: task.CapKey, ID: "k"}))
	note(tx.Caps("o", task.Spender{Of: task.CapAgent, ID: "a"}))
	_, _, err := tx.TurnEnd("o", "u", 1)
	note(nil, err)
	note(tx.Untold("o", "w"))
	note(tx.AttemptsOf("o", "w"))
	note(tx.Attempts("o", "t"))
	note(tx.Orphans("o", 1, 1))
	note(tx.Posted("o", "w", "p"))
	note(tx.Siblings(lifecycle.Worker{Organization: "o"}))
	note(tx.OfNode("n"))
	note(tx.Connected("o", "a"))
	note(tx.Absent("o", 1, 1))
	note(tx.PythonWorker("o", "w"))
	note(tx.Worker("o", "a", "w"))
	note(tx.Claimer("o", "a", "w"))
	note(tx.Alive())
	note(tx.Leased())
	note(tx.Nodes())
	note(tx.Attempt("o", "t", 1))
	note(tx.AttemptByToken("o", "t", "h"))
	note(tx.Children("o", "t", 1000))
	note(tx.Below("o", "t", "", 1000))
	note(tx.Unerased("o", "t"))
	note(tx.SeqsOfClients("o", "t", 1, []string{"c", "d", "e-1"}))
	note(tx.SeqsOfClients("o", "t", 1, []string{"e-1"}))
	note(tx.Step("o", "u", 1, "s"))
	note(tx.Approval("o", "asked"))
	note(tx.ApprovalOf("o", "u", 1, "k"))
	note(tx.Take(lifecycle.Want{Organization: "o", Agents: []string{"a"}, Worker: "w", Limit: 1}))
	note(tx.Replay("o", "r", "k"))
	note(tx.Replays("o", "r", []string{"k", "l"}))
	note(tx.Queued("o", "a", 1))
	note(tx.Files("o", []string{"f", "g"}))
	note(tx.HasOpenTask("o", "a"))
	return errors.Join(failed...)
}

func everyRecord(ctx context.Context, s *Store) error {
	s.trouble.Store(fault.New(fault.Unavailable, "so that it tries"))
	return errors.Join(
		s.PutDocuments(ctx, []search.Document{{Of: search.Of{Org: "o", ID: "u"}, First: 1, Last: 1, At: 1, Words: []string{"x"}}}, []search.Of{{Org: "o", ID: "t"}},
			search.Place{Feed: feed.Position{Commit: 1 << 60}}),
		s.PutKey(ctx, auth.Key{Organization: "o", ID: "l", Hash: []byte{2}, Role: auth.Admin}),
		s.PutKey(ctx, auth.Key{Organization: "o", ID: "k", Hash: []byte{1}, Role: auth.User}), s.RevokeKey(ctx, "o", "k"),
		s.PutFile(ctx, "o", files.File{ID: "f"}, "f", files.Owner{Owner: "x", Group: "g"}), everyRemoval(ctx, s), s.DropFeed(ctx, s.Now().Add(time.Hour)), s.DropStats(ctx, s.Now().Add(1000*24*time.Hour)), s.Writable(ctx),
		everyPass(ctx, s), everyPush(ctx, s), everyWebhook(ctx, s), everyPerson(ctx, s),
	)
}

// everyPush is all that becomes of pushes.
func everyPush(ctx context.Context, s *Store) error {
	p := deliver.Push{Key: deliver.Key{Organization: "o", Task: "u", Turn: 1, ID: "p"}, Progress: deliver.Progress{Due: 1}}
	failed := s.PutPush(ctx, p)
	_, read := s.Push(ctx, p.Key)
	_, listed := s.Pushes(ctx, "o", "u", 1)
	_, due := s.DuePushes(ctx, 2, []string{"x"}, []string{"y"}, 1)
	_, moved := s.MovePush(ctx, p, p)
	return errors.Join(failed, read, listed, due, moved, s.DropPush(ctx, p.Key))
}

// everyWebhook is all that becomes of webhooks.
func everyWebhook(ctx context.Context, s *Store) error {
	w := deliver.Webhook{Scope: auth.Scope{Organization: "o", Owner: "x"}, ID: "w", Enabled: true, Agents: []string{"a"}}
	failed := s.PutWebhook(ctx, w)
	_, read := s.Webhook(ctx, "o", "w")
	_, listed := s.Webhooks(ctx, w.Scope)
	_, enabled := s.EnabledWebhooks(ctx)
	_, changed := s.ChangeWebhook(ctx, w.Scope, "w", func(*deliver.Webhook) {})
	_, told := s.TurnsFor(ctx, w, w.Place, feed.Position{Commit: 1 << 60})
	spread := s.Spread(ctx, w, []deliver.Push{{Key: deliver.Key{Organization: "o", Task: "u", Turn: 1, ID: "/w"}, Webhook: "w"}}, feed.Position{Commit: 1})
	return errors.Join(failed, read, listed, enabled, changed, told, spread, s.WebhookTook(ctx, w), s.WebhookFailed(ctx, w, "x", true), s.DropWebhook(ctx, w.Scope, "w"))
}

// everyPerson is a person who comes for the first time, and again.
func everyPerson(ctx context.Context, s *Store) error {
	anna := auth.Key{Organization: "o", ID: "p", Hash: []byte{5}, Role: auth.User, Person: "anna"}
	_, first := s.PutPerson(ctx, anna)
	_, again := s.PutPerson(ctx, anna)
	return errors.Join(first, again)
}

// everyPass is all that becomes of passes.
func everyPass(ctx context.Context, s *Store) error {
	p := auth.Pass{Organization: "o", ID: "p", Hash: []byte{3}, KeyID: "k", Until: 1}
	failed := []error{s.PutPass(ctx, p)}
	_, _, err := s.TakePass(ctx, p.Hash)
	of := p
	of.Task, of.ID, of.Hash = "u", "q", []byte{4}
	_, _, missing := s.PassByHash(ctx, of.Hash)
	if fault.CodeOf(missing) == fault.NotFound {
		missing = nil
	}
	_, unread := s.Passes(ctx, "o", "u", 0)
	return errors.Join(append(failed, err, s.PutPass(ctx, p), s.DropPasses(ctx, 1), missing, unread, s.PutPass(ctx, of), s.DropPass(ctx, "o", "u", "q"), s.UseKey(ctx, "o", "l", 5))...)
}

// everyRemoval is every way in which a file goes.
func everyRemoval(ctx context.Context, s *Store) error {
	var failed []error
	put := func(id string) {
		failed = append(failed, s.PutFile(ctx, "o", files.File{ID: id}, "f", files.Owner{Owner: "x", Group: "g"}))
	}
	write := func(fn func(lifecycle.Tx) error) { failed = append(failed, s.Write(ctx, nil, fn)) }
	for _, in := range []auth.Scope{auth.All("o"), {Organization: "o", Owner: "x"}, {Organization: "o", Group: "g"}} {
		put("e")
		if in != auth.All("o") {
			write(func(tx lifecycle.Tx) error { return tx.PutUse(task.Task{OrganizationID: "o", ID: "of another"}, "e") })
		}
		_, err := s.DropFile(ctx, in, "e")
		failed = append(failed, err)
		write(func(tx lifecycle.Tx) error { return tx.DropUses("o", "of another") })
	}
	put("e")
	write(func(tx lifecycle.Tx) error { return tx.PutUse(task.Task{OrganizationID: "o", ID: "last"}, "e") })
	write(func(tx lifecycle.Tx) error { return tx.DropUses("o", "last") })
	ids, _, err := s.DropLeft(ctx, "o", s.Now()+1, 9)
	if len(ids) == 0 {
		failed = append(failed, errors.New("nothing was left"))
	}
	_, coming := s.Coming(ctx, "h")
	failed = append(failed, err, coming, s.Came(ctx, "h"))
	going, since, _, err := s.Going(ctx, "", 1, 1, 9)
	if len(going) == 0 {
		failed = append(failed, errors.New("nothing is going"))
	}
	return errors.Join(append(failed, err, s.Stay(ctx, since, []string{"h"}), s.Gone(ctx, since, []string{"h"}),
		s.PutPiece(ctx, "h", 0, []byte("x")), s.DropPieces(ctx, "h"))...)
}

func everyRead(ctx context.Context, s *Store) error {
	var failed []error
	note := func(_ any, err error) { failed = append(failed, err) }
	all, own, group := auth.All("o"), auth.Scope{Organization: "o", Owner: "x"}, auth.Scope{Organization: "o", Group: "x"}
	for _, in := range []auth.Scope{all, own, group} {
		if _, err := s.Task(ctx, in, "u"); in == all && err != nil || in != all && fault.CodeOf(err) != fault.NotFound {
			failed = append(failed, err)
		}
		note(s.Tasks(ctx, in, lifecycle.Filter{}, lifecycle.Page{Size: 1, Count: true}))
		note(s.CountOpen(ctx, in, lifecycle.Filter{}))
		note(s.Open(ctx, in, lifecycle.Filter{}, lifecycle.Cursor{}, 1))
		note(s.Brought(ctx, in, "f"))
		note(s.Files(ctx, in, files.Cursor{}, 1))
		note(s.Files(ctx, in, files.Cursor{CreatedAt: 1, ID: "f"}, 1))
		if _, err := s.FileOf(ctx, in, "unknown"); fault.CodeOf(err) != fault.NotFound {
			failed = append(failed, err)
		}
	}
	note(s.Events(ctx, "o", "u", 0, 1))
	note(s.Turns(ctx, "o", "u", 0, 1000))
	note(s.Steps(ctx, "o", "u", 1, 0, 1000))
	note(s.Outputs(ctx, "o", "u", 0, 0, 1000))
	note(s.Outputs(ctx, "o", "u", 1, 0, 1000))
	note(s.Output(ctx, "o", "u", 0, "a"))
	note(s.Output(ctx, "o", "u", 1, "a"))
	note(s.Given(ctx, "o", "u", 1, 0, 1000))
	note(s.ApprovalsOf(ctx, "o", "u", 1, 0, 1000))
	note(s.ApprovalsSince(ctx, "o", "u", 1, 1000))
	for _, in := range []auth.Scope{auth.All("o"), {Organization: "o", Owner: "key:k"}, {Organization: "o", Group: "g"}} {
		for _, state := range []task.ApprovalState{"", task.ApprovalOpen} {
			note(s.Approvals(ctx, in, state, lifecycle.Cursor{}, 10))
			note(s.Approvals(ctx, in, state, lifecycle.Cursor{CreatedAt: 1, ID: "x"}, 10))
		}
		_, _ = s.Approval(ctx, in, "asked") // there is none, and it is looked for
	}
	note(s.SubTasks(ctx, "o", "u", 1, 1))
	note(s.Unfinished(ctx, "o", 1))
	note(s.Unpacked(ctx, "o", 1))
	note(s.Capped(ctx, "o"))
	note(s.CappedBy(ctx, "o", "agent day a", "", 1))
	note(s.Used(ctx, "o", task.Spender{Of: task.CapAgent, ID: "a"}, 1, 2))
	note(s.Spenders(ctx, "o", "", 1, 2, task.Spender{}, 1))
	note(s.Spenders(ctx, "o", task.CapAgent, 1, 2, task.Spender{}, 1))
	note(s.Caps(ctx, "o", task.Spender{Of: task.CapKey, ID: "k"}))
	note(s.Caps(ctx, "o", task.Spender{Of: task.CapAgent, ID: "a"}))
	for _, in := range []auth.Scope{auth.All("o"), {Organization: "o", Owner: "x"}} {
		note(s.Stats(ctx, in, stats.Query{By: stats.ByStep, From: 1, To: 2, Step: 1, Span: 1}))
		note(s.Stats(ctx, in, stats.Query{By: stats.ByAgent, Agent: "a", From: 1, To: 2, Step: 1, Span: 1}))
	}
	note(s.Waiting(ctx, "o", "u"))
	note(s.Fronts(ctx, "o", []lifecycle.Lane{{Agent: "a"}, {Agent: "a", Pin: "w"}}, 1))
	note(s.QueuedAgents(ctx, "o"))
	note(s.Due(ctx, "o", 2, 1, 1))
	note(s.Dues(ctx, 2, 1))
	note(s.Ahead(ctx, "o", 1))
	note(s.Agents(ctx, "o", "", 100))
	note(s.AgentVersions(ctx, "o", "a", 0, 100))
	for _, version := range []int{0, 1} { // likewise
		if _, err := s.Agent(ctx, "o", "a", version); fault.CodeOf(err) != fault.NotFound {
			failed = append(failed, err)
		}
	}
	note(s.Organizations(ctx))
	note(s.Secret(ctx, "o", lifecycle.OfTask, "t"))
	note(s.SiblingsOf(ctx, "o", "w"))
	note(s.Keys(ctx, "o", auth.Key{}, 100))
	note(s.KeyByHash(ctx, []byte{1}))
	note(s.File(ctx, "o", "f"))
	note(s.Piece(ctx, "f", 0))
	note(s.Feed(ctx, feed.Position{}, 1))
	note(s.FeedEnd(ctx))
	note(s.FeedBegin(ctx))
	note(s.Workers(ctx, "o", ""))
	note(s.Workers(ctx, "o", "a"))
	note(s.InHand(ctx, auth.All("o")))
	note(s.Lost(ctx, "o", 1))
	note(s.Nodes(ctx))
	note(s.FromOldest(ctx, "o", lifecycle.Cursor{CreatedAt: 1, ID: "t"}, 100, 10))
	note(s.Beginning(ctx, "o", "abcdef", 10))
	note(s.Matching(ctx, auth.All("o"), lifecycle.Filter{}, []string{"u"}))
	note(s.NextDeadline(ctx, auth.All("o"), lifecycle.Filter{}))
	note(s.Size(ctx))
	note(s.SearchPlace(ctx))
	note(s.UnindexedOf(ctx, "o", []string{"u"}))
	note(s.UnindexedBehind(ctx, "o", "t", 2))
	for _, in := range []auth.Scope{auth.All("o"), {Organization: "o", Owner: "u"}} {
		if _, _, err := s.Found(ctx, in, search.Query{Terms: [][]string{{"x"}}}, lifecycle.Filter{Agent: "a"}, 0, 3); err != nil {
			failed = append(failed, err)
		}
	}
	_, _, err := s.Counts(ctx, "o")
	return errors.Join(append(failed, err)...)
}
