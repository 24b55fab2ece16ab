package lifecycle_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
	"github.com/errand-dev/errand/server/internal/testkit/teststore"
)

func TestL1ClaimAssignsAndStartsInOneCommit(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.submit("t", nil)
	got := b.claim("w1", 5)
	if len(got) != 1 {
		t.Fatalf("L1: claimed %d", len(got))
	}
	c := got[0]
	run, s := c.Task.Run, c.Task.State()
	if c.Token == "" || run == nil || run.Number != 1 || run.LeaseUntil != task.StampOf(b.clock.Now().Add(lease)) {
		t.Errorf("L1: token %q, attempt %+v", c.Token, run)
	}
	if s.Status != task.Executing || s.StartedAt == 0 || text(s.WorkerID) != "w1" {
		t.Errorf("L1: claimed as %s by %s", s.Status, text(s.WorkerID))
	}
	if started := b.one("t", task.AttemptStarted); started["worker_id"] != "w1" {
		t.Errorf("L1: %v", started)
	}
}

func TestL1PythonDispatcherAssignsAndTheWorkerStarts(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.submit("t", nil)
	w := b.register()
	if got := b.assign(w); !slices.Equal(got, []string{"t"}) {
		t.Fatalf("L1: assigned %v", got)
	}
	if s := b.state("t"); s.Status != task.Pending || text(s.WorkerID) != w {
		t.Errorf("L1: assigned as %s to %s", s.Status, text(s.WorkerID))
	}
	snap, err := b.Get(b.ctx(), org, "t")
	b.must(err)
	why, err := b.WhyWaiting(b.ctx(), snap)
	b.must(err)
	if why == nil || why.Reason != "assigned" || why.WorkerID != w {
		t.Errorf("L1: waiting says %+v", why)
	}
	if len(b.claim("w1", 1)) != 0 || len(b.assign(b.register())) != 0 {
		t.Error("L1: an assigned task was handed out again")
	}
	b.patch("t", b.body("t", fields{"status": "executing"}))
	b.shows("t", task.Executing, "")
	b.one("t", task.AttemptStarted)
}

func TestL1StopOfAnAssignedTaskIsConfirmedAtOnce(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.submit("t", nil)
	b.assign(b.register())
	if after := b.stop("t"); after.Task.Stop.ConfirmedAt == 0 {
		t.Error("L1: the stop of an assigned task is not confirmed")
	}
	b.one("t", task.StopConfirmed)
}

func TestL1ClaimTakesOverAllAgentsAlike(t *testing.T) {
	t.Parallel()
	b := open(t)
	_, err := b.PutAgent(b.ctx(), org, "other", agent.Record{Name: "other", Lease: 90})
	b.must(err)
	for _, x := range []struct {
		id, agent, pin string
		priority       int
	}{
		{"oldest", bot, "", 0},
		{"urgent", "other", "", 5},
		{"second", "other", "w", 0},
		{"third", bot, "", 0},
		{"for-somebody-else", "other", "v", 9},
	} {
		b.submit(x.id, func(s *lifecycle.Submission) {
			s.Spec.AgentID, s.Priority = x.agent, x.priority
			if x.pin != "" {
				s.Spec.PinnedWorkerID = &x.pin
			}
		})
		b.clock.forward(time.Second)
	}
	claim := func(slots int) (ids []string) {
		got, err := b.Claim(b.ctx(), who(), lifecycle.ClaimRequest{Agents: []string{bot, "other", bot}, Worker: "w", Slots: slots})
		b.must(err)
		for _, c := range got {
			ids = append(ids, c.Task.ID)
			if long := c.Task.Run.Lease == 90*time.Second; long != (c.Task.AgentID == "other") {
				t.Errorf("L2: %s of agent %s has a lease of %s", c.Task.ID, c.Task.AgentID, c.Task.Run.Lease)
			}
		}
		return ids
	}
	if first, rest := claim(1), claim(9); !slices.Equal(first, []string{"urgent"}) || !slices.Equal(rest, []string{"oldest", "second", "third"}) {
		t.Errorf("L1: claimed %q, then %q", first, rest)
	}
}

