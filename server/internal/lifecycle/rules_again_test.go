package lifecycle_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// T6: a refused end is always in the log, whatever events were refused before.
func TestT6RefusedEndIsNotLostBehindEvents(t *testing.T) {
	t.Parallel()
	b := open(t)
	token := b.run("a", func(s *lifecycle.Submission) { s.Spec.Timeout = 5 })
	b.clock.forward(6 * time.Second)
	err := b.Sweep(b.ctx())
	b.must(err)
	for _, by := range []string{"", token} { // a stranger, then the attempt itself
		_, err = b.Append(b.ctx(), org, "a", by, []lifecycle.NewEvent{{Type: "think", Data: json.RawMessage(`{}`)}})
		if err == nil {
			t.Fatal("an event after the end was accepted")
		}
	}
	for range 2 {
		if _, err = b.finish("a", token, task.EndCompleted, "precious"); err == nil {
			t.Fatal("an end after the end was accepted")
		}
	}
	events, err := b.Events(b.ctx(), org, "a", 0, 100)
	b.must(err)
	kept := 0
	for _, e := range events {
		var note struct {
			Result *string `json:"refused_result"`
		}
		if e.Type == task.LateWriteRefused && json.Unmarshal(e.Own, &note) == nil && note.Result != nil && *note.Result == "precious" {
			kept++
		}
	}
	if kept != 1 {
		t.Fatalf("the refused result is %d times in the log, want once", kept)
	}
}

// L4: giving an attempt back and pausing are no losses.
func TestL4GivingBackAndPausingAreNotCounted(t *testing.T) {
	t.Parallel()
	b := open(t)
	token := b.run("a", nil)
	for range 4 {
		for range 2 { // the first answer may have been lost
			_, err := b.Release(b.ctx(), org, "a", token)
			b.must(err)
		}
		token = b.take("a")
	}
	for range 4 {
		_, err := b.Pause(b.ctx(), who(), "a")
		b.must(err)
		_, err = b.Resume(b.ctx(), who(), "a")
		b.must(err)
		b.take("a")
	}
	b.clock.forward(31 * time.Second)
	err := b.Sweep(b.ctx())
	b.must(err)
	if s := b.get("a"); s.Status() != task.Pending {
		t.Fatalf("%s (%s) after the first loss", s.Status(), s.Ended())
	}
}

// L2, X2: the time in which no server could be reached does not count for the
// answer to a stop either.
func TestL2StopWaitsForAWorkerAfterARestart(t *testing.T) {
	t.Parallel()
	b := open(t)
	token := b.run("a", nil)
	_, err := b.Stop(b.ctx(), who(), "a")
	b.must(err)
	b.clock.forward(40 * time.Second)
	b.RenewLeases()
	err = b.Sweep(b.ctx())
	b.must(err)
	if stop := b.get("a").Stop; stop.AbandonedAt != 0 {
		t.Fatal("abandoned at the first sweep after the restart")
	}
	b.clock.forward(31 * time.Second)
	err = b.Sweep(b.ctx())
	b.must(err)
	if stop := b.get("a").Stop; stop.AbandonedAt == 0 {
		t.Fatal("not abandoned one lease later")
	}
	_ = token
}

// T6: a repeat is told by how the attempt ended its turn, not by how an
// override shows it since.
func TestT6RepeatedFinishAfterAnOverride(t *testing.T) {
	t.Parallel()
	b := open(t)
	token := b.run("a", nil)
	_, err := b.finish("a", token, task.EndCompleted, "x")
	b.must(err)
	status, result := task.Failed, "y"
	_, err = b.Update(b.ctx(), who(), "a", lifecycle.Edit{Status: &status, Result: &result, Override: true})
	b.must(err)
	before := b.get("a").LastSeq
	_, err = b.finish("a", token, task.EndCompleted, "x")
	b.must(err)
	if b.get("a").LastSeq != before {
		t.Fatal("the repeat was logged")
	}
	if _, err = b.finish("a", token, task.EndFailed, "y"); err == nil {
		t.Fatal("another end than its own was taken for a repeat")
	}
}
