package task_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/task"
)

// t0 is a moment at which the tests begin.
const t0 = task.Stamp(1_000_000_000_000)

func at(d time.Duration) task.Stamp { return t0.Add(d) }

// follow applies commands to a new task, each at its moment.
func follow(t *testing.T, first task.Begin, steps ...any) task.Task {
	t.Helper()
	now := t0
	change, err := task.Apply(task.Task{}, first, now)
	for _, s := range steps {
		if err != nil {
			t.Fatal(err)
		}
		switch s := s.(type) {
		case time.Duration:
			now = at(s)
		case task.Command:
			change, err = task.Apply(change.Task, s, now)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return change.Task
}

func assign() task.Assign { return task.Assign{Worker: "py", Lease: 30 * time.Second} }

func start() task.Patch { return task.Patch{Full: true, Status: task.Executing, Number: 1} }

func claimed() task.Claim {
	return task.Claim{Worker: "w", TokenHash: "h", Lease: 30 * time.Second}
}

func overrule() task.Settle {
	return task.Settle{By: "p", Reason: task.EndFailed, Correct: true, FromPending: true}
}

// L2: a lease runs out at its end; after a time in which no server could be
// reached it has its full length again. One that has let go, or has none, does not
// run out; one that has ended is given up when it is to be, not later (L10).
func TestL2Lapsed(t *testing.T) {
	t.Parallel()
	live := task.Attempt{Number: 1, StartedAt: t0, Lease: 30 * time.Second, LeaseUntil: at(30 * time.Second)}
	ended, over, none := live, live, live
	ended.EndedAt, ended.GiveUpAt = at(5*time.Second), at(50*time.Second)
	over.LetGoAt = at(5 * time.Second)
	none.LeaseUntil = 0
	never := task.Stamp(0)
	for _, c := range []struct {
		name          string
		a             task.Attempt
		asOf, renewed task.Stamp
		want          bool
	}{
		{"just before", live, at(30*time.Second) - 1, never, false},
		{"at its end", live, at(30 * time.Second), never, true},
		{"an hour later", live, at(time.Hour), never, true},
		{"has let go", over, at(time.Hour), never, false},
		{"has none", none, at(time.Hour), never, false},
		{"after an older silence", live, at(30 * time.Second), at(-time.Hour), true},
		{"a silence that ended at its beginning", live, at(30 * time.Second), t0, true},
		{"a silence in the midst of it", live, at(40*time.Second) - 1, at(10 * time.Second), false},
		{"its full length after that", live, at(40 * time.Second), at(10 * time.Second), true},
		{"an hour's silence", live, at(time.Hour), at(time.Hour), false},
		{"its full length after that hour", live, at(time.Hour + 30*time.Second), at(time.Hour), true},
		{"ended, a silence in the midst of it", ended, at(40*time.Second) - 1, at(10 * time.Second), false},
		{"ended, when it is given up", ended, at(50 * time.Second), at(45 * time.Second), true},
		{"ended, just before", ended, at(50*time.Second) - 1, at(45 * time.Second), false},
		{"ended, an hour's silence", ended, at(time.Hour), at(time.Hour), true},
	} {
		if got := c.a.Lapsed(c.asOf, c.renewed); got != c.want {
			t.Errorf("%s: lapsed is %v", c.name, got)
		}
	}
	if (*task.Attempt)(nil).Lapsed(t0, 0) {
		t.Error("no attempt has lapsed")
	}
}

// L5: a sign of life extends the lease of what a Python worker has started, never
// shortens it, and never beyond the moment at which what has ended is given up.
func TestL5HeardUntil(t *testing.T) {
	t.Parallel()
	started := task.Attempt{Number: 1, StartedAt: t0, Lease: 30 * time.Second, LeaseUntil: at(30 * time.Second), GiveUpAt: at(time.Hour)}
	edit := func(f func(*task.Attempt)) task.Attempt {
		a := started
		f(&a)
		return a
	}
	for _, c := range []struct {
		name  string
		a     task.Attempt
		until task.Stamp
		want  task.Stamp
	}{
		{"extended", started, at(time.Minute), at(time.Minute)},
		{"not shortened", started, at(time.Second), at(30 * time.Second)},
		{"the same", started, at(30 * time.Second), at(30 * time.Second)},
		{"live, beyond its end", started, at(2 * time.Hour), at(2 * time.Hour)},
		{"ended, beyond its end", edit(func(a *task.Attempt) { a.EndedAt = t0 }), at(2 * time.Hour), at(time.Hour)},
		{"ended, before that", edit(func(a *task.Attempt) { a.EndedAt = t0 }), at(time.Minute), at(time.Minute)},
		{"not started", edit(func(a *task.Attempt) { a.StartedAt = 0 }), at(time.Minute), at(30 * time.Second)},
		{"has let go", edit(func(a *task.Attempt) { a.LetGoAt = t0 }), at(time.Minute), at(30 * time.Second)},
		{"without a lease", edit(func(a *task.Attempt) { a.LeaseUntil = 0 }), at(time.Minute), 0},
		{"fenced", edit(func(a *task.Attempt) { a.Fenced = true }), at(time.Minute), at(30 * time.Second)},
	} {
		want := c.a
		want.LeaseUntil = c.want
		if d := cmp.Diff(want, c.a.HeardUntil(c.until)); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, d)
		}
	}
}

