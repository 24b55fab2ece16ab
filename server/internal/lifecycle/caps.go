package lifecycle

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/task"
)

// CapBy says which caps the configuration gives to owners and groups (rule B1). It is
// called before anything else.
func (s *Service) CapBy(rules []task.CapRule) { s.caps.rules = rules }

// ForgetCaps lets the next who asks read caps anew: those of an agent or a key may have
// changed.
func (s *Service) ForgetCaps() { s.caps.forget() }

// capsFor is how long caps of agents and keys that were read are taken for what they are.
const capsFor = time.Second

// capBook knows which caps spenders have, for all but writes, which read those of agents
// and keys themselves.
type capBook struct {
	rules []task.CapRule
	store Store

	mu    sync.Mutex
	known map[capKey]knownCaps
	turns int // of forget
}

type capKey struct {
	org string
	task.Spender
}

type knownCaps struct {
	caps  *task.Caps
	until task.Stamp
}

// of are the caps of a spender, nil for none.
func (b *capBook) of(ctx context.Context, org string, s task.Spender) (*task.Caps, error) {
	if caps, ruled := b.ruled(s); ruled {
		return caps, nil
	}
	key, now := capKey{org, s}, b.store.Now()
	b.mu.Lock()
	hit, turns := b.known[key], b.turns
	b.mu.Unlock()
	if now < hit.until {
		return hit.caps, nil
	}
	caps, err := b.store.Caps(ctx, org, s)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.turns == turns {
		if b.known == nil {
			b.known = map[capKey]knownCaps{}
		}
		maps.DeleteFunc(b.known, func(_ capKey, k knownCaps) bool { return now >= k.until }) // few: those of a second
		b.known[key] = knownCaps{caps, now.Add(capsFor)}
	}
	return caps, nil
}

// ruled are the caps of an owner or a group, nil for none. Those of others are not the
// configuration's.
func (b *capBook) ruled(s task.Spender) (caps *task.Caps, ruled bool) {
	if s.Of != task.CapOwner && s.Of != task.CapGroup {
		return nil, false
	}
	for i, r := range b.rules {
		switch {
		case r.Of != s.Of:
		case r.ID == s.ID:
			return &b.rules[i].Caps, true
		case r.ID == task.EachOf:
			caps = &b.rules[i].Caps
		}
	}
	return caps, true
}

func (b *capBook) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.known, b.turns = nil, b.turns+1
}

// capsAt are the caps of a spender in the day and the month in which a moment is; nothing
// is known to be used of them.
func (s *Service) capsAt(ctx context.Context, org string, of task.Spender, at task.Stamp) ([]task.Cap, error) {
	own, err := s.caps.of(ctx, org, of)
	if err != nil {
		return nil, fmt.Errorf("read caps: %w", err)
	}
	return own.Of(of, at), nil
}

// capsOf are the caps of a task's spenders with what is used of them, this write
// included.
func (tx writing) capsOf(t task.Task) ([]task.Cap, error) {
	if tx.caps == nil { // it was written without them
		return nil, nil
	}
	var caps []task.Cap
	for _, of := range t.Spenders() {
		own, ruled := tx.caps.ruled(of)
		if !ruled {
			var err error
			if own, err = tx.Caps(t.OrganizationID, of); err != nil {
				return nil, err
			}
		}
		for _, c := range own.Of(of, tx.Now()) {
			var err error
			if c.Used, err = tx.Used(t.OrganizationID, of, c.From, c.Until); err != nil {
				return nil, err
			}
			caps = append(caps, c)
		}
	}
	return caps, nil
}

// count counts what a change has spent for the task's spenders, on the day in which it is
// committed: the ledger of caps (B1).
func (tx writing) count(before, t task.Task) error {
	spent := t.Unpaid(before)
	if spent.Tokens == 0 && spent.Cost == 0 {
		return nil
	}
	day, _ := task.PerDay.Around(tx.Now())
	for _, s := range t.Spenders() {
		if err := tx.Count(t.OrganizationID, s, day, task.Allowance{Tokens: spent.Tokens, Cost: spent.Cost}); err != nil {
			return err
		}
	}
	return nil
}

// rein holds a task against the caps of its spenders when it has spent, and when it
// begins to run, or is handed out for that. bill says how it is to be charged.
func rein(tx writing, before, t task.Task, bill task.Charge) (task.Task, error) {
	spent := t.Unpaid(before)
	ready := t.Status() == task.Executing || t.ReadyAt <= tx.Now()
	handed := t.Run.Live() && !before.Run.Live()
	begins := t.Running() && ready && (handed || t.Status() != before.Status() || t.Terms.Turn != before.Terms.Turn)
	if spent.Tokens == 0 && spent.Cost == 0 && !begins {
		return t, nil
	}
	caps, err := tx.capsOf(t)
	if err != nil || len(caps) == 0 {
		return t, err
	}
	paused, err := apply(tx, t, task.Rein{Caps: caps, Partial: bill.Partial, Last: bill.Last})
	return paused.Task, err
}

