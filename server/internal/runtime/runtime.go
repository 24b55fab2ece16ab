// Package runtime is the port between the dispatcher and the ways in which
// the server itself executes an agent. Each runtime lives in a folder of its
// own below this one and is, to the rest of Errand, just another worker.
package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"time"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/task"
)

// Attempt is one run attempt of one task, as a runtime sees it: what is asked, and
// the journal in which it writes. Its functions may be called concurrently.
type Attempt struct {
	Organization string
	TaskID       string
	// Turn is the number of the task's turn, and Number counts the attempts of that;
	// both from 1.
	Turn, Number int
	// Spec is what the turn was asked, without its secrets, and State the rest of
	// the task as it was when the attempt began.
	Spec  task.Spec
	State task.State
	// Files are those of the turn, attachments among them.
	Files []File
	// TraceParent is the W3C trace context of the attempt, "" for none.
	TraceParent string
	// Models is how a program of the attempt asks models through the server, nil for
	// not at all.
	Models *Models

	// Agent reads the agent in the version that the task asks for.
	Agent func(ctx context.Context) (agent.Agent, error)
	// Earlier reads the task's turns before this one, from the first.
	Earlier func(ctx context.Context) iter.Seq2[Turn, error]
	// Past reads one of them as a whole, given its number.
	Past func(ctx context.Context, turn int) (Past, error)
	// Written reads the turn's outputs.
	Written func(ctx context.Context) ([]File, error)
	// Task renders the task's public JSON, as GET /v1/tasks/{id} answers it:
	// its file URLs are good for a day, its secrets are not among it.
	Task func(ctx context.Context) (json.RawMessage, error)

	Journal
}

// Models is how models are asked through the server (rule B2).
type Models struct {
	// URL is the server's, and Token what stands for a provider's key.
	URL, Token string
	// Providers are those that it has accounts at.
	Providers []string
}

// Prompt is the text of what the turn was asked.
func (a *Attempt) Prompt() string {
	if a.Spec.Input.Text == nil {
		return ""
	}
	return *a.Spec.Input.Text
}

// Turn is an earlier turn of a task: what was asked and what came of it.
type Turn struct {
	Number int
	Prompt string
	// Result is "" for none.
	Result string
	// Answers says that it brings what came of the calls that the turn before has left
	// open (rule T10).
	Answers bool
}

// Past is an earlier turn as a whole: what it was asked, as it was left, what its agent
// was given of files, and what its attempts have committed, in that order.
type Past struct {
	Spec  task.Spec
	State task.State
	Given []Given
	Steps []task.Step
}

// ErrLost is, in the cause of a context's end, that the attempt is not the
// runtime's any more: its lease has run out, or another attempt has begun.
// What it runs must end at once. Any other cause leaves it a few seconds.
var ErrLost = errors.New("the attempt is lost")

// ErrStopped is, in the cause of a context's end, that the turn is over: it was stopped, or
// has ended otherwise than by the attempt. What was begun for it elsewhere is to end, too.
var ErrStopped = errors.New("the turn was stopped")

// ErrWaiting is the error of a runtime whose attempt is over because it has given its
// task up: the next attempt of the turn begins when what it waits for has come.
var ErrWaiting = errors.New("the task waits, and its next attempt goes on")

// Wait is what an attempt gives its task up for (rule S9).
type Wait struct {
	// Approvals and SubTasks are the ids of what has not come. With Any the first is
	// enough.
	Approvals, SubTasks []string
	Any                 bool
	// Until is when it waits no longer, 0 for never.
	Until task.Stamp
	// Usage is what the attempt has used until now.
	Usage Usage
}

// SubTask is what an attempt has another agent do.
type SubTask struct {
	Agent, Prompt, Title string
}

// Below is a sub-task as it is now.
type Below struct {
	ID string
	// Ended is how it has ended, "" while it has not. Gone says that it was deleted.
	Ended  task.EndReason
	Gone   bool
	Result string
}

// Event is one entry for a task's log.
type Event struct {
	Type task.Type // a writable one (rule T6)
	Data json.RawMessage
	// ClientID makes sure that the turn's log has the event once, whichever of its
	// attempts write it; "" for any number of times.
	ClientID string
}

// File is one file of a task. Its content is read on demand and only once per Open.
type File struct {
	// Name is the base name with its extension, for example "sales.csv".
	Name string
	// Open starts reading. The caller closes the reader. The reader fails when ctx ends.
	Open func(ctx context.Context) (io.ReadCloser, error)
}

// Given is what an agent is given of a file, with what holds it.
type Given struct {
	task.Given
	// Content is the text, "" for none. Pictures are those of the parts, by their places,
	// nil for parts that are none. Given has the ids of neither until it is kept.
	Content  string
	Pictures [][]byte
}

// Previewer is a runner that tells beforehand what an agent would be given of a file,
// which it reads for that. What is wrong with the file is told in what it returns.
type Previewer interface {
	Preview(ctx context.Context, who agent.Agent, f File) (Given, error)
}

