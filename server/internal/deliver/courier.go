package deliver

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/outbound"
	"github.com/errand-dev/errand/server/internal/secret"
	"github.com/errand-dev/errand/server/internal/task"
)

// Update is one body to be posted.
type Update struct {
	// Place is where it stands in the task's log: Behind its event, or less for what stands
	// before another update of the same event.
	Place int64
	Body  []byte
}

// Behind is the place of the last update that an event makes.
func Behind(seq int64) int64 { return 2 * seq }

// Fold makes updates of a turn's log.
type Fold interface {
	// Add adds the turn's next event. It reports whether no update is to follow.
	Add(e task.Event) (updates []Update, over bool, err error)
}

// Folding says how updates are made: of events of some types, by a fold for each push.
type Folding struct {
	Types []task.Type
	New   func(Push) Fold
}

// Options are what a Courier needs.
type Options struct {
	Store   Store
	Box     *secret.Box
	Guard   outbound.Guard
	Folding Folding
	// Posted is told what has come of each request.
	Posted func(Outcome)
	Log    *slog.Logger
}

// Outcome is what has come of a request to a push.
type Outcome string

// The outcomes.
const (
	Taken     Outcome = "taken"
	Failed    Outcome = "failed"   // it is posted again
	Abandoned Outcome = "given_up" // nothing more is posted
)

// Outcomes lists them.
func Outcomes() []Outcome { return []Outcome{Taken, Failed, Abandoned} }

const (
	// look is how exactly it is known who leads; whoever does is told of what is due, by
	// whichever node it was put, or has failed.
	look = time.Second
	// settles is within which what was told can be read in the feed, mostly: on PostgreSQL
	// everybody's transactions keep it from being read, a program's that makes its tables, too.
	// late is after what time it is read for webhooks though nothing was told for longer.
	settles, late = 30 * time.Second, 15 * time.Second
	// soon is how long nothing is looked for afterwards, or rest times as long as it took, but
	// look at most: on a busy machine that is long, and whoever is told waits for it.
	soon, rest = 50 * time.Millisecond, 9
	// atOnce is how many pushes are posted to at a time, atOnceTo how many of one target, and
	// inAll how many there may be with those that wait until they may have much in memory.
	atOnce, atOnceTo, inAll = 128, 16, 1024
	// kept is how many folds are kept between two updates.
	kept = 1000
	// read is how many events of a log one reading has, reading how many pushes read at a time.
	read, reading = 256, 8
	// light is how many bytes of a log a push may have in memory beside all others, and heavy
	// how many pushes may have more.
	light, heavy = 1 << 20, 4
)

// Courier posts updates, on one node at a time. What has failed is tried again later and
// later. It is safe for concurrent use.
type Courier struct {
	Options
	client *http.Client
	told   chan struct{}
	// readers and loads are places of those who read, and of those who have more than light.
	readers, loads places

	seen map[string]seen // by the ids of enabled webhooks; of the goroutine that runs alone

	mu      sync.Mutex
	busy    map[Key]bool
	waiting int            // how many of the busy ones wait for a place among the loads
	targets map[string]int // how many of the busy ones each has
	hooks   map[string]int // how many each webhook has
	folds   map[Key]*folded
	ailing  map[string]*ailment // by the ids of webhooks
}

// folded is what was folded for a push: its log up to an event, all of whose updates were
// taken.
type folded struct {
	Fold
	of   task.Stamp // the push's PutAt
	upTo int64
}

