package sdk_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/errand-dev/errand"
	"github.com/errand-dev/errand/server/internal/app"
)

// op is something that a client does with the one task of a history.
type op struct {
	verb    string // claim, beat, finish, confirm, stop, pause, resume, get
	attempt int    // whose lease it shows
}

// said is what the server answered: a status, a directive, an attempt, or the
// code of an error.
type said struct {
	word    string
	attempt int
}

// most bounds how often a history's task may be handed out.
const most = 12

// sequential is what a task is if everything happens one after another. It is
// small enough to be read and believed.
type sequential struct {
	status   errand.Status
	attempts int
	fates    [most + 1]string // of attempts: running, paused, stopped or finished
}

func (s sequential) claim() (said, sequential) {
	if s.status != errand.Pending {
		return said{}, s
	}
	s.status = errand.Executing
	s.attempts++
	s.fates[s.attempts] = "running"
	return said{attempt: s.attempts}, s
}

func (s sequential) beat(attempt int) said {
	switch fate := s.fates[attempt]; {
	case fate == "running" && s.status == errand.Executing:
		return said{word: "continue"}
	case fate == "running", fate == "stopped":
		return said{word: "stop"}
	case fate == "paused":
		return said{word: "pause"}
	default:
		return said{word: "conflict"}
	}
}

// finish ends an attempt as completed.
func (s sequential) finish(attempt int) (said, sequential) {
	switch fate := s.fates[attempt]; {
	case fate == "running" && s.status == errand.Executing:
		s.fates[attempt], s.status = "finished", errand.Completed
		return said{word: "ok"}, s
	case fate == "running": // its turn was stopped: it is too late, and lets go
		s.fates[attempt] = "stopped"
		return said{word: "conflict"}, s
	case fate == "finished": // it says so once more
		return said{word: "ok"}, s
	default:
		return said{word: "conflict"}, s
	}
}

// confirm ends an attempt as stopped.
func (s sequential) confirm(attempt int) (said, sequential) {
	switch fate := s.fates[attempt]; {
	case fate == "running" && s.status == errand.Executing: // nobody has asked for that
		return said{word: "invalid"}, s
	case fate == "running":
		s.fates[attempt] = "stopped"
		return said{word: "ok"}, s
	case fate == "finished":
		return said{word: "conflict"}, s
	default:
		return said{word: "ok"}, s
	}
}

func (s sequential) stop() (said, sequential) {
	if !s.status.Ends() {
		s.status = errand.Stopped
	}
	return said{word: string(s.status)}, s
}

func (s sequential) pause() (said, sequential) {
	if s.status.Ends() {
		return said{word: "conflict"}, s
	}
	if s.status == errand.Executing {
		s.fates[s.attempts] = "paused"
	}
	s.status = errand.Paused
	return said{word: "paused"}, s
}

func (s sequential) resume() (said, sequential) {
	if s.status != errand.Paused {
		return said{word: "conflict"}, s
	}
	s.status = errand.Pending
	return said{word: "pending"}, s
}

// step is what the server has to answer, and what comes after it.
func (s sequential) step(o op) (said, sequential) {
	switch o.verb {
	case "claim":
		return s.claim()
	case "beat":
		return s.beat(o.attempt), s
	case "finish":
		return s.finish(o.attempt)
	case "confirm":
		return s.confirm(o.attempt)
	case "stop":
		return s.stop()
	case "pause":
		return s.pause()
	case "resume":
		return s.resume()
	default:
		return said{word: string(s.status)}, s
	}
}

func model() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return sequential{status: errand.Pending} },
		Step: func(state, in, out any) (bool, any) {
			want, next := state.(sequential).step(in.(op))
			return want == out.(said), next
		},
		Equal:             func(a, b any) bool { return a.(sequential) == b.(sequential) },
		DescribeOperation: func(in, out any) string { return fmt.Sprintf("%+v -> %+v", in, out) },
	}
}

// history is what several clients do with one task at the same time.
type history struct {
	client *errand.Client
	wire   wire
	task   *errand.Task
	began  time.Time

	mu     sync.Mutex // guards what follows
	leases []string   // the tokens of attempts, from the first; "" is not known yet
	ops    []porcupine.Operation
}

// wire makes a worker's calls as they are: the client gives them to no caller.
type wire struct{ url, key string }

