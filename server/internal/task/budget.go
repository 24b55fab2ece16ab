package task

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/errand-dev/errand/server/internal/fault"
)

// Budget is what a task and all that is below it may use (rule B1). What is 0 or nil
// has no limit. A turn's budget stands with the turn that it was given to, the payer;
// its sub-tasks spend from it.
type Budget struct {
	Tokens    int64   `json:"tokens,omitempty" minimum:"0" doc:"Model tokens, read and written; 0 is no limit."`
	Cost      float64 `json:"cost,omitempty" minimum:"0" doc:"Money, in the currency of the prices that the server's configuration names; 0 is no limit."`
	ToolCalls int64   `json:"tool_calls,omitempty" minimum:"0" doc:"Calls of tools; 0 is no limit."`
	Steps     int64   `json:"steps,omitempty" minimum:"0" doc:"Committed steps; 0 is no limit."`
	Seconds   float64 `json:"seconds,omitempty" minimum:"0" doc:"Seconds of executing, added up over the task and its sub-tasks; 0 is no limit."`
	Subtasks  *int64  `json:"subtasks,omitempty" minimum:"0" doc:"How many tasks may be created below it; 0 allows none."`
	Depth     *int64  `json:"depth,omitempty" minimum:"0" doc:"How far below it they may be: 1 allows sub-tasks that have none themselves, 0 allows none."`
	WarnAt    float64 `json:"warn_at,omitempty" minimum:"0" maximum:"1" doc:"The part of a limit at which the log warns (budget_warning); 0.8 when left open."`
	AtLimit   AtLimit `json:"at_limit,omitempty" enum:"pause,end" doc:"What a limit does that is reached: the tree is paused until the budget is raised (when left open), or it ends with the reason budget."`
}

// AtLimit says what becomes of a tree of tasks that has reached a limit of its budget.
type AtLimit string

// What may become of it.
const (
	PauseAtLimit AtLimit = "pause"
	EndAtLimit   AtLimit = "end"
)

// warnAt is the part of a limit at which the log warns where the budget names none.
const warnAt = 0.8

// Check refuses a budget that says nothing that can be held to.
func (b *Budget) Check(field string) error {
	if b == nil {
		return nil
	}
	for _, x := range []struct {
		name  string
		value float64
	}{
		{"tokens", float64(b.Tokens)},
		{"cost", b.Cost},
		{"tool_calls", float64(b.ToolCalls)},
		{"steps", float64(b.Steps)},
		{"seconds", b.Seconds},
		{"subtasks", float64(orNone(b.Subtasks))},
		{"depth", float64(orNone(b.Depth))},
		{"warn_at", b.WarnAt},
	} {
		if !(x.value >= 0 && x.value <= maxLimit) {
			return fault.Field(field+"."+x.name, "must be from 0 to %g", maxLimit)
		}
	}
	switch {
	case b.WarnAt > 1:
		return fault.Field(field+".warn_at", "must be from 0 to 1")
	case b.AtLimit != "" && b.AtLimit != PauseAtLimit && b.AtLimit != EndAtLimit:
		return fault.Field(field+".at_limit", "must be pause or end")
	}
	return nil
}

// maxLimit bounds every limit: what is counted stays exact.
const maxLimit = 1e15

func orNone(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}

// Spent is what was used of a budget.
type Spent struct {
	Tokens    int64   `json:"tokens"`
	Cost      float64 `json:"cost"`
	ToolCalls int64   `json:"tool_calls"`
	Steps     int64   `json:"steps"`
	Seconds   float64 `json:"seconds"`
	Subtasks  int64   `json:"subtasks"`
}

// Add adds what was spent since.
func (s *Spent) Add(more Spent) {
	s.Tokens += more.Tokens
	s.Cost += more.Cost
	s.ToolCalls += more.ToolCalls
	s.Steps += more.Steps
	s.Seconds += more.Seconds
	s.Subtasks += more.Subtasks
}

// since is what was spent after a moment at which it was less.
func (s *Spent) since(was Spent) Spent {
	return Spent{
		s.Tokens - was.Tokens, s.Cost - was.Cost, s.ToolCalls - was.ToolCalls, s.Steps - was.Steps,
		s.Seconds - was.Seconds, s.Subtasks - was.Subtasks,
	}
}

