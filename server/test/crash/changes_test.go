package crash

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/errand-dev/errand"
)

// TestChangesHaveNoGap kills the server under clients that create tasks while others read
// the feed (H10): each number of each log is told once, to a reader that stays, and to one
// that comes later and goes on from a cursor in between.
func TestChangesHaveNoGap(t *testing.T) {
	t.Parallel()
	const creators, each, kills = 3, 40, 3
	s := newServer(t)
	c := s.sdk(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if _, err := c.Agents.Apply(ctx, "agent-123", errand.Agent{Name: "Analyst"}); err != nil {
		t.Fatal(err)
	}
	var stays sync.WaitGroup
	var told []errand.TaskChange
	enough, leave := context.WithCancel(ctx)
	stays.Go(func() {
		for change, err := range c.Events(enough, errand.EventsOptions{After: "0"}) {
			if err != nil {
				if enough.Err() == nil {
					t.Errorf("the feed ended: %v", err)
				}
				return
			}
			told = append(told, change)
			if change.TaskID == "the-last" {
				return
			}
		}
	})
	var created atomic.Int32
	var all sync.WaitGroup
	for who := range creators {
		all.Go(func() {
			for i := range each {
				if _, err := c.Tasks.Create(ctx, errand.TaskRequest{AgentID: "agent-123", Prompt: "x", ID: fmt.Sprint("t-", who, "-", i)}); err != nil {
					t.Errorf("create: %v", err)
					return
				}
				if i%2 == 0 {
					if _, err := c.Tasks.Stop(ctx, fmt.Sprint("t-", who, "-", i)); err != nil {
						t.Errorf("stop: %v", err)
					}
				}
				created.Add(1)
			}
		})
	}
	s.killAmid(t, kills, creators*each, created.Load)
	all.Wait()
	if _, err := c.Tasks.Create(ctx, errand.TaskRequest{AgentID: "agent-123", Prompt: "x", ID: "the-last"}); err != nil {
		t.Fatal(err)
	}
	stays.Wait()
	leave()
	covered(ctx, t, c, "who stays", told)
	if t.Failed() {
		return
	}
	half := told[len(told)/2]
	rest := append([]errand.TaskChange{}, told[:len(told)/2+1]...)
	for change, err := range c.Events(ctx, errand.EventsOptions{After: half.Cursor}) {
		if err != nil {
			t.Fatal(err)
		}
		if rest = append(rest, change); change.TaskID == "the-last" {
			break
		}
	}
	covered(ctx, t, c, "who comes back", rest)
	s.quiet(t)
}

// covered holds what was told of tasks against their logs.
func covered(ctx context.Context, t *testing.T, c *errand.Client, who string, told []errand.TaskChange) {
	t.Helper()
	seen := map[string]map[int64]int{}
	for _, x := range told {
		if seen[x.TaskID] == nil {
			seen[x.TaskID] = map[int64]int{}
		}
		for seq := x.FirstSeq; seq <= x.LastSeq; seq++ {
			seen[x.TaskID][seq]++
		}
	}
	n := 0
	for item, err := range c.Tasks.All(ctx, errand.ListOptions{PerPage: 50}) {
		if err != nil {
			t.Fatal(err)
		}
		task, err := c.Tasks.Get(ctx, item.ID)
		if err != nil {
			t.Fatal(err)
		}
		n++
		for seq := range task.LastEventSeq {
			if seen[task.ID][seq+1] != 1 {
				t.Errorf("%s is told %d times of event %d of %s", who, seen[task.ID][seq+1], seq+1, task.ID)
			}
		}
	}
	if n != len(seen) {
		t.Errorf("%s is told of %d tasks, and there are %d", who, len(seen), n)
	}
}
