package httpapi_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/errand-dev/errand/server/internal/testkit/teststore"
)

// commits is how many the server has made.
func (s *server) commits(t *testing.T) int {
	t.Helper()
	for line := range strings.Lines(string(s.do(t, call{method: "GET", path: "/metrics"}).body)) {
		if value, found := strings.CutPrefix(line, "errand_commit_batch_size_count "); found {
			n, err := strconv.Atoi(strings.TrimSpace(value))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("the server does not tell how many commits it has made")
	return 0
}

// besideCreators does something while others create tasks, and fails the test unless
// that took at least so many commits: in one, all others would have waited for it.
func (s *server) besideCreators(t *testing.T, least int, do func()) {
	t.Helper()
	over := make(chan struct{})
	var creators sync.WaitGroup
	for range 2 {
		creators.Go(func() {
			for range 200 {
				select {
				case <-over:
					return
				default:
				}
				if a := s.do(t, call{method: "POST", path: "/v1/tasks", body: `{"agent_id": "other", "input": {"text": "x"}}`}); a.status != 201 {
					t.Errorf("a create meanwhile: %d %s", a.status, a.body)
					return
				}
			}
		})
	}
	before := s.commits(t)
	do()
	made := s.commits(t) - before
	close(over)
	creators.Wait()
	if made < least {
		t.Errorf("it took %d commits with those of who created tasks meanwhile, want %d at least", made, least)
	}
}

// TestX1MuchIsStoppedAndDeletedInSteps: the log of a long task and a wide tree leave
// others room for their writes.
func TestX1MuchIsStoppedAndDeletedInSteps(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.agent(t, "other")
	const appends, children = 25, 1000
	s.task(t, "long")
	events := `"events": [` + strings.TrimSuffix(strings.Repeat(`{"type": "think", "data": "x"},`, 1000), ",") + `]}`
	token := s.claim(t)
	for range appends {
		s.must(t, 200, call{method: "POST", path: "/v1/tasks/long/events", body: `{"lease_token": "` + token + `", ` + events})
	}
	s.besideCreators(t, appends, func() { s.must(t, 204, call{method: "DELETE", path: "/v1/tasks/long"}) })
	s.gone(t, "/v1/tasks/long")

	s.task(t, "top")
	child := `{"agent_id": "agent-1", "parent_execution": "top", "input": {"text": "help"}},`
	s.batch(t, `{"tasks": [`+strings.TrimSuffix(strings.Repeat(child, children), ",")+`]}`)
	open := func() string {
		return fmt.Sprint(s.must(t, 200, call{method: "GET", path: "/v1/tasks?agent_id=agent-1&status=pending"})["total"])
	}
	if n := open(); n != strconv.Itoa(children+1) {
		t.Fatalf("%s wait", n)
	}
	s.besideCreators(t, children/50, func() { s.must(t, 200, call{method: "POST", path: "/v1/tasks/top/stop"}) })
	if n := open(); n != "0" {
		t.Errorf("%s of a stopped tree wait", n)
	}
}

// TestSpaceComesBack: what deleted tasks have taken is the disk's again, and what
// stays is whole.
func TestSpaceComesBack(t *testing.T) {
	t.Parallel()
	if teststore.OnPostgres() {
		t.Skip("the database gives space back by itself")
	}
	s := start(t)
	s.agent(t, "agent-1")
	const tasks = 12
	message := `{"type": "agent_message", "data": "` + strings.Repeat("x", 16<<10) + `"},`
	events := `{"events": [` + strings.TrimSuffix(strings.Repeat(message, 60), ",") + `]}`
	name := func(i int) string { return fmt.Sprint("task-", i) }
	for i := range tasks {
		s.task(t, name(i))
		s.must(t, 200, call{method: "POST", path: "/v1/tasks/" + name(i) + "/events", body: events})
	}
	size := func() int64 {
		info, err := os.Stat(filepath.Join(s.dir, "errand.db"))
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	for i := range tasks - 1 {
		s.must(t, 204, call{method: "DELETE", path: "/v1/tasks/" + name(i)})
	}
	s.again(t) // a server that starts looks at once, one that runs each minute
	s.eventually(t, "the database has not become smaller", func() bool { return size() < 4<<20 })
	if n := len(s.events(t, name(tasks-1))); n < 60 {
		t.Errorf("the task that stays has %d events", n)
	}
}
