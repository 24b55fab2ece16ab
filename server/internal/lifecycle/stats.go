package lifecycle

import (
	"context"
	"time"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/stats"
	"github.com/errand-dev/errand/server/internal/task"
)

// StatsQuery says what is wanted of Stats.
type StatsQuery struct {
	Agent    string // "" for all
	From, To task.Stamp
	Step     time.Duration
	By       stats.By // ByAgent or ByModel
}

// Stats is what happened to tasks in a time.
type Stats struct {
	From, To task.Stamp
	// Steps are parts of it, one behind the other, and By is all of it for each agent or
	// model.
	Steps []StatsStep
	By    map[string]stats.Counts
}

// StatsStep is what happened in a part.
type StatsStep struct {
	At task.Stamp
	stats.Counts
	// Pending is how many tasks were pending at its end; -1 of one that is to come.
	Pending int64
}

// maxSteps bounds into how many parts a time is cut.
const maxSteps = 500

// Stats tells what happened to the tasks of a scope from a moment to another. It reads what
// was counted, and not the tasks.
func (s *Service) Stats(ctx context.Context, in auth.Scope, w StatsQuery) (Stats, error) {
	now := s.store.Now()
	q, err := statsQuery(w, now)
	if err != nil {
		return Stats{}, err
	}
	found := Stats{From: q.From, To: q.To, Steps: make([]StatsStep, steps(q))}
	for i := range found.Steps {
		found.Steps[i] = StatsStep{At: q.From + task.Stamp(i)*length(q.Step), Counts: stats.Counts{}}
	}
	rows, err := s.store.Stats(ctx, in, q)
	if err != nil {
		return Stats{}, err
	}
	for _, row := range rows {
		found.Steps[row.Step].Counts[row.What] = row.N
	}
	q.By = w.By
	if found.By, err = s.statsBy(ctx, in, q); err != nil {
		return Stats{}, err
	}
	return found, s.pending(ctx, in, q, now, found.Steps)
}

// statsBy is what was counted for each agent or model.
func (s *Service) statsBy(ctx context.Context, in auth.Scope, q stats.Query) (map[string]stats.Counts, error) {
	rows, err := s.store.Stats(ctx, in, q)
	if err != nil {
		return nil, err
	}
	by := map[string]stats.Counts{}
	for _, row := range rows {
		if by[row.ID] == nil {
			by[row.ID] = stats.Counts{}
		}
		by[row.ID][row.What] = row.N
	}
	return by, nil
}

// length is a step as the store counts time. A time.Duration has no more than 292 years.
func length(step time.Duration) task.Stamp { return task.Stamp(step.Microseconds()) }

// steps is how many steps a query has.
func steps(q stats.Query) task.Stamp { return (q.To - q.From) / length(q.Step) }

// statsQuery is what is to be read for steps that begin and end where whole ones do: of the
// longest span of which each step has whole ones.
func statsQuery(w StatsQuery, now task.Stamp) (stats.Query, error) {
	q := stats.Query{By: stats.ByStep, Agent: w.Agent, Step: w.Step}
	if q.Step < time.Minute || q.Step%time.Minute != 0 {
		return q, fault.Field("step", "must be a whole number of minutes, in seconds")
	}
	us := length(q.Step)
	q.From, q.To = w.From/us*us, (w.To+us-1)/us*us
	if q.From >= q.To {
		return q, fault.Field("from", "must be before to")
	}
	if steps(q) > maxSteps {
		return q, fault.Field("step", "makes more than %d steps: choose a longer one", maxSteps)
	}
	var kept time.Duration
	for _, span := range stats.Spans() {
		if q.Step%span.Length == 0 {
			q.Span, kept = span.Length, span.Keep
		}
	}
	if last := stats.Spans()[len(stats.Spans())-1]; q.Span != last.Length && q.From < now.Add(-kept) {
		return q, fault.Field("step", "must be longer: such steps reach %d hours back, whole hours %d", int(kept.Hours()), int(last.Keep.Hours()))
	}
	return q, nil
}

// pending sets how many tasks were pending at the end of each step: from how many are
// now, and by how many more they became since.
func (s *Service) pending(ctx context.Context, in auth.Scope, q stats.Query, now task.Stamp, steps []StatsStep) error {
	n, err := s.store.CountOpen(ctx, in, Filter{Agent: q.Agent, Status: Among(task.Pending)})
	if err != nil {
		return err
	}
	left := int64(n)
	if q.To <= now {
		since := stats.Query{By: stats.ByStep, Agent: q.Agent, From: q.To, To: now + 1, Step: now.Sub(q.To) + q.Span, Span: q.Span}
		rows, err := s.store.Stats(ctx, in, since)
		if err != nil {
			return err
		}
		for _, row := range rows {
			if row.What == stats.Waiting {
				left -= int64(row.N)
			}
		}
	}
	for i := len(steps) - 1; i >= 0; i-- {
		if steps[i].Pending = -1; steps[i].At <= now {
			steps[i].Pending = max(left, 0)
		}
		left -= int64(steps[i].Counts[stats.Waiting])
	}
	return nil
}
