package lifecycle_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// busyReaders is a store whose readers are all taken while something is written: who asks
// one of them from within a write waits for it, and whoever writes waits for that.
type busyReaders struct {
	lifecycle.Store
	writes, asked atomic.Int32
}

func (s *busyReaders) Write(ctx context.Context, about []lifecycle.Key, fn func(lifecycle.Tx) error) error {
	return s.Store.Write(ctx, about, func(tx lifecycle.Tx) error {
		s.writes.Add(1)
		defer s.writes.Add(-1)
		return fn(tx)
	})
}

func (s *busyReaders) ask() {
	if s.writes.Load() > 0 {
		s.asked.Add(1)
	}
}

func (s *busyReaders) Agent(ctx context.Context, org, id string, version int) (agent.Agent, error) {
	s.ask()
	return s.Store.Agent(ctx, org, id, version)
}

func (s *busyReaders) Caps(ctx context.Context, org string, of task.Spender) (*task.Caps, error) {
	s.ask()
	return s.Store.Caps(ctx, org, of)
}

// B1: a write finds caps in its own transaction: it waits for no reader, and sees at once
// what was changed.
func TestB1CapsInAWrite(t *testing.T) {
	t.Parallel()
	b := open(t)
	busy := &busyReaders{Store: b.store}
	b.Service = b.service(busy)
	b.capAgent(perDay(100))
	b.run("a", nil)
	b.uses("a", "1", 50)
	b.must(b.mayAsk("a"))
	if n := busy.asked.Load(); n != 0 {
		t.Fatalf("writes asked readers %d times", n)
	}
	other := b.service(b.store) // of another node, which has told nobody
	_, err := other.PutAgent(b.ctx(), org, bot, agent.Record{Name: bot, Caps: perDay(60)})
	b.must(err)
	b.uses("a", "2", 10)
	b.cappedBy("a", task.CapAgent, bot)
}

// B1: whoever looks at the usage of another day has no effect on which caps others see.
func TestB1UsageOfALaterDay(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.capAgent(perDay(100))
	of := task.Spender{Of: task.CapAgent, ID: bot}
	later := b.store.Now().Add(30 * 24 * time.Hour)
	usage, err := b.Usage(b.ctx(), who(), lifecycle.UsageFilter{Spender: of, At: later})
	b.must(err)
	if c := usage[0].Day.Cap; c == nil || c.From > later || c.Until <= later {
		t.Fatalf("a later day's cap is %+v", c)
	}
	other := b.service(b.store)
	_, err = other.PutAgent(b.ctx(), org, bot, agent.Record{Name: bot, Caps: perDay(200)})
	b.must(err)
	b.clock.forward(2 * time.Second)
	usage, err = b.Usage(b.ctx(), who(), lifecycle.UsageFilter{Spender: of})
	b.must(err)
	if got := usage[0].Day.Cap.Most.Tokens; got != 200 {
		t.Fatalf("the cap is %d, want 200", got)
	}
}

// B1, L1: tasks that a cap holds when they are handed out are not sent to Python workers;
// what stands behind them is, in their place.
func TestB1QueuedForAPythonWorker(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.CapBy([]task.CapRule{{Spender: task.Spender{Of: task.CapOwner, ID: alice}, Caps: *perDay(10)}})
	b.run("spends", nil)
	for i := range 150 {
		b.submit(fmt.Sprintf("held-%03d", i), nil)
	}
	other := who()
	other.Owner = "user:bob"
	for _, id := range []string{"last-1", "last-2"} {
		_, _, err := b.Submit(b.ctx(), other, submission(id, nil))
		b.must(err)
	}
	b.uses("spends", "1", 10)
	worker := b.register()
	found, err := b.Assign(b.ctx(), org, bot, worker)
	b.must(err)
	if len(found.Given) != 2 || found.Given[0].Task.ID != "last-1" || found.Room != lifecycle.MaxOutstanding-2 {
		t.Fatalf("given %d tasks, with room for %d more", len(found.Given), found.Room)
	}
	b.cappedBy("held-000", task.CapOwner, alice)
	if run := b.get("held-149").Run; run.Live() {
		t.Fatalf("a task that is held has the attempt %+v", run)
	}
	b.later(12 * time.Hour)
	b.later(0)
	if got := b.assign(b.register()); len(got) != lifecycle.MaxOutstanding {
		t.Fatalf("on the next day another is given %v", got)
	}
}

// B1, S9: who has paused a task that a cap holds takes that back;
// what holds it still does.
func TestB1APauseIsTakenBack(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.capAgent(perDay(10))
	b.run("t", nil)
	b.uses("t", "1", 10)
	b.cappedBy("t", task.CapAgent, bot)
	_, err := b.Pause(b.ctx(), who(), "t")
	b.must(err)
	_, err = b.Resume(b.ctx(), who(), "t")
	b.must(err)
	b.cappedBy("t", task.CapAgent, bot)
	_, err = b.Resume(b.ctx(), who(), "t")
	b.refused(err, fault.Conflict)
	b.capAgent(nil)
	b.must(b.Uncap(b.ctx()))
	b.shows("t", task.Pending, "")
}
