package cli

import (
	"testing"
	"time"
)

// The heap of a server that collects all the time is given more room, and less again
// when there is little to collect.
func TestHeapRoomFollowsTheLoad(t *testing.T) {
	t.Parallel()
	now := time.Unix(1, 0)
	h := heap{room: heapRoom, last: now}
	for _, step := range []struct {
		pause time.Duration
		room  uint64
	}{
		{time.Second, heapRoom},
		{50 * time.Millisecond, 2 * heapRoom},
		{time.Second, 2 * heapRoom},
		{50 * time.Millisecond, heapMost},
		{time.Millisecond, heapMost},
		{time.Minute, heapRoom},
	} {
		now = now.Add(step.pause)
		if more := h.collected(now); h.room != step.room || more != (step.room > heapRoom) {
			t.Fatalf("%s after the last collection there is room for %d bytes, want %d", step.pause, h.room, step.room)
		}
	}
	if got := h.percent(10<<20, 12<<20); got != 400 {
		t.Errorf("%d %% of 12 MiB, want 400 for 48 MiB", got)
	}
	if got := h.percent(400<<20, 400<<20); got != 25 {
		t.Errorf("%d %% of 400 MiB, want 25", got)
	}
}