// Account is how a task stands to the budget from which it spends. Tasks that have
// none, and none above them, have no account before they spend tokens or money: that is
// counted for caps.
type Account struct {
	// Payer is the id of the task whose budget it is: the task's own, or one above; ""
	// for none.
	Payer string `json:"payer"`
	// Spent is what the present turn has spent itself. It never falls, and so what
	// the payer is charged is what it has grown by (B1).
	Spent Spent `json:"spent"`
	// Since is until when the seconds of a turn that executes are among Spent.
	Since Stamp `json:"since,omitzero"`
	// Until is when they are to be counted next, 0 for not before it ceases to.
	Until Stamp `json:"until,omitzero"`
	// Exhausted says that the turn is paused because the budget is used up.
	Exhausted bool `json:"held,omitempty"`
	// Paused says that somebody has paused the held turn as well: it stays paused when
	// the budget is raised.
	Paused bool `json:"paused,omitempty"`
	// Lines are those of caps of which the turn's log was warned.
	Lines []string `json:"lines,omitempty"`

	// Total is, of the payer, what the whole tree has spent; Warned and Over are the
	// limits, by their names, whose warning was given and which are reached.
	Total  Spent    `json:"total,omitzero"`
	Warned []string `json:"warned,omitempty"`
	Over   []string `json:"over,omitempty"`
}

func (a *Account) same(b *Account) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Payer == b.Payer && a.Spent == b.Spent && a.Since == b.Since && a.Until == b.Until && a.Exhausted == b.Exhausted && a.Paused == b.Paused &&
		a.Total == b.Total && slices.Equal(a.Warned, b.Warned) && slices.Equal(a.Over, b.Over) && slices.Equal(a.Lines, b.Lines)
}

// Pays reports whether the task's own budget is what it spends from.
func (t *Task) Pays() bool { return t.Account != nil && t.Account.Payer == t.ID }

// Broke reports whether the task is a payer that has reached a limit: nothing that
// spends from its budget goes on before that is raised.
func (t *Task) Broke() bool { return t.Pays() && len(t.over()) > 0 }

// over are the names of the limits that are reached.
func (t *Task) over() []string {
	over := []string{}
	for _, l := range t.state.Budget.limits(t.Account.Total) {
		if l.reached() {
			over = append(over, l.name)
		}
	}
	return over
}

// Running reports whether the turn executes, or may be handed out.
func (t *Task) Running() bool {
	return t.ended == "" && (t.state.Status == Pending || t.state.Status == Executing)
}

// Unpaid is what the task has spent since it was as it was before, in the same turn or
// since a new one has begun.
func (t *Task) Unpaid(was Task) Spent {
	switch {
	case t.Account == nil:
		return Spent{}
	case was.Account == nil && was.Terms.Turn == t.Terms.Turn: // nothing has been counted before
		return t.Account.Spent.since(Spent{Tokens: was.state.Tokens.sum()})
	case was.Account == nil || was.Terms.Turn != t.Terms.Turn:
		return t.Account.Spent
	default:
		return t.Account.Spent.since(was.Account.Spent)
	}
}

// SecondsLeft is how many seconds of executing a payer's budget has left, and whether
// it limits them at all.
func (t *Task) SecondsLeft() (time.Duration, bool) {
	b := t.state.Budget
	if !t.Pays() || b == nil || b.Seconds == 0 {
		return 0, false
	}
	return max(seconds(b.Seconds-t.Account.Total.Seconds), 0), true
}

// account gives the change's account, a copy that may be written to; nil for none.
func (d *draft) account() *Account {
	if d.t.Account == nil {
		return nil
	}
	own := *d.t.Account
	d.t.Account = &own
	return &own
}

// open begins the account of a turn: with a budget of its own, or below its parent's.
func (c Begin) open(t *Task, was string) error {
	of := ""
	switch before := t.Account; {
	case c.Parent != nil && c.Parent.Account != nil && c.Parent.Account.Payer != "":
		of = c.Parent.Account.Payer
	case c.Parent == nil && was != "" && t.Terms.ParentID == was && before != nil && before.Payer != "" && before.Payer != t.ID:
		of = before.Payer
	}
	t.Account = nil
	switch {
	case of != "" && c.State.Budget != nil:
		return fault.Field("budget", "a sub-task spends from the budget of task %s, which is above it", of)
	case of != "":
		t.Account = &Account{Payer: of}
	case c.State.Budget != nil || c.Budget != nil:
		if t.state.Budget == nil {
			t.state.Budget = c.Budget
		}
		t.Account = &Account{Payer: t.ID}
	}
	return nil
}

