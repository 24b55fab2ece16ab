package lifecycle_test

import (
	"strings"
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// failing is an end by an error, to be tried again.
func failing(delay *time.Duration) lifecycle.Outcome {
	text := "503 from the model"
	return lifecycle.Outcome{Reason: task.EndWorkerError, Result: &text, Retry: true, Delay: delay}
}

func (b *bench) finishAs(token string, o lifecycle.Outcome) task.State {
	b.t.Helper()
	s, err := b.Finish(b.ctx(), org, "t", token, o)
	b.must(err)
	return s.Task.State()
}

func (b *bench) waits() *lifecycle.Waiting {
	b.t.Helper()
	w, err := b.WhyWaiting(b.ctx(), lifecycle.Snapshot{Task: b.get("t")})
	b.must(err)
	if w == nil {
		b.t.Fatalf("it waits for nothing")
	}
	return w
}

func TestL4AnErrorIsTriedAgainAsFarAsAttemptsGo(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.submit("t", nil)
	for i := range 3 {
		token := b.take("t")
		s := b.finishAs(token, failing(nil))
		if i == 2 {
			break
		}
		if s.Status != task.Pending || s.Result != nil {
			t.Fatalf("L4: after error %d %s, result %v", i+1, s.Status, s.Result)
		}
		b.finishAs(token, failing(nil)) // its answer was lost
		if w := b.waits(); w.Reason != "retry" || !strings.Contains(w.Message, "503 from the model") {
			t.Errorf("L4: waits for %s: %s", w.Reason, w.Message)
		}
		lost := b.of("t", task.AttemptLost)
		if len(lost) != i+1 || !strings.Contains(string(lost[i].Own), "503 from the model") {
			t.Errorf("L4: the log says %s", lost[len(lost)-1].Own)
		}
		_, err := b.Heartbeat(b.ctx(), org, "t", token)
		b.refused(err, fault.Conflict)
		b.clock.forward(b.get("t").ReadyAt.Sub(task.StampOf(b.clock.Now())))
	}
	b.shows("t", task.Error, task.EndWorkerError)
	if s := b.state("t"); text(s.Result) != "503 from the model" {
		t.Errorf("L4: result %q", text(s.Result))
	}
}

func TestL4ADelayIsKept(t *testing.T) {
	t.Parallel()
	hour := time.Hour
	for name, away := range map[string]func(*bench, string){
		"L4 of an error": func(b *bench, token string) { b.finishAs(token, failing(&hour)) },
		"L4 of a giving back": func(b *bench, token string) {
			_, err := b.GiveBack(b.ctx(), org, "t", token, lifecycle.GivenBack{Reason: "the model rests", Delay: hour})
			b.must(err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			away(b, b.run("t", nil))
			changed, err := task.Apply(b.get("t"), task.FollowClock{}, task.StampOf(b.clock.Now())) // as at a start
			b.must(err)
			if changed.Task.ReadyAt != b.get("t").ReadyAt {
				t.Errorf("L4: a start moved it from %s to %s", b.get("t").ReadyAt, changed.Task.ReadyAt)
			}
			b.clock.forward(hour - time.Second)
			if got := b.claim("w1", 1); len(got) != 0 {
				t.Fatal("L4: claimed before its time")
			}
			if w := b.waits(); w.Reason != "retry" || !strings.Contains(w.Message, "the model") {
				t.Errorf("L4: waits for %s: %s", w.Reason, w.Message)
			}
			b.clock.forward(time.Second)
			b.take("t")
		})
	}
}

func TestL4TwentyGivingsBackInARowEnd(t *testing.T) {
	t.Parallel()
	again := func(b *bench, times int) {
		for range times {
			_, err := b.Release(b.ctx(), org, "t", b.take("t"))
			b.must(err)
		}
	}
	t.Run("L4 in a row", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		b.submit("t", nil)
		again(b, task.MaxGivenBack-1)
		b.shows("t", task.Pending, "")
		again(b, 1)
		b.shows("t", task.Error, task.EndWorkerLost)
	})
	t.Run("L4 not with a step between", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		b.submit("t", nil)
		again(b, task.MaxGivenBack-1)
		token := b.take("t")
		_, err := b.Service.Append(b.ctx(), who(), "t", token, []lifecycle.NewEvent{{Type: string(task.StepDone), Data: []byte(`{}`)}})
		b.must(err)
		_, err = b.Release(b.ctx(), org, "t", token)
		b.must(err)
		again(b, task.MaxGivenBack-2)
		b.shows("t", task.Pending, "")
		again(b, 1)
		b.shows("t", task.Error, task.EndWorkerLost)
	})
}

func TestL4AnAgentMayRetryErrors(t *testing.T) {
	t.Parallel()
	const fails = "it broke"
	for _, c := range []struct {
		name   string
		record agent.Record
		python bool
		want   task.Status
	}{
		{"L4 a fenced worker's", agent.Record{RetryErrors: true}, false, task.Pending},
		{"L4 not unasked", agent.Record{}, false, task.Error},
		{"L4 a Python worker's", agent.Record{RetryErrors: true, RetryStarted: true}, true, task.Pending},
		{"L4 a Python worker's only with retry_started", agent.Record{RetryErrors: true}, true, task.Error},
		{"L4 a Python worker's not unasked", agent.Record{RetryStarted: true}, true, task.Error},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			c.record.Name = bot
			_, err := b.PutAgent(b.ctx(), org, bot, c.record)
			b.must(err)
			if c.python {
				b.runPython("t", nil)
				if s := b.patch("t", b.body("t", fields{"status": "error", "result": fails})); s.Status != task.Error {
					t.Errorf("L4: the worker is answered %s", s.Status)
				}
			} else {
				text := fails
				b.finishAs(b.run("t", nil), lifecycle.Outcome{Reason: task.EndWorkerError, Result: &text})
			}
			if got := b.state("t").Status; got != c.want {
				t.Errorf("L4: %s, want %s", got, c.want)
			}
		})
	}
	t.Run("L4 what is no error ends", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		_, err := b.PutAgent(b.ctx(), org, bot, agent.Record{Name: bot, RetryErrors: true})
		b.must(err)
		b.finishAs(b.run("t", nil), lifecycle.Outcome{Reason: task.EndFailed})
		b.shows("t", task.Failed, task.EndFailed)
	})
}
