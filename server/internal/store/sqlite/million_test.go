package sqlite

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// million is a store of so many tasks as the variable ERRAND_MILLION says: of ten
// agents, of which the first two have most, 1000 users, 20 workers and 50 tags, of all
// statuses, in an order of creation that has nothing to do with these.
func million(t *testing.T, tasks int) *Store {
	t.Helper()
	dir := t.TempDir()
	s := open(t, dir)
	ctx := t.Context()
	if err := s.PutOrganization(ctx, "o", "o"); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", dsn(filepath.Join(dir, DatabaseFile)))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // a statement that failed has failed the test
	conn, err := db.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // likewise
	for _, q := range []string{
		"BEGIN",
		fmt.Sprintf(`WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < %d),
			x (i, r, q, p) AS (SELECT i, abs(random() %% 1000), abs(random() %% 1000), abs(random() %% 1000) FROM n)
		INSERT INTO tasks (org, id, agent_id, created_at, updated_at, turn, first_seq, last_seq, parent_id, user_id, max_attempts, ended, ready_at, queued,
			status, end_reason, internal_status, triggering_agent_id, worker_id, attempt, execution_attempts, owner, grp, scoped, root_id, depth, asks, standing)
		SELECT 'o', printf('%%08x-%%06d', abs(random() %% 4294967296), i), CASE WHEN r < 500 THEN 'a0' WHEN r < 800 THEN 'a1' ELSE 'a' || (2 + r %% 8) END,
			1700000000000000 + i * 1000000, 0, 1, 1, 2, CASE WHEN q %% 5 = 0 THEN 'parent-' || (i / 100) ELSE '' END, CASE WHEN q < 700 THEN 'u' || q ELSE '' END, 3,
			CASE WHEN p < 30 THEN '' WHEN p < 830 THEN 'completed' WHEN p < 900 THEN 'failed' WHEN p < 950 THEN 'timeout' ELSE 'stopped' END, 0, 0,
			CASE WHEN p < 10 THEN 'pending' WHEN p < 20 THEN 'executing' WHEN p < 30 THEN 'paused' WHEN p < 830 THEN 'completed' WHEN p < 900 THEN 'failed' WHEN p < 950 THEN 'error' ELSE 'stopped' END,
			CASE WHEN p < 30 THEN '' WHEN p < 830 THEN 'completed' WHEN p < 900 THEN 'failed' WHEN p < 950 THEN 'timeout' ELSE 'stopped' END,
			CASE WHEN q %% 3 = 0 THEN 'note' ELSE NULL END, CASE WHEN r %% 4 = 0 THEN 'a1' ELSE NULL END, CASE WHEN p >= 10 THEN 'w' || (q %% 20) ELSE NULL END, 1, 1,
			'key:' || (r %% 7), 'g' || (q %% 3), 1, CASE WHEN q %% 5 = 0 THEN 'parent-' || (i / 100) ELSE '' END, CASE WHEN q %% 5 = 0 THEN 1 ELSE 0 END,
			CASE WHEN p >= 25 AND p < 30 THEN 1 ELSE 0 END, CASE WHEN p < 10 THEN 'queued' WHEN p < 20 THEN '' WHEN p < 25 THEN 'paused' WHEN p < 30 THEN 'person' ELSE '' END
		FROM x`, tasks-1),
		"INSERT INTO turns (org, task, n, spec, result, first_seq, last_seq) SELECT org, id, 1, '{\"input\":{\"text\":\"do it\"},\"tags\":[]}', 'done', 1, 2 FROM tasks",
		"INSERT INTO tags (org, tag, created_at, task) SELECT org, 't' || abs(random() % 50), created_at, id FROM tasks WHERE created_at % 3 = 0",
		"COMMIT",
	} {
		if _, err := conn.ExecContext(ctx, q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
	return s
}

// TestAnyTwoFilters measures a page of rows, and what is counted with it, for each two
// filters. ERRAND_MILLION=1000000 asks for it; it says what took longest.
func TestAnyTwoFilters(t *testing.T) { //nolint:paralleltest // it measures
	tasks := 0
	if _, err := fmt.Sscan(os.Getenv("ERRAND_MILLION"), &tasks); err != nil {
		t.Skip("ERRAND_MILLION says of how many tasks")
	}
	s := million(t, tasks)
	filters := map[string]func(*lifecycle.Filter, *auth.Scope){
		"agent-big": func(f *lifecycle.Filter, _ *auth.Scope) { f.Agent = "a0" },
		"agent":     func(f *lifecycle.Filter, _ *auth.Scope) { f.Agent = "a5" },
		"user":      func(f *lifecycle.Filter, _ *auth.Scope) { f.User = "u7" },
		"trigger":   func(f *lifecycle.Filter, _ *auth.Scope) { f.Trigger = "a1" },
		"pending":   func(f *lifecycle.Filter, _ *auth.Scope) { f.Status = lifecycle.Among(task.Pending) },
		"completed": func(f *lifecycle.Filter, _ *auth.Scope) { f.Status = lifecycle.Among(task.Completed) },
		"bad":       func(f *lifecycle.Filter, _ *auth.Scope) { f.Status = lifecycle.Among(task.Failed, task.Error) },
		"note":      func(f *lifecycle.Filter, _ *auth.Scope) { f.InternalStatus = "note" },
		"worker":    func(f *lifecycle.Filter, _ *auth.Scope) { f.Worker = "w3" },
		"timeout":   func(f *lifecycle.Filter, _ *auth.Scope) { f.EndReason = task.EndTimeout },
		"end-done":  func(f *lifecycle.Filter, _ *auth.Scope) { f.EndReason = task.EndCompleted },
		"parent":    func(f *lifecycle.Filter, _ *auth.Scope) { f.Parent = "parent-77" },
		"root":      func(f *lifecycle.Filter, _ *auth.Scope) { f.Root = "parent-77" },
		"roots":     func(f *lifecycle.Filter, _ *auth.Scope) { f.Roots = true },
		"tag":       func(f *lifecycle.Filter, _ *auth.Scope) { f.Tag = "t9" },
		"needs":     func(f *lifecycle.Filter, _ *auth.Scope) { f.Asks = true },
		"waiting":   func(f *lifecycle.Filter, _ *auth.Scope) { f.Stands = &lifecycle.Stands{As: []task.Standing{"paused"}} },
		"queue": func(f *lifecycle.Filter, _ *auth.Scope) {
			f.Stands = &lifecycle.Stands{As: []task.Standing{"queued", "retry"}, From: s.Now()}
		},
		"since": func(f *lifecycle.Filter, _ *auth.Scope) {
			f.From = task.Stamp(1700000000000000 + int64(tasks/2)*1000000)
		},
		"old": func(f *lifecycle.Filter, _ *auth.Scope) {
			f.To = task.Stamp(1700000000000000 + int64(tasks/10)*1000000)
		},
		"own":   func(_ *lifecycle.Filter, in *auth.Scope) { in.Owner = "key:3" },
		"group": func(_ *lifecycle.Filter, in *auth.Scope) { in.Group = "g1" },
	}
	names := make([]string, 0, len(filters))
	for name := range filters {
		names = append(names, name)
	}
	slices.Sort(names)
	type took struct {
		of          string
		page, count time.Duration
		rows, total int
	}
	var all []took
	for i, a := range names {
		for _, b := range names[i:] {
			f, in := lifecycle.Filter{}, auth.All("o")
			filters[a](&f, &in)
			filters[b](&f, &in)
			one := took{of: a + " " + b, page: time.Hour, count: time.Hour}
			for range 3 { // the best of three: others have this machine, too
				begin := time.Now()
				l, err := s.Rows(t.Context(), in, f, lifecycle.Page{Size: 50})
				if err != nil {
					t.Fatal(err)
				}
				one.page = min(one.page, time.Since(begin))
				begin = time.Now()
				n, _, err := s.Count(t.Context(), in, f)
				if err != nil {
					t.Fatal(err)
				}
				one.count = min(one.count, time.Since(begin))
				one.rows, one.total = len(l.Items), n
			}
			all = append(all, one)
		}
	}
	slices.SortFunc(all, func(a, b took) int { return int(b.page + b.count - a.page - a.count) })
	for _, x := range all[:min(len(all), 40)] {
		t.Logf("%-24s page %8v (%2d rows) count %8v (%5d)", x.of, x.page.Round(10*time.Microsecond), x.rows, x.count.Round(10*time.Microsecond), x.total)
	}
}