// A sign of life reaches the attempt that it is of, whether it runs or holds the
// task over, and nothing is logged.
func TestL5Hear(t *testing.T) {
	t.Parallel()
	until := at(10 * time.Minute)
	run := follow(t, begin(false), assign(), start())
	overruled := follow(t, begin(false), assign(), start(), overrule(), begin(false))
	if overruled.Earlier == nil {
		t.Fatal("no attempt holds the task over")
	}
	for name, c := range map[string]struct {
		task  task.Task
		n     int
		heard bool
	}{
		"that runs":           {run, 1, true},
		"another":             {run, 2, false},
		"that holds it over":  {overruled, 1, true},
		"of a fenced worker":  {follow(t, begin(false), claimed()), 1, false},
		"that is not there":   {follow(t, begin(false)), 1, false},
		"that has not begun":  {follow(t, begin(false), assign()), 1, false},
		"whose turn is ended": {follow(t, begin(false), assign(), start(), overrule()), 1, true},
	} {
		change, err := task.Apply(c.task, task.Hear{Number: c.n, Until: until}, at(time.Second))
		if err != nil || len(change.Events) > 0 || change.Empty() == c.heard {
			t.Errorf("%s: %+v, %v", name, change, err)
			continue
		}
		if !c.heard {
			continue
		}
		a := change.Task.Run
		if change.Task.Earlier != nil {
			a = change.Task.Earlier
		}
		if a.LeaseUntil != until || len(change.Attempts) != 1 || change.Attempts[0] != *a {
			t.Errorf("%s: %+v", name, change)
		}
	}
}

// X2: the answer to a stop is awaited for one lease, and for one more after a time
// in which no server could be reached. Other deadlines do not wait.
func TestX2AnswerIsAwaitedAfterSilence(t *testing.T) {
	t.Parallel()
	stopped := follow(t, begin(false), claimed(), 10*time.Second, task.RequestStop{By: "p"})
	for _, c := range []struct {
		name         string
		now, renewed time.Duration
		given        bool
	}{
		{"just before", 40*time.Second - time.Microsecond, -time.Hour, false},
		{"after a lease", 40 * time.Second, -time.Hour, true},
		{"a silence in between", 40 * time.Second, 20 * time.Second, false},
		{"just before a lease after it", 50*time.Second - time.Microsecond, 20 * time.Second, false},
		{"a lease after it", 50 * time.Second, 20 * time.Second, true},
		{"a long silence", time.Hour, time.Hour, false},
		{"a lease after that", time.Hour + 30*time.Second, time.Hour, true},
	} {
		change, err := task.Apply(stopped, task.Tick{Renewed: at(c.renewed)}, at(c.now))
		if err != nil {
			t.Fatal(err)
		}
		if given := change.Task.Stop.AbandonedAt != 0; given != c.given || len(change.Events) > 0 != given {
			t.Errorf("%s: given up: %v", c.name, given)
		}
		if alarm := change.Task.Alarm(); alarm != 0 && alarm <= at(c.now) {
			t.Errorf("%s: it is due again at once", c.name)
		}
	}
	limits := begin(true) // 60 s for executing, 90 s until it expires
	for name, waits := range map[string]task.Task{
		"expires":   follow(t, limits),
		"times out": follow(t, limits, task.Patch{Status: task.Executing}),
	} {
		change, err := task.Apply(waits, task.Tick{Renewed: at(time.Hour)}, at(time.Hour))
		if err != nil || change.Task.Ended() == "" {
			t.Errorf("what %s goes on: %v", name, err)
		}
	}
}

