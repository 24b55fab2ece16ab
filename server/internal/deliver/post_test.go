package deliver

import (
	"net/http"
	"testing"
	"time"
)

// A target says in seconds or by a moment for how long it wants to be left alone; a day is
// the longest that is heard (H20).
func TestAsked(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"": 0, "soon": 0, "-5": 0, "7": 7 * time.Second, "86401": 24 * time.Hour, "9999999999999": 24 * time.Hour,
		now.Add(time.Minute).Format(http.TimeFormat):        time.Minute,
		now.Add(-time.Minute).Format(http.TimeFormat):       0,
		now.Add(7 * 24 * time.Hour).Format(http.TimeFormat): 24 * time.Hour,
	} {
		if got := asked(header, now); got != want {
			t.Errorf("%q: %s, want %s", header, got, want)
		}
	}
}

// The waits double up to an hour, by half of it sooner at most (H20).
func TestBackoff(t *testing.T) {
	t.Parallel()
	whole := 200 * time.Millisecond
	for failures := 1; failures < 100; failures++ {
		for range 20 {
			if got := backoff(failures); got < whole/2 || got >= whole {
				t.Errorf("after %d: %s, want %s or half of it", failures, got, whole)
			}
		}
		whole = min(2*whole, time.Hour)
	}
}
