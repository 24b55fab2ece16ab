package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
)

const (
	// sweepEvery is how exactly deadlines are kept.
	sweepEvery = 500 * time.Millisecond
	// forgetEvery is how often what is kept for a day is cleaned up.
	forgetEvery = time.Hour
	// maxDrift is how far the wall clock may run from the steady one between
	// two sweeps before it counts as a jump (a clock set, a machine asleep).
	maxDrift = 2 * time.Second
	// maxPause is how long it may be from one sweep to the next, and perTask how
	// much longer for each task that was swept. After more than that the server,
	// or its disk, has stood still.
	maxPause = 2 * time.Second
	perTask  = 20 * time.Millisecond
)

// Sweeper lets deadlines pass. A lease measures time in which a server could
// be reached (rule L2): after a start, a store that did not answer, a server
// that stood still, or a jump of the clock, every live lease first gets its full
// length again.
type Sweeper struct {
	service *lifecycle.Service
	log     *slog.Logger
	now     func() time.Time
}

// NewSweeper makes a sweeper. now is the store's clock.
func NewSweeper(service *lifecycle.Service, log *slog.Logger, now func() time.Time) *Sweeper {
	return &Sweeper{service: service, log: log, now: now}
}

// Run sweeps until ctx ends.
func (s *Sweeper) Run(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	renewed, jump, swept := false, time.Duration(0), 0
	last, lastWall := time.Now(), s.now()
	var lastForget time.Time
	for {
		steady, wall := time.Now(), s.now()
		pause := steady.Sub(last)
		if drift := wall.Round(0).Sub(lastWall.Round(0)) - pause; drift.Abs() > maxDrift {
			s.log.WarnContext(ctx, "the clock has jumped: all leases are renewed", "by", drift)
			renewed, jump = false, jump+drift
		}
		if pause > maxPause+time.Duration(swept)*perTask {
			s.log.WarnContext(ctx, "the server stood still: all leases are renewed", "for", pause)
			renewed = false
		}
		last, lastWall = steady, wall
		if !renewed {
			renewed = s.try(ctx, "renew leases", func(ctx context.Context) error { return s.service.RenewLeases(ctx, jump) })
		}
		if renewed {
			jump = 0
			renewed = s.try(ctx, "sweep", func(ctx context.Context) (err error) {
				swept, err = s.service.Sweep(ctx)
				return err
			})
		}
		if steady.Sub(lastForget) > forgetEvery {
			lastForget = steady
			s.try(ctx, "forget", s.service.Forget)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// try reports whether the store could be reached. Any other error concerns
// one task and must not hold up the rest.
func (s *Sweeper) try(ctx context.Context, what string, do func(context.Context) error) bool {
	err := do(ctx)
	if errors.Is(err, &fault.Error{Code: fault.Unavailable}) { // the store has told the log why
		return false
	}
	if err != nil && ctx.Err() == nil {
		s.log.ErrorContext(ctx, "a part of the sweep failed", "step", what, "error", err)
	}
	return true
}
