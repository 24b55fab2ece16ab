// Package invoke is what all faces of the server do with a turn: ask for it, find it
// again, wait for its end, read its log, stop it. A face renders what it finds in the
// words of its protocol.
package invoke

import (
	"context"
	"iter"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/stream"
	"github.com/errand-dev/errand/server/internal/task"
)

// Turn is one turn of a task, whatever has followed since.
type Turn struct {
	Organization, Task, Agent string
	// Number counts the task's turns from 1.
	Number int
	// First is the number of its first event, task_created.
	First int64
}

// String names the turn among those of its organization: its task, a tilde, which no id
// of a task has in it, and its number.
func (t Turn) String() string { return t.Task + "~" + strconv.Itoa(t.Number) }

// ParseTurn reads what String writes.
func ParseTurn(name string) (task string, number int, ok bool) {
	task, digits, _ := strings.Cut(name, "~")
	number, err := strconv.Atoi(digits)
	return task, number, err == nil && number > 0 && strconv.Itoa(number) == digits && task != "" && utf8.ValidString(task)
}

// Asked is a turn that a request asks for.
type Asked struct {
	Turn
	// Begun is what came of the request: the task as it is now, and whether the request
	// repeats an earlier one.
	lifecycle.Begun
}

// Turns asks agents for turns and finds them. It is safe for concurrent use.
type Turns struct {
	service *lifecycle.Service
	source  *stream.Source
	idle    time.Duration
}

// NewTurns makes a Turns. Whoever waits looks at the store after each interval idle, in
// case a hint was lost.
func NewTurns(service *lifecycle.Service, source *stream.Source, idle time.Duration) *Turns {
	return &Turns{service, source, idle}
}

// Ask creates a task, or starts the next turn of one that has ended (T1). A repeat of
// an earlier submission returns that one's turn, which may not be the task's last (H3).
func (x *Turns) Ask(ctx context.Context, who lifecycle.Caller, sub lifecycle.Submission) (Asked, error) {
	begun, err := x.service.Ask(ctx, who, sub)
	if err != nil {
		return Asked{}, err
	}
	asked := Asked{last(begun.Task), begun}
	if !begun.Replayed {
		return asked, nil
	}
	number, first, err := x.service.BeganAt(ctx, begun.Task.OrganizationID, begun.Task.ID, begun.At)
	if number > 0 {
		asked.Number, asked.First = number, first
	}
	return asked, err
}

// lookAgain is how often it is asked what has become of a node that may have died.
const lookAgain = 250 * time.Millisecond

// TakeUp returns the turn of an equal create without an idempotency key whose answer was
// lost (H3), and what stands for that answer now; the zero Turn if there is none such.
func (x *Turns) TakeUp(ctx context.Context, who lifecycle.Caller, body []byte) (Turn, lifecycle.Receipt, error) {
	repeat := x.service.Repeat(who, body)
	found, unsure, err := repeat.TakeUp(ctx)
	for err == nil && unsure {
		select {
		case <-ctx.Done():
			return Turn{}, lifecycle.Receipt{}, ctx.Err()
		case <-time.After(lookAgain):
			found, unsure, err = repeat.TakeUp(ctx)
		}
	}
	if err != nil || found.TaskID == "" {
		return Turn{}, lifecycle.Receipt{}, err
	}
	number, _, err := x.service.BeganAt(ctx, who.Organization, found.TaskID, found.At)
	if err != nil {
		return Turn{}, found.Receipt, err
	}
	turn, err := x.Find(ctx, who.Scope, found.TaskID, number)
	return turn, found.Receipt, err
}

// Find returns a turn of a task that is in the scope; number 0 is its last. One that is
// not there is NotFound.
func (x *Turns) Find(ctx context.Context, in auth.Scope, id string, number int) (Turn, error) {
	t, err := x.service.Task(ctx, in, id)
	if err != nil || number == 0 || number == t.Terms.Turn {
		return last(t), err
	}
	found, err := x.service.Turns(ctx, t.OrganizationID, id, number-1, 1)
	switch {
	case err != nil:
		return Turn{}, err
	case len(found) == 0 || found[0].Number != number:
		return Turn{}, fault.New(fault.NotFound, "task %q has no turn %d", id, number)
	}
	turn := last(t)
	turn.Number, turn.First = number, found[0].FirstSeq
	return turn, nil
}

func last(t task.Task) Turn {
	return Turn{t.OrganizationID, t.ID, t.AgentID, t.Terms.Turn, t.FirstSeq}
}

// Await waits until a turn has ended; an error tells that it has not: ctx has ended, or
// the task is not there any more.
func (x *Turns) Await(ctx context.Context, t Turn) error {
	return x.source.Await(ctx, t.Organization, t.Task, t.Number, x.idle)
}

// AsLeft returns the task as the turn has left it, or as it is if the turn has not
// ended.
func (x *Turns) AsLeft(ctx context.Context, in auth.Scope, t Turn) (s lifecycle.Snapshot, ended bool, err error) {
	if s, err = x.service.Get(ctx, in, t.Task); err != nil {
		return s, false, err
	}
	if s.Task.Terms.Turn == t.Number {
		return s, s.Task.Ended() != "", nil
	}
	s, err = x.service.AsLeft(ctx, in, t.Task, t.First)
	return s, true, err
}

// read is how many events one read of a log asks for.
const read = 256

// Events yields the turn's log as it is now, in order; given types, only events of these.
// An error is yielded last.
func (x *Turns) Events(ctx context.Context, t Turn, only ...task.Type) iter.Seq2[task.Event, error] {
	return log(ctx, t, x.service.Events, only)
}

// Outline is Events with the beginnings of results.
func (x *Turns) Outline(ctx context.Context, t Turn, only ...task.Type) iter.Seq2[task.Event, error] {
	return log(ctx, t, x.service.Outline, only)
}

// reader reads a part of a task's log.
type reader func(ctx context.Context, org, id string, after int64, limit int, only ...task.Type) ([]task.Event, error)

func log(ctx context.Context, t Turn, from reader, only []task.Type) iter.Seq2[task.Event, error] {
	return func(yield func(task.Event, error) bool) {
		for after := t.First - 1; ; {
			events, err := from(ctx, t.Organization, t.Task, after, read, only...)
			if err != nil {
				yield(task.Event{}, err)
				return
			}
			for _, e := range events {
				if e.Turn != t.Number || !yield(e, nil) {
					return
				}
				after = e.Seq
			}
			if len(events) == 0 {
				return
			}
		}
	}
}

// Stop ends a turn stopped, and all that runs below it (X1). Of a turn that another has
// followed nothing is left to stop: that is a Conflict.
func (x *Turns) Stop(ctx context.Context, who lifecycle.Caller, t Turn) (lifecycle.Snapshot, error) {
	return x.service.StopTurn(ctx, who, t.Task, t.Number)
}

// StopUnfollowed stops a turn unless, when a while has passed, somebody on this node
// follows its task or waits for it, or the turn is over. It returns when that is decided;
// ctx ends the wait, and then nothing is stopped.
func (x *Turns) StopUnfollowed(ctx context.Context, who lifecycle.Caller, t Turn, while time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(while):
	}
	if x.source.Followed(t.Organization, t.Task) {
		return nil
	}
	now, err := x.service.Task(ctx, who.Scope, t.Task)
	if err == nil && now.Ended() == "" {
		_, err = x.Stop(ctx, who, t)
	}
	if fault.CodeOf(err) == fault.Conflict || fault.CodeOf(err) == fault.NotFound {
		return nil // it is over
	}
	return err
}
