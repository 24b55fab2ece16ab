package nodes

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// silence is how long a node may be silent before others take over (lifecycle),
// with the time that they need for it on a busy machine.
const silence = 3*time.Second + 7*time.Second

// A lease measures time in which some node could be reached. The end of one is no
// reason to renew the leases of its workers: who could reach another had time enough.
func TestLeaseIsNotRenewedByTheEndOfANode(t *testing.T) {
	t.Parallel()
	const lease = 5
	c := newCluster(t)
	b := c.start(t) // it sweeps
	sweeps := c.sweeper(t)
	a := c.start(t)
	if now := c.sweeper(t); now != sweeps || now == "" {
		t.Fatalf("%q sweeps, and then %q: the first node should", sweeps, now)
	}
	a.agent(t, "worker", lease)
	made := a.create(t, "worker", nil)
	got := b.claim(t, "worker", "doomed")
	viewer := a.stream(t, "/v1/tasks/"+made.ID+"/events")
	b.kill(t)

	viewer.next(t, "attempt_lost")
	lost := typed(a.events(t, made.ID), "attempt_lost")[0]
	late := lost.Time.Sub(got.Lease.ExpiresAt)
	if late < 0 || late > lease*time.Second-time.Second { // renewed, it would be 3 s of silence and a lease after the kill
		t.Errorf("lost %v after the end of the lease", late)
	}
	if now := c.sweeper(t); now == sweeps {
		t.Errorf("the dead node %s still sweeps", now)
	}
	if next := a.claim(t, "worker", "heir"); next.Task.ID != made.ID {
		t.Errorf("the heir has claimed %s", next.Task.ID)
	}
	t.Logf("lost %v after the end of the lease", late)
	a.quiet(t)
}

// When no node could be reached for a while, every lease has its full length again.
func TestLeaseIsRenewedWhenAllNodesWereSilent(t *testing.T) {
	t.Parallel()
	const lease = 5
	c := newCluster(t)
	a, b := c.start(t), c.start(t)
	a.agent(t, "worker", lease)
	made := a.create(t, "worker", nil)
	got := b.claim(t, "worker", "patient")
	a.kill(t)
	b.kill(t)
	<-time.After(time.Until(got.Lease.ExpiresAt)) // what is waited for is the end of the lease
	a = c.start(t)
	var beat struct {
		Action string `json:"action"`
	}
	a.must(t, http.StatusOK, http.MethodPost, "/v1/tasks/"+made.ID+"/heartbeat", obj{"lease_token": got.Lease.Token}).into(t, &beat)
	if beat.Action != "continue" {
		t.Errorf("the worker is told to %s", beat.Action)
	}
	a.finish(t, got, "in spite of all")
	a.quiet(t)
}

// The sweeper moves: a deadline that passes after the end of the node that swept is kept.
func TestSweeperMoves(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	b := c.start(t)
	a := c.start(t)
	a.agent(t, "worker", 60)
	made := a.create(t, "worker", obj{"expires_in": 2})
	viewer := a.stream(t, "/v1/tasks/"+made.ID+"/events")
	b.kill(t)
	killed := time.Now()
	viewer.next(t, "task_finished")
	took := time.Since(killed)
	if took > silence {
		t.Errorf("a deadline 2 s after the sweeper's end was kept after %v", took)
	}
	if now := a.task(t, made.ID); now.EndReason != "expired" {
		t.Errorf("it ended %s", now.EndReason)
	}
	t.Logf("a deadline at 2 s was kept %v after the sweeper's end", took.Round(time.Millisecond))
	a.quiet(t)
}

// pythonWorker is a Python worker's registration stream at a node.
type pythonWorker struct {
	*sse
	at        *node
	agent, id string
}

func (n *node) register(t *testing.T) *pythonWorker {
	t.Helper()
	const agent = "python"
	w := &pythonWorker{sse: n.stream(t, "/default/events/"+agent), at: n, agent: agent}
	var asset struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal([]byte(w.next(t, "worker-registration").data), &asset); err != nil {
		t.Fatal(err)
	}
	w.id = asset.ID
	return w
}

// busy says whether the worker can take no more.
func (w *pythonWorker) busy(t *testing.T, at *node, busy bool, post string) {
	t.Helper()
	at.must(t, http.StatusOK, http.MethodPost, "/default/events/"+w.id+"?type=worker&agent_id="+w.agent,
		obj{"id": post, "event": "worker-capacity-update", "data": obj{"is_busy": busy}})
}

// given waits for a certain task, as its worker gets it.
func (w *pythonWorker) given(t *testing.T, id string) obj {
	t.Helper()
	whole := obj{}
	if err := json.Unmarshal([]byte(w.next(t, "agent-execution").data), &whole); err != nil {
		t.Fatal(err)
	}
	if whole["id"] != id {
		t.Fatalf("worker %s is given task %v, not %s", w.id, whole["id"], id)
	}
	return whole
}

