package cli

import (
	"strings"
	"testing"
)

// TestFitting says that a changing line never wraps.
func TestFitting(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		line    string
		columns int
		want    string
	}{
		{"", 10, ""},
		{"short", 10, "short"},
		{"exactly so", 11, "exactly so"},
		{"one too many", 12, "one too man…"},
		{"表表表表", 7, "表表表…"},
		{"x", 0, "…"},
		{strings.Repeat("x", 300), 80, strings.Repeat("x", 79) + "…"},
	} {
		if got := fitting(c.line, c.columns); got != c.want {
			t.Errorf("%q in %d columns is %q, want %q", c.line, c.columns, got, c.want)
		}
	}
}

// TestSafeText says that a task's text cannot command a terminal.
func TestSafeText(t *testing.T) {
	t.Parallel()
	const evil = "a\x1b]0;title\x07b\r\u009bc\n\td"
	if got := safeText(evil, true); got != "a]0;titlebc\n\td" {
		t.Errorf("on a terminal: %q", got)
	}
	if got := safeText(evil, false); got != evil {
		t.Errorf("in a file: %q", got)
	}
	if got := printable("a\nb\x1b\u0085c"); got != "a b  c" {
		t.Errorf("as one line: %q", got)
	}
}
