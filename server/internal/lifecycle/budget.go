package lifecycle

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/task"
)

// pay charges the payer with what a task has spent by a change, in the same commit
// (B1). A turn that begins to run is held at once if the budget is used up. bill says how
// it is to be charged. It returns the task as it is then.
func pay(tx writing, before, t task.Task, bill task.Charge) (task.Task, error) {
	spent := t.Unpaid(before)
	begins := t.Running() && (t.Status() != before.Status() || counted(before, t))
	if spent == (task.Spent{}) && !begins {
		return t, nil
	}
	payer, err := payerOf(tx, t)
	if err != nil || payer == nil {
		return t, err
	}
	charged := *payer
	if spent != (task.Spent{}) {
		done, err := applyAlone(tx, *payer, charge(t, spent, bill))
		if err != nil {
			return t, err
		}
		charged = done.Task
		if err := keep(tx, &t, &charged, bill.Partial); err != nil {
			return t, err
		}
		if x := charged.Descent; x.Going && x != payer.Descent {
			if charged, err = descend(tx, charged); err != nil {
				return t, err
			}
		}
		if charged, err = pay(tx, *payer, charged, task.Charge{}); err != nil { // for the seconds until it was held
			return t, err
		}
	}
	switch {
	case t.ID == charged.ID:
		t = charged
	case charged.Descent != payer.Descent: // which may have come to the task
		if t, err = tx.Task(t.OrganizationID, t.ID); err != nil {
			return t, err
		}
	}
	if charged.Broke() && t.Running() && !bill.Last {
		paused, err := apply(tx, t, charged.Exhausted()) // which does not run then
		return paused.Task, err
	}
	return meter(tx, t, charged)
}

// counted reports whether the seconds of a task have just been counted, or a payer's
// limits have changed.
func counted(before, t task.Task) bool {
	return before.Account != nil && before.Account.Until != 0 && t.Account.Until == 0 ||
		t.Pays() && before.State().Budget != t.State().Budget
}

// charge is the command by which the payer pays for what a task has spent.
func charge(t task.Task, spent task.Spent, bill task.Charge) task.Charge {
	if bill.Spent = spent; !t.Pays() {
		bill.Partial = nil
	}
	return bill
}

// payerOf reads the task whose budget another spends from, nil when there is none or it
// is deleted.
func payerOf(tx writing, t task.Task) (*task.Task, error) {
	switch {
	case t.Account == nil || t.Account.Payer == "":
		return nil, nil //nolint:nilnil // nil is the documented answer
	case t.Pays():
		return &t, nil
	}
	payer, err := tx.Task(t.OrganizationID, t.Account.Payer)
	if fault.CodeOf(err) == fault.NotFound {
		return nil, nil //nolint:nilnil // nil is the documented answer
	}
	return &payer, err
}

// keep gives a task that its budget ends what it has come to so far.
func keep(tx writing, t, payer *task.Task, partial *string) error {
	if partial == nil || t.ID == payer.ID || payer.Ended() != task.EndBudget {
		return nil
	}
	ended, err := applyAlone(tx, *t, task.UseUp{Result: partial})
	*t = ended.Task
	return err
}

// countEach is how often the seconds of a tree are counted while more than one of its
// tasks may execute: none knows what the others have used since.
const countEach = 10 * time.Second

// meter notes when the seconds of a task that executes are to be counted next, if they
// are limited.
func meter(tx writing, t, payer task.Task) (task.Task, error) {
	left, limited := payer.SecondsLeft()
	if !limited || t.Status() != task.Executing || t.Ended() != "" || t.Account.Until != 0 {
		return t, nil
	}
	if payer.Subtasks > 0 || t.ID != payer.ID {
		left = min(left, countEach)
	}
	changed, err := applyAlone(tx, t, task.Meter{Until: tx.Now().Add(left)})
	return changed.Task, err
}

// afford refuses a sub-task below a parent that the budget does not allow.
func afford(tx writing, parent task.Task) error {
	payer, err := payerOf(tx, parent)
	if err != nil || payer == nil {
		return err
	}
	return payer.Affords(parent.Depth + 1)
}

// payForChild charges the payer with a sub-task that was created below a parent.
func payForChild(tx writing, parent task.Task) error {
	payer, err := payerOf(tx, parent)
	if err != nil || payer == nil {
		return err
	}
	_, err = applyAlone(tx, *payer, task.Charge{Spent: task.Spent{Subtasks: 1}})
	return err
}

// solvent refuses what cannot go on because the budget is used up, or because nobody
// knows the price of what is to be spent from it.
func solvent(tx writing, t task.Task, priced bool) error {
	payer, err := payerOf(tx, t)
	if err != nil || payer == nil {
		return err
	}
	if b := payer.State().Budget; !priced && b != nil && b.Cost > 0 {
		return noPrice("The budget of task " + payer.ID)
	}
	return usedUp(*payer)
}

// usedUp is the refusal of a payer that is broke, nil of any other.
func usedUp(payer task.Task) error {
	if !payer.Broke() {
		return nil
	}
	return fault.New(fault.Conflict, "the budget of task %s is used up (%s): raise it first", payer.ID, payer.UsedUp())
}

// Spend counts what a call of a model has used for a task, whoever has it by now. id
// names the call: the same one is counted once in a turn. partial is what the turn has
// come to so far, nil for nothing.
func (s *Service) Spend(ctx context.Context, org, taskID, id string, use task.Use, partial *string) error {
	ctx = context.WithoutCancel(ctx) // it was used, whatever becomes of who wanted it
	_, err := s.change(ctx, s.self(org), taskID, func(tx writing, t task.Task) (task.Command, error) {
		seq, err := seqOf(tx, t, id)
		return task.Spend{ID: id, Known: seq != 0, Use: use, Partial: partial}, err
	})
	return err
}

// MaySpend refuses an attempt that no longer owns its task, or whose budget or a cap is
// used up: the latter holds the task. It is asked before each call of a model. priced
// says that the call's price is known: one that is not is Invalid where the cost is
// limited.
func (s *Service) MaySpend(ctx context.Context, org, id string, number int, priced bool) error {
	var refused error
	err := s.write(ctx, s.node, aboutTask(org, id), func(tx writing) error {
		refused = nil
		t, err := tx.Task(org, id)
		switch {
		case err != nil:
			return err
		case !t.Run.Live() || t.Run.Number != number || t.Status() != task.Executing:
			return fault.New(fault.Conflict, "this attempt no longer owns the task, which is %s", t.Status())
		}
		if err := solvent(tx, t, priced); err != nil {
			return err
		}
		caps, err := tx.capsOf(t)
		if err != nil {
			return err
		}
		if err := pricedFor(caps, priced); err != nil {
			return err
		}
		if _, how := task.Reached(caps); how != nil {
			refused = fault.New(fault.Conflict, "%s", how)
			_, err = apply(tx, t, task.Rein{Caps: caps})
		}
		return err
	})
	return cmp.Or(err, refused)
}

// noPrice refuses a model of which nobody knows what it costs, where that is limited.
func noPrice(what string) error {
	return fault.New(fault.Invalid, "%s limits the cost, and the server's configuration has no price for this model (prices).", what)
}

// pricedFor refuses a model without a price if a cap limits the cost.
func pricedFor(caps []task.Cap, priced bool) error {
	for _, c := range caps {
		if !priced && c.Most.Cost > 0 {
			return noPrice(fmt.Sprintf("The cap of %s %s per %s", c.Of, c.ID, c.Period))
		}
	}
	return nil
}
