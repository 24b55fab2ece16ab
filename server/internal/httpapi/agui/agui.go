// Package agui speaks AG-UI, the protocol between agents and user interfaces: a run is
// asked for by POST, and its events are the answer. A thread is a task, a run one of its
// turns, or what comes of a turn once its questions are answered. It holds no rule about
// tasks.
package agui

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/files"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/httpapi/story"
	"github.com/errand-dev/errand/server/internal/invoke"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// version is the protocol's that is spoken here. Clients of before it do not name theirs.
const version = "1.0"

// face is the protocol's routes.
type face struct {
	edge.Core
	shelf *files.Shelf
}

// Face is the protocol as one of the server's faces. Its clients show the body of an error
// as it is, so errors have the form of /v1.
func Face(kit edge.Core, shelf *files.Shelf) edge.Face {
	f := &face{kit, shelf}
	fail := func(w http.ResponseWriter, r *http.Request, log *slog.Logger, err error) {
		edge.WriteError(r.Context(), w, log, err)
	}
	return edge.Face{
		Words: []string{"agui"},
		Register: func(mux *http.ServeMux) {
			mux.HandleFunc("POST /agui/agents/{agent}", func(w http.ResponseWriter, r *http.Request) {
				if err := f.run(w, r); err != nil {
					fail(w, r, f.Log, err)
				}
			})
		},
		Fail: fail,
	}
}

func (f *face) run(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	if err := edge.Require(ctx, auth.User); err != nil {
		return err
	}
	body, err := edge.ReadBody(w, r)
	if err != nil {
		return err
	}
	q, err := read(body)
	if err != nil {
		return err
	}
	if _, err := f.OnDisconnect(r, invoke.Turn{}); err != nil { // before anything is done
		return err
	}
	turn, told, err := f.begin(ctx, r.PathValue("agent"), q)
	if err != nil {
		return err
	}
	unfollowed, err := f.OnDisconnect(r, turn)
	if err != nil {
		return err
	}
	told.url = func(o task.Output) string { return f.shelf.URL(turn.Organization, files.Ref(o.File, o.Name)) }
	f.Stream(w, r, edge.View{
		Organization: turn.Organization, Task: turn.Task, After: turn.First - 1, Only: story.Types(), Unfollowed: unfollowed,
		Send: func(_ context.Context, out *edge.SSE, e task.Event) (bool, error) {
			events, more, err := told.add(e)
			if err != nil {
				return false, err
			}
			return more, send(out, events...)
		},
		// A cut would end processes of Node, and an end without a word passes for success.
		Unfinished: func(out *edge.SSE) {
			_ = send(out, event{Type: "RUN_ERROR", Message: "The stream has broken off: ask for the run again with the same runId.", Code: string(fault.Unavailable)})
		},
	})
	return nil
}

func send(out *edge.SSE, events ...event) error {
	for _, e := range events {
		data, err := json.Marshal(e)
		if err != nil {
			return err
		}
		if err := out.Add(0, "", data); err != nil {
			return err
		}
	}
	return nil
}

// begin finds or begins the turn that a request asks for, and how its run is told.
func (f *face) begin(ctx context.Context, agent string, q *request) (invoke.Turn, *run, error) {
	told := &run{
		thread: q.ThreadID, id: q.RunID, current: q.ProtocolVersion != "", messages: q.Messages, state: q.State,
	}
	a, err := f.Service.Agent(ctx, edge.Scope(ctx).Organization, agent, 0)
	if err != nil {
		return invoke.Turn{}, nil, err
	}
	s, err := f.Service.Get(ctx, edge.Scope(ctx), taskID(q.ThreadID))
	switch {
	case fault.CodeOf(err) == fault.NotFound:
		s = lifecycle.Snapshot{}
	case err != nil:
		return invoke.Turn{}, nil, err
	case s.Task.AgentID != agent:
		return invoke.Turn{}, nil, &fault.Error{Code: fault.Conflict, Field: "threadId", Message: "is a conversation with another agent"}
	}
	if len(q.Resume) > 0 {
		turn, answered, err := f.answer(ctx, q, s)
		if err != nil || turn.Number > 0 {
			for _, x := range q.Resume {
				told.Since = append(told.Since, x.InterruptID)
			}
			told.replay = !answered
			return turn, told, err
		}
	}
	if spec, _, err := s.Asked(); s.Task.ID != "" && err == nil && spec.IdempotencyKey != nil && *spec.IdempotencyKey == q.key() {
		if known := began(s); known != q.asks() {
			return invoke.Turn{}, nil, &fault.Error{Code: fault.Conflict, Field: "runId", Message: "is that of a run that began with another message"}
		}
		told.replay = true
		turn, err := f.Turns.Find(ctx, edge.Scope(ctx), s.Task.ID, 0)
		return turn, told, err
	}
	sub, err := q.submission(ctx, f.shelf, a, s)
	if err != nil {
		return invoke.Turn{}, nil, err
	}
	asked, err := f.Turns.Ask(ctx, edge.Caller(ctx), sub)
	told.replay = asked.Replayed
	return asked.Turn, told, err
}

// answer answers the questions that a request resumes, and finds their turn. It returns
// none if that has ended and the request says something new. What was answered before in
// the same way is answered; so is what is open no more and is cancelled.
func (f *face) answer(ctx context.Context, q *request, s lifecycle.Snapshot) (turn invoke.Turn, now bool, err error) {
	type given struct {
		task.Approval
		task.Reply
	}
	var open []given
	number := 0
	for _, x := range q.Resume {
		a, err := f.Service.Approval(ctx, edge.Scope(ctx), x.InterruptID)
		if err != nil || a.TaskID != s.Task.ID {
			return turn, false, cmp.Or[error](err, fault.New(fault.NotFound, "no interrupt %q in this thread", x.InterruptID))
		}
		reply, err := x.reply(a)
		if err != nil {
			return turn, false, err
		}
		number = a.Turn
		if a.State == task.ApprovalOpen || x.Status != "cancelled" && !same(a.Answered, reply) {
			open = append(open, given{a, reply})
		}
	}
	if news, _ := q.news(began(s)); len(news) > 0 {
		if s.Task.Ended() != "" && len(open) == 0 {
			return turn, false, nil
		}
		return turn, false, fault.New(fault.Conflict, "the run has not ended: answer its interrupts alone, and send what is new when it has")
	}
	for _, g := range open {
		if _, err := f.Service.AnswerApproval(ctx, edge.Caller(ctx), g.ID, g.Reply); err != nil {
			return turn, false, err
		}
	}
	turn, err = f.Turns.Find(ctx, edge.Scope(ctx), s.Task.ID, number)
	return turn, len(open) > 0, err
}

// same reports whether a question was answered so.
func same(a *task.Answered, r task.Reply) bool {
	return a != nil && a.Answer == r.Answer && bytes.Equal(compact(a.Value), compact(r.Value))
}

func compact(raw json.RawMessage) []byte {
	var b bytes.Buffer
	if len(raw) == 0 || json.Compact(&b, raw) != nil {
		return nil
	}
	return b.Bytes()
}
