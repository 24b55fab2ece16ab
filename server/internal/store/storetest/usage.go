package storetest

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

func usageParts() []part {
	return []part{
		{"UsageIsCountedByDays", counted},
		{"TasksOfACapAreFound", cappedTasks},
		{"CapsOfAgents", agentCaps},
	}
}

// someday is the beginning of a day.
func someday(n int) task.Stamp {
	return task.StampOf(time.Date(2026, 1, n, 0, 0, 0, 0, time.UTC))
}

// counted: what is counted for a spender is the sum of all that was, of the days asked
// for, also within the commit and after a restart; an error has counted nothing.
func counted(e *env) {
	one, other := task.Spender{Of: task.CapOwner, ID: "key:é"}, task.Spender{Of: task.CapAgent, ID: "key:é"}
	add := func(of task.Spender, day int, tokens int64) func(lifecycle.Tx) error {
		return func(tx lifecycle.Tx) error {
			return tx.Count(home, of, someday(day), task.Allowance{Tokens: tokens, Cost: 0.5})
		}
	}
	e.write(add(one, 1, 5))
	e.write(add(one, 1, 7))
	e.write(add(one, 2, 11))
	e.write(add(other, 2, 1<<40))
	failed := errors.New("no")
	err := e.Write(e.t.Context(), nil, func(tx lifecycle.Tx) error {
		for day, want := range map[int]task.Allowance{1: {Tokens: 12, Cost: 1}, 2: {Tokens: 11, Cost: 0.5}} {
			got, err := tx.Used(home, one, someday(day), someday(day+1))
			e.ok(err)
			e.same("used within a commit", want, got)
		}
		if err := add(one, 2, 100)(tx); err != nil {
			return err
		}
		got, err := tx.Used(home, one, someday(1), someday(3))
		e.ok(err)
		e.same("used with its own", task.Allowance{Tokens: 123, Cost: 2}, got)
		return failed
	})
	if !errors.Is(err, failed) {
		e.t.Fatalf("the write ends with %v", err)
	}
	e.ok(e.Close())
	e.open()
	used := func(of task.Spender, from, until int) task.Allowance {
		got, err := e.Used(e.t.Context(), home, of, someday(from), someday(until))
		e.ok(err)
		return got
	}
	e.same("both days", task.Allowance{Tokens: 23, Cost: 1.5}, used(one, 1, 3))
	e.same("the second day", task.Allowance{Tokens: 11, Cost: 0.5}, used(one, 2, 3))
	e.same("no day", task.Allowance{}, used(one, 3, 9))
	e.same("another kind", task.Allowance{Tokens: 1 << 40, Cost: 0.5}, used(other, 1, 3))
	listed := func(kind task.CapOf, until int, behind task.Spender, limit int) []task.Spender {
		got, err := e.Spenders(e.t.Context(), home, kind, someday(1), someday(until), behind, limit)
		e.ok(err)
		return got
	}
	e.same("spenders", []task.Spender{other, one}, listed("", 3, task.Spender{}, 10))
	e.same("one of them", []task.Spender{other}, listed("", 3, task.Spender{}, 1))
	e.same("those behind it", []task.Spender{one}, listed("", 3, other, 10))
	e.same("of a kind", []task.Spender{one}, listed(task.CapOwner, 3, task.Spender{}, 10))
	e.same("of a day", []task.Spender{one}, listed("", 2, task.Spender{}, 10))
	elsewhere, err := e.Spenders(e.t.Context(), away, "", someday(1), someday(3), task.Spender{}, 10)
	e.ok(err)
	e.same("of another organization", 0, len(elsewhere))
}

