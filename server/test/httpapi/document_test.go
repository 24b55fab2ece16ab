package httpapi_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"
	"github.com/pb33f/libopenapi-validator/errors"

	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	v1 "github.com/errand-dev/errand/server/internal/httpapi/v1"
)

// document is the served OpenAPI document and what checks messages against it.
type document struct {
	validator.Validator
	text []byte
	err  error
}

// served reads the document once for all tests of this package: it takes longer
// to understand than to serve.
//
//nolint:gochecknoglobals // see above
var served = sync.OnceValue(func() document {
	mux := http.NewServeMux()
	v1.Face(v1.Options{Version: "test", Cookie: edge.SessionCookie{Name: "errand_01234567"}}).Register(mux)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/openapi.json", http.NoBody))
	d := document{text: w.Body.Bytes()}
	parsed, err := libopenapi.NewDocument(d.text)
	if err != nil {
		return document{err: err}
	}
	checks, errs := validator.NewValidator(parsed, config.WithFormatAssertions())
	if len(errs) > 0 {
		return document{err: errs[0]}
	}
	d.Validator = checks
	return d
})

// checkDocumented holds a request to /v1 and its answer to the document: every
// answer must be one that the document promises, and a request that the
// document forbids must not have been accepted.
func checkDocumented(tb testing.TB, c call, got answer) {
	tb.Helper()
	u, err := url.Parse(c.path)
	if err != nil || !strings.HasPrefix(u.Path, "/v1/") || strings.Contains(u.Path, "//") || strings.HasSuffix(u.Path, "/") || u.RawPath != "" {
		return // another face, or a spelling that only the normalizer understands
	}
	if u.Path == "/v1/openapi.json" || u.Path == "/v1/docs" {
		return // the document itself
	}
	d := served()
	if d.err != nil {
		tb.Fatalf("read the document: %v", d.err)
	}
	request := func() *http.Request {
		r := httptest.NewRequestWithContext(tb.Context(), c.method, c.path, strings.NewReader(c.body))
		r.Header.Set("x-api-key", "a key")
		switch { // whatever was sent is read as this
		case u.Path == "/v1/files":
			r.Header.Set("Content-Type", "application/octet-stream")
		case c.body != "":
			r.Header.Set("Content-Type", "application/json")
		}
		for name, value := range c.header {
			r.Header.Set(name, value)
		}
		return r
	}
	res := &http.Response{StatusCode: got.status, Header: got.header, Body: io.NopCloser(bytes.NewReader(got.body))}
	ok, wrong := d.ValidateHttpResponse(request(), res)
	if got.status < 300 && ok {
		ok, wrong = d.ValidateHttpRequest(request())
	}
	if ok {
		return
	}
	for _, w := range wrong {
		if w.IsPathMissingError() || w.IsOperationMissingError() {
			if got.status == http.StatusNotFound || got.status == http.StatusMethodNotAllowed || got.status == http.StatusUnauthorized {
				continue // no such route, and none was answered
			}
		}
		tb.Errorf("%s %s answered %d, which the document does not say: %s %s\n%s\n%s", c.method, c.path, got.status, w.Message, w.Reason, reasons(w), clip(got.body))
	}
}

// checkEvent holds an event of a stream of /v1 to the document, which describes
// events as the items of a page.
func checkEvent(t *testing.T, c call, data string) {
	t.Helper()
	if strings.HasPrefix(c.path, "/v1/") && !strings.HasPrefix(c.path, "/v1/events?") {
		checkDocumented(t, call{method: http.MethodGet, path: "/v1/tasks/x/events"}, answer{
			status: http.StatusOK, header: http.Header{"Content-Type": {"application/json"}},
			body: []byte(`{"items": [` + data + `], "next_after": 1, "done": false}`),
		})
	}
}

func reasons(w *errors.ValidationError) string {
	var all strings.Builder
	for _, s := range w.SchemaValidationErrors {
		all.WriteString(s.FieldPath + ": " + s.Reason + "\n")
	}
	return all.String()
}

