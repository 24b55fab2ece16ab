package task_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/task"
)

// world drives one task through random commands and checks after each what
// must hold at any time.
type world struct {
	t        *rapid.T
	task     task.Task
	now      task.Stamp
	log      []task.Event
	attempts map[int]task.Attempt
	folded   task.State
	born     bool
	limits   task.Spec
	// executed and waited are how long the turn has executed, and was pending while
	// it might run.
	executed, waited time.Duration
}

// pass lets time pass.
func (w *world) pass(d time.Duration) {
	later := w.now.Add(d)
	if w.born && w.task.Ended() == "" {
		switch w.task.Status() { //nolint:exhaustive // no other time counts (S7)
		case task.Executing:
			w.executed += d
		case task.Pending:
			w.waited += max(later.Sub(max(w.now, w.task.State().RunAt)), 0)
		}
	}
	w.now = later
}

func (w *world) apply(c task.Command) error {
	before := w.task
	change, err := task.Apply(w.task, c, w.now)
	if diff := cmp.Diff(before, w.task, unexported()); diff != "" {
		w.t.Fatalf("%T changed its argument:\n%s", c, diff)
	}
	if err != nil {
		if _, ok := errors.AsType[*fault.Error](err); !ok {
			w.t.Fatalf("%T: %v is not an error for callers", c, err)
		}
		return err
	}
	w.checkMove(before, change, c)
	w.task = change.Task
	for _, a := range change.Attempts {
		w.attempts[a.Number] = a
	}
	for _, e := range change.Events {
		if want := int64(len(w.log) + 1); e.Seq != want {
			w.t.Fatalf("seq %d, want %d (T3: gapless)", e.Seq, want)
		}
		w.log = append(w.log, e)
		if e.Type == task.TaskCreated {
			w.folded = task.State{}
			w.born, w.executed, w.waited = true, 0, 0
			w.limits = task.Spec{}
			if err := json.Unmarshal(e.Kept, &w.limits); err != nil {
				w.t.Fatal(err)
			}
		}
		if e.Type.ChangesState() {
			if err := w.folded.Fold(e.Data()); err != nil {
				w.t.Fatalf("fold %s: %v", e.Data(), err)
			}
		}
	}
	w.check()
	return change.Refused
}

// checkMove: an ended turn never runs again (S1).
func (w *world) checkMove(before task.Task, change task.Change, c task.Command) {
	if before.Ended() == "" || !w.born {
		return
	}
	if _, next := c.(task.Begin); next {
		return
	}
	if change.Task.Ended() == "" {
		w.t.Fatalf("%T reopened a turn that had ended %s", c, before.Ended())
	}
	for _, e := range change.Events {
		switch e.Type { //nolint:exhaustive // these four may follow an end (T3)
		case task.StopConfirmed, task.StopAbandoned, task.LateWriteRefused, task.Override:
		default:
			w.t.Fatalf("%s after the end (T3)", e.Type)
		}
	}
}

