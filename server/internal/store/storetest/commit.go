package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"pgregory.net/rapid"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

func commitParts() []part {
	return []part{
		{"ErrorUndoesOnlyItsOwnWrites", ownWrites},
		{"ErrorAfterAQuestionCostsNobody", failsAfterQuestion},
		{"RefusedWritesFailOnlyTheirCaller", refusedWrites},
		{"CallersOfOneCommit", callersOfOneCommit},
		{"WritesOfOneCommitKeepTheirOrder", writesInOrder},
		{"EveryCallerLearnsItsOwnOutcome", outcomes},
		{"CancelledCallersAreNotRun", cancelled},
		{"ReadsAnswerNotFound", notFound},
		{"CommitsAreToldInOrder", toldInOrder},
		{"UndoneCommitsAreNotTold", undoneNotTold},
		{"ManyWritersOfOneTask", manyWriters},
		{"CompareAndSetHasOneWinner", oneWinner},
	}
}

// writesOf are one write of each kind, in the name of an id.
func (e *env) writesOf(id string) map[string]func(lifecycle.Tx) error {
	now := e.clock.stamp()
	return map[string]func(lifecycle.Tx) error{
		"creation": func(tx lifecycle.Tx) error { return create(tx, beginning(home, id), now) },
		"secret":   func(tx lifecycle.Tx) error { return tx.PutSecret(home, lifecycle.OfTask, id, []byte("s")) },
		"agent":    func(tx lifecycle.Tx) error { return tx.PutAgent(agentRecord(home, id, 1)) },
		"replay": func(tx lifecycle.Tx) error {
			return tx.PutReplay(home, "r", id, nil, lifecycle.Replay{Hash: []byte("h"), TaskID: "of nobody"})
		},
		"worker": func(tx lifecycle.Tx) error {
			return tx.PutWorker(lifecycle.Worker{Organization: home, Agent: agent, ID: id, Kind: lifecycle.PythonWorker})
		},
		"node":    func(tx lifecycle.Tx) error { return tx.PutNode(lifecycle.Node{ID: id, Heard: now}) },
		"post":    func(tx lifecycle.Tx) error { return tx.PutPost(home, id, "1") },
		"attempt": func(tx lifecycle.Tx) error { return tx.PutAttempt(home, "gone "+id, orphan(id, now)) },
	}
}

// orphan is an attempt that its task has left behind.
func orphan(worker string, now task.Stamp) task.Attempt {
	return task.Attempt{Number: 1, Turn: 1, InTurn: 1, WorkerID: worker, AssignedAt: now, StartedAt: now, EndedAt: now}
}

// stored lists which of those writes are there.
func (e *env) stored(id string) []string {
	e.t.Helper()
	ctx := e.t.Context()
	found := map[string]bool{}
	there := func(err error) bool {
		if fault.CodeOf(err) == fault.NotFound {
			return false
		}
		e.ok(err)
		return true
	}
	_, err := e.Agent(ctx, home, id, 0)
	found["agent"] = there(err)
	_, err = e.Task(ctx, auth.All(home), id)
	found["creation"] = there(err)
	secret, err := e.Secret(ctx, home, lifecycle.OfTask, id)
	found["secret"] = there(err) && secret != nil
	e.write(func(tx lifecycle.Tx) error {
		left, err := tx.Attempts(home, "gone "+id)
		found["attempt"] = len(left) > 0
		nodes, failed := tx.Nodes()
		err = errors.Join(err, failed)
		found["node"] = slices.ContainsFunc(nodes, func(n lifecycle.Node) bool { return n.ID == id })
		found["post"], failed = tx.Posted(home, id, "1")
		err = errors.Join(err, failed)
		replay, failed := tx.Replay(home, "r", id)
		err = errors.Join(err, failed)
		found["replay"] = replay != nil
		w, failed := tx.Worker(home, agent, id)
		found["worker"] = w != nil
		return errors.Join(err, failed)
	})
	maps.DeleteFunc(found, func(_ string, there bool) bool { return !there })
	return append([]string{}, slices.Sorted(maps.Keys(found))...)
}

