package cli

import (
	"os"
	"path/filepath"
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

// FuzzAgentFile holds for any file that it is read as agents with ids that are
// different, or refused with one line that begins with its name.
func FuzzAgentFile(f *testing.F) {
	for _, seed := range []string{
		"id: a\nname: A\n", "- id: a\n- {id: b, runtime: worker, instructions: {role: [x]}}\n", "id: a\n---\nid: a\n", "- &x {id: a}\n- *x\n", "", "a", "[]", "id: [a]\n",
		"id: a\nllm_credentials: {name: n, valu: v}\n", "&a [*a]\n", "id: a\n<<: {name: b}\n", "? {a: b}\n: c\n", "id: !!binary aGk=\n", "id: a\n? [x]\n: 1\n", "1: 2\n", "id: .nan\n",
	} {
		f.Add([]byte(seed))
	}
	name := filepath.Join(f.TempDir(), "agents.yaml")
	f.Fuzz(func(t *testing.T, content []byte) {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
		agents, err := readAgents(&env{}, name)
		if err != nil {
			if text := err.Error(); !strings.HasPrefix(text, name+":") || len(agents) > 0 {
				t.Errorf("%q: %q with %d agents", content, text, len(agents))
			}
			return
		}
		seen := map[string]bool{}
		for _, a := range agents {
			if a.ID == "" || a.Name == "" || seen[a.ID] {
				t.Errorf("%q: %+v", content, a)
			}
			seen[a.ID] = true
		}
		if len(agents) == 0 {
			t.Errorf("%q: no agents and no error", content)
		}
	})
}
