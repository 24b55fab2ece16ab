package observe

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/task"
)

// history applies commands to a task, each a moment after the other, and has
// the changes counted.
type history struct {
	t    *testing.T
	m    *Metrics
	task task.Task
	now  task.Stamp
}

func begin(t *testing.T) *history {
	t.Helper()
	h := &history{t: t, m: NewMetrics("v"), now: 1_000_000}
	h.do(0, task.Begin{Spec: task.Spec{OrganizationID: "o", ID: "t", AgentID: "a", MaxAttempts: 2}})
	return h
}

func (h *history) do(later time.Duration, c task.Command) {
	h.t.Helper()
	h.now = h.now.Add(later)
	changed, err := task.Apply(h.task, c, h.now)
	if err != nil {
		h.t.Fatal(err)
	}
	h.task = changed.Task
	h.m.Committed([]feed.Entry{{Change: &changed}})
}

// want compares samples of /metrics.
func (h *history) want(samples ...string) {
	h.t.Helper()
	w := httptest.NewRecorder()
	h.m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(h.t.Context(), http.MethodGet, "/metrics", nil))
	for _, sample := range samples {
		if !strings.Contains(w.Body.String(), "\n"+sample+"\n") {
			h.t.Errorf("/metrics does not say: %s", sample)
		}
	}
}

func TestLostAttemptIsCountedOnce(t *testing.T) {
	t.Parallel()
	h := begin(t)
	h.do(2*time.Second, task.Claim{Worker: "w", TokenHash: "1", Lease: 30 * time.Second})
	first := *h.task.Run
	h.do(31*time.Second, task.Lose{Number: 1, Reason: "the lease ran out"})
	h.do(5*time.Second, task.Claim{Worker: "w", TokenHash: "2", Lease: 30 * time.Second})
	late := task.Writer{Fenced: true, Attempt: &first}
	h.do(0, task.Append{By: late, Events: []task.Event{{Type: task.Chunk, Own: []byte(`"x"`)}}})
	h.do(0, task.Finish{By: late, Reason: task.EndCompleted, Result: new("in vain")})
	second := *h.task.Run
	h.do(3*time.Second, task.Finish{By: task.Writer{Fenced: true, Attempt: &second}, Reason: task.EndCompleted, Result: new("done")})
	h.want(
		"errand_leases_expired_total 1",
		`errand_attempt_duration_seconds_sum{outcome="lost"} 31`,
		`errand_attempt_duration_seconds_count{outcome="lost"} 1`,
		`errand_attempt_duration_seconds_sum{outcome="finished"} 3`,
		`errand_attempt_duration_seconds_count{outcome="finished"} 1`,
		`errand_late_writes_refused_total{write="event"} 1`,
		`errand_late_writes_refused_total{write="end"} 1`,
		`errand_events_total{type="chunk"} 0`, // it was refused
		"errand_queue_wait_seconds_sum 2",     // of the first attempt alone
		"errand_queue_wait_seconds_count 1",
		`errand_tasks_finished_total{reason="completed",status="completed"} 1`,
	)
}

// An attempt that is told to stop ends when it answers, not when it was told.
func TestStoppedAttemptEndsWithItsAnswer(t *testing.T) {
	t.Parallel()
	h := begin(t)
	h.do(0, task.Claim{Worker: "w", TokenHash: "1", Lease: 30 * time.Second})
	run := *h.task.Run
	h.do(4*time.Second, task.RequestStop{By: "somebody"})
	h.want(`errand_attempt_duration_seconds_count{outcome="stopped"} 0`, `errand_tasks_finished_total{reason="stopped",status="stopped"} 1`)
	h.do(2*time.Second, task.Finish{By: task.Writer{Fenced: true, Attempt: &run}, Reason: task.EndStopped})
	h.want(`errand_attempt_duration_seconds_sum{outcome="stopped"} 6`, "errand_leases_expired_total 0")
	h.do(time.Second, task.Begin{Spec: task.Spec{OrganizationID: "o", ID: "t", AgentID: "a", MaxAttempts: 2}})
	h.want(`errand_attempt_duration_seconds_count{outcome="stopped"} 1`, `errand_tasks_created_total{turn="next"} 1`)
}
