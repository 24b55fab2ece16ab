package lifecycle_test

import (
	"context"
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// shown is a store that shows the roll before a beat takes a commit.
type shown struct {
	lifecycle.Store
	roll lifecycle.Roll
	calm bool
}

func (s *shown) Beat(ctx context.Context, node string, calm func(lifecycle.Roll) bool, fn func(lifecycle.Tx) error) error {
	if s.calm = calm(s.roll); s.calm {
		return nil
	}
	return s.Store.Beat(ctx, node, calm, fn)
}

// A beat decides something whenever anybody has fallen silent, nobody sweeps, or its node
// is not known; else it only says that it is there.
func TestWhenABeatDecides(t *testing.T) {
	t.Parallel()
	const now = task.Stamp(1_000_000_000_000)
	ago := func(d time.Duration) task.Stamp { return now.Add(-d) }
	nodes := func(mine, other time.Duration) []lifecycle.Node {
		return []lifecycle.Node{{ID: lifecycle.DefaultNode, Heard: ago(mine)}, {ID: "other", Heard: ago(other)}}
	}
	alive := func(heard time.Duration, sweeper string) lifecycle.Alive {
		return lifecycle.Alive{Heard: ago(heard), Renewed: 5, Sweeper: sweeper}
	}
	const mine, silent = lifecycle.DefaultNode, lifecycle.SilentNode
	for name, c := range map[string]struct {
		alive        lifecycle.Alive
		nodes        []lifecycle.Node
		renew        bool
		calm, sweeps bool
	}{
		"all are there, this one sweeps": {alive(time.Second, mine), nodes(time.Second, silent-time.Microsecond), false, true, true},
		"all are there, another sweeps":  {alive(0, "other"), nodes(0, 0), false, true, false},
		"alone":                          {alive(0, mine), nodes(0, 0)[:1], false, true, true},
		"leases are to be renewed":       {alive(0, mine), nodes(0, 0), true, false, false},
		"another is silent":              {alive(0, mine), nodes(0, silent), false, false, false},
		"another is ahead of the clock":  {alive(0, mine), nodes(0, -time.Microsecond), false, false, false},
		"it was silent itself":           {alive(0, mine), nodes(silent, 0), false, false, false},
		"it is not known":                {alive(0, "other"), nodes(0, 0)[1:], false, false, false},
		"nobody is known":                {alive(0, mine), nil, false, false, false},
		"nobody sweeps":                  {alive(0, ""), nodes(0, 0), false, false, false},
		"one that has gone sweeps":       {alive(0, "gone"), nodes(0, 0), false, false, false},
		"nobody was there":               {alive(silent, mine), nodes(0, 0), false, false, false},
		"the clock went back":            {alive(-time.Microsecond, mine), nodes(0, 0), false, false, false},
		"nobody was ever there":          {lifecycle.Alive{Sweeper: mine}, nodes(0, 0), false, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			store := &shown{Store: b.store, roll: lifecycle.Roll{Now: now, Alive: c.alive, Nodes: c.nodes}}
			p, err := b.service(store).Beat(t.Context(), c.renew)
			if err != nil || store.calm != c.calm {
				t.Fatalf("calm: %t, %v", store.calm, err)
			}
			want := lifecycle.Pulse{AsOf: now, Renewed: 5, Silence: now.Sub(c.alive.Heard), Sweeps: c.sweeps}
			if c.calm && p != want {
				t.Errorf("the pulse is %+v, not %+v", p, want)
			}
		})
	}
}
