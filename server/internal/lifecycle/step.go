package lifecycle

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/task"
)

// NewStep is a step that an attempt commits.
type NewStep struct {
	// ID names it in its turn; Kind is what its author calls such steps, "" for nothing.
	ID, Kind string
	// Body is what came of it.
	Body json.RawMessage
	// Use is what a model has used for it, as the server has counted it; nil for nothing.
	Use *task.Use
	// Partial is what the turn has come to so far, nil for nothing: it is kept if its
	// budget ends it. Last says that it is all, and that the turn is about to end.
	Partial *string
	Last    bool
	// Side is what the attempt tells of itself: fields of task.State.
	Side json.RawMessage
	// Before are events that stand before it, at most MaxBatch, without a ClientID.
	Before []NewEvent
	// Then makes the events that follow it in the same commit, at most MaxBatch, of its
	// body as it is kept; nil for none. What carries a ClientID stands nowhere without the
	// step: of one that was known, those that are there already are left out.
	Then func(kept json.RawMessage) ([]NewEvent, error)
}

// CommitStep commits a step of the turn that an attempt holds under its lease. The
// first one of its id stands: whoever commits that id again is answered with it, and
// known is true (T8).
func (s *Service) CommitStep(ctx context.Context, org, id, token string, n NewStep) (step task.Step, known bool, err error) {
	if err := invalidToken(token); err != nil {
		return task.Step{}, false, err
	}
	n.Body = bytes.TrimSpace(Mend(n.Body))
	if err := n.check(); err != nil {
		return task.Step{}, false, err
	}
	before, err := fitting(n.Before)
	if err != nil {
		return task.Step{}, false, err
	}
	then, err := n.then()
	if err != nil {
		return task.Step{}, false, err
	}
	ctx = context.WithoutCancel(ctx) // it was done and paid for, though its sender may be gone
	var changed task.Change
	err = s.write(ctx, s.node, aboutTask(org, id), func(tx writing) error {
		t, by, err := claimed(tx, org, id, token)
		if err != nil {
			return err
		}
		first, err := stepOf(tx, t, n.ID)
		if err != nil {
			return err
		}
		if known = first != nil; known {
			step = *first
		}
		fresh, err := following(tx, t, then, known)
		if err != nil {
			return err
		}
		side, adjusted := storableSide(n.Side)
		changed, err = apply(tx, t, task.CommitStep{
			By: by, Step: task.Step{ID: n.ID, Kind: n.Kind, Body: n.Body}, Known: known, Use: n.Use, Partial: n.Partial, Last: n.Last, Side: side, Adjusted: adjusted, Before: eventsOf(before), Then: fresh,
		})
		return err
	})
	switch {
	case err != nil:
		return task.Step{}, false, err
	case changed.Refused != nil:
		return task.Step{}, false, changed.Refused
	case !known:
		step = changed.Steps[0]
	}
	return step, known, nil
}

// following are those events that follow a step and are not in the log.
func following(tx Tx, t task.Task, then []NewEvent, known bool) ([]task.Event, error) {
	if known {
		_, fresh, err := number(tx, t, then)
		return fresh, err
	}
	return eventsOf(then), nil
}

// eventsOf are new events as a log has them.
func eventsOf(events []NewEvent) []task.Event {
	all := make([]task.Event, len(events))
	for i, e := range events {
		all[i] = e.event()
	}
	return all
}

// stepOf finds a step of a task's present turn.
func stepOf(tx Tx, t task.Task, id string) (*task.Step, error) {
	if t.Steps == 0 {
		return nil, nil //nolint:nilnil // as Tx.Step
	}
	return tx.Step(t.OrganizationID, t.ID, t.Terms.Turn, id)
}

// then are the events that follow the step.
func (n NewStep) then() ([]NewEvent, error) {
	if n.Then == nil {
		return nil, nil
	}
	events, err := n.Then(n.Body)
	if err != nil {
		return nil, err
	}
	return fitting(events)
}

// fitting are events that can be kept, mended.
func fitting(events []NewEvent) ([]NewEvent, error) {
	if events = mended(events); len(events) > MaxBatch {
		return nil, fault.Field("events", "must be at most %d events", MaxBatch)
	}
	return events, checkEvents(events)
}

func (n NewStep) check() error {
	switch {
	case n.ID == "" || len(n.ID) > task.MaxID || strings.ContainsFunc(n.ID, unicode.IsControl):
		return fault.Field("id", "must be 1 to %d bytes of text without control characters", task.MaxID)
	case len(n.Kind) > task.MaxStepKind || strings.ContainsFunc(n.Kind, unicode.IsControl):
		return fault.Field("kind", "must be at most %d bytes of text without control characters", task.MaxStepKind)
	case len(n.Body) > task.MaxEvent:
		return &fault.Error{Code: fault.TooLarge, Field: "body", Message: fmt.Sprintf("must not exceed %d bytes of JSON", task.MaxEvent)}
	case len(n.Body) == 0 || !json.Valid(n.Body):
		return fault.Field("body", "must be JSON (null is allowed)")
	}
	return nil
}

// Steps lists what the attempts of a turn have committed behind an event, 0 for all,
// in the order of their commits: at most limit, or fewer when they are long.
func (s *Service) Steps(ctx context.Context, org, id string, turn int, after int64, limit int) ([]task.Step, error) {
	return s.store.Steps(ctx, org, id, turn, after, limit)
}
