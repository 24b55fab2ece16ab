package lifecycle_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// spoken are chunks with client_ids from one number on.
func spoken(from, n int) []lifecycle.NewEvent {
	events := make([]lifecycle.NewEvent, n)
	for i := range events {
		events[i] = lifecycle.NewEvent{Type: "chunk", Data: json.RawMessage(fmt.Sprintf(`"word %d"`, from+i)), ClientID: fmt.Sprintf("1-%d", from+i)}
	}
	return events
}

func (b *bench) packLogs() { b.t.Helper(); b.must(b.PackLogs(b.ctx())) }

// unpacked lists the logs that a next PackLogs would pack.
func (b *bench) unpacked() []string {
	b.t.Helper()
	ids, err := b.store.Unpacked(b.ctx(), org, 10)
	b.must(err)
	return ids
}

// D1: the log of a turn that is over is packed in place: events, numbers and
// client_ids are what they were, whatever comes after them.
func TestD1LogsArePackedInPlace(t *testing.T) {
	t.Parallel()
	b := open(t)
	token := b.run("t", nil)
	for from := 1; from <= 60; from += 3 {
		_, err := b.Append(b.ctx(), org, "t", token, spoken(from, 3))
		b.must(err)
	}
	if ids := b.unpacked(); len(ids) > 0 {
		t.Fatalf("the log of a turn that runs is to be packed: %v", ids)
	}
	_, err := b.finish("t", token, task.EndCompleted, "r")
	b.must(err)
	before := b.log("t")
	if ids := b.unpacked(); len(ids) != 1 {
		t.Fatalf("to be packed: %v", ids)
	}
	b.packLogs()
	if ids := b.unpacked(); len(ids) > 0 {
		t.Fatalf("still to be packed: %v", ids)
	}
	if d := cmp.Diff(before, b.log("t")); d != "" {
		t.Fatalf("the log has changed: %s", d)
	}
	b.unchanged("t", b.packLogs)

	// A repeat is answered the numbers of the first time; what is new comes too late.
	seqs, err := b.Append(b.ctx(), org, "t", token, spoken(20, 5))
	b.must(err)
	for i, seq := range seqs {
		if want := before[0].Seq + 3 + int64(i); b.log("t")[seq-1].ClientID != fmt.Sprintf("1-%d", 20+i) {
			t.Errorf("event %d of the repeat has the number %d (%d)", i, seq, want)
		}
	}
	_, err = b.Append(b.ctx(), org, "t", token, spoken(60, 2))
	b.refused(err, fault.Conflict)

	// The next turn goes on behind it, with its own client_ids.
	b.submit("t", nil)
	again := b.take("t")
	seqs, err = b.Append(b.ctx(), org, "t", again, spoken(1, 40))
	b.must(err)
	if last := b.log("t"); seqs[39] != last[len(last)-1].Seq {
		t.Errorf("the next turn's events have the numbers %v", seqs)
	}
	half, err := b.Append(b.ctx(), org, "t", again, spoken(21, 40))
	b.must(err)
	if half[0] != seqs[20] || half[19] != seqs[39] || half[20] != seqs[39]+1 {
		t.Errorf("a repeat with more is answered %v, behind %v", half, seqs)
	}
	_, err = b.finish("t", again, task.EndCompleted, "r")
	b.must(err)
	before = b.log("t")
	b.packLogs()
	if d := cmp.Diff(before, b.log("t")); d != "" {
		t.Fatalf("the log has changed: %s", d)
	}
}

// D1: a deleted task's log is not packed, and a Python worker's attempt that has not let
// go keeps it as it is.
func TestD1LogsAreNotPackedTooEarly(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.runPython("t", nil)
	_, err := b.Append(b.ctx(), org, "t", "", spoken(1, 40))
	b.must(err)
	b.stop("t")
	if ids := b.unpacked(); len(ids) > 0 {
		t.Fatalf("to be packed before its attempt has let go: %v", ids)
	}
	b.patch("t", b.body("t", fields{"status": "completed"}))
	if ids := b.unpacked(); len(ids) != 1 {
		t.Fatalf("not to be packed: %v", ids)
	}
	b.must(b.Delete(b.ctx(), who(), "t"))
	b.packLogs()
	if ids := b.unpacked(); len(ids) > 0 {
		t.Fatalf("to be packed: %v", ids)
	}
}

// D1: ended tasks go when the time has passed for which a rule keeps them, with all that
// is below them; nothing else does.
func TestD1Retention(t *testing.T) {
	t.Parallel()
	b := open(t)
	_, err := b.PutAgent(b.ctx(), org, "other", agent.Record{Name: "other"})
	b.must(err)
	rules, err := task.ParseRetention([]string{"2d", "failed=4d", "agent:other=never"})
	b.must(err)
	gone := func(want int, left ...string) {
		t.Helper()
		all := func() int {
			found, err := b.List(b.ctx(), org, lifecycle.Filter{}, lifecycle.Page{Number: 1, Size: 50, Count: true})
			b.must(err)
			return found.Total
		}
		before := all()
		b.must(b.Retain(b.ctx(), rules, func() bool { return false }))
		b.must(b.Retain(b.ctx(), rules, func() bool { return true }))
		if got := before - all(); got != want {
			t.Errorf("%d were deleted, want %d", got, want)
		}
		for _, id := range left {
			b.get(id)
		}
	}
	for _, id := range []string{"done", "broken", "again"} {
		token := b.run(id, nil)
		reason := map[bool]task.EndReason{true: task.EndFailed, false: task.EndCompleted}[id == "broken"]
		_, err := b.finish(id, token, reason, "r")
		b.must(err)
	}
	b.submit("kept", func(s *lifecycle.Submission) { s.Spec.AgentID = "other" })
	b.stop("kept")
	b.submit("runs", func(s *lifecycle.Submission) { s.Spec.RunLocally = true })
	token := b.run("parent", nil)
	b.submit("child", func(s *lifecycle.Submission) {
		s.Spec.ParentExecution, s.Spec.OnParentEnd, s.Spec.RunLocally = new("parent"), new(task.KeepOnParentEnd), true
	})
	_, err = b.finish("parent", token, task.EndCompleted, "r")
	b.must(err)
	all := []string{"done", "broken", "again", "kept", "runs", "parent", "child"}
	gone(0, all...)
	b.later(47 * time.Hour)
	gone(0, all...)
	token = b.run("again", nil) // a next turn, which ends later
	_, err = b.finish("again", token, task.EndCompleted, "r")
	b.must(err)
	b.later(2 * time.Hour)
	gone(1, "broken", "again", "kept", "runs", "parent", "child")
	_, err = b.Get(b.ctx(), org, "done")
	b.refused(err, fault.NotFound)
	b.stop("child")
	b.later(46 * time.Hour)
	gone(1, "broken", "kept", "runs", "parent", "child") // the child has ended too late
	b.later(2 * time.Hour)
	gone(3, "kept", "runs") // with the child
	for _, id := range []string{"parent", "child", "broken", "again"} {
		_, err = b.Get(b.ctx(), org, id)
		b.refused(err, fault.NotFound)
	}
	token = b.run("top", nil)
	b.submit("audit", func(s *lifecycle.Submission) { s.Spec.ParentExecution, s.Spec.AgentID = new("top"), "other" })
	_, err = b.finish("top", token, task.EndCompleted, "r")
	b.must(err)
	b.later(1000 * time.Hour)
	gone(0, "top", "audit") // which is kept for ever, and keeps the tree
	rules = nil
	gone(0, "kept")
}
