package v1

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/errand-dev/errand/server/internal/board"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/lifecycle"
)

// ChangeQuery is what a program asks of the feed.
type ChangeQuery struct {
	Feed        bool   `query:"feed" doc:"The changes of tasks that match the filter, in one order without a gap: for programs."`
	After       string `query:"after" doc:"With feed: go on behind this cursor; 0 is the oldest that is kept. Left out: from now on."`
	Limit       int    `query:"limit" minimum:"1" maximum:"500" default:"100" doc:"With feed: of a part."`
	Accept      string `header:"Accept" doc:"With feed: text/event-stream for a live stream, anything else for a part."`
	LastEventID string `header:"Last-Event-ID" doc:"With feed: resumes a stream behind this cursor."`
}

// Change says that a task has changed.
type Change struct {
	Cursor string `json:"cursor" doc:"Go on behind it."`
	TaskID string `json:"task_id" doc:"The task's id."`
	First  int64  `json:"first_seq" doc:"The number of the first of the new events in its log; 0 of a deleted task."`
	Last   int64  `json:"last_seq" doc:"The number of the last of them."`
	Kind   string `json:"kind" enum:"changed,deleted" doc:"changed: its log has new events. deleted: it is no more; this is told to keys that see all."`
}

// ChangePage is a part of the changes.
type ChangePage struct {
	Items []Change `json:"items" nullable:"false" doc:"The changes, in their order."`
	Next  string   `json:"next_after" doc:"Ask again with after= this for what follows."`
	More  bool     `json:"more" doc:"Whether there may be more now."`
}

// round is how often the feed is looked at without a hint: of other nodes' commits one
// may become readable only when another one ends.
const round = time.Second

func changeOf(c board.Change) Change {
	x := Change{Cursor: writePosition(c.At), TaskID: c.Task, First: c.First, Last: c.Last, Kind: "changed"}
	if c.Deleted {
		x.Kind = "deleted"
	}
	return x
}

// writePosition writes a place in the feed.
func writePosition(p feed.Position) string {
	if p == (feed.Position{}) {
		return "0"
	}
	return fmt.Sprintf("%x-%x", p.Commit, p.N)
}

func readPosition(given string) (p feed.Position, err error) {
	if given == "0" {
		return p, nil
	}
	if _, err := fmt.Sscanf(given, "%x-%x", &p.Commit, &p.N); err != nil || p.Commit <= 0 || p.N < 0 || writePosition(p) != given {
		return p, edge.BadCursor()
	}
	return p, nil
}

func (r *routes) changes(ctx context.Context, in *PageQuery) (*huma.StreamResponse, error) {
	after, err := r.Changes.Now(ctx)
	switch {
	case in.LastEventID != "":
		after, err = readPosition(in.LastEventID)
	case in.After != "":
		after, err = readPosition(in.After)
	}
	if err != nil {
		return nil, err
	}
	scope, f := edge.Scope(ctx), in.filter()
	part, err := r.changesAfter(ctx, f, after, in.Limit)
	if err != nil {
		return nil, err
	}
	live := strings.Contains(in.Accept, eventStream)
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		req, w := humago.Unwrap(hc)
		if !live {
			edge.WriteJSON(w, http.StatusOK, part)
			return
		}
		edge.Last(w, req, func(req *http.Request) { r.sendChanges(w, req, scope.Organization, f, after) })
	}}, nil
}

func (r *routes) changesAfter(ctx context.Context, f lifecycle.Filter, after feed.Position, limit int) (ChangePage, error) {
	found, next, more, err := r.Changes.Read(ctx, edge.Scope(ctx), f, after, limit)
	page := ChangePage{Items: make([]Change, 0, len(found)), Next: writePosition(next), More: more}
	for _, c := range found {
		page.Items = append(page.Items, changeOf(c))
	}
	return page, err
}

// sendChanges sends changes as they come, until the program goes, may not read them any
// more, or the server closes.
func (r *routes) sendChanges(w http.ResponseWriter, req *http.Request, org string, f lifecycle.Filter, after feed.Position) {
	ctx := req.Context()
	rings, silence := r.Changes.Bell(org)
	defer silence()
	out, err := edge.StartSSE(w, req, r.WriteTimeout)
	if err != nil {
		return // the program has gone
	}
	told := ""
	alive, look := time.NewTicker(r.KeepAlive), time.NewTicker(round)
	defer alive.Stop()
	defer look.Stop()
	reason := ""
	for more := true; err == nil && reason == ""; {
		if more {
			var page ChangePage
			if page, err = r.changesAfter(ctx, f, after, chunkOfChanges); err != nil {
				if fault.CodeOf(err) == fault.Gone {
					reason = "gone"
				}
				break // a store that cannot be reached has told the log once
			}
			for _, c := range page.Items {
				data, encoding := json.Marshal(c)
				err = errors.Join(err, encoding, out.AddAt(c.Cursor, "change", data))
				told = c.Cursor
			}
			after, _ = readPosition(page.Next) // it was written just now
			more = page.More
			if told == "" { // where it begins
				told = page.Next
				err = errors.Join(err, sayCursor(out, told))
			}
			err = errors.Join(err, out.Flush())
			if more { // a slow reader may never have read all
				reason = r.over(ctx)
			}
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-r.Closing.Done():
			reason = r.over(ctx)
		case <-rings:
			more = true
		case <-look.C:
			more = true
		case <-alive.C:
			if reason = r.over(ctx); reason != "" {
				continue
			}
			if at := writePosition(after); at != told { // nobody has to look at that again
				told = at
				err = errors.Join(sayCursor(out, at), out.Flush())
				continue
			}
			err = out.KeepAlive()
		}
	}
	if reason != "" {
		data, _ := json.Marshal(map[string]string{"reason": reason}) // texts can be encoded
		_ = errors.Join(out.AddAt("", "bye", data), out.Flush())     // it was the last
	}
}

// over says why a stream ends while its reader is there, "" if it does not.
func (r *routes) over(ctx context.Context) string {
	switch {
	case r.Closing.Err() != nil:
		return "shutdown"
	case fault.CodeOf(edge.Still(ctx)) == fault.Unauthenticated:
		return "signed_out"
	default: // a store that cannot be reached says nothing of the key
		return ""
	}
}

// chunkOfChanges is how many changes are sent together.
const chunkOfChanges = 500

func sayCursor(out *edge.SSE, cursor string) error {
	data, err := json.Marshal(map[string]string{"cursor": cursor})
	return errors.Join(err, out.AddAt(cursor, "cursor", data))
}
