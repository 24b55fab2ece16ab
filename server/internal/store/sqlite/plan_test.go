package sqlite

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// plan is how SQLite carries out a statement, a line for each step.
func plan(t *testing.T, s *Store, query string) []string {
	t.Helper()
	// Nothing is bound: the planner does not look at values.
	rows, err := s.read.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, slices.Repeat([]any{nil}, strings.Count(query, "?"))...)
	if err != nil {
		t.Fatal(err)
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
	if err := fn(s); err != nil {
		t.Fatal(err)
	}
	return s, slices.Concat(slices.Collect(maps.Keys(s.stmts.stmts)), slices.Collect(maps.Keys(s.w.stmts)))
}

// Each single filter of a list is one walk along an index, in the list's own
// order: whole, from a cursor, and when it is counted.
func TestListFiltersUseAnIndex(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		filter lifecycle.Filter
		index  string
	}{
		"none":     {lifecycle.Filter{}, "tasks_created (org=?"},
		"agent":    {lifecycle.Filter{Agent: "x"}, "tasks_agent (org=? AND agent_id=?"},
		"user":     {lifecycle.Filter{User: "x"}, "tasks_user (org=? AND user_id=?"},
		"parent":   {lifecycle.Filter{Parent: "x"}, "tasks_parent (org=? AND parent_id=?"},
		"trigger":  {lifecycle.Filter{Trigger: "x"}, "tasks_trigger (org=? AND triggering_agent_id=?"},
		"status":   {lifecycle.Filter{Status: task.Failed}, "tasks_status (org=? AND status=?"},
		"internal": {lifecycle.Filter{InternalStatus: "x"}, "tasks_note (org=? AND internal_status=?"},
		"from":     {lifecycle.Filter{From: 1}, "tasks_created (org=? AND created_at>?"},
		"to":       {lifecycle.Filter{To: 1}, "tasks_created (org=? AND created_at<?"},
		"from, to": {lifecycle.Filter{From: 1, To: 2}, "tasks_created (org=? AND created_at>? AND created_at<?"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, queries := queriesOf(t, func(s *Store) error {
				_, err := s.Tasks(t.Context(), "o", c.filter, lifecycle.Page{Size: 50, Count: true})
				_, failed := s.Tasks(t.Context(), "o", c.filter, lifecycle.Page{Size: 50, Cursor: lifecycle.Cursor{CreatedAt: 5, ID: "t"}})
				_, uncounted := s.CountOpen(t.Context(), "o", c.filter)
				_, unopened := s.Open(t.Context(), "o", c.filter, lifecycle.Cursor{}, 50)
				_, lost := s.Open(t.Context(), "o", c.filter, lifecycle.Cursor{CreatedAt: 5, ID: "t"}, 50)
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
				if !strings.Contains(steps, index) || strings.Contains(steps, "SCAN t") || strings.Contains(steps, "TEMP B-TREE") {
					t.Errorf("%s\n%s\nwant a search by %s", q, steps, index)
				}
				if strings.Contains(q, "(t.created_at, t.id) <") && !strings.Contains(steps, "created_at<?") && !strings.Contains(steps, "(created_at,id)<") {
					t.Errorf("%s\n%s\nthe cursor is not part of the search", q, steps)
				}
			}
		})
	}
}

