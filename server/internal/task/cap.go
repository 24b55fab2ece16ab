package task

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/errand-dev/errand/server/internal/fault"
)

// CapOf says what a cap is of.
type CapOf string

// What caps are of.
const (
	CapOwner CapOf = "owner"
	CapGroup CapOf = "group"
	CapAgent CapOf = "agent"
	CapKey   CapOf = "key"
)

// Spender is one of those for whom it counts what a task spends: its owner ("key:ID" or
// "user:NAME"), its group, its agent, and the key that began its turn, by their ids.
type Spender struct {
	Of CapOf
	ID string
}

// Spenders are all of a task.
func (t *Task) Spenders() []Spender {
	all := []Spender{{CapOwner, t.Owner}, {CapGroup, t.Group}, {CapAgent, t.AgentID}, {CapKey, t.PayingKey()}}
	return slices.DeleteFunc(all, func(s Spender) bool { return s.ID == "" })
}

// PayingKey is the id of the key for which it counts what the turn spends, "" for none.
func (t *Task) PayingKey() string {
	if t.Key != "" {
		return t.Key
	}
	own, _ := strings.CutPrefix(t.Owner, ownedByKey)
	if own == t.Owner {
		return ""
	}
	return own
}

// ownedByKey begins the owner of what a key has made in its own name.
const ownedByKey = "key:"

// paidBy notes whose key begins a turn: a sub-task's is its parent's.
func (c Begin) paidBy(t *Task) {
	key := c.Key
	if c.Parent != nil {
		key = c.Parent.PayingKey()
	}
	if key == "" { // the server itself goes on with it
		return
	}
	if t.Key = key; ownedByKey+key == t.Owner {
		t.Key = ""
	}
}

// Caps are what one spender may spend in a day and in a month, of UTC. They hold over all
// of its tasks together.
type Caps struct {
	Day     *Allowance `json:"day,omitempty" doc:"What may be spent in a day, which begins at midnight UTC."`
	Month   *Allowance `json:"month,omitempty" doc:"What may be spent in a month, which begins at midnight UTC of its first day."`
	WarnAt  float64    `json:"warn_at,omitempty" minimum:"0" maximum:"1" doc:"The part of a limit at which logs warn (budget_warning); 0.8 when left open."`
	AtLimit AtLimit    `json:"at_limit,omitempty" enum:"pause,end" doc:"What a limit does that is reached: tasks are paused until the next day or month, or until it is raised (when left open), or they end with the reason budget."`
}

// Allowance is what may be spent; 0 is no limit.
type Allowance struct {
	Tokens int64   `json:"tokens,omitempty" minimum:"0" doc:"Model tokens, read and written; 0 is no limit."`
	Cost   float64 `json:"cost,omitempty" minimum:"0" doc:"Money, in the currency of the prices that the server's configuration names; 0 is no limit."`
}

// CapRule are the caps that the server's configuration gives to an owner or a group, or
// with the id EachOf to each for which no other rule is.
type CapRule struct {
	Spender
	Caps Caps
}

// EachOf is the id of a rule for all for which no other is.
const EachOf = "*"

// Check refuses caps that say nothing that can be held to.
func (c *Caps) Check(field string) error {
	if c == nil {
		return nil
	}
	for _, x := range []struct {
		name string
		of   *Allowance
	}{{"day", c.Day}, {"month", c.Month}} {
		if x.of == nil {
			continue
		}
		if n := x.of.Tokens; n < 0 || n > maxLimit {
			return fault.Field(field+"."+x.name+".tokens", "must be from 0 to %g", maxLimit)
		}
		if !(x.of.Cost >= 0 && x.of.Cost <= maxLimit) {
			return fault.Field(field+"."+x.name+".cost", "must be from 0 to %g", maxLimit)
		}
	}
	switch {
	case !(c.WarnAt >= 0 && c.WarnAt <= 1):
		return fault.Field(field+".warn_at", "must be from 0 to 1")
	case c.AtLimit != "" && c.AtLimit != PauseAtLimit && c.AtLimit != EndAtLimit:
		return fault.Field(field+".at_limit", "must be pause or end")
	}
	return nil
}

// Period is for how long a cap counts before it begins anew.
type Period string

// The periods.
const (
	PerDay   Period = "day"
	PerMonth Period = "month"
)

// Around is the period of UTC in which a moment is: from its beginning until the next.
func (p Period) Around(at Stamp) (from, until Stamp) {
	t := at.Time()
	if p == PerMonth {
		first := time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
		return StampOf(first), StampOf(first.AddDate(0, 1, 0))
	}
	day := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
	return StampOf(day), StampOf(day.AddDate(0, 0, 1))
}

// Cap is one of a spender's, with what has been spent of it.
type Cap struct {
	Spender
	Period Period
	// From and Until are the period's beginning and the next one's.
	From, Until Stamp
	Most, Used  Allowance
	WarnAt      float64
	AtLimit     AtLimit
}

// Of are those of one spender at a moment, of which nothing is known to be used.
func (c *Caps) Of(s Spender, at Stamp) []Cap {
	var all []Cap
	for period, most := range c.each {
		x := Cap{Spender: s, Period: period, Most: most, WarnAt: cmp.Or(c.WarnAt, warnAt), AtLimit: cmp.Or(c.AtLimit, PauseAtLimit)}
		x.From, x.Until = period.Around(at)
		all = append(all, x)
	}
	return all
}

