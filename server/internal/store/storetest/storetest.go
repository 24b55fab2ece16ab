// Package storetest is the suite that every store has to pass. It knows the
// store port only, so that two stores which pass it can stand for each other.
package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/blob"
	"github.com/errand-dev/errand/server/internal/deliver"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/files"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/search"
	"github.com/errand-dev/errand/server/internal/task"
)

// Store is what the suite needs of a store.
type Store interface {
	lifecycle.Store
	auth.Store
	files.Store
	blob.Rows
	feed.Source
	search.Store
	deliver.Store
	// DropFeed drops entries of the feed that are older than a moment and that the search
	// has read, but for the newest of them.
	DropFeed(ctx context.Context, before task.Stamp) error
	// DropStats drops what is not kept any more at a moment.
	DropStats(ctx context.Context, at task.Stamp) error
	// Counts and Size are what is measured of a store.
	Counts(ctx context.Context, org string) ([]lifecycle.StatusCount, []lifecycle.QueueDepth, error)
	Size(ctx context.Context) (int64, error)
	Close() error
}

// Options say how a store is to be opened.
type Options struct {
	// Now is the clock that leases are measured on.
	Now func() time.Time
	// OnCommit is told of each commit: of those about one task in their order, and
	// before the callers are answered.
	OnCommit func([]feed.Entry)
	// Node is the store's name in the feed.
	Node string
}

// Place is where one database lies: it opens the store there, empty at first.
// After a Close it may be called again and finds what was stored.
type Place func(t *testing.T, o Options) Store

// Kind is a kind of store.
type Kind struct {
	// New makes an empty place.
	New func(t *testing.T) Place
	// Shared says that a second store may be opened at a place while the first is
	// open. Only then is there a race to be lost.
	Shared bool
	// Parallel says that transactions of both may be under way at the same time.
	Parallel bool
	// OnlyRaces leaves out what one store has to pass alone.
	OnlyRaces bool
}

// Run runs the suite. Each of its parts asks for a place of its own.
func Run(t *testing.T, kind Kind) {
	t.Helper()
	for _, part := range parts(kind) {
		t.Run(part.name, func(t *testing.T) {
			t.Parallel()
			part.run(open(t, kind))
		})
	}
}

type part struct {
	name string
	run  func(*env)
}

// parts lists what a store of the kind has to pass.
func parts(kind Kind) []part {
	if kind.OnlyRaces {
		return raceParts()
	}
	all := slices.Concat(historyParts(), documentParts(), commitParts(), queueParts(), leaseParts(), rosterParts(),
		listParts(), scopeParts(), approvalParts(), recordParts(), fileParts(), deleteParts(), packParts(), usageParts(), statsParts(), feedParts(), searchParts(), pushParts(), webhookParts())
	if kind.Shared {
		all = append(all, raceParts()...)
	}
	if kind.Parallel {
		all = append(all, parallelParts()...)
	}
	return all
}

// The organizations and the agent that most tests use.
const (
	home  = "home"
	away  = "away"
	agent = "agent-1"
)

// clock stands still unless it is moved.
type clock struct{ us atomic.Int64 }

func (c *clock) now() time.Time          { return time.UnixMicro(c.us.Load()) }
func (c *clock) stamp() task.Stamp       { return task.Stamp(c.us.Load()) }
func (c *clock) advance(d time.Duration) { c.us.Add(d.Microseconds()) }

// told is what a store has made known.
type told struct {
	mu      sync.Mutex
	entries []feed.Entry
}

func (x *told) commit(entries []feed.Entry) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.entries = append(x.entries, entries...)
}

// all is everything that was told so far.
func (x *told) all() []feed.Entry {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.entries)
}

// changes lists the changes that were told.
func (x *told) changes() []task.Change {
	var found []task.Change
	for _, e := range x.all() {
		if e.Change != nil {
			found = append(found, *e.Change)
		}
	}
	return found
}

// events lists what was told of one task.
func (x *told) events(org, id string) []task.Event {
	var found []task.Event
	for _, c := range x.changes() {
		if c.Task.OrganizationID == org && c.Task.ID == id {
			found = append(found, c.Events...)
		}
	}
	return found
}

