package crash

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// crowd is viewers that follow tasks of a load from their beginning to their
// end, whatever happens in between. Every other one uses the Go client.
type crowd struct {
	*audience
	url     string
	viewers []*viewer
}

func newCrowd(t *testing.T, url string) *crowd {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	return &crowd{audience: &audience{t: t, ctx: ctx}, url: url}
}

// gather adds viewers of tasks that were just made, a few in each round.
func (c *crowd) gather(ctx context.Context, b *book, n int) {
	tick := time.NewTicker(70 * time.Millisecond)
	defer tick.Stop()
	for n > 0 {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		id := ""
		b.note(func() {
			for i := len(b.creations) - 1; i >= 0 && id == ""; i-- {
				if x := b.creations[i]; x.acked && x.turn == 1 && !x.watched {
					x.watched, id = true, x.task
				}
			}
		})
		if id == "" {
			continue
		}
		n--
		v := &viewer{client: newClient(c.url), task: id}
		c.viewers = append(c.viewers, v)
		if len(c.viewers)%2 == 0 {
			v.bySDK = true
			c.all.Go(func() { v.got = followBySDK(c.audience, v.base, id, nil) })
			continue
		}
		if rand.IntN(2) == 0 {
			v.next = func() int { return 1 + rand.IntN(6) }
		}
		c.add("viewer of "+id, v)
	}
}

// crowdLimit bounds how long after the last task's end every viewer has seen it.
const crowdLimit = 30 * time.Second

// end waits for all viewers, and holds what they have seen against the logs.
func (c *crowd) end(t *testing.T, cl *client) {
	t.Helper()
	seen := make(chan struct{})
	go func() { defer close(seen); c.all.Wait() }()
	select {
	case <-seen:
	case <-time.After(crowdLimit):
		tolls.gaps.Add(1)
		t.Fatalf("viewers still wait %v after the end of all tasks", crowdLimit)
	}
	cuts := 0
	for _, v := range c.viewers {
		cuts += v.cuts
		log := pages(t, cl, v.task)
		if v.bySDK {
			log = authorless(log)
		}
		if what := v.gap(log); what != "" {
			tolls.gaps.Add(1)
			t.Errorf("a viewer of %s: %s", v.task, what)
		}
	}
	t.Logf("%d viewers saw everything, over %d cuts", len(c.viewers), cuts)
}

// gap says what a viewer has missed of a log, of which it has seen at least one
// turn from beginning to end.
func (v *viewer) gap(log []string) string {
	if len(v.got) == 0 {
		return "it has seen nothing"
	}
	var first, last logged
	if json.Unmarshal([]byte(v.got[0]), &first) != nil || first.Type != "task_created" {
		return "it begins with " + tail(v.got[0], 300)
	}
	ended := false
	for i, got := range v.got {
		at := int(first.ID) - 1 + i
		if at >= len(log) || unsigned(got) != unsigned(log[at]) {
			return "it has seen " + tail(got, 300) + " in place of what follows event " + last.Type
		}
		if err := json.Unmarshal([]byte(got), &last); err != nil {
			return err.Error()
		}
		ended = ended || last.Type == "task_finished"
	}
	if !ended {
		return "it has not seen the end, only " + strings.TrimSpace(last.Type)
	}
	return ""
}
