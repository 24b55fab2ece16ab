package dispatch_test

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/dispatch"
)

// D1: what is kept for its time is looked at when the server starts and each hour, but
// not for an hour after the clock was found a day ahead: it may be wrong.
func TestD1NothingIsDeletedByAClockInDoubt(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		var looks atomic.Int64
		start := func() {
			s := dispatch.NewSweeper(b.Service, slog.New(slog.DiscardHandler), b.now, dispatch.Chores{
				Retain: func(context.Context, func() bool) error { looks.Add(1); return nil },
			})
			b.parts.Go(func() { s.Run(b.ctx) })
		}
		looked := func(when string, want int64) {
			t.Helper()
			if got := looks.Load(); got != want {
				t.Fatalf("%s: it has looked %d times, want %d", when, got, want)
			}
		}
		start()
		pass(time.Minute)
		looked("at the start", 1)
		pass(time.Hour)
		looked("an hour later", 2)
		b.jump.Store(int64(365 * 24 * time.Hour))
		pass(59 * time.Minute)
		looked("soon after the jump", 2)
		pass(2 * time.Minute)
		looked("when somebody could have set the clock right", 3)
	})
}
