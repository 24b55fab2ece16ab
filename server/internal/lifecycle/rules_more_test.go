package lifecycle_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// body makes the fields of a Python client's PATCH.
func body(t *testing.T, text string) map[string]json.RawMessage {
	t.Helper()
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &fields); err != nil {
		t.Fatal(err)
	}
	return fields
}

// X2: a worker that was told to stop may say that it has, whatever ended its
// turn; nothing is refused.
func TestX2AnyToldStopCanBeConfirmed(t *testing.T) {
	t.Parallel()
	b := open(t)
	token := b.run("a", func(s *lifecycle.Submission) { s.Spec.Timeout = 5 })
	b.clock.forward(6 * time.Second)
	if err := b.Sweep(b.ctx()); err != nil {
		t.Fatal(err)
	}
	beat, err := b.Heartbeat(b.ctx(), org, "a", token)
	b.must(err)
	if beat.Do != task.StopWork {
		t.Fatalf("told %q after the time-out", beat.Do)
	}
	before := b.get("a").LastSeq
	_, err = b.Finish(b.ctx(), org, "a", token, lifecycle.Outcome{Reason: task.EndStopped})
	b.must(err)
	if after := b.get("a"); after.LastSeq != before || after.Status() != task.Error {
		t.Fatalf("the confirmation changed the task: %s, %d events more", after.Status(), after.LastSeq-before)
	}
}

// S4: an echo and a stale body change nothing, a payload extension included.
func TestS4EchoExtendsNoPayload(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.submit("a", nil)
	b.assign(b.register())
	_, err := b.Stop(b.ctx(), who(), "a")
	b.must(err)
	_, err = b.Patch(b.ctx(), who(), "a", body(t,
		`{"id":"a","execution_attempts":1,"status":"error","result":"[409] x","tool_call_payload_extension":{"k":1}}`))
	b.must(err)
	if after := b.get("a"); after.State().PayloadExtension != nil {
		t.Fatalf("extended by an echo: %s", after.State().PayloadExtension)
	}
}

// S4: the exception for a late worker is for Python workers; a fenced one
// would have shown its token.
func TestS4LateWorkerIsNotFenced(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.run("a", func(s *lifecycle.Submission) { s.Spec.MaxAttempts = 1 })
	b.clock.forward(31 * time.Second)
	err := b.Sweep(b.ctx())
	b.must(err)
	b.shows("a", task.Error, task.EndWorkerLost)
	_, err = b.Patch(b.ctx(), who(), "a", body(t, `{"id":"a","execution_attempts":1,"status":"completed","result":"x"}`))
	b.must(err)
	b.shows("a", task.Error, task.EndWorkerLost)
}

// T6: a client_id names an event of a turn; the next turn may use it anew.
func TestT6ClientIDsAreOfATurn(t *testing.T) {
	t.Parallel()
	b := open(t)
	events := []lifecycle.NewEvent{{Type: "think", Data: json.RawMessage(`{}`), ClientID: "1"}}
	var seqs [2]int64
	for turn := range seqs {
		token := b.run("a", nil)
		got, err := b.Append(b.ctx(), org, "a", token, events)
		b.must(err)
		seqs[turn] = got[0]
		_, err = b.finish("a", token, task.EndCompleted, "x")
		b.must(err)
	}
	if seqs[0] == seqs[1] {
		t.Fatalf("the second turn's event was taken for a repeat of %d", seqs[0])
	}
}

// Rule L5's 30 s hold for Python workers although their agent's leases are
// shorter: they are heard only every few seconds.
func TestL4ShortLeaseOfAPythonWorker(t *testing.T) {
	t.Parallel()
	b := open(t)
	_, err := b.PutAgent(b.ctx(), org, bot, agent.Record{Name: bot, Lease: 2})
	b.must(err)
	b.submit("a", nil)
	b.assign(b.register())
	_, err = b.Patch(b.ctx(), who(), "a", body(t, `{"id":"a","execution_attempts":1,"status":"executing"}`))
	b.must(err)
	b.clock.forward(20 * time.Second)
	err = b.Sweep(b.ctx())
	b.must(err)
	if s := b.get("a"); s.Status() != task.Executing {
		t.Fatalf("%s after 20 s of silence", s.Status())
	}
}

// A worker that executes does not claim meanwhile: it is busy, not absent. One
// that has finished and does not claim has gone.
func TestWaitingForABusyWorker(t *testing.T) {
	t.Parallel()
	b := open(t)
	token := b.run("a", nil)
	b.submit("b", nil)
	for range 10 {
		b.clock.forward(10 * time.Second)
		_, err := b.Heartbeat(b.ctx(), org, "a", token)
		b.must(err)
	}
	s, err := b.Get(b.ctx(), org, "b")
	b.must(err)
	why, err := b.WhyWaiting(b.ctx(), s)
	b.must(err)
	if why == nil || why.Reason != "workers_busy" {
		t.Fatalf("waiting for %+v", why)
	}
	_, err = b.finish("a", token, task.EndCompleted, "done")
	b.must(err)
	why, err = b.WhyWaiting(b.ctx(), s)
	b.must(err)
	if why == nil || why.Reason != "no_worker" || why.LastSeen == 0 {
		t.Fatalf("after it has finished and gone: waiting for %+v", why)
	}
}

// A worker at long work, which heartbeats and does not claim, is there also for
// a task that is pinned to it; once it lets go and stays away, it is not.
func TestWaitingForAPinnedWorkerThatIsBusy(t *testing.T) {
	t.Parallel()
	b := open(t)
	token := b.run("a", nil)
	a := b.get("a")
	worker := *a.State().WorkerID
	b.submit("b", func(s *lifecycle.Submission) { s.Spec.PinnedWorkerID = &worker })
	reason := func() string {
		s, err := b.Get(b.ctx(), org, "b")
		b.must(err)
		why, err := b.WhyWaiting(b.ctx(), s)
		b.must(err)
		return why.Reason
	}
	for range 10 {
		b.clock.forward(10 * time.Second)
		_, err := b.Heartbeat(b.ctx(), org, "a", token)
		b.must(err)
	}
	if got := reason(); got != "workers_busy" {
		t.Errorf("waiting for %s", got)
	}
	_, err := b.finish("a", token, task.EndCompleted, "done")
	b.must(err)
	if got := reason(); got != "pinned_worker_absent" {
		t.Errorf("after it has gone: waiting for %s", got)
	}
}

// A Python worker is there as long as its stream is open: nothing can be given
// to it afterwards, and it comes back under another id.
func TestWaitingForAPythonWorkerThatLeft(t *testing.T) {
	t.Parallel()
	b := open(t)
	w := b.registerFrom("host")
	b.beat(w)
	b.cut(w)
	b.submit("a", nil)
	b.submit("b", func(s *lifecycle.Submission) { s.Spec.PinnedWorkerID = &w })
	for id, want := range map[string]string{"a": "no_worker", "b": "pinned_worker_absent"} {
		s, err := b.Get(b.ctx(), org, id)
		b.must(err)
		why, err := b.WhyWaiting(b.ctx(), s)
		b.must(err)
		if why == nil || why.Reason != want {
			t.Errorf("%s task waits for %+v, want %s", id, why, want)
		}
	}
}
