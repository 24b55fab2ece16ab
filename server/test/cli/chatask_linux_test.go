package cli_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"testing"

	"github.com/errand-dev/errand"
	"github.com/errand-dev/errand/server/internal/app"
)

// askingModel is one that asks a person which colour, and says what came of it; told to
// look, it lists the task's files.
func askingModel(t *testing.T) *httptest.Server {
	t.Helper()
	model := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var asked struct {
			Messages []struct {
				Role    string `json:"role"`
				Content string `json:"content"`
			} `json:"messages"`
		}
		if err := json.Unmarshal(body, &asked); err != nil || len(asked.Messages) == 0 {
			http.Error(w, "what?", http.StatusBadRequest)
			return
		}
		last := asked.Messages[len(asked.Messages)-1]
		delta := `{"tool_calls": [{"index": 0, "id": "c", "function": {"name": "ask_person", "arguments": "{\"question\": \"Which colour?\", \"options\": [\"red\", \"blue\"]}"}}]}`
		switch {
		case last.Role == "tool":
			delta = fmt.Sprintf(`{"content": %q}`, "It came to "+last.Content)
		case last.Content == "look":
			delta = `{"tool_calls": [{"index": 0, "id": "c", "function": {"name": "list_files", "arguments": "{}"}}]}`
		}
		fmt.Fprintf(w, "data: {\"choices\":[{\"delta\":%s,\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n", delta)
	}))
	t.Cleanup(model.Close)
	return model
}

// TestS10ChatAsks: what an agent asks is answered where the conversation is, or left open
// by Ctrl-C and answered elsewhere.
func TestS10ChatAsks(t *testing.T) {
	t.Parallel()
	model := askingModel(t)
	u, err := url.Parse(model.URL)
	if err != nil {
		t.Fatal(err)
	}
	o := app.DefaultOptions()
	o.Addr, o.Data, o.AllowModelHosts = "127.0.0.1:0", t.TempDir(), []string{u.Host}
	a, err := app.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Stop() })
	key := a.FirstStart().Key
	client, err := errand.NewClient(errand.WithURL(a.URL()), errand.WithKey(key))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Agents.Apply(t.Context(), "painter", errand.Agent{
		Name: "Painter", Runtime: "model", ModelProvider: "mine", ModelName: "m", LLMAPIBase: model.URL,
		Tools: []string{"ask_person", "files"}, NeedsApproval: []string{"list_files"},
	}); err != nil {
		t.Fatal(err)
	}
	env := []string{"ERRAND_URL=" + a.URL(), "ERRAND_API_KEY=" + key}
	open := func() []errand.Approval {
		t.Helper()
		list, err := client.Approvals.List(t.Context(), errand.ApprovalOpen)
		if err != nil {
			t.Fatal(err)
		}
		return list
	}

	p := sit(t, env, "chat", "--agent", "painter")
	p.sees("> ")
	p.types("paint\n")
	p.sees("? Which colour?")
	p.sees("one of: red, blue")
	p.sees("answer: ")
	p.types("green\n") // the form does not have it
	p.sees("value")
	p.sees("answer: ")
	p.types("blue\n")
	p.sees("It came to blue")
	p.sees("> ")
	p.types("look\n")
	p.sees("approve (y or n): ")
	p.types("n\n")
	p.sees("It came to ")
	p.sees("declined")
	p.sees("> ")
	p.types("paint again\n")
	p.sees("answer: ")
	p.types(ctrlC)
	p.sees("The question stays open: Which colour?")
	p.sees("To answer it elsewhere: errand inbox")
	p.sees("To come back: errand chat ")
	var exit *exec.ExitError
	if err := <-p.ended; !errors.As(err, &exit) || exit.ExitCode() != 130 {
		t.Errorf("S10: chat ended with %v, want exit code 130", err)
	}
	left := open()
	if len(left) != 1 {
		t.Fatalf("S10: %d are open, want one", len(left))
	}

	// Who comes back is asked again, and hears when somebody else has answered.
	p = sit(t, env, "chat", left[0].TaskID)
	p.sees("? Which colour?")
	p.sees("answer: ")
	if _, err := client.Approvals.Answer(t.Context(), left[0].ID, errand.Reply{Value: json.RawMessage(`"red"`)}); err != nil {
		t.Fatal(err)
	}
	p.sees("It came to red")
	p.sees("> ")
	p.types("and again\n")
	p.sees("answer: ")
	p.types(ctrlD)
	p.sees("To come back: errand chat ")
	if err := <-p.ended; err != nil {
		t.Errorf("S10: chat ended with %v", err)
	}
	if len(open()) != 1 {
		t.Error("S10: Ctrl-D has closed the question")
	}
}
