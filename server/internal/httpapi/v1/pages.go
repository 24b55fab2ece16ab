package v1

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/errand-dev/errand/server/internal/board"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/stream"
)

// PageQuery is all that a page is told of.
type PageQuery struct {
	Rows      bool     `query:"rows" doc:"Tell of the rows of tasks that match the filter, as they change."`
	Tree      string   `query:"tree" maxLength:"128" doc:"Tell of the rows of the tree with this root as well."`
	Logs      []string `query:"log,explode" maxItems:"20" doc:"Tell of the events of the task with this id behind a number: id~number. It may stand 20 times."`
	Count     bool     `query:"counts" doc:"Tell how many tasks match the filter, by status."`
	Workers   bool     `query:"workers" doc:"Tell of the workers; with agent_id only of that agent's."`
	Approvals bool     `query:"approvals" doc:"Tell of approvals and questions, as they are asked and answered."`
	TaskFilter
	ChangeQuery
}

// followed is a log that a page follows.
type followed struct {
	id    string
	after int64
}

func (q *PageQuery) logs() ([]followed, error) {
	if q.Feed {
		if q.Rows || q.Count || q.Workers || q.Approvals || q.Tree != "" || len(q.Logs) > 0 {
			return nil, fault.Field("feed", "is a stream of its own: leave out rows, counts, workers, approvals, tree and log")
		}
		return nil, nil
	}
	if q.After != "" {
		return nil, fault.Field("after", "is a cursor of feed")
	}
	var logs []followed
	for _, given := range q.Logs {
		id, number, _ := strings.Cut(given, "~")
		after, err := strconv.ParseInt(number, 10, 64)
		if err != nil || after < 0 || lifecycle.CheckID("log", id) != nil {
			return nil, fault.Field("log", "must be the id of a task, a tilde and the number of an event, or 0")
		}
		logs = append(logs, followed{id, after})
	}
	if len(logs) == 0 && !q.Rows && !q.Count && !q.Workers && !q.Approvals && q.Tree == "" {
		return nil, fault.Field("query", "asks for nothing: say rows, counts, workers, approvals, tree or log")
	}
	return logs, nil
}

// lists are those that a page looks at.
func (q *PageQuery) lists(ctx context.Context) []board.List {
	scope, f := edge.Scope(ctx), q.filter()
	var lists []board.List
	if q.Rows {
		lists = append(lists, board.List{Kind: board.Rows, Scope: scope, Filter: f})
	}
	if q.Tree != "" {
		lists = append(lists, board.List{Kind: board.Rows, Scope: scope, Filter: lifecycle.Filter{Root: q.Tree}})
	}
	if q.Count {
		lists = append(lists, board.List{Kind: board.Counts, Scope: scope, Filter: f})
	}
	if q.Workers {
		lists = append(lists, board.List{Kind: board.Workers, Scope: scope, Filter: lifecycle.Filter{Agent: q.Agent}})
	}
	if q.Approvals {
		lists = append(lists, board.List{Kind: board.Approvals, Scope: scope})
	}
	return lists
}

func (r *routes) registerPages() {
	add(r, operation{roles: users(), errors: []fault.Code{fault.Malformed, fault.Gone}, Operation: huma.Operation{
		OperationID: "follow-pages", Method: http.MethodGet, Path: "/v1/events", Tags: []string{"events"},
		Summary: "Follow what a page shows: rows, counts and logs of many tasks in one stream",
		Description: "Server-sent events without ids: who connects again says its cursors anew. hello {now, version, ui} comes first. " +
			"row {item} is the newest state of a task, at most four times a second, and row {gone} the id of one that does not match any more. " +
			"counts is what GET /v1/tasks/counts answers, at most once a second; workers what GET /v1/workers does, at first and when something has changed. " +
			"approval is an Approval that was asked, answered or closed. log is an Event; log_end {task_id} follows the last one of a turn that is over, " +
			"gone {task_id} tells that a task is not there. reset {what} says that too much has changed to be told: read rows, counts, workers or approvals again. " +
			"bye {reason} comes last: signed_out or shutdown. Rows are states, of which some may be left out; logs have no gap. " +
			"feed is another form, for programs: change {cursor, task_id, first_seq, last_seq, kind} tells that the log of a task which matches the filter has new events, " +
			"each once, with its cursor as the id; cursor {cursor} how far that has come. Who goes on behind a cursor misses nothing; one that is not kept any more is 410.",
		Responses: map[string]*huma.Response{"200": {
			Description: "Server-sent events; with feed, a part of the changes to whom does not accept them.",
			Content:     map[string]*huma.MediaType{eventStream: {}, "application/json": {Schema: schemaOf[ChangePage](r)}},
		}},
	}}, func(ctx context.Context, in *PageQuery) (*huma.StreamResponse, error) {
		logs, err := in.logs()
		if err != nil {
			return nil, err
		}
		if in.Feed {
			return r.changes(ctx, in)
		}
		lists := in.lists(ctx)
		return &huma.StreamResponse{Body: func(hc huma.Context) {
			req, w := humago.Unwrap(hc)
			edge.Last(w, req, func(req *http.Request) { r.sendPage(w, req, lists, logs) })
		}}, nil
	})
}

