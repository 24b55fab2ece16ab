package program

import (
	"slices"
	"testing"
)

// B2: a program finds the server's models where the providers' clients look, unless its
// definition names an account of its own.
func TestB2EnvironmentOfModels(t *testing.T) {
	t.Parallel()
	m := &Models{URL: "http://server/", Token: "t", Providers: []string{"openai", "anthropic"}}
	want := []string{
		"OPENAI_BASE_URL=http://server/proxy/openai/v1", "OPENAI_API_KEY=t",
		"ANTHROPIC_BASE_URL=http://server/proxy/anthropic", "ANTHROPIC_API_KEY=t",
	}
	if got := m.environment(Program{}); !slices.Equal(got, want) {
		t.Errorf("the environment is %q", got)
	}
	if got := m.environment(Program{Env: []string{"OPENAI_API_KEY"}}); !slices.Equal(got, want[2:]) {
		t.Errorf("beside an account of its own it is %q", got)
	}
	if got := (*Models)(nil).environment(Program{}); got != nil {
		t.Errorf("without a server's account it is %q", got)
	}
}