// book counts what the change has spent. All of it follows from what is committed, so
// that whatever is repeated is counted once.
func (d *draft) book(was Task) {
	t := &d.t
	if t.Terms.Turn != was.Terms.Turn {
		return
	}
	if t.Account == nil {
		d.meter(was)
		return
	}
	now := t.Account.Spent
	now.Cost += d.cost
	if t.Account.Payer != "" {
		d.bookWork(&now, was)
	}
	if used := t.state.Tokens; used != nil { // somebody may report less than before
		now.Tokens = max(now.Tokens, used.Prompt+used.Completion)
	}
	if now != t.Account.Spent {
		d.account().Spent = now
	}
}

// meter begins to count what a turn without a budget spends, with the first of it.
func (d *draft) meter(was Task) {
	t := &d.t
	before, now := was.state.Tokens.sum(), t.state.Tokens.sum()
	if now <= before && d.cost == 0 {
		return
	}
	t.Account = &Account{Spent: Spent{Tokens: max(before, now), Cost: d.cost}}
}

// bookWork counts what a budget limits beside tokens and money.
func (d *draft) bookWork(now *Spent, was Task) {
	t := &d.t
	now.Steps += int64(t.Steps - was.Steps)
	now.Subtasks += int64(t.Subtasks - was.Subtasks)
	for _, e := range d.events {
		if e.Type == ToolCallRequest {
			now.ToolCalls++
		}
	}
}

// clock begins or ends the time in which the turn executes.
func (d *draft) clock(from, to Status) {
	a := d.account()
	if a == nil || a.Payer == "" || from == to {
		return
	}
	if from == Executing {
		d.count(a)
		a.Since, a.Until = 0, 0
	}
	if to == Executing {
		a.Since = d.now
	}
}

// count adds the seconds that the turn has executed since they were counted last.
func (d *draft) count(a *Account) {
	if a.Since != 0 {
		a.Spent.Seconds += max(d.now.Sub(a.Since), 0).Seconds()
		a.Since = d.now
	}
}

// Meter says when the seconds of a turn that executes are to be counted next.
type Meter struct{ Until Stamp }

func (c Meter) apply(d *draft) error { //nolint:unparam // the form of every Command
	if a := d.account(); a != nil && a.Since != 0 {
		a.Until = c.Until
	}
	return nil
}

// limit is one of a budget.
type limit struct {
	name      string
	most, has float64
	counts    bool // things, of which the last is still done
}

func (l limit) reached() bool { return l.has > l.most || !l.counts && l.has >= l.most }

// limits are those that pause or end a tree; the others refuse to add to it.
func (b *Budget) limits(has Spent) []limit {
	if b == nil {
		return nil
	}
	return slices.DeleteFunc([]limit{
		{"tokens", float64(b.Tokens), float64(has.Tokens), false},
		{"cost", b.Cost, has.Cost, false},
		{"tool_calls", float64(b.ToolCalls), float64(has.ToolCalls), true},
		{"steps", float64(b.Steps), float64(has.Steps), true},
		{"seconds", b.Seconds, has.Seconds, false},
	}, func(l limit) bool { return l.most == 0 })
}

// Charge lets the payer pay for what a task of its tree has spent.
type Charge struct {
	Spent Spent
	// Partial is what the payer has come to so far, nil for what it has: it is kept if
	// this ends it.
	Partial *string
	// Last says that nothing more is to follow: a limit that this reaches holds nobody
	// before somebody spends more.
	Last bool
}

func (c Charge) apply(d *draft) error {
	if !d.t.Pays() {
		return nil
	}
	d.account().Total.Add(c.Spent)
	if c.Last {
		return nil
	}
	return d.weigh(c.Partial)
}

// weigh holds what was spent against the budget: it warns, holds the tree at a limit
// that is reached, and lets it go on when none is any more.
func (d *draft) weigh(partial *string) error {
	t := &d.t
	a, b := d.account(), t.state.Budget
	var warned, over []string
	for _, l := range b.limits(a.Total) {
		reached := l.reached()
		if reached || l.has >= l.most*cmp.Or(b.WarnAt, warnAt) {
			warned = append(warned, l.name)
		}
		if reached {
			over = append(over, l.name)
		}
		if reached && !slices.Contains(a.Over, l.name) || !reached && slices.Contains(warned, l.name) && !slices.Contains(a.Warned, l.name) {
			d.warn(l, reached, nil)
		}
	}
	before := len(a.Over)
	a.Warned, a.Over = warned, over
	switch {
	case before == 0 && len(over) > 0:
		return d.exhaust(partial)
	case before > 0 && len(over) == 0:
		return d.replenish()
	default:
		return nil
	}
}

