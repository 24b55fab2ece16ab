package httpapi_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/errand-dev/errand/server/internal/app"
	"github.com/errand-dev/errand/server/internal/model"
)

// attempt claims the agent's next task, and returns its lease's token and its token
// for models.
func (s *server) attempt(t *testing.T) (lease, token string) {
	t.Helper()
	got := s.must(t, 200, call{method: "POST", path: "/v1/claim", body: `{"agent_ids": ["agent-1"], "worker_id": "w"}`})
	claims, _ := got["claims"].([]any)
	if len(claims) != 1 {
		t.Fatalf("claimed %v", got)
	}
	c := claims[0].(map[string]any)
	models, _ := c["models"].(map[string]any)
	token, _ = models["token"].(string)
	return c["lease"].(map[string]any)["token"].(string), token
}

// ask calls a model through the server and returns the status and the body.
func (s *server) ask(t *testing.T, path, token, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Cookie", "secret=1")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // it was only read
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(raw)
}

func wholeAnswer(tokens int) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Cookie") != "" {
			w.WriteHeader(http.StatusTeapot)
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"id":"x","choices":[{"message":{"role":"assistant","content":"Yes."},"finish_reason":"stop"}],"usage":{"prompt_tokens":%d,"completion_tokens":0}}`, tokens)
	}
}

const chatPath = "/proxy/openai/v1/chat/completions"

// B2: an attempt asks a model with its own token: the real key goes to the provider and
// to nobody else, what was used counts, and the budget's line cuts.
func TestB2AnAttemptAsksThroughTheServer(t *testing.T) {
	t.Parallel()
	usage := `{"choices":[],"usage":{"prompt_tokens":400,"completion_tokens":100}}`
	p := newProvider(
		t, wholeAnswer(300),
		says(said("Let "), said("me see."), `{"choices":[{"delta":{},"finish_reason":"stop"}]}`, usage, "[DONE]"),
		says(said("Cut.")),
		says(said("More."), usage, "[DONE]"),
	)
	s := start(t, p.use)
	s.agent(t, "agent-1")
	s.must(t, 201, call{method: "POST", path: "/v1/tasks", body: `{"agent_id": "agent-1", "id": "one", "input": {"text": "a"}, "budget": {"tokens": 1200}}`})
	lease, token := s.attempt(t)
	const plain, streamed = `{"model": "m", "messages": []}`, `{"model": "m", "messages": [], "stream": true}`

	if status, body := s.ask(t, chatPath, token, plain); status != 200 || !strings.Contains(body, "Yes.") {
		t.Fatalf("answered %d %s", status, body)
	}
	if got := s.spent(t)["tokens"]; got != 300.0 {
		t.Errorf("counted %v", got)
	}
	status, body := s.ask(t, chatPath, token, streamed)
	if status != 200 || !strings.Contains(body, "me see.") || !strings.HasSuffix(body, "data: [DONE]\n\n") || strings.Contains(body, "usage") {
		t.Errorf("streamed %d %s", status, body)
	}
	if got := s.spent(t)["tokens"]; got != 800.0 {
		t.Errorf("counted %v", got)
	}
	if options, _ := p.requests()[1]["stream_options"].(map[string]any); options["include_usage"] != true {
		t.Errorf("the provider was asked %v", p.requests()[1])
	}
	s.ask(t, chatPath, token, streamed) // breaks off: estimated
	if got := s.spent(t)["tokens"].(float64); got <= 800 {
		t.Errorf("counted %v", got)
	}
	status, body = s.ask(t, chatPath, token, `{"model": "m", "stream": true, "stream_options": {"include_usage": true}}`)
	if status != 200 || !strings.Contains(body, "prompt_tokens") {
		t.Errorf("who asks for the usage is told %d %s", status, body)
	}
	s.waitFor(t, "one", "paused")
	status, body = s.ask(t, chatPath, token, plain)
	var refused struct {
		Error struct {
			Type    string `json:"type"`
			Message string `json:"message"`
		} `json:"error"`
	}
	if json.Unmarshal([]byte(body), &refused) != nil || status != 403 || refused.Error.Type != "permission_error" || !strings.Contains(refused.Error.Message, "budget") {
		t.Errorf("behind the line: %d %s", status, body)
	}
	if n := len(p.requests()); n != 4 {
		t.Errorf("the provider was asked %d times, want 4", n)
	}
	for _, key := range p.keys {
		if key != "Bearer "+providerKey {
			t.Errorf("the provider was shown %q", key)
		}
	}
	log, _ := json.Marshal(s.events(t, "one"))
	if strings.Contains(string(log), providerKey) || strings.Contains(string(log), token) || strings.Contains(string(log), lease) {
		t.Error("the log shows a key")
	}
}

// B2: the token is worth nothing without its lease, and nothing but calls of models is
// behind it.
func TestB2WhatATokenIsNot(t *testing.T) {
	t.Parallel()
	p := newProvider(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"error":{"message":"Incorrect API key provided: `+providerKey+`"}}`)
	})
	s := start(t, p.use)
	s.agent(t, "agent-1")
	s.must(t, 201, call{method: "POST", path: "/v1/tasks", body: `{"agent_id": "agent-1", "id": "one", "input": {"text": "a"}}`})
	lease, token := s.attempt(t)
	for _, x := range []struct {
		path, token, body string
		want              int
	}{
		{chatPath, "", `{"model": "m"}`, 401},
		{chatPath, adminKey, `{"model": "m"}`, 401},
		{chatPath, token[:len(token)-3] + "abc", `{"model": "m"}`, 401},
		{chatPath, token, `{}`, 400},
		{chatPath, token, `[`, 400},
		{chatPath, token, `{"model": "m"}`, 502},
		{"/proxy/anthropic/v1/messages", token, `{"model": "m"}`, 404},
		{"/proxy/openai/v1/files", token, `{}`, 404},
		{"/proxy/openai/v1/../../v1/tasks", token, `{}`, 404},
	} {
		if got, body := s.ask(t, x.path, x.token, x.body); got != x.want || strings.Contains(body, providerKey) {
			t.Errorf("%s with %.12s…: %d %s, want %d", x.path, x.token, got, body, x.want)
		}
	}
	if got := s.do(t, call{method: "GET", path: "/v1/tasks", key: token}); got.status != 401 {
		t.Errorf("with the token /v1 answers %d", got.status)
	}
	s.finish(t, "one", lease, `"status": "completed", "result": "r"`)
	if status, _ := s.ask(t, chatPath, token, `{"model": "m"}`); status != 401 {
		t.Errorf("after the end: %d", status)
	}
	if n := len(p.requests()); n != 1 {
		t.Errorf("the provider was asked %d times, want 1", n)
	}
}

