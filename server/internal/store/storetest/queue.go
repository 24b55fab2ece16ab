package storetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"pgregory.net/rapid"

	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

func queueParts() []part {
	return []part{
		{"QueueIsCounted", queued},
		{"QueueIsInOrder", queueOrder},
		{"QueueOfAnyTasks", anyQueue},
		{"QueueFollowsTheTask", queueFollows},
		{"QueueSeesTheWritesBefore", queueInWrite},
		{"TakenTasksAreGivenBack", taking},
		{"WaitingTellsWhatSurroundsATask", waiting},
		{"CountsOfTasksAndQueues", counts},
	}
}

// take asks for tasks of the usual agent, up to ten, without doing anything with
// them, and checks that they come as they are, and that Ready agrees.
func (e *env) take(w lifecycle.Want) []string {
	e.t.Helper()
	w.Organization = cmp.Or(w.Organization, home)
	if w.Agents == nil {
		w.Agents = []string{agent}
	}
	w.Limit = cmp.Or(w.Limit, 10)
	taken := read(e, func(tx lifecycle.Tx) ([]lifecycle.Snapshot, error) { return tx.Take(w) })
	e.same("ready", len(taken), min(e.ready(w), w.Limit))
	for _, s := range taken {
		e.same("taken task", e.task(w.Organization, s.Task.ID), s)
	}
	return ids(taken)
}

// lanes are the lanes of a claim.
func lanes(w lifecycle.Want) []lifecycle.Lane {
	var found []lifecycle.Lane
	for _, a := range w.Agents {
		found = append(found, lifecycle.Lane{Agent: a})
		if w.Worker != "" {
			found = append(found, lifecycle.Lane{Agent: a, Pin: w.Worker})
		}
	}
	return found
}

// ready counts with Fronts what a claim could take.
func (e *env) ready(w lifecycle.Want) int {
	e.t.Helper()
	fronts, err := e.Fronts(e.t.Context(), w.Organization, lanes(w), 1000)
	e.ok(err)
	n := 0
	for _, f := range fronts {
		n += f.Ready
	}
	return n
}

func ids(tasks []lifecycle.Snapshot) []string {
	found := make([]string, 0, len(tasks))
	for _, s := range tasks {
		found = append(found, s.Task.ID)
	}
	return found
}

func queueOrder(e *env) {
	soon := e.clock.stamp().Add(time.Minute)
	for _, x := range []struct {
		id       string
		priority int
		edit     func(*task.Begin)
	}{
		{"low", -100, nil},
		{"old", 0, nil},
		{"new", 0, nil},
		{"high", 100, nil},
		{"later", 100, func(b *task.Begin) { b.RunAt = soon }},
		{"past", 50, func(b *task.Begin) { b.RunAt = 1 }},
		{"pinned", 1, func(b *task.Begin) { b.Spec.PinnedWorkerID = new("w-1") }},
		{"pinned elsewhere", 99, func(b *task.Begin) { b.Spec.PinnedWorkerID = new("w-2") }},
		{"local", 99, func(b *task.Begin) { b.Spec.RunLocally = true }},
		{"other agent", 99, func(b *task.Begin) { b.Spec.AgentID = "agent-2" }},
		{"other organization", 99, func(b *task.Begin) { b.Spec.OrganizationID = away }},
	} {
		e.begin(x.id, func(b *task.Begin) {
			b.Priority = x.priority
			if x.edit != nil {
				x.edit(b)
			}
		})
		e.clock.advance(time.Second)
	}
	cases := []struct {
		name string
		want lifecycle.Want
		ids  []string
	}{
		{"nobody in particular", lifecycle.Want{}, []string{"high", "past", "old", "new", "low"}},
		{"pins", lifecycle.Want{Worker: "w-1"}, []string{"high", "past", "pinned", "old", "new", "low"}},
		{"pins of another", lifecycle.Want{Worker: "w-2"}, []string{"high", "pinned elsewhere", "past", "old", "new", "low"}},
		{"limit", lifecycle.Want{Worker: "w-1", Limit: 3}, []string{"high", "past", "pinned"}},
		{"limit of one", lifecycle.Want{Worker: "w-1", Limit: 1}, []string{"high"}},
		{"agent", lifecycle.Want{Agents: []string{"agent-2"}}, []string{"other agent"}},
		{"organization", lifecycle.Want{Organization: away}, []string{"other organization"}},
		{"several agents", lifecycle.Want{Agents: []string{agent, "agent-2", "agent-3"}, Worker: "w-1"}, []string{"high", "other agent", "past", "pinned", "old", "new", "low"}},
		{"several agents, limit", lifecycle.Want{Agents: []string{"agent-2", agent}, Limit: 3}, []string{"high", "other agent", "past"}},
		{"unknown agent", lifecycle.Want{Agents: []string{"agent-3"}}, []string{}},
	}
	for _, c := range cases {
		e.same(c.name, c.ids, e.take(c.want))
	}
	e.clock.us.Store(int64(soon) - 1)
	e.same("just before run_at", []string{"high"}, e.take(lifecycle.Want{Limit: 1}))
	e.clock.us.Add(1)
	e.same("at run_at", []string{"high", "later"}, e.take(lifecycle.Want{Limit: 2}))
}