// questions are those that only the database can answer, for which a store has to
// send what was recorded.
func (e *env) questions() map[string]func(lifecycle.Tx) error {
	now := e.clock.stamp()
	ask := func(_ any, err error) error { return err }
	return map[string]func(lifecycle.Tx) error{
		"Children":  func(tx lifecycle.Tx) error { return ask(tx.Children(home, "nothing", 1000)) },
		"AgedBelow": func(tx lifecycle.Tx) error { return ask(tx.AgedBelow(home, "nothing")) },
		"Take": func(tx lifecycle.Tx) error {
			return ask(tx.Take(lifecycle.Want{Organization: home, Agents: []string{agent}, Limit: 1}))
		},
		"AttemptsOf":    func(tx lifecycle.Tx) error { return ask(tx.AttemptsOf(home, "w")) },
		"Untold":        func(tx lifecycle.Tx) error { return ask(tx.Untold(home, "w")) },
		"Attempts":      func(tx lifecycle.Tx) error { return ask(tx.Attempts(home, "nothing")) },
		"Attempt":       func(tx lifecycle.Tx) error { return ask(tx.Attempt(home, "nothing", 1)) },
		"Orphans":       func(tx lifecycle.Tx) error { return ask(tx.Orphans(home, now, 10)) },
		"Queued":        func(tx lifecycle.Tx) error { return ask(tx.Queued(home, agent, 10)) },
		"SeqsOfClients": func(tx lifecycle.Tx) error { return ask(tx.SeqsOfClients(home, "nothing", 1, []string{"c"})) },
		"TurnEnd":       func(tx lifecycle.Tx) error { _, _, err := tx.TurnEnd(home, "nothing", 1); return err },
		"Agent": func(tx lifecycle.Tx) error {
			if _, err := tx.Agent(home, "nothing", 0); fault.CodeOf(err) != fault.NotFound {
				return fmt.Errorf("an agent that is not there: %w", err)
			}
			return nil
		},
		"Used": func(tx lifecycle.Tx) error {
			return ask(tx.Used(home, task.Spender{Of: task.CapKey, ID: "nothing"}, 1, now))
		},
		"HasOpenTask": func(tx lifecycle.Tx) error { return ask(tx.HasOpenTask(home, "nothing")) },
		"Worker":      func(tx lifecycle.Tx) error { return ask(tx.Worker(home, agent, "nothing")) },
		"OfNode":      func(tx lifecycle.Tx) error { return ask(tx.OfNode("nothing")) },
		"Absent":      func(tx lifecycle.Tx) error { return ask(tx.Absent(home, now, 10)) },
		"Nodes":       func(tx lifecycle.Tx) error { return ask(tx.Nodes()) },
		"Replay":      func(tx lifecycle.Tx) error { return ask(tx.Replay(home, "r", "nothing")) },
		"Replays":     func(tx lifecycle.Tx) error { return ask(tx.Replays(home, "r", []string{"nothing"})) },
		"Posted":      func(tx lifecycle.Tx) error { return ask(tx.Posted(home, "nothing", "1")) },
		"all": func(tx lifecycle.Tx) error {
			return errors.Join(ask(tx.Children(home, "nothing", 1000)), ask(tx.AttemptsOf(home, "w")), ask(tx.Nodes()), ask(tx.Leased()),
				ask(tx.Replay(home, "r", "nothing")), ask(tx.Posted(home, "nothing", "1")), ask(tx.Connected(home, agent)))
		},
	}
}

