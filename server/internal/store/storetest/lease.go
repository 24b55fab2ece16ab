package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"pgregory.net/rapid"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

func leaseParts() []part {
	return []part{
		{"DueListsPassedDeadlines", due},
		{"DueIsLimited", dueLimit},
		{"DueGivesFullLeasesAfterSilence", dueRenewed},
		{"NothingThatIsDueIsMissed", anyDue},
		{"AheadListsWhatTheClockConcerns", ahead},
		{"FollowClockKeepsLengths", followClock},
		{"SignsOfLifeExtendOnlyTheirOwn", signsOfLife},
		{"EarlierAttemptIsKnownUntilItLetsGo", earlier},
		{"UntoldAttemptsOutliveTheirTask", untold},
		{"AttemptsOfWorkersUntilTheyLetGo", attemptsOfWorkers},
	}
}

// due asks which tasks of the organization home have a deadline behind them.
func (e *env) due() []string {
	e.t.Helper()
	return e.dueSince(home, 0)
}

// dues asks what there is to do at a moment for the node that sweeps.
func (e *env) dues(now task.Stamp) lifecycle.Dues {
	e.t.Helper()
	found, err := e.Dues(e.t.Context(), now, 0)
	e.ok(err)
	return found
}

// dueSince is due after a time in which no server could be reached.
func (e *env) dueSince(org string, renewed task.Stamp) []string {
	e.t.Helper()
	ids, err := e.Due(e.t.Context(), org, e.clock.stamp(), renewed, 1000)
	e.ok(err)
	found, err := e.Dues(e.t.Context(), e.clock.stamp(), renewed)
	e.ok(err)
	e.same("something is due in "+org, len(ids) > 0, slices.Contains(found.Passed, org))
	if len(ids) > 0 && !found.Ahead {
		e.t.Fatalf("%q are due and no deadline is known", ids)
	}
	slices.Sort(ids)
	return append([]string{}, ids...)
}

// aheadOf asks which tasks of an organization a jump of the clock may concern.
func (e *env) aheadOf(org string) []string {
	e.t.Helper()
	ids, err := e.Ahead(e.t.Context(), org, e.clock.stamp())
	e.ok(err)
	slices.Sort(ids)
	return append([]string{}, ids...)
}

// due: each kind of deadline just before and at its moment, and after
// whatever takes it away.
func due(e *env) {
	limits := func(b *task.Begin) { b.Spec.ExpiresIn, b.Spec.Timeout = 60, 100 }
	cases := []struct {
		name string
		edit func(*task.Begin)
		do   []task.Command
		in   time.Duration // 0: no deadline at all
		off  []task.Command
	}{
		{"expires", limits, nil, time.Minute, []task.Command{task.Tick{}}},
		{"expires, paused meanwhile", limits, []task.Command{task.Pause{}}, 0, nil},
		{"lease of a claim", nil, []task.Command{claim("w")}, 30 * time.Second, []task.Command{lose(1)}},
		{"lease of a claim that finishes", nil, []task.Command{claim("w")}, 30 * time.Second, []task.Command{settle(task.EndCompleted, "r")}},
		{"lease of an assignment", nil, []task.Command{assign("py")}, 30 * time.Second, []task.Command{lose(1)}},
		{"lease of a started assignment", nil, []task.Command{assign("py"), start()}, 30 * time.Second, []task.Command{lose(1)}},
		{"lease of an attempt that was overruled", nil, []task.Command{assign("py"), start(), settle(task.EndFailed, "r")}, 30 * time.Second, []task.Command{lose(1)}},
		{"time-out", limits, []task.Command{task.Patch{Status: task.Executing}}, 100 * time.Second, []task.Command{settle(task.EndFailed, "r")}},
		{"answer to a stop", nil, []task.Command{claim("w"), task.RequestStop{}}, 30 * time.Second, []task.Command{task.Tick{}}},
		{"stopped while waiting", limits, []task.Command{task.RequestStop{}}, 0, nil},
		{"waiting", nil, nil, 0, nil},
		{"executing by itself", nil, []task.Command{task.Patch{Status: task.Executing}}, 0, nil},
	}
	for i, c := range cases {
		id := fmt.Sprint("t-", i)
		began := e.clock.stamp()
		if c.edit == nil {
			c.edit = func(*task.Begin) {}
		}
		e.begin(id, c.edit)
		e.do(home, id, c.do...)
		if c.in == 0 {
			e.same(c.name+": nothing is to come", lifecycle.Dues{}, e.dues(e.clock.stamp()))
			e.clock.advance(365 * 24 * time.Hour)
			e.same(c.name+": a year later", []string{}, e.due())
			continue
		}
		e.same(c.name+": something is to come", lifecycle.Dues{Ahead: true}, e.dues(e.clock.stamp()))
		e.clock.us.Store(int64(began.Add(c.in)) - 1)
		e.same(c.name+": just before", []string{}, e.due())
		e.clock.us.Add(1)
		e.same(c.name+": at its moment", []string{id}, e.due())
		e.same(c.name+": elsewhere", []string{}, e.dueSince(away, 0))
		e.do(home, id, c.off...)
		if e.state(id).Status != task.Pending {
			e.same(c.name+": taken away", []string{}, e.due())
		}
		e.do(home, id, settle(task.EndFailed, "cleaned up"))
		e.same(c.name+": cleaned up", []string{}, e.due())
	}
}