// deleted lists the tasks that were told to be deleted.
func (x *told) deleted() [][2]string {
	found := [][2]string{}
	for _, e := range x.all() {
		if e.Kind&feed.Deleted != 0 {
			found = append(found, [2]string{e.Organization, e.Task})
		}
	}
	return found
}

// env is an open store with what the suite does to it again and again.
type env struct {
	Store
	t     *testing.T
	kind  Kind
	place Place
	node  string
	clock *clock
	told  *told
}

func open(t *testing.T, kind Kind) *env {
	t.Helper()
	e := &env{t: t, kind: kind, place: kind.New(t), node: "node-1", clock: &clock{}, told: &told{}}
	e.clock.us.Store(time.Date(2026, 1, 2, 3, 4, 5, 678_901_000, time.UTC).UnixMicro())
	e.open()
	for _, org := range []string{home, away} {
		e.ok(e.PutOrganization(t.Context(), org, org))
	}
	return e
}

func (e *env) open() {
	s := e.place(e.t, Options{Now: e.clock.now, OnCommit: e.told.commit, Node: e.node})
	e.t.Cleanup(func() {
		if err := s.Close(); err != nil {
			e.t.Errorf("close: %v", err)
		}
	})
	e.Store = s
}

// ok ends the test if there is an error.
func (e *env) ok(err error) {
	e.t.Helper()
	if err != nil {
		e.t.Fatal(err)
	}
}

// same ends the test if two things differ.
func (e *env) same(what string, want, got any) {
	e.t.Helper()
	if d := diff(want, got); d != "" {
		e.t.Fatalf("%s (-want +got):\n%s", what, d)
	}
}

// missing ends the test unless err says that there is no such thing.
func (e *env) missing(what string, err error) {
	e.t.Helper()
	if fault.CodeOf(err) != fault.NotFound {
		e.t.Fatalf("%s: %v, want a fault of code not_found", what, err)
	}
}

// write commits fn, which is about some rows. The fn of a store's Write may run
// on another goroutine, so it must answer errors and never end the test itself.
func (e *env) write(fn func(lifecycle.Tx) error, about ...lifecycle.Key) {
	e.t.Helper()
	e.ok(e.Write(e.t.Context(), about, fn))
}

// about names tasks.
func about(org string, ids ...string) []lifecycle.Key {
	keys := make([]lifecycle.Key, len(ids))
	for i, id := range ids {
		keys[i] = lifecycle.Key{Of: lifecycle.TaskKey, Organization: org, ID: id}
	}
	return keys
}

// read returns what one reads in a commit that writes nothing.
func read[T any](e *env, fn func(lifecycle.Tx) (T, error)) T {
	e.t.Helper()
	var found T
	e.write(func(tx lifecycle.Tx) (err error) {
		found, err = fn(tx)
		return err
	})
	return found
}

// begin creates a task in the organization home.
func (e *env) begin(id string, edit ...func(*task.Begin)) task.Task {
	e.t.Helper()
	b := beginning(home, id, edit...)
	e.write(func(tx lifecycle.Tx) error { return create(tx, b, e.clock.stamp()) }, about(b.Spec.OrganizationID, id)...)
	return e.task(b.Spec.OrganizationID, id).Task
}

func (e *env) task(org, id string) lifecycle.Snapshot {
	e.t.Helper()
	s, err := e.Task(e.t.Context(), auth.All(org), id)
	e.ok(err)
	return s
}

// state is what a task of the organization home shows.
func (e *env) state(id string) task.State {
	e.t.Helper()
	s := e.task(home, id)
	return s.Task.State()
}

// do applies commands to a task, each in a commit of its own.
func (e *env) do(org, id string, commands ...task.Command) task.Task {
	e.t.Helper()
	for _, c := range commands {
		e.write(func(tx lifecycle.Tx) error { return change(tx, org, id, c, e.clock.stamp()) }, about(org, id)...)
	}
	return e.task(org, id).Task
}

