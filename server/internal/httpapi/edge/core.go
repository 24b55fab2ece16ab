package edge

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/errand-dev/errand/server/internal/board"
	"github.com/errand-dev/errand/server/internal/dispatch"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/invoke"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/stream"
	"github.com/errand-dev/errand/server/internal/task"
)

// Core is what all faces work with.
type Core struct {
	Service   *lifecycle.Service
	Source    *stream.Source
	Turns     *invoke.Turns
	Workers   *dispatch.Workers
	Board     *board.Board
	Changes   *board.Changes
	Presenter *Presenter
	Log       *slog.Logger
	// KeepAlive is the interval of silence after which a stream gets a comment.
	KeepAlive time.Duration
	// WriteTimeout bounds each write of an answer or a stream.
	WriteTimeout time.Duration
	// ReadTimeout bounds the coming of a body, and of each piece of an upload.
	ReadTimeout time.Duration
	// Closing ends every stream properly when it ends.
	Closing context.Context //nolint:containedctx // the server's own life, not a request's
}

// UntilClosing ends the context of a request that lasts when the server begins to
// close, and, within KeepAlive, when the request would not be let in any more: its key,
// session or token is over or revoked (rule A3); with a token, at its end.
func (k *Core) UntilClosing(ctx context.Context) (context.Context, context.CancelFunc) {
	var cancel func()
	if pass := Principal(ctx).Pass; pass != nil {
		ctx, cancel = context.WithDeadline(ctx, pass.Until.Time())
	} else {
		ctx, cancel = context.WithCancel(ctx)
	}
	closing := context.AfterFunc(k.Closing, cancel)
	var look *time.Timer
	set := make(chan struct{})
	look = time.AfterFunc(k.KeepAlive, func() {
		<-set
		switch {
		case ctx.Err() != nil:
		case fault.CodeOf(Still(ctx)) == fault.Unauthenticated:
			cancel()
		default: // a store that cannot be reached says nothing of the key
			look.Reset(k.KeepAlive)
		}
	})
	close(set)
	return ctx, func() {
		closing()
		look.Stop()
		cancel()
	}
}

// View is what a viewer sees of a task's log.
type View struct {
	Organization, Task string
	// After is the number behind which the view begins.
	After int64
	// Only are the types of events that it shows; none is all of them.
	Only []task.Type
	// Send adds one event to the stream; it answers false when nothing more is to
	// be sent. The context is the stream's: that of the request ends with its handler.
	Send func(context.Context, *SSE, task.Event) (more bool, err error)
	// KeepAlive is the interval of silence after which the stream gets a comment; 0 is
	// the server's own.
	KeepAlive time.Duration
	// Unfinished says to a viewer who is still there that the stream ends before Send
	// has said so: the server closes, the store has failed, the task was deleted. Left
	// out, the stream just ends. Cut ends it as a fault.
	Unfinished func(*SSE)
	// Unfollowed is called, in a goroutine of its own, when the viewer has gone before
	// Send has said that nothing more is to be sent. Left out, that stops nothing (X2).
	Unfollowed func(context.Context)
}

// Cut cuts the connection of an answer that has begun: it must not be taken for whole.
func Cut() {
	panic(http.ErrAbortHandler) //nolint:forbidigo // net/http knows no other way
}

// unfollowed is how long nobody may follow a turn that is to be stopped then.
const unfollowed = 3 * time.Second

// OnDisconnect reads the parameter of that name, of routes that stream a turn: stop
// makes a viewer's going, when for 3 s nobody else follows the task on this node or waits for it, a
// stop of the turn (X2).
func (k *Core) OnDisconnect(r *http.Request, t invoke.Turn) (func(context.Context), error) {
	switch said := r.URL.Query().Get("on_disconnect"); said {
	case "":
		return nil, nil
	case "stop":
		who := Caller(r.Context())
		return func(ctx context.Context) {
			if err := k.Turns.StopUnfollowed(ctx, who, t, unfollowed); err != nil && ctx.Err() == nil {
				k.Log.ErrorContext(ctx, "a turn that nobody follows was not stopped", "task_id", t.Task, "error", err)
			}
		}, nil
	default:
		return nil, fault.Field("on_disconnect", "must be stop, or be left out")
	}
}

// UntilEnd waits for the end of a turn, at most so long. It returns the task as the
// turn has left it, or, when that is not over, as the task is.
func (k *Core) UntilEnd(ctx context.Context, t invoke.Turn, wait time.Duration) (s lifecycle.Snapshot, ended bool, err error) {
	open, cancel := k.UntilClosing(ctx)
	defer cancel()
	open, cancelWait := context.WithTimeout(open, wait)
	defer cancelWait()
	if err := k.Turns.Await(open, t); err != nil && open.Err() == nil {
		return s, false, err
	}
	return k.Turns.AsLeft(ctx, Scope(ctx), t)
}

// Stream sends what a view shows, live, until the turn is over, the viewer goes, or
// the server closes. It is the last that a handler does.
func (k *Core) Stream(w http.ResponseWriter, r *http.Request, v View) {
	last(w, r, (&viewing{core: k, view: v, w: w}).run)
}

// Last does what a handler does last: a Later does it when the handler has returned.
// The request that do gets has another context, which ends only when the client goes.
func Last(w http.ResponseWriter, r *http.Request, do func(*http.Request)) {
	last(w, r, func(r *http.Request) Rest {
		do(r)
		return nil
	})
}

func last(w http.ResponseWriter, r *http.Request, do func(*http.Request) Rest) {
	if l, ok := w.(Later); ok {
		l.Later(r, do)
		return
	}
	Wait(r, do)
}

// Rest has what rests woken, once, and must not wait itself.
type Rest func(wake func())

// Wait does what may rest, until it is over.
func Wait(r *http.Request, do func(*http.Request) Rest) {
	woken := make(chan struct{}, 1)
	for rest := do(r); rest != nil; rest = do(r) {
		rest(func() { woken <- struct{}{} })
		<-woken
	}
}

// Later is a ResponseWriter that does something when its handler has returned, and
// again when what that has returned wakes it, until that is nil. Thousands of streams
// wait at a time, and a goroutine each would be most of what they cost.
type Later interface {
	Later(*http.Request, func(*http.Request) Rest)
}
