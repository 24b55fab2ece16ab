package stats

import (
	"strconv"
	"testing"
	"time"
)

// What is told of many lengths lies within the bucket of the true one: less than twice as
// far, and never more than is there.
func TestQuantiles(t *testing.T) {
	t.Parallel()
	var s Spread
	if got := s.Quantile(0.5); got != 0 {
		t.Errorf("of none: %v", got)
	}
	add := func(s *Spread, d time.Duration) {
		i, _ := strconv.Atoi(bucketOf(d))
		s[i]++
	}
	for ms := range 1000 {
		add(&s, time.Duration(ms)*time.Millisecond)
	}
	if s.Total() != 1000 {
		t.Errorf("%d were counted", s.Total())
	}
	for part, want := range map[float64]time.Duration{0.5: 500 * time.Millisecond, 0.95: 950 * time.Millisecond, 0.99: 990 * time.Millisecond} {
		if got := s.Quantile(part); got < want/2 || got > 2*want {
			t.Errorf("quantile %v is %v, want about %v", part, got, want)
		}
	}
	var one Spread
	add(&one, -time.Hour) // a clock that went back
	add(&one, 1000*time.Hour)
	if low, high := one.Quantile(0.5), one.Quantile(0.99); low > time.Millisecond || high < 18*time.Hour {
		t.Errorf("the ends are %v and %v", low, high)
	}
}