// each yields the periods that have a limit.
func (c *Caps) each(yield func(Period, Allowance) bool) {
	if c == nil {
		return
	}
	if c.Day != nil && *c.Day != (Allowance{}) && !yield(PerDay, *c.Day) {
		return
	}
	if c.Month != nil && *c.Month != (Allowance{}) {
		yield(PerMonth, *c.Month)
	}
}

// limits are those of the cap.
func (c Cap) limits() []limit {
	return (&Budget{Tokens: c.Most.Tokens, Cost: c.Most.Cost}).limits(Spent{Tokens: c.Used.Tokens, Cost: c.Used.Cost})
}

// Over are the names of the limits of the cap that are reached.
func (c Cap) Over() []string {
	over := []string{}
	for _, l := range c.limits() {
		if l.reached() {
			over = append(over, l.name)
		}
	}
	return over
}

// Capped is a cap that holds a turn.
type Capped struct {
	Of     CapOf  `json:"of" enum:"owner,group,agent,key" doc:"What the cap is of."`
	ID     string `json:"id" doc:"Which owner (key:ID or user:NAME), group, agent or key it is of."`
	Period Period `json:"period" enum:"day,month" doc:"For how long it counts."`
	Limit  string `json:"limit" enum:"tokens,cost" doc:"Which of its limits is reached."`
	// Used and Most are as they were when it was reached.
	Used  float64 `json:"used" doc:"What was used of it when it was reached."`
	Most  float64 `json:"most" doc:"What the limit was."`
	Until Stamp   `json:"until" doc:"When the next day or month begins."`
}

// Name tells caps apart, in the order of their spenders; CapNamed reads it.
func (c *Capped) Name() string {
	if c == nil {
		return ""
	}
	return string(c.Of) + " " + string(c.Period) + " " + c.ID
}

// CapNamed is the spender and the period of a cap by its name.
func CapNamed(name string) (Spender, Period) {
	of, rest, _ := strings.Cut(name, " ")
	period, id, _ := strings.Cut(rest, " ")
	return Spender{CapOf(of), id}, Period(period)
}

// By names the cap as the author of what follows from it.
func (c *Capped) By() string { return fmt.Sprintf("cap of %s %s per %s", c.Of, c.ID, c.Period) }

// String says for a person which cap it is, until when it holds and how to raise it.
func (c *Capped) String() string {
	how := "change caps in the server's configuration"
	switch c.Of { //nolint:exhaustive // the others are the configuration's
	case CapAgent:
		how = "change caps of the agent"
	case CapKey:
		how = "change caps of the key"
	}
	return fmt.Sprintf("the cap of %s %s per %s is used up (%g of %g %s): it goes on at %s, or when the cap is raised (%s)",
		c.Of, c.ID, c.Period, c.Used, c.Most, c.Limit, c.Until, how)
}

// reached is how the cap holds a turn, nil if it does not.
func (c Cap) reached() *Capped {
	for _, l := range c.limits() {
		if l.reached() {
			return &Capped{c.Of, c.ID, c.Period, l.name, l.has, l.most, c.Until}
		}
	}
	return nil
}

// Reached is the one of some caps that decides about a turn, nil for none: one that ends
// it, or else the one that holds it the longest.
func Reached(caps []Cap) (decides *Cap, how *Capped) {
	for i, c := range caps {
		x := c.reached()
		if x == nil {
			continue
		}
		ends := c.AtLimit == EndAtLimit
		if decides == nil || ends && decides.AtLimit != EndAtLimit || ends == (decides.AtLimit == EndAtLimit) && c.Until > decides.Until {
			decides, how = &caps[i], x
		}
	}
	return decides, how
}

// Rein holds a turn against the caps of its spenders: it warns, and at a limit that is
// reached it holds or ends the turn (B1).
type Rein struct {
	Caps []Cap
	// Partial and Last are as in Charge.
	Partial *string
	Last    bool
}

func (c Rein) apply(d *draft) error {
	d.warnOf(c.Caps)
	decides, how := Reached(c.Caps)
	switch {
	case c.Last || how == nil || !d.t.Running():
		return nil
	case decides.AtLimit == EndAtLimit:
		return UseUp{Result: c.Partial, By: how.By()}.apply(d)
	}
	if err := (Pause{By: how.By(), Cause: ForBudget, Cap: how}).apply(d); err != nil {
		return err
	}
	d.t.Wait = Wait{Cause: ForBudget, Until: how.Until, Cap: how}
	return nil
}

// warnOf tells once in the log of each turn that spends of what is near, or reached.
func (d *draft) warnOf(caps []Cap) {
	a := d.t.Account
	if a == nil {
		return
	}
	var lines []string
	for _, c := range caps {
		for _, l := range c.limits() {
			reached := l.reached()
			if !reached && l.has < l.most*c.WarnAt {
				continue
			}
			line := fmt.Sprintf("%s %s %d %s %t", c.Of, c.Period, c.From, l.name, reached)
			if lines = append(lines, line); slices.Contains(a.Lines, line) {
				continue
			}
			d.warn(l, reached, &Capped{c.Of, c.ID, c.Period, l.name, l.has, l.most, c.Until})
		}
	}
	if !slices.Equal(lines, a.Lines) {
		d.account().Lines = lines
	}
}

// Uncap lets a turn go on that a cap holds.
type Uncap struct{ By string }

func (c Uncap) apply(d *draft) error {
	was := d.t.Wait
	if was.Cap == nil {
		return nil
	}
	d.t.Wait = Wait{}
	if was.Paused { // somebody holds it as well
		return nil
	}
	return Resume(c).apply(d)
}
