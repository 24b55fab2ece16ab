package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

const (
	// sweepEvery is how exactly deadlines are kept.
	sweepEvery = 500 * time.Millisecond
	// forgetEvery is how often what is kept for a day is cleaned up.
	forgetEvery = time.Hour
	// trimEvery is how often what is kept for minutes is.
	trimEvery = time.Minute
	// goOnEvery is how often it is looked for what others have begun and left.
	goOnEvery = 2 * time.Second
	// maxDrift is how far the store's clock may run from the steady one between
	// two beats before it counts as a jump (a clock set, a machine asleep).
	maxDrift = 2 * time.Second
	// maxSurprise is how far the clock may be ahead of where it was expected, or of when a
	// server was last here, before it may be wrong; and doubtFor is how long it then has to
	// be set right before anything is deleted by it.
	maxSurprise = 24 * time.Hour
	doubtFor    = time.Hour
)

// Sweeper says that its node is there, and lets deadlines pass when it is this
// node's turn. A lease measures time in which a server could be reached (rule
// L2): after a start, a store that did not answer, servers that stood still, or a
// jump of the clock, every live lease first gets its full length again; after a short
// standstill it gets what that took.
type Sweeper struct {
	service *lifecycle.Service
	log     *slog.Logger
	now     func() time.Time
	chores  Chores

	looking, sweeping sync.Mutex // one look and one sweep at a time
	// ahead says that deadlines are to come: then each beat looks, else every second.
	ahead atomic.Bool
	// pulse is the last beat's, nil if it must not sweep.
	pulse                atomic.Pointer[lifecycle.Pulse]
	indexing, delivering sync.Mutex
	tidying, goingOn     sync.Mutex // beside them; these may take long
	retaining            sync.Mutex
	lastForget, lastTrim time.Time
	lastRetain           time.Time
	// doubted is when the clock was last found far from where it was expected.
	doubted  atomic.Pointer[time.Time]
	lastGoOn time.Time
}

// Chores clean up what others keep, on the node that sweeps; nil is nothing.
type Chores struct {
	// Trim cleans up what is kept for minutes, Forget what is kept for a day.
	Trim, Forget func(context.Context) error
	// Retain deletes what was kept for its time, while goOn says yes.
	Retain func(ctx context.Context, goOn func() bool) error
	// Index indexes some of what is new, and reports whether there is more.
	Index func(context.Context) (more bool, err error)
	// Deliver posts what is to be told elsewhere, while leads says yes. Due says that
	// there is something.
	Deliver func(ctx context.Context, leads func() bool) error
	Due     func()
}

// NewSweeper makes a sweeper. now is the store's clock.
func NewSweeper(service *lifecycle.Service, log *slog.Logger, now func() time.Time, chores Chores) *Sweeper {
	return &Sweeper{service: service, log: log, now: now, chores: chores}
}

