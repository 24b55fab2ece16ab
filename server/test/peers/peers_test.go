package main

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/errand-dev/errand/server/internal/testkit/pgtest"
)

// TestMain lets a turn be a process of its own, as it is of the program.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "-one" {
		main()
		return
	}
	os.Exit(m.Run())
}

// Errand and River take a turn each, so that the program works on the day on which
// somebody wants to know.
func TestPeers(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it starts real servers")
	}
	var out bytes.Buffer
	err := run(t.Context(), []string{"-only", "^river$", "-turns", "1", "-lasting", "200ms", "-dir", t.TempDir()}, &out)
	if errors.Is(err, pgtest.ErrNotInstalled) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{
		"| 64 creators, create → finish | ", "create → handler start, p50 | ", "| 64 callers who wait for the result | ",
		"| —: nobody waits for a job but by looking | |", "| —: has no stream | |", "memory, idle | ", "Medians of 1 turns",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, out.String())
		}
	}
}
