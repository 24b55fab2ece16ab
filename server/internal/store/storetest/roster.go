package storetest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

func rosterParts() []part {
	return []part{
		{"Workers", workers},
		{"KinOfWorkers", siblings},
		{"WorkersOfANode", ofNode},
		{"AbsentWorkers", absent},
		{"OrphansOfDeletedTasks", orphans},
		{"PostsCountOnce", posts},
		{"NodesAndWhenAnyWasThere", nodes},
		{"LeasedTellsOfAnyLease", leased},
	}
}

// pythonWorker is a Python worker in which every field is set.
func pythonWorker(org, id string, now task.Stamp) lifecycle.Worker {
	return lifecycle.Worker{
		Organization: org, Agent: agent, ID: id, Kind: lifecycle.PythonWorker,
		RegisteredAt: now, LastHeard: now + 1, Connected: true, Node: "node-1", Busy: true, Barred: true,
		KeyID: "key", Address: "10.0.0.1", LastBeat: now + 2, CutAt: now + 3, HeirUntil: now + 4, OwnerIn: "a", HeirOf: "b",
		Tally: lifecycle.Tally{Posts: 3, Reports: 1, Lost: 1, Doubts: []lifecycle.Doubt{{Post: 3, Missing: 1}}},
	}
}

func (e *env) put(workers ...lifecycle.Worker) {
	e.t.Helper()
	e.write(func(tx lifecycle.Tx) error {
		var failed []error
		for _, w := range workers {
			failed = append(failed, tx.PutWorker(w))
		}
		return errors.Join(failed...)
	})
}

func (e *env) worker(org, agentID, id string) *lifecycle.Worker {
	e.t.Helper()
	return read(e, func(tx lifecycle.Tx) (*lifecycle.Worker, error) { return tx.Worker(org, agentID, id) })
}

// named lists the ids of workers in order.
func named(workers []lifecycle.Worker) []string {
	found := []string{}
	for _, w := range workers {
		found = append(found, w.ID)
	}
	slices.Sort(found)
	return found
}

func workers(e *env) {
	now := e.clock.stamp()
	w := pythonWorker(home, "w", now)
	other, foreign := w, w
	other.Agent, other.Kind, other.Connected = "agent-2", lifecycle.FencedWorker, false
	foreign.Organization, foreign.Busy = away, false
	none := (*lifecycle.Worker)(nil)
	e.put(w, other, foreign)
	e.same("worker", &w, e.worker(home, agent, "w"))
	e.same("the same id of another agent", &other, e.worker(home, "agent-2", "w"))
	e.same("elsewhere", &foreign, e.worker(away, agent, "w"))
	e.same("unknown", none, e.worker(home, agent, "v"))
	python := func(org, id string) *lifecycle.Worker {
		e.t.Helper()
		return read(e, func(tx lifecycle.Tx) (*lifecycle.Worker, error) { return tx.PythonWorker(org, id) })
	}
	e.same("Python worker", &w, python(home, "w"))
	e.same("Python worker elsewhere", &foreign, python(away, "w"))
	e.same("unknown Python worker", none, python(home, "v"))

	again := lifecycle.Worker{Organization: home, Agent: agent, ID: "w", Kind: lifecycle.FencedWorker, RegisteredAt: now + 9, LastHeard: now + 9, Tally: lifecycle.Tally{}}
	e.put(again)
	e.same("all of it is overwritten", &again, e.worker(home, agent, "w"))
	e.same("it is no Python worker any more", none, python(home, "w"))
	e.same("its namesake", &other, e.worker(home, "agent-2", "w"))
	e.write(func(tx lifecycle.Tx) error { // a commit sees what it has written
		if err := tx.PutWorker(w); err != nil {
			return err
		}
		got, err := tx.Worker(home, agent, "w")
		return errors.Join(err, differs("worker in its write", &w, got))
	})

	connected := func(org, agentID string) string {
		e.t.Helper()
		return read(e, func(tx lifecycle.Tx) (string, error) { return tx.Connected(org, agentID) })
	}
	e.same("connected", "w", connected(home, agent))
	e.same("none of the other agent", "", connected(home, "agent-2"))
	e.same("connected elsewhere", "w", connected(away, agent))
	e.put(again)
	e.same("none after it has gone", "", connected(home, agent))

	e.write(func(tx lifecycle.Tx) error {
		return errors.Join(tx.DropWorker(home, agent, "w"), tx.DropWorker(home, agent, "never there"))
	})
	e.same("dropped", none, e.worker(home, agent, "w"))
	e.same("its namesake stays", &other, e.worker(home, "agent-2", "w"))
	e.same("and the one elsewhere", &foreign, e.worker(away, agent, "w"))
}

