package httpapi

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/errand-dev/errand/server/internal/httpapi/edge"
)

// normalized is the path and the organization that the router gets.
func normalized(t *testing.T, target string) (path, escaped, org string) {
	t.Helper()
	u, err := url.ParseRequestURI(target)
	if err != nil {
		t.Skip("no server gets such a request line")
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
	r.URL = u
	r = normalize(r)
	return r.URL.Path, r.URL.EscapedPath(), edge.Organization(r.Context())
}

// TestH1Normalize is the table of what becomes of a path.
func TestH1Normalize(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ given, want, org string }{
		{"/", "/", ""},
		{"//", "/", ""},
		{"/v1/tasks", "/v1/tasks", ""},
		{"/v1/tasks/", "/v1/tasks", ""},
		{"//v1///tasks//", "/v1/tasks", ""},
		{"/agents/a", "/agents/a", ""},
		{"/org1/agents/a", "/agents/a", "org1"},
		{"//org1//agents//a/", "/agents/a", "org1"},
		{"/None/agent-execution/t/events", "/agent-execution/t/events", "None"},
		{"/org1/events/a?environment=local/", "/events/a", "org1"},
		{"/o%20x/agents/a", "/agents/a", "o x"},
		{"/o%2Fx/agents/a", "/agents/a", "o/x"},
		{"/%61gents/agents", "/agents", "agents"}, // spelt so it is no word: an organization nobody may be called
		// A first word of the client's is never an organization.
		{"/agents/agents", "/agents/agents", ""},
		{"/agents/tools", "/agents/tools", ""},
		{"/events/events", "/events/events", ""},
		{"/agent-execution/agent-execution/x", "/agent-execution/agent-execution/x", ""},
		// Reserved words neither.
		{"/v1/agents/a", "/v1/agents/a", ""},
		{"/v1/tools", "/v1/tools", ""},
		{"/f/agents/x/y", "/f/agents/x/y", ""},
		{"/ui/agents", "/ui/agents", ""},
		{"/healthz/agents", "/healthz/agents", ""},
		{"/metrics/agents", "/metrics/agents", ""},
		// Only in front of a word of the client's.
		{"/org1/v1/tasks", "/org1/v1/tasks", ""},
		{"/org1/nothing", "/org1/nothing", ""},
		{"/org1", "/org1", ""},
		{"/org1/org2/agents/a", "/org1/org2/agents/a", ""},
		{"/org1/agents", "/agents", "org1"},
		{"/org1/agents/agents", "/agents/agents", "org1"},
		// No reserved word is an organization.
		{"/v1/agents/a", "/v1/agents/a", ""},
		{"/a2a/agents/a", "/a2a/agents/a", ""},
		{"/mcp/tools/x", "/mcp/tools/x", ""},
		{"/openai/agents/a", "/openai/agents/a", ""},
		{"/agui/agents/a", "/agui/agents/a", ""},
		{"/aisdk/agents/a", "/aisdk/agents/a", ""},
		{"/proxy/agents/a", "/proxy/agents/a", ""},
		// What is escaped stays one segment.
		{"/agent-execution/a%2Fb/status", "/agent-execution/a/b/status", ""},
		{"/v1/tasks/..", "/v1/tasks/..", ""},
		{"/./v1", "/./v1", ""},
	} {
		path, _, org := normalized(t, c.given)
		if path != c.want || org != c.org {
			t.Errorf("%s: became %q of organization %q, want %q of %q", c.given, path, org, c.want, c.org)
		}
	}
}

// FuzzNormalize holds for any path: afterwards it has no empty segment and none
// that the router would redirect, and doing it again changes nothing, unless it
// takes one more organization away.
func FuzzNormalize(f *testing.F) {
	for _, seed := range []string{"/", "//a//", "/org/agents/a", "/org/v1/x", "/a%2Fb/", "/%zz", "/./../agents", "/o/agents/%2e%2e/x", "/agents//agents//", "/%00/agents"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, target string) {
		if !strings.HasPrefix(target, "/") {
			t.Skip("not a path")
		}
		_, escaped, _ := normalized(t, target)
		if !strings.HasPrefix(escaped, "/") || strings.Contains(escaped, "//") || len(escaped) > 1 && strings.HasSuffix(escaped, "/") {
			t.Errorf("%q became %q", target, escaped)
		}
		for segment := range strings.SplitSeq(escaped, "/") {
			if segment == "." || segment == ".." {
				t.Errorf("%q became %q", target, escaped)
			}
		}
		_, again, more := normalized(t, escaped)
		if more == "" && again != escaped {
			t.Errorf("%q became %q, then %q", target, escaped, again)
		}
	})
}

func BenchmarkNormalize(b *testing.B) {
	for _, target := range []string{"/v1/tasks/0199c0de-0000-7000-8000-000000000000/finish", "/v1/tasks/0199c0de-0000-7000-8000-000000000000/finish/"} {
		b.Run(target[len(target)-7:], func(b *testing.B) {
			b.ReportAllocs()
			r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, target, http.NoBody)
			for b.Loop() {
				normalize(r)
			}
		})
	}
}