// Run beats and sweeps until ctx ends, and what it has begun is over.
func (s *Sweeper) Run(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	var sweeps sync.WaitGroup
	defer sweeps.Wait()
	// beside does something that may take long, unless it is still at it.
	beside := func(busy *sync.Mutex, do func(context.Context)) {
		if busy.TryLock() {
			sweeps.Go(func() {
				defer busy.Unlock()
				do(ctx)
			})
		}
	}
	// Until a beat has succeeded since then, nobody knows of a server that could be
	// reached; and deadlines have not followed a jump of the clock.
	silent, astray, met, rested := true, true, false, true
	var jump time.Duration
	last, lastWall := time.Now(), s.now()
	quiet := newQuiet(last)
	for {
		steady, wall := time.Now(), s.now()
		if drift := wall.Round(0).Sub(lastWall.Round(0)) - steady.Sub(last); drift.Abs() > maxDrift {
			s.log.WarnContext(ctx, "the clock has jumped: all leases are renewed", "by", drift)
			silent, astray, jump = true, true, jump+drift
			s.doubt(ctx, drift)
		}
		last, lastWall = steady, wall
		var pulse lifecycle.Pulse
		sure := true
		beat := s.try(ctx, "beat", func(ctx context.Context) (err error) {
			pulse, err = s.service.Beat(ctx, silent)
			return err
		})
		leads := pulse.Sweeps
		silent = !beat
		if beat {
			quiet.beat(time.Now())
		}
		if pulse.AsOf.Time().Sub(wall).Abs() > maxDrift { // the clock has jumped meanwhile, or the store stood still
			sure = false
		}
		if beat && !leads { // who does follows the clock
			astray, jump = false, 0
		}
		if beat && !met {
			met = true
			s.doubt(ctx, pulse.Silence)
		}
		if beat && leads && sure && astray {
			if s.try(ctx, "follow the clock", func(ctx context.Context) error { return s.service.FollowClock(ctx, jump) }) {
				astray, jump = false, 0
			}
		}
		if beat && leads && sure && !astray && quiet.over(time.Now()) {
			s.pulse.Store(&pulse)
			beside(&s.tidying, s.tidy)
			beside(&s.retaining, s.retain)
			beside(&s.indexing, s.index)
			beside(&s.delivering, s.deliver)
		} else {
			s.pulse.Store(nil)
		}
		if beat && leads {
			if rested = !rested && !s.ahead.Load(); !rested {
				beside(&s.looking, func(ctx context.Context) { s.look(ctx, pulse, beside) })
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// quiet puts off the sweeps after a time in which this node could not beat: by as
// much, so that a worker that could not be heard meanwhile is heard before its lease
// runs out; but not for longer than a lease, or one on a machine on which every beat
// takes long would never run out (L2).
type quiet struct {
	lastBeat, until, lastOver time.Time
}

func newQuiet(now time.Time) *quiet { return &quiet{now, now, now} }

// beat notes that a beat has succeeded.
func (q *quiet) beat(now time.Time) {
	if silence := now.Sub(q.lastBeat); silence > lifecycle.MaxQuiet {
		q.until = now.Add(min(silence, task.DefaultLease))
	}
	q.lastBeat = now
}

// over reports whether deadlines may pass.
func (q *quiet) over(now time.Time) bool {
	if now.Before(q.until) && now.Sub(q.lastOver) < task.DefaultLease {
		return false
	}
	q.lastOver = now
	return true
}

// look finds out in one question what there is to do as of a beat, and begins that beside.
func (s *Sweeper) look(ctx context.Context, p lifecycle.Pulse, beside func(*sync.Mutex, func(context.Context))) {
	s.try(ctx, "look for what is due", func(ctx context.Context) error {
		due, err := s.service.Dues(ctx, p)
		if err != nil {
			return err
		}
		s.ahead.Store(due.Ahead)
		if len(due.Passed) > 0 {
			beside(&s.sweeping, s.sweep) // else the last sweep goes on, as of the last beat
		}
		if due.Unfinished || due.Capped {
			beside(&s.goingOn, s.goOn)
		}
		if due.Pushes && s.chores.Due != nil {
			s.chores.Due()
		}
		return nil
	})
}

func (s *Sweeper) goOn(ctx context.Context) {
	if time.Since(s.lastGoOn) < goOnEvery {
		return
	}
	s.lastGoOn = time.Now()
	s.try(ctx, "go on", s.service.GoOn)
	s.try(ctx, "look at caps", s.service.Uncap)
}

// index goes on until all is indexed.
func (s *Sweeper) index(ctx context.Context) {
	for more := s.chores.Index != nil; more && ctx.Err() == nil && s.leads(); {
		more = false
		s.try(ctx, "index", func(ctx context.Context) (err error) {
			more, err = s.chores.Index(ctx)
			return err
		})
	}
}

// deliver goes on as long as this node leads.
func (s *Sweeper) deliver(ctx context.Context) {
	if s.chores.Deliver != nil {
		s.try(ctx, "deliver", func(ctx context.Context) error { return s.chores.Deliver(ctx, s.leads) })
	}
}

// leads reports whether it is this node's turn.
func (s *Sweeper) leads() bool { return s.pulse.Load() != nil }

// sweep goes on until nothing more is due, as of the last beat that may sweep.
func (s *Sweeper) sweep(ctx context.Context) {
	for more := true; more && ctx.Err() == nil; {
		p := s.pulse.Load()
		if p == nil {
			break
		}
		more = false
		s.try(ctx, "sweep", func(ctx context.Context) (err error) {
			more, err = s.service.Sweep(ctx, *p)
			return err
		})
	}
}

// doubt notes by how much time has passed at once: when that is much, the clock may be
// wrong.
func (s *Sweeper) doubt(ctx context.Context, passed time.Duration) {
	if passed <= maxSurprise || s.chores.Retain == nil {
		return
	}
	now := time.Now()
	s.doubted.Store(&now)
	s.log.WarnContext(ctx, "the clock is far ahead of when a server was last here: nothing is deleted by its age for a while", "by", passed.String(), "for", doubtFor.String())
}

// retain deletes what was kept for its time, unless it is in doubt what time it is: a
// wrong clock would have all of it deleted, and no other could bring it back.
func (s *Sweeper) retain(ctx context.Context) {
	if s.chores.Retain == nil || time.Since(s.lastRetain) < forgetEvery {
		return
	}
	if at := s.doubted.Load(); at != nil && time.Since(*at) < doubtFor {
		return
	}
	s.lastRetain = time.Now()
	s.try(ctx, "delete what was kept for its time", func(ctx context.Context) error {
		return s.chores.Retain(ctx, s.leads)
	})
}

// tidy cleans up what has been kept for its time.
func (s *Sweeper) tidy(ctx context.Context) {
	if time.Since(s.lastTrim) >= trimEvery {
		s.lastTrim = time.Now()
		s.try(ctx, "pack logs", s.service.PackLogs)
		if s.chores.Trim != nil { // what that has freed, too
			s.try(ctx, "trim", s.chores.Trim)
		}
	}
	if time.Since(s.lastForget) >= forgetEvery {
		s.lastForget = time.Now()
		s.try(ctx, "forget", s.service.Forget)
		if s.chores.Forget != nil {
			s.try(ctx, "clean up", s.chores.Forget)
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
