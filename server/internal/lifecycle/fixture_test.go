package lifecycle_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/secret"
	"github.com/errand-dev/errand/server/internal/task"
	"github.com/errand-dev/errand/server/internal/testkit/teststore"
)

const (
	org   = "org"
	bot   = "bot"       // the agent of most tests
	alice = "key alice" // who asks
	lease = 30 * time.Second
)

// clock is the store's clock: it moves only when a test moves it.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// tester is what testing and rapid have in common.
type tester interface {
	Helper()
	Fatalf(format string, args ...any)
	Context() context.Context
}

// keepAll stands for package files: every URL may be kept.
type keepAll struct{}

func (keepAll) Keep(_ context.Context, _ auth.Scope, given, _ string) (kept, file string, err error) {
	return given, "", nil
}

// bench is a service over a real store of its own.
type bench struct {
	*lifecycle.Service
	t     tester
	tb    testing.TB // that the databases belong to
	dir   string
	clock *clock
	store teststore.Store
	posts int
	made  int // ids, over all starts
}

// open makes a bench with the agent bot in two organizations.
func open(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, tb: t, dir: t.TempDir()}
	stop := b.start()
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	return b
}

func (b *bench) start() (stop func() error) {
	b.t.Helper()
	b.clock = &clock{now: time.Date(2026, 3, 21, 12, 0, 0, 0, time.UTC)}
	b.store = teststore.Open(b.tb, b.t, teststore.Options{Dir: b.dir, Now: b.clock.Now})
	b.Service = b.service(b.store)
	for _, o := range []string{org, "other"} {
		b.must(b.store.PutOrganization(b.ctx(), o, o))
		_, err := b.PutAgent(b.ctx(), o, bot, agent.Record{Name: bot})
		b.must(err)
	}
	return b.store.Close
}

// service makes a service over a store.
func (b *bench) service(store lifecycle.Store) *lifecycle.Service {
	b.t.Helper()
	box, err := secret.NewBox(bytes.Repeat([]byte{7}, 32))
	b.must(err)
	return lifecycle.New(store, box, keepAll{}, func() string {
		b.made++
		return "made-" + strconv.Itoa(b.made)
	}, slog.New(slog.DiscardHandler))
}

func (b *bench) ctx() context.Context { return b.t.Context() }

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatalf("unexpected error: %v", err)
	}
}

// refused checks the code of a refusal.
func (b *bench) refused(err error, want fault.Code) {
	b.t.Helper()
	if got := fault.CodeOf(err); got != want {
		b.t.Fatalf("got code %q (%v), want %q", got, err, want)
	}
}

func who() lifecycle.Caller {
	return lifecycle.Caller{Scope: auth.All(org), Owner: alice, Worker: true, By: alice}
}

// The verbs as a caller who sees all of an organization uses them.

func (b *bench) Get(ctx context.Context, org, id string) (lifecycle.Snapshot, error) {
	return b.Service.Get(ctx, auth.All(org), id)
}

func (b *bench) Task(ctx context.Context, org, id string) (task.Task, error) {
	return b.Service.Task(ctx, auth.All(org), id)
}

func (b *bench) List(ctx context.Context, org string, f lifecycle.Filter, p lifecycle.Page) (lifecycle.List, error) {
	return b.Service.List(ctx, auth.All(org), f, p)
}

// Append shows a token, or is a push with a worker's key.
func (b *bench) Append(ctx context.Context, org, id, token string, events []lifecycle.NewEvent) ([]int64, error) {
	return b.Service.Append(ctx, lifecycle.Caller{Scope: auth.All(org), Worker: true, By: "key worker"}, id, token, events)
}

// Sweep lets all deadlines pass that have come.
func (b *bench) Sweep(ctx context.Context) error {
	for {
		if more, err := b.Service.Sweep(ctx, b.pulse(ctx)); err != nil || !more {
			return err
		}
	}
}

// pulse is what a beat would find out now that renews no lease.
func (b *bench) pulse(ctx context.Context) lifecycle.Pulse {
	b.t.Helper()
	p := lifecycle.Pulse{AsOf: b.store.Now(), Sweeps: true}
	b.must(b.store.Write(ctx, nil, func(tx lifecycle.Tx) error {
		alive, err := tx.Alive()
		p.Renewed = alive.Renewed
		return err
	}))
	return p
}

