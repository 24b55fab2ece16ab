package lifecycle_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/secret"
	"github.com/errand-dev/errand/server/internal/task"
)

// kept submits a sub-task that outlives its parent.
func (b *bench) kept(id, parent string) {
	b.t.Helper()
	b.submit(id, func(s *lifecycle.Submission) {
		s.Spec.ParentExecution, s.Spec.OnParentEnd = &parent, new(task.KeepOnParentEnd)
	})
}

// X1: in whatever way a task ends, its sub-tasks end with it, but for those that are
// to go on.
func TestX1TheEndOfAParent(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(b *bench, token string){
		"completed": func(b *bench, token string) {
			_, err := b.finish("parent", token, task.EndCompleted, "r")
			b.must(err)
		},
		"failed": func(b *bench, token string) {
			_, err := b.finish("parent", token, task.EndFailed, "r")
			b.must(err)
		},
		"its worker's error": func(b *bench, token string) {
			_, err := b.finish("parent", token, task.EndWorkerError, "r")
			b.must(err)
		},
		"timeout":        func(b *bench, _ string) { b.later(time.Minute) },
		"worker_lost":    func(b *bench, _ string) { b.later(lease) },
		"an override":    func(b *bench, _ string) { b.patch("parent", fields{"status": "completed", "result": "r"}) },
		"a full body":    func(b *bench, _ string) { b.patch("parent", b.body("parent", fields{"status": "error"})) },
		"stopped itself": func(b *bench, _ string) { b.stop("top") },
	} {
		t.Run("X1 "+name, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			b.submit("top", nil)
			b.submit("parent", func(s *lifecycle.Submission) {
				s.Spec.ParentExecution, s.Spec.OnParentEnd = new("top"), new(task.KeepOnParentEnd)
				s.Spec.MaxAttempts, s.Priority = 1, 1
				if name == "timeout" {
					s.Spec.Timeout = 60
				}
			})
			token := b.claim("w", 1)[0].Token
			if name == "timeout" {
				b.clock.forward(lease - 1)
				_, err := b.Heartbeat(b.ctx(), org, "parent", token)
				b.must(err)
				b.clock.forward(lease - 1)
				_, err = b.Heartbeat(b.ctx(), org, "parent", token)
				b.must(err)
			}
			b.child("child", "parent")
			b.child("below", "child")
			b.kept("below-too", "child")
			b.child("done", "parent")
			b.patch("done", fields{"status": "completed", "result": "r"})
			b.kept("kept", "parent")
			b.child("below-kept", "kept")
			end(b, token)
			if b.state("parent").FinishedAt == 0 {
				t.Fatal("the parent has not ended")
			}
			for _, id := range []string{"child", "below", "below-too"} {
				b.shows(id, task.Stopped, task.EndStopped)
			}
			b.shows("done", task.Completed, task.EndCompleted)
			want, reason, by := task.Pending, task.EndReason(""), "parent parent"
			if name == "stopped itself" { // a person's stop reaches all
				want, reason, by = task.Stopped, task.EndStopped, alice
			}
			b.shows("kept", want, reason)
			b.shows("below-kept", want, reason)
			for _, id := range []string{"child", "below"} {
				if got := b.get(id).Stop.By; got != by {
					t.Errorf("X1: %s was stopped by %q, want %q", id, got, by)
				}
			}
			left, err := b.store.Unfinished(b.ctx(), org, 10)
			if b.must(err); len(left) > 0 {
				t.Errorf("X1: not finished: %q", left)
			}
		})
	}
	t.Run("X1 expired", func(t *testing.T) {
		t.Parallel()
		b := open(t)
		b.submit("parent", func(s *lifecycle.Submission) { s.Spec.ExpiresIn = 1 })
		b.child("child", "parent")
		b.kept("kept", "parent")
		b.later(time.Second)
		b.shows("parent", task.Error, task.EndExpired)
		b.shows("child", task.Stopped, task.EndStopped)
		b.shows("kept", task.Pending, "")
	})
}

// X1: an ended task is answered unchanged, and what still runs below it is stopped.
func TestX1StopOfAnEndedParent(t *testing.T) {
	t.Parallel()
	b := open(t)
	token := b.run("parent", nil)
	b.kept("child", "parent")
	b.child("below", "child")
	b.kept("middle", "parent")
	b.kept("under", "middle")
	b.patch("middle", fields{"status": "completed", "result": "r"})
	_, err := b.finish("parent", token, task.EndCompleted, "r")
	b.must(err)
	for _, id := range []string{"child", "below", "under"} {
		b.shows(id, task.Pending, "")
	}
	b.unchanged("parent", func() { b.stop("parent") })
	for _, id := range []string{"child", "below", "under"} {
		b.shows(id, task.Stopped, task.EndStopped)
		if by := b.get(id).Stop.By; by != alice {
			t.Errorf("X1: %s was stopped by %q", id, by)
		}
	}
	b.unchanged("child", func() { b.stop("parent") })
}

