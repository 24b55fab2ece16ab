package cli_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/errand-dev/errand"
)

// TestAgentsAgain: at SIGHUP the agents are as their file is then, and as they were if
// it is wrong.
func TestAgentsAgain(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there is no SIGHUP")
	}
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "agents.yaml")
	write := func(content string) {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("{id: a, name: First}\n")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience) // it ends before the clean-up
	t.Cleanup(cancel)
	log := make(told, 100)
	c := exec.CommandContext(ctx, "errand", "serve", "--data", dir, "--addr", "127.0.0.1:0", "--agents", file)
	c.Stderr = log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM) // it may be gone
		if err := c.Wait(); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	log.until(ctx, t, "serving")
	address, err := os.ReadFile(filepath.Join(dir, "address"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(filepath.Join(dir, "admin.key"))
	if err != nil {
		t.Fatal(err)
	}
	client, err := errand.NewClient(errand.WithURL(strings.TrimSpace(string(address))), errand.WithKey(strings.TrimSpace(string(key))))
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ content, told, name string }{
		{"", "", "First"},
		{"[{id: a, name: Second}, {id: b}]\n", "the agents are as their files say", "Second"},
		{"[{id: a, name: Third}, {id: c, runtime: nonsense}]\n", "the agents stay as they were", "Second"},
	} {
		if step.content != "" {
			write(step.content)
			if err := c.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
			log.until(ctx, t, step.told)
		}
		a, err := client.Agents.Get(ctx, "a")
		if err != nil || a.Name != step.name {
			t.Errorf("%q: %+v, %v", step.content, a, err)
		}
	}
}

// told are the lines of a log.
type told chan string

func (l told) Write(p []byte) (int, error) {
	for line := range bytes.Lines(p) {
		l <- string(line)
	}
	return len(p), nil
}

// until waits for a line that contains a text.
func (l told) until(ctx context.Context, t *testing.T, text string) {
	t.Helper()
	for {
		select {
		case line := <-l:
			if strings.Contains(line, text) {
				return
			}
		case <-ctx.Done():
			t.Fatalf("the log does not say %q", text)
		}
	}
}
