package lifecycle

import (
	"context"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/task"
)

// AwaitOutput refuses an output file whose writer may not write it, before its content
// is read. It renews the lease (O1).
func (s *Service) AwaitOutput(ctx context.Context, who Caller, id, token string) error {
	_, err := s.change(ctx, who, id, func(tx writing, t task.Task) (task.Command, error) {
		by, err := who.writer(tx, t, token)
		return task.WriteOutput{By: by}, err
	})
	return err
}

// WriteOutput keeps a file, whose content is there, as an output of the turn, in place
// of the one of its name; known says that there was one. The same file under the same
// name is answered as it was written at first. It needs the attempt's lease, or a
// writer who stands for the holder, as an event does (O1, T6).
func (s *Service) WriteOutput(ctx context.Context, who Caller, id, token string, o task.Output) (written task.Output, known bool, err error) {
	ctx = context.WithoutCancel(ctx) // it was brought whole, though its sender may be gone
	var changed task.Change
	err = s.write(ctx, who.By, aboutTask(who.Organization, id), func(tx writing) error {
		before, err := find(tx.Tx, who.Scope, id)
		if err != nil {
			return err
		}
		t := before.Task
		by, err := who.writer(tx, t, token)
		if err != nil {
			return err
		}
		c := task.WriteOutput{By: by, Output: &o}
		if c.Before, err = tx.Output(t.OrganizationID, t.ID, t.Terms.Turn, o.Name); err != nil {
			return err
		}
		if known = c.Before != nil; known {
			written = *c.Before
		} else if err := roomForOutput(tx, t); err != nil {
			return err
		}
		changed, err = apply(tx, t, c)
		return err
	})
	switch {
	case err != nil:
		return task.Output{}, false, err
	case changed.Refused != nil:
		return task.Output{}, false, changed.Refused
	case len(changed.Outputs) > 0:
		written = changed.Outputs[0]
	}
	return written, known, nil
}

// writer is who shows a lease's token, or who stands for the holder where none exists.
func (c Caller) writer(tx Tx, t task.Task, token string) (task.Writer, error) {
	if token == "" {
		return c.unfenced(t), nil
	}
	return fenced(tx, t, token)
}

func roomForOutput(tx Tx, t task.Task) error {
	n, err := tx.CountOutputs(t.OrganizationID, t.ID, t.Terms.Turn)
	if err == nil && n >= task.MaxOutputs {
		err = fault.Field("name", "the turn has %d output files, which is the most", task.MaxOutputs)
	}
	return err
}

// Outputs lists the output files of a turn, of all turns with 0, behind an event, 0
// for all, in the order in which they were written.
func (s *Service) Outputs(ctx context.Context, org, id string, turn int, after int64, limit int) ([]task.Output, error) {
	return s.store.Outputs(ctx, org, id, turn, after, limit)
}

// Output reads an output file by its name, of the newest turn that has one with 0.
func (s *Service) Output(ctx context.Context, org, id string, turn int, name string) (task.Output, error) {
	o, err := s.store.Output(ctx, org, id, turn, name)
	switch {
	case err != nil:
		return task.Output{}, err
	case o == nil:
		return task.Output{}, fault.New(fault.NotFound, "the task has no output %q", name)
	}
	return *o, nil
}