func TestL1PinnedTaskGoesToItsWorkerOnly(t *testing.T) {
	t.Parallel()
	b := open(t)
	w1, w2 := b.register(), b.register()
	b.submit("t", func(s *lifecycle.Submission) { s.Spec.PinnedWorkerID = &w2 })
	if got := b.assign(w1); len(got) != 0 {
		t.Errorf("assigned %v to the wrong worker", got)
	}
	if got := b.assign(w2); !slices.Equal(got, []string{"t"}) {
		t.Errorf("assigned %v to the right one", got)
	}
}

func TestL2AnyWriteWithTheTokenRenews(t *testing.T) {
	t.Parallel()
	b := open(t)
	token := b.run("t", nil)
	writes := map[string]func(){
		"heartbeat": func() {
			beat, err := b.Heartbeat(b.ctx(), org, "t", token)
			b.must(err)
			if beat.Do != task.Continue || beat.Until != task.StampOf(b.clock.Now().Add(lease)) || beat.Lease != lease {
				t.Errorf("L2: %+v", beat)
			}
		},
		"append": func() {
			_, err := b.Append(b.ctx(), org, "t", token, chunks("x"))
			b.must(err)
		},
		"repeated append": func() {
			e := chunks("y")
			e[0].ClientID = "once"
			_, err := b.Append(b.ctx(), org, "t", token, e)
			b.must(err)
		},
		"progress":      func() { b.must(b.Progress(b.ctx(), org, "t", token, "on it")) },
		"same progress": func() { b.must(b.Progress(b.ctx(), org, "t", token, "on it")) },
	}
	for range 2 {
		for name, write := range writes {
			b.later(lease - time.Microsecond)
			write()
			b.later(lease - time.Microsecond)
			if s := b.state("t"); s.Status != task.Executing {
				t.Fatalf("L2: %s did not renew the lease", name)
			}
			write()
		}
	}
	b.later(lease)
	b.shows("t", task.Pending, "")
}

// lengths notes how long the writes are that go to a store.
type lengths struct {
	teststore.Store
	noted []int
}

func (l *lengths) Write(ctx context.Context, about []lifecycle.Key, fn func(lifecycle.Tx) error) error {
	l.noted = append(l.noted, lifecycle.LongRows(ctx))
	return l.Store.Write(ctx, about, fn)
}

// What stores do with that is theirs (TestLongWritesHoldUpEachOtherOnly).
func TestL2NoHeartbeatWaitsBehindEvents(t *testing.T) {
	t.Parallel()
	b := open(t)
	token := b.run("t", nil)
	noted := &lengths{Store: b.store}
	s := b.service(noted)
	_, err := s.Append(b.ctx(), who(), "t", token, []lifecycle.NewEvent{{Type: "chunk", Data: []byte(`"a"`)}, {Type: "think", Data: []byte(`"b"`)}})
	b.must(err)
	// Chunks that continue one another stand in one row.
	_, err = s.Append(b.ctx(), who(), "t", token, spoken(1, 1000))
	b.must(err)
	many := spoken(1001, 1000)
	for i := range many {
		many[i].ClientID = "x" + many[i].ClientID + "x"
	}
	_, err = s.Append(b.ctx(), who(), "t", token, many)
	b.must(err)
	_, err = s.Heartbeat(b.ctx(), org, "t", token)
	b.must(err)
	_, err = s.Finish(b.ctx(), org, "t", token, lifecycle.Outcome{Reason: task.EndCompleted})
	b.must(err)
	if want := []int{5, 66, 1065, 0, 0}; !slices.Equal(noted.noted, want) {
		t.Errorf("L2: writes of %v rows, want %v", noted.noted, want)
	}
}

func TestL2LeaseIsPerAgent(t *testing.T) {
	t.Parallel()
	b := open(t)
	_, err := b.PutAgent(b.ctx(), org, bot, agent.Record{Name: bot, Lease: 5})
	b.must(err)
	b.run("t", nil)
	b.later(5*time.Second - time.Microsecond)
	b.shows("t", task.Executing, "")
	b.later(time.Microsecond)
	b.shows("t", task.Pending, "")
}