// A Python worker's stream ends with its node. Once that is silent, another node
// hands out again what the worker was given and has not started. What it has started
// goes on: it reports to whichever node it reaches.
func TestPythonWorkerOfADeadNode(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	b := c.start(t)
	a := c.start(t)
	a.agent(t, "python", 60)
	other := a.register(t)
	other.busy(t, a, true, "1")
	worker := b.register(t)
	first, second := a.create(t, "python", nil), a.create(t, "python", nil)
	whole := worker.given(t, first.ID)
	worker.given(t, second.ID)
	update := "/default/agent-execution/" + first.ID + "/update" // a worker sends all of the task
	whole["status"] = "executing"
	b.must(t, http.StatusOK, http.MethodPatch, update, whole)
	b.kill(t)
	killed := time.Now()
	other.busy(t, a, false, "2")
	other.given(t, second.ID)
	took := time.Since(killed)
	if took > silence {
		t.Errorf("it took %v", took)
	}
	if now := a.task(t, first.ID); now.Status != "executing" || now.Attempt != 1 {
		t.Errorf("what was started is %s in attempt %d", now.Status, now.Attempt)
	}
	whole["status"], whole["result"] = "completed", "through another node"
	a.must(t, http.StatusOK, http.MethodPatch, update, whole)
	if now := a.task(t, first.ID); now.Status != "completed" {
		t.Errorf("what was started is %s", now.Status)
	}
	t.Logf("handed out again %v after the end of the node", took.Round(time.Millisecond))
	a.quiet(t)
}

// A node that is told to end does so properly, while another goes on: nothing waits
// for anybody's silence.
func TestTermOfOneNode(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	b := c.start(t)
	a := c.start(t)
	a.agent(t, "python", 60)
	a.agent(t, "worker", 60)
	worker := b.register(t)
	assigned := a.create(t, "python", nil)
	worker.given(t, assigned.ID)
	made := a.create(t, "worker", nil)
	got := b.claim(t, "worker", "w")
	path := "/v1/tasks/" + made.ID
	atA, atB := a.stream(t, path+"/events"), b.stream(t, path+"/events")
	polled := make(chan error, 1)
	go func() {
		claims, err := b.claims(t.Context(), "worker", "poller", 20*time.Second)
		if err == nil && len(claims) > 0 {
			err = fmt.Errorf("claimed %v", claims)
		}
		polled <- err
	}()
	atB.next(t, "attempt_started")
	b.awaitInLine(t, 2) // the Python worker, and the claim
	b.signal(t, syscall.SIGTERM)
	told := time.Now()
	atB.rest(t)
	worker.rest(t)
	if err := wait(t, polled, "the long poll ends"); err != nil {
		t.Errorf("a claim that waited at B: %v", err)
	}
	if code := b.ended(t); code != 0 {
		t.Errorf("B ends with %d", code)
	}
	took := time.Since(told)
	heir := a.register(t) // it is the worker that B has cut off, as far as anybody can tell
	heir.given(t, assigned.ID)
	handed := time.Since(told)
	if handed > silence/2 {
		t.Errorf("what B's worker had was handed out again after %v", handed)
	}
	a.say(t, got, "at another node")
	a.finish(t, got, "done")
	gapless(t, "a viewer at A", atA.rest(t), 0, int64(len(a.events(t, made.ID))))
	var left int
	if c.ask(t, "SELECT count(*) FROM nodes", &left); left != 1 {
		t.Errorf("%d nodes are noted", left)
	}
	t.Logf("B ended after %v; its worker's task was handed out again after %v", took.Round(time.Millisecond), handed.Round(time.Millisecond))
	a.quiet(t)
	b.quiet(t)
}

// A node that stands still holds nobody up, whatever it was about to write.
func TestFrozenNode(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	b := c.start(t)
	a := c.start(t)
	a.agent(t, "worker", 60)
	made := a.create(t, "worker", nil)
	got := a.claim(t, "worker", "w")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var writing sync.WaitGroup
	defer writing.Wait()
	defer cancel()
	begun := make(chan struct{}, 64)
	for range 4 { // B is always in the middle of a write to the same task
		writing.Go(func() {
			for ctx.Err() == nil {
				if _, err := b.call(ctx, http.MethodPost, "/v1/tasks/"+made.ID+"/events", obj{"lease_token": got.Lease.Token, "events": []obj{{"type": "chunk", "data": "x"}}}); err == nil {
					select {
					case begun <- struct{}{}:
					default:
					}
				}
			}
		})
	}
	worst := time.Duration(0)
	for n := range 8 {
		wait(t, begun, "B writes")
		b.signal(t, syscall.SIGSTOP)
		frozen := time.Now()
		a.say(t, got, fmt.Sprintf("round %d", n))
		a.create(t, "worker", nil)
		worst = max(worst, time.Since(frozen))
		b.signal(t, syscall.SIGCONT)
		for len(begun) > 0 {
			<-begun
		}
	}
	if worst > 10*time.Second {
		t.Errorf("a frozen node held up a write at another for %v", worst)
	}
	t.Logf("a write at A beside a frozen B took at most %v", worst.Round(time.Millisecond))
	cancel()
	a.quiet(t)
	for line := range strings.Lines(b.log(t)) {
		if strings.Contains(line, "panic") {
			t.Error(line)
		}
	}
}

// H3: a create without a key, of clients that repeat it, is one task although the node that
// had it was killed and the repeat reaches another at once.
func TestH3AnswerLostWithItsNode(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	a, b := c.start(t), c.start(t)
	a.agent(t, "worker", 5)
	const path = "/openai/v1/responses"
	ask := obj{"model": "worker", "input": "Hm"}
	lost := make(chan error)
	go func() {
		_, err := a.call(t.Context(), http.MethodPost, path, ask)
		lost <- err
	}()
	got := b.claim(t, "worker", "w")
	a.kill(t)
	if err := <-lost; err == nil {
		t.Fatal("the killed node has answered")
	}
	b.finish(t, got, "Done")
	var made struct {
		ID string `json:"id"`
	}
	b.must(t, http.StatusOK, http.MethodPost, path, ask, "X-Stainless-Retry-Count", "1").into(t, &made)
	if want := "resp_" + got.Task.ID + "_1"; made.ID != want {
		t.Errorf("H3: the repeat is %s, not %s", made.ID, want)
	}
	b.quiet(t)
}
