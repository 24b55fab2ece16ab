package cli_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/errand-dev/errand"
	"github.com/errand-dev/errand/server/internal/app"
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

// conversation is an errand chat whose model answers nothing to its end before something
// short is asked.
type conversation struct {
	*exec.Cmd
	in      io.WriteCloser
	answers *bufio.Reader
	told    strings.Builder
	stopped chan struct{} // a request was hung up on
}

// converse begins a conversation, with an answer that does not end.
func converse(t *testing.T) *conversation {
	t.Helper()
	c := &conversation{stopped: make(chan struct{}, 1)}
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
			c.stopped <- struct{}{}
			return
		}
		fmt.Fprint(w, "data: {\"choices\":[{\"delta\":{\"content\":\" and end\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n")
	}))
	t.Cleanup(model.Close)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	c.Cmd = exec.CommandContext(ctx, "errand", "chat", "--data", t.TempDir())
	c.Env = append(os.Environ(), "OPENAI_BASE_URL="+model.URL+"/v1", "OPENAI_API_KEY=", "ERRAND_URL=", "ERRAND_API_KEY=", "GORACE=atexit_sleep_ms=0")
	var err error
	if c.in, err = c.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.answers, c.Stderr = bufio.NewReader(out), &c.told
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(c.in, "a long one")
	c.line(t, "I begin\n")
	return c
}

func (c *conversation) line(t *testing.T, want string) {
	t.Helper()
	if got, err := c.answers.ReadString('\n'); got != want {
		t.Fatalf("%q, %v, want %q\n%s", got, err, want, c.told.String())
	}
}

// ends waits for the end of the conversation, and for that of the request that was
// stopped.
func (c *conversation) ends(t *testing.T, code int) {
	t.Helper()
	select {
	case <-c.stopped:
	case <-time.After(patience):
		t.Error("the provider was never hung up on")
	}
	if err := c.Wait(); c.ProcessState.ExitCode() != code {
		t.Errorf("chat: %v, want exit code %d", err, code)
	}
	if text := c.told.String(); !strings.Contains(text, ": stopped") || !strings.Contains(text, "To come back: errand chat --data ") {
		t.Errorf("%s", text)
	}
}

// TestChatStops: Ctrl-C ends an answer that is under way, and the conversation goes on.
func TestChatStops(t *testing.T) {
	t.Parallel()
	c := converse(t)
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(c.in, "a short one")
	c.line(t, "I begin\n")
	c.line(t, " and end\n")
	if err := c.in.Close(); err != nil {
		t.Fatal(err)
	}
	c.ends(t, 0)
}

// TestChatIsEnded: SIGTERM ends an answer that is under way, and the conversation.
func TestChatIsEnded(t *testing.T) {
	t.Parallel()
	c := converse(t)
	fmt.Fprintln(c.in, "a short one")
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	c.ends(t, 130)
}

// TestChatSurvivesARestart: the server goes away in the middle of an answer and comes
// back; the answer comes all the same, and the thread goes on.
func TestChatSurvivesARestart(t *testing.T) {
	t.Parallel()
	began := make(chan struct{}, 10)
	var asked atomic.Int32
	model := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			return
		}
		fmt.Fprint(w, "data: {\"choices\":[{\"delta\":{\"content\":\"I begin\"}}]}\n\n")
		w.(http.Flusher).Flush()
		if asked.Add(1) == 1 {
			began <- struct{}{}
			<-r.Context().Done()
			return
		}
		fmt.Fprint(w, "data: {\"choices\":[{\"delta\":{\"content\":\" and end\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n")
	}))
	t.Cleanup(model.Close)
	u, err := url.Parse(model.URL)
	if err != nil {
		t.Fatal(err)
	}
	o := app.DefaultOptions()
	o.Addr, o.Data, o.Drain, o.AllowModelHosts = "127.0.0.1:0", t.TempDir(), time.Millisecond, []string{u.Host}
	serve := func() *app.App {
		t.Helper()
		a, err := app.Start(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	first := serve()
	o.Addr = strings.TrimPrefix(first.URL(), "http://")
	client, err := errand.NewClient(errand.WithURL(first.URL()), errand.WithKey(first.FirstStart().Key))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Agents.Apply(t.Context(), "a", errand.Agent{Name: "A", Runtime: "model", ModelProvider: "mine", ModelName: "m", LLMAPIBase: model.URL}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := exec.CommandContext(ctx, "errand", "chat", "--agent", "a")
	c.Env = append(os.Environ(), "ERRAND_URL="+first.URL(), "ERRAND_API_KEY="+first.FirstStart().Key, "GORACE=atexit_sleep_ms=0")
	c.Stdin = strings.NewReader("one\ntwo\n")
	var out, told strings.Builder
	c.Stdout, c.Stderr = &out, &told
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-began:
	case <-ctx.Done():
		t.Fatalf("the model was never asked\n%s", told.String())
	}
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	second := serve()
	t.Cleanup(func() {
		if err := second.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := c.Wait(); err != nil {
		t.Errorf("chat: %v", err)
	}
	if !strings.HasSuffix(out.String(), "I begin and end\nI begin and end\n") || !strings.Contains(told.String(), "what was said so far is void") {
		t.Errorf("%s\n%s", out.String(), told.String())
	}
}