// racedUsage: what two stores count for the same spenders at once is all there.
func racedUsage(e *env) {
	const callers, each = 8, 10
	other := e.second()
	failures := make([]error, 2*callers)
	of := []task.Spender{{Of: task.CapOwner, ID: "o"}, {Of: task.CapAgent, ID: "a"}}
	both(callers, e, other, func(on *env, i int) {
		for range each {
			failures[i] = errors.Join(failures[i], on.Write(e.t.Context(), nil, func(tx lifecycle.Tx) error {
				for n := range of { // in either order
					if err := tx.Count(home, of[(n+i)%2], someday(1), task.Allowance{Tokens: 1}); err != nil {
						return err
					}
					if _, err := tx.Used(home, of[n], someday(1), someday(2)); err != nil {
						return err
					}
				}
				return nil
			}))
		}
	})
	e.ok(errors.Join(failures...))
	for _, x := range of {
		got, err := other.Used(e.t.Context(), home, x, someday(1), someday(2))
		e.ok(err)
		e.same("used", int64(2*callers*each), got.Tokens)
	}
}

// cappedTasks: the tasks that a cap holds are found by its name, until it lets them go.
func cappedTasks(e *env) {
	capped := task.Cap{
		Spender: task.Spender{Of: task.CapAgent, ID: agent}, Period: task.PerDay, Until: someday(3),
		Most: task.Allowance{Tokens: 1}, Used: task.Allowance{Tokens: 1}, AtLimit: task.PauseAtLimit,
	}
	_, how := task.Reached([]task.Cap{capped})
	var want []string
	for i := range 4 {
		id := "t" + strconv.Itoa(i)
		e.begin(id)
		if i > 0 {
			e.do(home, id, task.Rein{Caps: []task.Cap{capped}})
			want = append(want, id)
		}
	}
	found := func(name, after string, limit int) []string {
		ids, err := e.CappedBy(e.t.Context(), home, name, after, limit)
		e.ok(err)
		return ids
	}
	names, err := e.Capped(e.t.Context(), home)
	e.ok(err)
	e.same("caps", []string{how.Name()}, names)
	e.same("something is capped", true, e.dues(e.clock.stamp()).Capped)
	e.same("what it holds", want, found(how.Name(), "", 10))
	e.same("a part", want[1:2], found(how.Name(), want[0], 1))
	e.same("of another", 0, len(found("agent month "+agent, "", 10)))
	for _, id := range want {
		e.same("how it is held", fmt.Sprint(how), fmt.Sprint(e.task(home, id).Task.Wait.Cap))
		e.do(home, id, task.Uncap{By: "x"})
	}
	names, err = e.Capped(e.t.Context(), home)
	e.ok(err)
	e.same("caps that hold anything", 0, len(names))
	e.same("something is capped, then", false, e.dues(e.clock.stamp()).Capped)
}

// caps checks those of an agent or a key, for readers and for writes.
func (e *env) caps(of task.Spender, want *task.Caps) {
	e.t.Helper()
	got, err := e.Caps(e.t.Context(), home, of)
	e.ok(err)
	e.same("caps of "+of.ID, want, got)
	for range 2 {
		e.write(func(tx lifecycle.Tx) error {
			got, err := tx.Caps(home, of)
			e.same("caps of "+of.ID+" in a write", want, got)
			return err
		})
	}
}

// agentCaps: the caps of an agent are those of its newest version, also within the
// commit that changes them, until it is deleted.
func agentCaps(e *env) {
	of := task.Spender{Of: task.CapAgent, ID: "capped"}
	e.caps(of, nil)
	for i, want := range []*task.Caps{{Day: &task.Allowance{Tokens: 5}}, {Month: &task.Allowance{Cost: 0.5}}, nil} {
		e.write(func(tx lifecycle.Tx) error {
			a := agentRecord(home, of.ID, i+1)
			a.Record.Caps = want
			e.ok(tx.PutAgent(a))
			got, err := tx.Caps(home, of)
			e.same("caps within the commit", want, got)
			return err
		})
		e.caps(of, want)
	}
	e.write(func(tx lifecycle.Tx) error { return tx.DeleteAgent(home, of.ID) })
	e.caps(of, nil)
}
