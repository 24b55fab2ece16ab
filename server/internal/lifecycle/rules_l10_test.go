package lifecycle_test

import (
	"slices"
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// lingering ends a turn whose handler runs on, and starts the next one.
func lingering(t *testing.T) (b *bench, worker string, mine fields) {
	t.Helper()
	b = open(t)
	worker = b.registerFrom(host)
	b.worksOn(worker, "t")
	mine = b.body("t", nil)
	b.patch("t", fields{"status": "completed", "result": "a person's"})
	b.submit("t", nil)
	return b, worker, mine
}

func TestT1bNewTurnWaitsForTheOldAttempt(t *testing.T) {
	t.Parallel()
	b, w, _ := lingering(t)
	b.shows("t", task.Pending, "")
	other := b.registerFrom("elsewhere")
	if len(b.assign(w)) != 0 || len(b.assign(other)) != 0 || len(b.claim("w1", 1)) != 0 {
		t.Fatal("T1b: the new turn was handed out")
	}
	snap, err := b.Get(b.ctx(), org, "t")
	b.must(err)
	why, err := b.WhyWaiting(b.ctx(), snap)
	b.must(err)
	if why == nil || why.Reason != "earlier_attempt" || why.WorkerID != w {
		t.Errorf("T1b: waiting says %+v", why)
	}
}

// Until the old attempt lets go, a full body is taken for its, whatever number
// it shows: the client reloads before its last word.
func TestT1bFullBodiesOfTheOldAttempt(t *testing.T) {
	t.Parallel()
	for name, reloaded := range map[string]bool{"its own number": false, "reloaded": true} {
		t.Run("T1b "+name, func(t *testing.T) {
			t.Parallel()
			b, w, mine := lingering(t)
			if reloaded {
				mine = b.body("t", nil)
			}
			b.unchanged("t", func() {
				for _, status := range []string{"executing", "paused"} {
					_, err := b.tryPatch("t", mine.with(fields{"status": status, "title": "no"}))
					b.refused(err, fault.Conflict)
				}
				for _, status := range []string{"pending", "stopped"} {
					b.patch("t", mine.with(fields{"status": status, "title": "no"}))
				}
			})
			if got := b.assign(b.register()); len(got) != 0 {
				t.Fatalf("T1b: handed out %v", got)
			}
			b.patch("t", mine.with(fields{"status": "completed", "result": "old"}))
			b.shows("t", task.Pending, "")
			if refused := b.one("t", task.LateWriteRefused); refused["refused_result"] != "old" || refused["worker_id"] != w {
				t.Errorf("T1b: %v", refused)
			}
			if got := b.assign(w); !slices.Equal(got, []string{"t"}) {
				t.Errorf("T1b: the old attempt let go, and %v was assigned", got)
			}
			if s := b.state("t"); s.ExecutionAttempts != 2 || s.Result != nil {
				t.Errorf("T1b: number %d, result %s", s.ExecutionAttempts, text(s.Result))
			}
		})
	}
}

func TestT1bPushesAreDropped(t *testing.T) {
	t.Parallel()
	b, _, mine := lingering(t)
	_, err := b.Append(b.ctx(), org, "t", "", chunks("old"))
	b.refused(err, fault.Conflict) // R16 answers it 200
	if len(b.of("t", task.Chunk)) != 0 {
		t.Error("T1b: a push of the old attempt is in the new turn")
	}
	b.patch("t", mine.with(fields{"status": "error", "result": "[409] no"}))
	_, err = b.Append(b.ctx(), org, "t", "", said("new"))
	b.must(err)
}

func TestT1bSparseBodiesAreAPersons(t *testing.T) {
	t.Parallel()
	b, _, _ := lingering(t)
	b.patch("t", fields{"status": "completed", "result": "decided"})
	b.shows("t", task.Completed, task.EndCompleted)
	b.submit("t", nil) // a third turn waits for the same attempt
	if got := b.assign(b.register()); len(got) != 0 {
		t.Errorf("T1b: handed out %v", got)
	}
}

func TestL10WhenAnAttemptLetsGo(t *testing.T) {
	t.Parallel()
	for name, letGo := range map[string]func(b *bench, w string, mine fields){
		"by an end": func(b *bench, _ string, mine fields) {
			b.patch("t", mine.with(fields{"status": "failed", "result": "r"}))
		},
		"by the echo": func(b *bench, _ string, mine fields) {
			b.patch("t", mine.with(fields{"status": "error", "result": "[409] no"}))
		},
		"L5 gives it up":          func(b *bench, w string, _ fields) { b.cut(w); b.pass(31 * time.Second) },
		"L6 gives it up":          func(b *bench, w string, _ fields) { b.capacity(w, false) },
		"its time-out has passed": func(b *bench, w string, _ fields) { b.clock.forward(task.UnfencedTimeout); b.beat(w); b.later(0) },
	} {
		t.Run("L10 "+name, func(t *testing.T) {
			t.Parallel()
			b, w, mine := lingering(t)
			b.pass(2*time.Minute, w)
			other := b.register()
			if got := b.assign(other); len(got) != 0 {
				t.Fatalf("L10: handed out %v before", got)
			}
			letGo(b, w, mine)
			if got := b.assign(b.register()); !slices.Equal(got, []string{"t"}) {
				t.Errorf("L10: assigned %v", got)
			}
		})
	}
}

// An abandoned stop leaves the attempt where it is: it counts until it lets go.
func TestL10AbandonedStop(t *testing.T) {
	t.Parallel()
	b := open(t)
	w := b.register()
	b.worksOn(w, "t")
	b.stop("t")
	b.pass(time.Minute, w)
	b.one("t", task.StopAbandoned)
	b.submit("t", nil)
	if got := b.assign(w); len(got) != 0 {
		t.Fatalf("L10: handed out %v", got)
	}
	b.capacity(w, false)
	if got := b.assign(w); !slices.Equal(got, []string{"t"}) {
		t.Errorf("L10: assigned %v", got)
	}
}

func TestL10DeletedIDMustWait(t *testing.T) {
	t.Parallel()
	b := open(t)
	w := b.register()
	b.worksOn(w, "t")
	mine := b.body("t", fields{"status": "completed", "result": "r"})
	b.must(b.Delete(b.ctx(), who(), "t"))
	_, _, err := b.Submit(b.ctx(), who(), submission("t", nil))
	b.refused(err, fault.Conflict)
	_, _, err = b.ReportExternal(b.ctx(), who(), lifecycle.External{Agent: bot, ID: "t", Reason: task.EndCompleted})
	b.refused(err, fault.Conflict)
	_, err = b.tryPatch("t", mine)
	b.refused(err, fault.NotFound)
	b.submit("t", nil)
	b.shows("t", task.Pending, "")
}

// Given up, the old attempt frees the id; but its number is not used again, so
// that its late word is known to be its.
func TestL10DeletedAndGivenUp(t *testing.T) {
	t.Parallel()
	b := open(t)
	w := b.register()
	b.worksOn(w, "t")
	mine := b.body("t", nil)
	b.must(b.Delete(b.ctx(), who(), "t"))
	b.cut(w)
	b.pass(31 * time.Second)
	b.submit("t", nil)
	if n := b.state("t").ExecutionAttempts; n != 2 {
		t.Errorf("L10: the new task begins with number %d", n)
	}
	b.assign(b.register())
	_, err := b.tryPatch("t", mine.with(fields{"status": "executing"}))
	b.refused(err, fault.Conflict)
	b.patch("t", mine.with(fields{"status": "completed", "result": "old"}))
	b.shows("t", task.Pending, "")
}

// Nor does a paused attempt hold its slot for ever.
func TestL10PausedAttemptTimesOut(t *testing.T) {
	t.Parallel()
	b := open(t)
	w := b.runPython("t", func(s *lifecycle.Submission) { s.Spec.Timeout = 60 })
	_, err := b.Pause(b.ctx(), who(), "t")
	b.must(err)
	b.pass(59*time.Second, w)
	if !b.get("t").Run.Attached() {
		t.Error("L10: it let go before its time-out")
	}
	b.pass(2*time.Second, w)
	b.shows("t", task.Paused, "")
	if b.get("t").Run.Attached() {
		t.Error("L10: a paused attempt holds on after its time-out")
	}
}