// ownWrites undoes one write of each kind.
func ownWrites(e *env) {
	before := e.begin("t")
	fed := e.feed()
	writes := e.writesOf("new")
	all := func(tx lifecycle.Tx) error {
		var failed []error
		for _, fn := range e.writesOf("new") {
			failed = append(failed, fn(tx))
		}
		return errors.Join(failed...)
	}
	maps.Copy(writes, map[string]func(lifecycle.Tx) error{
		"nothing":  func(lifecycle.Tx) error { return nil },
		"change":   func(tx lifecycle.Tx) error { return change(tx, home, "t", chunk("x"), e.clock.stamp()) },
		"deletion": func(tx lifecycle.Tx) error { return tx.Delete(home, "t") },
		"alive":    func(tx lifecycle.Tx) error { return tx.PutAlive(lifecycle.Alive{Heard: 1, Renewed: 2, Sweeper: "x"}) },
		"drops": func(tx lifecycle.Tx) error {
			return errors.Join(tx.DropAttempt(home, "t", 1), tx.DropNode("x"), tx.DropWorker(home, agent, "x"), tx.DropPosts(home, 1<<60), tx.DropReplays(home, 1<<60))
		},
		"bad write": func(tx lifecycle.Tx) error { return create(tx, beginning(home, "t"), e.clock.stamp()) },
		"all":       all,
	})
	boom := func(lifecycle.Tx) error { return errUndo }
	panics := func(lifecycle.Tx) error { panic(errUndo) } //nolint:forbidigo // what is tested
	asks := func(tx lifecycle.Tx) error { return errors.Join(e.questions()["all"](tx), errUndo) }
	for i, then := range []func(lifecycle.Tx) error{boom, panics, asks} {
		for name, fn := range writes {
			err := e.Write(e.t.Context(), about(home, "t"), func(tx lifecycle.Tx) error {
				if err := fn(tx); err != nil {
					return err
				}
				return then(tx)
			})
			if err == nil {
				e.t.Errorf("%s: a failed write answered no error", name)
			}
			e.same(fmt.Sprintf("%s, undone in way %d", name, i), []string{}, e.stored("new"))
		}
	}
	e.same("task", before, e.task(home, "t").Task)
	e.same("log", 1, len(e.log("t")))
	e.same("alive", lifecycle.Alive{}, read(e, lifecycle.Tx.Alive))
	e.same("feed", fed, e.feed())
	e.write(all)
	e.same("the same, not undone", 8, len(e.stored("new")))
}

// crowd runs n writes that wait for the store at the same time, in their order: a
// store with one writer puts them into one commit. Each is given a context of its
// own, which it has to pass to the store.
func (e *env) crowd(n int, write func(ctx context.Context, i int) error) []error {
	e.t.Helper()
	var all sync.WaitGroup
	var begun sync.Once
	busy, free := make(chan struct{}), make(chan struct{})
	first := make(chan error, 1)
	all.Go(func() { // occupies the writer until all have come
		first <- e.Write(e.t.Context(), nil, func(lifecycle.Tx) error {
			begun.Do(func() { close(busy) })
			<-free
			return nil
		})
	})
	select {
	case <-busy:
	case err := <-first:
		e.t.Fatalf("a write that does nothing: %v", err)
	}
	answers := make([]error, n)
	for i := range n {
		ctx := &comer{Context: e.t.Context(), waits: make(chan struct{})}
		all.Go(func() {
			answers[i] = write(ctx, i)
			ctx.come()
		})
		<-ctx.waits
	}
	close(free)
	all.Wait()
	e.ok(<-first)
	return answers
}

// comer is a context that tells when somebody begins to wait for its end, as
// whoever has asked a store to write does.
type comer struct {
	context.Context //nolint:containedctx // it is one
	once            sync.Once
	waits           chan struct{}
}

func (c *comer) come() { c.once.Do(func() { close(c.waits) }) }

// Done implements context.Context.
func (c *comer) Done() <-chan struct{} {
	c.come()
	return c.Context.Done()
}

