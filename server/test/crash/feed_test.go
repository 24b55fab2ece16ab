package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// fed is a task that a worker writes to while others look.
type fed struct {
	*client
	id, token string
	sent      int
}

// newFed makes a task with a file and claims it.
func newFed(t *testing.T, c *client) *fed {
	t.Helper()
	c.putWorkerAgent(t, "talker", 30)
	var file struct {
		URL string `json:"url"`
	}
	c.must(t, http.StatusCreated, http.MethodPost, "/v1/files?name=sales.csv", "region,amount\nnorth,1\n",
		"Content-Type", "application/octet-stream").into(t, &file)
	made := c.create(t, obj{
		"agent_id": "talker", "title": "A <long> talk & more", "tags": []string{"x"},
		"input": obj{"text": "talk: grüße, \u2028 and\nlines", "files": []string{file.URL}, "user": obj{"email": "ann@example.org"}},
	})
	got := c.claim(t, "talker", "talker-1")
	if got.Task.ID != made.ID {
		t.Fatalf("claimed %s, not %s", got.Task.ID, made.ID)
	}
	return &fed{client: c, id: made.ID, token: got.Lease.Token}
}

// event is the nth event: of every kind and size.
func (f *fed) event(n, size int) obj {
	e := obj{"client_id": fmt.Sprintf("event-%d", n), "type": "chunk", "data": fmt.Sprintf("%d: %s", n, pad(size))}
	switch n % 10 {
	case 1:
		e["data"] = "line\nline\r\nnext\u0085line\u2028line\u2029 <b>&amp;</b> \u00fc \U0001F600 \t\"quoted\\"
	case 2:
		e["type"], e["data"] = "tool_call_request", obj{"request_id": n, "tool_name": "search", "payload": obj{"q": pad(size)}}
	case 3:
		e["type"], e["data"] = "think", obj{"thought": nil, "n": 1.5, "big": 12345678901234567}
	case 4:
		e["type"], e["data"] = "step", obj{"step": n} // the Python client is not shown this one
	case 5:
		e["type"], e["data"] = "plan_updated", []any{"an", "array", n}
	}
	return e
}

// feed appends events until there are n, a few at a time. An append without an
// answer is repeated until it has one.
func (f *fed) feed(ctx context.Context, t *testing.T, n, size int) {
	t.Helper()
	for f.sent < n {
		var events []obj
		for range min(1+rand.IntN(5), n-f.sent) {
			events = append(events, f.event(f.sent, size))
			f.sent++
		}
		f.insist(ctx, t, "/events", obj{"lease_token": f.token, "events": events})
	}
}

func (f *fed) finish(ctx context.Context, t *testing.T) {
	t.Helper()
	f.insist(ctx, t, "/finish", obj{
		"lease_token": f.token, "status": "completed", "result": "That was all.\n" + pad(3000),
		"tokens": obj{"completion_tokens": 7, "prompt_tokens": 11}, "used_tools": []string{"search"}, "duration": 1.25,
	})
}

// insist repeats a write until it is acknowledged.
func (f *fed) insist(ctx context.Context, t *testing.T, path string, body obj) {
	t.Helper()
	for ctx.Err() == nil {
		a, err := f.call(ctx, http.MethodPost, "/v1/tasks/"+f.id+path, body)
		if err == nil {
			if a.status != http.StatusOK {
				t.Errorf("%s: %s", path, a)
			}
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Errorf("%s: %v", path, ctx.Err())
}

// audience runs viewers beside the test.
type audience struct {
	t   *testing.T
	ctx context.Context //nolint:containedctx // it lives as long as the test's own
	all sync.WaitGroup
}

// viewLimit bounds how long a viewer may take from first to last.
const viewLimit = 60 * time.Second

func newAudience(t *testing.T) *audience {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), viewLimit)
	t.Cleanup(cancel)
	return &audience{t: t, ctx: ctx}
}

// add lets a viewer in.
func (a *audience) add(who string, v *viewer) {
	a.all.Go(func() {
		if err := v.follow(a.ctx); err != nil {
			a.t.Errorf("%s: %v", who, err)
		}
	})
}

// pages is the whole log as pages show it, the measure of all streams. What
// some readers of lines take for an end of line is escaped in streams only.
func pages(t *testing.T, c *client, id string) []string {
	t.Helper()
	events, raws := c.mustLog(t, id)
	texts := make([]string, len(raws))
	for i, raw := range raws {
		if events[i].ID != int64(i+1) {
			t.Errorf("event %d has the id %d", i+1, events[i].ID)
		}
		texts[i] = strings.ReplaceAll(string(raw), "\u0085", `\u0085`)
	}
	return texts
}