func TestL2RenewLeasesGivesEachItsFullLength(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.run("t", nil)
	b.runPython("p", nil)
	b.clock.forward(time.Hour) // nobody could reach the server
	b.RenewLeases()
	b.later(lease - time.Microsecond)
	b.shows("t", task.Executing, "")
	b.shows("p", task.Executing, "")
	b.later(time.Microsecond)
	b.shows("t", task.Pending, "")
	b.shows("p", task.Error, task.EndWorkerLost)
}

func TestL3OneAttemptAtMostIsAccepted(t *testing.T) {
	t.Parallel()
	b := open(t)
	first := b.run("t", nil)
	b.later(lease)
	b.clock.forward(time.Minute)
	second := b.take("t")
	for name, token := range map[string]string{"superseded": first, "made up": "nonsense"} {
		_, err := b.Heartbeat(b.ctx(), org, "t", token)
		if fault.CodeOf(err) != fault.Conflict {
			t.Errorf("L3: heartbeat of a %s token: %v", name, err)
		}
		_, err = b.Append(b.ctx(), org, "t", token, chunks("x"))
		b.refused(err, fault.Conflict)
		b.refused(b.Progress(b.ctx(), org, "t", token, "x"), fault.Conflict)
		_, err = b.Release(b.ctx(), org, "t", token)
		b.refused(err, fault.Conflict)
		_, err = b.finish("t", token, task.EndCompleted, "mine")
		b.refused(err, fault.Conflict)
	}
	_, err := b.finish("t", "", task.EndCompleted, "no token")
	b.refused(err, fault.Invalid)
	if s := b.state("t"); s.Status != task.Executing || s.InternalStatus != nil || len(b.of("t", task.Chunk)) != 0 {
		t.Errorf("L3: a superseded attempt changed the task: %s", s.Status)
	}
	_, err = b.finish("t", second, task.EndCompleted, "done")
	b.must(err)
}

func TestL4LostBeforeItStartedIsRequeuedAndNotCounted(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.submit("t", nil)
	for i := range 5 {
		w := b.register()
		mine := b.body("t", nil)
		if got := b.assign(w); len(got) != 1 {
			t.Fatalf("L4: assigned %v in round %d", got, i)
		}
		mine["execution_attempts"] = b.state("t").ExecutionAttempts
		for range 5 { // it is alive all the time
			b.clock.forward(5 * time.Second)
			b.beat(w)
			b.later(0)
		}
		b.later(5 * time.Second)
		s := b.state("t")
		if s.Status != task.Pending || s.ExecutionAttempts != i+2 || s.WorkerID != nil {
			t.Fatalf("L4: after a lapse %s with number %d, worker %s", s.Status, s.ExecutionAttempts, text(s.WorkerID))
		}
		if got := b.assign(w); len(got) != 0 {
			t.Fatal("L4: a worker that let an assignment lapse got it again")
		}
		_, err := b.tryPatch("t", mine.with(fields{"status": "executing"}))
		b.refused(err, fault.Conflict)
	}
}

func TestL4HeldWorkerGetsWorkAgain(t *testing.T) {
	t.Parallel()
	t.Run("L4 once it lets go", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		w, stale := b.lapse()
		b.patch("t", stale.with(fields{"status": "error", "result": "[409] a later attempt owns this task"}))
		b.shows("t", task.Pending, "")
		if got := b.assign(w); !slices.Equal(got, []string{"t"}) {
			t.Errorf("L4: assigned %v", got)
		}
	})
	t.Run("L4 once it starts another", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		b.submit("u", nil)
		w := b.register()
		b.assign(w)
		b.clock.forward(20 * time.Second)
		b.submit("t", nil)
		b.assign(w)
		b.later(10 * time.Second) // u lapses, t does not
		b.submit("v", nil)
		if got := b.assign(w); len(got) != 0 {
			t.Fatalf("L4: a held worker got %v", got)
		}
		b.patch("t", b.body("t", fields{"status": "executing"}))
		if got := b.assign(w); len(got) == 0 {
			t.Error("L4: it started a task and gets nothing")
		}
	})
	t.Run("L4 once it reconnects, as a new worker", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		b.lapse()
		if got := b.assign(b.register()); !slices.Equal(got, []string{"t"}) {
			t.Errorf("L4: assigned %v", got)
		}
	})
}

