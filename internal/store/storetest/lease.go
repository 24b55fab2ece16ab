package storetest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/errand-dev/errand/internal/lifecycle"
	"github.com/errand-dev/errand/internal/task"
)

func leaseParts() []part {
	return []part{
		{"DueListsPassedDeadlines", due},
		{"DueIsLimited", dueLimit},
		{"RenewAllGivesFullLeases", renewAll},
		{"RenewWorkerExtendsOnlyItsOwn", renewWorker},
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
		{"lease of a claim", nil, []task.Command{claim("w")}, 30 * time.Second, []task.Command{task.Lose{}}},
		{"lease of a claim that finishes", nil, []task.Command{claim("w")}, 30 * time.Second, []task.Command{settle(task.EndCompleted, "r")}},
		{"lease of an assignment", nil, []task.Command{assign("py")}, 30 * time.Second, []task.Command{task.Lose{}}},
		{"lease of a started assignment", nil, []task.Command{assign("py"), start()}, 30 * time.Second, []task.Command{task.Pause{}}},
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
	paused := e.do(home, "paused", assign("py"), start(), task.Pause{})
	e.clock.advance(time.Hour)
	e.same("due", []string{"live", "long"}, e.due())
	e.write(func(tx lifecycle.Tx) error { return tx.RenewAll() })
	e.same("due after a renewal", []string{}, e.due())
	now := e.clock.stamp()
	for _, c := range []struct {
		org, id string
		until   task.Stamp
	}{
		{home, "live", now.Add(30 * time.Second)},
		{home, "long", now.Add(1000 * time.Second)},
		{away, "elsewhere", now.Add(30 * time.Second)},
		{home, "ended", ended.Run.LeaseUntil},
		{home, "paused", paused.Run.LeaseUntil},
	} {
		e.same("lease of "+c.id, c.until, e.task(c.org, c.id).Task.Run.LeaseUntil)
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
		if id == "started" || id == "second" {
			want.LeaseUntil = until
		}
		e.same("attempt of "+id, want, e.task(home, id).Task.Run)
	}
	e.same("attempt elsewhere", elsewhere, e.task(away, "started").Task.Run)
	e.write(func(tx lifecycle.Tx) error { return tx.RenewWorker(home, "py", until.Add(-time.Minute)) })
	e.same("never shortened", until, e.task(home, "started").Task.Run.LeaseUntil)
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
	e.do(home, "b", task.Lose{})
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
