package edge

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/errand-dev/errand/server/internal/dispatch"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/stream"
	"github.com/errand-dev/errand/server/internal/task"
)

// Kit is what both faces work with.
type Kit struct {
	Service   *lifecycle.Service
	Source    *stream.Source
	Desk      *dispatch.Desk
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

// UntilClosing ends a request's context when the server begins to close.
func (k *Kit) UntilClosing(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(k.Closing, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

// Stream sends a task's log behind a cursor, live, until the turn is over, the
// viewer goes, or the server closes. send renders one event; it answers false
// when nothing more is to be sent. It is the last that a handler does: a Later
// begins the stream when the handler has returned.
func (k *Kit) Stream(w http.ResponseWriter, r *http.Request, org, id string, after int64, send func(*SSE, task.Event) (bool, error)) {
	if l, ok := w.(Later); ok {
		l.Later(func() { k.stream(w, r, org, id, after, send) })
		return
	}
	k.stream(w, r, org, id, after, send)
}

// Later is a ResponseWriter that does something when its handler has returned.
// Thousands of streams wait at a time, each on its goroutine's stack, and the
// way through router and API down to a handler would double it.
type Later interface{ Later(func()) }

func (k *Kit) stream(w http.ResponseWriter, r *http.Request, org, id string, after int64, send func(*SSE, task.Event) (bool, error)) {
	ctx, cancel := k.UntilClosing(r.Context())
	defer cancel()
	out, err := StartSSE(w, r, k.WriteTimeout)
	if err != nil {
		return // the viewer has gone
	}
	for e, err := range k.Source.Follow(ctx, org, id, after, k.KeepAlive) {
		more := true
		switch {
		case errors.Is(err, stream.ErrIdle):
			err = out.KeepAlive()
		case fault.CodeOf(err) == fault.NotFound: // deleted meanwhile
			return
		case err == nil:
			more, err = send(out, e)
		}
		// A store that cannot be reached has told the log once, not for each viewer.
		if err != nil && out.Broken() == nil && fault.CodeOf(err) != fault.Unavailable {
			k.Log.ErrorContext(ctx, "stream broke off", "task_id", id, "seq", e.Seq, "error", err)
		}
		if err != nil || !more {
			return
		}
	}
}