// dueLimit: many at once are listed in parts, each task once in a part, and
// whoever takes up what is listed reaches all of them.
func dueLimit(e *env) {
	const n = 25
	for i := range n {
		e.begin(fmt.Sprint("lease-", i))
		e.do(home, fmt.Sprint("lease-", i), claim("w"))
		e.begin(fmt.Sprint("expiry-", i), func(b *task.Begin) { b.Spec.ExpiresIn = 1 })
	}
	e.begin("both", func(b *task.Begin) { b.Spec.Timeout = 1 })
	e.do(home, "both", claim("w"))
	e.clock.advance(time.Hour)
	done := map[string]bool{}
	for range 2*n + 2 {
		ids, err := e.Due(e.t.Context(), home, e.clock.stamp(), 0, 10)
		e.ok(err)
		if len(ids) == 0 {
			break
		}
		if len(ids) > 20 { // as many of each kind
			e.t.Fatalf("%d tasks are due in one part", len(ids))
		}
		e.same("listed once", len(ids), len(slices.Compact(slices.Sorted(slices.Values(ids)))))
		for _, id := range ids {
			if done[id] {
				e.t.Fatalf("%s is due again", id)
			}
			done[id] = true
			e.do(home, id, settle(task.EndFailed, "r"))
		}
	}
	e.same("tasks taken up", 2*n+1, len(done))
}

// dueRenewed: after a time in which no server could be reached, a lease is due
// when it has had its full length again. Other deadlines do not wait.
func dueRenewed(e *env) {
	long := claim("w")
	long.Lease = 1000 * time.Second
	e.begin("live")
	e.do(home, "live", claim("w"))
	e.begin("long")
	e.do(home, "long", long)
	e.begin("elsewhere", func(b *task.Begin) { b.Spec.OrganizationID = away })
	e.do(away, "elsewhere", claim("w"))
	e.begin("ended")
	e.do(home, "ended", claim("w"), settle(task.EndCompleted, "r"))
	e.begin("paused")
	e.do(home, "paused", assign("py"), start(), task.Pause{})
	e.begin("expires", func(b *task.Begin) { b.Spec.ExpiresIn = 60 })
	e.begin("gone")
	e.do(home, "gone", assign("py"), start())
	e.write(func(tx lifecycle.Tx) error { return remove(tx, home, "gone", e.clock.stamp()) }, about(home, "gone")...)
	e.clock.advance(25 * time.Hour) // the paused one may not go on for ever
	e.begin("just begun")
	e.do(home, "just begun", claim("w"))

	renewed := e.clock.stamp()
	expect := func(what string, after time.Duration, want ...string) {
		e.t.Helper()
		e.clock.us.Store(int64(renewed.Add(after)))
		e.same(what, want, e.dueSince(home, renewed))
	}
	expect("at once", 0, "expires", "paused")
	e.same("without a silence", []string{"expires", "gone", "live", "long", "paused"}, e.due())
	expect("just before the length of most leases", 30*time.Second-time.Microsecond, "expires", "paused")
	e.same("elsewhere", []string{}, e.dueSince(away, renewed))
	expect("after it", 30*time.Second, "expires", "gone", "just begun", "live", "paused")
	e.same("elsewhere after it", []string{"elsewhere"}, e.dueSince(away, renewed))
	expect("just before the longest", 1000*time.Second-time.Microsecond, "expires", "gone", "just begun", "live", "paused")
	expect("after it", 1000*time.Second, "expires", "gone", "just begun", "live", "long", "paused")
	e.do(home, "live", task.Renew{By: task.Writer{Fenced: true, Attempt: e.task(home, "live").Task.Run}})
	expect("one was heard", 1000*time.Second, "expires", "gone", "just begun", "long", "paused")
}

