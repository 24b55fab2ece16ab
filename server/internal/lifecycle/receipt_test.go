package lifecycle_test

import (
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
		id, at, r, err := s.TakeUp(b.ctx(), who(), []byte(body))
		b.must(err)
		if id != want || (at != 0) != (want != "") {
			t.Fatalf("H3: got task %q of %v, want %q", id, at, want)
		}
		return r
	}
	first, second, third := create("a"), create("a"), create("a")
	takes(b.Service, "a", "")
	b.must(b.Delivered(b.ctx(), first.Receipt, false))
	b.must(b.Delivered(b.ctx(), third.Receipt, false))
	takes(b.Service, "b", "")
	other := who()
	other.Key = "another"
	if id, _, _, err := b.TakeUp(b.ctx(), other, []byte("a")); err != nil || id != "" {
		t.Fatalf("H3: another key gets %q, %v", id, err)
	}
	held := takes(b.Service, "a", third.Task.ID)
	takes(b.Service, "a", first.Task.ID)
	takes(b.Service, "a", "")
	b.must(b.Delivered(b.ctx(), held, false))
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

	elsewhere := b.service(b.store)
	elsewhere.Name("n2")
	begun, err := elsewhere.Ask(b.ctx(), who(), submission("", func(s *lifecycle.Submission) { s.Unkeyed = []byte("e") }))
	b.must(err)
	_, err = elsewhere.Beat(b.ctx(), false)
	b.must(err)
	takes(b.Service, "e", "")
	b.clock.forward(4 * time.Second)
	takes(b.Service, "e", begun.Task.ID)
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
