package crash

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	takeoverLease = 2 * time.Second
	// takeoverSlack is how much longer than a lease a takeover may take.
	takeoverSlack = 5 * time.Second
)

// TestTakeover kills a worker process in the middle of its task: another one
// gets the task in time, and the dead one's token is worth nothing any more.
func TestTakeover(t *testing.T) {
	t.Parallel()
	for name, serverToo := range map[string]bool{"Worker": false, "WorkerAndServer": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			c := s.client()
			c.putWorkerAgent(t, "relay", int(takeoverLease.Seconds()))
			made := c.create(t, obj{"agent_id": "relay", "input": obj{"text": "carry on"}})

			first, token := startHelper(t, s, "relay", "doomed")
			// It holds the task for longer than a lease: nobody else gets it.
			got, _, err := c.claims(t.Context(), "relay", "heir", (takeoverLease + 500*time.Millisecond).Seconds())
			if err != nil || len(got) != 0 {
				t.Fatalf("claim of a task that another worker holds: %v, %v", got, err)
			}
			first.kill(t)
			tolls.workers.Add(1)
			killed := time.Now()
			if serverToo {
				s.kill(t)
				s.start(t)
				killed = time.Now() // a lease counts the time in which the server is there
			}
			got, a, err := c.claims(t.Context(), "relay", "heir", (takeoverLease + takeoverSlack).Seconds())
			if err != nil || len(got) != 1 || got[0].Task.ID != made.ID {
				t.Fatalf("the task was not handed on within %v: %v, %s", takeoverLease+takeoverSlack, err, a)
			}
			t.Logf("handed on %v after the worker's end (lease %v)", time.Since(killed).Round(time.Millisecond), takeoverLease)
			heir := got[0]
			if heir.Lease.Attempt != 2 {
				t.Errorf("the heir's attempt is %d, not 2", heir.Lease.Attempt)
			}
			path := "/v1/tasks/" + made.ID
			refused := func(when string) {
				t.Helper()
				for _, write := range []struct {
					verb string
					body obj
				}{
					{"/events", obj{"lease_token": token, "events": []obj{{"type": "chunk", "data": "from the grave"}}}},
					{"/finish", obj{"lease_token": token, "status": "completed", "result": "from the grave"}},
					{"/heartbeat", obj{"lease_token": token}},
				} {
					a := c.must(t, http.StatusConflict, http.MethodPost, path+write.verb, write.body)
					if !strings.Contains(string(a.body), `"conflict"`) {
						t.Errorf("%s %s: %s", when, write.verb, a)
					}
				}
			}
			refused("while the heir works")
			c.must(t, http.StatusOK, http.MethodPost, path+"/events",
				obj{"lease_token": heir.Lease.Token, "events": []obj{{"type": "chunk", "data": "from the heir"}}})
			c.must(t, http.StatusOK, http.MethodPost, path+"/finish",
				obj{"lease_token": heir.Lease.Token, "status": "completed", "result": "done by the heir"})
			refused("after the end")

			now := c.task(t, made.ID)
			if now.Status != "completed" || now.Result == nil || *now.Result != "done by the heir" {
				t.Errorf("the task is %s with %v", now.Status, now.Result)
			}
			checkTakeoverLog(t, c, made.ID)
			s.quiet(t)
		})
	}
}

// checkTakeoverLog looks for the order of a takeover in the log.
func checkTakeoverLog(t *testing.T, c *client, id string) {
	t.Helper()
	events, _ := c.mustLog(t, id)
	var order []string
	for i, e := range events {
		if e.ID != int64(i+1) {
			t.Errorf("event %d has the id %d", i+1, e.ID)
		}
		if strings.Contains(string(e.Data), "from the grave") && e.Type != "late_write_refused" {
			t.Errorf("a dead worker's write is in the log: %s %s", e.Type, e.Data)
		}
		switch e.Type {
		case "attempt_started", "attempt_lost", "late_write_refused", "task_finished":
			var d struct {
				Worker string `json:"worker_id"`
			}
			if err := json.Unmarshal(e.Data, &d); err != nil {
				t.Fatal(err)
			}
			if e.Type == "task_finished" {
				d.Worker = ""
			}
			order = append(order, strings.TrimSpace(e.Type+" "+d.Worker))
		}
	}
	// Its late event is noted, and so is its late end, whose result must not
	// be lost; what it repeats after the turn's end is not.
	const want = "attempt_started doomed, attempt_lost doomed, attempt_started heir, " +
		"late_write_refused doomed, late_write_refused doomed, task_finished"
	if got := strings.Join(order, ", "); got != want {
		t.Errorf("the log tells\n  %s\nnot\n  %s", got, want)
	}
}

// startHelper starts a worker process and waits until it has a task and has
// worked on it. It returns the token of its lease.
func startHelper(t *testing.T, s *server, agent, worker string) (*process, string) {
	t.Helper()
	p, _, token := startHelperNoted(t, s, agent, worker)
	return p, token
}

// startHelperNoted also returns the file in which the process notes what it does.
func startHelperNoted(t *testing.T, s *server, agent, worker string) (p *process, notes, token string) {
	t.Helper()
	notes = filepath.Join(t.TempDir(), "helper.log")
	p = spawnHelper(t, "endless", notes, s.url(), agent, worker)
	eventually(t, 20*time.Second, "the worker process has begun", func() bool {
		text, err := os.ReadFile(notes)
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-p.exited:
			t.Fatalf("the worker process has ended: %s", text)
		default:
		}
		line, rest, found := strings.Cut(string(text), "\n")
		return found && strings.Contains(rest, "beat") && json.Unmarshal([]byte(line), &token) == nil
	})
	return p, notes, token
}