// kin: the Python workers of one agent, key and address, the last heard first.
func siblings(e *env) {
	now := e.clock.stamp()
	var family []lifecycle.Worker
	for i := range 4 {
		w := pythonWorker(home, fmt.Sprint("w-", i), now)
		w.LastHeard = now.Add(time.Duration(-i) * time.Second)
		w.Connected = i%2 == 0
		family = append(family, w)
	}
	for i, edit := range []func(*lifecycle.Worker){
		func(w *lifecycle.Worker) { w.Agent = "agent-2" },
		func(w *lifecycle.Worker) { w.KeyID = "another" },
		func(w *lifecycle.Worker) { w.Address = "10.0.0.2" },
		func(w *lifecycle.Worker) { w.Kind = lifecycle.FencedWorker },
		func(w *lifecycle.Worker) { w.Organization = away },
	} {
		stranger := pythonWorker(home, fmt.Sprint("stranger-", i), now)
		edit(&stranger)
		e.put(stranger)
	}
	e.put(family[2], family[0], family[3], family[1])
	e.same("kin", family, read(e, func(tx lifecycle.Tx) ([]lifecycle.Worker, error) { return tx.Siblings(family[1]) }))
	unknown := family[0]
	unknown.ID = "never seen"
	e.same("kin of somebody new", family, read(e, func(tx lifecycle.Tx) ([]lifecycle.Worker, error) { return tx.Siblings(unknown) }))
	beside, err := e.SiblingsOf(e.t.Context(), home, "w-3")
	e.ok(err)
	e.same("kin by an id", family, beside)
	for _, id := range []string{"stranger-3", "never seen"} { // no Python worker
		none, err := e.SiblingsOf(e.t.Context(), home, id)
		e.ok(err)
		e.same("kin of "+id, 0, len(none))
	}
	foreign, err := e.SiblingsOf(e.t.Context(), away, "w-3")
	e.ok(err)
	e.same("kin elsewhere", 0, len(foreign))
}

// ofNode: the Python workers of a node whose streams are open, or which may have
// an heir, of all organizations.
func ofNode(e *env) {
	now := e.clock.stamp()
	for id, edit := range map[string]func(*lifecycle.Worker){
		"open":          func(w *lifecycle.Worker) { w.HeirUntil = 0 },
		"open and heir": func(*lifecycle.Worker) {},
		"heir":          func(w *lifecycle.Worker) { w.Connected = false },
		"open abroad":   func(w *lifecycle.Worker) { w.Organization = away },
		"open, agent-2": func(w *lifecycle.Worker) { w.Agent = "agent-2" },
		"neither":       func(w *lifecycle.Worker) { w.Connected, w.HeirUntil = false, 0 },
		"fenced":        func(w *lifecycle.Worker) { w.Kind = lifecycle.FencedWorker },
		"of another":    func(w *lifecycle.Worker) { w.Node = "node-2" },
	} {
		w := pythonWorker(home, id, now)
		edit(&w)
		e.put(w)
	}
	of := func(node string) []lifecycle.Worker {
		e.t.Helper()
		return read(e, func(tx lifecycle.Tx) ([]lifecycle.Worker, error) { return tx.OfNode(node) })
	}
	e.same("of the node", []string{"heir", "open", "open abroad", "open and heir", "open, agent-2"}, named(of("node-1")))
	e.same("of another", []string{"of another"}, named(of("node-2")))
	e.same("of none", []string{}, named(of("")))
	for _, w := range of("node-2") {
		e.same("as it was put", e.worker(home, agent, w.ID), &w)
	}
}

