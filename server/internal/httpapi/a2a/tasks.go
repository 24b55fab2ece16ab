package a2a

import (
	"context"
	"encoding/json"
	"errors"
	"iter"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/invoke"
	"github.com/errand-dev/errand/server/internal/stream"
	"github.com/errand-dev/errand/server/internal/task"
)

// find returns the turn that an id of the protocol names.
func (c *call) find(id string) (invoke.Turn, error) {
	of, number, ok := invoke.ParseTurn(id)
	if !ok {
		return invoke.Turn{}, taskNotFound.errorf("task not found: %q", id)
	}
	t, err := c.Turns.Find(c.r.Context(), edge.Scope(c.r.Context()), of, number)
	if fault.CodeOf(err) == fault.NotFound || err == nil && t.Agent != c.agent.ID {
		return invoke.Turn{}, taskNotFound.errorf("task not found: %q, of agent %s", id, c.agent.ID)
	}
	return t, err
}

// outline folds what a turn's log has now, without its text and with the beginning of
// its result: enough to know how it stands.
func (x *routes) outline(ctx context.Context, t invoke.Turn) (*fold, error) {
	return x.load(t, x.Turns.Outline(ctx, t, folded(false)...))
}

// whole folds what a turn's log has now. The result of one that has ended stands for its
// text.
func (x *routes) whole(ctx context.Context, t invoke.Turn) (*fold, error) {
	f, err := x.outline(ctx, t)
	if err != nil {
		return nil, err
	}
	return x.load(t, x.Turns.Events(ctx, t, folded(!f.Status.State.Ended())...))
}

