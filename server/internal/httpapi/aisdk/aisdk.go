// Package aisdk speaks the stream of messages of the AI SDK's user interfaces
// (DefaultChatTransport): a chat is a task, and an answer a turn of it. It holds no rule
// about tasks.
package aisdk

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/files"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/httpapi/story"
	"github.com/errand-dev/errand/server/internal/invoke"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// face is the protocol's routes.
type face struct {
	edge.Core
	shelf *files.Shelf
}

// Face is the protocol as one of the server's faces.
func Face(kit edge.Core, shelf *files.Shelf) edge.Face {
	f := &face{kit, shelf}
	route := func(mux *http.ServeMux, pattern string, handle func(http.ResponseWriter, *http.Request) error) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			err := edge.Require(r.Context(), auth.User)
			if err == nil {
				err = handle(w, r)
			}
			if err != nil {
				fail(w, r, f.Log, err)
			}
		})
	}
	return edge.Face{
		Words: []string{"aisdk"},
		Register: func(mux *http.ServeMux) {
			route(mux, "POST /aisdk/agents/{agent}/chat", f.chat)
			route(mux, "GET /aisdk/agents/{agent}/chat/{chat}/stream", f.resume)
		},
		Fail: fail,
	}
}

// fail answers an error as a sentence: its clients show the body to people.
func fail(w http.ResponseWriter, r *http.Request, log *slog.Logger, err error) {
	status, body := edge.Describe(r.Context(), log, err)
	maps.Copy(w.Header(), body.Header())
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = fmt.Fprint(w, strings.TrimPrefix(body.Field+": "+body.Detail, ": "))
}

// chat answers a message.
func (f *face) chat(w http.ResponseWriter, r *http.Request) error {
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
	turn, m, err := f.begin(r.Context(), r.PathValue("agent"), r.Header.Get("Idempotency-Key"), q)
	if err != nil {
		return err
	}
	return f.stream(w, r, turn, turn, m)
}