// failsAfterQuestion: a function fails after it has recorded writes of each kind
// and after a question forced them to be sent. Nothing of it is stored, what its
// neighbours in the commit wrote is, and none of them is run again.
func failsAfterQuestion(e *env) {
	e.begin("shared")
	length := int64(1)
	round := 0
	for name, ask := range e.questions() {
		round++
		const callers = 5 // the second and the fourth fail
		id := func(i int) string { return fmt.Sprintf("t-%d-%d", round, i) }
		runs := make([]atomic.Int32, callers)
		answers := e.crowd(callers, func(ctx context.Context, i int) error {
			return e.Write(ctx, nil, func(tx lifecycle.Tx) error {
				runs[i].Add(1)
				var failed []error
				for _, fn := range e.writesOf(id(i)) {
					failed = append(failed, fn(tx))
				}
				failed = append(failed, ask(tx))
				if i%2 == 1 {
					failed = append(failed, change(tx, home, "shared", chunk("undone"), e.clock.stamp()), ask(tx), errUndo)
				}
				return errors.Join(failed...)
			})
		})
		for i, err := range answers {
			want, there := error(nil), 8
			if i%2 == 1 {
				want, there = errUndo, 0
			}
			if !errors.Is(err, want) || (err == nil) != (want == nil) || strings.Contains(fmt.Sprint(err), "\n") {
				e.t.Errorf("%s: caller %d was answered %v, want %v", name, i, err, want)
			}
			e.same(fmt.Sprintf("%s: writes of caller %d", name, i), there, len(e.stored(id(i))))
			e.same(fmt.Sprintf("%s: events told of caller %d", name, i), min(there, 1), len(e.told.events(home, id(i))))
			e.same(fmt.Sprintf("%s: runs of caller %d", name, i), int32(1), runs[i].Load())
		}
		// What was undone is not remembered either.
		e.do(home, "shared", chunk("kept"))
		length++
		e.same(name+": shared task", length, e.task(home, "shared").Task.LastSeq)
	}
	e.same("length of the shared log", length, int64(len(e.log("shared"))))
}

// refusedWrites: what the database refuses fails the caller who wrote it, however
// late it turns out, and nobody else.
func refusedWrites(e *env) {
	e.begin("there")
	before := e.belongings(home, "there")
	for name, bad := range map[string]func(lifecycle.Tx) error{
		"an id that is taken": func(tx lifecycle.Tx) error { return create(tx, beginning(home, "there"), e.clock.stamp()) },
		"a version that is taken": func(tx lifecycle.Tx) error {
			return errors.Join(tx.PutAgent(agentRecord(home, "a", 1)), tx.PutAgent(agentRecord(home, "a", 1)))
		},
	} {
		for _, ask := range []func(lifecycle.Tx) error{e.questions()["all"], func(lifecycle.Tx) error { return nil }} {
			answers := e.crowd(4, func(ctx context.Context, i int) error {
				return e.Write(ctx, nil, func(tx lifecycle.Tx) error {
					if i%2 == 1 {
						return bad(tx)
					}
					return errors.Join(tx.PutNode(lifecycle.Node{ID: fmt.Sprint(name, i), Heard: e.clock.stamp()}), ask(tx))
				})
			})
			for i, err := range answers {
				if (err != nil) != (i%2 == 1) {
					e.t.Errorf("%s: caller %d was answered %v", name, i, err)
				}
			}
			for i := range answers {
				there := slices.Contains(e.stored(fmt.Sprint(name, i)), "node")
				e.same(fmt.Sprintf("%s: node of caller %d", name, i), i%2 == 0, there)
			}
			e.write(func(tx lifecycle.Tx) error {
				return errors.Join(tx.DropNode(fmt.Sprint(name, 0)), tx.DropNode(fmt.Sprint(name, 2)))
			})
		}
	}
	e.same("the task that was there", before, e.belongings(home, "there"))
}

