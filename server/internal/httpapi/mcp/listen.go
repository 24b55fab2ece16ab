package mcp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/invoke"
	"github.com/errand-dev/errand/server/internal/stream"
	"github.com/errand-dev/errand/server/internal/task"
)

const (
	// listen is the method with which clients ask to be told of changes. Of the SDK's own
	// notifications there are none here, and it knows no tasks.
	listen = "subscriptions/listen"
	// mostListened is how many tasks a stream tells of.
	mostListened = 100
)

// listens reports whether a message asks to be told of tasks.
func (m *message) listens() bool {
	return m.Method == listen && m.Params.Notifications.TaskIDs != nil
}

// listen tells a client what becomes of tasks, as tasks/get would, until all of them have
// ended, the client goes or the server closes. Of what is not there it tells nothing:
// the first message says of which tasks it does.
func (f *face) listen(w http.ResponseWriter, r *http.Request, m *message) {
	if !m.tasks() {
		f.refuse(w, m, missingTasks())
		return
	}
	var x examined
	f.plain.ServeHTTP(&x, r.WithContext(context.WithValue(r.Context(), examinedKey{}, &x)))
	if !x.passed.Load() {
		x.answer(w)
		return
	}
	turns, err := f.listened(r.Context(), m.Params.Notifications.TaskIDs)
	if err != nil {
		f.refuse(w, m, f.rpcError(r.Context(), err))
		return
	}
	edge.Last(w, r, func(r *http.Request) { f.tell(w, r, m.ID, turns) })
}

// listened finds the turns that ids name, each once.
func (f *face) listened(ctx context.Context, raw json.RawMessage) (turns []invoke.Turn, err error) {
	var ids []string
	if err := json.Unmarshal(raw, &ids); err != nil {
		return nil, fault.Field("notifications.taskIds", "must be a list of texts")
	}
	if len(ids) > mostListened {
		return nil, fault.Field("notifications.taskIds", "must not have more than %d ids", mostListened)
	}
	known := map[string]bool{}
	for _, id := range ids {
		t, err := f.find(ctx, id)
		switch {
		case fault.CodeOf(err) == fault.NotFound:
		case err != nil:
			return nil, err
		case !known[t.String()]:
			known[t.String()] = true
			turns = append(turns, t)
		}
	}
	return turns, nil
}

// notification is a message that wants no answer.
type notification struct {
	Version string `json:"jsonrpc"`
	Method  string `json:"method"`
	Params  any    `json:"params"`
}

// subscription says to which request a message of a stream belongs.
type subscription struct {
	Meta struct {
		ID json.RawMessage `json:"io.modelcontextprotocol/subscriptionId"`
	} `json:"_meta"`
}

// tell sends what becomes of turns.
func (f *face) tell(w http.ResponseWriter, r *http.Request, id json.RawMessage, turns []invoke.Turn) {
	ctx, cancel := f.UntilClosing(r.Context())
	defer cancel()
	out, err := edge.StartSSE(w, r, f.WriteTimeout)
	if err != nil {
		return
	}
	var of subscription
	of.Meta.ID = id
	send := func(m any) error {
		data, err := json.Marshal(m)
		return errors.Join(err, out.Event(0, "message", data))
	}
	agreed := struct {
		subscription
		Notifications struct {
			TaskIDs []string `json:"taskIds"`
		} `json:"notifications"`
	}{subscription: of}
	agreed.Notifications.TaskIDs = []string{}
	for _, t := range turns {
		agreed.Notifications.TaskIDs = append(agreed.Notifications.TaskIDs, t.String())
	}
	err = send(notification{"2.0", "notifications/subscriptions/acknowledged", agreed})
	changes, broken := f.changes(ctx, turns)
	for open := true; open && err == nil; {
		select {
		case d, more := <-changes:
			if open = more; more {
				err = send(notification{"2.0", "notifications/tasks", struct {
					subscription
					detail
				}{of, d}})
			}
		case <-time.After(f.KeepAlive):
			err = out.KeepAlive()
		}
	}
	cancel()
	for range changes { // whoever has something to tell is not kept waiting
	}
	switch {
	case err != nil: // the client has gone
	case broken() != nil: // it asks again
		f.Log.ErrorContext(r.Context(), "stream broke off", "error", broken())
		edge.Cut()
	default:
		_ = send(struct { // it is the last that is said
			Version string          `json:"jsonrpc"`
			ID      json.RawMessage `json:"id"`
			Result  any             `json:"result"`
		}{"2.0", id, struct {
			subscription
			Type string `json:"resultType"`
		}{of, complete}})
	}
}