func TestL4DisconnectRequeuesWhatWasNotStarted(t *testing.T) {
	t.Parallel()
	b := open(t)
	w := b.runPython("started", nil)
	b.submit("assigned", nil)
	b.assign(w)
	b.must(b.Disconnect(b.ctx(), org, bot, w))
	b.shows("started", task.Executing, "")
	if s := b.state("assigned"); s.Status != task.Pending || s.ExecutionAttempts != 2 || len(b.claim("w1", 1)) != 1 {
		t.Errorf("L4: after the disconnection %s, number %d", s.Status, s.ExecutionAttempts)
	}
}

func TestL4StartedAndLostIsRetriedWithBackoff(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.submit("t", nil)
	last := time.Duration(0)
	for i := range 3 {
		b.take("t")
		b.later(lease)
		lost := b.of("t", task.AttemptLost)
		if len(lost) != i+1 {
			t.Fatalf("L4: %d attempt_lost after %d losses", len(lost), i+1)
		}
		if i == 2 {
			break
		}
		b.shows("t", task.Pending, "")
		wait := b.get("t").ReadyAt.Sub(task.StampOf(b.clock.Now()))
		if wait <= last {
			t.Errorf("L4: waits %s after loss %d, before that %s", wait, i+1, last)
		}
		if last = wait; len(b.claim("w1", 1)) != 0 {
			t.Error("L4: retried without a backoff")
		}
		b.clock.forward(wait)
	}
	b.shows("t", task.Error, task.EndWorkerLost)
}

func TestL4MaxAttempts(t *testing.T) {
	t.Parallel()
	t.Run("L4 as the task says", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		b.end("t", task.EndWorkerLost) // max_attempts 1
		b.shows("t", task.Error, task.EndWorkerLost)
	})
	t.Run("L4 one for Python workers", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		b.runPython("t", nil)
		b.later(lease)
		b.shows("t", task.Error, task.EndWorkerLost)
	})
	t.Run("L4 more where the agent says retry_started", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		_, err := b.PutAgent(b.ctx(), org, bot, agent.Record{Name: bot, RetryStarted: true, MaxAttempts: 2})
		b.must(err)
		w := b.runPython("t", nil)
		mine := b.body("t", nil)
		b.later(lease)
		b.shows("t", task.Pending, "")
		b.clock.forward(time.Minute)
		_, err = b.tryPatch("t", mine.with(fields{"status": "executing"}))
		b.refused(err, fault.Conflict)
		b.beat(w)
		b.assign(w)
		b.patch("t", b.body("t", fields{"status": "executing"}))
		b.later(lease)
		b.shows("t", task.Error, task.EndWorkerLost)
	})
}

// This release: a Python worker's lease holds while its stream is open (then
// it speaks for it) or it was heard within one lease.
func TestL4PythonLeaseHoldsWhileItsWorkerIsHeard(t *testing.T) {
	t.Parallel()
	b := open(t)
	w := b.runPython("t", nil)
	for range 100 {
		b.clock.forward(lease - time.Second)
		b.beat(w)
		b.later(0)
	}
	b.shows("t", task.Executing, "")
	b.must(b.Disconnect(b.ctx(), org, bot, w))
	b.beat(w) // its stream is gone, its heartbeat is not
	b.later(lease - time.Microsecond)
	b.shows("t", task.Executing, "")
	b.beat(b.register()) // another's word counts for nothing
	b.later(time.Microsecond)
	b.shows("t", task.Error, task.EndWorkerLost)
}