// post makes a call, and returns what the client would.
func (w wire) post(ctx context.Context, path string, body, out any) error {
	encoded, err := json.Marshal(body)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url+path, bytes.NewReader(encoded))
	if err != nil {
		return err
	}
	r.Header.Set("x-api-key", w.key)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode >= 300 {
		refused := &errand.Error{Status: res.StatusCode}
		return errors.Join(refused, json.Unmarshal(text, refused))
	}
	return json.Unmarshal(text, out)
}

// do makes one call and notes what came of it.
func (h *history) do(ctx context.Context, who int, o op) error {
	h.mu.Lock()
	token := ""
	if o.attempt > 0 {
		token = h.leases[o.attempt-1]
	}
	h.mu.Unlock()
	call := time.Since(h.began).Nanoseconds()
	out, err := h.call(ctx, o, token)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, porcupine.Operation{ClientId: who, Input: o, Call: call, Output: out, Return: time.Since(h.began).Nanoseconds()})
	return nil
}

func (h *history) call(ctx context.Context, o op, token string) (said, error) {
	word := ""
	var err error
	status := func(t *errand.Task, e error) {
		if err = e; e == nil {
			word = string(t.Status)
		}
	}
	tasks := h.client.Tasks
	switch o.verb {
	case "claim":
		return h.claim(ctx)
	case "beat":
		var answer struct{ Action string }
		err = h.wire.post(ctx, "/v1/tasks/"+h.task.ID+"/heartbeat", map[string]string{"lease_token": token}, &answer)
		word = answer.Action
	case "finish":
		word = "ok"
		err = h.wire.post(ctx, "/v1/tasks/"+h.task.ID+"/finish", map[string]string{
			"lease_token": token, "status": "completed", "result": "by " + strconv.Itoa(o.attempt),
		}, &struct{}{})
	case "confirm":
		word = "ok"
		err = h.wire.post(ctx, "/v1/tasks/"+h.task.ID+"/finish", map[string]string{"lease_token": token, "status": "stopped"}, &struct{}{})
	case "stop":
		status(tasks.Stop(ctx, h.task.ID))
	case "pause":
		status(tasks.Pause(ctx, h.task.ID))
	case "resume":
		status(tasks.Resume(ctx, h.task.ID))
	default:
		status(tasks.Get(ctx, h.task.ID))
	}
	if e, ok := errors.AsType[*errand.Error](err); ok && e.Status < 500 {
		return said{word: string(e.Code)}, nil
	}
	return said{word: word}, err
}

// claim does not wait, and keeps the lease.
func (h *history) claim(ctx context.Context) (said, error) {
	var answer struct {
		Claims []struct {
			Lease struct {
				Token   string
				Attempt int
			}
		}
	}
	err := h.wire.post(ctx, "/v1/claim", map[string]any{"agent_ids": []string{h.task.AgentID}, "worker_id": "w", "slots": 1, "wait": 0}, &answer)
	if err != nil || len(answer.Claims) == 0 {
		return said{}, err
	}
	lease := answer.Claims[0].Lease
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.leases) < lease.Attempt {
		h.leases = append(h.leases, "")
	}
	h.leases[lease.Attempt-1] = lease.Token
	return said{attempt: lease.Attempt}, nil
}

// next chooses what a client does.
func (h *history) next(r *rand.Rand) op {
	h.mu.Lock()
	defer h.mu.Unlock()
	verbs := []string{"claim", "claim", "claim", "get", "pause", "resume", "resume"}
	if len(h.ops) > 15 { // a stop too early makes a dull history
		verbs = append(verbs, "stop")
	}
	if len(h.leases) >= most {
		verbs = verbs[3:]
	}
	if len(h.leases) > 0 {
		verbs = append(verbs, "beat", "beat", "confirm")
		if len(h.ops) > 20 {
			verbs = append(verbs, "finish")
		}
	}
	o := op{verb: verbs[r.IntN(len(verbs))]}
	if slices.Contains([]string{"beat", "confirm", "finish"}, o.verb) {
		if o.attempt = len(h.leases); r.IntN(4) == 0 { // an old one now and then
			o.attempt = 1 + r.IntN(len(h.leases))
		}
		if h.leases[o.attempt-1] == "" { // its claim's answer is still on the way
			return op{verb: "get"}
		}
	}
	return o
}

