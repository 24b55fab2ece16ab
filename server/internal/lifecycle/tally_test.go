package lifecycle_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/errand-dev/errand/server/internal/lifecycle"
)

// handler is an attempt on a worker as it really is.
type handler struct {
	sent     lifecycle.Sent
	over     bool // its report has gone out, if it did, and its post is due
	reported bool
	lost     bool // its report never arrives
	posted   bool
}

// Rule L6: whatever arrives in whatever order, an attempt that goes on is never
// concluded to be over; and when all are over and have posted, every lost report
// has been concluded.
func TestTallyConcludesOnlyTheTruth(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		var tally lifecycle.Tally
		var all []*handler
		conclude := func() {
			var unreported []lifecycle.Sent
			for _, h := range all {
				if !h.reported {
					unreported = append(unreported, h.sent)
				}
			}
			for _, x := range tally.Conclude(unreported) {
				h := all[x.Number]
				if !h.lost || !h.over {
					r.Fatalf("attempt %d goes on, and was concluded to be over", x.Number)
				}
				h.reported = true // it is accounted for
			}
		}
		step := func(h *handler) {
			switch {
			case !h.over:
				h.over = true
				if h.lost = rapid.Bool().Draw(r, "lost"); !h.lost {
					h.reported = true
					tally.Reported()
				}
			case !h.posted:
				h.posted = true
				tally.Posted()
			}
			conclude()
		}
		for range rapid.IntRange(1, 60).Draw(r, "steps") {
			unfinished := slices.DeleteFunc(slices.Clone(all), func(h *handler) bool { return h.posted })
			if len(unfinished) == 0 || len(unfinished) < 6 && rapid.Bool().Draw(r, "send") {
				all = append(all, &handler{sent: lifecycle.Sent{
					Task: fmt.Sprint("t", len(all)), Number: len(all), After: tally.Posts,
				}})
				continue
			}
			step(rapid.SampledFrom(unfinished).Draw(r, "of"))
		}
		for _, h := range all {
			step(h)
			step(h)
		}
		for i, h := range all {
			if !h.reported {
				r.Fatalf("all is over, and the loss of attempt %d was not concluded: %+v", i, tally)
			}
		}
		if len(tally.Doubts) != 0 {
			r.Fatalf("doubts are left: %+v", tally)
		}
	})
}

// A post that belongs to no known attempt is held against none that comes later.
func TestTallyForgetsStrayPosts(t *testing.T) {
	t.Parallel()
	var tally lifecycle.Tally
	tally.Posted()
	if lost := tally.Conclude(nil); len(lost) != 0 {
		t.Fatalf("concluded %v of nothing", lost)
	}
	running := []lifecycle.Sent{{Task: "a", Number: 1, After: tally.Posts}}
	tally.Reported() // of another, sent beside it
	tally.Posted()
	if lost := tally.Conclude(running); len(lost) != 0 {
		t.Errorf("concluded %v", lost)
	}
}