// sendPage sends a page what it looks at, until it goes, may not look any more, or the
// server closes.
func (r *routes) sendPage(w http.ResponseWriter, req *http.Request, lists []board.List, logs []followed) {
	ctx, cancel := context.WithCancel(req.Context())
	defer cancel()
	page := r.Board.Open(lists) // before hello: what changes behind it is told
	defer page.Close()
	out, err := edge.StartSSE(w, req, r.WriteTimeout)
	if err != nil {
		return // the page has gone
	}
	say := func(event string, data any) {
		text, encoding := json.Marshal(data)
		err = errors.Join(encoding, out.Add(0, event, text))
	}
	say("hello", map[string]string{"now": time.Now().UTC().Format(time.RFC3339Nano), "version": r.Version, "ui": r.UI})
	told := make(chan []board.Frame)
	for _, l := range logs {
		go r.tellLog(ctx, l, told)
	}
	tick := time.NewTicker(r.KeepAlive)
	defer tick.Stop()
	for err = errors.Join(err, out.Flush()); err == nil; {
		var frames []board.Frame
		select {
		case <-ctx.Done():
			return
		case <-r.Closing.Done():
			say("bye", map[string]string{"reason": r.over(ctx)})
			_ = out.Flush() // it was the last
			return
		case <-page.Ready():
			frames = page.Take()
		case frames = <-told:
		case <-tick.C:
			if reason := r.over(ctx); reason != "" {
				say("bye", map[string]string{"reason": reason})
				_ = out.Flush() // it was the last
				return
			}
			err = out.KeepAlive()
		}
		for _, f := range frames {
			err = errors.Join(err, out.Add(0, f.Event, f.Data))
		}
		err = errors.Join(err, out.Flush())
	}
}

// tellLog tells a page of a log, until its turn is over, or ctx is.
func (r *routes) tellLog(ctx context.Context, l followed, told chan<- []board.Frame) {
	tell := func(frames ...board.Frame) bool {
		select {
		case told <- frames:
			return true
		case <-ctx.Done():
			return false
		}
	}
	about := json.RawMessage(fmt.Sprintf(`{"task_id":%q}`, l.id)) // an id needs no escapes
	scope := edge.Scope(ctx)
	t, err := r.Service.Task(ctx, scope, l.id)
	switch {
	case fault.CodeOf(err) == fault.NotFound:
		tell(board.Frame{Event: "gone", Data: about})
		return
	case err == nil && l.after > t.LastSeq: // deleted, and its id is used anew
		tell(board.Frame{Event: "reset", Data: json.RawMessage(fmt.Sprintf(`{"what":"log","task_id":%q}`, l.id))})
		return
	}
	for p, err := range r.Source.Follow(ctx, scope.Organization, l.id, l.after, r.KeepAlive) {
		switch {
		case fault.CodeOf(err) == fault.NotFound:
			tell(board.Frame{Event: "gone", Data: about})
			return
		case errors.Is(err, stream.ErrIdle):
			continue
		}
		frames := make([]board.Frame, 0, len(p.Events))
		for _, e := range p.Events {
			rendered, failed := r.render(scope.Organization, l.id, e)
			data, encoding := json.Marshal(rendered)
			if err = errors.Join(err, failed, encoding); err == nil {
				frames = append(frames, board.Frame{Event: "log", Data: data})
			}
		}
		if err != nil { // a store that cannot be reached has told the log once
			tell(board.Frame{Event: "reset", Data: json.RawMessage(fmt.Sprintf(`{"what":"log","task_id":%q}`, l.id))})
			return
		}
		if len(frames) > 0 && !tell(frames...) {
			return
		}
	}
	if ctx.Err() == nil {
		tell(board.Frame{Event: "log_end", Data: about})
	}
}