// anyDue compares Due and Ahead with what package task says of any task: whatever
// has a deadline behind it is due, and what is due has one; whatever a jump of
// the clock would change lies ahead.
func anyDue(e *env) {
	var n atomic.Int64
	rapid.Check(e.t, func(rt *rapid.T) {
		w := newWorld(rt, e, fmt.Sprintf("task-%d", n.Add(1)))
		for range rapid.IntRange(1, 10).Draw(rt, "steps") {
			e.clock.advance(time.Duration(rapid.IntRange(0, 40).Draw(rt, "seconds")) * time.Second)
			w.step()
		}
		if !w.born() {
			return
		}
		now := e.clock.stamp()
		defer e.clock.us.Store(int64(now))
		asOf := now.Add(time.Duration(rapid.SampledFrom([]int{0, 1, 10, 12, 20, 30, 31, 60, 90, 100, 3600, 90_000, -1, -60, -3600}).Draw(rt, "look")) * time.Second)
		e.clock.us.Store(int64(asOf))
		renewed := asOf.Add(-time.Duration(rapid.SampledFrom([]int{0, 1, 20, 30, 40, 1 << 30}).Draw(rt, "silence")) * time.Second)

		lapsed, alarm := false, w.task.Alarm()
		for _, a := range []*task.Attempt{w.task.Run, w.task.Earlier} {
			// The store knows nothing of the moment at which an attempt is given up.
			lapsed = lapsed || a.Attached() && a.LeaseUntil > 0 && a.LeaseUntil <= asOf && renewed.Add(a.Lease) <= asOf
		}
		due := alarm > 0 && alarm <= asOf || lapsed
		if got := slices.Contains(e.dueSince(home, renewed), w.id); got != due {
			rt.Fatalf("due at %s, after a silence until %s: %v, want %v: %+v", asOf, renewed, got, due, w.task)
		}
		changed, err := task.Apply(w.task, task.FollowClock{Jump: rapid.SampledFrom([]time.Duration{0, time.Hour, -time.Hour}).Draw(rt, "jump")}, asOf)
		if err != nil {
			rt.Fatal(err)
		}
		if !changed.Empty() && !slices.Contains(e.aheadOf(home), w.id) {
			rt.Fatalf("does not lie ahead at %s: %+v", asOf, w.task)
		}
	})
}

// ahead lists what waits for a moment that is later than it would be at worst, and
// what is timed: a jump may have let its moment pass, too.
func ahead(e *env) {
	e.begin("runs", func(b *task.Begin) { b.Spec.Timeout = 100 })
	e.do(home, "runs", task.Patch{Status: task.Executing})
	e.begin("waits")
	e.begin("scheduled", func(b *task.Begin) { b.RunAt = e.clock.stamp().Add(time.Minute) })
	e.begin("retried")
	e.do(home, "retried", claim("w"), lose(1))
	e.begin("claimed")
	e.do(home, "claimed", claim("w"))
	e.begin("stopped")
	e.do(home, "stopped", claim("w"), task.RequestStop{})
	e.begin("ended")
	e.do(home, "ended", assign("py"), start(), settle(task.EndFailed, "r"))
	e.begin("done")
	e.do(home, "done", claim("w"), settle(task.EndFailed, "r"))
	e.begin("runs", func(b *task.Begin) { b.Spec.OrganizationID, b.Spec.Timeout = away, 100 })
	e.do(away, "runs", task.Patch{Status: task.Executing})

	e.same("now", []string{"retried", "runs", "stopped"}, e.aheadOf(home))
	e.same("elsewhere", []string{"runs"}, e.aheadOf(away))
	e.clock.advance(-time.Second) // back: leases reach further than their length
	e.same("after a jump back", []string{"claimed", "ended", "retried", "runs", "stopped", "waits"}, e.aheadOf(home))
	e.clock.advance(24 * time.Hour)
	e.same("a day later", []string{"runs", "stopped"}, e.aheadOf(home))
	e.do(home, "runs", settle(task.EndFailed, "r"))
	e.do(home, "stopped", task.Tick{})
	e.same("when they are over", []string{}, e.aheadOf(home))
}