// callersOfOneCommit: whatever the mixture, in whatever order, each hears what
// became of its own write, the good ones are stored and told in their order, the
// others are neither.
func callersOfOneCommit(e *env) {
	ended, end := context.WithCancel(e.t.Context())
	end()
	undone := func(err error) bool { return errors.Is(err, errUndo) }
	panics := func(lifecycle.Tx) error { panic("p") } //nolint:forbidigo // what is tested
	panicked := func(err error) bool { return err != nil && strings.Contains(err.Error(), "panic") }
	good := func(err error) bool { return err == nil }
	asks := func(tx lifecycle.Tx) error { _, err := tx.Children(home, "nothing", 1000); return err }
	kinds := []struct {
		name   string
		make   bool                     // it creates a task
		fn     func(lifecycle.Tx) error // after that
		ended  bool                     // its caller has gone
		answer func(error) bool
	}{
		{"good", true, func(lifecycle.Tx) error { return nil }, false, good},
		{"good, asks", true, asks, false, good},
		{"reads only", false, asks, false, good},
		{"fails clean", false, func(lifecycle.Tx) error { return errUndo }, false, undone},
		{"fails after a write", true, func(lifecycle.Tx) error { return errUndo }, false, undone},
		{"fails after a question", true, func(tx lifecycle.Tx) error { return errors.Join(asks(tx), errUndo) }, false, undone},
		{"fault after a write", true, func(tx lifecycle.Tx) error { _, err := tx.Task(home, "nothing"); return err }, false, func(err error) bool { return fault.CodeOf(err) == fault.NotFound }},
		{"panics", false, panics, false, panicked},
		{"panics after a write", true, panics, false, panicked},
		{"panics after a question", true, func(tx lifecycle.Tx) error { _ = asks(tx); return panics(tx) }, false, panicked},
		{"cancelled", true, func(lifecycle.Tx) error { return errUndo }, true, func(err error) bool { return errors.Is(err, context.Canceled) }},
	}
	run := 0
	rapid.Check(e.t, func(rt *rapid.T) {
		run++
		mixture := rapid.SliceOfN(rapid.IntRange(0, len(kinds)-1), 1, 8).Draw(rt, "mixture")
		before := len(e.told.all())
		runs := make([]atomic.Int32, len(mixture))
		id := func(i int) string { return fmt.Sprintf("t-%d-%d", run, i) }
		answers := e.crowd(len(mixture), func(ctx context.Context, i int) error { //nolint:contextcheck // it is passed, unless its owner has gone
			kind := kinds[mixture[i]]
			if kind.ended {
				ctx = ended
			}
			return e.Write(ctx, nil, func(tx lifecycle.Tx) error {
				runs[i].Add(1)
				if kind.make {
					if err := create(tx, beginning(home, id(i)), e.clock.stamp()); err != nil {
						return err
					}
				}
				return kind.fn(tx)
			})
		})
		var want, told []string
		for i, err := range answers {
			kind := kinds[mixture[i]]
			if !kind.answer(err) {
				rt.Fatalf("caller %d, %q, was answered %v", i, kind.name, err)
			}
			if ran := runs[i].Load(); (ran != 1) != kind.ended {
				rt.Fatalf("caller %d, %q, was run %d times", i, kind.name, ran)
			}
			stored := kind.make && err == nil
			if stored {
				want = append(want, id(i))
			}
			if _, err := e.Task(e.t.Context(), auth.All(home), id(i)); (err == nil) != stored { //nolint:contextcheck // the test's
				rt.Fatalf("task of caller %d, %q, is stored: %v", i, kind.name, err)
			}
		}
		for _, x := range e.told.all()[before:] {
			told = append(told, x.Task)
		}
		if e.kind.Parallel { // there may be several writers
			slices.Sort(told)
		}
		if !slices.Equal(told, want) {
			rt.Fatalf("told of %v, want %v", told, want)
		}
	})
}

// writesInOrder: callers who come together write the same rows, and some of them
// ask about other ones in between. What the last has written stays.
func writesInOrder(e *env) {
	worker := func(node string) lifecycle.Worker {
		w := pythonWorker(home, "w", e.clock.stamp())
		w.Node = node
		return w
	}
	steps := []struct {
		name string
		do   func(lifecycle.Tx) error
	}{
		{"put", func(tx lifecycle.Tx) error {
			return errors.Join(tx.PutWorker(worker("put")), tx.PutSecret(home, lifecycle.OfTask, "s", []byte("put")))
		}},
		{"drop", func(tx lifecycle.Tx) error {
			return errors.Join(tx.DropWorker(home, agent, "w"), tx.DeleteSecret(home, lifecycle.OfTask, "s"))
		}},
		{"ask", func(tx lifecycle.Tx) error {
			failed := errors.Join(tx.PutWorker(worker("ask")), tx.PutSecret(home, lifecycle.OfTask, "s", []byte("ask")), tx.PutNode(lifecycle.Node{ID: "n"}))
			_, err := tx.Nodes() // so that it is sent before what others have recorded
			return errors.Join(failed, err)
		}},
		{"undo", func(tx lifecycle.Tx) error {
			failed := errors.Join(tx.PutWorker(worker("undo")), tx.PutSecret(home, lifecycle.OfTask, "s", []byte("undo")), tx.PutNode(lifecycle.Node{ID: "n"}))
			_, err := tx.Nodes()
			return errors.Join(failed, err, errUndo)
		}},
	}
	rapid.Check(e.t, func(rt *rapid.T) {
		order := rapid.SliceOfN(rapid.IntRange(0, len(steps)-1), 2, 6).Draw(rt, "order")
		last := ""
		write := func(ctx context.Context, i int) error {
			err := e.Write(ctx, about(home, "w"), steps[order[i]].do) // one after another, also with several writers
			if errors.Is(err, errUndo) {
				return nil
			}
			return err
		}
		e.write(func(tx lifecycle.Tx) error {
			return errors.Join(tx.DropWorker(home, agent, "w"), tx.DeleteSecret(home, lifecycle.OfTask, "s"))
		})
		if err := errors.Join(e.crowd(len(order), write)...); err != nil {
			rt.Fatal(err)
		}
		for _, i := range order {
			switch name := steps[i].name; name {
			case "drop":
				last = ""
			case "undo":
			default:
				last = name
			}
		}
		secret, err := e.Secret(e.t.Context(), home, lifecycle.OfTask, "s")
		if err != nil || string(secret) != last {
			rt.Fatalf("%v: the secret is %q (%v), want %q", order, secret, err, last)
		}
		if w := e.worker(home, agent, "w"); (w == nil) != (last == "") || w != nil && w.Node != last {
			rt.Fatalf("%v: the worker is %+v, want %q", order, w, last)
		}
	})
}

