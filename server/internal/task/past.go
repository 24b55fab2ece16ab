package task

import (
	"encoding/json"
	"errors"
)

// Past finds out how a turn has left its task, from the turn's log. What no event
// tells (the owner, the sub-tasks) is as the task now has it.
type Past struct {
	// Task is the task as it is now.
	Task

	turn  int
	spec  json.RawMessage
	state State
	stop  Stop
	last  Event
	err   error
}

// PastTypes lists the types of events that Past looks at.
func PastTypes() []Type {
	return []Type{TaskCreated, TaskUpdated, TaskFinished, Override, StopRequested, StopConfirmed, StopAbandoned}
}

// Add adds the turn's next event, from task_created on. It reports whether the event
// is of the turn: whatever follows the first that is not is another's.
func (p *Past) Add(e Event) bool {
	if p.turn == 0 {
		p.turn = e.Turn
	}
	if e.Turn != p.turn || p.err != nil {
		return false
	}
	switch e.Type { //nolint:exhaustive // the others change nothing that a task shows
	case TaskCreated:
		p.spec, p.state = e.Kept, State{}
		p.err = p.state.Fold(e.Own)
	case TaskUpdated, TaskFinished, Override:
		p.err = p.state.Fold(e.Data())
	case StopRequested:
		p.stop = Stop{RequestedAt: e.Time, By: e.Author.By}
	case StopConfirmed:
		p.stop.ConfirmedAt = e.Time
	case StopAbandoned:
		p.stop.AbandonedAt = e.Time
	}
	p.last = e
	return true
}

// Then is the task as its turn has left it, with the JSON of the turn's Spec.
func (p *Past) Then() (Task, json.RawMessage, error) {
	if p.spec == nil && p.err == nil {
		p.err = errors.New("a turn's log does not begin with task_created")
	}
	t := p.Task
	t.state, t.Stop, t.UpdatedAt, t.LastSeq = p.state, p.stop, p.last.Time, p.last.Seq
	return t, p.spec, p.err
}
