// Package runtime is the port between the dispatcher and the ways in which
// the server itself executes an agent. Each runtime lives in a folder of its
// own below this one and is, to the rest of Errand, just another worker.
package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/errand-dev/errand/server/internal/task"
)

// Job is one run attempt of one task, as a runtime sees it.
type Job struct {
	TaskID string
	// Attempt counts the attempts of the task's turn, from 1.
	Attempt int
	Prompt  string
	Files   []File
	// TraceParent is the W3C trace context of the attempt, "" for none.
	TraceParent string
	// Task renders the task's public JSON, as GET /v1/tasks/{id} answers it:
	// its file URLs are good for a day, its secrets are not among it.
	Task func() (json.RawMessage, error)
}

// ErrLost is, in the cause of a context's end, that the attempt is not the
// runtime's any more: its lease has run out, or another attempt has begun.
// What it runs must end at once. Any other cause leaves it a few seconds.
var ErrLost = errors.New("the attempt is lost")

// Event is one entry for a task's log.
type Event struct {
	Type task.Type // a writable one (rule T6)
	Data json.RawMessage
}

// File is one file of a task. Its content is read on demand and only once per Open.
type File struct {
	// Name is the base name with its extension, for example "sales.csv".
	Name string
	// Open starts reading. The caller closes the reader. The reader fails when ctx ends.
	Open func(ctx context.Context) (io.ReadCloser, error)
}

// Reporter carries what a runtime says while it works into the task's log.
// Its methods return once the report is durable; they fail when the attempt
// has been stopped, paused or superseded, and the runtime should then return.
type Reporter interface {
	// Progress sets the task's internal status, at most 255 code points.
	Progress(ctx context.Context, status string) error
	// Chunk appends a piece of the result text, at most 256 KiB as JSON.
	Chunk(ctx context.Context, text string) error
	// Events appends events in order, at most 1000, each at most 256 KiB of
	// data. While the store cannot write it waits.
	Events(ctx context.Context, events []Event) error
}

// Runner executes jobs. It is called concurrently, once per running attempt,
// and must return soon after ctx ends. The returned text is the task's result.
// An error that wraps a *Failure ends the task failed (the agent could not do
// it); one that wraps a *Later gives it back; any other error ends it with status
// error (the platform could not).
type Runner interface {
	Run(ctx context.Context, job Job, report Reporter) (string, error)
}

// Later is the error of an agent that cannot do the task now: the attempt is given
// back, and does not count.
type Later struct { //nolint:errname // as Failure
	// Reason says for people what was in the way.
	Reason string
	// Delay is how long no other attempt begins.
	Delay time.Duration
}

func (l *Later) Error() string { return l.Reason }

// Failure is the error of an agent that could not do what was asked.
type Failure struct { //nolint:errname // a failure is one of the ends of a task, and is called so everywhere
	// Message tells the user what was wrong and what to do.
	Message string
}

func (f *Failure) Error() string { return f.Message }