// FollowClock keeps lengths, whichever way the clock has jumped.
func TestFollowClock(t *testing.T) {
	t.Parallel()
	const hour = time.Hour
	timed, limit := begin(false), 100*time.Second
	timed.Spec.Timeout = 100
	scheduled, early := begin(false), begin(false)
	scheduled.RunAt, early.RunAt = at(time.Minute), 1
	lost := task.Lose{Number: 1, Reason: "r"}
	for _, c := range []struct {
		name  string
		task  task.Task
		now   time.Duration // what the clock shows after the jump
		jump  time.Duration
		of    func(task.Task) task.Stamp
		want  time.Duration
		quiet bool // nothing changes
	}{
		{"time-out, forward", follow(t, timed, task.Patch{Status: task.Executing}), hour + 10*time.Second, hour, timeout, hour + limit, false},
		{"time-out, back", follow(t, timed, task.Patch{Status: task.Executing}), -hour, -hour, timeout, -hour + limit, false},
		{"time-out, unseen back", follow(t, timed, task.Patch{Status: task.Executing}), -hour, 0, timeout, -hour + limit, false},
		{"time-out, begun after the jump", follow(t, timed, hour, task.Patch{Status: task.Executing}), hour + time.Second, hour, timeout, hour + time.Second + limit, false},
		{"time-out, no jump", follow(t, timed, task.Patch{Status: task.Executing}), 10 * time.Second, 0, timeout, limit, true},
		{"time-out of a Python worker", follow(t, begin(false), assign(), start()), -hour, 0, timeout, -hour + task.UnfencedTimeout, false},
		{"no time-out", follow(t, begin(false), task.Patch{Status: task.Executing}), hour, hour, timeout, 0, true},
		{"waits, back", follow(t, begin(false)), -hour, -hour, ready, -hour, false},
		{"waits, unseen back", follow(t, begin(false)), -hour, 0, ready, -hour, false},
		{"waits, forward", follow(t, begin(false)), hour, hour, ready, 0, true},
		{"scheduled, back", follow(t, scheduled), -hour, -hour, ready, time.Minute, true},
		{"scheduled for long ago, back", follow(t, early), -hour, -hour, ready, -hour, false},
		{"first retry, back", follow(t, begin(false), claimed(), lost), -hour, -hour, ready, -hour + task.FirstBackoff, false},
		{"first retry, unseen back", follow(t, begin(false), claimed(), lost), -hour, 0, ready, -hour + task.FirstBackoff, false},
		{"second retry, unseen back", follow(t, begin(false), claimed(), lost, 2*time.Second, claimed(), task.Lose{Number: 2}), -hour, 0, ready, -hour + 2*task.FirstBackoff, false},
		{"retry, no jump", follow(t, begin(false), claimed(), lost), 0, 0, ready, task.FirstBackoff, true},
		{"lease, back", follow(t, begin(false), claimed()), -hour, -hour, lease, -hour + 30*time.Second, false},
		{"lease, forward", follow(t, begin(false), claimed()), hour, hour, lease, 30 * time.Second, true},
		{"lease of what has ended, back", follow(t, begin(false), assign(), start(), overrule()), -hour, 0, lease, -hour + 30*time.Second, false},
		{"lease of what has let go, back", follow(t, begin(false), claimed(), overrule()), -hour, 0, lease, 30 * time.Second, true},
		{"lease of what holds it over, back", follow(t, begin(false), assign(), start(), overrule(), begin(false)), -hour, 0, earlier, -hour + 30*time.Second, false},
		{"answer to a stop, back", follow(t, begin(false), claimed(), task.RequestStop{}), -hour, 0, awaited, -hour + 30*time.Second, false},
		{"answer to a stop, no jump", follow(t, begin(false), claimed(), task.RequestStop{}), 0, 0, awaited, 30 * time.Second, true},
	} {
		change, err := task.Apply(c.task, task.FollowClock{Jump: c.jump}, at(c.now))
		if err != nil || len(change.Events) > 0 {
			t.Errorf("%s: %+v, %v", c.name, change.Events, err)
		}
		want := at(c.want)
		if c.name == "no time-out" {
			want = 0
		}
		if got := c.of(change.Task); got != want {
			t.Errorf("%s: %s, want %s", c.name, got.Sub(t0), c.want)
		}
		if change.Empty() != c.quiet {
			t.Errorf("%s: changed: %v", c.name, !change.Empty())
		}
	}
}

