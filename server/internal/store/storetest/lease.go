package storetest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

func leaseParts() []part {
	return []part{
		{"DueListsPassedDeadlines", due},
		{"DueIsLimited", dueLimit},
		{"RenewAllGivesFullLeases", renewAll},
		{"FollowClockKeepsLengths", followClock},
		{"RenewWorkerExtendsOnlyItsOwn", renewWorker},
		{"HoldoverIsKnownUntilItLetsGo", holdover},
		{"UntoldAttemptsOutliveTheirTask", untold},
		{"PostsCountOnce", posts},
		{"OutstandingAndUnstarted", outstanding},
	}
}

// due asks which tasks of the organization home have a deadline behind them.
func (e *env) due() []string {
	e.t.Helper()
	ids := read(e, func(tx lifecycle.Tx) ([]string, error) { return tx.Due(home, 100) })
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
			e.clock.advance(365 * 24 * time.Hour)
			e.same(c.name+": a year later", []string{}, e.due())
			continue
		}
		e.clock.us.Store(int64(began.Add(c.in)) - 1)
		e.same(c.name+": just before", []string{}, e.due())
		e.clock.us.Add(1)
		e.same(c.name+": at its moment", []string{id}, e.due())
		e.same(c.name+": elsewhere", 0, len(read(e, func(tx lifecycle.Tx) ([]string, error) { return tx.Due(away, 100) })))
		e.do(home, id, c.off...)
		if e.state(home, id).Status != task.Pending {
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
		ids := read(e, func(tx lifecycle.Tx) ([]string, error) { return tx.Due(home, 10) })
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

func renewAll(e *env) {
	long := claim("w")
	long.Lease = 1000 * time.Second
	e.begin("live")
	e.do(home, "live", claim("w"))
	e.begin("long")
	e.do(home, "long", long)
	e.begin("elsewhere", func(b *task.Begin) { b.Spec.OrganizationID = away })
	e.do(away, "elsewhere", claim("w"))
	e.begin("ended")
	ended := e.do(home, "ended", claim("w"), settle(task.EndCompleted, "r"))
	e.begin("paused")
	e.do(home, "paused", assign("py"), start(), task.Pause{})
	e.clock.advance(time.Hour)
	e.begin("overruled")
	overruled := e.do(home, "overruled", assign("py"), start(), settle(task.EndFailed, "r"))
	e.clock.us.Store(int64(overruled.Run.GiveUpAt) - 10_000_000)
	e.same("due", []string{"live", "long", "overruled", "paused"}, e.due())
	e.write(func(tx lifecycle.Tx) error { return tx.RenewAll() })
	e.same("due after a renewal", []string{"paused"}, e.due()) // its time-out has passed
	now := e.clock.stamp()
	for _, c := range []struct {
		org, id string
		until   task.Stamp
	}{
		{home, "live", now.Add(30 * time.Second)},
		{home, "long", now.Add(1000 * time.Second)},
		{away, "elsewhere", now.Add(30 * time.Second)},
		{home, "ended", ended.Run.LeaseUntil},
		{home, "paused", now.Add(30 * time.Second)},
		{home, "overruled", overruled.Run.GiveUpAt},
	} {
		e.same("lease of "+c.id, c.until, e.task(c.org, c.id).Task.Run.LeaseUntil)
	}
}

// followClock: the clock jumps, and comes to be told of it.
func followClock(e *env) {
	next := func() []string {
		ids := e.next(lifecycle.Want{Worker: "w", Limit: 10})
		slices.Sort(ids)
		return ids
	}
	follow := func(jump time.Duration) {
		e.clock.advance(jump)
		e.write(func(tx lifecycle.Tx) error { return tx.FollowClock(jump) })
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
	e.write(func(tx lifecycle.Tx) error { return tx.FollowClock(0) }) // a start: nobody has seen the jump
	e.same("ready after a jump that nobody saw", []string{"late", "waits"}, next())
	e.clock.advance(time.Second)
	e.same("ready after the first backoff", []string{"late", "retried", "waits"}, next())
	e.clock.advance(time.Second)
	e.same("ready after the second backoff", []string{"late", "retried", "twice", "waits"}, next())
	for _, id := range next() { // not only the queue knows it
		e.do(home, id, claim("w"))
	}
}

func renewWorker(e *env) {
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
	e.begin("started", func(b *task.Begin) { b.Spec.OrganizationID = away })
	elsewhere := e.do(away, "started", assign("py"), start()).Run
	until := e.clock.stamp().Add(10 * time.Minute)
	e.write(func(tx lifecycle.Tx) error { return tx.RenewWorker(home, "py", until) })
	for id, want := range before {
		if slices.Contains([]string{"started", "second", "paused", "ended"}, id) { // these have not let go
			want.LeaseUntil = until
		}
		e.same("attempt of "+id, want, e.task(home, id).Task.Run)
	}
	e.same("attempt elsewhere", elsewhere, e.task(away, "started").Task.Run)
	e.write(func(tx lifecycle.Tx) error { return tx.RenewWorker(home, "py", until.Add(-time.Minute)) })
	e.same("never shortened", until, e.task(home, "started").Task.Run.LeaseUntil)
}

// holdover: an attempt that has not let go when its task's next turn begins
// stays known to the task, its lease is judged, and until it lets go nothing of
// the task is in the queue (rule T1b).
func holdover(e *env) {
	e.begin("t")
	first := *e.do(home, "t", assign("py"), start(), settle(task.EndFailed, "r")).Run
	e.do(home, "t", beginning(home, "t"))
	e.same("holdover", &first, e.task(home, "t").Task.Holdover)
	e.same("of a read in a write", &first, read(e, func(tx lifecycle.Tx) (*task.Attempt, error) {
		t, err := tx.Task(home, "t")
		return t.Holdover, err
	}))
	e.same("queue", []string{}, e.next(lifecycle.Want{}))
	e.clock.us.Store(int64(first.LeaseUntil))
	e.same("due", []string{"t"}, e.due())
	e.do(home, "t", lose(1))
	e.same("holdover that was given up", (*task.Attempt)(nil), e.task(home, "t").Task.Holdover)
	e.same("due after that", []string{}, e.due())
	e.same("queue after that", []string{"t"}, e.next(lifecycle.Want{}))
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
		return errors.Join(tx.Delete(home, "a"), tx.Delete(home, "b"), tx.Delete(home, "c"))
	})
	expect("one told, all deleted", lifecycle.Sent{Task: "b", Number: 1, After: 9}, lifecycle.Sent{Task: "a", Number: 1, After: 10})

	remnants := func(id string) []task.Attempt {
		e.t.Helper()
		return read(e, func(tx lifecycle.Tx) ([]task.Attempt, error) { return tx.Remnants(home, id) })
	}
	a, b := remnants("a"), remnants("b")
	if len(a) != 1 || len(b) != 1 || a[0].Holds() || !b[0].Holds() || len(remnants("c")) != 0 {
		e.t.Fatalf("remnants: of what never started %v, of what runs %v", a, b)
	}
	e.same("outstanding", 1, read(e, func(tx lifecycle.Tx) (int, error) { return tx.Outstanding(home, "py") }))
	b[0].LetGoAt = e.clock.stamp()
	e.write(func(tx lifecycle.Tx) error { return tx.PutRemnant(home, "b", b[0]) })
	e.same("let go, not told", b, remnants("b"))
	b[0].Reported = true
	e.write(func(tx lifecycle.Tx) error { return tx.PutRemnant(home, "b", b[0]) })
	e.same("let go and told", 0, len(remnants("b")))
	e.clock.advance(time.Hour)
	e.write(func(tx lifecycle.Tx) error { return tx.Forget(e.clock.stamp()) })
	expect("forgotten with its worker")
}

