package lifecycle

import (
	"context"
	"slices"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/task"
)

// Give keeps what an attempt gives its agent of the turn's files, in one commit, under
// the attempt's lease: in place of what an earlier attempt has given of them (O3). What
// holds it has to be there; if some of it is not, or not any more, there is nothing
// kept, and missing are the ids of that.
func (s *Service) Give(ctx context.Context, org, id, token string, list []task.Given) (missing []string, err error) {
	if err := invalidToken(token); err != nil {
		return nil, err
	}
	var contents []string
	for _, g := range list {
		contents = append(contents, g.Contents()...)
	}
	slices.Sort(contents)
	contents = slices.Compact(contents)
	var changed task.Change
	err = s.write(ctx, s.node, aboutTask(org, id), func(tx writing) error {
		t, by, err := claimed(tx, org, id, token)
		if err != nil {
			return err
		}
		there, err := tx.Files(org, contents)
		if err != nil {
			return err
		}
		missing = slices.DeleteFunc(slices.Clone(contents), func(id string) bool { return slices.Contains(there, id) })
		if len(missing) > 0 {
			return nil
		}
		changed, err = apply(tx, t, task.Give{By: by, Files: list})
		if err != nil || changed.Refused != nil {
			return err
		}
		for _, file := range contents {
			if err := tx.PutUse(t, file); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = changed.Refused
	}
	return missing, err
}

// Given lists what was given of a turn's files whose numbers are higher than one, in
// order: at most limit, or fewer when they are long.
func (s *Service) Given(ctx context.Context, org, id string, turn, after, limit int) ([]task.Given, error) {
	return s.store.Given(ctx, org, id, turn, after, limit)
}

// GivenOf reads what was given of a file of a turn, by its number.
func (s *Service) GivenOf(ctx context.Context, org, id string, turn, number int) (task.Given, error) {
	found, err := s.store.Given(ctx, org, id, turn, number-1, 1)
	if err != nil {
		return task.Given{}, err
	}
	if len(found) == 0 || found[0].Number != number {
		return task.Given{}, fault.New(fault.NotFound, "the agent was given nothing of such a file")
	}
	return found[0], nil
}