// log reads all events of a task of the organization home.
func (e *env) log(id string) (all []task.Event) {
	e.t.Helper()
	for after := int64(0); ; after = all[len(all)-1].Seq { // a read ends with what is long
		events, err := e.Events(e.t.Context(), home, id, after, 1<<30)
		e.ok(err)
		if len(events) == 0 {
			return all
		}
		all = append(all, events...)
	}
}

// beginning is the first turn of a task.
func beginning(org, id string, edit ...func(*task.Begin)) task.Begin {
	b := task.Begin{
		Spec:  task.Spec{OrganizationID: org, ID: id, AgentID: agent, MaxAttempts: 3},
		State: task.State{Source: "sdk"}, TraceParent: "of " + id,
	}
	for _, f := range edit {
		f(&b)
	}
	return b
}

// signature is who writes what no attempt writes.
const signature = "key of the suite"

// create makes a task, as the verbs do.
func create(tx lifecycle.Tx, b task.Begin, now task.Stamp) error {
	return save(tx, task.Task{}, b, now)
}

// change applies a command to a task that is there.
func change(tx lifecycle.Tx, org, id string, c task.Command, now task.Stamp) error {
	t, err := tx.Task(org, id)
	if err != nil {
		return err
	}
	return save(tx, t, c, now)
}

func save(tx lifecycle.Tx, t task.Task, c task.Command, now task.Stamp) error {
	changed, err := task.Apply(t, c, now)
	if err != nil {
		return err
	}
	changed.Sign(signature)
	return tx.Save(changed)
}

// remove deletes a task. Of its attempts stays what may still run or be told of.
func remove(tx lifecycle.Tx, org, id string, now task.Stamp) error {
	left, err := tx.Attempts(org, id)
	if err != nil {
		return err
	}
	if err := errors.Join(tx.DropUses(org, id), tx.Delete(org, id)); err != nil {
		return err
	}
	for _, a := range left {
		if a = a.Orphaned(now); a.Remains() {
			if err := tx.PutAttempt(org, id, a); err != nil {
				return err
			}
		}
	}
	if err := erasing(org, id)(tx); err != nil {
		return err
	}
	return nil
}

// chunk is one event, such as anybody may write.
func chunk(text string) task.Append {
	own, err := json.Marshal(text)
	if err != nil {
		own = json.RawMessage(`"?"`)
	}
	return task.Append{Events: []task.Event{{Type: task.AgentMessage, Own: own}}}
}

// claim hands a task to a fenced worker.
func claim(worker string) task.Claim {
	return task.Claim{Worker: worker, TokenHash: "token of " + worker, Lease: 30 * time.Second}
}

// assign hands a new task to a Python worker, start is that worker's first word.
func assign(worker string) task.Assign { return task.Assign{Worker: worker, Lease: 30 * time.Second} }

func lose(number int) task.Lose { return task.Lose{Number: number, Reason: "the lease ran out"} }

func start() task.Patch { return task.Patch{Full: true, Status: task.Executing, Number: 1} }

// settle ends a task whatever it is doing.
func settle(reason task.EndReason, result string) task.Settle {
	return task.Settle{By: "somebody", Reason: reason, Result: &result, Correct: true, FromPending: true}
}

// diff compares by value; raw JSON by what it says, to the last digit.
func diff(want, got any) string {
	return cmp.Diff(want, got, cmp.AllowUnexported(task.Task{}), cmp.FilterPath(isJSON, cmp.Transformer("JSON", func(raw json.RawMessage) any {
		if len(raw) == 0 {
			return nil
		}
		dec := json.NewDecoder(strings.NewReader(string(raw)))
		dec.UseNumber()
		var v any
		if err := dec.Decode(&v); err != nil {
			return fmt.Sprintf("%v: %s", err, raw)
		}
		return v
	})))
}

// isJSON tells raw JSON from other bytes.
func isJSON(p cmp.Path) bool { return p.Last().Type() == reflect.TypeFor[json.RawMessage]() }

// differs is diff as an error, for use inside a write.
func differs(what string, want, got any) error {
	if d := diff(want, got); d != "" {
		return fmt.Errorf("%s (-want +got):\n%s", what, d)
	}
	return nil
}

// errUndo makes a write fail on purpose.
var errUndo = errors.New("this write is to be undone")