func timeout(t task.Task) task.Stamp { return t.TimeoutAt }
func ready(t task.Task) task.Stamp   { return t.ReadyAt }
func lease(t task.Task) task.Stamp   { return t.Run.LeaseUntil }
func earlier(t task.Task) task.Stamp { return t.Earlier.LeaseUntil }
func awaited(t task.Task) task.Stamp { return t.Stop.Until }

// After any history a clock that has not jumped leaves everything as it is. After
// a jump nothing lies further ahead than its whole length, nothing else has
// changed, and to be told twice of a jump that nobody saw is as once.
func TestFollowClockAfterAnyHistory(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w := &world{t: rt, now: t0, attempts: map[int]task.Attempt{}}
		if err := w.apply(begin(rapid.Bool().Draw(rt, "limits"))); err != nil {
			rt.Fatal(err)
		}
		for range rapid.IntRange(0, 20).Draw(rt, "steps") {
			w.pass(time.Duration(rapid.IntRange(0, 40).Draw(rt, "seconds")) * time.Second)
			_ = w.apply(w.command())
		}
		same := func(what string, want, got task.Task) {
			if d := cmp.Diff(want, got, unexported()); d != "" {
				rt.Fatalf("%s (-want +got):\n%s", what, d)
			}
		}
		told := func(t task.Task, jump time.Duration, now task.Stamp) task.Task {
			change, err := task.Apply(t, task.FollowClock{Jump: jump}, now)
			if err != nil || len(change.Events) > 0 {
				rt.Fatalf("%v, %v", change.Events, err)
			}
			return change.Task
		}
		same("without a jump", w.task, told(w.task, 0, w.now))

		jump := time.Duration(rapid.IntRange(-7200, 7200).Draw(rt, "jump")) * time.Second
		now := w.now.Add(jump)
		seen, unseen := told(w.task, jump, now), told(w.task, 0, now)
		same("told twice", unseen, told(unseen, 0, now))
		for _, x := range []task.Task{seen, unseen} {
			if x.Status() == task.Executing && x.TimeoutAt > now.Add(task.UnfencedTimeout) {
				rt.Fatalf("a time-out in %s", x.TimeoutAt.Sub(now))
			}
			for _, a := range []*task.Attempt{x.Run, x.Earlier} {
				if a.Attached() && a.LeaseUntil > now.Add(a.Lease) {
					rt.Fatalf("a lease of %s that ends in %s", a.Lease, a.LeaseUntil.Sub(now))
				}
			}
			if x.Dispatchable() && x.ReadyAt > max(x.State().RunAt, now.Add(task.MaxBackoff)) {
				rt.Fatalf("ready in %s", x.ReadyAt.Sub(now))
			}
			rest := x // what may change is put back
			rest.TimeoutAt, rest.ReadyAt, rest.Stop, rest.Run, rest.Earlier = w.task.TimeoutAt, w.task.ReadyAt, w.task.Stop, w.task.Run, w.task.Earlier
			same("nothing else", w.task, rest)
		}
		if before, after := w.task.TimeoutAt.Sub(w.now), seen.TimeoutAt.Sub(now); jump > 0 && w.task.Ended() == "" && w.task.Status() == task.Executing &&
			w.task.TimeoutAt != 0 && before != after {
			rt.Fatalf("a time-out in %s is in %s after a jump of %s", before, after, jump)
		}
	})
}

// L6, L10: what stays of an attempt whose task is deleted.
func TestL10OrphanedAttempts(t *testing.T) {
	t.Parallel()
	now := at(time.Minute)
	run := func(steps ...any) task.Attempt { return *follow(t, begin(false), steps...).Run }
	told := run(assign(), start())
	told.Reported = true
	letGo := run(assign(), start(), overrule())
	letGo.LetGoAt = at(time.Second)
	both := letGo
	both.Reported = true
	for _, c := range []struct {
		name     string
		a        task.Attempt
		attached bool
		remains  bool
	}{
		{"assigned", run(assign()), false, true}, // it may yet be reported, refused
		{"executing", run(assign(), start()), true, true},
		{"overruled", run(assign(), start(), overrule()), true, true},
		{"told, not let go", told, true, true},
		{"let go, not told", letGo, false, true},
		{"let go and told", both, false, false},
		{"fenced", run(claimed()), true, false},
		{"fenced, ended", run(claimed(), overrule()), false, false},
	} {
		o := c.a.Orphaned(now)
		if o.Live() || o.Attached() != c.attached || o.Remains() != c.remains {
			t.Errorf("%s: %+v holds: %v, remains: %v", c.name, o, o.Attached(), o.Remains())
		}
		if c.a.EndedAt != 0 && o.EndedAt != c.a.EndedAt || c.a.LetGoAt != 0 && o.LetGoAt != c.a.LetGoAt {
			t.Errorf("%s: what it was is lost: %+v", c.name, o)
		}
		if o.Orphaned(now.Add(time.Hour)) != o {
			t.Errorf("%s: it becomes an orphan once", c.name)
		}
		o.EndedAt, o.LetGoAt = c.a.EndedAt, c.a.LetGoAt
		if o != c.a {
			t.Errorf("%s: more has changed: %+v, was %+v", c.name, o, c.a)
		}
	}
}