// B2: Anthropic's messages, in its own form and with its own errors.
func TestB2Messages(t *testing.T) {
	t.Parallel()
	event := func(name, data string) string { return "event: " + name + "\ndata: " + data + "\n\n" }
	p := newProvider(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, event("message_start", `{"type":"message_start","message":{"usage":{"input_tokens":10,"cache_read_input_tokens":5,"output_tokens":1}}}`)+
			event("content_block_delta", `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}`)+
			event("message_delta", `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":7}}`)+
			event("message_stop", `{"type":"message_stop"}`))
	})
	s := start(t, func(o *app.Options) {
		o.Providers = []model.Provider{{Name: model.Anthropic, BaseURL: p.URL, Key: providerKey}}
		o.AllowModelHosts = []string{p.host()}
	})
	s.agent(t, "agent-1")
	s.must(t, 201, call{method: "POST", path: "/v1/tasks", body: `{"agent_id": "agent-1", "id": "one", "input": {"text": "a"}, "budget": {"tokens": 20}}`})
	_, token := s.attempt(t)
	status, body := s.ask(t, "/proxy/anthropic/v1/messages", token, `{"model": "c", "max_tokens": 5, "stream": true}`)
	if status != 200 || !strings.Contains(body, "message_stop") {
		t.Errorf("answered %d %s", status, body)
	}
	if got := s.spent(t)["tokens"]; got != 22.0 {
		t.Errorf("counted %v", got)
	}
	status, body = s.ask(t, "/proxy/anthropic/v1/messages", token, `{"model": "c", "stream": true}`)
	if status != 403 || !strings.HasPrefix(body, `{"error":`) || !strings.Contains(body, `"type":"error"`) {
		t.Errorf("refused with %d %s", status, body)
	}
	if p.keys[0] != providerKey {
		t.Errorf("the provider was shown %q", p.keys[0])
	}
}