// outcomes: many callers at once, of which most fail in one way or another;
// each hears what became of its own write and of no other.
func outcomes(e *env) {
	e.begin("shared")
	const callers, rounds = 32, 12
	ended, end := context.WithCancel(e.t.Context())
	end()
	kinds := []func(id string) (context.Context, func(lifecycle.Tx) error, error){
		func(id string) (context.Context, func(lifecycle.Tx) error, error) {
			return e.t.Context(), func(tx lifecycle.Tx) error { return create(tx, beginning(home, id), e.clock.stamp()) }, nil
		},
		func(string) (context.Context, func(lifecycle.Tx) error, error) { // fails before it writes
			return e.t.Context(), func(lifecycle.Tx) error { return errUndo }, errUndo
		},
		func(id string) (context.Context, func(lifecycle.Tx) error, error) { // fails after it has written
			return e.t.Context(), func(tx lifecycle.Tx) error {
				if err := create(tx, beginning(home, id), e.clock.stamp()); err != nil {
					return err
				}
				return errUndo
			}, errUndo
		},
		func(string) (context.Context, func(lifecycle.Tx) error, error) {
			return ended, func(lifecycle.Tx) error { return nil }, context.Canceled
		},
	}
	for round := range rounds {
		failures := make([]error, callers)
		together(callers, func(i int) {
			id := fmt.Sprintf("t-%d-%d", round, i)
			ctx, fn, want := kinds[i%len(kinds)](id)
			err := e.Write(ctx, about(home, id), fn)
			if !errors.Is(err, want) || (want == nil) != (err == nil) {
				failures[i] = fmt.Errorf("caller %d was answered %w, want %w", i, err, want)
			}
			if _, found := e.Task(e.t.Context(), auth.All(home), id); (found == nil) != (want == nil) {
				failures[i] = errors.Join(failures[i], fmt.Errorf("caller %d, %w: its task reads %w", i, want, found))
			}
		})
		e.ok(errors.Join(failures...))
	}
}

// together runs fn(0) to fn(n-1) at once and waits for all.
func together(n int, fn func(i int)) {
	var all sync.WaitGroup
	ready := make(chan struct{})
	for i := range n {
		all.Go(func() {
			<-ready
			fn(i)
		})
	}
	close(ready)
	all.Wait()
}

func cancelled(e *env) {
	ctx, cancel := context.WithCancel(e.t.Context())
	cancel()
	for range 50 {
		ran := false
		err := e.Write(ctx, nil, func(tx lifecycle.Tx) error {
			ran = true
			return tx.PutSecret(home, lifecycle.OfTask, "t", []byte("s"))
		})
		if ran || !errors.Is(err, context.Canceled) {
			e.t.Fatalf("a cancelled caller's write ran: %v, answer: %v", ran, err)
		}
	}
	// Once fn has begun, the outcome is the commit's and no longer the caller's.
	ctx, cancel = context.WithCancel(e.t.Context())
	defer cancel()
	e.ok(e.Write(ctx, nil, func(tx lifecycle.Tx) error {
		cancel()
		return tx.PutSecret(home, lifecycle.OfTask, "t", []byte("s"))
	}))
	secret, err := e.Secret(e.t.Context(), home, lifecycle.OfTask, "t")
	e.ok(err)
	e.same("secret", []byte("s"), secret)
}

