package cli

import (
	"strings"
	"testing"
)

// TestChoose: with a key alone, the provider's own address and an inexpensive model of
// it, without asking anybody.
func TestChoose(t *testing.T) { //nolint:paralleltest // it sets the environment
	for _, c := range []struct{ variable, model, said string }{
		{"OPENAI_API_KEY", "", "The model gpt-4o-mini of openai is asked at api.openai.com:443. It is given the prompt and the files a.csv, b.csv."},
		{"OPENAI_API_KEY", "other", "The model other of openai is asked at api.openai.com:443. It is given the prompt and the files a.csv, b.csv."},
		{"ANTHROPIC_API_KEY", "", "The model claude-haiku-4-5 of anthropic is asked at api.anthropic.com:443. It is given the prompt and the files a.csv, b.csv."},
	} {
		for _, name := range []string{"OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"} {
			t.Setenv(name, "")
		}
		t.Setenv(c.variable, "key")
		who, err := choose(t.Context(), c.model, true)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(who.given([]string{"a.csv", "b.csv"}), "\n"); got != c.said {
			t.Errorf("%s: %s", c.variable, got)
		}
	}
}