// absent: workers of either kind, without an open stream, that were last heard
// before a moment.
func absent(e *env) {
	now := e.clock.stamp()
	gone := func(org string, before task.Stamp, limit int) []string {
		e.t.Helper()
		return named(read(e, func(tx lifecycle.Tx) ([]lifecycle.Worker, error) { return tx.Absent(org, before, limit) }))
	}
	e.same("nobody", []string{}, gone(home, now, 9))
	for i := range 5 {
		w := pythonWorker(home, fmt.Sprint("w-", i), now)
		w.Connected, w.LastHeard = i == 0, now.Add(time.Duration(i)*time.Second)
		if i == 2 {
			w.Kind = lifecycle.FencedWorker
		}
		e.put(w)
	}
	foreign := pythonWorker(away, "foreign", now)
	foreign.Connected, foreign.LastHeard = false, now
	e.put(foreign)
	e.same("just heard", []string{}, gone(home, now.Add(time.Second), 9))
	e.same("one that is older", []string{"w-1"}, gone(home, now.Add(time.Second)+1, 9))
	e.same("all without a stream", []string{"w-1", "w-2", "w-3", "w-4"}, gone(home, now.Add(time.Hour), 9))
	e.same("at most so many", 2, len(gone(home, now.Add(time.Hour), 2)))
	e.same("elsewhere", []string{"foreign"}, gone(away, now.Add(time.Hour), 9))
}

// orphans: attempts on Python workers that deleted tasks have left behind, and
// which were assigned before a moment.
func orphans(e *env) {
	list := func(org string, before task.Stamp, limit int) []string {
		e.t.Helper()
		found := []string{}
		for _, x := range read(e, func(tx lifecycle.Tx) ([]lifecycle.TaskAttempt, error) { return tx.Orphans(org, before, limit) }) {
			found = append(found, fmt.Sprint(x.Task, " ", x.Number, " of ", x.WorkerID))
			e.same("orphan", *read(e, func(tx lifecycle.Tx) (*task.Attempt, error) { return tx.Attempt(org, x.Task, x.Number) }), x.Attempt)
		}
		slices.Sort(found)
		return found
	}
	begun := e.clock.stamp()
	for _, id := range []string{"runs", "never started", "told", "fenced", "kept"} {
		e.begin(id)
	}
	e.do(home, "runs", assign("py"), start())
	e.do(home, "never started", assign("py"))
	e.do(home, "told", assign("py"), start(), task.Patch{Full: true, Status: task.Completed, Number: 1, From: &task.Attempt{Number: 1}})
	e.do(home, "fenced", claim("w"))
	e.do(home, "kept", assign("py"), start())
	e.begin("elsewhere", func(b *task.Begin) { b.Spec.OrganizationID = away })
	e.do(away, "elsewhere", assign("py"), start())
	later := begun + 1
	e.same("none of tasks that are there", []string{}, list(home, later, 9))
	e.write(func(tx lifecycle.Tx) error {
		failed := []error{remove(tx, away, "elsewhere", begun)}
		for _, id := range []string{"runs", "never started", "told", "fenced"} {
			failed = append(failed, remove(tx, home, id, begun))
		}
		return errors.Join(failed...)
	})
	e.same("not assigned before", []string{}, list(home, begun, 9))
	e.same("orphans", []string{"never started 1 of py", "runs 1 of py"}, list(home, later, 9))
	e.same("orphans elsewhere", []string{"elsewhere 1 of py"}, list(away, later, 9))
	e.same("at most so many", 1, len(list(home, later, 1)))
	e.begin("runs", func(b *task.Begin) { b.Numbered = 1 })
	e.same("whose id a new task has taken", []string{"never started 1 of py"}, list(home, later, 9))
	e.write(func(tx lifecycle.Tx) error {
		if err := tx.DropAttempt(home, "never started", 1); err != nil {
			return err
		}
		left, err := tx.Orphans(home, later, 9)
		return errors.Join(err, differs("orphans after one was dropped", 0, len(left)))
	})
}