func notFound(e *env) {
	ctx := e.t.Context()
	_, err := e.Task(ctx, auth.All(home), "nothing")
	e.missing("Task", err)
	_, err = e.Agent(ctx, home, "nothing", 0)
	e.missing("Agent", err)
	_, err = e.Waiting(ctx, home, "nothing")
	e.missing("Waiting", err)
	_, err = e.File(ctx, home, "nothing")
	e.missing("File", err)
	secret, err := e.Secret(ctx, home, lifecycle.OfAgent, "nothing")
	e.ok(err)
	e.same("secret", []byte(nil), secret)
	kin, err := e.SiblingsOf(ctx, home, "nothing")
	e.ok(err)
	e.same("kin of nobody", 0, len(kin))
	e.write(func(tx lifecycle.Tx) error {
		var wrong []error
		_, err := tx.Task(home, "nothing")
		wrong = append(wrong, differs("Tx.Task", fault.NotFound, fault.CodeOf(err)))
		_, err = tx.Snapshot(home, "nothing")
		wrong = append(wrong, differs("Tx.Snapshot", fault.NotFound, fault.CodeOf(err)))
		_, err = tx.Agent(home, "nothing", 3)
		wrong = append(wrong, differs("Tx.Agent", fault.NotFound, fault.CodeOf(err)))
		a, err := tx.Attempt(home, "nothing", 1)
		wrong = append(wrong, err, differs("Tx.Attempt", (*task.Attempt)(nil), a))
		a, err = tx.AttemptByToken(home, "nothing", "h")
		wrong = append(wrong, err, differs("Tx.AttemptByToken", (*task.Attempt)(nil), a))
		children, err := tx.Children(home, "nothing", 1000)
		wrong = append(wrong, err, differs("Tx.Children", 0, len(children)))
		reason, result, err := tx.TurnEnd(home, "nothing", 1)
		wrong = append(wrong, err, differs("Tx.TurnEnd", task.EndReason(""), reason), differs("its result", (*string)(nil), result))
		attempts, err := tx.AttemptsOf(home, "nothing")
		wrong = append(wrong, err, differs("Tx.AttemptsOf", 0, len(attempts)))
		w, err := tx.PythonWorker(home, "nothing")
		wrong = append(wrong, err, differs("Tx.PythonWorker", (*lifecycle.Worker)(nil), w))
		return errors.Join(wrong...)
	})
}

// toldInOrder: every change is told exactly once, before its caller is
// answered, in the order in which the commits took place. The order is shown
// by one task that takes part in every commit.
func toldInOrder(e *env) {
	const callers, each = 8, 12
	e.begin("all")
	failures := make([]error, callers)
	for i := range callers {
		e.begin(fmt.Sprint("own-", i))
	}
	together(callers, func(i int) {
		own := fmt.Sprint("own-", i)
		for n := range each {
			if err := e.Write(e.t.Context(), about(home, "all", own), func(tx lifecycle.Tx) error {
				return errors.Join(change(tx, home, "all", chunk(own), e.clock.stamp()), change(tx, home, own, chunk(strconv.Itoa(n)), e.clock.stamp()))
			}); err != nil {
				failures[i] = err
				return
			}
			if told := e.told.events(home, own); len(told) != n+2 {
				failures[i] = fmt.Errorf("%d events of %s were told when write %d was answered", len(told), own, n)
			}
		}
	})
	e.ok(errors.Join(failures...))
	for _, id := range []string{"all", "own-0", "own-7"} {
		e.same("events told of "+id, e.log(id), e.told.events(home, id))
	}
	// Each write told of "all" and right after it of its own task.
	changes := slices.DeleteFunc(e.told.changes(), func(c task.Change) bool { return c.Spec() != nil })
	e.same("changes told", 2*callers*each, len(changes))
	for i := 0; i < len(changes); i += 2 {
		var own string
		e.ok(json.Unmarshal(changes[i].Events[0].Own, &own))
		if changes[i].Task.ID != "all" || changes[i+1].Task.ID != own {
			e.t.Fatalf("change %d is of %s, followed by %s, want %s", i, changes[i].Task.ID, changes[i+1].Task.ID, own)
		}
	}
}