// No statement of the store walks a whole table or organization or sorts its
// rows, but for those that say why. (Without statistics SQLite takes the first
// column of a primary key for nearly unique and walks all of an organization:
// INDEXED BY tells it better.)
func TestNoStatementScans(t *testing.T) {
	t.Parallel()
	scans := []string{ // what may, with the beginning of the statement
		"SELECT agent_id, count(*), min(ready_at)",                          // Counts: the queue only
		"SELECT page_count * page_size",                                     // Size: two numbers
		"SELECT id FROM organizations",                                      // all of them
		"UPDATE attempts SET lease_until = CASE WHEN ended_at = 0 THEN ? +", // RenewAll: once after a start
		"UPDATE tasks SET (stop_until, alarm_at)",                           // likewise, along the alarms
		"UPDATE tasks SET (timeout_at, alarm_at)",                           // FollowClock: likewise
		"UPDATE tasks SET ready_at",                                         // likewise, along the queue
		"UPDATE workers SET connected = 0",                                  // DisconnectAll: once after a start
		"SELECT id FROM (",                                                  // Due: unites two searches
		"DELETE FROM workers WHERE org = ? AND connected = 0",               // Forget: all of them, now and then
		"DELETE FROM attempts WHERE org = ? AND reported = 0 AND assigned",  // likewise, along those that are untold
		"SELECT task, number, sent_after FROM attempts",                     // Untold: sorts the few of one worker
		selectAgent + "WHERE a.org = ? AND v.version = a.version ORDER BY",  // Agents: all of them
		selectKey + "org = ?",                                               // Keys: all of them, few
		"SELECT t.id, t.agent_id, t.org",                                    // Tasks: see the test above
		"SELECT count(*) FROM (SELECT 1 FROM tasks t",                       // likewise
		"SELECT t.created_at, t.id FROM tasks t",                            // Open: likewise
	}
	s, queries := queriesOf(t, everything)
	if len(queries) < 40 {
		t.Fatalf("%d statements only", len(queries))
	}
	for _, q := range queries {
		if slices.ContainsFunc(scans, func(p string) bool { return strings.HasPrefix(q, p) }) {
			continue
		}
		for _, step := range plan(t, s, q) {
			if strings.HasPrefix(step, "SCAN ") && step != "SCAN CONSTANT ROW" && !strings.Contains(step, "(subquery") || strings.Contains(step, "TEMP B-TREE") || strings.HasSuffix(step, "(org=?)") {
				t.Errorf("%s\n%s", q, step)
			}
		}
	}
}

// The queue and the deadlines are found by their own indexes, which hold
// nothing but what is waiting.
func TestQueueAndDeadlinesUseTheirIndexes(t *testing.T) {
	t.Parallel()
	s, queries := queriesOf(t, everything)
	for _, c := range []struct {
		begins string
		steps  []string
	}{
		{"SELECT priority FROM tasks", []string{"USING COVERING INDEX tasks_queue (org=? AND agent_id=? AND pin=? AND priority<?)"}},
		{"SELECT id, priority, ready_at FROM tasks", []string{"USING COVERING INDEX tasks_queue (org=? AND agent_id=? AND pin=? AND priority=? AND ready_at<?)"}},
		{"SELECT count(*) FROM (SELECT 1 FROM tasks INDEXED BY tasks_queue\n\t\tWHERE org = ? AND agent_id = ? AND queued", []string{"USING COVERING INDEX tasks_queue (org=? AND agent_id=?)"}},
		{"SELECT count(*) FROM (SELECT 1 FROM tasks INDEXED BY tasks_queue\n\t\tWHERE org = ? AND agent_id = ? AND pin", []string{"USING COVERING INDEX tasks_queue (org=? AND agent_id=? AND pin=? AND priority>?)"}},
		{"SELECT id FROM (", []string{"tasks_alarm (org=? AND alarm_at>? AND alarm_at<?)", "attempts_lease (org=? AND lease_until>? AND lease_until<?)"}},
		{"SELECT worker_id FROM attempts INDEXED BY", []string{"attempts_lease (org=? AND lease_until>?)"}},
		{"SELECT 1 FROM tasks INDEXED BY tasks_open", []string{"tasks_open (org=? AND agent_id=?)"}},
		{"SELECT count(*) FROM attempts ", []string{"attempts_worker (org=? AND worker_id=?)"}},
		{"SELECT task FROM attempts", []string{"attempts_worker (org=? AND worker_id=?)"}},
		{"UPDATE attempts INDEXED BY", []string{"attempts_worker (org=? AND worker_id=?)"}},
		{"DELETE FROM replays WHERE org = ? AND at <", []string{"replays_at (org=? AND at<?)"}},
		{"DELETE FROM replays INDEXED BY", []string{"replays_task (org=? AND task=?)"}},
		{"SELECT seq FROM events", []string{"events_client (org=? AND task=? AND turn=? AND client_id=?)"}},
		{"SELECT id FROM tasks WHERE org = ? AND parent_id", []string{"tasks_parent (org=? AND parent_id=?)"}},
	} {
		i := slices.IndexFunc(queries, func(q string) bool { return strings.HasPrefix(q, c.begins) })
		if i < 0 {
			t.Errorf("no statement begins with %q", c.begins)
			continue
		}
		steps := strings.Join(plan(t, s, queries[i]), "; ")
		for _, want := range c.steps {
			if !strings.Contains(steps, want) {
				t.Errorf("%s\n%s\nwant %s", queries[i], steps, want)
			}
		}
	}
}