// Journal is what an attempt has written down, and writes, under its lease. Its
// methods return once what they wrote is durable; while the store cannot write they
// wait. They fail when the attempt has been stopped, paused or superseded, and the
// runtime should then return.
type Journal interface {
	// Progress sets the task's internal status, at most 255 code points.
	Progress(ctx context.Context, status string) error
	// Chunk appends a piece of the result text, at most 256 KiB as JSON.
	Chunk(ctx context.Context, text string) error
	// Events appends events in order, at most 1000, each at most 256 KiB of data.
	Events(ctx context.Context, events []Event) error
	// Steps reads what the attempts of the turn have committed, in that order.
	Steps(ctx context.Context) ([]task.Step, error)
	// Commit commits a step (its ID, Kind and Body), after everything that was
	// written before. The first one of its id in the turn stands, and is answered.
	Commit(ctx context.Context, step task.Step) (task.Step, error)
	// Output keeps a file, read from its beginning, as an output of the turn: in place
	// of the one of its name, at most 1 GiB (rule O1). The name is made fit, which what
	// is answered shows.
	Output(ctx context.Context, name string, content io.ReadSeeker) (task.Output, error)
	// Give keeps what the agent is given of some of the turn's files, in place of what an
	// earlier attempt has kept of them (rule O3).
	Give(ctx context.Context, list []Given) error
	// Given reads what is kept so of the turn, in the order of the files.
	Given(ctx context.Context) ([]Given, error)
	// MaySpend is asked before each call of a model, whose price may be known. It fails
	// with a conflict if the attempt is over or its budget is used up, and with an
	// invalid if the budget needs a price.
	MaySpend(ctx context.Context, priced bool) error
	// Spend counts what a call of a model has used of which no step tells. id names the
	// call in the turn.
	Spend(ctx context.Context, id string, paid Paid) error
	// CommitWith is Commit with what belongs to the step.
	CommitWith(ctx context.Context, step task.Step, with With) (task.Step, error)
	// Ask asks people something, or returns what has become of it since: the first one
	// of its key in the turn stands. It does not wait (rule S10).
	Ask(ctx context.Context, q task.Asked) (task.Approval, error)
	// Approvals reads what the attempts of the turn have asked, in that order.
	Approvals(ctx context.Context) ([]task.Approval, error)
	// SubTask has another agent do something, once for each key of the turn, and returns
	// the sub-task as it is now. It does not wait.
	SubTask(ctx context.Context, key string, s SubTask) (Below, error)
	// Await gives the task up until something has come, after everything that was
	// written before. If it has not, the attempt is over: it returns ErrWaiting, which
	// the runtime returns. It returns nil if it has come already.
	Await(ctx context.Context, w Wait) error
	// Offer holds a result against the schema that the task asks for, before the
	// attempt ends with it: it returns what does not follow, in words for whoever is
	// to repair it. It returns none if the attempt may end with the result as it is,
	// and counts each other time: the agent says how many there may be (rule S8).
	Offer(ctx context.Context, result string) (wrong []string, err error)
}

// Paid is what the use of a model has cost and brought.
type Paid struct {
	Use task.Use
	// Partial is what the turn has come to by it, "" for nothing: the result, if its
	// budget ends the task.
	Partial string
	// Last says that it is all, and that the turn is about to end with it.
	Last bool
}

// Outcome is how an attempt ended that the platform did not fail.
type Outcome struct {
	// Reason is task.EndCompleted, or why the agent could not do it: task.EndFailed,
	// EndSchemaMismatch or EndBudget.
	Reason task.EndReason
	Result string
	// Open are calls of the caller's tools with which a completed turn ends: the next
	// one brings what came of them (rule T10).
	Open []task.OpenCall
	Usage
}

// With is what is committed together with a step.
type With struct {
	// Before are events that stand before it, at most 1000.
	Before []Event
	// Paid is what a model has used for it, nil for nothing.
	Paid *Paid
	// Then makes the events that follow it, at most 1000, of its body as it is kept; nil
	// for none. It is called before anything is written.
	Then func(kept json.RawMessage) ([]Event, error)
}

// Usage is what an attempt has used.
type Usage struct {
	// Tokens are a model's, nil for none.
	Tokens *task.Tokens
	// Tools are the names of tools, each once.
	Tools []string
}

// Completed is the outcome of a task that was done.
func Completed(result string) Outcome { return Outcome{Reason: task.EndCompleted, Result: result} }

// Failed is the outcome of an agent that could not do what was asked: the message
// tells the user what was wrong and what to do.
func Failed(message string) Outcome { return Outcome{Reason: task.EndFailed, Result: message} }

// Runner executes attempts. It is called concurrently, once per running attempt,
// and must return soon after ctx ends. An error that wraps a *Later gives the task
// back; any other error ends it with status error (the platform could not). Of the
// outcome only the usage counts then.
type Runner interface {
	Run(ctx context.Context, a *Attempt) (Outcome, error)
}

// Later is the error of an agent that cannot do the task now: the attempt is given
// back, and does not count.
type Later struct { //nolint:errname // it is what happens, not what is wrong
	// Reason says for people what was in the way.
	Reason string
	// Delay is how long no other attempt begins.
	Delay time.Duration
}

func (l *Later) Error() string { return l.Reason }
