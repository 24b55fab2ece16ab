package observe

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/errand-dev/errand/server/internal/feed"
	"github.com/errand-dev/errand/server/internal/task"
)

// Tracer makes spans of committed changes and sends them to an OpenTelemetry
// collector. A nil Tracer makes none. Its methods are safe for concurrent use.
//
// What a span needs is in the store, and its id follows from that (see turn):
// a server that was started anew goes on with the traces of the one before.
// Nothing waits for a trace: if spans cannot be made or sent fast enough, they
// are left out.
type Tracer struct {
	provider *sdktrace.TracerProvider
	spans    trace.Tracer
	log      *slog.Logger
	reader   Log
	begun    task.Stamp
	calls    calls

	commits       chan []task.Change
	missed        atomic.Int64 // commits since the last that was taken
	closing, done chan struct{}
}

// Log reads what was committed (package lifecycle).
type Log interface {
	Now() task.Stamp
	Events(ctx context.Context, org, id string, after int64, limit int, types ...task.Type) ([]task.Event, error)
}

const (
	// waitingCommits bounds what waits to be made spans of.
	waitingCommits = 1024
	// lastSend bounds how long the last spans may take when the server ends.
	lastSend = 3 * time.Second
)

// TracesWanted reports whether the environment names a collector for traces,
// in the variables that OpenTelemetry has for it.
func TracesWanted() bool {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") || os.Getenv("OTEL_TRACES_EXPORTER") == "none" {
		return false
	}
	return os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != ""
}

// NewTracer makes a tracer that is configured by the environment. Close ends it.
func NewTracer(ctx context.Context, version string, log *slog.Logger) (*Tracer, error) {
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		if p := os.Getenv(name); p != "" && p != "http/protobuf" {
			return nil, fmt.Errorf("%s=%s: traces are sent by http/protobuf only; name the collector's port for that, usually 4318", name, p)
		}
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_ENDPOINT: %w", err)
	}
	about, err := resource.New(ctx, resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", "errand"), attribute.String("service.version", version)),
		resource.WithFromEnv()) // which has the last word
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.WarnContext(ctx, "traces are not sent", "error", err) }))
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter), sdktrace.WithResource(about), sdktrace.WithIDGenerator(chosenIDs{}))
	return &Tracer{
		provider: provider, spans: provider.Tracer("github.com/errand-dev/errand"), log: log, calls: calls{},
		commits: make(chan []task.Change, waitingCommits), closing: make(chan struct{}), done: make(chan struct{}),
	}, nil
}

// Committed takes what has happened to tasks.
func (t *Tracer) Committed(entries []feed.Entry) {
	if t == nil {
		return
	}
	changes := make([]task.Change, 0, len(entries))
	for _, e := range entries {
		if e.Change != nil { // else another node makes its spans
			changes = append(changes, *e.Change)
		}
	}
	if len(changes) == 0 {
		return
	}
	select {
	case t.commits <- changes:
	default:
		t.missed.Add(1)
	}
}

// Start begins to make spans of what Committed takes.
func (t *Tracer) Start(ctx context.Context, reader Log) {
	if t == nil {
		return
	}
	t.reader, t.begun = reader, reader.Now()
	go t.run(context.WithoutCancel(ctx))
}

// run makes spans until the tracer is closed and nothing waits.
func (t *Tracer) run(ctx context.Context) {
	defer close(t.done)
	for {
		select {
		case changes := <-t.commits:
			t.all(ctx, changes)
			continue
		default:
		}
		select {
		case changes := <-t.commits:
			t.all(ctx, changes)
		case <-t.closing:
			return
		}
	}
}

func (t *Tracer) all(ctx context.Context, changes []task.Change) {
	if n := t.missed.Swap(0); n > 0 {
		t.log.WarnContext(ctx, "the traces of some commits were left out: there were too many", "commits", n)
	}
	for _, c := range changes {
		t.change(ctx, c)
	}
}

// Close makes spans of what has been committed and sends what is left, if that
// does not take long.
func (t *Tracer) Close(ctx context.Context) {
	if t == nil {
		return
	}
	if t.reader != nil {
		close(t.closing)
		<-t.done
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastSend)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		t.log.WarnContext(ctx, "the last traces are not sent", "error", err)
	}
}