func (w *world) check() {
	t := w.t
	if !w.born {
		return
	}
	if diff := cmp.Diff(w.folded, w.task.State(), asJSON()); diff != "" {
		t.Fatalf("the fold of the log differs from the task (T4):\n%s", diff)
	}
	if got, want := w.task.LastSeq, int64(len(w.log)); got != want {
		t.Fatalf("last seq %d, log has %d", got, want)
	}
	finished, created := 0, 0
	for _, e := range w.log[w.task.FirstSeq-1:] {
		switch e.Type { //nolint:exhaustive // only the frame of a turn is counted
		case task.TaskFinished:
			finished++
		case task.TaskCreated:
			created++
		}
	}
	if ended := w.task.Ended() != ""; created != 1 || finished > 1 || (finished == 1) != ended {
		t.Fatalf("turn has %d task_created, %d task_finished, ended %v (T3)", created, finished, ended)
	}
	w.checkTimes()
	live, attached := 0, 0
	refused := map[string]int{}
	for _, a := range w.attempts {
		if a.Attached() {
			attached++
			if (w.task.Run == nil || w.task.Run.Number != a.Number) && (w.task.Earlier == nil || w.task.Earlier.Number != a.Number) {
				t.Fatalf("attempt %d has not let go, and the task does not know it (T1b)", a.Number)
			}
		}
		if a.EndedAt == 0 {
			live++
			if w.task.Run == nil || w.task.Run.Number != a.Number {
				t.Fatalf("attempt %d is live but not current (L3)", a.Number)
			}
		}
	}
	if live > 1 {
		t.Fatalf("%d live attempts (L3)", live)
	}
	if attached > 1 {
		t.Fatalf("%d attempts that have not let go (L10)", attached)
	}
	for _, e := range w.log {
		if e.Type == task.LateWriteRefused {
			var d struct {
				N int         `json:"execution_attempt"`
				S task.Status `json:"refused_status"`
			}
			if err := json.Unmarshal(e.Own, &d); err != nil {
				t.Fatal(err)
			}
			kind := fmt.Sprintf("events of attempt %d", d.N)
			if d.S != "" {
				kind = fmt.Sprintf("ends of attempt %d", d.N)
			}
			if refused[kind]++; refused[kind] > 1 {
				t.Fatalf("two late_write_refused for %s (T6)", kind)
			}
		}
	}
	if w.task.Status() == task.Executing && w.task.Ended() == "" && w.task.Run.Live() && !w.task.Run.Started() {
		t.Fatal("executing with an attempt that has not started")
	}
	if w.task.Ended() == "" && !slices.Contains([]task.Status{task.Pending, task.Executing, task.Paused}, w.task.Status()) {
		t.Fatalf("status %s without an end", w.task.Status())
	}
}

// checkTimes: what a turn executes adds up over its attempts and pauses, and so does
// the time in which it waits and might run (S7).
func (w *world) checkTimes() {
	if w.task.Ended() != "" {
		return
	}
	limit := time.Duration(w.limits.Timeout) * time.Second
	switch status := w.task.Status(); {
	case limit == 0:
	case status == task.Executing:
		if left := w.task.TimeoutAt.Sub(w.now); max(left, 0) != max(limit-w.executed, 0) {
			w.t.Fatalf("executed for %s of %s, and ends in %s (S7)", w.executed, limit, left)
		}
	case min(w.task.Used, limit) != min(w.executed, limit) || w.task.TimeoutAt != 0:
		w.t.Fatalf("%s, executed for %s, counted as %s, ends at %s (S7)", status, w.executed, w.task.Used, w.task.TimeoutAt)
	}
	expires := time.Duration(w.limits.ExpiresIn) * time.Second
	if from := max(w.now, w.task.State().RunAt); expires != 0 && w.task.Status() == task.Pending && w.task.ExpiresAt.Sub(from) != expires-w.waited {
		w.t.Fatalf("waited for %s of %s, and expires in %s (S7)", w.waited, expires, w.task.ExpiresAt.Sub(from))
	}
}

func (w *world) writer(number int) task.Writer {
	a, ok := w.attempts[number]
	if !ok || !a.Fenced {
		return task.Writer{Fenced: true}
	}
	return task.Writer{Fenced: true, Attempt: &a}
}