// posts: a Python worker's posts are told apart by their ids, each worker's by itself.
func posts(e *env) {
	note := func(org, worker, id string) bool {
		e.t.Helper()
		return read(e, func(tx lifecycle.Tx) (bool, error) {
			known, err := tx.Posted(org, worker, id)
			if err != nil || known {
				return false, err
			}
			if err := tx.PutPost(org, worker, id); err != nil {
				return false, err
			}
			known, err = tx.Posted(org, worker, id)
			return true, errors.Join(err, differs("posted, in its write", true, known))
		})
	}
	e.same("new", true, note(home, "py", "1"))
	e.same("repeated", false, note(home, "py", "1"))
	e.same("the next", true, note(home, "py", "2"))
	e.same("another worker's", true, note(home, "py-2", "1"))
	e.same("elsewhere", true, note(away, "py", "1"))
	now := e.clock.stamp()
	e.clock.advance(time.Second)
	e.same("later", true, note(home, "py", "3"))
	e.write(func(tx lifecycle.Tx) error { return tx.DropPosts(home, now) })
	e.same("not older than the moment", false, note(home, "py", "1"))
	e.write(func(tx lifecycle.Tx) error { return tx.DropPosts(home, now+1) })
	e.same("forgotten", true, note(home, "py", "1"))
	e.same("not forgotten", false, note(home, "py", "3"))
	e.same("not forgotten elsewhere", false, note(away, "py", "1"))
	if e.Write(e.t.Context(), nil, func(tx lifecycle.Tx) error { return tx.PutPost(home, "py", "3") }) == nil {
		e.t.Error("a post was remembered twice")
	}
}

func nodes(e *env) {
	list := func() []lifecycle.Node { return append([]lifecycle.Node{}, read(e, lifecycle.Tx.Nodes)...) }
	e.same("alive at first", lifecycle.Alive{}, read(e, lifecycle.Tx.Alive))
	e.same("nodes at first", []lifecycle.Node{}, list())
	alive := lifecycle.Alive{Heard: 5, Renewed: 3, Sweeper: "a"}
	e.write(func(tx lifecycle.Tx) error {
		if err := errors.Join(tx.PutAlive(alive), tx.PutNode(lifecycle.Node{ID: "b", Heard: 1}), tx.PutNode(lifecycle.Node{ID: "a", Heard: 2})); err != nil {
			return err
		}
		got, err := tx.Alive()
		all, failed := tx.Nodes()
		return errors.Join(err, failed, differs("alive in its write", alive, got), differs("nodes in their write", 2, len(all)))
	})
	e.same("alive", alive, read(e, lifecycle.Tx.Alive))
	e.write(func(tx lifecycle.Tx) error {
		return errors.Join(tx.PutNode(lifecycle.Node{ID: "b", Heard: 9}), tx.PutAlive(lifecycle.Alive{Heard: 9, Sweeper: "b"}))
	})
	e.same("alive again", lifecycle.Alive{Heard: 9, Sweeper: "b"}, read(e, lifecycle.Tx.Alive))
	e.same("nodes", []lifecycle.Node{{ID: "a", Heard: 2}, {ID: "b", Heard: 9}}, list())
	e.write(func(tx lifecycle.Tx) error { return errors.Join(tx.DropNode("a"), tx.DropNode("never there")) })
	e.same("nodes that are left", []lifecycle.Node{{ID: "b", Heard: 9}}, list())
	e.ok(e.Close())
	e.open()
	e.same("nodes of the opened store", []lifecycle.Node{{ID: "b", Heard: 9}}, list())
	e.same("alive of the opened store", lifecycle.Alive{Heard: 9, Sweeper: "b"}, read(e, lifecycle.Tx.Alive))
}

// leased tells whether anybody waits for a lease, whatever its organization.
func leased(e *env) {
	expect := func(what string, want bool) {
		e.t.Helper()
		e.same(what, want, read(e, lifecycle.Tx.Leased))
	}
	expect("at first", false)
	e.begin("t", func(b *task.Begin) { b.Spec.OrganizationID = away })
	expect("waiting", false)
	e.do(away, "t", claim("w"))
	expect("claimed", true)
	e.clock.advance(time.Hour)
	expect("an hour later", true)
	e.do(away, "t", lose(1))
	expect("lost", false)
	e.clock.advance(time.Hour)
	e.do(away, "t", assign("py"), task.Patch{Full: true, Status: task.Executing, Number: 2}, settle(task.EndFailed, "r"))
	expect("ended, not let go", true)
	e.write(func(tx lifecycle.Tx) error { return remove(tx, away, "t", e.clock.stamp()) }, about(away, "t")...)
	expect("deleted, not let go", true)
	e.write(func(tx lifecycle.Tx) error { return tx.DropAttempt(away, "t", 2) })
	expect("dropped", false)
}
