package v1

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/invoke"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

const eventStream = "text/event-stream"

// Event is one entry of a task's log.
type Event struct {
	ID           int64           `json:"id" doc:"Its number: gapless, rising, the cursor of streams."`
	Type         task.Type       `json:"type" doc:"What kind of event it is."`
	TaskID       string          `json:"task_id" doc:"Whose log it is in."`
	Organization string          `json:"organization_id" doc:"The organization that the task belongs to."`
	Turn         int             `json:"turn" doc:"In which turn it happened."`
	Time         task.Stamp      `json:"time" doc:"When it was committed."`
	Author       task.Author     `json:"author" doc:"Who wrote it: an attempt, or else a key or a node."`
	Data         json.RawMessage `json:"data" doc:"For task_* the fields that changed, for chunk a text."`
	To           int64           `json:"to,omitempty" doc:"With fold=text: the number of the last of the chunks that are joined in it."`
}

// EventPage is a part of a task's log.
type EventPage struct {
	Items []Event `json:"items" doc:"The events, in order."`
	// Next is the cursor for what follows.
	Next int64 `json:"next_after" doc:"Ask again with after= this for what follows."`
	Done bool  `json:"done" doc:"The turn has ended and this page reaches the end of its log."`
	// Before is the cursor for what stands before.
	Before int64 `json:"next_before,omitempty" doc:"Ask again with before= this for what stands before; left out when that is nothing."`
}