// command draws anything that may happen to a task, sensible or not.
func (w *world) command() task.Command {
	t := w.t
	number := rapid.IntRange(0, w.task.State().ExecutionAttempts+1).Draw(t, "number")
	result := rapid.SampledFrom([]*string{nil, new("r1"), new("r2"), new("[409] no")}).Draw(t, "result")
	ends := []task.EndReason{task.EndCompleted, task.EndFailed, task.EndBudget, task.EndWorkerError}
	side := rapid.SampledFrom([]string{`{}`, `{"title":"a"}`, `{"title":null,"duration":2.5}`, `{"internal_status":"x","tokens":{"prompt_tokens":1,"completion_tokens":2}}`, `{"internal_status":"y","title":"b","tokens":{"prompt_tokens":9},"used_tools":["t"],"deep_planning":{"a":1}}`, `{"used_tools":["u"],"deep_planning":{"b":2}}`}).Draw(t, "side")
	switch rapid.IntRange(0, 15).Draw(t, "command") {
	case 0:
		return w.begin()
	case 1:
		return task.Assign{Worker: "py", Lease: 30 * time.Second, MayRetry: rapid.Bool().Draw(t, "retry")}
	case 2, 3:
		return task.Claim{Worker: "w", TokenHash: "h", Lease: 30 * time.Second}
	case 4:
		return task.Finish{By: w.writer(number), Reason: rapid.SampledFrom(append(ends, task.EndStopped)).Draw(t, "end"), Result: result, Side: json.RawMessage(side)}
	case 5:
		return task.Lose{Number: number, Over: rapid.Bool().Draw(t, "over"), Reason: "lease expired"}
	case 6:
		return task.Pause{By: "p"}
	case 7:
		return task.Resume{By: "p"}
	case 8:
		return task.RequestStop{By: "p"}
	case 9:
		return task.Tick{}
	case 10:
		return task.Settle{By: "p", Reason: rapid.SampledFrom(ends).Draw(t, "end"), Result: result, Correct: rapid.Bool().Draw(t, "correct"), Side: json.RawMessage(side)}
	case 11:
		return task.Append{By: w.writer(number), Events: []task.Event{{Type: task.Chunk, Own: json.RawMessage(`"c"`)}}}
	case 15:
		return task.Release{Reason: "r"}
	case 12:
		e := task.Edit{Who: "p", Side: json.RawMessage(side)}
		if rapid.Bool().Draw(t, "move") {
			e.RunAt = new(w.now.Add(time.Duration(rapid.IntRange(-60, 60).Draw(t, "run at")) * time.Second))
		}
		return e
	case 13:
		return task.Renew{By: w.writer(number)}
	default:
		p := task.Patch{
			Full: rapid.Bool().Draw(t, "full"), Number: number, Result: result, Side: json.RawMessage(side), By: "p",
			Status: rapid.SampledFrom(append(task.Statuses(), "")).Draw(t, "status"),
		}
		if a, ok := w.attempts[number]; ok {
			p.From = &a
		}
		return p
	}
}

// Rules S1, S3, T3, T4, T6 and L3: whatever happens in whatever order, the log
// is legal, gapless and folds to the task, and one attempt at most owns it.
func TestAnyHistoryIsLegal(t *testing.T) {
	t.Parallel()
	rapid.Check(t, anyHistoryIsLegal)
}

func anyHistoryIsLegal(t *rapid.T) {
	w := &world{t: t, now: 1_000_000, attempts: map[int]task.Attempt{}}
	if err := w.apply(w.begin()); err != nil {
		t.Fatal(err)
	}
	for range rapid.IntRange(1, 40).Draw(t, "steps") {
		w.pass(time.Duration(rapid.IntRange(0, 40).Draw(t, "seconds")) * time.Second)
		_ = w.apply(w.command()) // a refusal is an answer like any other
	}
}

func (w *world) begin() task.Begin {
	b := begin(rapid.Bool().Draw(w.t, "limits"))
	if rapid.IntRange(0, 3).Draw(w.t, "later") == 0 {
		b.RunAt = w.now.Add(50 * time.Second)
	}
	return b
}

func begin(limits bool) task.Begin {
	b := task.Begin{
		Spec:  task.Spec{OrganizationID: "o", ID: "t", AgentID: "a", MaxAttempts: 3},
		State: task.State{Source: "sdk"},
	}
	if limits {
		b.Spec.Timeout, b.Spec.ExpiresIn = 60, 90
	}
	return b
}

//go:fix inline

func unexported() cmp.Option { return cmp.AllowUnexported(task.Task{}) }

// asJSON compares raw JSON by what it says.
func asJSON() cmp.Option {
	return cmp.Transformer("JSON", func(raw json.RawMessage) any {
		var v any
		_ = json.Unmarshal(raw, &v)
		return v
	})
}