// followClock: the clock jumps, and what lies ahead is told of it.
func followClock(e *env) {
	next := func() []string {
		ids := e.take(lifecycle.Want{Worker: "w", Limit: 10})
		slices.Sort(ids)
		return ids
	}
	told := func(jump time.Duration) {
		for _, id := range e.aheadOf(home) {
			e.do(home, id, task.FollowClock{Jump: jump})
		}
	}
	follow := func(jump time.Duration) {
		e.clock.advance(jump)
		told(jump)
	}
	e.begin("runs", func(b *task.Begin) { b.Spec.Timeout = 100 })
	e.do(home, "runs", task.Patch{Status: task.Executing})
	e.begin("waits")
	e.begin("scheduled", func(b *task.Begin) { b.RunAt = e.clock.stamp().Add(time.Minute) })
	e.begin("retried")
	e.do(home, "retried", claim("w"), lose(1)) // ready in a second
	follow(-time.Hour)
	e.same("ready after a jump back", []string{"waits"}, next())
	e.clock.advance(time.Second)
	e.same("ready after the backoff", []string{"retried", "waits"}, next())
	e.clock.advance(time.Hour + time.Minute)
	e.same("ready when its time has come", []string{"retried", "scheduled", "waits"}, next())
	e.clock.advance(-time.Hour - time.Minute) // back to where the time-out has 99 s left, at most 100
	follow(time.Hour)
	e.clock.advance(98 * time.Second)
	e.same("due before the time-out", []string{}, e.due())
	e.clock.advance(2 * time.Second)
	e.same("due after it", []string{"runs"}, e.due())
	e.clock.advance(-2 * time.Hour)
	e.begin("late")
	e.begin("twice")
	e.do(home, "twice", claim("w"), lose(1))
	e.clock.advance(task.FirstBackoff)
	e.do(home, "twice", claim("v"), lose(2))
	e.clock.advance(-time.Hour)
	told(0) // a start: nobody has seen the jump
	e.same("ready after a jump that nobody saw", []string{"late", "waits"}, next())
	e.clock.advance(time.Second)
	e.same("ready after the first backoff", []string{"late", "retried", "waits"}, next())
	e.clock.advance(time.Second)
	e.same("ready after the second backoff", []string{"late", "retried", "twice", "waits"}, next())
	for _, id := range next() { // not only the queue knows it
		e.do(home, id, claim("w"))
	}
}

