package v1

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/stats"
	"github.com/errand-dev/errand/server/internal/task"
)

// Stats is what happened to tasks in a time.
type Stats struct {
	From  task.Stamp  `json:"from" doc:"When the first step begins."`
	To    task.Stamp  `json:"to" doc:"When the last step ends."`
	Step  int         `json:"step" doc:"How long each step is, in seconds."`
	Steps []StatsStep `json:"steps" nullable:"false" doc:"The steps, one behind the other."`
	Total StatsCounts `json:"total" doc:"All of them together."`
	By    []StatsOf   `json:"by" nullable:"false" doc:"The same for each agent or model, as by says: of a model what was spent. Those of which most has begun, ended or been spent first."`
}

// StatsStep is what happened in a step.
type StatsStep struct {
	At      task.Stamp `json:"at" doc:"When it begins."`
	Waiting *int64     `json:"waiting" doc:"How many tasks were pending at its end, or are now; null of a step that is to come."`
	StatsCounts
}

// StatsOf is what happened to the tasks of an agent or a model.
type StatsOf struct {
	ID string `json:"id" doc:"The agent's id, or the model's name; empty for what counts for no model."`
	StatsCounts
}

// StatsCounts are what was counted of turns: of tasks, and of what follows them up.
type StatsCounts struct {
	Created   int64       `json:"created" doc:"How many turns have begun."`
	Ended     StatsEnds   `json:"ended" doc:"How many have ended for which reason; what is left out is 0."`
	Tokens    int64       `json:"tokens" doc:"Model tokens that were spent, read and written."`
	Cost      float64     `json:"cost" doc:"Money that was spent, in the currency of the configured prices."`
	StartWait StatsSpread `json:"start_wait" doc:"How long turns that have started were ready before."`
	Run       StatsSpread `json:"run" doc:"How long turns that have ended took from their start."`
}

// StatsEnds are numbers of turns by their end reason.
type StatsEnds map[task.EndReason]int64

// StatsSpread says how long something took.
type StatsSpread struct {
	Count int64   `json:"count" doc:"How many were measured."`
	P50   float64 `json:"p50" doc:"Seconds below which half of them were, about: lengths are counted by powers of two."`
	P95   float64 `json:"p95" doc:"Seconds below which 95 % of them were."`
	P99   float64 `json:"p99" doc:"Seconds below which 99 % of them were."`
}

// StatsQuery says which time is wanted.
type StatsQuery struct {
	From  time.Time `query:"from" doc:"From this moment on; an hour before to when left out. A step begins at it or before."`
	To    time.Time `query:"to" doc:"Up to this moment; now when left out."`
	Step  int       `query:"step" minimum:"60" maximum:"31536000" default:"60" doc:"How long a step is, in seconds: whole minutes for the last 6 hours, quarters of an hour for 3 days, hours for 32 days, days for 400."`
	Agent string    `query:"agent_id" doc:"Only this agent's tasks."`
	By    string    `query:"by" enum:"agent,model" default:"agent" doc:"What it is summed up by as well."`
}

func (r *routes) registerStats() {
	add(r, operation{roles: users(), Operation: huma.Operation{
		OperationID: "get-stats", Method: http.MethodGet, Path: "/v1/stats", Tags: []string{"stats"},
		Summary: "What happened to tasks, by minutes or hours",
		Description: "Counted as it happens, and kept when tasks go on or are deleted: by minutes for 6 hours, by quarters of an hour for 3 days, by hours for 32 days, by days for 400. A key that does not see all sees what counts for" +
			" its owner or its group.",
	}}, r.stats)
}

func (r *routes) stats(ctx context.Context, in *StatsQuery) (*struct{ Body Stats }, error) {
	to := in.To
	if to.IsZero() {
		to = r.Service.Now().Time()
	}
	from := in.From
	if from.IsZero() {
		from = to.Add(-time.Hour)
	}
	if from.UTC().Year() < 2000 || to.UTC().Year() > 2999 {
		return nil, fault.Field("from", "must be a moment from the year 2000 on, and to one before the year 3000")
	}
	found, err := r.Service.Stats(ctx, edge.Scope(ctx), lifecycle.StatsQuery{
		Agent: in.Agent, From: task.StampOf(from), To: task.StampOf(to), Step: time.Duration(in.Step) * time.Second, By: stats.By(in.By),
	})
	if err != nil {
		return nil, err
	}
	s := Stats{From: found.From, To: found.To, Step: in.Step, Steps: make([]StatsStep, len(found.Steps)), By: make([]StatsOf, 0, len(found.By))}
	total := stats.Counts{}
	for i, x := range found.Steps {
		total.Add(x.Counts)
		s.Steps[i] = StatsStep{At: x.At, StatsCounts: statsCounts(x.Counts)}
		if x.Pending >= 0 {
			s.Steps[i].Waiting = &found.Steps[i].Pending
		}
	}
	s.Total = statsCounts(total)
	for id, c := range found.By {
		s.By = append(s.By, StatsOf{ID: id, StatsCounts: statsCounts(c)})
	}
	slices.SortFunc(s.By, func(a, b StatsOf) int {
		return cmp.Or(cmp.Compare(b.Created, a.Created), cmp.Compare(b.Run.Count, a.Run.Count), cmp.Compare(b.Tokens, a.Tokens), cmp.Compare(a.ID, b.ID))
	})
	return &struct{ Body Stats }{s}, nil
}

func statsCounts(c stats.Counts) StatsCounts {
	x := StatsCounts{
		Created: int64(c[stats.Begun]), Ended: StatsEnds{}, Tokens: int64(c[stats.Tokens]), Cost: c[stats.Cost],
		StartWait: statsSpread(c.Waits()), Run: statsSpread(c.Runs()),
	}
	for _, r := range task.EndReasons() {
		if n := c.Ended(r); n > 0 {
			x.Ended[r] = n
		}
	}
	return x
}

func statsSpread(s stats.Spread) StatsSpread {
	return StatsSpread{Count: s.Total(), P50: s.Quantile(0.5).Seconds(), P95: s.Quantile(0.95).Seconds(), P99: s.Quantile(0.99).Seconds()}
}
