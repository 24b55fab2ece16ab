package lifecycle

import (
	"context"
	"slices"

	"github.com/errand-dev/errand/server/internal/task"
)

// Ended is what became of one end of many.
type Ended struct {
	// Task is the task behind it.
	Task task.Task
	// Refused is why it does not count; nil if it does.
	Refused error
}

// FinishMany is Finish for many attempts, in one commit. Each is taken or refused for
// itself. The answers are in the order of the ends.
func (s *Service) FinishMany(ctx context.Context, org string, ends []End) ([]Ended, error) {
	done := checked(ends)
	before := slices.Clone(done)
	err := s.write(context.WithoutCancel(ctx), s.node, aboutTasks(org, ends), func(tx writing) error {
		copy(done, before) // it may be run again
		return s.finish(tx, org, ends, done)
	})
	return done, err
}

// FinishAndClaim is FinishMany and Claim in one commit: for a worker that has room
// because attempts of its own have ended. A refusal of the claim is the answer; the
// ends count all the same, unless the request names no worker or no right number of
// slots. The answer to the same ends is the same again.
func (s *Service) FinishAndClaim(ctx context.Context, who Caller, ends []End, r ClaimRequest) ([]Ended, []Claimed, error) {
	if err := r.check(); err != nil {
		return nil, nil, err
	}
	once := ctx
	if len(ends) > 0 {
		once = context.WithoutCancel(ctx) // as for Finish
	}
	done, claimed, more, err := s.finishAndClaim(once, who, ends, r)
	for err == nil && more && len(claimed) == 0 && ctx.Err() == nil { // it only came by tasks that are held
		_, claimed, more, err = s.finishAndClaim(ctx, who, nil, r)
	}
	for i, c := range claimed {
		claimed[i].TraceParent = s.traceParent(c.Task)
	}
	return done, claimed, err
}

// finishAndClaim is one commit of FinishAndClaim; more is that of handOut.
func (s *Service) finishAndClaim(
	ctx context.Context, who Caller, ends []End, r ClaimRequest,
) (done []Ended, claimed []Claimed, more bool, err error) {
	var refused error
	done = checked(ends)
	before := slices.Clone(done)
	org := who.Organization
	err = s.write(ctx, who.By, aboutTasks(org, ends), func(tx writing) error {
		claimed, more = nil, false
		copy(done, before)
		want, leases, err := wanted(tx, org, r)
		switch refused = err; {
		case Refusal(err) && len(ends) > 0:
		case err != nil:
			return err
		default: // before the ends are written: the store would have to be told them first
			if claimed, more, err = s.take(tx, want, leases); err != nil {
				return err
			}
		}
		return s.finish(tx, org, ends, done)
	})
	if err == nil {
		err = refused
	}
	return done, claimed, more, err
}

// checked refuses those ends that no task is asked for.
func checked(ends []End) []Ended {
	done := make([]Ended, len(ends))
	for i, e := range ends {
		done[i].Refused = e.check()
	}
	return done
}

// finish writes ends as a part of a larger write, but for those that were refused.
func (s *Service) finish(tx writing, org string, ends []End, done []Ended) error {
	tx.by = s.node // as for one alone
	for i, e := range ends {
		if done[i].Refused != nil {
			continue
		}
		after, refused, err := change(tx, s.self(org).Scope, e.Task, func(t task.Task) (task.Command, error) { return e.command(tx, t) })
		if err != nil && !Refusal(err) {
			return err
		}
		if err == nil {
			err = refused
		}
		done[i] = Ended{after.Task, err}
	}
	return nil
}

// aboutTasks are the keys of the tasks of ends.
func aboutTasks(org string, ends []End) []Key {
	var about []Key
	for _, e := range ends {
		about = append(about, aboutTask(org, e.Task)...)
	}
	return about
}