// posts: a Python worker's posts are told apart by their ids, each worker's by itself.
func posts(e *env) {
	note := func(org, worker, id string) bool {
		e.t.Helper()
		return read(e, func(tx lifecycle.Tx) (bool, error) { return tx.NotePost(org, worker, id) })
	}
	e.same("new", true, note(home, "py", "1"))
	e.same("repeated", false, note(home, "py", "1"))
	e.same("the next", true, note(home, "py", "2"))
	e.same("another worker's", true, note(home, "py-2", "1"))
	e.same("elsewhere", true, note(away, "py", "1"))
	e.clock.advance(time.Hour)
	e.write(func(tx lifecycle.Tx) error { return tx.Forget(e.clock.stamp()) })
	e.same("forgotten", true, note(home, "py", "1"))
}

// outstanding: what was sent to a worker counts until the attempt lets go,
// whatever became of its turn (rules L9, L10).
func outstanding(e *env) {
	expect := func(what, worker string, n int, unstarted ...string) {
		e.t.Helper()
		e.write(func(tx lifecycle.Tx) error {
			got, err := tx.Outstanding(home, worker)
			ids, failed := tx.Unstarted(home, worker)
			slices.Sort(ids)
			return errors.Join(err, failed, differs(what+": outstanding", n, got),
				differs(what+": unstarted", append([]string{}, unstarted...), append([]string{}, ids...)))
		})
	}
	expect("at first", "py", 0)
	for _, id := range []string{"a", "b", "c"} {
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
	run := e.task(home, "a").Task.Run
	e.do(home, "a", task.Patch{Full: true, Status: task.Failed, Number: 1, From: run, Result: new("late")})
	expect("it has let go", "py", 1, "c")
	expect("other worker", "py-2", 1, "other")
	expect("unknown worker", "py-3", 0)
}