// anyQueue compares Take with the plain reading of its contract.
func anyQueue(e *env) {
	var run atomic.Int64
	rapid.Check(e.t, func(t *rapid.T) {
		prefix := fmt.Sprint("agent-of-run-", run.Add(1), "-")
		agents := []string{prefix + "a", prefix + "b", prefix + "c"}
		var all []task.Task
		for i := range rapid.IntRange(0, 30).Draw(t, "tasks") {
			agentID := rapid.SampledFrom(agents).Draw(t, "agent")
			b := beginning(home, fmt.Sprintf("%s-%d", prefix, i), func(b *task.Begin) { b.Spec.AgentID = agentID })
			b.Priority = rapid.SampledFrom([]int{-1, 0, 0, 0, 7}).Draw(t, "priority")
			if rapid.IntRange(0, 2).Draw(t, "pinned") == 0 {
				b.Spec.PinnedWorkerID = new(rapid.SampledFrom([]string{"w-1", "w-2"}).Draw(t, "pin"))
			}
			if rapid.IntRange(0, 2).Draw(t, "scheduled") == 0 {
				b.RunAt = e.clock.stamp().Add(time.Duration(rapid.IntRange(0, 9).Draw(t, "delay")) * time.Second)
			}
			b.Spec.RunLocally = rapid.IntRange(0, 5).Draw(t, "locally") == 0
			all = append(all, e.begin(b.Spec.ID, func(begin *task.Begin) { *begin = b }))
			e.clock.advance(time.Duration(rapid.IntRange(0, 2).Draw(t, "seconds")) * time.Second)
		}
		want := lifecycle.Want{
			Organization: home,
			Agents:       rapid.SliceOfNDistinct(rapid.SampledFrom(agents), 1, 3, rapid.ID).Draw(t, "agents"),
			Worker:       rapid.SampledFrom([]string{"", "w-1", "w-2", "w-3"}).Draw(t, "worker"),
			Limit:        rapid.IntRange(1, 40).Draw(t, "limit"),
		}
		fits := slices.DeleteFunc(slices.Clone(all), func(x task.Task) bool {
			pin := x.Terms.PinnedWorkerID
			return !slices.Contains(want.Agents, x.AgentID) || !x.Dispatchable() || x.ReadyAt > e.clock.stamp() || pin != nil && *pin != want.Worker
		})
		place := func(x task.Task) string { return fmt.Sprintf("priority %d, ready %s", x.State().Priority, x.ReadyAt) }
		slices.SortFunc(fits, func(a, b task.Task) int {
			return cmp.Or(cmp.Compare(b.State().Priority, a.State().Priority), cmp.Compare(a.ReadyAt, b.ReadyAt))
		})
		var expected, got []string // tasks of one place may come in any order
		for _, x := range fits[:min(len(fits), want.Limit)] {
			expected = append(expected, place(x))
		}
		seen := map[string]bool{}
		for _, id := range e.take(want) {
			i := slices.IndexFunc(fits, func(x task.Task) bool { return x.ID == id })
			if i < 0 || seen[id] {
				t.Fatalf("%s may not be handed out, or twice", id)
			}
			seen[id] = true
			got = append(got, place(fits[i]))
		}
		if d := diff(expected, got); d != "" {
			t.Fatalf("%+v (-want +got):\n%s", want, d)
		}
		limit := rapid.IntRange(1, 4).Draw(t, "count")
		fronts, err := e.Fronts(e.t.Context(), home, lanes(want), limit)
		e.ok(err)
		if d := diff(frontsOf(all, want, e.clock.stamp(), limit), slices.SortedFunc(slices.Values(fronts), byLane)); d != "" {
			t.Fatalf("fronts of %+v (-want +got):\n%s", want, d)
		}
		queued, err := e.QueuedAgents(e.t.Context(), home)
		e.ok(err)
		for _, a := range agents {
			expected := slices.ContainsFunc(all, func(x task.Task) bool { return x.AgentID == a && x.Dispatchable() })
			if slices.Contains(queued, a) != expected {
				t.Fatalf("%s has queued tasks: %v, but the agents with some are %v", a, expected, queued)
			}
		}
	})
}