type eventsInput struct {
	TaskPath
	Accept      string `header:"Accept" doc:"text/event-stream for a live stream, anything else for a page."`
	LastEventID string `header:"Last-Event-ID" doc:"Resumes a stream behind this event."`
	After       string `query:"after" doc:"Begin behind this event. Without it: at the beginning of the present turn."`
	Before      int64  `query:"before" minimum:"1" doc:"Of a page: the last events before this one, in the place of after."`
	Fold        string `query:"fold" enum:"text" doc:"Of a page: text joins chunks that follow one another into one, with its to."`
	Turns       string `query:"turns" enum:"all" doc:"all: begin with the first turn."`
	Limit       int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"Of a page."`
	ChosenTypes
}

// ChosenTypes are the types of events that a viewer wants to see; none is all.
type ChosenTypes struct {
	Types []anyType `query:"types" doc:"Only events of these types, with commas between them. The cursor moves on over the others: in silence and at its end a stream sends it as an id without an event."`
}

// anyType is the type of an event.
type anyType task.Type

// Schema implements huma.SchemaProvider.
func (anyType) Schema(r huma.Registry) *huma.Schema {
	s := eventType{}.Schema(r)
	s.PrecomputeMessages()
	return s
}

func (c ChosenTypes) only() []task.Type {
	only := make([]task.Type, 0, len(c.Types))
	for _, t := range c.Types {
		only = append(only, task.Type(t))
	}
	return only
}

// cursor is where to begin.
func (in *eventsInput) cursor(t task.Task) (int64, error) {
	field, given := "after", in.After
	if in.LastEventID != "" {
		field, given = "Last-Event-ID", in.LastEventID
	}
	switch {
	case given == "" && in.Turns == "all":
		return 0, nil
	case given == "":
		return t.FirstSeq - 1, nil
	}
	after, err := strconv.ParseInt(given, 10, 64)
	if err != nil || after < 0 || after > t.LastSeq {
		return 0, &fault.Error{Code: fault.Malformed, Field: field, Message: "must be the id of an event of this task, or 0"}
	}
	return after, nil
}

// Appended answers an append.
type Appended struct {
	IDs []int64 `json:"ids" doc:"The events' ids, in the order given."`
}

// AppendBody continues a log.
type AppendBody struct {
	LeaseToken string     `json:"lease_token,omitempty" doc:"Of the claim. Without it only agent_message may be written, and where no token exists (an attempt on a Python worker, a task that its creator executes) the other types by whoever executes the task."`
	Events     []NewEvent `json:"events" minItems:"1" maxItems:"1000" nullable:"false" doc:"What happened, in order."`
}

// NewEvent is an event to append.
type NewEvent struct {
	Type     eventKind       `json:"type" doc:"What kind of event it is; the kinds that tell of the task itself are the server's own." example:"chunk"`
	Data     json.RawMessage `json:"data" doc:"What it says, at most 256 KiB: text for a chunk, any JSON for the others."`
	ClientID string          `json:"client_id,omitempty" maxLength:"128" doc:"Makes a repeat answer the first one's id."`
}

func (r *routes) registerEvents() {
	tags := []string{"events"}
	op := operation{roles: everybody(), shared: true, errors: []fault.Code{fault.Malformed}, Operation: huma.Operation{
		OperationID: "get-events", Method: http.MethodGet, Path: "/v1/tasks/{task_id}/events", Tags: tags,
		Summary: "Read a task's log: a page of it, or a live stream from any point",
		Responses: map[string]*huma.Response{"200": {
			Description: "A page, or server-sent events whose data is an Event and whose id is its id.",
			Content: map[string]*huma.MediaType{
				"application/json": {Schema: schemaOf[EventPage](r)},
				eventStream:        {},
			},
		}, "204": {Description: "To a stream: nothing can come behind the cursor any more. An EventSource then rests."}},
	}}
	add(r, op, r.events)
	add(r, operation{roles: everybody(), errors: []fault.Code{fault.Conflict}, Operation: huma.Operation{
		OperationID: "append-events", Method: http.MethodPost, Path: "/v1/tasks/{task_id}/events", Tags: tags,
		Summary: "Append events to a running task's log",
	}}, func(ctx context.Context, in *struct {
		TaskPath
		Body AppendBody
	},
	) (*struct{ Body Appended }, error) {
		events := make([]lifecycle.NewEvent, 0, len(in.Body.Events))
		for _, e := range in.Body.Events {
			events = append(events, lifecycle.NewEvent{Type: string(e.Type), Data: e.Data, ClientID: e.ClientID})
		}
		ids, err := r.Service.Append(ctx, edge.Caller(ctx), in.ID, in.Body.LeaseToken, events)
		if err != nil {
			return nil, err
		}
		return &struct{ Body Appended }{Appended{IDs: ids}}, nil
	})
}

func (r *routes) events(ctx context.Context, in *eventsInput) (*huma.StreamResponse, error) {
	s, err := r.Service.Get(ctx, edge.Scope(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	after, err := in.cursor(s.Task)
	if err != nil {
		return nil, err
	}
	if strings.Contains(in.Accept, eventStream) {
		if in.Before != 0 || in.Fold != "" {
			return nil, fault.Field("before", "and fold are for pages: a stream goes on")
		}
		if s.Task.Done() && after == s.Task.LastSeq {
			return nothing(), nil
		}
		return r.follow(s.Task.OrganizationID, s.Task.ID, edge.View{After: after, Only: in.only()}, invoke.Turn{}), nil
	}
	page, err := r.part(ctx, s.Task, in, after)
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		_, w := humago.Unwrap(hc)
		edge.WriteJSON(w, http.StatusOK, page)
	}}, nil
}

// part is the page that is asked for.
func (r *routes) part(ctx context.Context, t task.Task, in *eventsInput, after int64) (page EventPage, err error) {
	first := t.FirstSeq
	if in.Turns == "all" {
		first = 1
	}
	switch {
	case in.Before != 0 && (in.After != "" || in.LastEventID != ""):
		return page, fault.Field("before", "stands in the place of after: leave out one of both")
	case in.Before > t.LastSeq+1:
		return page, &fault.Error{Code: fault.Malformed, Field: "before", Message: "must be the id of an event of this task, or the one behind its last"}
	case in.Before != 0:
		found, from, err := r.Service.EventsBefore(ctx, t, first, in.Before, in.Limit, in.only()...)
		if err != nil {
			return page, err
		}
		if page, err = r.shown(t, found); err != nil {
			return page, err
		}
		page.Next = in.Before - 1
		if from > first {
			page.Before = from
		}
	default:
		if page, err = r.page(ctx, t, after, in.Limit, in.only()); err != nil {
			return page, err
		}
		if after >= first {
			page.Before = after + 1
		}
	}
	page.Done = t.Done() && page.Next >= t.LastSeq
	if in.Fold == "text" {
		page.Items = folded(page.Items)
	}
	return page, nil
}

// folded joins texts that follow one another.
func folded(items []Event) []Event {
	joined := items[:0:0]
	var text strings.Builder
	end := func() {
		if last := len(joined) - 1; text.Len() > 0 && last >= 0 && joined[last].To != 0 {
			joined[last].Data, _ = json.Marshal(text.String()) // a text can be encoded
		}
		text.Reset()
	}
	for _, e := range items {
		var words string
		isText := e.Type == task.Chunk && json.Unmarshal(e.Data, &words) == nil
		if last := len(joined) - 1; isText && text.Len() > 0 && last >= 0 {
			if before := &joined[last]; before.Turn == e.Turn && before.Author == e.Author && max(before.ID, before.To)+1 == e.ID {
				before.To = e.ID
				text.WriteString(words)
				continue
			}
		}
		end()
		joined = append(joined, e)
		if isText {
			text.WriteString(words)
		}
	}
	end()
	return joined
}

// nothing answers a viewer for whom nothing can come any more: a stream that ended at
// once would be asked for again, for ever (rule T7).
func nothing() *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		_, w := humago.Unwrap(hc)
		w.WriteHeader(http.StatusNoContent)
	}}
}

// follow streams what a view shows of a task's events until its last turn is over, or
// the turn only, if that is one.
func (r *routes) follow(org, id string, v edge.View, only invoke.Turn) *huma.StreamResponse {
	v.Organization, v.Task = org, id
	v.Send = func(_ context.Context, out *edge.SSE, e task.Event) (bool, error) {
		if only.Number != 0 && e.Turn > only.Number {
			return false, nil
		}
		rendered, err := r.render(org, id, e)
		if err != nil {
			return false, err
		}
		return true, out.Add(e.Seq, string(e.Type), rendered.json())
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		req, w := humago.Unwrap(hc)
		if only.Number != 0 {
			v.Unfollowed, _ = r.OnDisconnect(req, only) // what it says was checked with the request
		}
		r.Stream(w, req, v)
	}}
}

// json is what json.Marshal makes of an event, but for data, which stands as it is
// stored: a server that streams spends more on this than on anything else of its own.
func (e Event) json() []byte {
	b := make([]byte, 0, 256+len(e.Data))
	b = strconv.AppendInt(append(b, `{"id":`...), e.ID, 10)
	b = appendText(append(b, `,"type":`...), string(e.Type))
	b = appendText(append(b, `,"task_id":`...), e.TaskID)
	b = appendText(append(b, `,"organization_id":`...), e.Organization)
	b = strconv.AppendInt(append(b, `,"turn":`...), int64(e.Turn), 10)
	b = e.Time.AppendJSON(append(b, `,"time":`...))
	b = append(b, `,"author":{`...)
	if e.Author.Attempt != 0 {
		b = strconv.AppendInt(append(b, `"attempt":`...), int64(e.Author.Attempt), 10)
	}
	if e.Author.By != "" {
		if e.Author.Attempt != 0 {
			b = append(b, ',')
		}
		b = appendText(append(b, `"by":`...), e.Author.By)
	}
	b = append(b, `},"data":`...)
	if e.Data == nil {
		return append(b, "null}"...)
	}
	return append(append(b, e.Data...), '}')
}

// appendText appends a text in JSON.
func appendText(b []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(text) // a text can be encoded
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), text...), '"')
}

func (r *routes) render(org, id string, e task.Event) (Event, error) {
	data, err := r.Presenter.Data(org, e)
	return Event{
		ID: e.Seq, Type: e.Type, TaskID: id, Organization: org, Turn: e.Turn, Time: e.Time, Author: e.Author, Data: data,
	}, err
}

// page reads a part of the log of a task, which is as it was before.
func (r *routes) page(ctx context.Context, t task.Task, after int64, limit int, only []task.Type) (EventPage, error) {
	found, err := r.Service.Events(ctx, t.OrganizationID, t.ID, after, limit, only...)
	if err != nil {
		return EventPage{}, err
	}
	page, err := r.shown(t, found)
	if len(found) == 0 {
		page.Next = t.LastSeq // what is left out need not be read again
	}
	page.Done = t.Done() && page.Next >= t.LastSeq
	return page, err
}

// shown is a page of events.
func (r *routes) shown(t task.Task, found []task.Event) (EventPage, error) {
	page := EventPage{Items: make([]Event, 0, len(found))}
	for _, e := range found {
		rendered, err := r.render(t.OrganizationID, t.ID, e)
		if err != nil {
			return EventPage{}, err
		}
		page.Items, page.Next = append(page.Items, rendered), e.Seq
	}
	return page, nil
}