// The document is one: OpenAPI 3.1, valid in itself.
func TestDocumentIsValid(t *testing.T) {
	t.Parallel()
	d := served()
	if d.err != nil {
		t.Fatal(d.err)
	}
	if ok, wrong := d.ValidateDocument(); !ok {
		for _, w := range wrong {
			t.Errorf("%s: %s\n%s", w.Message, w.Reason, reasons(w))
		}
	}
	if v := object(t, d.text)["openapi"]; v != "3.1.0" {
		t.Errorf("it is of version %v", v)
	}
}

// The page is for everybody, made from the document, and asks nobody for
// anything: no script but its search, no other host.
func TestDocsPage(t *testing.T) {
	t.Parallel()
	s := start(t)
	got := s.do(t, call{method: "GET", path: "/v1/docs", key: "-"})
	if kind := got.header.Get("Content-Type"); got.status != 200 || kind != "text/html; charset=utf-8" {
		t.Fatalf("answered %d with %q", got.status, kind)
	}
	page := string(got.body)
	before, after, _ := strings.Cut(page, "<script>")
	script, after, _ := strings.Cut(after, "</script>")
	digest := sha256.Sum256([]byte(script))
	want := "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-" + base64.StdEncoding.EncodeToString(digest[:]) + "'; "
	if policy := got.header.Get("Content-Security-Policy"); script == "" || !strings.HasPrefix(policy, want) {
		t.Errorf("policy %q, want %q", policy, want)
	}
	page = before + after
	for _, foreign := range []string{"<script", "<link", "<img", "<iframe", "src=", "@import", "url("} {
		if strings.Contains(page, foreign) {
			t.Errorf("it holds %q", foreign)
		}
	}
	doc := s.must(t, 200, call{method: "GET", path: "/v1/openapi.json", key: "-"})
	for path, item := range doc["paths"].(map[string]any) {
		for method, op := range item.(map[string]any) {
			id := op.(map[string]any)["operationId"].(string)
			if !strings.Contains(page, `id="`+id+`"`) || !strings.Contains(page, `<b>`+strings.ToUpper(method)+`</b> `+path+`<`) {
				t.Errorf("it lacks %s %s", method, path)
			}
		}
	}
	for name := range doc["components"].(map[string]any)["schemas"].(map[string]any) {
		if !strings.Contains(page, `<article id="`+name+`"`) {
			t.Errorf("it lacks %s", name)
		}
	}
	if curls := strings.Count(page, "<pre>curl "); curls < 50 {
		t.Errorf("it has %d commands", curls)
	}
	if len(page) > 512<<10 {
		t.Errorf("it is %d bytes long", len(page))
	}
}

// Whoever reads it learns what every field, parameter, answer and operation is.
func TestDocumentExplainsEverything(t *testing.T) {
	t.Parallel()
	doc := object(t, served().text)
	said := func(where string, what any) {
		t.Helper()
		m, _ := what.(map[string]any)
		if text, _ := m["description"].(string); strings.TrimSpace(text) == "" {
			t.Errorf("%s has no description", where)
		}
	}
	for name, schema := range doc["components"].(map[string]any)["schemas"].(map[string]any) {
		properties, _ := schema.(map[string]any)["properties"].(map[string]any)
		for property, is := range properties {
			said(name+"."+property, is)
		}
	}
	for path, item := range doc["paths"].(map[string]any) {
		for method, op := range item.(map[string]any) {
			op, name := op.(map[string]any), method+" "+path
			said(name, op)
			if roles, _ := op["description"].(string); !strings.Contains(roles, "Roles: admin") && name != "post /v1/session" && name != "get /v1/session/ways" {
				t.Errorf("%s does not say who may use it", name)
			}
			if summary, _ := op["summary"].(string); summary == "" {
				t.Errorf("%s has no summary", name)
			}
			parameters, _ := op["parameters"].([]any)
			for _, p := range parameters {
				said(name+" "+p.(map[string]any)["name"].(string), p)
			}
			answers := op["responses"].(map[string]any)
			for status, answer := range answers {
				said(name+" "+status, answer)
			}
			for _, status := range []string{"401", "403", "422", "500", "503"} {
				if answers[status] == nil {
					t.Errorf("%s does not document %s", name, status)
				}
			}
		}
	}
}