// NewCourier makes one.
func NewCourier(o Options) *Courier {
	transport := o.Guard.Transport()
	transport.MaxIdleConnsPerHost, transport.MaxResponseHeaderBytes = atOnceTo, answer
	return &Courier{
		Options: o, told: make(chan struct{}, 1), readers: make(places, reading), loads: make(places, heavy),
		busy: map[Key]bool{}, targets: map[string]int{}, hooks: map[string]int{}, folds: map[Key]*folded{}, ailing: map[string]*ailment{},
		client: &http.Client{Transport: transport, Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
}

// Told notes that something has changed.
func (c *Courier) Told() {
	select {
	case c.told <- struct{}{}:
	default:
	}
}

// tellSoon has it told after a while, unless somebody will have looked by then.
func (c *Courier) tellSoon(wait time.Duration) {
	if wait < look {
		time.AfterFunc(wait, c.Told)
	}
}

// Run posts while leads says yes, until ctx ends or the store fails.
func (c *Courier) Run(ctx context.Context, leads func() bool) error {
	var rounds sync.WaitGroup
	defer rounds.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	told := time.Now()
	for ctx.Err() == nil && leads() {
		begun := time.Now()
		hooks, more, err := c.spread(ctx)
		if err == nil {
			err = c.begin(ctx, &rounds)
		}
		if err != nil {
			return err
		}
		if more {
			continue
		}
		pause(ctx, min(max(soon, rest*time.Since(begun)), look), nil)
		for ctx.Err() == nil && leads() {
			if pause(ctx, look, c.told) {
				told = time.Now()
				break
			}
			if hooks && (time.Since(told) < settles || time.Since(begun) > late) {
				break
			}
		}
	}
	return nil
}

// pause waits for a while, unless ctx ends, or until something is told.
func pause(ctx context.Context, while time.Duration, told <-chan struct{}) bool {
	t := time.NewTimer(while)
	defer t.Stop()
	select {
	case <-told:
		return true
	case <-ctx.Done():
	case <-t.C:
	}
	return false
}

// begin begins a round for each push that is due, as far as there is room.
func (c *Courier) begin(ctx context.Context, rounds *sync.WaitGroup) error {
	full, resting, busy := c.occupied()
	due, err := c.Store.DuePushes(ctx, c.Store.Now(), full, resting, busy+atOnce) // those that are busy may be among them
	if err != nil {
		return err
	}
	for _, p := range due {
		if c.take(p.Push) {
			rounds.Go(func() {
				defer c.leave(p.Push)
				c.deliver(ctx, p)
			})
		}
	}
	return nil
}

// occupied lists the targets and webhooks that have no room, and counts the busy pushes.
func (c *Courier) occupied() (full, resting []string, busy int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for target, n := range c.targets {
		if n >= atOnceTo {
			full = append(full, target)
		}
	}
	for id := range c.ailing {
		if c.rests(id) {
			resting = append(resting, id)
		}
	}
	return full, resting, len(c.busy)
}

func (c *Courier) take(p Push) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy[p.Key] || len(c.busy)-c.waiting >= atOnce || len(c.busy) >= inAll || c.targets[p.Target] >= atOnceTo || c.rests(p.Webhook) {
		return false
	}
	c.busy[p.Key] = true
	c.targets[p.Target]++
	c.hooks[p.Webhook]++
	return true
}

func (c *Courier) leave(p Push) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.busy, p.Key)
	if c.targets[p.Target]--; c.targets[p.Target] == 0 {
		delete(c.targets, p.Target)
	}
	if c.hooks[p.Webhook]--; c.hooks[p.Webhook] == 0 {
		delete(c.hooks, p.Webhook)
	}
	c.Told() // there is room for another
}

// await waits for a place among the loads, and makes room for another push meanwhile.
func (c *Courier) await(ctx context.Context) error {
	count := func(n int) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.waiting += n
	}
	count(1)
	defer count(-1)
	c.Told()
	return c.loads.take(ctx)
}

// unkept takes the fold of a push out of those that are kept, or makes one.
func (c *Courier) unkept(p Push) *folded {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.folds[p.Key]
	delete(c.folds, p.Key)
	if f == nil || f.of != p.PutAt {
		f = &folded{c.Folding.New(p), p.PutAt, p.First - 1}
	}
	return f
}

// keep keeps the fold of a push, in the place of some other if there are many.
func (c *Courier) keep(p Push, f *folded) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.folds) >= kept {
		for k := range c.folds {
			delete(c.folds, k)
			break
		}
	}
	c.folds[p.Key] = f
}

// deliver posts all that a push has not taken.
func (c *Courier) deliver(ctx context.Context, due Due) {
	r := &round{Courier: c, push: due.Push, types: c.Folding.Types}
	var err error
	if due.Webhook == "" {
		err = r.run(ctx, due.End)
	} else {
		err = r.tell(ctx, due)
	}
	if err == nil || ctx.Err() != nil || fault.CodeOf(err) == fault.Unavailable { // which the store tells
		return
	}
	c.Log.ErrorContext(ctx, "deliver", "task", due.Task, "push", due.ID, "error", err)
	if err := r.failed(ctx, &failure{why: "the server has failed, as its log says"}); err != nil {
		c.Log.ErrorContext(ctx, "deliver", "task", due.Task, "push", due.ID, "error", err)
	}
}

// places are so many, and taken in turns.
type places chan struct{}

