package crash

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// TestKillWhileLogsArePacked kills the server while it lets the logs of turns that are
// over take less room, which it begins with at a start. Viewers who page meanwhile, and
// whoever reads a backup that was made meanwhile, see the same bytes.
func TestKillWhileLogsArePacked(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := s.client()
	c.putWorkerAgent(t, loadAgent, 60)
	const tasks, appends = 4, 120
	unpacked := func() int { return s.count(t, "SELECT COUNT(*) FROM tasks WHERE unpacked = 1") }
	caught := 0
	for round := range rounds(3, 20) {
		var ids []string
		for n := range tasks {
			ids = append(ids, fmt.Sprintf("talks-%d-%d", round, n))
			c.create(t, obj{"agent_id": loadAgent, "id": ids[n], "input": obj{"text": "talk"}})
		}
		var talkers sync.WaitGroup
		for range tasks {
			got := c.claim(t, loadAgent, "w")
			talkers.Go(func() { c.tell(t, got, appends, 1+round%3) })
		}
		talkers.Wait()
		if t.Failed() {
			return
		}
		before := map[string][]json.RawMessage{}
		for _, id := range ids {
			_, before[id] = c.mustLog(t, id)
		}
		look := func(c *client, when string) {
			t.Helper()
			for id, want := range before {
				if _, got := c.mustLog(t, id); !slices.EqualFunc(want, got, func(a, b json.RawMessage) bool { return string(a) == string(b) }) {
					t.Fatalf("%s: the log of %s has changed: %d events, %d before", when, id, len(got), len(want))
				}
			}
		}
		s.kill(t)
		s.start(t)                                                      // and it packs
		for until := time.Now().Add(drainLimit); unpacked() == tasks; { // without a rest: it is over soon
			if time.Now().After(until) {
				t.Fatal("no log is packed")
			}
		}
		s.kill(t)
		if left := unpacked(); left > 0 {
			caught++
		}
		s.start(t)
		look(c, "behind a kill")
		copied := filepath.Join(t.TempDir(), "copy")
		if s.database == "" {
			if said, code := backup(t, s.data, copied); code != 0 {
				t.Fatalf("backup: exit code %d, %s", code, said)
			}
		}
		look(c, "meanwhile")
		eventually(t, drainLimit, "all is packed", func() bool { return unpacked() == 0 })
		look(c, "packed")
		if s.database == "" {
			restored := prepareServer(t)
			restored.data = copied
			restored.start(t)
			look(restored.client(), "in the copy")
			restored.kill(t)
		}
		if rows, events := s.count(t, "SELECT COUNT(*) FROM events"), s.count(t, "SELECT SUM(last_seq) FROM tasks"); rows*5 > events {
			t.Errorf("%d events take %d rows", events, rows)
		}
		tolls.rounds.Add(1)
	}
	t.Logf("%d times in the middle", caught)
	s.quiet(t)
}

// tell tells chunks in so many requests, some of them twice, and ends the attempt.
func (c *client) tell(t *testing.T, got claimed, appends, each int) {
	t.Helper()
	path := "/v1/tasks/" + got.Task.ID
	post := func(what string, body obj) {
		body["lease_token"] = got.Lease.Token
		if a, err := c.call(t.Context(), http.MethodPost, path+what, body); err != nil || a.status != http.StatusOK {
			t.Errorf("%s: %s, %v", what, a, err)
		}
	}
	for n := range appends {
		var events []obj
		for i := range each {
			events = append(events, obj{"type": "chunk", "data": fmt.Sprintf("word %d é", n*each+i), "client_id": fmt.Sprintf("1-%d", n*each+i+1)})
		}
		post("/events", obj{"events": events})
		if n%10 == 0 {
			post("/events", obj{"events": events})
		}
	}
	post("/finish", obj{"status": "completed", "result": "told"})
}