// hear extends the leases of what a Python worker holds, as a sign of life of it
// does, whether its task knows the attempt or not.
func hear(tx lifecycle.Tx, org, worker string, until, now task.Stamp) error {
	attempts, err := tx.AttemptsOf(org, worker)
	if err != nil {
		return err
	}
	for _, x := range attempts {
		t, err := tx.Task(org, x.Task)
		switch {
		case err == nil && t.Knows(x.Number):
			err = save(tx, t, task.Hear{Number: x.Number, Until: until}, now)
		case err == nil || fault.CodeOf(err) == fault.NotFound:
			err = tx.PutAttempt(org, x.Task, x.HeardUntil(until))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// signsOfLife: what a worker holds is found, and nothing else.
func signsOfLife(e *env) {
	setUp := map[string][]task.Command{
		"started":       {assign("py"), start()},
		"second":        {assign("py"), start()},
		"assigned":      {assign("py")},
		"paused":        {assign("py"), start(), task.Pause{}},
		"ended":         {assign("py"), start(), settle(task.EndFailed, "r")},
		"other worker":  {assign("py-2"), start()},
		"fenced worker": {claim("py")},
		"longer lease":  {task.Assign{Worker: "py", Lease: time.Hour}, start()},
	}
	before := map[string]*task.Attempt{}
	for id, commands := range setUp {
		e.begin(id)
		before[id] = e.do(home, id, commands...).Run
	}
	e.begin("gone")
	gone := e.do(home, "gone", assign("py"), start()).Run.Orphaned(e.clock.stamp())
	e.begin("gone, assigned")
	e.do(home, "gone, assigned", assign("py"))
	e.write(func(tx lifecycle.Tx) error {
		return errors.Join(remove(tx, home, "gone", e.clock.stamp()), remove(tx, home, "gone, assigned", e.clock.stamp()))
	})
	e.begin("started", func(b *task.Begin) { b.Spec.OrganizationID = away })
	elsewhere := e.do(away, "started", assign("py"), start()).Run
	until := e.clock.stamp().Add(10 * time.Minute)
	heard := func(until task.Stamp) {
		e.write(func(tx lifecycle.Tx) error { return hear(tx, home, "py", until, e.clock.stamp()) })
	}
	heard(until)
	for id, want := range before {
		if slices.Contains([]string{"started", "second", "paused", "ended"}, id) { // these have not let go
			want.LeaseUntil = until
		}
		e.same("attempt of "+id, want, e.task(home, id).Task.Run)
	}
	gone.LeaseUntil = until
	e.same("attempt of a deleted task", []task.Attempt{gone}, read(e, func(tx lifecycle.Tx) ([]task.Attempt, error) { return tx.Attempts(home, "gone") }))
	e.same("attempt elsewhere", elsewhere, e.task(away, "started").Task.Run)
	e.same("held elsewhere", []lifecycle.TaskAttempt{{Task: "started", Attempt: *elsewhere}}, e.attemptsOf(away, "py"))
	heard(until.Add(-time.Minute))
	e.same("never shortened", until, e.task(home, "started").Task.Run.LeaseUntil)
}

// earlier: an attempt that has not let go when its task's next turn begins
// stays known to the task, its lease is judged, and until it lets go nothing of
// the task is in the queue (rule T1b).
func earlier(e *env) {
	e.begin("t")
	first := *e.do(home, "t", assign("py"), start(), settle(task.EndFailed, "r")).Run
	e.do(home, "t", beginning(home, "t"))
	e.same("earlier attempt", &first, e.task(home, "t").Task.Earlier)
	e.same("of a read in a write", &first, read(e, func(tx lifecycle.Tx) (*task.Attempt, error) {
		t, err := tx.Task(home, "t")
		return t.Earlier, err
	}))
	e.same("queue", []string{}, e.take(lifecycle.Want{}))
	e.clock.us.Store(int64(first.LeaseUntil))
	e.same("due", []string{"t"}, e.due())
	e.do(home, "t", lose(1))
	e.same("earlier attempt that was given up", (*task.Attempt)(nil), e.task(home, "t").Task.Earlier)
	e.same("due after that", []string{}, e.due())
	e.same("queue after that", []string{"t"}, e.take(lifecycle.Want{}))
}

// untold: attempts whose Python worker has not told their end, with its count
// when they were sent, those of deleted tasks among them (rule L6).
func untold(e *env) {
	expect := func(what string, want ...lifecycle.Sent) {
		e.t.Helper()
		got := read(e, func(tx lifecycle.Tx) ([]lifecycle.Sent, error) { return tx.Untold(home, "py") })
		e.same(what, append([]lifecycle.Sent{}, want...), append([]lifecycle.Sent{}, got...))
	}
	for i, id := range []string{"a", "b", "c"} {
		e.begin(id)
		a := assign("py")
		a.SentAfter = 10 - i
		e.do(home, id, a)
	}
	e.begin("fenced")
	e.do(home, "fenced", claim("py"))
	expect("sent", lifecycle.Sent{Task: "c", Number: 1, After: 8}, lifecycle.Sent{Task: "b", Number: 1, After: 9}, lifecycle.Sent{Task: "a", Number: 1, After: 10})
	e.do(home, "c", start())
	e.do(home, "c", task.Patch{Full: true, Status: task.Completed, Number: 1, From: e.task(home, "c").Task.Run})
	e.do(home, "b", start())
	e.write(func(tx lifecycle.Tx) error {
		now := e.clock.stamp()
		return errors.Join(remove(tx, home, "a", now), remove(tx, home, "b", now), remove(tx, home, "c", now))
	}, about(home, "a", "b", "c")...)
	expect("one told, all deleted", lifecycle.Sent{Task: "b", Number: 1, After: 9}, lifecycle.Sent{Task: "a", Number: 1, After: 10})

	remnants := func(id string) []task.Attempt {
		e.t.Helper()
		return read(e, func(tx lifecycle.Tx) ([]task.Attempt, error) { return tx.Attempts(home, id) })
	}
	a, b := remnants("a"), remnants("b")
	if len(a) != 1 || len(b) != 1 || a[0].Attached() || !b[0].Attached() || len(remnants("c")) != 0 {
		e.t.Fatalf("remnants: of what never started %v, of what runs %v", a, b)
	}
	e.same("held", []lifecycle.TaskAttempt{{Task: "b", Attempt: b[0]}}, e.attemptsOf(home, "py"))
	b[0].LetGoAt = e.clock.stamp()
	e.write(func(tx lifecycle.Tx) error { return tx.PutAttempt(home, "b", b[0]) })
	e.same("let go, not told", b, remnants("b"))
	e.same("held after that", 0, len(e.attemptsOf(home, "py")))
	b[0].Reported = true
	e.write(func(tx lifecycle.Tx) error { return tx.PutAttempt(home, "b", b[0]) })
	e.same("let go and told", 0, len(remnants("b")))
	expect("one of them told", lifecycle.Sent{Task: "a", Number: 1, After: 10})
	e.write(func(tx lifecycle.Tx) error {
		return errors.Join(tx.DropAttempt(home, "b", 1), tx.DropAttempt(home, "a", 1), tx.DropAttempt(home, "never there", 7))
	})
	expect("dropped")
}

// attemptsOf returns the attempts that a Python worker has not let go of.
func (e *env) attemptsOf(org, worker string) []lifecycle.TaskAttempt {
	e.t.Helper()
	return read(e, func(tx lifecycle.Tx) ([]lifecycle.TaskAttempt, error) { return tx.AttemptsOf(org, worker) })
}

// attemptsOfWorkers: what was sent to a worker counts until the attempt lets go, whatever
// became of its turn (rules L9, L10).
func attemptsOfWorkers(e *env) {
	expect := func(what, worker string, n int, unstarted ...string) {
		e.t.Helper()
		all, waiting := e.attemptsOf(home, worker), []string{}
		for _, x := range all {
			if x.Live() && !x.Started() {
				waiting = append(waiting, x.Task)
			}
			want := read(e, func(tx lifecycle.Tx) (*task.Attempt, error) { return tx.Attempt(home, x.Task, x.Number) })
			e.same(what+": attempt of "+x.Task, *want, x.Attempt)
		}
		e.same(what+": held", n, len(all))
		e.same(what+": unstarted", append([]string{}, unstarted...), waiting)
	}
	expect("at first", "py", 0)
	for _, id := range []string{"b", "a", "c"} {
		e.begin(id)
		e.do(home, id, assign("py"))
	}
	e.begin("fenced")
	e.do(home, "fenced", claim("py"))
	e.begin("other")
	e.do(home, "other", assign("py-2"))
	e.begin("a", func(b *task.Begin) { b.Spec.OrganizationID = away })
	e.do(away, "a", assign("py"))
	expect("assigned", "py", 3, "a", "b", "c")
	e.do(home, "a", start())
	expect("one started", "py", 3, "b", "c")
	e.do(home, "b", lose(1))
	expect("one taken back", "py", 2, "c")
	e.do(home, "a", task.RequestStop{})
	expect("one stopped, still running", "py", 2, "c")
	e.clock.advance(time.Minute)
	e.do(home, "a", task.Tick{})
	expect("its answer given up", "py", 2, "c")
	e.do(home, "a", beginning(home, "a"))
	expect("its task begun anew", "py", 2, "c")
	e.same("attempt that the task holds over", e.task(home, "a").Task.Earlier, &e.attemptsOf(home, "py")[0].Attempt)
	run := e.task(home, "a").Task.Earlier
	e.do(home, "a", task.Patch{Full: true, Status: task.Failed, Number: 1, From: run, Result: new("late")})
	expect("it has let go", "py", 1, "c")
	expect("other worker", "py-2", 1, "other")
	expect("unknown worker", "py-3", 0)
}
