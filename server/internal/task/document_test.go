package task

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// docs/STATE_MACHINE.md holds the tables of the code, and nothing else, between
// its headings: a move or an end reason that is missing there, or is there and
// not in the code, fails.
func TestStateMachineDocument(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/STATE_MACHINE.md")
	if err != nil {
		t.Fatal(err)
	}
	var moved, ended strings.Builder
	for _, m := range moves() {
		fmt.Fprintf(&moved, "| %s | %s | %s |\n", m.do, list(m.from), list(m.to))
	}
	for _, r := range EndReasons() {
		fmt.Fprintf(&ended, "| %s | %s |\n", r, r.Status())
	}
	for heading, want := range map[string]string{"Moves": moved.String(), "End reasons": ended.String()} {
		if got := table(t, string(page), heading); got != want {
			t.Errorf("the table under %q says\n%s\nand the code says\n%s", heading, got, want)
		}
	}
}

// table is the body of the table under a heading.
func table(t *testing.T, page, heading string) string {
	t.Helper()
	_, rest, ok := strings.Cut(page, "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("no heading %q", heading)
	}
	var body strings.Builder
	for line := range strings.Lines(rest) {
		if strings.HasPrefix(line, "## ") {
			break
		}
		if strings.HasPrefix(line, "|") {
			body.WriteString(line)
		}
	}
	_, rows, ok := strings.Cut(body.String(), "---")
	if !ok {
		t.Fatalf("no table under %q", heading)
	}
	_, rows, _ = strings.Cut(rows, "\n")
	return rows
}

func list(statuses []Status) string {
	names := make([]string, 0, len(statuses))
	for _, s := range statuses {
		names = append(names, string(s))
	}
	return strings.Join(names, ", ")
}
