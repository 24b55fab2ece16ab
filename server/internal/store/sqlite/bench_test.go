package sqlite

import (
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// benchmark measures op with 1, 8 and 64 callers; each op counts for so many
// in the rate that it reports.
func benchmark(b *testing.B, each int, prepare func(s *Store, n int), op func(s *Store, i int64) error) {
	b.Helper()
	for _, callers := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			s := open(b, b.TempDir())
			if prepare != nil {
				prepare(s, b.N)
			}
			var next atomic.Int64
			run := func(more func() bool) {
				for more() {
					if err := op(s, next.Add(1)); err != nil {
						b.Error(err)
						return
					}
				}
			}
			b.ResetTimer()
			if callers == 1 {
				left := b.N
				run(func() bool { left--; return left >= 0 })
			} else {
				b.SetParallelism(max(1, callers/runtime.GOMAXPROCS(0)))
				b.RunParallel(func(pb *testing.PB) { run(pb.Next) })
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N)*float64(each)/b.Elapsed().Seconds(), "per_s")
		})
	}
}

// fill creates n tasks in large commits.
func fill(b *testing.B, s *Store, n int) {
	b.Helper()
	const size = 1000
	for from := 0; from < n; from += size {
		if err := s.Write(b.Context(), nil, func(tx lifecycle.Tx) error {
			for i := from; i < min(from+size, n); i++ {
				if err := create(tx, fmt.Sprint("t-", i)); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCreate stores new tasks of about 1 KB.
func BenchmarkCreate(b *testing.B) {
	text := strings.Repeat("x", 500)
	benchmark(b, 1, nil, func(s *Store, i int64) error {
		return s.Write(b.Context(), nil, func(tx lifecycle.Tx) error {
			begin := task.Begin{Spec: task.Spec{OrganizationID: "o", ID: fmt.Sprint("t-", i), AgentID: "a", MaxAttempts: 3}}
			begin.Spec.Input.Text = &text
			c, err := task.Apply(task.Task{}, begin, tx.Now())
			if err != nil {
				return err
			}
			return tx.Save(c)
		})
	})
}

// BenchmarkClaimFinish hands out waiting tasks and ends them: two commits each.
func BenchmarkClaimFinish(b *testing.B) {
	result := "done"
	want := lifecycle.Want{Organization: "o", Agents: []string{"a"}, Worker: "w", Limit: 1}
	benchmark(b, 1, func(s *Store, n int) { fill(b, s, n) }, func(s *Store, _ int64) error {
		var run task.Attempt
		var id string
		if err := s.Write(b.Context(), nil, func(tx lifecycle.Tx) error {
			taken, err := tx.Take(want)
			if err != nil {
				return err
			}
			id = taken[0].Task.ID
			if err := apply(tx, id, task.Claim{Worker: "w", TokenHash: "h", Lease: 30 * time.Second}); err != nil {
				return err
			}
			t, err := tx.Task("o", id)
			if err == nil {
				run = *t.Run
			}
			return err
		}); err != nil {
			return err
		}
		return s.Write(b.Context(), nil, func(tx lifecycle.Tx) error {
			return apply(tx, id, task.Finish{
				By: task.Writer{Fenced: true, Attempt: &run}, Reason: task.EndCompleted, Result: &result,
			})
		})
	})
}

// BenchmarkAppend continues the logs of 1,000 tasks, in turn.
func BenchmarkAppend(b *testing.B) {
	const tasks = 1000
	own := []byte(`"` + strings.Repeat("x", 100) + `"`)
	for _, n := range []int{1, 20} {
		b.Run(fmt.Sprintf("events=%d", n), func(b *testing.B) {
			events := make([]task.Event, n)
			for i := range events {
				events[i] = task.Event{Type: task.AgentMessage, Own: own}
			}
			benchmark(b, n, func(s *Store, _ int) { fill(b, s, tasks) }, func(s *Store, i int64) error {
				return s.Write(b.Context(), nil, func(tx lifecycle.Tx) error {
					return apply(tx, fmt.Sprint("t-", i%tasks), task.Append{Events: events})
				})
			})
		})
	}
}
