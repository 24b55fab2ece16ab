package observe

import (
	"log/slog"
	"strings"
	"testing"
)

func TestTracesAreOffUnlessACollectorIsNamed(t *testing.T) {
	const all, traces = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	t.Setenv("OTEL_TRACES_EXPORTER", "")
	for _, c := range []struct {
		set  map[string]string
		want bool
	}{
		{map[string]string{}, false},
		{map[string]string{all: "http://127.0.0.1:4318"}, true},
		{map[string]string{traces: "http://127.0.0.1:4318/v1/traces"}, true},
		{map[string]string{all: "http://127.0.0.1:4318", "OTEL_SDK_DISABLED": "true"}, false},
		{map[string]string{all: "http://127.0.0.1:4318", "OTEL_TRACES_EXPORTER": "none"}, false},
	} {
		for _, name := range []string{all, traces, "OTEL_TRACES_EXPORTER", "OTEL_SDK_DISABLED"} {
			t.Setenv(name, c.set[name])
		}
		if got := TracesWanted(); got != c.want {
			t.Errorf("%v: %t", c.set, got)
		}
	}
}

func TestOtherProtocolsAreRefused(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
	_, err := NewTracer(t.Context(), "v", slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "OTEL_EXPORTER_OTLP_PROTOCOL=grpc") {
		t.Errorf("grpc: %v", err)
	}
}
