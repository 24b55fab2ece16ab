package observe

import (
	"context"
	"crypto/sha256"
	"encoding/binary"

	"go.opentelemetry.io/otel/trace"

	"github.com/errand-dev/errand/server/internal/task"
	"github.com/errand-dev/errand/server/internal/traceparent"
)

// turn is what the ids of a turn's spans follow from. They are digests of what
// the store keeps of the turn, so every server makes the same.
type turn struct {
	seed  [sha256.Size]byte
	trace trace.TraceID
	// caller is the span of the request that began the turn, if it named one.
	caller trace.SpanContext
}

// turnOf is the present turn of a task. It belongs to the trace of the request
// that began it, or else is a trace of its own.
func turnOf(t task.Task) turn {
	var x turn
	key := append([]byte(t.OrganizationID+"\x00"+t.ID+"\x00"), 0)
	key = binary.BigEndian.AppendUint64(key, uint64(t.CreatedAt))  //nolint:gosec // any number will do
	key = binary.BigEndian.AppendUint64(key, uint64(t.Terms.Turn)) //nolint:gosec // likewise
	x.seed = sha256.Sum256(key)
	if c, ok := traceparent.Parse(t.TraceParent); ok {
		x.trace, x.caller = c.Trace, remote(c.Trace, c.Span, c.Sampled)
		return x
	}
	copy(x.trace[:], x.seed[:])
	return x
}

// span is the id of one of the turn's spans.
func (x turn) span(what string, number int64) trace.SpanID {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(append(x.seed[:], what...), uint64(number))) //nolint:gosec // any number will do
	return trace.SpanID(sum[:8])
}

// The spans of a turn, outermost first.
func (x turn) create() trace.SpanID            { return x.span("create", 0) }
func (x turn) whole() trace.SpanID             { return x.span("task", 0) }
func (x turn) attempt(number int) trace.SpanID { return x.span("attempt", int64(number)) }
func (x turn) toolCall(seq int64) trace.SpanID { return x.span("tool", seq) }
func (x turn) under(id trace.SpanID, sampled bool) trace.SpanContext {
	return remote(x.trace, id, sampled)
}

// remote is the context of a span that need not be this process's.
func remote(id trace.TraceID, span trace.SpanID, sampled bool) trace.SpanContext {
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: id, SpanID: span, TraceFlags: trace.FlagsSampled.WithSampled(sampled), Remote: true,
	})
}

// chosenIDs gives spans the ids that were chosen for them.
type chosenIDs struct{}

type chosenKey struct{}

type chosen struct {
	trace trace.TraceID
	span  trace.SpanID
}

// NewIDs implements sdktrace.IDGenerator.
func (chosenIDs) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	c, _ := ctx.Value(chosenKey{}).(chosen)
	return c.trace, c.span
}

// NewSpanID implements sdktrace.IDGenerator.
func (g chosenIDs) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	_, id := g.NewIDs(ctx)
	return id
}
