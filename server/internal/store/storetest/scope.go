package storetest

import (
	"fmt"

	"pgregory.net/rapid"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

func scopeParts() []part {
	return []part{
		{"WhatIsOutOfTheScopeIsNotFound", outOfScope},
		{"ListsOfAScope", scopedLists},
	}
}

// outOfScope: a task is found by those who see it, and by nobody else; nobody can
// tell one that is hidden from one that is not there.
func outOfScope(e *env) {
	for id, of := range map[string][2]string{"mine": {"key:1", ""}, "theirs": {"key:2", "g"}, "of the group": {"key:1", "g"}, "an admin's": {"key:admin", ""}} {
		e.begin(id, func(b *task.Begin) { b.Owner, b.Group, b.Scoped = of[0], of[1], of[0] != "key:admin" })
	}
	owner := func(name string) auth.Scope { return auth.Scope{Organization: home, Owner: name} }
	group := func(name string) auth.Scope { return auth.Scope{Organization: home, Group: name} }
	for _, c := range []struct {
		in   auth.Scope
		sees map[string]bool
	}{
		{auth.All(home), map[string]bool{"mine": true, "theirs": true, "of the group": true, "an admin's": true}},
		{owner("key:1"), map[string]bool{"mine": true, "of the group": true}},
		{owner("key:2"), map[string]bool{"theirs": true}},
		{owner("key:3"), nil},
		{owner("g"), nil},
		{owner("key:admin"), nil}, // it sees all: nobody sees by this owner
		{group("g"), map[string]bool{"theirs": true, "of the group": true}},
		{group("h"), nil},
		{group("key:1"), nil},
		{auth.All(away), nil},
		{auth.Scope{Organization: away, Owner: "key:1"}, nil},
	} {
		for _, id := range []string{"mine", "theirs", "of the group", "an admin's"} {
			found, err := e.Task(e.t.Context(), c.in, id)
			if !c.sees[id] {
				_, none := e.Task(e.t.Context(), c.in, "not there")
				e.missing(fmt.Sprintf("%s in %+v", id, c.in), err)
				e.same("the answer", fault.New(fault.NotFound, "no task %q", id).Error(), err.Error())
				e.missing("what is not there", none)
				e.same("what is told of it", lifecycle.Snapshot{}, found)
				continue
			}
			e.ok(err)
			e.same(fmt.Sprintf("%s in %+v", id, c.in), e.task(home, id), found)
		}
		n, err := e.CountOpen(e.t.Context(), c.in, lifecycle.Filter{})
		e.ok(err)
		e.same(fmt.Sprintf("open tasks in %+v", c.in), len(c.sees), n)
	}
}

// scopedLists compares the lists of scopes, with any filters and by pages of any
// size, with their plain reading.
func scopedLists(e *env) {
	all := mixture(e)
	scope := func(owner, group string) auth.Scope {
		return auth.Scope{Organization: home, Owner: owner, Group: group}
	}
	scopes := []auth.Scope{auth.All(home), scope("key:1", ""), scope("key:2", ""), scope("user:1", ""), scope("", "g-1"), scope("", "g-2")}
	for _, in := range scopes[1:] {
		if n := e.checkList(all, in, lifecycle.Filter{}, 4); n == 0 || n == len(all) {
			e.t.Errorf("%+v sees %d of %d: it decides nothing", in, n, len(all))
		}
	}
	for _, in := range []auth.Scope{scope("nobody", ""), scope("key:admin", ""), scope("", "nothing"), scope("g-1", ""), scope("", "key:1")} {
		e.same(fmt.Sprintf("%+v", in), lifecycle.List{}, e.listIn(in, lifecycle.Filter{}, lifecycle.Page{Size: 10, Count: true}))
	}
	rapid.Check(e.t, func(t *rapid.T) {
		f := lifecycle.Filter{
			Agent:  rapid.SampledFrom([]string{"", "", agent, "agent-2"}).Draw(t, "agent"),
			User:   rapid.SampledFrom([]string{"", "", "user-1"}).Draw(t, "user"),
			Parent: rapid.SampledFrom([]string{"", "", "parent-1"}).Draw(t, "parent"),
			Status: rapid.SampledFrom([]lifecycle.Statuses{0, 0, lifecycle.Among(task.Pending), lifecycle.Among(task.Completed), lifecycle.Among(task.Completed, task.Pending), lifecycle.Among(task.Failed, task.Completed)}).Draw(t, "status"),
			From:   rapid.SampledFrom([]task.Stamp{0, all[40].CreatedAt}).Draw(t, "from"),
			To:     rapid.SampledFrom([]task.Stamp{0, all[10].CreatedAt}).Draw(t, "to"),
		}
		e.checkList(all, rapid.SampledFrom(scopes).Draw(t, "scope"), f, rapid.IntRange(1, 20).Draw(t, "size"))
	})
}