// A sub-task is counted with its parent, and nothing is logged; an ended parent takes
// none.
func TestAddChild(t *testing.T) {
	t.Parallel()
	change, err := task.Apply(follow(t, begin(false)), task.AddChild{}, t0)
	if err != nil || change.Empty() || len(change.Events) > 0 || change.Task.Subtasks != 1 {
		t.Errorf("%+v, %v", change, err)
	}
	if _, err := task.Apply(follow(t, begin(false), overrule()), task.AddChild{}, t0); fault.CodeOf(err) != fault.Conflict {
		t.Errorf("an ended parent: %v", err)
	}
	next := follow(t, begin(false), task.AddChild{}, overrule(), begin(false))
	if next.Subtasks != 1 {
		t.Errorf("its next turn has had %d sub-tasks", next.Subtasks)
	}
}

// A3: a task is its creator's, or its parent's owner's, for good; it knows where it
// stands in its tree.
func TestA3OwnersAndPlaces(t *testing.T) {
	t.Parallel()
	top := begin(false)
	top.Owner, top.Group, top.Scoped = "key:1", "g", true
	parent := follow(t, top)
	below := begin(false)
	below.Spec.ID, below.Owner, below.Parent = "below", "key:2", &parent
	child := follow(t, below)
	deeper := below
	deeper.Spec.ID, deeper.Parent = "deeper", &child
	type place struct {
		owner, group, root string
		scoped             bool
		depth              int
	}
	of := func(x task.Task) place { return place{x.Owner, x.Group, x.RootID, x.Scoped, x.Depth} }
	other := begin(false)
	other.Owner, other.Group = "key:9", "h"
	for name, c := range map[string]struct {
		got, want place
	}{
		"a task":         {of(parent), place{"key:1", "g", "t", true, 0}},
		"a sub-task":     {of(child), place{"key:1", "g", "t", true, 1}},
		"one below that": {of(follow(t, deeper)), place{"key:1", "g", "t", true, 2}},
		"a next turn":    {of(follow(t, top, overrule(), other)), place{"key:1", "g", "t", true, 0}},
		"nobody's":       {of(follow(t, begin(false))), place{"", "", "t", false, 0}},
	} {
		if c.got != c.want {
			t.Errorf("%s: %+v, want %+v", name, c.got, c.want)
		}
	}
}

// Sign names who wrote what no attempt has written.
func TestSign(t *testing.T) {
	t.Parallel()
	running := follow(t, begin(false), claimed())
	mine := task.Append{By: task.Writer{Fenced: true, Attempt: running.Run}, Events: []task.Event{{Type: task.Chunk, Own: []byte(`"c"`)}}}
	theirs := task.Append{Events: []task.Event{{Type: task.AgentMessage, Own: []byte(`"m"`)}}}
	for name, c := range map[string]struct {
		do   task.Command
		want task.Author
	}{
		"an attempt":       {mine, task.Author{Attempt: 1}},
		"somebody":         {theirs, task.Author{By: "key k"}},
		"somebody's order": {task.Pause{By: "p"}, task.Author{By: "key k"}},
		"the attempt's end": {
			task.Finish{By: mine.By, Reason: task.EndCompleted}, task.Author{Attempt: 1},
		},
	} {
		change, err := task.Apply(running, c.do, t0)
		if err != nil {
			t.Fatal(err)
		}
		change.Sign("key k")
		for _, e := range change.Events {
			if e.Author != c.want {
				t.Errorf("%s: %s is signed %+v", name, e.Type, e.Author)
			}
		}
		change.Sign("another") // what is signed stays
		if len(change.Events) == 0 || change.Events[0].Author != c.want {
			t.Errorf("%s: %+v", name, change.Events)
		}
	}
}
