package cli_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// threadid NAME takes the id of the newest task into the environment.
func threadID(ts *testscript.TestScript, _ bool, args []string) {
	var found struct{ Items []struct{ ID string } }
	call(ts, http.MethodGet, "/v1/tasks?per_page=1", "", &found)
	if len(found.Items) != 1 {
		ts.Fatalf("%d tasks", len(found.Items))
	}
	ts.Setenv(args[0], found.Items[0].ID)
}

// TestChatStops: Ctrl-C ends an answer that is under way, and the conversation goes on.
func TestChatStops(t *testing.T) {
	t.Parallel()
	stopped := make(chan struct{}, 1)
	model := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path == "/v1/models" {
			fmt.Fprint(w, `{"data": [{"id": "m"}]}`)
			return
		}
		fmt.Fprint(w, "data: {\"choices\":[{\"delta\":{\"content\":\"I begin\\n\"}}]}\n\n")
		w.(http.Flusher).Flush()
		if strings.Contains(string(body), "long") && !strings.Contains(string(body), "short") {
			<-r.Context().Done()
			stopped <- struct{}{}
			return
		}
		fmt.Fprint(w, "data: {\"choices\":[{\"delta\":{\"content\":\" and end\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n")
	}))
	t.Cleanup(model.Close)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := exec.CommandContext(ctx, "errand", "chat", "--data", t.TempDir())
	c.Env = append(os.Environ(), "OPENAI_BASE_URL="+model.URL+"/v1", "OPENAI_API_KEY=", "ERRAND_URL=", "ERRAND_API_KEY=", "GORACE=atexit_sleep_ms=0")
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var told strings.Builder
	c.Stderr = &told
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	answers := bufio.NewReader(out)
	line := func(want string) {
		t.Helper()
		if got, err := answers.ReadString('\n'); got != want {
			t.Fatalf("%q, %v, want %q\n%s", got, err, want, told.String())
		}
	}
	fmt.Fprintln(in, "a long one")
	line("I begin\n")
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(in, "a short one")
	line("I begin\n")
	line(" and end\n")
	select {
	case <-stopped:
	case <-ctx.Done():
		t.Error("the provider was never hung up on")
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Errorf("chat: %v", err)
	}
	if text := told.String(); !strings.Contains(text, ": stopped") || !strings.Contains(text, "To come back: errand chat --data ") {
		t.Errorf("%s", text)
	}
}
