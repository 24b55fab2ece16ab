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

// TestSearchSurvivesKills kills the server while it indexes what clients create (H11): in
// the end each task is found once by its prompt.
func TestSearchSurvivesKills(t *testing.T) {
	t.Parallel()
	const creators, each, kills = 3, 60, 4
	s := newServer(t)
	c := s.sdk(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if _, err := c.Agents.Apply(ctx, "agent-123", errand.Agent{Name: "Analyst"}); err != nil {
		t.Fatal(err)
	}
	var created atomic.Int32
	var all sync.WaitGroup
	for who := range creators {
		all.Go(func() {
			for i := range each {
				id := fmt.Sprint("t-", who, "-", i)
				if _, err := c.Tasks.Create(ctx, errand.TaskRequest{AgentID: "agent-123", Prompt: "find the zebra", ID: id}); err != nil {
					t.Errorf("create: %v", err)
					return
				}
				created.Add(1)
			}
		})
	}
	s.killAmid(t, kills, creators*each, created.Load)
	all.Wait()
	found := map[string]int{}
	eventually(t, time.Minute, "all are found", func() bool {
		clear(found)
		for hit, err := range c.Tasks.Search(ctx, `zebra "find the"`, errand.SearchOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			found[hit.TaskID]++
		}
		return len(found) == creators*each
	})
	for id, times := range found {
		if times != 1 {
			t.Errorf("%s is found %d times", id, times)
		}
	}
	s.quiet(t)
}
