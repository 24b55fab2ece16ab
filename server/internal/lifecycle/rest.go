package lifecycle

import (
	"context"
	"errors"
	"fmt"

	"github.com/errand-dev/errand/server/internal/fault"
)

const (
	// commitRoom is how many rows, or about as many, a commit may write for what is
	// below its task, or left of it: few enough that others get their turn at the
	// writer soon.
	commitRoom = 1000
	// visitCost is what a task counts that is stopped or deleted.
	visitCost = 20
	// visits is how many of them one question asks for. A tree of so many is stopped,
	// or deleted, in the commit of its top.
	visits = commitRoom / visitCost
	// eraseRoom is what the commit may write that deletes a task: others may delete
	// theirs in the same one.
	eraseRoom = 200
	// unfinishedBatch is how many tasks one look of GoOn takes up.
	unfinishedBatch = 100
)

// rest is what a commit has no room for: further commits go on with it. The tasks
// themselves say so in the store, so that any node can.
type rest struct {
	room int
	left []Key
}

// leave notes a task with which further commits go on.
func (tx writing) leave(org, id string) { tx.rest.left = append(tx.rest.left, Key{TaskKey, org, id}) }

// unfinishedError says that a write has to wait for the rest of an earlier one.
type unfinishedError struct{ task Key }

func (e unfinishedError) Error() string {
	return fmt.Sprintf("what was begun with task %s is not finished", e.task.ID)
}

// write is Store.Write in somebody's name. It returns when what the commit had no
// room for is done, too. If fn has to wait for the rest of an earlier write, or for the
// verdict on a result, that is done first.
func (s *Service) write(ctx context.Context, by string, about []Key, fn func(writing) error) error {
	return s.writeBy(ctx, s.store.Write, by, about, fn)
}

// way is a way into the store: Store.Write, or one that does the same.
type way func(ctx context.Context, about []Key, fn func(Tx) error) error

// writeBy is write by a way of its own.
func (s *Service) writeBy(ctx context.Context, store way, by string, about []Key, fn func(writing) error) error {
	var known verdicts
	for {
		left, err := s.commit(ctx, store, by, about, known, fn)
		var before unfinishedError
		var unjudged unjudgedError
		switch {
		case errors.As(err, &unjudged):
			known = known.judge(unjudged)
			continue
		case errors.As(err, &before):
			left = []Key{before.task}
		case err != nil || len(left) == 0:
			return err
		}
		if failed := s.goOn(ctx, left); failed != nil || err == nil {
			return failed
		}
	}
}

// commit writes once, and returns with what further commits have to go on.
func (s *Service) commit(ctx context.Context, store way, by string, about []Key, known verdicts, fn func(writing) error) (left []Key, err error) {
	seats, heard := &seats{gate: s.gate}, &hearing{book: &s.heard}
	err = store(ctx, about, func(tx Tx) error {
		seats.giveBack() // those of a run before
		heard.end(false)
		w := writing{tx, by, seats, &rest{room: commitRoom}, known, s.caps, heard}
		err := fn(w)
		left = w.rest.left
		return err
	})
	if heard.end(err == nil); err != nil {
		seats.giveBack()
	}
	return left, err
}

// goOn finishes what commits have left: in one commit after the other, however many
// callers do so.
func (s *Service) goOn(ctx context.Context, left []Key) error {
	for len(left) > 0 {
		last := len(left) - 1
		next := left[last]
		s.goingOn.Lock()
		more, err := s.commit(ctx, s.store.Write, s.node, []Key{next}, nil, func(tx writing) error {
			t, err := tx.Task(next.Organization, next.ID)
			switch {
			case fault.CodeOf(err) == fault.NotFound:
				return erase(tx, next.Organization, next.ID)
			case err == nil && t.Descent.Going:
				_, err = descend(tx, t)
			}
			return err
		})
		s.goingOn.Unlock()
		if err != nil {
			return err
		}
		left = append(left[:last], more...)
	}
	return nil
}

// GoOn finishes what other writes have begun and not finished, because their server
// has died or their caller has left: stops that are on their way to what is below a
// task, and what is left of deleted tasks. It does no harm beside who is still at it.
func (s *Service) GoOn(ctx context.Context) error {
	orgs, err := s.store.Organizations(ctx)
	if err != nil {
		return fmt.Errorf("go on: %w", err)
	}
	var errs []error
	for _, org := range orgs {
		ids, err := s.store.Unfinished(ctx, org, unfinishedBatch)
		errs = append(errs, err)
		for _, id := range ids {
			errs = append(errs, s.goOn(ctx, []Key{{TaskKey, org, id}}))
		}
	}
	return errors.Join(errs...)
}
