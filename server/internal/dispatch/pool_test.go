package dispatch_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/dispatch"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/runtime"
	"github.com/errand-dev/errand/server/internal/task"
)

// clerk executes tasks one after another, each for a second, and keeps their order.
type clerk struct {
	mu   sync.Mutex
	done []string
}

func (c *clerk) Run(_ context.Context, a *runtime.Attempt) (runtime.Outcome, error) {
	c.mu.Lock()
	c.done = append(c.done, a.TaskID)
	c.mu.Unlock()
	<-time.After(time.Second)
	return runtime.Completed(""), nil
}

func (c *clerk) order() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.done)
}

// staff starts a pool for the agents of runtime profile.
func (b *bench) staff(r runtime.Runner, slots int, log *slog.Logger) {
	p := dispatch.NewPool(dispatch.PoolOptions{
		Service: b.Service, Line: b.line, Watcher: b.hub, Files: noFiles{}, Slots: slots, Log: log,
		Runner: func(a agent.Record) runtime.Runner {
			if a.Runtime == agent.Profile {
				return r
			}
			return nil
		},
	})
	b.parts.Go(func() { p.Run(b.ctx, b.ctx) })
}

// define makes agents that the pool executes.
func (b *bench) define(org string, ids ...string) {
	b.t.Helper()
	for _, id := range ids {
		_, err := b.PutAgent(b.ctx, org, id, agent.Record{Name: id, Runtime: agent.Profile})
		b.must(err)
	}
}

func (b *bench) queue(org, agentID, id string, priority int) {
	b.t.Helper()
	who := who()
	who.Organization = org
	_, _, err := b.Submit(b.ctx, who, lifecycle.Submission{Spec: task.Spec{ID: id, AgentID: agentID}, Priority: priority})
	b.must(err)
	pass(time.Millisecond)
}

// By priority, then age, over all agents, wherever their ids stand; and whoever has
// nothing to do asks for no agent, however many there are.
func TestL1PoolServesAllAgentsAlike(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		many := 5000
		if testing.Short() {
			many = 100
		}
		var ids []string
		for i := range many {
			ids = append(ids, fmt.Sprintf("agent-%04d", i))
		}
		b.define(org, ids...)
		c := &clerk{}
		b.staff(c, 1, slog.New(slog.DiscardHandler))
		synctest.Wait()
		b.queue(org, ids[0], "running", 0)
		b.queue(org, ids[0], "fourth", 0)
		b.queue(org, ids[1], "fifth", 0)
		b.queue(org, ids[many-2], "second", 5)
		b.queue(org, ids[many-1], "first", 9)
		b.queue(org, ids[0], "third", 5)
		pass(10 * time.Second)
		if got := strings.Join(c.order(), " "); got != "running first second third fourth fifth" {
			t.Errorf("L1: executed in the order %s", got)
		}
		records, looks := b.store.records.Load(), b.store.looks.Load()
		pass(time.Minute)
		if n, l := b.store.records.Load()-records, b.store.looks.Load()-looks; n != 0 || l > 13 {
			t.Errorf("an idle minute reads %d agents and looks %d times", n, l)
		}
	})
}

func TestL1OrganizationsTakeTurns(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		for _, o := range []string{"loud", "quiet"} {
			b.must(b.store.PutOrganization(b.ctx, o, o))
			b.define(o, "a", "b")
		}
		c := &clerk{}
		b.staff(c, 1, slog.New(slog.DiscardHandler))
		for i := range 8 {
			b.queue("loud", "a", fmt.Sprint("loud-", i), 100)
		}
		for i := range 3 {
			b.queue("quiet", "b", fmt.Sprint("quiet-", i), 0)
		}
		pass(12 * time.Second)
		want := "loud-0 quiet-0 loud-1 quiet-1 loud-2 quiet-2 loud-3 loud-4 loud-5 loud-6 loud-7"
		if got := strings.Join(c.order(), " "); got != want {
			t.Errorf("L1: executed in the order %s, want %s", got, want)
		}
	})
}

// An agent that becomes the pool's is served at once, with what waits for it.
func TestPoolHearsOfRedefinedAgents(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		c := &clerk{}
		b.staff(c, 2, slog.New(slog.DiscardHandler))
		b.submit("t", bot)
		pass(20 * time.Second)
		if got := c.order(); len(got) != 0 {
			t.Fatalf("the pool has executed %v of another's agent", got)
		}
		b.define(org, bot)
		pass(time.Millisecond)
		if got := c.order(); !slices.Equal(got, []string{"t"}) {
			t.Errorf("the pool has executed %v", got)
		}
	})
}

// What a panic says is in the log, with its stack, and nowhere else.
func TestCrashIsToldToTheOperatorOnly(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		var log bytes.Buffer
		b.define(org, "local")
		b.staff(&job{started: make(chan struct{}), ended: make(chan struct{}), panics: true}, 1, slog.New(slog.NewTextHandler(&log, nil)))
		b.submit("t", "local")
		synctest.Wait()
		b.shows("t", task.Error)
		events, err := b.Events(b.ctx, org, "t", 0, 100)
		b.must(err)
		now, err := b.Seen(b.ctx, org, "t")
		b.must(err)
		if told := fmt.Sprintf("%+v %+v", events, *now.State().Result); strings.Contains(told, "boom") || strings.Contains(told, "goroutine") {
			t.Errorf("the task tells %s", told)
		}
		for _, part := range []string{"boom", "dispatch_test.go", "task_id=t"} {
			if !strings.Contains(log.String(), part) {
				t.Errorf("the log does not hold %q: %s", part, log.String())
			}
		}
	})
}

// quick does its tasks at once.
type quick struct{}

func (quick) Run(context.Context, *runtime.Attempt) (runtime.Outcome, error) {
	return runtime.Completed("done"), nil
}

// TestH8PoolTellsEndsWithClaims: one task after the other takes a commit each, beside
// the first claim and the last end.
func TestH8PoolTellsEndsWithClaims(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		const n = 20
		b.define(org, "clerk")
		for i := range n {
			b.submit(strconv.Itoa(i), "clerk")
		}
		before := b.store.writes.Load()
		b.staff(quick{}, 1, slog.New(slog.DiscardHandler))
		pass(time.Second)
		for i := range n {
			now, err := b.Seen(b.ctx, org, strconv.Itoa(i))
			b.must(err)
			if now.Status() != task.Completed {
				t.Errorf("task %d is %s", i, now.Status())
			}
		}
		if writes := b.store.writes.Load() - before; writes > n+5 {
			t.Errorf("%d writes for %d tasks", writes, n)
		}
	})
}
