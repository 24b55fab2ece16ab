package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBench measures a little of everything, so that the program works on the
// day on which somebody wants to know.
func TestBench(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it starts real servers")
	}
	doc := filepath.Join(t.TempDir(), "PERFORMANCE.md")
	if err := os.WriteFile(doc, []byte("before\n"+beginMark+"\nold\n"+endMark+"\nafter\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run(t.Context(), []string{"-brief", "-dir", t.TempDir(), "-write", doc}, &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	written, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	text := string(written)
	if !strings.HasPrefix(text, "before\n") || !strings.HasSuffix(text, "\nafter\n") || strings.Contains(text, "old") {
		t.Errorf("the text around the tables is %q", text)
	}
	for _, want := range []string{
		"one fsync", "### Create\n", "### Claim and finish", "### Append, 20 a call", "64 creators",
		"create to handler start", "append to viewer", "first chunk to viewer", "20 attempts of 50 tokens/s", "64 callers, Go client", "POST /v1/tasks/batch", "one task to 50 viewers", "50 viewers of all protocols", "200 idle viewers", "64 workers wait",
		"| status, none |", "from start to ready", "memory of an idle server", "500 lost leases",
		"1000 children", "a tree of 1000 is stopped",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("nothing was written of %q:\n%s", want, text)
		}
	}
}