// frontsOf is what Fronts answers by the plain reading of its contract, in its order.
func frontsOf(all []task.Task, w lifecycle.Want, now task.Stamp, limit int) []lifecycle.Front {
	type level struct {
		lifecycle.Lane
		priority int
	}
	found := map[level]*lifecycle.Front{}
	for _, x := range all {
		at := level{lifecycle.Lane{Agent: x.AgentID}, x.State().Priority}
		if pin := x.Terms.PinnedWorkerID; pin != nil {
			at.Pin = *pin
		}
		if !x.Dispatchable() || !slices.Contains(lanes(w), at.Lane) {
			continue
		}
		f := found[at]
		if f == nil {
			f = &lifecycle.Front{Lane: at.Lane, Priority: at.priority, Oldest: x.ReadyAt}
			found[at] = f
		}
		f.Oldest = min(f.Oldest, x.ReadyAt)
		switch {
		case x.ReadyAt <= now:
			f.Ready = min(f.Ready+1, limit)
		case f.Next == 0 || x.ReadyAt < f.Next:
			f.Next = x.ReadyAt
		}
	}
	var list []lifecycle.Front
	for _, f := range found {
		list = append(list, *f)
	}
	slices.SortFunc(list, byLane)
	return list
}

// byLane orders fronts, for comparing them.
func byLane(a, b lifecycle.Front) int {
	return cmp.Or(cmp.Compare(a.Agent, b.Agent), cmp.Compare(a.Pin, b.Pin), cmp.Compare(b.Priority, a.Priority))
}

// queueFollows walks one task through all that takes it from the queue or
// brings it back.
func queueFollows(e *env) {
	e.begin("t")
	steps := []struct {
		name   string
		do     task.Command
		wait   time.Duration
		queued bool
	}{
		{"assigned", assign("py"), 0, false},
		{"not started", lose(1), 0, true},
		{"claimed", claim("w"), 0, false},
		{"lost: backoff", lose(2), 0, false},
		{"backoff over", task.Edit{}, time.Second, true},
		{"paused", task.Pause{}, 0, false},
		{"resumed", task.Resume{}, 0, true},
		{"moved to later", task.Edit{RunAt: new(e.clock.stamp().Add(time.Hour))}, 0, false},
		{"moved to now", task.Edit{RunAt: new(task.Stamp(1))}, 0, true},
		{"executing by itself", task.Patch{Status: task.Executing}, 0, false},
		{"ended", settle(task.EndFailed, "no"), 0, false},
		{"next turn", beginning(home, "t"), 0, true},
		{"stopped", task.RequestStop{}, 0, false},
	}
	for _, s := range steps {
		e.do(home, "t", s.do)
		e.clock.advance(s.wait)
		e.same(s.name, s.queued, len(e.take(lifecycle.Want{Worker: "w"})) == 1)
	}
	e.begin("a")
	e.clock.advance(time.Second)
	e.begin("b")
	e.do(home, "b", task.Edit{Priority: new(5)})
	e.same("after a change of priority", []string{"b", "a"}, e.take(lifecycle.Want{}))
}