// capped is the refusal of a task that a cap holds, nil of any other.
func capped(t task.Task) error {
	if t.Wait.Cap == nil || t.Ended() != "" {
		return nil
	}
	return fault.New(fault.Conflict, "%s", t.Wait.Cap)
}

// uncapBatch is how many tasks one commit lets go on.
const uncapBatch = 50

// Uncap lets tasks go on that caps hold which were raised, or are there no more. (The next
// day or month comes by itself.)
func (s *Service) Uncap(ctx context.Context) error {
	orgs, err := s.store.Organizations(ctx)
	if err != nil {
		return fmt.Errorf("look at caps: %w", err)
	}
	for _, org := range orgs {
		names, err := s.store.Capped(ctx, org)
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := s.uncap(ctx, org, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// uncap lets go on what one cap holds, if it does so no more.
func (s *Service) uncap(ctx context.Context, org, name string) error {
	spender, period := task.CapNamed(name)
	caps, err := s.capsAt(ctx, org, spender, s.store.Now())
	if err != nil {
		return err
	}
	for _, c := range caps {
		if c.Period != period {
			continue
		}
		if c.Used, err = s.store.Used(ctx, org, spender, c.From, c.Until); err != nil || len(c.Over()) > 0 {
			return err
		}
	}
	for after := ""; ; {
		ids, err := s.store.CappedBy(ctx, org, name, after, uncapBatch)
		if err != nil || len(ids) == 0 {
			return err
		}
		after = ids[len(ids)-1]
		about := make([]Key, len(ids))
		for i, id := range ids {
			about[i] = Key{TaskKey, org, id}
		}
		err = s.write(ctx, s.node, about, func(tx writing) error {
			for _, id := range ids {
				t, err := tx.Task(org, id)
				if fault.CodeOf(err) == fault.NotFound || err == nil && t.Wait.Cap.Name() != name {
					continue
				}
				if err != nil {
					return err
				}
				if _, err := apply(tx, t, task.Uncap{By: t.Wait.Cap.By()}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
}

// Usage is what one spender has spent, in a day and in a month, beside its caps.
type Usage struct {
	task.Spender
	Day, Month PeriodUsage
}

// PeriodUsage is what was spent in a period. Cap is the one of it, nil for none.
type PeriodUsage struct {
	From, Until task.Stamp
	task.Allowance
	Cap *task.Cap
}

// UsageFilter narrows a list of usage; empty fields do not.
type UsageFilter struct {
	task.Spender
	// At is a moment in the day and the month that are wanted, 0 for now.
	At task.Stamp
	// After is the last of the part before.
	After task.Spender
	Limit int
}

// Usage lists what spenders have spent in a month, by what and who they are; one that is
// named is there in any case. A caller who does not see all sees its own: what counts for
// its owner, its key and, if it sees that, its group.
func (s *Service) Usage(ctx context.Context, who Caller, f UsageFilter) ([]Usage, error) {
	at := f.At
	if at == 0 {
		at = s.store.Now()
	}
	month, next := task.PerMonth.Around(at)
	var found []task.Spender
	switch {
	case !who.Whole():
		found = s.own(who, f)
	case f.Of != "" && f.ID != "":
		found = []task.Spender{f.Spender}
	default:
		var err error
		if found, err = s.store.Spenders(ctx, who.Organization, f.Of, month, next, f.After, f.Limit); err != nil {
			return nil, err
		}
	}
	all := make([]Usage, 0, len(found))
	for _, x := range found {
		u, err := s.usage(ctx, who.Organization, x, at)
		if err != nil {
			return nil, err
		}
		all = append(all, u)
	}
	return all, nil
}

// own are the spenders that a caller may see who does not see all.
func (s *Service) own(who Caller, f UsageFilter) []task.Spender {
	own := []task.Spender{{Of: task.CapKey, ID: who.Key}, {Of: task.CapOwner, ID: who.Owner}}
	if who.Scope.Group != "" {
		own = slices.Insert(own, 0, task.Spender{Of: task.CapGroup, ID: who.Scope.Group})
	}
	return slices.DeleteFunc(own, func(x task.Spender) bool {
		behind := x.Of > f.After.Of || x.Of == f.After.Of && x.ID > f.After.ID
		return x.ID == "" || !behind || f.Of != "" && f.Of != x.Of || f.ID != "" && f.ID != x.ID
	})
}

func (s *Service) usage(ctx context.Context, org string, of task.Spender, at task.Stamp) (Usage, error) {
	u := Usage{Spender: of}
	caps, err := s.capsAt(ctx, org, of, at)
	if err != nil {
		return u, err
	}
	for period, into := range map[task.Period]*PeriodUsage{task.PerDay: &u.Day, task.PerMonth: &u.Month} {
		into.From, into.Until = period.Around(at)
		if into.Allowance, err = s.store.Used(ctx, org, of, into.From, into.Until); err != nil {
			return u, err
		}
		for _, c := range caps {
			if c.Period == period {
				c.Used = into.Allowance
				into.Cap = &c
			}
		}
	}
	return u, nil
}