func undoneNotTold(e *env) {
	e.begin("t")
	before := len(e.told.all())
	for _, fn := range []func(lifecycle.Tx) error{
		func(tx lifecycle.Tx) error {
			return errors.Join(change(tx, home, "t", chunk("x"), e.clock.stamp()), errUndo)
		},
		func(tx lifecycle.Tx) error { return errors.Join(tx.Delete(home, "t"), errUndo) },
		func(tx lifecycle.Tx) error { _, err := tx.Task(home, "nothing"); return err },
	} {
		if err := e.Write(e.t.Context(), about(home, "t"), fn); err == nil {
			e.t.Fatal("no error")
		}
	}
	e.same("changes told of undone writes", before, len(e.told.all()))
	e.write(func(tx lifecycle.Tx) error { return tx.Delete(home, "t") }, about(home, "t")...)
	e.same("deletions told", [][2]string{{home, "t"}}, e.told.deleted())
}

// manyWriters: 64 callers append to one task; the numbers that they are given
// are gapless, and each is the number of the caller's own event.
func manyWriters(e *env) {
	const callers, each = 64, 8
	e.begin("t")
	failures, given := make([]error, callers), make([]map[int64]string, callers)
	together(callers, func(i int) {
		given[i] = map[int64]string{}
		for n := range each {
			text := fmt.Sprintf("%d of %d", n, i)
			seq, err := e.appended(e.Store, "t", text)
			failures[i] = errors.Join(failures[i], err)
			given[i][seq] = text
		}
	})
	e.ok(errors.Join(failures...))
	e.checkLog("t", given)
}

// appended appends an event to a task, and tells its number.
func (e *env) appended(s Store, id, text string) (seq int64, err error) {
	err = s.Write(e.t.Context(), about(home, id), func(tx lifecycle.Tx) error {
		err := change(tx, home, id, chunk(text), e.clock.stamp())
		if err == nil {
			var t task.Task
			t, err = tx.Task(home, id)
			seq = t.LastSeq
		}
		return err
	})
	return seq, err
}

// checkLog compares a log with the numbers that those who have written were given.
func (e *env) checkLog(id string, given []map[int64]string) {
	e.t.Helper()
	log, written := e.log(id), 0
	for i, ev := range log {
		e.same("seq", int64(i+1), ev.Seq)
	}
	for _, own := range given {
		written += len(own)
		for seq, text := range own {
			var got string
			e.ok(json.Unmarshal(log[seq-1].Own, &got))
			e.same(fmt.Sprint("event ", seq), text, got)
		}
	}
	e.same("length of the log", written+1, len(log))
}

// oneWinner: of many who claim the same task, one gets it.
func oneWinner(e *env) {
	const callers = 32
	for round := range 10 {
		id := fmt.Sprint("t-", round)
		e.begin(id)
		answers := make([]error, callers)
		together(callers, func(i int) {
			answers[i] = e.Write(e.t.Context(), about(home, id), func(tx lifecycle.Tx) error {
				return change(tx, home, id, claim(fmt.Sprint("w-", i)), e.clock.stamp())
			})
		})
		e.same("owner", e.winner(answers), e.task(home, id).Task.Run.WorkerID)
	}
}

// winner is whose claim was the only one that was not refused.
func (e *env) winner(answers []error) string {
	e.t.Helper()
	winner := ""
	for i, err := range answers {
		switch {
		case err == nil && winner == "":
			winner = fmt.Sprint("w-", i)
		case err == nil:
			e.t.Fatalf("%s and w-%d both claimed it", winner, i)
		case fault.CodeOf(err) != fault.Conflict:
			e.t.Fatal(err)
		}
	}
	return winner
}
