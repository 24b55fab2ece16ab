package lifecycle

import (
	"context"
	"slices"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/task"
)

const (
	// stopBatch is how many tasks one commit of StopMany stops: few enough
	// that others get their turn at the writer in between.
	stopBatch = 25
	// toldIDs is how many ids its answer tells.
	toldIDs = 100
)

// Stopped sums up what StopMany has done.
type Stopped struct {
	// Matched counts the tasks of the filter that had not ended, Stopped those
	// of them that were stopped: the others ended by themselves meanwhile.
	Matched, Stopped int
	// Subtasks counts the tasks below them that did not match and had not ended when it
	// began, as far as maxTops and MaxCount.
	Subtasks int
	// Before is the moment before which the tasks were created.
	Before task.Stamp
	// IDs are the first of those that matched, and Sample how the first ones stood.
	IDs    []string
	Sample []Row
}

const (
	// sampled is how many tasks StopMany shows.
	sampled = 3
	// maxTops is of how many tasks it counts what is below.
	maxTops = 1000
)

// StopMany stops all tasks of a filter that were there when it was called and
// have not ended, newest first, so that sub-tasks come before the tasks that
// take them along. It commits in many small steps: what is done when it fails
// or is cut short stays done, and it may be repeated. A dry run stops nothing.
func (s *Service) StopMany(ctx context.Context, who Caller, f Filter, dryRun bool) (Stopped, error) {
	if now := s.store.Now() + 1; f.To == 0 || f.To > now {
		f.To = now
	}
	if err := s.settle(ctx, who.Scope, &f); err != nil {
		return Stopped{}, err
	}
	done := Stopped{IDs: []string{}, Before: f.To}
	batch, err := s.store.Open(ctx, who.Scope, f, Cursor{}, max(stopBatch, toldIDs))
	if err != nil || len(batch) == 0 {
		return done, err
	}
	for _, c := range batch[:min(len(batch), toldIDs)] {
		done.IDs = append(done.IDs, c.ID)
	}
	if done.Sample, err = s.sample(ctx, who.Scope, done.IDs[:min(len(done.IDs), sampled)]); err != nil {
		return done, err
	}
	if done.Subtasks, err = s.store.CountBelow(ctx, who.Scope, f, maxTops, MaxCount); err != nil {
		return done, err
	}
	if dryRun {
		done.Matched, err = s.store.CountOpen(ctx, who.Scope, f)
		return done, err
	}
	for len(batch) > 0 {
		batch = batch[:min(len(batch), stopBatch)]
		stopped, err := s.stopBatch(ctx, who, f, batch)
		if err != nil {
			return done, err
		}
		done.Matched += len(batch)
		done.Stopped += stopped
		if batch, err = s.store.Open(ctx, who.Scope, f, batch[len(batch)-1], stopBatch); err != nil {
			return done, err
		}
	}
	return done, nil
}

// sample shows some tasks, in their order.
func (s *Service) sample(ctx context.Context, in auth.Scope, ids []string) ([]Row, error) {
	rows, err := s.RowsOf(ctx, in, Filter{}, ids)
	slices.SortFunc(rows, func(a, b Row) int { return slices.Index(ids, a.Task.ID) - slices.Index(ids, b.Task.ID) })
	return rows, err
}

// stopBatch stops those of the tasks that still match, and returns how many
// they were.
func (s *Service) stopBatch(ctx context.Context, who Caller, f Filter, batch []Cursor) (int, error) {
	stopped := 0
	about := make([]Key, len(batch))
	for i, c := range batch {
		about[i] = Key{TaskKey, who.Organization, c.ID}
	}
	err := s.write(ctx, who.By, about, func(tx writing) error {
		stopped = 0
		for _, c := range batch {
			t, err := tx.Task(who.Organization, c.ID)
			if fault.CodeOf(err) == fault.NotFound { // deleted meanwhile
				continue
			}
			if err == nil && !who.Sees(t.Owner, t.Group) { // and made again by somebody else
				continue
			}
			if err != nil {
				return err
			}
			switch {
			case t.Ended() == task.EndStopped && t.Stop.RequestedAt == tx.Now(): // taken along by its parent
				stopped++
			case t.Ended() == "" && f.fits(t):
				if _, err := apply(tx, t, task.RequestStop{By: who.By}); err != nil {
					return err
				}
				stopped++
			}
		}
		return nil
	})
	return stopped, err
}

// fits reports whether a task that was listed still matches in what may have
// changed since.
func (f Filter) fits(t task.Task) bool {
	state := t.State()
	return (f.Status == 0 || f.Status&Among(state.Status) != 0) &&
		(f.InternalStatus == "" || state.InternalStatus != nil && f.InternalStatus == *state.InternalStatus) &&
		(f.Worker == "" || state.WorkerID != nil && f.Worker == *state.WorkerID) &&
		(!f.Asks || len(t.Open) > 0) && f.Stands.stands(t)
}