func (p places) take(ctx context.Context) error {
	select {
	case p <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p places) give() { <-p }

// round is what is posted to a push in one go.
type round struct {
	*Courier
	push    Push
	headers http.Header
	// hook is the webhook to which it is, nil for none, key what signs its messages, and types
	// are the events of which there are updates.
	hook  *Webhook
	key   []byte
	types []task.Type
	// load is how many bytes of the log may be in memory, and heavy says that it has a place
	// among the loads.
	load  int
	heavy bool
}

// run posts what follows in the log, whose last event is known.
func (r *round) run(ctx context.Context, end int64) (err error) {
	if r.headers, err = r.unseal(); err != nil {
		return err
	}
	defer r.unload()
	f := r.unkept(r.push)
	for {
		events, err := r.next(ctx, f.upTo)
		if err != nil {
			return err
		}
		for _, e := range events {
			if over, err := r.add(ctx, f, e); over || err != nil {
				return err
			}
		}
		if len(events) == 0 {
			break
		}
	}
	r.keep(r.push, f)
	if behind := Behind(end); behind > r.push.Taken { // events that make no updates
		_, err = r.took(ctx, behind)
	}
	return err
}

// next reads what follows an event in the log. Who would have more than light waits until
// there is a place for it, and meanwhile has none of it.
func (r *round) next(ctx context.Context, after int64) ([]task.Event, error) {
	events, err := r.read(ctx, after)
	if r.load += size(events); err != nil || r.heavy || r.load <= light {
		return events, err
	}
	if err := r.await(ctx); err != nil {
		return nil, err
	}
	r.heavy = true
	return r.read(ctx, after)
}

// read reads a part of the log. What is large is alone in its part: nothing else has to be
// posted first while it is in memory.
func (r *round) read(ctx context.Context, after int64) ([]task.Event, error) {
	if err := r.readers.take(ctx); err != nil {
		return nil, err
	}
	defer r.readers.give()
	events := r.Store.Events
	if r.hook != nil {
		events = r.Store.Bare
	}
	found, err := events(ctx, r.push.Organization, r.push.Task, after, read, r.types...)
	if last := len(found) - 1; last > 0 && size(found) > light {
		found = slices.Clone(found[:last])
	}
	return found, err
}

func size(events []task.Event) (bytes int) {
	for _, e := range events {
		bytes += len(e.Own) + len(e.Kept)
	}
	return bytes
}

// unload notes that what was read is not needed any more.
func (r *round) unload() {
	if r.load = 0; r.heavy {
		r.heavy = false
		r.loads.give()
	}
}

// unseal opens the headers of the push.
func (r *round) unseal() (http.Header, error) {
	plain, err := r.Box.Open(sealedAs(r.push.Key), r.push.Headers)
	if err != nil {
		return nil, err
	}
	var named map[string]string
	if err := json.Unmarshal(plain, &named); err != nil {
		return nil, err
	}
	headers := http.Header{}
	for name, value := range named {
		headers.Set(name, value)
	}
	return headers, nil
}

// add posts the updates of an event that were not taken, and reports whether the round
// is over.
func (r *round) add(ctx context.Context, f *folded, e task.Event) (over bool, err error) {
	if e.Turn != r.push.Turn {
		return true, r.done(ctx)
	}
	updates, last, err := f.Add(e)
	if err != nil {
		return false, err
	}
	for _, u := range updates {
		if u.Place <= r.push.Taken {
			continue
		}
		if failure := r.post(ctx, r.push.URL, r.headers, u.Body); failure != nil {
			return true, r.failed(ctx, failure)
		}
		r.Posted(Taken)
		if moved, err := r.took(ctx, u.Place); !moved || err != nil {
			return true, err
		}
	}
	if len(updates) > 0 {
		r.unload()
	}
	f.upTo = e.Seq
	if last {
		return true, r.done(ctx)
	}
	return false, nil
}

// took notes that all up to a place was taken.
func (r *round) took(ctx context.Context, place int64) (bool, error) {
	return r.move(ctx, Progress{Taken: place, Due: r.Store.Now()})
}

// done notes that all of the turn was taken.
func (r *round) done(ctx context.Context) error {
	_, err := r.move(ctx, Progress{Taken: r.push.Taken})
	return err
}

// failed notes that an update was not taken, and when it is posted again, if it is.
func (r *round) failed(ctx context.Context, f *failure) error {
	if ctx.Err() != nil { // the server ends, or does not lead any more
		return ctx.Err()
	}
	now, to := r.Store.Now(), r.push.Progress
	if to.Failures == 0 {
		to.FailedAt = now
	}
	to.Failures++
	most := insists
	if r.hook != nil {
		most = insistsMore
		r.ails(r.hook.ID, f.wait)
	}
	wait := max(backoff(to.Failures), f.wait)
	to.Failure, to.Due = f.why, now.Add(wait)
	if f.final || now.Sub(to.FailedAt) >= most {
		to.Due = 0
	}
	moved, err := r.move(ctx, to)
	if !moved || err != nil {
		return err
	}
	if r.hook != nil { // it is disabled if it has taken nothing else meanwhile
		last := to.Due == 0 && (f.final || r.hook.TakenAt < to.FailedAt)
		if err := r.Store.WebhookFailed(ctx, *r.hook, f.why, last); err != nil {
			return err
		}
	}
	if to.Due == 0 {
		r.Posted(Abandoned)
		r.Log.WarnContext(ctx, "a push was given up", "task", r.push.Task, "push", r.push.ID, "target", r.push.Target, "failures", to.Failures, "reason", f.why)
		return nil
	}
	r.Posted(Failed)
	r.tellSoon(wait)
	return nil
}

// move notes progress, and reports whether the push was still there as it was read.
func (r *round) move(ctx context.Context, to Progress) (bool, error) {
	is := r.push
	if is.Progress = to; to.Due == 0 {
		is.Headers = nil
	}
	moved, err := r.Store.MovePush(ctx, r.push, is)
	if moved {
		r.push = is
	}
	return moved, err
}
