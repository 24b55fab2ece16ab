package lifecycle

import (
	"context"

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
	// IDs are the first of those that matched.
	IDs []string
}

// StopMany stops all tasks of a filter that were there when it was called and
// have not ended, newest first, so that sub-tasks come before the tasks that
// take them along. It commits in many small steps: what is done when it fails
// or is cut short stays done, and it may be repeated. A dry run stops nothing.
func (s *Service) StopMany(ctx context.Context, who Caller, f Filter, dryRun bool) (Stopped, error) {
	if now := s.store.Now() + 1; f.To == 0 || f.To > now {
		f.To = now
	}
	done, size := Stopped{IDs: []string{}}, stopBatch
	if dryRun {
		size = toldIDs
	}
	for behind := (Cursor{}); ; {
		batch, err := s.store.Open(ctx, who.Scope, f, behind, size)
		if err != nil || len(batch) == 0 {
			return done, err
		}
		for _, c := range batch[:min(len(batch), toldIDs-len(done.IDs))] {
			done.IDs = append(done.IDs, c.ID)
		}
		if dryRun {
			done.Matched, err = s.store.CountOpen(ctx, who.Scope, f)
			return done, err
		}
		stopped, err := s.stopBatch(ctx, who, f, batch)
		if err != nil {
			return done, err
		}
		done.Matched += len(batch)
		done.Stopped += stopped
		behind = batch[len(batch)-1]
	}
}

// stopBatch stops those of the tasks that still match, and answers how many
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
		(f.Worker == "" || state.WorkerID != nil && f.Worker == *state.WorkerID)
}