// RenewLeases is what the sweeper does after a time in which no server could be
// reached.
func (b *bench) RenewLeases() {
	b.t.Helper()
	_, err := b.Beat(b.ctx(), true)
	b.must(err)
	b.must(b.FollowClock(b.ctx(), 0))
}

// submission asks bot for something; change may be nil.
func submission(id string, change func(*lifecycle.Submission)) lifecycle.Submission {
	sub := lifecycle.Submission{Spec: task.Spec{ID: id, AgentID: bot, Input: task.Input{Text: new("do " + id)}}}
	if change != nil {
		change(&sub)
	}
	return sub
}

func (b *bench) submit(id string, change func(*lifecycle.Submission)) lifecycle.Snapshot {
	b.t.Helper()
	made, _, err := b.Submit(b.ctx(), who(), submission(id, change))
	b.must(err)
	return made
}

func (b *bench) get(id string) task.Task {
	b.t.Helper()
	t, err := b.Task(b.ctx(), org, id)
	b.must(err)
	return t
}

// shows checks the status and the end reason that a task shows.
func (b *bench) shows(id string, want task.Status, reason task.EndReason) {
	b.t.Helper()
	s := b.state(id)
	if s.Status != want || s.EndReason != reason {
		b.t.Fatalf("task %s is %s (reason %q), want %s (%q)", id, s.Status, s.EndReason, want, reason)
	}
}

func (b *bench) state(id string) task.State {
	b.t.Helper()
	t := b.get(id)
	return t.State()
}

// claim lets a fenced worker take tasks.
func (b *bench) claim(worker string, slots int) []lifecycle.Claimed {
	b.t.Helper()
	got, err := b.Claim(b.ctx(), who(), lifecycle.ClaimRequest{Agents: []string{bot}, Worker: worker, Slots: slots})
	b.must(err)
	return got
}

// run submits a task and lets the fenced worker w1 claim it; it answers the token.
func (b *bench) run(id string, change func(*lifecycle.Submission)) string {
	b.t.Helper()
	b.submit(id, change)
	return b.take(id)
}

// take claims one task, which must be the given one.
func (b *bench) take(id string) string {
	b.t.Helper()
	got := b.claim("w1", 1)
	if len(got) != 1 || got[0].Task.ID != id {
		b.t.Fatalf("claimed %d tasks, want %s", len(got), id)
	}
	return got[0].Token
}

func (b *bench) finish(id, token string, reason task.EndReason, result string) (lifecycle.Snapshot, error) {
	return b.Finish(b.ctx(), org, id, token, lifecycle.Outcome{Reason: reason, Result: &result})
}

// register opens a Python worker's stream, from a host of its own.
func (b *bench) register() string {
	b.t.Helper()
	b.posts++
	return b.registerFrom("host-" + strconv.Itoa(b.posts))
}

// registerFrom opens a Python worker's stream.
func (b *bench) registerFrom(host string) string {
	b.t.Helper()
	w, err := b.Register(b.ctx(), lifecycle.Registration{Organization: org, Agent: bot, KeyID: "key", Address: host})
	b.must(err)
	return w.ID
}

// beat is a Python worker's heartbeat.
func (b *bench) beat(worker string) {
	b.t.Helper()
	b.must(b.Heard(b.ctx(), org, bot, worker, lifecycle.Sign{Beat: true}))
}

// capacity is a Python worker's word that it is busy, or has a slot free again.
// It returns the post, which the worker may repeat.
func (b *bench) capacity(worker string, busy bool) lifecycle.Sign {
	b.t.Helper()
	b.posts++
	sign := lifecycle.Sign{ID: "post-" + strconv.Itoa(b.posts), Busy: &busy}
	b.must(b.Heard(b.ctx(), org, bot, worker, sign))
	return sign
}

// cut ends a Python worker's stream.
func (b *bench) cut(worker string) {
	b.t.Helper()
	b.must(b.Disconnect(b.ctx(), org, bot, worker))
}

// assign gives a Python worker what it may have and returns the tasks' ids.
func (b *bench) assign(worker string) []string {
	b.t.Helper()
	found, err := b.Assign(b.ctx(), org, bot, worker)
	b.must(err)
	ids := []string{}
	for _, s := range found.Given {
		ids = append(ids, s.Task.ID)
	}
	return ids
}