func (x *routes) load(t invoke.Turn, log iter.Seq2[task.Event, error]) (*fold, error) {
	f := x.newFold(t)
	for e, err := range log {
		if err == nil {
			_, err = f.add(e)
		}
		if err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (x *routes) newFold(t invoke.Turn) *fold {
	return newFold(func(ref string) string { return x.Shelf.URL(t.Organization, ref) })
}

// shown is a turn as it is now.
func (c *call) shown(t invoke.Turn) (*fold, error) {
	ctx := c.r.Context()
	f, err := c.whole(ctx, t)
	if err != nil || f.Status.State != Submitted {
		return f, err
	}
	s, err := c.Service.Snapshot(ctx, edge.Scope(ctx), t.Task)
	if err != nil || s.Task.Terms.Turn != t.Number {
		return f, err
	}
	why, err := c.Service.WhyWaiting(ctx, s)
	if err == nil && why != nil {
		f.Status.Message = &Message{ID: f.ID + "~waiting", TaskID: f.ID, ContextID: f.ContextID, Role: Agent, Parts: []Part{text(why.Message)}}
	}
	return f, err
}

// get writes a task.
func (c *call) get(params json.RawMessage) error {
	var p taskParams
	if err := decode(params, &p); err != nil {
		return err
	}
	if err := checkHistory(p.HistoryLength); err != nil {
		return err
	}
	t, err := c.find(p.ID)
	if err != nil {
		return err
	}
	f, err := c.shown(t)
	if err != nil {
		return err
	}
	f.cut(p.HistoryLength)
	return c.answer(f.Task)
}

// cancel stops a task. It answers when nobody sees it run any more.
func (c *call) cancel(params json.RawMessage) error {
	var p taskParams
	if err := decode(params, &p); err != nil {
		return err
	}
	t, err := c.find(p.ID)
	if err != nil {
		return err
	}
	ctx := c.r.Context()
	f, err := c.outline(ctx, t)
	if err == nil && f.Status.State.Ended() {
		err = notCancelable.errorf("task %s has ended: %s", p.ID, f.Status.State)
	}
	if err != nil {
		return err
	}
	if _, err = c.Turns.Stop(ctx, edge.Caller(ctx), t); fault.CodeOf(err) == fault.Conflict {
		return notCancelable.errorf("task %s has ended", p.ID)
	}
	if err == nil {
		f, err = c.whole(ctx, t)
	}
	if err != nil {
		return err
	}
	return c.answer(f.Task)
}

// send answers a message with its task: when that rests, or at once.
func (c *call) send(params json.RawMessage) error {
	s, p, err := c.take(params)
	if err != nil {
		return err
	}
	if !p.Config.ReturnImmediately {
		if err := c.untilRest(s); err != nil {
			return err
		}
	}
	f, err := c.shown(s.Turn)
	if err != nil {
		return err
	}
	f.cut(p.Config.HistoryLength)
	return c.answer(map[string]any{"task": f.Task})
}

// untilRest waits until a turn rests, the caller goes, or the server closes.
func (c *call) untilRest(s sent) error {
	floor := int64(0) // where it rested before the message does not count
	if !s.fresh {
		known, err := c.outline(c.r.Context(), s.Turn)
		if err != nil {
			return err
		}
		floor = known.stood
	}
	ctx, cancel := c.UntilClosing(c.r.Context())
	defer cancel()
	f := c.newFold(s.Turn)
	for p, err := range c.Source.Follow(ctx, s.Organization, s.Task, s.First-1, ping, folded(false)...) {
		if errors.Is(err, stream.ErrIdle) {
			err = c.blank()
		}
		if err != nil {
			return err
		}
		for _, e := range p.Events {
			if e.Turn != s.Number {
				return nil
			}
			if _, err := f.add(e); err != nil {
				return err
			}
			f.forget()
		}
		if f.stood >= floor && f.Status.State.Rests() {
			return nil
		}
	}
	return nil
}

// stream answers a message with the stream of its task.
func (c *call) stream(params json.RawMessage) error {
	c.streams = true
	if _, err := c.OnDisconnect(c.r, invoke.Turn{}); err != nil { // before anything is done
		return err
	}
	s, _, err := c.take(params)
	if err != nil {
		return err
	}
	if s.fresh {
		return c.follow(s.Turn, view{})
	}
	known, err := c.outline(c.r.Context(), s.Turn)
	if err != nil {
		return err
	}
	return c.follow(s.Turn, view{snapshot: known.last, floor: known.stood})
}

// subscribe writes the stream of a task: the task as it is and what follows, or what
// follows an update that the caller has seen.
func (c *call) subscribe(params json.RawMessage) error {
	c.streams = true
	var p taskParams
	if err := decode(params, &p); err != nil {
		return err
	}
	t, err := c.find(p.ID)
	if err != nil {
		return err
	}
	known, err := c.outline(c.r.Context(), t)
	if err != nil {
		return err
	}
	if seen := c.r.Header.Get("Last-Event-ID"); seen != "" && c.asks(sequence) {
		after, err := placeOf(seen)
		if err != nil {
			return err
		}
		v := view{after: after, floor: known.stood}
		if !(place{seq: known.stood}).behind(after) { // the viewer knows how it rests, and waits for what follows
			v.floor++
			v.over = known.Status.State.Ended()
		}
		return c.follow(t, v)
	}
	if known.Status.State.Ended() {
		return unsupported.errorf("task %s has ended: read it with GetTask", p.ID)
	}
	return c.follow(t, view{snapshot: known.last, floor: known.stood + 1}) // who comes to one that rests waits for what follows
}

// view says which part of a turn's updates a stream has.
type view struct {
	// after is the place of the last update that the viewer has seen.
	after place
	// snapshot is the event behind which the stream begins, with the task as it then is;
	// 0 is none: the stream begins with the turn.
	snapshot int64
	// floor is the event from which on a rest ends the stream.
	floor int64
	// over says that nothing is to follow.
	over bool
}

// follow sends a stream. A handler returns after it.
func (c *call) follow(t invoke.Turn, v view) error {
	if v.over {
		_, err := edge.StartSSE(c.w, c.r, c.WriteTimeout)
		return err
	}
	unfollowed, err := c.OnDisconnect(c.r, t)
	if err != nil {
		return err
	}
	f := c.newFold(t)
	c.Stream(c.w, c.r, edge.View{
		Organization: t.Organization, Task: t.Task, After: t.First - 1, Only: folded(true), KeepAlive: ping,
		Unfinished: func(*edge.SSE) { edge.Cut() }, Unfollowed: unfollowed,
		Send: func(_ context.Context, out *edge.SSE, e task.Event) (bool, error) {
			if e.Turn != t.Number {
				return false, nil
			}
			updates, err := f.view(e, v.snapshot)
			if err != nil || e.Seq < v.snapshot {
				return err == nil, err
			}
			for _, u := range updates {
				if u.at.behind(v.after) {
					err = errors.Join(err, c.add(out, u))
				}
			}
			return f.stood < v.floor || !f.Status.State.Rests(), err
		},
	})
	return nil
}

// add adds an update to a stream.
func (c *call) add(out *edge.SSE, u Update) error {
	var result any = u
	if c.rpc {
		result = rpcAnswer{Version: "2.0", ID: c.id, Result: u}
	}
	data, err := json.Marshal(result)
	if err != nil {
		return err
	}
	return out.AddAt(u.at.String(), "", data)
}