// everything runs each statement of the task store once.
func everything(s *Store) error {
	ctx := context.Background()
	if err := s.PutOrganization(ctx, "o", "o"); err != nil {
		return err
	}
	err := s.Write(ctx, func(tx lifecycle.Tx) error {
		w := lifecycle.Want{Organization: "o", Agent: "a", Worker: "w", Limit: 1}
		failed := []error{
			create(tx, "t"), apply(tx, "t", task.Assign{Worker: "w"}), apply(tx, "t", task.Patch{Status: task.Completed, Result: new("r")}),
			apply(tx, "t", task.Settle{Reason: task.EndFailed, Result: new("s"), Correct: true}),
			create(tx, "u"), tx.RenewAll(), tx.FollowClock(1), tx.PutSecret("o", lifecycle.OfTask, "t", []byte{1}), tx.DeleteSecret("o", lifecycle.OfTask, "t"),
			tx.PutReplay("o", "r", "k", lifecycle.Replay{Hash: []byte{1}}), tx.Forget(1), tx.PutWorker(lifecycle.Worker{}),
			tx.RenewWorker("o", "w", 1), tx.DisconnectAll(1, 1), tx.PutRemnant("o", "t", task.Attempt{Number: 9}),
			tx.PutRemnant("o", "t", task.Attempt{Number: 9, Reported: true, LetGoAt: 1}),
		}
		note := func(_ any, err error) { failed = append(failed, err) }
		note(tx.Snapshot("o", "t"))
		note(tx.Untold("o", "w"))
		note(tx.Remnants("o", "t"))
		note(tx.NotePost("o", "w", "p"))
		note(tx.Kin(lifecycle.Worker{Organization: "o"}))
		note(tx.PythonWorker("o", "w"))
		note(tx.Attempt("o", "t", 1))
		note(tx.AttemptByToken("o", "t", "h"))
		note(tx.Children("o", "t"))
		note(tx.SeqOfClient("o", "t", 1, "c"))
		note(tx.Next(w))
		note(tx.Due("o", 1))
		note(tx.Replay("o", "r", "k"))
		note(tx.Worker("o", "a", "w"))
		note(tx.Outstanding("o", "w"))
		note(tx.Unstarted("o", "w"))
		note(tx.Queued("o", "a", 1))
		note(tx.HasOpenTask("o", "a"))
		failed = append(failed, tx.DeleteAgent("o", "a"))
		return errors.Join(append(failed, tx.Delete("o", "t"))...)
	})
	if err != nil {
		return err
	}
	var failed []error
	note := func(_ any, err error) { failed = append(failed, err) }
	note(s.Task(ctx, "o", "u"))
	note(s.Events(ctx, "o", "u", 0, 1))
	note(s.Tasks(ctx, "o", lifecycle.Filter{}, lifecycle.Page{Size: 1, Count: true}))
	note(s.CountOpen(ctx, "o", lifecycle.Filter{}))
	note(s.Open(ctx, "o", lifecycle.Filter{}, lifecycle.Cursor{}, 1))
	note(s.Agents(ctx, "o"))
	note(s.AgentVersions(ctx, "o", "a"))
	note(s.Keys(ctx, "o"))
	admin := auth.Key{Organization: "o", ID: "l", Hash: []byte{2}, Role: auth.Admin}
	failed = append(failed, s.PutKey(ctx, admin), s.PutKey(ctx, auth.Key{Organization: "o", ID: "k", Hash: []byte{1}, Role: auth.User}), s.RevokeKey(ctx, "o", "k"))
	note(s.KeyByHash(ctx, []byte{1}))
	note(s.Turns(ctx, "o", "u"))
	note(s.Secret(ctx, "o", lifecycle.OfTask, "t"))
	note(s.Waiting(ctx, "o", "u"))
	note(s.Ready(ctx, lifecycle.Want{Organization: "o", Agent: "a", Limit: 1}))
	for _, version := range []int{0, 1} { // there is none: only the statements count
		if _, err := s.Agent(ctx, "o", "a", version); fault.CodeOf(err) != fault.NotFound {
			failed = append(failed, err)
		}
	}
	note(s.Size(ctx))
	_, _, err = s.Counts(ctx, "o")
	return errors.Join(append(failed, err)...)
}
