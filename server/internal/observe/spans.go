package observe

import (
	"context"
	"slices"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/errand-dev/errand/server/internal/task"
	"github.com/errand-dev/errand/server/internal/traceparent"
)

// Spans carry ids, names of agents, workers and tools, statuses and reasons:
// never what a task was asked, what came of it, or what a tool was given.

// Place is the trace context of a task's present attempt, of its turn if there
// is none.
func (t *Tracer) Place(tk task.Task) string {
	x := turnOf(tk)
	id := x.whole()
	if tk.Run != nil {
		id = x.attempt(tk.Run.Number)
	}
	return traceparent.Context{Trace: x.trace, Span: id, Sampled: t.sampled(x, tk)}.String()
}

// sampled reports whether spans of a turn are to be made. Samplers decide by
// the trace's id and by what the caller has decided, so the answer is the same
// each time; spans that are not ended are never sent.
func (t *Tracer) sampled(x turn, tk task.Task) bool {
	return t.begin(context.Background(), x, tk).SpanContext().IsSampled()
}

// change makes the spans that a change completes.
func (t *Tracer) change(ctx context.Context, c task.Change) {
	if !slices.ContainsFunc(c.Events, matters) && len(c.EndedAttempts()) == 0 {
		return
	}
	x := turnOf(c.Task)
	created := t.begin(ctx, x, c.Task)
	if !created.SpanContext().IsSampled() {
		return
	}
	for _, e := range c.Events {
		switch e.Type { //nolint:exhaustive // the others do not matter
		case task.TaskCreated:
			created.SetAttributes(about(c.Task)...)
			created.End(trace.WithTimestamp(e.Time.Time()))
		case task.ToolCallRequest:
			t.calls.begin(c.Task, e)
		case task.ToolCallResult:
			t.toolCall(ctx, x, c.Task, e)
		case task.TaskFinished:
			t.whole(ctx, x, c.Task, e)
		}
	}
	for _, a := range c.EndedAttempts() {
		t.attempt(ctx, x, c.Task, a)
	}
}

// matters reports whether an event begins or ends a span.
func matters(e task.Event) bool {
	switch e.Type { //nolint:exhaustive // the others do neither
	case task.TaskCreated, task.ToolCallRequest, task.ToolCallResult, task.TaskFinished:
		return true
	default:
		return false
	}
}

// start starts a span with a chosen id.
func (t *Tracer) start(ctx context.Context, x turn, parent trace.SpanContext, id trace.SpanID, name string, begun task.Stamp, kind trace.SpanKind, about ...attribute.KeyValue) trace.Span {
	ctx = context.WithValue(trace.ContextWithSpanContext(ctx, parent), chosenKey{}, chosen{x.trace, id})
	_, span := t.spans.Start(ctx, name, trace.WithTimestamp(begun.Time()), trace.WithSpanKind(kind), trace.WithAttributes(about...))
	return span
}

// about are the attributes of every span of a turn.
func about(tk task.Task) []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.String("errand.organization.id", tk.OrganizationID), attribute.String("errand.task.id", tk.ID),
		attribute.Int("errand.task.turn", tk.Terms.Turn), attribute.String("gen_ai.agent.id", tk.AgentID),
	}
}

// begin starts the span of a turn's creation, which is the parent of all of
// them. Where it began no longer matters once it was sent.
func (t *Tracer) begin(ctx context.Context, x turn, tk task.Task) trace.Span {
	return t.start(ctx, x, x.caller, x.create(), "create task", tk.UpdatedAt, trace.SpanKindProducer)
}

// whole makes the span of a turn, from its creation to its end.
func (t *Tracer) whole(ctx context.Context, x turn, tk task.Task, e task.Event) {
	state := tk.State()
	span := t.start(ctx, x, x.under(x.create(), true), x.whole(), "task", t.beginning(ctx, tk, e), trace.SpanKindInternal, append(about(tk),
		attribute.String("errand.task.status", string(state.Status)), attribute.String("errand.task.end_reason", string(tk.Ended())),
		attribute.Int("errand.task.attempts", state.Attempt))...)
	fail(span, tk.Ended())
	span.End(trace.WithTimestamp(e.Time.Time()))
}

// beginning is when a task's present turn began; when its log cannot be read,
// its end must do.
func (t *Tracer) beginning(ctx context.Context, tk task.Task, end task.Event) task.Stamp {
	if tk.Terms.Turn == 1 {
		return tk.CreatedAt
	}
	events, err := t.reader.Events(ctx, tk.OrganizationID, tk.ID, tk.FirstSeq-1, 1)
	if err != nil || len(events) == 0 {
		return end.Time
	}
	return events[0].Time
}

// attempt makes the span of a run attempt, from its start to the moment in
// which it ceased to own the turn. One that outlived its turn and was cut off
// by the next has none: the trace that it belonged to is forgotten by then.
func (t *Tracer) attempt(ctx context.Context, x turn, tk task.Task, a task.Attempt) {
	if !a.Started() || a.Turn != tk.Terms.Turn {
		return
	}
	span := t.start(ctx, x, x.under(x.whole(), true), x.attempt(a.Number), "attempt", a.StartedAt, trace.SpanKindConsumer, append(about(tk),
		attribute.Int("errand.attempt", a.InTurn), attribute.String("errand.worker.id", a.WorkerID),
		attribute.String("errand.attempt.outcome", string(a.Outcome)))...)
	switch a.Outcome {
	case task.OutcomeFinished:
		fail(span, tk.Ended())
	case task.OutcomeLost, task.OutcomeFailed, task.OutcomeTimedOut, task.OutcomeAbandoned:
		span.SetStatus(codes.Error, string(a.Outcome))
	case task.OutcomeUnassigned, task.OutcomePaused, task.OutcomeWaiting, task.OutcomeReleased, task.OutcomeStopped, task.OutcomeOverruled:
	}
	span.End(trace.WithTimestamp(a.EndedAt.Time()))
}

// fail says of a span that it ended in a way that nobody wanted.
func fail(span trace.Span, reason task.EndReason) {
	if s := reason.Status(); s == task.Failed || s == task.Error {
		span.SetAttributes(attribute.String("error.type", string(reason)))
		span.SetStatus(codes.Error, string(reason))
	}
}
