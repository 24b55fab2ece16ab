package v1

import (
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/errand-dev/errand/server/internal/httpapi/edge"
)

// reading is one of the API's bodies, in both ways of reading it.
type reading struct {
	name string
	of   reflect.Type
	form form
	huma func(text []byte) (reflect.Value, error)
}

// readings are all bodies of the API that have a form.
func readings(tb testing.TB) []reading {
	tb.Helper()
	mux := http.NewServeMux()
	r := register(mux, Options{Cookie: edge.SessionCookie{Name: "session"}})
	schemas := r.api.OpenAPI().Components.Schemas
	var all []reading
	for _, of := range []reflect.Type{
		reflect.TypeFor[TaskCreate](), reflect.TypeFor[TaskBatch](), reflect.TypeFor[ClaimBody](), reflect.TypeFor[FinishBody](),
		reflect.TypeFor[FinishedAttempt](), reflect.TypeFor[HeartbeatBody](), reflect.TypeFor[ReleaseBody](), reflect.TypeFor[AppendBody](),
	} {
		f := formOfBody(schemas, of)
		if f == nil {
			tb.Errorf("%s has no form", of)
			continue
		}
		all = append(all, reading{of.Name(), of, f, func(text []byte) (reflect.Value, error) { return readByHuma(schemas, of, text) }})
	}
	return all
}

// readByHuma reads a body as huma does.
func readByHuma(schemas huma.Registry, of reflect.Type, text []byte) (reflect.Value, error) {
	into := reflect.New(of)
	var plain any
	if err := json.Unmarshal(text, &plain); err != nil {
		return into, err
	}
	var found huma.ValidateResult
	huma.Validate(schemas, schemas.Schema(of, true, ""), huma.NewPathBuffer(nil, 0), huma.ModeWriteToServer, plain, &found)
	err := errors.Join(append(found.Errors, json.Unmarshal(text, into.Interface()))...)
	if slots := into.Elem().FieldByName("Slots"); slots.IsValid() && slots.IsZero() {
		slots.SetInt(1) // its default
	}
	return into.Elem(), err
}

// FuzzQuickReadsWhatHumaReads holds for any body that what a form reads is what huma
// reads, and that huma finds nothing wrong with it.
func FuzzQuickReadsWhatHumaReads(f *testing.F) {
	for _, seed := range seeds() {
		f.Add([]byte(seed))
	}
	all := readings(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, x := range all {
			got := reflect.New(x.of).Elem()
			if !x.form.reads(text, got) {
				continue
			}
			want, err := x.huma(text)
			if err != nil {
				t.Errorf("%s: %s was read, but %v", x.name, text, err)
			} else if diff := cmp.Diff(want.Interface(), got.Interface(), cmp.Exporter(func(reflect.Type) bool { return true })); diff != "" {
				t.Errorf("%s: %s is not read as huma does: %s", x.name, text, diff)
			}
		}
	})
}

// seeds are bodies of all kinds: each is read by a form, or by huma alone.
func seeds() []string { return append(plainBodies(), oddBodies()...) }

// plainBodies are right in every way.
func plainBodies() []string {
	return []string{
		`{"agent_id":"a","input":{"text":"Grüße \ud83d\ude00 \n\"","files":["http://x"],"user":{"email":"a@b"}},"title":"t","priority":-3,"timeout":1.5e1,` +
			`"run_locally":true,"output_format":"json","output_schema":{"type":"object"},"tags":["a","b"],"max_attempts":2}`,
		` { "tasks" : [ {"agent_id":"a","input":{},"idempotency_key":"k"} ] , "all" : false } `,
		`{"agent_ids":["a","b"],"worker_id":"w","wait":0.5}`,
		`{"agent_ids":["a"],"worker_id":"w","slots":7,"finished":[{"task_id":"t","lease_token":"x","status":"completed"},1]}`,
		`{"lease_token":"x","status":"failed","end_reason":"worker_error","result":"r","tokens":{"prompt_tokens":1},"retry":true,"delay":2}`,
		`{"task_id":"t","lease_token":"x","status":"stopped"}`,
		`{"lease_token":"x","internal_status":"note"}`,
		`{"lease_token":"x","delay":1,"reason":"r"}`,
		`{"lease_token":"x","events":[{"type":"chunk","data":"word ","client_id":"1-2"},{"type":"think","data":{"a":[1]}}]}`,
	}
}

