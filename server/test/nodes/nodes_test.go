package nodes

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/errand-dev/errand"
)

// soon is within what something at one node has to be seen at another: far below
// the second after which each node would look by itself.
const soon = 500 * time.Millisecond

// TestViewersElsewhere lets viewers at one node follow, from several cursors, a task
// that a worker of another node executes.
func TestViewersElsewhere(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	a, b := c.start(t), c.start(t)
	a.agent(t, "talker", 30)
	made := a.create(t, "talker", nil)
	path := "/v1/tasks/" + made.ID + "/events"
	fromStart := a.stream(t, path)
	got := b.claim(t, "talker", "w")

	const words = 60
	said := map[int64]time.Time{} // by when an event was acknowledged
	var middle *sse
	var cursor int64
	for n := range words {
		id := b.say(t, got, fmt.Sprintf("word %d", n))
		said[id] = time.Now()
		if n == words/2 {
			cursor = id - 5
			middle = a.stream(t, path, "Last-Event-ID", strconv.FormatInt(cursor, 10))
		}
	}
	b.finish(t, got, "all was said")

	first := fromStart.rest(t)
	log := a.events(t, made.ID)
	last := int64(len(log))
	if last < words+3 { // task_created, attempt_started, task_finished
		t.Fatalf("the log has %d events", last)
	}
	gapless(t, "a viewer from the start", first, 0, last)
	gapless(t, "a viewer from the middle", middle.rest(t), cursor, last)
	gapless(t, "a viewer after the end", a.stream(t, path).rest(t), 0, last)
	gapless(t, "a viewer at the worker's node", b.stream(t, path).rest(t), 0, last)
	var late []time.Duration
	for _, m := range first {
		id, err := strconv.ParseInt(m.id, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if at, ok := said[id]; ok {
			late = append(late, max(0, m.at.Sub(at)))
		}
	}
	middleOf := median(late)
	if middleOf > soon/2 {
		t.Errorf("half of the events were seen later than %v after their answer", middleOf)
	}
	t.Logf("%d events; seen %v after their answer (median), at most %v", last, middleOf, late[len(late)-1])
	a.quiet(t)
	b.quiet(t)
}

// TestStopElsewhere stops tasks at one node whose workers are at another: by a
// heartbeat's answer, and for a worker that listens to its own task.
func TestStopElsewhere(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	a, b := c.start(t), c.start(t)
	a.agent(t, "worker", 60)

	made := a.create(t, "worker", nil)
	got := b.claim(t, "worker", "raw")
	path := "/v1/tasks/" + made.ID
	atA, atB := a.stream(t, path+"/events"), b.stream(t, path+"/events")
	atB.next(t, "attempt_started")
	a.must(t, http.StatusOK, http.MethodPost, path+"/stop", nil)
	var beat struct {
		Action string `json:"action"`
	}
	b.must(t, http.StatusOK, http.MethodPost, path+"/heartbeat", obj{"lease_token": got.Lease.Token}).into(t, &beat)
	if beat.Action != "stop" {
		t.Errorf("a heartbeat at B is told %q", beat.Action)
	}
	b.must(t, http.StatusOK, http.MethodPost, path+"/finish", obj{"lease_token": got.Lease.Token, "status": "stopped"})
	for who, s := range map[string]*sse{"A": atA, "B": atB} {
		s.next(t, "task_finished")
		s.next(t, "stop_confirmed")
		if left := s.rest(t); len(left) > 0 {
			t.Errorf("%s tells %v after the confirmation", who, left)
		}
	}

	// The Go client's worker hears of it without a heartbeat, which is due in 15 s.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	begun, told := make(chan struct{}), make(chan error, 1)
	w := errand.NewWorker(b.sdk(t), errand.WorkerOptions{ID: "sdk"})
	w.Handle("worker", func(ctx context.Context, _ *errand.Attempt) (string, error) {
		close(begun)
		<-ctx.Done()
		told <- context.Cause(ctx)
		return "", nil
	})
	var working sync.WaitGroup
	working.Go(func() {
		if err := w.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	made = a.create(t, "worker", nil)
	wait(t, begun, "the handler begins")
	viewer := a.stream(t, "/v1/tasks/"+made.ID+"/events")
	stopped := time.Now()
	a.must(t, http.StatusOK, http.MethodPost, "/v1/tasks/"+made.ID+"/stop", nil)
	if cause := wait(t, told, "the handler is told"); !errors.Is(cause, errand.ErrStopped) {
		t.Errorf("the handler is told %v", cause)
	}
	heard := time.Since(stopped)
	if heard > 5*time.Second {
		t.Errorf("the handler was told after %v", heard)
	}
	viewer.next(t, "stop_confirmed")
	t.Logf("told after %v, confirmed for a viewer after %v", heard, time.Since(stopped))
	cancel()
	working.Wait()
	a.quiet(t)
	b.quiet(t)
}

// wait takes what comes out of a channel.
func wait[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case got := <-c:
		return got
	case <-time.After(patience):
		t.Fatalf("not within %v: %s", patience, what)
	}
	panic("unreachable")
}

// TestClaimElsewhere lets a claim wait at one node for tasks that are created at
// another, which must not have to wait for its next look.
func TestClaimElsewhere(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	a, b := c.start(t), c.start(t)
	a.agent(t, "worker", 60)
	var late []time.Duration
	for n := range 11 {
		type taken struct {
			got []claimed
			err error
			at  time.Time
		}
		answers := make(chan taken, 1)
		go func() {
			got, err := b.claims(t.Context(), "worker", "w", 20*time.Second)
			answers <- taken{got, err, time.Now()}
		}()
		b.awaitInLine(t, 1)
		b.must(t, http.StatusOK, http.MethodGet, "/v1/agents", nil) // the claim has looked when this is answered
		made := a.create(t, "worker", nil)
		begun := time.Now()
		x := wait(t, answers, "the claim is answered")
		if x.err != nil || len(x.got) != 1 || x.got[0].Task.ID != made.ID {
			t.Fatalf("claim %d: %v, %v", n, x.got, x.err)
		}
		late = append(late, max(0, x.at.Sub(begun)))
		b.finish(t, x.got[0], "done")
	}
	m := median(late)
	if m > soon {
		t.Errorf("a claim at B gets a task of A after %v (median)", m)
	}
	t.Logf("median %v, at most %v", m, late[len(late)-1])
}

// TestOneTaskForOneKey gives one idempotency key at both nodes, one after the other
// and at the same moment: there is one task.
func TestOneTaskForOneKey(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	a, b := c.start(t), c.start(t)
	a.agent(t, "worker", 60)
	body := obj{"agent_id": "worker", "input": obj{"text": "once"}}
	var first, again view
	a.must(t, http.StatusCreated, http.MethodPost, "/v1/tasks", body, "Idempotency-Key", "k").into(t, &first)
	repeat := b.must(t, http.StatusOK, http.MethodPost, "/v1/tasks", body, "Idempotency-Key", "k")
	if repeat.into(t, &again); again.ID != first.ID || repeat.header.Get("Idempotent-Replay") != "true" {
		t.Errorf("B answers task %s in place of %s, replay %q", again.ID, first.ID, repeat.header.Get("Idempotent-Replay"))
	}
	b.must(t, http.StatusConflict, http.MethodPost, "/v1/tasks", obj{"agent_id": "worker", "input": obj{"text": "twice"}}, "Idempotency-Key", "k")

	for n := range 20 {
		key := fmt.Sprintf("race-%d", n)
		ids := make(chan string, 4)
		var all sync.WaitGroup
		for _, at := range []*node{a, b, a, b} {
			all.Go(func() {
				got, err := at.call(t.Context(), http.MethodPost, "/v1/tasks", body, "Idempotency-Key", key)
				if err != nil || got.status != http.StatusCreated && got.status != http.StatusOK {
					t.Errorf("%s: %v %s", key, err, got)
					return
				}
				var v view
				got.into(t, &v)
				ids <- v.ID
			})
		}
		all.Wait()
		close(ids)
		one := <-ids
		for id := range ids {
			if id != one {
				t.Errorf("%s has made %s and %s", key, one, id)
			}
		}
	}
	var page struct {
		Total int `json:"total"`
	}
	if b.must(t, http.StatusOK, http.MethodGet, "/v1/tasks?per_page=1", nil).into(t, &page); page.Total != 21 {
		t.Errorf("21 keys have made %d tasks", page.Total)
	}
	created := a.metric(t, `errand_tasks_created_total{turn="first"}`) + b.metric(t, `errand_tasks_created_total{turn="first"}`)
	if created != 21 {
		t.Errorf("the nodes have counted %d created tasks", created)
	}
	a.quiet(t)
	b.quiet(t)
}

// metric reads one number of /metrics.
func (a *api) metric(t *testing.T, name string) int {
	t.Helper()
	for line := range strings.Lines(string(a.must(t, http.StatusOK, http.MethodGet, "/metrics", nil).body)) {
		if value, found := strings.CutPrefix(line, name+" "); found {
			n, err := strconv.Atoi(strings.TrimSpace(value))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

// awaitInLine waits until so many workers are in line at a node.
func (a *api) awaitInLine(t *testing.T, workers int) {
	t.Helper()
	for a.metric(t, "errand_workers_in_line") < workers {
		if t.Context().Err() != nil {
			t.FailNow()
		}
	}
}

// TestFilesElsewhere uploads a file at one node. A worker of another reads it, by its
// URL there; and when the first node has gone, the other itself executes what is
// asked of it.
func TestFilesElsewhere(t *testing.T) {
	t.Parallel()
	t.Run("InOneFolder", func(t *testing.T) {
		t.Parallel()
		c := newCluster(t)
		filesElsewhere(t, c.start(t), c.start(t))
	})
	t.Run("InTheDatabase", func(t *testing.T) { // nodes that share nothing else
		t.Parallel()
		c := newCluster(t)
		c.env = append(c.env, "ERRAND_BLOBS=database", "ERRAND_SECRET_KEY="+strings.Repeat("5e", 32))
		a := c.start(t)
		c.data = filepath.Join(t.TempDir(), "data")
		filesElsewhere(t, a, c.start(t))
	})
}

func filesElsewhere(t *testing.T, a, b *node) {
	t.Helper()
	a.agent(t, "worker", 60)
	const content = "region,amount\nnorth,1\nsouth,2\n"
	var file struct {
		URL string `json:"url"`
	}
	a.must(t, http.StatusCreated, http.MethodPost, "/v1/files?name=sales.csv", []byte(content), "Content-Type", "application/octet-stream").into(t, &file)
	made := a.create(t, "worker", obj{"input": obj{"text": "read", "files": []string{file.URL}}})
	got := b.claim(t, "worker", "w")
	if got.Task.ID != made.ID {
		t.Fatalf("claimed %s", got.Task.ID)
	}
	var input struct {
		Files []string `json:"files"`
	}
	(answer{body: got.Task.Input}).into(t, &input)
	if len(input.Files) != 1 || !strings.HasPrefix(input.Files[0], b.base+"/") {
		t.Fatalf("B tells its worker the files %v", input.Files)
	}
	if read := b.must(t, http.StatusOK, http.MethodGet, strings.TrimPrefix(input.Files[0], b.base), nil); string(read.body) != content {
		t.Errorf("the worker of B reads %q", read.body)
	}
	b.finish(t, got, "read")

	a.signal(t, syscall.SIGTERM)
	if code := a.ended(t); code != 0 {
		t.Errorf("A ends with %d", code)
	}
	profile := b.create(t, "profile", obj{"input": obj{"text": "profile it", "files": []string{file.URL}}})
	viewer := b.stream(t, "/v1/tasks/"+profile.ID+"/events")
	viewer.next(t, "task_finished")
	if now := b.task(t, profile.ID); now.Status != "completed" || now.Result == nil || !strings.Contains(*now.Result, "amount") {
		t.Errorf("the file of A, profiled by B: %s %v", now.Status, now.Result)
	}
	b.quiet(t)
}
