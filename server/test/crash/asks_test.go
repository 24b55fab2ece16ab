package crash

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/errand-dev/errand"
)

// person answers whatever is asked, with another note each time, until ctx ends.
type person struct {
	c         *client
	answering chan struct{} // tells who listens that an answer is about to be given
	given     atomic.Int32  // answers

	mu    sync.Mutex
	taken map[string]string // notes that the server has said it has, by the approval
	wrong []string
}

// work answers. Of what breaks off it does not know what has become.
func (p *person) work(ctx context.Context) {
	for ctx.Err() == nil {
		a, err := p.c.call(ctx, http.MethodGet, "/v1/approvals?status=open", nil)
		var open struct {
			Items []struct {
				ID string `json:"id"`
			} `json:"items"`
		}
		if err == nil && a.status == http.StatusOK && json.Unmarshal(a.body, &open) == nil {
			for _, one := range open.Items {
				p.answer(ctx, one.ID)
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (p *person) answer(ctx context.Context, id string) {
	note := strconv.Itoa(int(p.given.Add(1)))
	select {
	case p.answering <- struct{}{}:
	default:
	}
	a, err := p.c.call(ctx, http.MethodPost, "/v1/approvals/"+id+"/answer", obj{"note": note, "answer": "approve"})
	p.mu.Lock()
	defer p.mu.Unlock()
	switch before, again := p.taken[id]; {
	case err != nil || a.status == http.StatusServiceUnavailable:
	case a.status != http.StatusOK:
		p.wrong = append(p.wrong, a.String())
	case again:
		p.wrong = append(p.wrong, fmt.Sprintf("%s was answered with %s, and again with %s", id, before, note))
	default:
		p.taken[id] = note
	}
}

// A server that is killed while people answer what workers ask asks and hears each of it
// once: an answer that it has acknowledged is the one that its worker gets (S10).
func TestKilledWhilePeopleAnswer(t *testing.T) {
	t.Parallel()
	const tasks, questions, kills = 8, 6, 8
	s := newServer(t)
	c := s.client()
	c.must(t, http.StatusOK, http.MethodPut, "/v1/agents/asker", obj{"name": "w", "runtime": "worker", "lease_seconds": 2, "max_attempts": 100}) // claims whose answers are lost wait for their leases
	ctx, cancel := context.WithCancel(t.Context())
	var working sync.WaitGroup
	defer working.Wait()
	defer cancel()
	w := errand.NewWorker(s.sdk(t), errand.WorkerOptions{Slots: 3})
	w.Handle("asker", func(ctx context.Context, a *errand.Attempt) (string, error) {
		var notes []string
		for i := range questions {
			answer, err := a.Ask(ctx, errand.Question{Key: strconv.Itoa(i), Message: fmt.Sprintf("Question %d?", i)})
			if err != nil {
				return "", err
			}
			notes = append(notes, answer.Note)
		}
		return strings.Join(notes, " "), nil
	})
	p := &person{c: s.client(), answering: make(chan struct{}), taken: map[string]string{}}
	working.Go(func() {
		if err := w.Run(ctx); err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	})
	working.Go(func() { p.work(ctx) })
	ids := make([]string, tasks)
	for i := range ids {
		ids[i] = c.create(t, obj{"agent_id": "asker", "input": obj{"text": "x"}}).ID
	}
	for range kills {
		select {
		case <-p.answering:
			<-time.After(time.Duration(rand.IntN(10_000)) * time.Microsecond)
		case <-time.After(time.Minute):
			t.Fatal("nobody is asked")
		}
		s.kill(t)
		s.start(t)
	}
	heard := map[string]string{}
	for _, id := range ids {
		v := c.ends(t, id)
		if v.Status != "completed" || v.Result == nil {
			t.Fatalf("task %s ended as %+v", id, v)
		}
		for i, note := range strings.Fields(*v.Result) {
			heard[fmt.Sprint(id, " ", i)] = note
		}
		asked, answered := p.logged(t, id, heard)
		if asked != questions || answered != questions {
			t.Errorf("task %s: %d were asked and %d answered, of %d", id, asked, answered, questions)
		}
	}
	cancel()
	working.Wait()
	if len(p.wrong) > 0 {
		t.Errorf("what the person was told: %q", p.wrong)
	}
	t.Logf("%d answers, of which %d were acknowledged, to %d questions; %d kills", p.given.Load(), len(p.taken), tasks*questions, kills)
}

// logged counts what a task's log has of questions and answers, which are those that its
// worker has heard and, where one was acknowledged, that one.
func (p *person) logged(t *testing.T, id string, heard map[string]string) (asked, answered int) {
	t.Helper()
	events, _, err := p.c.log(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		var of struct {
			ID   string `json:"id"`
			Key  string `json:"key"`
			Note string `json:"note"`
		}
		switch e.Type {
		case "approval_requested":
			asked++
		case "approval_answered":
			if err := json.Unmarshal(e.Data, &of); err != nil {
				t.Fatal(err)
			}
			answered++
			p.mu.Lock()
			acknowledged := p.taken[of.ID]
			p.mu.Unlock()
			if got := heard[id+" "+of.Key]; got != of.Note || acknowledged != "" && acknowledged != of.Note {
				t.Errorf("question %s of task %s: the worker has heard %q, the log has %q, acknowledged was %q", of.Key, id, got, of.Note, acknowledged)
			}
		}
	}
	return asked, answered
}