// Whatever clients do to a task at the same time, the answers are those of some
// order in which they might have done it one after another.
func TestLinearizable(t *testing.T) {
	t.Parallel()
	const clients, each = 4, 12
	lasting, atMost := 3*time.Second, time.Minute
	if os.Getenv("ERRAND_SOAK") != "" {
		lasting, atMost = 5*time.Minute, 6*time.Minute
	}
	o := app.DefaultOptions()
	o.Addr, o.Data = "127.0.0.1:0", t.TempDir()
	server, err := app.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	wire := wire{server.URL(), server.FirstStart().Key}
	client, err := errand.NewClient(errand.WithURL(wire.url), errand.WithKey(wire.key))
	if err != nil {
		t.Fatal(err)
	}
	seed := rand.Uint64()
	seen := map[string]int{}
	histories := 0
	// It goes on a little if the histories have not shown all that they are for.
	for began := time.Now(); time.Since(began) < lasting || unseen(seen) != "" && time.Since(began) < atMost; histories++ {
		h := begin(t, client, wire, fmt.Sprintf("agent-%d", histories))
		var all sync.WaitGroup
		for who := range clients {
			r := rand.New(rand.NewPCG(seed, uint64(histories*clients+who)))
			all.Go(func() {
				for range each {
					if err := h.do(t.Context(), who, h.next(r)); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		all.Wait()
		for _, o := range h.ops {
			seen[o.Input.(op).verb+" "+o.Output.(said).word]++
		}
		if result := porcupine.CheckOperationsTimeout(model(), h.ops, time.Minute); result != porcupine.Ok {
			t.Fatalf("history %d of seed %d is %s:\n%s", histories, seed, result, h)
		}
	}
	t.Logf("%d histories: %v", histories, seen)
	if what := unseen(seen); what != "" {
		t.Errorf("in %d histories there was no %q: they show too little", histories, what)
	}
}

// unseen names something that was to happen and has not.
func unseen(seen map[string]int) string {
	for _, must := range []string{
		"beat continue", "beat stop", "beat pause", "finish ok", "finish conflict", "confirm ok", "confirm invalid",
		"stop stopped", "pause paused", "pause conflict", "resume pending", "resume conflict",
	} {
		if seen[must] == 0 {
			return must
		}
	}
	return ""
}

func begin(t *testing.T, client *errand.Client, wire wire, agent string) *history {
	t.Helper()
	if _, err := client.Agents.Apply(t.Context(), agent, errand.Agent{Name: agent, MaxAttempts: 100, LeaseSeconds: 600}); err != nil {
		t.Fatal(err)
	}
	task, err := client.Tasks.Create(t.Context(), errand.TaskRequest{AgentID: agent, Prompt: "x"})
	if err != nil {
		t.Fatal(err)
	}
	return &history{client: client, wire: wire, task: task, began: time.Now()}
}

// String lists what was done, in the order of the calls.
func (h *history) String() string {
	slices.SortFunc(h.ops, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
	var s strings.Builder
	for _, o := range h.ops {
		fmt.Fprintf(&s, "%9d to %9d ns, client %d: %s\n", o.Call, o.Return, o.ClientId, model().DescribeOperation(o.Input, o.Output))
	}
	return s.String()
}

// The model tells a good history from a bad one.
func TestLinearizableModel(t *testing.T) {
	t.Parallel()
	made := func(steps ...any) (ops []porcupine.Operation) {
		for i := 0; i < len(steps); i += 2 {
			ops = append(ops, porcupine.Operation{Input: steps[i], Output: steps[i+1], Call: int64(i), Return: int64(i)})
		}
		return ops
	}
	claim, beat, finish, stop := op{verb: "claim"}, op{"beat", 1}, op{"finish", 1}, op{verb: "stop"}
	one := said{attempt: 1}
	for name, tt := range map[string]struct {
		ops  []porcupine.Operation
		want bool
	}{
		"a task that is done":      {made(claim, one, beat, said{word: "continue"}, finish, said{word: "ok"}, beat, said{word: "conflict"}), true},
		"handed out twice":         {made(claim, one, claim, one), false},
		"finished behind a stop":   {made(claim, one, stop, said{word: "stopped"}, finish, said{word: "ok"}), false},
		"goes on behind a stop":    {made(claim, one, stop, said{word: "stopped"}, beat, said{word: "continue"}), false},
		"a stop undoes the result": {made(claim, one, finish, said{word: "ok"}, stop, said{word: "stopped"}), false},
		"a lost task":              {made(claim, said{}), false},
	} {
		if got := porcupine.CheckOperations(model(), tt.ops); got != tt.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
