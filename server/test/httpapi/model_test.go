package httpapi_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/errand-dev/errand/server/internal/app"
	"github.com/errand-dev/errand/server/internal/model"
)

const providerKey = "the-key-that-nobody-may-see"

// provider stands for an endpoint of models. It answers one request after the other
// as its script says, and notes what it was asked.
type provider struct {
	*httptest.Server
	mu     sync.Mutex
	script []func(http.ResponseWriter, *http.Request)
	asked  []map[string]any
	keys   []string
}

func newProvider(t *testing.T, script ...func(http.ResponseWriter, *http.Request)) *provider {
	t.Helper()
	p := &provider{script: script}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		var body map[string]any
		_ = json.Unmarshal(raw, &body)
		p.mu.Lock()
		n := len(p.asked)
		p.asked = append(p.asked, body)
		p.keys = append(p.keys, r.Header.Get("Authorization")+r.Header.Get("X-Api-Key"))
		p.mu.Unlock()
		if n >= len(p.script) {
			http.Error(w, "asked too often", http.StatusTeapot)
			return
		}
		p.script[n](w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *provider) host() string { return strings.TrimPrefix(p.URL, "http://") }

func (p *provider) requests() []map[string]any {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

// use lets a server ask the provider as openai.
func (p *provider) use(o *app.Options) {
	o.Providers = []model.Provider{{Name: model.OpenAI, BaseURL: p.URL + "/v1", Key: providerKey}}
	o.AllowModelHosts = []string{p.host()}
}

// says answers with chunks of chat completions.
func says(chunks ...string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for _, c := range chunks {
			fmt.Fprintf(w, "data: %s\n\n", c)
			w.(http.Flusher).Flush()
		}
	}
}

const ended = `{"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":12,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":5}}}`

// said makes a chunk of a text.
func said(text string) string {
	return fmt.Sprintf(`{"choices":[{"delta":{"content":%q}}]}`, text)
}

// refuses answers with an error.
func refuses(status int, header, value, body string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		if header != "" {
			w.Header().Set(header, value)
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

// modelAgent makes an agent whose model is asked by the server.
func (s *server) modelAgent(t *testing.T, members string) {
	t.Helper()
	s.must(t, 200, call{method: "PUT", path: "/v1/agents/sage", body: `{"name": "Sage", "runtime": "model", "model_name": "m-1"` + members + `}`})
}

// wonder creates a task for it.
func (s *server) wonder(t *testing.T, members string) {
	t.Helper()
	s.must(t, 201, call{method: "POST", path: "/v1/tasks", key: userKey, body: `{"agent_id": "sage", "id": "one", ` + members + `}`})
}

// told joins what a task's events of a type say, by a member of their data, or all of it.
func (s *server) told(t *testing.T, event, member string) string {
	t.Helper()
	text := ""
	for _, e := range s.events(t, "one") {
		if e["type"] != event {
			continue
		}
		data := e["data"]
		if member != "" {
			data = data.(map[string]any)[member]
		}
		text += fmt.Sprint(data)
	}
	return text
}

// A model's answer is streamed, its thoughts apart, and ends the task with its tokens;
// the next turn of the task knows what was said.
func TestModelAnswers(t *testing.T) {
	t.Parallel()
	p := newProvider(
		t,
		says(`{"choices":[{"delta":{"reasoning_content":"Let me see."}}]}`, said("Beca"), said("use."), ended, "[DONE]"),
		says(said("And so on."), ended),
	)
	s := start(t, p.use)
	s.modelAgent(t, `, "instructions": {"role": ["You are wise."], "goal": ["Truth"], "general": "Be brief."}, "temperature": 0.5, "max_tokens": 99`)
	file := s.upload(t, "facts.csv", "a,b\n1,2\n")
	s.wonder(t, fmt.Sprintf(`"input": {"text": "Why?", "files": [%q]},
		"expected_output": "One word", "additional_context": "It is late.", "output_format": "markdown"`, file["url"]))
	got := s.waitFor(t, "one", "completed")
	if got["result"] != "Because." {
		t.Errorf("result %q", got["result"])
	}
	if text := s.told(t, "chunk", ""); text != "Because." {
		t.Errorf("chunks say %q", text)
	}
	if text := s.told(t, "think", "thought"); text != "Let me see." {
		t.Errorf("thoughts say %q", text)
	}
	tokens, _ := got["tokens"].(map[string]any)
	for name, want := range map[string]float64{"prompt_tokens": 12, "completion_tokens": 3, "cache_read_tokens": 5} {
		if tokens[name] != want {
			t.Errorf("%s is %v, want %v", name, tokens[name], want)
		}
	}

	s.must(t, 201, call{method: "POST", path: "/v1/tasks", key: userKey, body: `{"agent_id": "sage", "id": "one", "input": {"text": "And?"},
		"llm_model_name": "m-2", "llm_reasoning_effort": "high", "instructions_override": "You are a child."}`})
	if got := s.waitFor(t, "one", "completed"); got["result"] != "And so on." {
		t.Errorf("second result %q", got["result"])
	}
	message := func(role, content string) any { return map[string]any{"role": role, "content": content} }
	streamed := map[string]any{"include_usage": true}
	want := []map[string]any{
		{
			"model": "m-1", "stream": true, "stream_options": streamed, "temperature": 0.5, "max_tokens": 99.0,
			"messages": []any{
				message("system", "You are wise.\n\nGoal:\nTruth\n\nBe brief.\n\nAnswer in Markdown."),
				message("user", "Why?\n\nExpected output: One word\n\nAdditional context:\nIt is late.\n\n<file name=\"facts.csv\">\na,b\n1,2\n\n</file>"),
			},
		},
		{
			"model": "m-2", "stream": true, "stream_options": streamed, "temperature": 0.5, "max_tokens": 99.0, "reasoning_effort": "high",
			"messages": []any{message("system", "You are a child."), message("user", "Why?"), message("assistant", "Because."), message("user", "And?")},
		},
	}
	if diff := cmp.Diff(want, p.requests()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	if p.keys[0] != "Bearer "+providerKey {
		t.Errorf("key %q", p.keys[0])
	}
	if strings.Contains(s.stored(t), providerKey) {
		t.Error("the key is in the database")
	}
}

// L4: what passes is tried again; an answer that broke off is void for whoever saw its
// beginning, and what it has used counts.
func TestL4ModelIsAskedAgain(t *testing.T) {
	t.Parallel()
	p := newProvider(
		t,
		refuses(429, "Retry-After-Ms", "1", `{"error":{"message":"slow down"}}`),
		says(said("It is so that"), `{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":1}}`),
		says(said("Because."), ended),
	)
	s := start(t, p.use)
	s.modelAgent(t, "")
	s.wonder(t, `"input": {"text": "Why?"}`)
	got := s.waitFor(t, "one", "completed")
	if got["result"] != "Because." || got["attempt"] != 1.0 {
		t.Errorf("result %q of attempt %v", got["result"], got["attempt"])
	}
	if tokens, _ := got["tokens"].(map[string]any); tokens["prompt_tokens"] != 22.0 || tokens["completion_tokens"] != 4.0 {
		t.Errorf("tokens %v", tokens)
	}
	shown := ""
	for _, e := range s.events(t, "one") {
		switch data, _ := e["data"].(map[string]any); {
		case e["type"] == "chunk":
			shown += fmt.Sprint(e["data"])
		case e["type"] == "task_compactization" && data["type"] == "retry":
			shown = ""
		}
	}
	if shown != "Because." || len(p.requests()) != 3 {
		t.Errorf("shown %q after %d requests", shown, len(p.requests()))
	}
}

// L4: a provider that wants to be left alone for long gets its attempt given back,
// uncounted, and the task says why it waits.
func TestL4ModelIsLeftAlone(t *testing.T) {
	t.Parallel()
	p := newProvider(t, refuses(503, "Retry-After", "300", `{"error":{"message":"Loading model"}}`))
	s := start(t, p.use)
	s.modelAgent(t, "")
	s.wonder(t, `"input": {"text": "Why?"}`)
	got := s.waitFor(t, "one", "pending")
	for got["waiting"] == nil || !strings.Contains(fmt.Sprint(got["waiting"]), "Loading model") {
		if len(p.requests()) > 1 {
			t.Fatal("it was asked again")
		}
		got = s.waitFor(t, "one", "pending")
	}
}

// S2: which end a provider's refusal makes.
func TestS2EndsOfModels(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, status, says string
		script             func(http.ResponseWriter, *http.Request)
	}{
		{"a wrong key", "error", "openai answered 401: no such key …", refuses(401, "", "", `{"error":{"message":"no such key `+providerKey+`"}}`)},
		{"an unknown model", "error", "404: no such model", refuses(404, "", "", `{"error":"no such model"}`)},
		{"a prompt that is too long", "failed", "400: too long", refuses(400, "", "", `{"error":{"message":"too long"}}`)},
		{"a refusal", "failed", "No.", says(`{"choices":[{"delta":{"refusal":"No."},"finish_reason":"stop"}]}`)},
		{"nothing", "failed", "without saying anything", says(ended)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newProvider(t, c.script)
			s := start(t, p.use)
			s.modelAgent(t, "")
			s.wonder(t, `"input": {"text": "Why?"}`)
			got := s.waitFor(t, "one", c.status)
			if !strings.Contains(fmt.Sprint(got["result"]), c.says) {
				t.Errorf("result %q, want %q", got["result"], c.says)
			}
			if strings.Contains(s.stored(t), providerKey) {
				t.Error("the key is in the database")
			}
		})
	}
}

// An answer that the limit has cut is asked for once more with a larger one.
func TestModelLimitIsRaisedOnce(t *testing.T) {
	t.Parallel()
	long := `{"choices":[{"delta":{"content":"It is so th"},"finish_reason":"length"}]}`
	p := newProvider(t, says(long), says(long))
	s := start(t, p.use)
	s.modelAgent(t, `, "max_tokens": 10`)
	s.wonder(t, `"input": {"text": "Why?"}`)
	if got := s.waitFor(t, "one", "failed"); !strings.Contains(fmt.Sprint(got["result"]), "longer than it may be") {
		t.Errorf("result %q", got["result"])
	}
	for i, want := range []float64{10, 40} {
		if got := p.requests()[i]["max_tokens"]; got != want {
			t.Errorf("request %d has the limit %v, want %v", i, got, want)
		}
	}
}

// X2: a stop closes the connection to the provider at once: nothing more is paid for.
func TestX2AStopEndsTheModel(t *testing.T) {
	t.Parallel()
	closed := make(chan time.Time, 1)
	p := newProvider(t, func(w http.ResponseWriter, r *http.Request) {
		says(said("It is"))(w, r)
		<-r.Context().Done()
		closed <- time.Now()
	})
	s := start(t, p.use)
	s.modelAgent(t, "")
	s.wonder(t, `"input": {"text": "Why?"}`)
	stream := s.follow(t, call{method: "GET", path: "/v1/tasks/one/events", header: map[string]string{"Accept": "text/event-stream"}})
	for stream.next(t).event != "chunk" {
	}
	asked := time.Now()
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/one/stop", key: userKey})
	select {
	case at := <-closed:
		if took := at.Sub(asked); took > time.Second { // some milliseconds, on a machine that is not busy
			t.Errorf("closed after %s", took)
		}
	case <-time.After(patience):
		t.Fatal("the connection is still open")
	}
	for _, m := range stream.rest(t) {
		if m.event == "stop_abandoned" {
			t.Error("the stop was given up")
		}
	}
}

// A4: an agent's endpoint may not be a private address unless the operator says so,
// who may mean models alone.
func TestA4ModelsAddresses(t *testing.T) {
	t.Parallel()
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		p, s := newProvider(t), start(t)
		s.modelAgent(t, fmt.Sprintf(`, "llm_api_base": %q`, p.URL+"/v1"))
		s.wonder(t, `"input": {"text": "Why?"}`)
		if got := s.waitFor(t, "one", "error"); !strings.Contains(fmt.Sprint(got["result"]), "does not connect to private addresses") {
			t.Errorf("result %q", got["result"])
		}
		if len(p.requests()) > 0 {
			t.Error("it was asked")
		}
	})
	t.Run("allowed, without the server's key, and not for files", func(t *testing.T) {
		t.Parallel()
		p := newProvider(t, says(said("Because."), ended))
		s := start(t, func(o *app.Options) {
			o.Providers = []model.Provider{{Name: model.OpenAI, BaseURL: "https://api.openai.com/v1", Key: providerKey}}
			o.AllowModelHosts = []string{p.host()}
		})
		s.modelAgent(t, fmt.Sprintf(`, "llm_api_base": %q`, p.URL+"/v1"))
		s.wonder(t, `"input": {"text": "Why?"}`)
		s.waitFor(t, "one", "completed")
		if p.keys[0] != "" {
			t.Errorf("the server's key went to the agent's own endpoint")
		}
		s.must(t, 201, call{method: "POST", path: "/v1/tasks", body: fmt.Sprintf(`{"agent_id": "sage", "id": "two", "input": {"files": [%q]}}`, p.URL)})
		if got := s.waitFor(t, "two", "failed"); !strings.Contains(fmt.Sprint(got["result"]), "does not fetch from private addresses") {
			t.Errorf("result %q", got["result"])
		}
	})
}

// A2: what a model agent's record has to say.
func TestA2ModelRecords(t *testing.T) {
	t.Parallel()
	s := start(t)
	for body, field := range map[string]string{
		`{"name": "x", "runtime": "model"}`:                                                      "model_name",
		`{"name": "x", "runtime": "model", "model_name": "m", "llm_api_base": "gpu:8000"}`:       "llm_api_base",
		`{"name": "x", "runtime": "model", "model_name": "m", "llm_api_base": "http://a:b@gpu"}`: "llm_api_base",
		`{"name": "x", "runtime": "model", "model_name": "m", "temperature": 3}`:                 "temperature",
		`{"name": "x", "runtime": "model", "model_name": "m", "max_tokens": 0}`:                  "max_tokens",
		`{"name": "x", "runtime": "nonsense", "model_name": "m"}`:                                "runtime",
		`{"name": "x", "runtime": "model", "model_name": "m", "max_steps": 1001}`:                "max_steps",
	} {
		if got := s.must(t, 422, call{method: "PUT", path: "/v1/agents/x", body: body}); got["field"] != field {
			t.Errorf("%s: field %v, want %s", body, got["field"], field)
		}
	}
}
