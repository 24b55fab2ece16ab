package lifecycle_test

import (
	"context"
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// H3: a repeat without a key gets the turn of a create whose answer was lost, the youngest
// first, each once; never one whose client may still be there, or has its answer.
func TestH3LostAnswers(t *testing.T) {
	t.Parallel()
	b := open(t)
	create := func(body string) lifecycle.Begun {
		t.Helper()
		b.clock.forward(time.Second)
		sub := submission("", func(s *lifecycle.Submission) { s.Unkeyed = []byte(body) })
		begun, err := b.Ask(b.ctx(), who(), sub)
		b.must(err)
		return begun
	}
	takes := func(s *lifecycle.Service, body, want string) lifecycle.Receipt {
		t.Helper()
		x, _, err := s.Repeat(who(), []byte(body)).TakeUp(b.ctx())
		b.must(err)
		if x.TaskID != want || (x.At != 0) != (want != "") {
			t.Fatalf("H3: got task %q of %v, want %q", x.TaskID, x.At, want)
		}
		return x.Receipt
	}
	first, second, third := create("a"), create("a"), create("a")
	takes(b.Service, "a", "")
	b.must(b.Delivered(b.ctx(), first.Receipt, false))
	b.must(b.Delivered(b.ctx(), third.Receipt, false))
	takes(b.Service, "b", "")
	other := who()
	other.Key = "another"
	if x, _, err := b.Repeat(other, []byte("a")).TakeUp(b.ctx()); err != nil || x.TaskID != "" {
		t.Fatalf("H3: another key gets %q, %v", x.TaskID, err)
	}
	taken := takes(b.Service, "a", third.Task.ID)
	takes(b.Service, "a", first.Task.ID)
	takes(b.Service, "a", "")
	b.must(b.Delivered(b.ctx(), taken, false))
	b.must(b.Delivered(b.ctx(), takes(b.Service, "a", third.Task.ID), true))
	takes(b.Service, "a", "")

	b.clock.forward(time.Hour)
	next := b.service(b.store) // the server was killed
	takes(next, "a", second.Task.ID)
	b.must(b.Delivered(b.ctx(), second.Receipt, true)) // its old life says nothing any more
	takes(next, "a", first.Task.ID)
	takes(next, "a", "")

	lost := create("c")
	b.must(b.Delivered(b.ctx(), lost.Receipt, false))
	b.clock.forward(2 * time.Minute)
	takes(b.Service, "c", "")
	b.must(b.Delete(b.ctx(), who(), first.Task.ID))
	for range 20 { // more than are noted
		create("d")
	}
}

// H3: a repeat that reaches another node than the create finds its turn when that node has
// died, for which it waits, but not while it is there; also when nobody knows it any more.
func TestH3LostWithItsNode(t *testing.T) {
	t.Parallel()
	b := open(t)
	node := func(name string) *lifecycle.Service {
		s := b.service(b.store)
		s.Name(name)
		return s
	}
	beat := func(s *lifecycle.Service) {
		t.Helper()
		_, err := s.Beat(b.ctx(), false)
		b.must(err)
	}
	create := func(s *lifecycle.Service) string {
		t.Helper()
		begun, err := s.Ask(b.ctx(), who(), submission("", func(s *lifecycle.Submission) { s.Unkeyed = []byte("a") }))
		b.must(err)
		return begun.Task.ID
	}
	takes := func(x *lifecycle.Repeat, want string, wantUnsure bool) {
		t.Helper()
		got, unsure, err := x.TakeUp(b.ctx())
		if b.must(err); got.TaskID != want || unsure != wantUnsure {
			t.Fatalf("H3: got task %q, unsure: %v; want %q, %v", got.TaskID, unsure, want, wantUnsure)
		}
	}
	repeat := func(s *lifecycle.Service) *lifecycle.Repeat { return s.Repeat(who(), []byte("a")) }
	first, next := node("n1"), node("n2")
	lost := create(first)
	takes(repeat(next), "", true) // n1 may have begun just now
	beat(first)
	x := repeat(next)
	takes(x, "", true)
	b.clock.forward(time.Second)
	takes(x, "", true)
	beat(first)
	takes(x, "", false)

	x = repeat(next)
	takes(x, "", true)
	b.clock.forward(3 * time.Second) // n1 has died
	takes(x, lost, false)
	takes(repeat(next), "", false)

	lost = create(first)
	beat(next) // which drops n1
	takes(repeat(next), lost, false)
	b.clock.forward(time.Second)
	lost = create(first)
	x = repeat(node("n3"))
	takes(x, "", true)
	b.clock.forward(3 * time.Second)
	takes(x, lost, false)
	create(first)
	b.clock.forward(2 * time.Minute)
	takes(repeat(next), "", false)
}

// H3: an answer that no request has is lost, whatever the store was told, and one that was
// lost long ago takes no other's place.
func TestH3Forgotten(t *testing.T) {
	t.Parallel()
	b := open(t)
	ask := func(ctx context.Context) (lifecycle.Begun, error) {
		return b.Ask(ctx, who(), submission("", func(s *lifecycle.Submission) { s.Unkeyed = []byte("a") }))
	}
	take := func() (string, lifecycle.Receipt) {
		t.Helper()
		x, _, err := b.Repeat(who(), []byte("a")).TakeUp(b.ctx())
		b.must(err)
		return x.TaskID, x.Receipt
	}
	begun, err := ask(b.ctx())
	b.must(err)
	gone, cancel := context.WithCancel(b.ctx())
	cancel()
	b.clock.forward(time.Minute)
	if b.Delivered(gone, begun.Receipt, false) == nil {
		t.Fatal("the store was told")
	}
	b.clock.forward(time.Minute)
	id, again := take()
	if id != begun.Task.ID {
		t.Fatalf("H3: got task %q, want %q", id, begun.Task.ID)
	}
	b.must(b.Delivered(b.ctx(), begun.Receipt, true)) // it is not its answer any more
	b.must(b.Delivered(b.ctx(), again, false))
	b.must(b.Delivered(b.ctx(), again, true))
	if id, _ = take(); id != begun.Task.ID {
		t.Fatalf("H3: the first word does not count: got task %q, want %q", id, begun.Task.ID)
	}
	for range 20 {
		begun, err = ask(b.ctx())
		b.must(err)
		b.must(b.Delivered(b.ctx(), begun.Receipt, false))
	}
	b.clock.forward(2 * time.Minute)
	begun, err = ask(b.ctx())
	b.must(err)
	b.must(b.Delivered(b.ctx(), begun.Receipt, false))
	if id, _ = take(); id != begun.Task.ID {
		t.Errorf("H3: behind those lost long ago: got task %q, want %q", id, begun.Task.ID)
	}
}

// H3: a turn that is to follow one that is not the last is refused, and a repeat of it is not.
func TestH3Follows(t *testing.T) {
	t.Parallel()
	b := open(t)
	follow := func(turn int, key string) (lifecycle.Begun, error) {
		sub := keyed(key, "r", "body")
		sub.Spec.ID, sub.Follows = "t", turn
		return b.Ask(b.ctx(), who(), sub)
	}
	_, err := b.Ask(b.ctx(), who(), submission("t", func(*lifecycle.Submission) {}))
	b.must(err)
	b.patch("t", fields{"status": "completed"})
	begun, err := follow(1, "k")
	b.must(err)
	b.patch("t", fields{"status": "completed"})
	again, err := follow(1, "k")
	b.must(err)
	if !again.Replayed || again.At != begun.At {
		t.Errorf("H3: replayed %v", again.Replayed)
	}
	_, err = follow(1, "k2")
	b.refused(err, "conflict")
	if now, err := b.Task(b.ctx(), org, "t"); err != nil || now.Terms.Turn != 2 || now.State().Status != task.Completed {
		t.Errorf("H3: turn %d is %s, %v", now.Terms.Turn, now.State().Status, err)
	}
}
