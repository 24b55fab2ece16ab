package crash

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/errand-dev/errand"
)

// herdAgent is the agent whose tasks the herd executes.
const herdAgent = "herd"

// herd is some processes that are workers of the Go client. They are killed and
// stopped at any moment.
type herd struct {
	url     string
	dir     string
	members []*member
	born    int
}

// member is one of them, alive or not, and where it notes what it knows.
type member struct {
	*process
	name, notes string
	stopped     bool
}

// newHerd starts some workers.
func newHerd(t *testing.T, url string, n int) *herd {
	t.Helper()
	h := &herd{url: url, dir: t.TempDir()}
	for range n {
		h.add(t)
	}
	return h
}

func (h *herd) add(t *testing.T) {
	t.Helper()
	h.born++
	m := &member{name: fmt.Sprintf("herd-%d", h.born)}
	m.notes = filepath.Join(h.dir, m.name)
	m.process = spawnHelper(t, "herd", m.notes, h.url, herdAgent, m.name)
	h.members = append(h.members, m)
}

// alive lists who can be killed.
func (h *herd) alive() []*member {
	var found []*member
	for _, m := range h.members {
		select {
		case <-m.exited:
		default:
			found = append(found, m)
		}
	}
	return found
}

// kill kills one of them, and another takes its place.
func (h *herd) kill(t *testing.T, chance *rand.Rand) {
	t.Helper()
	alive := h.alive()
	alive[chance.IntN(len(alive))].kill(t)
	tolls.workers.Add(1)
	h.add(t)
}

// freeze stops one of them.
func (h *herd) freeze(t *testing.T, chance *rand.Rand) {
	t.Helper()
	alive := h.alive()
	m := alive[chance.IntN(len(alive))]
	m.signal(t, syscall.SIGSTOP)
	m.stopped = true
	tolls.stops.Add(1)
}

// revive lets those go on that were stopped.
func (h *herd) revive(t *testing.T) {
	t.Helper()
	for _, m := range h.alive() {
		if m.stopped {
			m.signal(t, syscall.SIGCONT)
			m.stopped = false
		}
	}
}

// end asks all of them to end.
func (h *herd) end(t *testing.T) {
	t.Helper()
	for _, m := range h.alive() {
		m.signal(t, syscall.SIGTERM)
	}
	for _, m := range h.alive() {
		if code := m.ended(t, 10*time.Second); code != 0 {
			t.Errorf("%s ended with %d: %s", m.name, code, m.said(t))
		}
	}
}

func (m *member) said(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile(m.notes)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// note is a line of a member's notes: an event of its own that the server has
// acknowledged.
type note struct {
	Task   string `json:"task"`
	Client string `json:"client"`
}

// acknowledged reads the notes of all members, sorted by task.
func (h *herd) acknowledged(t *testing.T) map[string][]note {
	t.Helper()
	found := map[string][]note{}
	for _, m := range h.members {
		for line := range bytes.Lines(m.said(t)) {
			var n note
			if json.Unmarshal(line, &n) == nil { // the last line may be cut; others are its log
				found[n.Task] = append(found[n.Task], n)
			}
		}
	}
	return found
}

// herdResult is the result of an attempt of the herd, which names it.
func herdResult(number int) string { return "herd " + strconv.Itoa(number) }

// herdOwner is whose result it is; ok is false for one that is not the herd's.
func herdOwner(result string) (number int, ok bool) {
	text, ok := strings.CutPrefix(result, "herd ")
	number, err := strconv.Atoi(text)
	return number, ok && err == nil
}

// herdWorker is a worker process of the Go client. It notes what was acknowledged.
func herdWorker(ctx context.Context) error {
	c, err := errand.NewClient(errand.WithURL(os.Getenv(helperURL)), errand.WithKey(adminKey))
	if err != nil {
		return err
	}
	name := os.Getenv(helperWorker)
	w := errand.NewWorker(c, errand.WorkerOptions{ID: name, Slots: 4, Drain: time.Second})
	w.Handle(os.Getenv(helperAgent), func(ctx context.Context, a *errand.Attempt) (string, error) {
		number := a.Task.ExecutionAttempts
		for part := range 1 + rand.IntN(3) {
			var notes []byte
			for n := range 1 + rand.IntN(3) {
				id := fmt.Sprintf("%s-%d-%d-%d", name, number, part, n)
				if err := a.Emit(ctx, errand.Step, written{Client: id, Number: number, Pad: pad(rand.IntN(300))}); err != nil {
					return "", err
				}
				line, err := json.Marshal(note{Task: a.Task.ID, Client: id})
				if err != nil {
					return "", err
				}
				notes = append(append(notes, line...), '\n')
			}
			if err := a.Progress(ctx, strconv.Itoa(part)); err != nil { // answered: the events are there
				return "", err
			}
			if _, err := os.Stdout.Write(notes); err != nil {
				return "", err
			}
			select {
			case <-time.After(time.Duration(rand.IntN(100)) * time.Millisecond):
			case <-ctx.Done():
				return "", context.Cause(ctx)
			}
		}
		return herdResult(number), nil
	})
	return w.Run(ctx)
}

// spawnHelper starts the test binary as a worker process. It ends by itself
// when the test is gone.
func spawnHelper(t *testing.T, kind, out, url, agent, worker string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := spawn(t, out, false, []string{
		helperEnv + "=" + kind, helperURL + "=" + url, helperAgent + "=" + agent, helperWorker + "=" + worker,
	}, self)
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		<-p.exited
	})
	return p
}
