package nodes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/testkit/pgtest"
)

// trio is a PostgreSQL primary with two standbys, one of which confirms each commit.
type trio struct {
	primary  *pgtest.Server
	standbys []*pgtest.Server
}

func newTrio(t *testing.T) *trio {
	t.Helper()
	x := &trio{primary: pgtest.Start(t, pgtest.Options{})}
	// It is one of the files that standbys get, so it holds for whoever is promoted.
	change(t, x.primary.URL("postgres"), "ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (*)'")
	for range 2 {
		s, err := x.primary.Standby(pgtest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		x.standbys = append(x.standbys, s)
	}
	change(t, x.primary.URL("postgres"), "SELECT pg_reload_conf()")
	return x
}

// url names all of them.
func (x *trio) url() string { return pgtest.URLs("postgres", append(x.standbys, x.primary)...) }

// failOver kills the primary and promotes the standby that has more, as whoever looks
// after them would. It returns when that took writes.
func (x *trio) failOver(t *testing.T) (killed, promoted time.Time) {
	t.Helper()
	killed = time.Now()
	if err := x.primary.Kill(); err != nil {
		t.Fatal(err)
	}
	var has [2]int64
	for i, s := range x.standbys {
		(&cluster{database: s.URL("postgres")}).ask(t, "SELECT (pg_last_wal_receive_lsn() - '0/0')::bigint", &has[i])
	}
	if has[1] > has[0] {
		slices.Reverse(x.standbys)
	}
	dead, heir, other := x.primary, x.standbys[0], x.standbys[1]
	if err := heir.Promote(); err != nil {
		t.Fatal(err)
	}
	promoted = time.Now()
	var names string
	if (&cluster{database: heir.URL("postgres")}).ask(t, "SHOW synchronous_standby_names", &names); names == "" {
		t.Fatal("the new primary waits for no standby")
	}
	if err := other.Follow(heir); err != nil {
		t.Fatal(err)
	}
	x.primary, x.standbys = heir, []*pgtest.Server{other, dead}
	return killed, promoted
}

// rejoin lets the server that was killed follow the new primary.
func (x *trio) rejoin(t *testing.T) {
	t.Helper()
	if err := x.standbys[1].Rejoin(x.primary); err != nil {
		t.Fatal(err)
	}
}

// The primary is killed under load, and a standby promoted: nothing acknowledged is lost
// or there twice, nothing is stuck, and viewers go on with the next event.
func TestFailover(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it starts real servers")
	}
	x := newTrio(t)
	l := beginOn(t, x.url())
	rounds, soak := 1, os.Getenv("ERRAND_SOAK") != ""
	if soak {
		rounds = 10
	}
	var took recovery
	for range rounds {
		l.more(t, 50, time.Now())
		took.add(t, l, func() (killed, promoted time.Time) { return x.failOver(t) })
		x.rejoin(t)
	}
	l.end(t)
	l.survived(t, x.primary.URL("postgres"))
	if soak { // of a single one nothing follows
		took.check(t)
	}
}

// recovery is how long after each promotion a write was accepted, and a viewer told more.
type recovery struct{ writes, views []time.Duration }

// add measures one failover, which a function causes.
func (r *recovery) add(t *testing.T, l *load, failOver func() (killed, promoted time.Time)) {
	t.Helper()
	killed, promoted := failOver()
	write, view := l.more(t, 1, promoted).Sub(promoted), l.told(t, promoted).Sub(promoted)
	r.writes, r.views = append(r.writes, write), append(r.views, view)
	t.Logf("%v without a primary; then writes after %v, a viewer goes on after %v",
		promoted.Sub(killed).Round(time.Millisecond), write.Round(time.Millisecond), view.Round(time.Millisecond))
}

// check holds 9 of 10 to what is promised.
func (r *recovery) check(t *testing.T) {
	t.Helper()
	slices.Sort(r.writes)
	slices.Sort(r.views)
	if last := (len(r.writes) - 1) * 9 / 10; r.writes[last] > 2*time.Second || r.views[last] > 3*time.Second {
		t.Errorf("writes are accepted after %v, viewers go on after %v", r.writes, r.views)
	}
}

