package crash

import (
	"database/sql"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestKillInTheMiddleOfMuch kills the server while it deletes a long task and while it
// stops a wide tree, both of which it does in many commits: each is finished after the
// start, or was never begun, and nothing else is touched.
func TestKillInTheMiddleOfMuch(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := s.client()
	c.putWorkerAgent(t, loadAgent, 60)
	const children, appends, each = 400, 8, 1000
	caught := 0
	for round := range rounds(3, 20) {
		name := func(what string) string { return fmt.Sprintf("%s-%d", what, round) }
		for _, top := range []string{"stops", "stays", "goes"} {
			c.plant(t, name(top), children)
		}
		for _, long := range []string{"long", "other"} {
			c.talk(t, name(long), appends, each)
		}

		// dies makes a request, and kills the server when its first commit can be seen.
		dies := func(method, path string, begun func() bool) {
			t.Helper()
			answered := make(chan error, 1)
			go func() {
				_, err := s.client().call(t.Context(), method, path, nil)
				answered <- err
			}()
			for until := time.Now().Add(drainLimit); !begun(); { // without a rest: it may be over soon
				if time.Now().After(until) {
					t.Fatalf("%s %s has not begun", method, path)
				}
			}
			s.kill(t)
			if <-answered != nil {
				caught++
			}
			s.start(t)
		}
		has := func(id string, status int) func() bool {
			return func() bool {
				a, err := c.call(t.Context(), http.MethodGet, "/v1/tasks/"+id, nil)
				return err == nil && a.status == status
			}
		}
		dies(http.MethodDelete, "/v1/tasks/"+name("long"), has(name("long"), http.StatusNotFound))
		dies(http.MethodPost, "/v1/tasks/"+name("stops")+"/stop", func() bool { return c.task(t, name("stops")).ended() })
		dies(http.MethodDelete, "/v1/tasks/"+name("goes"), has(name("goes"), http.StatusNotFound))

		eventually(t, drainLimit, "the stop reaches all", func() bool { return c.below(t, name("stops"), "pending") == 0 })
		eventually(t, drainLimit, "the deletion reaches all", func() bool {
			return s.count(t, "SELECT COUNT(*) FROM events WHERE task = '"+name("long")+"'")+
				s.count(t, "SELECT COUNT(*) FROM tasks WHERE parent_id = '"+name("goes")+"'")+
				s.count(t, "SELECT COUNT(*) FROM graves") == 0
		})
		if n := c.below(t, name("stops"), "stopped"); n != children {
			t.Errorf("%d of %d sub-tasks are stopped", n, children)
		}
		if n := c.below(t, name("stays"), "pending"); n != children {
			t.Errorf("%d of %d sub-tasks of another task wait", n, children)
		}
		events, _ := c.mustLog(t, name("other"))
		said := 0
		for i, e := range events {
			if e.ID != int64(i+1) {
				t.Fatalf("event %d of another task has the number %d", i+1, e.ID)
			}
			if e.Type == "agent_message" {
				said++
			}
		}
		if said != appends*each {
			t.Errorf("%d of %d messages of another task are left", said, appends*each)
		}
		c.create(t, obj{"agent_id": loadAgent, "id": name("long"), "input": obj{"text": "again"}})
		if events, _ := c.mustLog(t, name("long")); len(events) != 1 {
			t.Errorf("the successor of a deleted task has %d events", len(events))
		}
		tolls.rounds.Add(1)
	}
	t.Logf("%d of what was begun was in the middle", caught)
	if caught == 0 {
		t.Error("the server was never killed in the middle")
	}
	s.quiet(t)
}

// plant makes a task with sub-tasks.
func (c *client) plant(t *testing.T, top string, children int) {
	t.Helper()
	c.create(t, obj{"agent_id": loadAgent, "id": top, "input": obj{"text": "top"}})
	tasks := make([]obj, children)
	for i := range tasks {
		tasks[i] = obj{"agent_id": loadAgent, "parent_execution": top, "input": obj{"text": "help"}}
	}
	c.must(t, http.StatusOK, http.MethodPost, "/v1/tasks/batch", obj{"all": true, "tasks": tasks})
}

// talk makes a task with a long log.
func (c *client) talk(t *testing.T, id string, appends, each int) {
	t.Helper()
	c.create(t, obj{"agent_id": loadAgent, "id": id, "input": obj{"text": "talk"}})
	body := `{"events": [` + strings.TrimSuffix(strings.Repeat(`{"type": "agent_message", "data": "a few words"},`, each), ",") + `]}`
	for range appends {
		c.must(t, http.StatusOK, http.MethodPost, "/v1/tasks/"+id+"/events", body)
	}
}

// below is how many sub-tasks of a task have a status.
func (c *client) below(t *testing.T, top, status string) int {
	t.Helper()
	var page struct {
		Total int `json:"total"`
	}
	c.must(t, http.StatusOK, http.MethodGet, "/v1/tasks?per_page=1&status="+status+"&parent_task_id="+top, nil).into(t, &page)
	return page.Total
}

// count is the one number that a question about what a running server has stored is
// answered.
func (s *server) count(t *testing.T, question string) (n int) {
	t.Helper()
	s.stored(t, func(db *sql.DB) error { return db.QueryRowContext(t.Context(), question).Scan(&n) })
	return n
}

// change changes what a server has stored, past it.
func (s *server) change(t *testing.T, statement string) {
	t.Helper()
	s.stored(t, func(db *sql.DB) error {
		_, err := db.ExecContext(t.Context(), statement)
		return err
	})
}

// stored opens what a server has stored, for one use: a test asks again and again, and the
// database of all tests takes only so many connections.
func (s *server) stored(t *testing.T, use func(*sql.DB) error) {
	t.Helper()
	driver, source := "pgx", s.database
	if source == "" {
		driver, source = "sqlite", "file:"+filepath.Join(s.data, "errand.db")+"?_pragma=busy_timeout(10000)"
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }() // each statement is a commit of its own
	if err := use(db); err != nil {
		t.Fatal(err)
	}
}
