package crash

import (
	"bytes"
	"net/http"
	"os"
	"syscall"
	"testing"
	"time"
)

// stop stops a process where it is, until goOn.
func (p *process) stop(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGSTOP)
	tolls.stops.Add(1)
}

func (p *process) goOn(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGCONT)
}

// TestServerStandsStill stops the server and a worker for longer than the
// worker's lease, as a machine does that is paused: a lease measures time in
// which a server can be reached (rule L2), so nobody has lost anything.
func TestServerStandsStill(t *testing.T) {
	t.Parallel()
	s := newServer(t, "--allow-private", "127.0.0.0/8")
	c := s.client()
	lease := int(takeoverLease.Seconds())
	c.putWorkerAgent(t, "relay", lease)
	c.must(t, http.StatusOK, http.MethodPut, "/v1/agents/reader", obj{"name": "r", "runtime": "profile", "lease_seconds": lease})
	relayed := c.create(t, obj{"agent_id": "relay", "input": obj{"text": "carry on"}})
	files := newTapped(t)
	read := profileTaskOf(t, c, "reader", files) // the server itself executes this one
	worker, notes, _ := startHelperNoted(t, s, "relay", "steady")

	s.proc.stop(t)
	worker.stop(t)
	await(2*takeoverLease + 500*time.Millisecond)
	s.proc.goOn(t)
	await(takeoverLease / 2) // the server looks for lost leases, the worker is not back yet
	worker.goOn(t)
	before := beats(t, notes)
	eventually(t, 10*time.Second, "the worker works on", func() bool { return beats(t, notes) > before+2 })
	close(files.finish)
	eventually(t, 10*time.Second, "the server's own work is done", func() bool { return c.task(t, read).ended() })
	for _, id := range []string{relayed.ID, read} {
		events, _ := c.mustLog(t, id)
		for _, e := range events {
			if e.Type == "attempt_lost" || e.Type == "late_write_refused" {
				t.Errorf("the log of %s has %s %s", id, e.Type, e.Data)
			}
		}
	}
	if now := c.task(t, read); now.Status != "completed" || now.Attempt != 1 {
		t.Errorf("the server's own work: %s in attempt %d", now.Status, now.Attempt)
	}
	s.quiet(t)
}

// beats counts how often a helper has renewed its lease.
func beats(t *testing.T, notes string) int {
	t.Helper()
	text, err := os.ReadFile(notes)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(text, []byte("beat\n"))
}

// TestWorkerStandsStill stops a worker for longer than its lease: another gets
// the task, and what the first one writes when it goes on is refused.
func TestWorkerStandsStill(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := s.client()
	c.putWorkerAgent(t, "relay", int(takeoverLease.Seconds()))
	made := c.create(t, obj{"agent_id": "relay", "input": obj{"text": "carry on"}})
	sleeper, _, _ := startHelperNoted(t, s, "relay", "sleeper")
	sleeper.stop(t)
	got, a, err := c.claims(t.Context(), "relay", "heir", (takeoverLease + takeoverSlack).Seconds())
	if err != nil || len(got) != 1 || got[0].Task.ID != made.ID {
		t.Fatalf("the task was not handed on: %v, %s", err, a)
	}
	sleeper.goOn(t)
	if code := sleeper.ended(t, 10*time.Second); code != 1 {
		t.Errorf("the sleeper ended with %d: it was not told that it has lost its task", code)
	}
	c.must(t, http.StatusOK, http.MethodPost, "/v1/tasks/"+made.ID+"/finish",
		obj{"lease_token": got[0].Lease.Token, "status": "completed", "result": "by the heir"})
	events, _ := c.mustLog(t, made.ID)
	seen := false
	for _, e := range events {
		if seen && e.Type == "chunk" {
			tolls.late.Add(1)
			t.Errorf("a late write was accepted: %s", e.Data)
		}
		seen = seen || e.Type == "attempt_lost"
	}
	if now := c.task(t, made.ID); now.Result == nil || *now.Result != "by the heir" {
		t.Errorf("the task is %+v", now)
	}
	s.quiet(t)
}

// TestFreeze stops the server under load, for less and for more than a lease.
func TestFreeze(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	x := newStorm(t, s, s.url())
	for range rounds(1, 25) {
		if t.Failed() {
			break
		}
		still := x.between(100*time.Millisecond, 2*loadLease*time.Second)
		if x.round == 0 {
			still = loadLease*time.Second + still/4 // longer than a lease at least once
		}
		x.blow(t, func() {
			await(x.between(200*time.Millisecond, 500*time.Millisecond))
			if x.round%2 == 0 {
				x.herd.freeze(t, x.chance)
			}
			s.proc.stop(t)
			await(still)
			s.proc.goOn(t)
			x.herd.revive(t)
			await(300 * time.Millisecond)
		})
		checked := x.settle(t)
		t.Logf("round %d: stood still for %v; %v; %d tasks checked", x.round, still.Round(time.Millisecond), x.book.counts, checked)
	}
	x.end(t)
}