// queueInWrite: callers that share a commit do not get the same task.
func queueInWrite(e *env) {
	e.write(func(tx lifecycle.Tx) error {
		want := lifecycle.Want{Organization: home, Agents: []string{agent}, Limit: 1}
		for i := range 3 {
			if err := create(tx, beginning(home, fmt.Sprint("t-", i)), e.clock.stamp()); err != nil {
				return err
			}
		}
		for i := range 3 {
			taken, err := tx.Take(want)
			if err := errors.Join(err, differs("taken", []string{fmt.Sprint("t-", i)}, ids(taken))); err != nil {
				return err
			}
			if err := change(tx, home, taken[0].Task.ID, claim("w"), e.clock.stamp()); err != nil {
				return err
			}
		}
		none, err := tx.Take(want)
		return errors.Join(err, differs("taken from an empty queue", []string{}, ids(none)))
	})
	for i := range 8 {
		e.begin(fmt.Sprint("u-", i))
		e.clock.advance(time.Microsecond)
	}
	taken := make([]string, 9)
	for _, err := range e.crowd(len(taken), func(ctx context.Context, i int) error {
		return e.Write(ctx, nil, func(tx lifecycle.Tx) error {
			taken[i] = ""
			found, err := tx.Take(lifecycle.Want{Organization: home, Agents: []string{agent}, Worker: "w", Limit: 1})
			if err != nil || len(found) == 0 {
				return err
			}
			taken[i] = found[0].Task.ID
			return save(tx, found[0].Task, claim(fmt.Sprint("w-", i)), e.clock.stamp())
		})
	}) {
		e.ok(err)
	}
	slices.Sort(taken)
	e.same("taken by callers who came together", []string{"", "u-0", "u-1", "u-2", "u-3", "u-4", "u-5", "u-6", "u-7"}, taken)
}

// taking: one commit gets the tasks in its order, with specs of any size, and gives
// back what it does nothing with.
func taking(e *env) {
	long := strings.Repeat("é", 100_000)
	e.begin("long", func(b *task.Begin) { b.Spec.Input.Text, b.Priority = &long, 1 })
	e.begin("short", func(b *task.Begin) { b.Spec.Input.Text = new("short") })
	e.begin("other", func(b *task.Begin) { b.Spec.AgentID = "agent-2" })
	for range 2 {
		e.same("taken and given back", []string{"long", "short"}, e.take(lifecycle.Want{}))
	}
	err := e.Write(e.t.Context(), nil, func(tx lifecycle.Tx) error {
		taken, err := tx.Take(lifecycle.Want{Organization: home, Agents: []string{agent}, Limit: 2})
		if err != nil {
			return err
		}
		for _, s := range taken {
			if err := save(tx, s.Task, assign("py"), e.clock.stamp()); err != nil {
				return err
			}
		}
		again, err := tx.Take(lifecycle.Want{Organization: home, Agents: []string{agent}, Limit: 2})
		return errors.Join(err, differs("taken again", []string{}, ids(again)), errUndo)
	})
	if !errors.Is(err, errUndo) || strings.Contains(err.Error(), "\n") {
		e.t.Fatal(err)
	}
	e.same("after a write that was undone", []string{"long", "short"}, e.take(lifecycle.Want{}))
}

