package task

import (
	"strings"
	"testing"
	"time"
)

// D1: what is said of an agent and a status goes before what is said of the agent, that
// before what is said of the status, and that before what is said of all.
func TestD1Retention(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	r, err := ParseRetention([]string{"30d", "failed=90d", "agent:a=36h", "agent:a/failed=never"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		agent  string
		status Status
		want   time.Duration
	}{
		{"b", Completed, 30 * day}, {"b", Failed, 90 * day}, {"a", Completed, 36 * time.Hour}, {"a", Failed, 0},
	} {
		if got := r.Of(c.agent, c.status); got != c.want {
			t.Errorf("%s, %s: %v, want %v", c.agent, c.status, got, c.want)
		}
	}
	if r.Least() != 36*time.Hour {
		t.Errorf("the least is %v", r.Least())
	}
	if none, err := ParseRetention(nil); err != nil || none.Least() != 0 || none.Of("a", Failed) != 0 {
		t.Errorf("no rule: %v, %v", none, err)
	}
	for rule, told := range map[string]string{
		"":                   "write a period",
		"30":                 "write a period",
		"-3d":                "write a period",
		"99999999d":          "write a period",
		"1h":                 "at least 24h",
		"0d":                 "at least 24h",
		"pending=30d":        "for a status",
		"agent:=30d":         "name an agent",
		"agent:a/paused=30d": "for a status",
		"=30d":               "for a status",
	} {
		if _, err := ParseRetention([]string{rule}); err == nil || !strings.Contains(err.Error(), told) {
			t.Errorf("%q: %v, want %q", rule, err, told)
		}
	}
	if _, err := ParseRetention([]string{"30d", "40d"}); err == nil || !strings.Contains(err.Error(), "same tasks") {
		t.Errorf("two rules for all: %v", err)
	}
}
