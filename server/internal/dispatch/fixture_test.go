package dispatch_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/dispatch"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/secret"
	"github.com/errand-dev/errand/server/internal/store/sqlite"
	"github.com/errand-dev/errand/server/internal/stream"
	"github.com/errand-dev/errand/server/internal/task"
	"github.com/errand-dev/errand/server/internal/testkit/teststore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	org   = "org"
	bot   = "bot"
	lease = 30 * time.Second
)

func who() lifecycle.Caller { return lifecycle.Caller{Scope: auth.All(org), By: "key alice"} }

// outage is a store that can be made unreachable, and that can tell of a
// write as soon as it is stored.
type outage struct {
	*sqlite.Store
	down   atomic.Bool
	stall  atomic.Pointer[chan struct{}] // closed when writes go on
	stored atomic.Pointer[func()]

	writes, looks, records atomic.Int64 // how often it was asked
}

func (o *outage) Fronts(ctx context.Context, org string, lanes []lifecycle.Lane, limit int) ([]lifecycle.Front, error) {
	o.looks.Add(1)
	return o.Store.Fronts(ctx, org, lanes, limit)
}

func (o *outage) QueuedAgents(ctx context.Context, org string) ([]string, error) {
	o.looks.Add(1)
	return o.Store.QueuedAgents(ctx, org)
}

func (o *outage) Agents(ctx context.Context, org, after string, limit int) ([]agent.Agent, error) {
	o.records.Add(1)
	return o.Store.Agents(ctx, org, after, limit)
}

func (o *outage) Agent(ctx context.Context, org, id string, version int) (agent.Agent, error) {
	o.records.Add(1)
	return o.Store.Agent(ctx, org, id, version)
}

func (o *outage) Write(ctx context.Context, about []lifecycle.Key, fn func(lifecycle.Tx) error) error {
	if o.writes.Add(1); o.down.Load() {
		return fault.New(fault.Unavailable, "out of order")
	}
	if still := o.stall.Load(); still != nil {
		<-*still
	}
	err := o.Store.Write(ctx, about, fn)
	if tell := o.stored.Load(); tell != nil {
		(*tell)()
	}
	return err
}

// Beat is a write like any other.
func (o *outage) Beat(ctx context.Context, _ string, _ func(lifecycle.Roll) bool, fn func(lifecycle.Tx) error) error {
	return o.Write(ctx, nil, fn)
}

type keepAll struct{}

func (keepAll) Keep(_ context.Context, _ auth.Scope, given, _ string) (kept, file string, err error) {
	return given, "", nil
}

// bench is a service, in a bubble of fake time, with what dispatch needs.
type bench struct {
	*lifecycle.Service
	t       *testing.T
	store   *outage
	hub     *stream.Hub
	line    *dispatch.Line
	workers *dispatch.Workers
	closing chan struct{}
	jump    atomic.Int64 // of the wall clock, in nanoseconds
	deaf    atomic.Bool  // commits wake nobody
	other   atomic.Bool  // commits are another node's
	parts   sync.WaitGroup
	end     context.CancelFunc
	ctx     context.Context //nolint:containedctx // the life of the parts of one test
}

func (b *bench) now() time.Time { return time.Now().Add(time.Duration(b.jump.Load())) }

// inBubble runs a test with a store, a service and its workers in fake time.
func inBubble(t *testing.T, test func(*bench)) {
	t.Helper()
	dir := t.TempDir()
	teststore.Prepare(t, dir)
	synctest.Test(t, func(t *testing.T) {
		b := &bench{t: t, hub: stream.NewHub(), line: dispatch.NewLine(), closing: make(chan struct{})}
		b.ctx, b.end = context.WithCancel(t.Context())
		store, err := sqlite.Open(b.ctx, sqlite.Options{Verify: true, Dir: dir, Now: b.now, OnDecided: func(c []feed.Entry) {
			if !b.other.Load() && !b.deaf.Load() {
				b.line.Expect(c)
			}
		}, OnCommit: func(c []feed.Entry) {
			if b.other.Load() {
				c = slices.Clone(c)
				for i := range c {
					c[i].Change = nil
				}
			}
			if !b.deaf.Load() {
				b.hub.Publish(c)
				b.line.Publish(c)
			}
		}})
		b.must(err)
		b.store = &outage{Store: store}
		defer func() {
			b.store.down.Store(false)
			b.end()
			b.parts.Wait()
			b.must(store.Close())
		}()
		box, err := secret.NewBox(bytes.Repeat([]byte{7}, 32))
		b.must(err)
		made := 0
		b.Service = lifecycle.New(b.store, box, keepAll{}, func() string { made++; return fmt.Sprint("made-", made) }, slog.New(slog.DiscardHandler))
		b.must(store.PutOrganization(b.ctx, org, org))
		_, err = b.PutAgent(b.ctx, org, bot, agent.Record{Name: bot})
		b.must(err)
		b.workers = dispatch.NewWorkers(b.Service, b.line, slog.New(slog.DiscardHandler), b.closing)
		b.parts.Go(func() { b.workers.Run(b.ctx) })
		test(b)
	})
}

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) submit(id, agentID string) {
	b.t.Helper()
	_, _, err := b.Submit(b.ctx, who(), lifecycle.Submission{Spec: task.Spec{ID: id, AgentID: agentID}})
	b.must(err)
}

// claim takes a task at once.
func (b *bench) claim(id string) {
	b.t.Helper()
	got, err := b.Claim(b.ctx, who(), lifecycle.ClaimRequest{Agents: []string{bot}, Worker: "w", Slots: 1})
	b.must(err)
	if len(got) != 1 || got[0].Task.ID != id {
		b.t.Fatalf("claimed %d tasks, want %s", len(got), id)
	}
}

func (b *bench) status(id string) task.Status {
	b.t.Helper()
	now, err := b.Seen(b.ctx, org, id)
	b.must(err)
	return now.Status()
}

func (b *bench) shows(id string, want task.Status) {
	b.t.Helper()
	if got := b.status(id); got != want {
		b.t.Fatalf("%s is %s, want %s", id, got, want)
	}
}

// pass lets fake time pass.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func (b *bench) sweeper() {
	s := dispatch.NewSweeper(b.Service, slog.New(slog.DiscardHandler), b.now, dispatch.Chores{})
	b.parts.Go(func() { s.Run(b.ctx) })
}