// warn tells of a limit that is near or reached. After the end only what the rules name
// may follow in the log (T3). of is the cap whose limit it is, nil for the task's budget.
func (d *draft) warn(l limit, reached bool, of *Capped) {
	if d.t.ended != "" {
		return
	}
	d.log(BudgetWarning, struct {
		Limit   string  `json:"limit"`
		Used    float64 `json:"used"`
		Of      float64 `json:"of"`
		Reached bool    `json:"reached"`
		Cap     *Capped `json:"cap,omitempty"`
	}{l.name, l.has, l.most, reached, of})
}

// exhaust holds or ends the payer and all that spends from its budget.
func (d *draft) exhaust(partial *string) error {
	if d.t.EndsAtLimit() {
		if d.t.ended != "" {
			d.descend(Descent{At: d.now, By: d.t.by(), All: true, To: DescentEnds})
		}
		return UseUp{Result: partial}.apply(d)
	}
	d.descend(Descent{At: d.now, By: d.t.by(), All: true, To: DescentPauses})
	return Exhaust{By: d.t.by()}.apply(d)
}

// replenish lets go on what was held.
func (d *draft) replenish() error {
	d.descend(Descent{At: d.now, By: d.t.by(), All: true, To: DescentFrees})
	return Free{By: d.t.by()}.apply(d)
}

// by names the budget of the task as the author of what follows from it.
func (t *Task) by() string { return "budget of task " + t.ID }

// Exhaust pauses a turn whose budget is used up, until that is raised (B1).
type Exhaust struct{ By string }

func (c Exhaust) apply(d *draft) error {
	if d.t.Account == nil || !d.t.Running() {
		return nil
	}
	if err := (Pause{By: c.By, Cause: ForBudget}).apply(d); err != nil {
		return err
	}
	d.account().Exhausted = true
	return nil
}

// Free lets a turn go on that was held.
type Free struct{ By string }

func (c Free) apply(d *draft) error {
	if d.t.Account == nil || !d.t.Account.Exhausted {
		return nil
	}
	paused := d.t.Account.Paused
	a := d.account()
	a.Exhausted, a.Paused = false, false
	if paused {
		return nil
	}
	return Resume(c).apply(d)
}

// UseUp ends a turn whose budget is used up.
type UseUp struct {
	// Result is what it has come to, nil for what it has.
	Result *string
	// By is the author of what follows, "" for the budget of the task.
	By string
}

func (c UseUp) apply(d *draft) error {
	if d.t.ended != "" {
		return nil
	}
	if c.Result != nil {
		d.t.state.Result = c.Result
	}
	if err := d.finish(actBudget, EndBudget, OutcomeOverruled); err != nil {
		return err
	}
	if c.By != "" && d.t.Descent.Going {
		d.t.Descent.By = c.By
	}
	return nil
}

// SetBudget gives a payer other limits; what was spent stays.
type SetBudget struct {
	By     string
	Budget Budget
}

func (c SetBudget) apply(d *draft) error {
	t := &d.t
	if !t.Pays() {
		if t.Account != nil && t.Account.Payer != "" {
			return fault.Field("budget", "the task spends from the budget of task %s: change that one", t.Account.Payer)
		}
		return fault.New(fault.Conflict, "the task was created without a budget, and so nobody has counted what it spends")
	}
	b := c.Budget
	t.state.Budget = &b
	d.logChange(c.By)
	return d.weigh(nil)
}

// EndsAtLimit reports whether a payer's limits end its tree.
func (t *Task) EndsAtLimit() bool {
	return t.state.Budget != nil && t.state.Budget.AtLimit == EndAtLimit
}

// Exhausted is what becomes of a turn that would run although its payer, t, is broke.
func (t *Task) Exhausted() Command {
	if t.EndsAtLimit() {
		return UseUp{}
	}
	return Exhaust{By: t.by()}
}