func TestL8ExecutingWithoutAWorker(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*bench, func(*lifecycle.Submission)){
		"Tasks.update": func(b *bench, change func(*lifecycle.Submission)) {
			b.submit("t", change)
			b.patch("t", fields{"status": "executing"})
		},
		"run_locally": func(b *bench, change func(*lifecycle.Submission)) {
			b.submit("t", func(s *lifecycle.Submission) {
				s.Spec.RunLocally = true
				if change != nil {
					change(s)
				}
			})
			if len(b.claim("w1", 1)) != 0 || len(b.assign(b.register())) != 0 {
				b.t.Fatalf("L8: a task that runs locally was handed out")
			}
			b.patch("t", b.body("t", fields{"status": "executing"}))
		},
	} {
		t.Run("L8 never swept: "+name, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			start(b, nil)
			b.later(1000 * time.Hour)
			b.shows("t", task.Executing, "")
			b.patch("t", b.body("t", fields{"status": "completed", "result": "r"}))
			b.shows("t", task.Completed, task.EndCompleted)
		})
		t.Run("L8 only its timeout ends it: "+name, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			start(b, func(s *lifecycle.Submission) { s.Spec.Timeout = 3600 })
			b.later(time.Hour - time.Second)
			b.shows("t", task.Executing, "")
			b.later(time.Second)
			b.shows("t", task.Error, task.EndTimeout)
		})
	}
}

func TestL9AtMostSixOutstanding(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.fill("t", 20)
	w := b.register()
	first := b.assign(w)
	if len(first) != 6 || len(b.assign(w)) != 0 {
		t.Fatalf("L9: %d tasks at first, then more", len(first))
	}
	for i, id := range first {
		b.patch(id, b.body(id, fields{"status": "executing"}))
		if got := b.assign(w); len(got) != 0 {
			t.Fatalf("L9: more after start %d: %v", i, got)
		}
	}
	b.patch(first[0], b.body(first[0], fields{"status": "completed", "result": "r"}))
	b.patch(first[1], b.body(first[1], fields{"status": "error", "result": "r"}))
	if got := b.assign(w); len(got) != 2 {
		t.Errorf("L9: %d tasks after two ends", len(got))
	}
	if got := b.assign(b.register()); len(got) != 6 {
		t.Errorf("L9: another worker gets %d", len(got))
	}
}

func TestL9NothingWhileBusy(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.fill("t", 2)
	w := b.register()
	b.capacity(w, true)
	if got := b.assign(w); len(got) != 0 {
		t.Errorf("L9: a busy worker gets %v", got)
	}
	b.beat(w) // a plain heartbeat does not change that
	if got := b.assign(w); len(got) != 0 {
		t.Errorf("L9: a busy worker gets %v", got)
	}
	b.capacity(w, false)
	if got := b.assign(w); len(got) != 2 {
		t.Errorf("L9: gets %v when it is free again", got)
	}
}

// Rules L9 and L10: what a worker may still be running counts.
func TestL9CountsAttemptsUntilTheyLetGo(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.fill("t", 12)
	w := b.register()
	first := b.assign(w)
	for _, id := range first {
		b.patch(id, b.body(id, fields{"status": "executing"}))
		switch id {
		case first[0], first[1]:
			b.stop(id)
		case first[2]:
			b.patch(id, fields{"status": "completed", "result": "a person's"})
		}
	}
	if got := b.assign(w); len(got) != 0 {
		t.Fatalf("L9: %v while it still runs six handlers", got)
	}
	b.patch(first[0], b.body(first[0], fields{"status": "completed", "result": "late"}))
	b.one(first[0], task.StopConfirmed)
	b.patch(first[1], b.body(first[1], fields{"status": "error", "result": "[409] the task has ended"}))
	b.one(first[1], task.StopConfirmed)
	b.patch(first[2], b.body(first[2], fields{"status": "failed", "result": "late"}))
	if got := b.assign(w); len(got) != 3 {
		t.Errorf("L9: %d tasks after three handlers let go", len(got))
	}
}
