package task

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/errand-dev/errand/server/internal/fault"
)

// Step is a piece of a turn's work that an attempt has done and committed. Later
// attempts of the turn find it, and need not do it again (rule T8). Its event in
// the log is the only copy of it; the store also keeps where that is.
type Step struct {
	Turn int
	// N counts the turn's steps, from 1.
	N int
	// ID names the step in its turn.
	ID string
	// Kind is what its author calls such steps, "" for nothing.
	Kind string
	// Body is what came of it, byte for byte as it was committed.
	Body json.RawMessage
	// Seq is the number of its event, At the moment of its commit.
	Seq int64
	At  Stamp
	// Attempt is the Number of the attempt that committed it.
	Attempt int
}

// stepHead is what a step's event says of it beside its body.
type stepHead struct {
	N    int    `json:"n"`
	ID   string `json:"id"`
	Kind string `json:"kind"`
}

// own is the data of the step's event. Its body is spliced, not encoded again.
func (s Step) own() (json.RawMessage, error) {
	head, err := json.Marshal(stepHead{s.N, s.ID, s.Kind})
	if err != nil {
		return nil, err
	}
	return Splice(head, bytes.Join([][]byte{[]byte(`{"body":`), s.Body, []byte(`}`)}, nil)), nil
}

// StepOf reads a step from its event.
func StepOf(e Event) (Step, error) {
	var own struct {
		stepHead
		Body json.RawMessage `json:"body"`
	}
	if err := json.Unmarshal(e.Own, &own); err != nil {
		return Step{}, fmt.Errorf("decode step: %w", err)
	}
	return Step{
		Turn: e.Turn, N: own.N, ID: own.ID, Kind: own.Kind, Body: own.Body, Seq: e.Seq, At: e.Time, Attempt: e.Author.Attempt,
	}, nil
}

// CommitStep commits a step of the attempt that holds the lease.
type CommitStep struct {
	By Writer
	// Step is what is committed: its ID, Kind and Body are taken.
	Step Step
	// Known says that the turn has a step of that id already. The first one stands.
	Known bool
	// Use is what a model has used for it, nil for nothing. Partial is as in Spend.
	Use     *Use
	Partial *string
	// Last is as in Charge.
	Last bool
	// Side is what the attempt tells of itself: fields of State.
	Side     json.RawMessage
	Adjusted []string
	// Before and Then continue the log before and behind it, as with Append; those before
	// a step that is Known are there.
	Before, Then []Event
}

func (c CommitStep) apply(d *draft) error {
	switch may := d.mayWrite(c.By); {
	case may && c.Known:
		d.append(c.Then)
		return nil
	case may:
	case c.Known: // nothing of it is lost, so nothing is logged
		return fault.New(fault.Conflict, "this attempt no longer owns the task, which is %s", d.t.state.Status)
	default:
		d.late(c.By.Attempt, "", nil)
		return nil
	}
	if len(c.Side) > 0 || len(c.Adjusted) > 0 {
		if _, err := d.tell(*d.t.Run, c.Side, nil, c.Adjusted); err != nil {
			return err
		}
		d.logState(TaskUpdated, nil)
	}
	d.append(c.Before)
	d.t.Steps++
	d.t.Again.GivenBack = 0
	s := c.Step
	s.N = d.t.Steps
	own, err := s.own()
	if err != nil {
		return err
	}
	d.add(Event{Type: StepDone, Own: own, Author: d.author})
	e := d.events[len(d.events)-1]
	s.Turn, s.Seq, s.At, s.Attempt = e.Turn, e.Seq, e.Time, e.Author.Attempt
	d.steps = append(d.steps, s)
	if c.Use != nil {
		d.use(*c.Use, "")
	}
	d.append(c.Then)
	return nil
}

// append continues the log with events of the attempt.
func (d *draft) append(events []Event) {
	for _, e := range events {
		d.add(Event{Type: e.Type, Own: e.Own, ClientID: e.ClientID, Author: d.author})
	}
}
