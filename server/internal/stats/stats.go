// Package stats counts what happens to tasks: how many begin and wait, how long until
// they start, how they end and what they spend. It is a ledger: what was counted stays
// when a task goes on, or is deleted. It is pure.
package stats

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/errand-dev/errand/server/internal/task"
)

// Counts are sums by what was counted.
type Counts map[string]float64

// What is counted, beside the ends and the lengths.
const (
	Begun   = "begun"   // turns
	Waiting = "waiting" // by how many more tasks are pending
	Tokens  = "tokens"
	Cost    = "cost"

	ended = "ended " // and the reason
	wait  = "wait "  // and the bucket of how long a turn was ready before it started
	run   = "run "   // and that of how long it took from there to its end
)

// Add adds other counts.
func (c Counts) Add(o Counts) {
	for what, n := range o {
		c[what] += n
	}
}

// Ended is how many turns ended for a reason.
func (c Counts) Ended(r task.EndReason) int64 { return int64(c[ended+string(r)]) }

// Waits is how long turns were ready before they started.
func (c Counts) Waits() Spread { return c.spread(wait) }

// Runs is how long turns took from their start to their end.
func (c Counts) Runs() Spread { return c.spread(run) }

func (c Counts) spread(of string) (s Spread) {
	for i := range s {
		s[i] = int64(c[of+strconv.Itoa(i)])
	}
	return s
}

// Of says what something is counted for. Owner and Group are "" where nobody sees by
// them, Model where none is known.
type Of struct{ Org, Owner, Group, Agent, Model string }

// Counted is what was counted for something.
type Counted struct {
	Of
	Counts
}

// add counts n more, unless that is none.
func (c *Counted) add(what string, n float64) {
	if n == 0 {
		return
	}
	if c.Counts == nil { // as of most changes
		c.Counts = Counts{}
	}
	c.Counts[what] += n
}

// Count counts a change of a task, which was as it was before, and what that has spent: this
// for the model that it names, all else for none.
func Count(before task.Task, c task.Change, spent task.Spent) []Counted {
	t := c.Task
	x, spending := Counted{Of: of(t)}, Counted{Of: of(t)}
	x.add(Waiting, pending(t)-pending(before))
	for _, e := range c.Events {
		switch e.Type { //nolint:exhaustive // the others are not counted
		case task.TaskCreated:
			x.add(Begun, 1)
		case task.AttemptStarted:
			if a := t.Run; a != nil && a.InTurn == 1 {
				x.add(wait+bucketOf(a.StartedAt.Sub(t.ReadyAt)), 1)
			}
		case task.ModelUsed:
			spending.Model = modelOf(e)
		}
	}
	if c.Turn != nil && c.Turn.Ended != nil {
		e := c.Turn.Ended
		x.add(ended+string(e.Reason), 1)
		if e.StartedAt != 0 {
			x.add(run+bucketOf(e.FinishedAt.Sub(e.StartedAt)), 1)
		}
	}
	spending.add(Tokens, float64(spent.Tokens))
	spending.add(Cost, spent.Cost)
	return []Counted{x, spending}
}

// Removed counts the removal of a task.
func Removed(t task.Task) Counted {
	x := Counted{Of: of(t)}
	x.add(Waiting, -pending(t))
	return x
}

func of(t task.Task) Of {
	x := Of{Org: t.OrganizationID, Group: t.Group, Agent: t.AgentID}
	if t.Scoped {
		x.Owner = t.Owner
	}
	return x
}

func pending(t task.Task) float64 {
	if t.Status() == task.Pending {
		return 1
	}
	return 0
}

func modelOf(e task.Event) string {
	var use struct {
		Model string `json:"model"`
	}
	_ = json.Unmarshal(e.Own, &use) // the server wrote it
	return use.Model
}

// Span is a length of time by which is counted, and Keep how long that is kept.
type Span struct{ Length, Keep time.Duration }

// Spans are those that there are, the shortest first: each next one has fewer rows for the
// same time.
func Spans() []Span {
	const day = 24 * time.Hour
	return []Span{{time.Minute, day / 4}, {15 * time.Minute, 3 * day}, {time.Hour, 32 * day}, {day, 400 * day}}
}

// By is what counts are summed up by.
type By string

// What counts are summed up by.
const (
	ByStep  By = "step"
	ByAgent By = "agent"
	ByModel By = "model"
)

// Query says which counts are wanted.
type Query struct {
	By       By
	Agent    string // "" for all
	From, To task.Stamp
	// Step is how long each step is, from From on, and Span by what is counted.
	Step, Span time.Duration
}

// Row is a sum: of what was counted in the step of this number, or for this agent or model.
type Row struct {
	Step int
	ID   string
	What string
	N    float64
}
