package task

import (
	"cmp"
	"time"
)

// A lease measures time in which a server could be reached (L2). Moments are of
// the wall clock nevertheless, so that created_at never drifts; what a silence of
// all servers, or somebody who sets the clock, would make of the lengths that
// they measure is put right here.

// Lapsed reports whether the attempt's lease has run out. After a time in which
// no server could be reached, which ended at renewed, it has its full length
// again; 0 is for no such time.
func (a *Attempt) Lapsed(asOf, renewed Stamp) bool {
	if !a.Attached() || a.LeaseUntil == 0 {
		return false
	}
	until := a.LeaseUntil
	if renewed != 0 {
		until = max(until, a.noLater(renewed.Add(a.Lease)))
	}
	return until <= asOf
}

// noLater bounds the end of a lease: an attempt that has ended is given up at
// GiveUpAt (L10).
func (a *Attempt) noLater(until Stamp) Stamp {
	if a.Live() || a.GiveUpAt == 0 {
		return until
	}
	return min(until, a.GiveUpAt)
}

// HeardUntil is the attempt after a sign of life of its Python worker, which
// extends the lease of what it has started (L5).
func (a Attempt) HeardUntil(until Stamp) Attempt {
	if a.Fenced || !a.Attached() || !a.Started() || a.LeaseUntil == 0 || a.LeaseUntil >= until {
		return a
	}
	a.LeaseUntil = a.noLater(until)
	return a
}

// Hear is a sign of life of the Python worker that has an attempt.
type Hear struct {
	Number int
	Until  Stamp
}

func (c Hear) apply(d *draft) error { //nolint:unparam // the form of every Command
	if a := d.t.attempt(c.Number); a != nil {
		if heard := a.HeardUntil(c.Until); heard != *a {
			d.keep(heard)
		}
	}
	return nil
}

// Orphaned is an attempt whose task is deleted: its worker may go on with what it
// has started, and tell of its end (L6, L10).
func (a Attempt) Orphaned(now Stamp) Attempt {
	a.EndedAt = cmp.Or(a.EndedAt, now)
	if !a.Started() {
		a.LetGoAt = cmp.Or(a.LetGoAt, now)
	}
	return a
}

// Remains reports whether an attempt has to be remembered although its task is
// deleted: a Python worker may still run it, or has not told its end (L6, L10).
func (a *Attempt) Remains() bool { return !a.Fenced && (a.Attached() || !a.Reported) }

// FollowClock keeps what deadlines measure when the clock has jumped: a time-out
// does not pass because of a jump forward, and a task that waits for a retry, or
// for nothing at all, is not held up by one back; neither is a lease. Moments that
// somebody has named (run_at) stay. A jump of 0 mends what one back has left that
// nobody saw, such as between two starts.
type FollowClock struct{ Jump time.Duration }

func (c FollowClock) apply(d *draft) error { //nolint:unparam // the form of every Command
	t := &d.t
	// Nothing is further away than its whole length: that holds for what was
	// written since the jump, too.
	if t.ended == "" && t.state.Status == Executing && t.TimeoutAt != 0 {
		t.TimeoutAt = min(t.TimeoutAt.Add(max(c.Jump, 0)), d.now.Add(t.timeLeft()))
	}
	if a := t.Account; a != nil && a.Since != 0 {
		a = d.account()
		length := a.Until.Sub(a.Since)
		a.Since = min(a.Since.Add(max(c.Jump, 0)), d.now)
		if a.Until != 0 {
			a.Until = a.Since.Add(length)
		}
	}
	if t.Dispatchable() && t.ReadyAt > d.now && t.state.RunAt < t.ReadyAt {
		t.ReadyAt = max(t.state.RunAt, min(t.ReadyAt.Add(min(c.Jump, 0)), d.now.Add(t.Again.Wait)))
	}
	for _, a := range []*Attempt{t.Run, t.Earlier} {
		if longest := d.now.Add(leaseOf(a)); a.Attached() && a.LeaseUntil > longest {
			kept := *a
			kept.LeaseUntil = longest
			d.keep(kept)
		}
	}
	if longest := d.now.Add(leaseOf(t.Run)); !t.Stop.Settled() && t.Stop.Until > longest {
		t.Stop.Until = longest
	}
	return nil
}

func leaseOf(a *Attempt) time.Duration {
	if a == nil {
		return 0
	}
	return a.Lease
}