// load is what creators, workers, a talker and its viewer do at two nodes. Whoever fails
// tries again at the other one, under the same key.
type load struct {
	nodes  []*node
	stop   context.CancelFunc
	parts  sync.WaitGroup
	failed atomic.Int64 // calls that had to be tried again
	last   atomic.Value // why the last of them had

	mu      sync.Mutex
	created []acked
	seen    []message // by the viewer
	said    int64     // by the talker
	talk    string    // its task
}

// acked is a task whose create was acknowledged.
type acked struct {
	id        string
	began, at time.Time
}

// insist makes a call until it is answered with one of some statuses.
func (l *load) insist(ctx context.Context, n int, ok []int, method, path string, body any, headers ...string) (answer, bool) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for ; ctx.Err() == nil; n++ {
		got, err := l.nodes[n%len(l.nodes)].call(ctx, method, path, body, headers...)
		if err == nil && slices.Contains(ok, got.status) {
			return got, true
		}
		l.failed.Add(1)
		l.last.Store(fmt.Sprint(method, " ", path, ": ", got, " ", err))
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond): // like any client that is turned away
		}
	}
	return answer{}, false
}

// beginOn starts two nodes on a database, and the load at them.
func beginOn(t *testing.T, database string) *load {
	t.Helper()
	c := clusterOn(t, database)
	l := &load{nodes: []*node{c.start(t), c.start(t)}}
	l.nodes[0].agent(t, "worker", 5)
	l.nodes[0].agent(t, "talker", 60)
	l.begin(t)
	return l
}

func (l *load) begin(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l.stop = cancel
	t.Cleanup(func() { cancel(); l.parts.Wait() })
	l.talk = l.nodes[0].create(t, "talker", nil).ID
	talking := l.nodes[0].claim(t, "talker", "t")
	for i := range 4 {
		l.parts.Go(func() { l.create(ctx, t, i) })
	}
	for i := range 4 {
		l.parts.Go(func() { l.work(ctx, t, i) })
	}
	l.parts.Go(func() { l.speak(ctx, t, talking) })
	l.parts.Go(func() { l.view(ctx) })
}

func (l *load) create(ctx context.Context, t *testing.T, who int) {
	t.Helper()
	for n := 0; ctx.Err() == nil; n++ {
		began := time.Now()
		// What has begun is finished, so that every key has been answered in the end.
		got, ok := l.insist(context.WithoutCancel(ctx), who+n, []int{http.StatusCreated, http.StatusOK}, http.MethodPost, "/v1/tasks",
			obj{"agent_id": "worker", "input": obj{"text": "x"}}, "Idempotency-Key", fmt.Sprint(who, "-", n))
		if !ok {
			t.Errorf("a create was never answered; the last failure: %v", l.last.Load())
			return
		}
		var v view
		if err := json.Unmarshal(got.body, &v); err != nil {
			t.Error(err)
		}
		l.mu.Lock()
		l.created = append(l.created, acked{v.ID, began, time.Now()})
		l.mu.Unlock()
	}
}

func (l *load) work(ctx context.Context, t *testing.T, who int) {
	t.Helper()
	for n := 0; ctx.Err() == nil; n++ {
		whole := context.WithoutCancel(ctx) // what was claimed is finished
		got, ok := l.insist(whole, who+n, []int{http.StatusOK}, http.MethodPost, "/v1/claim",
			obj{"agent_ids": []string{"worker"}, "worker_id": fmt.Sprint("w", who), "wait": 1, "slots": 5})
		if !ok {
			return
		}
		var body struct {
			Claims []claimed `json:"claims"`
		}
		if err := json.Unmarshal(got.body, &body); err != nil {
			t.Error(err)
		}
		for _, c := range body.Claims {
			l.insist(whole, who+n, []int{http.StatusOK, http.StatusConflict}, http.MethodPost, "/v1/tasks/"+c.Task.ID+"/finish",
				obj{"lease_token": c.Lease.Token, "status": "completed", "result": "done"})
		}
	}
}

func (l *load) speak(ctx context.Context, t *testing.T, c claimed) {
	t.Helper()
	for n := 1; ctx.Err() == nil; n++ {
		_, ok := l.insist(context.WithoutCancel(ctx), n, []int{http.StatusOK}, http.MethodPost, "/v1/tasks/"+c.Task.ID+"/events",
			obj{"lease_token": c.Lease.Token, "events": []obj{{"type": "chunk", "data": "word ", "client_id": strconv.Itoa(n)}}})
		if !ok {
			t.Errorf("an event was never taken; the last failure: %v", l.last.Load())
			return
		}
		l.said++
	}
}

