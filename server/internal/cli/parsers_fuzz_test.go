package cli

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// FuzzMoment holds for any text that what is taken for a moment is one that can
// be written and read as the same, and that an ago is not in the future.
func FuzzMoment(f *testing.F) {
	for _, seed := range []string{"", "2026-01-02", "2026-01-02 03:04:05", "2026-01-02T03:04:05+05:30", "24h", "-1h", "1h30m", "1e9h", "0", "9999-12-31T23:59:59-23:59"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var m moment
		if m.UnmarshalText([]byte(text)) != nil {
			return
		}
		if ago, err := time.ParseDuration(text); err == nil {
			if since := time.Since(m.Time); ago < 0 || since < ago {
				t.Errorf("%q was taken for %s ago", text, since)
			}
			return
		}
		var again moment
		if err := again.UnmarshalText([]byte(m.Format(time.RFC3339))); err != nil || again.Unix() != m.Unix() {
			t.Errorf("%q is %s, which is %s, %v", text, m, again, err)
		}
	})
}

// FuzzFitting holds for any line that what is shown of it begins it and needs no
// more columns than there are.
func FuzzFitting(f *testing.F) {
	for _, seed := range []string{"", "abc", "äöü", "日本語", "a\xffb", strings.Repeat("x", 100)} {
		f.Add(seed, 10)
		f.Add(seed, 0)
	}
	f.Fuzz(func(t *testing.T, line string, columns int) {
		line = printable(line)
		got := fitting(line, columns)
		begins := strings.TrimSuffix(got, "…")
		if got != line && (!strings.HasSuffix(got, "…") || !strings.HasPrefix(line, begins)) {
			t.Errorf("%q in %d columns is %q", line, columns, got)
		}
		if n := utf8.RuneCountInString(got); columns > 0 && n > columns {
			t.Errorf("%q in %d columns is %q, which needs %d", line, columns, got, n)
		}
		if strings.ContainsFunc(safeText(got, true), func(r rune) bool { return r == 0x1b || r == 0x9b }) {
			t.Errorf("%q commands the terminal", got)
		}
	})
}
