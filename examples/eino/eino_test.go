package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cloudwego/eino/components/tool/utils"

	"github.com/errand-dev/errand"
)

// serve runs the program errand, built from this tree, and makes an agent whose
// model is at a URL.
func serve(t *testing.T, model string) *errand.Client {
	t.Helper()
	const key = "a-key-for-tests-with-32-characters"
	bin, data := filepath.Join(t.TempDir(), "errand"), t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-C", filepath.Join("..", ".."), "-o", bin, "./server/cmd/errand").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	server := exec.Command(bin, "serve", "--addr", "127.0.0.1:0", "--data", data) //nolint:noctx // it is to end well
	server.Env = append(os.Environ(), "ERRAND_ADMIN_KEY="+key)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGTERM)
		if err := server.Wait(); err != nil {
			t.Error(err)
		}
	})
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	over := time.After(time.Minute)
	for {
		if address, err := os.ReadFile(filepath.Join(data, "address")); err == nil {
			return withAgent(t, strings.TrimSpace(string(address)), key, model)
		}
		select {
		case <-tick.C:
		case <-over:
			t.Fatal("the server does not start")
		}
	}
}

func withAgent(t *testing.T, url, key, model string) *errand.Client {
	t.Helper()
	client, err := errand.NewClient(errand.WithURL(url), errand.WithKey(key), errand.WithRetry(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Agents.Apply(t.Context(), "agent-123", errand.Agent{
		Name: "Analyst", ModelName: "test-model", LLMAPIBase: model,
		Instructions: &errand.Instructions{General: "Be exact with {braces}.", Role: []string{"analyst"}, Goal: []string{"truth"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// work executes the agent's tasks until the test ends.
func work(t *testing.T, client *errand.Client, h errand.Handler) {
	t.Helper()
	worker := errand.NewWorker(client, errand.WorkerOptions{})
	worker.Handle("agent-123", h)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- worker.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// chatRequest is what the model's server looks at.
type chatRequest struct {
	Model    string `json:"model"`
	Stream   bool   `json:"stream"`
	Messages []struct {
		Role       string          `json:"role"`
		Content    json.RawMessage `json:"content"`
		ToolCallID string          `json:"tool_call_id"`
	} `json:"messages"`
}

// stream answers a chat with pieces.
func stream(w http.ResponseWriter, pieces ...string) {
	w.Header().Set("Content-Type", "text/event-stream")
	for _, p := range pieces {
		fmt.Fprintf(w, "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"model\":\"test-model\",%s}\n\n", p)
	}
	fmt.Fprint(w, "data: [DONE]\n\n")
}

func text(s string) string {
	return fmt.Sprintf(`"choices":[{"index":0,"delta":{"role":"assistant","content":%q}}]`, s)
}

// A task's message, pictures and PDFs reach the model, its tools are called,
// and its words come back while it speaks.
func TestAgent(t *testing.T) {
	t.Parallel()
	const end = `"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}`
	requests := make(chan chatRequest, 2)
	model := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var request chatRequest
		if err := json.NewDecoder(r.Body).Decode(&request); err != nil || r.Header.Get("Authorization") != "Bearer model-key" || !request.Stream {
			http.Error(w, "bad request", http.StatusBadRequest)
			return
		}
		requests <- request
		if request.Messages[len(request.Messages)-1].Role == "user" {
			stream(w, `"choices":[{"index":0,"delta":{"role":"assistant","tool_calls":[{"index":0,"id":"call-1","type":"function","function":{"name":"add","arguments":"{\"a\":10.5,\"b\":20.25}"}}]}}]`,
				strings.Replace(end, "stop", "tool_calls", 1))
			return
		}
		stream(w, text("The sum "), text("is 30.75."), end)
	}))
	t.Cleanup(model.Close)
	client := serve(t, model.URL)
	type sum struct {
		A float64 `json:"a"`
		B float64 `json:"b"`
	}
	add, err := utils.InferTool("add", "adds two numbers", func(_ context.Context, s *sum) (float64, error) { return s.A + s.B, nil })
	if err != nil {
		t.Fatal(err)
	}
	work(t, client, handler(client, "model-key", add))

	var dot bytes.Buffer
	if err := png.Encode(&dot, image.NewGray(image.Rect(0, 0, 1, 1))); err != nil {
		t.Fatal(err)
	}
	request := errand.TaskRequest{Prompt: "Analyze the sales data", ExpectedOutput: "one sentence"}
	for name, content := range map[string]string{"data.csv": "region,amount\nNorth,10.50\n", "chart.png": dot.String(), "report.pdf": "%PDF-1.7"} {
		file, err := client.Files.Upload(t.Context(), name, strings.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		request.FileURLs = append(request.FileURLs, file.URL)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	task, err := client.Agents.InvokeAsync(ctx, "agent-123", request)
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for event, err := range task.Events(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if call, ok := event.ToolCall(); ok {
			told = append(told, fmt.Sprint(event.Type, " ", call.ToolName, " ", call.Payload, call.Result))
		} else if event.Type == errand.Chunk {
			told = append(told, event.Text())
		}
	}
	if err := task.Reload(ctx); err != nil {
		t.Fatal(err)
	}
	if task.Status != errand.Completed || task.Result != "The sum is 30.75." || *task.Tokens != (errand.Tokens{Prompt: 20, Completion: 10}) {
		t.Errorf("task: %s", task.JSON())
	}
	want := []string{`tool_call_request add {"a":10.5,"b":20.25}<nil>`, "tool_call_result add <nil>30.75", "The sum ", "is 30.75."}
	if strings.Join(told, "\n") != strings.Join(want, "\n") {
		t.Errorf("told\n%s\nwant\n%s", strings.Join(told, "\n"), strings.Join(want, "\n"))
	}
	first := <-requests
	system, user := string(first.Messages[0].Content), string(first.Messages[1].Content)
	for _, part := range []string{"Be exact with {braces}.", "analyst", "truth", "one sentence"} {
		if !strings.Contains(system, part) {
			t.Errorf("the instructions lack %q: %s", part, system)
		}
	}
	for _, part := range []string{
		"Analyze the sales data", "North,10.50", "data:image/png;base64," + base64.StdEncoding.EncodeToString(dot.Bytes()),
		`"filename":"report.pdf"`, "data:application/pdf;base64," + base64.StdEncoding.EncodeToString([]byte("%PDF-1.7")),
	} {
		if !strings.Contains(user, part) {
			t.Errorf("the question lacks %q: %s", part, user)
		}
	}
	if second := <-requests; second.Model != "test-model" || second.Messages[len(second.Messages)-1].ToolCallID != "call-1" {
		t.Errorf("the second request: %+v", second)
	}
}

// A model in trouble ends the task as the worker's error; a stop ends the call.
func TestAgentInTrouble(t *testing.T) {
	t.Parallel()
	asked, left := make(chan struct{}, 1), make(chan struct{}, 1)
	model := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var request chatRequest
		_ = json.NewDecoder(r.Body).Decode(&request)
		if strings.Contains(string(request.Messages[1].Content), "wait") {
			asked <- struct{}{}
			<-r.Context().Done()
			left <- struct{}{}
			return
		}
		http.Error(w, `{"error":{"message":"overloaded"}}`, http.StatusInternalServerError)
	}))
	t.Cleanup(model.Close)
	client := serve(t, model.URL)
	work(t, client, handler(client, "model-key"))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	task, err := client.Agents.Invoke(ctx, "agent-123", errand.TaskRequest{Prompt: "x"})
	if err != nil || task.Status != errand.Errored || !strings.Contains(task.Result, "overloaded") {
		t.Errorf("task: %+v, %v", task, err)
	}
	task, err = client.Agents.InvokeAsync(ctx, "agent-123", errand.TaskRequest{Prompt: "wait"})
	if err != nil {
		t.Fatal(err)
	}
	<-asked
	if err := task.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	<-left
	if err := task.Wait(ctx); err != nil || task.Status != errand.Stopped || task.StopRequest.ConfirmedAt.IsZero() {
		t.Errorf("task: %+v, %v", task, err)
	}
}
