package cli_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// provider NAME starts what stands for a provider of models and names it in the
// environment: openai, anthropic or ollama. It answers with the model's name and the
// last thing that it was told.
func provider(ts *testscript.TestScript, _ bool, args []string) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"data": [{"id": "local-1"}, {"id": "local-2"}]}`)
	})
	mux.HandleFunc("POST /v1/chat/completions", func(w http.ResponseWriter, r *http.Request) {
		words := lastWords(r)
		if _, sql, asked := strings.Cut(words, "SQL: "); asked {
			sql, _, _ = strings.Cut(sql, "\n")
			arguments, _ := json.Marshal(map[string]string{"sql": sql})
			chunk, _ := json.Marshal(map[string]any{"choices": []any{map[string]any{"finish_reason": "tool_calls", "delta": map[string]any{"tool_calls": []any{
				map[string]any{"index": 0, "id": "c1", "type": "function", "function": map[string]string{"name": "query_tables", "arguments": string(arguments)}},
			}}}}})
			fmt.Fprintf(w, "data: %s\n\ndata: [DONE]\n\n", chunk)
			return
		}
		for _, text := range []string{"", "This is ", words} {
			chunk, _ := json.Marshal(map[string]any{"choices": []any{map[string]any{"delta": map[string]any{"content": text, "reasoning": "Hm. "}}}})
			fmt.Fprintf(w, "data: %s\n\n", chunk)
			w.(http.Flusher).Flush()
		}
		fmt.Fprint(w, "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n")
	})
	mux.HandleFunc("POST /v1/messages", func(w http.ResponseWriter, r *http.Request) {
		text, _ := json.Marshal(lastWords(r))
		fmt.Fprintf(w, "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":7}}}\n\n"+
			"event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":%s}}\n\n"+
			"event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n"+
			"event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":2}}\n\n"+
			"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n", text)
	})
	s := httptest.NewServer(mux)
	ts.Defer(s.Close)
	ts.Setenv("MODEL_HOST", strings.TrimPrefix(s.URL, "http://"))
	switch args[0] {
	case "openai":
		ts.Setenv("OPENAI_API_KEY", "secret-key")
		ts.Setenv("OPENAI_BASE_URL", s.URL+"/v1")
	case "anthropic":
		ts.Setenv("ANTHROPIC_API_KEY", "secret-key")
		ts.Setenv("ANTHROPIC_BASE_URL", s.URL)
	case "ollama":
		ts.Setenv("OLLAMA_HOST", strings.TrimPrefix(s.URL, "http://"))
	}
}

// lastWords are a request's model and its last message.
func lastWords(r *http.Request) string {
	var asked struct {
		Model    string `json:"model"`
		Messages []struct {
			Content string `json:"content"`
		} `json:"messages"`
	}
	raw, _ := io.ReadAll(r.Body)
	_ = json.Unmarshal(raw, &asked)
	return asked.Model + " about: " + asked.Messages[len(asked.Messages)-1].Content
}