func waiting(e *env) {
	pin := func(b *task.Begin) { b.Spec.PinnedWorkerID = new("w-1") }
	for i, id := range []string{"a", "b", "c", "d"} {
		e.begin(id, func(b *task.Begin) { b.Priority = []int{0, 5, 0, 0}[i] })
		e.clock.advance(time.Second)
	}
	e.begin("pinned 1", pin)
	e.begin("pinned 2", pin, func(b *task.Begin) { b.Priority = -1 })
	e.begin("later", func(b *task.Begin) { b.Priority, b.RunAt = 100, e.clock.stamp().Add(time.Hour) })
	e.begin("of another agent", func(b *task.Begin) { b.Spec.AgentID = "agent-2" })
	e.begin("elsewhere", func(b *task.Begin) { b.Spec.OrganizationID, b.Priority = away, 100 })
	queue := func(id string) lifecycle.Queue {
		q, err := e.Waiting(e.t.Context(), home, id)
		e.ok(err)
		return q
	}
	for id, ahead := range map[string]int{"b": 0, "a": 1, "c": 2, "d": 3, "pinned 1": 0, "pinned 2": 1, "of another agent": 0} {
		e.same("ahead of "+id, ahead, queue(id).Ahead)
	}
	e.same("nobody works", lifecycle.Queue{Occupied: map[string]bool{}}, queue("b"))

	e.do(home, "a", claim("w-1"))
	e.same("executing", 1, queue("d").Executing)
	e.same("ahead", 2, queue("d").Ahead)
	e.same("executing of another agent", 0, queue("of another agent").Executing)

	w1 := lifecycle.Worker{Organization: home, Agent: agent, ID: "w-1", Kind: lifecycle.PythonWorker, RegisteredAt: 5, LastHeard: 10, Busy: true}
	w2 := lifecycle.Worker{Organization: home, Agent: agent, ID: "w-2", Kind: lifecycle.FencedWorker, RegisteredAt: 6, LastHeard: 20, Connected: true, Barred: true}
	alien, stranger := w1, w1
	alien.Agent, stranger.Organization = "agent-2", away
	e.write(func(tx lifecycle.Tx) error {
		for _, w := range []lifecycle.Worker{w1, w2, alien, stranger} {
			if err := tx.PutWorker(w); err != nil {
				return err
			}
		}
		return nil
	})
	e.same("workers, the last heard first", []lifecycle.Worker{w2, w1}, queue("d").Workers)

	e.same("a worker that holds an attempt", map[string]bool{"w-1": true}, queue("pinned 1").Occupied)
	e.same("of another agent", map[string]bool{"w-1": true}, queue("of another agent").Occupied)
	e.clock.advance(time.Minute)
	e.same("a worker whose lease has run out", map[string]bool{}, queue("pinned 1").Occupied)
	e.do(home, "d", task.Pause{By: "first"}, task.Resume{By: "x"}, task.Pause{By: "second"})
	e.same("paused by", "second", queue("d").PausedBy)
	e.same("paused by nobody", "", queue("c").PausedBy)
}

func counts(e *env) {
	e.begin("a", func(b *task.Begin) { b.RunAt = e.clock.stamp().Add(time.Hour) })
	e.clock.advance(time.Second)
	oldest := e.begin("b").ReadyAt
	e.clock.advance(time.Second)
	e.begin("c")
	e.begin("local", func(b *task.Begin) { b.Spec.RunLocally = true })
	e.begin("ended")
	e.do(home, "ended", settle(task.EndCompleted, "r"))
	e.begin("x", func(b *task.Begin) { b.Spec.AgentID = "agent-2" })
	e.begin("y", func(b *task.Begin) { b.Spec.OrganizationID = away })
	e.do(away, "y", claim("w"))
	statuses, queues, err := e.Counts(e.t.Context(), home)
	e.ok(err)
	e.same("by status", []lifecycle.StatusCount{{Status: task.Pending, Count: 5}, {Status: task.Executing}, {Status: task.Paused}}, statuses)
	slices.SortFunc(queues, func(a, b lifecycle.QueueDepth) int { return cmp.Compare(a.Agent, b.Agent) })
	e.same("queues", []lifecycle.QueueDepth{
		{Agent: agent, Count: 3, Oldest: oldest},
		{Agent: "agent-2", Count: 1, Oldest: oldest.Add(time.Second)},
	}, queues)
	elsewhere, none, err := e.Counts(e.t.Context(), away)
	e.ok(err)
	e.same("elsewhere", []lifecycle.StatusCount{{Status: task.Pending}, {Status: task.Executing, Count: 1}, {Status: task.Paused}}, elsewhere)
	e.same("queues elsewhere", 0, len(none))
	size, err := e.Size(e.t.Context())
	e.ok(err)
	e.same("has a size", true, size > 0)
}

// queued counts what waits for a worker, now or later, pinned or not.
func queued(e *env) {
	count := func(want, limit int) {
		e.t.Helper()
		e.same("queued", want, read(e, func(tx lifecycle.Tx) (int, error) { return tx.Queued(home, agent, limit) }))
	}
	count(0, 9)
	e.begin("a")
	e.begin("b", func(b *task.Begin) { b.Spec.PinnedWorkerID, b.Priority = new("w"), 5 })
	e.begin("c", func(b *task.Begin) { b.RunAt = e.clock.stamp().Add(time.Hour) })
	e.begin("local", func(b *task.Begin) { b.Spec.RunLocally = true })
	e.begin("another agent's", func(b *task.Begin) { b.Spec.AgentID = "agent-2" })
	e.begin("elsewhere", func(b *task.Begin) { b.Spec.OrganizationID = away })
	count(3, 9)
	count(2, 2)
	e.do(home, "a", claim("w"))
	count(2, 9)
}
