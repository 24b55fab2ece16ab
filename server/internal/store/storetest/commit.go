package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

func commitParts() []part {
	return []part{
		{"ErrorUndoesOnlyItsOwnWrites", ownWrites},
		{"EveryCallerLearnsItsOwnOutcome", outcomes},
		{"CancelledCallersAreNotRun", cancelled},
		{"ReadsAnswerNotFound", notFound},
		{"CommitsAreToldInOrder", toldInOrder},
		{"UndoneCommitsAreNotTold", undoneNotTold},
		{"ManyWritersOfOneTask", manyWriters},
		{"CompareAndSetHasOneWinner", oneWinner},
	}
}

// ownWrites undoes one write of each kind.
func ownWrites(e *env) {
	before := e.begin("t")
	boom := func(lifecycle.Tx) error { return errUndo }
	panics := func(lifecycle.Tx) error { panic(errUndo) } //nolint:forbidigo // what is tested
	for _, then := range []func(lifecycle.Tx) error{boom, panics} {
		for name, fn := range map[string]func(lifecycle.Tx) error{
			"nothing":  func(lifecycle.Tx) error { return nil },
			"change":   func(tx lifecycle.Tx) error { return change(tx, home, "t", chunk("x"), e.clock.stamp()) },
			"creation": func(tx lifecycle.Tx) error { return create(tx, beginning(home, "new"), e.clock.stamp()) },
			"deletion": func(tx lifecycle.Tx) error { return tx.Delete(home, "t") },
			"secret":   func(tx lifecycle.Tx) error { return tx.PutSecret(home, lifecycle.OfTask, "t", []byte("s")) },
			"agent":    func(tx lifecycle.Tx) error { return tx.PutAgent(agentRecord(home, "new", 1)) },
			"replay":   func(tx lifecycle.Tx) error { return tx.PutReplay(home, "r", "k", lifecycle.Replay{Hash: []byte("h")}) },
			"worker": func(tx lifecycle.Tx) error {
				return tx.PutWorker(lifecycle.Worker{Organization: home, Agent: agent, ID: "w"})
			},
			"bad write": func(tx lifecycle.Tx) error { return create(tx, beginning(home, "t"), e.clock.stamp()) },
		} {
			err := e.Write(e.t.Context(), func(tx lifecycle.Tx) error {
				if err := fn(tx); err != nil {
					return err
				}
				return then(tx)
			})
			if err == nil {
				e.t.Errorf("%s: a failed write answered no error", name)
			}
		}
	}
	e.same("task", before, e.task(home, "t").Task)
	_, err := e.Task(e.t.Context(), home, "new")
	e.missing("undone task", err)
	_, err = e.Agent(e.t.Context(), home, "new", 0)
	e.missing("undone agent", err)
	secret, err := e.Secret(e.t.Context(), home, lifecycle.OfTask, "t")
	e.ok(err)
	e.same("undone secret", []byte(nil), secret)
	e.same("undone replay", (*lifecycle.Replay)(nil), read(e, func(tx lifecycle.Tx) (*lifecycle.Replay, error) { return tx.Replay(home, "r", "k") }))
	e.same("undone worker", (*lifecycle.Worker)(nil), read(e, func(tx lifecycle.Tx) (*lifecycle.Worker, error) { return tx.Worker(home, agent, "w") }))
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
			err := e.Write(ctx, fn)
			if !errors.Is(err, want) || (want == nil) != (err == nil) {
				failures[i] = fmt.Errorf("caller %d was answered %w, want %w", i, err, want)
			}
			if _, found := e.Task(e.t.Context(), home, id); (found == nil) != (want == nil) {
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
		err := e.Write(ctx, func(tx lifecycle.Tx) error {
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
	e.ok(e.Write(ctx, func(tx lifecycle.Tx) error {
		cancel()
		return tx.PutSecret(home, lifecycle.OfTask, "t", []byte("s"))
	}))
	secret, err := e.Secret(e.t.Context(), home, lifecycle.OfTask, "t")
	e.ok(err)
	e.same("secret", []byte("s"), secret)
}

func notFound(e *env) {
	ctx := e.t.Context()
	_, err := e.Task(ctx, home, "nothing")
	e.missing("Task", err)
	_, err = e.Agent(ctx, home, "nothing", 0)
	e.missing("Agent", err)
	_, err = e.Waiting(ctx, home, "nothing")
	e.missing("Waiting", err)
	secret, err := e.Secret(ctx, home, lifecycle.OfAgent, "nothing")
	e.ok(err)
	e.same("secret", []byte(nil), secret)
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
		children, err := tx.Children(home, "nothing")
		wrong = append(wrong, err, differs("Tx.Children", 0, len(children)))
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
			if err := e.Write(e.t.Context(), func(tx lifecycle.Tx) error {
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
	changes := slices.DeleteFunc(e.told.all(), func(c task.Change) bool { return c.Spec() != nil })
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
		if err := e.Write(e.t.Context(), fn); err == nil {
			e.t.Fatal("no error")
		}
	}
	e.same("changes told of undone writes", before, len(e.told.all()))
	e.same("deletions told of undone writes", 0, len(e.told.deleted))
	e.write(func(tx lifecycle.Tx) error { return tx.Delete(home, "t") })
	e.same("deletions told", [][2]string{{home, "t"}}, e.told.deleted)
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
			var seq int64
			text := fmt.Sprintf("%d of %d", n, i)
			failures[i] = errors.Join(failures[i], e.Write(e.t.Context(), func(tx lifecycle.Tx) error {
				err := change(tx, home, "t", chunk(text), e.clock.stamp())
				if err == nil {
					var t task.Task
					t, err = tx.Task(home, "t")
					seq = t.LastSeq
				}
				return err
			}))
			given[i][seq] = text
		}
	})
	e.ok(errors.Join(failures...))
	log := e.log("t")
	e.same("length of the log", callers*each+1, len(log))
	for i, ev := range log {
		e.same("seq", int64(i+1), ev.Seq)
	}
	for _, own := range given {
		for seq, text := range own {
			var got string
			e.ok(json.Unmarshal(log[seq-1].Own, &got))
			e.same(fmt.Sprint("event ", seq), text, got)
		}
	}
}

// oneWinner: of many who claim the same task, one gets it.
func oneWinner(e *env) {
	const callers = 32
	for round := range 10 {
		id := fmt.Sprint("t-", round)
		e.begin(id)
		answers := make([]error, callers)
		together(callers, func(i int) {
			answers[i] = e.Write(e.t.Context(), func(tx lifecycle.Tx) error {
				return change(tx, home, id, claim(fmt.Sprint("w-", i)), e.clock.stamp())
			})
		})
		winner := ""
		for i, err := range answers {
			switch {
			case err == nil && winner == "":
				winner = fmt.Sprint("w-", i)
			case err == nil:
				e.t.Fatalf("%s and w-%d both claimed %s", winner, i, id)
			case fault.CodeOf(err) != fault.Conflict:
				e.t.Fatal(err)
			}
		}
		e.same("owner", winner, e.task(home, id).Task.Run.WorkerID)
	}
}
