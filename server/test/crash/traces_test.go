package crash

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// receiver is a collector that keeps the spans that it is sent.
type receiver struct {
	*httptest.Server
	mu        sync.Mutex
	spans     []*trace.Span
	resources []string
	told      strings.Builder // everything, as text
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		var sent collector.ExportTraceServiceRequest
		if err != nil || req.URL.Path != "/v1/traces" || proto.Unmarshal(body, &sent) != nil {
			t.Errorf("the collector was sent %s %q: %v", req.URL, body, err)
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.told.WriteString(sent.String())
		for _, from := range sent.ResourceSpans {
			r.resources = append(r.resources, attributes(from.Resource.Attributes))
			for _, scope := range from.ScopeSpans {
				r.spans = append(r.spans, scope.Spans...)
			}
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func attributes(list []*common.KeyValue) string {
	var all []string
	for _, kv := range list {
		value := kv.Value.GetStringValue()
		if n, isNumber := kv.Value.Value.(*common.AnyValue_IntValue); isNumber {
			value = strconv.FormatInt(n.IntValue, 10)
		}
		all = append(all, kv.Key+"="+value)
	}
	return strings.Join(all, " ")
}

// of lists the spans of a task by their names.
func (r *receiver) of(task string) map[string]*trace.Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := map[string]*trace.Span{}
	for _, s := range r.spans {
		if strings.Contains(attributes(s.Attributes)+" ", "errand.task.id="+task+" ") {
			found[s.Name] = s
		}
	}
	return found
}

// wait waits for the named spans of a task.
func (r *receiver) wait(t *testing.T, task string, names ...string) map[string]*trace.Span {
	t.Helper()
	var found map[string]*trace.Span
	eventually(t, 20*time.Second, fmt.Sprintf("the spans %q of %s are sent", names, task), func() bool {
		found = r.of(task)
		for _, name := range names {
			if found[name] == nil {
				return false
			}
		}
		return true
	})
	return found
}

// traced makes a server that sends its traces to a collector at once.
func traced(t *testing.T, endpoint string) *server {
	t.Helper()
	s := prepareServer(t)
	s.env = []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + endpoint, "OTEL_BSP_SCHEDULE_DELAY=20",
		"OTEL_SERVICE_NAME=tasks", "OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=test",
	}
	return s
}

// parents says of spans what each is under.
func parents(spans map[string]*trace.Span) string {
	names := map[string]string{"": "nothing"}
	for name, s := range spans {
		names[string(s.SpanId)] = name
	}
	var all []string
	for _, name := range []string{"create task", "task", "attempt", "tool call"} {
		if s := spans[name]; s != nil {
			parent := names[string(s.ParentSpanId)]
			if parent == "" {
				parent = hex.EncodeToString(s.ParentSpanId)
			}
			all = append(all, name+" < "+parent)
		}
	}
	return strings.Join(all, ", ")
}

// A trace goes from the request that made the task to its end, whatever
// happens to the server in between.
func TestTraceSurvivesTheServer(t *testing.T) {
	t.Parallel()
	const (
		traceID, callerID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
		secret            = "nobody-but-the-worker-reads-this"
	)
	r := newReceiver(t)
	s := traced(t, r.URL)
	s.start(t)
	c := s.client()
	c.putWorkerAgent(t, "w", 30)
	create := func(id, traceParent string) {
		t.Helper()
		c.must(t, http.StatusCreated, http.MethodPost, "/v1/tasks", obj{"id": id, "agent_id": "w", "title": secret, "input": obj{"text": secret}},
			"traceparent", traceParent)
	}
	write := func(id string, lease claimed, verb string, body obj) {
		t.Helper()
		body["lease_token"] = lease.Lease.Token
		c.must(t, http.StatusOK, http.MethodPost, "/v1/tasks/"+id+"/"+verb, body)
	}
	tool := func(kind string) obj {
		return obj{"events": []obj{{"type": kind, "data": obj{
			"request_id": "call-1", "tool_name": "search", "payload": obj{"q": secret}, "result": secret, "is_error": kind == "tool_call_result",
		}}}}
	}
	create("joined", "00-"+traceID+"-"+callerID+"-01")
	first := c.claim(t, "w", "worker-1")
	write("joined", first, "events", tool("tool_call_request"))
	create("own", "")
	create("unsampled", "00-"+strings.Repeat("a", 32)+"-"+callerID+"-00")
	r.wait(t, "joined", "create task")
	r.wait(t, "own", "create task")

	s.kill(t)
	s.start(t)
	write("joined", first, "events", tool("tool_call_result"))
	write("joined", first, "finish", obj{"status": "completed", "result": secret})
	own, unsampled := c.claim(t, "w", "worker-1"), c.claim(t, "w", "worker-1")
	write("own", own, "finish", obj{"status": "failed", "end_reason": "budget", "result": secret})
	write("unsampled", unsampled, "finish", obj{"status": "completed"})
	log, _ := c.mustLog(t, "joined")
	s.term(t) // by its end it has sent everything
	if code := s.proc.ended(t, 15*time.Second); code != 0 {
		t.Errorf("it ended with %d", code)
	}

	spans := r.wait(t, "joined", "create task", "task", "attempt", "tool call")
	if got, want := parents(spans), "create task < "+callerID+", task < create task, attempt < task, tool call < attempt"; got != want {
		t.Errorf("the spans are nested like this: %s, want %s", got, want)
	}
	at := map[string]uint64{}
	for _, e := range log {
		at[e.Type] = uint64(e.Time.UnixNano())
	}
	for name, want := range map[string]struct {
		kind       trace.Span_SpanKind
		begin, end string
		status     trace.Status_StatusCode
		attributes string
	}{
		"create task": {trace.Span_SPAN_KIND_PRODUCER, "task_created", "task_created", trace.Status_STATUS_CODE_UNSET, ""},
		"task": {
			trace.Span_SPAN_KIND_INTERNAL, "task_created", "task_finished", trace.Status_STATUS_CODE_UNSET,
			" errand.task.status=completed errand.task.end_reason=completed errand.task.attempts=1",
		},
		"attempt": {
			trace.Span_SPAN_KIND_CONSUMER, "attempt_started", "task_finished", trace.Status_STATUS_CODE_UNSET,
			" errand.attempt=1 errand.worker.id=worker-1 errand.attempt.outcome=finished",
		},
		"tool call": {
			trace.Span_SPAN_KIND_INTERNAL, "tool_call_request", "tool_call_result", trace.Status_STATUS_CODE_ERROR,
			" gen_ai.tool.name=search gen_ai.tool.call.id=call-1",
		},
	} {
		span := spans[name]
		want.attributes = "errand.organization.id=default errand.task.id=joined errand.task.turn=1 gen_ai.agent.id=w" + want.attributes
		switch {
		case hex.EncodeToString(span.TraceId) != traceID, span.Kind != want.kind, attributes(span.Attributes) != want.attributes,
			span.GetStatus().GetCode() != want.status:
			t.Errorf("%s: %s", name, span)
		case span.StartTimeUnixNano != at[want.begin] || span.EndTimeUnixNano != at[want.end]:
			t.Errorf("%s is not from %s to %s: %s", name, want.begin, want.end, span)
		}
	}
	place := func(span *trace.Span) string {
		return fmt.Sprintf("00-%s-%s-01", hex.EncodeToString(span.TraceId), hex.EncodeToString(span.SpanId))
	}
	if first.TraceParent != place(spans["attempt"]) {
		t.Errorf("the first worker was told %s, its attempt's span is %s", first.TraceParent, place(spans["attempt"]))
	}

	spans = r.wait(t, "own", "create task", "task", "attempt")
	if got, want := parents(spans), "create task < nothing, task < create task, attempt < task"; got != want {
		t.Errorf("the spans are nested like this: %s, want %s", got, want)
	}
	if own.TraceParent != place(spans["attempt"]) {
		t.Errorf("the worker was told %s, its attempt's span is %s", own.TraceParent, place(spans["attempt"]))
	}
	for _, name := range []string{"task", "attempt"} {
		if status := spans[name].GetStatus(); status.GetCode() != trace.Status_STATUS_CODE_ERROR || status.GetMessage() != "budget" {
			t.Errorf("%s: %s", name, spans[name])
		}
	}
	if !strings.HasSuffix(unsampled.TraceParent, "-00") || len(r.of("unsampled")) > 0 {
		t.Errorf("what the caller did not sample was: %s %v", unsampled.TraceParent, r.of("unsampled"))
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	for _, about := range r.resources {
		if !strings.Contains(about, "service.name=tasks") || !strings.Contains(about, "deployment.environment.name=test") {
			t.Errorf("the traces are of %s", about)
		}
	}
	for _, kept := range []string{secret, first.Lease.Token, adminKey} {
		if strings.Contains(r.told.String(), kept) {
			t.Errorf("the collector was told %q", kept)
		}
	}
	s.quiet(t)
}

// A program continues the trace of its attempt by the environment.
func TestProgramIsToldItsTrace(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	s := traced(t, r.URL)
	config := filepath.Join(t.TempDir(), "errand.yaml")
	if err := os.WriteFile(config, []byte("commands: {say: {run: [sh, -c, 'printf %s $TRACEPARENT']}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.args = []string{"--config", config}
	s.start(t)
	c := s.client()
	c.must(t, http.StatusOK, http.MethodPut, "/v1/agents/say", obj{"name": "say", "runtime": "command", "command": "say"})
	c.create(t, obj{"id": "say-1", "agent_id": "say", "input": obj{"text": "which trace?"}})
	result := c.ends(t, "say-1").Result
	span := r.wait(t, "say-1", "attempt")["attempt"]
	want := fmt.Sprintf("00-%s-%s-01", hex.EncodeToString(span.TraceId), hex.EncodeToString(span.SpanId))
	if result == nil || *result != want {
		t.Errorf("the program saw %v, its attempt's span is %s", result, want)
	}

	// The next turn is a trace of its own, from its own beginning.
	c.create(t, obj{"id": "say-1", "agent_id": "say", "input": obj{"text": "and now?"}})
	var next *trace.Span
	eventually(t, 20*time.Second, "the second turn's span is sent", func() bool {
		next = r.of("say-1")["task"]
		return next != nil && strings.Contains(attributes(next.Attributes), "errand.task.turn=2")
	})
	log, _ := c.mustLog(t, "say-1")
	for _, e := range log {
		if e.Turn == 2 && e.Type == "task_created" && next.StartTimeUnixNano != uint64(e.Time.UnixNano()) {
			t.Errorf("the second turn began at %s: %s", e.Time, next)
		}
	}
	if string(next.TraceId) == string(span.TraceId) {
		t.Error("both turns are one trace")
	}
	s.quiet(t)
}

// A collector that cannot be reached costs nobody anything.
func TestTracesHoldNobodyUp(t *testing.T) {
	t.Parallel()
	s := traced(t, "http://"+freeAddr(t))
	s.start(t)
	c := s.client()
	c.putWorkerAgent(t, "w", 30)
	c.create(t, obj{"id": "t", "agent_id": "w", "input": obj{"text": "x"}})
	c.claim(t, "w", "worker-1")
	s.term(t)
	if code := s.proc.ended(t, 15*time.Second); code != 0 {
		t.Errorf("it ended with %d", code)
	}
	s.quiet(t)
}