// T1: a sub-task's next turn stays where it is, and its parent's end of before is
// none of its business; a stop is.
func TestT1NextTurnKeepsItsParent(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.submit("root", nil)
	b.child("parent", "root")
	b.kept("child", "parent")
	b.child("other", "parent")
	was := b.get("child")
	for _, id := range []string{"child", "other"} {
		b.patch(id, fields{"status": "completed", "result": "r"})
	}
	b.submit("child", nil)
	got := b.get("child")
	if got.Terms.ParentID != "parent" || got.RootID != was.RootID || got.Depth != was.Depth || !got.Terms.Keep || b.get("parent").Subtasks != 2 {
		t.Errorf("T1: the next turn is below %q (root %q, depth %d, keep %v)", got.Terms.ParentID, got.RootID, got.Depth, got.Terms.Keep)
	}
	b.patch("parent", fields{"status": "completed", "result": "r"})
	b.clock.forward(time.Second)
	b.submit("other", func(s *lifecycle.Submission) { s.Spec.ParentExecution = new("parent") }) // says what is so
	b.shows("child", task.Pending, "")
	b.shows("other", task.Pending, "")
	_, _, err := b.Submit(b.ctx(), who(), submission("new", func(s *lifecycle.Submission) { s.Spec.ParentExecution = new("parent") }))
	b.refused(err, fault.Conflict)
	b.stop("root")
	b.shows("child", task.Stopped, task.EndStopped)
	b.shows("other", task.Stopped, task.EndStopped)

	for _, s := range []func(*lifecycle.Submission){
		func(s *lifecycle.Submission) { s.Spec.OnParentEnd = new(task.KeepOnParentEnd) },
		func(s *lifecycle.Submission) {
			s.Spec.ParentExecution, s.Spec.OnParentEnd = new("root"), new(task.OnParentEnd("nonsense"))
		},
	} {
		_, _, err := b.Submit(b.ctx(), who(), submission("free", s))
		b.refused(err, fault.Invalid)
		var told *fault.Error
		if !errors.As(err, &told) || told.Field != "on_parent_end" {
			t.Errorf("X1: refused with %v", err)
		}
	}
}

// plant makes a tree: a root, wide many below it, and deep below one of these, one
// below the other.
func (b *bench) plant(wide, deep int) (ids []string) {
	b.t.Helper()
	b.submit("root", nil)
	for i := range wide {
		ids = append(ids, "w"+strconv.Itoa(i))
		b.child(ids[i], "root")
	}
	above := ids[wide/2]
	for i := range deep {
		id := "d" + strconv.Itoa(i)
		b.child(id, above)
		ids, above = append(ids, id), id
	}
	return ids
}

// flaky is a store whose writes fail at some moment.
type flaky struct {
	lifecycle.Store
	writes int // that succeed from now on
}

var errNoMore = errors.New("no more")

func (f *flaky) Write(ctx context.Context, about []lifecycle.Key, fn func(lifecycle.Tx) error) error {
	if f.writes--; f.writes < 0 {
		return errNoMore
	}
	return f.Store.Write(ctx, about, fn)
}

// breaking is another node's service on the same store, all of whose writes fail
// after so many.
func (b *bench) breaking(writes int) *lifecycle.Service {
	b.t.Helper()
	box, err := secret.NewBox(bytes.Repeat([]byte{7}, 32))
	b.must(err)
	return lifecycle.New(&flaky{b.store, writes}, box, keepAll{}, nil, slog.New(slog.DiscardHandler))
}

// reaped counts those of the tasks that have not ended, or are there.
func (b *bench) reaped(ids []string) (open, there int) {
	b.t.Helper()
	for _, id := range ids {
		x, err := b.Get(b.ctx(), org, id)
		switch {
		case fault.CodeOf(err) == fault.NotFound:
			continue
		case err != nil:
			b.t.Fatalf("%v", err)
		}
		if there++; x.Task.Ended() == "" {
			open++
		}
	}
	return open, there
}

// X1: what is below a task is stopped in its commit if there is little of it. Else
// the rest follows in small commits, whatever happens to the server in between.
func TestX1BigTreesAreStoppedInSteps(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ wide, deep, writes int }{
		{40, 9, 1},
		{150, 70, 8},
	} {
		t.Run(fmt.Sprintf("X1 %d wide and %d deep", c.wide, c.deep), func(t *testing.T) {
			t.Parallel()
			for after := 1; after <= c.writes; after++ {
				b := open(t)
				ids := b.plant(c.wide, c.deep)
				f := b.breaking(after)
				_, err := f.Stop(b.ctx(), who(), "root")
				b.shows("root", task.Stopped, task.EndStopped)
				left, _ := b.reaped(ids)
				if err == nil && left > 0 || err != nil && !errors.Is(err, errNoMore) {
					t.Fatalf("X1: after %d commits %d are left: %v", after, left, err)
				}
				if c.writes == 1 && left > 0 || c.writes > 1 && after < 4 && left == 0 {
					t.Errorf("X1: after %d commits %d are left", after, left)
				}
				b.must(b.GoOn(b.ctx()))
				for _, id := range ids {
					b.shows(id, task.Stopped, task.EndStopped)
					if by := b.get(id).Stop.By; by != alice {
						t.Errorf("X1: %s was stopped by %q", id, by)
					}
				}
				unfinished, err := b.store.Unfinished(b.ctx(), org, 10)
				if b.must(err); len(unfinished) > 0 {
					t.Errorf("X1: not finished: %q", unfinished)
				}
			}
		})
	}
}

