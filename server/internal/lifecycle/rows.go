package lifecycle

import (
	"cmp"
	"context"
	"slices"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/task"
)

// Rows lists tasks of the scope as people look at them, newest first, and says of
// each that has not ended and is not executing what it waits for.
func (s *Service) Rows(ctx context.Context, in auth.Scope, f Filter, p Page) (RowList, error) {
	if err := s.settle(ctx, in, &f); err != nil {
		return RowList{}, err
	}
	found, err := s.store.Rows(ctx, in, f, p)
	if err != nil {
		return found, err
	}
	return found, s.explain(ctx, in.Organization, found.Items)
}

// maxSummed is how many tasks of a tree are added up.
const maxSummed = 1000

// Tree lists the tasks of the tree in which one stands, as Rows does, and what the newest
// 1000 of them have used; more says that there are others.
func (s *Service) Tree(ctx context.Context, in auth.Scope, id string, p Page) (list RowList, sum Sum, more bool, err error) {
	t, err := s.Task(ctx, in, id)
	if err != nil {
		return list, sum, false, err
	}
	if list, err = s.Rows(ctx, in, Filter{Root: t.RootID}, p); err != nil {
		return list, sum, false, err
	}
	sum, more, err = s.store.Summed(ctx, in, t.RootID, maxSummed)
	return list, sum, more, err
}

// RowsOf returns those of some tasks of the scope that match a filter, as Rows does.
func (s *Service) RowsOf(ctx context.Context, in auth.Scope, f Filter, ids []string) ([]Row, error) {
	if err := s.settle(ctx, in, &f); err != nil {
		return nil, err
	}
	found, err := s.store.RowsOf(ctx, in, f, ids)
	if err != nil {
		return nil, err
	}
	return found, s.explain(ctx, in.Organization, found)
}

// MaxBeginning is how many tasks of an organization may begin with a text that names
// some: more say that it is too short.
const MaxBeginning = 200

// Beginning returns those tasks of the scope that match a filter and whose ids begin with
// a text, newest first. It reads one range of the ids, whatever there is.
func (s *Service) Beginning(ctx context.Context, in auth.Scope, f Filter, prefix string) ([]Row, error) {
	ids, err := s.store.Beginning(ctx, in.Organization, prefix, MaxBeginning+1)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	if len(ids) > MaxBeginning {
		return nil, fault.Field("id_prefix", "more than %d tasks begin so: write more of the id", MaxBeginning)
	}
	rows, err := s.RowsOf(ctx, in, f, ids)
	slices.SortFunc(rows, func(a, b Row) int {
		return cmp.Or(cmp.Compare(b.Task.CreatedAt, a.Task.CreatedAt), cmp.Compare(b.Task.ID, a.Task.ID))
	})
	return rows, err
}

// Matching lists those of some ids whose tasks of the scope match a filter, in no order.
func (s *Service) Matching(ctx context.Context, in auth.Scope, f Filter, ids []string) ([]string, error) {
	if err := s.settle(ctx, in, &f); err != nil || len(ids) == 0 {
		return nil, err
	}
	return s.store.Matching(ctx, in, f, ids)
}

// Counts are how many tasks match a filter.
type Counts struct {
	// ByStatus has each counted as a list's total.
	ByStatus []StatusCount
	// Asking is in how many a person is asked something, counted likewise, and
	// NextDeadline the next moment until which one is, 0 for none.
	Asking       int
	NextDeadline task.Stamp
}

// Counts counts the tasks of the scope that match a filter. One that names statuses
// counts these only.
func (s *Service) Counts(ctx context.Context, in auth.Scope, f Filter) (Counts, error) {
	if err := s.settle(ctx, in, &f); err != nil {
		return Counts{}, err
	}
	asking := f
	asking.Asks = true
	var found Counts
	var err error
	if found.Asking, _, err = s.store.Count(ctx, in, asking); err == nil && found.Asking > 0 {
		found.NextDeadline, err = s.store.NextDeadline(ctx, in, asking)
	}
	if err != nil {
		return Counts{}, err
	}
	found.ByStatus, err = s.byStatus(ctx, in, f)
	return found, err
}

func (s *Service) byStatus(ctx context.Context, in auth.Scope, f Filter) ([]StatusCount, error) {
	counted := f.Status.List()
	if len(counted) == 0 {
		counted = task.Statuses()
	}
	counts := make([]StatusCount, 0, len(counted))
	for _, status := range counted {
		f.Status = Among(status)
		n, more, err := s.store.Count(ctx, in, f)
		if err != nil {
			return nil, err
		}
		counts = append(counts, StatusCount{Status: status, Count: n, More: more})
	}
	return counts, nil
}

// ahead is how many tasks of a lane are looked at to tell how many are in front of one.
const ahead = 1000

// explainer tells what many tasks of an organization wait for: what their agents have
// in common is read once.
type explainer struct {
	*Service
	ctx    context.Context //nolint:containedctx // it lives as long as one call of explain
	org    string
	now    task.Stamp
	staff  map[string]Queue
	places map[Lane]map[string]int
}

// explain says in rows what their tasks wait for.
func (s *Service) explain(ctx context.Context, org string, rows []Row) error {
	x := explainer{Service: s, ctx: ctx, org: org, now: s.store.Now(), staff: map[string]Queue{}, places: map[Lane]map[string]int{}}
	for i := range rows {
		var err error
		if rows[i].Waiting, err = x.of(rows[i].Task); err != nil {
			return err
		}
	}
	return nil
}

func (x explainer) of(t task.Task) (*Waiting, error) {
	if w, known := plainly(t); known {
		return w, nil
	}
	var err error
	q, ok := x.staff[t.AgentID]
	if !ok {
		if q, err = x.store.Staff(x.ctx, x.org, t.AgentID); err != nil {
			return nil, err
		}
		x.staff[t.AgentID] = q
	}
	if t.Status() == task.Paused {
		if q.PausedBy, err = x.store.PausedBy(x.ctx, x.org, t.ID); err != nil {
			return nil, err
		}
	} else if q.Ahead, err = x.ahead(t); err != nil {
		return nil, err
	}
	return x.whyWaiting(x.ctx, t, q, x.now)
}

// ahead counts the tasks that stand in front of one.
func (x explainer) ahead(t task.Task) (int, error) {
	if !t.Dispatchable() {
		return 0, nil
	}
	lane := Lane{Agent: t.AgentID}
	if t.Terms.PinnedWorkerID != nil {
		lane.Pin = *t.Terms.PinnedWorkerID
	}
	places, ok := x.places[lane]
	if !ok {
		line, err := x.store.Line(x.ctx, x.org, lane, ahead)
		if err != nil {
			return 0, err
		}
		places = make(map[string]int, len(line))
		for i, id := range line {
			places[id] = i
		}
		x.places[lane] = places
	}
	if at, ok := places[t.ID]; ok {
		return at, nil
	}
	return len(places), nil
}
