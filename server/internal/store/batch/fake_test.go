package batch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/store/table"
	"github.com/errand-dev/errand/server/internal/task"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is an engine that notes what it is told to do, and keeps the arguments of
// what was committed. It finds no rows.
type fake struct {
	mu      sync.Mutex
	calls   []string
	stored  []string // that were committed
	pending []string // in the transaction
	saved   []int    // how many were pending at each mark
	open    bool
	closed  int
	// fail, if not nil, says why a call fails.
	fail func(call string) error
}

// note notes a call, and returns why it fails.
func (f *fake) note(call string, do func()) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, call)
	if f.fail != nil {
		if err := f.fail(call); err != nil {
			return err
		}
	}
	if do != nil {
		do()
	}
	return nil
}

// all is what is stored.
func (f *fake) all() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.stored)
}

// called is what it was told since the last time.
func (f *fake) called() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	calls := strings.Join(f.calls, ", ")
	f.calls = nil
	return calls
}

func (f *fake) Begin(_ context.Context, about []lifecycle.Key) error {
	return f.note("begin"+named(about), func() { f.open, f.pending, f.saved = true, nil, nil })
}

func (*fake) Writer() string { return "" }

func (f *fake) Lock(_ context.Context, about []lifecycle.Key) error {
	return f.note("lock"+named(about), nil)
}

func named(about []lifecycle.Key) string {
	names := ""
	for _, k := range about {
		names += " " + k.ID
	}
	return names
}

func (*fake) Now() task.Stamp { return 1 }

func (f *fake) Send(_ context.Context, ops []table.Op) error {
	values := valuesOf(ops)
	return f.note("send "+strings.Join(values, " "), func() { f.pending = append(f.pending, values...) })
}

// valuesOf lists what the suite's writes write: the ids of nodes.
func valuesOf(ops []table.Op) []string {
	var values []string
	for _, op := range ops {
		if op.In&(table.Nodes|table.Secrets) == 0 {
			continue
		}
		for _, arg := range op.Args {
			if text, ok := arg.(string); ok {
				values = append(values, text)
			}
		}
	}
	return values
}

func (f *fake) Save(context.Context) error {
	return f.note("save", func() { f.saved = append(f.saved, len(f.pending)) })
}

func (f *fake) Back(context.Context) error {
	return f.note("back", func() { f.pending = f.pending[:f.saved[len(f.saved)-1]] })
}

func (f *fake) Commit(_ context.Context, ops []table.Op, entries []feed.Entry) error {
	values := valuesOf(ops)
	call := strings.Join(append([]string{"commit"}, values...), " ")
	if len(entries) > 0 {
		call += fmt.Sprintf(" and %d entries", len(entries))
	}
	return f.note(call, func() { f.stored, f.open = append(append(f.stored, f.pending...), values...), false })
}

func (f *fake) Rollback(context.Context) {
	_ = f.note("rollback", func() { f.pending, f.open = nil, false })
}

func (f *fake) End(ctx context.Context) error {
	f.Rollback(ctx)
	return nil
}

func (f *fake) Query(_ context.Context, query string, _ ...any) (table.Rows, error) {
	f.mu.Lock()
	open := f.open
	f.mu.Unlock()
	if !open {
		return nil, errors.New("a question outside of a transaction")
	}
	from := strings.Fields(query[strings.Index(query, "FROM ")+5:])[0]
	return nothing{}, f.note("ask "+from, nil)
}

func (f *fake) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed++
	return nil
}

// nothing is rows that are not there.
type nothing struct{}

func (nothing) Next() bool        { return false }
func (nothing) Scan(...any) error { return errors.New("there is no row") }
func (nothing) Err() error        { return nil }
func (nothing) Close() error      { return nil }

// puts records that a node is there.
func puts(tx lifecycle.Tx, id string) error { return tx.PutNode(lifecycle.Node{ID: id}) }

// asks puts a question about nodes.
func asks(tx lifecycle.Tx) error {
	_, err := tx.Nodes()
	return err
}

// key names a task.
func key(id string) lifecycle.Key {
	return lifecycle.Key{Of: lifecycle.TaskKey, Organization: "o", ID: id}
}

// comer is a context that tells when somebody begins to wait for its end: when a
// request is in the queue.
type comer struct {
	context.Context //nolint:containedctx // it is one
	once            sync.Once
	waits           chan struct{}
}

func newComer(ctx context.Context) *comer { return &comer{Context: ctx, waits: make(chan struct{})} }

func (c *comer) Done() <-chan struct{} {
	c.once.Do(func() { close(c.waits) })
	return c.Context.Done()
}