// A task that is to have its next turn, or whose id is to be used again, is first
// finished with.
func TestX1NextTurnDuringAStop(t *testing.T) {
	t.Parallel()
	b := open(t)
	ids := b.plant(120, 0)
	_, err := b.breaking(1).Stop(b.ctx(), who(), "root")
	if !errors.Is(err, errNoMore) {
		t.Fatal(err)
	}
	b.submit("root", nil)
	if open, _ := b.reaped(ids); open > 0 {
		t.Errorf("X1: %d run below the next turn", open)
	}
	b.clock.forward(time.Second)
	b.child("new", "root")
	b.must(b.GoOn(b.ctx()))
	b.shows("new", task.Pending, "")
}

// Tasks that somebody has made a circle of are stopped, and deleted, all the same.
func TestX1Circles(t *testing.T) {
	t.Parallel()
	ring := func() *bench {
		b := open(t)
		b.submit("a", nil)
		b.child("b", "a")
		b.child("c", "b")
		b.patch("a", fields{"status": "completed", "result": "r"}) // b and c are stopped
		b.clock.forward(time.Second)
		b.submit("b", nil)
		b.submit("c", nil)
		b.submit("a", func(s *lifecycle.Submission) { s.Spec.ParentExecution = new("c") })
		return b
	}
	b := ring()
	b.stop("b")
	for _, id := range []string{"a", "b", "c"} {
		b.shows(id, task.Stopped, task.EndStopped)
		b.stop(id)
	}
	b = ring()
	b.must(b.Delete(b.ctx(), who(), "b"))
	if _, there := b.reaped([]string{"a", "b", "c"}); there > 0 {
		t.Errorf("%d are left", there)
	}
}

// A deleted task is gone with the first commit, whatever is left of it; that goes in
// small ones, whatever happens to the server in between, and before its id is used
// again.
func TestDeleteInSteps(t *testing.T) {
	t.Parallel()
	const events, children = 2500, 60
	var all []lifecycle.NewEvent
	for range 500 {
		all = append(all, lifecycle.NewEvent{Type: "chunk", Data: []byte(`"x"`)})
	}
	for _, again := range []bool{false, true} {
		for after := 1; after <= 7; after++ {
			b := open(t)
			token := b.run("root", func(s *lifecycle.Submission) {
				s.Spec.IdempotencyKey, s.Secrets.UserTokens = new("key"), []byte(`{"a":"b"}`)
			})
			for range events / len(all) {
				_, err := b.Append(b.ctx(), org, "root", token, all)
				b.must(err)
			}
			var ids []string
			for i := range children {
				ids = append(ids, "c"+strconv.Itoa(i))
				b.child(ids[i], "root")
			}
			err := b.breaking(after).Delete(b.ctx(), who(), "root")
			if _, there := b.reaped([]string{"root"}); there != 0 {
				t.Fatal("it is there")
			}
			sealed, failed := b.store.Secret(b.ctx(), org, lifecycle.OfTask, "root")
			if b.must(failed); sealed != nil {
				t.Error("its secrets are left")
			}
			_, there := b.reaped(ids)
			left := len(b.log("root"))
			if err == nil && left+there > 0 || err != nil && !errors.Is(err, errNoMore) || after < 4 && err == nil {
				t.Fatalf("after %d commits %d sub-tasks and %d events are left: %v", after, there, left, err)
			}
			if after == 1 && left != events+3 {
				t.Errorf("after the first commit %d events are left", left)
			}
			if again {
				b.submit("root", nil)
				if types := b.types("root"); !slices.Equal(types, []task.Type{task.TaskCreated}) {
					t.Errorf("its successor's log: %v", types)
				}
			}
			b.must(b.GoOn(b.ctx()))
			if _, there := b.reaped(ids); there > 0 {
				t.Errorf("%d sub-tasks are left", there)
			}
			if !again && len(b.log("root")) > 0 {
				t.Error("events are left")
			}
			unfinished, err := b.store.Unfinished(b.ctx(), org, 10)
			if b.must(err); len(unfinished) > 0 {
				t.Errorf("not finished: %q", unfinished)
			}
		}
	}
}