// view follows the talker, and comes again with its cursor when a stream breaks.
func (l *load) view(ctx context.Context) {
	cursor := "0"
	for n := 1; ctx.Err() == nil; n++ {
		err := l.nodes[n%len(l.nodes)].follow(ctx, "/v1/tasks/"+l.talk+"/events", cursor, func(m message) {
			cursor = m.id
			l.mu.Lock()
			l.seen = append(l.seen, m)
			l.mu.Unlock()
		})
		if ctx.Err() == nil && !errors.Is(err, io.EOF) { // a stream that ends properly is followed by another
			l.failed.Add(1)
			l.last.Store(fmt.Sprint("stream: ", err))
		}
	}
}

// more waits until so many tasks more were created whose requests began after a moment,
// and returns when that was.
func (l *load) more(t *testing.T, n int, after time.Time) (at time.Time) {
	t.Helper()
	eventually(t, "tasks are created", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		found := 0
		for _, c := range slices.Backward(l.created) {
			if c.began.After(after) {
				if found++; found == n {
					at = c.at
					return true
				}
			}
		}
		return false
	})
	return at
}

// told waits until the viewer was told something after a moment, and returns when.
func (l *load) told(t *testing.T, after time.Time) (at time.Time) {
	t.Helper()
	eventually(t, "the viewer goes on", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		i := slices.IndexFunc(l.seen, func(m message) bool { return m.at.After(after) })
		if i >= 0 {
			at = l.seen[i].at
		}
		return i >= 0
	})
	return at
}

// end lets creators and the talker end, and waits until nothing is left to do.
func (l *load) end(t *testing.T) {
	t.Helper()
	var list struct {
		Total int `json:"total"`
	}
	l.stop()
	l.parts.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var rest sync.WaitGroup
	defer rest.Wait()
	defer cancel()
	for i := range 4 {
		rest.Go(func() { l.work(ctx, t, i) })
	}
	eventually(t, "all is done", func() bool {
		got, ok := l.insist(t.Context(), 0, []int{http.StatusOK}, http.MethodGet, "/v1/tasks?agent_id=worker&status=pending&status=executing", nil)
		if ok {
			got.into(t, &list)
		}
		return ok && list.Total == 0
	})
}

// survived is check where the database has gone meanwhile: of its nodes none has logged
// another error.
func (l *load) survived(t *testing.T, database string) {
	t.Helper()
	l.check(t, database)
	for _, n := range l.nodes {
		n.quiet(t, "the store cannot write")
	}
}

// check holds the record in a database to what was acknowledged.
func (l *load) check(t *testing.T, database string) {
	t.Helper()
	for _, x := range l.created {
		if now := l.nodes[0].task(t, x.id); now.Status != "completed" {
			t.Errorf("task %s, which was acknowledged, is %s", x.id, now.Status)
		}
	}
	in := &cluster{database: database}
	var tasks, ends int
	in.ask(t, "SELECT count(*) FROM tasks WHERE agent_id = 'worker'", &tasks)
	in.ask(t, "SELECT count(*) FROM events e JOIN tasks t ON t.org = e.org AND t.id = e.task WHERE agent_id = 'worker' AND type = 'task_finished'", &ends)
	if tasks != len(l.created) || ends != tasks {
		t.Errorf("%d tasks were acknowledged, %d are there, which have ended %d times", len(l.created), tasks, ends)
	}
	for i, m := range l.seen {
		if m.id != strconv.Itoa(i+1) {
			t.Fatalf("event %d of the viewer has the number %s", i+1, m.id)
		}
	}
	var words int64
	in.ask(t, "SELECT sum(CASE WHEN first_seq > 0 THEN seq - first_seq + 1 ELSE 1 END)::bigint FROM events WHERE type = 'chunk' AND task = '"+l.talk+"'", &words)
	if words != l.said {
		t.Errorf("%d words were acknowledged, %d are there", l.said, words)
	}
	t.Logf("%d tasks, %d words, %d seen; %d calls were tried again", tasks, words, len(l.seen), l.failed.Load())
}
