package observe

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/errand-dev/errand/server/internal/task"
)

// told is what is read of the events of a tool call.
type told struct {
	RequestID string `json:"request_id"`
	Tool      string `json:"tool_name"`
	Operation string `json:"operation_id"`
	IsError   bool   `json:"is_error"`
}

// name is the tool's name, or else its id. It is the worker's to choose, and
// no place for more.
func (x told) name() string {
	name := x.Tool
	if name == "" {
		name = x.Operation
	}
	return short(name)
}

// short bounds what a worker chose.
func short(text string) string {
	if len(text) > task.MaxID {
		return strings.ToValidUTF8(text[:task.MaxID], "")
	}
	return text
}

// calls are the tool calls whose end is awaited, by their task and id. They are
// a shortcut to what the log has.
type calls map[callKey]task.Event

type callKey struct{ org, task, id string }

// maxCalls bounds how many calls are remembered; past it all are forgotten.
const maxCalls = 10_000

// begin notes the beginning of a call.
func (c calls) begin(tk task.Task, e task.Event) {
	var x told
	if json.Unmarshal(e.Own, &x) != nil || x.RequestID == "" || len(x.RequestID) > task.MaxID {
		return
	}
	if len(c) >= maxCalls {
		clear(c)
	}
	c[callKey{tk.OrganizationID, tk.ID, x.RequestID}] = task.Event{Seq: e.Seq, Time: e.Time}
}

// toolCall makes the span of a tool call that has ended, if it is known how it
// began.
func (t *Tracer) toolCall(ctx context.Context, x turn, tk task.Task, e task.Event) {
	var call told
	if json.Unmarshal(e.Own, &call) != nil || call.RequestID == "" {
		return
	}
	key := callKey{tk.OrganizationID, tk.ID, call.RequestID}
	began, known := t.calls[key]
	delete(t.calls, key)
	if !known && tk.Run.Live() && tk.Run.StartedAt < t.begun { // an earlier server may have seen it
		began, known = t.recall(ctx, tk, e.Seq, call.RequestID)
	}
	if !known {
		return
	}
	parent := x.whole()
	if tk.Run.Live() {
		parent = x.attempt(tk.Run.Number)
	}
	span := t.start(ctx, x, x.under(parent, true), x.toolCall(began.Seq), "tool call", began.Time, trace.SpanKindInternal, append(about(tk),
		attribute.String("gen_ai.tool.name", call.name()), attribute.String("gen_ai.tool.call.id", short(call.RequestID)))...)
	if call.IsError {
		span.SetStatus(codes.Error, "the tool failed")
	}
	span.End(trace.WithTimestamp(e.Time.Time()))
}

// lookBack is how far before its result a call is looked for.
const lookBack = 1000

// recall finds the request of a call in the log.
func (t *Tracer) recall(ctx context.Context, tk task.Task, before int64, id string) (task.Event, bool) {
	after := max(tk.FirstSeq, before-lookBack) - 1
	events, err := t.reader.Events(ctx, tk.OrganizationID, tk.ID, after, int(before-after)-1)
	if err != nil {
		return task.Event{}, false
	}
	for _, e := range slices.Backward(events) {
		var x told
		if e.Type == task.ToolCallRequest && json.Unmarshal(e.Own, &x) == nil && x.RequestID == id {
			return e, true
		}
	}
	return task.Event{}, false
}
