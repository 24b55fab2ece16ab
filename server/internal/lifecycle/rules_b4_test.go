package lifecycle_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/stats"
	"github.com/errand-dev/errand/server/internal/task"
)

// troubles are the kinds of trouble that there are, each with its number.
func (b *bench) troubles() string {
	b.t.Helper()
	found, err := b.Troubles(b.ctx(), auth.All(org))
	b.must(err)
	text := ""
	for _, x := range found {
		text += fmt.Sprintf("%s %d;", x.Kind, x.Count)
	}
	return text
}

// B4: what went wrong is trouble for an hour, and no longer.
func TestB4FailingIsOfTheLastHour(t *testing.T) {
	t.Parallel()
	b := open(t)
	for i := range 5 {
		id := fmt.Sprint("t", i)
		_, err := b.finish(id, b.run(id, nil), task.EndFailed, "no")
		b.must(err)
	}
	b.clock.forward(59 * time.Minute)
	if got := b.troubles(); got != "failing 5;" {
		t.Errorf("after 59 minutes: %q", got)
	}
	b.clock.forward(2 * time.Minute)
	if got := b.troubles(); got != "" {
		t.Errorf("after an hour: %q", got)
	}
}

// B4: a server that is alone, and of which nothing is wanted, is no trouble however long
// that is: it writes nothing, but it is there.
func TestB4AnIdleServerIsNoTrouble(t *testing.T) {
	t.Parallel()
	b := open(t)
	for range 2 {
		_, err := b.Beat(b.ctx(), false)
		b.must(err)
		b.clock.forward(time.Hour)
	}
	if got := b.troubles(); got != "" {
		t.Errorf("an idle server: %q", got)
	}
	nodes, err := b.Nodes(b.ctx())
	b.must(err)
	if len(nodes) != 1 || nodes[0].Heard != b.store.Now() {
		t.Errorf("it is told of %+v", nodes)
	}
}

// B3: of a model is what was spent, even where the same commit ends the turn.
func TestB3ModelsHaveWhatWasSpent(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.run("t", budgeted(task.Budget{Tokens: 5, AtLimit: task.EndAtLimit}))
	b.uses("t", "1", 7)
	now := b.store.Now()
	found, err := b.Stats(b.ctx(), auth.All(org), lifecycle.StatsQuery{From: now, To: now + 1, Step: time.Minute, By: stats.ByModel})
	b.must(err)
	if m := found.By["m"]; len(m) != 1 || m[stats.Tokens] != 7 {
		t.Errorf("the model has %v", m)
	}
	if none := found.By[""]; none[stats.Begun] != 1 || none[stats.Tokens] != 0 {
		t.Errorf("no model has %v", none)
	}
}