// runPython submits a task, assigns it to a new Python worker, and starts it.
func (b *bench) runPython(id string, change func(*lifecycle.Submission)) (worker string) {
	b.t.Helper()
	b.submit(id, change)
	worker = b.register()
	if got := b.assign(worker); !slices.Contains(got, id) {
		b.t.Fatalf("assigned %v, want %s among them", got, id)
	}
	b.patch(id, b.body(id, fields{"status": "executing"}))
	b.shows(id, task.Executing, "")
	return worker
}

type fields map[string]any

// body is a full body as Task.save sends it: the client's whole copy of the
// task as it is now, with some fields changed.
func (b *bench) body(id string, change fields) fields {
	b.t.Helper()
	snap, err := b.Get(b.ctx(), org, id)
	b.must(err)
	state, err := json.Marshal(snap.Task.State())
	b.must(err)
	all := fields{}
	b.must(json.Unmarshal(task.Splice(snap.Spec, state), &all))
	delete(all, "deep_planning") // the client leaves it out
	return all.with(change)
}

func raw(t tester, body fields) map[string]json.RawMessage {
	t.Helper()
	all := map[string]json.RawMessage{}
	for name, value := range body {
		if given, ok := value.(json.RawMessage); ok { // may be broken on purpose
			all[name] = given
			continue
		}
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatalf("encode %s: %v", name, err)
		}
		all[name] = text
	}
	return all
}

func (b *bench) tryPatch(id string, body fields) (lifecycle.Snapshot, error) {
	b.t.Helper()
	return b.Patch(b.ctx(), who(), id, raw(b.t, body))
}

// patch sends a body that must be answered 200, and returns what it showed.
func (b *bench) patch(id string, body fields) task.State {
	b.t.Helper()
	after, err := b.tryPatch(id, body)
	b.must(err)
	return after.Task.State()
}

func (b *bench) stop(id string) lifecycle.Snapshot {
	b.t.Helper()
	after, err := b.Stop(b.ctx(), who(), id)
	b.must(err)
	return after
}

// later moves the clock and lets the sweeper look once.
func (b *bench) later(d time.Duration) {
	b.t.Helper()
	b.clock.forward(d)
	b.must(b.Sweep(b.ctx()))
}

func (b *bench) log(id string) []task.Event {
	b.t.Helper()
	var all []task.Event
	for {
		some, err := b.Events(b.ctx(), org, id, int64(len(all)), 1000)
		b.must(err)
		if len(some) == 0 {
			return all
		}
		all = append(all, some...)
	}
}

// of is the events of a type.
func (b *bench) of(id string, typ task.Type) []task.Event {
	b.t.Helper()
	return slices.DeleteFunc(b.log(id), func(e task.Event) bool { return e.Type != typ })
}

// one is the only event of a type, its data decoded.
func (b *bench) one(id string, typ task.Type) fields {
	b.t.Helper()
	found := b.of(id, typ)
	if len(found) != 1 {
		b.t.Fatalf("the log of %s has %d %s, want one", id, len(found), typ)
	}
	var data fields
	b.must(json.Unmarshal(found[0].Data(), &data))
	return data
}

func (b *bench) types(id string) []task.Type {
	b.t.Helper()
	var all []task.Type
	for _, e := range b.log(id) {
		all = append(all, e.Type)
	}
	return all
}

// unchanged runs act and checks that neither the task nor its log changed.
func (b *bench) unchanged(id string, act func()) {
	b.t.Helper()
	before := b.log(id)
	state := b.state(id)
	act()
	if diff := cmp.Diff(state, b.state(id)); diff != "" {
		b.t.Fatalf("the task has changed:\n%s", diff)
	}
	if diff := cmp.Diff(before, b.log(id)); diff != "" {
		b.t.Fatalf("the log has changed:\n%s", diff)
	}
}

func text(s *string) string {
	if s == nil {
		return "<null>"
	}
	return *s
}

// fill submits n tasks.
func (b *bench) fill(name string, n int) {
	b.t.Helper()
	for i := range n {
		b.submit(name+strconv.Itoa(i), nil)
	}
}
