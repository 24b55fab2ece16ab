package lifecycle

import (
	"context"
	"encoding/json"
	"time"

	"github.com/errand-dev/errand/server/internal/task"
)

const (
	// beatAfter is how much later than a claim, or the end of its stream, a sign
	// of life must come to prove that a worker lives on: one may have been under
	// way when it was told to terminate, or killed.
	beatAfter = 200 * time.Millisecond
	// trustAfter is when a worker that has never sent a heartbeat is believed
	// because its stream is still open.
	trustAfter = 2 * time.Second
)

// EmptyEnd is a Python worker's word that an attempt is completed, without
// a result: it says the same of what it has not finished when it is told to
// terminate (rule L7).
type EmptyEnd struct {
	Organization, Agent, Worker string
	// Number is the attempt's.
	Number int
	At     task.Stamp
}

// EmptyEndOf reports whether a PATCH is such a claim about the attempt that
// runs, nil if it is not.
func (s *Service) EmptyEndOf(ctx context.Context, who Caller, id string, fields map[string]json.RawMessage) (*EmptyEnd, error) {
	p, _, err := readPatch(fields)
	if err != nil || !p.Full || p.Status != task.Completed || !isNull(fields["result"]) {
		return nil, nil //nolint:nilerr,nilnil // Patch tells what is wrong with it
	}
	t, err := s.Task(ctx, who.Scope, id)
	if err != nil {
		return nil, nil //nolint:nilerr,nilnil // and that there is no such task
	}
	run := t.Run
	current := p.Number < 0 || p.Number >= t.State().ExecutionAttempts
	if t.Ended() != "" || t.Earlier != nil || !current || !run.Live() || run.Fenced || !run.Started() {
		return nil, nil //nolint:nilnil // nil is the documented answer
	}
	return &EmptyEnd{
		Organization: t.OrganizationID, Agent: t.AgentID, Worker: run.WorkerID, Number: run.Number, At: s.store.Now(),
	}, nil
}

// LivesOn reports whether the claim's worker, or the heir that it has become,
// has been heard long enough after the claim.
func (s *Service) LivesOn(ctx context.Context, c EmptyEnd) (bool, error) {
	known, err := s.store.SiblingsOf(ctx, c.Organization, c.Worker)
	if err != nil {
		return false, err
	}
	now := s.store.Now()
	quiet, open := true, false // of those that the worker may be
	for _, w := range known {
		if w.ID != c.Worker && !kin(known).mayBe(w, c.Worker, now) {
			continue
		}
		if w.LastBeat >= c.At.Add(beatAfter) {
			return true, nil
		}
		quiet, open = quiet && w.LastBeat == 0, open || w.Connected
	}
	return quiet && open && now >= c.At.Add(trustAfter), nil
}

// Unproven gives up the attempt of a claim that was not proven.
func (s *Service) Unproven(ctx context.Context, who Caller, id string, c EmptyEnd) (Snapshot, error) {
	var after Snapshot
	err := s.write(ctx, who.By, aboutTask(who.Organization, id), func(tx writing) error {
		var err error
		counts := false
		after, _, err = change(tx, who.Scope, id, func(t task.Task) (task.Command, error) {
			counts = t.Run != nil && t.Run.Number == c.Number && !t.Run.Reported
			return task.Lose{
				Number: c.Number, Over: true, Reason: "its worker said that it was completed, without a result, and was not heard again",
			}, nil
		})
		if err != nil || !counts {
			return err
		}
		return reported(tx, who.Organization, c.Worker)
	})
	return after, err
}
