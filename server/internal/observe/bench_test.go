package observe

import (
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/task"
)

// BenchmarkCommitted is what the observer of commits adds to each task's life.
func BenchmarkCommitted(b *testing.B) {
	var changes []task.Change
	var t task.Task
	now := task.Stamp(1_000_000)
	do := func(c task.Command) {
		changed, err := task.Apply(t, c, now)
		if err != nil {
			b.Fatal(err)
		}
		t, now = changed.Task, now.Add(time.Millisecond)
		changes = append(changes, changed)
	}
	do(task.Begin{Spec: task.Spec{OrganizationID: "o", ID: "t", AgentID: "a", MaxAttempts: 2}})
	do(task.Claim{Worker: "w", TokenHash: "1", Lease: time.Minute})
	do(task.Finish{By: task.Writer{Fenced: true, Attempt: t.Run}, Reason: task.EndCompleted, Result: new("done")})
	var entries []feed.Entry
	for _, c := range changes {
		e, _ := feed.Of(c)
		entries = append(entries, e)
	}
	m := NewMetrics("v")
	b.ReportAllocs()
	for b.Loop() {
		m.Committed(entries)
	}
}