// oddBodies are for huma.
func oddBodies() []string {
	return []string{
		``, `{}`, `null`, `[]`, `{"agent_id":"a","input":{"text":null}}`, `{"agent_id":"","input":{}}`, `{"agent_id":"a","input":{},"Title":"t"}`,
		`{"agent_id":"a","agent_id":"b","input":{}}`, `{"agent_id":"a","input":{},"priority":101}`, `{"agent_id":"a","input":{},"priority":1.0}`,
		`{"agent_id":"a","input":{},"output_format":"xml"}`, `{"agent_id":"a","input":{},"tags":null}`, `{"agent_ids":[],"worker_id":"w"}`,
		`{"agent_ids":["a"],"worker_id":"w","slots":0}`, `{"agent_ids":["a"],"worker_id":"w","wait":61}`, `{"events":[]}`, `{"events":[{"type":"no","data":1}]}`,
		`{"events":[{"type":"chunk"}]}`, `{"events":[{"type":"chunk","data":null}]}`, `{"lease_token":"x","status":"running"}`, `{"lease_token":"x"} x`,
		"{\"lease_token\":\"\xff\"}", `{"lease_token":"\ud800"}`, `{"agent_id":"a","input":{},"run_at":"2026-01-01T00:00:00Z","budget":{"cost":1}}`,
		`{"lease_token":"x","events":[{"type":"think","data":1e400}]}`, `{"lease_token":"x","events":[{"type":"think","data":{"a":[2E999]}}]}`,
		`{"lease_token":"x","events":[{"type":"think","data":` + strings.Repeat("9", 400) + `}]}`,
	}
}

// TestPlainBodiesAreReadQuickly: a body that is right is decoded once. Each kind of body
// is among them.
func TestPlainBodiesAreReadQuickly(t *testing.T) {
	t.Parallel()
	all := readings(t)
	for _, text := range plainBodies() {
		read := false
		for _, x := range all {
			read = read || x.form.reads([]byte(text), reflect.New(x.of).Elem())
		}
		if !read {
			t.Errorf("no form reads %s", text)
		}
	}
	for _, text := range oddBodies() {
		for _, x := range all {
			if text != `{"lease_token":"\ud800"}` && x.form.reads([]byte(text), reflect.New(x.of).Elem()) {
				t.Errorf("%s is read as %s", text, x.name)
			}
		}
	}
}

// BenchmarkReadBody reads what comes most often, by its form and by huma.
func BenchmarkReadBody(b *testing.B) {
	chunks := `{"lease_token":"8P1q8P1q8P1q8P1q8P1q8P1q8P1q8P1q","events":[` +
		strings.TrimSuffix(strings.Repeat(`{"type":"chunk","data":"word ","client_id":"1-17"},`, 20), ",") + `]}`
	for of, text := range map[string]string{
		"TaskCreate": `{"agent_id":"bench","title":"bench","input":{"text":"` + strings.Repeat("Analyze the sales data, please. ", 16) + `"}}`,
		"AppendBody": chunks,
		"FinishBody": `{"lease_token":"8P1q8P1q8P1q8P1q8P1q8P1q8P1q8P1q","status":"completed","result":"done"}`,
	} {
		for _, x := range readings(b) {
			if x.name != of {
				continue
			}
			b.Run(of+"/form", func(b *testing.B) {
				for b.Loop() {
					x.form.reads([]byte(text), reflect.New(x.of).Elem())
				}
			})
			b.Run(of+"/huma", func(b *testing.B) {
				for b.Loop() {
					_, _ = x.huma([]byte(text))
				}
			})
		}
	}
}