// changes yields turns as they are, and then whenever that has changed, until all have
// ended or ctx has. broken tells, after that, why it ended before.
func (f *face) changes(ctx context.Context, turns []invoke.Turn) (changes <-chan detail, broken func() error) {
	ctx, cancel := context.WithCancelCause(ctx)
	told := make(chan detail)
	var watching sync.WaitGroup
	for _, t := range turns {
		watching.Go(func() {
			err := f.watch(ctx, t, told)
			if err != nil && ctx.Err() == nil && fault.CodeOf(err) != fault.NotFound { // what was deleted is over
				cancel(err)
			}
		})
	}
	go func() {
		watching.Wait()
		cancel(nil)
		close(told)
	}()
	return told, func() error {
		if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
			return err
		}
		return nil
	}
}

// watch tells how a turn is, and whenever that has changed, until it has ended.
func (f *face) watch(ctx context.Context, t invoke.Turn, told chan<- detail) error {
	var last []byte
	tell := func() (seen, error) {
		s, err := f.look(ctx, t)
		if err != nil {
			return s, err
		}
		d, err := f.detailed(ctx, s)
		if now := d.essence(); err == nil && !bytes.Equal(now, last) {
			last = now
			select {
			case told <- d:
			case <-ctx.Done():
			}
		}
		return s, err
	}
	s, err := tell()
	if err != nil || s.ended {
		return err
	}
	for _, err := range f.Source.Follow(ctx, t.Organization, t.Task, s.task.Task.LastSeq, f.KeepAlive, changing()...) {
		if err != nil && !errors.Is(err, stream.ErrIdle) {
			return err
		}
		if s, err = tell(); err != nil || s.ended {
			return err
		}
	}
	return nil
}

// changing are the events with which a task of the extension may become another.
func changing() []task.Type {
	return []task.Type{
		task.TaskUpdated, task.TaskFinished, task.AttemptLost, task.TurnPaused, task.TurnResumed, task.ApprovalRequested, task.ApprovalAnswered,
	}
}

// essence is what of a task is worth telling when it changes.
func (d detail) essence() []byte {
	d.LastUpdatedAt, d.PollInterval = d.CreatedAt, 0
	text, _ := json.Marshal(d) // it is marshalled again where it is told
	return text
}

type examinedKey struct{}

// examined takes what the SDK has to say against a request that it does not answer.
type examined struct {
	passed atomic.Bool // it has nothing to say against it
	status int
	header http.Header
	body   bytes.Buffer
}

// Header is part of [http.ResponseWriter].
func (x *examined) Header() http.Header {
	if x.header == nil {
		x.header = http.Header{}
	}
	return x.header
}

// WriteHeader is part of [http.ResponseWriter].
func (x *examined) WriteHeader(status int) { x.status = status }

// Write is part of [http.ResponseWriter].
func (x *examined) Write(p []byte) (int, error) { return x.body.Write(p) }

// Flush is part of [http.Flusher].
func (x *examined) Flush() {}

// answer answers with what the SDK has said.
func (x *examined) answer(w http.ResponseWriter) {
	w.Header().Set("Content-Type", x.Header().Get("Content-Type"))
	if x.status > 0 {
		w.WriteHeader(x.status)
	}
	_, _ = w.Write(x.body.Bytes()) // whoever has gone is told nothing
}

// pass notes that the SDK has let a request through that asks to be told of tasks.
func pass(ctx context.Context) (sdk.Result, error) {
	x, is := ctx.Value(examinedKey{}).(*examined)
	if !is {
		return nil, &jsonrpc.Error{Code: jsonrpc.CodeInternalError, Message: "something went wrong in the server"}
	}
	x.passed.Store(true)
	return &ack{Type: complete}, nil
}
