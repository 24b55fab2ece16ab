// Package protocol runs what docs/WORKER_PROTOCOL.md shows, as it stands there,
// against a real server in a process of its own.
package protocol

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	page     = "../../../docs/WORKER_PROTOCOL.md"
	adminKey = "protocol-test-admin-key-0123456789abcdef"
	agent    = "agent-123"
	patience = time.Minute
)

// script is the block of the page under a comment that names it.
func script(t *testing.T, name string) string {
	t.Helper()
	for _, tool := range []string{"bash", "curl", "jq"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%s is needed: .ci/run installs it", tool)
		}
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(text), "<!-- "+name+" -->\n```bash\n")
	block, _, closed := strings.Cut(after, "```\n")
	if !ok || !closed {
		t.Fatalf("%s has no block %s", page, name)
	}
	return block
}

// server is a running server.
type server struct {
	url string
	key string // of a worker
}

// start builds the program and runs it until the test ends.
func start(t *testing.T) *server {
	t.Helper()
	if testing.Short() {
		t.Skip("it builds the program and starts real servers")
	}
	binary := filepath.Join(t.TempDir(), "errand")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "github.com/errand-dev/errand/server/cmd/errand")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if strings.Contains(addr, "8085") || strings.Contains(addr, "9016") { // no such port is served
		addr = "127.0.0.1:20417"
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	spawn(t, []string{"ERRAND_ADMIN_KEY=" + adminKey}, binary, "serve", "--addr", addr, "--data", filepath.Join(t.TempDir(), "data"))
	s := &server{url: "http://" + addr}
	within(t, patience, "the server is ready", func() bool {
		status, _, err := s.try(t.Context(), http.MethodGet, "/readyz", "")
		return err == nil && status == http.StatusOK
	})
	s.call(t, http.MethodPut, "/v1/agents/"+agent, `{"name": "shell"}`)
	s.key = s.call(t, http.MethodPost, "/v1/keys", `{"name": "shell", "role": "worker", "agents": ["`+agent+`"]}`)["key"].(string)
	return s
}

// spawn runs a program in a process group of its own until the test ends.
func spawn(t *testing.T, env []string, name string, args ...string) {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.Command(name, args...) //nolint:noctx // the cleanup below ends it
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), env...), &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); err != nil {
			t.Errorf("%s has ended: %v", name, err)
		}
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			t.Logf("%s wrote:\n%s", name, out.String())
		}
	})
}

// environment is what the page tells a worker to set.
func (s *server) environment() []string {
	return []string{"ERRAND_URL=" + s.url, "ERRAND_API_KEY=" + s.key, "no_proxy=127.0.0.1"}
}

func (s *server) try(ctx context.Context, method, path, body string) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("x-api-key", adminKey)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	answer, err := io.ReadAll(res.Body)
	return res.StatusCode, answer, errors.Join(err, res.Body.Close())
}

// call makes a request that must succeed.
func (s *server) call(t *testing.T, method, path, body string) map[string]any {
	t.Helper()
	status, answer, err := s.try(t.Context(), method, path, body)
	if err != nil || status >= 300 {
		t.Fatalf("%s %s: answered %d %s (%v)", method, path, status, answer, err)
	}
	var object map[string]any
	if err := json.Unmarshal(answer, &object); err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return object
}

// types lists the types of a task's events.
func (s *server) types(t *testing.T, id string) string {
	t.Helper()
	var all strings.Builder
	for _, e := range s.call(t, http.MethodGet, "/v1/tasks/"+id+"/events?limit=1000", "")["items"].([]any) {
		fmt.Fprintf(&all, "%v ", e.(map[string]any)["type"])
	}
	return all.String()
}

// within waits until a condition holds.
func within(t *testing.T, limit time.Duration, what string, met func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	over := time.NewTimer(limit)
	defer over.Stop()
	for !met() {
		select {
		case <-tick.C:
		case <-over.C:
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}
