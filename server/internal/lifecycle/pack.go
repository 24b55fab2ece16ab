package lifecycle

import (
	"context"
	"errors"
	"fmt"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/task"
)

const (
	// packLook is how many logs one look at an organization takes up, and packRows how
	// many rows of one a commit: others write in between.
	packLook = 100
	packRows = 500
)

// PackLogs lets the logs of turns that are over take less room, in place: whoever reads
// one finds the same events under the same numbers, at any moment (D1). It is done in
// small commits, which wait for events like others of these.
func (s *Service) PackLogs(ctx context.Context) error {
	orgs, err := s.store.Organizations(ctx)
	if err != nil {
		return fmt.Errorf("pack logs: %w", err)
	}
	var errs []error
	for _, org := range orgs {
		for more := true; more && ctx.Err() == nil; {
			ids, err := s.store.Unpacked(ctx, org, packLook)
			failed := false
			for _, id := range ids {
				err := s.packLog(ctx, org, id)
				errs, failed = append(errs, err), failed || err != nil
			}
			errs = append(errs, err)
			more = len(ids) == packLook && !failed // else the same would be found again
		}
	}
	return errors.Join(errs...)
}

// packLog packs the log of one task.
func (s *Service) packLog(ctx context.Context, org, id string) error {
	for more := true; more; {
		err := s.write(Long(ctx, packRows), s.node, aboutTask(org, id), func(tx writing) error {
			more = false
			t, err := tx.Task(org, id)
			if fault.CodeOf(err) == fault.NotFound || err == nil && !t.Packable() {
				return nil
			}
			if err != nil {
				return err
			}
			to, err := tx.Pack(org, id, t.Packed, packRows)
			if err != nil {
				return err
			}
			after, err := apply(tx, t, task.Pack{To: to})
			more = after.Task.Packable() && to > t.Packed
			return err
		})
		if err != nil {
			return fmt.Errorf("pack the log of task %s: %w", id, err)
		}
	}
	return nil
}