// resume answers with the whole of the answer that is under way, which takes the place of
// what the client has of it; 204 if none is.
func (f *face) resume(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	s, err := f.of(ctx, r.PathValue("agent"), r.PathValue("chat"))
	if err != nil {
		return err
	}
	if s.Task.ID == "" || s.Task.Ended() != "" {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	turn, err := f.Turns.Find(ctx, edge.Scope(ctx), s.Task.ID, 0)
	if err != nil {
		return err
	}
	last, m := turn, &message{}
	m.Last = last.Number
	now, open := s.Task.LastSeq, s.Task.Open // the rest of the task is not kept for each viewer
	m.Open = func(id string, seq int64) bool {
		return seq > now || slices.ContainsFunc(open, func(o task.Open) bool { return o.ID == id })
	}
	for turn.Number > 1 { // the message began with the turn that has called the caller's tools first
		found, err := f.Service.Turns(ctx, turn.Organization, turn.Task, turn.Number-1, 1)
		if err != nil {
			return err
		}
		if len(found) == 0 || !found[0].Answers || found[0].Prompt != nil && *found[0].Prompt != "" {
			break
		}
		if turn, err = f.Turns.Find(ctx, edge.Scope(ctx), turn.Task, turn.Number-1); err != nil {
			return err
		}
	}
	m.id = messageID(turn)
	return f.stream(w, r, turn, last, m)
}

func messageID(t invoke.Turn) string { return fmt.Sprintf("%s_%d", t.Task, t.Number) }

// stream tells a message from a turn on, with the end of another, which is what on_disconnect
// stops.
func (f *face) stream(w http.ResponseWriter, r *http.Request, turn, last invoke.Turn, m *message) error {
	unfollowed, err := f.OnDisconnect(r, last)
	if err != nil {
		return err
	}
	m.task = turn.Task
	m.url = func(o task.Output) string { return f.shelf.URL(turn.Organization, files.Ref(o.File, o.Name)) }
	w.Header().Set("X-Vercel-Ai-Ui-Message-Stream", "v1")
	f.Stream(w, r, edge.View{
		Organization: turn.Organization, Task: turn.Task, After: turn.First - 1, Only: story.Types(), Unfollowed: unfollowed,
		Send: func(_ context.Context, out *edge.SSE, e task.Event) (bool, error) {
			chunks, more, err := m.add(e)
			if err != nil {
				return false, err
			}
			for _, c := range chunks {
				data, err := json.Marshal(c)
				if err != nil {
					return false, err
				}
				if err := out.Add(0, "", data); err != nil {
					return false, err
				}
			}
			if !more {
				err = out.Add(0, "", []byte("[DONE]"))
			}
			return more, err
		},
		// An end without a word passes for success, while after a cut the client resumes.
		Unfinished: func(*edge.SSE) { edge.Cut() },
	})
	return nil
}

// of is the task of a chat, the zero snapshot for none.
func (f *face) of(ctx context.Context, agent, chat string) (lifecycle.Snapshot, error) {
	if _, err := f.Service.Agent(ctx, edge.Scope(ctx).Organization, agent, 0); err != nil {
		return lifecycle.Snapshot{}, err
	}
	s, err := f.Service.Get(ctx, edge.Scope(ctx), taskID(chat))
	switch {
	case fault.CodeOf(err) == fault.NotFound:
		return lifecycle.Snapshot{}, nil
	case err == nil && s.Task.AgentID != agent:
		return s, &fault.Error{Code: fault.Conflict, Field: "id", Message: "is a chat with another agent"}
	}
	return s, err
}

// begin finds or begins the turn that answers a request, and how it is told.
func (f *face) begin(ctx context.Context, agent, key string, q *request) (invoke.Turn, *message, error) {
	s, err := f.of(ctx, agent, q.ID)
	if err != nil {
		return invoke.Turn{}, nil, err
	}
	m := &message{}
	if q.last().Role == "assistant" { // it goes on
		m.id = q.last().ID
		turn, err := f.answer(ctx, q, s, m)
		if err != nil || turn.Number > 0 {
			return turn, m, err
		}
	}
	if key == "" && q.repeats(s) {
		turn, err := f.Turns.Find(ctx, edge.Scope(ctx), s.Task.ID, 0)
		m.id = cmp.Or(m.id, messageID(turn))
		return turn, m, err
	}
	sub, err := q.submission(ctx, f.shelf, agent, cmp.Or(key, q.key(s.Task.Terms.Turn+1)), s)
	if err != nil {
		return invoke.Turn{}, nil, err
	}
	asked, err := f.Turns.Ask(ctx, edge.Caller(ctx), sub)
	if m.id == "" {
		m.id = messageID(asked.Turn)
	}
	return asked.Turn, m, err
}

// answer answers the approvals that the last message responds to, and finds their turn;
// it returns none if there are none. What was answered before so is answered.
func (f *face) answer(ctx context.Context, q *request, s lifecycle.Snapshot, m *message) (turn invoke.Turn, err error) {
	number := 0
	for _, p := range q.last().Parts {
		if p.State != "approval-responded" || p.Approval == nil || p.Approval.Approved == nil {
			continue
		}
		a, err := f.Service.Approval(ctx, edge.Scope(ctx), p.Approval.ID)
		switch {
		case err != nil:
			return turn, err
		case a.TaskID != s.Task.ID:
			return turn, fault.New(fault.NotFound, "no approval %q in this chat", a.ID)
		}
		reply := p.reply(a)
		if a.Answered == nil || a.Answered.Answer != reply.Answer {
			if _, err := f.Service.AnswerApproval(ctx, edge.Caller(ctx), a.ID, reply); err != nil {
				return turn, err
			}
		}
		number, m.Since = a.Turn, append(m.Since, a.ID)
	}
	if number == 0 {
		return turn, nil
	}
	return f.Turns.Find(ctx, edge.Scope(ctx), s.Task.ID, number)
}