// Affords refuses one more sub-task, at a depth, that the payer's budget does not allow.
func (t *Task) Affords(depth int) error {
	b := t.state.Budget
	switch {
	case !t.Pays() || b == nil:
		return nil
	case b.Depth != nil && int64(depth-t.Depth) > *b.Depth:
		return fault.New(fault.Conflict, "the budget of task %s allows no task more than %d below it", t.ID, *b.Depth)
	case b.Subtasks != nil && t.Account.Total.Subtasks >= *b.Subtasks:
		return fault.New(fault.Conflict, "the budget of task %s allows no more than %d tasks below it", t.ID, *b.Subtasks)
	default:
		return nil
	}
}

// Use is what one call of a model has used, as the server itself has counted it.
type Use struct {
	Provider string `json:"provider"`
	Model    string `json:"model"`
	Tokens   Tokens `json:"tokens"`
	// Cost is nil where no price is known.
	Cost *float64 `json:"cost"`
	// Estimated says that the provider did not tell what was used, as of a call that
	// broke off.
	Estimated bool `json:"estimated,omitempty"`
}

// Spend counts the use of a model that no step tells of: of a call that broke off, or
// that a worker has made through the server. It counts whoever has the task by now.
type Spend struct {
	// ID names the call in its turn: the same one is counted once, which Known tells.
	ID    string
	Known bool
	Use   Use
	// Partial is what the call has brought so far: it is kept if the budget ends the
	// task.
	Partial *string
}

func (c Spend) apply(d *draft) error { //nolint:unparam // the form of every Command
	if !c.Known {
		d.use(c.Use, c.ID)
	}
	return nil
}

// use counts the use of a model and tells of it.
func (d *draft) use(u Use, id string) {
	t := &d.t
	if u.Cost != nil {
		d.cost += *u.Cost
	}
	metered := t.Metered.orNone()
	metered.Add(u.Tokens)
	t.Metered = &metered
	more := u.Tokens
	if run := t.Run; run != nil && run.Turn == t.Terms.Turn {
		a := *run
		a.Usage.Metered.Add(u.Tokens)
		more = a.Usage.tokens().since(run.Usage.tokens())
		d.keep(a)
	}
	sum := t.state.Tokens.orNone()
	sum.Add(more)
	t.state.Tokens = &sum
	d.atLeastMetered()
	if t.ended == "" {
		d.add(Event{Type: ModelUsed, Own: d.marshal(u), ClientID: id, Author: d.author})
	}
	d.logChange("usage of a model")
}

// atLeastMetered lets nobody report less than the server has counted itself.
func (d *draft) atLeastMetered() {
	m := d.t.Metered
	if m == nil {
		return
	}
	least := d.t.state.Tokens.orNone().atLeast(*m)
	d.t.state.Tokens = &least
}

// Bill is the charge for what a command has spent, but for how much that is.
func Bill(c Command) Charge {
	switch x := c.(type) {
	case Spend:
		return Charge{Partial: x.Partial}
	case CommitStep:
		return Charge{Partial: x.Partial, Last: x.Last}
	default:
		return Charge{}
	}
}

// Shown is the account as a task shows it.
type Shown struct {
	// Payer is the task whose budget it is; of that one all that its tree has spent is
	// shown, of another what it has spent itself.
	Payer string `json:"task_id"`
	Spent
	Over []string `json:"over"`
}

// ShowSpent is what the task shows of its account, nil for none.
func (t *Task) ShowSpent() *Shown {
	a := t.Account
	switch {
	case a == nil || a.Payer == "":
		return nil
	case t.Pays():
		return &Shown{a.Payer, a.Total, t.over()}
	default:
		return &Shown{a.Payer, a.Spent, []string{}}
	}
}

// UsedUp says for a person which limits of a payer's budget are reached.
func (t *Task) UsedUp() string {
	text := ""
	for _, l := range t.state.Budget.limits(t.Account.Total) {
		if l.reached() {
			if text != "" {
				text += ", "
			}
			text += fmt.Sprintf("%g of %g %s", l.has, l.most, l.name)
		}
	}
	return text
}

// UnmarshalJSON implements json.Unmarshaler: copies made before share nothing with what
// it writes, and what is left out is no limit.
func (b *Budget) UnmarshalJSON(raw []byte) error {
	type plain Budget
	var given plain
	if err := json.Unmarshal(raw, &given); err != nil {
		return err
	}
	*b = Budget(given)
	return nil
}
