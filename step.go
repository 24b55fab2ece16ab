package errand

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"sync"
	"time"
)

// CommittedStep is a piece of a turn's work that an attempt has done and committed.
type CommittedStep struct {
	// ID names the step in its turn, and N counts the turn's steps, from 1.
	ID string `json:"id"`
	N  int    `json:"n"`
	// Kind is what its author calls such steps, "" for nothing.
	Kind string `json:"kind"`
	// Body is what came of it.
	Body json.RawMessage `json:"body"`
	// Turn is the turn, and Attempt the attempt that committed it, as Author.Attempt
	// of its event, whose ID is EventID.
	Turn    int       `json:"turn"`
	Attempt int       `json:"attempt"`
	EventID int64     `json:"event_id"`
	Time    time.Time `json:"time"`
}

// Steps yields what the attempts of a task's turn have committed, in that order; 0 is
// the present turn. An error is yielded last.
func (t *Tasks) Steps(ctx context.Context, id string, turn int) iter.Seq2[CommittedStep, error] {
	return parts[CommittedStep](ctx, t.c, taskPath(id)+"/steps", ofTurn(turn))
}

// Step does a piece of work whose outcome no later attempt of the turn is to pay for
// again. If an attempt has committed a step of that id, Step returns what that one
// did, as JSON. Otherwise it calls do, commits what do returns, and returns that once
// the server has it: everything that was told before stands before it in the log. An
// error of do is returned as it is, and commits nothing.
//
// Ids are of your own, 1 to 128 bytes, and name the step in its turn; the next turn
// begins without steps. What do answers is at most MaxEvent bytes: keep what is longer
// elsewhere, and commit where. If the process dies in do, or before the commit has
// arrived, the next attempt calls do again. Calls with one id wait for one another,
// so do runs once in an attempt; others run side by side. What do has done is
// committed even if ctx ends meanwhile, as long as that takes no longer than a second.
//
// Once is Step for values of any type.
func (a *Attempt) Step(ctx context.Context, id string, do func(ctx context.Context) (json.RawMessage, error)) (json.RawMessage, error) {
	mine := a.steps.of(id)
	if err := mine.take(ctx); err != nil {
		return nil, err
	}
	defer mine.give()
	if body, known, err := a.known(ctx, id); known || err != nil {
		return body, err
	}
	body, err := do(ctx)
	if err != nil {
		return nil, err
	}
	if len(body) == 0 {
		body = json.RawMessage("null")
	}
	if !json.Valid(body) {
		return nil, fmt.Errorf("step %s: what it answers is no JSON", id)
	}
	return a.commit(ctx, id, body)
}

// Once is Attempt.Step for values of any type that encodes as JSON: it answers the
// value as it reads back, so that it is the same in each attempt.
//
//	receipt, err := errand.Once(ctx, a, "charge", func(ctx context.Context) (Receipt, error) {
//		return bank.Charge(ctx, order)
//	})
func Once[T any](ctx context.Context, a *Attempt, id string, do func(ctx context.Context) (T, error)) (T, error) {
	var done T
	body, err := a.Step(ctx, id, func(ctx context.Context) (json.RawMessage, error) {
		value, err := do(ctx)
		if err != nil {
			return nil, err
		}
		return json.Marshal(value)
	})
	if err != nil {
		return done, err
	}
	if err := json.Unmarshal(body, &done); err != nil {
		return done, fmt.Errorf("read what step %s has done: %w", id, err)
	}
	return done, nil
}

// steps are what an attempt knows of its turn's steps.
type steps struct {
	reading slot

	mu     sync.Mutex
	slots  map[string]slot // by the steps' ids
	read   bool
	bodies map[string]json.RawMessage
}

func newSteps() *steps {
	return &steps{reading: make(slot, 1), slots: map[string]slot{}, bodies: map[string]json.RawMessage{}}
}

// slot is one's at a time.
type slot chan struct{}

func (s slot) take(ctx context.Context) error {
	select {
	case s <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s slot) give() { <-s }

// of is the slot of a step.
func (s *steps) of(id string) slot {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.slots[id] == nil {
		s.slots[id] = make(slot, 1)
	}
	return s.slots[id]
}

func (s *steps) find(id string) (body json.RawMessage, known, all bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, known = s.bodies[id]
	return body, known, s.read
}

func (s *steps) keep(committed ...CommittedStep) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range committed {
		s.bodies[c.ID] = c.Body
	}
}

// known finds a step that was committed. What earlier attempts have committed is read
// once; the first attempt of a turn has none before it.
func (a *Attempt) known(ctx context.Context, id string) (body json.RawMessage, known bool, err error) {
	body, known, all := a.steps.find(id)
	if known || all || a.Number <= 1 {
		return body, known, nil
	}
	if err := a.steps.reading.take(ctx); err != nil {
		return nil, false, err
	}
	defer a.steps.reading.give()
	if body, known, all = a.steps.find(id); known || all {
		return body, known, nil
	}
	err = a.lease.persist(ctx, func() error {
		for c, err := range a.lease.tasks.Steps(ctx, a.Task.ID, 0) {
			if err != nil {
				return err
			}
			a.steps.keep(c)
		}
		return nil
	})
	if err != nil {
		return nil, false, fmt.Errorf("read the steps of earlier attempts: %w", err)
	}
	a.steps.mu.Lock()
	a.steps.read = true
	a.steps.mu.Unlock()
	body, known, _ = a.steps.find(id)
	return body, known, nil
}

// commit commits a step behind all that was told before it.
func (a *Attempt) commit(ctx context.Context, id string, body json.RawMessage) (json.RawMessage, error) {
	ctx, done := outlast(ctx, parting)
	defer done()
	if err := a.out.flush(ctx); err != nil {
		return nil, err
	}
	committed, err := a.lease.commit(ctx, id, mend(body))
	if errors.Is(err, ErrConflict) {
		signal(a.lease.nudge) // the answer to a heartbeat says why
	}
	if err != nil {
		return nil, fmt.Errorf("commit step %s: %w", id, err)
	}
	a.steps.keep(committed)
	return committed.Body, nil
}

// commit commits a step and tries until ctx ends. The server answers the first one of
// its id, whichever request brought it.
func (l *lease) commit(ctx context.Context, id string, body json.RawMessage) (CommittedStep, error) {
	var committed CommittedStep
	used := l.spent()
	err := l.persist(ctx, func() error {
		return l.write(func() error {
			return l.tasks.c.call(ctx, request{
				method: http.MethodPost, path: taskPath(l.task) + "/steps", repeat: true,
				body: struct {
					LeaseToken string          `json:"lease_token"`
					ID         string          `json:"id"`
					Body       json.RawMessage `json:"body"`
					spending
				}{l.token, id, body, used},
			}, &committed)
		})
	})
	l.tell(used, err)
	return committed, err
}

// outlast is a context that ends so long after ctx has.
func outlast(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	lasting, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		sleep(lasting, d)
		cancel(context.Cause(ctx))
	})
	return lasting, func() { stop(); cancel(nil) }
}
